"""vfax's signalling over TCP and TLS against peers that nobody here wrote: sipp, and openssl as the bare other end."""

import re
import subprocess
from collections.abc import AsyncIterator, Callable
from functools import partial
from pathlib import Path

import pytest
import trio
from PIL import Image

from tests.certs import Authority
from tests.interop.side import Fax, VfaxSide, open_vfax
from tests.interop.sipp_runner import Sipp, run_sipp
from vfax.endpoint import EndpointOptions
from vfax.leg_values import LegOptions
from vfax.outcome import Cause
from vfax.sockets import Listen
from vfax.transports.certificates import TlsOptions
from vfax.transports.sip.values import Transport

MakeFax = Callable[..., tuple[Path, list[Image.Image]]]
OPTIONS = EndpointOptions(
    listen=Listen("127.0.0.1", 0, Transport.TCP),
    listen_also=(Listen("127.0.0.1", 0),),
    leg=LegOptions(caller_retries_audio=False),
)


@pytest.fixture
async def vfax() -> AsyncIterator[VfaxSide]:
    async with open_vfax(OPTIONS) as side:
        yield side


async def receive_into(vfax: VfaxSide, target: Path, faxes: list[Fax]) -> None:
    faxes.append(await vfax.receive(target))


@pytest.mark.realtime
@pytest.mark.parametrize("mode", ["t1", "tn"])
@pytest.mark.parametrize("name", ["direct_t38", "audio_then_t38", "glare"])
async def test_sipp_calls_over_tcp(name: str, mode: str, sipp: str, vfax: VfaxSide, tmp_path: Path) -> None:
    faxes: list[Fax] = []
    async with trio.open_nursery() as nursery:
        nursery.start_soon(receive_into, vfax, tmp_path / "got.tif", faxes)
        report = await trio.to_thread.run_sync(partial(run_sipp, sipp, name, tmp_path, vfax.address, mode=mode))
        assert report.ok, str(report)
    assert faxes[0].ended.cause is Cause.PEER_HUNG_UP


@pytest.mark.realtime
@pytest.mark.parametrize("mode", ["t1", "tn"])
async def test_twenty_calls_at_once_over_tcp(mode: str, sipp: str, vfax: VfaxSide, tmp_path: Path) -> None:
    faxes: list[Fax] = []
    run = partial(run_sipp, sipp, "direct_t38", tmp_path, vfax.address, mode=mode, calls=20)
    async with trio.open_nursery() as nursery:
        for number in range(20):
            nursery.start_soon(receive_into, vfax, tmp_path / f"{number}.tif", faxes)
        report = await trio.to_thread.run_sync(run)
        assert report.ok, str(report)
    assert [fax.ended.cause for fax in faxes] == [Cause.PEER_HUNG_UP] * 20


@pytest.mark.realtime
@pytest.mark.parametrize(
    ("name", "cause", "status"),
    [
        ("uas_busy", Cause.BUSY, 486),
        ("uas_no_t38", Cause.T38_REFUSED, 488),
        ("uas_hangs_up", Cause.PEER_HUNG_UP, None),
    ],
)
async def test_vfax_calls_a_sipp_over_tcp(
    name: str, cause: Cause, status: int | None, sipp: str, vfax: VfaxSide, make_fax: MakeFax, tmp_path: Path
) -> None:
    with Sipp(sipp, name, tmp_path, mode="t1") as run:
        await trio.to_thread.run_sync(run.wait_until_listening)
        fax = await vfax.send(make_fax()[0], f"sip:fax@127.0.0.1:{run.port};transport=tcp")
        report = await trio.to_thread.run_sync(run.report)
    assert report.ok, str(report)
    assert (fax.ended.cause, fax.ended.sip_status) == (cause, status)


# --- openssl -----------------------------------------------------------------------------------------


@pytest.fixture(scope="session")
def authority(tmp_path_factory: pytest.TempPathFactory) -> Authority:
    return Authority.make(tmp_path_factory.mktemp("certificates"))


@pytest.fixture
async def secure(authority: Authority) -> AsyncIterator[VfaxSide]:
    tls = TlsOptions(certificate=authority.issue("server"), authorities=authority.certificate)
    async with open_vfax(EndpointOptions(listen=Listen("127.0.0.1", 0, Transport.TLS), tls=tls)) as side:
        yield side


def ask(address: tuple[str, int], *words: str) -> str:
    """What openssl s_client hears when it sends OPTIONS in two parts and a keep-alive."""
    client = subprocess.Popen(
        ["openssl", "s_client", "-connect", f"{address[0]}:{address[1]}", "-quiet", "-no_ign_eof", *words],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
    )
    assert client.stdin is not None
    assert client.stdout is not None
    head = (
        f"OPTIONS sip:fax@{address[0]} SIP/2.0\r\nVia: SIP/2.0/TLS 127.0.0.1:9;branch=z9hG4bKopenssl\r\n"
        "From: <sip:a@127.0.0.1>;tag=a\r\nTo: <sip:fax@127.0.0.1>\r\nCall-ID: openssl\r\n"
    )
    try:
        client.stdin.write(b"\r\n\r\n" + head.encode())
        client.stdin.flush()
        client.stdin.write(b"CSeq: 1 OPTIONS\r\nMax-Forwards: 70\r\nContent-Length: 0\r\n\r\n")
        client.stdin.flush()
        heard = b""
        while b"Content-Length: 0\r\n\r\n" not in heard and (line := client.stdout.readline()):
            heard += line
    except BrokenPipeError:
        heard = client.stdout.read()
    finally:
        client.kill()
        client.communicate()
    return heard.decode("utf-8", "replace")


@pytest.mark.realtime
@pytest.mark.parametrize("version", ["-tls1_2", "-tls1_3"])
async def test_openssl_asks_over_tls(version: str, secure: VfaxSide, authority: Authority) -> None:
    words = (version, "-CAfile", str(authority.certificate), "-verify_return_error", "-servername", "sip.test")
    heard = await trio.to_thread.run_sync(ask, secure.address, *words)
    assert "SIP/2.0 200 OK\r\n" in heard
    assert re.search(r"Contact: <sip:fax@127\.0\.0\.1:\d+;transport=tls>", heard)


def serve(certificate: Path) -> "subprocess.Popen[bytes]":
    """openssl s_server on any port."""
    return subprocess.Popen(
        ["openssl", "s_server", "-accept", "127.0.0.1:0", "-cert", str(certificate), "-naccept", "1"],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=subprocess.DEVNULL,
    )


@pytest.mark.realtime
async def test_openssl_is_called_over_tls_and_reads_the_invite(
    secure: VfaxSide, authority: Authority, make_fax: MakeFax
) -> None:
    with serve(authority.issue("peer")) as peer:
        assert peer.stdout is not None

        def read_until(word: bytes) -> bytes:
            assert peer.stdout is not None
            heard = b""
            while word not in heard and (line := peer.stdout.readline()):
                heard += line
            return heard

        accepting = await trio.to_thread.run_sync(read_until, b"ACCEPT ")
        port = int(accepting.rpartition(b":")[2])
        async with trio.open_nursery() as nursery:
            nursery.start_soon(secure.send, make_fax()[0], f"sips:fax@localhost:{port}")
            heard = await trio.to_thread.run_sync(read_until, b"User-Agent: vfax")
            nursery.cancel_scope.cancel()
        peer.kill()
    assert f"INVITE sips:fax@localhost:{port} SIP/2.0\r\n".encode() in heard
    assert b"Via: SIP/2.0/TLS 127.0.0.1:" in heard
    assert b"Contact: <sips:" in heard
