"""Receiving over T.38: IFP packets to line signals.

Owns      where bursts start and end, frames in assembly, repeated indicators and ends, what a loss does to a frame.
Not here  recovery of packets (udptl.py), what frames mean (t30/).
Source    T.38 (09/2010) 7 for the vocabulary; tolerance as deployed, each `Quirk:` names who needs it.
"""

import math
from typing import Final

from vfax import signals as line
from vfax.codecs import ifp
from vfax.codecs.ifp import LATEST_VERSION, FieldType, Indicator
from vfax.errors import DecodeError
from vfax.signals import LineSignal, Modem
from vfax.transports.t38_options import LineCounters, T38Options
from vfax.transports.t38_syntax import Syntax
from vfax.transports.t38_tables import ANNOUNCED, MODEMS, TONES

_HDLC_DATA: Final = int(FieldType.HDLC_DATA)
_HDLC_SIG_END: Final = int(FieldType.HDLC_SIG_END)
_FCS_BAD: Final = int(FieldType.HDLC_FCS_BAD)
_T4_DATA: Final = int(FieldType.T4_NON_ECM_DATA)
_T4_SIG_END: Final = int(FieldType.T4_NON_ECM_SIG_END)
_GOOD: Final = (int(FieldType.HDLC_FCS_OK), int(FieldType.HDLC_FCS_OK_SIG_END))
_BAD: Final = (_FCS_BAD, int(FieldType.HDLC_FCS_BAD_SIG_END))
_ENDS: Final = (
    _HDLC_SIG_END,
    int(FieldType.HDLC_FCS_OK_SIG_END),
    int(FieldType.HDLC_FCS_BAD_SIG_END),
    _T4_SIG_END,
)
_CONTROLS: Final = (0xC0, 0xC8)
_FINAL: Final = 0xC8


class Ear:
    """Turns IFPs into line signals: bursts that start once and end once, frames that are whole or damaged."""

    __slots__ = (
        "_closed_by",
        "_counters",
        "_frame",
        "_gap",
        "_indicator",
        "_last_field",
        "_lost",
        "_options",
        "_spoiled",
        "_syntax",
        "asked_v34",
        "deadline",
        "ended_at",
        "modem",
        "signals",
    )

    def __init__(self, options: T38Options, counters: LineCounters, syntax: Syntax) -> None:
        self._options = options
        self._syntax = syntax
        self._counters = counters
        self.modem: Modem | None = None  # of the burst under way
        self.signals: list[LineSignal] = []
        self.asked_v34 = False  # a CM came since this was last set to False
        self.deadline = math.inf
        self.ended_at = -math.inf  # when the peer's last burst ended
        self._indicator = int(Indicator.NO_SIGNAL)
        self._frame = bytearray()
        self._spoiled = False  # the frame under way cannot become whole any more
        self._gap = False  # something was lost since the last frame ended: its start may be missing
        self._lost = 0  # packets gone between two bursts, or with the beginning of the next
        self._last_field = -1  # of the packets of this burst
        self._closed_by = b""  # the packet that ended the last burst, for it may come again under new numbers

    def hear(self, packet: bytes, now: float, *, padded: bool = False) -> None:
        """Take one IFP; `padded` when FEC repair may have left zero octets. Raises DecodeError before any effect."""
        if packet[0] & 0x40:
            self._hear_data(packet, now, padded)
        else:
            self._hear_indicator(ifp.read_indicator(packet, padded=padded), now)

    def miss(self, packets: int) -> None:
        """Take note that packets are gone for good at this place."""
        self._closed_by = b""
        self._last_field = -1
        self._gap = True
        if self._frame:
            self._spoiled = True
        self._lost += packets
        if self.modem is not None:
            self._tell_lost()

    def handle_timeout(self, now: float) -> None:
        """Silence ends the burst once the `deadline` has passed."""
        if now >= self.deadline:
            self._end(now)

    def _tell_lost(self) -> None:
        if self._lost:
            self.signals.append(line.DataMissing(self._lost))
            self._lost = 0

    def _hear_indicator(self, number: int, now: float) -> None:
        self._tell_lost()
        if number == self._indicator and number != Indicator.NO_SIGNAL:
            if self.modem is not None:
                self.deadline = now + self._options.mid_burst_silence
            return
        if number == Indicator.NO_SIGNAL:
            self._closed_by = b""
            self._indicator = number
            self._end(now)
        elif number in TONES:
            self._end(now)
            self._closed_by = b""
            self._indicator = number
            self.signals.append(line.ToneHeard(TONES[number]))
        elif number in ANNOUNCED:
            self._start(ANNOUNCED[number], now)
            self._forget_frame()  # what was lost before is no part of the first frame
            self._indicator = number
        else:
            self._counters.unknown += 1

    def _hear_data(self, packet: bytes, now: float, padded: bool) -> None:
        if packet[0] & 0x20:  # an extension of version 3: V.8, V.33, V.34, none of which we do
            self._counters.unknown += 1
            self.asked_v34 |= self._syntax.version == LATEST_VERSION and _is_cm(packet)
            return
        options = self._options
        if len(packet) > options.max_ifp or (len(packet) > 1 and packet[1] > options.max_fields):
            raise DecodeError("packet beyond our limits", offset=1)
        syntax = self._syntax
        if syntax.watching and not (self._gap or self._spoiled or padded):
            syntax.weigh(packet, self._frame)
        number, fields = ifp.read_data(packet, syntax.version, padded=padded)
        modem = MODEMS[number]
        if self.modem is not modem:
            # Only data opens a burst that no indicator announced, and not the data of a repeated end.
            if packet == self._closed_by or not any(octets for _, octets in fields):
                return
            self._start(modem, now)
            self._tell_lost()  # the beginning of this burst, as no indicator came
        self.deadline = now + options.mid_burst_silence
        for kind, octets in fields:
            if kind == _T4_DATA or (kind == _T4_SIG_END and octets):
                self.signals.append(line.DataReceived(modem, octets))
            elif kind == _HDLC_DATA:
                self._append(octets)
            elif kind in _GOOD or kind in _BAD:
                # Quirk: Cisco and Commetrex put the last octets of a frame into the field that closes it.
                self._append(octets)
                self._close_frame(modem, kind, now)
            elif kind > _T4_SIG_END:
                self._counters.unknown += 1
                continue
            self._last_field = kind
            if kind in _ENDS:  # Quirk: Mediatrix ends TCF and pages with hdlc-sig-end; any end ends any burst
                self._end(now)
                self._closed_by = packet
                return

    def _append(self, octets: bytes) -> None:
        frame = self._frame
        if not frame and octets and octets[0] != 0xFF:
            self._spoiled = True
        frame += octets
        if len(frame) > self._options.max_frame:
            del frame[self._options.max_frame :]
            self._spoiled = True

    def _close_frame(self, modem: Modem, kind: int, now: float) -> None:
        """A frame ended. With nothing in it there was none, or it was lost, or its end is being repeated."""
        frame = bytes(self._frame)
        gap, spoiled = self._gap, self._spoiled
        self._forget_frame()
        if not frame and not gap and (kind in _GOOD or self._last_field == _FCS_BAD):
            return
        whole = kind in _GOOD and bool(frame) and not spoiled
        if whole and gap:  # its first octets may be the middle of a frame whose beginning is lost
            whole = len(frame) > 1 and frame[1] in _CONTROLS
        if not whole:
            self.signals.append(line.FrameDamaged(modem))
            return
        self.signals.append(line.FrameReceived(modem, frame))
        if modem is Modem.V21 and len(frame) > 1 and frame[1] == _FINAL:
            self.deadline = now + self._options.final_frame_silence

    def _forget_frame(self) -> None:
        self._frame.clear()
        self._spoiled = False
        self._gap = False

    def _start(self, modem: Modem, now: float) -> None:
        self._end(now)
        self._closed_by = b""
        self._last_field = -1
        self.modem = modem
        self.deadline = now + self._options.mid_burst_silence
        self.signals.append(line.SignalStarted(modem))

    def _end(self, now: float) -> None:
        """The burst ends, if there is one. A frame that was not closed is lost."""
        modem = self.modem
        if modem is None:
            return
        if self._frame:
            self.signals.append(line.FrameDamaged(modem))
            self._forget_frame()
        self.modem = None
        self._indicator = int(Indicator.NO_SIGNAL)
        self.deadline = math.inf
        self.ended_at = now
        self.signals.append(line.SignalEnded(modem))


def _is_cm(packet: bytes) -> bool:
    """Whether a packet of version 3 carries the call menu of V.8, with which V.34 begins."""
    try:
        _, fields = ifp.read_data(packet, LATEST_VERSION)
    except DecodeError:
        return False
    return any(kind == FieldType.CM_MESSAGE for kind, _ in fields)
