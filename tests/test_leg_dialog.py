"""What a leg makes of its dialog besides the fax: refreshes, branches, answers without their ACK, reasons."""

from typing import Final

import pytest

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
    Refresh,
    RefuseOffer,
    SipOrder,
    Switched,
)
from vfax.outcome import Cause, Outcome
from vfax.t30 import values as t30
from vfax.transports.parameters import T38Parameters
from vfax.transports.sip import values as sip
from vfax.transports.sip.negotiation import MediaKind, MediaSession
from vfax.transports.sip.reason import Reason, parse_reason
from vfax.transports.sip.values import Address

KEY: Final = 1
THEIRS: Final[Address] = ("192.0.2.9", 30000)
OTHER: Final[Address] = ("192.0.2.7", 31000)
NO_SIGNAL: Final = bytes.fromhex("000001000000")
AUDIO_FIRST: Final = LegOptions(caller_offer=CallerOffer.AUDIO)
PAGES: Final = (t30.PageInfo(1728, 100, Resolution.STANDARD),)


def session(address: Address, number: int = 2) -> MediaSession:
    return MediaSession(host=address[0], port=address[1], parameters=T38Parameters(), session_id=number)


class Desk:
    """A leg and what it has said."""

    def __init__(self, options: LegOptions, *, offer: bytes | None = None) -> None:
        self.now = 0.0
        self.sip: list[SipOrder] = []
        self.events: list[LegEvent] = []
        self.media: list[tuple[bytes, Address]] = []
        incoming = None
        if offer is not None:
            incoming = sip.IncomingCall(
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
        pages = PAGES if offer is None else ()
        self.leg = Leg(options, session(("192.0.2.1", 20000), 1), incoming=incoming, pages=pages, now=0.0)
        self.leg.command(Dial() if offer is None else Accept(), 0.0)
        self.take()

    def take(self) -> None:
        self.sip += self.leg.take_sip()
        self.events += self.leg.take_events()
        self.media += self.leg.take_datagrams()

    def signal(self, *events: sip.SipEvent) -> list[SipOrder]:
        """Tell the leg; the orders that follow at once."""
        before = len(self.sip)
        for event in events:
            self.leg.signal(event, self.now)
            self.take()
        return self.sip[before:]

    def wait(self, seconds: float) -> None:
        until = self.now + seconds
        while (due := self.leg.next_timeout()) <= until:
            self.now = max(self.now, due)
            self.leg.handle_timeout(self.now)
            self.take()
        self.now = until

    @property
    def switched(self) -> list[Switched]:
        return [event for event in self.events if isinstance(event, Switched)]

    @property
    def outcome(self) -> Outcome:
        (finished,) = [event for event in self.events if isinstance(event, Finished)]
        return finished.outcome


def in_fax() -> tuple[Desk, MediaSession]:
    """A call of ours in which T.38 runs, and their side of it."""
    desk, theirs = Desk(LegOptions()), session(THEIRS)
    (invite,) = desk.sip
    assert isinstance(invite, Invite)
    desk.signal(sip.Answered(KEY, theirs.answer(invite.sdp, want=MediaKind.ANY).sdp))
    return desk, theirs


def in_audio() -> tuple[Desk, MediaSession]:
    """A call to us that began with audio and is confirmed, and their side of it."""
    theirs = session(THEIRS)
    desk = Desk(LegOptions(called_switch_after=30.0), offer=theirs.offer_audio())
    (answer,) = desk.sip
    assert isinstance(answer, Answer)
    theirs.read_answer(answer.sdp)
    desk.signal(sip.Confirmed(KEY, b""))
    return desk, theirs


# --- refreshes -------------------------------------------------------------------------------------


def test_a_refresh_says_what_runs_and_its_answer_touches_nothing() -> None:
    desk, theirs = in_fax()
    said = desk.sip[0]
    (refresh,) = desk.signal(sip.RefreshDue(KEY))
    assert isinstance(refresh, Refresh)
    assert isinstance(said, Invite)
    assert refresh.sdp == said.sdp
    desk.signal(sip.RefreshEnded(KEY, theirs.answer(refresh.sdp, want=MediaKind.ANY).sdp))
    assert len(desk.switched) == 1
    assert desk.signal(sip.RefreshDue(KEY)) == [refresh]


def test_a_refresh_whose_answer_names_another_place_is_followed() -> None:
    desk, _ = in_fax()
    (refresh,) = desk.signal(sip.RefreshDue(KEY))
    assert isinstance(refresh, Refresh)
    desk.signal(sip.RefreshEnded(KEY, session(OTHER).answer(refresh.sdp, want=MediaKind.ANY).sdp))
    assert [one.remote for one in desk.switched] == [THEIRS, OTHER]


@pytest.mark.parametrize("answer", [None, b"", b"rubbish"])
def test_a_refresh_that_came_to_nothing_leaves_all_as_it_was(answer: bytes | None) -> None:
    desk, _ = in_fax()
    (first,) = desk.signal(sip.RefreshDue(KEY))
    desk.signal(sip.RefreshEnded(KEY, answer))
    assert len(desk.switched) == 1
    assert desk.signal(sip.RefreshDue(KEY)) == [first]


def test_no_refresh_is_begun_while_another_answer_is_under_way() -> None:
    desk, _ = in_fax()
    desk.signal(sip.Reoffered(KEY, b"", acked=True))
    assert desk.signal(sip.RefreshDue(KEY)) == []
    desk.signal(sip.Confirmed(KEY, b""))
    assert len(desk.signal(sip.RefreshDue(KEY))) == 1
    assert desk.signal(sip.RefreshDue(KEY)) == []


def test_t38_is_not_offered_while_a_refresh_waits_for_its_answer() -> None:
    theirs = session(THEIRS)
    desk = Desk(LegOptions(), offer=theirs.offer_audio())
    desk.signal(sip.Confirmed(KEY, b""), sip.RefreshDue(KEY))
    desk.wait(10.0)
    assert not any(isinstance(order, Offer) for order in desk.sip)
    desk.signal(sip.RefreshEnded(KEY, None))
    desk.wait(3.0)
    assert any(isinstance(order, Offer) for order in desk.sip)


def test_an_offer_of_theirs_takes_the_place_of_a_refresh() -> None:
    desk, theirs = in_fax()
    desk.signal(sip.RefreshDue(KEY))
    (accepted,) = desk.signal(sip.Reoffered(KEY, theirs.offer_t38()))
    assert isinstance(accepted, AcceptOffer)
    desk.signal(sip.RefreshEnded(KEY, None))
    assert len(desk.signal(sip.RefreshDue(KEY))) == 1


# --- branches ------------------------------------------------------------------------------------


def test_the_branch_that_takes_the_call_brings_its_own_answer() -> None:
    desk = Desk(LegOptions())
    (invite,) = desk.sip
    assert isinstance(invite, Invite)
    one, two = session(THEIRS), session(OTHER, 3)
    for fork, side in (("one", one), ("two", two)):
        answer = side.answer(invite.sdp, want=MediaKind.ANY).sdp
        desk.signal(sip.Progress(KEY, 183, "", answer, fork, settled=True))
    assert not desk.switched
    desk.signal(sip.Answered(KEY, b"", "", "two"))
    assert [event.remote for event in desk.switched] == [OTHER]


def test_a_branch_may_change_its_mind_before_it_takes_the_call() -> None:
    desk = Desk(AUDIO_FIRST)
    (invite,) = desk.sip
    assert isinstance(invite, Invite)
    theirs = session(THEIRS)
    answer = theirs.answer(invite.sdp, want=MediaKind.ANY).sdp
    desk.signal(sip.Progress(KEY, 183, "", answer, "one", settled=True))
    (accepted,) = desk.signal(sip.Reoffered(KEY, theirs.offer_t38(), "one"))
    assert isinstance(accepted, AcceptOffer)
    assert accepted.fork == "one"
    assert desk.signal(sip.Reoffered(KEY, b"rubbish", "one")) == [RefuseOffer(400, "one")]
    assert desk.signal(sip.Reoffered(KEY, theirs.offer_t38(), "two")) == [RefuseOffer(491, "two")]
    assert not desk.switched
    desk.signal(sip.Answered(KEY, b"", "", "one"))
    assert [event.media for event in desk.events if isinstance(event, CallUp)] == ["t38"]


def test_a_foretaste_of_an_answer_decides_nothing() -> None:
    desk = Desk(LegOptions())
    (invite,) = desk.sip
    assert isinstance(invite, Invite)
    answer = session(THEIRS).answer(invite.sdp, want=MediaKind.ANY).sdp
    desk.signal(sip.Progress(KEY, 183, "", answer, "one"))
    desk.signal(sip.Answered(KEY, session(OTHER).answer(invite.sdp, want=MediaKind.ANY).sdp))
    assert [event.remote for event in desk.switched] == [OTHER]


# --- answers of ours that are not acknowledged yet ----------------------------------------------------


def test_media_stay_where_they_are_until_the_ack_has_come() -> None:
    desk, theirs = in_audio()
    (accepted,) = desk.signal(sip.Reoffered(KEY, theirs.offer_t38(), acked=True))
    assert isinstance(accepted, AcceptOffer)
    desk.wait(31.0)
    assert not desk.switched
    assert not any(isinstance(order, Offer) for order in desk.sip)
    desk.signal(sip.OfferSettled(KEY))
    assert [one.remote for one in desk.switched] == [THEIRS]


def test_t38_from_where_it_is_to_come_is_as_good_as_the_ack() -> None:
    desk, theirs = in_audio()
    desk.signal(sip.Reoffered(KEY, theirs.offer_t38(), acked=True))
    desk.leg.receive(NO_SIGNAL, OTHER, desk.now)
    desk.leg.receive(b"\x80\x00" + bytes(170), THEIRS, desk.now)  # audio still under way
    desk.take()
    assert not desk.switched
    desk.leg.receive(NO_SIGNAL, THEIRS, desk.now)
    desk.take()
    assert len(desk.switched) == 1
    desk.signal(sip.OfferSettled(KEY))
    assert len(desk.switched) == 1


def test_a_forged_offer_whose_answer_nobody_acknowledges_moves_nothing() -> None:
    desk, _ = in_fax()
    desk.media.clear()
    desk.signal(sip.Reoffered(KEY, session(OTHER).offer_t38(), acked=True))
    desk.wait(20.0)
    assert desk.media
    assert {to for _, to in desk.media} == {THEIRS}


def test_a_further_offer_tells_that_our_last_answer_has_come() -> None:
    desk, theirs = in_audio()
    desk.signal(sip.Reoffered(KEY, theirs.offer_t38(), acked=True))
    desk.signal(sip.Reoffered(KEY, theirs.refresh(), acked=True))
    assert len(desk.switched) == 1


# --- audio again, audio instead ------------------------------------------------------------------------


def test_audio_in_mid_fax_is_refused_and_after_the_last_word_of_the_fax_accepted() -> None:
    desk, theirs = in_fax()
    assert desk.signal(sip.Reoffered(KEY, theirs.offer_audio())) == [RefuseOffer(488)]
    desk.leg.command(t30.Abort(), desk.now)  # DCN is on its way
    desk.take()
    (accepted,) = desk.signal(sip.Reoffered(KEY, theirs.offer_audio()))
    assert isinstance(accepted, AcceptOffer)
    assert b"m=audio 20000" in accepted.sdp
    desk.wait(2.0)
    assert desk.outcome.cause is Cause.ABORTED


@pytest.mark.parametrize(
    ("status", "q850", "again"),
    [
        (400, 0, True),
        (403, 0, True),
        (406, 0, True),
        (415, 0, True),
        (488, 0, True),
        (500, 0, True),
        (501, 0, True),
        (606, 0, True),
        (503, 65, True),
        (404, 0, False),
        (486, 0, False),
        (503, 0, False),
        (503, 34, False),
        (603, 0, False),
    ],
)
def test_a_refused_t38_call_is_tried_with_audio_where_that_may_help(status: int, q850: int, again: bool) -> None:
    desk = Desk(LegOptions())
    reasons = (Reason("Q.850", q850),) if q850 else ()
    orders = desk.signal(sip.Refused(KEY, status, "", reasons=reasons))
    assert bool(orders) is again
    assert all(isinstance(order, Invite) and b"m=audio" in order.sdp for order in orders)


# --- reasons ---------------------------------------------------------------------------------------


def test_why_a_call_failed_and_when_to_come_back_stand_in_its_outcome() -> None:
    desk = Desk(AUDIO_FIRST)
    desk.signal(sip.Refused(KEY, 503, "", reasons=(Reason("Q.850", 34),), retry_after=90))
    assert (desk.outcome.cause, desk.outcome.q850, desk.outcome.retry_after) == (Cause.NETWORK, 34, 90)


@pytest.mark.parametrize(("cause", "expected"), [(16, Cause.PEER_HUNG_UP), (38, Cause.NETWORK)])
def test_the_cause_of_a_bye_tells_a_wish_from_a_failure(cause: int, expected: Cause) -> None:
    desk, _ = in_fax()
    desk.signal(sip.HungUp(KEY, "", (Reason("Q.850", cause),)))
    assert (desk.outcome.cause, desk.outcome.q850) == (expected, cause)


def test_our_goodbye_says_why_in_the_words_of_the_telephone_network() -> None:
    desk, _ = in_audio()
    desk.wait(60.0)
    (goodbye,) = [order for order in desk.sip if isinstance(order, HangUp)]
    assert parse_reason(goodbye.reason).cause == 88
    assert desk.outcome.cause is Cause.NOT_FAX
