"""Phase E always comes: from every state, by the clock alone, whatever the peer says or does not say.

The peer here never gets anywhere: it is silent, or says one and the same thing over and over. The owner is as obliging
as can be, or does nothing at all.
"""

from collections.abc import Callable
from dataclasses import replace
from typing import Any

import pytest

from vfax.codecs.dis import FALL_BACK, Agreement, Capabilities, Coding, Resolution, encode_dcs
from vfax.codecs.encode import encode_page
from vfax.codecs.frames import Fcf, Frame, PartialPage, encode_block, encode_request
from vfax.signals import (
    DataReceived,
    FrameDamaged,
    FrameReceived,
    LineSignal,
    Modem,
    SignalEnded,
    SignalStarted,
    TransmissionDone,
)
from vfax.t30.engine import T30Engine
from vfax.t30.options import Timers
from vfax.t30.tables import RECEIVING, SENDING, S
from vfax.t30.values import Ended, LineUp, PageCoded, PageInfo, PageKept, PageNeeded, PageReceived, Role, SendDocument

TIMERS = Timers()
SILENT = 2 * TIMERS.t1 + TIMERS.goodbye + TIMERS.linger
"""Seconds within which a fax ends that makes no progress: twice T1, and DCN."""
LIVELY = 5 * TIMERS.t1
"""The same while a peer says one thing again and again: some words are progress, once or a few times."""

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
PLAIN = replace(ECM, coding=Coding.MH, ecm=False, frame_octets=0)
PEER = Capabilities(modems=frozenset(FALL_BACK), codings=frozenset(Coding), ecm=True, has_document=True)
WHITE = encode_page(bytes(20 * 216), 1728, 20, Coding.MMR, k=4, ecm=True)
BLOCK = tuple(encode_block(WHITE, 256))
INFO = {
    Fcf.DIS: PEER.encode(),
    Fcf.DTC: PEER.encode(),
    Fcf.DCS: encode_dcs(ECM),
    Fcf.PPS: PartialPage(Fcf.MPS, 0, 0, 1).encode(),
    Fcf.PPR: encode_request([0], 1),
    Fcf.EOR: b"\xf2",
    Fcf.CTC: b"\x00\x20",
}

# --- the way to each state ------------------------------------------------------------------------------


def receiver(script: Any) -> Any:
    return script.left()


def ready_for_pages(script: Any) -> Any:
    return receiver(script).trains(ECM)


def stored(script: Any, post: Fcf = Fcf.MPS) -> Any:
    """A page is whole and handed over."""
    ready_for_pages(script).fast(ECM, *BLOCK)
    return script.says(Fcf.PPS, PartialPage(post, 0, 0, 1).encode()).wait(0.0)


def asked(script: Any) -> Any:
    """As far as the answer to the first page."""
    return coded(script).left().left()


def trained(script: Any, opens: Fcf = Fcf.DIS) -> Any:
    return script.left().says(opens, PEER.encode()).left()


def coded(script: Any) -> Any:
    return trained(script).order(PageCoded(1, WHITE)).says(Fcf.CFR)


def rated(script: Any) -> Any:
    """Asked for all the page at every rate there is, as far as CTC."""
    asked(script)
    while script.said[-1] != "CTC":
        script.says(Fcf.PPR, encode_request([0], 1)).left().left()
    return script


WAYS_RECEIVING: dict[S, Callable[[Any], Any]] = {
    S.AWAIT_DCS: receiver,
    S.AWAIT_TCF: lambda script: receiver(script).says(Fcf.DCS, encode_dcs(ECM)),
    S.IN_TCF: lambda s: receiver(s).says(Fcf.DCS, encode_dcs(ECM)).hear(SignalStarted(ECM.modem)),
    S.AWAIT_PAGE: ready_for_pages,
    S.IN_PAGE: lambda script: ready_for_pages(script).hear(SignalStarted(ECM.modem)),
    S.AWAIT_POST: lambda script: ready_for_pages(script).fast(ECM, *BLOCK),
    S.HOLDING: stored,
    S.BUSY: lambda script: stored(script).wait(2.0),
    S.READY: lambda script: stored(script).wait(2.0).keeps(),
    S.AWAIT_COMMAND: lambda script: stored(script, Fcf.EOM).keeps(),
    S.AWAIT_DCN: lambda script: stored(script, Fcf.EOP).keeps(),
}
WAYS_SENDING: dict[S, Callable[[Any], Any]] = {
    S.AWAIT_DIS: receiver,
    S.AWAIT_CFR: trained,
    S.AWAIT_CODED: lambda script: trained(script).says(Fcf.CFR),
    S.SENDING_PAGE: coded,
    S.AWAIT_ANSWER: asked,
    S.PAUSED: lambda script: asked(script).says(Fcf.RNR),
    S.AWAIT_CTR: rated,
}


def polls(script: Any) -> Any:
    """The same script, its engine a caller that polls."""
    script.engine = T30Engine(Role.CALLER, sending=False, now=0.0)
    script.output.clear()
    return script.order(LineUp())


def is_polled(script: Any) -> Any:
    """The same script, its engine a called side with a document, polled."""
    script.engine = T30Engine(Role.CALLED, sending=True, now=0.0)
    script.engine.command(SendDocument((PAGE, PAGE)), 0.0)
    script.order(LineUp())
    return trained(script, Fcf.DTC)


CASES: dict[str, tuple[bool, S, Callable[[Any], Any]]] = {
    **{f"receiving {state.name}": (False, state, way) for state, way in WAYS_RECEIVING.items()},
    **{f"sending {state.name}": (True, state, way) for state, way in WAYS_SENDING.items()},
    "polling AWAIT_DIS": (False, S.AWAIT_DIS, lambda script: polls(script).left()),
    "polling AWAIT_DCS": (False, S.AWAIT_DCS, lambda script: polls(script).left().says(Fcf.DIS, INFO[Fcf.DIS]).left()),
    "polled AWAIT_CFR": (True, S.AWAIT_CFR, is_polled),
}
cases = pytest.mark.parametrize("case", CASES)


def reach(bench: Any, case: str) -> Any:
    sending, state, way = CASES[case]
    script = way(bench.script(sending=sending, **({"pages": 2} if sending else {})))
    assert script.engine.state is state
    return script


def test_every_state_is_among_the_cases() -> None:
    assert {state for _, state, _ in CASES.values()} == {*RECEIVING, *SENDING}


# --- the end --------------------------------------------------------------------------------------------


def oblige(engine: T30Engine, now: float) -> bool:
    """Do what the engine asks of its owner at once; True at the end."""
    for event in engine.take_events():
        if isinstance(event, PageNeeded):
            engine.command(PageCoded(event.number, WHITE), now)
        elif isinstance(event, PageReceived) and event.complete:
            engine.command(PageKept(event.number), now)
        elif isinstance(event, Ended):
            return True
    return False


def run_out(script: Any, peer: Callable[[float], list[LineSignal]], *, every: float, obliging: bool = True) -> float:
    """Seconds until the end; every so many of them the peer does its thing, and what we say takes a second."""
    engine, now, begun = script.engine, script.now, script.now
    speaks, left = now + every, now + 1.0
    ended = bool(script.of(Ended))
    while not ended:
        now = max(now, min(engine.next_timeout(), speaks, left))
        if now >= left:
            left = now + 1.0
            engine.receive(TransmissionDone(), now)
        if now >= speaks:
            speaks = now + every
            for signal in peer(now):
                engine.receive(signal, now)
        engine.handle_timeout(now)
        engine.take_output()
        ended = oblige(engine, now) if obliging else any(isinstance(e, Ended) for e in engine.take_events())
        if now - begun > 20_000:
            break
    return float(now - begun)


def saying(fcf: Fcf) -> Callable[[float], list[LineSignal]]:
    octets = Frame(fcf, INFO.get(fcf, b"")).encode()
    burst: list[LineSignal] = [
        SignalStarted(Modem.V21),
        FrameReceived(Modem.V21, octets),
        SignalEnded(Modem.V21),
    ]
    return lambda _now: burst


@cases
@pytest.mark.parametrize("obliging", [True, False], ids=["", "owner idle"])
def test_a_silent_peer_ends_the_fax(bench: Any, case: str, obliging: bool) -> None:
    assert run_out(reach(bench, case), lambda _now: [], every=1000.0, obliging=obliging) <= SILENT


@cases
def test_a_peer_that_says_one_thing_for_ever_ends_the_fax(bench: Any, case: str) -> None:
    took = {fcf.name: run_out(reach(bench, case), saying(fcf), every=4.0) for fcf in Fcf}
    assert max(took.values()) <= LIVELY, max(took, key=took.__getitem__)


NOISE: dict[str, list[LineSignal]] = {
    "flags": [SignalStarted(Modem.V21)],
    "damage": [SignalStarted(Modem.V21), FrameDamaged(Modem.V21), SignalEnded(Modem.V21)],
    "rubbish": [FrameReceived(Modem.V21, b"\xff\xc8\x00"), SignalEnded(Modem.V21)],
    "training": [SignalStarted(ECM.modem), SignalEnded(ECM.modem)],
    "zeros": [SignalStarted(ECM.modem), DataReceived(ECM.modem, bytes(2000)), SignalEnded(ECM.modem)],
    "carrier": [SignalStarted(ECM.modem)],
    "damaged frames": [SignalStarted(ECM.modem), FrameDamaged(ECM.modem), SignalEnded(ECM.modem)],
}


@cases
@pytest.mark.parametrize("noise", NOISE)
def test_noise_ends_the_fax(bench: Any, case: str, noise: str) -> None:
    assert run_out(reach(bench, case), lambda _now: NOISE[noise], every=2.0) <= LIVELY + TIMERS.page * (
        noise == "zeros"
    )


@pytest.mark.parametrize("agreement", [ECM, PLAIN], ids=["ecm", "plain"])
def test_page_data_without_end_ends_with_the_page_timer(bench: Any, agreement: Agreement) -> None:
    script = bench.script(sending=False).left().trains(agreement).hear(SignalStarted(agreement.modem))
    data: LineSignal = DataReceived(agreement.modem, bytes(20))
    if agreement.ecm:
        data = FrameReceived(agreement.modem, BLOCK[0])
    assert run_out(script, lambda _now: [data], every=5.0) <= TIMERS.page + SILENT


def test_training_over_and_over_without_a_page_ends_the_fax(bench: Any) -> None:
    """Each is answered CFR; what never follows is a page."""
    script = bench.script(sending=False).left()
    burst: list[LineSignal] = [
        SignalStarted(Modem.V21),
        FrameReceived(Modem.V21, Frame(Fcf.DCS, encode_dcs(PLAIN), x=True).encode()),
        SignalEnded(Modem.V21),
        SignalStarted(PLAIN.modem),
        DataReceived(PLAIN.modem, bytes(2000)),
        SignalEnded(PLAIN.modem),
    ]
    every = 5.0
    bound = script.engine._terminal._options.train_limit * every + SILENT
    assert run_out(script, lambda _now: burst, every=every) <= bound
