"""`vfax watch` and `vfax clients`: what happens at a running service, and who is told of it.

Owns      one sentence for each client event, the lines of both commands. Not here: the service, its client (client/).
"""

import json
from collections.abc import Iterator, Mapping
from contextlib import contextmanager, suppress
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any, Final

import typer
from rich.console import Console

from vfax import client
from vfax.cli import exits
from vfax.cli.common import fail, out, print_json
from vfax.cli.screen import say
from vfax.errors import SettingsError
from vfax.fsp.completion import CompletionPort, EventKey
from vfax.fsp.constants import NO_JOB, EventId
from vfax.fsp.errors import FaxServiceError
from vfax.fsp.structures import FaxEvent

LOOK: Final = 0.5
"""Seconds between two looks whether the registration is over."""
LONGEST_TOKEN_FILE: Final = 4_096

SENTENCES: Final[dict[EventId, str]] = {
    EventId.FEI_DIALING: "{device} dials for {job}.",
    EventId.FEI_SENDING: "{device} sends a page of {job}.",
    EventId.FEI_RECEIVING: "{device} receives a page of {job}.",
    EventId.FEI_COMPLETED: "{device} has completed the call of {job}.",
    EventId.FEI_BUSY: "The number that {job} called is busy.",
    EventId.FEI_NO_ANSWER: "Nobody answers the call of {job}.",
    EventId.FEI_BAD_ADDRESS: "The number of {job} does not exist or cannot be dialled.",
    EventId.FEI_NO_DIAL_TONE: "{device} has no connection to the network for {job}.",
    EventId.FEI_DISCONNECTED: "The other side of {job} hung up.",
    EventId.FEI_FATAL_ERROR: "{job} failed in the middle.",
    EventId.FEI_NOT_FAX_CALL: "The other side of {job} is no fax machine.",
    EventId.FEI_CALL_DELAYED: "The number of {job} may not be called again so soon.",
    EventId.FEI_CALL_BLACKLISTED: "The number of {job} is blocked.",
    EventId.FEI_RINGING: "{device} rings: {job}.",
    EventId.FEI_ABORTING: "{job} is being aborted.",
    EventId.FEI_ROUTING: "The document of {job} is being routed.",
    EventId.FEI_MODEM_POWERED_ON: "{device} is in service.",
    EventId.FEI_MODEM_POWERED_OFF: "{device} is out of service.",
    EventId.FEI_IDLE: "{device} is idle.",
    EventId.FEI_FAXSVC_ENDED: "The fax service has ended.",
    EventId.FEI_ANSWERED: "{device} has answered the call of {job}.",
    EventId.FEI_JOB_QUEUED: "{job} is queued.",
    EventId.FEI_DELETED: "{job} is done with; its number means nothing any more.",
    EventId.FEI_INITIALIZING: "{device} sets up the call of {job}.",
    EventId.FEI_LINE_UNAVAILABLE: "{device} has no line for {job}.",
    EventId.FEI_HANDLED: "{device} has taken {job} over and sends it by itself.",
    EventId.FEI_FAXSVC_STARTED: "The fax service has started.",
}


def watch(address: str | Path, *, token_file: Path | None, certificate: Path | None, as_json: bool) -> int:
    """Print each event until the service ends or Ctrl-C; returns the exit code."""
    with suppress(KeyboardInterrupt):  # the way out of it, at whatever moment
        _watch(address, token_file=token_file, certificate=certificate, as_json=as_json)
    return exits.OK


def _watch(address: str | Path, *, token_file: Path | None, certificate: Path | None, as_json: bool) -> None:
    console, port = out(), CompletionPort(100_000)
    with refusals(as_json):
        with client.connect(address, token=token_of(token_file), certificate=certificate) as fax:
            registration = fax.initialize_event_queue(port=port, key=EventKey("vfax watch"))
        assert registration is not None  # a port does not log off
        if not as_json:
            say(console, f"Watching the fax service at {address}; Ctrl-C ends it.")
        while not (registration.over and not len(port)):
            packet = port.get(LOOK)
            if packet is not None and isinstance(packet.message, FaxEvent):
                show(console, packet.message, as_json=as_json)
        if registration.lost is not None:
            raise registration.lost
    if not as_json:
        say(console, registration.ended)


def show(console: Console, event: FaxEvent, *, as_json: bool) -> None:
    """One event in one line."""
    if as_json:
        typer.echo(json.dumps(line_of(event)))
    else:
        say(console, f"{time_of(event.time_stamp).astimezone():%H:%M:%S} {sentence(event)}")


def line_of(event: FaxEvent) -> Mapping[str, object]:
    """The object of --json."""
    return {
        "event": int(event.event_id),
        "name": event.event_id.name,
        "device": event.device_id or None,
        "job": None if event.job_id == NO_JOB else f"{event.job_id:08x}",
        "at": time_of(event.time_stamp).isoformat(timespec="milliseconds").replace("+00:00", "Z"),
    }


def sentence(event: FaxEvent) -> str:
    """What has happened."""
    device = f"Device {event.device_id}" if event.device_id else "A device"
    job = "a fax" if event.job_id == NO_JOB else f"job {event.job_id:08x}"
    said = SENTENCES[event.event_id].format(device=device, job=job)
    return said[0].upper() + said[1:]


def time_of(ticks: int) -> datetime:
    """A FILETIME as a time; the last one there is for what no calendar has."""
    try:
        return datetime(1601, 1, 1, tzinfo=UTC) + timedelta(microseconds=ticks // 10)
    except OverflowError:
        return datetime.max.replace(tzinfo=UTC)


def clients(address: str | Path, *, token_file: Path | None, certificate: Path | None, as_json: bool) -> int:
    """Print who is connected, registered, and holds a lease; returns the exit code."""
    with refusals(as_json), client.connect(address, token=token_of(token_file), certificate=certificate) as fax:
        found = fax.clients()
    if as_json:
        print_json({"ok": True, "exit": exits.OK} | dict(found))
        return exits.OK
    for line in lines(found):
        say(out(), line)
    return exits.OK


def lines(found: Mapping[str, Any]) -> list[str]:
    """What `vfax clients` prints."""
    session = found["session"]
    said = [f"Session {session['id']} is {session['state']}; events so far: {session['events']}."]
    for one in found["connections"]:
        said.append(f"connected    {_who(one)} since {one['opened']}")
    for one in found["registrations"]:
        how = "packets" if one["mode"] == "packets" else f"messages from {one['message_start']}"
        held = "" if one["crosses"] else "; they do not reach its desktop"
        said.append(f"registered   {_who(one)} since {one['opened']}: {how}, {one['delivered']} delivered{held}")
    for one in found["leases"]:
        said.append(f"lease        {_who(one)} since {one['opened']}: it cannot log off before it says so")
    for one in found["ended"]:
        said.append(f"ended        {_who(one)}: {one['ended']}")
    return said


def _who(one: Mapping[str, Any]) -> str:
    who = one["client"]
    return f"{who['name']} ({who['process']}, {'here' if who['local'] else 'far away'})"


@contextmanager
def refusals(as_json: bool) -> Iterator[None]:
    """Turn what the service refuses into one line and its exit code."""
    try:
        yield
    except FaxServiceError as why:
        fail(str(why), exits.SERVICE, as_json=as_json)


def token_of(file: Path | None) -> str:
    """The token in a file: a command line would show it to everybody. Raises SettingsError."""
    if file is None:
        return ""
    try:
        with file.open("rb") as opened:
            octets = opened.read(LONGEST_TOKEN_FILE + 1)
        found = octets.decode("ascii").strip()
    except (OSError, UnicodeDecodeError) as why:
        raise SettingsError(f"command line: --token-file {file}: cannot be read: {why}") from why
    if not found or len(octets) > LONGEST_TOKEN_FILE or len(found.split()) > 1:
        raise SettingsError(f"command line: --token-file {file}: expected a file with one token")
    return found
