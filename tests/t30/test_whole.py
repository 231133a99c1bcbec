"""ECM and training to their ends: counters that wrap, small frames, limits, what the evidence says."""

import random
from collections.abc import Sequence
from typing import Any

import pytest

from vfax.codecs.dis import FALL_BACK, Agreement, Capabilities, Coding, Resolution, encode_ctc
from vfax.codecs.encode import encode_page
from vfax.codecs.frames import Fcf, Frame, PartialPage, encode_block
from vfax.outcome import Cause
from vfax.signals import FrameReceived, LineSignal, Modem, SendFrames, SendTraining
from vfax.t30.options import Limits, T30Options
from vfax.t30.values import Agreed, PageCoded, PageConfirmed, PageReceived

PEER = Capabilities(modems=frozenset(FALL_BACK), codings=frozenset(Coding), ecm=True)
SMALL = Agreement(
    modem=Modem.V17_14400,
    coding=Coding.MMR,
    ecm=True,
    frame_octets=64,
    resolution=Resolution.FINE,
    width_px=1728,
    min_scan_ms=0,
)
BLOCKS = 300


def whole(pair: Any) -> None:
    """Both ends are content, and every page is what was sent."""
    for name in ("sender", "receiver"):
        assert (pair.outcome(name).cause, pair.outcome(name).pages_confirmed) == (Cause.COMPLETE, len(pair.pages))
    assert pair.kept == {number: raster for number, (_, raster) in enumerate(pair.pages, 1)}


# --- counters -------------------------------------------------------------------------------------------


def in_small_blocks(raster: bytes, rows: int) -> list[bytes]:
    """A page as the first frames of more blocks than the counter has numbers: a sender need not fill its blocks."""
    data = encode_page(raster, 1728, rows, Coding.MMR, ecm=True)
    assert 256 * 64 < len(data) <= BLOCKS * 64
    return [encode_block(data[at : at + 64], 64)[0] for at in range(0, len(data), 64)]


def page_of_many_blocks() -> tuple[bytes, int]:
    dice, rows = random.Random(3), 40
    raster = dice.randbytes(216 * rows)
    return raster, rows


def say_blocks(script: Any, frames: Sequence[bytes], *, first: int = 0, post: Fcf | None = Fcf.EOP) -> Any:
    for number, frame in enumerate(frames, first):
        last = number - first == len(frames) - 1
        script.fast(SMALL, frame)
        script.says(Fcf.PPS, PartialPage(post if last else None, 0, number & 0xFF, 1).encode()).left()
    return script.wait(0.0)


def test_a_page_of_more_blocks_than_the_counter_has_numbers_is_received(bench: Any) -> None:
    raster, rows = page_of_many_blocks()
    frames = in_small_blocks(raster, rows)
    script = say_blocks(bench.script(sending=False).left().trains(SMALL), frames)
    (page,) = script.of(PageReceived)
    assert (page.rows, page.bad_rows, page.raster) == (rows, 0, raster)
    assert script.said.count("MCF") == len(frames) - 1


@pytest.mark.parametrize("starts_over", [False, True])
def test_block_256_after_a_new_dcs_is_not_taken_for_the_page_from_its_start(bench: Any, starts_over: bool) -> None:
    """Nor the page from its start for block 256."""
    raster, rows = page_of_many_blocks()
    frames = in_small_blocks(raster, rows)
    script = say_blocks(bench.script(sending=False).left().trains(SMALL), frames[:256], post=None)
    script.trains(SMALL)
    say_blocks(script, frames if starts_over else frames[256:])
    (page,) = script.of(PageReceived)
    assert (page.rows, page.raster) == (rows, raster)


def test_the_sender_counts_blocks_and_pages_modulo_256(bench: Any) -> None:
    data = bytes(257 * 256 * 64)
    script = bench.script(sending=True, pages=2, small_frames=True)
    script.left().says(Fcf.DIS, PEER.encode()).left().order(PageCoded(1, data)).says(Fcf.CFR)
    for _ in range(257):
        script.left().left().says(Fcf.MCF)
    seen = [Frame.decode(each.frames[-1]) for each in script.output if isinstance(each, SendFrames)]
    counts = [PartialPage.decode(frame.info) for frame in seen if frame.fcf is Fcf.PPS]
    assert counts[255:] == [PartialPage(None, 0, 255, 256), PartialPage(Fcf.MPS, 0, 0, 256)]
    assert script.of(PageConfirmed) == [PageConfirmed(1)]


def test_more_pages_than_the_counter_has_numbers_arrive_equal(bench: Any) -> None:
    pages = [bench.draw(8, seed=seed) for seed in range(260)]
    whole(bench.pair(pages).run())


def test_a_thousand_pages_and_one_are_no_limit_of_the_engine(bench: Any) -> None:
    """Unpaced, as the test has no time either."""
    options = T30Options(internet_aware=True, limits=Limits(pages=2000))
    page = bench.draw(4, seed=1)
    pair = bench.pair([page] * 1001, send=options, take=options).run()
    whole(pair)
    assert pair.outcome("receiver").pages_confirmed == 1001


# --- frames of 64 octets --------------------------------------------------------------------------------


@pytest.mark.parametrize("ends", ["sender", "receiver"])
def test_frames_of_64_octets_are_used_when_either_end_wants_them(bench: Any, ends: str) -> None:
    wants = T30Options(small_frames=True)
    given = {"send": wants} if ends == "sender" else {"take": wants}
    dice = random.Random(11)
    info, _ = bench.draw(340, seed=1)
    pair = bench.pair([(info, dice.randbytes(340 * 216)), bench.draw(20, seed=2)], **given).run()
    whole(pair)
    assert {event.agreement.frame_octets for event in pair.of("receiver", Agreed)} == {64}
    assert pair.said("sender").count("PPS") >= 6


def test_frames_of_64_octets_that_are_lost_are_asked_for_again(bench: Any) -> None:
    count = 0

    def fate(name: str, signal: LineSignal, _now: float) -> list[LineSignal]:
        nonlocal count
        count += name == "sender" and isinstance(signal, FrameReceived) and signal.modem is not Modem.V21
        return (
            [] if count % 7 == 3 and isinstance(signal, FrameReceived) and signal.modem is not Modem.V21 else [signal]
        )

    pair = bench.pair([bench.draw(200, seed=1)], send=T30Options(small_frames=True), fate=fate).run()
    whole(pair)
    assert "PPR" in pair.said("receiver")


# --- training -------------------------------------------------------------------------------------------


@pytest.mark.parametrize("limit", [1, 3, 8])
def test_so_many_failed_trainings_in_a_row_are_enough(bench: Any, limit: int) -> None:
    script = bench.script(sending=True, train_limit=limit).left().says(Fcf.DIS, PEER.encode()).left()
    rates = 6  # two of V.17, two of V.29, two of V.27ter
    for _ in range(min(limit, rates) - 1):
        script.says(Fcf.FTT).left()
    assert script.said == ["DCS"] * min(limit, rates)
    script.says(Fcf.FTT).left().wait(3)
    assert (script.said[-1], script.outcome.cause) == ("DCN", Cause.CANNOT_TRAIN)
    if limit < rates:
        assert f"{limit} trainings failed" in script.outcome.sentence


def test_a_good_training_forgives_the_bad_ones(bench: Any) -> None:
    script = bench.script(sending=True, pages=2, train_limit=2, ecm=False).left().says(Fcf.DIS, PEER.encode()).left()
    script.order(PageCoded(1, bytes(99))).says(Fcf.FTT).left().says(Fcf.CFR).left().left().order(
        PageCoded(2, bytes(99))
    )
    script.says(Fcf.RTP).left().says(Fcf.FTT).left().says(Fcf.CFR).left().left().says(Fcf.MCF).left().wait(1.1)
    assert script.outcome.cause is Cause.COMPLETE


def test_every_training_after_a_failure_is_a_long_one(bench: Any) -> None:
    script = bench.script(sending=True).left().says(Fcf.DIS, PEER.encode()).left().says(Fcf.FTT)
    trainings = [each for each in script.output if isinstance(each, SendTraining)]
    assert [(each.modem.rate_bps, each.octets) for each in trainings] == [(14400, 2700), (12000, 2250)]


# --- commands out of place, and evidence ----------------------------------------------------------------


def test_the_same_change_of_rate_over_and_over_is_no_progress(bench: Any) -> None:
    script = bench.script(sending=False).left().trains(SMALL)
    begun = script.now
    while "DCN" not in script.said:
        script.says(Fcf.CTC, encode_ctc(Modem.V29_9600)).left()
        assert script.now - begun < 200
    assert script.said.count("CTR") > 5


def test_eos_goes_back_to_phase_b_as_eom_does(bench: Any) -> None:
    frame = encode_block(encode_page(bytes(216 * 20), 1728, 20, Coding.MMR, ecm=True), 64)[0]
    script = bench.script(sending=False).left().trains(SMALL).fast(SMALL, frame)
    script.says(Fcf.PPS, PartialPage(Fcf.EOS, 0, 0, 1).encode()).keeps().left().wait(8)
    assert script.said[-2:] == ["MCF", "DIS"]


def test_the_evidence_tells_what_was_awaited_and_what_came(bench: Any) -> None:
    script = bench.script(sending=True).left().says(Fcf.DIS, PEER.encode()).left().says(Fcf.DCN)
    assert script.outcome.sentence == "waiting for an answer to DCS and training: DCN came"
    script = bench.script(sending=False).left().trains(SMALL).wait(8).left().wait(2)
    assert script.outcome.sentence == "waiting for page data: T2 expired"
