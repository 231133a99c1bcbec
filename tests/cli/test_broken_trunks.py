"""What is broken at a trunk, end to end through the command: its sentence in the log, in `vfax trunks`, the exit code.

One `vfax serve` has all the broken trunks; it listens at IPv6 alone. The registrar that refuses the password and the
server with the expired certificate are real peers, which count how often they are asked. That nothing is tried in a
tight loop over hours is tests/test_tending.py's matter, in virtual time.
"""

import json
import re
import socket
import ssl
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager, suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Final

import pytest
from typer.testing import CliRunner

from tests.certs import Authority
from tests.interop.serving import environment
from vfax.cli import app, exits

PATIENCE: Final = 40.0
LOOPBACK: Final = "::1"


@dataclass
class Peers:
    """What the trunks lead to: ports of ::1, and who asked there."""

    refusing: int = 0  # a registrar that never believes the password
    expired: int = 0  # TLS with a certificate that has expired
    silent: int = 0
    closed: int = 0
    registers: set[str] = field(default_factory=set)  # the branches of its REGISTERs
    connections: int = 0


@dataclass(frozen=True)
class Broken:
    """One trunk: what its table says besides its name, how `vfax trunks`, the log and the check speak of it."""

    keys: Callable[[Peers], str]
    sentence: str


REGISTERS: Final = 'registers = true\nuser = "7"\npassword = "wrong"\noptions_interval = 0.0\n'
ASKS: Final = "options_failures = 1\n"
BROKEN: Final = {
    "ipv4-alone": Broken(
        lambda peers: f'gateways = "127.0.0.1:{peers.closed}"\n{ASKS}',
        r"127\.0\.0\.1 is IPv4, and there is no IPv4 socket for SIP over UDP \(\[sip\] listen_also adds one\)",
    ),
    "no-such-name": Broken(lambda peers: f'gateways = "pbx.invalid"\n{ASKS}', r"there is no such name as pbx\.invalid"),
    "unreachable": Broken(
        lambda peers: f'gateways = "[::1]:{peers.closed}"\ntransport = "tcp"\n{REGISTERS}',
        r"the registration of sip:7@\[::1\] .* could not be sent: the connection with .* failed: Connection refused",
    ),
    "silent": Broken(
        lambda peers: f'gateways = "[::1]:{peers.silent}"\n{REGISTERS}',
        r"no answer to the registration of .*: no answer at all \(check the registrar's address, the netw",
    ),
    "wrong-password": Broken(
        lambda peers: f'gateways = "[::1]:{peers.refusing}"\n{REGISTERS}',
        r"was refused: the password for user '7' in realm 'x' is wrong: 401 came again after it was given",
    ),
    "expired": Broken(
        lambda peers: f'gateways = "[::1]:{peers.expired}"\ntransport = "tls"\n{REGISTERS}',
        r"the certificate of \[::1\]:\d+ has expired; its operator has to renew it",
    ),
}


@contextmanager
def peers(certificate: Path) -> Iterator[Peers]:
    """All of them, while the block lasts."""
    one = Peers()
    with ExitStack() as stack:
        udp = [stack.enter_context(socket.socket(socket.AF_INET6, socket.SOCK_DGRAM)) for _ in range(2)]
        tcp = [stack.enter_context(socket.socket(socket.AF_INET6)) for _ in range(2)]
        for sock in (*udp, *tcp):
            sock.bind((LOOPBACK, 0))
        one.refusing, one.silent = (sock.getsockname()[1] for sock in udp)
        one.expired, one.closed = (sock.getsockname()[1] for sock in tcp)  # bound, but nobody listens at the last
        tcp[0].listen(100)
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        context.load_cert_chain(certificate)
        for work in (lambda: refuse(udp[0], one), lambda: shake_hands(tcp[0], context, one)):
            threading.Thread(target=work, daemon=True).start()
        try:
            yield one
        finally:
            for sock in (udp[0], tcp[0]):  # wakes the threads
                with suppress(OSError):
                    sock.shutdown(socket.SHUT_RDWR)


def refuse(sock: socket.socket, peers: Peers) -> None:
    """Answer each request with a challenge: INVITEs with 403."""
    with suppress(OSError):
        while True:
            octets, source = sock.recvfrom(65_535)
            lines = octets.decode("utf-8", "replace").split("\r\n")
            kept = [line for line in lines if line.split(":")[0] in ("Via", "From", "To", "Call-ID", "CSeq")]
            if lines[0].startswith("REGISTER"):
                peers.registers.add(kept[0])
            status = {"REGISTER": "401 Unauthorized", "INVITE": "403 Forbidden"}.get(lines[0].split(" ")[0], "")
            if status:
                kept.append(f'WWW-Authenticate: Digest realm="x", nonce="{len(peers.registers)}", qop="auth"')
                sock.sendto("\r\n".join([f"SIP/2.0 {status}", *kept, "Content-Length: 0", "", ""]).encode(), source)


def shake_hands(sock: socket.socket, context: ssl.SSLContext, peers: Peers) -> None:
    """Show the certificate to whoever connects."""
    with suppress(OSError):
        while True:
            connection, _ = sock.accept()
            peers.connections += 1
            with connection, suppress(OSError):
                context.wrap_socket(connection, server_side=True).close()


@dataclass
class Run:
    """A service with all the broken trunks, as it was some seconds after its start."""

    config: Path
    rows: dict[str, dict[str, Any]]
    code: int
    log: list[str]
    peers: Peers


def vfax(*words: str) -> tuple[int, str]:
    """One command in this process: its exit code and all that it said."""
    done = CliRunner().invoke(app, list(words))
    return done.exit_code, done.output


@contextmanager
def service(authority: Authority) -> Iterator[Run]:
    """`vfax serve` while the block lasts."""
    with (
        tempfile.TemporaryDirectory(prefix="vfax-", dir="/tmp") as name,
        peers(authority.issue("old", days=-1)) as them,
    ):
        folder = Path(name)
        config = folder / "vfax.toml"
        head = f'[host]\nspool = "{folder}/spool"\nlines = 1\n[sip]\nlisten = "[::1]:0"\nt1 = 0.05\n'
        head += f'tls_authorities = "{authority.certificate}"\n[learning]\nenabled = false\n'
        trunks = (f'[[trunk]]\nname = "{name}"\n{one.keys(them)}' for name, one in BROKEN.items())
        config.write_text(head + "".join(trunks))
        command = [sys.executable, "-m", "vfax", "serve", "--config", str(config)]
        with (folder / "log").open("wb") as log:
            process = subprocess.Popen(command, stdout=log, stderr=subprocess.STDOUT, env=environment(folder))
        try:
            code, rows = until_all_are_down(config)
            yield Run(config, rows, code, (folder / "log").read_text().splitlines(), them)
        finally:
            process.terminate()
            process.wait(PATIENCE)


def until_all_are_down(config: Path) -> tuple[int, dict[str, dict[str, Any]]]:
    """What `vfax trunks` says at last."""
    until, said = time.monotonic() + PATIENCE, ""
    while time.monotonic() < until:
        code, said = vfax("trunks", "--json", "--config", str(config))
        rows = {row["name"]: row for row in json.loads(said).get("trunks", [])}
        if rows and all(row["state"] == "down" for row in rows.values()):
            return code, rows
        time.sleep(0.5)
    raise AssertionError(said)


@pytest.mark.realtime
def test_each_broken_trunk_is_one_sentence_everywhere(tmp_path: Path) -> None:
    with service(Authority.make(tmp_path)) as run:
        assert run.code == exits.TRUNK
        for name, one in BROKEN.items():
            row = run.rows[name]
            assert row["state"] == "down"
            assert re.search(one.sentence, row["reason"], re.IGNORECASE), row["reason"]
            said = [line for line in run.log if line.startswith(f"Trunk {name}: ")]
            assert len(said) == 1, said
            assert re.search(one.sentence, said[0], re.IGNORECASE), said
            checked, findings = vfax("check-trunk", name, "--config", str(run.config))
            assert checked == exits.TRUNK
            assert re.search(one.sentence, findings.replace("\n", " "), re.IGNORECASE), findings
            assert "Traceback" not in findings
    # Once by the service (a REGISTER, and the answer to the challenge), and once by the check.
    assert len(run.peers.registers) == 2
    assert 1 <= run.peers.connections <= 2


@pytest.mark.realtime
def test_a_port_in_use_is_one_sentence(tmp_path: Path) -> None:
    with socket.socket(socket.AF_INET6, socket.SOCK_DGRAM) as taken:
        taken.bind((LOOPBACK, 0))
        place = f"[::1]:{taken.getsockname()[1]}"
        code, said = vfax("serve", "--listen", place, "--spool", str(tmp_path / "spool"))
    assert code == exits.CANNOT_LISTEN
    assert len(said.splitlines()) == 1
    assert place in said


def test_a_wrong_setting_is_one_sentence(tmp_path: Path) -> None:
    config = tmp_path / "vfax.toml"
    config.write_text('[[trunk]]\nname = "office"\ngateways = "pbx.example.com"\nregisters = true\n')
    code, said = vfax("serve", "--config", str(config))
    assert code == exits.USAGE
    assert said.strip().endswith(
        '[[trunk]] 1 (office): registers = true needs to know whom: give user = "your account"'
    )
