"""The record of one fax: what stands in the JSON file beside a document, and the sentence people read.

Owns      the record's fields and their JSON form.
Not here  where it is written (spool.py), how the facts were found (jobs.py).

Text that came from the peer (caller, remote_id, dialled, subaddress, sentence) is data: shown escaped, never a path,
never parsed.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Final

from vfax.fsp.constants import FaxStatus, JobType
from vfax.outcome import Cause, Outcome, Retry, T30Result

RECORD_VERSION: Final = 1
"""Raised when a field changes its meaning; new fields do not raise it."""


@dataclass(frozen=True, slots=True, kw_only=True)
class FaxRecord:
    """One fax, received or sent, as kept and shown.

    `status_id` is the final FS_* value of the contract; `cause` is finer where the provider says more, and
    `job_type` tells a whole reception (JT_RECEIVE) from a partial one (JT_FAIL_RECEIVE). Times are UTC, durations
    seconds; `rate_bps` 0, `ecm` None and "" mean that the provider did not say. `verdict` and `t30_result` are those of
    docs/outcomes.md.
    """

    job: str
    job_type: JobType
    device_id: int
    device_name: str
    started_at: datetime
    ended_at: datetime
    status_id: int
    cause: Cause
    sentence: str
    pages: int = 0
    bad_rows: int = 0
    caller: str = ""
    caller_name: str = ""
    remote_id: str = ""
    dialled: str = ""
    subaddress: str = ""
    rate_bps: int = 0
    ecm: bool | None = None
    encrypted: bool = False
    coding: str = ""
    resolution: str = ""
    retry: str = ""
    verdict: str = ""
    t30_result: int | None = None
    sip_status: int | None = None
    q850: int | None = None
    document: str | None = None
    journal: str = ""

    @property
    def ok(self) -> bool:
        """True when every page arrived and was confirmed."""
        return self.cause is Cause.COMPLETE

    @property
    def received(self) -> bool:
        """True for an incoming fax."""
        return self.job_type is not JobType.JT_SEND

    @property
    def incomplete(self) -> bool:
        """True when a received fax misses something: the call failed, or a crash interrupted it."""
        return self.job_type is JobType.JT_FAIL_RECEIVE

    @property
    def duration(self) -> float:
        """Seconds from the start of the job to its end."""
        return max(0.0, (self.ended_at - self.started_at).total_seconds())

    def to_json(self) -> dict[str, object]:
        """The record as it is written: nested where people read it, flat enough for a script."""
        return {
            "version": RECORD_VERSION,
            "job": self.job,
            "type": self.job_type.name,
            "device": {"id": self.device_id, "name": self.device_name},
            "started": stamp(self.started_at),
            "ended": stamp(self.ended_at),
            "duration": round(self.duration, 3),
            "caller": {"id": self.caller, "name": self.caller_name},
            "remote_id": self.remote_id,
            "dialled": self.dialled,
            "subaddress": self.subaddress,
            "pages": self.pages,
            "incomplete": self.incomplete,
            "rate": self.rate_bps,
            "ecm": self.ecm,
            "encrypted": self.encrypted,
            "coding": self.coding,
            "resolution": self.resolution,
            "outcome": {
                "ok": self.ok,
                "cause": self.cause.value,
                "sentence": self.sentence,
                "status": status_name(self.status_id),
                "bad_rows": self.bad_rows,
                "retry": self.retry,
                "verdict": self.verdict,
                "t30_result": self.t30_result,
                "sip_status": self.sip_status,
                "q850": self.q850,
            },
            "files": {"document": self.document, "journal": self.journal},
        }


def record_of(plain: Mapping[str, object]) -> FaxRecord | None:
    """Read a record as `to_json` wrote it; None for what is none. What a fax is routed by is read, not all of it."""
    try:
        caller, device, outcome = (_part(plain, name) for name in ("caller", "device", "outcome"))
        pages, number = plain.get("pages"), device.get("id")
        return FaxRecord(
            job=str(plain["job"]),
            job_type=JobType[str(plain["type"])],
            device_id=number if isinstance(number, int) else 0,
            device_name=str(device.get("name", "")),
            started_at=datetime.fromisoformat(str(plain["started"])),
            ended_at=datetime.fromisoformat(str(plain["ended"])),
            status_id=FaxStatus.__members__.get(str(outcome.get("status")), FaxStatus.FS_FATAL_ERROR),
            cause=Cause(str(outcome.get("cause"))),
            sentence=str(outcome.get("sentence", "")),
            pages=pages if isinstance(pages, int) else 0,
            caller=str(caller.get("id", "")),
            caller_name=str(caller.get("name", "")),
            remote_id=str(plain.get("remote_id", "")),
            dialled=str(plain.get("dialled", "")),
            subaddress=str(plain.get("subaddress", "")),
        )
    except (KeyError, ValueError):
        return None


def _part(plain: Mapping[str, object], name: str) -> Mapping[str, object]:
    part = plain.get(name)
    return part if isinstance(part, Mapping) else {}


def stamp(at: datetime) -> str:
    """A time in UTC as people and programs both read it: 2025-01-31T12:00:00.123Z."""
    return at.astimezone(UTC).isoformat(timespec="milliseconds").removesuffix("+00:00") + "Z"


def status_name(status_id: int) -> str:
    """FS_COMPLETED for 0x20000008; a number in hexadecimal for a status of the provider's own."""
    try:
        return FaxStatus(status_id).name
    except ValueError:
        return f"0x{status_id:08X}"


CAUSE_OF_STATUS: Final[dict[int, Cause]] = {
    FaxStatus.FS_COMPLETED: Cause.COMPLETE,
    FaxStatus.FS_LINE_UNAVAILABLE: Cause.LINE_UNAVAILABLE,
    FaxStatus.FS_BUSY: Cause.BUSY,
    FaxStatus.FS_NO_ANSWER: Cause.NO_ANSWER,
    FaxStatus.FS_BAD_ADDRESS: Cause.BAD_ADDRESS,
    FaxStatus.FS_NO_DIAL_TONE: Cause.NETWORK,
    FaxStatus.FS_DISCONNECTED: Cause.PEER_HUNG_UP,
    FaxStatus.FS_NOT_FAX_CALL: Cause.NOT_FAX,
    FaxStatus.FS_CALL_DELAYED: Cause.REJECTED,
    FaxStatus.FS_CALL_BLACKLISTED: Cause.REJECTED,
    FaxStatus.FS_USER_ABORT: Cause.ABORTED,
}
"""What an FS_* value says when the provider says nothing finer; all others are INTERNAL."""

SENTENCE_OF_STATUS: Final[dict[int, str]] = {
    FaxStatus.FS_COMPLETED: "The fax is complete.",
    FaxStatus.FS_LINE_UNAVAILABLE: "No line was free.",
    FaxStatus.FS_BUSY: "The number called is busy.",
    FaxStatus.FS_NO_ANSWER: "Nobody answered.",
    FaxStatus.FS_BAD_ADDRESS: "The number called does not exist or cannot be dialled.",
    FaxStatus.FS_NO_DIAL_TONE: "There is no connection to the network.",
    FaxStatus.FS_DISCONNECTED: "The other side hung up.",
    FaxStatus.FS_FATAL_ERROR: "The fax failed in the middle.",
    FaxStatus.FS_NOT_FAX_CALL: "The caller was no fax machine.",
    FaxStatus.FS_CALL_DELAYED: "The number may not be called again so soon.",
    FaxStatus.FS_CALL_BLACKLISTED: "The number is blocked.",
    FaxStatus.FS_USER_ABORT: "The fax was aborted.",
}

_WITHOUT_CALL: Final[dict[tuple[Cause, bool], tuple[str, T30Result]]] = {
    (Cause.LINE_UNAVAILABLE, True): ("no-line", T30Result.NO_LINE),
    (Cause.LINE_UNAVAILABLE, False): ("no-line-for-call", T30Result.NO_LINE),
    (Cause.STORAGE, True): ("document-not-stored", T30Result.STORAGE),
    (Cause.STORAGE, False): ("document-not-stored", T30Result.STORAGE),
}
"""What docs/outcomes.md says of what the host itself can meet."""


def without_call(cause: Cause, sentence: str, *, sending: bool) -> Outcome:
    """The outcome of a fax that the host could not take or keep: as vfax.verdict has it, which knows calls and their
    roads, and the host does not (a test holds the two equal)."""
    verdict, result = _WITHOUT_CALL[cause, sending]
    return Outcome(cause=cause, sentence=sentence, retry=Retry.LATER, verdict=verdict, t30_result=result)
