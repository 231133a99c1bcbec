"""Housekeeping: what is old or too much goes, and nothing that is not delivered.

Owns      which documents, records, rows, journals and uploads are removed, in what order.
Not here  the rows (store/), when a fax counts as delivered (delivery.py).

A document goes before its row says so: after a crash in between, the row is found again and the removal repeated.
Everything but `Housekeeper.run` blocks: it is called in a worker thread.
"""

from collections.abc import Callable
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Final

import trio

from vfax.errors import StoreError
from vfax.host.events import HostEvent, StorageFailed
from vfax.host.outgoing import remove_documents
from vfax.host.store.store import Store

BATCH: Final = 200
"""Limit: faxes looked at in one step, so that the store is free for others in between."""
FRESH: Final = timedelta(hours=1)
"""An upload without a job may still become one for so long."""


@dataclass(frozen=True, slots=True, kw_only=True)
class KeepOptions:
    """What is kept: days, octets of delivered faxes (0: no limit), events; `interval` is in seconds."""

    days: int = 365
    octets: int = 0
    job_days: int = 90
    events: int = 100_000
    journal_days: int = 30
    interval: float = 3_600.0


@dataclass(slots=True)
class Removed:
    """What one round removed."""

    faxes: int = 0
    rows: int = 0
    journals: int = 0
    uploads: int = 0


class Housekeeper:
    """Looks after one spool and its store."""

    def __init__(
        self,
        spool: Path,
        store: Store,
        options: KeepOptions,
        *,
        documents: Path | None = None,
        journals: Path | None = None,
        observe: Callable[[HostEvent], None] = lambda event: None,
        clock: Callable[[], datetime] = lambda: datetime.now(UTC),
    ) -> None:
        self._spool = spool
        self._store = store
        self._options = options
        self._documents = documents or spool
        self._journals = journals
        self._observe = observe
        self._clock = clock

    async def run(self) -> None:
        """Tidy up now and then, for ever."""
        while True:
            try:
                await trio.to_thread.run_sync(self.tidy)
            except StoreError as why:
                self._observe(StorageFailed("", f"housekeeping: {why}"))
            await trio.sleep(self._options.interval)

    def tidy(self) -> Removed:
        """One round. Raises StoreError; what was removed until then stays removed."""
        removed = Removed()
        now = self._clock()
        try:
            removed.faxes = self._remove_old(now) + self._remove_surplus(now)
            removed.rows = self._store.prune(
                jobs_before=now - timedelta(days=self._options.job_days), keep_events=self._options.events
            )
            removed.uploads = remove_documents(
                self._documents, self._store.documents(), before=(now - FRESH).timestamp()
            )
            removed.journals = self._remove_journals(now)
        except OSError as why:
            raise StoreError(f"cannot tidy up {self._spool}: {why.strerror or why} ({why.filename})") from why
        return removed

    def _remove_old(self, now: datetime) -> int:
        before, removed = now - timedelta(days=self._options.days), 0
        while faxes := self._store.removable(before=before, limit=BATCH):
            for fax in faxes:
                self._remove(fax.job, fax.document, now)
            removed += len(faxes)
        return removed

    def _remove_surplus(self, now: datetime) -> int:
        """The oldest delivered faxes, until the rest fits."""
        removed = 0
        if not self._options.octets:
            return 0
        surplus = self._store.octets_kept() - self._options.octets
        while surplus > 0 and (faxes := self._store.oldest_delivered(BATCH)):
            for fax in faxes:
                if surplus <= 0:
                    break
                self._remove(fax.job, fax.document, now)
                surplus -= fax.octets
                removed += 1
        return removed

    def _remove(self, job: int, document: str | None, now: datetime) -> None:
        if document is not None:
            path = self._spool / document
            for one in (path, path.with_suffix(".json")):
                one.unlink(missing_ok=True)
        self._store.mark_removed(job, now)

    def _remove_journals(self, now: datetime) -> int:
        """Journals and captures that nobody has written to for so long."""
        folder, removed = self._journals, 0
        if folder is None or not folder.is_dir():
            return 0
        oldest = (now - timedelta(days=self._options.journal_days)).timestamp()
        for path in folder.iterdir():
            if path.suffix in (".jsonl", ".pcap") and path.stat().st_mtime < oldest:
                path.unlink(missing_ok=True)
                removed += 1
        return removed
