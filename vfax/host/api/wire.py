"""The host's values as JSON: what clients read.

Owns      the names and shapes of all answers. Not here: reading requests (parsing.py).

Numbers of the contract come with their names; times are UTC as in 2025-01-31T12:00:00.123Z; passwords never leave.
"""

from datetime import UTC, datetime

from vfax.fsp.constants import DeviceState, EventId, JobStatusEnum, PortFlag, Win32
from vfax.fsp.structures import FaxEvent
from vfax.host.api.identity import Visitor, words_of
from vfax.host.api.parsing import Refused
from vfax.host.door import DeviceInfo, ServerInfo
from vfax.host.events import JobMoved
from vfax.host.notify import Connection, Hub, Lease, Mode, Registration
from vfax.host.records import stamp, status_name
from vfax.host.store.values import DeliveryAttempt, StoredAttempt, StoredDelivery, StoredEvent, StoredFax, StoredJob

Json = dict[str, object]

FILETIME_EPOCH = 11_644_473_600
"""Seconds from 1601-01-01 to 1970-01-01."""


def filetime(at: datetime) -> int:
    """A time as FAX_EVENT has it: 100 ns ticks since 1601-01-01 UTC."""
    seconds = int(at.timestamp())
    return (seconds + FILETIME_EPOCH) * 10_000_000 + at.microsecond * 10


def time_of(ticks: int) -> str:
    """A FILETIME as text; empty for what no calendar has."""
    try:
        return stamp(datetime.fromtimestamp(ticks / 10_000_000 - FILETIME_EPOCH, UTC))
    except (ValueError, OverflowError, OSError):
        return ""


def error(why: Refused) -> Json:
    """An error: the number, its name, a sentence."""
    return {"error": {"winerror": int(why.winerror), "name": Win32(why.winerror).name, "sentence": str(why)}}


def at(when: datetime | None) -> str | None:
    """A time, or null."""
    return None if when is None else stamp(when)


def server(info: ServerInfo, hub: Hub, visitor: Visitor) -> Json:
    """The host, the session, and who asks."""
    return {
        "host": info.host,
        "version": info.version,
        "session": {"id": hub.session, "state": hub.state.value, "events": hub.published},
        "profile": hub.options.profile.value,
        "account": hub.options.account.value,
        "queue_paused": info.queue_paused,
        "counts": {str(JobStatusEnum(status).name): count for status, count in info.counts.items()},
        "running": [f"{job:08x}" for job in info.running],
        "you": {"name": visitor.name, "rights": words_of(visitor.rights), "local": visitor.local},
    }


def device(info: DeviceInfo) -> Json:
    """FAX_PORT_INFO."""
    return {
        "id": info.device_id,
        "name": info.name,
        "provider": info.provider,
        "state": DeviceState(info.state).name,
        "receive": PortFlag.FPF_RECEIVE in info.flags,
        "send": PortFlag.FPF_SEND in info.flags,
        "virtual": PortFlag.FPF_VIRTUAL in info.flags,
        "job": None if info.job is None else f"{info.job:08x}",
        "priority": info.priority,
        "tsid": info.tsid,
        "csid": info.csid,
        "reason": info.reason,
    }


def job(stored: StoredJob, moved: JobMoved | None = None) -> Json:
    """FAX_JOB_ENTRY, and how far the fax is while it is on the line."""
    return {
        "job": stored.name,
        "id": stored.id,
        "type": stored.job_type.name,
        "status": stored.status.name,
        "paused": stored.paused,
        "no_line": stored.no_line,
        "cancel_asked": stored.cancel_asked,
        "submission": stored.submission,
        "owner": stored.owner,
        "recipient": {
            "number": stored.recipient.number,
            "name": stored.recipient.name,
            "given": stored.recipient.given,
        },
        "sender": {"name": stored.sender_name, "number": stored.sender_number},
        "subject": stored.subject,
        "subaddress": stored.subaddress,
        "pages": stored.pages,
        "next_page": stored.next_page,
        "priority": stored.priority.name.lower(),
        "created": at(stored.created_at),
        "schedule": at(stored.schedule_at),
        "next_attempt": at(stored.next_attempt_at),
        "expires": at(stored.expires_at),
        "ended": at(stored.ended_at),
        "attempts": stored.attempts,
        "failures": stored.failures,
        "max_retries": stored.max_retries,
        "uncertain": stored.uncertain,
        "device": stored.device_id,
        "fax_status": status_name(stored.status_id) if stored.status_id else "",
        "cause": stored.cause,
        "sentence": stored.sentence,
        "progress": None if moved is None else progress(moved),
    }


def progress(moved: JobMoved) -> Json:
    """How far a running fax is."""
    return {
        "direction": moved.direction.value,
        "status": moved.status,
        "page": moved.page,
        "done": moved.done,
        "total": moved.total,
        "rate": moved.rate_bps,
        "remote_id": moved.remote_id,
        "caller_id": moved.caller_id,
    }


def attempt(stored: StoredAttempt) -> Json:
    """One try of a job."""
    return {
        "number": stored.number,
        "host": stored.host,
        "device": stored.device_id,
        "started": at(stored.started_at),
        "ended": at(stored.ended_at),
        "first_page": stored.first_page,
        "pages_confirmed": stored.pages_confirmed,
        "fax_status": status_name(stored.status_id) if stored.status_id else "",
        "cause": stored.cause,
        "sentence": stored.sentence,
        "interrupted": stored.interrupted,
    }


def fax(stored: StoredFax) -> Json:
    """A received fax."""
    return {
        "job": f"{stored.job:08x}",
        "received": at(stored.received_at),
        "delivered": at(stored.delivered_at),
        "document": stored.document is not None and stored.removed_at is None,
        "octets": stored.octets,
        "digest": stored.digest,
        "record": dict(stored.record),
    }


def delivery(stored: StoredDelivery) -> Json:
    """One target of a received fax."""
    return {
        "id": stored.id,
        "job": f"{stored.job:08x}",
        "rule": stored.rule,
        "kind": stored.kind,
        "target": dict(stored.target),
        "state": stored.state.value,
        "created": at(stored.created_at),
        "next_attempt": at(stored.next_attempt_at),
        "ended": at(stored.ended_at),
        "alarmed": at(stored.alarmed_at),
        "attempts": stored.attempts,
        "sentence": stored.sentence,
    }


def delivery_attempt(stored: DeliveryAttempt) -> Json:
    """One try of a delivery."""
    return {
        "number": stored.number,
        "started": at(stored.started_at),
        "ended": at(stored.ended_at),
        "ok": stored.ok,
        "sentence": stored.sentence,
    }


def event(found: FaxEvent) -> Json:
    """FAX_EVENT, as completion packets carry it."""
    return {
        "event": int(found.event_id),
        "name": found.event_id.name,
        "device": found.device_id,
        "job": found.job_id,
        "time": found.time_stamp,
        "at": time_of(found.time_stamp),
    }


def message(found: FaxEvent, message_start: int) -> Json:
    """A message: three numbers, no time."""
    return {"message": message_start + found.event_id, "device": found.device_id, "job": found.job_id}


def stored_event(stored: StoredEvent) -> Json:
    """An event of the past; `sequence` is its place among all that were stored."""
    known = stored.event_id in {int(one) for one in EventId}
    return {
        "sequence": stored.sequence,
        "session": stored.session,
        "event": stored.event_id,
        "name": EventId(stored.event_id).name if known else "",
        "device": stored.device_id,
        "job": stored.job_id,
        "time": stored.time_stamp,
        "at": time_of(stored.time_stamp),
    }


def connection(found: Connection) -> Json:
    """A FaxHandle as everybody may see it: its id is told to its owner alone."""
    return {"client": client_name(found), "opened": time_of(found.opened_at)}


def client_name(of: Connection | Registration | Lease) -> Json:
    """Who it is."""
    client = of.client
    return {"name": client.name, "process": client.process, "local": client.local}


def registration(found: Registration) -> Json:
    """A registration as everybody may see it."""
    return {
        "client": client_name(found),
        "mode": found.mode.value,
        "message_start": found.message_start if found.mode is Mode.MESSAGES else None,
        "opened": time_of(found.opened_at),
        "delivered": found.delivered,
        "crosses": found.crosses,
        "ended": found.ended,
    }


def lease(found: Lease) -> Json:
    """A lease: while it is there, the client's desktop is held."""
    return {"client": client_name(found), "sink": str(found.sink), "opened": time_of(found.opened_at)}
