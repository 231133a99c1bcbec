"""Kamailio as registrar, outbound proxy and load balancer: the SIP server that many carriers and PBXes stand behind.

Owns      `Plan` (what a Kamailio is to do), the configuration that follows, one running server in a private folder on
          loopback, what it complains of.
Not here  who talks through it (peer.py, side.py), certificates (tests/certs.py).
Source    Kamailio 5.6: core cookbook; modules auth, dispatcher, registrar, rr, tls, tm.

The server ends with the process that started it. Where it is missing, tests fail: none skips.
"""

import ctypes
import os
import re
import shutil
import signal
import socket
import subprocess
import sys
import time
from collections.abc import AsyncIterator, Iterator, Mapping, Sequence
from contextlib import asynccontextmanager, contextmanager
from dataclasses import dataclass, field
from itertools import cycle
from pathlib import Path
from typing import Final

import trio

from tests.certs import Credentials

HOST: Final = "127.0.0.1"
REMEDY: Final = "as root: apt-get install kamailio kamailio-tls-modules (script/test does it)"
PATIENCE: Final = 15.0
PR_SET_PDEATHSIG: Final = 1
LOWEST, HIGHEST = 22_000, 26_000
_starts: Final = cycle(range(LOWEST + os.getpid() % 400 * 4, HIGHEST, 2))


@dataclass(frozen=True, slots=True, kw_only=True)
class Account:
    """Who may register and call, by digest."""

    user: str = "fax1"
    password: str = "a secret of 1926"
    realm: str = "kamailio.test"


@dataclass(frozen=True, slots=True, kw_only=True)
class Plan:
    """What a Kamailio is to do.

    `challenge` names the methods that must bring digest credentials of one of `accounts`, inside dialogs too; REGISTER
    hears 401, the others 407. Who sends from a UDP port of `trusted` is not asked. `once`: a nonce is good for one
    request, so that each challenge really comes. `routes` leads users to URIs; `nodes` share all calls that nobody else
    is named for.
    """

    accounts: tuple[Account, ...] = ()
    algorithm: str = "MD5"
    challenge: frozenset[str] = frozenset()
    once: bool = False
    trusted: tuple[int, ...] = ()
    routes: Mapping[str, str] = field(default_factory=dict)
    nodes: tuple[str, ...] = ()
    record_route: bool = True
    behind_nat: bool = False  # who registers from behind a NAT is called where its REGISTER came from
    host: str = HOST
    shortest_registration: int = 5
    keys: Credentials | None = None
    client_certificates: bool = False  # ask TLS clients for theirs


def find_program() -> str:
    """The path of kamailio. Raises RuntimeError when it is missing."""
    found = shutil.which("kamailio", path=os.environ.get("PATH", "") + ":/usr/sbin")
    if found is None:
        raise RuntimeError(f"kamailio is missing; {REMEDY}")
    return found


def _bindable(kind: socket.SocketKind, port: int) -> bool:
    with socket.socket(socket.AF_INET, kind) as probe:
        try:
            probe.bind((HOST, port))
        except OSError:
            return False
    return True


def free_port() -> int:
    """A port of 127.0.0.1 that is free for UDP and TCP, below those that the system hands out by itself."""
    kinds = (socket.SOCK_DGRAM, socket.SOCK_STREAM)
    return next(port for port in _starts if all(_bindable(kind, port) for kind in kinds))


MODULES: Final = ("tm", "sl", "tmx", "rr", "pv", "maxfwd", "textops", "siputils", "xlog", "usrloc", "registrar", "auth")


def configuration(plan: Plan, folder: Path, port: int, tls_port: int) -> str:
    """The text of kamailio.cfg."""
    return "\n".join(
        (
            "#!KAMAILIO",
            _core(plan, port, tls_port),
            _modules(plan, folder),
            REQUEST.replace("RECORD", "record_route();" if plan.record_route else "").replace(
                "NAT", NAT_HELP if plan.behind_nat else ""
            ),
            _authentication(plan),
            _location(plan),
            FAILURE if plan.nodes else "failure_route[NEXT] { exit; }",
        )
    )


def _core(plan: Plan, port: int, tls_port: int) -> str:
    host = plan.host
    listen = [f"listen=udp:{host}:{port}", f"listen=tcp:{host}:{port}"]
    if plan.keys:
        listen += [f"listen=tls:{host}:{tls_port}", "enable_tls=yes"]
    return "\n".join(
        (
            "debug=1\nlog_stderror=yes\nmemlog=5\nmemdbg=5\nchildren=2\ntcp_children=2\nauto_aliases=no\ndns=no",
            "tcp_connection_lifetime=3605\ntcp_accept_no_cl=no\ntcp_connect_timeout=3\ntcp_send_timeout=3",
            *listen,
        )
    )


def _modules(plan: Plan, folder: Path) -> str:
    lines = [f'loadmodule "{name}.so"' for name in MODULES]
    lines += [
        'modparam("usrloc", "db_mode", 0)',
        f'modparam("registrar", "min_expires", {plan.shortest_registration})',
        'modparam("registrar", "max_expires", 600)',
        'modparam("registrar", "default_expires", 120)',
        f'modparam("auth", "algorithm", "{"" if plan.algorithm == "MD5" else plan.algorithm}")',
        'modparam("auth", "qop", "auth")',
        f'modparam("auth", "one_time_nonce", {int(plan.once)})',
        'modparam("tm", "fr_timer", 5000)',
        'modparam("tm", "fr_inv_timer", 60000)',
        'modparam("rr", "append_fromtag", 1)',
    ]
    if plan.behind_nat:
        lines += [
            'loadmodule "nathelper.so"',
            'modparam("nathelper|registrar", "received_avp", "$avp(received)")',
        ]
    if plan.nodes:
        (folder / "dispatcher.list").write_text("".join(f"1 {node} 0 0\n" for node in plan.nodes))
        lines += [
            'loadmodule "dispatcher.so"',
            f'modparam("dispatcher", "list_file", "{folder}/dispatcher.list")',
            'modparam("dispatcher", "flags", 2)',
            'modparam("dispatcher", "xavp_dst", "_dsdst_")',
            'modparam("dispatcher", "ds_ping_interval", 1)',
            'modparam("dispatcher", "ds_probing_mode", 1)',
            'modparam("dispatcher", "ds_probing_threshold", 1)',
            'modparam("dispatcher", "ds_inactive_threshold", 1)',
        ]
    if plan.keys:
        (folder / "tls.cfg").write_text(_tls(plan, plan.keys))
        lines += ['loadmodule "tls.so"', f'modparam("tls", "config", "{folder}/tls.cfg")']
    return "\n".join(lines)


def _tls(plan: Plan, keys: Credentials) -> str:
    asks = "yes" if plan.client_certificates else "no"
    shown = f"private_key = {keys.key}\ncertificate = {keys.certificate}\nca_list = {keys.authority}\n"
    server = f"[server:default]\nmethod = TLSv1.2+\nverify_certificate = {asks}\nrequire_certificate = {asks}\n"
    client = "[client:default]\nmethod = TLSv1.2+\nverify_certificate = yes\nrequire_certificate = yes\n"
    return f"{server}{shown}\n{client}{shown}"


NAT_HELP: Final = 'if (nat_uac_test("19")) { fix_nated_register(); }'
"""Contact or Via that name another place than the request came from."""

REQUEST: Final = """
request_route {
    xlog("L_NOTICE", "in  $proto:$si:$sp $rm $ru cseq $cs from $fu to $tu call $ci\\n");
    force_rport();
    if (!mf_process_maxfwd_header("10")) { sl_send_reply("483", "Too Many Hops"); exit; }
    if (is_method("OPTIONS") && $rU == $null) { sl_send_reply("200", "OK"); exit; }
    if (is_method("CANCEL")) {
        if (t_check_trans()) { t_relay(); } else { sl_send_reply("481", "No Such Transaction"); }
        exit;
    }
    if (has_totag()) {
        if (loose_route()) {
            route(AUTHENTICATION);
            route(RELAY);
        }
        if (is_method("ACK")) { if (t_check_trans()) { t_relay(); } exit; }
        sl_send_reply("404", "Not Here");
        exit;
    }
    if (is_method("ACK")) { if (t_check_trans()) { t_relay(); } exit; }
    t_check_trans();
    if (is_present_hf("Route")) {
        xlog("L_NOTICE", "a preloaded route $hdr(Route)\\n");
        loose_route();
    }
    route(AUTHENTICATION);
    remove_hf("Route");
    if (is_method("REGISTER")) {
        NAT
        xlog("L_NOTICE", "registers $hdr(Contact) and $(hdr(Contact)[1])\\n");
        if (!save("location")) { sl_reply_error(); }
        exit;
    }
    if (is_method("INVITE")) { RECORD }
    route(LOCATION);
    route(RELAY);
}

route[RELAY] {
    if (!t_relay()) { sl_reply_error(); }
    exit;
}

onreply_route { xlog("L_NOTICE", "in  $proto:$si:$sp $rs $rr cseq $cs call $ci\\n"); }
"""

FAILURE: Final = """
failure_route[NEXT] {
    if (t_is_canceled()) { exit; }
    if (t_check_status("5[0-9][0-9]") || (t_branch_timeout() && !t_branch_replied())) {
        xlog("L_NOTICE", "$du does not take the call: the next one\\n");
        ds_mark_dst("ip");
        if (ds_next_dst()) { t_on_failure("NEXT"); route(RELAY); }
    }
}
"""


def _authentication(plan: Plan) -> str:
    """Digest for all but those who are trusted."""
    lines = ["route[AUTHENTICATION] {"]
    if plan.challenge and plan.accounts:
        realm = plan.accounts[0].realm
        trusted = [f"    if (proto == UDP && src_port == {port}) {{ return; }}" for port in plan.trusted]
        lines += [
            f'    if (!is_method("{"|".join(sorted(plan.challenge))}")) {{ return; }}',
            *trusted,
            '    $var(password) = "";',
            *(f'    if ($au == "{one.user}") {{ $var(password) = "{one.password}"; }}' for one in plan.accounts),
            '    if (is_method("REGISTER")) {',
            f'        if ($var(password) == "" || !pv_www_authenticate("{realm}", "$var(password)", "0")) {{',
            f'            www_challenge("{realm}", "1"); exit;',
            "        }",
            f'    }} else if ($var(password) == "" || !pv_proxy_authenticate("{realm}", "$var(password)", "0")) {{',
            f'        proxy_challenge("{realm}", "1"); exit;',
            "    }",
            "    consume_credentials();",
        ]
    return "\n".join((*lines, "    return;", "}"))


def _location(plan: Plan) -> str:
    """Where a call goes: a fixed route, a registered contact, a node, or where its URI says."""
    lines = ["route[LOCATION] {"]
    lines += [f'    if ($rU == "{user}") {{ $ru = "{uri}"; return; }}' for user, uri in plan.routes.items()]
    lines += ['    if (uri == myself && lookup("location")) { return; }']
    if plan.nodes:
        lines += [
            '    if (uri == myself && is_method("INVITE")) {',
            '        if (!ds_select_dst("1", "4")) { sl_send_reply("503", "No Node Is Up"); exit; }',
            '        t_on_failure("NEXT");',
            "        return;",
            "    }",
        ]
    lines += ['    if (uri == myself) { sl_send_reply("404", "Nobody Here By That Name"); exit; }']
    return "\n".join((*lines, "    return;", "}"))


def _end_with_parent() -> None:
    if sys.platform == "linux":
        ctypes.CDLL(None).prctl(PR_SET_PDEATHSIG, signal.SIGTERM)


class Kamailio:
    """One server. `port` serves UDP and TCP, `tls_port` TLS. `prefix` is what starts it elsewhere: there on `port`."""

    def __init__(self, plan: Plan, folder: Path, *, prefix: Sequence[str] = (), port: int = 0) -> None:
        self.plan = plan
        self.port, self.tls_port = port or free_port(), free_port()
        self._prefix = prefix
        self._folder = folder
        self._process: subprocess.Popen[bytes] | None = None

    def start(self) -> None:
        """Start it and wait until it answers. Raises RuntimeError with what it said when it does not."""
        self.spawn()
        self.wait_until_ready()

    def spawn(self) -> None:
        """Start it, in a thread that lives on: it ends with the thread that started it."""
        self._folder.mkdir(parents=True, exist_ok=True)
        file = self._folder / "kamailio.cfg"
        file.write_text(configuration(self.plan, self._folder, self.port, self.tls_port))
        command = [find_program(), "-f", str(file), "-DD", "-E", "-m", "32", "-M", "4", "-Y", str(self._folder)]
        with (self._folder / "log").open("ab") as log:
            self._process = subprocess.Popen(
                [*self._prefix, *command, "-w", str(self._folder)],
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=log,
                cwd=self._folder,
                preexec_fn=_end_with_parent,
            )

    def wait_until_ready(self) -> None:
        """As of start."""
        assert self._process is not None
        until = time.monotonic() + PATIENCE
        while not self._answers():
            if self._process.poll() is not None or time.monotonic() > until:
                self.stop()
                raise RuntimeError(f"kamailio does not start:\n{self.log()[-4000:]}")

    def _answers(self) -> bool:
        """Whether it answers OPTIONS and takes connections. Elsewhere: whether it listens for both."""
        if self._prefix:
            command = [*self._prefix, "ss", "-Hlun", "-lt", f"sport = :{self.port}"]
            found = subprocess.run(command, check=True, capture_output=True, text=True).stdout
            return {"udp", "tcp"} <= {line.split()[0] for line in found.splitlines()}
        with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as probe:
            probe.bind((HOST, 0))
            probe.settimeout(0.1)
            host, port = probe.getsockname()
            probe.sendto(_options(self.port, host, port), (HOST, self.port))
            try:
                answered = probe.recv(4096).startswith(b"SIP/2.0 200")
            except OSError:
                return False
        try:
            for listening in (self.port, *([self.tls_port] if self.plan.keys else [])):
                socket.create_connection((HOST, listening), timeout=1.0).close()
        except OSError:
            return False
        return answered

    def stop(self) -> None:
        """End it."""
        if self._process is None:
            return
        self._process.terminate()
        try:
            self._process.wait(PATIENCE)
        except subprocess.TimeoutExpired:
            self._process.kill()
            self._process.wait()
        self._process = None

    def address(self, transport: str = "udp") -> tuple[str, int]:
        """Where it takes `udp`, `tcp` or `tls`."""
        return HOST, self.tls_port if transport == "tls" else self.port

    def uri(self, user: str = "", transport: str = "udp") -> str:
        """A SIP URI of it."""
        host, port = self.address(transport)
        name = f"{user}@" if user else ""
        return f"sip:{name}{host}:{port}" + ("" if transport == "udp" else f";transport={transport}")

    def log(self) -> str:
        """All that it said."""
        file = self._folder / "log"
        return file.read_text("utf-8", "replace") if file.exists() else ""

    def complaints(self) -> list[str]:
        """Lines of its log that tell of an error, without process numbers and what its processes say in parting."""
        lines = [re.sub(r"^ *\d+\(\d+\) ", "", line) for line in self.log().splitlines()]
        told = [line for line in lines if line.startswith(("ERROR", "CRITICAL", "ALERT", "BUG"))]
        return [line for line in told if "receive_fd(): EOF" not in line]

    def seen(self, pattern: str) -> list[str]:
        """Lines of its log that hold `pattern`."""
        return [line for line in self.log().splitlines() if re.search(pattern, line)]


def _options(port: int, host: str, own_port: int) -> bytes:
    return (
        f"OPTIONS sip:{HOST}:{port} SIP/2.0\r\nVia: SIP/2.0/UDP {host}:{own_port};branch=z9hG4bKprobe\r\n"
        f"From: <sip:probe@{host}>;tag=1\r\nTo: <sip:{HOST}:{port}>\r\nCall-ID: probe@{own_port}\r\nCSeq: 1 OPTIONS\r\n"
        "Max-Forwards: 5\r\nContent-Length: 0\r\n\r\n"
    ).encode()


@contextmanager
def running_kamailio(plan: Plan, folder: Path) -> Iterator[Kamailio]:
    """A Kamailio that runs while the block runs. An exception inside bears the last of its log as a note."""
    server = Kamailio(plan, folder)
    server.start()
    try:
        yield server
    except Exception as why:
        why.add_note(f"Kamailio said at last:\n{server.log()[-6000:]}")
        raise
    finally:
        server.stop()


@asynccontextmanager
async def open_kamailio(
    plan: Plan, folder: Path, *, prefix: Sequence[str] = (), port: int = 0
) -> AsyncIterator[Kamailio]:
    """As running_kamailio, for those beside whom other things run in real time: they do not wait for it."""
    server = Kamailio(plan, folder, prefix=prefix, port=port)
    try:
        server.spawn()
        await trio.to_thread.run_sync(server.wait_until_ready)
        yield server
    except Exception as why:
        why.add_note(f"Kamailio said at last:\n{server.log()[-6000:]}")
        raise
    finally:
        with trio.CancelScope(shield=True):
            await trio.to_thread.run_sync(server.stop)
