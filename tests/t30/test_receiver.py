"""A receiver against odd senders, step by step."""

import random
from dataclasses import replace
from typing import Any

import pytest

from vfax.codecs.dis import Agreement, Coding, Resolution, encode_dcs
from vfax.codecs.encode import encode_page
from vfax.codecs.frames import RCP, Fcf, Frame, PartialPage, decode_request, encode_block, encode_rest
from vfax.outcome import Cause, Phase
from vfax.signals import (
    DataMissing,
    DataReceived,
    FrameDamaged,
    FrameReceived,
    Modem,
    SendFrames,
    SendTone,
    SignalEnded,
    SignalStarted,
    StopSending,
    Tone,
)
from vfax.t30.engine import T30Engine
from vfax.t30.tables import S
from vfax.t30.values import (
    Abort,
    Agreed,
    Ended,
    FrameSeen,
    LineDown,
    PageConfirmed,
    PageKept,
    PageLost,
    PageReceived,
    PageStarted,
    Role,
    Trained,
)

MODEM = Modem.V29_9600
PLAIN = Agreement(
    modem=MODEM,
    coding=Coding.MH,
    ecm=False,
    frame_octets=0,
    resolution=Resolution.FINE,
    width_px=1728,
    min_scan_ms=0,
)
ECM = replace(PLAIN, coding=Coding.MMR, ecm=True, frame_octets=256)
ROWS = 60
RASTER = bytes(random.Random(7).choices([0, 0, 0, 0, 0, 0xFF, 0x0F], k=ROWS * 216))
MH = encode_page(RASTER, 1728, ROWS, Coding.MH)
FRAMES = encode_block(encode_page(RASTER, 1728, ROWS, Coding.MMR), 256)
COUNT = len(FRAMES)


def pps(post: Fcf | None, *, page: int = 0, block: int = 0, frames: int = COUNT) -> bytes:
    return PartialPage(post, page, block, frames).encode()


def page(script: Any, data: bytes = MH) -> Any:
    return script.burst(MODEM, *(DataReceived(MODEM, data[at : at + 40]) for at in range(0, len(data), 40)))


# --- phase B -------------------------------------------------------------------------------------


def test_ced_and_dis_are_said_first(bench: Any) -> None:
    script = bench.script(sending=False, local_id="me")
    tone, frames = script.output
    assert tone == SendTone(Tone.CED)
    assert [Frame.decode(octets).fcf for octets in frames.frames] == [Fcf.CSI, Fcf.DIS]
    assert [Frame.decode(octets).final for octets in frames.frames] == [False, True]


def test_dis_is_repeated_until_t1_and_then_dcn(bench: Any) -> None:
    script = bench.script(sending=False, ced=False)
    for _ in range(12):
        script.left().wait(3.1)
        if script.of(LineDown):
            break
    script.wait(5.0)
    assert script.said == ["DIS"] * 7 + ["DCN"]
    assert script.outcome.sentence == "waiting for an answer to DIS: T1 expired"
    assert (script.outcome.cause, script.outcome.phase) == (Cause.T1_EXPIRED, Phase.IDENTIFY)


def test_a_dcs_before_our_dis_has_left_is_taken(bench: Any) -> None:
    script = bench.script(sending=False)
    script.wait(0.5).trains(PLAIN)
    assert StopSending() in script.output
    assert script.said == ["DIS", "CFR"]
    assert script.engine.state is S.AWAIT_PAGE


def test_dis_after_eom_starts_t1_anew(bench: Any) -> None:
    script = bench.script(sending=False).wait(20).left().trains(PLAIN)
    page(script).says(Fcf.EOM).keeps().left().wait(7.1)
    assert script.said[-2:] == ["MCF", "DIS"]
    script.left().wait(3.1).left().wait(20)
    assert script.engine.state is S.AWAIT_DCS


def test_a_repeated_eom_is_answered_again_even_after_dis(bench: Any) -> None:
    script = bench.script(sending=False).left().trains(PLAIN)
    page(script).says(Fcf.EOM).keeps().left().wait(7.1).left()
    script.says(Fcf.EOM)
    assert script.said[-2:] == ["DIS", "MCF"]
    assert script.of(PageConfirmed) == [PageConfirmed(1)]


def test_a_mode_never_offered_is_refused_after_its_training(bench: Any) -> None:
    jbig = bytearray(encode_dcs(ECM)) + bytes(10)
    for octet in range(2, 9):
        jbig[octet] |= 1
    jbig[9] |= 0x04  # bit 78
    script = bench.script(sending=False).left().says(Fcf.DCS, bytes(jbig))
    assert "DCN" not in script.said
    script.burst(MODEM, DataReceived(MODEM, bytes(1800))).left().wait(2)
    assert script.said[-1] == "DCN"
    assert (script.outcome.cause, "JBIG" in script.outcome.sentence) == (Cause.INCOMPATIBLE, True)


def test_an_unknown_rate_fails_its_training(bench: Any) -> None:
    v33 = bytearray(encode_dcs(PLAIN))
    v33[1] = (v33[1] & 0b11000011) | 0b00001000
    script = bench.script(sending=False).left().says(Fcf.DCS, bytes(v33))
    script.burst(MODEM, DataReceived(MODEM, bytes(1800)))
    assert script.said[-1] == "FTT"


@pytest.mark.parametrize(
    ("data", "ok"),
    [
        ([DataReceived(MODEM, bytes(1200))], True),
        ([DataReceived(MODEM, bytes(1199))], False),
        ([DataReceived(MODEM, b"\xff" * 900 + bytes(1200))], True),
        ([DataReceived(MODEM, bytes(36)), DataMissing(1)] * 25 + [DataReceived(MODEM, bytes(1100))], False),
        ([*[DataReceived(MODEM, bytes(36))] * 15, DataMissing(1), *[DataReceived(MODEM, bytes(36))] * 20], True),
        ([], False),
    ],
)
def test_training_needs_a_second_of_zeros(bench: Any, data: list[Any], ok: bool) -> None:
    script = bench.script(sending=False).left().says(Fcf.DCS, encode_dcs(PLAIN)).burst(MODEM, *data)
    assert script.of(Trained) == [Trained(ok, 9600)]
    assert script.said[-1] == ("CFR" if ok else "FTT")


def test_a_training_that_never_comes_brings_dis_again(bench: Any) -> None:
    script = bench.script(sending=False).left().says(Fcf.DCS, encode_dcs(PLAIN)).wait(7.1)
    assert script.said == ["DIS", "DIS"]


def test_dis_is_not_said_into_a_training_whose_dcs_was_lost(bench: Any) -> None:
    script = bench.script(sending=False).left().wait(2.0).hear(SignalStarted(MODEM)).wait(2.9)
    assert script.said == ["DIS"]
    script.hear(SignalEnded(MODEM)).wait(0.6)
    assert script.said == ["DIS", "DIS"]


def test_a_training_that_never_ends_is_judged(bench: Any) -> None:
    script = bench.script(sending=False).left().says(Fcf.DCS, encode_dcs(PLAIN))
    script.hear(SignalStarted(MODEM), DataReceived(MODEM, bytes(1800))).wait(8.1)
    assert script.said[-1] == "CFR"


def test_with_local_tcf_an_announced_training_is_answered_within_the_senders_patience(bench: Any) -> None:
    """No zeros travel, and some gateways send no end either: 2.9 s of training, then at least 2.55 s of T4."""
    script = bench.script(sending=False, local_tcf=True).left().says(Fcf.DCS, encode_dcs(PLAIN))
    script.hear(SignalStarted(MODEM)).wait(2.9)
    assert script.said[-1] == "DIS"
    script.wait(1.5)
    assert script.said[-1] == "CFR"


def test_a_repeated_dcs_after_cfr_is_trained_again(bench: Any) -> None:
    script = bench.script(sending=False).left().trains(PLAIN).trains(PLAIN)
    assert script.said == ["DIS", "CFR", "CFR"]
    assert len(script.of(Agreed)) == 2


# --- turns ---------------------------------------------------------------------------------------


def test_a_command_whose_burst_never_ends_is_answered_soon(bench: Any) -> None:
    script = bench.script(sending=False).left().trains(PLAIN)
    page(script).says(Fcf.EOP, ends=False)
    assert not script.of(PageReceived)
    script.wait(0.21)
    assert script.engine.state is S.HOLDING


def test_flags_stop_t2(bench: Any) -> None:
    script = bench.script(sending=False).left().trains(PLAIN)
    page(script).wait(6.9).hear(SignalStarted(Modem.V21)).wait(2.0).hear(FrameDamaged(Modem.V21)).wait(3.0)
    assert script.engine.state is S.AWAIT_POST


def test_flags_without_a_frame_do_not_wait_for_ever(bench: Any) -> None:
    script = bench.script(sending=False).left().trains(PLAIN)
    page(script).hear(SignalStarted(Modem.V21)).wait(12.1).wait(3.0)
    assert script.outcome.cause is Cause.NO_COMMAND
    assert "command after a page" in script.outcome.sentence


def test_the_answer_waits_for_the_end_of_the_command(bench: Any) -> None:
    script = bench.script(sending=False).left().trains(PLAIN)
    page(script)
    said = list(script.said)
    script.says(Fcf.EOP, ends=False).keeps()
    assert script.said == said


def test_our_own_frames_coming_back_are_ignored(bench: Any) -> None:
    script = bench.script(sending=False).left()
    for fcf, info in ((Fcf.DIS, b"\x00\x00\x00"), (Fcf.CSI, b""), (Fcf.MCF, b""), (Fcf.CFR, b"")):
        script.says(fcf, info)
    assert (script.engine.state, script.said) == (S.AWAIT_DCS, ["DIS"])


def test_unknown_and_mangled_frames_are_told_and_ignored(bench: Any) -> None:
    script = bench.script(sending=False).left()
    for octets in (b"\xff\xc8\x7b", b"\xfe\xc8\x5f", b"\xff\x00\x5f", b"\xff", b"\xff\xc8\xc1"):
        script.hear(SignalStarted(Modem.V21), FrameReceived(Modem.V21, octets), SignalEnded(Modem.V21))
    assert script.engine.state in (S.AWAIT_DCS, S.AWAIT_TCF)
    assert [event.name for event in script.of(FrameSeen) if not event.sent] == ["?", "?", "?", "?", "DCS"]


# --- phase D without ECM -------------------------------------------------------------------------


def test_the_answer_waits_for_the_store(bench: Any) -> None:
    script = bench.script(sending=False).left().trains(PLAIN)
    page(script).says(Fcf.EOP)
    (received,) = script.of(PageReceived)
    assert (received.rows, received.raster, received.complete) == (ROWS, RASTER, True)
    assert script.said[-1] == "CFR"
    script.keeps()
    assert script.said[-1] == "MCF"
    assert script.events[-1] == PageConfirmed(1)


def test_a_wrong_number_is_not_taken_for_the_page(bench: Any) -> None:
    script = bench.script(sending=False).left().trains(PLAIN)
    page(script).keeps().says(Fcf.EOP).keeps(2).order(PageLost(7, "?"))
    assert script.said[-1] == "CFR"


@pytest.mark.parametrize(
    ("said", "state"),
    [
        (Fcf.EOP, S.AWAIT_DCN),
        (Fcf.PRI_EOP, S.AWAIT_DCN),
        (Fcf.MPS, S.AWAIT_PAGE),
        (Fcf.PRI_MPS, S.AWAIT_PAGE),
        (Fcf.EOM, S.AWAIT_COMMAND),
        (Fcf.PRI_EOM, S.AWAIT_COMMAND),
        (Fcf.EOS, S.AWAIT_COMMAND),
    ],
)
def test_every_post_message_command_is_answered(bench: Any, said: Fcf, state: S) -> None:
    script = bench.script(sending=False).left().trains(PLAIN)
    page(script).says(said).keeps()
    assert (script.said[-1], script.engine.state) == ("MCF", state)


def test_a_repeated_command_is_answered_again_and_no_page_is_counted(bench: Any) -> None:
    script = bench.script(sending=False).left().trains(PLAIN)
    page(script).says(Fcf.MPS).keeps().left().says(Fcf.MPS).left().says(Fcf.MPS).left()
    assert script.said[-3:] == ["MCF"] * 3
    page(script).says(Fcf.EOP).keeps(2).left().says(Fcf.EOP).left().says(Fcf.DCN)
    assert (script.outcome.cause, script.outcome.pages_confirmed) == (Cause.COMPLETE, 2)
    assert [event.number for event in script.of(PageReceived)] == [1, 2]


def test_a_command_repeated_while_its_answer_leaves_is_not_answered_twice(bench: Any) -> None:
    script = bench.script(sending=False).left().trains(PLAIN)
    page(script).says(Fcf.MPS).keeps().says(Fcf.MPS)
    assert script.said.count("MCF") == 1


def test_an_empty_page_is_never_confirmed(bench: Any) -> None:
    script = bench.script(sending=False).left().trains(PLAIN)
    script.says(Fcf.EOP).wait(4).says(Fcf.EOP)
    assert script.said[-1] == "CFR"
    page(script).says(Fcf.MPS).keeps().left().says(Fcf.EOP)
    assert script.said.count("MCF") == 1


def test_a_burst_without_rows_is_refused(bench: Any) -> None:
    script = bench.script(sending=False).left().trains(PLAIN)
    page(script, bytes(2000)).says(Fcf.EOP)
    assert script.said[-1] == "RTN"
    assert not script.of(PageReceived)


def test_crp_repeats_the_last_answer(bench: Any) -> None:
    script = bench.script(sending=False).left().trains(PLAIN)
    page(script).says(Fcf.MPS).keeps().left().says(Fcf.CRP)
    assert script.said[-2:] == ["MCF", "MCF"]


def test_after_rtn_a_page_without_new_training_is_taken(bench: Any) -> None:
    script = bench.script(sending=False).left().trains(PLAIN)
    page(script, bytes(2000)).says(Fcf.EOP).left()
    page(script).says(Fcf.EOP).keeps()
    assert script.said[-2:] == ["RTN", "MCF"]


def test_a_burst_without_its_end_is_ended_by_the_command(bench: Any) -> None:
    script = bench.script(sending=False).left().trains(PLAIN)
    script.hear(SignalStarted(MODEM), DataReceived(MODEM, MH)).says(Fcf.EOP).keeps()
    assert script.said[-1] == "MCF"


def test_a_burst_that_falls_silent_is_ended_by_the_clock(bench: Any) -> None:
    script = bench.script(sending=False).left().trains(PLAIN)
    script.hear(SignalStarted(MODEM), DataReceived(MODEM, MH)).wait(15.1)
    assert script.engine.state is S.AWAIT_POST


def test_a_kept_page_whose_confirmation_never_left_is_not_overwritten(bench: Any) -> None:
    script = bench.script(sending=False).left().trains(PLAIN)
    page(script).says(Fcf.MPS).wait(3).keeps()
    assert script.engine.state is S.READY
    script.trains(PLAIN)
    page(script).says(Fcf.EOP).keeps(2).left().says(Fcf.DCN)
    assert [event.number for event in script.of(PageReceived)] == [1, 2]
    assert (script.outcome.pages_confirmed, script.outcome.pages_partial) == (1, 1)


def test_t5_ends_with_the_page_it_was_for(bench: Any) -> None:
    script = bench.script(sending=False).left().trains(ECM).fast(ECM, *FRAMES).says(Fcf.PPS, pps(Fcf.MPS))
    script.wait(1.6).left().keeps().hear(SignalStarted(MODEM))
    for _ in range(70):
        script.wait(1.0).hear(FrameReceived(MODEM, FRAMES[0]))
    assert script.engine.state is S.IN_PAGE


def test_a_page_kept_late_is_confirmed_on_the_repetition(bench: Any) -> None:
    script = bench.script(sending=False).left().trains(PLAIN)
    page(script).says(Fcf.EOP).wait(3).keeps()
    assert "MCF" not in script.said
    script.says(Fcf.EOP)
    assert script.said[-1] == "MCF"


def test_a_page_kept_while_the_sender_repeats_itself_is_confirmed_behind_the_repetition(bench: Any) -> None:
    script = bench.script(sending=False).left().trains(PLAIN)
    page(script).says(Fcf.EOP).hear(SignalStarted(Modem.V21)).keeps()
    assert "MCF" not in script.said
    script.hear(FrameReceived(Modem.V21, Frame(Fcf.EOP, x=True).encode()), SignalEnded(Modem.V21))
    assert script.said.count("MCF") == 1


# --- ECM -----------------------------------------------------------------------------------------


def test_a_confirmed_block_is_confirmed_again_without_storing_twice(bench: Any) -> None:
    script = bench.script(sending=False).left().trains(ECM).fast(ECM, *FRAMES, RCP, RCP, RCP)
    script.says(Fcf.PPS, pps(Fcf.MPS)).keeps().left().says(Fcf.PPS, pps(Fcf.MPS)).left()
    script.fast(ECM, *FRAMES, RCP).says(Fcf.PPS, pps(Fcf.MPS)).left()
    assert script.said[-3:] == ["MCF"] * 3
    script.fast(ECM, *FRAMES, RCP).says(Fcf.PPS, pps(Fcf.EOP, page=1)).keeps(2)
    assert [event.number for event in script.of(PageReceived)] == [1, 2]


def test_a_confirmed_page_said_again_after_training_is_confirmed_again_without_storing_twice(bench: Any) -> None:
    script = bench.script(sending=False).left().trains(ECM).fast(ECM, *FRAMES, RCP, RCP, RCP)
    script.says(Fcf.PPS, pps(Fcf.MPS)).keeps().left()  # the sender does not hear MCF, and trains again
    script.trains(ECM).fast(ECM, *FRAMES, RCP).says(Fcf.PPS, pps(Fcf.MPS)).left()
    assert script.said[-2:] == ["CFR", "MCF"]
    script.fast(ECM, *FRAMES, RCP).says(Fcf.PPS, pps(Fcf.EOP, page=1)).keeps(2)
    assert [event.number for event in script.of(PageReceived)] == [1, 2]


def test_a_confirmed_block_said_again_after_training_is_in_the_page_once(bench: Any) -> None:
    first, second = FRAMES[:2], encode_block(b"".join(frame[4:] for frame in FRAMES[2:]), 256)
    script = bench.script(sending=False).left().trains(ECM).fast(ECM, *first, RCP)
    script.says(Fcf.PPS, pps(None, frames=2)).left().trains(ECM).fast(ECM, *first, RCP)
    script.says(Fcf.PPS, pps(None, frames=2)).left().fast(ECM, *second, RCP)
    script.says(Fcf.PPS, pps(Fcf.EOP, block=1, frames=COUNT - 2)).keeps()
    assert script.of(PageReceived)[0].raster == RASTER


def test_a_document_after_eom_that_begins_with_the_same_page_is_another_one(bench: Any) -> None:
    script = bench.script(sending=False).left().trains(ECM).fast(ECM, *FRAMES, RCP, RCP, RCP)
    script.says(Fcf.PPS, pps(Fcf.EOM)).keeps().left().wait(7.1).left()
    script.trains(ECM).fast(ECM, *FRAMES, RCP).says(Fcf.PPS, pps(Fcf.EOM)).keeps(2)
    assert [event.number for event in script.of(PageReceived)] == [1, 2]


def test_missing_frames_are_named_and_the_tail_is_ones(bench: Any) -> None:
    script = bench.script(sending=False).left().trains(ECM)
    script.fast(ECM, FRAMES[0], *FRAMES[3:]).says(Fcf.PPS, pps(Fcf.EOP))
    asked = decode_request(script.last_frame.info, 256)
    assert asked == [1, 2, *range(COUNT, 256)]
    script.left().fast(ECM, FRAMES[1]).says(Fcf.PPS, pps(Fcf.EOP, frames=1))
    assert decode_request(script.last_frame.info, COUNT) == [2]
    script.left().fast(ECM, FRAMES[2]).says(Fcf.PPS, pps(Fcf.EOP, frames=1)).keeps()
    assert script.of(PageReceived)[0].raster == RASTER
    assert script.said[-1] == "MCF"


def test_a_count_of_zero_minus_one_does_not_ask_for_256_frames(bench: Any) -> None:
    script = bench.script(sending=False).left().trains(ECM).fast(ECM, *FRAMES[1:]).says(Fcf.PPS, pps(Fcf.EOP)).left()
    script.fast(ECM, FRAMES[0]).says(Fcf.PPS, pps(Fcf.EOP, frames=256)).keeps()
    assert script.said[-1] == "MCF"


def test_an_empty_burst_is_asked_for_whole(bench: Any) -> None:
    script = bench.script(sending=False).left().trains(ECM).fast(ECM, RCP).says(Fcf.PPS, pps(Fcf.EOP))
    assert script.last_frame == Frame(Fcf.PPR, b"\xff" * 32)


def test_a_short_last_frame_is_whole(bench: Any) -> None:
    short = [*FRAMES[:-1], FRAMES[-1].rstrip(b"\0")]
    script = bench.script(sending=False).left().trains(ECM).fast(ECM, *short).says(Fcf.PPS, pps(Fcf.EOP)).keeps()
    assert script.of(PageReceived)[0].raster == RASTER


def test_a_frame_of_another_length_is_asked_for_again(bench: Any) -> None:
    odd = [FRAMES[0], FRAMES[1][:100], *FRAMES[2:]]
    script = bench.script(sending=False).left().trains(ECM).fast(ECM, *odd).says(Fcf.PPS, pps(Fcf.EOP))
    assert decode_request(script.last_frame.info, COUNT) == [1]
    script.left().fast(ECM, FRAMES[1]).says(Fcf.PPS, pps(Fcf.EOP, frames=1)).keeps()
    assert script.of(PageReceived)[0].raster == RASTER


def test_frames_of_64_octets_are_taken_whatever_was_agreed(bench: Any) -> None:
    small = encode_block(encode_page(RASTER, 1728, ROWS, Coding.MMR), 64)
    script = bench.script(sending=False).left().trains(ECM).fast(ECM, *small)
    script.says(Fcf.PPS, pps(Fcf.EOP, frames=len(small))).keeps()
    assert script.of(PageReceived)[0].raster == RASTER


def test_plain_pages_under_an_ecm_agreement_are_received(bench: Any) -> None:
    script = bench.script(sending=False).left().trains(replace(ECM, coding=Coding.MH))
    page(script).says(Fcf.MPS).keeps().left()
    page(script).says(Fcf.EOP).keeps(2)
    assert [event.raster for event in script.of(PageReceived)] == [RASTER, RASTER]


def test_a_page_started_over_after_a_new_dcs_is_not_mixed(bench: Any) -> None:
    """Block 0 is confirmed, block 1 torn; then the sender trains again and says the page from its start."""
    data = encode_page(RASTER, 1728, ROWS, Coding.MMR)
    frames = encode_block(data, 256)
    script = bench.script(sending=False).left().trains(ECM)
    script.fast(ECM, *frames[:2]).says(Fcf.PPS, pps(None, frames=2)).left()
    script.fast(ECM, *encode_block(data[512:], 256)[1:]).says(Fcf.PPS, pps(Fcf.EOP, block=1, frames=COUNT - 2)).left()
    assert script.said[-1] == "PPR"
    script.trains(ECM).fast(ECM, *frames).says(Fcf.PPS, pps(Fcf.EOP)).keeps()
    assert script.of(PageReceived)[0].raster == RASTER


def test_rr_out_of_place_repeats_the_answer(bench: Any) -> None:
    script = bench.script(sending=False).left().trains(ECM).fast(ECM, *FRAMES).says(Fcf.PPS, pps(Fcf.MPS)).keeps()
    script.left().says(Fcf.RR)
    assert script.said[-2:] == ["MCF", "MCF"]


def test_rnr_is_said_until_the_page_is_kept(bench: Any) -> None:
    script = bench.script(sending=False).left().trains(ECM).fast(ECM, *FRAMES).says(Fcf.PPS, pps(Fcf.EOP))
    assert script.said[-1] == "CFR"
    script.wait(1.6).left().says(Fcf.RR).left().says(Fcf.RR).left()
    assert script.said[-3:] == ["RNR"] * 3
    script.keeps()
    assert script.said[-1] == "RNR"
    script.says(Fcf.RR)
    assert (script.said[-1], script.of(PageConfirmed)) == ("MCF", [PageConfirmed(1)])


def test_eor_is_answered_err_once_the_damaged_page_is_kept(bench: Any) -> None:
    script = bench.script(sending=False).left().trains(ECM).fast(ECM, *FRAMES[:3]).says(Fcf.PPS, pps(Fcf.EOP)).left()
    script.says(Fcf.EOR, encode_rest(Fcf.EOP))
    (received,) = script.of(PageReceived)
    assert (received.complete, received.bad_rows > 0) == (True, True)
    assert RASTER.startswith(received.raster)
    assert script.said[-1] == "PPR"
    script.keeps()
    assert script.said[-1] == "ERR"
    script.left().says(Fcf.EOR, encode_rest(Fcf.EOP)).left().says(Fcf.DCN)
    assert script.said[-1] == "ERR"
    assert (script.outcome.cause, script.outcome.pages_confirmed) == (Cause.ECM_FAILED, 0)


def test_eor_of_a_page_without_a_row_is_answered_and_stores_nothing(bench: Any) -> None:
    script = bench.script(sending=False).left().trains(ECM).fast(ECM, RCP).says(Fcf.EOR, encode_rest(Fcf.MPS))
    assert (script.said[-1], script.of(PageReceived), script.engine.state) == ("ERR", [], S.AWAIT_PAGE)


# --- ends ----------------------------------------------------------------------------------------


def test_a_bye_instead_of_dcn_is_complete(bench: Any) -> None:
    script = bench.script(sending=False).left().trains(PLAIN)
    page(script).says(Fcf.EOP).keeps().order(LineDown())
    assert script.outcome.cause is Cause.COMPLETE


def test_nothing_after_the_last_confirmation_is_complete_after_t2(bench: Any) -> None:
    script = bench.script(sending=False).left().trains(PLAIN)
    page(script).says(Fcf.EOP).keeps().left().wait(7.1)
    assert (script.outcome.cause, script.said[-1]) == (Cause.COMPLETE, "MCF")


def test_an_ecm_page_cut_off_keeps_its_first_frames(bench: Any) -> None:
    script = bench.script(sending=False).left().trains(ECM)
    script.hear(SignalStarted(MODEM), *(FrameReceived(MODEM, frame) for frame in (*FRAMES[:2], FRAMES[3])))
    script.order(LineDown()).wait(0.1)
    (received,) = script.of(PageReceived)
    assert (received.complete, received.rows > 0, RASTER.startswith(received.raster)) == (False, True, True)
    assert (script.outcome.cause, script.outcome.pages_partial) == (Cause.PEER_HUNG_UP, 1)
    assert script.events.index(received) < len(script.events) - 1


def test_a_plain_page_cut_off_keeps_its_rows(bench: Any) -> None:
    script = bench.script(sending=False).left().trains(PLAIN)
    script.hear(SignalStarted(MODEM), DataReceived(MODEM, MH[: len(MH) // 2])).order(Abort()).wait(0.8)
    (received,) = script.of(PageReceived)
    assert (received.complete, 10 < received.rows < ROWS) == (False, True)
    assert script.outcome.cause is Cause.ABORTED


def test_dcn_in_the_middle_is_not_answered(bench: Any) -> None:
    script = bench.script(sending=False).left().trains(PLAIN)
    page(script).says(Fcf.DCN)
    assert (script.outcome.cause, script.said[-1]) == (Cause.PEER_DISCONNECTED, "CFR")


def test_abort_before_the_line_is_up_ends_at_once() -> None:
    engine = T30Engine(Role.CALLED, sending=False, now=0.0)
    engine.command(Abort(), 1.0)
    (ended,) = engine.take_events()
    assert isinstance(ended, Ended)
    assert (ended.outcome.cause, engine.take_output()) == (Cause.ABORTED, [])


def test_abort_cuts_what_is_being_said(bench: Any) -> None:
    script = bench.script(sending=False).order(Abort("operator"))
    assert script.output[-2] == StopSending()
    assert isinstance(script.output[-1], SendFrames)
    script.wait(0.7)
    assert (script.outcome.cause, "operator" in script.outcome.sentence) == (Cause.ABORTED, True)


def test_a_page_is_told_when_its_first_row_is_there(bench: Any) -> None:
    script = bench.script(sending=False).left().trains(PLAIN).hear(SignalStarted(MODEM))
    assert not script.of(PageStarted)
    script.hear(DataReceived(MODEM, MH[:400]))
    assert script.of(PageStarted) == [PageStarted(1)]


def test_kept_after_the_end_is_ignored(bench: Any) -> None:
    script = bench.script(sending=False).left().trains(PLAIN)
    page(script).says(Fcf.EOP).order(LineDown())
    assert (script.outcome.pages_confirmed, script.outcome.pages_partial) == (0, 1)
    events = len(script.events)
    script.order(PageKept(1))
    assert len(script.events) == events
