"""Jobs over the API: list, submit, abort, change.

Owns      whose job it is and who may touch it, form fields to an Order. Not here: the queue (the door).
Source    FaxEnumJobs, FaxGetJob, FaxSendDocument, FaxAbort, FaxSetJob and the errors they document.

A client always sees and handles its own jobs; FAX_JOB_QUERY shows those of others, FAX_JOB_MANAGE changes them.
"""

from collections.abc import Callable
from dataclasses import replace
from typing import Any, Final

from starlette.responses import Response

from vfax.fsp.constants import AccessRight
from vfax.host.api import wire
from vfax.host.api.calls import Answer, Call, no_content
from vfax.host.api.files import file_response
from vfax.host.api.parsing import (
    JsonKind,
    denied,
    invalid,
    parse_flag,
    parse_job,
    parse_number,
    parse_status,
    parse_text,
    parse_time,
    parse_word,
    shown,
)
from vfax.host.api.uploads import Form, received
from vfax.host.door import Addressee, HostDoor, JobChange, JobCommand, Order, Rescheduled
from vfax.host.store.values import Priority, StoredJob

OTHERS: Final = AccessRight.FAX_JOB_QUERY | AccessRight.FAX_JOB_MANAGE
PRIORITIES: Final = {priority.name.lower(): priority for priority in Priority}
COMMANDS: Final = {command.value: command for command in JobCommand}
LONGEST_NUMBER: Final = 256
MOST_RETRIES: Final = 1_000
LONGEST_DELAY: Final = 604_800  # a week


async def list_jobs(door: HostDoor, call: Call) -> Response:
    """GET /v1/jobs"""
    asked = call.query("status", "owner", "ended", "limit", "before")
    owner = parse_text(asked["owner"], "owner") if "owner" in asked else None
    if not call.visitor.may(OTHERS):
        if owner not in (None, call.visitor.name):
            raise denied(f"the jobs of {shown(owner)} are not yours: to see them takes FAX_JOB_QUERY")
        owner = call.visitor.name
    found = await door.jobs(
        status=parse_status(asked["status"]) if "status" in asked else None,
        owner=owner,
        ended=parse_flag(asked["ended"], "ended") if "ended" in asked else None,
        limit=parse_number(asked.get("limit", "100"), "limit", low=1, high=call.options.max_rows),
        before=parse_job(asked["before"]) if "before" in asked else None,
    )
    moving = await door.moving()
    return Answer({"jobs": [wire.job(job, moving.get(job.id)) for job in found]})


async def get_job(door: HostDoor, call: Call) -> Response:
    """GET /v1/jobs/{job}"""
    job = await _seen(door, call)
    return Answer(wire.job(job, (await door.moving()).get(job.id)))


async def get_attempts(door: HostDoor, call: Call) -> Response:
    """GET /v1/jobs/{job}/attempts"""
    job = await _seen(door, call)
    return Answer({"attempts": [wire.attempt(one) for one in await door.attempts(job.id)]})


async def get_document(door: HostDoor, call: Call) -> Response:
    """GET /v1/jobs/{job}/document"""
    job = await _changeable(door, call)
    return await file_response(await door.document(job.id), f"{job.name}.tif")


async def abort_job(door: HostDoor, call: Call) -> Response:
    """POST /v1/jobs/{job}/abort"""
    job = await _changeable(door, call)
    await call.json({})
    await door.abort(job.id)
    return no_content()


async def change_job(door: HostDoor, call: Call) -> Response:
    """PATCH /v1/jobs/{job}"""
    job = await _changeable(door, call)
    kinds: dict[str, JsonKind] = {"command": str, "priority": str, "schedule": (str, type(None))}
    found = await call.json(kinds)
    if len(found) != 1:
        raise invalid(f"expected one of {', '.join(kinds)}, not {len(found)} of them")
    ((key, value),) = found.items()
    return Answer(wire.job(await door.change(job.id, _change(key, value))))


def _change(key: str, value: object) -> JobChange:
    if key == "command":
        return parse_word(str(value), key, COMMANDS)
    if key == "priority":
        return parse_word(str(value), key, PRIORITIES)
    return Rescheduled(None if value is None else parse_time(str(value), key))


async def _seen(door: HostDoor, call: Call) -> StoredJob:
    """The job of the path, if the visitor may see it."""
    return await _one(door, call, OTHERS)


async def _changeable(door: HostDoor, call: Call) -> StoredJob:
    """The job of the path, if the visitor may change it."""
    return await _one(door, call, AccessRight.FAX_JOB_MANAGE)


async def _one(door: HostDoor, call: Call, others: AccessRight) -> StoredJob:
    number = parse_job(call.path("job"))
    call.query()
    job = await door.job(number)
    if job is None:
        raise invalid(f"there is no job {number:08x}", 404)
    if job.owner != call.visitor.name and not call.visitor.may(others):
        wanted = " or ".join(str(right.name) for right in others)
        raise denied(f"job {job.name} is not yours: to do this with it takes {wanted}")
    return job


# --- submitting --------------------------------------------------------------------------------------


async def submit(door: HostDoor, call: Call) -> Response:
    """POST /v1/jobs"""
    call.query()
    async with received(call) as form:
        jobs = await door.submit(order_of(form, call))
        return Answer({"jobs": [wire.job(job) for job in jobs]}, status_code=201)


def order_of(form: Form, call: Call) -> Order:
    """What the form orders. Raises Refused."""
    if form.upload is None:
        raise invalid("the body has no document: send it as a part of that name")
    addressees: list[Addressee] = []
    found: dict[str, Any] = {}
    for name, text in form.fields:
        if name == "recipient":
            addressees.append(parse_addressee(text))
        elif name not in FIELDS:
            raise invalid(f"field {shown(name)}: unknown; expected document, recipient, {', '.join(FIELDS)}")
        elif name in found:
            raise invalid(f"field {shown(name)} is there twice")
        elif text:
            found[name] = FIELDS[name](text, name)
    if not addressees:
        raise invalid("the body has no recipient: send each as a part of that name")
    if len(addressees) > call.options.max_recipients:
        raise invalid(f"{len(addressees)} recipients, and {call.options.max_recipients} are the limit here")
    order = Order(upload=form.upload, addressees=tuple(addressees), owner=call.visitor.name)
    return replace(order, **{ATTRIBUTE_OF.get(name, name): value for name, value in found.items()})


def parse_addressee(text: str) -> Addressee:
    """`NUMBER`, or `NAME <NUMBER>`; the number is judged by the host."""
    line = parse_text(text.strip(), "recipient", longest=2 * LONGEST_NUMBER)
    name, bracket, number = line.rpartition("<")
    if bracket and number.endswith(">"):
        line, name = number[:-1].strip(), name.strip().strip('"')
    else:
        name = ""
    if not line or len(line) > LONGEST_NUMBER:
        raise invalid(f"recipient {shown(text)}: expected a number or a SIP URI, or NAME <NUMBER>")
    return Addressee(number=line, name=parse_text(name, "the name of a recipient", longest=128))


FIELDS: Final[dict[str, Callable[[str, str], object]]] = {
    "sender_name": lambda text, name: parse_text(text, name, longest=128),
    "sender_number": lambda text, name: parse_text(text, name, longest=64),
    "subject": parse_text,
    "subaddress": lambda text, name: parse_text(text, name, longest=20),
    "sender_password": lambda text, name: parse_text(text, name, longest=20),
    "first_page": lambda text, name: parse_number(text, name, low=1, high=100_000),
    "priority": lambda text, name: parse_word(text, name, PRIORITIES),
    "schedule": parse_time,
    "expires": parse_time,
    "max_retries": lambda text, name: parse_number(text, name, high=MOST_RETRIES),
    "retry_delay": lambda text, name: float(parse_number(text, name, high=LONGEST_DELAY)),
    "resolution": lambda text, name: parse_text(text, name, longest=32),
}
"""Fields of a submission besides document and recipient."""

ATTRIBUTE_OF: Final = {"schedule": "schedule_at", "expires": "expires_at"}
