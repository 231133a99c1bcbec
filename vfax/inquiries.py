"""Requests outside calls whose end somebody waits for.

Owns      who waits for which. Not here: what is asked (transports/sip/outside.py), requests that nobody waits for
          (tending.py).
"""

from collections.abc import Callable
from dataclasses import dataclass, field

import trio

from vfax.errors import LinkError
from vfax.transports.sip.values import RequestDone, RequestKey


@dataclass(slots=True)
class _Asked:
    """One request."""

    ended: trio.Event = field(default_factory=trio.Event)
    done: RequestDone | None = None


class Inquiries:
    """Those of one endpoint."""

    def __init__(self) -> None:
        self._asked: dict[RequestKey, _Asked] = {}

    async def wait(self, key: RequestKey, asking: Callable[[], None]) -> RequestDone:
        """Call `asking`, which may bring the end at once, and wait for it. Raises LinkError when none will come."""
        asked = self._asked[key] = _Asked()
        try:
            asking()
            await asked.ended.wait()
        finally:
            del self._asked[key]
        if asked.done is None:
            raise LinkError("the endpoint has been shut down")
        return asked.done

    def take(self, event: RequestDone) -> bool:
        """A request has ended; False when nobody waits for that one."""
        asked = self._asked.get(event.request)
        if asked is None:
            return False
        asked.done = event
        asked.ended.set()
        return True

    def give_up(self) -> None:
        """No end of any request will be heard."""
        for asked in self._asked.values():
            asked.ended.set()
