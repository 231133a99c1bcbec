"""What becomes of a reception: delivered whole, delivered incomplete, kept as a record alone, or discarded.

Owns      the choice between them, the record of a received fax, and the repair of what a crash left behind.
Not here  the operation (jobs.py), the writes (spool.py), the pages themselves (vfax/pages.py).
Source    FaxDevReceive: after a failure the service tries to restore the pages received so far, unless the status is
          FS_USER_ABORT, when partial data are discarded.

The rules, first match wins:

    the provider said complete, and the file holds pages        inbox, JT_RECEIVE
    it said complete, and the file holds none                   failed, as FS_FATAL_ERROR
    FS_USER_ABORT, and it was not this service stopping         failed, the pages discarded
    anything else, with pages                                   inbox, JT_FAIL_RECEIVE, marked incomplete
    anything else, without                                      failed: a record and no document

Deviation: a service that stops keeps the pages it has confirmed (JT_FAIL_RECEIVE) although the status is FS_USER_ABORT:
no user asked for them to be thrown away.

Everything here blocks on the disk: call it from a worker thread.
"""

from dataclasses import replace
from datetime import datetime
from pathlib import Path

from vfax.codecs import tiff
from vfax.errors import DocumentError
from vfax.fsp.constants import FaxStatus, JobType
from vfax.host.jobs import Ending
from vfax.host.loading import Device
from vfax.host.records import FaxRecord
from vfax.host.spool import Kept, Spool, file_name
from vfax.outcome import Cause
from vfax.pages import PageFolder

EMPTY_DOCUMENT = "The provider called the fax complete, but left no page that can be read."


def count_pages(path: Path) -> int:
    """Pages of a fax document; 0 when it is empty, missing or cannot be read as one."""
    try:
        if path.stat().st_size == 0:
            return 0
        return len(tiff.read_headers(path))
    except (DocumentError, OSError):
        return 0


def conclude(spool: Spool, record: FaxRecord, ending: Ending) -> tuple[FaxRecord, Kept]:
    """Put a finished reception where it belongs and complete its record. Raises StoreError when the disk refuses."""
    document = spool.job_file(record.job)
    pages = count_pages(document)
    if not ending.ok and ending.cause is Cause.ABORTED and not ending.stopped_by_host:
        return _without_document(spool, record)
    if ending.ok and not pages:
        fatal = replace(record, status_id=FaxStatus.FS_FATAL_ERROR, cause=Cause.INTERNAL, sentence=EMPTY_DOCUMENT)
        return _without_document(spool, fatal)
    if not pages:
        try:
            pages = _salvage(document)
        except DocumentError as why:
            aside = spool.put_aside(record.job)
            record = replace(
                record, sentence=f"{record.sentence} Its pages cannot be read ({why}); they are in {aside}."
            )
    if not pages:
        return _without_document(spool, record)
    job_type = JobType.JT_RECEIVE if ending.ok else JobType.JT_FAIL_RECEIVE
    return _with_document(spool, replace(record, pages=pages, job_type=job_type))


def conclude_late(spool: Spool, record: FaxRecord, ending: Ending) -> tuple[FaxRecord, Kept] | None:
    """Do what the disk did not let `conclude` do; None when all had been moved but the last sync. Raises StoreError."""
    return conclude(spool, record, ending) if spool.holds(record.job) else None


def _salvage(document: Path) -> int:
    """Join the pages that were kept one by one and never became a document."""
    PageFolder(document).assemble(tiff.join_pages)
    return count_pages(document)


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
        coding=facts.coding if facts is not None else "",
        resolution=facts.resolution if facts is not None else "",
        retry=said.retry.value if said is not None else "",
        verdict=said.verdict if said is not None else "",
        t30_result=said.t30_result if said is not None else None,
        sip_status=said.sip_status if said is not None else None,
        journal=facts.journal_path if facts is not None else "",
    )


def recover(spool: Spool, job: str) -> tuple[Path, str]:
    """Deliver what a crash left of one job, or put it aside; returns where it is now and what to say about it.

    Raises StoreError when the disk refuses; the job stays where it is and is found again at the next start.
    """
    name = spool.interrupted_delivery(job)
    if name is not None and count_pages(spool.job_file(job)):
        kept = spool.finish_delivery(job, name)
        return kept.document or kept.record, "A delivery that was interrupted is finished:"
    try:
        return _recover_pages(spool, job)
    except DocumentError as why:
        return spool.put_aside(job), f"A fax found after a crash cannot be read ({why}) and was put aside:"


def _recover_pages(spool: Spool, job: str) -> tuple[Path, str]:
    document = spool.job_file(job)
    pages = _salvage(document) if spool.pages_folder(job).exists() else count_pages(document)
    if not pages and document.exists() and document.stat().st_size:
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
