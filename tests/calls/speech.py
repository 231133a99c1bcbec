"""What a scripted peer puts on the wire: bursts as timed IFPs, IFPs as numbered datagrams, in whatever manner it has.

Owns      the peer's manners (how fields are spelt, repeated, protected, numbered) and the schedules of its bursts.
Not here  words (words.py), what is said when (player.py). Nothing of vfax's sending side is used but the IFP codec.
Source    T.38 (09/2010); manners are those of deployed machines, the scripts say whose.
"""

from collections.abc import Iterable
from dataclasses import dataclass
from typing import Final

from tests.calls import words
from tests.calls.words import ScriptError
from vfax.codecs import ifp
from vfax.codecs.ifp import Data, DataType, Field, FieldType, Indication, Indicator
from vfax.signals import Modem
from vfax.transports.udptl import Fec, Packet

Speech = list[tuple[float, bytes]]
"""IFPs at seconds from the start of the burst; the last time is when the burst is over."""

Fields = tuple[tuple[FieldType, bytes], ...]
F: Final = FieldType
ENDS: Final = ("fcs-sig-end", "sig-end", "both", "no-signal", "none")
DATA_TYPE: Final = {
    Modem.V21: DataType.V21,
    Modem.V27TER_2400: DataType.V27_2400,
    Modem.V27TER_4800: DataType.V27_4800,
    Modem.V29_7200: DataType.V29_7200,
    Modem.V29_9600: DataType.V29_9600,
    Modem.V17_7200: DataType.V17_7200,
    Modem.V17_9600: DataType.V17_9600,
    Modem.V17_12000: DataType.V17_12000,
    Modem.V17_14400: DataType.V17_14400,
}
_CLOSES: Final = {
    (True, True): F.HDLC_FCS_OK_SIG_END,
    (True, False): F.HDLC_FCS_OK,
    (False, True): F.HDLC_FCS_BAD_SIG_END,
    (False, False): F.HDLC_FCS_BAD,
}
LONG: Final = 1.4
SHORT: Final = 0.15


@dataclass(frozen=True, slots=True, kw_only=True)
class Manner:
    """How the peer speaks; all may be said for one step too, except the numbering."""

    version: int = 0  # syntax of its IFPs
    redundancy: int = 0  # earlier IFPs behind each
    fec: tuple[int, ...] = ()  # span and rows, instead
    first_number: int = 0
    wrap_to: int = 0  # what follows 65535
    repeats: int = 1  # copies of indicators and ends, each under a new number
    octets: int = 0  # of a V.21 frame in one packet; 0: the whole frame with its end
    end: str = "fcs-sig-end"  # one of ENDS
    data_in_fcs: bool = False  # the last octets of a frame come inside the field that closes it
    aligned: bool = False  # every field begins on an octet, and a frame's end shares a packet with the next frame
    announced: bool = True  # indicators are said
    preamble: float = 1.0
    short: bool = False  # short training
    rcp: int = 3

    def __post_init__(self) -> None:
        if self.end not in ENDS:
            raise ScriptError(f"end is {self.end!r}, not one of {ENDS}")


def indicator(name: str) -> bytes:
    """The IFP of an indicator by its printed name."""
    known = {each.title.lower(): each for each in Indicator}
    if name not in known:
        raise ScriptError(f"no indicator is called {name!r}")
    return ifp.encode(Indication(known[name]), 3)


def encode(data: DataType, fields: Fields, manner: Manner) -> bytes:
    """One data packet, strict or octet-aligned."""
    if not manner.aligned:
        return ifp.encode(Data(data, tuple(Field(*each) for each in fields)), manner.version)
    shift = 4 if manner.version == 0 else 3
    packet = bytearray((0xC0 | data << 1, len(fields)))
    for kind, octets in fields:
        packet.append((0x80 if octets else 0) | kind << shift)
        if octets:
            packet += (len(octets) - 1).to_bytes(2, "big") + octets
    return bytes(packet)


def training(modem: Modem, manner: Manner) -> bytes:
    """The indicator a burst of this modem begins with."""
    family = words.family(modem)
    if modem is Modem.V21:
        return indicator("v21-preamble")
    length = ("-short" if manner.short else "-long") if family == "v17" else ""
    return indicator(f"{family}-{modem.rate_bps}{length}-training")


def _begin(modem: Modem, manner: Manner) -> Speech:
    return [(0.0, training(modem, manner))] * manner.repeats if manner.announced else []


def _finish(speech: Speech, at: float, data: DataType, ends: list[Fields], manner: Manner) -> Speech:
    for fields in ends:
        speech += [(at, encode(data, fields, manner))] * manner.repeats
    if manner.end != "none":
        speech += [(at + 0.1, indicator("no-signal"))] * manner.repeats
    return speech


def hdlc(modem: Modem, frames: list[bytes], bad: Iterable[int], manner: Manner) -> Speech:
    """A burst of frames; those with the indices `bad` end with a bad FCS."""
    speech = _begin(modem, manner)
    data = DATA_TYPE[modem]
    at = manner.preamble if modem is Modem.V21 else (SHORT if manner.short else LONG) + 0.2
    waiting: Fields = ()  # the end of the frame before, when it shares a packet with the next frame
    for index, frame in enumerate(frames):
        last = index == len(frames) - 1
        good = index not in bad
        cut = len(frame) - manner.data_in_fcs
        pieces = [frame[k : k + manner.octets] for k in range(0, len(frame[:cut]), manner.octets or len(frame))]
        if not manner.octets:
            pieces = [frame[:cut]]
        seconds = (len(frame) + 4) * 8 / modem.rate_bps
        ended = last and manner.end in ("fcs-sig-end", "both")
        close = (_CLOSES[good, ended], frame[cut:])
        for number, piece in enumerate(pieces):
            fields: Fields = (*waiting, (F.HDLC_DATA, piece))
            waiting = ()
            if number == len(pieces) - 1 and not last and not manner.aligned:
                fields = (*fields, close)
            speech.append((at + seconds * (number + 1) / len(pieces), encode(data, fields, manner)))
        at += seconds
        if manner.aligned:
            waiting = () if last else (close,)
        if last:
            ends: list[Fields] = [(close,)]
            if manner.end in ("sig-end", "both"):
                ends.append(((F.HDLC_SIG_END, b""),))
            return _finish(speech, at, data, ends, manner)
    raise ScriptError("a burst of frames needs frames")


def octets(modem: Modem, coded: bytes, manner: Manner, *, trains: bool = True) -> Speech:
    """TCF or a page without ECM, in packets of 30 ms."""
    speech = _begin(modem, manner)
    data = DATA_TYPE[modem]
    at = (SHORT if manner.short else LONG) if trains else 0.0
    chunk = modem.rate_bps * 30 // 8000
    for begin in range(0, len(coded), chunk):
        fields: Fields = ((F.T4_NON_ECM_DATA, coded[begin : begin + chunk]),)
        speech.append((at + begin * 8 / modem.rate_bps, encode(data, fields, manner)))
    kinds = {"fcs-sig-end": [F.T4_NON_ECM_SIG_END], "sig-end": [F.HDLC_SIG_END], "both": [F.T4_NON_ECM_SIG_END] * 2}
    ends: list[Fields] = [((kind, b""),) for kind in kinds.get(manner.end, [])]
    return _finish(speech, at + len(coded) * 8 / modem.rate_bps, data, ends, manner)


class Numbering:
    """The peer's UDPTL: IFPs to datagrams, with the protection its manner has."""

    def __init__(self, manner: Manner) -> None:
        self.next = manner.first_number
        self._wrap_to = manner.wrap_to
        self._said: list[tuple[int, bytes]] = []
        self.last = b""

    def datagram(self, packet: bytes, manner: Manner) -> bytes:
        """The next datagram."""
        number = self.next
        self.next = number + 1 if number < 65535 else self._wrap_to
        earlier = [each for _, each in reversed(self._said)][: manner.redundancy]
        self._said.append((number, packet))
        fec = self._fec(number, *manner.fec) if manner.fec else None
        self.last = Packet(number, packet, () if fec else tuple(earlier), fec).encode()
        return self.last

    def _fec(self, number: int, span: int, rows: int) -> Fec:
        """Row i is the XOR of the IFPs number + i - k * rows, k from 1 to span (what does not exist counts as zero)."""
        said = dict(self._said)
        parity = []
        for row in range(rows):
            members = [said.get(number + row - k * rows, b"") for k in range(1, span + 1)]
            size = max(map(len, members))
            total = 0
            for each in members:
                total ^= int.from_bytes(each.ljust(size, b"\0"), "big")
            parity.append(total.to_bytes(size, "big"))
        return Fec(span, tuple(parity))
