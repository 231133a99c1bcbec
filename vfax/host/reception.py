"""What becomes of a reception: delivered whole, delivered incomplete, kept as a record alone, or discarded.

Owns      the choice between them, the record of a received fax, and the repair of what a crash left behind.
Not here  the operation (jobs.py), the writes (spool.py), the pages themselves (vfax/pages.py).
Source    FaxDevReceive: after a failure the service tries to restore the pages received so far, unless the status is
          FS_USER_ABORT, when partial data are discarded.

The rules, first match wins:

    FS_USER_ABORT, and it was not this service stopping         failed, the pages discarded
    the provider said complete, and there are pages             inbox, JT_RECEIVE
    it said complete, and there are none                        failed, as FS_FATAL_ERROR
    anything else, with pages                                   inbox, JT_FAIL_RECEIVE, marked incomplete
    anything else, without                                      failed: a record and no document

Pages are those of the job file or, where it has none, those that were kept one by one. What is there and is no page
goes to unreadable; what the disk does not let us read now stays where it is, for nobody knows what it is.

Deviation: a service that stops keeps the pages it has confirmed (JT_FAIL_RECEIVE) although the status is FS_USER_ABORT:
no user asked for them to be thrown away.

Everything here blocks on the disk: call it from a worker thread.
"""

from dataclasses import replace
from datetime import datetime
from functools import partial
from pathlib import Path

from vfax.codecs import tiff
from vfax.errors import DocumentError, StoreError
from vfax.fsp.constants import FaxStatus, JobType
from vfax.host.jobs import Ending
from vfax.host.loading import Device
from vfax.host.records import FaxRecord
from vfax.host.spool import Kept, Spool, file_name
from vfax.outcome import Cause
from vfax.pages import PageFolder

EMPTY_DOCUMENT = "The provider called the fax complete, but left no page that can be read."


def count_pages(spool: Spool, path: Path) -> int:
    """Pages of a fax document; 0 when it is empty, missing or no such document.

    Raises StoreError when the disk does not let it be read: what cannot be seen now is not nothing.
    """
    try:
        if path.stat().st_size == 0:
            return 0
        return len(tiff.read_headers(path, open_file=spool.disk.of("document").open_read))
    except FileNotFoundError:
        return 0
    except OSError as why:
        raise StoreError(f"cannot look at {path}: {why.strerror or why}") from why
    except DocumentError as why:
        if isinstance(why.__cause__, OSError):
            raise StoreError(f"cannot read the fax {why}") from why
        return 0


def conclude(spool: Spool, record: FaxRecord, ending: Ending) -> tuple[FaxRecord, Kept]:
    """Put a finished reception where it belongs and complete its record. Raises StoreError when the disk refuses."""
    if not ending.ok and ending.cause is Cause.ABORTED and not ending.stopped_by_host:
        return _without_document(spool, record)
    pages, why = _gather(spool, record.job)
    if pages:
        job_type = JobType.JT_RECEIVE if ending.ok else JobType.JT_FAIL_RECEIVE
        return _with_document(spool, replace(record, pages=pages, job_type=job_type))
    if ending.ok:
        record = replace(record, status_id=FaxStatus.FS_FATAL_ERROR, cause=Cause.INTERNAL, sentence=EMPTY_DOCUMENT)
    if why:
        aside = spool.put_aside(record.job)
        record = replace(record, sentence=f"{record.sentence} Its pages cannot be read ({why}); they are in {aside}.")
    return _without_document(spool, record)


def conclude_late(spool: Spool, record: FaxRecord, ending: Ending) -> tuple[FaxRecord, Kept] | None:
    """Do what the disk did not let `conclude` do; None when nothing of the fax is left. Raises StoreError."""
    if spool.holds(record.job):
        return conclude(spool, record, ending)
    kept = spool.confirm_moved(record.job)  # all but the last sync had been done
    return None if kept is None else (record, kept)


def _gather(spool: Spool, job: str) -> tuple[int, str]:
    """Pages in the job's document, which is made of the single pages if it has none, and why there are none.

    The reason is empty where nothing was there that could have been a page.
    """
    document = spool.job_file(job)
    pages = count_pages(spool, document)
    if pages:
        return pages, ""
    try:
        pages = _salvage(spool, document)
    except DocumentError as why:
        return 0, str(why)
    return pages, "" if pages or not spool.has_content(job) else f"{document.name} is no fax document"


def _salvage(spool: Spool, document: Path) -> int:
    """Join the pages that were kept one by one and never became a document."""
    join = partial(tiff.join_pages, open_file=spool.disk.of("page").open_read)
    PageFolder(document, disk=spool.disk).assemble(join)
    return count_pages(spool, document)


def _with_document(spool: Spool, record: FaxRecord) -> tuple[FaxRecord, Kept]:
    name = file_name(record.caller, record.job, record.started_at)
    named = replace(record, document=f"{name}.tif")
    return named, spool.deliver(record.job, name, named.to_json())


def _without_document(spool: Spool, record: FaxRecord) -> tuple[FaxRecord, Kept]:
    empty = replace(record, pages=0, job_type=JobType.JT_FAIL_RECEIVE)
    name = file_name(record.caller, record.job, record.started_at)
    return empty, spool.record_failure(record.job, name, empty.to_json())


def record_of(job: str, device: Device, ending: Ending, started_at: datetime, ended_at: datetime) -> FaxRecord:
    """Collect what is known about an operation. Pages are those of the document, filled in by `conclude`."""
    facts, status = ending.facts, ending.status
    said = facts.outcome if facts is not None else None
    dialled, _, subaddress = status.routing_info.partition("|")
    return FaxRecord(
        job=job,
        job_type=JobType.JT_RECEIVE,
        device_id=device.device_id,
        device_name=device.name,
        started_at=started_at,
        ended_at=ended_at,
        status_id=status.status_id,
        cause=ending.cause,
        sentence=ending.sentence,
        pages=facts.pages_confirmed if facts is not None else 0,
        bad_rows=facts.bad_rows if facts is not None else 0,
        caller=(facts.caller_id if facts is not None else "") or status.caller_id,
        caller_name=facts.caller_name if facts is not None else "",
        remote_id=(facts.remote_id if facts is not None else "") or status.csi,
        dialled=(facts.dialled if facts is not None else "") or dialled,
        subaddress=(facts.subaddress if facts is not None else "") or subaddress,
        rate_bps=facts.rate_bps if facts is not None else 0,
        ecm=facts.ecm if facts is not None else None,
        encrypted=said is not None and said.encrypted,
        coding=facts.coding if facts is not None else "",
        resolution=facts.resolution if facts is not None else "",
        retry=said.retry.value if said is not None else "",
        verdict=said.verdict if said is not None else "",
        t30_result=said.t30_result if said is not None else None,
        sip_status=said.sip_status if said is not None else None,
        q850=said.q850 if said is not None else None,
        journal=facts.journal_path if facts is not None else "",
    )


def recover(spool: Spool, job: str) -> tuple[Path, str]:
    """Deliver what a crash left of one job, or put it aside; returns where it is now and what to say about it.

    Raises StoreError when the disk refuses; the job stays where it is and is found again at the next start.
    """
    settled = spool.settled(job)
    if settled is not None:
        spool.discard(job)
        return settled.document or settled.record, "What a fax that had ended before had left behind is removed:"
    name = spool.interrupted_delivery(job)
    if name is not None and count_pages(spool, spool.job_file(job)):
        kept = spool.finish_delivery(job, name)
        return kept.document or kept.record, "A delivery that was interrupted is finished:"
    try:
        return _recover_pages(spool, job)
    except DocumentError as why:
        return spool.put_aside(job), f"A fax found after a crash cannot be read ({why}) and was put aside:"


def _recover_pages(spool: Spool, job: str) -> tuple[Path, str]:
    document = spool.job_file(job)
    pages = _salvage(spool, document) if spool.pages_folder(job).exists() else count_pages(spool, document)
    if not pages and spool.has_content(job):
        raise DocumentError(f"{document}: no page in it can be read")
    record = _crash_record(job, spool.changed_at(job), pages)
    if not pages:
        _, kept = _without_document(spool, record)
        return kept.record, "A call was being received when the service last stopped; no page had arrived:"
    _, kept = _with_document(spool, record)
    return kept.document or kept.record, f"Recovered {pages} page{'s' if pages > 1 else ''} of an interrupted fax:"


def _crash_record(job: str, at: datetime, pages: int) -> FaxRecord:
    kept = f"{pages} page{'s' if pages != 1 else ''} had been kept" if pages else "no page had arrived"
    return FaxRecord(
        job=job,
        job_type=JobType.JT_FAIL_RECEIVE,
        device_id=0,
        device_name="",
        started_at=at,
        ended_at=at,
        status_id=FaxStatus.FS_FATAL_ERROR,
        cause=Cause.INTERNAL,
        sentence=f"The service stopped while the fax was being received; {kept}.",
        pages=pages,
    )
