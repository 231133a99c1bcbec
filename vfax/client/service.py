"""Connecting to the service, and what can be asked of it over that connection.

Owns      `connect`, `Client`: each documented function as a method, handles that end, arguments checked before they go.
Not here  the wire (wire.py), events (events.py).
Source    FaxConnectFaxServer, FaxClose, FaxEnumPorts, FaxSetPort, FaxEnumJobs, FaxGetJob, FaxSendDocument, FaxAbort,
          FaxSetJob, FaxInitializeEventQueue.
"""

import itertools
import json
import os
import threading
import uuid
from collections.abc import Iterable, Iterator, Mapping
from contextlib import contextmanager, suppress
from datetime import datetime
from pathlib import Path
from types import TracebackType
from typing import Any, BinaryIO, Final, Self

from vfax.client.errors import ServiceUnavailable, refused
from vfax.client.events import EventPort, Registration, Sink
from vfax.client.values import Device, Job, job_number, rows
from vfax.client.wire import NOTHING, Address, Body, ask, parse_address, reaching
from vfax.errors import DocumentError
from vfax.fsp.completion import EventKey
from vfax.fsp.constants import DWORD_MAX
from vfax.fsp.errors import FaxServiceError, InvalidHandle, InvalidParameter
from vfax.fsp.structures import QWORD_MAX

SOCKET_VARIABLE: Final = "VFAX_CLIENTS__SOCKET"
DEFAULT_SOCKET: Final = Path("spool") / "clients.sock"
LOGGED_OFF: Final = "The client has logged off."
PIECE: Final = 65_536

_INSTANCE: Final = uuid.uuid4().hex
"""Names this process to a service that cannot see it: one instance is one client."""
_sinks: list[tuple[Sink, str]] = []
_living: list[Registration] = []
_numbers = itertools.count(1)
_lock = threading.Lock()


def default_socket() -> Path:
    """The socket that `connect` uses: VFAX_CLIENTS__SOCKET, else clients.sock in the folder `spool`."""
    return Path(os.environ.get(SOCKET_VARIABLE) or DEFAULT_SOCKET)


def connect(
    address: str | Path | None = None,
    *,
    token: str = "",
    certificate: str | Path | None = None,
    timeout: float = 30.0,
) -> "Client":
    """FaxConnectFaxServer: connect to the service at a Unix socket (a path) or https://HOST:PORT with a `token`.

    `certificate` is what the service's own is checked against where the system does not know it; `timeout` seconds is
    what an answer may take, but for that to a document, which may take ten minutes. Raises ServiceUnavailable,
    AccessDenied, InvalidParameter, NotReady.
    """
    if not isinstance(timeout, int | float) or isinstance(timeout, bool) or not 0 < timeout < float("inf"):
        raise InvalidParameter(f"timeout: seconds above 0 are expected, not {timeout!r}")
    wanted = default_socket() if address is None else address
    return Client(parse_address(wanted, token=token, certificate=certificate, timeout=timeout))


class Client:
    """A FaxHandle. All methods may be called from any thread, until `close`; then they raise InvalidHandle.

    As a context manager it closes itself. Closing does not end notifications.
    """

    def __init__(self, address: Address) -> None:
        self._address = address
        self._http = address.open()
        self._open = True
        try:
            answer = self._connect()
        except BaseException:
            self._http.close()
            raise
        self.id = str(answer["connection"])
        self.session = str(answer.get("session", ""))

    def _connect(self) -> Mapping[str, object]:
        said = Body(json={"instance": _INSTANCE})
        answer = ask(self._http, self._address, "POST", "/v1/connections", headers={}, body=said)
        if not isinstance(answer, dict) or "connection" not in answer:
            raise ServiceUnavailable(f"what is at {self._address} is no fax service of this version")
        return answer

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, why: BaseException | None, trace: TracebackType | None
    ) -> None:
        with suppress(FaxServiceError):  # it may be closed already, or the service be gone
            self.close()

    def close(self) -> None:
        """FaxClose: the handle is dead; registrations live on. Raises InvalidHandle when it was closed before."""
        try:
            self._ask("DELETE", f"/v1/connections/{self.id}")
        finally:
            self._open = False
            self._http.close()

    @property
    def closed(self) -> bool:
        """True after close()."""
        return not self._open

    # --- looking -----------------------------------------------------------------------------------

    def server(self) -> Mapping[str, Any]:
        """The host, its session, counts of jobs, and what this client may do."""
        return self._object("GET", "/v1/server")

    def devices(self) -> list[Device]:
        """All devices (FaxEnumPorts). Raises AccessDenied without FAX_PORT_QUERY."""
        return [Device.read(row) for row in rows(self._ask("GET", "/v1/devices"), "devices")]

    def trunks(self) -> list[Mapping[str, Any]]:
        """How every trunk of the service fares. Raises AccessDenied without FAX_PORT_QUERY."""
        return [row for row in rows(self._ask("GET", "/v1/trunks"), "trunks") if isinstance(row, dict)]

    def peers(self) -> list[Mapping[str, Any]]:
        """What the service has learned of its peers. Raises AccessDenied without FAX_CONFIG_QUERY."""
        return [row for row in rows(self._ask("GET", "/v1/peers"), "peers") if isinstance(row, dict)]

    def forget_peers(self, peer: str = "", number: str = "") -> int:
        """Have the service forget a peer and a number, "" for any; how many entries that were.

        Raises AccessDenied without FAX_CONFIG_SET, InvalidParameter.
        """
        named = (("peer", peer), ("number", number))
        asked = {name: text for name, given in named if (text := _text(name, given))}
        return int(self._object("DELETE", "/v1/peers", Body(query=asked)).get("forgotten", 0))

    def set_device(self, device: int, *, send: bool | None = None, receive: bool | None = None) -> Device:
        """Switch sending or receiving of a device (FaxSetPort). Raises InvalidParameter, AccessDenied."""
        if not isinstance(device, int) or isinstance(device, bool) or not 0 < device <= DWORD_MAX:
            raise InvalidParameter(f"DeviceId: {device!r} is no number within 1..{DWORD_MAX:#x}")
        named = (("send", send), ("receive", receive))
        flags = {name: _flag(name, flag) for name, flag in named if flag is not None}
        return Device.read(self._ask("PATCH", f"/v1/devices/{device}", Body(json=flags)))

    def jobs(
        self, *, status: str = "", owner: str = "", ended: bool | None = None, limit: int = 100, before: int = 0
    ) -> list[Job]:
        """Jobs, newest first (FaxEnumJobs): those of others only with FAX_JOB_QUERY. Raises InvalidParameter."""
        named = (("status", status), ("owner", owner))
        asked = {"limit": _limit(limit)} | {name: text for name, given in named if (text := _text(name, given))}
        if ended is not None:
            asked["ended"] = "true" if _flag("ended", ended) else "false"
        if before != 0 or isinstance(before, bool):
            asked["before"] = f"{job_number(before):08x}"
        return [Job.read(row) for row in rows(self._ask("GET", "/v1/jobs", Body(query=asked)), "jobs")]

    def job(self, job: int | Job) -> Job:
        """One job (FaxGetJob). Raises InvalidParameter for none, AccessDenied for one of others."""
        return Job.read(self._ask("GET", f"/v1/jobs/{job_number(job):08x}"))

    def clients(self) -> Mapping[str, Any]:
        """Connections, registrations and leases of all clients. Raises AccessDenied without FAX_CONFIG_QUERY."""
        return self._object("GET", "/v1/clients")

    # --- doing -------------------------------------------------------------------------------------

    def submit(
        self, document: str | Path, recipients: Iterable[str | tuple[str, str]], **options: str | int | datetime
    ) -> list[Job]:
        """Queue a document for each recipient, all or none (FaxSendDocument); returns a job for each.

        A recipient is a number or a SIP URI, or (number, name). `options` are sender_name, sender_number, subject,
        subaddress, sender_password, first_page, priority (low, normal, high), schedule and expires (times with a zone),
        max_retries, retry_delay (seconds), resolution. Raises InvalidParameter, InvalidData (it is no document),
        AccessDenied.
        """
        fields: dict[str, object] = {name: _field(name, value) for name, value in options.items()}
        fields["recipient"] = [_recipient(one) for one in _each(recipients)]
        with _opened(document) as file:
            answer = self._ask("POST", "/v1/jobs", Body(fields=fields, file=(Path(document).name, file)))
        return [Job.read(row) for row in rows(answer, "jobs")]

    def abort(self, job: int | Job) -> None:
        """FaxAbort: end a job, returning at once.

        Raises AccessDenied (neither owner nor FAX_JOB_MANAGE), InvalidHandle, InvalidParameter (no such job).
        """
        self._ask("POST", f"/v1/jobs/{job_number(job):08x}/abort")

    def set_job(
        self, job: int | Job, *, command: str = "", priority: str = "", schedule: datetime | str | None = ""
    ) -> Job:
        """FaxSetJob: one of command (pause, resume, cancel, retry), priority, schedule (None: as soon as may be)."""
        words = (("command", command), ("priority", priority))
        changes: dict[str, object] = {name: _field(name, word) for name, word in words if word}
        if schedule != "":
            changes["schedule"] = None if schedule is None else _field("schedule", schedule)
        return Job.read(self._ask("PATCH", f"/v1/jobs/{job_number(job):08x}", Body(json=changes)))

    def pause_queue(self, paused: bool) -> None:
        """Stop dialling, or go on. Raises AccessDenied without FAX_CONFIG_SET, InvalidParameter."""
        self._ask("PUT", "/v1/queue", Body(json={"paused": _flag("paused", paused)}))

    def faxes(self, *, limit: int = 100) -> list[Mapping[str, Any]]:
        """Received faxes, newest first. Raises AccessDenied without FAX_JOB_QUERY, InvalidParameter."""
        found = rows(self._ask("GET", "/v1/faxes", Body(query={"limit": _limit(limit)})), "faxes")
        return [row for row in found if isinstance(row, dict)]

    def fetch(self, job: int | Job, target: str | Path) -> int:
        """Write the document of a received fax into a new file; returns its octets.

        Raises AccessDenied without FAX_JOB_MANAGE, InvalidParameter (no such fax, or no file can be made there).
        """
        path = f"/v1/faxes/{job_number(job):08x}/document"
        taken = 0
        headers = dict(self._headers())
        with reaching(self._address), self._http.stream("GET", path, headers=headers) as response:
            if response.status_code >= 400:
                raise refused(response.status_code, _json(response.read()))
            with _made(target) as file:
                for piece in response.iter_bytes(PIECE):
                    taken += file.write(piece)
        return taken

    # --- notifications -----------------------------------------------------------------------------

    def initialize_event_queue(
        self,
        *,
        port: EventPort | None = None,
        key: EventKey | int | None = None,
        sink: Sink | None = None,
        message_start: int = 0,
    ) -> Registration | None:
        """FaxInitializeEventQueue: packets to `port` under `key`, or messages to `sink` from `message_start` on.

        A sink is called in a thread of this library, as sink(message_start + event, device id, job id). With the same
        sink and key 1 the client logs off and None is returned; that may be said again. Raises InvalidParameter,
        InvalidData (registered before, profile win2000), OutOfResources, InvalidHandle, AccessDenied.
        """
        _check_queue(port, key, sink, message_start)
        asked: dict[str, object] = {"message_start": message_start}
        if port is not None:
            asked["completion_port"] = True
        if isinstance(key, int):
            asked["key"] = key
        if sink is not None:
            asked["sink"] = _name_of(sink)
        answer = self._ask("POST", "/v1/registrations", Body(json=asked))
        if not isinstance(answer, dict):
            raise ServiceUnavailable(f"what is at {self._address} is no fax service of this version")
        if answer.get("logged_off"):
            _log_off(sink)
            return None
        event_key = None if port is None else key if isinstance(key, EventKey) else EventKey(str(key or 0))
        made = Registration(self._address, answer, port=port, key=event_key, sink=sink)
        with _lock:
            _living[:] = [one for one in _living if not one.over] + [made]
        made.start()
        return made

    # --- asking ------------------------------------------------------------------------------------

    def _headers(self) -> Mapping[str, str]:
        if not self._open:
            raise InvalidHandle("FaxHandle: this connection is closed")
        return {"vfax-connection": self.id}

    def _ask(self, method: str, path: str, body: Body = NOTHING) -> object:
        return ask(self._http, self._address, method, path, headers=self._headers(), body=body)

    def _object(self, method: str, path: str, body: Body | None = None) -> Mapping[str, Any]:
        answer = self._ask(method, path) if body is None else self._ask(method, path, body)
        if not isinstance(answer, dict):
            raise ServiceUnavailable(f"what is at {self._address} is no fax service of this version")
        return answer


def _check_queue(port: object, key: object, sink: object, message_start: object) -> None:
    """Refuse what cannot be said on the wire; the rules are the service's."""
    if port is not None and not callable(getattr(port, "post", None)):
        raise InvalidParameter(f"CompletionPort: {type(port).__name__} takes no packets")
    if sink is not None and not callable(sink):
        raise InvalidParameter(f"hWnd: {type(sink).__name__} cannot be called")
    if not isinstance(message_start, int) or isinstance(message_start, bool):
        raise InvalidParameter(f"MessageStart: an integer is expected, not {type(message_start).__name__}")
    if isinstance(key, EventKey):
        if sink is not None:
            raise InvalidParameter("CompletionKey: with a window it is NULL, or 1 to log off")
    elif key is not None and (not isinstance(key, int) or isinstance(key, bool) or not 0 <= key <= QWORD_MAX):
        raise InvalidParameter(f"CompletionKey: an EventKey or a number within 0..{QWORD_MAX:#x} is expected")


def _name_of(sink: Sink) -> str:
    """The name of a sink on the wire: the same for the same sink, in all connections of this process."""
    with _lock:
        for known, name in _sinks:
            if known == sink:
                return name
        name = f"sink {next(_numbers)}"
        _sinks.append((sink, name))
        return name


def _log_off(sink: Sink | None) -> None:
    """Let nothing reach the sink any more, not even what is on its way."""
    with _lock:
        for registration in _living:
            if registration.sink == sink:
                registration.stop(LOGGED_OFF)
        _sinks[:] = [(known, name) for known, name in _sinks if known != sink]


def _each(recipients: object) -> list[object]:
    if isinstance(recipients, str | bytes) or not isinstance(recipients, Iterable):
        raise InvalidParameter("recipients: a list of numbers is expected")
    return list(recipients)


def _recipient(one: object) -> str:
    if isinstance(one, str):
        return one
    if isinstance(one, tuple) and len(one) == 2 and all(isinstance(part, str) for part in one):
        number, name = one
        if "<" not in name and ">" not in number:
            return f"{name} <{number}>"
    raise InvalidParameter(f"recipient {one!r}: expected a number, or (number, name)")


def _text(name: str, value: object) -> str:
    if not isinstance(value, str):
        raise InvalidParameter(f"{name}: text is expected, not {type(value).__name__}")
    return value


def _flag(name: str, value: object) -> bool:
    if not isinstance(value, bool):
        raise InvalidParameter(f"{name}: true or false is expected, not {type(value).__name__}")
    return value


def _limit(value: object) -> str:
    if not isinstance(value, int) or isinstance(value, bool) or not 0 < value <= DWORD_MAX:
        raise InvalidParameter(f"limit: a number above 0 is expected, not {value!r:.100}")
    return str(value)


def _field(name: str, value: object) -> str:
    if isinstance(value, datetime):
        if value.tzinfo is None:
            raise InvalidParameter(f"{name} {value}: expected a time with its zone")
        return value.isoformat()
    if isinstance(value, str | int) and not isinstance(value, bool):
        return str(value)
    raise InvalidParameter(f"{name}: expected text, a number or a time, not {type(value).__name__}")


def _json(octets: bytes) -> object:
    try:
        return json.loads(octets)
    except (ValueError, RecursionError):
        return None


@contextmanager
def _opened(document: str | Path) -> Iterator[BinaryIO]:
    try:
        file = Path(document).open("rb")  # noqa: SIM115
    except OSError as why:
        raise InvalidParameter(str(DocumentError.of_system(document, why))) from why
    except (TypeError, ValueError) as why:
        raise InvalidParameter(f"document {document!r}: a path is expected: {why}") from why
    with file:
        yield file


@contextmanager
def _made(target: str | Path) -> Iterator[BinaryIO]:
    """A new file, which is there when the block has ended well. Raises InvalidParameter."""
    try:
        file = Path(target).open("xb")  # noqa: SIM115
    except OSError as why:
        raise InvalidParameter(f"target {str(target)!r:.300}: {why.strerror or why}") from why
    except (TypeError, ValueError) as why:
        raise InvalidParameter(f"target {target!r:.300}: a path is expected: {why}") from why
    try:
        with file:
            yield file
    except BaseException as why:
        with suppress(OSError):
            Path(target).unlink()
        if isinstance(why, OSError):  # of the file: those of the connection are httpx's
            raise InvalidParameter(f"target {str(target)!r:.300}: {why.strerror or why}") from why
        raise
