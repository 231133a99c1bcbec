"""Received faxes in the store: a row while the call runs, its record and deliveries when it is over.

Owns      the order of spool and store: the spool is the truth, the store follows it and catches up after a crash.
Not here  the files (spool.py), what a record says (reception.py), carrying deliveries out (delivery.py).

The store may be out of reach while a call comes: the fax is received all the same, and found when the store is back.
"""

import hashlib
import json
from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass
from datetime import UTC, datetime
from functools import partial
from pathlib import Path
from typing import Final

import trio

from vfax.errors import FaxError, StoreError
from vfax.fsp.constants import JobStatusEnum
from vfax.host.check_pages import CheckPages
from vfax.host.events import HostEvent, StorageFailed
from vfax.host.records import FaxRecord, record_of
from vfax.host.spool import JOB_PATTERN, Kept, Spool
from vfax.host.store.store import LeaseLost, Store
from vfax.host.store.values import AttemptEnd, NewDelivery, StoredFax

Route = Callable[[FaxRecord], Sequence[NewDelivery]]
"""Where a fax goes."""

PIECE: Final = 1 << 20
MAX_RECORD: Final = 1 << 20
"""Limit: octets of a record that is read back."""
BATCH: Final = 500
MAX_REFUSED: Final = 10
"""Limit: faxes that the store refuses in one round: each may take as long as the store has patience."""


class Books:
    """Keeps the store in step with the spool; `service.Ledger` for the service."""

    def __init__(
        self,
        store: Store,
        spool: Spool,
        *,
        host: str,
        route: Route,
        checks: CheckPages | None = None,
        observe: Callable[[HostEvent], None],
        on_delivery: Callable[[], None] = lambda: None,
        clock: Callable[[], datetime] = lambda: datetime.now(UTC),
    ) -> None:
        self._store = store
        self._spool = spool
        self._host = host
        self._route = route
        self._checks = checks
        self._observe = observe
        self._on_delivery = on_delivery
        self._clock = clock
        self._behind = False

    @property
    def behind(self) -> bool:
        """The store has refused something since the last `catch_up` that went through."""
        return self._behind

    # --- as faxes come -------------------------------------------------------------------------------

    async def begin(self, job: str, device_id: int) -> None:
        """A call rings and has a job."""
        await self._guarded(
            job, partial(self._store.receive, int(job, 16), device_id=device_id, host=self._host, now=self._clock())
        )

    async def end(self, record: FaxRecord, kept: Kept | None) -> Kept | None:
        """The call is over; `kept` None: the disk refused it, and it will be told again."""
        if kept is None:
            return None
        moved: list[Kept] = []
        await self._guarded(record.job, partial(self._end, record, kept, moved))
        self._on_delivery()
        return moved[0] if moved else kept

    async def catch_up(self) -> int:
        """Take in what the store has missed: faxes of a time when it was out of reach, or that a crash kept from it."""
        found: list[int] = []
        await self._guarded("", partial(self._catch_up, found), again=self._behind)
        if found:
            self._on_delivery()
        return len(found)

    async def _guarded(self, job: str, call: Callable[[], object], *, again: bool = False) -> None:
        """Ask the store; what it refuses is said, and taken in later. `again`: it has been said."""
        with trio.CancelScope(shield=True):
            try:
                await trio.to_thread.run_sync(call)
            except FaxError as why:
                self._behind = True
                if not again:
                    self._observe(StorageFailed(job, f"{why}; the fax is in the spool and will be found there"))
            else:
                self._behind = self._behind and bool(job)

    # --- in a thread ---------------------------------------------------------------------------------

    def _end(self, record: FaxRecord, kept: Kept, moved: list[Kept]) -> None:
        """A test page that has come back to us is in the store like a fax whose document is gone."""
        self._write(record, kept)
        if self._checks is not None and self._is_test(record):
            moved.append(self._checks.put_aside(record, kept))
            if moved[0] != kept:
                self._store.mark_removed(int(record.job, 16), self._clock())

    def _is_test(self, record: FaxRecord) -> bool:
        return self._checks is not None and self._checks.claims(record)

    def _deliveries(self, record: FaxRecord, document: Path | None) -> Sequence[NewDelivery]:
        return () if document is None or self._is_test(record) else self._route(record)

    def _write(self, record: FaxRecord, kept: Kept) -> None:
        now = self._clock()
        plain = record.to_json()
        fax = self._fax(record.job, record.ended_at, plain, kept.document)
        end = AttemptEnd(
            status=JobStatusEnum.fjsCOMPLETED if record.ok else JobStatusEnum.fjsFAILED,
            status_id=record.status_id,
            cause=record.cause.value,
            sentence=record.sentence,
            pages_confirmed=record.pages,
            journal=record.journal,
            record=plain,
        )
        deliveries = self._deliveries(record, kept.document)
        number = int(record.job, 16)
        if self._store.job(number) is not None:  # None: the store was out of reach when the call came
            with suppress(LeaseLost):  # taken in from the inbox a moment ago, or repaired
                self._store.end_receive(number, end, fax, deliveries, now)
                return
        self._store.add_fax(fax, deliveries, now, job_type=record.job_type)

    def _catch_up(self, found: list[int]) -> None:
        """What is wrong with one fax is told when the others are in; the store itself may be what is wrong."""
        records, refused = self._records(), list[FaxError]()
        for at in range(0, len(records), BATCH):
            batch = records[at : at + BATCH]
            known = self._store.known_faxes([one.job for one in batch])
            for one in batch:
                try:
                    if one.job not in known and self._add(one):
                        found.append(one.job)
                except FaxError as why:
                    refused.append(StoreError(f"{one.record}: {why}"))
                    if len(refused) >= MAX_REFUSED:
                        raise refused[0] from why
        if refused:
            raise refused[0]

    def _records(self) -> list["_Found"]:
        """The records of the spool by their job numbers, which stand at the end of their names."""
        found = []
        for folder in (self._spool.inbox, self._spool.failed):
            for path in sorted(folder.glob("*.json")):
                job = path.stem.rsplit("-", 1)[-1]
                if JOB_PATTERN.fullmatch(job):
                    found.append(_Found(int(job, 16), path))
        return found

    def _add(self, found: "_Found") -> bool:
        plain = _read(found.record)
        record = record_of(plain) if plain is not None else None
        if plain is None or record is None:
            return False
        document = found.record.with_suffix(".tif")
        kept = document if document.exists() else None
        fax = self._fax(record.job, record.ended_at, plain, kept)
        deliveries = self._deliveries(record, kept)
        self._store.add_fax(fax, deliveries, self._clock(), job_type=record.job_type)
        return True

    def _fax(self, job: str, received_at: datetime, record: Mapping[str, object], document: Path | None) -> StoredFax:
        digest, octets = _digest(document) if document is not None else ("", 0)
        name = document.relative_to(self._spool.root).as_posix() if document is not None else None
        return StoredFax(
            job=int(job, 16), received_at=received_at, record=record, document=name, digest=digest, octets=octets
        )


@dataclass(frozen=True, slots=True)
class _Found:
    job: int
    record: Path


def _digest(path: Path) -> tuple[str, int]:
    """SHA-256 of a file, and its octets. Raises StoreError."""
    sum_, octets = hashlib.sha256(), 0
    try:
        with path.open("rb") as file:
            while piece := file.read(PIECE):
                sum_.update(piece)
                octets += len(piece)
    except OSError as why:
        raise StoreError(f"cannot read {path}: {why.strerror or why}") from why
    return sum_.hexdigest(), octets


def _read(path: Path) -> dict[str, object] | None:
    """A record as it was written; None for what is none (somebody else's file)."""
    try:
        if path.stat().st_size > MAX_RECORD:
            return None
        found = json.loads(path.read_bytes())
    except (OSError, ValueError):
        return None
    return found if isinstance(found, dict) else None
