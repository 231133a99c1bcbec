"""A page as it comes in: octets to rows in slices, ECM frames to blocks.

Owns      the order of frames, what is missing, what may be decoded already, the backlog.
Not here  code words (codecs/t4.py); what is answered (receiver.py).
Source    T.4 (07/2003) Annex A for frames and blocks; what deployed senders do is marked.
"""

from collections import deque
from typing import Final

from vfax.codecs.dis import Agreement
from vfax.codecs.frames import MAX_BLOCK, REVERSED, PartialPage
from vfax.codecs.t4 import DecodeLimits, RowDecoder

FRAME_SIZES: Final = (256, 64)
TELLING: Final = 8  # different rows with ink from which two pages can be told apart

Fingerprints = dict[int, int]
"""Hashes of the frames of a block by their number."""


class Block:
    """Frames of one ECM block by their number.

    Limit: 256 frames of at most 256 octets. `before` holds the fingerprints of the block before; `differs` tells that
    some frame is not what that one had in its place: only then is it certain that the sender is not saying it again.
    `suspects` are frames that may be of that repetition although the block at hand is another.
    """

    def __init__(self, frame_octets: int, before: Fingerprints | None = None) -> None:
        self.frames: dict[int, bytes] = {}
        self.expected = 0
        self.fed = 0
        self.differs = before is None
        self.asked_for = False  # a PPR was said about it
        self.suspects: set[int] = set()
        self._named = False  # a PPS told it from the block before
        self._size = 0
        self._agreed = frame_octets
        self._before = before if before is not None else {}
        self._again: dict[int, bytes] | None = None  # frames since the last DCS: perhaps another block's

    def doubt(self) -> None:
        """A DCS came in the middle: what follows may belong to this block, or to the page said from its start."""
        self._again = {}

    @property
    def doubted(self) -> bool:
        """True after a DCS in the middle of the page."""
        return self._again is not None

    def says_again(self, other: Fingerprints) -> bool:
        """True when the frames since then are those of another block, as far as they have come."""
        again = self._again or {}
        return bool(again) and all(other.get(number) == hash(data) for number, data in again.items())

    def started_over(self) -> "Block":
        """The frames since then as a block of their own."""
        block = Block(self._agreed)
        block.frames = self.frames if self._again is None else self._again
        if any(len(data) == self._agreed for data in block.frames.values()):
            block._size = self._agreed
        return block

    def add(self, octets: bytes) -> bool:
        """Take an FCD frame (from the address octet on); False when it brings nothing new."""
        number = REVERSED[octets[3]]
        data = octets[4:]
        if not data or len(data) > FRAME_SIZES[0]:
            return False
        if self._again is not None:
            self._again[number] = data
        if number in self.suspects:
            self.suspects.discard(number)
        elif number in self.frames:
            return False
        self.frames[number] = data
        if not self._size and len(data) == self._agreed:
            self._size = len(data)
        if not self.differs and self._before.get(number) != hash(data):
            self.differs = True
            self._before = {}
        return True

    def suspect(self) -> None:
        """A burst begins, or the block before was named: what is here and equal to that one may be of it."""
        if not self.differs and not self._named:
            self.suspects.update(self.frames)

    def name(self) -> None:
        """Another block than the one before is named: what came for that one is none of it, nor is its size."""
        self._named = True
        if self.suspects:
            for number in self.suspects:
                del self.frames[number]
            self.suspects.clear()
            self.expected = 0

    def fingerprints(self) -> Fingerprints:
        """What the block after this one is compared with: telling it from this one needs no frames."""
        return {number: hash(data) for number, data in self.frames.items()}

    def repeats_before(self) -> bool:
        """True when these are the frames of the block before, all of them."""
        return not self.differs and self.frames.keys() == self._before.keys()

    def expect_before(self) -> None:
        """The PPS is the one of the block before: unless some frame differs, all of its frames are expected."""
        if not self.differs:
            self.expected = max(self._before, default=-1) + 1

    def ready(self) -> list[bytes]:
        """Frames that can be decoded now: next in order, of full size, and surely not a repetition."""
        ready: list[bytes] = []
        if not self.differs or not self._size:
            return ready
        while self.fed not in self.suspects and len(self.frames.get(self.fed, b"")) == self._size:
            ready.append(self.frames[self.fed])
            self.fed += 1
        return ready

    def expect(self, pps: PartialPage) -> None:
        """Learn the number of frames from a PPS: the largest one counts, later ones may belong to a repetition.

        Quirk: 255 may be 0 - 1; it is believed only as the first word about a block.
        """
        if not (pps.doubtful and self.expected):
            self.expected = max(self.expected, pps.frames)
        self.expected = max(self.expected, max(self.frames, default=-1) + 1)

    def missing(self) -> list[int]:
        """Numbers to ask for again. A frame of another length than the rest is missing too, unless it is the last.

        Quirk: T.38 gateways make up such frames with a good FCS; the repetition is usually right.
        """
        if not self._size:
            self._size = max((len(data) for data in self.frames.values()), default=0)
        torn = [n for n, data in self.frames.items() if len(data) != self._size and n != self.expected - 1]
        for number in torn:
            del self.frames[number]
        return [number for number in range(self.expected) if number not in self.frames]

    def rest(self, *, gaps: bool) -> list[bytes]:
        """Frames not decoded yet, in order; stops at the first missing one unless `gaps` may be skipped."""
        rest: list[bytes] = []
        for number in range(self.fed, MAX_BLOCK):
            data = self.frames.get(number)
            if data is not None:
                rest.append(data)
            elif not gaps:
                break
        self.fed = MAX_BLOCK
        return rest

    def whole(self) -> bool:
        """True when a PPS told how many frames there are, and none is missing."""
        return self.expected > 0 and all(number in self.frames for number in range(self.expected))


class IncomingPage:
    """One page being received: a decoder and the octets that wait for it.

    `ecm` is what the page turned out to be on the line, whatever DCS said.
    """

    def __init__(
        self, agreement: Agreement, limits: DecodeLimits, *, ecm: bool, before: Fingerprints | None = None
    ) -> None:
        self.agreement = agreement
        self.ecm = ecm
        self.blocks = 0  # confirmed blocks of this page
        self._first: Fingerprints = {}  # of its first block, once that is done
        self.torn = False  # a block was given up: rows are missing
        self.sealed = False  # no more octets will come
        self.octets = 0
        self.packets = 0  # of a plain page
        self.holes = 0  # packets of it that were lost: each cost a row at least
        self.block = Block(agreement.frame_octets or FRAME_SIZES[0], before)
        self.decoder = RowDecoder(agreement.coding, agreement.width_px, limits, ecm=ecm)
        self._backlog: deque[bytes] = deque()
        self._fed = 0  # octets given to the backlog
        self._rows: list[bytes] = []  # equal neighbours are one object: a typed page takes half of its raster
        self._cut = False  # MMR after a gap: what follows cannot be decoded

    @property
    def pending(self) -> bool:
        """True while octets wait for the decoder."""
        return bool(self._backlog)

    @property
    def over_limit(self) -> str:
        """Name of the limit that the page broke; a single endless row is damage, not a limit."""
        return self.decoder.limit if self.decoder.limit in ("rows", "octets") else ""

    @property
    def bad_rows(self) -> int:
        """Bad rows of those that are there."""
        return min(self.marred_rows, self.decoder.rows)

    @property
    def marred_rows(self) -> int:
        """Rows bad or missing, what the page is judged by: at least one where the page was cut short, and those that
        lost packets held, however well the rest fits together: as many as the packets that came, and one at least."""
        cut = self.torn or self.decoder.damaged or bool(self.decoder.limit)
        gone = self.holes * self.decoder.rows // self.packets if self.packets else 0
        return max(self.decoder.bad_rows, self.holes, gone, int(cut))

    def add_data(self, octets: bytes) -> None:
        """Take non-ECM octets."""
        self.packets += 1
        self.octets += len(octets)
        self._feed([octets])

    def add_frame(self, octets: bytes) -> bool:
        """Take an FCD frame; False when it brings nothing new."""
        if not self.block.add(octets):
            return False
        self.octets += len(octets) - 4
        self._feed(self.block.ready())
        return True

    def close_block(self) -> Fingerprints:
        """The block is whole: decode the rest of it and begin the next one."""
        return self._next_block(self.block.rest(gaps=False))

    def give_up_block(self) -> Fingerprints:
        """The sender gives the block up (EOR): MH and MR go on after the gap, MMR cannot."""
        block = self.block
        self.torn = True
        skips = self.agreement.coding.value != "MMR"
        whole = block.whole()
        rest = block.rest(gaps=skips)
        done = self._next_block(rest)
        self._cut = self._cut or not (skips or whole)
        return done

    def salvage(self) -> None:
        """The fax ends here: decode what follows without a gap, unless it may be the block before once more."""
        if self.ecm and self.block.differs:
            self._feed(self.block.rest(gaps=False))

    def decode(self, octets: int) -> None:
        """Decode about that many octets of the backlog, fewer of a page wider than A4 at 204 dpi, for its rows take
        longer; once the backlog is empty and the page sealed, end the page."""
        octets = max(1, min(octets, octets * 1728 // self.decoder.width_px))
        while self._backlog and octets > 0:
            chunk = self._backlog.popleft()
            if len(chunk) > octets:
                self._backlog.appendleft(chunk[octets:])
                chunk = chunk[:octets]
            octets -= len(chunk)
            self.decoder.feed(chunk)
        if self.sealed and not self._backlog:
            self.decoder.finish()
        self._rows += self.decoder.take_rows()

    def take_lines(self) -> tuple[bytes, ...]:
        """All rows decoded so far, each packed; the page keeps none of them."""
        rows, self._rows = self._rows, []
        return tuple(rows)

    @property
    def good_rows(self) -> int:
        """Rows that are not bad."""
        return self.decoder.rows - self.bad_rows

    def may_be(self, other: "IncomingPage") -> bool:
        """Whether this is the other page once more, as far as rows tell: an eighth of those with ink is enough.

        Limit: a page of fewer than 8 different rows with ink says too little; it is taken for the same.
        """
        rows = other.inked_rows()
        return len(rows) < TELLING or len(rows & self.inked_rows()) * 8 >= len(rows)

    def inked_rows(self) -> set[bytes]:
        """The different rows decoded so far that are not white."""
        return {row for row in self._rows if row.strip(b"\0")}

    def starts_over(self) -> bool:
        """Whether block 0 after a DCS is the page from its start. The counter has 8 bits: it may be block 256, too."""
        return self.blocks & 0xFF != 0 or self.block.says_again(self._first)

    def restarted(self, limits: DecodeLimits) -> "IncomingPage":
        """The same page from its first block, which is the block at hand."""
        page = IncomingPage(self.agreement, limits, ecm=True)
        page.block = self.block.started_over()
        page._feed(page.block.ready())
        return page

    def forget_block(self, before: Fingerprints | None) -> None:
        """Nothing of the block at hand is wanted: begin it again."""
        self.block = Block(self.agreement.frame_octets or FRAME_SIZES[0], before)

    def _next_block(self, rest: list[bytes]) -> Fingerprints:
        self._feed(rest)
        self.blocks += 1
        done = self.block.fingerprints()
        if self.blocks == 1:
            self._first = done
        self.forget_block(done)
        return done

    def _feed(self, chunks: list[bytes]) -> None:
        if self._cut:
            return
        for chunk in chunks:
            if self._fed <= self.decoder.limits.max_octets:  # more would not be decoded anyway
                self._fed += len(chunk)
                self._backlog.append(chunk)
