"""One whole scenario from one seed: the pages, both machines, the line, and what goes wrong when.

Owns      what a scenario is, and the dice that make one.
Not here  running it (trial.py); what must hold in it (invariants.py); wrong packets themselves (mischief.py).

Each part has dice of its own, made from the seed and the part's name: a new part changes none of the others.
"""

from dataclasses import dataclass, replace
from enum import StrEnum
from random import Random
from typing import Final

from vfax.codecs.dis import FALL_BACK, Coding, Resolution
from vfax.leg import CallerOffer, InternetAware, LegOptions
from vfax.simulate import Side, SimulatedPage
from vfax.simulation.pictures import Picture, draw
from vfax.t30.options import AfterRtn, BadPage, T30Options
from vfax.t30.values import Addressing
from vfax.transports.parameters import ErrorCorrection, RateManagement, T38Parameters
from vfax.transports.simnet import LineFaults
from vfax.transports.t38 import T38Options


class Kind(StrEnum):
    """What goes wrong in a scenario."""

    CLEAN = "clean"  # nothing
    LOSS = "loss"  # datagrams vanish one by one
    BURSTS = "bursts"  # and in rows
    COVERED = "covered"  # media datagrams vanish, never more in a row than redundancy brings back
    ORDER = "order"  # datagrams come twice, late, in another order
    ROUGH = "rough"  # all of these
    FAR = "far"  # packets are under way for seconds, and some vanish: commands are said again before they are answered
    STALE = "stale"  # datagrams from long ago come again
    SILENCE = "silence"  # a direction, or both, is cut off: for a while, or for good
    STORE = "store"  # pages are kept or read slowly, or not at all
    ABORT = "abort"  # one side is told to stop
    HANG_UP = "hang-up"  # BYE out of nowhere
    DAMAGE = "damage"  # hostile: datagrams are cut and their bits turned
    FRAMES = "frames"  # hostile: T.30 frames that the other side never said
    RUBBISH = "rubbish"  # hostile: packets, messages and octets that make no sense


HOSTILE: Final = frozenset({Kind.DAMAGE, Kind.FRAMES, Kind.RUBBISH})
"""Kinds in which somebody speaks in the peer's name. T.38 and T.30 carry no proof of who spoke, and T.38 none that
octets are whole (UDP's checksum is all there is): such a peer can make a page wrong, and confirm one that never
arrived. What must hold all the same is said in invariants.py."""

_WEIGHTS: Final[dict[Kind, int]] = {
    Kind.CLEAN: 10,
    Kind.LOSS: 10,
    Kind.BURSTS: 8,
    Kind.COVERED: 6,
    Kind.ORDER: 8,
    Kind.ROUGH: 12,
    Kind.FAR: 6,
    Kind.STALE: 4,
    Kind.SILENCE: 9,
    Kind.STORE: 9,
    Kind.ABORT: 7,
    Kind.HANG_UP: 6,
    Kind.DAMAGE: 7,
    Kind.FRAMES: 9,
    Kind.RUBBISH: 6,
}


@dataclass(frozen=True, slots=True)
class Cut:
    """A direction that carries nothing from `begin` to `end` (seconds); `side` is whose datagrams are lost."""

    side: Side
    begin: float
    end: float
    media_only: bool


@dataclass(frozen=True, slots=True)
class Moment:
    """Something that happens to a side at a time."""

    side: Side
    at: float


@dataclass(frozen=True, slots=True, kw_only=True)
class Store:
    """How slow and how reliable the disks are: seconds a page, and the numbers of pages that fail (0: none does)."""

    keeping: float = 0.0
    reading: float = 0.0
    lost: int = 0
    unreadable: int = 0


_NO_ADDRESS: Final = Addressing()


@dataclass(frozen=True, slots=True, kw_only=True)
class Scenario:
    """A fax from caller to called and all that happens to it. `media` and `signalling` are faults by who sends."""

    seed: int
    kind: Kind
    pages: tuple[SimulatedPage, ...]
    pictures: tuple[Picture, ...]
    calling: LegOptions
    called: LegOptions
    media: dict[Side, LineFaults]
    signalling: dict[Side, LineFaults]
    first: int = 1  # page from which the fax goes on: those before were confirmed in an earlier call
    polled: bool = False  # the caller asks for the pages
    addressing: Addressing = _NO_ADDRESS
    depth: int = 0  # losses in a row that the media roads of a COVERED scenario allow themselves
    cuts: tuple[Cut, ...] = ()
    store: Store = Store()
    aborts: tuple[Moment, ...] = ()
    hang_ups: tuple[Moment, ...] = ()
    mischief: tuple[Moment, ...] = ()  # who is lied to, and when

    @property
    def honest(self) -> bool:
        """Whether all that arrives was said by the other side."""
        return self.kind not in HOSTILE

    @property
    def sender(self) -> Side:
        """Who has the pages."""
        return Side.CALLED if self.polled else Side.CALLER

    @property
    def receiver(self) -> Side:
        """Who wants them."""
        return self.sender.other

    def describe(self) -> str:
        """One line."""
        sizes = ", ".join(
            f"{picture.value} {page.width_px}x{page.rows} {page.resolution.title}"
            for picture, page in zip(self.pictures, self.pages, strict=True)
        )
        how = (", polled" if self.polled else "") + (f", from page {self.first}" if self.first > 1 else "")
        return f"seed {self.seed}, {self.kind.value}{how}: {sizes}"


def roll(seed: int) -> Scenario:
    """The scenario of a seed."""
    kind = kind_of(seed)
    pages, pictures = _roll_pages(_dice(seed, "pages"))
    calling, called = (_roll_machine(_dice(seed, side), side) for side in Side)
    depth = 0
    if kind is Kind.COVERED:
        depth = _dice(seed, "depth").choice((1, 1, 2))
        calling, called = (_protected(one, depth) for one in (calling, called))
    faults = _dice(seed, "faults")
    media = {side: _roll_faults(faults, kind) for side in Side}
    signalling = {side: media[side] if faults.random() < 0.6 else LineFaults() for side in Side}
    if kind is Kind.COVERED:
        signalling = {side: LineFaults() for side in Side}
    when, course = _dice(seed, "when"), _dice(seed, "course")
    span = _span(pages, calling)
    return Scenario(
        seed=seed,
        kind=kind,
        pages=pages,
        pictures=pictures,
        calling=calling,
        called=called,
        media=media,
        signalling=signalling,
        first=course.randrange(1, len(pages) + 1) if course.random() < 0.1 else 1,
        polled=course.random() < 0.12,
        addressing=Addressing(subaddress="123") if course.random() < 0.1 else _NO_ADDRESS,
        depth=depth,
        cuts=_roll_cuts(when, span) if kind is Kind.SILENCE else (),
        store=_roll_store(when, len(pages)) if kind is Kind.STORE else Store(),
        aborts=_moments(when, span, 1) if kind is Kind.ABORT else (),
        hang_ups=_moments(when, span, 1) if kind is Kind.HANG_UP else (),
        mischief=_moments(when, span, 12) if kind in (Kind.FRAMES, Kind.RUBBISH, Kind.STALE) else (),
    )


def kind_of(seed: int) -> Kind:
    """The kind of a seed's scenario, for much less work than all of it."""
    return _dice(seed, "kind").choices(list(_WEIGHTS), list(_WEIGHTS.values()))[0]


def _dice(seed: int, part: str) -> Random:
    return Random(f"{seed}/{part}")


# --- pages ---------------------------------------------------------------------------------------


def _roll_pages(dice: Random) -> tuple[tuple[SimulatedPage, ...], tuple[Picture, ...]]:
    count = dice.choice((1, 1, 2, 2, 2, 3, 4))
    resolution = Resolution.STANDARD if dice.random() < 0.5 else dice.choice(list(Resolution))
    paper = dice.choice((0, 0, 0, 0, 1, 2))
    pages, pictures = [], []
    for number in range(1, count + 1):
        if dice.random() < 0.1:  # another paper in the middle: EOM instead of MPS
            paper, resolution = dice.randrange(3), dice.choice(list(Resolution))
        width_px = resolution.widths_px[paper]
        picture = dice.choice(list(Picture))
        rows = _roll_rows(dice, picture)
        pages.append(
            SimulatedPage(width_px, rows, resolution, draw(dice, picture, width_px=width_px, rows=rows, number=number))
        )
        pictures.append(picture)
    return tuple(pages), tuple(pictures)


def _roll_rows(dice: Random, picture: Picture) -> int:
    """Few rows of what takes much time on the line, now and then a long page of the rest."""
    if picture in (Picture.NOISE, Picture.SCREEN):
        return dice.randrange(1, 30)
    return dice.randrange(300, 900) if dice.random() < 0.02 else dice.choice((1, 2, dice.randrange(3, 100)))


def _span(pages: tuple[SimulatedPage, ...], calling: LegOptions) -> float:
    """About how long the fax takes when nothing goes wrong, seconds."""
    unpaced = calling.internet_aware is not InternetAware.NEVER
    return 16.0 + (0.5 if unpaced else 9.0) * len(pages)


# --- machines ------------------------------------------------------------------------------------


def _roll_machine(dice: Random, side: Side) -> LegOptions:
    chance = dice.random
    return LegOptions(
        t38=T38Parameters(
            version=dice.choice((0, 0, 0, 1, 2, 3)),
            max_bit_rate_bps=dice.choice((14400, 14400, 14400, 9600, 4800)),
            rate_management=RateManagement.LOCAL_TCF if chance() < 0.1 else RateManagement.TRANSFERRED_TCF,
            fill_bit_removal=chance() < 0.1,
            max_datagram=dice.choice((None, None, 400, 1400, 200, 72)),
            error_correction=dice.choice((ErrorCorrection.REDUNDANCY, *ErrorCorrection)),
        ),
        line=T38Options(
            control_redundancy=dice.choice((3, 3, 0, 1, 5)),
            image_redundancy=dice.choice((1, 1, 0, 2, 3)),
            packet_ms=dice.choice((30, 30, 20, 40)),
            repeats=dice.choice((3, 3, 1, 4)),
        ),
        fax=_roll_fax(dice, side),
        caller_offer=CallerOffer.AUDIO if chance() < 0.3 else CallerOffer.T38,
        internet_aware=dice.choice(
            (InternetAware.NEVER, InternetAware.NEVER, InternetAware.AUTO, InternetAware.ALWAYS)
        ),
    )


def _roll_fax(dice: Random, side: Side) -> T30Options:
    chance = dice.random
    codings = list(Coding)
    send = dice.sample(codings, dice.choice((3, 3, 2, 1)))
    resolutions = dice.sample(list(Resolution), dice.randrange(len(Resolution) + 1))
    return T30Options(
        local_id="" if chance() < 0.2 else f"+1 555 {len(side)}{dice.randrange(10_000):04d}",
        ecm=chance() < 0.7,
        max_rate_bps=dice.choice((14400, 14400, 14400, 12000, 9600, 7200, 4800, 2400)),
        modems=frozenset(FALL_BACK if chance() < 0.8 else FALL_BACK[dice.randrange(len(FALL_BACK)) :]),
        receive_codings=frozenset(dice.sample(codings, dice.choice((3, 3, 2, 1)))),
        send_codings=tuple(send),
        resolutions=frozenset({Resolution.STANDARD, Resolution.FINE, *resolutions}),
        max_width_px=dice.choice((1728, 2048, 2432, 2432)),
        small_frames=chance() < 0.25,
        ced=chance() < 0.9,
        after_rtn=dice.choice(list(AfterRtn)),
        bad_page=dice.choice(list(BadPage)),
        slice_octets=dice.choice((512, 512, 64)),
    )


def _protected(machine: LegOptions, depth: int) -> LegOptions:
    """The same machine with redundancy of at least `depth` on everything, and room for it in a datagram."""
    line = machine.line
    return replace(
        machine,
        t38=replace(machine.t38, error_correction=ErrorCorrection.REDUNDANCY, max_datagram=1400),
        line=replace(
            line,
            control_redundancy=max(line.control_redundancy, depth),
            image_redundancy=max(line.image_redundancy, depth),
            repeats=max(line.repeats, depth + 1),
        ),
    )


# --- faults --------------------------------------------------------------------------------------


def _roll_faults(dice: Random, kind: Kind) -> LineFaults:
    """What one direction does; a direction in four does nothing."""
    chance = dice.random
    delay = dice.choice((0.001, 0.02, 0.02, 0.08, 0.3))
    if chance() < 0.25:
        return LineFaults(delay=delay)
    loss = dice.choice((0.005, 0.02, 0.05, 0.1, 0.2, 0.4))
    late = dice.choice((0.0, 0.03, 0.1, 0.5, 2.0))
    match kind:
        case Kind.LOSS:
            return LineFaults(loss=loss, delay=delay)
        case Kind.BURSTS:
            return LineFaults(loss=loss / 5, burst_loss=dice.choice((0.5, 0.8, 0.95)), delay=delay)
        case Kind.ORDER:
            return LineFaults(
                duplicate=chance() / 3, reorder=chance() / 3, delay=dice.choice((delay, 1.0, 2.5)), jitter=late
            )
        case Kind.ROUGH:
            return LineFaults(
                loss=loss / 2,
                burst_loss=dice.choice((0.0, 0.3, 0.7)),
                duplicate=chance() / 5,
                reorder=chance() / 5,
                delay=delay,
                jitter=late,
            )
        case Kind.FAR:
            return LineFaults(
                loss=dice.choice((0.0, 0.02, 0.1, 0.15)),
                duplicate=dice.choice((0.0, 0.0, 0.1)),
                delay=dice.choice((0.8, 1.5, 2.0, 2.5, 3.0)),
                jitter=dice.choice((0.0, 0.03, 0.3, 1.0)),
            )
        case Kind.DAMAGE:
            return LineFaults(flip=loss / 2, truncate=dice.choice((0.0, loss / 4)), delay=delay)
        case _:
            return LineFaults(delay=delay)


def _roll_cuts(dice: Random, span: float) -> tuple[Cut, ...]:
    cuts = []
    for _ in range(dice.choice((1, 1, 2))):
        begin = dice.uniform(0, span)
        end = begin + dice.choice((dice.uniform(0.05, 3), dice.uniform(3, 20), dice.uniform(20, 90), 1e9))
        media_only = dice.random() < 0.6
        for side in dice.choice(((Side.CALLER,), (Side.CALLED,), tuple(Side))):
            cuts.append(Cut(side, begin, end, media_only))
    return tuple(cuts)


def _roll_store(dice: Random, pages: int) -> Store:
    return Store(
        keeping=dice.choice((0.0, 0.5, dice.uniform(1, 8), dice.uniform(8, 90))),
        reading=dice.choice((0.0, 0.0, dice.uniform(0, 5), dice.uniform(5, 40))),
        lost=dice.choice((0, 0, dice.randrange(pages + 1))),
        unreadable=dice.choice((0, 0, 0, dice.randrange(pages + 1))),
    )


def _moments(dice: Random, span: float, most: int) -> tuple[Moment, ...]:
    sides = list(Side)
    count = dice.randrange(1, most + 1)
    return tuple(sorted((Moment(dice.choice(sides), dice.uniform(0, span)) for _ in range(count)), key=lambda m: m.at))
