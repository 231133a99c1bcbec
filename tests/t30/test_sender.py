"""A sender against odd receivers, step by step."""

from dataclasses import replace
from typing import Any

import pytest

from vfax.codecs.dis import FALL_BACK, Capabilities, Coding, Resolution, decode_dcs
from vfax.codecs.frames import Fcf, Frame, PartialPage, encode_request
from vfax.outcome import Cause
from vfax.signals import (
    FrameReceived,
    Modem,
    SendEcm,
    SendFrames,
    SendImage,
    SendTone,
    SendTraining,
    SignalEnded,
    SignalStarted,
    Tone,
    TransmissionDone,
)
from vfax.t30.engine import T30Engine
from vfax.t30.tables import S
from vfax.t30.values import (
    LineDown,
    LineUp,
    PageCoded,
    PageConfirmed,
    PageNeeded,
    PageProgress,
    PageRepeated,
    PageUnavailable,
    Role,
    SendDocument,
)

PEER = Capabilities(
    modems=frozenset(FALL_BACK),
    codings=frozenset(Coding),
    ecm=True,
    resolutions=frozenset({Resolution.STANDARD, Resolution.FINE}),
)
NO_ECM = replace(PEER, ecm=False)
DATA = bytes(range(1, 251)) * 4


def called(script: Any, peer: Capabilities = PEER) -> Any:
    """The peer answers with DIS; DCS and TCF leave."""
    return script.left().says(Fcf.DIS, peer.encode()).left()


def coded(script: Any, *numbers: int, data: bytes = DATA) -> Any:
    for number in numbers or (1,):
        script.order(PageCoded(number, data))
    return script


def paged(script: Any, peer: Capabilities = PEER, data: bytes = DATA) -> Any:
    """As far as the first post-message command, which has left."""
    return coded(called(script, peer), data=data).says(Fcf.CFR).left().left()


# --- phase B -------------------------------------------------------------------------------------


def test_cng_sounds_until_dis_comes(bench: Any) -> None:
    script = bench.script(sending=True)
    for _ in range(3):
        script.left().wait(3.6)
    assert script.output == [SendTone(Tone.CNG)] * 4
    script.says(Fcf.DIS, PEER.encode())
    assert isinstance(script.output[-2], SendFrames)
    assert isinstance(script.output[-1], SendTraining)


def test_tsi_comes_before_dcs_and_both_have_x(bench: Any) -> None:
    script = called(bench.script(sending=True, local_id="me"))
    burst = [Frame.decode(octets) for octets in script.output[-2].frames]
    assert [(frame.fcf, frame.final, frame.x) for frame in burst] == [(Fcf.TSI, False, True), (Fcf.DCS, True, True)]


def test_dcn_before_any_dis_has_no_x(bench: Any) -> None:
    script = bench.script(sending=True).left().wait(36)
    assert script.last_frame == Frame(Fcf.DCN, x=False)


def test_training_is_a_second_and_a_half_of_zeros(bench: Any) -> None:
    script = called(bench.script(sending=True))
    assert script.output[-1] == SendTraining(Modem.V17_14400, 2700)


@pytest.mark.parametrize("rate_bps", [14400, 9600, 4800, 2400, 100, 0])
def test_the_rate_is_capped(bench: Any, rate_bps: int) -> None:
    script = called(bench.script(sending=True, max_rate_bps=rate_bps))
    assert script.output[-1].modem.rate_bps == max(rate_bps, 2400)


@pytest.mark.parametrize(
    "peer", [replace(PEER, receives=False), replace(PEER, modems=frozenset({Modem.V29_9600, Modem.V29_7200}))]
)
def test_a_peer_that_cannot_receive_is_told_dcn(bench: Any, peer: Capabilities) -> None:
    script = called(bench.script(sending=True, modems=frozenset({Modem.V17_14400})), peer).wait(3)
    assert (script.outcome.cause, script.said) == (Cause.INCOMPATIBLE, ["DCN"])


def test_a_dtc_is_not_taken_for_a_dis(bench: Any) -> None:
    script = bench.script(sending=True).left().says(Fcf.DTC, PEER.encode())
    assert script.engine.state is S.AWAIT_DIS


def test_dis_again_means_dcs_was_not_heard(bench: Any) -> None:
    script = called(bench.script(sending=True))
    script.says(Fcf.DIS, PEER.encode()).left().says(Fcf.DIS, PEER.encode()).left()
    assert script.said == ["DCS"] * 3
    script.says(Fcf.DIS, PEER.encode()).left().wait(3)
    assert (script.said[-1], script.outcome.cause) == ("DCN", Cause.NO_RESPONSE)


def test_dcs_is_said_three_times(bench: Any) -> None:
    script = called(bench.script(sending=True)).wait(4.5).left().wait(4.5).left().wait(4.5).left().wait(2)
    assert script.said == ["DCS", "DCS", "DCS", "DCN"]
    assert "DCS" in script.outcome.sentence


def test_dcn_instead_of_cfr_ends_the_fax(bench: Any) -> None:
    script = called(bench.script(sending=True)).says(Fcf.DCN)
    assert script.outcome.cause is Cause.PEER_DISCONNECTED


def test_an_answer_begun_before_the_question_is_not_its_answer(bench: Any) -> None:
    script = bench.script(sending=True).left().says(Fcf.DIS, PEER.encode())
    coded(script).left().hear(SignalStarted(Modem.V21)).wait(1.0)
    script.hear(FrameReceived(Modem.V21, Frame(Fcf.CFR).encode()), SignalEnded(Modem.V21))
    script.hear(SignalStarted(Modem.V21)).wait(0.1).hear(TransmissionDone())  # the page has left, PPS is being said
    script.wait(0.5).hear(FrameReceived(Modem.V21, Frame(Fcf.MCF).encode()), SignalEnded(Modem.V21))
    assert script.engine.state in (S.SENDING_PAGE, S.AWAIT_ANSWER)
    assert not script.of(PageConfirmed)


def test_an_answer_begun_while_the_command_is_being_said_is_that_of_one_said_twice_before(bench: Any) -> None:
    script = called(bench.script(sending=True, pages=3), NO_ECM)
    coded(script, 1).says(Fcf.CFR)
    coded(script, 2).left().left().wait(4.5).left().says(Fcf.MCF)  # MPS twice: a second MCF is on its way
    assert [event.number for event in script.of(PageConfirmed)] == [1]
    coded(script, 3).left().wait(0.2).hear(SignalStarted(Modem.V21)).wait(1.0)  # MPS of page 2 is being said
    script.hear(FrameReceived(Modem.V21, Frame(Fcf.MCF).encode()), SignalEnded(Modem.V21)).left()
    assert [event.number for event in script.of(PageConfirmed)] == [1]
    script.says(Fcf.MCF)
    assert [event.number for event in script.of(PageConfirmed)] == [1, 2]


def test_an_answer_that_may_be_a_second_one_to_a_command_said_twice_is_not_taken(bench: Any) -> None:
    """The first answer took six seconds: so may the one to the repetition, and the next page is out by then."""
    script = coded(called(bench.script(sending=True, pages=3)))
    script.wait(5.0).left().says(Fcf.CFR)  # DCS was said twice: the road may be long
    coded(script, 2).left().left().wait(6.0).says(Fcf.MCF)  # so was PPS
    coded(script, 3).left().left().wait(1.0).says(Fcf.MCF)
    assert len(script.of(PageConfirmed)) == 1
    script.wait(6.0).left().says(Fcf.MCF)
    assert len(script.of(PageConfirmed)) == 2


def test_an_answer_too_early_for_a_second_one_is_taken(bench: Any) -> None:
    script = coded(called(bench.script(sending=True, pages=3)))
    script.wait(5.0).left().says(Fcf.CFR)
    coded(script, 2).left().left().wait(6.0).left().says(Fcf.MCF)
    coded(script, 3).wait(0.5).hear(TransmissionDone()).wait(0.5).hear(TransmissionDone()).says(Fcf.MCF)
    assert len(script.of(PageConfirmed)) == 2


def test_where_the_first_command_was_answered_at_once_a_second_answer_is_not_waited_for(bench: Any) -> None:
    script = coded(called(bench.script(sending=True, pages=3))).says(Fcf.CFR)
    coded(script, 2).left().left().wait(5.0).left().says(Fcf.MCF)
    coded(script, 3).left().left().says(Fcf.MCF)
    assert len(script.of(PageConfirmed)) == 2


def test_an_answer_begun_in_our_silence_behind_the_command_is_its_answer(bench: Any) -> None:
    script = called(bench.script(sending=True, pages=2), NO_ECM)
    coded(script, 1).says(Fcf.CFR).left().wait(1.2).hear(SignalStarted(Modem.V21))
    script.wait(0.15).hear(TransmissionDone()).wait(1.0)
    script.hear(FrameReceived(Modem.V21, Frame(Fcf.MCF).encode()), SignalEnded(Modem.V21))
    assert [event.number for event in script.of(PageConfirmed)] == [1]


# --- phase C -------------------------------------------------------------------------------------


def test_the_first_page_is_asked_for_with_dcs_and_the_next_with_the_page_before(bench: Any) -> None:
    script = called(bench.script(sending=True, pages=3))
    assert [event.number for event in script.of(PageNeeded)] == [1]
    coded(script).says(Fcf.CFR)
    assert [event.number for event in script.of(PageNeeded)] == [1, 2]


def test_a_page_coded_late_is_sent_when_it_comes(bench: Any) -> None:
    script = called(bench.script(sending=True)).says(Fcf.CFR).wait(2)
    assert script.engine.state is S.AWAIT_CODED
    coded(script)
    assert isinstance(script.output[-1], SendEcm)


def test_a_page_that_cannot_be_coded_ends_the_fax(bench: Any) -> None:
    script = called(bench.script(sending=True)).order(PageUnavailable(1, "file is gone")).left().wait(2)
    assert (script.outcome.cause, script.said[-1], "file is gone" in script.outcome.sentence) == (
        Cause.DOCUMENT,
        "DCN",
        True,
    )


def test_a_later_page_that_cannot_be_coded_ends_the_fax_when_its_turn_has_come(bench: Any) -> None:
    script = coded(called(bench.script(sending=True, pages=2))).says(Fcf.CFR)
    script.order(PageUnavailable(2, "torn")).left().left()
    assert script.said[-1] == "PPS"
    script.says(Fcf.MCF).left().wait(2)
    assert (script.outcome.cause, script.outcome.pages_confirmed) == (Cause.DOCUMENT, 1)


def test_a_page_coded_to_nothing_ends_the_fax(bench: Any) -> None:
    script = coded(called(bench.script(sending=True)), data=b"").left().wait(2)
    assert script.outcome.cause is Cause.DOCUMENT


def test_no_pages_end_at_once() -> None:
    engine = T30Engine(Role.CALLER, sending=True, now=0.0)
    engine.command(SendDocument(()), 0.0)
    engine.command(LineUp(), 0.0)
    engine.handle_timeout(3.5)
    assert engine.state is S.ENDED


def test_an_ecm_burst_ends_with_three_rcp(bench: Any) -> None:
    script = coded(called(bench.script(sending=True))).says(Fcf.CFR)
    frames = script.output[-1].frames
    assert [frame[2] for frame in frames] == [0x60] * 4 + [0x61] * 3
    assert b"".join(frame[4:] for frame in frames[:4]) == DATA.ljust(1024, b"\0")


def test_a_plain_page_goes_as_it_was_coded(bench: Any) -> None:
    script = coded(called(bench.script(sending=True), NO_ECM)).says(Fcf.CFR)
    assert script.output[-1] == SendImage(Modem.V17_14400, True, DATA)


def test_progress_is_reckoned_while_the_page_is_on_the_line(bench: Any) -> None:
    script = coded(called(bench.script(sending=True)), data=bytes(200_000)).says(Fcf.CFR).wait(20)
    told = script.of(PageProgress)
    assert len(told) >= 15
    assert all(0 <= event.done <= event.total == 200_000 for event in told)
    assert [event.done for event in told] == sorted(event.done for event in told)


def test_mmr_is_never_used_without_ecm(bench: Any) -> None:
    script = called(bench.script(sending=True), NO_ECM)
    assert decode_dcs(script.last_frame.info).coding is Coding.MR


# --- phase D -------------------------------------------------------------------------------------


@pytest.mark.parametrize("answer", [Fcf.MCF, Fcf.PIP, Fcf.RTP])
@pytest.mark.parametrize("peer", [PEER, NO_ECM])
def test_what_confirms_the_last_page_ends_complete(bench: Any, answer: Fcf, peer: Capabilities) -> None:
    script = paged(bench.script(sending=True), peer).says(answer).left().wait(1.1)
    assert (script.outcome.cause, script.outcome.pages_confirmed, script.said[-1]) == (Cause.COMPLETE, 1, "DCN")


def test_rtp_trains_again_before_the_next_page(bench: Any) -> None:
    script = paged(bench.script(sending=True, pages=2), NO_ECM)
    coded(script, 2).says(Fcf.RTP).left().says(Fcf.CFR).left().left()
    assert script.said == ["DCS", "MPS", "DCS", "EOP"]
    assert script.of(PageConfirmed) == [PageConfirmed(1)]


@pytest.mark.parametrize("answer", [Fcf.RTN, Fcf.PIN])
def test_a_refused_page_goes_again_at_a_lower_rate(bench: Any, answer: Fcf) -> None:
    script = paged(bench.script(sending=True), NO_ECM).says(answer).left().says(Fcf.CFR).left().left()
    assert script.said == ["DCS", "EOP", "DCS", "EOP"]
    assert script.output[-2] == SendImage(Modem.V17_12000, True, DATA)
    assert script.of(PageConfirmed) == []


def test_a_page_refused_too_often_is_given_up(bench: Any) -> None:
    script = paged(bench.script(sending=True), NO_ECM)
    for _ in range(3):
        script.says(Fcf.RTN).left().says(Fcf.CFR).left().left()
    script.says(Fcf.RTN).left().wait(2)
    assert script.outcome.cause is Cause.PAGE_REFUSED


def test_crp_repeats_the_command(bench: Any) -> None:
    script = paged(bench.script(sending=True)).says(Fcf.CRP)
    assert script.said[-2:] == ["PPS", "PPS"]


def test_our_own_commands_coming_back_are_ignored(bench: Any) -> None:
    script = paged(bench.script(sending=True))
    for fcf in (Fcf.PPS, Fcf.EOP, Fcf.DCS, Fcf.RR):
        script.says(fcf, b"\xf4\x00\x00\x00")
    assert script.said == ["DCS", "PPS"]
    script.says(Fcf.MCF)
    assert script.of(PageConfirmed) == [PageConfirmed(1)]


@pytest.mark.parametrize("peer", [PEER, NO_ECM])
def test_dcn_after_the_last_command_is_uncertain(bench: Any, peer: Capabilities) -> None:
    script = paged(bench.script(sending=True), peer).says(Fcf.DCN)
    assert script.outcome.cause is Cause.UNCERTAIN


def test_bye_after_the_last_command_is_uncertain(bench: Any) -> None:
    script = paged(bench.script(sending=True)).order(LineDown())
    assert script.outcome.cause is Cause.UNCERTAIN


def test_dcn_after_a_page_in_the_middle_is_a_disconnection(bench: Any) -> None:
    script = paged(bench.script(sending=True, pages=2)).says(Fcf.DCN)
    assert script.outcome.cause is Cause.PEER_DISCONNECTED


def test_bye_after_the_last_confirmation_is_complete(bench: Any) -> None:
    script = paged(bench.script(sending=True)).says(Fcf.MCF).order(LineDown())
    assert script.outcome.cause is Cause.COMPLETE


# --- ECM -----------------------------------------------------------------------------------------


def test_only_the_frames_asked_for_go_again(bench: Any) -> None:
    script = paged(bench.script(sending=True)).says(Fcf.PPR, encode_request([1, 3], 4))
    first = script.output[-1].frames
    assert [frame[3] for frame in first[:-3]] == [0x80, 0xC0]
    script.left()
    assert PartialPage.decode(script.last_frame.info) == PartialPage(Fcf.EOP, 0, 0, 2)
    assert script.of(PageRepeated) == [PageRepeated(1, 2, "PPR came")]


def test_a_request_for_nothing_gets_something_harmless(bench: Any) -> None:
    script = paged(bench.script(sending=True)).says(Fcf.PPR, encode_request([], 4))
    assert len(script.output[-1].frames) == 4


def test_blocks_are_counted_in_pps(bench: Any) -> None:
    data = bytes(150_000)
    script = paged(bench.script(sending=True), data=data)
    script.says(Fcf.MCF).wait(20).left().left().says(Fcf.MCF).wait(10).left().left()
    seen = [Frame.decode(each.frames[-1]) for each in script.output if isinstance(each, SendFrames)]
    counts = [PartialPage.decode(frame.info) for frame in seen if frame.fcf is Fcf.PPS]
    assert counts == [PartialPage(None, 0, 0, 256), PartialPage(None, 0, 1, 256), PartialPage(Fcf.EOP, 0, 2, 74)]


def test_rnr_is_answered_by_rr_until_t5(bench: Any) -> None:
    script = paged(bench.script(sending=True))
    for _ in range(30):
        script.says(Fcf.RNR).wait(1.1).left()
        if script.engine.state is S.ENDED:
            break
    assert script.said.count("RR") >= 10
    assert script.outcome.cause is Cause.UNCERTAIN
    assert script.now < 90


def test_rnr_then_mcf_confirms(bench: Any) -> None:
    script = paged(bench.script(sending=True)).says(Fcf.RNR).wait(1.1).left().says(Fcf.MCF)
    assert script.of(PageConfirmed) == [PageConfirmed(1)]


def test_rr_without_an_answer_is_said_three_times(bench: Any) -> None:
    script = paged(bench.script(sending=True, pages=2)).says(Fcf.RNR).wait(1.1).left()
    script.wait(4.5).left().wait(4.5).left().wait(4.5).left().wait(2)
    assert script.said.count("RR") == 3
    assert script.outcome.cause is Cause.NO_RESPONSE


def test_a_page_coded_for_another_mode_is_coded_again(bench: Any) -> None:
    """After EOM the peer has lost ECM: the page coded in MMR does not fit."""
    script = called(bench.script(sending=True, pages=1)).says(Fcf.FTT).left()
    assert len(script.of(PageNeeded)) == 1
    script.engine._terminal._capabilities = NO_ECM
    agreement = script.engine._terminal._agreement_for(script.engine._terminal._pages[0])
    script.engine._terminal._agreement = agreement
    script.engine._terminal._need(0)
    script.collect()
    assert [event.agreement.coding for event in script.of(PageNeeded)] == [Coding.MMR, Coding.MR]
