"""A store of deliveries in memory, with the methods of the real one that deliveries need."""

import threading
from collections.abc import Sequence
from dataclasses import replace
from datetime import datetime, timedelta

from vfax.errors import FaxError
from vfax.fsp.constants import JobType
from vfax.host.store.values import DeliveryAttempt, DeliveryState, NewDelivery, StoredDelivery, StoredFax


class MemoryStore:
    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._faxes: dict[int, StoredFax] = {}
        self._deliveries: dict[int, StoredDelivery] = {}
        self._attempts: list[DeliveryAttempt] = []

    def add_fax(
        self, fax: StoredFax, deliveries: Sequence[NewDelivery], now: datetime, *, job_type: JobType
    ) -> list[StoredDelivery]:
        with self._lock:
            self._faxes[fax.job] = fax
            made = []
            for new in deliveries:
                number = len(self._deliveries) + 1
                self._deliveries[number] = StoredDelivery(
                    id=number,
                    job=fax.job,
                    rule=new.rule,
                    kind=new.kind,
                    target=new.target,
                    state=DeliveryState.WAITING,
                    created_at=now,
                    next_attempt_at=now,
                )
                made.append(self._deliveries[number])
            return made

    def fax(self, job: int) -> StoredFax | None:
        return self._faxes.get(job)

    def claim_deliveries(self, host: str, now: datetime, *, lease: float, limit: int) -> list[StoredDelivery]:
        with self._lock:
            found = [one for one in self._deliveries.values() if self._due(one, now)][:limit]
            until = now + timedelta(seconds=lease)
            for one in found:
                self._deliveries[one.id] = replace(
                    one,
                    state=DeliveryState.RUNNING,
                    lease_owner=host,
                    lease_until=until,
                    lease_term=one.lease_term + 1,
                )
            return [self._deliveries[one.id] for one in found]

    def _due(self, one: StoredDelivery, now: datetime) -> bool:
        if one.state is DeliveryState.WAITING:
            return one.next_attempt_at is not None and one.next_attempt_at <= now
        return one.state is DeliveryState.RUNNING and one.lease_until is not None and one.lease_until <= now

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
        with self._lock:
            held = self._deliveries[delivery.id]
            if held.lease_term != delivery.lease_term or held.state is not DeliveryState.RUNNING:
                raise FaxError(f"delivery {delivery.id} is not ours any more")
            state = DeliveryState.DONE if ok else DeliveryState.WAITING if retry_at else DeliveryState.GIVEN_UP
            ended = replace(
                held,
                state=state,
                next_attempt_at=retry_at,
                ended_at=None if retry_at else now,
                attempts=held.attempts + 1,
                sentence=sentence,
                lease_owner="",
                lease_until=None,
            )
            self._deliveries[delivery.id] = ended
            self._attempts.append(
                DeliveryAttempt(
                    delivery=ended.id,
                    number=ended.attempts,
                    started_at=started_at,
                    ended_at=now,
                    ok=ok,
                    sentence=sentence,
                )
            )
            return ended

    def overdue(self, now: datetime, *, older_than: float) -> list[StoredDelivery]:
        with self._lock:
            before = now - timedelta(seconds=older_than)
            late = [
                one
                for one in self._deliveries.values()
                if one.state is not DeliveryState.DONE and one.alarmed_at is None and one.created_at <= before
            ]
            for one in late:
                self._deliveries[one.id] = replace(one, alarmed_at=now)
            return [self._deliveries[one.id] for one in late]

    def deliveries(
        self, job: int | None = None, state: DeliveryState | None = None, limit: int = 100
    ) -> list[StoredDelivery]:
        return [one for one in self._deliveries.values() if job in (None, one.job) and state in (None, one.state)]

    def delivery_attempts(self, delivery: int) -> list[DeliveryAttempt]:
        return [one for one in self._attempts if one.delivery == delivery]

    def retry_delivery(self, delivery: int, now: datetime) -> StoredDelivery | None:
        with self._lock:
            one = self._deliveries.get(delivery)
            if one is not None and one.state in (DeliveryState.WAITING, DeliveryState.GIVEN_UP):
                one = replace(one, state=DeliveryState.WAITING, next_attempt_at=now, ended_at=None)
                self._deliveries[delivery] = one
            return one
