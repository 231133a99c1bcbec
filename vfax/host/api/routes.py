"""Every request the API knows: method, path, the right it needs, who answers it.

Owns      the table. Not here: the answers; whose job it is, which decides besides the right (jobs.py).

A request needs any one of the rights in its row.
"""

from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from typing import Final

from starlette.responses import Response

from vfax.fsp.constants import AccessRight
from vfax.host.api import jobs, resources, wire
from vfax.host.api.calls import Answer, Call
from vfax.host.api.registrations import Desk
from vfax.host.door import HostDoor


@dataclass(frozen=True, slots=True)
class Row:
    """One request."""

    method: str
    path: str
    needs: AccessRight
    answer: Callable[[HostDoor, Desk, Call], Awaitable[Response]]


async def get_server(door: HostDoor, desk: Desk, call: Call) -> Response:
    """GET /v1/server"""
    call.query()
    return Answer(wire.server(await door.server(), desk.hub, call.visitor))


def _door(answer: Callable[[HostDoor, Call], Awaitable[Response]]) -> Callable[..., Awaitable[Response]]:
    return lambda door, desk, call: answer(door, call)


def _desk(answer: Callable[[Desk, Call], Awaitable[Response]]) -> Callable[..., Awaitable[Response]]:
    return lambda door, desk, call: answer(desk, call)


_A = AccessRight
ANYBODY: Final = _A(0)
OWN: Final = _A.FAX_JOB_SUBMIT | _A.FAX_JOB_QUERY | _A.FAX_JOB_MANAGE
SEE: Final = _A.FAX_JOB_QUERY | _A.FAX_JOB_MANAGE
PORTS: Final = _A.FAX_PORT_QUERY | _A.FAX_PORT_SET
CONFIG: Final = _A.FAX_CONFIG_QUERY | _A.FAX_CONFIG_SET

TABLE: Final = (
    Row("GET", "/v1/server", ANYBODY, get_server),
    Row("GET", "/v1/devices", PORTS, _door(resources.list_devices)),
    Row("PATCH", "/v1/devices/{device}", _A.FAX_PORT_SET, _door(resources.set_device)),
    Row("GET", "/v1/jobs", OWN, _door(jobs.list_jobs)),
    Row("POST", "/v1/jobs", _A.FAX_JOB_SUBMIT, _door(jobs.submit)),
    Row("GET", "/v1/jobs/{job}", OWN, _door(jobs.get_job)),
    Row("PATCH", "/v1/jobs/{job}", OWN, _door(jobs.change_job)),
    Row("GET", "/v1/jobs/{job}/attempts", OWN, _door(jobs.get_attempts)),
    Row("GET", "/v1/jobs/{job}/document", OWN, _door(jobs.get_document)),
    Row("POST", "/v1/jobs/{job}/abort", OWN, _door(jobs.abort_job)),
    Row("GET", "/v1/queue", CONFIG, _door(resources.get_queue)),
    Row("PUT", "/v1/queue", _A.FAX_CONFIG_SET, _door(resources.set_queue)),
    Row("GET", "/v1/trunks", PORTS, _door(resources.list_trunks)),
    Row("GET", "/v1/peers", CONFIG, _door(resources.list_peers)),
    Row("DELETE", "/v1/peers", _A.FAX_CONFIG_SET, _door(resources.forget_peers)),
    Row("GET", "/v1/faxes", SEE, _door(resources.list_faxes)),
    Row("GET", "/v1/faxes/{job}", SEE, _door(resources.get_fax)),
    Row("GET", "/v1/faxes/{job}/document", _A.FAX_JOB_MANAGE, _door(resources.get_fax_document)),
    Row("GET", "/v1/faxes/{job}/deliveries", SEE, _door(resources.get_fax_deliveries)),
    Row("GET", "/v1/deliveries", SEE, _door(resources.list_deliveries)),
    Row("GET", "/v1/deliveries/{delivery}/attempts", SEE, _door(resources.get_delivery_attempts)),
    Row("POST", "/v1/deliveries/{delivery}/retry", _A.FAX_JOB_MANAGE, _door(resources.retry_delivery)),
    Row("GET", "/v1/history", SEE, _door(resources.get_history)),
    Row("POST", "/v1/connections", ANYBODY, _desk(Desk.connect)),
    Row("DELETE", "/v1/connections/{connection}", ANYBODY, _desk(Desk.close)),
    Row("POST", "/v1/registrations", OWN, _desk(Desk.register)),
    Row("DELETE", "/v1/registrations/{registration}", OWN, _desk(Desk.end)),
    Row("GET", "/v1/registrations/{registration}/events", OWN, _desk(Desk.read)),
    Row("GET", "/v1/stream", SEE, _desk(Desk.watch)),
    Row("GET", "/v1/clients", CONFIG, _desk(Desk.clients)),
)
