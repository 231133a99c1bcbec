"""The rest of the host over the API: itself, devices, the queue's switch, received faxes, deliveries, the past.

Owns      what is read from these requests and answered. Not here: what the host does (the door), jobs (jobs.py).
Source    FaxGetConfiguration, FaxSetConfiguration (PauseServerQueue), FaxEnumPorts, FaxSetPort.
"""

from typing import Final

from starlette.responses import Response

from vfax.fsp.constants import PortFlag
from vfax.host.api import wire
from vfax.host.api.calls import Answer, Call
from vfax.host.api.files import file_response
from vfax.host.api.parsing import invalid, parse_flag, parse_job, parse_number, parse_text, parse_word
from vfax.host.door import HostDoor
from vfax.host.store.values import DeliveryState, StoredFax

STATES: Final = {state.value: state for state in DeliveryState}
HIGHEST_ID: Final = (1 << 63) - 1


async def list_devices(door: HostDoor, call: Call) -> Response:
    """GET /v1/devices"""
    call.query()
    return Answer({"devices": [wire.device(one) for one in await door.devices()]})


async def list_trunks(door: HostDoor, call: Call) -> Response:
    """GET /v1/trunks"""
    call.query()
    return Answer({"trunks": await door.trunks()})


async def list_peers(door: HostDoor, call: Call) -> Response:
    """GET /v1/peers"""
    call.query()
    return Answer({"peers": await door.peers()})


async def forget_peers(door: HostDoor, call: Call) -> Response:
    """DELETE /v1/peers"""
    asked = call.query("peer", "number")
    peer, number = (parse_text(asked.get(name, ""), name) for name in ("peer", "number"))
    forgotten = await door.forget_peers(peer, number)
    return Answer({"forgotten": forgotten})


async def set_device(door: HostDoor, call: Call) -> Response:
    """PATCH /v1/devices/{device}"""
    call.query()
    number = parse_number(call.path("device"), "device", low=1)
    found = await call.json({"send": bool, "receive": bool})
    now = next((one for one in await door.devices() if one.device_id == number), None)
    if now is None:
        raise invalid(f"there is no device {number}", 404)
    flags = now.flags & (PortFlag.FPF_SEND | PortFlag.FPF_RECEIVE)
    for key, flag in (("send", PortFlag.FPF_SEND), ("receive", PortFlag.FPF_RECEIVE)):
        if key in found:
            flags = flags | flag if found[key] else flags & ~flag
    return Answer(wire.device(await door.set_device(number, flags)))


async def get_queue(door: HostDoor, call: Call) -> Response:
    """GET /v1/queue"""
    call.query()
    return Answer({"paused": (await door.server()).queue_paused})


async def set_queue(door: HostDoor, call: Call) -> Response:
    """PUT /v1/queue"""
    call.query()
    found = await call.json({"paused": bool})
    if "paused" not in found:
        raise invalid('expected {"paused": true} or {"paused": false}')
    await door.pause_queue(bool(found["paused"]))
    return Answer({"paused": (await door.server()).queue_paused})


async def list_faxes(door: HostDoor, call: Call) -> Response:
    """GET /v1/faxes"""
    asked = call.query("delivered", "limit", "before")
    found = await door.faxes(
        delivered=parse_flag(asked["delivered"], "delivered") if "delivered" in asked else None,
        limit=parse_number(asked.get("limit", "100"), "limit", low=1, high=call.options.max_rows),
        before=parse_job(asked["before"]) if "before" in asked else None,
    )
    return Answer({"faxes": [wire.fax(one) for one in found]})


async def get_fax(door: HostDoor, call: Call) -> Response:
    """GET /v1/faxes/{job}"""
    return Answer(wire.fax(await _fax(door, call)))


async def get_fax_document(door: HostDoor, call: Call) -> Response:
    """GET /v1/faxes/{job}/document"""
    fax = await _fax(door, call)
    return await file_response(await door.document(fax.job), f"{fax.job:08x}.tif")


async def get_fax_deliveries(door: HostDoor, call: Call) -> Response:
    """GET /v1/faxes/{job}/deliveries"""
    fax = await _fax(door, call)
    found = await door.deliveries(job=fax.job, limit=call.options.max_rows)
    return Answer({"deliveries": [wire.delivery(one) for one in found]})


async def _fax(door: HostDoor, call: Call) -> StoredFax:
    number = parse_job(call.path("job"))
    call.query()
    fax = await door.fax(number)
    if fax is None:
        raise invalid(f"there is no received fax {number:08x}", 404)
    return fax


async def list_deliveries(door: HostDoor, call: Call) -> Response:
    """GET /v1/deliveries"""
    asked = call.query("state", "limit")
    found = await door.deliveries(
        state=parse_word(asked["state"], "state", STATES) if "state" in asked else None,
        limit=parse_number(asked.get("limit", "100"), "limit", low=1, high=call.options.max_rows),
    )
    return Answer({"deliveries": [wire.delivery(one) for one in found]})


async def get_delivery_attempts(door: HostDoor, call: Call) -> Response:
    """GET /v1/deliveries/{delivery}/attempts"""
    call.query()
    number = parse_number(call.path("delivery"), "delivery", low=1, high=HIGHEST_ID)
    found = await door.delivery_attempts(number)
    return Answer({"attempts": [wire.delivery_attempt(one) for one in found]})


async def retry_delivery(door: HostDoor, call: Call) -> Response:
    """POST /v1/deliveries/{delivery}/retry"""
    call.query()
    number = parse_number(call.path("delivery"), "delivery", low=1, high=HIGHEST_ID)
    await call.json({})
    return Answer(wire.delivery(await door.retry_delivery(number)))


async def get_history(door: HostDoor, call: Call) -> Response:
    """GET /v1/history"""
    asked = call.query("after", "limit")
    found = await door.history(
        after=parse_number(asked.get("after", "0"), "after", high=HIGHEST_ID),
        limit=parse_number(asked.get("limit", "100"), "limit", low=1, high=call.options.max_rows),
    )
    return Answer({"events": [wire.stored_event(one) for one in found]})
