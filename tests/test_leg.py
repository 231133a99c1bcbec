"""One leg by itself: SIP events, datagrams and orders go in as plain values, time as numbers; no socket, no agent."""

import math
import random
from collections.abc import Callable, Sequence
from typing import Final, TypeVar

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from vfax.codecs.dis import Resolution
from vfax.leg import (
    Accept,
    AcceptOffer,
    Answer,
    CallerOffer,
    CallUp,
    Dial,
    Finished,
    HangUp,
    Invite,
    Leg,
    LegEvent,
    LegOptions,
    Offer,
    Rang,
    Refuse,
    RefuseOffer,
    SipOrder,
    SwitchBy,
    Switched,
)
from vfax.outcome import Cause, Outcome, Phase, Retry
from vfax.t30 import values as t30
from vfax.transports.parameters import T38Parameters
from vfax.transports.rtp import looks_like_rtp
from vfax.transports.sip import values as sip
from vfax.transports.sip.negotiation import MediaKind, MediaSession
from vfax.transports.sip.values import Address

OURS: Final[Address] = ("192.0.2.1", 20000)  # RFC 5737 documentation addresses
THEIRS: Final[Address] = ("192.0.2.9", 30000)
STRANGER: Final[Address] = ("198.51.100.1", 30000)
NO_SIGNAL: Final = bytes.fromhex("0000 0100 0000".replace(" ", ""))  # UDPTL number 0: IFP no-signal, no redundancy
KEY: Final = 1
ONE_PAGE: Final = (t30.PageInfo(1728, 100, Resolution.STANDARD),)

_V = TypeVar("_V")


def session(address: Address, number: int) -> MediaSession:
    return MediaSession(host=address[0], port=address[1], parameters=T38Parameters(), session_id=number)


class World:
    """A leg, the other side's half of the SDP, and all that the leg has said so far."""

    def __init__(self, options: LegOptions | None = None, *, offer: bytes | None = None, calling: bool = False) -> None:
        self.now = 100.0
        self.theirs = session(THEIRS, 2)
        self.sip: list[SipOrder] = []
        self.events: list[LegEvent] = []
        self.media: list[tuple[bytes, Address]] = []
        incoming = None if calling else ring(self.theirs.offer_audio() if offer is None else offer)
        self.leg = Leg(
            options or LegOptions(),
            session(OURS, 1),
            incoming=incoming,
            pages=ONE_PAGE if calling else (),
            now=self.now,
        )
        self.leg.command(Dial() if calling else Accept(), self.now)
        self.take()

    def take(self) -> None:
        self.sip += self.leg.take_sip()
        self.events += self.leg.take_events()
        self.media += self.leg.take_datagrams()

    def signal(self, *events: sip.SipEvent) -> None:
        for event in events:
            self.leg.signal(event, self.now)
            self.take()

    def hear(self, datagram: bytes, source: Address = THEIRS) -> None:
        self.leg.receive(datagram, source, self.now)
        self.take()

    def order(self, order: t30.Abort | t30.LineDown) -> None:
        self.leg.command(order, self.now)
        self.take()

    def wait(self, seconds: float) -> None:
        """Let time pass, step by step, as the runner does."""
        until = self.now + seconds
        for _ in range(100_000):
            due = self.leg.next_timeout()
            if due > until:
                self.now = until
                return
            self.now = max(self.now, due)
            self.leg.handle_timeout(self.now)
            self.take()
        raise AssertionError("the leg never comes to rest")

    def said(self, kind: type[_V]) -> list[_V]:
        return [order for order in self.sip if isinstance(order, kind)]

    def told(self, kind: type[_V]) -> list[_V]:
        return [event for event in self.events if isinstance(event, kind)]

    @property
    def outcome(self) -> Outcome:
        (finished,) = self.told(Finished)
        assert self.events[-1] is finished
        return finished.outcome

    @property
    def going_on(self) -> bool:
        return not self.told(Finished)


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


def called_in_audio(options: LegOptions | None = None) -> World:
    """A called leg whose audio call is confirmed."""
    world = World(options)
    (answer,) = world.said(Answer)
    world.theirs.read_answer(answer.sdp)
    world.signal(sip.Confirmed(KEY, b""))
    return world


def called_in_fax(options: LegOptions | None = None) -> World:
    """A called leg that answered a direct T.38 offer."""
    offerer = session(THEIRS, 2)
    world = World(options, offer=offerer.offer_t38())
    world.theirs = offerer
    (answer,) = world.said(Answer)
    offerer.read_answer(answer.sdp)
    world.signal(sip.Confirmed(KEY, b""))
    return world


def offering(options: LegOptions | None = None) -> World:
    """A called leg whose own T.38 offer is on its way."""
    world = called_in_audio(options)
    world.wait(LegOptions().called_switch_after)
    assert len(world.said(Offer)) == 1
    return world


def calling(options: LegOptions | None = None) -> World:
    return World(options, calling=True)


def calling_in_audio(options: LegOptions | None = None) -> World:
    world = calling(options or LegOptions(caller_offer=CallerOffer.AUDIO))
    (invite,) = world.said(Invite)
    world.signal(sip.Answered(KEY, world.theirs.answer(invite.sdp, want=MediaKind.ANY).sdp))
    return world


def calling_in_fax() -> World:
    world = calling()
    (invite,) = world.said(Invite)
    world.signal(sip.Answered(KEY, world.theirs.answer(invite.sdp, want=MediaKind.ANY).sdp))
    return world


SITUATIONS: Final[dict[str, Callable[[], World]]] = {
    "called, answered": World,
    "called, audio": called_in_audio,
    "called, offering": offering,
    "called, fax": called_in_fax,
    "calling": calling,
    "calling, audio": calling_in_audio,
    "calling, fax": calling_in_fax,
}


@pytest.fixture(params=SITUATIONS)
def anywhere(request: pytest.FixtureRequest) -> World:
    return SITUATIONS[request.param]()


# --- beginning -----------------------------------------------------------------------------------


def test_direct_offer_is_answered_and_t38_runs_at_once() -> None:
    world = called_in_fax()
    assert world.told(CallUp) == [CallUp("t38")]
    assert world.told(Switched)[0].remote == THEIRS
    assert {to for _, to in world.media} == {THEIRS}


def test_audio_call_hears_ced_and_is_offered_t38_after_the_ack() -> None:
    world = World()
    world.wait(5.0)
    assert not world.said(Offer)  # the ACK has not come
    assert all(looks_like_rtp(datagram) and to == THEIRS for datagram, to in world.media)
    world.signal(sip.Confirmed(KEY, b""))
    world.wait(LegOptions().called_switch_after)
    (offer,) = world.said(Offer)
    world.signal(sip.OfferAccepted(KEY, world.theirs.answer(offer.sdp, want=MediaKind.T38).sdp))
    assert world.told(Switched)[0].remote == THEIRS


def test_late_offer_is_answered_with_ours_and_the_call_is_up() -> None:
    world = World(offer=b"")
    (answer,) = world.said(Answer)
    assert world.told(CallUp) == [CallUp("audio")]
    world.signal(sip.Confirmed(KEY, world.theirs.answer(answer.sdp, want=MediaKind.ANY).sdp))
    world.wait(1.0)
    assert {to for _, to in world.media} == {THEIRS}
    world.wait(1.0)
    assert len(world.said(Offer)) == 1


@pytest.mark.parametrize(
    ("offer", "status"), [(b"hello", 400), (b"v=0\r\no=- 1 1 IN IP4 192.0.2.9\r\ns=-\r\nt=0 0\r\n", 488)]
)
def test_offer_that_cannot_be_answered_is_refused_in_words_that_fit(offer: bytes, status: int) -> None:
    world = World(offer=offer)
    assert world.said(Refuse) == [Refuse(status)]
    assert (world.outcome.cause, world.outcome.sip_status) == (Cause.REJECTED, status)
    assert "DCS" not in world.outcome.sentence


@pytest.mark.parametrize("status", [415, 488, 606])
def test_refused_direct_offer_is_dialled_again_with_audio_once(status: int) -> None:
    world = calling()
    world.signal(sip.Refused(KEY, status, "Not Acceptable Here"))
    assert world.going_on
    first, second = world.said(Invite)
    assert b"m=image" in first.sdp
    assert b"m=audio" in second.sdp
    assert b"m=image" not in second.sdp
    world.signal(sip.Refused(KEY + 1, status, "Not Acceptable Here"))
    assert (world.outcome.cause, world.outcome.sip_status) == (Cause.REJECTED, status)
    assert len(world.said(Invite)) == 2


def test_the_second_invite_may_take_as_long_as_the_first() -> None:
    world = calling()
    world.wait(59.0)
    world.signal(sip.Refused(KEY, 488, ""))
    world.wait(59.0)
    assert world.going_on
    world.wait(2.0)
    assert world.outcome.cause is Cause.NO_ANSWER
    assert world.said(HangUp)


@pytest.mark.parametrize(
    ("event", "cause"),
    [
        (sip.Refused(KEY, 486, "Busy Here"), Cause.BUSY),
        (sip.Refused(KEY, 404, "Not Found"), Cause.BAD_ADDRESS),
        (sip.Refused(KEY, 503, ""), Cause.NETWORK),
        (sip.Refused(KEY, 408, "no answer at all", heard=False), Cause.NETWORK),
        (sip.Answered(KEY, b""), Cause.NETWORK),
        (sip.Answered(KEY, b"rubbish"), Cause.NETWORK),
    ],
)
def test_call_that_comes_to_nothing_says_why(event: sip.SipEvent, cause: Cause) -> None:
    world = calling()
    world.signal(sip.Progress(KEY, 180, "Ringing", b""))
    world.signal(event)
    assert world.told(Rang)
    assert (world.outcome.cause, world.outcome.phase) == (cause, Phase.CALL)
    assert world.outcome.sentence.endswith(".")
    assert world.outcome.duration == 0.0


# --- switching over ------------------------------------------------------------------------------


def test_peer_that_offers_t38_itself_is_followed() -> None:
    world = called_in_audio()
    world.signal(sip.Reoffered(KEY, world.theirs.offer_t38()))
    assert len(world.said(AcceptOffer)) == 1
    world.wait(5.0)
    assert not world.said(Offer)
    assert world.told(Switched)


def test_peers_t38_offer_that_wins_the_glare_makes_the_fax() -> None:
    world = offering()
    world.signal(sip.Reoffered(KEY, world.theirs.offer_t38()))
    assert world.told(Switched)
    world.signal(sip.OfferAccepted(KEY, b"late"), sip.OfferRefused(KEY, 491, ""))  # whatever comes of ours
    assert world.going_on


@pytest.mark.parametrize("late", [False, True])
def test_t38_is_offered_again_when_an_audio_offer_won_the_glare(late: bool) -> None:
    world = offering()
    world.signal(sip.Reoffered(KEY, b"" if late else world.theirs.refresh()))  # the agent has dropped our offer
    (accepted,) = world.said(AcceptOffer)
    if late:
        world.signal(sip.Confirmed(KEY, world.theirs.answer(accepted.sdp, want=MediaKind.ANY).sdp))
    world.wait(5.0)
    assert len(world.said(Offer)) == 2


def test_t38_is_offered_again_when_a_refused_offer_won_the_glare() -> None:
    world = offering()
    world.signal(sip.Reoffered(KEY, b"rubbish"))
    assert world.said(RefuseOffer) == [RefuseOffer(400)]
    world.wait(5.0)
    assert len(world.said(Offer)) == 2


def test_no_offer_of_ours_crosses_the_answer_to_a_late_offer() -> None:
    world = called_in_audio()
    world.signal(sip.Reoffered(KEY, b""))
    (accepted,) = world.said(AcceptOffer)
    world.wait(10.0)
    assert not world.said(Offer)  # the answer would be taken for the answer to ours
    world.signal(sip.Confirmed(KEY, world.theirs.answer(accepted.sdp, want=MediaKind.ANY).sdp))
    world.wait(5.0)
    assert len(world.said(Offer)) == 1


@pytest.mark.parametrize("who", SwitchBy)
def test_who_offers_t38_is_up_to_the_owner(who: SwitchBy) -> None:
    """The other side's offer is taken in any case."""
    options = LegOptions(
        switch_by=who, caller_offer=CallerOffer.AUDIO, called_switch_after=3.0, caller_switch_after=5.0
    )
    turns = ((called_in_audio, 3.0, SwitchBy.CALLED), (calling_in_audio, 5.0, SwitchBy.CALLER))
    for begin, after, ours in turns:
        world = begin(options)
        world.wait(after - 0.1)
        assert not world.said(Offer)
        world.wait(10.0)
        assert bool(world.said(Offer)) is (who in (SwitchBy.EITHER, ours))
        world.signal(sip.Reoffered(KEY, world.theirs.offer_t38()))
        assert world.told(Switched)


def test_refused_switch_waits_for_the_peers_own_offer() -> None:
    world = offering()
    world.signal(sip.OfferRefused(KEY, 488, "Not Acceptable Here"))
    world.wait(9.0)
    assert world.going_on
    world.signal(sip.Reoffered(KEY, world.theirs.offer_t38()))
    assert world.told(Switched)


def test_refused_switch_ends_the_call_without_advising_what_was_just_done() -> None:
    world = offering()
    world.signal(sip.OfferRefused(KEY, 488, "Not Acceptable Here"))
    world.wait(11.0)
    assert (world.outcome.cause, world.outcome.sip_status) == (Cause.T38_REFUSED, 488)
    assert world.outcome.retry is not Retry.AUDIO
    assert len(world.said(HangUp)) == 1


def test_audio_that_never_becomes_fax_ends_at_its_limit() -> None:
    world = called_in_audio()
    world.wait(46.0)
    assert (world.outcome.cause, world.outcome.phase) == (Cause.NOT_FAX, Phase.CALL)
    assert len(world.said(HangUp)) == 1


# --- media inside the call -----------------------------------------------------------------------


def test_nothing_is_sent_on_hold_and_nothing_is_saved_up() -> None:
    world = called_in_audio(LegOptions(called_switch_after=30.0))
    world.wait(1.0)
    held = world.theirs.offer_audio().replace(b"a=sendrecv", b"a=sendonly")
    world.signal(sip.Reoffered(KEY, held))
    world.media.clear()
    world.wait(5.0)
    assert not world.media
    world.signal(sip.Reoffered(KEY, world.theirs.refresh()))
    world.wait(0.1)
    assert 0 < len(world.media) < 10


def test_fax_on_hold_saves_nothing_up() -> None:
    world = called_in_fax()
    world.signal(sip.Reoffered(KEY, world.theirs.offer_t38().replace(b"IN IP4 192.0.2.9", b"IN IP4 0.0.0.0")))
    world.media.clear()
    world.wait(10.0)
    assert not world.media
    again = session(THEIRS, 3)
    world.signal(sip.Reoffered(KEY, again.offer_t38()))
    for _ in range(1000):
        if world.media:
            break
        world.wait(0.02)
    assert 0 < len(world.media) < 10


def test_peer_that_switches_every_stream_off_is_sent_nothing() -> None:
    world = called_in_fax()
    off = world.theirs.refresh().replace(f"m=image {THEIRS[1]}".encode(), b"m=image 0")
    world.signal(sip.Reoffered(KEY, off))
    assert len(world.said(AcceptOffer)) == 1
    world.media.clear()
    world.wait(5.0)
    assert not world.media


def test_law_of_the_audio_follows_a_new_offer() -> None:
    world = called_in_audio(LegOptions(called_switch_after=30.0))
    alaw = world.theirs.offer_audio().replace(b"RTP/AVP 0 8", b"RTP/AVP 8")
    world.media.clear()
    world.signal(sip.Reoffered(KEY, alaw))
    world.wait(0.5)
    assert {datagram[1] & 0x7F for datagram, _ in world.media} == {8}


def test_fax_moves_where_a_new_offer_says() -> None:
    world = called_in_fax()
    moved = session(("192.0.2.77", 31000), 9)
    world.signal(sip.Reoffered(KEY, moved.offer_t38()))
    world.media.clear()
    world.wait(5.0)
    assert {to for _, to in world.media} == {("192.0.2.77", 31000)}
    assert len(world.told(CallUp)) == 1


def test_fax_moves_where_the_answer_to_a_late_offer_says() -> None:
    world = called_in_fax()
    world.signal(sip.Reoffered(KEY, b""))
    (accepted,) = world.said(AcceptOffer)
    moved = session(("192.0.2.77", 31000), 9)
    world.signal(sip.Confirmed(KEY, moved.answer(accepted.sdp, want=MediaKind.T38).sdp))
    world.media.clear()
    world.wait(5.0)
    assert {to for _, to in world.media} == {("192.0.2.77", 31000)}


@pytest.mark.parametrize("answer", [b"", b"rubbish"])
def test_bad_answer_to_a_late_offer_changes_nothing(answer: bytes) -> None:
    world = called_in_fax()
    world.signal(sip.Reoffered(KEY, b""), sip.Confirmed(KEY, answer))
    assert world.going_on
    world.media.clear()
    world.wait(5.0)
    assert {to for _, to in world.media} == {THEIRS}


def test_fax_does_not_go_back_to_audio() -> None:
    world = called_in_fax()
    world.signal(sip.Reoffered(KEY, world.theirs.offer_audio()))
    assert world.said(RefuseOffer) == [RefuseOffer(488)]
    assert world.going_on


def test_only_the_agreed_source_is_heard() -> None:
    world = called_in_fax()
    world.hear(NO_SIGNAL, STRANGER)
    assert world.leg.strangers == 1
    world.hear(b"rubbish", (THEIRS[0], 9))  # right host, but no UDPTL: believed only when it makes sense
    assert world.leg.strangers == 2
    world.media.clear()
    world.hear(NO_SIGNAL, (THEIRS[0], 9))
    world.wait(5.0)
    assert {to for _, to in world.media} == {(THEIRS[0], 9)}
    world.hear(NO_SIGNAL, (THEIRS[0], 10))
    assert world.leg.strangers == 3


def test_nothing_is_told_after_the_end() -> None:
    world = called_in_fax()
    world.signal(sip.HungUp(KEY, ""))
    count, orders = len(world.events), len(world.sip)
    world.hear(NO_SIGNAL)
    world.order(t30.Abort())
    world.order(t30.LineDown())
    world.signal(sip.HungUp(KEY, ""), sip.Reoffered(KEY, b""), sip.Released(KEY))
    world.wait(1000.0)
    assert (len(world.events), len(world.sip)) == (count, orders)
    assert world.leg.next_timeout() == math.inf


# --- ending --------------------------------------------------------------------------------------


def test_cutting_the_line_always_hangs_up(anywhere: World) -> None:
    anywhere.order(t30.LineDown())
    assert not anywhere.outcome.ok
    assert len(anywhere.said(HangUp)) == 1


@pytest.mark.parametrize("why", ["aborted", ""])
def test_abort_ends_within_a_second_and_says_so(anywhere: World, why: str) -> None:
    anywhere.order(t30.Abort(why))
    anywhere.wait(1.0)
    assert anywhere.outcome.cause is Cause.ABORTED
    assert len(anywhere.said(HangUp)) == 1


@pytest.mark.parametrize(
    ("event", "cause"),
    [
        (sip.HungUp(KEY, "Q.850;cause=16"), Cause.PEER_HUNG_UP),
        (sip.DialogLost(KEY, "no ACK to our 200"), Cause.NETWORK),
        (sip.Released(KEY), Cause.NETWORK),
    ],
)
def test_end_of_the_dialog_ends_the_leg_with_its_reason(anywhere: World, event: sip.SipEvent, cause: Cause) -> None:
    anywhere.signal(event)
    assert anywhere.outcome.cause is cause
    assert getattr(event, "reason", "") in anywhere.outcome.sentence


def test_hanging_up_after_a_refused_switch_is_a_refusal_of_t38() -> None:
    world = offering()
    world.signal(sip.OfferRefused(KEY, 488, "Not Acceptable Here"), sip.HungUp(KEY, ""))
    assert (world.outcome.cause, world.outcome.sip_status) == (Cause.T38_REFUSED, 488)


# --- storms --------------------------------------------------------------------------------------

SDPS: Final = (
    b"",
    b"rubbish",
    session(THEIRS, 3).offer_audio(),
    session(THEIRS, 3).offer_t38(),
    session(THEIRS, 3).offer_t38().replace(b"m=image 30000", b"m=image 0"),
    session(THEIRS, 3).offer_audio().replace(b"m=audio 30000", b"m=audio 0"),
    session(THEIRS, 3).offer_audio().replace(b"a=sendrecv", b"a=inactive"),
    session(THEIRS, 3).offer_t38().replace(b"IN IP4 192.0.2.9", b"IN IP4 0.0.0.0"),
    session(("192.0.2.77", 9), 3).offer_t38().replace(b"T38MaxBitRate:14400", b"T38MaxBitRate:1"),
    session(THEIRS, 3).offer_t38().replace(b"T38FaxUdpEC", b"T38FaxMaxDatagram:1\r\na=T38FaxUdpEC"),
)
EVENTS: Final[Sequence[Callable[[bytes], sip.SipEvent]]] = (
    lambda sdp: sip.Progress(KEY, 183, "", sdp),
    lambda sdp: sip.Answered(KEY, sdp),
    lambda sdp: sip.Confirmed(KEY, sdp),
    lambda sdp: sip.Reoffered(KEY, sdp),
    lambda sdp: sip.OfferAccepted(KEY, sdp),
    lambda sdp: sip.OfferRefused(KEY, 488, ""),
    lambda sdp: sip.Refused(KEY, 488, ""),
)


@given(
    where=st.sampled_from(sorted(SITUATIONS)),
    storm=st.lists(st.tuples(st.sampled_from(EVENTS), st.sampled_from(SDPS), st.floats(0, 8)), max_size=12),
    seed=st.integers(0, 2**32),
)
@settings(max_examples=150, deadline=None)
def test_no_order_of_events_breaks_a_leg(
    where: str, storm: list[tuple[Callable[[bytes], sip.SipEvent], bytes, float]], seed: int
) -> None:
    dice = random.Random(seed)
    world = SITUATIONS[where]()
    for make, sdp, pause in storm:
        world.signal(make(sdp))
        world.hear(dice.choice((NO_SIGNAL, dice.randbytes(40))), dice.choice((THEIRS, STRANGER)))
        world.wait(pause)
    world.wait(300.0)
    assert len(world.told(Finished)) <= 1
    if world.going_on:
        world.order(t30.Abort())
        world.wait(1.0)
    assert world.outcome.sentence.endswith(".")
    asked = sum(isinstance(make(b""), sip.Reoffered) for make, _, _ in storm)
    assert len(world.said(AcceptOffer)) + len(world.said(RefuseOffer)) <= asked
    assert len(world.said(HangUp)) <= 1
