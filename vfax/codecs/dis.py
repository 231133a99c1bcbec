"""T.30 capabilities: DIS, DTC and DCS information fields to values and back.

Owns      what the bits mean, and the values read from them.
Not here  frames around them (frames.py), the mode that two ends have in common (common_mode.py).
Source    T.30 (09/2005) Table 2 and its notes.

Limit: JBIG, colour and the other modes of `foreign_modes` are never offered; a DCS that chooses them is refused.
"""

from dataclasses import dataclass
from enum import Enum, StrEnum
from typing import Final, Self

from vfax.errors import DecodeError
from vfax.signals import Modem


class Coding(StrEnum):
    """Page codings (T.4, T.6)."""

    MH = "MH"
    MR = "MR"
    MMR = "MMR"


class Resolution(Enum):
    """Value: (name, horizontal, vertical pixels per inch as written to TIFF, rows per mm times 100, grid).

    The grid counts hundreds of pixels per inch, across and down: a metric resolution and its inch-based counterpart
    have the same, say the same bit but for the preference, and print the same pixels.
    """

    STANDARD = ("standard", 204, 98, 385, (2, 1))  # R8 x 3.85
    FINE = ("fine", 204, 196, 770, (2, 2))  # R8 x 7.7
    SUPERFINE = ("superfine", 204, 391, 1540, (2, 4))  # R8 x 15.4
    R16 = ("R16x15.4", 408, 391, 1540, (4, 4))
    INCH_200X100 = ("200x100", 200, 100, 394, (2, 1))
    INCH_200X200 = ("200x200", 200, 200, 787, (2, 2))
    INCH_200X400 = ("200x400", 200, 400, 1575, (2, 4))
    INCH_300X300 = ("300x300", 300, 300, 1181, (3, 3))
    INCH_400X400 = ("400x400", 400, 400, 1575, (4, 4))
    INCH_600X600 = ("600x600", 600, 600, 2362, (6, 6))

    @property
    def title(self) -> str:
        """Its name in words."""
        return self.value[0]

    @property
    def x_dpi(self) -> int:
        """Pixels per inch across, as written to TIFF."""
        return self.value[1]

    @property
    def y_dpi(self) -> int:
        """Rows per inch, as written to TIFF."""
        return self.value[2]

    @property
    def rows_per_100_mm(self) -> int:
        """Rows in 100 mm."""
        return self.value[3]

    @property
    def grid(self) -> tuple[int, int]:
        """Hundreds of pixels per inch, across and down, the metric ones rounded."""
        return self.value[4]

    @property
    def inch_based(self) -> bool:
        """True when it counts in inches."""
        return self.x_dpi % 100 == 0

    @property
    def widths_px(self) -> tuple[int, int, int]:
        """Pixels across A4, B4 and A3 paper: 1728, 2048 and 2432 at 204 dpi."""
        return _WIDTHS_PX[self]


_WIDTHS_PX: Final[dict[Resolution, tuple[int, int, int]]] = {
    one: (864 * one.grid[0], 1024 * one.grid[0], 1216 * one.grid[0]) for one in Resolution
}
PAPER_WIDTHS_PX: Final = _WIDTHS_PX[Resolution.STANDARD]
"""What a width is called in capabilities and settings: A4, B4 and A3 at 204 dpi."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Agreement:
    """What one DCS settles for the pages that follow it: frozen once, passed down, never re-read from bits.

    `min_scan_ms` is the minimum scan-line time (0 with ECM); `frame_octets` is 256 or 64 with ECM, else 0;
    `width_px` is one of the resolution's `widths_px`; `max_rows` is 0 for unlimited length.
    """

    modem: Modem
    coding: Coding
    ecm: bool
    frame_octets: int
    resolution: Resolution
    width_px: int
    min_scan_ms: int
    max_rows: int = 0
    internet_aware: bool = False  # bit 123: no modem on the road, so no TCF and no pacing; `modem` is a name only


# --- bits ----------------------------------------------------------------------------------------

_EXTENSIONS: Final = range(24, 129, 8)  # Table 2: the bit that says "another octet follows"
MAX_FIF: Final = 16  # octets that the extension chain can reach; Limit: what lies beyond is not read


def _numbered(fif: bytes) -> set[int]:
    """Numbers of the bits set in a DIS, DTC or DCS field, as far as its extension bits reach.

    Octets 1 to 3 always exist (missing ones read as zero). Octets beyond a clear extension bit are ignored: some
    peers send them, and reading them as capabilities would be wrong.
    """
    length = 3
    while length < MAX_FIF and length <= len(fif) and fif[length - 1] & 0x01:
        length += 1
    value = int.from_bytes(fif[:length].ljust(length, b"\0"), "big")
    return {bit for bit in range(1, length * 8 + 1) if value >> (length * 8 - bit) & 1}


def _packed(bits: set[int]) -> bytes:
    """Octets of a field with these bits and the extension bits they need; trailing zero octets are left out."""
    last = max(bits | {24 - 1})
    length = max(3, -(-last // 8))
    chained = bits | {bit for bit in _EXTENSIONS if bit < length * 8}
    value = sum(1 << (length * 8 - bit) for bit in chained)
    return value.to_bytes(length, "big")


def _pattern(bits: set[int], first: int, last: int) -> str:
    return "".join("1" if bit in bits else "0" for bit in range(first, last + 1))


def _bits_of(pattern: str, first: int) -> set[int]:
    return {first + at for at, char in enumerate(pattern) if char == "1"}


# --- encoded values (Table 2, bits 11-14, 17-18, 19-20, 21-23) -----------------------------------

FALL_BACK: Final = (
    Modem.V17_14400,
    Modem.V17_12000,
    Modem.V17_9600,
    Modem.V29_9600,
    Modem.V17_7200,
    Modem.V29_7200,
    Modem.V27TER_4800,
    Modem.V27TER_2400,
)
"""Fast modems in the order in which a failed training falls back."""

_V27_FALLBACK: Final = frozenset({Modem.V27TER_2400})
_V27: Final = frozenset({Modem.V27TER_4800, Modem.V27TER_2400})
_V29: Final = frozenset({Modem.V29_9600, Modem.V29_7200})
_V17: Final = frozenset({Modem.V17_14400, Modem.V17_12000, Modem.V17_9600, Modem.V17_7200})

# What a DIS can say, largest set first: an unlisted pattern reads as the first of these contained in it
# (1110, which had the obsolete V.33, too).
_ABILITIES: Final = (
    ("1101", _V27 | _V29 | _V17),
    ("1100", _V27 | _V29),
    ("1000", _V29),
    ("0100", _V27),
)

_CHOSEN: Final[dict[str, Modem]] = {
    "0000": Modem.V27TER_2400,
    "0100": Modem.V27TER_4800,
    "1000": Modem.V29_9600,
    "1100": Modem.V29_7200,
    "0001": Modem.V17_14400,
    "0101": Modem.V17_12000,
    "1001": Modem.V17_9600,
    "1101": Modem.V17_7200,
}
_CHOOSES: Final = {modem: pattern for pattern, modem in _CHOSEN.items()}

# Bits 21-23 of a DIS: milliseconds at 3.85 and at 7.7 lines/mm.
_SCAN_TIMES: Final[dict[str, tuple[int, int]]] = {
    "000": (20, 20),
    "001": (40, 40),
    "010": (10, 10),
    "100": (5, 5),
    "011": (10, 5),
    "110": (20, 10),
    "101": (40, 20),
    "111": (0, 0),
}
_SCAN_PATTERNS: Final = {times: pattern for pattern, times in _SCAN_TIMES.items()}

_PAPERS: Final[dict[str, int]] = {"00": 0, "10": 1, "01": 2, "11": 2}  # A4, B4, A3; 11 is invalid: read as 01
_PAPER_PATTERNS: Final = ("00", "10", "01")
_ROWS_MM: Final[dict[str, int]] = {"00": 297, "10": 364, "01": 0, "11": 0}  # 0: unlimited

# Bit: (metric, inch-based) resolution, finest first. What has no metric form needs no word on the preference.
_RESOLUTION_BITS: Final[dict[int, tuple[Resolution, Resolution]]] = {
    105: (Resolution.INCH_600X600, Resolution.INCH_600X600),
    43: (Resolution.R16, Resolution.INCH_400X400),
    42: (Resolution.INCH_300X300, Resolution.INCH_300X300),
    41: (Resolution.SUPERFINE, Resolution.INCH_200X400),
    15: (Resolution.FINE, Resolution.INCH_200X200),
}
_BASIC: Final = (Resolution.STANDARD, Resolution.INCH_200X100)  # of every station, without a bit
_INCH: Final = 44  # DIS: inch-based resolutions preferred; DCS: this is one
_METRIC: Final = 45
_FOREIGN_DCS: Final[dict[int, str]] = {
    36: "T.43",
    38: "voice coding",
    53: "binary file transfer",
    54: "document transfer",
    55: "EDI",
    57: "basic transfer",
    60: "character mode",
    62: "mixed mode",
    65: "processable mode",
    68: "JPEG",
    69: "colour",
    78: "JBIG",
    79: "JBIG",
    106: "1200x1200",
    107: "300x600",
    108: "400x800",
    109: "600x1200",
    116: "T.45",
    124: "JBIG2",
    125: "JBIG2",
    126: "JBIG2",
    127: "JPEG",
}
"""Bits of a DCS that choose what vfax never offers; a page under them could not be understood."""


def _modems_of(pattern: str) -> frozenset[Modem]:
    if pattern == "0000":
        return _V27_FALLBACK
    for known, modems in _ABILITIES:
        if all(want == "0" or have == "1" for want, have in zip(known, pattern, strict=True)):
            return modems
    return _V27


def _pattern_of(modems: frozenset[Modem]) -> str:
    """The largest ability that claims no family whose best rate we lack."""
    for pattern, claimed in _ABILITIES:
        best = {modem.family: modem for modem in sorted(claimed, key=lambda modem: modem.rate_bps)}
        if modems.issuperset(best.values()):
            return pattern
    return "0000"


def _resolutions_of(bits: set[int]) -> frozenset[Resolution]:
    """All that a DIS names. A station without a preference counts in millimetres."""
    inch = _INCH in bits
    forms = [form for form, said in enumerate((_METRIC in bits or not inch, inch)) if said]
    pairs = [_BASIC, *(pair for bit, pair in _RESOLUTION_BITS.items() if bit in bits)]
    return frozenset({Resolution.STANDARD, *(pair[form] for pair in pairs for form in forms)})


def _bits_for(resolutions: frozenset[Resolution]) -> set[int]:
    """Bits of a DIS that name them, and with them their counterparts where both forms are named at all."""
    bits = {bit for bit, pair in _RESOLUTION_BITS.items() if resolutions.intersection(pair)}
    two_forms = [pair for pair in (*_RESOLUTION_BITS.values(), _BASIC) if pair[0] is not pair[1]]
    if any(pair[1] in resolutions for pair in two_forms):
        bits.add(_INCH)
        if any(pair[0] in resolutions for pair in two_forms if pair is not _BASIC):
            bits.add(_METRIC)
    return bits


# --- DIS and DTC ---------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True, kw_only=True)
class Capabilities:
    """What a DIS or DTC says about its station.

    `min_scan_ms` is the minimum scan-line time at 3.85 and at 7.7 lines/mm; `halved_scan` halves the latter at 15.4
    (bit 46). `max_width_px` is at 204 dpi; `max_length_mm` 0 means unlimited.
    """

    receives: bool = True
    has_document: bool = False  # bit 9: may be polled
    modems: frozenset[Modem] = _V27
    resolutions: frozenset[Resolution] = frozenset({Resolution.STANDARD})
    codings: frozenset[Coding] = frozenset({Coding.MH})
    ecm: bool = False
    small_frames: bool = False  # bit 7: 64-octet ECM frames preferred
    max_width_px: int = 1728
    max_length_mm: int = 297
    min_scan_ms: tuple[int, int] = (20, 20)
    halved_scan: bool = False
    subaddress: bool = False
    password: bool = False
    selective_polling: bool = False  # bit 47
    internet_aware: bool = False

    @classmethod
    def decode(cls, fif: bytes) -> Self:
        """Read a DIS or DTC field, tolerant: missing octets are zero, invalid patterns read as the nearest valid one.

        Raises DecodeError for an information field that has not even the rate bits.
        """
        if len(fif) < 2:
            raise DecodeError("DIS shorter than 2 octets", offset=len(fif), source="T.30 Table 2")
        bits = _numbered(fif)
        ecm = 27 in bits
        codings = {Coding.MH} | ({Coding.MR} if 16 in bits else set()) | ({Coding.MMR} if ecm and 31 in bits else set())
        return cls(
            receives=10 in bits,
            has_document=9 in bits,
            modems=_modems_of(_pattern(bits, 11, 14)),
            resolutions=_resolutions_of(bits),
            codings=frozenset(codings),
            ecm=ecm,
            small_frames=ecm and 7 in bits,
            max_width_px=PAPER_WIDTHS_PX[_PAPERS[_pattern(bits, 17, 18)]],
            max_length_mm=_ROWS_MM[_pattern(bits, 19, 20)],
            min_scan_ms=_SCAN_TIMES[_pattern(bits, 21, 23)],
            halved_scan=46 in bits,
            subaddress=49 in bits,
            password=50 in bits,
            selective_polling=47 in bits,
            internet_aware=123 in bits,
        )

    def encode(self) -> bytes:
        """The information field of a DIS (or DTC) that says this."""
        paper = PAPER_WIDTHS_PX.index(self.max_width_px)
        bits = _bits_of(_pattern_of(self.modems), 11) | _bits_of(_PAPER_PATTERNS[paper], 17)
        bits |= _bits_of({297: "00", 364: "10"}.get(self.max_length_mm, "01"), 19)
        bits |= _bits_of(_SCAN_PATTERNS.get(self.min_scan_ms, "000"), 21)
        bits |= _bits_for(self.resolutions)
        flags = {
            7: self.small_frames and self.ecm,
            9: self.has_document,
            10: self.receives,
            16: Coding.MR in self.codings,
            27: self.ecm,
            31: self.ecm and Coding.MMR in self.codings,
            46: self.halved_scan,
            47: self.selective_polling,
            49: self.subaddress,
            50: self.password,
            123: self.internet_aware,
        }
        return _packed(bits | {bit for bit, said in flags.items() if said})

    def scan_ms(self, resolution: Resolution) -> int:
        """Minimum scan-line time in milliseconds at a resolution (without ECM)."""
        low, high = self.min_scan_ms
        rows = resolution.grid[1]
        if rows == 1:
            return low
        return high // 2 if rows == 4 and self.halved_scan and high > 5 else high

    def describe(self) -> str:
        """One line of words for the journal."""
        families = sorted({modem.family for modem in self.modems})
        parts = [
            "receives" if self.receives else "does not receive",
            "has a document" if self.has_document else "",
            "+".join(families),
            "+".join(coding.value for coding in Coding if coding in self.codings),
            "ECM" if self.ecm else "no ECM",
            "+".join(resolution.title for resolution in Resolution if resolution in self.resolutions),
            f"up to {self.max_width_px} px",
            f"{self.max_length_mm} mm" if self.max_length_mm else "any length",
            f"scan line {self.min_scan_ms[0]}/{self.min_scan_ms[1]} ms",
            "internet-aware" if self.internet_aware else "",
        ]
        return ", ".join(part for part in parts if part)


# --- DCS and CTC ---------------------------------------------------------------------------------


def encode_dcs(agreement: Agreement, *, subaddress: bool = False, password: bool = False) -> bytes:
    """The information field of a DCS: every capability that was not chosen is clear."""
    rate = "0000" if agreement.internet_aware else _CHOOSES[agreement.modem]
    bits = {10} | _bits_of(rate, 11) | _bits_of(_paper_pattern(agreement), 17)
    bits |= _bits_of(_length_pattern(agreement), 19)
    bits |= _bits_of(_SCAN_PATTERNS[(agreement.min_scan_ms, agreement.min_scan_ms)], 21)
    bits |= {bit for bit, pair in _RESOLUTION_BITS.items() if agreement.resolution in pair}
    flags = {
        16: agreement.coding is Coding.MR,
        27: agreement.ecm,
        28: agreement.ecm and agreement.frame_octets == 64,
        31: agreement.coding is Coding.MMR,
        _INCH: agreement.resolution.inch_based,
        49: subaddress,
        50: password,
        123: agreement.internet_aware,
    }
    return _packed(bits | {bit for bit, said in flags.items() if said})


def _paper_pattern(agreement: Agreement) -> str:
    return _PAPER_PATTERNS[agreement.resolution.widths_px.index(agreement.width_px)]


def _length_pattern(agreement: Agreement) -> str:
    if agreement.max_rows == 0:
        return "01"
    return "10" if agreement.max_rows > 297 * agreement.resolution.rows_per_100_mm // 100 else "00"


def decode_dcs(fif: bytes) -> Agreement:
    """What a DCS chose. Raises DecodeError for what no page could be received under.

    Tolerant where the page can still be understood: MMR without the ECM bit reads as ECM (Table 2 ties the two), an
    invalid width as the largest; resolutions and widths nobody offered as they stand (the widest, A3 at 600 dpi, has
    7296 pixels), of several resolutions the finest.

    Quirk: metric and inch-based machines mix up whose pixels they send; both have the same grid, so the page is whole.
    """
    if len(fif) < 2:
        raise DecodeError("DCS shorter than 2 octets", offset=len(fif), source="T.30 Table 2")
    bits = _numbered(fif)
    foreign = foreign_modes(fif)
    if foreign:
        raise DecodeError(f"DCS chooses what was never offered: {', '.join(foreign)}", source="T.30 Table 2")
    aware = 123 in bits
    modem = Modem.V17_14400 if aware else _chosen_modem(bits)
    mmr = 31 in bits
    ecm = 27 in bits or mmr
    named = (pair for bit, pair in _RESOLUTION_BITS.items() if bit in bits)
    resolution = next(named, _BASIC)[_INCH in bits]
    length_mm = _ROWS_MM[_pattern(bits, 19, 20)]
    return Agreement(
        modem=modem,
        coding=Coding.MMR if mmr else Coding.MR if 16 in bits else Coding.MH,
        ecm=ecm,
        frame_octets=(64 if 28 in bits else 256) if ecm else 0,
        resolution=resolution,
        width_px=resolution.widths_px[_PAPERS[_pattern(bits, 17, 18)]],
        min_scan_ms=0 if ecm else _SCAN_TIMES[_pattern(bits, 21, 23)][0],
        max_rows=length_mm * resolution.rows_per_100_mm // 100,
        internet_aware=aware,
    )


def foreign_modes(fif: bytes) -> list[str]:
    """Names of what a DCS chooses although vfax never offers it; such a page could not be understood at any rate."""
    return list(dict.fromkeys(_FOREIGN_DCS[bit] for bit in sorted(_numbered(fif)) if bit in _FOREIGN_DCS))


def _chosen_modem(bits: set[int]) -> Modem:
    pattern = _pattern(bits, 11, 14)
    if pattern not in _CHOSEN:
        raise DecodeError(f"DCS rate {pattern} is not one of G3", offset=1, source="T.30 Table 2")
    return _CHOSEN[pattern]


def encode_ctc(modem: Modem) -> bytes:
    """The information field of a CTC: bits 1 to 16 of a DCS, of which only the rate counts."""
    return _packed(_bits_of(_CHOOSES[modem], 11))[:2]


def decode_ctc(fif: bytes) -> Modem:
    """The rate a CTC goes on with. Raises DecodeError."""
    if len(fif) < 2:
        raise DecodeError("CTC shorter than 2 octets", offset=len(fif), source="T.30 A.4.1")
    return _chosen_modem(_numbered(fif[:2]))


def describe_modem(modem: Modem) -> str:
    """`V.17 14400`."""
    return f"{modem.family} {modem.rate_bps}"


def describe_dcs(fif: bytes) -> str:
    """One line of words for the journal. Raises DecodeError."""
    return describe_agreement(decode_dcs(fif))


def describe_agreement(agreement: Agreement) -> str:
    """`V.17 14400, MMR, ECM 256, fine, 1728 px, scan line 0 ms`; `internet-aware` in place of a modem where is none."""
    road = "internet-aware" if agreement.internet_aware else describe_modem(agreement.modem)
    ecm = f"ECM {agreement.frame_octets}" if agreement.ecm else "no ECM"
    mode = f"{agreement.coding.value}, {ecm}, {agreement.resolution.title}"
    return f"{road}, {mode}, {agreement.width_px} px, scan line {agreement.min_scan_ms} ms"
