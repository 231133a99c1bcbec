"""Events in one order for all.

Owns      numbering events and reading them on from a number.
Not here  which event is due when (host/notify.py), who is told (the service for clients).
"""

from collections.abc import Sequence
from typing import Final

from sqlalchemy import Connection, bindparam, insert, select, update

from vfax.fsp.structures import FaxEvent
from vfax.host.store import checks
from vfax.host.store.base import StoreBase
from vfax.host.store.prepared import Prepared
from vfax.host.store.rows import EVENT_FIELDS, event_of
from vfax.host.store.schema import events as event_rows
from vfax.host.store.schema import state
from vfax.host.store.values import StoredEvent


class Events(StoreBase):
    """The store's events."""

    def add_events(self, events: Sequence[FaxEvent], session: str) -> list[StoredEvent]:
        """Keep events, in their order, with the next numbers.

        The last number is a row that writers take one after the other until they have committed: whoever has read up
        to a number never misses a smaller one that came later.
        """
        checks.name("session", session, self._limits, empty=True)
        for event in checks.each("events", events):
            checks.instance("event", event, FaxEvent)
        if not events:
            return []
        count = len(events)

        def work(db: Connection) -> list[StoredEvent]:
            ((last,),) = _LAST.rows(db, {"count": count})
            first = last - count + 1
            made = [
                StoredEvent(
                    sequence=first + at,
                    session=session,
                    time_stamp=event.time_stamp,
                    event_id=int(event.event_id),
                    device_id=event.device_id,
                    job_id=event.job_id,
                )
                for at, event in enumerate(events)
            ]
            _KEPT.each(db, [{name: getattr(event, name) for name in EVENT_FIELDS} for event in made])
            return made

        return self._database.write(work)

    def events(self, *, after: int = 0, limit: int = 1000) -> list[StoredEvent]:
        """Events with a number above `after`, in order."""
        checks.whole("number of the event", after, high=(1 << 63) - 1)
        query = select(event_rows).where(event_rows.c.sequence > after).order_by(event_rows.c.sequence)
        query = query.limit(self._rows(limit))
        return [event_of(row) for row in self._database.read(lambda db: db.execute(query).all())]


# Made once, as events come by the dozen a second.
_LAST: Final = Prepared(
    update(state)
    .where(state.c.name == "events")
    .values(value=state.c.value + bindparam("count"))
    .returning(state.c.value)
)
_KEPT: Final = Prepared(insert(event_rows))
