"""Polling both ways, addresses, and a document of which some pages went before."""

from dataclasses import replace
from typing import Any

import pytest

from vfax.codecs.dis import FALL_BACK, Agreement, Capabilities, Coding, Resolution, decode_dcs
from vfax.codecs.encode import encode_page
from vfax.codecs.frames import Fcf, Frame, PartialPage, encode_block, encode_identity
from vfax.outcome import Cause
from vfax.signals import (
    DataMissing,
    FrameDamaged,
    FrameReceived,
    LineSignal,
    Modem,
    SendFrames,
    SignalEnded,
    SignalStarted,
)
from vfax.t30.engine import T30Engine
from vfax.t30.options import T30Options
from vfax.t30.tables import S
from vfax.t30.values import (
    Addressing,
    Ended,
    FrameSeen,
    IdentityReceived,
    LineUp,
    PageCoded,
    PageConfirmed,
    PageInfo,
    PageNeeded,
    PageStarted,
    Poll,
    Role,
    SendDocument,
)

ANYBODY = Addressing()
KEPT = Addressing(poll_address="*42#", poll_password="1234")
PEER = Capabilities(modems=frozenset(FALL_BACK), codings=frozenset(Coding), ecm=True)
OFFERS = replace(PEER, has_document=True)
PAGE = PageInfo(1728, 20, Resolution.FINE)
ECM = Agreement(
    modem=Modem.V29_9600,
    coding=Coding.MMR,
    ecm=True,
    frame_octets=256,
    resolution=Resolution.FINE,
    width_px=1728,
    min_scan_ms=0,
)


def whole(pair: Any, *, first: int = 1) -> None:
    """Both ends are content, and every page from `first` is what was sent."""
    count = len(pair.pages) - first + 1
    for name in ("sender", "receiver"):
        assert (pair.outcome(name).cause, pair.outcome(name).pages_confirmed) == (Cause.COMPLETE, count)
    assert list(pair.kept.values()) == [raster for _, raster in pair.pages[first - 1 :]]


def received(script: Any, post: Fcf) -> Any:
    """The peer sends a white page, which is kept and confirmed."""
    frames = encode_block(encode_page(bytes(20 * 216), 1728, 20, Coding.MMR, ecm=True), 256)
    return script.fast(ECM, *frames).says(Fcf.PPS, PartialPage(post, 0, 0, len(frames)).encode()).keeps().left()


# --- polling -------------------------------------------------------------------------------------


@pytest.mark.parametrize("also_receives", [True, False])
@pytest.mark.parametrize("ecm", [True, False])
def test_a_polled_document_arrives_equal(bench: Any, ecm: bool, also_receives: bool) -> None:
    pages = [bench.draw(40, seed=seed) for seed in (1, 2)]
    options = T30Options(ecm=ecm, local_id="+49 30 1")
    take = replace(options, local_id="+1 2")
    pair = bench.pair(pages, send=options, take=take, polls=ANYBODY, also_receives=also_receives).run()
    whole(pair)
    assert pair.said("receiver")[:2] == ["CIG", "DTC"]
    assert pair.said("sender")[:4] == ["CSI", "DIS", "TSI", "DCS"]
    assert pair.sender.sending
    assert not pair.receiver.sending
    assert IdentityReceived("CIG", "+1 2") in pair.events["sender"]


@pytest.mark.parametrize("fcf", [Fcf.DIS, Fcf.DTC, Fcf.DCS, Fcf.CFR, Fcf.PPS, Fcf.MCF, Fcf.DCN])
def test_a_polled_document_arrives_although_any_one_frame_is_lost(bench: Any, fcf: Fcf) -> None:
    pages = [bench.draw(20, seed=seed) for seed in (1, 2)]
    whole(bench.pair(pages, polls=ANYBODY, fate=bench.lose(fcf)).run())


def test_pages_of_other_paper_go_back_to_phase_b_and_are_asked_for_by_dtc_again(bench: Any) -> None:
    pages = [bench.draw(20, seed=1), bench.draw(20, seed=2, resolution=Resolution.STANDARD)]
    pair = bench.pair(pages, polls=ANYBODY).run()
    whole(pair)
    assert pair.said("receiver").count("DTC") == 2


def test_a_document_kept_under_a_number_goes_to_who_says_it(bench: Any) -> None:
    pair = bench.pair([bench.draw(20, seed=1)], addressing=KEPT, polls=KEPT).run()
    whole(pair)
    assert pair.said("receiver")[:3] == ["PWD", "SEP", "DTC"]


@pytest.mark.parametrize(
    ("polls", "words"),
    [
        (replace(KEPT, poll_password="4321"), "another password"),
        (replace(KEPT, poll_password=""), "no password"),
        (replace(KEPT, poll_address="43"), "another document"),
        (replace(KEPT, poll_address=""), "no document"),
    ],
)
def test_a_document_kept_under_a_number_goes_to_nobody_else(bench: Any, polls: Addressing, words: str) -> None:
    pair = bench.pair([bench.draw(20, seed=1)], addressing=KEPT, polls=polls).run()
    outcome = pair.outcome("sender")
    assert (outcome.cause, outcome.pages_confirmed, pair.kept) == (Cause.REJECTED, 0, {})
    assert words in outcome.sentence
    assert "1234" not in outcome.sentence
    outcome = pair.outcome("receiver")
    assert (outcome.cause, outcome.sentence) == (Cause.REJECTED, "waiting for an answer to DTC: DCN came")


@pytest.mark.parametrize("fcf", [Fcf.PWD, Fcf.SEP])
@pytest.mark.parametrize("how", [FrameDamaged(Modem.V21), DataMissing(2)])
def test_a_password_lost_on_the_way_is_waited_for(bench: Any, fcf: Fcf, how: LineSignal) -> None:
    """The line tells that something of the burst is missing: the caller may have said all that it takes."""
    lost = False

    def fate(_name: str, signal: LineSignal, _now: float) -> list[LineSignal]:
        nonlocal lost
        if not lost and isinstance(signal, FrameReceived) and signal.octets[2] == fcf.value:
            lost = True
            return [how]
        return [signal]

    pair = bench.pair([bench.draw(20, seed=1)], addressing=KEPT, polls=KEPT, fate=fate).run()
    whole(pair)
    assert pair.said("receiver").count("DTC") == 2


def test_dcn_between_two_documents_is_no_refusal_to_be_polled(bench: Any) -> None:
    """Only the first DTC asks whether we may have it."""
    script = bench.script(sending=False)
    script.engine = T30Engine(Role.CALLER, sending=False, now=0.0)
    script.order(LineUp()).left().says(Fcf.DIS, OFFERS.encode()).left().trains(ECM)
    received(script, Fcf.EOM).wait(8.0)
    assert script.said[-1] == "DTC"
    script.left().says(Fcf.DCN)
    assert (script.outcome.cause, script.outcome.pages_confirmed) == (Cause.PEER_DISCONNECTED, 1)


def test_who_has_sent_pages_is_given_none(bench: Any) -> None:
    """What it brought stays what the outcome is about."""
    script = bench.script(sending=False)
    engine = script.engine = T30Engine(Role.CALLED, sending=False, now=0.0)
    engine.command(SendDocument((PAGE,)), 0.0)
    script.order(LineUp()).left().trains(ECM)
    received(script, Fcf.EOM).wait(8.0)
    assert script.said[-1] == "DIS"
    script.left().says(Fcf.DTC, PEER.encode()).left().wait(2.0)
    assert not engine.sending
    assert (script.said[-1], script.outcome.cause, script.outcome.pages_confirmed) == ("DCN", Cause.REJECTED, 1)
    assert script.outcome.sentence == "the caller polled after it had sent pages"


def test_what_the_document_does_not_ask_for_is_not_said(bench: Any) -> None:
    pair = bench.pair([bench.draw(20, seed=1)], polls=KEPT).run()
    whole(pair)
    assert pair.said("receiver")[0] == "DTC"
    assert pair.left_out("receiver") == dict.fromkeys(("PWD", "SEP"), "not said: the other machine does not take it")


def test_a_caller_that_brings_a_fax_leaves_the_document_alone(bench: Any) -> None:
    pages = [bench.draw(20, seed=1)]
    pair = bench.pair(pages)
    pair.receiver.command(SendDocument((PAGE,)), 0.0)
    pair.run()
    whole(pair)
    (dis,) = [e.octets for e in pair.events["receiver"] if isinstance(e, FrameSeen) and e.name == "DIS"]
    offered = Capabilities.decode(dis[3:])
    assert (offered.has_document, offered.receives) == (True, True)


def test_a_caller_that_brings_a_fax_to_a_document_only_is_told_dcn(bench: Any) -> None:
    pair = bench.pair([bench.draw(20, seed=1)])
    pair.receiver = pair.engines["receiver"] = T30Engine(Role.CALLED, sending=True, now=0.0)
    pair.receiver.command(SendDocument((PAGE,)), 0.0)
    pair.run()
    assert pair.outcome("sender").cause is Cause.INCOMPATIBLE
    assert pair.outcome("receiver").pages_confirmed == 0


def test_a_dcs_all_the_same_is_told_dcn() -> None:
    engine = T30Engine(Role.CALLED, sending=True, now=0.0)
    engine.command(SendDocument((PAGE,)), 0.0)
    engine.command(LineUp(), 0.0)
    says(engine, Frame(Fcf.DCS, bytes(4), x=True), 5.0)
    engine.handle_timeout(20.0)
    (outcome,) = [event.outcome for event in engine.take_events() if isinstance(event, Ended)]
    assert (outcome.cause, "wants to send" in outcome.sentence) == (Cause.INCOMPATIBLE, True)


def says(engine: T30Engine, frame: Frame, now: float, *before: Frame) -> None:
    engine.receive(SignalStarted(Modem.V21), now)
    for each in (*before, frame):
        engine.receive(FrameReceived(Modem.V21, each.encode()), now + 1)
    engine.receive(SignalEnded(Modem.V21), now + 1.1)


@pytest.mark.parametrize("document", [(), (PAGE,)])
def test_dtc_without_a_document_changes_nothing(document: tuple[PageInfo, ...]) -> None:
    """Nor with one that says it begins behind its end."""
    engine = T30Engine(Role.CALLED, sending=False, now=0.0)
    engine.command(SendDocument(document, first=2), 0.0)
    engine.command(LineUp(), 0.0)
    says(engine, Frame(Fcf.DTC, PEER.encode()), 5.0)
    assert (engine.state, engine.sending) == (S.AWAIT_DCS, False)


def test_a_machine_without_a_document_is_told_dcn(bench: Any) -> None:
    pair = bench.pair([bench.draw(20, seed=1)], polls=ANYBODY, also_receives=True)
    pair.sender = pair.engines["sender"] = T30Engine(Role.CALLED, sending=False, now=0.0)
    pair.pages = []
    pair.run()
    outcome = pair.outcome("receiver")
    assert (outcome.cause, outcome.sentence) == (Cause.INCOMPATIBLE, "the other machine has no document to be polled")


def test_dtc_is_said_three_times() -> None:
    engine, said = T30Engine(Role.CALLER, sending=False, now=0.0), 0
    engine.command(LineUp(), 0.0)
    says(engine, Frame(Fcf.DIS, OFFERS.encode()), 1.0)
    now, ended = 2.2, False
    while not ended:
        said += sum(each.frames[-1][:3] == b"\xff\xc8\x81" for each in engine.take_output() if type(each) is SendFrames)
        now = max(now, engine.next_timeout())
        engine.handle_timeout(now)
        ended = engine.state is S.ENDED
    (outcome,) = [event.outcome for event in engine.take_events() if isinstance(event, Ended)]
    assert (said, outcome.cause, outcome.sentence) == (3, Cause.NO_RESPONSE, "no answer to DTC, said 3 times")
    assert now < 120


def test_a_poll_given_too_late_is_ignored() -> None:
    engine = T30Engine(Role.CALLER, sending=False, now=0.0)
    engine.command(LineUp(), 0.0)
    engine.command(Poll(KEPT), 0.0)
    says(engine, Frame(Fcf.DIS, replace(OFFERS, selective_polling=True, password=True).encode()), 1.0)
    (burst,) = [each for each in engine.take_output() if isinstance(each, SendFrames)]
    assert [Frame.decode(octets).fcf for octets in burst.frames] == [Fcf.DTC]


def test_a_dtc_that_does_not_say_it_can_receive_is_believed_all_the_same(bench: Any) -> None:
    engine = T30Engine(Role.CALLED, sending=True, now=0.0)
    engine.command(SendDocument((PAGE,)), 0.0)
    engine.command(LineUp(), 0.0)
    prefix = Frame(Fcf.CIG, encode_identity("5"), final=False)
    says(engine, Frame(Fcf.DTC, replace(PEER, receives=False).encode()), 5.0, prefix)
    assert engine.state is S.AWAIT_CFR
    burst = [each for each in engine.take_output() if isinstance(each, SendFrames)][-1]
    assert not Frame.decode(burst.frames[-1]).x, "X is the caller's: it received the DIS"


# --- addresses ------------------------------------------------------------------------------------


def test_subaddress_and_sender_id_are_said_before_dcs_where_they_are_taken(bench: Any) -> None:
    to = Addressing(subaddress="12-34", sender_password="99")
    take = T30Options(takes_password=True)
    pair = bench.pair([bench.draw(20, seed=1)], addressing=to, take=take, send=T30Options(local_id="me")).run()
    whole(pair)
    assert pair.said("sender")[:4] == ["TSI", "SUB", "SID", "DCS"]
    heard = [(e.frame, e.text) for e in pair.events["receiver"] if isinstance(e, IdentityReceived)]
    assert heard == [("TSI", "me"), ("SUB", "1234"), ("SID", "99")]
    (dcs,) = [e.octets for e in pair.events["sender"] if isinstance(e, FrameSeen) and e.name == "DCS"]
    assert (dcs[3 + 6] & 0xC0) == 0xC0, "bits 49 and 50 tell that SUB and SID were said"


def test_an_address_that_is_not_taken_is_left_out_and_noted_once(bench: Any) -> None:
    to = Addressing(subaddress="1234", sender_password="x")
    take = T30Options(takes_subaddress=False, takes_password=True)
    pair = bench.pair([bench.draw(20, seed=1)], addressing=to, take=take, fate=bench.lose(Fcf.CFR)).run()
    whole(pair)
    assert pair.said("sender")[0] == "DCS"
    assert pair.left_out("sender") == {
        "SUB": "not said: the other machine does not take it",
        "SID": "not said: it has no digit",
    }
    (dcs,) = {e.octets for e in pair.events["sender"] if isinstance(e, FrameSeen) and e.name == "DCS"}
    assert isinstance(decode_dcs(dcs[3:]), Agreement)


# --- resume ---------------------------------------------------------------------------------------


@pytest.mark.parametrize("ecm", [True, False])
@pytest.mark.parametrize("first", [2, 3])
def test_only_the_pages_from_the_first_go(bench: Any, first: int, ecm: bool) -> None:
    pages = [bench.draw(20, seed=seed) for seed in (1, 2, 3)]
    pair = bench.pair(pages, first=first, send=T30Options(ecm=ecm)).run()
    whole(pair, first=first)
    numbers = list(range(first, 4))
    for kind in (PageNeeded, PageStarted, PageConfirmed):
        assert [event.number for event in pair.of("sender", kind)] == numbers, kind


def test_pps_counts_the_pages_of_the_call(bench: Any) -> None:
    script = bench.script(sending=True, pages=3)
    engine = script.engine = T30Engine(Role.CALLER, sending=True, now=0.0)
    engine.command(SendDocument((PAGE,) * 3, first=2), 0.0)
    script.order(LineUp()).left().says(Fcf.DIS, PEER.encode()).left()
    script.order(PageCoded(2, bytes(300))).says(Fcf.CFR).left().left()
    assert PartialPage.decode(script.last_frame.info) == PartialPage(Fcf.MPS, 0, 0, 2)
    script.says(Fcf.MCF).order(PageCoded(3, bytes(300))).left().left()
    assert PartialPage.decode(script.last_frame.info) == PartialPage(Fcf.EOP, 1, 0, 2)
    assert script.of(PageConfirmed) == [PageConfirmed(2)]


@pytest.mark.parametrize("first", [0, -1, 4])
def test_a_first_page_that_is_none_ends_at_once(first: int) -> None:
    engine = T30Engine(Role.CALLER, sending=True, now=0.0)
    engine.command(SendDocument((PAGE,) * 3, first=first), 0.0)
    engine.command(LineUp(), 0.0)
    engine.handle_timeout(3.5)
    (outcome,) = [event.outcome for event in engine.take_events() if isinstance(event, Ended)]
    assert outcome.cause is Cause.DOCUMENT
