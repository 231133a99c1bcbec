"""`vfax serve` and `vfax send` over TCP and TLS, as people run them."""

import os
import re
import subprocess
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from tests.certs import Authority
from vfax.cli import exits

MakeDocument = Callable[..., Path]


@pytest.fixture(scope="session")
def authority(tmp_path_factory: pytest.TempPathFactory) -> Authority:
    return Authority.make(tmp_path_factory.mktemp("certificates"))


@pytest.fixture(autouse=True)
def state(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Where commands keep their journals, away from the home of whoever runs the tests."""
    monkeypatch.setenv("XDG_STATE_HOME", str(tmp_path / "state"))


def environment(**more: object) -> dict[str, str]:
    plain = {name: value for name, value in os.environ.items() if not name.startswith("VFAX_")}
    root = str(Path(__file__).parents[2])
    path = os.pathsep.join([root, plain.get("PYTHONPATH", "")])
    quick = {"PYTHONPATH": path, "COLUMNS": "200", "VFAX_T38__PACE": "0.1", "VFAX_T38__CED": "0.3"}
    return plain | quick | {name: str(value) for name, value in more.items()}


@contextmanager
def serving(spool: Path, listen: str, **more: object) -> Iterator[str]:
    """A `vfax serve` process; gives the URI it tells to call."""
    command = [sys.executable, "-m", "vfax", "serve", "--listen", listen, "--spool", str(spool)]
    with subprocess.Popen(
        command, env=environment(**more), stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True
    ) as process:
        assert process.stdout is not None
        greeting = "".join(process.stdout.readline() for _ in range(6))
        try:
            found = re.search(r"sip:\S+", greeting)
            assert found, greeting
            yield found.group()
        finally:
            process.kill()


def send(document: Path, uri: str, **more: object) -> "subprocess.CompletedProcess[str]":
    command = [sys.executable, "-m", "vfax", "send", str(document), uri]
    return subprocess.run(command, env=environment(**more), capture_output=True, text=True, timeout=60, check=False)


@pytest.mark.realtime
def test_a_fax_travels_over_tcp(tmp_path: Path, make_document: MakeDocument) -> None:
    with serving(tmp_path / "spool", "tcp:127.0.0.1:0") as uri:
        assert uri.endswith(";transport=tcp")
        sent = send(make_document(rows=200), uri)
    assert sent.returncode == exits.OK, sent.stdout + sent.stderr


@pytest.mark.realtime
def test_a_fax_travels_over_tls_and_not_to_whom_we_do_not_believe(
    tmp_path: Path, make_document: MakeDocument, authority: Authority
) -> None:
    document = make_document(rows=200)
    certificate = authority.issue("server")
    with serving(tmp_path / "spool", "tls:127.0.0.1:0", VFAX_SIP__TLS_CERTIFICATE=certificate) as uri:
        secure = uri.replace("sip:", "sips:").partition(";")[0]
        sent = send(document, secure, VFAX_SIP__TLS_AUTHORITIES=authority.certificate)
        distrusted = send(document, secure)
    assert sent.returncode == exits.OK, sent.stdout + sent.stderr
    assert distrusted.returncode not in (exits.OK, exits.INTERNAL)
    assert "comes from an issuer we do not know" in distrusted.stdout + distrusted.stderr


@pytest.mark.realtime
def test_a_certificate_that_cannot_be_read_ends_serve_in_one_sentence(tmp_path: Path) -> None:
    nothing = tmp_path / "none.pem"
    command = [sys.executable, "-m", "vfax", "serve", "--listen", "tls:127.0.0.1:0", "--spool", str(tmp_path / "spool")]
    env = environment(VFAX_SIP__TLS_CERTIFICATE=nothing)
    ended = subprocess.run(command, env=env, capture_output=True, text=True, timeout=60, check=False)
    assert ended.returncode == exits.CANNOT_LISTEN
    assert f"no certificate can be read from {nothing}: No such file or directory" in ended.stderr
    assert "Traceback" not in ended.stderr
