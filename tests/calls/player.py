"""Plays a call script: a scripted peer against the real leg, in virtual time.

Owns      what each verb of a script does, and what is checked at the end.
Not here  the format (script.py), the peer's tongue (speech.py), our side and the clock (stage.py).
"""

import io
from collections.abc import Callable
from dataclasses import replace
from typing import Final

from PIL import Image

from tests.calls import speech, words
from tests.calls.script import MANNERS, SIDES, Script, Step
from tests.calls.speech import Manner, Numbering, Speech
from tests.calls.stage import KEY, THEIRS, Burst, Stage
from tests.calls.words import MODEMS, ScriptError
from vfax import leg
from vfax.codecs import tiff
from vfax.codecs.dis import Agreement, Coding, decode_ctc, decode_dcs
from vfax.codecs.encode import encode_page
from vfax.codecs.frames import RCP, REVERSED, Fcf, Frame, PartialPage, encode_block
from vfax.codecs.t4 import RowDecoder
from vfax.errors import DecodeError
from vfax.signals import Modem
from vfax.t30 import values as t30
from vfax.transports.sip import values as sip
from vfax.transports.sip.values import Address
from vfax.transports.udptl import Packet

WAIT: Final = 12.0  # seconds within which what is expected begins, unless the step says otherwise
TURN: Final = 0.08  # silence before the peer speaks
BLOCK: Final = 256

USUAL: Final = (
    "a=T38FaxVersion:{version}",
    "a=T38MaxBitRate:14400",
    "a=T38FaxRateManagement:transferredTCF",
    "a=T38FaxMaxDatagram:400",
    "a=T38FaxUdpEC:t38UDPRedundancy",
)
AUDIO: Final = ("m=audio 30000 RTP/AVP 0 8", "a=rtpmap:0 PCMU/8000", "a=rtpmap:8 PCMA/8000", "a=sendrecv")
ORDERS: Final = {
    "invite": leg.Invite,
    "answer": leg.Answer,
    "refuse": leg.Refuse,
    "offer": leg.Offer,
    "accept-offer": leg.AcceptOffer,
    "refuse-offer": leg.RefuseOffer,
    "hang-up": leg.HangUp,
}


def play(script: Script) -> "Player":
    """Play a script to its end. Raises ScriptError where it and the call part."""
    player = Player(script)
    player.begin()
    for step in script.steps:
        try:
            player.do(step)
        except (ScriptError, KeyError, IndexError, ValueError) as why:
            raise ScriptError(f"{step} (at {player.stage.now:.2f} s): {why!s}{player.situation()}") from why
    player.finish()
    return player


class Player:
    """The peer, its ear and its memory."""

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
        self._verbs: dict[str, Callable[[Step], None]] = {
            verb.removeprefix("do_").replace("_", "-"): getattr(self, verb) for verb in dir(self) if verb[:3] == "do_"
        }

    # --- the frame --------------------------------------------------------------------------------

    def do(self, step: Step) -> None:
        self._verbs[step.verb](step)

    def begin(self) -> None:
        if self.script.start == "line":
            self.stage.begin_bare(self.first_order())
        if self.script.start != "t38":
            return
        if self.stage.calling:
            self.stage.begin(None)
            self.stage.signal(sip.Answered(KEY, self.sdp("t38")))
        else:
            self.stage.begin(self.incoming("t38"))
            self.stage.signal(sip.Confirmed(KEY, b""))
        self.orders = 1

    def first_order(self) -> t30.Order | None:
        """What our side is told before the line is up."""
        addressing, page = self.script.addressing, self.script.document
        if self.script.side in ("caller", "polled", "both"):
            return t30.SendDocument(page.infos(), page.first, addressing)
        return t30.Poll(addressing) if self.script.side == "polling" else None

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
            return "+".join(_title(frame) for frame in burst.frames) + f" at {burst.started:.2f}"
        return f"{burst.indicator}, {len(burst.frames)} frames, {len(burst.data)} octets at {burst.started:.2f}"

    # --- what the peer does -----------------------------------------------------------------------

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
                self.stage.hear(each, self.source)
            held.clear()

    def do_say(self, step: Step) -> None:
        said = step.value if isinstance(step.value, list) else [step.value]
        x = step.more.get("x", not self.stage.calling)
        frames = [
            words.frame(text, final=at == len(said) - 1, x=x, page=max(self.page - 1, 0), frames=self.frames_said)
            for at, text in enumerate(said)
        ]
        self.speak(speech.hdlc(Modem.V21, frames, step.more.get("bad", ()), self.manner(step)), step)
        self.remember(frames[-1])

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

    # --- what vfax is to do -----------------------------------------------------------------------

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

    def run_until(self, happened: Callable[[], bool], limit: float, otherwise: str) -> None:
        while not happened():
            due = self.stage.next()
            if due > limit:
                raise ScriptError(f"{otherwise} until {limit:.2f} s")
            self.stage.step(due)

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

    # --- SIP --------------------------------------------------------------------------------------

    def sdp(self, text: str | list[str]) -> bytes:
        """SDP in lines, by its name in the script, or the usual `t38` and `audio`; the head may be left out."""
        known: dict[str, list[str]] = {
            "": [],
            "t38": ["m=image 30000 udptl t38", *(self.script.sdp or USUAL)],
            "audio": list(AUDIO),
            **(self.script.sdps or {}),
        }
        lines = known[text] if isinstance(text, str) else text
        if lines and not lines[0].startswith("v="):
            connection = [] if any(line.startswith("c=") for line in lines) else ["c=IN IP4 192.0.2.9"]
            lines = ["v=0", "o=peer 7 1 IN IP4 192.0.2.9", "s=-", *connection, "t=0 0", *lines]
        return "".join(f"{line}\r\n" for line in lines).replace("{version}", str(self.script.peer.version)).encode()

    def incoming(self, text: str | list[str]) -> sip.IncomingCall:
        return sip.IncomingCall(
            call=KEY,
            source=("192.0.2.9", 5060),
            request_uri="sip:1@192.0.2.1",
            dialled="1",
            caller_uri="sip:2@192.0.2.9",
            caller="2",
            caller_name="",
            call_id="script",
            offer=self.sdp(text),
            user_agent="",
        )

    def do_dial(self, step: Step) -> None:
        self.stage.begin(None)

    def do_ring(self, step: Step) -> None:
        self.stage.begin(self.incoming(step.value))

    def do_sip(self, step: Step) -> None:
        body = self.sdp(step.more.get("sdp", ""))
        status, reason = step.more.get("status", 0), step.more.get("reason", "")
        events: dict[str, sip.SipEvent] = {
            "progress": sip.Progress(KEY, status, reason, body),
            "answered": sip.Answered(KEY, body),
            "confirmed": sip.Confirmed(KEY, body),
            "refused": sip.Refused(KEY, status, reason),
            "cancelled": sip.Cancelled(KEY, reason),
            "reoffered": sip.Reoffered(KEY, body),
            "offer-accepted": sip.OfferAccepted(KEY, body),
            "offer-refused": sip.OfferRefused(KEY, status, reason),
            "hung-up": sip.HungUp(KEY, reason),
            "dialog-lost": sip.DialogLost(KEY, reason),
            "released": sip.Released(KEY),
        }
        self.stage.signal(events[step.value])

    def do_does(self, step: Step) -> None:
        """The next thing vfax asks of SIP."""
        begin = self.stage.now
        self.run_until(lambda: len(self.stage.orders) > self.orders, begin + step.more.get("within", 0.0), "no order")
        order = self.stage.orders[self.orders]
        self.orders += 1
        if not isinstance(order, ORDERS[step.value]):
            raise ScriptError(f"{order} came")
        first, last = step.more.get("between", (-1e9, 1e9))
        if not first <= self.stage.now - begin <= last:
            raise ScriptError(f"it came after {self.stage.now - begin:.2f} s")
        if step.more.get("status", getattr(order, "status", 0)) != getattr(order, "status", 0):
            raise ScriptError(f"{order} came")
        lines = getattr(order, "sdp", b"").decode().splitlines()
        for line in step.more.get("has", ()):
            if line not in lines:
                raise ScriptError(f"{line} is not in {lines}")
        for text in step.more.get("lacks", ()):
            if any(text.lower() in line.lower() for line in lines):
                raise ScriptError(f"{text} is in {lines}")
        if "media" in step.more and [line for line in lines if line.startswith("m=")] != step.more["media"]:
            raise ScriptError(f"its m= lines are {[line for line in lines if line.startswith('m=')]}")

    def do_switched(self, step: Step) -> None:
        """T.38 runs with these parameters: the last `Switched`."""
        told = [event for event in self.stage.events if isinstance(event, leg.Switched)]
        if not told or (step.value is not True and told[-1].remote != tuple(step.value)):
            raise ScriptError(f"{told[-1:]}")
        for name, value in step.more.items():
            if getattr(told[-1].parameters, name) != value:
                raise ScriptError(f"{name} is {getattr(told[-1].parameters, name)}")

    def do_sends_to(self, step: Step) -> None:
        """Where our last datagram went."""
        if self.stage.sent[-1][2] != tuple(step.value):
            raise ScriptError(f"{self.stage.sent[-1][2]}")

    def do_said_first(self, step: Step) -> None:
        """The IFPs we said first, in hex."""
        said = [Packet.decode(datagram).primary.hex() for _, datagram, _ in self.stage.sent[: len(step.value)]]
        if said != step.value:
            raise ScriptError(f"{said}")

    def do_order(self, step: Step) -> None:
        orders: dict[str, leg.LegOrder] = {"abort": t30.Abort(), "line-down": t30.LineDown()}
        self.stage.command(orders[step.value])

    # --- the end ----------------------------------------------------------------------------------

    def finish(self) -> None:
        """Let the call end, then hold it against what the script expects."""
        expect = self.script.expect
        if expect.cause != "going-on":
            try:
                limit = self.stage.now + expect.within
                self.run_until(lambda: self.stage.outcome is not None, limit, "the call does not end")
            except ScriptError as why:
                raise ScriptError(f"{why}{self.situation()}") from why
        faults = [*self.left_over(), *self.facts(), *self.pages()]
        if faults:
            raise ScriptError("\n    ".join(["at the end:", *faults]) + self.situation())

    def left_over(self) -> list[str]:
        orders = self.stage.orders[self.orders :]
        if self.script.expect.cause != "going-on" and orders and isinstance(orders[-1], leg.HangUp):
            orders = orders[:-1]
        faults = ["bursts that no step asks for"] if self.unclaimed or self.stage.open is not None else []
        return faults + [f"{type(order).__name__} that no step asks for" for order in orders]

    def facts(self) -> list[str]:
        """What the outcome and the line say otherwise."""
        expect, outcome, known = self.script.expect, self.stage.outcome, self.stage.known
        found: dict[str, object] = {"cause": "going-on"}
        if outcome is not None:
            found = {
                "cause": outcome.cause.value,
                "pages": outcome.pages_confirmed,
                "partial": outcome.pages_partial,
                "retry": outcome.retry.value,
                "phase": outcome.phase.value,
                "rate": outcome.rate_bps,
                "bad_rows": outcome.bad_rows,
            }
            if expect.sentence not in outcome.sentence:
                found["sentence"] = outcome.sentence
        found |= {"strangers": known.strangers, "early": known.early}
        counters = known.line.counters.as_facts() if known.line is not None else {}
        faults = self.sizes() + [
            f"{name} is {value!r}, not {wanted!r}"
            for name, value in found.items()
            if (wanted := getattr(expect, name)) is not None and wanted != value
        ]
        return faults + [
            f"{name} is {counters.get(name)}, not {wanted}"
            for name, wanted in (expect.counters or {}).items()
            if counters.get(name) != wanted
        ]

    def sizes(self) -> list[str]:
        """Our datagrams: their first number, the largest of them, the largest IFP."""
        expect = self.script.expect
        sent = [(len(datagram), Packet.decode(datagram)) for _, datagram, _ in self.stage.sent]
        faults = [f"a datagram has {size} octets" for size, _ in sent if size > expect.datagram_max]
        faults += [f"an IFP has {len(one.primary)} octets" for _, one in sent if len(one.primary) > expect.ifp_max]
        if sent and sent[0][1].sequence != expect.first_number:
            faults.append(f"our first number is {sent[0][1].sequence}")
        return faults[:3]

    def pages(self) -> list[str]:
        """Pages in the store, pixel for pixel, and pages the peer has."""
        expect, page = self.script.expect, self.script.document
        faults = []
        if expect.delivered is not None and tuple(self.delivered) != expect.delivered:
            faults.append(f"delivered is {self.delivered}")
        if expect.kept is None:
            return faults
        if len(self.stage.kept) != len(expect.kept):
            faults.append(f"{len(self.stage.kept)} pages are kept")
        for kept, number in zip(self.stage.kept, expect.kept, strict=False):
            wanted = page.raster(number) if number else kept.raster  # 0: a page that is not whole
            if (kept.width_px, kept.raster) != (page.width, wanted):
                faults.append(f"page {kept.number} is not picture {number}: {kept.rows} rows, {kept.bad_rows} bad")
            elif expect.tiff:
                faults += read_back(kept)
        return faults


def read_back(kept: t30.PageReceived) -> list[str]:
    """What a TIFF reader that takes nothing for granted does not find in the page as we write it."""
    grain = kept.agreement.resolution
    octets = tiff.write_page(kept.raster, kept.width_px, kept.rows, x_dpi=grain.x_dpi, y_dpi=grain.y_dpi)
    with Image.open(io.BytesIO(octets)) as image:
        tags = {int(tag) for tag in image.tag_v2}  # type: ignore[attr-defined]
        same = image.convert("1").tobytes() == bytes(octet ^ 0xFF for octet in kept.raster)
    missing = [f"TIFF tag {tag} is not written" for tag in (259, 262, 266, 293) if tag not in tags]
    return missing if same else [*missing, "Pillow reads another picture"]


def _title(octets: bytes) -> str:
    try:
        return Frame.decode(octets).fcf.title
    except DecodeError:
        return octets.hex()


def _ifp(text: str) -> bytes:
    """An IFP: octets in hex, or an indicator's name."""
    try:
        return bytes.fromhex(text)
    except ValueError:
        return speech.indicator(text)
