"""A page as it goes out: coded octets to ECM blocks, and what of a block is to be sent now.

Owns      blocks, frames asked for again, how often they were asked for; which agreements a coded page serves.
Not here  when a burst is sent and what its answer means (sender.py).
Source    T.4 (07/2003) Annex A; T.30 (09/2005) Annex A for the fourth PPR.
"""

from dataclasses import replace

from vfax.codecs.dis import Agreement
from vfax.codecs.frames import MAX_BLOCK, encode_block


class OutgoingPage:
    """One coded page under one agreement; without ECM it is a single piece."""

    def __init__(self, data: bytes, agreement: Agreement) -> None:
        self.data = data
        self.ecm = agreement.ecm
        self.block = 0
        self.frames: list[bytes] = []  # of the block
        self.burst: list[int] = []  # numbers of its frames to send now
        self.requests = 0  # PPR for the block since it began, or since CTC
        self.torn = False  # a block was given up
        self._size = agreement.frame_octets
        self._block_octets = MAX_BLOCK * agreement.frame_octets if agreement.ecm else len(data)
        self._at_last_ctc = MAX_BLOCK + 1
        self._begin_block(0)

    @property
    def more_blocks(self) -> bool:
        """True when blocks follow the one at hand."""
        return (self.block + 1) * self._block_octets < len(self.data)

    def next_block(self) -> None:
        """The block at hand is done."""
        self._begin_block(self.block + 1)

    def ask_again(self, missing: list[int]) -> None:
        """A PPR: these frames go again. One that asks for nothing gets something harmless."""
        self.requests += 1
        self.burst = missing or [len(self.frames) - 1]

    def restart_block(self) -> None:
        """The block at hand goes once more from its start, as if it had never gone."""
        self._begin_block(self.block)

    def improves(self) -> bool:
        """Whether fewer frames are missing than when the rate was last changed; remembers how many."""
        better = len(self.burst) < self._at_last_ctc
        self._at_last_ctc = len(self.burst)
        return better

    @property
    def first_burst(self) -> bool:
        """True while the block is sent for the first time."""
        return not self.requests and len(self.burst) == len(self.frames)

    def sent(self, share: float) -> int:
        """Octets of the page gone when that share of the block has."""
        first = self.block * self._block_octets
        return first + int(min(self._block_octets, len(self.data) - first) * share)

    def _begin_block(self, number: int) -> None:
        self.block = number
        self.requests = 0
        self._at_last_ctc = MAX_BLOCK + 1
        if self.ecm:
            first = number * self._block_octets
            self.frames = encode_block(self.data[first : first + self._block_octets], self._size)
        self.burst = list(range(len(self.frames)))


def same_paper(one: Agreement, other: Agreement) -> bool:
    """True when a page of the other kind may follow without another DCS."""
    return (one.width_px, one.resolution) == (other.width_px, other.resolution)


def fits(coded_for: Agreement, agreed: Agreement) -> bool:
    """True when a page coded for one agreement may be sent under another: a slower modem needs no more fill."""
    road = replace(
        coded_for, modem=agreed.modem, frame_octets=agreed.frame_octets, internet_aware=agreed.internet_aware
    )
    same = road == agreed
    return same and coded_for.modem.rate_bps >= agreed.modem.rate_bps
