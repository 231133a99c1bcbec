"""What the scripted peer does: a verb of a script is a method.

Owns      bursts of frames, training, pages with their damage, packets and numbers as they stand.
Not here  how they are spelt and scheduled (speech.py), words (words.py).
"""

from dataclasses import replace
from typing import Final

from tests.calls import speech, words
from tests.calls.memory import Memory
from tests.calls.script import MANNERS, Step
from tests.calls.speech import Manner, Numbering, Speech
from tests.calls.words import MODEMS
from vfax.codecs.dis import Coding
from vfax.codecs.encode import encode_page
from vfax.codecs.frames import RCP, encode_block
from vfax.signals import Modem

TURN: Final = 0.08  # silence before the peer speaks
BLOCK: Final = 256


class Deeds(Memory):
    """The peer speaks."""

    def manner(self, step: Step) -> Manner:
        return replace(self.script.peer, **{name: value for name, value in step.more.items() if name in MANNERS})

    def speak(self, said: Speech, step: Step) -> None:
        """Put a burst on the wire in its time."""
        self.stage.wait_until(self.stage.now + step.more.get("after", TURN))
        begin = self.stage.now
        drop = {number % len(said) for number in step.more.get("drop", ())}
        late = set(step.more.get("late", ()))
        held: list[bytes] = []
        manner = self.manner(step)
        for number, (offset, packet) in enumerate(said):
            self.stage.wait_until(begin + offset)
            datagram = self.numbering.datagram(packet, manner)
            if number in drop:
                continue
            if number in late:
                held.append(datagram)
                continue
            for each in [datagram] * (2 if step.more.get("twice") else 1) + held:
                self.carry(each)
            held.clear()

    def carry(self, datagram: bytes) -> None:
        """The road from the peer to vfax; a test may have a worse one."""
        self.stage.hear(datagram, self.source)

    def do_say(self, step: Step) -> None:
        said = step.value if isinstance(step.value, list) else [step.value]
        x = step.more.get("x", not self.stage.calling)
        frames = [
            words.frame(text, final=at == len(said) - 1, x=x, page=max(self.page - 1, 0), frames=self.frames_said)
            for at, text in enumerate(said)
        ]
        self.speak(speech.hdlc(Modem.V21, frames, step.more.get("bad", ()), self.manner(step)), step)
        self.remember(frames[-1])

    def do_train(self, step: Step) -> None:
        modem = self.modem(step)
        coded = bytearray(int(modem.rate_bps * float(step.value) / 8))
        spoilt = int(len(coded) * step.more.get("noise", 0.0))
        coded[:spoilt] = b"\x55" * spoilt
        self.speak(speech.octets(modem, bytes(coded), self.manner(step)), step)

    def modem(self, step: Step) -> Modem:
        return MODEMS[step.more["modem"]] if "modem" in step.more else self.agreed.modem

    def coded(self, number: int, *, ecm: bool, coding: Coding, k: int = 4) -> bytes:
        page = self.script.document
        raster = page.raster(number)
        fill = 0 if ecm else -(-self.agreed.modem.rate_bps * self.agreed.min_scan_ms // 8000)
        return encode_page(raster, page.width, page.rows, coding, k=k, min_row_octets=fill, ecm=ecm)

    def do_image(self, step: Step) -> None:
        """A page without ECM, or octets as they stand."""
        more = step.more
        if isinstance(step.value, str):
            coded = bytes.fromhex(step.value)
        else:
            self.page = step.value
            coding = self.agreed.coding if self.agreed.coding is not Coding.MMR else Coding.MH
            coded = self.coded(self.page, ecm=False, coding=coding, k=more.get("k", 4))
        if not more.get("rtc", True):
            coded = coded[:-7]
        spoilt = bytearray(coded)
        for spot in range(more.get("spoil", 0)):
            at = (2 * spot + 1) * len(coded) // (2 * more["spoil"])
            spoilt[at : at + 2] = b"\x00\x80"
        share = more.get("share", 1.0)
        coded = bytes(more.get("zeros", 0)) + bytes(spoilt[: int(len(spoilt) * share)])
        self.speak(speech.octets(self.modem(step), coded, self.manner(step)), step)

    def do_ecm(self, step: Step) -> None:
        """Frames of a page, and RCP."""
        more = step.more
        self.page = step.value
        size = more.get("size", self.agreed.frame_octets or BLOCK)
        coded = self.coded(self.page, ecm=True, coding=self.agreed.coding)
        block = more.get("block", 0) * BLOCK * size
        frames = encode_block(coded[block : block + BLOCK * size], size)
        chosen = words.numbers(more["frames"]) if "frames" in more else list(range(len(frames)))
        self.frames_said = len(frames)
        burst = [frames[number] for number in chosen]
        for number, octets in more.get("cut", {}).items():  # the frame's data have another length
            at = chosen.index(int(number))
            burst[at] = burst[at][: 4 + octets].ljust(4 + octets, b"\0")
        burst += [RCP] * more.get("rcp", self.script.peer.rcp)
        self.speak(speech.hdlc(self.modem(step), burst, more.get("bad", ()), self.manner(step)), step)

    def do_tone(self, step: Step) -> None:
        self.speak([(0.0, speech.indicator(step.value)), (0.5, speech.indicator("no-signal"))], step)

    def do_ifp(self, step: Step) -> None:
        """IFPs as indicator names or octets, one after the other."""
        every = step.more.get("every", 0.03)
        packets = [_ifp(text) for text in step.value]
        self.speak([(number * every, packet) for number, packet in enumerate(packets)], step)

    def do_datagrams(self, step: Step) -> None:
        for text in step.value:
            self.stage.hear(bytes.fromhex(text), self.source)

    def do_again(self, step: Step) -> None:
        """The last datagram once more, so many times."""
        for _ in range(step.value):
            self.stage.hear(self.numbering.last, self.source)

    def do_skip(self, step: Step) -> None:
        self.numbering.next = (self.numbering.next + step.value) % 65536

    def do_restart(self, step: Step) -> None:
        """The peer counts anew from this number, and knows nothing of what it said."""
        self.numbering = Numbering(replace(self.script.peer, first_number=step.value))

    def do_wait(self, step: Step) -> None:
        self.stage.wait_until(self.stage.now + step.value)

    def do_move(self, step: Step) -> None:
        self.source = (step.value[0], step.value[1])

    def do_rtp(self, step: Step) -> None:
        """Audio packets that are still under way."""
        for number in range(step.value):
            self.stage.hear(b"\x80\x00" + number.to_bytes(2, "big") + bytes(8) + b"\xff" * 160, self.source)


def _ifp(text: str) -> bytes:
    """An IFP: octets in hex, or an indicator's name."""
    try:
        return bytes.fromhex(text)
    except ValueError:
        return speech.indicator(text)
