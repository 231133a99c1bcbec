"""What a scripted call has come to: the stage, the peer's memory, what no step has asked for yet.

Owns      the memory that deeds (deeds.py), ears (ears.py) and dialog (dialog.py) share, and waiting.
"""

from collections.abc import Callable
from dataclasses import replace

from tests.calls import words
from tests.calls.script import SIDES, Script
from tests.calls.speech import Numbering
from tests.calls.stage import THEIRS, Burst, Stage
from tests.calls.words import ScriptError
from vfax.codecs.dis import Agreement, decode_ctc, decode_dcs
from vfax.codecs.frames import Fcf, Frame, PartialPage
from vfax.errors import DecodeError
from vfax.signals import Modem
from vfax.transports.sip.values import Address


class Memory:
    """The stage, and what the peer remembers of the call."""

    def __init__(self, script: Script) -> None:
        self.script = script
        calling, sending = SIDES[script.side]
        self.stage = Stage(script.ours, script.document, script.store, calling=calling, sending=sending)
        self.source: Address = THEIRS
        self.numbering = Numbering(script.peer)
        self.agreed: Agreement = words.BASE
        self.frames_said = 0  # of the last ECM burst
        self.page = 0  # the page at hand, from 1
        self.blocks: list[dict[int, bytes]] = [{}]  # what was heard of it
        self.block_closed = False
        self.delivered: list[int] = []
        self.bursts = self.orders = self.events = self.tones = 0  # how many were looked at

    def remember(self, octets: bytes) -> None:
        """What was said or heard changes what follows."""
        try:
            frame = Frame.decode(octets)
            if frame.fcf is Fcf.DCS:
                self.agreed = decode_dcs(frame.info)
            elif frame.fcf is Fcf.CTC:
                self.agreed = replace(self.agreed, modem=decode_ctc(frame.info))
            elif frame.fcf is Fcf.PPS and self.stage.sending:
                self.block_closed = PartialPage.decode(frame.info).post is None
        except DecodeError:
            return
        if frame.fcf is Fcf.MCF and self.stage.sending and self.block_closed:
            self.blocks.append({})
            self.block_closed = False

    def run_until(self, happened: Callable[[], bool], limit: float, otherwise: str) -> None:
        while not happened():
            due = self.stage.next()
            if due > limit:
                raise ScriptError(f"{otherwise} until {limit:.2f} s")
            self.stage.step(due)

    def situation(self) -> str:
        """What vfax did that nobody has looked at."""
        waiting = [self.describe(burst) for burst in self.stage.bursts[self.bursts :]]
        orders = [type(order).__name__ for order in self.stage.orders[self.orders :]]
        outcome = self.stage.outcome
        ended = f"; ended: {outcome.cause.value} ({outcome.sentence})" if outcome else ""
        return f"\n    unclaimed: {waiting} {orders}{ended}"

    @property
    def unclaimed(self) -> bool:
        """Whether a burst was heard that no step has asked for."""
        return len(self.stage.bursts) > self.bursts

    def describe(self, burst: Burst) -> str:
        if burst.modem is Modem.V21:
            return "+".join(title(frame) for frame in burst.frames) + f" at {burst.started:.2f}"
        return f"{burst.indicator}, {len(burst.frames)} frames, {len(burst.data)} octets at {burst.started:.2f}"


def title(octets: bytes) -> str:
    try:
        return Frame.decode(octets).fcf.title
    except DecodeError:
        return octets.hex()
