"""Orders to the T.30 engine and the events it answers with.

Owns      the engine's vocabulary towards its owner (leg.py); nothing here decides anything.
Not here  line signals (signals.py), frames and capabilities (codecs/), states and steps (tables.py).
"""

from dataclasses import dataclass
from enum import StrEnum

from vfax.codecs.dis import Agreement, Resolution
from vfax.outcome import Outcome


class Role(StrEnum):
    """Who called whom (the *call*, not the page)."""

    CALLER = "caller"
    CALLED = "called"


# --- orders (imperative) -------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class PageInfo:
    """Geometry of one page to send, known before it is coded.

    `width_px` and `rows` are pixels.
    """

    width_px: int
    rows: int
    resolution: Resolution


@dataclass(frozen=True, slots=True, kw_only=True)
class Addressing:
    """What a caller says besides its identity: at most 20 characters each, empty for "nothing".

    Of a document to be polled: what the caller must say to get it.
    """

    subaddress: str = ""  # SUB: whom the fax is for behind the number
    sender_password: str = ""  # SID
    poll_address: str = ""  # SEP: which document is asked for
    poll_password: str = ""  # PWD


@dataclass(frozen=True, slots=True)
class SendDocument:
    """What a sender will send: said once, before the line is up.

    `first` is the number (from 1) of the first page to send: those before were confirmed in an earlier call. On the
    called side it is the document that may be polled; with `alone` that side receives nothing besides.
    """

    pages: tuple[PageInfo, ...]
    first: int = 1
    addressing: Addressing = Addressing()
    alone: bool = False


@dataclass(frozen=True, slots=True)
class Poll:
    """A caller that receives: ask for the called side's document. Said once, before the line is up."""

    addressing: Addressing = Addressing()


@dataclass(frozen=True, slots=True)
class LineUp:
    """The road carries fax signals now: phase B begins (T1 starts)."""


@dataclass(frozen=True, slots=True)
class LineDown:
    """The road is gone (BYE, socket closed): end at once, keep what is whole."""


@dataclass(frozen=True, slots=True)
class PageCoded:
    """Answer to `PageNeeded`: coded octets of page `number` (from 1), first code bit in the most significant bit."""

    number: int
    data: bytes


@dataclass(frozen=True, slots=True)
class PageUnavailable:
    """Answer to `PageNeeded` when the page cannot be read or coded."""

    number: int
    why: str


@dataclass(frozen=True, slots=True)
class PageKept:
    """Page `number` is written, synced, renamed and its directory synced: it may be confirmed."""

    number: int


@dataclass(frozen=True, slots=True)
class PageLost:
    """Page `number` could not be stored: it must never be confirmed."""

    number: int
    why: str


@dataclass(frozen=True, slots=True)
class Abort:
    """End the fax now: DCN if the wire allows it, then `Ended`."""

    why: str = "aborted"


Order = SendDocument | Poll | LineUp | LineDown | PageCoded | PageUnavailable | PageKept | PageLost | Abort


# --- events (past tense) -------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class FrameSeen:
    """A control frame went by, for the journal: `sent` tells the direction, `words` what it says.

    Without `octets` it was not said after all, and `words` tell why.
    """

    sent: bool
    name: str
    octets: bytes
    words: str


@dataclass(frozen=True, slots=True)
class IdentityReceived:
    """CSI or TSI of the peer, spaces stripped, printable."""

    frame: str
    text: str


@dataclass(frozen=True, slots=True)
class Agreed:
    """A DCS was sent or accepted: from here the facts are frozen for the pages that follow."""

    agreement: Agreement


@dataclass(frozen=True, slots=True)
class Trained:
    """Training ended: `ok` after CFR, not after FTT. Of the unpaced transfer, which has none, nothing is told."""

    ok: bool
    rate_bps: int


@dataclass(frozen=True, slots=True)
class PageStarted:
    """Page `number` (from 1) begins on the line, in either direction."""

    number: int


@dataclass(frozen=True, slots=True)
class PageProgress:
    """Rows of page `number` decoded so far (receiving), or octets sent of its total (sending)."""

    number: int
    done: int
    total: int


@dataclass(frozen=True, slots=True)
class PageNeeded:
    """The sender wants page `number` coded under `agreement`; answer with `PageCoded`."""

    number: int
    agreement: Agreement


@dataclass(frozen=True, slots=True)
class PageReceived:
    """Page `number` is decoded: keep it and answer `PageKept` or `PageLost`.

    `lines` are `rows` packed rows of `(width_px + 7) // 8` octets, 1 = black, most significant bit left; equal
    neighbours are one object. Joining them takes 10 ms for the largest page: `raster` is for whoever keeps it.
    `complete` is False for what was there when the fax ended in the middle of the page; no answer is awaited then.
    """

    number: int
    agreement: Agreement
    width_px: int
    rows: int
    lines: tuple[bytes, ...]
    bad_rows: int
    longest_bad_run: int
    complete: bool

    @property
    def raster(self) -> bytes:
        """All rows, one after the other; joined anew each time."""
        return b"".join(self.lines)


@dataclass(frozen=True, slots=True)
class PageConfirmed:
    """Page `number` was confirmed: MCF/RTP has been handed to the line (receiving) or has come (sending)."""

    number: int


@dataclass(frozen=True, slots=True)
class PageRepeated:
    """The page must go again, or parts of it: RTN, or PPR with `frames` missing."""

    number: int
    frames: int
    why: str


@dataclass(frozen=True, slots=True)
class Ended:
    """The engine is done and stays done; the owner hangs up now."""

    outcome: Outcome


Event = (
    FrameSeen
    | IdentityReceived
    | Agreed
    | Trained
    | PageStarted
    | PageProgress
    | PageNeeded
    | PageReceived
    | PageConfirmed
    | PageRepeated
    | Ended
)
