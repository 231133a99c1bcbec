"""Names in dialogs: looked up beside the calls, which do not wait for it.

Owns      the queue of questions and its limits; which URIs can be looked up.
Not here  finding (resolving.py), which way a request takes (transports/sip/dialog.py).
Source    RFC 3263 4 (requests inside dialogs, too); RFC 3261 (June 2002) 8.1.2.
"""

from collections.abc import Callable, Sequence
from typing import Final

import trio

from vfax.errors import DecodeError, LinkError
from vfax.resolving import Finder
from vfax.transports.sip.headers import Uri
from vfax.transports.sip.locate import Roads
from vfax.transports.sip.values import Hop, WayWanted
from vfax.transports.udp import format_address

AT_ONCE: Final = 8
"""Limit: names that are looked up at the same time."""

MAX_WAITING: Final = 256
"""Limit: names that wait for that; requests to those beyond go where the messages of their dialogs come from."""


class Lookups:
    """Looks up what `ask` brings, by the `roads` there are then; `found` hears what there is."""

    def __init__(
        self, finder: Finder, roads: Callable[[], Roads], found: Callable[[WayWanted, Sequence[Hop]], None]
    ) -> None:
        self._finder = finder
        self._roads = roads
        self._found = found
        self._put, self._take = trio.open_memory_channel[WayWanted](MAX_WAITING)

    def ask(self, wanted: WayWanted) -> bool:
        """Look this up when there is time. False when too much waits."""
        try:
            self._put.send_nowait(wanted)
        except trio.WouldBlock:
            return False
        return True

    async def run(self) -> None:
        """Until cancelled."""
        async with trio.open_nursery() as nursery:
            for _ in range(AT_ONCE):
                nursery.start_soon(self._work)

    async def _work(self) -> None:
        while True:
            wanted = await self._take.receive()
            try:
                way = await self._finder.find([goal(wanted.uri)], self._roads())
            except LinkError:
                self._found(wanted, ())
            else:
                self._found(wanted, way.targets)


def said(hops: Sequence[Hop]) -> dict[str, str]:
    """What a journal notes of the first one."""
    return {"targets": f"{hops[0].transport} {format_address(hops[0].address)}"} if hops else {"why": "nowhere"}


def goal(text: str) -> Uri:
    """A SIP URI that can be looked up and called. Raises LinkError for any other."""
    try:
        uri = Uri.parse(text)
    except DecodeError as why:
        raise LinkError(f"{text!r} is not a SIP address: {why.what}") from why
    if uri.headers:
        raise LinkError(f"{text!r} cannot be called: only SIP addresses without headers can")
    return uri
