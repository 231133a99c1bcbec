"""The unpaced transfer between two internet-aware terminals, and the way back from it at any point."""

import random
from dataclasses import replace
from typing import Any

import pytest

from vfax.codecs.dis import FALL_BACK, Agreement, Capabilities, Coding, Resolution, decode_dcs, encode_dcs
from vfax.codecs.encode import encode_page
from vfax.codecs.frames import Fcf, Frame, PartialPage, encode_block, encode_request
from vfax.outcome import Cause
from vfax.signals import FrameReceived, LineSignal, Modem, SendEcm, SendFrames, SendTraining, SetPace
from vfax.t30.options import T30Options
from vfax.t30.tables import S
from vfax.t30.values import Addressing, Agreed, FrameSeen, PageCoded, PageConfirmed, PageReceived, Trained

AWARE = T30Options(internet_aware=True)
PEER = Capabilities(modems=frozenset(FALL_BACK), codings=frozenset(Coding), ecm=True, internet_aware=True)
DATA = bytes(range(1, 251)) * 4
FRAMES = 4
WHITE = encode_page(bytes(20 * 216), 1728, 20, Coding.MMR, k=4, min_row_octets=0, ecm=True)
MODE = Agreement(
    modem=Modem.V17_14400,
    coding=Coding.MMR,
    ecm=True,
    frame_octets=256,
    resolution=Resolution.FINE,
    width_px=1728,
    min_scan_ms=0,
    internet_aware=True,
)


def whole(pair: Any) -> None:
    """Both ends are content, and every page is what was sent."""
    for name in ("sender", "receiver"):
        assert (pair.outcome(name).cause, pair.outcome(name).pages_confirmed) == (Cause.COMPLETE, len(pair.pages))
    assert pair.kept == {number: raster for number, (_, raster) in enumerate(pair.pages, 1)}


def agreed(pair: Any) -> list[bool]:
    return [event.agreement.internet_aware for event in pair.of("sender", Agreed)]


def paces(script: Any) -> list[bool]:
    return [each.paced for each in script.output if isinstance(each, SetPace)]


# --- both are -----------------------------------------------------------------------------------------


def test_pages_go_without_training_at_the_speed_of_the_road(bench: Any) -> None:
    pages = [bench.draw(1000, seed=seed) for seed in (1, 2, 3)]
    pair = bench.pair(pages, send=AWARE, take=AWARE).run()
    whole(pair)
    assert pair.said("sender") == ["DCS", "PPS", "PPS", "PPS", "DCN"]
    assert agreed(pair) == [True]
    assert [event.agreement.internet_aware for event in pair.of("receiver", Agreed)] == [True]
    paced = bench.pair(pages).run()
    assert pair.now < 9, "CED and DIS take their time"
    assert paced.now > 25


def test_a_change_of_paper_stays_unpaced(bench: Any) -> None:
    pages = [bench.draw(20, seed=1), bench.draw(20, seed=2, resolution=Resolution.STANDARD)]
    pair = bench.pair(pages, send=AWARE, take=AWARE).run()
    whole(pair)
    assert agreed(pair) == [True, True]


def test_a_polled_document_goes_unpaced(bench: Any) -> None:
    pair = bench.pair([bench.draw(40, seed=1)], send=AWARE, take=AWARE, polls=Addressing()).run()
    whole(pair)
    assert agreed(pair) == [True]


@pytest.mark.parametrize(
    ("send", "take"),
    [
        (AWARE, T30Options()),
        (T30Options(), AWARE),
        (AWARE, replace(AWARE, ecm=False)),
        (replace(AWARE, ecm=False), AWARE),
    ],
    ids=["sender only", "receiver only", "receiver without ecm", "sender without ecm"],
)
def test_unless_both_are_aware_and_have_ecm_all_goes_as_ever(bench: Any, send: T30Options, take: T30Options) -> None:
    pair = bench.pair([bench.draw(40, seed=1)], send=send, take=take).run()
    whole(pair)
    assert agreed(pair) == [False]
    assert pair.halves["sender"].pace == pair.halves["receiver"].pace == 1.0


def test_nothing_is_confirmed_before_it_is_kept(bench: Any) -> None:
    pair = bench.pair([bench.draw(40, seed=1)], send=AWARE, take=AWARE, lose_page=1).run()
    assert (pair.outcome("receiver").cause, pair.outcome("sender").pages_confirmed) == (Cause.STORAGE, 0)


@pytest.mark.parametrize("keep_after", [3.0, 20.0])
def test_a_slow_store_is_waited_for(bench: Any, keep_after: float) -> None:
    whole(bench.pair([bench.draw(40, seed=s) for s in (1, 2)], send=AWARE, take=AWARE, keep_after=keep_after).run())


# --- the way back -------------------------------------------------------------------------------------


@pytest.mark.parametrize("times", [1, 2, 3])
@pytest.mark.parametrize("fcf", [Fcf.DIS, Fcf.DCS, Fcf.CFR, Fcf.PPS, Fcf.MCF])
def test_the_ends_come_together_whatever_frame_is_lost(bench: Any, fcf: Fcf, times: int) -> None:
    if fcf in (Fcf.PPS, Fcf.MCF) and times > 2:
        times = 2  # said three times, as on any line
    pages = [bench.draw(40, seed=seed) for seed in (1, 2)]
    pair = bench.pair(pages, send=AWARE, take=AWARE, fate=bench.lose(fcf, times=times)).run()
    whole(pair)
    assert agreed(pair)[-1] is not (fcf in (Fcf.DCS, Fcf.CFR) and times > 1)


def lossy(every: int, until: int) -> Any:
    """Lose every so many of the first fast frames."""
    count = 0

    def fate(name: str, signal: LineSignal, _now: float) -> list[LineSignal]:
        nonlocal count
        if name == "sender" and isinstance(signal, FrameReceived) and signal.modem is not Modem.V21:
            count += 1
            if count < until and count % every == 0:
                return []
        return [signal]

    return fate


@pytest.mark.parametrize("until", [20, 100, 300, 1000])
def test_a_road_that_loses_frames_is_left_for_the_slow_one(bench: Any, until: int) -> None:
    pages = [bench.draw(1500, seed=seed) for seed in (1, 2)]
    pair = bench.pair(pages, send=AWARE, take=AWARE, fate=lossy(2, until)).run()
    whole(pair)
    if pair.said("receiver").count("PPR") >= 3:
        assert agreed(pair)[:2] == [True, False]
        assert not any(agreed(pair)[1:])


def called(script: Any) -> Any:
    """The peer answers with DIS; DCS leaves."""
    return script.left().says(Fcf.DIS, PEER.encode()).left()


def sent(script: Any) -> Any:
    """As far as the first PPS, which has left."""
    return called(script).order(PageCoded(1, DATA)).says(Fcf.CFR).left().left()


def test_dcs_has_the_bit_and_no_rate_and_no_training_follows(bench: Any) -> None:
    script = called(bench.script(sending=True, internet_aware=True))
    dcs = script.last_frame
    assert decode_dcs(dcs.info).internet_aware
    assert dcs.info[1] & 0x3C == 0, "bits 11 to 14"
    assert isinstance(script.output[-1], SendFrames)
    assert paces(script) == [False]


def test_without_cfr_the_third_dcs_is_an_ordinary_one(bench: Any) -> None:
    script = called(bench.script(sending=True, internet_aware=True)).wait(4.5).left().wait(4.5)
    assert script.said == ["DCS"] * 3
    assert script.output[-1] == SendTraining(Modem.V17_14400, 2700)
    assert paces(script) == [False, True]
    script.order(PageCoded(1, DATA)).left().says(Fcf.CFR)
    assert isinstance(script.output[-1], SendEcm)


def test_ftt_brings_training_at_the_rate_never_tried(bench: Any) -> None:
    script = called(bench.script(sending=True, internet_aware=True)).says(Fcf.FTT)
    assert script.output[-1] == SendTraining(Modem.V17_14400, 2700)
    assert script.of(Trained) == [], "nothing was trained"
    script.left().says(Fcf.FTT)
    assert script.output[-1].modem is Modem.V17_12000
    assert script.of(Trained) == [Trained(False, 14400)]


@pytest.mark.parametrize("answer", [Fcf.RTN, Fcf.PIN])
def test_a_refusal_brings_the_page_again_at_the_modems_rate(bench: Any, answer: Fcf) -> None:
    script = sent(bench.script(sending=True, internet_aware=True)).says(answer)
    assert script.output[-1] == SendTraining(Modem.V17_14400, 2700)
    script.left().says(Fcf.CFR)
    assert [frame[2] for frame in script.output[-1].frames] == [0x60] * FRAMES + [0x61] * 3
    assert not script.of(PageConfirmed)


def test_rtp_confirms_and_the_next_page_goes_at_the_modems_rate(bench: Any) -> None:
    script = sent(bench.script(sending=True, pages=2, internet_aware=True)).says(Fcf.RTP)
    assert script.output[-1] == SendTraining(Modem.V17_14400, 2700)
    assert script.of(PageConfirmed) == [PageConfirmed(1)]


def test_the_third_request_for_one_block_brings_all_of_it_at_the_modems_rate(bench: Any) -> None:
    script = sent(bench.script(sending=True, internet_aware=True))
    for _ in range(2):
        script.says(Fcf.PPR, encode_request([1], FRAMES)).left().left()
    assert paces(script) == [False]
    script.says(Fcf.PPR, encode_request([1], FRAMES))
    assert (script.said[-1], paces(script)) == ("DCS", [False, True])
    script.left().says(Fcf.CFR).left().left()
    assert PartialPage.decode(script.last_frame.info) == PartialPage(Fcf.EOP, 0, 0, FRAMES)
    script.says(Fcf.MCF)
    assert script.of(PageConfirmed) == [PageConfirmed(1)]


def test_after_the_way_back_no_dis_leads_to_the_fast_path_again(bench: Any) -> None:
    pages = [bench.draw(20, seed=1), bench.draw(20, seed=2, resolution=Resolution.STANDARD)]
    pair = bench.pair(pages, send=AWARE, take=AWARE, fate=bench.lose(Fcf.CFR, times=2)).run()
    whole(pair)
    assert agreed(pair) == [True, False, False]


# --- a receiver ---------------------------------------------------------------------------------------


def received(script: Any) -> Any:
    """The peer says DCS with bit 123, and hears CFR out."""
    return script.left().says(Fcf.DCS, encode_dcs(MODE)).left()


def test_cfr_comes_at_once_and_unpaced(bench: Any) -> None:
    script = received(bench.script(sending=False, internet_aware=True))
    assert (script.said, script.engine.state, paces(script)) == (["DIS", "CFR"], S.AWAIT_PAGE, [False])
    assert script.of(Trained) == []
    assert [each.words for each in script.of(FrameSeen)][1].startswith("internet-aware, MMR")


def test_dcs_again_has_cfr_again(bench: Any) -> None:
    script = received(received(bench.script(sending=False, internet_aware=True)))
    assert script.said == ["DIS", "CFR", "CFR"]


def test_a_bit_that_was_never_announced_waits_for_training(bench: Any) -> None:
    script = received(bench.script(sending=False))
    assert (script.said, script.engine.state, paces(script)) == (["DIS"], S.AWAIT_TCF, [])


def test_an_ordinary_dcs_ends_the_fast_path_in_the_middle_of_a_page(bench: Any) -> None:
    plain = replace(MODE, internet_aware=False)
    script = received(bench.script(sending=False, internet_aware=True))
    frames = encode_block(bytes(200), 64)
    script.fast(MODE, *frames[:2]).trains(plain)
    assert (script.said, paces(script)) == (["DIS", "CFR", "CFR"], [False, True])
    script.fast(plain, *encode_block(WHITE, 256))
    script.says(Fcf.PPS, PartialPage(Fcf.EOP, 0, 0, 1).encode())
    assert [event.number for event in script.of(PageReceived)] == [1]


def test_dis_after_a_change_of_paper_is_paced_again(bench: Any) -> None:
    script = received(bench.script(sending=False, internet_aware=True)).wait(10)
    assert script.outcome.cause is Cause.NO_CARRIER
    script = received(bench.script(sending=False, internet_aware=True))
    script.fast(MODE, *encode_block(WHITE, 256))
    script.says(Fcf.PPS, PartialPage(Fcf.EOM, 0, 0, 1).encode()).keeps().left().wait(8)
    assert (script.said[-1], paces(script)) == ("DIS", [False, True])


def test_the_frame_of_dcs_is_well_formed() -> None:
    assert Frame.decode(Frame(Fcf.DCS, encode_dcs(MODE), x=True).encode()).info[15] == 0x20


# --- any line -----------------------------------------------------------------------------------------


@pytest.mark.parametrize("polled", [False, True])
@pytest.mark.parametrize("seed", range(30))
def test_whatever_is_lost_both_ends_reach_a_verdict_and_no_page_is_confirmed_wrongly(
    bench: Any, seed: int, polled: bool
) -> None:
    dice = random.Random(seed)
    loss = dice.choice([0.02, 0.1, 0.3])

    def fate(_name: str, signal: LineSignal, now: float) -> list[LineSignal]:
        lost = isinstance(signal, FrameReceived) and dice.random() < loss and now < 120
        return [] if lost else [signal]

    pages = [bench.draw(60, seed=each) for each in (1, 2, 3)]
    polls = Addressing() if polled else None
    pair = bench.pair(pages, send=AWARE, take=AWARE, fate=fate, polls=polls).run()
    confirmed = {name: [event.number for event in pair.of(name, PageConfirmed)] for name in ("sender", "receiver")}
    for number in confirmed["sender"]:
        assert pair.kept[number] == pages[number - 1][1]
    assert confirmed["receiver"] == sorted(set(confirmed["receiver"]))
    assert set(confirmed["sender"]) <= set(confirmed["receiver"])
    assert pair.now < 1000
    if loss == 0.02:
        assert pair.outcome("sender").cause in (Cause.COMPLETE, Cause.UNCERTAIN), pair.outcome("sender")
