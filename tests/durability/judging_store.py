"""What must hold in a store, and in the folders that faxes are delivered to, after a crash and the next start.

Owns      `judge_store`: the store held against the spool, which is the truth, and the folders against both.
Not here  the spool itself (judging.py), how it came to the crash (crash.py, power_store.py).
"""

import hashlib
import json
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from tests.durability.databases import store_url
from tests.durability.serving import ROUTES
from vfax.fsp.constants import JobStatusEnum, JobType
from vfax.host.store.store import Store
from vfax.host.store.values import DeliveryState, StoredFax, StoredJob
from vfax.settings.routes import RouteSettings

MOST = 1_000


@dataclass(frozen=True, slots=True)
class _OnRecord:
    """A fax of the spool: its record, and its document where it has one."""

    path: Path
    record: dict[str, Any]

    @property
    def document(self) -> Path | None:
        document = self.path.with_suffix(".tif")
        return document if document.exists() else None


def judge_store(root: Path, begun: Iterable[str] = ()) -> list[str]:
    """What does not hold, in sentences; `begun` are jobs that the host said had begun."""
    spool = root / "spool"
    records = [path for folder in ("inbox", "failed") for path in sorted((spool / folder).glob("*.json"))]
    on_record = {int(path.stem[-8:], 16): _OnRecord(path, json.loads(path.read_bytes())) for path in records}
    store = Store.open(store_url(root))
    try:
        faxes = {fax.job: fax for fax in store.faxes(limit=MOST)}
        jobs = {job.id: job for job in store.jobs(limit=MOST) if job.job_type is not JobType.JT_SEND}
        wrong = [f"{on_record[job].path.name} is not in the store" for job in on_record.keys() - faxes.keys()]
        wrong += [f"the store has a fax {job:08x} that the spool has not" for job in faxes.keys() - on_record.keys()]
        wrong += [f"job {job} had begun and is not in the store" for job in begun if int(job, 16) not in jobs]
        for job in jobs.values():
            wrong += [f"job {job.name}: {sentence}" for sentence in _judge_job(store, job)]
        for number in faxes.keys() & on_record.keys():
            found = _judge_fax(spool, faxes[number], on_record[number], jobs.get(number))
            wrong += [f"fax {number:08x}: {sentence}" for sentence in found]
            wrong += [f"fax {number:08x}: {sentence}" for sentence in _judge_deliveries(store, faxes[number])]
    finally:
        store.close()
    documents = [one.document.read_bytes() for one in on_record.values() if one.document is not None]
    return wrong + [sentence for route in ROUTES for sentence in _judge_folder(spool, route, documents)]


def _judge_job(store: Store, job: StoredJob) -> list[str]:
    wrong = []
    if job.status is JobStatusEnum.fjsINPROGRESS or job.ended_at is None:
        wrong.append(f"nobody receives it any more, and it is {job.status.name}")
    if store.fax(job.id) is None:
        wrong.append("it has begun, and no fax of it is listed")
    running = [attempt.number for attempt in store.attempts(job.id) if attempt.ended_at is None]
    return wrong + [f"its attempt {number} has no end" for number in running]


def _judge_fax(spool: Path, fax: StoredFax, there: _OnRecord, job: StoredJob | None) -> list[str]:
    wrong = []
    document = there.document
    octets = document.read_bytes() if document is not None else b""
    name = document.relative_to(spool).as_posix() if document is not None else None
    digest = hashlib.sha256(octets).hexdigest() if document is not None else ""
    if (fax.document, fax.digest, fax.octets) != (name, digest, len(octets)):
        wrong.append(f"the document is {name} ({digest}), and the store says {fax.document} ({fax.digest})")
    if fax.record != there.record:
        wrong.append("spool and store have different records of it")
    if job is None:
        return [*wrong, "it has no job"]
    whole = not there.record["incomplete"]
    kind = JobType.JT_RECEIVE if whole else JobType.JT_FAIL_RECEIVE
    status = JobStatusEnum.fjsCOMPLETED if whole else JobStatusEnum.fjsFAILED
    listed = (job.job_type, job.status, job.pages, job.document)
    if listed != (kind, status, there.record["pages"], name or ""):
        wrong.append(f"its record says {kind.name} of {there.record['pages']} pages, and it is listed as {listed}")
    return wrong


def _judge_deliveries(store: Store, fax: StoredFax) -> list[str]:
    made = store.deliveries(fax.job)
    wanted = [route.name for route in ROUTES] if fax.document is not None else []
    if [one.rule for one in made] != wanted:
        return [f"it is for {wanted}, and its deliveries are {[one.rule for one in made]}"]
    undone = [one for one in made if one.state is not DeliveryState.DONE]
    return [f"its delivery by {one.rule} is {one.state}: {one.sentence}" for one in undone]


def _judge_folder(spool: Path, route: RouteSettings, documents: Sequence[bytes]) -> list[str]:
    """Every fax is there at least once, and nothing else is."""
    folder = spool / route.folder
    files = sorted(folder.iterdir()) if folder.is_dir() else []
    delivered = [path.read_bytes() for path in files if path.suffix == ".tif"]
    wrong = [f"{route.folder} misses a fax that is in the inbox" for one in documents if one not in delivered]
    for path in files:
        if path.name.startswith(".") or path.suffix not in (".tif", ".json"):
            wrong.append(f"{route.folder} holds {path.name}")
        elif path.suffix == ".tif" and path.read_bytes() not in documents:
            wrong.append(f"{route.folder} holds {path.name}, which is no fax of the inbox")
        elif path.suffix == ".tif" and route.record and not path.with_suffix(".json").exists():
            wrong.append(f"{route.folder} holds {path.name} without its record")
    return wrong
