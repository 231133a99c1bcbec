"""What vfax is to put on the wire, and what it is to tell: a verb of a script is a method.

Owns      bursts asked for in their order, pages compared pixel for pixel, silence, events.
Not here  how bursts are heard (stage.py), words (words.py).
"""

from typing import Final

from tests.calls import words
from tests.calls.memory import Memory
from tests.calls.script import Step
from tests.calls.stage import Burst
from tests.calls.words import MODEMS, ScriptError
from vfax.codecs.frames import RCP, REVERSED, Fcf, Frame
from vfax.codecs.t4 import RowDecoder
from vfax.signals import Modem

WAIT: Final = 12.0  # seconds within which what is expected begins, unless the step says otherwise


class Ears(Memory):
    """The peer listens."""

    def next_burst(self, step: Step) -> Burst:
        """Our next burst, once it is over."""
        begin = self.stage.now
        limit = begin + step.more.get("within", WAIT)
        self.run_until(lambda: self.unclaimed or self.stage.open is not None, limit, "vfax says nothing")
        self.run_until(lambda: self.unclaimed, begin + 4000.0, "the burst does not end")
        burst = self.stage.bursts[self.bursts]
        self.bursts += 1
        first, last = step.more.get("between", (-1e9, 1e9))
        if not first <= burst.started - begin <= last:
            raise ScriptError(f"it came after {burst.started - begin:.2f} s")
        return burst

    def do_hear(self, step: Step) -> None:
        """A burst of frames; `[]` is one that was cut off before its first frame was over."""
        for _ in range(step.more.get("times", 1)):
            self.hear(step)

    def hear(self, step: Step) -> None:
        burst = self.next_burst(step)
        wanted = step.value if isinstance(step.value, list) else [step.value]
        if burst.modem is not Modem.V21 or len(burst.frames) != len(wanted):
            raise ScriptError(f"{self.describe(burst)} came")
        for text, octets in zip(wanted, burst.frames, strict=True):
            why = words.mismatch(text, octets)
            if why:
                raise ScriptError(f"{text}: {why}")
        for at, octets in enumerate(burst.frames):
            if octets[1] != (0xC8 if at == len(burst.frames) - 1 else 0xC0):
                raise ScriptError(f"control octet of frame {at} is {octets[1]:02x}")
        if not wanted:
            return
        if self.script.side == "both" and Frame.decode(burst.frames[-1]).fcf is Fcf.DCS:
            self.stage.sending = True
        if step.more.get("x", burst.frames[-1][2] >= 0x80) is not (burst.frames[-1][2] >= 0x80):
            raise ScriptError("its X bit is wrong")
        self.check_lead(burst, step.more.get("preamble", (0.99, 1.3)))
        self.remember(burst.frames[-1])

    def check_lead(self, burst: Burst, limits: tuple[float, float]) -> None:
        """From the indicator to the first octet: preamble, or training with the flags behind it."""
        lead = burst.data_at - burst.started
        if not limits[0] <= lead <= limits[1]:
            raise ScriptError(f"its data begins {lead:.3f} s after its indicator")

    def do_hear_tcf(self, step: Step) -> None:
        burst = self.next_burst(step)
        if burst.modem is not MODEMS[step.value] or burst.frames or "short" in burst.indicator:
            raise ScriptError(f"{self.describe(burst)} came")
        seconds = len(burst.data) * 8 / burst.modem.rate_bps
        first, last = step.more.get("seconds", (1.35, 1.65))
        if not first <= seconds <= last or any(burst.data):
            raise ScriptError(f"TCF has {seconds:.2f} s, {len(burst.data) - burst.data.count(0)} octets are not zero")

    def do_hear_page(self, step: Step) -> None:
        """A fast burst with (part of) a page; `part` says that more of it comes before it can be whole."""
        burst = self.next_burst(step)
        more = step.more
        if burst.modem is not MODEMS.get(more.get("modem", ""), burst.modem) or burst.modem is Modem.V21:
            raise ScriptError(f"{self.describe(burst)} came")
        if more.get("short", "short" in burst.indicator) is not ("short" in burst.indicator):
            raise ScriptError(f"its training is {burst.indicator}")
        if "flags" in more:
            self.check_lead(burst, more["flags"])
        if step.value != self.page:
            self.page, self.blocks, self.block_closed = step.value, [{}], False
        if burst.data:
            if len(burst.data) < more.get("row_octets", 0) * self.script.document.rows:
                raise ScriptError(f"rows have {len(burst.data) / self.script.document.rows:.1f} octets")
            self.compare(bytes(burst.data), step.value)
            return
        if burst.frames[-3:] != [RCP] * 3 or RCP in burst.frames[:-3]:
            raise ScriptError("its end is not RCP three times")
        frames = {REVERSED[frame[3]]: frame[4:] for frame in burst.frames[:-3]}
        if "frames" in more and sorted(frames) != words.numbers(more["frames"]):
            raise ScriptError(f"frames {sorted(frames)} came")
        size = self.agreed.frame_octets
        if any(len(data) != size for data in frames.values()):
            raise ScriptError(f"frames are not all of {size} octets")
        self.blocks[-1] |= frames
        self.frames_said = len(self.blocks[-1])
        if not more.get("part"):
            blocks = [b"".join(block[number] for number in sorted(block)) for block in self.blocks]
            self.compare(b"".join(blocks), step.value)

    def compare(self, coded: bytes, number: int) -> None:
        """The page is what the document says, row for row, made to fit where the peer cannot take it as it is."""
        sheet = self.script.document.fitted(number, self.agreed)
        decoder = RowDecoder(self.agreed.coding, self.agreed.width_px)
        decoder.feed(coded)
        decoder.finish()
        if decoder.bad_rows or decoder.take_raster() != sheet.raster:
            raise ScriptError(f"page {number} is not whole: {decoder.rows} rows, {decoder.bad_rows} bad")
        if number not in self.delivered:
            self.delivered.append(number)

    def do_hear_cut(self, step: Step) -> None:
        """A burst that vfax broke off, or would have gone on with."""
        burst = self.next_burst(step)
        if burst.modem is not MODEMS[step.value]:
            raise ScriptError(f"{self.describe(burst)} came")

    def do_hear_tone(self, step: Step) -> None:
        self.run_until(lambda: len(self.stage.tones) > self.tones, self.stage.now + WAIT, "no tone is heard")
        if self.stage.tones[self.tones] != step.value:
            raise ScriptError(f"{self.stage.tones[self.tones]} is heard")
        self.tones += 1

    def do_nothing(self, step: Step) -> None:
        """For so many seconds vfax begins no burst."""
        self.stage.wait_until(self.stage.now + step.value)
        if self.unclaimed or self.stage.open is not None:
            raise ScriptError("it speaks")

    def do_told(self, step: Step) -> None:
        """An event of this class has come since the last one that was asked for; `more` are its fields."""
        for at in range(self.events, len(self.stage.events)):
            event = self.stage.events[at]
            if type(event).__name__ == step.value:
                self.events = at + 1
                wrong = [f"{k} is {getattr(event, k)!r}" for k, v in step.more.items() if getattr(event, k) != v]
                if wrong:
                    raise ScriptError(", ".join(wrong))
                return
        raise ScriptError(f"not told; told: {sorted({type(e).__name__ for e in self.stage.events[self.events :]})}")
