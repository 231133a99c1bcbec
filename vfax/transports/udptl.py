"""UDPTL: datagrams of T.38 over UDP, what to send again, and what can be recovered.

Owns      the datagram codec; sequence numbers, redundancy and datagram size when sending (`Sender`); order, repeats,
          gaps, restarts, repair by redundancy or FEC when receiving (`Recovery`).
Not here  what an IFP packet says (codecs/ifp.py), when it is due (t38.py).
Source    T.38 (09/2010) 9.1; parity rows as deployed (see `_repair`); sizes as deployed (see `Sender`).

Repair happens when the datagram that shows a gap arrives, or never: nothing is held back to wait for better news,
because redundancy answers at once and page data that comes too late is worth nothing. The one exception is a number
that makes no sense (see `Recovery`).
"""

from collections import deque
from dataclasses import dataclass
from typing import Final

from vfax.codecs import per
from vfax.errors import DecodeError

_SOURCE: Final = "T.38 (09/2010) 9.1"
MODULUS: Final = 1 << 16
RING: Final = 16
"""Limit: how many IFPs either side remembers; more secondaries or parity rows than this are not looked at."""

WINDOW: Final = 2000
"""Limit: a number further away than this, ahead or behind, belongs to another stream."""

PRINTS: Final = 2048
"""Limit: of so many numbers it is remembered what they brought (a hash of it)."""

GONE: Final = -1
"""For a number that was lost; no hash of octets is -1."""

MAX_ODD: Final = 64
"""Limit: datagrams of what may be another stream that are held until it is certain."""

DEFAULT_MAX_DATAGRAM: Final = 400
MAX_DATAGRAM: Final = 1400
WHOLE_DATAGRAM: Final = 88
"""Octets from which on an announcement is of the whole datagram (see `Sender.restrict`)."""


# --- the datagram ----------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class Fec:
    """Parity: row i is the XOR of the IFPs numbered `sequence + i - k * len(rows)` for k = 1..span."""

    span: int
    rows: tuple[bytes, ...]


class Packet:
    """One datagram. `earlier` repeats older IFPs, newest first: entry k is the IFP of number `sequence - 1 - k`.

    An empty entry is a placeholder, or an IFP that was empty. `fec` is None when the datagram carries redundancy.
    A plain class for the packet path's sake; nobody changes one after it was made.
    """

    __slots__ = ("earlier", "fec", "primary", "sequence")

    def __init__(self, sequence: int, primary: bytes, earlier: tuple[bytes, ...] = (), fec: Fec | None = None) -> None:
        self.sequence = sequence
        self.primary = primary
        self.earlier = earlier
        self.fec = fec

    @classmethod
    def decode(cls, datagram: bytes) -> "Packet":
        """Parse one datagram; it must be used up to its last octet, which is all the integrity check there is.

        Raises DecodeError, and nothing else, for any octets.
        """
        if len(datagram) < 2:
            raise DecodeError("no sequence number", offset=len(datagram), source=_SOURCE)
        sequence = datagram[0] << 8 | datagram[1]
        at = 3 + datagram[2] if len(datagram) > 2 else 2
        if 3 <= at < 131 and at <= len(datagram):  # the short form, without a call
            primary = datagram[3:at]
        else:
            primary, at = per.read_octets(datagram, 2)
        if at >= len(datagram):
            raise DecodeError("error recovery is missing", offset=at, source=_SOURCE)
        if datagram[at] & 0x80:
            return cls(sequence, primary, (), _read_fec(datagram, at + 1))
        return cls(sequence, primary, _read_entries(datagram, at + 1))

    def encode(self) -> bytes:
        """The octets of the datagram."""
        head = self.sequence.to_bytes(2, "big") + per.write_octets(self.primary)
        if self.fec is None:
            return b"".join((head, b"\x00", per.write_length(len(self.earlier)), *map(per.write_octets, self.earlier)))
        span = bytes((0x80, 1, self.fec.span))
        return b"".join((head, span, per.write_length(len(self.fec.rows)), *map(per.write_octets, self.fec.rows)))


def _read_entries(datagram: bytes, at: int) -> tuple[bytes, ...]:
    """All entries to the end of the datagram. The count promises; only octets that are there take memory."""
    size = len(datagram)
    if at + 1 < size and datagram[at] == 1 and datagram[at + 1] < 0x80 and at + 2 + datagram[at + 1] == size:
        return (datagram[at + 2 :],)  # a single one in the short form, as in nearly every packet of a page
    count, at = per.read_length(datagram, at)
    entries: list[bytes] = []
    for _ in range(count):
        if at < size and datagram[at] < 0x80 and at + datagram[at] < size:  # the short form, without a call
            end = at + 1 + datagram[at]
            entries.append(datagram[at + 1 : end])
            at = end
            continue
        entry, at = per.read_octets(datagram, at)
        entries.append(entry)
    if at != size:
        raise DecodeError("octets left over", offset=at, source=_SOURCE)
    return tuple(entries)


def _read_fec(datagram: bytes, at: int) -> Fec:
    """Span and rows. The span is a signed INTEGER; all real stacks write one octet, and a negative one is unusable."""
    if datagram[at : at + 1] != b"\x01" or at + 2 > len(datagram):
        raise DecodeError("FEC span of an unusable form", offset=at, source=_SOURCE)
    span = datagram[at + 1]
    rows = _read_entries(datagram, at + 2)
    return Fec(span, rows) if span < 0x80 else Fec(0, ())


# --- sending ---------------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class FecShape:
    """Parity as we send it: `rows` rows over `span` IFPs each, together at most `RING` of them."""

    span: int
    rows: int


class Sender:
    """Numbers IFPs from 0 and sends earlier ones again behind them, or (see `protect`) parity over them.

    `max_datagram` is what the peer announced (None: nothing usable). It is read in the two ways the field knows:
    as the size of the whole datagram, or, when it is too small for that, as the size of one IFP (`max_ifp`).
    """

    __slots__ = ("_limit", "_parity", "_sent", "max_ifp", "sequence")

    def __init__(self, max_datagram: int | None = None) -> None:
        self.sequence = 0
        self._sent: deque[bytes] = deque(maxlen=RING)  # newest first, each with its length
        self._parity: FecShape | None = None
        self.restrict(max_datagram)

    def restrict(self, max_datagram: int | None) -> None:
        """Take a (new) announcement of the peer; numbers and memory go on."""
        usable = max_datagram if max_datagram is not None and 0 < max_datagram <= MAX_DATAGRAM else DEFAULT_MAX_DATAGRAM
        # Quirk: announcements below 88 octets (72 is in the field) can only mean the IFP alone: 88 is what a
        # 20 ms packet of V.17 14400 with one repetition needs.
        tiny = usable < WHOLE_DATAGRAM
        self._limit = DEFAULT_MAX_DATAGRAM if tiny else usable
        self.max_ifp = max(usable, 8) if tiny else usable - 5

    def protect(self, parity: FecShape | None) -> None:
        """Send `parity` from here on, or repeats when None. Limit: no row reaches further back than `RING`."""
        if parity is not None:
            rows = min(max(parity.rows, 1), RING)
            parity = FecShape(min(max(parity.span, 1), RING // rows), rows)
        self._parity = parity

    def capacity(self, depth: int) -> int:
        """Octets of the largest IFP that can be sent with one more of its size behind it (`depth` 0: alone)."""
        around = 4 if self._parity is None or not depth else 6
        entry = (self._limit - around) // (1 + min(depth, 1))
        return min(self.max_ifp, entry - 1 if entry <= 128 else entry - 2)

    def send(self, ifp: bytes, depth: int, *, fitting: bool = False) -> bytes:
        """The datagram for the next number, with at most `depth` (0 to 15) earlier IFPs that exist and fit.

        The oldest go first when the datagram gets too large, but one stays: without it a single loss costs a page.
        With `fitting` not even one stays that does not fit, as where ECM brings back what is lost.
        """
        entry = per.write_octets(ifp)
        if self._parity is not None and depth:
            return self._send_parity(entry, self._parity, fitting=fitting)
        size = 4 + len(entry)
        count = 0
        for earlier in self._sent:
            size += len(earlier)
            if count >= depth or ((count or fitting) and size > self._limit) or size > MAX_DATAGRAM:
                break
            count += 1
        head = self.sequence.to_bytes(2, "big")
        self.sequence = (self.sequence + 1) % MODULUS
        sent = self._sent
        if count == 1:
            datagram = head + entry + b"\x00\x01" + sent[0]
        else:
            datagram = b"".join((head, entry, bytes((0, count)), *(sent[k] for k in range(count))))
        sent.appendleft(entry)
        return datagram

    def _send_parity(self, entry: bytes, shape: FecShape, *, fitting: bool) -> bytes:
        """The same with parity. Fewer rows where they do not fit, or where too little has been sent yet."""
        sent = self._sent
        span = shape.span
        for count in range(min(shape.rows, len(sent) // span), 0, -1):
            rows = [_parity_row(sent, count, index, span) for index in range(count)]
            size = 6 + len(entry) + sum(map(len, rows))
            if size <= self._limit or (count == 1 and not fitting and size <= MAX_DATAGRAM):
                break
        else:
            rows, span = [], 0
        head = self.sequence.to_bytes(2, "big")
        self.sequence = (self.sequence + 1) % MODULUS
        sent.appendleft(entry)
        return b"".join((head, entry, bytes((0x80, 1, span, len(rows))), *rows))


def _parity_row(sent: deque[bytes], rows: int, index: int, span: int) -> bytes:
    """Row `index` of `rows` for the next number, with its length; `sent` is newest first, each with its length."""
    total = longest = 0
    for turn in range(1, span + 1):
        entry = sent[turn * rows - index - 1]
        ifp = memoryview(entry)[1 if entry[0] < 0x80 else 2 :]
        size = len(ifp)
        octets = int.from_bytes(ifp, "big")
        if size > longest:
            total, longest = total << 8 * (size - longest) ^ octets, size
        else:
            total ^= octets << 8 * (longest - size)
    return per.write_octets(total.to_bytes(longest, "big"))


# --- receiving -------------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class Missing:
    """`packets` numbers in a row that no datagram brought, said in their place."""

    packets: int


@dataclass(frozen=True, slots=True)
class Repaired:
    """An IFP that FEC gave back: its length is not known, zero octets may follow it."""

    ifp: bytes


Delivery = bytes | Repaired | Missing
"""An IFP (empty: a number that carries none), or what stands in its place."""


class Counters:
    """What became of the datagrams; whoever may, reads them."""

    def __init__(self) -> None:
        self.received = 0  # datagrams that were UDPTL
        self.repeated = 0  # the number was delivered just before
        self.late = 0  # its place in the stream had passed
        self.repaired = 0  # IFPs taken from redundancy or FEC
        self.lost = 0  # IFPs that nothing brought
        self.restarts = 0  # the peer began to count anew
        self.refused = 0  # not UDPTL, or a stray number


class Recovery:
    """Turns datagrams that may be lost, doubled, late or forged into each IFP once, in order.

    A number up to `RING` ahead is a gap and is believed at once. Anything further ahead, or further behind than a
    straggler can be, waits for its successors: `_AHEAD` datagrams in a row for a jump forward, `_BEHIND` for a jump
    back. One forged or damaged number thus costs nothing, and a peer that begins anew (re-INVITE, take-over by another
    media server) is heard from its first datagram on, only 30 to 90 ms later.
    """

    _AHEAD: Final = 2
    _BEHIND: Final = 4

    __slots__ = ("_existing", "_expected", "_ifps", "_numbers", "_odd", "_prints", "_whole", "counters", "sends_empty")

    def __init__(self, counters: Counters | None = None) -> None:
        self.counters = counters or Counters()
        self.sends_empty = False
        """Whether the peer has sent numbers that carry no IFP: then an empty entry repeats such a one."""
        self._expected = -1  # -1: nothing came yet
        self._existing = 0  # how many numbers there are before the expected one, up to RING
        self._whole = False  # the stream is known from its first number on: before those there is nothing
        self._numbers = [-1] * RING
        self._ifps = [b""] * RING
        self._prints: list[int | None] = [None] * PRINTS  # what each number brought: a hash, GONE when it was lost
        self._odd: list[Packet] = []  # a row of numbers that make no sense, in case it goes on

    def receive(self, packet: Packet) -> list[Delivery]:
        """What this datagram makes deliverable, oldest first; empty for a repeat or a straggler."""
        self.counters.received += 1
        if packet.sequence == self._expected:
            if self._odd:
                self._drop_odd()
            return [self._keep(packet.sequence, packet.primary)]
        if self._expected < 0:
            return self._begin(packet)
        ahead = (packet.sequence - self._expected) % MODULUS
        if ahead <= RING:
            self._drop_odd()
            return self._bridge(packet, ahead)
        if ahead >= MODULUS - RING:
            self._count_late(ahead)
            return []
        return self._doubt(packet, ahead)

    def goes_on_with(self, number: int, lost: int) -> bool:
        """Whether a datagram of this number could be the next of the stream, with up to `lost` of them gone; changes
        nothing. Limit: an eighth of all numbers.
        """
        return self._expected < 0 or (number - self._expected) % MODULUS <= min(RING + lost, MODULUS // 8)

    def expect_restart(self) -> None:
        """The session was agreed anew: old numbers may be those of another stream, even with the same octets."""
        self._prints = [None] * PRINTS

    def _keep(self, number: int, ifp: bytes) -> bytes:
        if not ifp:
            self.sends_empty = True
        slot = number % RING
        self._prints[number % PRINTS] = hash(ifp)
        self._numbers[slot] = number
        self._ifps[slot] = ifp
        self._expected = (number + 1) % MODULUS
        if self._existing < RING:
            self._existing += 1
        return ifp

    def _begin(self, packet: Packet) -> list[Delivery]:
        """The first datagram of a stream. Any number may be the first; those before it are not lost.

        Numbers start at 0, so earlier ones that a small number proves to exist are taken from its redundancy.
        """
        self._whole = young = packet.sequence < RING
        there = min(len(packet.earlier), packet.sequence) if young else 0
        while there and not all(packet.earlier[:there]):
            there -= 1
        deliveries: list[Delivery] = [
            self._keep(packet.sequence - back, packet.earlier[back - 1]) for back in range(there, 0, -1)
        ]
        self.counters.repaired += there
        deliveries.append(self._keep(packet.sequence, packet.primary))
        self._existing = packet.sequence + 1 if young else 1
        return deliveries

    def _count_late(self, ahead: int) -> None:
        if ahead == MODULUS - 1:
            self.counters.repeated += 1  # Quirk: AudioCodes keeps a stream alive by repeating its last datagram
        else:
            self.counters.late += 1

    def _bridge(self, packet: Packet, gap: int) -> list[Delivery]:
        """Deliver `gap` numbers before the packet, from whatever brings them, and then its own."""
        first = self._expected
        self._note_gap(first, gap)
        existing = self._existing
        found = self._repair(packet) if packet.fec is not None else {}
        deliveries: list[Delivery] = []
        lost = 0
        for step in range(gap):
            number = (first + step) % MODULUS
            entry = self._entry(packet, gap - step - 1)
            if entry is None and number not in found:
                lost += 1
                continue
            lost = self._note_lost(lost, deliveries)
            self.counters.repaired += 1
            deliveries.append(
                Repaired(self._keep(number, found[number])) if entry is None else self._keep(number, entry)
            )
        self._note_lost(lost, deliveries)
        self._existing = existing
        deliveries.append(self._keep(packet.sequence, packet.primary))
        return deliveries

    def _entry(self, packet: Packet, back: int) -> bytes | None:
        """What the packet repeats of the number so far before it, or None.

        An empty entry proves nothing of a peer that never sends an empty IFP: it is a placeholder, the IFP is lost.
        """
        entry = packet.earlier[back] if back < len(packet.earlier) else b""
        return entry if entry or (self.sends_empty and back < len(packet.earlier)) else None

    def _note_gap(self, first: int, gap: int) -> None:
        """Numbers in a gap exist, and the ring must not hold their predecessors in their slots."""
        self._existing = min(self._existing + gap, RING)
        for step in range(min(gap, RING)):
            self._numbers[(first + step) % RING] = -1
            self._prints[(first + step) % PRINTS] = GONE

    def _note_lost(self, lost: int, deliveries: list[Delivery]) -> int:
        if lost:
            self.counters.lost += lost
            deliveries.append(Missing(lost))
        return 0

    def _doubt(self, packet: Packet, ahead: int) -> list[Delivery]:
        """Hold a number that makes no sense until enough of its successors came, then believe all of them.

        Behind us only those count that bring something new: what was delivered under that number, or given up, may be
        merely very late (a whole unpaced burst can be).
        """
        row = self._odd
        if row and packet.sequence == row[-1].sequence:
            self.counters.repeated += 1
            return []
        if row and not 1 <= (packet.sequence - row[-1].sequence) % MODULUS <= RING:
            self._drop_odd()
        row.append(packet)
        jump = (row[0].sequence - self._expected) % MODULUS
        back = jump >= MODULUS - WINDOW
        certain = sum(map(self._is_new, row)) >= self._BEHIND if back else len(row) >= self._AHEAD
        if not certain:
            del row[:-MAX_ODD]
            return []
        self._odd = []
        return self._jump(row, jump)

    def _is_new(self, packet: Packet) -> bool:
        return self._prints[packet.sequence % PRINTS] not in (GONE, hash(packet.primary))

    def _jump(self, row: list[Packet], jump: int) -> list[Delivery]:
        """Go on at the first packet of `row`: a long gap within the window, another stream beyond it."""
        deliveries: list[Delivery] = []
        self._numbers = [-1] * RING
        if jump <= WINDOW:
            for step in range(jump):
                self._prints[(self._expected + step) % PRINTS] = GONE
            brought = min(len(row[0].earlier), RING)
            self._note_lost(jump - brought, deliveries)
            self._expected = (row[0].sequence - brought) % MODULUS
            self._existing = RING
            deliveries += self._bridge(row[0], brought)
        else:
            self.counters.restarts += 1
            # Whatever was under way has lost an unknown number of packets: one stands for them.
            deliveries += Missing(1), *self._begin(row[0])
        for packet in row[1:]:
            deliveries += self._bridge(packet, (packet.sequence - self._expected) % MODULUS)
        return deliveries

    def _drop_odd(self) -> None:
        self.counters.refused += len(self._odd)
        self._odd.clear()

    def _repair(self, packet: Packet) -> dict[int, bytes]:
        """IFPs that parity rows give back: a row with one unknown member tells it, which may complete another row.

        Each IFP comes back as long as its row, with zero octets behind it. Members before number 0 count as nothing;
        of a stream that began elsewhere they may be lost datagrams, so such a row repairs nothing. Rows that reach
        further back than the ring are not looked at, which bounds the work.
        """
        fec = packet.fec
        found: dict[int, bytes] = {}
        if fec is None or not 1 <= len(fec.rows) <= RING:
            return found
        rows = [(self._members(packet.sequence, index, fec), parity) for index, parity in enumerate(fec.rows)]
        while True:
            before = len(found)
            for members, parity in rows:
                unknown = [n for n in members if n not in found and self._numbers[n % RING] != n]
                if len(unknown) == 1 and parity:
                    found[unknown[0]] = self._solve(unknown[0], members, parity, found)
            if len(found) == before:
                return found

    def _members(self, sequence: int, index: int, fec: Fec) -> list[int]:
        """The numbers that row `index` covers; none when the ring does not reach back to all of them."""
        members: list[int] = []
        stride = len(fec.rows)
        for back in range(stride - index, fec.span * stride - index + 1, stride):
            if back > self._existing:
                return members if self._whole and self._existing < RING else []
            members.append((sequence - back) % MODULUS)
        return members

    def _solve(self, wanted: int, members: list[int], parity: bytes, found: dict[int, bytes]) -> bytes:
        total = int.from_bytes(parity, "big")
        size = len(parity)
        for number in members:
            if number != wanted:
                ifp = found.get(number, self._ifps[number % RING])[:size]
                total ^= int.from_bytes(ifp, "big") << 8 * (size - len(ifp))
        return total.to_bytes(size, "big")
