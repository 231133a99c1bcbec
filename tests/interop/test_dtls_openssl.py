"""UDPTL over DTLS with a peer that nobody here wrote: openssl s_client and s_server, in real time.

Both ends show certificates. One UDPTL datagram goes each way, of the vectors that libspandsp and Wireshark agree on.
"""

import hashlib
import json
import os
import shutil
import ssl
import subprocess
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any, Final

import pytest
import trio

from vfax.transports.dtls import Association, DtlsOptions, HandshakeFailed, SecureSocket
from vfax.transports.dtls_identity import DtlsIdentity
from vfax.transports.parameters import DtlsTrouble
from vfax.transports.sip.secure import DtlsMedia, Fingerprint
from vfax.transports.sip.values import Address
from vfax.transports.udp import UdpSocket

pytestmark = pytest.mark.realtime

HOST: Final = "127.0.0.1"
OPENSSL: Final = shutil.which("openssl") or "openssl"
VECTORS: Final[list[dict[str, Any]]] = json.loads(
    (Path(__file__).parents[1] / "data" / "t38_vectors.json").read_text("utf-8")
)
DATAGRAMS: Final = {v["name"]: bytes.fromhex(v["hex"]) for v in VECTORS if v["kind"] == "udptl"}
OUT: Final = DATAGRAMS["udptl-fec-span3-entries3-seq9"]
IN: Final = next(one for name, one in DATAGRAMS.items() if "redundancy" in name or "red" in name)


@pytest.fixture(scope="module", params=["ec", "rsa"])
def theirs(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, Path, Fingerprint]:
    """Their certificate and key, made by openssl, and its fingerprint as openssl prints it."""
    folder = tmp_path_factory.mktemp(request.param)
    key, certificate = folder / "key.pem", folder / "certificate.pem"
    kind = ["ec", "-pkeyopt", "ec_paramgen_curve:prime256v1"] if request.param == "ec" else ["rsa:2048"]
    files = ["-keyout", str(key), "-out", str(certificate)]
    make = [OPENSSL, "req", "-x509", "-newkey", *kind, "-nodes", "-subj", "/CN=peer", "-days", "2", *files]
    subprocess.run(make, check=True, capture_output=True)
    printed = subprocess.run(
        [OPENSSL, "x509", "-in", str(certificate), "-noout", "-fingerprint", "-sha256"], check=True, capture_output=True
    )
    value = printed.stdout.decode().strip().partition("=")[2]
    fingerprint = Fingerprint("sha-256", bytes.fromhex(value.replace(":", "")))
    der = ssl.PEM_cert_to_DER_cert(certificate.read_text())
    assert fingerprint.digest == hashlib.sha256(der).digest()
    return certificate, key, fingerprint


class Ours:
    """Our end."""

    def __init__(self) -> None:
        self.identity = DtlsIdentity.make()
        self.socket = SecureSocket.bind(HOST, 0)
        self.socket.arm(self.identity, DtlsOptions(handshake=5.0))
        self.made: Association | None = None
        self.failure: HandshakeFailed | None = None
        self.up, self.over, self.came = trio.Event(), trio.Event(), trio.Event()
        self.heard: list[bytes] = []

    async def run(self) -> None:
        async with trio.open_nursery() as nursery:
            nursery.start_soon(self._read)
            try:
                await self.socket.run_secure(self._take, self._made)
            except HandshakeFailed as why:
                self.failure = why
            nursery.cancel_scope.cancel()
        self.over.set()

    async def _read(self) -> None:
        while True:
            await self.socket.receive()

    def _made(self, made: Association) -> None:
        self.made = made
        self.up.set()

    def _take(self, datagram: bytes, source: Address) -> None:
        self.heard.append(datagram)
        self.came.set()


@asynccontextmanager
async def openssl(*arguments: str | Path) -> AsyncIterator[trio.Process]:
    process = await trio.lowlevel.open_process(
        [OPENSSL, *map(str, arguments)], stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.STDOUT
    )
    try:
        yield process
    finally:
        process.kill()
        await process.wait()
        for end in (process.stdin, process.stdout):
            if end is not None:
                await end.aclose()


async def read_until(process: trio.Process, wanted: bytes) -> bytes:
    """What it has printed, once `wanted` is in it."""
    assert process.stdout is not None
    seen = b""
    while wanted not in seen:
        more = await process.stdout.receive_some(4096)
        assert more, seen.decode("ascii", "replace")
        seen += more
    return seen


async def free_port() -> int:
    probe = UdpSocket.bind(HOST, 0)
    port = probe.address[1]
    probe.close()
    return port


async def until_bound(port: int) -> None:
    """Until a server listens there: what comes before that is lost, and a second passes to the next try."""
    with trio.fail_after(10.0):
        while f":{port:04X} " not in Path("/proc/net/udp").read_text("ascii"):  # noqa: ASYNC110, ASYNC240
            await trio.sleep(0.01)


async def exchange(ours: Ours, process: trio.Process, remote: Address) -> None:
    """One datagram each way: what openssl reads it sends, what comes it prints."""
    with trio.fail_after(10.0):
        await ours.up.wait()
        ours.socket.send(OUT, remote)
        await read_until(process, OUT)
        assert process.stdin is not None
        await process.stdin.send_all(IN)
        await ours.came.wait()
    assert ours.heard == [IN]


MANDATORY: Final = ["ECDHE-RSA-AES128-GCM-SHA256", "DHE-RSA-AES128-GCM-SHA256"]
"""The cipher suites that RFC 7345 4.1 wants of everybody, by OpenSSL's names: for some peer they may be all it has."""


@pytest.mark.parametrize("cipher", [*MANDATORY, "ECDHE+CHACHA20", "ECDHE+AES256", "ECDHE+AES128:@SECLEVEL=1"])
async def test_we_let_openssl_begin(theirs: tuple[Path, Path, Fingerprint], cipher: str) -> None:
    certificate, key, fingerprint = theirs
    ours = Ours()
    ours.socket.expect_secure((HOST, 9), DtlsMedia(active=False, fingerprints=(fingerprint,)))
    where = f"{HOST}:{ours.socket.address[1]}"
    async with trio.open_nursery() as nursery:
        nursery.start_soon(ours.run)
        arguments = ("-quiet", "-connect", where, "-cert", certificate, "-key", key, "-cipher", cipher)
        async with openssl("s_client", "-dtls1_2", *arguments) as process:
            await exchange(ours, process, (HOST, 9))
        assert ours.made is not None
        assert (ours.made.version, ours.made.fingerprint) == ("DTLSv1.2", fingerprint)
        assert ours.made.cipher == cipher or cipher not in MANDATORY
        nursery.cancel_scope.cancel()
    ours.socket.close()


@pytest.mark.parametrize(
    ("theirs", "cipher"),
    [("ec", "DEFAULT"), ("rsa", "DEFAULT"), *(("rsa", cipher) for cipher in MANDATORY)],
    indirect=["theirs"],
)
async def test_we_begin_with_openssl(theirs: tuple[Path, Path, Fingerprint], cipher: str) -> None:
    certificate, key, fingerprint = theirs
    ours, port = Ours(), await free_port()
    where = ("-accept", f"{HOST}:{port}", "-cert", certificate, "-key", key, "-cipher", cipher)
    async with openssl("s_server", "-dtls1_2", "-quiet", "-Verify", "1", *where) as process:
        await until_bound(port)
        ours.socket.expect_secure((HOST, port), DtlsMedia(active=True, fingerprints=(fingerprint,)))
        async with trio.open_nursery() as nursery:
            nursery.start_soon(ours.run)
            await exchange(ours, process, (HOST, port))
            ours.socket.end_stream()
            with trio.fail_after(5.0):
                await ours.over.wait()
        assert ours.made is not None
        assert (ours.made.remote, ours.made.fingerprint) == ((HOST, port), fingerprint)
    ours.socket.close()


async def test_openssl_is_told_that_its_certificate_is_not_the_one(theirs: tuple[Path, Path, Fingerprint]) -> None:
    certificate, key, fingerprint = theirs
    ours, port = Ours(), await free_port()
    named = Fingerprint("sha-256", os.urandom(32))
    where = ("-accept", f"{HOST}:{port}", "-cert", certificate, "-key", key)
    async with openssl("s_server", "-dtls1_2", "-Verify", "1", *where) as process:
        await until_bound(port)
        ours.socket.expect_secure((HOST, port), DtlsMedia(active=True, fingerprints=(named,)))
        with trio.fail_after(10.0):
            await ours.run()
            printed = await read_until(process, b"alert")
    assert b"alert" in printed
    assert ours.failure is not None
    assert ours.failure.trouble is DtlsTrouble.MISMATCH
    assert fingerprint.short in str(ours.failure)
    assert named.short in str(ours.failure)
    ours.socket.close()


async def test_openssl_without_a_certificate_is_refused() -> None:
    ours = Ours()
    ours.socket.expect_secure((HOST, 9), DtlsMedia(active=False, fingerprints=(Fingerprint("sha-256", bytes(32)),)))
    async with trio.open_nursery() as nursery:
        nursery.start_soon(ours.run)
        async with openssl("s_client", "-dtls1_2", "-connect", f"{HOST}:{ours.socket.address[1]}"):
            with trio.fail_after(10.0):
                await ours.over.wait()
    assert ours.failure is not None
    assert (ours.failure.trouble, ours.made) == (DtlsTrouble.FAILED, None)
    ours.socket.close()


async def test_openssl_with_dtls_1_0_alone_is_refused_with_a_word_on_the_version(
    theirs: tuple[Path, Path, Fingerprint],
) -> None:
    certificate, key, fingerprint = theirs
    ours = Ours()
    ours.socket.expect_secure((HOST, 9), DtlsMedia(active=False, fingerprints=(fingerprint,)))
    where = ("-connect", f"{HOST}:{ours.socket.address[1]}", "-cert", certificate, "-key", key)
    async with trio.open_nursery() as nursery:
        nursery.start_soon(ours.run)
        async with openssl("s_client", "-dtls1", "-cipher", "ALL:@SECLEVEL=0", *where):
            with trio.fail_after(10.0):
                await ours.over.wait()
    assert ours.failure is not None
    assert ours.failure.trouble is DtlsTrouble.FAILED
    assert "no DTLS version in common" in str(ours.failure)
    ours.socket.close()
