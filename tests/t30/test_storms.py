"""Whatever the peer does: nothing raises, everything ends, no page is confirmed that was not kept."""

import random
import tracemalloc
from dataclasses import replace

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from vfax.codecs.dis import FALL_BACK, Agreement, Capabilities, Coding, Resolution, encode_dcs
from vfax.codecs.frames import RCP, Fcf, Frame, PartialPage, encode_block, encode_request
from vfax.outcome import Cause
from vfax.signals import (
    DataMissing,
    DataReceived,
    FrameDamaged,
    FrameReceived,
    LineSignal,
    Modem,
    SendFrames,
    SignalEnded,
    SignalStarted,
    Tone,
    ToneHeard,
    TransmissionDone,
)
from vfax.t30.engine import T30Engine
from vfax.t30.options import T30Options
from vfax.t30.values import (
    Abort,
    Addressing,
    Ended,
    LineDown,
    LineUp,
    Order,
    PageCoded,
    PageInfo,
    PageKept,
    PageLost,
    PageNeeded,
    PageProgress,
    PageReceived,
    PageUnavailable,
    Poll,
    Role,
    SendDocument,
)

PLAIN = Agreement(
    modem=Modem.V17_14400,
    coding=Coding.MH,
    ecm=False,
    frame_octets=0,
    resolution=Resolution.FINE,
    width_px=1728,
    min_scan_ms=0,
)
ECM = Agreement(
    modem=Modem.V29_9600,
    coding=Coding.MMR,
    ecm=True,
    frame_octets=256,
    resolution=Resolution.FINE,
    width_px=1728,
    min_scan_ms=0,
)


def some_capabilities(dice: random.Random) -> bytes:
    ecm, document, aware = (dice.random() < 0.5 for _ in range(3))
    return Capabilities(ecm=ecm, has_document=document, internet_aware=aware, codings=frozenset(Coding)).encode()


def sensible_frames(dice: random.Random) -> bytes:
    """A frame that might really come, at a moment when it should not."""
    fcf = dice.choice(list(Fcf))
    info = {
        Fcf.DCS: lambda: encode_dcs(dice.choice([PLAIN, ECM, replace(ECM, internet_aware=True)])),
        Fcf.DIS: lambda: some_capabilities(dice),
        Fcf.DTC: lambda: some_capabilities(dice),
        Fcf.PPS: lambda: PartialPage(
            dice.choice([None, Fcf.MPS, Fcf.EOP, Fcf.EOM]), dice.randrange(2), dice.randrange(2), dice.randrange(1, 5)
        ).encode(),
        Fcf.PPR: lambda: encode_request(dice.sample(range(256), 3), 256),
        Fcf.EOR: lambda: bytes([dice.choice([0, 0xF1, 0xF2, 0xF4, 0x33])]),
        Fcf.CTC: lambda: bytes([0, dice.randrange(256)]),
    }.get(fcf, lambda: dice.randbytes(dice.randrange(4)))()
    return Frame(fcf, info, x=dice.random() < 0.5).encode()


def random_signal(dice: random.Random) -> LineSignal:
    fast = dice.choice(FALL_BACK)
    block = encode_block(dice.randbytes(700), 256)
    match dice.randrange(14):
        case 0 | 1:
            return SignalStarted(dice.choice([Modem.V21, fast]))
        case 2 | 3:
            return SignalEnded(dice.choice([Modem.V21, fast]))
        case 4 | 5 | 6:
            return FrameReceived(Modem.V21, sensible_frames(dice))
        case 7:
            return FrameReceived(dice.choice([Modem.V21, fast]), dice.randbytes(dice.randrange(12)))
        case 8:
            return FrameReceived(fast, dice.choice([*block, RCP]))
        case 9:
            return FrameDamaged(dice.choice([Modem.V21, fast]))
        case 10:
            return DataReceived(fast, bytes(dice.choice([300, 4000])))
        case 11:
            return DataReceived(fast, dice.randbytes(dice.randrange(1, 80)))
        case 12:
            return DataMissing(1) if dice.random() < 0.5 else ToneHeard(Tone.CED)
        case _:
            return TransmissionDone()


def random_order(dice: random.Random, *, final: bool) -> Order:
    number = dice.randrange(1, 4)
    orders: list[Order] = [
        PageKept(number),
        PageCoded(number, dice.randbytes(dice.randrange(600))),
        LineUp(),
        SendDocument((PageInfo(1728, 10, Resolution.FINE),)),
    ]
    if final:
        orders += [PageLost(number, "disk"), PageUnavailable(number, "torn"), LineDown(), Abort()]
    return dice.choice(orders)


DOCUMENT = SendDocument((PageInfo(1728, 20, Resolution.FINE), PageInfo(1728, 20, Resolution.STANDARD)))


def new_engine(*, sending: bool, polling: bool = False, aware: bool = False) -> T30Engine:
    role = Role.CALLER if sending is not polling else Role.CALLED
    engine = T30Engine(role, sending=sending, options=T30Options(local_id="me", internet_aware=aware), now=0.0)
    if sending:
        engine.command(DOCUMENT, 0.0)
    elif polling:
        engine.command(Poll(Addressing(poll_address="1", poll_password="2")), 0.0)
    engine.command(LineUp(), 0.0)
    return engine


def ended(engine: T30Engine, events: list[object]) -> bool:
    events += engine.take_events()
    return any(isinstance(event, Ended) for event in events)


@pytest.mark.parametrize("sending", [True, False])
@pytest.mark.parametrize("seed", range(150))
def test_random_signals_never_raise_and_always_end(seed: int, sending: bool) -> None:
    storm(new_engine(sending=sending), seed, sending=sending)


@pytest.mark.parametrize("sending", [True, False])
@pytest.mark.parametrize("polling", [True, False])
@pytest.mark.parametrize("seed", range(50))
def test_nor_when_polling_or_unpaced(seed: int, sending: bool, polling: bool) -> None:
    storm(new_engine(sending=sending, polling=polling, aware=True), seed, sending=sending)


def storm(engine: T30Engine, seed: int, *, sending: bool) -> None:
    dice = random.Random(seed)
    events, now = list[object](), 0.0
    final = dice.random() < 0.3
    kept: set[int] = set()
    for _ in range(dice.choice([50, 400])):
        now += dice.choice([0.0, 0.03, 0.3, 1.5])
        while engine.next_timeout() <= now:
            engine.handle_timeout(now)
        if dice.random() < 0.12:
            order = random_order(dice, final=final)
            if isinstance(order, PageKept):
                kept.add(order.number)
            engine.command(order, now)
        engine.receive(random_signal(dice), now)
        engine.take_output()
    end_alone(engine, events, now)
    outcome = next(event.outcome for event in events if isinstance(event, Ended))
    if not sending:
        assert outcome.pages_confirmed <= len(kept)


def end_alone(engine: T30Engine, events: list[object], now: float) -> None:
    """With nothing but the clock the engine ends in bounded time and steps, and stays ended."""
    start = now
    for _ in range(5000):
        if ended(engine, events):
            break
        now = max(now, engine.next_timeout())
        engine.handle_timeout(now)
        engine.take_output()
    assert ended(engine, events)
    assert now - start < 400
    assert sum(isinstance(event, Ended) for event in events) == 1
    assert isinstance(events[-1], Ended)
    assert engine.next_timeout() == float("inf")
    engine.receive(SignalStarted(Modem.V21), now)
    engine.receive(FrameReceived(Modem.V21, Frame(Fcf.DCS, encode_dcs(ECM)).encode()), now)
    engine.command(Abort(), now)
    engine.handle_timeout(now + 100)
    assert (engine.take_events(), engine.take_output()) == ([], [])


@given(data=st.binary(max_size=60), sending=st.booleans())
@settings(max_examples=100, deadline=None)
def test_any_frame_is_survived(data: bytes, sending: bool) -> None:
    engine = new_engine(sending=sending)
    for modem in (Modem.V21, Modem.V17_14400):
        for head in (b"", b"\xff\xc8", b"\xff\xc8\xc1", b"\xff\xc8\xfd", b"\xff\xc0\x60"):
            engine.receive(SignalStarted(modem), 1.0)
            engine.receive(FrameReceived(modem, head + data), 1.1)
            engine.receive(SignalEnded(modem), 1.2)
    events = engine.take_events()
    assert any(isinstance(event, Ended) for event in events) == (engine.next_timeout() == float("inf"))


@pytest.mark.parametrize("sending", [True, False])
def test_a_flood_of_flags_does_not_keep_the_fax_alive(sending: bool) -> None:
    engine, events, now = new_engine(sending=sending), list[object](), 0.0
    while not ended(engine, events):
        now += 0.4
        while engine.next_timeout() <= now:
            engine.handle_timeout(now)
        engine.receive(SignalStarted(Modem.V21), now)
        engine.receive(FrameDamaged(Modem.V21), now + 0.1)
        engine.receive(SignalEnded(Modem.V21), now + 0.2)
        engine.take_output()
        assert now < 300


def test_a_page_without_end_ends_by_the_clock() -> None:
    engine, events, now = new_engine(sending=False), list[object](), 0.0
    train(engine, now, PLAIN)
    rows = b"\x00\x19\xa8" * 40
    while not ended(engine, events):
        now += 1.0
        while engine.next_timeout() <= now:
            engine.handle_timeout(now)
        engine.receive(DataReceived(Modem.V17_14400, rows), now)
        engine.take_output()
        assert now < 5000
    (outcome,) = [event.outcome for event in events if isinstance(event, Ended)]
    assert outcome.cause is Cause.LIMIT


def test_octets_beyond_the_limit_of_a_page_are_not_even_kept_for_decoding() -> None:
    """Nobody asks for timeouts here: a flood may starve them, and must find a bound all the same."""
    engine = new_engine(sending=False)
    train(engine, 0.0, PLAIN)
    tracemalloc.start()
    for _ in range(2000):
        engine.receive(DataReceived(Modem.V17_14400, bytes(1500) * 8), 0.0)
    _, peak = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    assert peak < 17 * 1024 * 1024


def test_a_flood_of_equal_rows_takes_no_memory_before_it_is_handed_over() -> None:
    """One bit of MMR is a row of 216 octets here: 2000 octets would be more than three megabytes."""
    engine, frames = new_engine(sending=False), encode_block(b"\xff" * 2000, 256)
    train(engine, 0.0, ECM)
    tracemalloc.start()
    for frame in frames:
        engine.receive(FrameReceived(ECM.modem, frame), 0.0)
        while engine.next_timeout() <= 0.0:
            engine.handle_timeout(0.0)
    _, peak = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    progress = [event for event in engine.take_events() if isinstance(event, PageProgress)]
    assert progress[-1].done > 10_000
    assert peak < 512 * 1024


def train(engine: T30Engine, now: float, agreement: Agreement) -> None:
    """DCS, TCF, and what the receiver says to it leaves."""
    engine.receive(SignalStarted(Modem.V21), now)
    engine.receive(FrameReceived(Modem.V21, Frame(Fcf.DCS, encode_dcs(agreement), x=True).encode()), now)
    engine.receive(SignalEnded(Modem.V21), now)
    engine.receive(SignalStarted(agreement.modem), now)
    engine.receive(DataReceived(agreement.modem, bytes(2700)), now)
    engine.receive(SignalEnded(agreement.modem), now)
    engine.receive(TransmissionDone(), now)
    engine.receive(SignalStarted(agreement.modem), now)


def test_a_sender_that_is_never_given_its_page_ends_by_the_clock() -> None:
    """It trains again and again, to which this peer says nothing more."""
    engine, events, now = new_engine(sending=True), list[object](), 1.0
    engine.receive(TransmissionDone(), now)
    for fcf, info in ((Fcf.DIS, Capabilities().encode()), (Fcf.CFR, b"")):
        now += 5.0
        engine.receive(SignalStarted(Modem.V21), now)
        engine.receive(FrameReceived(Modem.V21, Frame(fcf, info).encode()), now)
        engine.receive(SignalEnded(Modem.V21), now)
        engine.receive(TransmissionDone(), now + 4)
    events += engine.take_events()
    assert any(isinstance(event, PageNeeded) for event in events)
    end_alone(engine, events, now)
    (outcome,) = [event.outcome for event in events if isinstance(event, Ended)]
    assert outcome.cause is Cause.NO_RESPONSE


def test_a_line_that_never_says_done_does_not_stop_the_fax() -> None:
    engine, events, now = new_engine(sending=False), list[object](), 0.0
    said = 0
    while not ended(engine, events):
        now = max(now, engine.next_timeout())
        engine.handle_timeout(now)
        said += sum(isinstance(each, SendFrames) for each in engine.take_output())
    assert said >= 2
    assert now < 50
    assert not any(isinstance(event, PageReceived) for event in events)
