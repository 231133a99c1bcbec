"""T.30 frames: octets to `Frame` and back, and the small information fields inside.

Owns      FCF names, address and control octets, the final-frame and X bits; identities, PPS, PPR, EOR, FCD; words
          for the journal.
Not here  what a DIS or DCS bit means (dis.py); when a frame may come (vfax/t30/).
Source    T.30 (09/2005) 5.3; ECM frames T.4 Annex A. Bits as T.38 carries them: the first bit on the line is the most
          significant bit of the octet, so numbers sent low bit first stand reversed.
"""

from collections.abc import Collection, Iterable
from dataclasses import dataclass
from enum import Enum
from typing import Final, Self

from vfax.codecs.dis import Capabilities, decode_ctc, describe_dcs, describe_modem
from vfax.codecs.nsf import maker_of
from vfax.errors import DecodeError

ADDRESS: Final = 0xFF
MORE: Final = 0xC0  # control octet: further frames follow in this burst
FINAL: Final = 0xC8  # control octet: last frame of the burst
X_BIT: Final = 0x80

IDENT_LENGTH: Final = 20
MAX_BLOCK: Final = 256  # frames of one ECM block (T.4 Annex A)
PPR_OCTETS: Final = 32

REVERSED: Final = bytes(int(f"{octet:08b}"[::-1], 2) for octet in range(256))
"""Each octet with its bits in the other order; `octets.translate(REVERSED)` turns a whole field."""


class Fcf(Enum):
    """Facsimile control fields with X masked to 0; where X is fixed to 1 (DTC and its company) it stays."""

    DIS = 0x01
    CSI = 0x02
    NSF = 0x04
    DES = 0x05
    SPI = 0x08
    DTC = 0x81
    CIG = 0x82
    PWD = 0x83
    NSC = 0x84
    SEP = 0x85
    PSA = 0x86
    CIA = 0x87
    ISP = 0x88
    DCS = 0x41
    TSI = 0x42
    SUB = 0x43
    NSS = 0x44
    SID = 0x45
    TSA = 0x46
    IRA = 0x47
    CTC = 0x48
    DEC = 0x49
    DER = 0x4A
    CFR = 0x21
    FTT = 0x22
    CTR = 0x23
    CSA = 0x24
    EOM = 0x71
    MPS = 0x72
    EOR = 0x73
    EOP = 0x74
    RR = 0x76
    EOS = 0x78
    PRI_EOM = 0x79
    PRI_MPS = 0x7A
    PRI_EOP = 0x7C
    PPS = 0x7D
    MCF = 0x31
    RTN = 0x32
    RTP = 0x33
    PIN = 0x34
    PIP = 0x35
    PID = 0x36
    RNR = 0x37
    ERR = 0x38
    PPR = 0x3D
    FDM = 0x3F
    RK = 0x52
    FNV = 0x53
    TR = 0x56
    TNR = 0x57
    CRP = 0x58
    DNK = 0x59
    DCN = 0x5F
    FCD = 0x60
    RCP = 0x61
    CCD = 0x62
    TK = 0xD2

    @classmethod
    def of(cls, octet: int) -> Self | None:
        """The name of an FCF octet, whatever its X bit; None for one that T.30 does not know."""
        return cls(_KNOWN[octet]) if octet in _KNOWN else None

    @property
    def title(self) -> str:
        """The name as printed in T.30."""
        return self.name.replace("_", "-")


_FIXED_X: Final = frozenset(fcf.value for fcf in Fcf if fcf.value & 0x70 == 0) | {Fcf.TK.value, Fcf.RK.value}
_KNOWN: Final[dict[int, int]] = {
    octet: (octet if octet in _FIXED_X else octet & 0x7F)
    for octet in range(256)
    if octet in _FIXED_X or (octet & 0x70 and octet & 0x7F in {fcf.value for fcf in Fcf})
}

PREFACES: Final = frozenset(
    {
        *(Fcf.NSF, Fcf.CSI, Fcf.DES, Fcf.SPI, Fcf.CSA),
        *(Fcf.NSC, Fcf.CIG, Fcf.PWD, Fcf.SEP, Fcf.PSA, Fcf.CIA, Fcf.ISP),
        *(Fcf.NSS, Fcf.TSI, Fcf.SUB, Fcf.SID, Fcf.TSA, Fcf.IRA),
    }
)
"""Optional frames that come before the mandatory one of their burst and never end it."""

IDENTITIES: Final = frozenset({Fcf.CSI, Fcf.CIG, Fcf.TSI, Fcf.SUB, Fcf.SID, Fcf.PWD, Fcf.SEP, Fcf.PSA})
POST_MESSAGE: Final = frozenset({Fcf.MPS, Fcf.EOM, Fcf.EOP, Fcf.EOS, Fcf.PRI_MPS, Fcf.PRI_EOM, Fcf.PRI_EOP})

WITHOUT_OPERATOR: Final[dict[Fcf, Fcf]] = {Fcf.PRI_MPS: Fcf.MPS, Fcf.PRI_EOM: Fcf.EOM, Fcf.PRI_EOP: Fcf.EOP}
"""What a procedure interrupt asks once nobody comes to the telephone."""


@dataclass(frozen=True, slots=True)
class Frame:
    """One frame without its FCS: T.38 carries the verdict, not the bits.

    `x` is the first FCF bit: 1 from the station that received a valid DIS; receivers ignore it.
    """

    fcf: Fcf
    info: bytes = b""
    final: bool = True
    x: bool = False

    @classmethod
    def decode(cls, octets: bytes) -> Self:
        """Parse address, control, FCF and information field (which may be empty).

        Raises DecodeError, and nothing else, for any input.
        """
        if len(octets) < 3:
            raise DecodeError("truncated frame", offset=len(octets), source="T.30 5.3")
        if octets[0] != ADDRESS:
            raise DecodeError(f"address {octets[0]:02x} is not ff", source="T.30 5.3.4")
        if octets[1] not in (MORE, FINAL):
            raise DecodeError(f"control {octets[1]:02x} is neither c0 nor c8", offset=1, source="T.30 5.3.5")
        fcf = Fcf.of(octets[2])
        if fcf is None:
            raise DecodeError(f"unknown FCF {octets[2]:02x}", offset=2, source="T.30 (09/2005) 5.3.6.1")
        return cls(Fcf(fcf), bytes(octets[3:]), final=octets[1] == FINAL, x=bool(octets[2] & X_BIT))

    def encode(self) -> bytes:
        """Octets from the address to the end of the information field, T.38 bit order."""
        has_x = self.x and self.fcf.value not in _FIXED_X and self.fcf not in _NEVER_X
        value = self.fcf.value | (X_BIT if has_x else 0)
        return bytes((ADDRESS, FINAL if self.final else MORE, value)) + self.info


_NEVER_X: Final = frozenset({Fcf.FCD, Fcf.RCP, Fcf.CCD})


# --- identities ----------------------------------------------------------------------------------


def encode_identity(text: str) -> bytes:
    """Twenty octets for CSI, TSI and their like: last character first, padded with spaces.

    What is not printable ASCII becomes a space; what is longer than 20 characters is cut.
    Source: T.30 (09/2005) 5.3.6.2.4 ff.
    """
    plain = "".join(char if " " <= char <= "~" else " " for char in text[:IDENT_LENGTH])
    return plain.rjust(IDENT_LENGTH)[::-1].encode("ascii").translate(REVERSED)


def decode_identity(info: bytes) -> str:
    """Text of an identity field, tolerant: any length, any octet; blanks stripped, the unprintable shown as `?`.

    Limit: the first 20 octets are read; a longer field is a peer's mistake.
    """
    octets = info[:IDENT_LENGTH].translate(REVERSED)[::-1]
    text = "".join(chr(octet) if 0x20 <= octet < 0x7F else "?" for octet in octets.strip(b" \0"))
    # Quirk: some machines send the text first character first; a plus sign at the end gives them away.
    return text[::-1].strip() if text.endswith("+") and not text.startswith("+") else text


# --- small information fields --------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class PartialPage:
    """FIF of PPS: `post` None is NULL (the page continues); `frames` counts 1 to 256."""

    post: Fcf | None
    page: int
    block: int
    frames: int

    @property
    def doubtful(self) -> bool:
        """True when the count may stand for "no frames": Quirk: a sender computing 0 - 1 in eight bits sends 0xff."""
        return self.frames == MAX_BLOCK

    def encode(self) -> bytes:
        """Four octets: FCF2, page, block and frames - 1 (modulo 256)."""
        numbers = bytes((self.page & 0xFF, self.block & 0xFF, (self.frames - 1) & 0xFF))
        return bytes((_post_octet(self.post),)) + numbers.translate(REVERSED)

    @classmethod
    def decode(cls, info: bytes) -> Self:
        """Parse; a longer field's tail is ignored. Raises DecodeError."""
        if len(info) < 4:
            raise DecodeError("PPS shorter than 4 octets", offset=len(info), source="T.30 A.4.3")
        page, block, count = info[1:4].translate(REVERSED)
        return cls(_post_of(info[0]), page, block, count + 1)


def _post_octet(post: Fcf | None) -> int:
    """FCF2 with the X bit set, as the sender of a page sends it."""
    return 0 if post is None else post.value | X_BIT


def _post_of(octet: int) -> Fcf | None:
    if octet in (0x00, X_BIT):
        return None
    post = Fcf.of(octet)
    if post not in POST_MESSAGE:
        raise DecodeError(f"FCF2 {octet:02x} is no post-message command", source="T.30 A.4.3")
    return post


def encode_rest(post: Fcf | None) -> bytes:
    """FIF of EOR: the post-message command that follows the given-up block."""
    return bytes((_post_octet(post),))


def decode_rest(info: bytes) -> Fcf | None:
    """Post-message command of an EOR; None is NULL. Raises DecodeError."""
    if not info:
        raise DecodeError("EOR without FCF2", source="T.30 A.4.3")
    return _post_of(info[0])


def encode_request(missing: Iterable[int], frames: int) -> bytes:
    """FIF of PPR: 32 octets, first bit is frame 0, 1 = missing; bits past the block's `frames` are 1 (T.4 A.4.4)."""
    asked = set(missing) | set(range(frames, MAX_BLOCK))
    value = sum(1 << (MAX_BLOCK - 1 - number) for number in asked)
    return value.to_bytes(PPR_OCTETS, "big")


def decode_request(info: bytes, frames: int) -> list[int]:
    """Frame numbers below `frames` that a PPR asks for, ascending. Raises DecodeError for fewer than 32 octets."""
    if len(info) < PPR_OCTETS:
        raise DecodeError("PPR shorter than 32 octets", offset=len(info), source="T.30 A.4.4")
    value = int.from_bytes(info[:PPR_OCTETS], "big")
    return [number for number in range(min(frames, MAX_BLOCK)) if value >> (MAX_BLOCK - 1 - number) & 1]


# --- fast frames of ECM --------------------------------------------------------------------------

RCP: Final = bytes((ADDRESS, MORE, Fcf.RCP.value))
_FCD_HEAD: Final = bytes((ADDRESS, MORE, Fcf.FCD.value))


def encode_block(data: bytes, frame_octets: int) -> list[bytes]:
    """FCD frames of one block of at most 256 frames; the last frame is padded with zero octets (T.4 Annex A)."""
    return [
        _FCD_HEAD
        + REVERSED[at // frame_octets : at // frame_octets + 1]
        + data[at : at + frame_octets].ljust(frame_octets, b"\0")
        for at in range(0, len(data), frame_octets)
    ]


# --- words ---------------------------------------------------------------------------------------

_WORDS: Final[dict[Fcf, str]] = {
    Fcf.CFR: "trained, ready to receive",
    Fcf.FTT: "failure to train",
    Fcf.CTR: "ready to go on correcting",
    Fcf.EOM: "end of page, back to phase B",
    Fcf.MPS: "end of page, another follows",
    Fcf.EOP: "end of last page",
    Fcf.EOS: "end of selection",
    Fcf.PRI_EOM: "end of page, back to phase B, operator asked",
    Fcf.PRI_MPS: "end of page, another follows, operator asked",
    Fcf.PRI_EOP: "end of last page, operator asked",
    Fcf.MCF: "message confirmed",
    Fcf.RTN: "page bad, retrain",
    Fcf.RTP: "page good, retrain",
    Fcf.PIN: "page bad, operator asked",
    Fcf.PIP: "page good, operator asked",
    Fcf.RNR: "receiver not ready",
    Fcf.RR: "receiver ready?",
    Fcf.ERR: "end of retransmission understood",
    Fcf.DCN: "disconnect",
    Fcf.CRP: "repeat the command",
    Fcf.NSF: "non-standard facilities",
    Fcf.NSS: "non-standard set-up",
    Fcf.NSC: "non-standard command",
}


def describe(frame: Frame) -> str:
    """What a frame says, in words for the journal. Never raises."""
    try:
        return _describe(frame)
    except DecodeError as why:
        return f"damaged: {why}"


def _describe(frame: Frame) -> str:
    if frame.fcf in IDENTITIES:
        return decode_identity(frame.info)
    match frame.fcf:
        case Fcf.DIS | Fcf.DTC:
            return Capabilities.decode(frame.info).describe()
        case Fcf.DCS:
            return describe_dcs(frame.info)
        case Fcf.CTC:
            return f"continue to correct at {describe_modem(decode_ctc(frame.info))}"
        case Fcf.PPS:
            return _describe_pps(PartialPage.decode(frame.info))
        case Fcf.PPR:
            return f"frames missing: {_ranges(decode_request(frame.info, MAX_BLOCK))}"
        case Fcf.EOR:
            return f"block given up, then {_post_title(decode_rest(frame.info))}"
        case Fcf.NSF | Fcf.NSS | Fcf.NSC:
            maker = maker_of(bytes(REVERSED[octet] for octet in frame.info[:3]))
            return f"{_WORDS[frame.fcf]} of {maker}, ignored"
    return _WORDS.get(frame.fcf, "")


def _describe_pps(pps: PartialPage) -> str:
    return f"{_post_title(pps.post)}, page {pps.page}, block {pps.block}, {pps.frames} frames"


def _post_title(post: Fcf | None) -> str:
    return "NULL" if post is None else post.title


def _ranges(numbers: Collection[int]) -> str:
    """`0, 9, 200-255` of ascending numbers."""
    words: list[str] = []
    first = last = -2
    for number in [*numbers, 10_000]:
        if number == last + 1:
            last = number
            continue
        if last >= 0:
            words.append(str(first) if first == last else f"{first}-{last}")
        first = last = number
    return ", ".join(words) or "none"
