"""Every verdict is reached by a call: a real leg, a peer that misbehaves, and the journal that both leave behind."""

import socket
from collections.abc import Callable
from contextlib import suppress
from dataclasses import fields, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

import pytest
import trio
from hypothesis import given
from hypothesis import strategies as st

from vfax import call
from vfax.codecs.dis import Resolution
from vfax.codecs.frames import Fcf, Frame
from vfax.course import Course, Said, course_of
from vfax.endpoint import Endpoint, EndpointOptions
from vfax.errors import DocumentError
from vfax.journal import Entry, Journal, facts_of, read_journal
from vfax.leg import Answer, CallerOffer, DtlsFailed, DtlsUp, Finished, Invite, LegEvent, LegOptions, Offer
from vfax.outcome import Cause, Outcome, Phase, Retry, T30Result
from vfax.record import CallRecord, Packets, RecordOptions, Terms
from vfax.resolving import DnsOptions
from vfax.signals import FrameReceived, Modem, SendEcm, SendFrames, SendImage, SendTraining
from vfax.simulate import Plane, Side, SimulatedPage, Simulation, Watcher
from vfax.t30 import values as t30
from vfax.t30.options import AfterRtn, Limits, T30Options, Timers
from vfax.transports.parameters import Dtls, DtlsTrouble, T38Parameters
from vfax.transports.simnet import BadLine
from vfax.transports.sip import values as sip
from vfax.transports.sip.negotiation import MediaKind, MediaSession
from vfax.transports.sip.reason import Reason
from vfax.transports.udp import format_address
from vfax.verdict import Verdict, explain, judge
from vfax.verdict_table import ALONE, ROWS, V

if TYPE_CHECKING:
    Stage = Any
    Play = Any

KEY: Final = 1
AUDIO: Final = LegOptions(caller_offer=CallerOffer.AUDIO)
PLAIN: Final = T30Options(ecm=False)
Scene = Callable[["Stage"], "Play"]


def fax(**changes: object) -> LegOptions:
    """Options of a leg whose T.30 differs."""
    return LegOptions(fax=replace(T30Options(), **changes))  # type: ignore[arg-type]


def refused(status: int, *, heard: bool = True, options: LegOptions = AUDIO, q850: int = 0) -> Scene:
    """The INVITE ends with a status."""

    def answer(play: "Play", order: object) -> bool:
        if isinstance(order, Invite):
            reasons = (Reason("Q.850", q850),) if q850 else ()
            play.signal(sip.Refused(KEY, status, "", heard=heard, reasons=reasons))
        return True

    return lambda stage: stage.play(True, options=options, answers=answer)


def not_secured(trouble: DtlsTrouble) -> Scene:
    """T.38 over DTLS is agreed, and no association is made."""
    failed = DtlsFailed(trouble, "what was seen")
    options = LegOptions(dtls=Dtls.OPPORTUNISTIC)
    return lambda stage: stage.play(True, options=options, secured=failed, lose=lambda direction, number: True)


def rings_only(play: "Play", order: object) -> bool:
    """180, and nothing else."""
    if isinstance(order, Invite):
        play.signal(sip.Progress(KEY, 180, "Ringing", b""))
    return True


def silent_sip(_: "Play", __: object) -> bool:
    """Nothing."""
    return True


def audio_then(act: Callable[["Play", object], None]) -> Callable[["Play", object], bool]:
    """The call is answered with audio; `act` does the rest."""
    theirs = MediaSession(host="192.0.2.9", port=30000, parameters=T38Parameters(), session_id=2)

    def answer(play: "Play", order: object) -> bool:
        match order:
            case Invite(sdp):
                play.signal(sip.Answered(KEY, theirs.answer(sdp, want=MediaKind.ANY).sdp))
                act(play, order)
            case Answer(sdp):
                play.signal(sip.Confirmed(KEY, b""))
                act(play, order)
            case _:
                act(play, order)
        return True

    return answer


def refuse_switch(play: "Play", order: object) -> None:
    """488 to the re-INVITE."""
    if isinstance(order, Offer):
        play.signal(sip.OfferRefused(KEY, 488, "Not Acceptable Here"))


def never_mind(_: "Play", order: object) -> None:
    """Audio for ever; an offer has no answer."""


def after_answer(*events: sip.SipEvent) -> Callable[["Play", object], None]:
    """Events once the call is up."""

    def act(play: "Play", order: object) -> None:
        if isinstance(order, Invite | Answer):
            play.at(1.0, lambda: play.signal(*events))

    return act


def audio_offer() -> bytes:
    return MediaSession(host="192.0.2.9", port=30000, parameters=T38Parameters(), session_id=2).offer_audio()


def nothing_arrives(direction: str, _: int) -> bool:
    """One way only."""
    return direction == "in"


def some_lost(direction: str, number: int) -> bool:
    """Bursts of loss that redundancy cannot mend."""
    return direction == "in" and number % 90 in range(40, 46)


def lost_out(direction: str, number: int) -> bool:
    """The same the other way."""
    return direction == "out" and number % 90 in range(40, 46)


def later(order: t30.Order, after: float) -> Callable[["Stage", "Play"], "Play"]:
    """Give the leg an order of ours after some seconds."""

    def act(_: "Stage", play: "Play") -> "Play":
        play.at(after, lambda: play.order(order))
        return play

    return act


def ordered(sending: bool, order: t30.Order, after: float) -> Scene:
    return lambda stage: later(order, after)(stage, stage.play(sending))


def signalled(sending: bool, event: sip.SipEvent, after: float) -> Scene:
    def scene(stage: "Stage") -> "Play":
        play = stage.play(sending)
        play.at(after, lambda: play.signal(event))
        return play

    return scene


def damage(play: "Play", order: object) -> object:
    """The peer's plain pages and trainings become noise."""
    if isinstance(order, SendImage):
        return (replace(order, data=bytes(order.data[:40]) + b"\x5a\xc3" * (len(order.data) // 2)),)
    return (order,)


def damage_first(play: "Play", order: object) -> object:
    """Some of the peer's first page becomes noise."""
    if not isinstance(order, SendImage) or play.leg.course.page:
        return (order,)
    data = bytearray(order.data)
    for place in range(1000, len(data), 2000):
        data[place : place + 200] = b"\x5a\xc3" * 100
    return (replace(order, data=bytes(data)),)


def bad_training(_: "Play", order: object) -> object:
    """The peer's training is cut to almost nothing."""
    return (replace(order, octets=20),) if isinstance(order, SendTraining) else (order,)


def gone_after_bad_training(play: "Play", order: object) -> object:
    """A training that cannot be used, and nothing after it."""
    if isinstance(order, SendTraining):
        play.at(3.0, play.vanish)
    return bad_training(play, order)


def no_training(play: "Play", order: object) -> object:
    """DCS and then nothing; the sender never gives up."""
    if isinstance(order, SendTraining) or "DCN" in names(order):
        return ()
    return (order,)


def answers_nonsense(_: "Play", order: object) -> object:
    """A caller that says CFR when DCS is due."""
    if "DCS" in names(order):
        return (SendFrames((Frame(Fcf.CFR).encode(),)),)
    return () if "DCN" in names(order) else (order,)


def names(order: object) -> tuple[str, ...]:
    """The T.30 names in a burst."""
    return tuple(Frame.decode(one).fcf.title for one in order.frames) if isinstance(order, SendFrames) else ()


def aborted_soon(stage: "Stage") -> "Play":
    """While it rings."""
    play = stage.play(True, answers=rings_only)
    play.at(5.0, lambda: play.order(t30.Abort("the user wished so")))
    return play


def dcn_in_page(stage: "Stage") -> "Play":
    """The receiver cuts in with DCN while we send."""
    play = stage.play(True, rows=200)
    play.at(14.0, lambda: play.cut_with(stage.frame(Fcf.DCN)))
    return play


def chooses_jbig(_: "Play", order: object) -> object:
    """A DCS that chooses what nobody offered."""
    if "DCS" not in names(order):
        return (order,)
    info = bytearray(Frame.decode(order.frames[-1]).info) + bytes(10)  # type: ignore[attr-defined]
    for octet in range(2, 9):
        info[octet] |= 1
    info[9] |= 0x04  # bit 78
    return (SendFrames((Frame(Fcf.DCS, bytes(info)).encode(),)),)


def misses_a_frame(signal: object) -> bool:
    """The peer never gets the first frame of a block."""
    if not isinstance(signal, FrameReceived) or signal.modem is Modem.V21:
        return False
    return signal.octets[2:4] == bytes((Fcf.FCD.value, 0))


def gives_up_a_frame(_: "Play", order: object) -> object:
    """The first frame of a block never comes."""
    if not isinstance(order, SendEcm):
        return (order,)
    return (replace(order, frames=tuple(one for one in order.frames if one[2:4] != bytes((Fcf.FCD.value, 0)))),)


def not_ready(stage: "Stage", pages: int = 2) -> "Play":
    """RNR to everything."""

    def twist(_: "Play", order: object) -> object:
        return (stage.frame(Fcf.RNR),) if "MCF" in stage.names(order) else (order,)

    return stage.play(True, pages=pages, twist=twist)


SCENES: Final[dict[V, Scene]] = {
    # success
    V.DELIVERED: lambda stage: stage.play(True, pages=3),
    V.DELIVERED_WITH_REPEATS: lambda stage: stage.play(True, lose=lost_out, rows=200),
    V.RECEIVED: lambda stage: stage.play(False, pages=3),
    V.RECEIVED_WITH_REPEATS: lambda stage: stage.play(False, lose=some_lost, rows=200),
    V.RECEIVED_WITH_MARKS: lambda stage: stage.play(
        False,
        theirs=PLAIN,
        rows=200,
        lose=lambda direction, number: direction == "in" and number in range(220, 226),
    ),
    V.RECEIVED_WITHOUT_GOODBYE: lambda stage: stage.play(False, twist=stage.vanish_at("DCN")),
    # the call: sending
    V.BUSY: refused(486),
    V.RANG_IN_VAIN: lambda stage: stage.play(True, answers=rings_only),
    V.NOT_AVAILABLE: refused(480),
    V.NO_ANSWER: refused(408),
    V.ADDRESS_INCOMPLETE: refused(484),
    V.ADDRESS_MOVED: refused(302),
    V.ADDRESS_UNKNOWN: refused(404),
    V.LOGIN_REQUIRED: refused(407),
    V.FORBIDDEN: refused(403),
    V.DECLINED: refused(603),
    V.AUDIO_REFUSED: refused(488),
    V.NO_ROUTE: refused(500, q850=3),
    V.PAYMENT_REQUIRED: refused(402),
    V.CALLER_UNKNOWN: refused(433),
    V.CALLS_BARRED: refused(403, q850=57),
    V.BEARER_REFUSED: refused(503, q850=65),
    V.EXTENSION_MISSING: refused(421),
    V.MESSAGE_TOO_LARGE: refused(513),
    V.CALL_REJECTED: refused(608),
    V.NO_CIRCUIT: refused(503, q850=34),
    V.OUT_OF_ORDER: refused(480, q850=27),
    V.NETWORK_FAILED: refused(503, q850=38),
    V.ROUND_IN_CIRCLES: refused(483),
    V.T38_REFUSED: refused(488, options=LegOptions(caller_retries_audio=False)),
    V.T38_DECLINED: lambda stage: stage.play(
        True,
        answers=lambda play, order: (
            isinstance(order, Invite)
            and (play.signal(sip.Answered(KEY, order.sdp.replace(b"m=image 20000", b"m=image 0"))) or True)
        ),
    ),
    V.SWITCH_REFUSED: lambda stage: stage.play(True, options=AUDIO, answers=audio_then(refuse_switch)),
    V.NOT_A_FAX: lambda stage: stage.play(True, options=AUDIO, answers=audio_then(never_mind)),
    V.SIP_SILENT: refused(408, heard=False),
    V.SERVER_OVERLOADED: refused(503),
    V.SERVER_FAILED: refused(500),
    V.CALL_LOST_ITS_WAY: refused(481),
    V.ANSWER_UNREADABLE: lambda stage: stage.play(
        True,
        answers=lambda play, order: isinstance(order, Invite) and (play.signal(sip.Answered(KEY, b"rubbish")) or True),
    ),
    V.HUNG_UP_BEFORE_FAX: lambda stage: stage.play(
        True, options=AUDIO, answers=audio_then(after_answer(sip.HungUp(KEY, "")))
    ),
    # the call: receiving
    V.OFFER_UNUSABLE: lambda stage: stage.play(False, offer=b"hello"),
    V.CALLER_REFUSED_SWITCH: lambda stage: stage.play(False, offer=audio_offer(), answers=audio_then(refuse_switch)),
    V.CALLER_NOT_A_FAX: lambda stage: stage.play(False, offer=audio_offer(), answers=audio_then(never_mind)),
    V.CALLER_HUNG_UP_BEFORE_FAX: lambda stage: stage.play(
        False, offer=audio_offer(), answers=audio_then(after_answer(sip.HungUp(KEY, "")))
    ),
    # the call: both
    V.DIALOG_LOST: lambda stage: stage.play(
        False, offer=audio_offer(), answers=audio_then(after_answer(sip.DialogLost(KEY, "no ACK came")))
    ),
    V.DIALOG_LOST_IN_FAX: signalled(True, sip.DialogLost(KEY, "481 to a refresh"), 16.0),
    # encryption
    V.DTLS_REFUSED: refused(488, options=LegOptions(dtls=Dtls.REQUIRED, caller_retries_audio=False)),
    V.DTLS_WRONG_CERTIFICATE: not_secured(DtlsTrouble.MISMATCH),
    V.DTLS_SILENT: not_secured(DtlsTrouble.SILENT),
    V.DTLS_FAILED: not_secured(DtlsTrouble.FAILED),
    # phase B, sending
    V.NO_PACKETS: lambda stage: stage.play(True, lose=nothing_arrives),
    V.NO_SIGNAL: lambda stage: stage.play(True, twist=stage.instead("DIS")),
    V.NO_CAPABILITIES: lambda stage: stage.play(True, twist=stage.instead("DIS", stage.frame(Fcf.MCF))),
    V.NO_COMMON_MODE: lambda stage: stage.play(
        True, options=fax(modems=frozenset({Modem.V17_14400}), min_rate_bps=14400), theirs=T30Options(max_rate_bps=4800)
    ),
    V.DCN_FOR_CALL: lambda stage: stage.play(True, twist=stage.instead("DIS", stage.frame(Fcf.DCN))),
    V.DCN_FOR_TRAINING: lambda stage: stage.play(True, twist=stage.instead("CFR", stage.frame(Fcf.DCN))),
    V.DCS_UNHEARD: lambda stage: stage.play(
        True, twist=stage.instead("CFR", stage.frame(Fcf.DIS, T30Options().capabilities().encode()))
    ),
    V.TRAINING_UNANSWERED: lambda stage: stage.play(True, twist=stage.vanish_at("CFR")),
    V.TRAINING_REFUSED: lambda stage: stage.play(True, twist=stage.instead("CFR", stage.frame(Fcf.FTT))),
    V.HUNG_UP_IN_TRAINING: lambda stage: stage.play(True, twist=stage.hang_up_at("CFR")),
    # phase B, receiving
    V.CALLER_NO_PACKETS: lambda stage: stage.play(False, lose=nothing_arrives),
    V.CALLER_NO_SIGNAL: lambda stage: stage.play(False, twist=stage.mute("DCS", "DCN")),
    V.CALLER_NO_DCS: lambda stage: stage.play(False, twist=answers_nonsense),
    V.TRAINING_MISSING: lambda stage: stage.play(False, twist=no_training),
    V.TRAINING_UNUSABLE: lambda stage: stage.play(False, twist=gone_after_bad_training),
    V.MODE_NOT_OFFERED: lambda stage: stage.play(False, twist=chooses_jbig),
    V.CALLER_DCN: lambda stage: stage.play(False, twist=stage.instead("DCS", stage.frame(Fcf.DCN))),
    V.CALLER_DCN_AFTER_FTT: lambda stage: stage.play(
        False, twist=bad_training, theirs=T30Options(modems=frozenset({Modem.V27TER_2400}))
    ),
    V.CALLER_HUNG_UP_IN_TRAINING: lambda stage: stage.play(False, twist=stage.hang_up_at("DCS")),
    # pages, sending
    V.DCN_IN_PAGE: dcn_in_page,
    V.DCN_AFTER_PAGE: lambda stage: stage.play(True, pages=2, twist=stage.instead("MCF", stage.frame(Fcf.DCN))),
    V.HUNG_UP_IN_PAGE: signalled(True, sip.HungUp(KEY, "Q.850;cause=31"), 16.0),
    V.HUNG_UP_AFTER_PAGE: lambda stage: stage.play(True, pages=2, twist=stage.hang_up_at("MCF")),
    V.PAGE_UNANSWERED: lambda stage: stage.play(True, pages=2, twist=stage.vanish_at("MCF")),
    V.ANSWERS_MAKE_NO_SENSE: lambda stage: stage.play(True, pages=2, twist=stage.instead("MCF", stage.frame(Fcf.CFR))),
    V.RECEIVER_NEVER_READY: not_ready,
    V.RATE_CHANGE_UNANSWERED: lambda stage: stage.play(True, deaf=misses_a_frame, twist=stage.vanish_at("CTR")),
    V.CORRECTION_UNANSWERED: lambda stage: stage.play(
        True, deaf=misses_a_frame, twist=stage.vanish_at("ERR"), options=fax(max_rate_bps=2400)
    ),
    V.PAGE_REFUSED: lambda stage: stage.play(True, theirs=replace(PLAIN, rtn_from=0.0, rtn_limit=99)),
    V.CORRECTION_FAILED: lambda stage: stage.play(True, deaf=misses_a_frame, options=fax(max_rate_bps=2400)),
    V.LAST_PAGE_UNANSWERED: lambda stage: stage.play(True, twist=stage.vanish_at("MCF")),
    V.LAST_PAGE_HUNG_UP: lambda stage: stage.play(True, twist=stage.hang_up_at("MCF")),
    V.LAST_PAGE_DCN: lambda stage: stage.play(True, twist=stage.instead("MCF", stage.frame(Fcf.DCN))),
    # pages, receiving
    V.PAGE_NEVER_CAME: lambda stage: stage.play(
        False, twist=lambda play, order: play.vanish() or () if isinstance(order, SendEcm) else (order,)
    ),
    V.STOPPED_IN_PAGE: lambda stage: stage.play(
        False, pages=3, rows=200, twist=stage.in_page(lambda play: play.vanish(), number=3, after=5.0)
    ),
    V.SILENT_AFTER_PAGE: lambda stage: stage.play(False, twist=stage.vanish_at("PPS")),
    V.SENDER_DCN_IN_PAGE: lambda stage: stage.play(
        False, rows=200, twist=stage.in_page(lambda play: play.cut_with(stage.frame(Fcf.DCN)))
    ),
    V.SENDER_DCN_BETWEEN_PAGES: lambda stage: stage.play(
        False,
        pages=2,
        twist=stage.second_page(lambda play: (stage.frame(Fcf.DCN),)),
    ),
    V.SENDER_HUNG_UP_BETWEEN_PAGES: lambda stage: stage.play(
        False, pages=2, twist=stage.second_page(lambda play: play.at(0.0, play.hang_up) or ())
    ),
    V.SENDER_HUNG_UP_IN_PAGE: lambda stage: stage.play(
        False, pages=2, rows=200, twist=stage.in_page(lambda play: play.hang_up(), number=2, after=5.0)
    ),
    V.SENDER_HUNG_UP_AFTER_PAGE: lambda stage: stage.play(False, twist=stage.hang_up_at("PPS")),
    V.PAGE_TOO_DAMAGED: lambda stage: stage.play(False, theirs=PLAIN, rows=200, twist=damage),
    V.CORRECTION_INCOMPLETE: lambda stage: stage.play(
        False, twist=gives_up_a_frame, theirs=T30Options(max_rate_bps=2400)
    ),
    # this side
    V.SENDING_ABORTED: ordered(True, t30.Abort("the user wished so"), 16.0),
    V.RECEIVING_ABORTED: ordered(False, t30.Abort("the user wished so"), 16.0),
    V.PAGE_NOT_STORED: lambda stage: stage.play(
        False, pages=2, store=lambda number: (0.1, "No space left on device" if number == 2 else "")
    ),
    V.STORE_TOO_SLOW: lambda stage: stage.play(False, store=lambda number: (500.0, "")),
    V.PAGE_NOT_CODED: lambda stage: stage.play(
        True, pages=2, document=lambda number: "the file is gone" if number == 2 else ""
    ),
    V.PAGE_CODED_LATE: lambda stage: stage.play(True, coding=60.0),
    V.LIMIT_SENDING: lambda stage: stage.play(True, rows=400, options=fax(timers=Timers(page=5.0))),
    V.LIMIT_RECEIVING: lambda stage: stage.play(False, pages=3, options=fax(limits=Limits(pages=2))),
}
"""Verdicts that a leg alone can reach, and how."""


TWO_KINDS: Final = (Resolution.FINE, Resolution.STANDARD)

SCENES[V.NEXT_DOCUMENT_UNANSWERED] = lambda stage: stage.play(
    True, formats=TWO_KINDS, twist=stage.vanish_at("DIS", after=1)
)
SCENES[V.SILENT_BETWEEN_PAGES] = lambda stage: stage.play(
    False, formats=TWO_KINDS, twist=stage.vanish_at("DCS", after=1)
)
SCENES[V.LAST_PAGE_NEVER_READY] = lambda stage: not_ready(stage, pages=1)
SCENES[V.OPERATOR_WANTED] = lambda stage: stage.play(True, pages=2, twist=stage.instead("MCF", stage.frame(Fcf.PID)))
SCENES[V.PAGE_PASSED_OVER] = lambda stage: stage.play(
    True, pages=2, theirs=replace(PLAIN, rtn_from=0.0, rtn_limit=99), options=fax(after_rtn=AfterRtn.GO_ON)
)
SCENES[V.PAGE_NOT_REPEATED] = lambda stage: stage.play(
    False, pages=2, rows=200, theirs=replace(PLAIN, after_rtn=AfterRtn.GO_ON), twist=damage_first
)
SCENES[V.ABORTED_BEFORE_FAX] = lambda stage: aborted_soon(stage)


@pytest.mark.parametrize("name", SCENES)
def test_a_call_reaches_the_verdict_and_its_journal_says_the_same(name: V, stage: "Stage", tmp_path: Path) -> None:
    outcome = SCENES[name](stage).run()
    assert outcome.verdict == name, outcome.sentence
    said = judge(read_journal(tmp_path / "call.jsonl"))
    assert (said.name, said.sentence) == (name, outcome.sentence)
    assert (said.outcome.retry, said.outcome.t30_result) == (outcome.retry, outcome.t30_result)


@pytest.mark.parametrize("name", SCENES)
def test_the_course_told_live_and_read_from_the_journal_are_one(name: V, stage: "Stage", tmp_path: Path) -> None:
    play = SCENES[name](stage)
    play.run()
    read = course_of(read_journal(tmp_path / "call.jsonl"))
    live = play.leg.course
    for field in fields(Course):
        assert rounded(getattr(read, field.name)) == rounded(getattr(live, field.name)), field.name


def rounded(fact: object) -> object:
    """Moments to a tenth of a second: a journal has milliseconds."""
    if isinstance(fact, Said):
        return fact.name, fact.words, pytest.approx(fact.at, abs=0.05)
    return pytest.approx(fact, abs=0.05) if isinstance(fact, float) else fact


def test_an_encrypted_fax_says_so_live_and_from_its_journal(stage: "Stage", tmp_path: Path) -> None:
    up = DtlsUp(("192.0.2.9", 40000), "DTLSv1.2", "ECDHE-ECDSA-AES256-GCM-SHA384", "sha-256 AB:CD")
    play = stage.play(True, options=LegOptions(dtls=Dtls.OPPORTUNISTIC), secured=up)
    outcome = play.run()
    said = judge(read_journal(tmp_path / "call.jsonl"))
    assert (outcome.encrypted, said.outcome.encrypted) == (True, True)
    assert "encrypted, DTLSv1.2 ECDHE-ECDSA-AES256-GCM-SHA384" in said.evidence
    assert course_of(read_journal(tmp_path / "call.jsonl")).encryption == play.leg.course.encryption


# --- calls that never get as far as a leg ---------------------------------------------------------


def judged(folder: Path) -> list[Verdict]:
    """What each journal says."""
    return [judge(read_journal(path)) for path in sorted(folder.glob("*.jsonl"))]


async def through_endpoint(
    folder: Path,
    on_call: Callable[[call.InboundCall], None],
    destination: str = "",
    document: Path | None = None,
    **more: Any,
) -> tuple[Outcome | None, list[Verdict]]:
    """One call from one endpoint to another: the caller's outcome, and what both journals say."""
    options = EndpointOptions(listen=("127.0.0.1", 0), journal=folder, **more)
    called, caller = Endpoint(options), Endpoint(options)
    outcome = None
    async with trio.open_nursery() as nursery:
        await nursery.start(called.run, on_call)
        await nursery.start(caller.run, on_call)
        one = caller.outbound()
        to = destination or f"sip:1@{format_address(called.address)}"
        request = call.SendRequest(document=document or folder, destination=to, local_id="", caller_name="")
        with suppress(DocumentError):
            outcome = await one.send(request, publish=lambda event: None)
        await trio.sleep(0.2)
        nursery.cancel_scope.cancel()
    return outcome, judged(folder)


@pytest.mark.parametrize(
    ("status", "name"), [(486, V.REFUSED_BUSY), (480, V.REFUSED_UNANSWERED), (603, V.REFUSED_HERE)]
)
async def test_a_call_that_this_side_refuses(
    status: int, name: V, tmp_path: Path, make_document: Callable[..., Path]
) -> None:
    document = make_document()
    _, said = await through_endpoint(tmp_path, lambda arrived: arrived.refuse(status), document=document)
    assert name in {one.name for one in said}
    assert {one.outcome.sending for one in said} == {True, False}


async def test_a_caller_that_gives_up_while_it_rings(tmp_path: Path, make_document: Callable[..., Path]) -> None:
    options = EndpointOptions(listen=("127.0.0.1", 0), journal=tmp_path)
    called, caller = Endpoint(options), Endpoint(options)
    arrived: list[call.InboundCall] = []
    rings = trio.Event()

    def ring(one: call.InboundCall) -> None:
        arrived.append(one)
        one.ring()
        rings.set()

    async with trio.open_nursery() as nursery:
        await nursery.start(called.run, ring)
        await nursery.start(caller.run, ring)
        out = caller.outbound()
        to = f"sip:1@{format_address(called.address)}"
        request = call.SendRequest(document=make_document(), destination=to, local_id="", caller_name="")
        nursery.start_soon(lambda: out.send(request, publish=lambda event: None))
        await rings.wait()
        out.abort()
        await arrived[0].ended_early.wait()
        outcome = await arrived[0].receive(tmp_path / "in.tif", local_id="", publish=lambda event: None)
        nursery.cancel_scope.cancel()
    assert outcome.verdict == V.CALLER_GAVE_UP
    assert {one.name for one in judged(tmp_path)} == {V.CALLER_GAVE_UP, V.ABORTED_BEFORE_FAX}


async def test_a_destination_that_cannot_be_called(tmp_path: Path, make_document: Callable[..., Path]) -> None:
    document = make_document()
    outcome, said = await through_endpoint(tmp_path, lambda arrived: None, "mailto:nobody", document)
    assert outcome is not None
    assert (outcome.verdict, [one.name for one in said]) == (V.NAME_UNRESOLVED, [V.NAME_UNRESOLVED])


async def test_a_name_that_nobody_tells_may_be_told_later(tmp_path: Path, make_document: Callable[..., Path]) -> None:
    document = make_document()
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as silent:
        silent.bind(("127.0.0.1", 0))
        mute = DnsOptions(servers=(silent.getsockname(),), lifetime=0.3)
        outcome, said = await through_endpoint(
            tmp_path, lambda arrived: None, "sip:1@pbx.example:5060", document, dns=mute
        )
    assert outcome is not None
    assert (outcome.cause, outcome.retry) == (Cause.NETWORK, Retry.LATER)
    assert outcome.sentence.startswith("Where to call could not be found out (no address is known for pbx.example: ")
    assert (outcome.verdict, [one.name for one in said]) == (V.NAME_UNANSWERED, [V.NAME_UNANSWERED])


async def test_a_document_that_is_none(tmp_path: Path) -> None:
    text = tmp_path / "letter.tif"
    text.write_text("no picture")
    _, said = await through_endpoint(tmp_path, lambda arrived: None, document=text)
    assert [one.name for one in said] == [V.DOCUMENT_UNREADABLE]


async def test_a_fault_of_ours_says_so(tmp_path: Path, make_document: Callable[..., Path]) -> None:
    def stumble(arrived: call.InboundCall) -> None:
        raise ValueError("a fault of the host")

    document = make_document()
    _, said = await through_endpoint(tmp_path, stumble, document=document)
    assert V.FAULT in {one.name for one in said}


BY_TABLE: Final[dict[V, tuple[Cause, Phase, bool]]] = {
    V.NO_LINE: (Cause.LINE_UNAVAILABLE, Phase.CALL, True),
    V.NO_LINE_FOR_CALL: (Cause.LINE_UNAVAILABLE, Phase.CALL, False),
    V.DOCUMENT_NOT_STORED: (Cause.STORAGE, Phase.RELEASE, False),
    V.FAILED_SENDING: (Cause.NO_COMMAND, Phase.MESSAGE, True),
    V.FAILED_RECEIVING: (Cause.NO_RESPONSE, Phase.MESSAGE, False),
}
"""What calls reach by way of files, ports and hosts (tests/test_endpoint*.py), and what no call should ever reach."""


@pytest.mark.parametrize("name", BY_TABLE)
def test_what_happens_around_a_call_has_its_verdict(name: V) -> None:
    cause, phase, sending = BY_TABLE[name]
    assert explain(Outcome(cause=cause, phase=phase), Course(), sending=sending, evidence="why").verdict == name


# --- polling: two legs, virtual time ---------------------------------------------------------------


class Journals(Watcher):
    """Both sides' journals, written as a call writes them."""

    def __init__(self, folder: Path, options: dict[Side, LegOptions]) -> None:
        self.now = 0.0
        self.logs = {
            side: Journal(folder / f"{side}.jsonl", clock=lambda: self.now, call=side, wall=lambda: 1.7e9)
            for side in Side
        }
        self.records: dict[Side, CallRecord] = {}
        for side, log in self.logs.items():
            log.note("call", direction="out" if side is Side.CALLER else "in", polls=side is Side.CALLER)
            terms = Terms(options=options[side], called=side is Side.CALLED)
            self.records[side] = CallRecord(log, terms, RecordOptions(packets=Packets.OFF))

    def event(self, side: Side, event: LegEvent, now: float) -> None:
        self.now = now
        self.records[side].event(event, now)
        if isinstance(event, Finished):
            self.logs[side].note("outcome", **facts_of(event.outcome))


class Deaf(BadLine):
    """A perfect road until it is cut."""

    cut = False

    def send(self, datagram: bytes, now: float) -> None:
        if not self.cut:
            super().send(datagram, now)


PAGE: Final = SimulatedPage(1728, 8, Resolution.FINE, bytes(8 * 216))
KEPT_UNDER: Final = t30.Addressing(poll_address="22", poll_password="4711")


def polled(
    folder: Path, *, pages: int = 1, asking: t30.Addressing = KEPT_UNDER, cut: bool = False, **options: LegOptions
) -> tuple[Outcome, Outcome]:
    """One call that polls: what caller and called say, live and by their journals. `cut`: DTC is the last heard."""
    both = {side: options.get(side.value, LegOptions()) for side in Side}
    journals = Journals(folder, both)
    roads: dict[tuple[Side, Plane], Deaf] = {}

    def road(side: Side, plane: Plane, dice: Any) -> Deaf:
        return roads.setdefault((side, plane), Deaf(dice, delay=0.02))

    world = Simulation(
        [PAGE] * pages,
        seed=1,
        polled=True,
        addressing=KEPT_UNDER,
        asking=asking,
        roads=road,
        watch=journals,
        calling=both[Side.CALLER],
        called=both[Side.CALLED],
    )
    if cut:
        world.at(5.2, lambda: setattr(roads[Side.CALLER, Plane.MEDIA], "cut", True))
    fax = world.run()
    assert fax.received is not None
    for log in journals.logs.values():
        log.close()
    for side, outcome in ((Side.CALLER, fax.sent), (Side.CALLED, fax.received)):
        assert judge(read_journal(folder / f"{side}.jsonl")).name == outcome.verdict
    return fax.sent, fax.received


def test_a_document_that_is_polled_was_received_by_the_caller_and_delivered_by_the_called(tmp_path: Path) -> None:
    caller, called = polled(tmp_path, pages=2)
    assert (caller.verdict, called.verdict) == (V.RECEIVED, V.DELIVERED)


def test_polling_a_machine_without_a_document(tmp_path: Path) -> None:
    caller, called = polled(tmp_path, pages=0)
    assert (caller.verdict, called.verdict) == (V.NOTHING_TO_POLL, V.CALLER_DCN)


def test_polling_with_another_password_is_refused(tmp_path: Path) -> None:
    caller, called = polled(tmp_path, asking=t30.Addressing(poll_address="22", poll_password="1"))
    assert (caller.verdict, called.verdict) == (V.POLL_REFUSED, V.POLL_NOT_ALLOWED)
    assert "another password (PWD)" in called.sentence


def test_polling_a_machine_that_hears_no_dtc(tmp_path: Path) -> None:
    caller, _ = polled(tmp_path, cut=True)
    assert caller.verdict == V.POLL_UNANSWERED
    assert "DTC was said 3 times" in caller.sentence


def test_a_polled_machine_whose_mode_the_caller_lacks_says_so_and_nothing_of_passwords(tmp_path: Path) -> None:
    fast_only = fax(modems=frozenset({Modem.V17_14400}), min_rate_bps=14400)
    _, called = polled(tmp_path, called=fast_only, caller=fax(max_rate_bps=4800))
    assert called.verdict == V.NO_COMMON_MODE


async def test_who_polls_and_finds_a_busy_machine_is_not_told_that_this_side_is_busy(tmp_path: Path) -> None:
    options = EndpointOptions(listen=("127.0.0.1", 0), journal=tmp_path)
    called, caller = Endpoint(options), Endpoint(options)
    async with trio.open_nursery() as nursery:
        await nursery.start(called.run, lambda arrived: arrived.refuse(486))
        await nursery.start(caller.run, lambda arrived: None)
        request = call.PollRequest(destination=f"sip:1@{format_address(called.address)}", local_id="", caller_name="")
        outcome = await caller.outbound().poll(request, tmp_path / "polled.tif", publish=lambda event: None)
        nursery.cancel_scope.cancel()
    assert (outcome.verdict, outcome.sending) == (V.BUSY, False)
    assert "nothing was received" in outcome.sentence
    assert {one.name for one in judged(tmp_path)} == {V.BUSY, V.REFUSED_BUSY}


POLLS: Final = {V.NOTHING_TO_POLL, V.POLL_REFUSED, V.POLL_UNANSWERED, V.POLL_NOT_ALLOWED}


def test_every_result_is_some_verdicts() -> None:
    assert {row.result for row in ROWS} | {result for _, result, _ in ALONE.values()} == set(T30Result)


OTHERS: Final = {
    V.CALLER_GAVE_UP,
    V.REFUSED_BUSY,
    V.REFUSED_UNANSWERED,
    V.REFUSED_HERE,
    V.NAME_UNRESOLVED,
    V.NAME_UNANSWERED,
    V.DOCUMENT_UNREADABLE,
    V.FAULT,
}


def test_every_verdict_is_reached_by_a_test() -> None:
    assert set(SCENES) | POLLS | set(BY_TABLE) | OTHERS | set(ALONE) == set(V)


def test_no_two_verdicts_say_the_same() -> None:
    sentences = [row.sentence for row in ROWS] + [text for text, _, _ in ALONE.values()]
    assert len(sentences) == len(set(sentences)) == len(set(V))


# --- journals that have no outcome ----------------------------------------------------------------


def test_a_journal_cut_off_anywhere_still_tells_how_far_it_came(stage: "Stage", tmp_path: Path) -> None:
    stage.play(False, pages=2).run()
    path = tmp_path / "call.jsonl"
    whole = path.read_bytes().splitlines(keepends=True)
    cut = tmp_path / "cut.jsonl"
    for count in range(1, len(whole) - 1, 7):
        cut.write_bytes(b"".join(whole[:count]) + whole[count][:9])
        said = judge(read_journal(cut))
        assert said.name == V.UNFINISHED
        assert said.outcome.t30_result == T30Result.UNKNOWN
        assert any("cannot be read" in one for one in said.evidence)
    assert "page 1 is complete" in said.sentence or "pages 1-2 are complete" in said.sentence


@pytest.mark.parametrize(
    ("octets", "name"),
    [
        (b"", V.EMPTY_JOURNAL),
        (b"\n\n", V.EMPTY_JOURNAL),
        (b"II*\0\x08\0\0\0", V.NO_JOURNAL),
        (b'{"a": 1}\n[]\n', V.NO_JOURNAL),
        (b'{"at":"","t":0,"kind":"frame"}\n', V.NO_JOURNAL),
        (b'{"at":"","t":0,"kind":"call"}\n', V.UNFINISHED),
        (b'{"at":"","t":0,"kind":"outcome","cause":"never-heard-of"}\n', V.UNFINISHED),
    ],
)
def test_files_that_are_no_whole_journal_have_a_verdict_too(octets: bytes, name: V, tmp_path: Path) -> None:
    path = tmp_path / "x.jsonl"
    path.write_bytes(octets)
    said = judge(read_journal(path))
    assert said.name == name
    assert said.sentence.endswith(".")


NAMES: Final = (
    *("direction", "name", "words", "rate_bps", "ok", "number", "what", "rows", "frames", "cause", "phase", "lost"),
    *("received", "silent", "text", "media", "status", "sip_status", "pages_confirmed", "bad_rows", "sending"),
    *("evidence", "summary", "duration", "q850", "retry_after"),
)
VALUES: Final = st.sampled_from(("complete", "no-carrier", "message", "started", "confirmed", "in", "out"))
ANYTHING: Final = (
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=30) | st.lists(st.integers(), max_size=2)
)
FACTS: Final = st.dictionaries(st.sampled_from(NAMES), ANYTHING | VALUES)
KINDS: Final = st.sampled_from(
    ("call", "frame", "page", "training", "outcome", "counters", "refused", "t38", "lost", "unreadable", "sip", "???")
)


@given(st.lists(st.builds(Entry, st.just(""), st.floats(0, 1e9), KINDS, FACTS), max_size=12))
def test_no_journal_makes_the_judge_raise(entries: list[Entry]) -> None:
    said = judge(entries)
    assert said.name in set(V)
    assert said.sentence.endswith(".")
    assert said.sentence.isprintable()


@pytest.mark.parametrize(
    ("lost", "said"), [(1, "1 line of the journal was lost"), (3, "3 lines of the journal were lost")]
)
def test_lines_that_were_never_written_are_counted(lost: int, said: str) -> None:
    assert said in judge([Entry("", 0.0, "call", {}), Entry("", 1.0, "lost", {"lost": lost})]).evidence


# --- advice ---------------------------------------------------------------------------------------


def test_many_repeats_at_a_high_rate_ask_for_a_lower_one_and_at_a_low_rate_for_plain_pages() -> None:
    course = Course(frames_in={"PPR": 4}, trainings=[(14400, True)], page=1, t38_at=0.0)
    lost = Outcome(cause=Cause.PEER_HUNG_UP, phase=Phase.POST_MESSAGE)
    assert explain(lost, course, sending=True).retry is Retry.LOWER_RATE
    course.trainings.append((4800, True))
    assert explain(lost, course, sending=True).retry is Retry.NO_ECM
    course.frames_in.clear()
    assert explain(lost, course, sending=True).retry is Retry.NOW


@pytest.mark.parametrize("verdict", [V.LAST_PAGE_UNANSWERED, V.LAST_PAGE_HUNG_UP, V.LAST_PAGE_DCN])
def test_a_fax_that_may_have_arrived_is_not_to_be_sent_again_blindly(verdict: V, stage: "Stage") -> None:
    outcome = SCENES[verdict](stage).run()
    assert (outcome.cause, outcome.retry) == (Cause.UNCERTAIN, Retry.NEVER)
    assert "Ask whether it has arrived" in outcome.sentence


@pytest.mark.parametrize("ecm", [True, False])
@pytest.mark.parametrize("pages", [1, 3])
def test_only_the_last_page_leaves_a_fax_uncertain(ecm: bool, pages: int, stage: "Stage") -> None:
    last = stage.play(True, pages=pages, options=fax(ecm=ecm), twist=stage.vanish_at("MCF", after=pages - 1)).run()
    assert (last.cause, last.pages_confirmed) == (Cause.UNCERTAIN, pages - 1)
    assert "said 3 times" in last.sentence
    if pages > 1:
        first = stage.play(True, pages=pages, options=fax(ecm=ecm), twist=stage.vanish_at("MCF")).run()
        assert (first.cause, first.retry) == (Cause.NO_RESPONSE, Retry.NOW)


# --- what a sentence must not get wrong -----------------------------------------------------------


@pytest.mark.parametrize("pages", [1, 2])
def test_a_receiver_that_is_never_ready_did_not_hang_up(pages: int, stage: "Stage") -> None:
    outcome = not_ready(stage, pages).run()
    assert outcome.t30_result == T30Result.TX_T5EXP
    assert "asked to wait" in outcome.sentence
    assert "hung up" not in outcome.sentence
    assert "RNR came" in outcome.sentence


def test_a_page_that_was_refused_is_named_although_another_was_the_last(stage: "Stage") -> None:
    outcome = SCENES[V.PAGE_NOT_REPEATED](stage).run()
    assert (outcome.cause, outcome.pages_confirmed) == (Cause.PAGE_REFUSED, 1)
    assert "page 1 was refused" in outcome.sentence
    assert "page 2 is complete, page 1 is kept incomplete" in outcome.sentence


def test_silence_of_the_other_machine_counts_from_our_question(stage: "Stage") -> None:
    outcome = stage.play(True, pages=2, rows=400, twist=stage.vanish_at("MCF")).run()
    silent = int(outcome.sentence.split("no T.38 packet for ")[1].split()[0])
    assert silent <= 20, outcome.sentence  # three times T4, and no word of the page before


def test_a_sender_that_is_cut_off_says_how_far_its_page_was(stage: "Stage") -> None:
    for scene in (SCENES[V.HUNG_UP_IN_PAGE], SCENES[V.SENDING_ABORTED], SCENES[V.DIALOG_LOST_IN_FAX]):
        outcome = scene(stage).run()
        assert " octets had gone" in outcome.sentence, outcome.sentence


def test_a_page_that_the_store_lost_is_not_said_to_be_kept(stage: "Stage") -> None:
    outcome = SCENES[V.PAGE_NOT_STORED](stage).run()
    assert (outcome.pages_confirmed, outcome.pages_partial) == (1, 0)
    assert "incomplete" not in outcome.sentence
    assert outcome.sentence.count("could not be stored") == 1


def test_a_page_that_came_whole_and_was_not_confirmed_is_not_called_incomplete(stage: "Stage") -> None:
    outcome = SCENES[V.STORE_TOO_SLOW](stage).run()
    assert "no page is complete, 1 page came without being confirmed" in outcome.sentence


def test_a_fax_that_went_on_from_a_later_page_names_the_pages_of_this_call() -> None:
    course = Course(first=3, confirmed=[3, 4])
    assert (
        "confirmed pages 3-4."
        in explain(Outcome(cause=Cause.COMPLETE, pages_confirmed=2), course, sending=True).sentence
    )
    course = Course(first=3)
    lost = explain(Outcome(cause=Cause.PEER_HUNG_UP, phase=Phase.IDENTIFY), course, sending=True)
    assert "getting ready for page 3" in lost.sentence


def test_a_journal_that_claims_any_number_of_pages_costs_nothing() -> None:
    said = judge([Entry("", 0.0, "outcome", {"cause": "no-carrier", "phase": "message", "pages_confirmed": 1 << 31})])
    assert said.outcome.pages_confirmed == 1 << 31
    assert len(said.sentence) < 500


def test_a_journal_of_a_sender_that_was_cut_off_speaks_of_sending(stage: "Stage", tmp_path: Path) -> None:
    stage.play(True, pages=2).run()
    path = tmp_path / "call.jsonl"
    lines = path.read_bytes().splitlines(keepends=True)
    place = next(number for number, line in enumerate(lines) if b'"counters"' in line)
    path.write_bytes(b"".join(lines[:place]))
    said = judge(read_journal(path))
    assert "pages 1-2 were confirmed" in said.sentence
    assert "no T.38 packets" not in said.evidence
    assert any(one.endswith(" T.38 packets") for one in said.evidence)
