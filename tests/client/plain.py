"""A host in memory behind the API: HostDoor as plainly as it can be done, and the sockets of a thread beside the test.

The queue and the store have their own tests; what is tested here is what clients see of any host that keeps the
protocol. Sockets, TLS, hypercorn and the hub are the real ones.
"""

import ssl
import subprocess
import threading
from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime
from pathlib import Path
from typing import TypeVar

import httpx
import trio

from vfax import __version__
from vfax.errors import DocumentError
from vfax.fsp.constants import AccessRight, DeviceState, JobStatusEnum, JobType, PortFlag
from vfax.fsp.errors import InvalidParameter
from vfax.host.api.app import Api
from vfax.host.api.calls import ApiOptions
from vfax.host.api.identity import ALL_RIGHTS, Token, digest_of
from vfax.host.api.listening import Listeners, ListenOptions
from vfax.host.api.wire import filetime
from vfax.host.door import Addressee, DeviceInfo, JobChange, JobCommand, Order, Rescheduled, ServerInfo
from vfax.host.events import HostEvent, HostFaulted, JobDeleted, JobMoved, JobQueued, ServiceStarted, ServiceStopped
from vfax.host.notify import Hub, HubOptions
from vfax.host.store.values import (
    DeliveryAttempt,
    DeliveryState,
    Priority,
    Recipient,
    StoredAttempt,
    StoredDelivery,
    StoredEvent,
    StoredFax,
    StoredJob,
)

T = TypeVar("T")

NOON = datetime(2025, 1, 31, 12, 0, 0, tzinfo=UTC)
MASTER = "master-token-0123456789abcdef"
CLERK = "clerk-token-0123456789abcdef"
GUEST = "guest-token-0123456789abcdef"
TOKENS = (
    Token("master", digest_of(MASTER), ALL_RIGHTS),
    Token("clerk", digest_of(CLERK), AccessRight.FAX_JOB_SUBMIT),
    Token("guest", digest_of(GUEST), AccessRight(0)),
)


def make_job(number: int, owner: str, addressee: Addressee, order: Order) -> StoredJob:
    return StoredJob(
        id=number,
        job_type=JobType.JT_SEND,
        status=JobStatusEnum.fjsPENDING,
        submission=1,
        document="documents/1.tif",
        pages=1,
        recipient=Recipient(number=addressee.number, name=addressee.name, given=addressee.number),
        owner=owner,
        sender_name=order.sender_name,
        sender_number=order.sender_number,
        subject=order.subject,
        subaddress=order.subaddress,
        sender_password=order.sender_password,
        priority=order.priority,
        created_at=NOON,
        schedule_at=order.schedule_at,
        next_attempt_at=None,
        expires_at=order.expires_at,
        ended_at=None,
        max_retries=3 if order.max_retries is None else order.max_retries,
        retry_delay=600.0 if order.retry_delay is None else order.retry_delay,
    )


@dataclass
class PlainDoor:
    """HostDoor in memory. What it is told to tell goes to `observe`."""

    folder: Path
    observe: Callable[[HostEvent], None]
    stored: dict[int, StoredJob] = field(default_factory=dict)
    orders: list[Order] = field(default_factory=list)
    contents: list[bytes] = field(default_factory=list)
    aborted: list[int] = field(default_factory=list)
    paused: bool = False
    broken: bool = False

    def __post_init__(self) -> None:
        self.known = [("office", "+4930"), ("office", "+4989"), ("cloud", "+4930")]
        self._devices = {
            number: DeviceInfo(
                device_id=number,
                name=f"plain {number}",
                provider="plain",
                state=DeviceState.FPS_AVAILABLE,
                flags=PortFlag.FPF_SEND | PortFlag.FPF_RECEIVE | PortFlag.FPF_VIRTUAL,
            )
            for number in (1, 2)
        }
        self._fax = StoredFax(job=0xFA, received_at=NOON, record={"pages": 1}, document="inbox/a.tif", octets=4)
        self._delivery = StoredDelivery(
            id=7, job=0xFA, rule="all", kind="folder", target={}, state=DeliveryState.GIVEN_UP, created_at=NOON
        )
        (self.folder / "fax.tif").write_bytes(b"II*\0")

    async def server(self) -> ServerInfo:
        await trio.lowlevel.checkpoint()
        if self.broken:
            raise RuntimeError("a secret of the host")
        counts = {JobStatusEnum.fjsPENDING: len(self.stored)}
        return ServerInfo(host="plain", version=__version__, queue_paused=self.paused, counts=counts)

    async def devices(self) -> list[DeviceInfo]:
        await trio.lowlevel.checkpoint()
        return list(self._devices.values())

    async def trunks(self) -> list[Mapping[str, object]]:
        await trio.lowlevel.checkpoint()
        return [{"name": "office", "state": "ready", "provider": "plain"}]

    async def peers(self) -> list[Mapping[str, object]]:
        await trio.lowlevel.checkpoint()
        return [{"peer": peer, "number": number} for peer, number in self.known]

    async def forget_peers(self, peer: str, number: str) -> int:
        await trio.lowlevel.checkpoint()
        gone = [one for one in self.known if peer in ("", one[0]) and number in ("", one[1])]
        self.known = [one for one in self.known if one not in gone]
        return len(gone)

    async def set_device(self, device_id: int, flags: PortFlag) -> DeviceInfo:
        await trio.lowlevel.checkpoint()
        self._devices[device_id] = replace(self._devices[device_id], flags=flags | PortFlag.FPF_VIRTUAL)
        return self._devices[device_id]

    async def jobs(
        self,
        *,
        status: JobStatusEnum | None = None,
        owner: str | None = None,
        ended: bool | None = None,
        limit: int = 100,
        before: int | None = None,
    ) -> list[StoredJob]:
        await trio.lowlevel.checkpoint()
        found = [
            job
            for number, job in sorted(self.stored.items(), reverse=True)
            if (owner is None or job.owner == owner)
            and (status is None or job.status is status)
            and (before is None or number < before)
            and (ended is None or (job.ended_at is not None) is ended)
        ]
        return found[:limit]

    async def job(self, job: int) -> StoredJob | None:
        await trio.lowlevel.checkpoint()
        return self.stored.get(job)

    async def attempts(self, job: int) -> list[StoredAttempt]:
        await trio.lowlevel.checkpoint()
        return [StoredAttempt(job=job, number=1, host="plain", device_id=1, started_at=NOON)]

    async def moving(self) -> Mapping[int, JobMoved]:
        await trio.lowlevel.checkpoint()
        return {}

    async def submit(self, order: Order) -> list[StoredJob]:
        content = await trio.to_thread.run_sync(order.upload.path.read_bytes)
        if not content.startswith(b"II"):
            raise DocumentError("the document is no TIFF file")
        if any(addressee.number == "nobody" for addressee in order.addressees):
            raise InvalidParameter('recipient "nobody": expected a telephone number or a SIP URI')
        self.orders.append(order)
        self.contents.append(content)
        made = []
        for addressee in order.addressees:
            number = len(self.stored) + 1
            self.stored[number] = make_job(number, order.owner, addressee, order)
            made.append(self.stored[number])
            self.observe(JobQueued(f"{number:08x}"))
        return made

    async def abort(self, job: int) -> None:
        await trio.lowlevel.checkpoint()
        self.aborted.append(job)
        self.stored[job] = replace(self.stored[job], status=JobStatusEnum.fjsCANCELED, ended_at=NOON)
        self.observe(JobDeleted(f"{job:08x}"))

    async def change(self, job: int, change: JobChange) -> StoredJob:
        await trio.lowlevel.checkpoint()
        found = self.stored[job]
        if found.ended_at is not None:
            raise InvalidParameter(f"job {job:08x} has ended")
        match change:
            case JobCommand.PAUSE | JobCommand.RESUME:
                found = replace(found, paused=change is JobCommand.PAUSE)
            case JobCommand.CANCEL:
                found = replace(found, status=JobStatusEnum.fjsCANCELED, ended_at=NOON)
            case JobCommand.RETRY:
                pass
            case Priority():
                found = replace(found, priority=change)
            case Rescheduled(at):
                found = replace(found, schedule_at=at)
        self.stored[job] = found
        return found

    async def pause_queue(self, paused: bool) -> None:
        await trio.lowlevel.checkpoint()
        self.paused = paused

    async def faxes(
        self, *, delivered: bool | None = None, limit: int = 100, before: int | None = None
    ) -> list[StoredFax]:
        await trio.lowlevel.checkpoint()
        return [] if delivered else [self._fax]

    async def fax(self, job: int) -> StoredFax | None:
        await trio.lowlevel.checkpoint()
        return self._fax if job == self._fax.job else None

    async def document(self, job: int) -> Path | None:
        await trio.lowlevel.checkpoint()
        return self.folder / "fax.tif" if job in {self._fax.job, *self.stored} else None

    async def deliveries(
        self, *, job: int | None = None, state: DeliveryState | None = None, limit: int = 100
    ) -> list[StoredDelivery]:
        await trio.lowlevel.checkpoint()
        return [self._delivery] if state in (None, self._delivery.state) else []

    async def delivery_attempts(self, delivery: int) -> list[DeliveryAttempt]:
        await trio.lowlevel.checkpoint()
        self._check_delivery(delivery)
        return [
            DeliveryAttempt(delivery=7, number=1, started_at=NOON, ended_at=NOON, ok=False, sentence="No such folder.")
        ]

    async def retry_delivery(self, delivery: int) -> StoredDelivery:
        await trio.lowlevel.checkpoint()
        self._check_delivery(delivery)
        self._delivery = replace(self._delivery, state=DeliveryState.WAITING)
        return self._delivery

    def _check_delivery(self, delivery: int) -> None:
        if delivery != self._delivery.id:
            raise InvalidParameter(f"there is no delivery {delivery}")

    async def history(self, *, after: int = 0, limit: int = 1000) -> list[StoredEvent]:
        await trio.lowlevel.checkpoint()
        return [StoredEvent(sequence=5, session="old", time_stamp=filetime(NOON), event_id=27, device_id=0, job_id=0)]


@dataclass
class Host:
    """A host that runs in a thread of its own. `call` does something on its task and returns what came of it."""

    socket: Path
    folder: Path
    certificate: Path | None
    hub: Hub
    door: PlainDoor
    listeners: Listeners
    faults: list[HostFaulted] = field(default_factory=list)
    token: trio.lowlevel.TrioToken | None = None
    stopping: trio.Event | None = None

    def call(self, act: Callable[..., T], *arguments: object) -> T:
        return trio.from_thread.run_sync(act, *arguments, trio_token=self.token)

    def hear(self, event: HostEvent) -> None:
        """Something happens on the host."""
        self.call(self.hub.hear, event)

    def hear_all(self, events: Iterable[HostEvent]) -> None:
        """Much happens on the host, all at once."""

        def hear() -> None:
            for event in events:
                self.hub.hear(event)

        self.call(hear)

    @property
    def url(self) -> str:
        assert self.listeners.address is not None
        host, port = self.listeners.address
        return f"{'https' if self.certificate else 'http'}://{host}:{port}"

    def local(self, **headers: str) -> httpx.Client:
        """A client on the Unix socket: this very process."""
        transport = httpx.HTTPTransport(uds=str(self.socket))
        return httpx.Client(transport=transport, base_url="http://vfax", headers=headers, timeout=20)

    def remote(self, token: str = MASTER, **headers: str) -> httpx.Client:
        """A client over the network, with a token."""
        verify = ssl.create_default_context(cafile=str(self.certificate)) if self.certificate else False
        given = {"authorization": f"Bearer {token}"} | headers if token else headers
        return httpx.Client(verify=verify, base_url=self.url, headers=given, timeout=20)

    def end(self) -> None:
        """The service ends, as services do: the last event, then the sockets."""
        self.hear(ServiceStopped())
        assert self.stopping is not None
        self.call(self.stopping.set)


def make_certificate(folder: Path) -> tuple[Path, Path]:
    """A certificate for 127.0.0.1 by openssl: file, key."""
    certificate, key = folder / "certificate.pem", folder / "key.pem"
    subprocess.run(
        [
            *("openssl", "req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:prime256v1", "-nodes"),
            *("-days", "2", "-subj", "/CN=vfax test", "-addext", "subjectAltName=IP:127.0.0.1"),
            *("-keyout", str(key), "-out", str(certificate)),
        ],
        check=True,
        capture_output=True,
    )
    return certificate, key


async def _serve(host: Host, ready: threading.Event) -> None:
    host.token = trio.lowlevel.current_trio_token()
    host.stopping = trio.Event()
    async with trio.open_nursery() as nursery:
        await nursery.start(lambda task_status=trio.TASK_STATUS_IGNORED: host.listeners.run(task_status=task_status))
        ready.set()
        await host.stopping.wait()
        await host.listeners.flush()
        nursery.cancel_scope.cancel()


@contextmanager
def hosting(
    folder: Path,
    *,
    hub: HubOptions | None = None,
    api: dict[str, object] | None = None,
    listen: dict[str, object] | None = None,
    tls: bool = True,
    started: bool = True,
) -> Iterator[Host]:
    """Run a host for the block. `started` False: it has not said so yet."""
    certificate, key = make_certificate(folder) if tls else (None, None)
    socket = folder / "s"
    faults: list[HostFaulted] = []

    def observe(event: HostEvent) -> None:
        faults.extend([event] if isinstance(event, HostFaulted) else [])

    names = iter(f"id-{number}" for number in range(1_000_000))
    made = Hub("session-1", now=lambda: filetime(datetime.now(UTC)), new_id=lambda: next(names), options=hub)
    door = PlainDoor(folder, made.hear)
    options = ApiOptions(uploads=folder / "uploads", **(api or {}))  # type: ignore[arg-type]
    application: list[Api] = []
    where = ListenOptions(socket=socket, address=("127.0.0.1", 0), certificate=certificate, key=key, **(listen or {}))  # type: ignore[arg-type]
    ready, host = threading.Event(), Host(socket, folder, certificate, made, door, None, faults)  # type: ignore[arg-type]

    async def main() -> None:
        application.append(Api(door, made, options, tokens=TOKENS, observe=observe))
        host.listeners = Listeners(application[0], where, observe=observe)
        await _serve(host, ready)

    thread = threading.Thread(target=trio.run, args=(main,))
    thread.start()
    try:
        assert ready.wait(20), "the host did not start"
        if started:
            host.hear(ServiceStarted(()))
        yield host
    finally:
        if thread.is_alive():
            assert host.stopping is not None
            host.call(host.stopping.set)
            thread.join(30)
        assert not thread.is_alive(), "the host did not end"
