"""The callers of the crash harness: vfax endpoints, quick, or libspandsp, which nobody here wrote.

Owns      `Load`: some calls at once, each with pages of its own, and what each caller knows to be confirmed.
Not here  the host (child.py), the peer around libspandsp (tests/interop/peer.py).
"""

import random
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Final

import trio

from tests.durability.house import ROWS, Letter, Phone, write_letter
from tests.durability.judging import Claim
from tests.interop.peer import Habits, SpandspPeer, open_peer
from vfax.endpoint import Endpoint, EndpointOptions
from vfax.leg import LegOptions
from vfax.t30.options import T30Options, Timers
from vfax.transports.udp import format_address

MOST_CALLS: Final = 3
MOST_PAGES: Final = 4
HANG_UP_SHARE: Final = 0.2
"""Share of vfax callers that give up when their second page begins."""
SPANDSP_PAGES: Final = 2
QUICK: Final = LegOptions(fax=T30Options(timers=Timers(linger=0.1)))
HABITS: Final = Habits(watch_frames=True, patience=150.0)


@dataclass
class _Modem:
    """A libspandsp caller."""

    letter: Letter
    peer: SpandspPeer | None = None
    confirmed: int = 0

    def note(self) -> None:
        """Count the confirmations that libspandsp has heard so far."""
        if self.peer is not None:
            heard = sum(frame.incoming and frame.name == "MCF" for frame in self.peer.frames())
            self.confirmed = max(self.confirmed, heard)


class Load:
    """The calls of one trial, all from the dice; `alone`: one call of several pages."""

    def __init__(self, peer: str, folder: Path, dice: random.Random, *, alone: bool) -> None:
        self._dice = dice
        self._spandsp = peer == "spandsp"
        count = 1 if alone else dice.randint(1, MOST_CALLS)
        most = SPANDSP_PAGES if self._spandsp else MOST_PAGES
        first = dice.randrange(1_000_000)
        self._letters = [
            write_letter(folder / f"{at}.tif", 3 if alone else dice.randint(1, most), first + at, ROWS)
            for at in range(count)
        ]
        self._gives_up = [not alone and dice.random() < HANG_UP_SHARE for _ in range(count)]
        self._phones: list[Phone | _Modem] = []

    async def run(self, address: tuple[str, int]) -> None:
        """Make all calls at once; returns when they are over."""
        uri = f"sip:fax@{format_address(address)}"
        async with trio.open_nursery() as nursery:
            if self._spandsp:
                for letter in self._letters:
                    nursery.start_soon(self._dial_modem, uri, letter)
                return
            endpoint = Endpoint(EndpointOptions(listen=("127.0.0.1", 0), leg=QUICK))
            await nursery.start(endpoint.run, lambda arrived: arrived.refuse(486))
            async with trio.open_nursery() as calls:
                for letter, gives_up in zip(self._letters, self._gives_up, strict=True):
                    phone = Phone(endpoint, uri, letter)
                    self._phones.append(phone)
                    calls.start_soon(self._dial, phone, gives_up)
            nursery.cancel_scope.cancel()

    def freeze(self) -> None:
        """Note what is known before the calls are cut off."""
        for phone in self._phones:
            if isinstance(phone, _Modem):
                phone.note()

    async def _dial(self, phone: Phone, gives_up: bool) -> None:
        async with trio.open_nursery() as nursery:
            if gives_up:
                nursery.start_soon(self._give_up, phone)
            await phone.send()
            nursery.cancel_scope.cancel()

    async def _give_up(self, phone: Phone) -> None:
        await phone.reached(1, page=2)
        phone.hang_up()

    async def _dial_modem(self, uri: str, letter: Letter) -> None:
        modem = _Modem(letter)
        self._phones.append(modem)
        async with open_peer(keep=False) as peer:
            modem.peer = peer
            result = await peer.call(uri, letter.path, HABITS)
            modem.confirmed = max(modem.confirmed, result.heard().count("MCF"))

    def claims(self, *, begun: int, discarded: bool) -> list[Claim]:
        """What the callers know now; `begun` jobs had begun, the user's abort had been asked for or not."""
        known = [Claim(rasters=phone.letter.rasters, confirmed=phone.confirmed) for phone in self._phones]
        return [replace(claim, begun=at < begun, discarded=discarded) for at, claim in enumerate(known)]
