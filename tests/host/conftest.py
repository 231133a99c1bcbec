"""Fixtures for the host: a spool of its own, a provider with a script, what the host said, and a store of each kind."""

import shutil
import sys
from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, TypeVar

import pytest
import trio
from trio.testing import MockClock

# The helpers beside this file are imported as tests.host.*; an installed vfax still comes first.
ROOT = str(Path(__file__).parents[2])
if ROOT not in sys.path:
    sys.path.append(ROOT)

from tests.host.queue_desk import Opening, opener  # noqa: E402
from tests.host.scripted import Script  # noqa: E402
from tests.virtual import hold_for_threads, virtual_clock  # noqa: E402
from vfax.fsp.provider import RegistrationRecord  # noqa: E402
from vfax.host.events import FaxEnded, HostEvent, Observer  # noqa: E402
from vfax.host.guard import CallTimeouts  # noqa: E402
from vfax.host.jobs import JobOptions  # noqa: E402
from vfax.host.service import FaxService, HostOptions  # noqa: E402
from vfax.host.store.store import Store  # noqa: E402

if TYPE_CHECKING:
    from tests.postgres import Postgres  # it knows POSIX

E = TypeVar("E")

GUIDS = (
    "{11111111-1111-4111-8111-111111111111}",
    "{22222222-2222-4222-8222-222222222222}",
    "{33333333-3333-4333-8333-333333333333}",
)


@dataclass
class Ear:
    """Hears what the host says; `wait_for` waits for the next event of a kind that has not been waited for."""

    events: list[HostEvent] = field(default_factory=list)
    _taken: int = 0
    _heard: trio.Event = field(default_factory=trio.Event)

    def __call__(self, event: HostEvent) -> None:
        self.events.append(event)
        self._heard.set()
        self._heard = trio.Event()

    def of(self, kind: type[E]) -> list[E]:
        return [event for event in self.events if isinstance(event, kind)]

    async def wait_for(self, kind: type[E], count: int = 1) -> list[E]:
        while len(self.of(kind)) < count:  # without a limit: virtual time would jump to it while a disk is slow
            await self._heard.wait()
        return self.of(kind)

    async def ended(self) -> FaxEnded:
        return (await self.wait_for(FaxEnded))[0]


Hosting = Callable[..., AbstractAsyncContextManager[FaxService]]


@pytest.fixture
def script() -> Script:
    return Script()


@pytest.fixture
def jumping_clock() -> MockClock:
    """Virtual time that jumps when nothing is left to do; `hosting` holds it while threads work on the disk."""
    return virtual_clock()


@pytest.fixture
def ear() -> Ear:
    return Ear()


@pytest.fixture
def hosting(tmp_path: Path, ear: Ear) -> Hosting:
    """`async with hosting(script) as service`: a service over one provider a script, stopped after the block."""

    @asynccontextmanager
    async def host(
        *scripts: Script,
        jobs: JobOptions | None = None,
        guids: tuple[str, ...] = GUIDS,
        observe: Observer = ear,
        timeouts: CallTimeouts | None = None,
        image: str = "tests.host.scripted:create",
    ) -> AsyncIterator[FaxService]:
        records = [
            RegistrationRecord(
                guid=guid,
                friendly_name=f"provider {at}",
                image_name=image,
                configuration={"script": script},
            )
            for at, (script, guid) in enumerate(zip(scripts, guids, strict=False))
        ]
        options = HostOptions(
            spool=tmp_path / "spool",
            local_id="+49 30 1",
            call_timeout=2.0,
            timeouts=timeouts or CallTimeouts(),
            jobs=jobs or JobOptions(abort_grace=2.0),
        )
        service = FaxService(options, records, observe=observe)
        async with trio.open_nursery() as beside:
            beside.start_soon(hold_for_threads)
            async with trio.open_nursery() as nursery:
                await nursery.start(lambda task_status=trio.TASK_STATUS_IGNORED: service.run(task_status=task_status))
                yield service
                service.stop()
            beside.cancel_scope.cancel()

    return host


# --- an empty store, on SQLite and on PostgreSQL --------------------------------------------------------


@pytest.fixture(scope="session")
def made_file(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """An empty store on SQLite, made once: copied it is there sooner."""
    path = tmp_path_factory.mktemp("made") / "vfax.db"
    Store.open(f"sqlite:///{path}").close()
    return path


@pytest.fixture(scope="session")
def made_database(postgres: "Postgres") -> Iterator[str]:
    """The same on PostgreSQL."""
    with postgres.database() as name:
        Store.open(postgres.url(name)).close()
        yield name


@pytest.fixture(params=["sqlite", "postgresql"])
def store_url(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[str]:
    """The URL of an empty store."""
    if request.param == "sqlite":
        shutil.copy(request.getfixturevalue("made_file"), tmp_path / "vfax.db")
        yield f"sqlite:///{tmp_path}/vfax.db"
        return
    server: Postgres = request.getfixturevalue("postgres")
    with server.database(template=request.getfixturevalue("made_database")) as name:
        yield server.url(name)


@pytest.fixture(params=["sqlite", "postgresql"])
def blank_url(request: pytest.FixtureRequest, tmp_path: Path) -> str:
    """The URL of a database that is not there yet, or has no tables."""
    if request.param == "sqlite":
        return f"sqlite:///{tmp_path}/vfax.db"
    url = request.getfixturevalue("postgres_url")
    assert isinstance(url, str)
    return url


# --- a queue at work ------------------------------------------------------------------------------------


@pytest.fixture
def opening(hosting: Hosting, ear: Ear, tmp_path: Path, store_url: str) -> Opening:
    """`async with opening(script) as desk`: a service, a store in the spool, and the queue between them."""
    return opener(hosting, ear, tmp_path, store_url)
