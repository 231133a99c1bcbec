"""Wrong packets at any moment: what a peer with the right address may send, and what networks bring again.

Owns      the packets, and the roads that lose by a rule instead of by chance.
Not here  when they come and to whom (scenario.py); delivering them (trial.py).
"""

from collections import deque
from random import Random
from typing import Final

from vfax.codecs import ifp
from vfax.codecs.frames import Fcf, Frame, PartialPage
from vfax.codecs.ifp import DataType, FieldType, Indicator
from vfax.simulation.scenario import Cut
from vfax.transports.simnet import Dice, Road
from vfax.transports.udptl import MODULUS, Packet

REMEMBERED: Final = 400  # datagrams of one direction
SIP_RUBBISH: Final = (b"BYE", b"INVITE", b"SIP/2.0 200 OK", b"CANCEL", b"ACK", b"OPTIONS", b"\0\0")


class Memory:
    """The datagrams that one side has sent, newest last."""

    def __init__(self) -> None:
        self.datagrams: deque[bytes] = deque(maxlen=REMEMBERED)

    def next_number(self) -> int:
        """The number that the side will send next."""
        if not self.datagrams:
            return 0
        return (int.from_bytes(self.datagrams[-1][:2], "big") + 1) % MODULUS


def stale(dice: Random, memory: Memory) -> list[bytes]:
    """One datagram that was sent before, perhaps long ago."""
    return [dice.choice(memory.datagrams)] if memory.datagrams else []


def frames(dice: Random, memory: Memory, version: int) -> list[bytes]:
    """A whole V.21 burst of up to three frames, in datagrams that follow what the side has sent."""
    said = [_frame(dice) for _ in range(dice.choice((1, 1, 2, 3)))]
    packets = [ifp.pack_indicator(Indicator.V21_PREAMBLE, version)]
    for at, octets in enumerate(said):
        last = at == len(said) - 1
        packets.append(ifp.pack_field(DataType.V21, FieldType.HDLC_DATA, octets, version))
        packets.append(
            ifp.pack_end(DataType.V21, FieldType.HDLC_FCS_OK_SIG_END if last else FieldType.HDLC_FCS_OK, version)
        )
    packets.append(ifp.pack_indicator(Indicator.NO_SIGNAL, version))
    return _numbered(packets, memory.next_number())


def rubbish(dice: Random, memory: Memory, version: int) -> list[bytes]:
    """Media datagrams that make no sense: octets, damaged copies, random IFPs under any number."""
    made: list[bytes] = []
    for _ in range(dice.choice((1, 3, 10, 40))):
        match dice.randrange(4):
            case 0:
                made.append(dice.randbytes(dice.randrange(200)))
            case 1 if memory.datagrams:
                old = bytearray(dice.choice(memory.datagrams))
                old[dice.randrange(len(old))] = dice.randrange(256)
                made.append(bytes(old[: dice.randrange(2, len(old) + 1)]))
            case _:
                number = dice.choice((memory.next_number(), dice.randrange(MODULUS)))
                made += _numbered([_packet(dice, version) for _ in range(dice.choice((1, 2, 5)))], number)
    return made


def sip_rubbish(dice: Random) -> bytes:
    """A datagram for the SIP socket that is no message, or nearly one."""
    return dice.choice(SIP_RUBBISH) + dice.randbytes(dice.randrange(60))


def _numbered(packets: list[bytes], first: int) -> list[bytes]:
    return [Packet((first + at) % MODULUS, packet).encode() for at, packet in enumerate(packets)]


def _frame(dice: Random) -> bytes:
    fcf = dice.choice(list(Fcf))
    info = dice.choice((b"", b"", dice.randbytes(dice.randrange(1, 40))))
    if fcf is Fcf.PPS and dice.random() < 0.7:
        post = dice.choice((None, Fcf.MPS, Fcf.EOM, Fcf.EOP))
        info = PartialPage(post, dice.randrange(4), dice.randrange(2), dice.randrange(1, 257)).encode()
    elif fcf in (Fcf.DCS, Fcf.DIS, Fcf.DTC, Fcf.CTC):
        info = info or dice.randbytes(dice.randrange(2, 9))
    octets = Frame(fcf, info, final=dice.random() < 0.8, x=dice.random() < 0.5).encode()
    return octets if dice.random() < 0.95 else dice.randbytes(dice.randrange(1, 12))


def _packet(dice: Random, version: int) -> bytes:
    """An IFP that is well formed, whatever it means at this moment."""
    root = list(DataType)[:9]
    kinds = list(FieldType)[:8]
    match dice.randrange(4):
        case 0:
            return ifp.pack_indicator(dice.choice(list(Indicator)[:16]), version)
        case 1:
            return ifp.pack_end(dice.choice(root), dice.choice(kinds), version)
        case _:
            octets = dice.randbytes(dice.randrange(1, 60))
            return ifp.pack_field(dice.choice(root), dice.choice(kinds), octets, version)


# --- roads ---------------------------------------------------------------------------------------


class CoveredRoad:
    """Loses at most `depth` datagrams in a row, and carries the one behind them: what redundancy makes good."""

    def __init__(self, road: Road, dice: Dice, depth: int) -> None:
        self._road = road
        self._dice = dice
        self._depth = depth
        self._to_lose = 0
        self._must_pass = False

    def send(self, datagram: bytes, now: float) -> None:
        """Carry it, or lose it."""
        if not self._to_lose and not self._must_pass and self._dice.random() < 0.25:
            self._to_lose = 1 + self._dice.randrange(self._depth)
        if self._to_lose:
            self._to_lose -= 1
            self._must_pass = not self._to_lose
            return
        self._must_pass = False
        self._road.send(datagram, now)

    def arrivals(self, now: float) -> list[bytes]:
        """Take what has arrived."""
        return self._road.arrivals(now)

    def next_arrival(self) -> float:
        """When the next datagram arrives."""
        return self._road.next_arrival()


class CutRoad:
    """Carries nothing while it is cut."""

    def __init__(self, road: Road, cuts: tuple[Cut, ...]) -> None:
        self._road = road
        self._cuts = cuts

    def send(self, datagram: bytes, now: float) -> None:
        """Carry it, unless the road is cut now."""
        if not any(cut.begin <= now < cut.end for cut in self._cuts):
            self._road.send(datagram, now)

    def arrivals(self, now: float) -> list[bytes]:
        """Take what has arrived."""
        return self._road.arrivals(now)

    def next_arrival(self) -> float:
        """When the next datagram arrives."""
        return self._road.next_arrival()
