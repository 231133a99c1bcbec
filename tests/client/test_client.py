"""The client library against a host with real sockets: the documented functions, their errors, both delivery modes."""

import io
import os
import subprocess
import sys
import textwrap
import threading
import time
from collections.abc import Callable, Iterator
from datetime import UTC, datetime
from pathlib import Path

import pytest
import trio

import vfax.client
from tests.client.plain import CLERK, GUEST, MASTER, Host, hosting
from vfax.client import Client, Registration, ServiceUnavailable
from vfax.fsp.completion import CompletionPort, EventKey, Packet
from vfax.fsp.constants import NO_JOB, DeviceState, EventId, JobStatusEnum, Win32
from vfax.fsp.errors import (
    AccessDenied,
    FaxServiceError,
    InvalidData,
    InvalidHandle,
    InvalidParameter,
    NotReady,
    OutOfResources,
)
from vfax.fsp.structures import FaxEvent
from vfax.host.door import Order, ServerInfo
from vfax.host.events import DeviceIdle, DeviceInService, JobQueued, RingReceived, ServiceStarted, ServiceStopped
from vfax.host.notify import ENDED_WITH_SERVICE, Account, HubOptions, Profile
from vfax.host.store.values import StoredJob

START = 0x9000
ROOT = Path(__file__).parents[2]


class Window:
    """A sink that remembers, and can be waited for."""

    def __init__(self) -> None:
        self.messages: list[tuple[int, int, int]] = []
        self.heard = threading.Condition()
        self.dead = False

    def __call__(self, message: int, device_id: int, job_id: int) -> int:
        if self.dead:
            raise RuntimeError("the window is gone")
        with self.heard:
            self.messages.append((message, device_id, job_id))
            self.heard.notify_all()
        return 0

    def wait_for(self, count: int) -> list[tuple[int, int, int]]:
        with self.heard:
            assert self.heard.wait_for(lambda: len(self.messages) >= count, 20), self.messages
        return self.messages


def until(holds: Callable[[], bool], what: str) -> None:
    """Poll for something that another thread or process does."""
    deadline = time.monotonic() + 20
    while not holds():
        assert time.monotonic() < deadline, what
        time.sleep(0.01)


def take(port: CompletionPort, count: int) -> list[FaxEvent]:
    found: list[FaxEvent] = []
    for _ in range(count):
        packet = port.get(20)
        assert packet is not None, found
        assert isinstance(packet.message, FaxEvent)
        found.append(packet.message)
    return found


def register(fax: Client, **arguments: object) -> Registration:
    made = fax.initialize_event_queue(**arguments)  # type: ignore[arg-type]
    assert made is not None
    return made


@pytest.fixture
def fax(host: Host) -> Iterator[Client]:
    with vfax.client.connect(host.socket) as client:
        yield client


@pytest.fixture
def document(folder: Path) -> Path:
    path = folder / "letter.tif"
    path.write_bytes(b"II*\0 and so on")
    return path


def far(host: Host, token: str = MASTER) -> Client:
    return vfax.client.connect(host.url, token=token, certificate=host.certificate)


# --- connecting ------------------------------------------------------------------------------------


def test_a_program_of_this_machine_is_known_by_its_user(fax: Client) -> None:
    you = fax.server()["you"]
    assert you["local"] is True
    assert "manage" in you["rights"], "the host's own user may do all"


def test_a_program_far_away_is_known_by_its_token(host: Host) -> None:
    with far(host, CLERK) as fax:
        assert fax.server()["you"] == {"name": "clerk", "rights": ["submit"], "local": False}


def test_a_wrong_token_is_access_denied(host: Host) -> None:
    with pytest.raises(AccessDenied, match="token"):
        far(host, "a token that nobody has given out".replace(" ", "-"))


def test_a_certificate_that_is_not_trusted_is_not_talked_to(host: Host) -> None:
    with pytest.raises(ServiceUnavailable, match="cannot be reached"):
        vfax.client.connect(host.url, token=MASTER)


def test_no_service_at_all_is_said_so_with_its_address(folder: Path) -> None:
    with pytest.raises(ServiceUnavailable, match="directory; start it, or give the address"):
        vfax.client.connect(folder / "nowhere")
    with pytest.raises(ServiceUnavailable, match=str(folder / "nothing")):
        vfax.client.connect(folder / "nothing")


def test_the_default_socket_is_that_of_the_settings(host: Host, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("VFAX_CLIENTS__SOCKET", str(host.socket))
    with vfax.client.connect() as fax:
        assert fax.session == "session-1"


@pytest.mark.parametrize(
    ("address", "arguments"),
    [
        ("", {}),
        (7, {}),
        ("https://", {"token": MASTER}),
        ("https://example.net/path", {"token": MASTER}),
        ("https://example.net:port", {"token": MASTER}),
        ("ftp://example.net", {"token": MASTER}),
        ("http://example.net", {"token": MASTER}),
        ("https://example.net", {}),
        ("https://example.net", {"token": "two words"}),
        ("https://example.net", {"token": "line\nend"}),
        ("https://127.0.0.1:1", {"token": MASTER, "certificate": "/nowhere/at/all.pem"}),
        ("/tmp/s", {"timeout": 0}),
        ("/tmp/s", {"timeout": "1"}),
        ("/tmp/s", {"timeout": True}),
    ],
)
def test_what_is_no_address_is_an_invalid_parameter(address: object, arguments: dict[str, object]) -> None:
    with pytest.raises(InvalidParameter):
        vfax.client.connect(address, **arguments)  # type: ignore[arg-type]


def test_a_connection_that_the_service_has_closed_is_an_invalid_handle(host: Host, fax: Client) -> None:
    host.call(lambda: host.hub.close(host.hub.connections[0]))
    with pytest.raises(InvalidHandle):
        fax.devices()


def test_a_service_that_has_ended_is_not_ready(host: Host, fax: Client) -> None:
    host.hear(ServiceStopped())
    with pytest.raises(NotReady):
        vfax.client.connect(host.socket)
    with pytest.raises(InvalidHandle):
        fax.devices()


# --- devices and jobs ------------------------------------------------------------------------------


def test_devices_are_listed_and_switched(fax: Client) -> None:
    assert [(one.id, one.name, one.state, one.job) for one in fax.devices()] == [
        (1, "plain 1", DeviceState.FPS_AVAILABLE, None),
        (2, "plain 2", DeviceState.FPS_AVAILABLE, None),
    ]
    changed = fax.set_device(2, receive=False)
    assert (changed.send, changed.receive) == (True, False)
    assert fax.set_device(2, receive=True).receive


def test_a_document_becomes_a_job_for_each_recipient(host: Host, fax: Client, document: Path) -> None:
    when = datetime(2031, 1, 1, tzinfo=UTC)
    jobs = fax.submit(
        document, ["+49 30 1", ("sip:fax@example.net", "Bob")], subject="Greetings", priority="high", schedule=when
    )
    assert [(job.id, job.number, job.status) for job in jobs] == [
        (1, "+49 30 1", JobStatusEnum.fjsPENDING),
        (2, "sip:fax@example.net", JobStatusEnum.fjsPENDING),
    ]
    (order,) = host.door.orders
    assert (order.subject, order.priority.name, order.schedule_at) == ("Greetings", "HIGH", when)
    assert [(one.number, one.name) for one in order.addressees] == [("+49 30 1", ""), ("sip:fax@example.net", "Bob")]
    assert host.door.contents == [document.read_bytes()]
    assert list((host.folder / "uploads").iterdir()) == [], "the spooled copy is gone"


def test_a_document_that_takes_its_time_is_waited_for_and_another_answer_is_not(
    host: Host, document: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    submit, server = host.door.submit, host.door.server

    async def slow_submit(order: Order) -> list[StoredJob]:
        await trio.sleep(0.4)
        return await submit(order)

    async def slow_server() -> ServerInfo:
        await trio.sleep(0.4)
        return await server()

    monkeypatch.setattr(host.door, "submit", slow_submit)
    monkeypatch.setattr(host.door, "server", slow_server)
    with vfax.client.connect(host.socket, timeout=0.2) as fax:
        assert len(fax.submit(document, ["+4930"])) == 1
        with pytest.raises(ServiceUnavailable, match="has not answered in time: look what it did before you ask"):
            fax.server()


def test_jobs_are_found_changed_and_aborted(host: Host, fax: Client, document: Path) -> None:
    first, second = fax.submit(document, ["1", "2"])
    assert [job.id for job in fax.jobs()] == [2, 1]
    assert [job.id for job in fax.jobs(before=2)] == [1]
    assert fax.set_job(first, command="pause").paused
    assert fax.set_job(first, priority="low").data["priority"] == "low"
    assert fax.set_job(first, schedule=datetime(2031, 1, 1, tzinfo=UTC)).data["schedule"] == "2031-01-01T00:00:00.000Z"
    assert fax.set_job(first, schedule=None).data["schedule"] is None
    fax.abort(second)
    assert host.door.aborted == [2]
    assert fax.job(second).ended
    assert [job.id for job in fax.jobs(ended=False)] == [1]


def test_a_received_fax_is_fetched(fax: Client, folder: Path) -> None:
    assert [row["job"] for row in fax.faxes()] == ["000000fa"]
    assert fax.fetch(0xFA, folder / "got.tif") == 4
    assert (folder / "got.tif").read_bytes() == b"II*\0"


def test_a_fax_that_cannot_be_written_is_the_fault_of_its_file_and_nothing_of_it_stays(
    fax: Client, folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    class Full(io.BytesIO):
        def write(self, octets: object) -> int:
            raise OSError(28, "No space left on device")

    def opened(path: Path, mode: str = "r") -> object:
        path.touch()
        return Full() if mode == "xb" else open(path, mode)

    monkeypatch.setattr(Path, "open", opened)
    with pytest.raises(InvalidParameter, match="No space left on device"):
        fax.fetch(0xFA, folder / "got.tif")
    assert not (folder / "got.tif").exists()


def test_the_queue_is_paused(host: Host, fax: Client) -> None:
    fax.pause_queue(True)
    assert host.door.paused


# --- FaxAbort and its three errors -----------------------------------------------------------------


def test_aborting_a_job_of_others_without_the_right_is_access_denied(host: Host, fax: Client, document: Path) -> None:
    (job,) = fax.submit(document, ["1"])
    with far(host, CLERK) as clerk, pytest.raises(AccessDenied) as caught:
        clerk.abort(job)
    assert caught.value.winerror == Win32.ERROR_ACCESS_DENIED
    assert host.door.aborted == []


def test_aborting_ones_own_job_needs_no_more_right(host: Host, document: Path) -> None:
    with far(host, CLERK) as clerk:
        (job,) = clerk.submit(document, ["1"])
        clerk.abort(job)
    assert host.door.aborted == [job.id]


def test_who_manages_aborts_the_jobs_of_others(host: Host, fax: Client, document: Path) -> None:
    with far(host, CLERK) as clerk:
        (job,) = clerk.submit(document, ["1"])
    fax.abort(job.id)
    assert host.door.aborted == [job.id]


@pytest.mark.parametrize("job", [0, -1, 0xFFFFFFFF, 0x100000000, 99, "1", None, True, 1.0, b"1"])
def test_aborting_what_is_no_job_is_an_invalid_parameter(fax: Client, job: object) -> None:
    with pytest.raises(InvalidParameter) as caught:
        fax.abort(job)  # type: ignore[arg-type]
    assert caught.value.winerror == Win32.ERROR_INVALID_PARAMETER


# --- what is refused, with the documented exception -----------------------------------------------

WRONG: list[tuple[str, Callable[[Client, Path], object], type[FaxServiceError]]] = [
    ("no document", lambda fax, path: fax.submit(path / "missing", ["1"]), InvalidParameter),
    ("a folder", lambda fax, path: fax.submit(path.parent, ["1"]), InvalidParameter),
    ("no path", lambda fax, path: fax.submit(7, ["1"]), InvalidParameter),  # type: ignore[arg-type]
    ("no recipient", lambda fax, path: fax.submit(path, []), InvalidParameter),
    ("one string", lambda fax, path: fax.submit(path, "123"), InvalidParameter),
    ("recipients of numbers", lambda fax, path: fax.submit(path, [1, 2]), InvalidParameter),  # type: ignore[list-item]
    ("a recipient that cannot be dialled", lambda fax, path: fax.submit(path, ["nobody"]), InvalidParameter),
    ("an empty recipient", lambda fax, path: fax.submit(path, [""]), InvalidParameter),
    ("a recipient of two lines", lambda fax, path: fax.submit(path, ["1\r\n2"]), InvalidParameter),
    ("half a surrogate", lambda fax, path: fax.submit(path, ["\ud800"]), InvalidParameter),
    ("an unknown option", lambda fax, path: fax.submit(path, ["1"], colour="red"), InvalidParameter),
    (
        "a time without a zone",
        lambda fax, path: fax.submit(path, ["1"], schedule=datetime(2031, 1, 1)),
        InvalidParameter,
    ),
    ("an option of another kind", lambda fax, path: fax.submit(path, ["1"], subject=b"x"), InvalidParameter),  # type: ignore[arg-type]
    ("a priority that is none", lambda fax, path: fax.submit(path, ["1"], priority="urgent"), InvalidParameter),
    ("page 0", lambda fax, path: fax.submit(path, ["1"], first_page=0), InvalidParameter),
    ("no fax document", lambda fax, path: fax.submit(Path(__file__), ["1"]), InvalidData),
    ("a job that is not there", lambda fax, path: fax.job(12345), InvalidParameter),
    ("nothing to change", lambda fax, path: fax.set_job(1), InvalidParameter),
    ("a command that is none", lambda fax, path: fax.set_job(1, command="explode"), InvalidParameter),
    ("two changes", lambda fax, path: fax.set_job(1, command="pause", priority="low"), InvalidParameter),
    ("a device that is not there", lambda fax, path: fax.set_device(99, send=True), InvalidParameter),
    ("device 0", lambda fax, path: fax.set_device(0, send=True), InvalidParameter),
    ("a device beyond DWORD", lambda fax, path: fax.set_device(1 << 32, send=True), InvalidParameter),
    ("a device by name", lambda fax, path: fax.set_device("1", send=True), InvalidParameter),  # type: ignore[arg-type]
    ("a status that is none", lambda fax, path: fax.jobs(status="fjsLOST"), InvalidParameter),
    ("no limit", lambda fax, path: fax.jobs(limit=0), InvalidParameter),
    ("a limit of text", lambda fax, path: fax.jobs(limit="all"), InvalidParameter),  # type: ignore[arg-type]
    ("an owner that is no text", lambda fax, path: fax.jobs(owner="\ud800"), InvalidParameter),
    ("a fax that is not there", lambda fax, path: fax.fetch(0xFB, path.with_suffix(".new")), InvalidParameter),
    (
        "both port and sink",
        lambda fax, path: fax.initialize_event_queue(port=CompletionPort(), sink=print),
        InvalidParameter,
    ),
    ("neither", lambda fax, path: fax.initialize_event_queue(), InvalidParameter),
    ("no port", lambda fax, path: fax.initialize_event_queue(port=7), InvalidParameter),  # type: ignore[arg-type]
    ("no sink", lambda fax, path: fax.initialize_event_queue(sink=7, message_start=START), InvalidParameter),  # type: ignore[arg-type]
    ("below WM_USER", lambda fax, path: fax.initialize_event_queue(sink=print, message_start=0x3FF), InvalidParameter),
    (
        "no room for all",
        lambda fax, path: fax.initialize_event_queue(sink=print, message_start=0xFFFFFFFF),
        InvalidParameter,
    ),
    ("no number", lambda fax, path: fax.initialize_event_queue(sink=print, message_start="x"), InvalidParameter),  # type: ignore[arg-type]
    ("a negative number", lambda fax, path: fax.initialize_event_queue(sink=print, message_start=-1), InvalidParameter),
    (
        "key 2 beside a sink",
        lambda fax, path: fax.initialize_event_queue(sink=print, message_start=START, key=2),
        InvalidParameter,
    ),
    ("a key of text", lambda fax, path: fax.initialize_event_queue(port=CompletionPort(), key="1"), InvalidParameter),  # type: ignore[arg-type]
    (
        "a key beyond 64 bits",
        lambda fax, path: fax.initialize_event_queue(port=CompletionPort(), key=1 << 64),
        InvalidParameter,
    ),
    (
        "an EventKey beside a sink",
        lambda fax, path: fax.initialize_event_queue(sink=print, message_start=START, key=EventKey()),
        InvalidParameter,
    ),
]


@pytest.mark.parametrize(("call", "expected"), [row[1:] for row in WRONG], ids=[row[0] for row in WRONG])
def test_a_wrong_call_raises_the_documented_exception(
    fax: Client, document: Path, call: Callable[[Client, Path], object], expected: type[FaxServiceError]
) -> None:
    fax.submit(document, ["1"])
    with pytest.raises(FaxServiceError) as caught:
        call(fax, document)
    assert type(caught.value) is expected
    assert str(caught.value).strip()


# --- completion packets ----------------------------------------------------------------------------


def test_packets_arrive_under_the_clients_own_key(host: Host, fax: Client) -> None:
    port, key = CompletionPort(), EventKey("mine")
    made = register(fax, port=port, key=key)
    host.hear(RingReceived("0000beef", 2))
    host.hear(DeviceIdle(2))
    first, second = port.get(20), port.get(20)
    assert isinstance(first, Packet)
    assert isinstance(second, Packet)
    assert first.key is second.key is key is made.key
    assert isinstance(first.message, FaxEvent)
    assert (first.message.event_id, first.message.device_id, first.message.job_id) == (EventId.FEI_RINGING, 2, 0xBEEF)
    assert isinstance(second.message, FaxEvent)
    assert second.message.job_id == NO_JOB
    assert second.message.time_stamp >= first.message.time_stamp > 133_000_000_000_000_000, "FILETIMEs of this age"


def test_key_1_beside_a_port_is_an_ordinary_key(host: Host, fax: Client) -> None:
    port = CompletionPort()
    made = register(fax, port=port, key=1)
    host.hear(DeviceIdle(1))
    packet = port.get(20)
    assert packet is not None
    assert packet.key is made.key
    assert host.hub.leases == ()


def test_packets_reach_a_program_far_away(host: Host) -> None:
    port = CompletionPort()
    with far(host) as fax:
        register(fax, port=port)
        host.hear(DeviceIdle(1))
        assert [event.event_id for event in take(port, 1)] == [EventId.FEI_IDLE]


def test_closing_the_connection_does_not_end_notifications(host: Host) -> None:
    port = CompletionPort()
    with vfax.client.connect(host.socket) as fax:
        register(fax, port=port)
    assert host.hub.connections == ()
    host.hear(DeviceIdle(1))
    assert [event.event_id for event in take(port, 1)] == [EventId.FEI_IDLE]


def test_an_open_connection_is_seen_by_the_host(host: Host, fax: Client) -> None:
    assert len(host.hub.connections) == 1


def test_every_event_arrives_in_order_though_there_are_many(host: Host, fax: Client) -> None:
    port = CompletionPort(5_000)
    register(fax, port=port)
    host.hear_all(JobQueued(f"{number:08x}") for number in range(1, 2_001))
    assert [event.job_id for event in take(port, 2_000)] == list(range(1, 2_001))


def test_a_port_that_is_full_ends_the_registration(host: Host, fax: Client) -> None:
    port = CompletionPort(2, reserve=0)
    made = register(fax, port=port)
    host.hear_all([DeviceIdle(1)] * 5)
    assert made.wait(20)
    assert "full" in made.ended
    until(lambda: host.hub.registrations == (), "the host was told")


# --- messages --------------------------------------------------------------------------------------


def test_messages_arrive_as_three_numbers(host: Host, fax: Client) -> None:
    window = Window()
    register(fax, sink=window, message_start=START)
    host.hear(RingReceived("0000beef", 2))
    assert window.wait_for(1) == [(START + 14, 2, 0xBEEF)]


def test_the_27th_event_arrives_as_a_message_when_the_client_was_there_first(folder: Path) -> None:
    with hosting(folder, started=False) as host, vfax.client.connect(host.socket) as fax:
        window = Window()
        register(fax, sink=window, message_start=START)
        host.hear(ServiceStarted(()))
        host.hear(DeviceInService(1))
        assert window.wait_for(2) == [(START + 27, 0, NO_JOB), (START + 17, 1, NO_JOB)]


def test_messages_are_for_this_machine_alone(host: Host) -> None:
    with far(host) as fax, pytest.raises(InvalidParameter, match="remote"):
        fax.initialize_event_queue(sink=Window(), message_start=START)


def test_a_base_of_wm_user_is_taken_with_a_warning(fax: Client) -> None:
    assert "WM_USER" in register(fax, sink=Window(), message_start=0x400).warnings[0]


def test_a_sink_that_raises_is_dropped_in_silence_and_its_lease_stays(host: Host, fax: Client) -> None:
    window = Window()
    made = register(fax, sink=window, message_start=START)
    window.dead = True
    host.hear(DeviceIdle(1))
    assert made.wait(20)
    until(lambda: host.hub.registrations == (), "the host was told")
    assert len(host.hub.leases) == 1


def test_logging_off_closes_the_lease_stops_at_once_and_may_be_said_twice(host: Host, fax: Client) -> None:
    window = Window()
    made = register(fax, sink=window, message_start=START)
    assert [str(lease.sink).startswith("sink") for lease in host.hub.leases] == [True]
    assert fax.clients()["leases"][0]["client"]["process"].startswith(f"{os.getpid()}:")
    for _ in range(2):
        assert fax.initialize_event_queue(sink=window, key=1) is None
    host.hear(DeviceIdle(1))
    assert (made.over, host.hub.leases, window.messages) == (True, (), [])


def test_a_window_logs_off_from_within_its_own_message(host: Host, fax: Client) -> None:
    window = Window()

    def window_procedure(message: int, device: int, job: int) -> None:
        window(message, device, job)
        fax.initialize_event_queue(sink=window_procedure, key=1)

    made = register(fax, sink=window_procedure, message_start=START)
    host.hear(DeviceIdle(1))
    assert made.wait(20)
    host.hear(DeviceIdle(1))
    assert len(window.messages) == 1


def test_logging_off_works_over_another_connection(host: Host, fax: Client) -> None:
    window = Window()
    register(fax, sink=window, message_start=START)
    fax.close()
    with vfax.client.connect(host.socket) as again:
        assert again.initialize_event_queue(sink=window, key=1) is None
    assert host.hub.leases == ()


def test_under_the_system_account_there_is_no_lease_and_packets_arrive(folder: Path) -> None:
    options = HubOptions(account=Account.SYSTEM, profile=Profile.XP, desktop="another")
    with hosting(folder, hub=options) as host, vfax.client.connect(host.socket) as fax:
        window, port = Window(), CompletionPort()
        register(fax, sink=window, message_start=START)
        register(fax, port=port)
        host.hear(DeviceIdle(1))
        take(port, 1)
        host.hear(ServiceStopped())
        take(port, 1)
        until(lambda: len(host.hub.over) == 2, "both are over")
        assert (window.messages, host.hub.leases) == ([], ())


def test_with_allow_interact_they_cross(folder: Path) -> None:
    options = HubOptions(account=Account.SYSTEM, allow_interact=True, desktop="another")
    with hosting(folder, hub=options) as host, vfax.client.connect(host.socket) as fax:
        window = Window()
        register(fax, sink=window, message_start=START)
        host.hear(DeviceIdle(1))
        assert window.wait_for(1) == [(START + 19, 1, NO_JOB)]


# --- second registrations and sessions -------------------------------------------------------------


def test_windows_2000_refuses_a_second_registration(host: Host, fax: Client) -> None:
    register(fax, port=CompletionPort())
    with pytest.raises(InvalidData) as caught:
        fax.initialize_event_queue(port=CompletionPort())
    assert caught.value.winerror == Win32.ERROR_INVALID_DATA


def test_windows_xp_tells_everything_twice(folder: Path) -> None:
    with hosting(folder, hub=HubOptions(profile=Profile.XP)) as host, vfax.client.connect(host.socket) as fax:
        port = CompletionPort()
        register(fax, port=port)
        register(fax, port=port)
        host.hear(DeviceIdle(1))
        host.hear(DeviceIdle(2))
        assert sorted(event.device_id for event in take(port, 4)) == [1, 1, 2, 2]


def test_too_many_registrations_are_out_of_resources(folder: Path) -> None:
    options = HubOptions(profile=Profile.XP, max_registrations_per_client=1)
    with hosting(folder, hub=options) as host, vfax.client.connect(host.socket) as fax:
        register(fax, port=CompletionPort())
        with pytest.raises(OutOfResources):
            fax.initialize_event_queue(port=CompletionPort())


def test_the_end_of_the_service_is_the_last_event_and_the_end_of_the_registration(host: Host, fax: Client) -> None:
    port = CompletionPort()
    made = register(fax, port=port)
    host.hear(DeviceIdle(1))
    fax.close()
    host.end()
    assert [event.event_id for event in take(port, 2)] == [EventId.FEI_IDLE, EventId.FEI_FAXSVC_ENDED]
    assert made.wait(20)
    assert (made.ended, made.lost) == (ENDED_WITH_SERVICE, None)


def test_a_service_that_vanishes_is_noticed_and_no_event_is_made_up(
    folder: Path, caplog: pytest.LogCaptureFixture
) -> None:
    port = CompletionPort()
    with hosting(folder) as host:
        with vfax.client.connect(host.socket) as fax:
            made = register(fax, port=port)
            host.hear(DeviceIdle(1))
            take(port, 1)
        assert host.stopping is not None
        host.call(host.stopping.set)  # without ServiceStopped: as if it had been killed
    assert made.wait(20)
    assert isinstance(made.lost, ServiceUnavailable)
    assert "without a word" in made.ended
    assert port.get_nowait() is None
    assert "FEI_FAXSVC_ENDED" in caplog.text


# --- a client's process ----------------------------------------------------------------------------

CHILD = """
    import sys, time
    import vfax.client
    fax = vfax.client.connect(sys.argv[1])
    fax.initialize_event_queue(sink=lambda *numbers: None, message_start=0x9000)
    print("registered", flush=True)
    time.sleep(60)
"""


@pytest.mark.parametrize("end", ["kill", "terminate"])
def test_a_client_whose_process_goes_away_leaves_no_lease(host: Host, end: str) -> None:
    child = subprocess.Popen(
        [sys.executable, "-c", textwrap.dedent(CHILD), str(host.socket)], stdout=subprocess.PIPE, cwd=ROOT
    )
    assert child.stdout is not None
    try:
        assert child.stdout.readline() == b"registered\n"
        assert len(host.hub.leases) == 1
        getattr(child, end)()
        until(lambda: (host.hub.leases, host.hub.registrations, host.hub.connections) == ((), (), ()), "all is closed")
    finally:
        child.kill()
        child.wait()
        child.stdout.close()


def test_a_guest_may_connect_and_nothing_else(host: Host, document: Path) -> None:
    with far(host, GUEST) as guest:
        for call in (
            guest.devices,
            guest.jobs,
            guest.faxes,
            guest.clients,
            lambda: guest.submit(document, ["1"]),
            lambda: guest.abort(1),
            lambda: guest.pause_queue(True),
            lambda: guest.set_device(1, send=False),
            lambda: guest.initialize_event_queue(port=CompletionPort()),
        ):
            with pytest.raises(AccessDenied):
                call()
