"""Branches of the engine that a fax between decent machines never takes."""

import math
import random
from dataclasses import replace
from typing import Any

import pytest

from vfax.codecs.dis import FALL_BACK, Agreement, Capabilities, Coding, Resolution
from vfax.codecs.encode import encode_page
from vfax.codecs.frames import Fcf, Frame, PartialPage, encode_block, encode_request
from vfax.outcome import Cause
from vfax.signals import DataReceived, FrameReceived, Modem, SendImage, SignalEnded, SignalStarted
from vfax.t30.engine import T30Engine
from vfax.t30.options import Limits
from vfax.t30.tables import S
from vfax.t30.values import Ended, LineDown, PageCoded, PageConfirmed, PageReceived, PageRepeated, Role

PEER = Capabilities(
    modems=frozenset(FALL_BACK),
    codings=frozenset(Coding),
    ecm=True,
    resolutions=frozenset({Resolution.STANDARD, Resolution.FINE}),
)
NO_ECM = replace(PEER, ecm=False)
SLOWEST = replace(PEER, modems=frozenset({Modem.V27TER_2400}))
DATA = bytes(range(1, 251)) * 4
FRAMES = 4
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
ROWS = 10  # more than one slice for the decoder, less than two
RASTER = bytes(random.Random(7).choices([0, 0, 0, 0, 0, 0xFF, 0x0F], k=ROWS * 216))


def sent(script: Any, peer: Capabilities = PEER, data: bytes = DATA) -> Any:
    """As far as the first post-message command, which has left."""
    script.left().says(Fcf.DIS, peer.encode()).left()
    return script.order(PageCoded(1, data)).says(Fcf.CFR).left().left()


def given_up(script: Any) -> Any:
    """The receiver asks for everything again and again at the slowest rate, until EOR has left."""
    everything = encode_request(list(range(FRAMES)), FRAMES)
    sent(script, SLOWEST)
    for _ in range(12):
        answer = (Fcf.CTR,) if script.said[-1] == "CTC" else (Fcf.PPR, everything)
        script.says(*answer).wait(10).left().left()
        if script.said[-1] == "EOR":
            return script
    raise AssertionError(script.said)


# --- a sender --------------------------------------------------------------------------------------


def test_a_dis_that_cannot_be_read_is_not_an_answer(bench: Any) -> None:
    script = bench.script(sending=True).left().says(Fcf.DIS, b"\x00").left()
    assert (script.said, script.engine.state) == ([], S.AWAIT_DIS)
    script.says(Fcf.DIS, PEER.encode())
    assert script.said == ["DCS"]


@pytest.mark.parametrize("peer", [PEER, NO_ECM], ids=["cut off", "without ecm"])
def test_a_ppr_that_makes_no_sense_brings_the_command_again(bench: Any, peer: Capabilities) -> None:
    script = sent(bench.script(sending=True), peer)
    info = encode_request([1], FRAMES)[:7] if peer is PEER else encode_request([1], FRAMES)
    script.says(Fcf.PPR, info)
    said = len(script.said)
    script.wait(4.6)
    assert script.said[said:] == ["PPS" if peer is PEER else "EOP"]
    assert script.of(PageRepeated) == []


def test_a_page_refused_at_the_slowest_rate_goes_again_at_it(bench: Any) -> None:
    script = sent(bench.script(sending=True), replace(SLOWEST, ecm=False)).says(Fcf.RTN).left().says(Fcf.CFR).left()
    images = [each.modem for each in script.output if isinstance(each, SendImage)]
    assert images == [Modem.V27TER_2400] * 2
    assert script.of(PageConfirmed) == []


@pytest.mark.parametrize("answer", [Fcf.ERR, Fcf.MCF, Fcf.PIP, Fcf.RTN, Fcf.PIN])
def test_a_block_given_up_never_counts_as_confirmed(bench: Any, answer: Fcf) -> None:
    script = given_up(bench.script(sending=True)).says(answer).wait(10).left().wait(10)
    assert script.of(PageConfirmed) == []
    assert (script.outcome.cause, script.outcome.pages_confirmed) == (Cause.ECM_FAILED, 0)


def test_a_receiver_that_is_busy_after_eor_still_owes_its_answer(bench: Any) -> None:
    script = given_up(bench.script(sending=True)).says(Fcf.RNR).wait(1.1).left()
    assert script.said[-1] == "RR"
    script.says(Fcf.MCF).wait(10).left().wait(10)
    assert script.of(PageConfirmed) == []
    assert script.outcome.cause is Cause.ECM_FAILED


# --- a receiver ------------------------------------------------------------------------------------


@pytest.mark.parametrize("at_once", [False, True], ids=["decoded before", "decoded with the command"])
@pytest.mark.parametrize("limits", [Limits(rows=ROWS - 1), Limits(page_octets=64)], ids=["rows", "octets"])
@pytest.mark.parametrize("agreement", [PLAIN, ECM], ids=["no ecm", "ecm"])
def test_a_page_over_a_limit_is_neither_kept_nor_confirmed(
    bench: Any, limits: Limits, agreement: Agreement, at_once: bool
) -> None:
    script = bench.script(sending=False, limits=limits).left().trains(agreement)
    coded = encode_page(RASTER, 1728, ROWS, agreement.coding)
    post, info = Fcf.EOP, b""
    if agreement.ecm:
        frames = encode_block(coded, 256)
        post, info = Fcf.PPS, PartialPage(Fcf.EOP, 0, 0, len(frames)).encode()
        script.hear(SignalStarted(MODEM), *(FrameReceived(MODEM, frame) for frame in frames))
    else:
        script.hear(SignalStarted(MODEM), DataReceived(MODEM, coded))
    if not at_once:
        script.wait(0.5)
    script.hear(SignalEnded(MODEM), SignalStarted(Modem.V21))
    script.hear(FrameReceived(Modem.V21, Frame(post, info, x=True).encode()), SignalEnded(Modem.V21))
    script.wait(0.0).left().wait(5)
    assert "MCF" not in script.said
    assert not any(event.complete for event in script.of(PageReceived))
    assert script.said[-1] == "DCN"
    assert (script.outcome.cause, script.outcome.pages_confirmed) == (Cause.LIMIT, 0)


# --- either ----------------------------------------------------------------------------------------


@pytest.mark.parametrize("sending", [True, False])
def test_a_line_that_goes_during_the_goodbye_ends_the_fax_once(bench: Any, sending: bool) -> None:
    script = bench.script(sending=sending).left().says(Fcf.DCN)
    script.order(LineDown()).order(LineDown())
    assert not script.outcome.ok
    assert script.engine.next_timeout() == math.inf


@pytest.mark.parametrize("sending", [True, False])
def test_a_line_that_goes_before_it_was_up_ends_the_fax(sending: bool) -> None:
    engine = T30Engine(Role.CALLER if sending else Role.CALLED, sending=sending, now=0.0)
    engine.command(LineDown(), 1.0)
    while (due := engine.next_timeout()) < math.inf:
        engine.handle_timeout(due)
    (ended,) = engine.take_events()
    assert isinstance(ended, Ended)
    assert ended.outcome.cause is Cause.PEER_HUNG_UP
    assert engine.take_output() == []
