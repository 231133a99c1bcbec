"""Fixtures of deliveries: a fax in a spool, a wall clock of the test's own, a host that delivers."""

from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from dataclasses import dataclass, replace
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Protocol

import pytest
import trio

from tests.conftest import draw_page
from tests.host.conftest import Ear
from tests.host.delivery.peers import Authority
from vfax.codecs import tiff
from vfax.fsp.constants import FaxStatus, JobType
from vfax.host.delivery import Delivery, DeliveryOptions, DeliveryPlan
from vfax.host.parcel import Parcel
from vfax.host.records import FaxRecord
from vfax.host.routing import route
from vfax.host.store.store import Store
from vfax.host.store.values import DeliveryState, StoredDelivery, StoredFax
from vfax.outcome import Cause

NOON = datetime(2025, 1, 31, 12, 0, 0, tzinfo=UTC)
HOSTILE = "+49\r\nBcc: all@example.org\0\x1b[2J/../../{document}\udc80 ☎"


@dataclass
class WallClock:
    """What time it is; it stands still until the test moves it."""

    now: datetime = NOON

    def __call__(self) -> datetime:
        return self.now

    def pass_by(self, seconds: float) -> None:
        self.now += timedelta(seconds=seconds)


class Parcels(Protocol):
    def __call__(self, *, kind: str = "folder", caller: str = ..., **target: object) -> Parcel: ...


def record(**changes: object) -> FaxRecord:
    fields: dict[str, object] = {
        "job": "0000abcd",
        "job_type": JobType.JT_RECEIVE,
        "device_id": 2,
        "device_name": "vfax 2",
        "started_at": NOON,
        "ended_at": NOON + timedelta(seconds=30),
        "status_id": FaxStatus.FS_COMPLETED,
        "cause": Cause.COMPLETE,
        "sentence": "The fax is complete.",
        "pages": 2,
        "caller": "+49 30 123456",
        "caller_name": "Somebody",
        "remote_id": "+49 30 99",
        "dialled": "+498912345",
        "subaddress": "77",
        "journal": "/var/spool/vfax/journal/x.jsonl",
    }
    return FaxRecord(**(fields | changes))  # type: ignore[arg-type]


@pytest.fixture(scope="session")
def two_pages(tmp_path_factory: pytest.TempPathFactory) -> bytes:
    """A received document: a standard and a fine page."""
    folder = tmp_path_factory.mktemp("pages")
    parts = []
    for number, (rows, y_dpi) in enumerate(((300, 98), (400, 196))):
        drawn = draw_page(number + 1, rows=rows, seed=1)
        raster = bytes(octet ^ 0xFF for octet in drawn.tobytes())
        parts.append(folder / f"{number}.tif")
        parts[-1].write_bytes(tiff.write_page(raster, 1728, rows, x_dpi=204, y_dpi=y_dpi, number=number))
    tiff.join_pages(parts, folder / "whole.tif")
    return (folder / "whole.tif").read_bytes()


@pytest.fixture
def spool(tmp_path: Path, two_pages: bytes) -> Path:
    """A spool folder with one document in its inbox."""
    folder = tmp_path / "spool"
    (folder / "inbox").mkdir(parents=True)
    (folder / "inbox" / "fax.tif").write_bytes(two_pages)
    return folder


def stored(fax: FaxRecord, document: str | None = "inbox/fax.tif") -> StoredFax:
    return StoredFax(job=int(fax.job, 16), received_at=fax.ended_at, record=fax.to_json(), document=document)


@pytest.fixture
def parcel(spool: Path) -> Parcels:
    """`parcel(kind="mail", caller="...", to="...")`: one delivery with its fax."""

    def make(*, kind: str = "folder", caller: str = "+49 30 123456", **target: object) -> Parcel:
        delivery = StoredDelivery(
            id=17,
            job=0xABCD,
            rule="sales",
            kind=kind,
            target=target,
            state=DeliveryState.RUNNING,
            created_at=NOON,
            lease_term=1,
        )
        return Parcel(delivery=delivery, fax=stored(record(caller=caller)), spool=spool)

    return make


@pytest.fixture(scope="session")
def authority(tmp_path_factory: pytest.TempPathFactory) -> Authority:
    return Authority.make(tmp_path_factory.mktemp("authority"))


@pytest.fixture(scope="session")
def certificate(authority: Authority, tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, Path]:
    """Of 127.0.0.1, where the peers of the tests are."""
    return authority.certify("127.0.0.1", tmp_path_factory.mktemp("certificate"))


@pytest.fixture(scope="session")
def wrong_name(authority: Authority, tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, Path]:
    """Of another host."""
    return authority.certify("other.example", tmp_path_factory.mktemp("wrong"))


@pytest.fixture
def wall() -> WallClock:
    return WallClock()


@pytest.fixture
def threads() -> trio.CapacityLimiter:
    return trio.CapacityLimiter(4)


@pytest.fixture(params=["sqlite", "postgresql"])
def store(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Store]:
    """An empty store, on either database."""
    url = f"sqlite:///{tmp_path}/vfax.db" if request.param == "sqlite" else request.getfixturevalue("postgres_url")
    opened = Store.open(url)
    yield opened
    opened.close()


def arrive(store: Store, plan: DeliveryPlan, now: datetime, **changes: object) -> list[StoredDelivery]:
    """Put a received fax and the deliveries that the plan wants into the store."""
    fax = record(**changes)
    return store.add_fax(stored(fax), route(plan.rules, fax), now, job_type=JobType.JT_RECEIVE)


@dataclass
class Bench:
    """A delivering host, its store and what it says."""

    store: Store
    delivery: Delivery
    plan: DeliveryPlan
    wall: WallClock

    def arrive(self, **changes: object) -> list[StoredDelivery]:
        """A fax is received, its deliveries are due."""
        made = arrive(self.store, self.plan, self.wall.now, **changes)
        self.delivery.kick()
        return made

    def later(self, seconds: float) -> None:
        self.wall.pass_by(seconds)
        self.delivery.kick()

    def state(self, delivery: StoredDelivery) -> StoredDelivery:
        return next(one for one in self.store.deliveries(delivery.job) if one.id == delivery.id)


Delivering = Callable[..., AbstractAsyncContextManager[Bench]]


@pytest.fixture
def delivering(store: Store, spool: Path, ear: Ear, wall: WallClock) -> Delivering:
    """`async with delivering(plan, max_attempts=3) as bench`: a host that delivers until the block ends."""

    @asynccontextmanager
    async def run(plan: DeliveryPlan, **options: object) -> AsyncIterator[Bench]:
        chosen = replace(DeliveryOptions(retry_jitter=0.5), **options)  # type: ignore[arg-type]
        delivery = Delivery(store, spool, plan, chosen, host="here", observe=ear, clock=wall, dice=lambda: 0.5)
        async with trio.open_nursery() as nursery:
            await nursery.start(lambda task_status=trio.TASK_STATUS_IGNORED: delivery.run(task_status=task_status))
            yield Bench(store, delivery, plan, wall)
            nursery.cancel_scope.cancel()

    return run
