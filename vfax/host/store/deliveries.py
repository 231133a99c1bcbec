"""Deliveries of received faxes to their targets.

Owns      claiming a delivery, each try and its result, the alarm about late ones.
Not here  how deliveries come about (faxes.py), how a fax gets there (host/delivery.py).
"""

from collections.abc import Mapping
from datetime import datetime
from typing import Final

from sqlalchemy import Connection, Integer, and_, bindparam, insert, select, update

from vfax.errors import LeaseLost
from vfax.host.store import checks
from vfax.host.store.base import StoreBase, chunks
from vfax.host.store.prepared import Prepared
from vfax.host.store.rows import delivery_of, named_delivery, try_of
from vfax.host.store.schema import UNALARMED, deliveries, delivery_attempts, faxes
from vfax.host.store.values import DeliveryAttempt, DeliveryState, StoredDelivery

_TO_DO: Final = Prepared(
    select(deliveries.c.id)
    .where(deliveries.c.due_at <= bindparam("now"))
    .order_by(deliveries.c.due_at, deliveries.c.id)
    .limit(bindparam("most", type_=Integer))
    .with_for_update(skip_locked=True)
)
_HOLD: Final = Prepared(
    update(deliveries)
    .where(deliveries.c.id == bindparam("which"))
    .values(
        state=DeliveryState.RUNNING,
        lease_owner=bindparam("holder"),
        due_at=bindparam("until"),
        lease_term=deliveries.c.lease_term + 1,
    )
    .returning(deliveries)
)
_ENDED: Final = Prepared(
    update(deliveries)
    .where(
        deliveries.c.id == bindparam("which"),
        deliveries.c.state == DeliveryState.RUNNING,
        deliveries.c.lease_owner == bindparam("holder"),
        deliveries.c.lease_term == bindparam("term"),
    )
    .values(lease_owner="", attempts=deliveries.c.attempts + 1)
    .returning(deliveries)
)
"""The try of a host whose claim still stands."""
_TRIED: Final = Prepared(insert(delivery_attempts))
_ONE_LESS: Final = Prepared(
    update(faxes)
    .where(faxes.c.job == bindparam("which"))
    .values(outstanding=faxes.c.outstanding - 1)
    .returning(faxes.c.outstanding)
)
_DELIVERED: Final = Prepared(update(faxes).where(faxes.c.job == bindparam("which")))


class Deliveries(StoreBase):
    """The store's deliveries."""

    def claim_deliveries(self, host: str, now: datetime, *, lease: float, limit: int) -> list[StoredDelivery]:
        """Give `host` up to `limit` deliveries that are due, for `lease` seconds, those that waited longest first.

        One whose host let its lease run out is due again. There is no renewing: a lease lasts longer than any try.
        """
        checks.name("host", host, self._limits)
        until = checks.later(now, lease)
        most = self._rows(limit)

        def work(db: Connection) -> list[StoredDelivery]:
            turn = [delivery for (delivery,) in _TO_DO.rows(db, {"now": now, "most": most})]
            held = [_HOLD.named(db, {"which": delivery, "holder": host, "until": until}) for delivery in turn]
            return [named_delivery(row) for row in held if row is not None]

        return self._database.write(work)

    def end_delivery(
        self,
        delivery: StoredDelivery,
        *,
        ok: bool,
        sentence: str,
        retry_at: datetime | None,
        started_at: datetime,
        now: datetime,
    ) -> StoredDelivery:
        """Write how a try ended: DONE, or WAITING until `retry_at`, or GIVEN_UP when that is None.

        The fax counts as delivered once all its deliveries are done. Raises LeaseLost when the delivery is another
        host's by now.
        """
        checks.instance("delivery", delivery, StoredDelivery)
        checks.instance("result", ok, bool)
        checks.moment(now)
        checks.moment(started_at)
        checks.times(retry_at)
        said = checks.cut(sentence, self._limits)
        again = None if ok else retry_at
        ended = DeliveryState.DONE if ok else DeliveryState.GIVEN_UP

        changes = {
            "state": ended if again is None else DeliveryState.WAITING,
            "due_at": again,
            "ended_at": now if again is None else None,
            "sentence": said,
        }

        def work(db: Connection) -> StoredDelivery:
            result = _end(db, delivery, changes)
            tried = {"delivery": result.id, "number": result.attempts, "started_at": started_at, "ended_at": now}
            _TRIED.run(db, tried | {"ok": ok, "sentence": said})
            if ok:
                _done(db, result.job, now)
            return result

        return self._database.write(work)

    def deliveries(
        self, job: int | None = None, state: DeliveryState | None = None, limit: int = 100
    ) -> list[StoredDelivery]:
        """Those of one job in the order they were made, or those of all jobs, newest first."""
        query = select(deliveries).limit(self._rows(limit))
        query = query.order_by(deliveries.c.id.desc() if job is None else deliveries.c.id)
        if job is not None:
            query = query.where(deliveries.c.job == checks.job_number(job))
        if state is not None:
            query = query.where(deliveries.c.state == state)
        return [delivery_of(row) for row in self._database.read(lambda db: db.execute(query).all())]

    def delivery_attempts(self, delivery: int) -> list[DeliveryAttempt]:
        """The tries of a delivery in their order; none for a delivery that nobody knows."""
        checks.whole("number of the delivery", delivery)
        query = select(delivery_attempts).where(delivery_attempts.c.delivery == delivery)
        query = query.order_by(delivery_attempts.c.number)
        return [try_of(row) for row in self._database.read(lambda db: db.execute(query).all())]

    def overdue(self, now: datetime, *, older_than: float) -> list[StoredDelivery]:
        """Deliveries that are not done `older_than` seconds after they were made, each told once, oldest first.

        At most `batch` of them; the others when it is called again.
        """
        checks.moment(now)
        made_by = checks.earlier(now, older_than)
        late = select(deliveries.c.id).where(UNALARMED, deliveries.c.created_at <= made_by)
        late = late.order_by(deliveries.c.created_at, deliveries.c.id).limit(self._limits.batch)
        late = late.with_for_update(skip_locked=True)
        mark = update(deliveries).values(alarmed_at=now).returning(deliveries)

        def work(db: Connection) -> list[StoredDelivery]:
            turn = db.execute(late).scalars().all()
            rows = [row for part in chunks(turn) for row in db.execute(mark.where(deliveries.c.id.in_(part)))]
            return sorted(map(delivery_of, rows), key=lambda found: (found.created_at, found.id))

        return self._database.write(work)

    def retry_delivery(self, delivery: int, now: datetime) -> StoredDelivery | None:
        """Make a delivery that waits or was given up due at once; unchanged while it runs or when it is done.

        None for a delivery that nobody knows.
        """
        checks.whole("number of the delivery", delivery)
        checks.moment(now)
        idle = deliveries.c.state.in_([DeliveryState.WAITING, DeliveryState.GIVEN_UP])
        again = (
            update(deliveries)
            .where(and_(deliveries.c.id == delivery, idle))
            .values(state=DeliveryState.WAITING, due_at=now, ended_at=None)
            .returning(deliveries)
        )

        def work(db: Connection) -> StoredDelivery | None:
            row = db.execute(again).one_or_none()
            if row is None:
                row = db.execute(select(deliveries).where(deliveries.c.id == delivery)).one_or_none()
            return None if row is None else delivery_of(row)

        return self._database.write(work)


def _end(db: Connection, held: StoredDelivery, changes: Mapping[str, object]) -> StoredDelivery:
    """Write how a try ended, provided that the claim by which `held` was read still stands."""
    claim = {"which": held.id, "holder": held.lease_owner, "term": held.lease_term}
    row = _ENDED.named(db, {**claim, **changes})
    if row is None:
        raise LeaseLost(f"delivery {held.id} is not {held.lease_owner}'s any more (term {held.lease_term})")
    return named_delivery(row)


def _done(db: Connection, job: int, now: datetime) -> None:
    """One delivery less to do; counted in the row of the fax, so that the last of two hosts knows it is."""
    ((left,),) = _ONE_LESS.rows(db, {"which": job})
    if not left:
        _DELIVERED.run(db, {"which": job, "delivered_at": now})
