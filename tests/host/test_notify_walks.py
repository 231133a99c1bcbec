"""Whole faxes through the real service with a scripted provider: every client event, in order, at its moment.

Each row of WALKS is one story: how the provider behaves, what is done to it, and all events that a client gets from
FEI_FAXSVC_STARTED to FEI_FAXSVC_ENDED, with their device (a is the first job, b the second).
"""

import itertools
from collections.abc import Awaitable, Callable
from dataclasses import dataclass, field
from pathlib import Path

import pytest
import trio
from trio.testing import MockClock

from tests.host.conftest import Ear, Hosting
from tests.host.scripted import Halt, Script
from vfax.fsp.completion import CompletionPort
from vfax.fsp.constants import EVENT_OF_STATUS, NO_JOB, EventId, FaxStatus
from vfax.fsp.structures import FaxEvent
from vfax.host.event_table import TABLE
from vfax.host.events import FaxEnded, HostEvent, JobDeleted, Observer, RingDropped, ServiceStopped
from vfax.host.jobs import JobOptions
from vfax.host.notify import Client, Hub, State
from vfax.host.service import FaxService

OPENING = "STARTED ON@1 ON@2"
CLOSING = "OFF@1 OFF@2 ENDED"
SHORT = {
    "STARTED": EventId.FEI_FAXSVC_STARTED,
    "ENDED": EventId.FEI_FAXSVC_ENDED,
    "ON": EventId.FEI_MODEM_POWERED_ON,
    "OFF": EventId.FEI_MODEM_POWERED_OFF,
    "QUEUED": EventId.FEI_JOB_QUEUED,
    "UNAVAILABLE": EventId.FEI_LINE_UNAVAILABLE,
    "FATAL": EventId.FEI_FATAL_ERROR,
}
LONG = {event_id: word for word, event_id in SHORT.items()}


@dataclass
class Stage:
    """One service under way, heard by a client and by the test."""

    service: FaxService
    script: Script
    ear: Ear
    folder: Path

    async def receive(self) -> None:
        self.script.ring()
        await self.ear.wait_for(JobDeleted, 1)

    async def send(self) -> None:
        await self.service.submit(self.folder / "document.tif", "sip:555@example.net")

    async def send_and(self, act: Callable[[], Awaitable[None]]) -> None:
        async with trio.open_nursery() as nursery:
            nursery.start_soon(self.send)
            await act()

    def abort(self) -> None:
        for job in self.service.running:
            assert self.service.abort(job)


Act = Callable[[Stage], Awaitable[None]]


async def nothing(stage: Stage) -> None:
    await trio.lowlevel.checkpoint()


async def receive(stage: Stage) -> None:
    await stage.receive()


async def send(stage: Stage) -> None:
    await stage.send()


async def send_twice(stage: Stage) -> None:
    """What a retry is until somebody waits in between: the same document once more, as another job."""
    await stage.send()
    stage.script.ends, stage.script.succeeds = FaxStatus.FS_COMPLETED, True
    await stage.send()


def abort_at(place: str) -> Act:
    async def act(stage: Stage) -> None:
        stage.script.halts[place] = halt = Halt()

        async def abort() -> None:
            await halt.reached.wait()
            stage.abort()
            stage.abort()  # twice is once
            halt.on.set()

        await stage.send_and(abort)

    return act


async def abort_while_sending(stage: Stage) -> None:
    stage.script.waits = True

    async def abort() -> None:
        await stage.script.running.wait()
        stage.abort()

    await stage.send_and(abort)


async def abort_while_receiving(stage: Stage) -> None:
    stage.script.waits = True
    stage.script.ring()
    await stage.script.running.wait()
    stage.abort()
    await stage.ear.wait_for(JobDeleted)


async def leave_running(stage: Stage) -> None:
    stage.script.waits = True
    stage.script.ring()
    await stage.script.running.wait()


async def send_past_its_limit(stage: Stage) -> None:
    stage.script.waits = True
    await stage.send()


async def ring_nowhere(stage: Stage) -> None:
    stage.script.ring(77)
    await stage.ear.wait_for(RingDropped)


async def fail_a_task_of_the_provider(stage: Stage) -> None:
    provider = stage.script.provider
    assert provider is not None
    assert provider._arena is not None

    async def fail() -> None:
        raise RuntimeError("the network card is gone")

    provider._arena.nursery.start_soon(fail)
    await stage.service.providers[0].stopped.wait()


@dataclass(frozen=True)
class Walk:
    """A story: `script` are fields of the Script, `events` what comes between the opening and the closing."""

    name: str
    act: Act
    events: str
    script: dict[str, object] = field(default_factory=dict)
    closing: str = CLOSING


FAILS: dict[str, object] = {"succeeds": False}
WALKS = [
    Walk("nothing", nothing, ""),
    Walk(
        "inbound",
        receive,
        "RINGING@1a ANSWERED@1a RECEIVING@1a RECEIVING@1a COMPLETED@1a ROUTING@1a DELETED@1a IDLE@1",
        {"pages": 2},
    ),
    Walk(
        "inbound, cut off after a page",
        receive,
        "RINGING@1a ANSWERED@1a RECEIVING@1a DISCONNECTED@1a ROUTING@1a DELETED@1a IDLE@1",
        FAILS | {"ends": FaxStatus.FS_DISCONNECTED},
    ),
    Walk(
        "inbound, no fax machine: nothing is routed",
        receive,
        "RINGING@1a ANSWERED@1a NOT_FAX_CALL@1a DELETED@1a IDLE@1",
        FAILS | {"ends": FaxStatus.FS_NOT_FAX_CALL, "pages": 0},
    ),
    Walk(
        "inbound, called complete without a page",
        receive,
        "RINGING@1a ANSWERED@1a COMPLETED@1a FATAL@1a DELETED@1a IDLE@1",
        {"pages": 0},
    ),
    Walk(
        "inbound, the provider cannot start the job",
        receive,
        "RINGING@1a DELETED@1a IDLE@1",
        {"fault": {"FaxDevStartJob": "raise"}},
    ),
    Walk("a ring that nobody can take", ring_nowhere, ""),
    Walk("outbound", send, "QUEUED@0a DIALING@2a SENDING@2a COMPLETED@2a IDLE@2 DELETED@2a"),
    Walk(
        "outbound, its end asked for and never posted",
        send,
        "QUEUED@0a DIALING@2a SENDING@2a COMPLETED@2a IDLE@2 DELETED@2a",
        {"posts": False},
    ),
    Walk(
        "outbound, the end is not what was posted",
        send,
        "QUEUED@0a DIALING@2a SENDING@2a COMPLETED@2a FATAL@2a IDLE@2 DELETED@2a",
        FAILS,
    ),
    Walk(
        "outbound, no line on any device",
        send,
        "QUEUED@0a DIALING@2a SENDING@2a UNAVAILABLE@2a IDLE@2 DIALING@1a SENDING@1a UNAVAILABLE@1a IDLE@1 DELETED@1a",
        FAILS | {"ends": FaxStatus.FS_LINE_UNAVAILABLE},
    ),
    Walk(
        "outbound, handed over to the provider",
        send,
        "QUEUED@0a DIALING@2a SENDING@2a HANDLED@2a FATAL@2a IDLE@2 DELETED@2a",
        FAILS | {"ends": FaxStatus.FS_HANDLED, "posts": True, "fault": {"FaxDevReportStatus": "raise"}},
    ),
    Walk(
        "retry: busy, then through",
        send_twice,
        "QUEUED@0a DIALING@2a SENDING@2a BUSY@2a IDLE@2 DELETED@2a "
        "QUEUED@0b DIALING@2b SENDING@2b COMPLETED@2b IDLE@2 DELETED@2b",
        FAILS | {"ends": FaxStatus.FS_BUSY},
    ),
    Walk(
        "abort inside StartJob: it is latched",
        abort_at("FaxDevStartJob"),
        "QUEUED@0a ABORTING@2a DIALING@2a SENDING@2a IDLE@2 DELETED@2a",
    ),
    Walk(
        "abort as Send begins",
        abort_at("FaxDevSend"),
        "QUEUED@0a ABORTING@2a DIALING@2a SENDING@2a IDLE@2 DELETED@2a",
    ),
    Walk(
        "abort while dialling",
        abort_at("dialling"),
        "QUEUED@0a DIALING@2a ABORTING@2a SENDING@2a IDLE@2 DELETED@2a",
    ),
    Walk("abort while sending", abort_while_sending, "QUEUED@0a DIALING@2a SENDING@2a ABORTING@2a IDLE@2 DELETED@2a"),
    Walk(
        "abort after Send has returned: harmless, and no event",
        abort_at("FaxDevEndJob"),
        "QUEUED@0a DIALING@2a SENDING@2a COMPLETED@2a IDLE@2 DELETED@2a",
    ),
    Walk(
        "abort while receiving: the pages are thrown away",
        abort_while_receiving,
        "RINGING@1a ANSWERED@1a RECEIVING@1a ABORTING@1a DELETED@1a IDLE@1",
    ),
    Walk(
        "cancelled in the provider's own windows",
        send,
        "QUEUED@0a DIALING@2a SENDING@2a ABORTING@2a IDLE@2 DELETED@2a",
        FAILS | {"ends": FaxStatus.FS_USER_ABORT},
    ),
    Walk(
        "a fax that takes too long is aborted",
        send_past_its_limit,
        "QUEUED@0a DIALING@2a SENDING@2a ABORTING@2a IDLE@2 DELETED@2a",
    ),
    Walk(
        "the service stops while it receives: the pages are kept",
        leave_running,
        "RINGING@1a ANSWERED@1a RECEIVING@1a ABORTING@1a ROUTING@1a DELETED@1a IDLE@1",
    ),
    Walk("the provider fails", fail_a_task_of_the_provider, "OFF@1 OFF@2", closing="ENDED"),
]


def told(walk: Walk) -> list[str]:
    return f"{OPENING} {walk.events} {walk.closing}".split()


def spelled(events: list[FaxEvent]) -> list[str]:
    """Events in the words of the table: name, @device unless the event is the service's own, a letter for the job."""
    letters: dict[int, str] = {}
    words = []
    for event in events:
        word = LONG.get(event.event_id, event.event_id.name.removeprefix("FEI_"))
        if word not in ("STARTED", "ENDED"):
            word += f"@{event.device_id}"
        if event.job_id != NO_JOB:
            word += letters.setdefault(event.job_id, "abc"[len(letters)])
        words.append(word)
    return words


@dataclass
class House:
    """The hub of one service, and a client that has been there from the first moment."""

    hub: Hub
    port: CompletionPort = field(default_factory=CompletionPort)

    def events(self) -> list[FaxEvent]:
        found = []
        while (packet := self.port.get_nowait()) is not None:
            assert isinstance(packet.message, FaxEvent)
            found.append(packet.message)
        return found


def both(ear: Ear, house: House) -> Observer:
    def hear(event: HostEvent) -> None:
        ear(event)
        house.hub.hear(event)

    return hear


@pytest.fixture
def house() -> House:
    ticks, names = itertools.count(1), itertools.count(1)
    made = House(Hub("session", now=lambda: next(ticks), new_id=lambda: f"id{next(names)}"))
    made.hub.initialize_event_queue(made.hub.connect(Client(process="1")), port=made.port)
    return made


@pytest.mark.parametrize("walk", WALKS, ids=[walk.name for walk in WALKS])
async def test_a_client_is_told_the_whole_story(
    walk: Walk, hosting: Hosting, house: House, ear: Ear, jumping_clock: MockClock, tmp_path: Path
) -> None:
    script = Script()
    for name, value in walk.script.items():
        setattr(script, name, value)

    jobs = JobOptions(abort_grace=2.0, operation_timeout=100.0)
    async with hosting(script, observe=both(ear, house), jobs=jobs) as service:
        await walk.act(Stage(service, script, ear, tmp_path))
    assert spelled(house.events()) == told(walk)
    assert house.hub.state is State.ENDED
    assert isinstance(ear.events[-1], ServiceStopped)


async def test_nothing_is_told_after_the_end_and_the_first_event_is_the_start(
    hosting: Hosting, house: House, script: Script
) -> None:
    async with hosting(script, observe=house.hub.hear):
        pass
    got = [event.event_id for event in house.events()]
    assert (got[0], got[-1]) == (EventId.FEI_FAXSVC_STARTED, EventId.FEI_FAXSVC_ENDED)


async def test_a_provider_that_cannot_start_powers_nothing_on(hosting: Hosting, house: House, script: Script) -> None:
    script.fault["FaxDevInitialize"] = "raise"
    async with hosting(script, observe=house.hub.hear):
        pass
    assert spelled(house.events()) == ["STARTED", "ENDED"]


@pytest.mark.parametrize("status", list(FaxStatus))
async def test_each_final_status_is_told_as_its_event(
    status: FaxStatus, hosting: Hosting, house: House, ear: Ear, script: Script, tmp_path: Path
) -> None:
    script.ends, script.succeeds, script.count = status, status is FaxStatus.FS_COMPLETED, 1
    async with hosting(script, observe=both(ear, house)) as service:
        await service.submit(tmp_path / "document.tif", "sip:555@example.net")
    assert EVENT_OF_STATUS[status] in [event.event_id for event in house.events()]
    assert len(ear.of(FaxEnded)) == 1


def test_all_27_events_have_a_happening_behind_them() -> None:
    from_table = {EventId[name] for name in TOLD_BY_ITSELF}
    assert from_table | set(EVENT_OF_STATUS.values()) == set(EventId)
    assert len(TABLE) == len(TOLD_BY_ITSELF) + 2  # statuses, and the abort that a status may tell as well


TOLD_BY_ITSELF = (
    "FEI_FAXSVC_STARTED",
    "FEI_FAXSVC_ENDED",
    "FEI_MODEM_POWERED_ON",
    "FEI_MODEM_POWERED_OFF",
    "FEI_JOB_QUEUED",
    "FEI_RINGING",
    "FEI_ROUTING",
    "FEI_DELETED",
    "FEI_IDLE",
)
