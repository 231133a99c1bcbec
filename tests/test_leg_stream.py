"""A leg whose T.38 runs over TCP, and one whose abort takes too long: plain values, time as numbers."""

from typing import Final

import pytest

from vfax.codecs.dis import Resolution
from vfax.codecs.ifp import wrap_tpkt
from vfax.leg import (
    Accept,
    Answer,
    CallerOffer,
    Dial,
    Finished,
    HangUp,
    Invite,
    Leg,
    LegEvent,
    LegOptions,
    Offer,
    SipOrder,
    StreamAgreed,
    StreamLost,
    StreamOffered,
    Switched,
)
from vfax.outcome import Cause, Outcome
from vfax.t30 import values as t30
from vfax.transports.parameters import T38Parameters, TcpMedia, Transport
from vfax.transports.sip import values as sip
from vfax.transports.sip.negotiation import MediaKind, MediaSession
from vfax.transports.sip.values import Address

OURS: Final[Address] = ("192.0.2.1", 20000)  # RFC 5737 documentation addresses
THEIRS: Final[Address] = ("192.0.2.9", 30000)
KEY: Final = 1
ONE_PAGE: Final = (t30.PageInfo(1728, 100, Resolution.STANDARD),)


def session(address: Address, number: int, tcp: TcpMedia) -> MediaSession:
    return MediaSession(host=address[0], port=address[1], parameters=T38Parameters(), session_id=number, tcp=tcp)


def ring(offer: bytes) -> sip.IncomingCall:
    return sip.IncomingCall(
        call=KEY,
        source=("192.0.2.9", 5060),
        request_uri="sip:1@192.0.2.1",
        dialled="1",
        caller="2",
        caller_name="",
        call_id="x",
        offer=offer,
        user_agent="",
    )


class World:
    """A leg and the other side's half of the SDP, which offers TCP."""

    def __init__(self, *, calling: bool = False, options: LegOptions | None = None) -> None:
        self.now = 10.0
        self.theirs = session(THEIRS, 2, TcpMedia.OFFER)
        self.sip: list[SipOrder] = []
        self.events: list[LegEvent] = []
        self.media: list[tuple[bytes, Address]] = []
        options = options or LegOptions(tcp=TcpMedia.OFFER if calling else TcpMedia.ACCEPT)
        offer = self.theirs.offer_t38()
        incoming = None if calling else ring(offer)
        pages = ONE_PAGE if calling else ()
        self.leg = Leg(options, session(OURS, 1, options.tcp), incoming=incoming, pages=pages, now=self.now)
        self.leg.command(Dial() if calling else Accept(), self.now)
        self.take()

    def take(self) -> None:
        self.sip += self.leg.take_sip()
        self.events += self.leg.take_events()
        self.media += self.leg.take_datagrams()

    def wait(self, seconds: float) -> None:
        until = self.now + seconds
        while (due := self.leg.next_timeout()) <= until:
            self.now = max(self.now, due)
            self.leg.handle_timeout(self.now)
            self.take()
        self.now = until

    def read(self, octets: bytes) -> None:
        self.leg.read_stream(octets, self.now)
        self.take()

    def told(self, kind: type) -> list[LegEvent]:
        return [event for event in self.events if isinstance(event, kind)]

    @property
    def outcome(self) -> Outcome:
        last = self.events[-1]
        assert isinstance(last, Finished)
        return last.outcome


def test_answer_that_connects_says_so_before_it_leaves() -> None:
    world = World()
    (agreed,) = world.told(StreamAgreed)
    assert agreed == StreamAgreed(THEIRS, True, 10.0, False)
    assert any(isinstance(order, Answer) for order in world.sip)
    assert world.events.index(agreed) < len(world.events)
    assert all(to == THEIRS and octets.startswith(b"\x03\x00") for octets, to in world.media)


def test_offer_has_its_port_listened_on_first() -> None:
    world = World(calling=True)
    assert world.events == [StreamOffered()]
    (invite,) = world.sip
    assert isinstance(invite, Invite)
    theirs = session(THEIRS, 2, TcpMedia.ACCEPT)
    answer = theirs.answer(invite.sdp, want=MediaKind.ANY)
    world.leg.signal(sip.Answered(KEY, answer.sdp), world.now)
    world.take()
    assert world.told(StreamAgreed) == [StreamAgreed((THEIRS[0], 9), False, 10.0, False)]
    (switched,) = world.told(Switched)
    assert isinstance(switched, Switched)
    assert switched.parameters.transport is Transport.TCP


def test_switch_over_offers_a_stream_too() -> None:
    world = World(calling=True, options=LegOptions(tcp=TcpMedia.OFFER, caller_offer=CallerOffer.AUDIO))
    (invite,) = world.sip
    assert isinstance(invite, Invite)
    answer = session(THEIRS, 2, TcpMedia.ACCEPT).answer(invite.sdp, want=MediaKind.ANY)
    world.leg.signal(sip.Answered(KEY, answer.sdp), world.now)
    world.wait(7.0)
    assert isinstance(world.sip[-1], Offer)
    assert b"TCP t38" in world.sip[-1].sdp
    assert world.told(StreamOffered)


def test_what_the_stream_brings_is_heard_and_datagrams_are_not() -> None:
    world = World()
    world.read(wrap_tpkt(b"\x02")[:3])
    world.read(wrap_tpkt(b"\x02")[3:])
    assert world.leg.line is not None
    assert world.leg.line.counters.received == 1
    world.leg.receive(b"\x00\x00\x01\x06\x00\x00", THEIRS, world.now)
    assert world.leg.line.counters.received == 1
    assert world.leg.strangers == 1


@pytest.mark.parametrize("why", ["the peer closed the connection of T.38", "no connection for T.38 within 10 s"])
def test_lost_stream_ends_the_call_and_hangs_up(why: str) -> None:
    world = World()
    world.wait(3.0)
    world.leg.command(StreamLost(why), world.now)
    world.take()
    assert world.outcome.cause is Cause.NETWORK
    assert any(isinstance(order, HangUp) for order in world.sip)


def test_stream_that_is_no_t38_ends_the_call() -> None:
    world = World()
    world.read(b"HTTP/1.1 400 Bad Request\r\n")
    assert world.outcome.cause is Cause.NETWORK
    world.read(b"more")
    world.leg.command(StreamLost("late"), world.now)
    assert world.leg.take_events() == []


def test_stream_before_any_t38_is_nothing() -> None:
    world = World(calling=True)
    world.read(wrap_tpkt(b"\x02"))
    world.leg.command(StreamLost("never was"), world.now)
    world.take()
    assert world.told(Finished) == []


def test_silent_stream_ends_like_any_silent_peer() -> None:
    world = World()
    world.wait(200.0)
    assert world.outcome.cause is Cause.T1_EXPIRED


def test_renegotiation_of_a_stream_asks_for_no_second_connection() -> None:
    world = World()
    answer = next(order for order in world.sip if isinstance(order, Answer))
    world.theirs.read_answer(answer.sdp)
    world.leg.signal(sip.Reoffered(KEY, world.theirs.refresh()), world.now)
    world.take()
    assert len(world.told(StreamAgreed)) == 1
    assert world.told(Finished) == []


def test_abort_that_t30_does_not_end_in_time_is_ended_by_the_leg() -> None:
    world = World(options=LegOptions(abort_limit=0.05))
    world.wait(3.0)
    world.leg.command(t30.Abort("enough"), world.now)
    world.take()
    assert world.told(Finished) == []
    world.wait(0.06)
    assert world.outcome.cause is Cause.ABORTED
    assert isinstance(world.sip[-1], HangUp)
