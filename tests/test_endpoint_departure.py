"""Before the call: ports and sockets for it, names that lead somewhere, what cannot be called at all."""

import os
import resource
import socket
import sys
from pathlib import Path
from typing import Any

import pytest
import trio
from trio.testing import MockClock

from tests.endpoint_peer import (
    ANY_PORT,
    Host,
    Peer,
    endpoint,
    lines,
    make_page,
    open_files,
    open_sockets,
    request,
    still_serves,
)
from vfax.errors import DocumentError, LinkError
from vfax.leg import LegOptions
from vfax.outcome import Cause, Outcome
from vfax.transports.sip.account import NO_ACCOUNT
from vfax.transports.udp import UdpSocket, address_towards


async def test_call_without_a_free_media_port_is_refused_with_a_reason(tmp_path: Path) -> None:
    async with trio.open_nursery() as nursery:
        host = Host(tmp_path, nursery)
        blocker = UdpSocket.bind_even("127.0.0.1", [0] * 64)
        port = blocker.address[1]
        async with (
            endpoint(host.on_call, media_ports=(port, port), journal=tmp_path) as one,
            Peer(towards=one.address).open() as peer,
        ):
            peer.request("INVITE", peer.media.offer_t38())
            await peer.hear("SIP/2.0 503")
            await host.ended.wait()
            assert await still_serves(one)
        blocker.close()
    assert host.outcomes[0].cause is Cause.LINE_UNAVAILABLE
    assert "no free media port" in host.outcomes[0].sentence


async def test_media_port_is_not_used_again_at_once() -> None:
    low = UdpSocket.bind_even("127.0.0.1", [0] * 64)
    port = low.address[1]
    low.close()
    async with endpoint(media_ports=(port, port + 40)) as one:
        first, _ = await one.open_media(("127.0.0.1", 5060), NO_ACCOUNT, LegOptions())
        first.close()
        second, _ = await one.open_media(("127.0.0.1", 5060), NO_ACCOUNT, LegOptions())
        second.close()
    assert first.address != second.address


async def test_peer_that_no_route_leads_to_costs_no_socket() -> None:
    async with endpoint(listen=("0.0.0.0", 0)) as one:
        sockets = open_sockets()
        with pytest.raises(LinkError):
            await one.open_media(("255.255.255.255", 9), NO_ACCOUNT, LegOptions())
        assert open_sockets() == sockets


async def test_running_out_of_files_is_a_link_error() -> None:
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    first = os.open(os.devnull, os.O_RDONLY)
    os.close(first)
    resource.setrlimit(resource.RLIMIT_NOFILE, (first, hard))
    try:
        with pytest.raises(LinkError, match="cannot listen"):
            UdpSocket.bind("127.0.0.1", 0)
        with pytest.raises(LinkError, match="Too many open files"):
            address_towards(("127.0.0.1", 9))
    finally:
        resource.setrlimit(resource.RLIMIT_NOFILE, (soft, hard))


@pytest.mark.parametrize(
    "uri",
    [
        "sip:1@127.0.0.1?Subject=x",
        "sip:1@127.0.0.1;transport=sctp",
        "not a uri",
        "sip:1@a..b",
        "sip:1@no-such-host.invalid",
        "sip:",
    ],
)
async def test_destination_that_cannot_be_called_is_an_outcome(uri: str, tmp_path: Path) -> None:
    document = tmp_path / "document.tif"
    make_page(document)
    trio.socket.set_custom_hostname_resolver(Nowhere())
    async with endpoint(journal=tmp_path) as one:
        outcome = await one.outbound().send(request(document, ANY_PORT, uri), publish=lambda event: None)
        assert one.counters.bugs == 0
    assert outcome.cause is Cause.BAD_ADDRESS
    assert not open_files(tmp_path)


class Nowhere(trio.abc.HostnameResolver):
    """A resolver that knows no name."""

    async def getaddrinfo(self, host: Any, port: Any, family: int = 0, *rest: Any) -> Any:
        bytes(host) if isinstance(host, bytes) else host.encode("idna")
        raise socket.gaierror(socket.EAI_NONAME, "Name or service not known")

    async def getnameinfo(self, sockaddr: Any, flags: int) -> Any:
        raise AssertionError("nobody asks")


class Slow(Nowhere):
    """A resolver that never answers."""

    async def getaddrinfo(self, host: Any, port: Any, family: int = 0, *rest: Any) -> Any:
        await trio.sleep_forever()


@pytest.mark.skipif(sys.platform != "linux", reason="only Linux tells of ICMP")
async def test_call_to_where_nobody_listens_ends_at_once_and_the_operator_hears_of_it_once(tmp_path: Path) -> None:
    document = tmp_path / "document.tif"
    make_page(document)
    async with Peer().open() as peer:
        host, port = peer.address
    async with endpoint() as one:
        with trio.fail_after(5):  # nobody who says nothing takes 32 s
            for _ in range(3):
                wanted = request(document, ANY_PORT, f"sip:1@{host}:{port}")
                outcome = await one.outbound().send(wanted, publish=lambda event: None)
                assert f"{host}:{port} cannot be reached over UDP: nobody listens there" in outcome.sentence
        assert list(one.notices) == [f"{host}:{port} cannot be reached over UDP: nobody listens there"]


async def test_abort_does_not_wait_for_a_slow_resolver(tmp_path: Path, fax_clock: MockClock) -> None:
    document = tmp_path / "document.tif"
    make_page(document)
    trio.socket.set_custom_hostname_resolver(Slow())
    async with endpoint(journal=tmp_path) as one, trio.open_nursery() as nursery:
        outgoing, outcomes = one.outbound(), list[Outcome]()

        async def send() -> None:
            wanted = request(document, ANY_PORT, "sip:1@slow.example")
            outcomes.append(await outgoing.send(wanted, publish=lambda event: None))

        nursery.start_soon(send)
        await trio.sleep(1.0)
        outgoing.abort()
        with trio.fail_after(1.0):
            while not outcomes:  # noqa: ASYNC110  # an abort is over within a second
                await trio.sleep(0.05)
    assert outcomes[0].cause is Cause.ABORTED
    assert not open_files(tmp_path)


async def test_name_is_resolved_to_an_address_that_our_socket_reaches(tmp_path: Path) -> None:
    class Both(Nowhere):
        async def getaddrinfo(self, host: Any, port: Any, family: int = 0, *rest: Any) -> Any:
            found = [(socket.AF_INET6, ("::1", port, 0, 0)), (socket.AF_INET, ("127.0.0.1", port))]
            return [(kind, socket.SOCK_DGRAM, 17, "", name) for kind, name in found if family in (0, kind)]

    document = tmp_path / "document.tif"
    make_page(document)
    trio.socket.set_custom_hostname_resolver(Both())
    async with endpoint() as one, Peer().open() as peer, trio.open_nursery() as nursery:
        wanted = request(document, ANY_PORT, f"sip:1@both.example:{peer.address[1]}")
        outgoing = one.outbound()

        async def send() -> None:
            await outgoing.send(wanted, publish=lambda event: None)

        nursery.start_soon(send)
        with trio.fail_after(5):
            await peer.hear("INVITE")
        nursery.cancel_scope.cancel()


class Here(Nowhere):
    """A resolver that finds every name on this machine."""

    async def getaddrinfo(self, host: Any, port: Any, family: int = 0, *rest: Any) -> Any:
        return [(socket.AF_INET, socket.SOCK_DGRAM, 17, "", ("127.0.0.1", port))]


@pytest.mark.parametrize("resolver", [Here(), Slow(), Nowhere()], ids=["found", "silent", "unknown"])
async def test_goodbye_goes_where_the_name_of_a_contact_leads_and_is_never_lost(
    resolver: Nowhere, tmp_path: Path
) -> None:
    trio.socket.set_custom_hostname_resolver(resolver)
    async with trio.open_nursery() as nursery:
        host = Host(tmp_path, nursery)
        async with (
            endpoint(host.on_call, journal=tmp_path, goodbye=0.05) as one,
            Peer(towards=one.address).open() as peer,
            Peer().open() as elsewhere,
        ):
            peer.contact = f"<sip:2@pbx.example:{elsewhere.address[1]}>"
            await peer.ring_and_answer(peer.media.offer_audio())
            await still_serves(one)
            await trio.sleep(0.1)
            host.calls[0].abort()
            await (elsewhere if isinstance(resolver, Here) else peer).hear("BYE")
            nursery.cancel_scope.cancel()


async def test_document_that_cannot_be_sent_leaves_no_open_journal(tmp_path: Path) -> None:
    async with endpoint(journal=tmp_path) as one:
        with pytest.raises(DocumentError):
            await one.outbound().send(request(tmp_path / "none.tif", ANY_PORT), publish=lambda event: None)
        one.outbound()  # and never sent: nothing is opened
        assert not open_files(tmp_path)
    assert lines(tmp_path)[-1]["cause"] == "document"
