"""Whole faxes between a sender and a receiver on a perfect line, and with one thing going wrong at a time."""

import random
from dataclasses import replace
from typing import Any

import pytest

from vfax.codecs.dis import FALL_BACK, Coding, Resolution
from vfax.codecs.frames import Fcf
from vfax.codecs.t4 import RowDecoder
from vfax.outcome import Cause
from vfax.signals import (
    DataMissing,
    DataReceived,
    FrameDamaged,
    FrameReceived,
    LineSignal,
    Modem,
    SendEcm,
    SendImage,
    SignalEnded,
    SignalStarted,
)
from vfax.t30.options import Limits, T30Options, Timers
from vfax.t30.values import (
    Abort,
    Agreed,
    IdentityReceived,
    LineDown,
    PageConfirmed,
    PageProgress,
    PageReceived,
    PageRepeated,
    PageStarted,
    Trained,
)

ECM = T30Options()
PLAIN = T30Options(ecm=False)


def whole(pair: Any) -> None:
    """Both ends are content, and every page is what was sent."""
    assert pair.outcome("sender").cause is Cause.COMPLETE, pair.outcome("sender")
    assert pair.outcome("receiver").cause is Cause.COMPLETE, pair.outcome("receiver")
    assert pair.outcome("sender").pages_confirmed == pair.outcome("receiver").pages_confirmed == len(pair.pages)
    assert pair.kept == {number: raster for number, (_, raster) in enumerate(pair.pages, 1)}


# --- the perfect line ----------------------------------------------------------------------------


@pytest.mark.parametrize("options", [ECM, PLAIN], ids=["ecm", "plain"])
@pytest.mark.parametrize("code_after", [5.0, 8.5, 14.0, 25.0])
def test_a_page_that_takes_long_to_code_keeps_its_receiver_waiting(
    bench: Any, code_after: float, options: T30Options
) -> None:
    """A receiver hangs up six seconds after its CFR or MCF: so the training is said again, as if CFR had been lost."""
    whole(bench.pair([bench.draw(60, seed=seed) for seed in (1, 2)], send=options, code_after=code_after).run())


def test_a_page_that_is_never_coded_ends_the_fax(bench: Any) -> None:
    pair = bench.pair([bench.draw(60, seed=1)], code_after=1000.0).run()
    assert pair.outcome("sender").cause is Cause.STORAGE
    assert pair.now < 50


@pytest.mark.parametrize("coding", list(Coding))
def test_ecm_pages_arrive_equal_in_every_coding(bench: Any, coding: Coding) -> None:
    pages = [bench.draw(60, seed=seed) for seed in (1, 2, 3)]
    pair = bench.pair(pages, send=T30Options(send_codings=(coding,))).run()
    whole(pair)
    assert pair.outcome("receiver").coding == coding.value


@pytest.mark.parametrize("coding", [Coding.MH, Coding.MR])
def test_plain_pages_arrive_equal_in_every_coding(bench: Any, coding: Coding) -> None:
    pages = [bench.draw(60, seed=seed) for seed in (1, 2, 3)]
    pair = bench.pair(pages, send=replace(PLAIN, send_codings=(coding,))).run()
    whole(pair)
    assert (pair.outcome("sender").ecm, pair.outcome("sender").coding) == (False, coding.value)


@pytest.mark.parametrize("modem", FALL_BACK)
@pytest.mark.parametrize("ecm", [True, False])
def test_pages_arrive_equal_at_every_rate(bench: Any, modem: Modem, ecm: bool) -> None:
    pages = [bench.draw(40, seed=5), bench.draw(30, seed=6)]
    pair = bench.pair(pages, send=T30Options(ecm=ecm, modems=frozenset({modem}))).run()
    whole(pair)
    assert pair.outcome("receiver").rate_bps == modem.rate_bps


def test_a_dense_page_of_several_blocks_arrives_equal(bench: Any) -> None:
    dice = random.Random(11)
    info, _ = bench.draw(340, seed=1)
    page = (info, dice.randbytes(340 * 216))
    pair = bench.pair([page, bench.draw(20, seed=2)]).run()
    whole(pair)
    assert pair.said("sender").count("PPS") >= 3


@pytest.mark.parametrize("width_px", [1728, 2048, 2432])
@pytest.mark.parametrize("resolution", [Resolution.STANDARD, Resolution.FINE])
def test_every_width_and_resolution_is_agreed_as_the_page_has_it(
    bench: Any, width_px: int, resolution: Resolution
) -> None:
    pair = bench.pair([bench.draw(25, seed=3, width_px=width_px, resolution=resolution)]).run()
    whole(pair)
    assert (pair.received[0].width_px, pair.received[0].agreement.resolution) == (width_px, resolution)


def test_small_ecm_frames_are_used_when_the_peer_prefers_them(bench: Any) -> None:
    def prefer_64(name: str, signal: LineSignal, _now: float) -> list[LineSignal]:
        if name == "receiver" and isinstance(signal, FrameReceived) and signal.octets[2] == Fcf.DIS.value:
            octets = bytearray(signal.octets)
            octets[3] |= 0x02  # bit 7
            return [FrameReceived(signal.modem, bytes(octets))]
        return [signal]

    pair = bench.pair([bench.draw(200, seed=3)], fate=prefer_64).run()
    whole(pair)
    assert pair.coded[0].frame_octets == 64


def test_geometry_that_changes_between_pages_goes_back_to_phase_b(bench: Any) -> None:
    pages = [
        bench.draw(20, seed=1),
        bench.draw(20, seed=2, resolution=Resolution.STANDARD),
        bench.draw(20, seed=3, width_px=2048),
    ]
    pair = bench.pair(pages).run()
    whole(pair)
    assert pair.said("receiver").count("DIS") == 3
    assert [page.agreement.resolution for page in pair.received] == [
        Resolution.FINE,
        Resolution.STANDARD,
        Resolution.FINE,
    ]


def test_the_same_geometry_needs_one_dcs_for_all_pages(bench: Any) -> None:
    pair = bench.pair([bench.draw(20, seed=seed) for seed in range(4)]).run()
    assert pair.said("sender").count("DCS") == 1


def test_identities_reach_the_other_end(bench: Any) -> None:
    pair = bench.pair(
        [bench.draw(20, seed=1)], send=T30Options(local_id="+49 30 1234"), take=T30Options(local_id="vfax")
    ).run()
    assert pair.of("sender", IdentityReceived) == [IdentityReceived("CSI", "vfax")]
    assert pair.outcome("receiver").remote_id == "+49 30 1234"


def test_v17_pages_after_the_first_training_use_the_short_one(bench: Any) -> None:
    for options in (ECM, PLAIN):
        pair = bench.pair([bench.draw(20, seed=1), bench.draw(20, seed=2)], send=options)
        bursts: list[bool] = []
        transmit = pair.halves["sender"].transmit
        pair.halves["sender"].transmit = lambda t, now, go=transmit, b=bursts: (
            b.append(t.short) if isinstance(t, SendEcm | SendImage) else None,
            go(t, now),
        )
        pair.run()
        assert bursts == [True, True]


def test_rows_are_told_while_the_page_comes_in(bench: Any) -> None:
    pair = bench.pair([bench.draw(400, seed=1)]).run()
    rows = [event.done for event in pair.of("receiver", PageProgress)]
    assert len(rows) >= 4
    assert rows == sorted(rows)


# --- training ------------------------------------------------------------------------------------


def spoil_training(*modems: Modem) -> Any:
    """Data of these modems comes as ones while a TCF is due."""

    def fate(name: str, signal: LineSignal, _now: float) -> list[LineSignal]:
        if isinstance(signal, DataReceived) and signal.modem in modems and not any(signal.octets):
            return [DataReceived(signal.modem, b"\xff" * len(signal.octets))]
        return [signal]

    return fate


def test_failed_training_falls_back_one_rate(bench: Any) -> None:
    pair = bench.pair([bench.draw(20, seed=1)], fate=spoil_training(Modem.V17_14400)).run()
    whole(pair)
    assert pair.outcome("sender").rate_bps == 12000


def test_after_two_v17_failures_v29_is_next(bench: Any) -> None:
    spoiled = (Modem.V17_14400, Modem.V17_12000, Modem.V17_9600, Modem.V17_7200)
    pair = bench.pair([bench.draw(20, seed=1)], fate=spoil_training(*spoiled)).run()
    whole(pair)
    agreed = [event.agreement.modem for event in pair.of("sender", Agreed)]
    assert agreed == [Modem.V17_14400, Modem.V17_12000, Modem.V29_9600]


def test_training_that_fails_at_every_rate_ends_the_fax(bench: Any) -> None:
    pair = bench.pair([bench.draw(20, seed=1)], fate=spoil_training(*FALL_BACK)).run()
    outcome = pair.outcome("sender")
    assert outcome.cause is Cause.CANNOT_TRAIN
    assert pair.outcome("receiver").cause is Cause.PEER_DISCONNECTED
    assert [event.ok for event in pair.of("receiver", Trained)] == [False] * 6


def test_training_with_a_hole_still_counts_its_longest_run(bench: Any) -> None:
    seen = [0]

    def fate(name: str, signal: LineSignal, _now: float) -> list[LineSignal]:
        if isinstance(signal, DataReceived) and not any(signal.octets):
            seen[0] += 1
            if seen[0] == 5:
                return [DataMissing(1)]
        return [signal]

    whole(bench.pair([bench.draw(20, seed=1)], fate=fate).run())


def test_local_tcf_needs_no_zeros(bench: Any) -> None:
    def fate(name: str, signal: LineSignal, _now: float) -> list[LineSignal]:
        return [] if isinstance(signal, DataReceived) and not any(signal.octets) else [signal]

    options = T30Options(local_tcf=True)
    whole(bench.pair([bench.draw(20, seed=1)], send=options, take=options, fate=fate).run())


# --- lost frames ---------------------------------------------------------------------------------


@pytest.mark.parametrize("fcf", [Fcf.DIS, Fcf.DCS, Fcf.CFR, Fcf.PPS, Fcf.MCF])
@pytest.mark.parametrize("times", [1, 2])
def test_ecm_survives_lost_frames(bench: Any, fcf: Fcf, times: int) -> None:
    pages = [bench.draw(40, seed=1), bench.draw(40, seed=2)]
    whole(bench.pair(pages, fate=bench.lose(fcf, times=times)).run())


@pytest.mark.parametrize("fcf", [Fcf.DIS, Fcf.DCS, Fcf.CFR, Fcf.MPS, Fcf.EOP, Fcf.MCF])
@pytest.mark.parametrize("times", [1, 2])
def test_plain_pages_survive_lost_frames(bench: Any, fcf: Fcf, times: int) -> None:
    pages = [bench.draw(40, seed=1), bench.draw(40, seed=2)]
    whole(bench.pair(pages, send=PLAIN, fate=bench.lose(fcf, times=times)).run())


@pytest.mark.parametrize("options", [ECM, PLAIN])
def test_eom_survives_lost_frames(bench: Any, options: T30Options) -> None:
    pages = [bench.draw(40, seed=1), bench.draw(40, seed=2, resolution=Resolution.STANDARD)]
    whole(bench.pair(pages, send=options, fate=bench.lose(Fcf.EOM, Fcf.PPS, Fcf.MCF, Fcf.DIS)).run())


def test_a_lost_dcn_leaves_the_receiver_complete_after_t2(bench: Any) -> None:
    pair = bench.pair([bench.draw(20, seed=1)], fate=bench.lose(Fcf.DCN)).run()
    whole(pair)


@pytest.mark.parametrize("options", [ECM, PLAIN])
def test_a_last_confirmation_that_never_comes_is_uncertain(bench: Any, options: T30Options) -> None:
    pair = bench.pair([bench.draw(20, seed=1)], send=options, fate=bench.lose(Fcf.MCF, times=99)).run()
    outcome = pair.outcome("sender")
    assert (outcome.cause, outcome.pages_confirmed) == (Cause.UNCERTAIN, 0)
    assert pair.outcome("receiver").cause is Cause.COMPLETE


def test_a_confirmation_that_never_comes_in_the_middle_is_no_response(bench: Any) -> None:
    pages = [bench.draw(20, seed=1), bench.draw(20, seed=2)]
    pair = bench.pair(pages, fate=bench.lose(Fcf.MCF, times=99)).run()
    assert pair.outcome("sender").cause is Cause.NO_RESPONSE
    assert pair.outcome("receiver").cause is Cause.PEER_DISCONNECTED
    assert pair.kept == {1: pages[0][1]}


def test_a_silent_receiver_ends_the_sender_after_t1(bench: Any) -> None:
    pair = bench.pair([bench.draw(20, seed=1)], fate=lambda name, s, _now: [s] if name == "sender" else []).run()
    outcome = pair.outcome("sender")
    assert outcome.cause is Cause.T1_EXPIRED
    assert pair.outcome("receiver").cause is not Cause.COMPLETE


# --- ECM repairs ---------------------------------------------------------------------------------


def lose_fast(share: float, *, seed: int, until: float = 1e9) -> Any:
    """Lose fast frames at random."""
    dice = random.Random(seed)

    def fate(name: str, signal: LineSignal, now: float) -> list[LineSignal]:
        lost = isinstance(signal, FrameReceived) and signal.modem is not Modem.V21 and dice.random() < share
        if lost and now < until:
            assert isinstance(signal, FrameReceived)
            return [FrameDamaged(signal.modem)]
        return [signal]

    return fate


@pytest.mark.parametrize("seed", range(6))
def test_lost_ecm_frames_are_asked_for_again(bench: Any, seed: int) -> None:
    pages = [bench.draw(300, seed=seed), bench.draw(200, seed=seed + 50)]
    pair = bench.pair(pages, fate=lose_fast(0.3, seed=seed)).run()
    whole(pair)
    assert "PPR" in pair.said("receiver")
    assert pair.of("receiver", PageRepeated)


def test_a_first_frame_that_comes_last_is_decoded_in_slices(bench: Any) -> None:
    """64 KB wait for frame 0: no single call may decode them all."""
    dice = random.Random(1)
    info, _ = bench.draw(300, seed=1)
    page = (info, dice.randbytes(300 * 216))
    lost = [False]

    def fate(name: str, signal: LineSignal, _now: float) -> list[LineSignal]:
        is_first = isinstance(signal, FrameReceived) and signal.octets[2:4] == b"\x60\x00"
        if is_first and not lost[0]:
            lost[0] = True
            return []
        return [signal]

    pair = bench.pair([page], fate=fate)
    fed: list[int] = []
    feed = RowDecoder.feed
    with pytest.MonkeyPatch.context() as patch:
        engine_calls: list[int] = [0]

        def counted(decoder: RowDecoder, octets: bytes) -> None:
            engine_calls[0] += len(octets)
            feed(decoder, octets)

        patch.setattr(RowDecoder, "feed", counted)
        for name in ("receive", "handle_timeout"):
            original = getattr(pair.receiver, name)

            def call(*args: Any, go: Any = original) -> None:
                engine_calls[0] = 0
                go(*args)
                fed.append(engine_calls[0])

            setattr(pair.receiver, name, call)
        pair.run()
    whole(pair)
    assert sum(fed) > 60_000
    assert max(fed) <= T30Options().slice_octets


def test_four_requests_for_one_block_bring_a_lower_rate(bench: Any) -> None:
    """Frame 3 only passes once the sender has slowed down."""

    def fate(name: str, signal: LineSignal, _now: float) -> list[LineSignal]:
        third = isinstance(signal, FrameReceived) and signal.octets[2:4] == b"\x60\xc0"
        return [] if third and isinstance(signal, FrameReceived) and signal.modem is Modem.V17_14400 else [signal]

    pair = bench.pair([bench.draw(300, seed=1), bench.draw(300, seed=2)], fate=fate).run()
    whole(pair)
    assert pair.said("receiver").count("PPR") == 4
    assert pair.said("sender").count("CTC") == 1
    assert pair.outcome("receiver").rate_bps == 12000


@pytest.mark.parametrize("fcf", [Fcf.CTC, Fcf.CTR])
def test_a_lost_change_of_rate_is_repeated(bench: Any, fcf: Fcf) -> None:
    lost = bench.lose(fcf)

    def fate(name: str, signal: LineSignal, now: float) -> list[LineSignal]:
        third = isinstance(signal, FrameReceived) and signal.octets[2:4] == b"\x60\xc0"
        if third and isinstance(signal, FrameReceived) and signal.modem is Modem.V17_14400:
            return []
        return list(lost(name, signal, now))

    whole(bench.pair([bench.draw(300, seed=1)], fate=fate).run())


@pytest.mark.parametrize("coding", list(Coding))
def test_a_block_that_never_gets_through_is_given_up_and_the_page_kept_damaged(bench: Any, coding: Coding) -> None:
    def fate(name: str, signal: LineSignal, _now: float) -> list[LineSignal]:
        third = isinstance(signal, FrameReceived) and signal.octets[2:4] == b"\x60\xc0"
        return [] if third else [signal]

    options = T30Options(send_codings=(coding,))
    pages = [bench.draw(300, seed=1), bench.draw(8, seed=2)]
    pair = bench.pair(pages, send=options, fate=fate).run()
    for name in ("sender", "receiver"):
        outcome = pair.outcome(name)
        assert outcome.cause is Cause.ECM_FAILED, (name, outcome)
        assert outcome.pages_confirmed == 1, (name, outcome)
        assert outcome.pages_partial == 1
    assert "EOR" in pair.said("sender")
    assert pair.kept[2] == pages[1][1]
    assert pair.received[0].bad_rows > 0
    assert pair.received[0].rows > 20


def test_a_burst_lost_whole_is_asked_for_whole(bench: Any) -> None:
    bursts = [0]

    def fate(name: str, signal: LineSignal, _now: float) -> list[LineSignal]:
        if isinstance(signal, SignalStarted) and signal.modem is not Modem.V21:
            bursts[0] += 1
        fast = isinstance(signal, FrameReceived) and signal.modem is not Modem.V21
        return [] if fast and bursts[0] == 2 else [signal]

    whole(bench.pair([bench.draw(100, seed=1), bench.draw(30, seed=2)], fate=fate).run())


def test_a_confirmed_block_that_comes_again_is_not_stored_twice(bench: Any) -> None:
    """The confirmation of the first block turns into a request for all of it."""
    turned = [False]

    def fate(name: str, signal: LineSignal, _now: float) -> list[LineSignal]:
        mcf = isinstance(signal, FrameReceived) and signal.octets[2] == Fcf.MCF.value
        if mcf and not turned[0]:
            turned[0] = True
            return [FrameReceived(Modem.V21, b"\xff\xc8\x3d" + b"\xff" * 32)]
        return [signal]

    dice = random.Random(1)
    info, _ = bench.draw(330, seed=1)
    whole(bench.pair([(info, dice.randbytes(330 * 216))], fate=fate).run())
    turned[0] = False
    whole(bench.pair([bench.draw(60, seed=1), bench.draw(60, seed=2)], fate=fate).run())


# --- a slow or failing store ---------------------------------------------------------------------


@pytest.mark.parametrize("seconds", [1.0, 2.0, 3.3, 5.0, 9.0, 30.0])
def test_a_slow_store_makes_an_ecm_sender_wait(bench: Any, seconds: float) -> None:
    pair = bench.pair([bench.draw(30, seed=1), bench.draw(30, seed=2)], keep_after=seconds).run()
    whole(pair)
    assert ("RNR" in pair.said("receiver")) == (seconds > 1.5)


@pytest.mark.parametrize("seconds", [1.0, 2.0, 3.3, 5.0, 9.0])
def test_a_slow_store_is_answered_on_the_senders_repetition_without_ecm(bench: Any, seconds: float) -> None:
    whole(bench.pair([bench.draw(30, seed=1), bench.draw(30, seed=2)], send=PLAIN, keep_after=seconds).run())


def test_lost_rnr_and_rr_are_survived(bench: Any) -> None:
    fate = bench.lose(Fcf.RNR, Fcf.RR, Fcf.MCF)
    whole(bench.pair([bench.draw(30, seed=1), bench.draw(30, seed=2)], keep_after=4.0, fate=fate).run())


def test_a_store_that_never_answers_ends_at_t5_without_confirmation(bench: Any) -> None:
    pair = bench.pair([bench.draw(30, seed=1)], keep_after=1e6).run(until=500)
    assert pair.outcome("receiver").cause is Cause.STORAGE
    assert pair.outcome("receiver").pages_confirmed == pair.outcome("sender").pages_confirmed == 0
    assert "MCF" not in pair.said("receiver")


@pytest.mark.parametrize("options", [ECM, PLAIN])
def test_a_page_that_cannot_be_stored_is_never_confirmed(bench: Any, options: T30Options) -> None:
    pages = [bench.draw(30, seed=seed) for seed in (1, 2, 3)]
    pair = bench.pair(pages, send=options, lose_page=2).run()
    receiver, sender = pair.outcome("receiver"), pair.outcome("sender")
    assert (receiver.cause, receiver.pages_confirmed) == (Cause.STORAGE, 1)
    assert (sender.cause, sender.pages_confirmed) == (Cause.PEER_DISCONNECTED, 1)
    assert pair.of("receiver", PageConfirmed) == [PageConfirmed(1)]
    assert "disk full" in receiver.sentence


# --- bad pages without ECM -----------------------------------------------------------------------


def damage_page(number: int, share: float, *, seed: int = 0) -> Any:
    """Turn octets of the n-th page burst into noise."""
    dice = random.Random(seed)
    bursts = [0]

    def fate(name: str, signal: LineSignal, _now: float) -> list[LineSignal]:
        if isinstance(signal, SignalStarted) and signal.modem is not Modem.V21:
            bursts[0] += 1
        if (
            isinstance(signal, DataReceived)
            and any(signal.octets)
            and bursts[0] - 1 == number
            and dice.random() < share
        ):
            return [DataReceived(signal.modem, dice.randbytes(len(signal.octets)))]
        return [signal]

    return fate


def test_a_bad_page_is_refused_and_sent_again_slower(bench: Any) -> None:
    options = replace(PLAIN, send_codings=(Coding.MH,))
    pages = [bench.draw(100, seed=1), bench.draw(100, seed=2)]
    pair = bench.pair(pages, send=options, fate=damage_page(1, 0.5)).run()
    whole(pair)
    assert pair.said("receiver").count("RTN") == 1
    assert pair.outcome("sender").rate_bps == 12000
    assert [page.number for page in pair.received] == [1, 2]


def test_a_slightly_bad_page_is_confirmed_with_retraining(bench: Any) -> None:
    options = replace(PLAIN, send_codings=(Coding.MH,))
    take = T30Options(rtp_from=0.001, rtn_from=0.9)
    pages = [bench.draw(200, seed=1), bench.draw(100, seed=2)]
    pair = bench.pair(pages, send=options, take=take, fate=damage_page(1, 0.05, seed=4)).run()
    assert pair.outcome("sender").cause is pair.outcome("receiver").cause is Cause.COMPLETE
    assert pair.said("receiver").count("RTP") == 1
    assert pair.said("sender").count("DCS") == 2
    assert pair.kept[2] == pages[1][1]
    assert pair.outcome("receiver").bad_rows > 0


def test_a_page_refused_too_often_ends_the_fax(bench: Any) -> None:
    def fate(name: str, signal: LineSignal, _now: float) -> list[LineSignal]:
        if isinstance(signal, DataReceived) and any(signal.octets):
            return [DataReceived(signal.modem, bytes(octet ^ 0x5A for octet in signal.octets))]
        return [signal]

    pair = bench.pair([bench.draw(100, seed=1)], send=PLAIN, fate=fate).run()
    assert pair.outcome("receiver").cause in (Cause.PAGE_REFUSED, Cause.PEER_DISCONNECTED)
    assert pair.outcome("sender").cause in (Cause.PAGE_REFUSED, Cause.PEER_DISCONNECTED, Cause.UNCERTAIN)
    assert pair.outcome("sender").pages_confirmed == 0
    assert pair.kept == {}


# --- limits and ends -----------------------------------------------------------------------------


def test_too_many_rows_end_the_fax(bench: Any) -> None:
    pair = bench.pair([bench.draw(200, seed=1)], take=T30Options(limits=Limits(rows=100))).run()
    assert pair.outcome("receiver").cause is Cause.LIMIT
    assert "rows" in pair.outcome("receiver").sentence


def test_too_many_pages_end_the_fax(bench: Any) -> None:
    pages = [bench.draw(10, seed=seed) for seed in range(4)]
    pair = bench.pair(pages, take=T30Options(limits=Limits(pages=2))).run()
    assert (pair.outcome("receiver").cause, pair.outcome("receiver").pages_confirmed) == (Cause.LIMIT, 2)


@pytest.mark.parametrize("options", [ECM, PLAIN])
@pytest.mark.parametrize("ends", ["sender", "receiver"])
@pytest.mark.parametrize("moment", [0.5 + n * 1.37 for n in range(24)])
def test_abort_ends_within_a_second_at_any_moment(bench: Any, options: T30Options, ends: str, moment: float) -> None:
    pages = [bench.draw(120, seed=1), bench.draw(120, seed=2)]
    pair = bench.pair(pages, send=options)
    pair.at(moment, lambda: (pair.engines[ends].command(Abort("the user said so"), pair.now), pair.pump(ends)))
    pair.run(until=moment + 0.9)
    assert pair.events[ends]
    if pair.outcome(ends).cause is not Cause.COMPLETE:
        assert pair.outcome(ends).cause is Cause.ABORTED
        assert pair.said(ends)[-1:] == ["DCN"]
    while pair.step(1000.0):
        pass
    assert pair.over


@pytest.mark.parametrize("options", [ECM, PLAIN])
@pytest.mark.parametrize("moment", [0.5 + n * 1.37 for n in range(24)])
def test_a_lost_line_ends_both_at_once_and_keeps_what_is_there(bench: Any, options: T30Options, moment: float) -> None:
    pages = [bench.draw(120, seed=1), bench.draw(120, seed=2)]
    pair = bench.pair(pages, send=options)
    for name in ("sender", "receiver"):
        pair.at(moment, lambda name=name: (pair.engines[name].command(LineDown(), pair.now), pair.pump(name)))
    pair.run(until=moment + 0.1)
    assert pair.over
    allowed = (Cause.PEER_HUNG_UP, Cause.COMPLETE, Cause.UNCERTAIN)
    assert {pair.outcome(name).cause for name in pair.events} <= set(allowed)
    partial = [page for page in pair.received if not page.complete]
    assert len(partial) <= 1
    for page in partial:
        raster = pages[page.number - 1][1]
        assert raster.startswith(page.raster[: page.rows // 2 * 216])


def test_every_started_page_is_told_once(bench: Any) -> None:
    pair = bench.pair([bench.draw(20, seed=seed) for seed in range(3)], fate=lose_fast(0.4, seed=2)).run()
    assert pair.of("receiver", PageStarted) == [PageStarted(1), PageStarted(2), PageStarted(3)]
    assert [event.number for event in pair.of("receiver", PageReceived)] == [1, 2, 3]


# --- everything at once --------------------------------------------------------------------------


def storm_of(seed: int) -> Any:
    """Lose, damage and cut at random, differently for each seed."""
    dice = random.Random(seed)
    control, fast, cut = dice.choice([0.02, 0.1, 0.3]), dice.choice([0.0, 0.1, 0.4]), dice.choice([0.0, 0.05])

    def fate(name: str, signal: LineSignal, _now: float) -> list[LineSignal]:
        roll = dice.random()
        if isinstance(signal, FrameReceived):
            share = control if signal.modem is Modem.V21 else fast
            return [FrameDamaged(signal.modem)] if roll < share else [signal]
        if isinstance(signal, DataReceived):
            return [DataMissing(1)] if roll < fast / 10 else [signal]
        if isinstance(signal, SignalEnded | SignalStarted):
            return [] if roll < cut else [signal]
        return [signal]

    return fate


@pytest.mark.parametrize("seed", range(60))
def test_whatever_the_line_does_both_ends_reach_a_verdict_and_no_page_is_confirmed_wrongly(
    bench: Any, seed: int
) -> None:
    dice = random.Random(seed)
    pages = [
        bench.draw(
            dice.randrange(10, 150), seed=seed + n, resolution=dice.choice([Resolution.FINE, Resolution.STANDARD])
        )
        for n in range(3)
    ]
    send = T30Options(ecm=seed % 3 != 0, send_codings=(dice.choice(list(Coding)), Coding.MH))
    pair = bench.pair(pages, send=send, keep_after=dice.choice([0.05, 1.0, 4.0]), fate=storm_of(seed)).run()
    assert pair.over, seed
    sender, receiver = pair.outcome("sender"), pair.outcome("receiver")
    assert sender.pages_confirmed <= receiver.pages_confirmed
    if send.ecm:
        for number in range(1, sender.pages_confirmed + 1):
            if not sender.pages_partial and not receiver.pages_partial:
                assert pair.kept[number] == pages[number - 1][1], (seed, number)


def test_timers_are_all_positive() -> None:
    timers = Timers()
    assert all(getattr(timers, name) > 0 for name in Timers.__slots__)
