"""UDP sockets: what the system may report while reading or binding, and what becomes of it."""

import errno
import os
import socket
import struct
import sys
from collections.abc import Iterator
from typing import Any

import pytest
import trio
import trio.testing

from vfax.errors import LinkError
from vfax.transports.sip.values import Address
from vfax.transports.udp import BATCH, NOBODY, UdpSocket, _failure, address_towards, format_address


class Troubled(socket.socket):
    """A real socket whose reading fails as told before it works."""

    troubles: Iterator[int] = iter(())

    def recvfrom(self, *args: Any) -> Any:
        code = next(self.troubles, None)
        if code is not None:
            raise OSError(code, os.strerror(code))
        return super().recvfrom(*args)


def troubled(*codes: int) -> UdpSocket:
    sock = Troubled(socket.AF_INET, socket.SOCK_DGRAM)
    sock.setblocking(False)
    sock.bind(("127.0.0.1", 0))
    sock.troubles = iter(codes)
    return UdpSocket(sock)


async def test_errors_about_earlier_datagrams_are_counted_and_reading_goes_on() -> None:
    one = troubled(errno.ECONNREFUSED, errno.EHOSTUNREACH, errno.ENETDOWN, errno.ENOBUFS)
    one.send(b"x", one.address)
    assert await one.receive() == [(b"x", one.address)]
    assert one.troubles == 4
    one.close()


async def test_errors_without_end_do_not_keep_other_tasks_waiting() -> None:
    one = troubled(*[errno.ECONNRESET] * 1000)
    one.send(b"x", one.address)
    assert await one.receive() == []
    assert one.troubles == BATCH
    one.close()


async def test_broken_socket_is_a_link_error() -> None:
    one = troubled(errno.EIO)
    one.send(b"x", one.address)
    with pytest.raises(LinkError, match=r"cannot read from 127\.0\.0\.1"):
        await one.receive()
    one.close()


async def test_closing_wakes_who_reads() -> None:
    one = UdpSocket.bind("127.0.0.1", 0)
    async with trio.open_nursery() as nursery:

        async def read() -> None:
            with pytest.raises(trio.ClosedResourceError):
                await one.receive()

        nursery.start_soon(read)
        await trio.testing.wait_all_tasks_blocked()
        one.close()


@pytest.mark.parametrize(
    ("host", "port", "why"),
    [
        ("pbx", 0, "not an IPv4 or IPv6 address"),
        ("127.0.0.1", 70000, "port"),
        ("192.0.2.1", 0, "Cannot assign requested address"),
    ],
)
def test_address_that_cannot_be_bound_is_named(host: str, port: int, why: str) -> None:
    with pytest.raises(LinkError, match=why):
        UdpSocket.bind(host, port)


async def test_port_that_is_taken_is_named() -> None:
    one = UdpSocket.bind("127.0.0.1", 0)
    with pytest.raises(LinkError, match=f"127.0.0.1:{one.address[1]}: Address already in use"):
        UdpSocket.bind(*one.address)
    one.close()


async def test_datagram_that_cannot_leave_is_counted() -> None:
    one = UdpSocket.bind("127.0.0.1", 0)
    for host, port in (("::1", 9), ("127.0.0.1", 70000), ("a..b", 9), ("127.0.0.1", 0)):
        one.send(b"x", (host, port))
    one.send(bytes(70000), one.address)
    assert one.dropped == 5
    one.close()


linux_alone = pytest.mark.skipif(sys.platform != "linux", reason="only Linux tells of ICMP")


@linux_alone
@pytest.mark.parametrize("host", ["127.0.0.1", "::1"])
async def test_datagram_that_nobody_takes_comes_back(host: str) -> None:
    if host == "::1" and not speaks_ipv6():
        pytest.skip("this machine has no IPv6")
    told: list[tuple[bytes, Address, str]] = []
    one, other, gone = (UdpSocket.bind(host, 0) for _ in range(3))
    gone.close()
    one.hear_errors(lambda *what: told.append(what))
    one.send(b"INVITE", gone.address)
    with trio.fail_after(5):
        assert await one.receive() == []
    assert told == [(b"INVITE", gone.address, NOBODY)]
    one.send(b"lost", gone.address)  # the next one to somebody else is not mistaken for it
    await trio.sleep(0.02)
    one.send(b"good", other.address)
    with trio.fail_after(5):
        assert await other.receive() == [(b"good", one.address)]
    assert [octets for octets, _, _ in told] == [b"INVITE", b"lost"]
    assert one.dropped == 0
    other.send(b"and on", one.address)
    with trio.fail_after(5):
        assert await one.receive() == [(b"and on", other.address)]
    one.close()
    other.close()


async def test_datagram_that_the_system_refuses_is_told_at_once() -> None:
    told: list[tuple[bytes, Address, str]] = []
    one = UdpSocket.bind("127.0.0.1", 0)
    one.hear_errors(lambda *what: told.append(what))
    one.send(b"x", ("255.255.255.255", 9))  # a broadcast that nobody allowed
    one.send(bytes(70000), one.address)
    assert [(len(octets), why) for octets, _, why in told] == [(1, "Permission denied"), (70000, "Message too long")]
    one.close()


@pytest.mark.parametrize(
    ("origin", "icmp", "code", "number", "why"),
    [
        (2, 3, 3, errno.ECONNREFUSED, NOBODY),
        (2, 3, 1, errno.EHOSTUNREACH, os.strerror(errno.EHOSTUNREACH)),
        (3, 1, 4, errno.ECONNREFUSED, NOBODY),
        (2, 3, 4, errno.EMSGSIZE, ""),  # sent in pieces from then on
        (2, 11, 0, errno.EHOSTUNREACH, ""),  # time exceeded: RFC 3261 18.4
        (3, 2, 0, errno.EMSGSIZE, ""),
        (1, 0, 0, errno.EMSGSIZE, ""),  # our own system's: `send` has said so
    ],
)
def test_only_some_icmp_messages_tell_of_a_failure(origin: int, icmp: int, code: int, number: int, why: str) -> None:
    octets = struct.pack("=IBBBBII", number, origin, icmp, code, 0, 0, 0)
    assert _failure([(socket.IPPROTO_IP, 11, octets)]) == why
    assert _failure([(socket.SOL_SOCKET, 1, octets), (socket.IPPROTO_IP, 11, b"")]) == ""


def speaks_ipv6() -> bool:
    try:
        with socket.socket(socket.AF_INET6, socket.SOCK_DGRAM) as probe:
            probe.bind(("::1", 0))
    except OSError:
        return False
    return True


async def test_ipv6_socket_hears_ipv6_only() -> None:
    if not speaks_ipv6():  # then the refusal must be ours, with the address in it
        with pytest.raises(LinkError, match="::1"):
            UdpSocket.bind("::1", 0)
        return
    one = UdpSocket.bind("::", 0)
    other = UdpSocket.bind("0.0.0.0", one.address[1])  # free: "::" did not take it
    one.send(b"x", ("::1", one.address[1]))
    assert await one.receive() == [(b"x", ("::1", one.address[1]))]
    one.close()
    other.close()


def test_addresses_are_written_as_in_uris() -> None:
    assert format_address(("::1", 5060)) == "[::1]:5060"
    assert format_address(("127.0.0.1", 5060)) == "127.0.0.1:5060"
    assert address_towards(("127.0.0.1", 9)) == "127.0.0.1"
