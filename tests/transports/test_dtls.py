"""The DTLS association of a media socket: made in spite of losses, with the right peer alone, and ended in order.

Virtual time jumps when every task waits; datagrams over Linux's loopback interface are there before the sender's call
returns, so a handshake takes what its retransmissions take.
"""

import random
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from dataclasses import replace
from pathlib import Path

import pytest
import trio
from trio.testing import MockClock

from vfax.errors import LinkError, MisuseError
from vfax.transports.dtls import GRACE, Association, DtlsOptions, HandshakeFailed, SecureSocket
from vfax.transports.dtls_identity import DtlsIdentity
from vfax.transports.dtls_record import is_client_hello, looks_like_dtls
from vfax.transports.dtls_wire import DROPPED, Wire
from vfax.transports.parameters import DtlsTrouble
from vfax.transports.sip.secure import DtlsMedia, Fingerprint
from vfax.transports.sip.values import Address
from vfax.transports.udp import UdpSocket

HOST = "127.0.0.1"
STRANGE: Address = ("127.0.0.2", 0)
OPTIONS = DtlsOptions()
ONE, OTHER, THIRD = DtlsIdentity.make(), DtlsIdentity.make(), DtlsIdentity.make()


@pytest.fixture
def autojump_clock() -> MockClock:
    return MockClock(autojump_threshold=0)


class End:
    """One end: its socket, what it made of the association, what came."""

    def __init__(self, identity: DtlsIdentity, options: DtlsOptions = OPTIONS, host: str = HOST) -> None:
        self.socket = SecureSocket.bind(host, 0)
        self.socket.arm(identity, options)
        self.identity = identity
        self.heard: list[tuple[bytes, Address]] = []
        self.in_clear: list[bytes] = []
        self.made: Association | None = None
        self.failure: LinkError | None = None
        self.up, self.over = trio.Event(), trio.Event()
        self._more = trio.Event()

    @property
    def address(self) -> Address:
        return self.socket.address

    def expect(self, remote: Address, *theirs: Fingerprint, active: bool, anyone: bool = False) -> None:
        self.socket.expect_secure(remote, DtlsMedia(active=active, fingerprints=theirs), anyone=anyone)

    async def run(self) -> None:
        async with trio.open_nursery() as nursery:
            nursery.start_soon(self._read)
            try:
                await self.socket.run_secure(self._take, self._made)
            except LinkError as why:
                self.failure = why
            nursery.cancel_scope.cancel()
        self.over.set()

    async def _read(self) -> None:
        while True:
            self.in_clear += [datagram for datagram, _ in await self.socket.receive()]

    def _made(self, made: Association) -> None:
        self.made = made
        self.up.set()

    def _take(self, datagram: bytes, source: Address) -> None:
        self.heard.append((datagram, source))
        self._more.set()

    async def until(self, count: int) -> list[bytes]:
        while len(self.heard) < count:
            self._more = trio.Event()
            await self._more.wait()
        return [datagram for datagram, _ in self.heard]

    @property
    def trouble(self) -> DtlsTrouble:
        assert isinstance(self.failure, HandshakeFailed), self.failure
        return self.failure.trouble


@asynccontextmanager
async def ends(options: DtlsOptions = OPTIONS) -> AsyncIterator[tuple[End, End]]:
    """Two ends that may talk; what of them runs is cancelled at last."""
    one, other = End(ONE, options), End(OTHER, options)
    try:
        yield one, other
    finally:
        one.socket.close()
        other.socket.close()


@asynccontextmanager
async def running(*all_of: End) -> AsyncIterator[trio.Nursery]:
    with trio.fail_after(120.0):
        async with trio.open_nursery() as nursery:
            for one in all_of:
                nursery.start_soon(one.run)
            yield nursery
            nursery.cancel_scope.cancel()


class Relay:
    """Passes datagrams between two addresses with a fate for each: how late it comes, once, twice or never."""

    def __init__(self, one: Address, other: Address, fate: Callable[[bytes, bool], tuple[float, ...]]) -> None:
        self.near, self.far = UdpSocket.bind(HOST, 0), UdpSocket.bind(HOST, 0)  # `near` is what `one` talks to
        self._one, self._other, self.fate = one, other, fate

    async def run(self) -> None:
        async with trio.open_nursery() as nursery:
            nursery.start_soon(self._pass, nursery, self.near, self.far, True)
            nursery.start_soon(self._pass, nursery, self.far, self.near, False)

    async def _pass(self, nursery: trio.Nursery, inside: UdpSocket, outside: UdpSocket, there: bool) -> None:
        while True:
            for datagram, _ in await inside.receive():
                for late in self.fate(datagram, there):
                    nursery.start_soon(self._deliver, outside, datagram, self._other if there else self._one, late)

    @staticmethod
    async def _deliver(outside: UdpSocket, datagram: bytes, to: Address, late: float) -> None:
        await trio.sleep(late)
        outside.send(datagram, to)

    def close(self) -> None:
        self.near.close()
        self.far.close()


# --- made ----------------------------------------------------------------------------------------


async def test_both_ends_prove_who_they_are_and_datagrams_go_both_ways(autojump_clock: MockClock) -> None:
    async with ends() as (one, other), running() as nursery:
        one.expect(other.address, *OTHER.fingerprints, active=True)
        other.expect(one.address, *ONE.fingerprints, active=False)
        nursery.start_soon(one.run)
        nursery.start_soon(other.run)
        await one.up.wait()
        await other.up.wait()
        for number in range(50):
            one.socket.send(b"there %d" % number, other.address)
            other.socket.send(b"back %d" % number + bytes(1380), one.address)
        assert await other.until(50) == [b"there %d" % number for number in range(50)]
        assert await one.until(50) == [b"back %d" % number + bytes(1380) for number in range(50)]
        assert {source for _, source in one.heard} == {other.address}
    assert one.made is not None
    assert (one.made.remote, one.made.version) == (other.address, "DTLSv1.2")
    assert one.made.fingerprint == OTHER.fingerprints[0]
    assert "GCM" in one.made.cipher
    assert other.made is not None
    assert other.made.fingerprint == ONE.fingerprints[0]


async def test_a_client_hello_that_is_faster_than_its_sdp_is_kept(autojump_clock: MockClock) -> None:
    async with ends() as (one, other):
        one.expect(other.address, *OTHER.fingerprints, active=True)
        async with running(one):
            await trio.sleep(0.1)
            await trio.testing.wait_all_tasks_blocked()
            early = await other.socket.receive()
            assert early == []  # it is not for the fax
            other.expect(one.address, *ONE.fingerprints, active=False)
            async with running(other):
                start = trio.current_time()
                await one.up.wait()
                assert trio.current_time() - start < OPTIONS.retransmit


@pytest.mark.parametrize("active", [True, False])
@pytest.mark.parametrize("seed", range(20))
async def test_a_quarter_of_the_handshake_may_be_lost_doubled_or_late(
    autojump_clock: MockClock, seed: int, active: bool
) -> None:
    print("seed", seed)
    dice = {there: random.Random(f"{seed}/{active}/{there}") for there in (True, False)}  # whoever of both is first

    def fate(datagram: bytes, there: bool) -> tuple[float, ...]:
        own = dice[there]
        if not looks_like_dtls(datagram):
            return (0.0,)
        if own.random() < 0.25:
            return ()
        return tuple(own.uniform(0.0, 0.08) for _ in range(own.choice((1, 1, 1, 2))))

    async with ends() as (one, other):
        relay = Relay(one.address, other.address, fate)
        one.expect(relay.near.address, *OTHER.fingerprints, active=active)
        other.expect(relay.far.address, *ONE.fingerprints, active=not active)
        async with running(one, other) as nursery:
            nursery.start_soon(relay.run)
            await one.up.wait()
            await other.up.wait()
            while not (one.heard and other.heard):  # and what it protects arrives
                one.socket.send(b"there", other.address)
                other.socket.send(b"back", one.address)
                await trio.sleep(0.02)
        relay.close()
    assert {datagram for datagram, _ in one.heard} == {b"back"}
    assert {datagram for datagram, _ in other.heard} == {b"there"}


async def test_handshakes_fit_the_smallest_datagrams(autojump_clock: MockClock) -> None:
    largest = 0

    def fate(datagram: bytes, there: bool) -> tuple[float, ...]:
        nonlocal largest
        largest = max(largest, len(datagram))
        return (0.01,)

    async with ends(replace(OPTIONS, mtu=256)) as (one, other):
        relay = Relay(one.address, other.address, fate)
        one.expect(relay.near.address, *OTHER.fingerprints, active=True)
        other.expect(relay.far.address, *ONE.fingerprints, active=False)
        async with running(one, other) as nursery:
            nursery.start_soon(relay.run)
            await one.up.wait()
            await other.up.wait()
        relay.close()
    assert largest <= 256


async def test_a_finished_that_trio_would_take_for_a_hello_comes_through(autojump_clock: MockClock) -> None:
    media = UdpSocket.bind(HOST, 0)
    wire = Wire(media, 4)
    finished = bytes.fromhex("16fefd00010000000000000004") + b"\x01abc"
    assert wire.feed(finished, STRANGE)
    assert await wire.recvfrom(100) == (DROPPED + finished, STRANGE)
    hello = bytes.fromhex("16fefd00000000000000000004") + b"\x01abc"
    assert wire.feed(hello, STRANGE)
    assert await wire.recvfrom(100) == (hello, STRANGE)
    wire.close()
    media.close()


async def test_the_record_that_goes_before_it_is_passed_over(autojump_clock: MockClock) -> None:
    async with ends(replace(OPTIONS, mtu=548)) as (one, other):
        relay = Relay(one.address, other.address, lambda datagram, there: ())

        def prefixed(datagram: bytes, there: bool) -> tuple[float, ...]:
            outside, to = (relay.far, other.address) if there else (relay.near, one.address)
            outside.send(datagram if is_client_hello(datagram) else DROPPED + datagram, to)
            return ()

        relay.fate = prefixed
        one.expect(relay.near.address, *OTHER.fingerprints, active=True)
        other.expect(relay.far.address, *ONE.fingerprints, active=False)
        async with running(one, other) as nursery:
            nursery.start_soon(relay.run)
            await one.up.wait()
            await other.up.wait()
            one.socket.send(b"fax", other.address)
            assert await other.until(1) == [b"fax"]
        relay.close()


async def test_over_ipv6(autojump_clock: MockClock) -> None:
    one, other = End(ONE, host="::1"), End(OTHER, host="::1")
    one.expect(other.address, *OTHER.fingerprints, active=True)
    other.expect(one.address, *ONE.fingerprints, active=False)
    async with running(one, other):
        await one.up.wait()
        one.socket.send(b"fax", other.address)
        assert await other.until(1) == [b"fax"]
    one.socket.close()
    other.socket.close()


# --- with whom -----------------------------------------------------------------------------------


@pytest.mark.parametrize("wrong_end", ["the one that begins", "the other"])
async def test_a_wrong_certificate_ends_it_at_once_and_both_fingerprints_are_said(
    autojump_clock: MockClock, wrong_end: str
) -> None:
    async with ends() as (one, other):
        wrong = THIRD.fingerprints
        one.expect(other.address, *(wrong if wrong_end == "the other" else OTHER.fingerprints), active=True)
        other.expect(one.address, *(wrong if wrong_end != "the other" else ONE.fingerprints), active=False)
        start = trio.current_time()
        async with running(one, other):
            await one.over.wait()
            await other.over.wait()
        assert trio.current_time() - start < 2.0
    liar, judge = (other, one) if wrong_end == "the other" else (one, other)
    assert judge.trouble is DtlsTrouble.MISMATCH
    shown, named = liar.identity.fingerprints[0].short, wrong[0].short
    assert str(judge.failure) == (
        f"127.0.0.1:{liar.address[1]} showed a certificate with {shown}, and its SDP names {named}"
    )
    assert liar.trouble is DtlsTrouble.FAILED
    assert "our certificate is not the one that our SDP names" in str(liar.failure)
    assert (one.made, other.made) == (None, None)


async def test_several_fingerprints_one_of_which_fits(autojump_clock: MockClock) -> None:
    async with ends() as (one, other):
        one.expect(other.address, *THIRD.fingerprints, *OTHER.fingerprints, active=True)
        other.expect(one.address, *ONE.fingerprints, active=False)
        async with running(one, other):
            await one.up.wait()


async def test_whom_sdp_does_not_name_gets_no_answer(autojump_clock: MockClock) -> None:
    async with ends() as (one, other):
        stranger = End(OTHER, host=STRANGE[0])
        other.expect(one.address, *ONE.fingerprints, active=False)
        stranger.expect(other.address, *OTHER.fingerprints, active=True)
        async with running(other, stranger):
            await stranger.over.wait()
        assert stranger.trouble is DtlsTrouble.SILENT
        assert other.socket.troubles > 0
        stranger.socket.close()


async def test_behind_nat_the_first_who_proves_himself_is_it_and_strangers_keep_nobody_away(
    autojump_clock: MockClock,
) -> None:
    async with ends() as (one, _):
        peer, strangers = End(OTHER, host="127.0.0.3"), [End(THIRD, host=STRANGE[0]) for _ in range(10)]
        one.expect(("192.0.2.9", 4000), *OTHER.fingerprints, active=False, anyone=True)
        for each in (peer, *strangers):
            each.expect(one.address, *ONE.fingerprints, active=True)
        async with running(one, *strangers) as nursery:
            await trio.sleep(3.0)
            nursery.start_soon(peer.run)
            await one.up.wait()
            one.socket.send(b"fax", ("192.0.2.9", 4000))
            assert await peer.until(1) == [b"fax"]
        assert one.made is not None
        assert one.made.remote == peer.address
        for each in (peer, *strangers):
            each.socket.close()


async def test_who_is_to_begin_is_invited_by_what_is_no_dtls(autojump_clock: MockClock) -> None:
    async with ends() as (one, _):
        peer = UdpSocket.bind(HOST, 0)
        one.expect(peer.address, *OTHER.fingerprints, active=False)
        async with running(one):
            for _ in range(3):
                ((opening, source),) = await peer.receive()
                assert source == one.address
                # a STUN Binding indication
                assert (opening[:2], opening[4:8], len(opening)) == (b"\0\x11", b"\x21\x12\xa4\x42", 20)
        peer.close()


async def test_a_new_hello_of_whoever_it_is_does_not_end_what_is_made(autojump_clock: MockClock) -> None:
    hellos: list[bytes] = []

    def fate(datagram: bytes, there: bool) -> tuple[float, ...]:
        if is_client_hello(datagram):
            hellos.append(datagram)
        return (0.0,)

    async with ends() as (one, other):
        relay = Relay(one.address, other.address, fate)
        one.expect(relay.near.address, *OTHER.fingerprints, active=True)
        other.expect(relay.far.address, *ONE.fingerprints, active=False)
        async with running(one, other) as nursery:
            nursery.start_soon(relay.run)
            await one.up.wait()
            await other.up.wait()
            for hello in hellos * 3:
                relay.far.send(hello[:15] + b"\x01" + hello[16:], other.address)
                relay.far.send(hello, other.address)
            await trio.sleep(5.0)
            one.socket.send(b"still there", other.address)
            assert await other.until(1) == [b"still there"]
        relay.close()


# --- not made ------------------------------------------------------------------------------------


@pytest.mark.parametrize("active", [True, False])
async def test_a_peer_without_dtls_is_given_up_in_time(autojump_clock: MockClock, active: bool) -> None:
    async with ends() as (one, _):
        peer = UdpSocket.bind(HOST, 0)
        one.expect(peer.address, *OTHER.fingerprints, active=active)
        start = trio.current_time()
        async with running(one):
            peer.send(b"\x00\x00\x01\x00\x00\x00", one.address)  # UDPTL in the clear
            await one.over.wait()
        assert trio.current_time() - start == pytest.approx(OPTIONS.handshake)
        assert one.trouble is DtlsTrouble.SILENT
        assert "no DTLS came from 127.0.0.1" in str(one.failure)
        assert str(one.failure).endswith("within 15 s, but 1 datagrams without encryption")
        assert (one.in_clear, one.socket.unprotected) == ([], 1)
        peer.close()


async def test_a_handshake_that_stops_in_the_middle_is_given_up_in_time(autojump_clock: MockClock) -> None:
    passed = 0

    def fate(datagram: bytes, there: bool) -> tuple[float, ...]:
        nonlocal passed
        passed += 1
        return (0.0,) if passed <= 4 else ()

    async with ends() as (one, other):
        relay = Relay(one.address, other.address, fate)
        one.expect(relay.near.address, *OTHER.fingerprints, active=True)
        other.expect(relay.far.address, *ONE.fingerprints, active=False)
        async with running(one, other) as nursery:
            nursery.start_soon(relay.run)
            await one.over.wait()
            await other.over.wait()
        relay.close()
    assert (one.trouble, other.trouble) == (DtlsTrouble.FAILED, DtlsTrouble.FAILED)
    assert "was not finished within 15 s" in str(one.failure)


async def test_ending_while_the_handshake_runs_is_immediate_and_no_failure(autojump_clock: MockClock) -> None:
    async with ends() as (one, other):
        one.expect(other.address, *OTHER.fingerprints, active=True)
        async with running(one):
            await trio.sleep(1.0)
            one.socket.end_stream()
            with trio.fail_after(0.1):
                await one.over.wait()
        assert one.failure is None


async def test_a_socket_without_a_certificate_cannot_do_it() -> None:
    socket = SecureSocket.bind(HOST, 0)
    with pytest.raises(MisuseError, match="has no certificate"):
        socket.expect_secure(("192.0.2.1", 1), DtlsMedia(active=True, fingerprints=()))
    socket.close()


# --- afterwards ----------------------------------------------------------------------------------


@asynccontextmanager
async def made(options: DtlsOptions = OPTIONS) -> AsyncIterator[tuple[End, End, trio.Nursery]]:
    async with ends(options) as (one, other):
        one.expect(other.address, *OTHER.fingerprints, active=True)
        other.expect(one.address, *ONE.fingerprints, active=False)
        async with running(one, other) as nursery:
            await one.up.wait()
            await other.up.wait()
            yield one, other, nursery


async def test_the_last_datagrams_leave_before_the_end_and_the_peer_is_told_of_it(autojump_clock: MockClock) -> None:
    async with made() as (one, other, _):
        for number in range(100):
            one.socket.send(b"%d" % number, other.address)
        one.socket.end_stream()
        await one.over.wait()
        assert await other.until(100) == [b"%d" % number for number in range(100)]
        start = trio.current_time()
        await other.over.wait()
        assert trio.current_time() - start == pytest.approx(GRACE)  # time for its BYE
        assert str(other.failure) == "the peer ended the DTLS association"
        assert one.failure is None


async def test_the_end_of_both_is_no_failure(autojump_clock: MockClock) -> None:
    async with made() as (one, other, _):
        one.socket.end_stream()
        await one.over.wait()
        other.socket.end_stream()
        await other.over.wait()
        assert (one.failure, other.failure) == (None, None)


async def test_only_what_is_protected_is_heard_and_nothing_else_is_sent(autojump_clock: MockClock) -> None:
    async with made() as (one, other, _):
        stranger = UdpSocket.bind(STRANGE[0], 0)
        other_plain = b"\x00\x00\x01\x00\x00\x00"
        UdpSocket.send(one.socket, other_plain, other.address)  # from the right address
        stranger.send(other_plain, other.address)
        one.socket.send(b"protected", STRANGE)  # wherever the fax may think it goes
        assert await other.until(1) == [b"protected"]
        assert (other.in_clear, other.socket.unprotected) == ([], 2)
        stranger.close()


async def test_more_than_the_backlog_is_dropped_and_counted(autojump_clock: MockClock) -> None:
    async with made(replace(OPTIONS, backlog=16)) as (one, other, _):
        for number in range(50):
            one.socket.send(b"%d" % number, other.address)
        assert one.socket.dropped == 34
        await other.until(16)


async def test_damaged_and_repeated_records_are_dropped(autojump_clock: MockClock) -> None:
    kept: list[bytes] = []

    def fate(datagram: bytes, there: bool) -> tuple[float, ...]:
        if there and datagram[0] == 23:
            kept.append(datagram)
        return (0.0,)

    async with ends() as (one, other):
        relay = Relay(one.address, other.address, fate)
        one.expect(relay.near.address, *OTHER.fingerprints, active=True)
        other.expect(relay.far.address, *ONE.fingerprints, active=False)
        async with running(one, other) as nursery:
            nursery.start_soon(relay.run)
            await other.up.wait()
            one.socket.send(b"first", other.address)
            await other.until(1)
            relay.far.send(kept[0], other.address)  # once more
            relay.far.send(kept[0][:-1] + bytes([kept[0][-1] ^ 1]), other.address)
            one.socket.send(b"second", other.address)
            assert await other.until(2) == [b"first", b"second"]
            await trio.sleep(1.0)
        relay.close()
    assert len(other.heard) == 2


@pytest.mark.parametrize("seed", [*range(6), 25, 109, 433, 453])  # the last: certificates that are none
async def test_rubbish_in_the_middle_of_a_handshake_ends_no_more_than_that(
    autojump_clock: MockClock, seed: int
) -> None:
    """Mutated records in both directions: an association or a failure, and never an exception of another kind."""
    print("seed", seed)
    dice = random.Random(seed)

    def fate(datagram: bytes, there: bool) -> tuple[float, ...]:
        return (0.0,)

    async with ends(replace(OPTIONS, handshake=5.0)) as (one, other):
        relay = Relay(one.address, other.address, fate)
        one.expect(relay.near.address, *OTHER.fingerprints, active=True)
        other.expect(relay.far.address, *ONE.fingerprints, active=False)
        seen: list[bytes] = []

        def mutate(datagram: bytes, there: bool) -> tuple[float, ...]:
            seen.append(datagram)
            for _ in range(6):
                octets = bytearray(dice.choice(seen))
                for _ in range(dice.randrange(1, 4)):
                    octets[dice.randrange(len(octets))] = dice.randrange(256)
                cut = dice.choice((len(octets), dice.randrange(1, len(octets) + 1)))
                outside, to = (relay.far, other.address) if there else (relay.near, one.address)
                outside.send(bytes(octets[:cut]), to)
            return (0.0,)

        relay.fate = mutate
        async with running(one, other) as nursery:
            nursery.start_soon(relay.run)
            with trio.move_on_after(10.0):
                await one.up.wait()
                await other.up.wait()
        relay.close()
    for end in (one, other):
        assert end.made is not None or end.failure is None or isinstance(end.failure, LinkError)


# --- certificates --------------------------------------------------------------------------------


def pem_files(folder: Path, *, curve: bool = True, hash_name: str = "SHA384") -> tuple[Path, Path]:
    """A certificate that is not made by us, and its key."""
    from datetime import UTC, datetime, timedelta

    from cryptography import x509
    from cryptography.hazmat.primitives import hashes, serialization
    from cryptography.hazmat.primitives.asymmetric import ec, rsa
    from cryptography.x509.oid import NameOID

    key = ec.generate_private_key(ec.SECP384R1()) if curve else rsa.generate_private_key(65537, 2048)
    name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, "fax.example.com")])
    now = datetime.now(UTC)
    unsigned = x509.CertificateBuilder().subject_name(name).issuer_name(name).public_key(key.public_key())
    unsigned = unsigned.serial_number(7).not_valid_before(now - timedelta(days=1)).not_valid_after(now)
    certificate = unsigned.sign(key, getattr(hashes, hash_name)())
    paths = folder / "own.pem", folder / "own.key"
    paths[0].write_bytes(certificate.public_bytes(serialization.Encoding.PEM))
    encoding, form = serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8
    paths[1].write_bytes(key.private_bytes(encoding, form, serialization.NoEncryption()))
    return paths


@pytest.mark.parametrize("curve", [True, False])
async def test_a_certificate_of_the_operators_own_does_as_well(
    autojump_clock: MockClock, tmp_path: Path, curve: bool
) -> None:
    own = DtlsIdentity.read(*pem_files(tmp_path, curve=curve))
    assert [one.name for one in own.fingerprints] == ["sha-256", "sha-384"]  # and that of its signature
    mine, other = End(own), End(OTHER)
    mine.expect(other.address, *OTHER.fingerprints, active=False)
    other.expect(mine.address, *own.fingerprints, active=True)
    async with running(mine, other):
        await other.up.wait()
        assert other.made is not None
        assert other.made.fingerprint.name == "sha-384"
    mine.socket.close()
    other.socket.close()


def test_what_is_wrong_with_the_files_is_said_with_their_names(tmp_path: Path) -> None:
    certificate, key = pem_files(tmp_path)
    (tmp_path / "other").mkdir()
    _, strange_key = pem_files(tmp_path / "other")
    rubbish = tmp_path / "rubbish.pem"
    rubbish.write_text("rubbish")
    missing = tmp_path / "missing.pem"
    for files, said in (
        ((rubbish, key), f"[dtls] certificate = '{rubbish}' is no certificate in PEM"),
        ((certificate, rubbish), f"[dtls] key = '{rubbish}' is no private key in PEM"),
        ((certificate, strange_key), f"[dtls] key = '{strange_key}' is not the key of the certificate {certificate}"),
        ((missing, key), f"[dtls] cannot read {missing}: No such file or directory"),
    ):
        with pytest.raises(LinkError) as caught:
            DtlsIdentity.read(*files)
        assert str(caught.value).startswith(said)


def test_without_pyopenssl_it_says_what_to_install(monkeypatch: pytest.MonkeyPatch) -> None:
    import sys

    monkeypatch.setitem(sys.modules, "OpenSSL", None)
    monkeypatch.setitem(sys.modules, "OpenSSL.SSL", None)
    with pytest.raises(LinkError, match=r"needs pyOpenSSL, which is not installed: pip install 'vfax\[dtls\]'"):
        DtlsIdentity.make()
