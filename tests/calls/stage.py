"""The stage of a scripted call: the real leg with the real line and engine, a clock, a store, and the peer's ear.

Owns      virtual time, what vfax put on the wire as bursts, its SIP orders and events, pages coded and kept.
Not here  what the peer says (speech.py), what a script says (player.py).
"""

import random
from dataclasses import dataclass, field
from functools import cache
from typing import Final

from tests.calls.bare import Bare
from tests.calls.words import ScriptError
from vfax import leg
from vfax.codecs import ifp
from vfax.codecs.dis import Agreement, Resolution
from vfax.codecs.ifp import FieldType
from vfax.codecs.scaling import Bitmap, fit_page
from vfax.errors import DecodeError
from vfax.leg import Leg, LegEvent, LegOptions, SipOrder
from vfax.outcome import Outcome
from vfax.signals import (
    DataReceived,
    FrameDamaged,
    FrameReceived,
    LineSignal,
    Modem,
    SignalEnded,
    SignalStarted,
    ToneHeard,
)
from vfax.t30 import values as t30
from vfax.t30.coding import code_page
from vfax.transports.parameters import T38Parameters
from vfax.transports.rtp import looks_like_rtp
from vfax.transports.sip import values as sip
from vfax.transports.sip.negotiation import MediaSession
from vfax.transports.sip.values import Address
from vfax.transports.t38 import T38Line, T38Options
from vfax.transports.udptl import Packet

OURS: Final[Address] = ("192.0.2.1", 20000)  # RFC 5737 documentation addresses
THEIRS: Final[Address] = ("192.0.2.9", 30000)
KEY: Final = 1


@cache
def picture(number: int, rows: int, width_px: int) -> bytes:
    """Page `number` of every script: runs that repeat over a few rows, as text has them; packed, 1 = black."""
    dice = random.Random(number)
    stride = (width_px + 7) // 8
    raster = bytearray()
    line = bytes(stride)
    for _ in range(rows):
        if dice.random() < 0.4:
            ink = 0
            for _ in range(dice.randrange(2, 14)):
                ink |= ((1 << dice.randrange(1, 120)) - 1) << dice.randrange(8, width_px - 128)
            line = ink.to_bytes(stride, "big")
        raster += line
    return bytes(raster)


@dataclass(slots=True)
class Burst:
    """One burst that vfax put on the wire."""

    modem: Modem
    started: float
    indicator: str
    frames: list[bytes] = field(default_factory=list)
    data: bytearray = field(default_factory=bytearray)
    ended: float = 0.0
    data_at: float = 0.0  # when its first octets left
    cut: bool = False  # in the middle of a frame


@dataclass(frozen=True, kw_only=True)
class Store:
    """How our own side treats pages: seconds until kept or coded, pages that cannot be."""

    keep_after: float = 0.0
    code_after: float = 0.0
    lose: tuple[int, ...] = ()  # pages whose storing fails
    uncoded: tuple[int, ...] = ()  # pages that cannot be coded


@dataclass(frozen=True, kw_only=True)
class Document:
    """The pages of the call, whoever sends them."""

    pages: int = 1
    rows: int = 60
    width: int = 1728
    resolution: Resolution = Resolution.STANDARD
    resolutions: tuple[Resolution, ...] = ()  # of single pages, when they differ
    first: int = 1

    def resolution_of(self, number: int) -> Resolution:
        return self.resolutions[number - 1] if number <= len(self.resolutions) else self.resolution

    def raster(self, number: int) -> bytes:
        return picture(number, self.rows, self.width)

    def fitted(self, number: int, agreement: Agreement) -> Bitmap:
        """The page as it goes to a peer that agreed to this."""
        return fit_page(Bitmap(self.raster(number), self.width, self.rows, self.resolution_of(number)), agreement)

    def infos(self) -> tuple[t30.PageInfo, ...]:
        return tuple(t30.PageInfo(self.width, self.rows, self.resolution_of(n + 1)) for n in range(self.pages))


class Stage:
    """A leg alone with its clock; the player gives it datagrams and SIP events."""

    def __init__(
        self, options: LegOptions, document: Document, store: Store, *, calling: bool, sending: bool | None = None
    ) -> None:
        self.now = 0.0
        self.sending = calling if sending is None else sending  # who has the pages
        self.options = options
        self.document = document
        self.store = store
        self.calling = calling
        self.leg: Leg | Bare | None = None
        self.orders: list[SipOrder] = []
        self.events: list[LegEvent] = []
        self.kept: list[t30.PageReceived] = []
        self.partial: list[t30.PageReceived] = []
        self.sent: list[tuple[float, bytes, Address]] = []  # datagrams of T.38
        self.audio = 0
        self.bursts: list[Burst] = []  # those that were heard whole, in order
        self.tones: list[str] = []
        self.open: Burst | None = None
        self.ear = T38Line(T38Parameters(), T38Options(), now=0.0)
        self.version = 0
        self._indicator = ""
        self._combined = False  # our last field ended a frame and the burst
        self._heard: int = -1
        self._later: list[tuple[float, t30.Order]] = []

    # --- beginning --------------------------------------------------------------------------------

    def begin(self, incoming: sip.IncomingCall | None) -> None:
        """Make the leg and let it dial, or answer the call that came."""
        session = MediaSession(host=OURS[0], port=OURS[1], parameters=self.options.t38, session_id=1)
        pages = self.document.infos() if incoming is None else ()
        self.leg = Leg(self.options, session, incoming=incoming, pages=pages, now=self.now)
        self.leg.command(leg.Dial() if incoming is None else leg.Accept(), self.now)
        self.take()

    def begin_bare(self, order: t30.Order | None) -> None:
        """A line and an engine alone, up at once."""
        role = t30.Role.CALLER if self.calling else t30.Role.CALLED
        self.leg = Bare(self.options, role, order=order, sending=self.sending, remote=THEIRS, now=self.now)
        self.version = self.options.t38.version
        self.ear.renegotiate(T38Parameters(version=self.version), self.now)
        self.take()

    def signal(self, event: sip.SipEvent) -> None:
        self.known.signal(event, self.now)
        self.take()

    def hear(self, datagram: bytes, source: Address) -> None:
        """One datagram of the peer arrives."""
        self.known.receive(datagram, source, self.now)
        self.take()

    def command(self, order: leg.LegOrder) -> None:
        self.known.command(order, self.now)
        self.take()

    @property
    def known(self) -> Leg | Bare:
        if self.leg is None:
            raise ScriptError("nobody has called yet: the script begins with dial or ring")
        return self.leg

    # --- time -------------------------------------------------------------------------------------

    def next(self) -> float:
        """When something of ours is due."""
        due = self.leg.next_timeout() if self.leg is not None else float("inf")
        return min([due, *(at for at, _ in self._later)])

    def wait_until(self, time: float) -> None:
        """Do all that is due up to `time`."""
        while (due := self.next()) <= time:
            self.step(due)
        self.now = max(self.now, time)

    def step(self, due: float) -> None:
        self.now = max(self.now, due)
        ready = [each for each in self._later if each[0] <= self.now]
        self._later = [each for each in self._later if each[0] > self.now]
        for _, order in ready:
            self.known.command(order, self.now)  # type: ignore[arg-type]
        if self.known.next_timeout() <= self.now:
            self.known.handle_timeout(self.now)
        self.take()

    # --- what vfax does ---------------------------------------------------------------------------

    def take(self) -> None:
        """Collect what the leg has for the world; its pages are coded and kept as the store says."""
        known = self.known
        moved = True
        while moved:
            self.orders += known.take_sip()
            for datagram, to in known.take_datagrams():
                self._listen(datagram, to)
            told = known.take_events()
            self.events += told
            for event in told:
                self._own(event)
            moved = bool(told)

    def _own(self, event: LegEvent) -> None:
        match event:
            case leg.Switched(parameters=parameters):
                self.version = parameters.version
                self.ear.renegotiate(T38Parameters(version=self.version), self.now)
            case t30.PageNeeded():
                self._reply(self.store.code_after, self._coded(event))
            case t30.PageReceived(complete=False):
                self.partial.append(event)
            case t30.PageReceived(number):
                if number in self.store.lose:
                    self._reply(self.store.keep_after, t30.PageLost(number, "the script says so"))
                else:
                    self.kept.append(event)
                    self._reply(self.store.keep_after, t30.PageKept(number))
            case _:
                pass

    def _reply(self, after: float, order: t30.Order) -> None:
        if after:
            self._later.append((self.now + after, order))
        else:
            self.known.command(order, self.now)  # type: ignore[arg-type]

    def _coded(self, needed: t30.PageNeeded) -> t30.PageCoded | t30.PageUnavailable:
        page = self.document
        if needed.number in self.store.uncoded:
            return t30.PageUnavailable(needed.number, "the script says so")
        sheet = page.fitted(needed.number, needed.agreement)
        coded = code_page(sheet.raster, sheet.width_px, sheet.rows, sheet.resolution, needed.agreement)
        return t30.PageCoded(needed.number, coded)

    @property
    def outcome(self) -> Outcome | None:
        return next((event.outcome for event in self.events if isinstance(event, leg.Finished)), None)

    # --- what the peer hears ----------------------------------------------------------------------

    def _listen(self, datagram: bytes, to: Address) -> None:
        if looks_like_rtp(datagram):
            self.audio += 1
            return
        self.sent.append((self.now, datagram, to))
        packet = Packet.decode(datagram)
        if packet.sequence != self._heard and packet.primary:
            self._heard = packet.sequence
            self._note(packet.primary)
        self.ear.receive(datagram, self.now)
        for signal in self.ear.take_signals():
            self._follow(signal)

    def _note(self, primary: bytes) -> None:
        try:
            said = ifp.decode(primary, self.version)
        except DecodeError as why:
            raise ScriptError(f"vfax sent {primary.hex()}, which is no IFP: {why}") from why
        if isinstance(said, ifp.Indication):
            self._indicator = said.indicator.title
        elif isinstance(said, ifp.Data):
            self._note_fields([each.type for each in said.fields or ()])

    def _note_fields(self, kinds: list[FieldType]) -> None:
        if self.open is not None and not self.open.data_at:
            self.open.data_at = self.now
        for kind in kinds:
            if kind is FieldType.HDLC_SIG_END and self._combined:
                raise ScriptError("vfax said hdlc-sig-end after a combined end, which breaks gateways")
            self._combined = kind in (FieldType.HDLC_FCS_OK_SIG_END, FieldType.HDLC_FCS_BAD_SIG_END)

    def _follow(self, signal: LineSignal) -> None:
        match signal:
            case ToneHeard(tone):
                self.tones.append(tone.name)
            case SignalStarted(modem):
                self.open = Burst(modem, self.now, self._indicator)
            case FrameReceived(_, octets) if self.open is not None:
                self.open.frames.append(octets)
            case DataReceived(_, octets) if self.open is not None:
                self.open.data += octets
            case SignalEnded() if self.open is not None:
                self.open.ended = self.now
                self.bursts.append(self.open)
                self.open = None
            case FrameDamaged() if self.open is not None:
                self.open.cut = True
            case _:
                raise ScriptError(f"vfax sent what cannot be understood: {signal}")
