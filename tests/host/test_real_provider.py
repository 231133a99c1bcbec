"""The service over the provider of this project, with real sockets and disk: what becomes of confirmed pages.

The sender is an endpoint beside it, in the same virtual time; it knows which pages were confirmed.
"""

import json
import shutil
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest
import trio
from trio.testing import MockClock

from tests.host.conftest import Ear
from tests.virtual import hold_for_threads
from vfax import call
from vfax.cli.hosting import running
from vfax.codecs import tiff
from vfax.endpoint import Endpoint, EndpointOptions
from vfax.host.events import FaxEnded, JobMoved, StorageFailed
from vfax.host.service import FaxService
from vfax.leg import LegOptions
from vfax.outcome import Cause, Outcome
from vfax.settings import Settings, wiring
from vfax.transports.parameters import Dtls

MakeDocument = Callable[..., Path]


@dataclass
class Caller:
    """Sends one document; `confirmed` are the pages whose confirmation it heard."""

    endpoint: Endpoint
    uri: str
    confirmed: int = 0
    outcome: Outcome | None = None
    events: list[call.CallEvent] = field(default_factory=list)
    _heard: trio.Event = field(default_factory=trio.Event)

    async def send(self, document: Path) -> Outcome:
        request = call.SendRequest(document=document, destination=self.uri, local_id="+49 30 1", caller_name="Caller")
        self.outcome = await self.endpoint.outbound().send(request, publish=self._hear)
        return self.outcome

    async def reached(self, confirmed: int, page: int) -> None:
        """Return when `confirmed` pages are confirmed and `page` is on the line."""
        while self.confirmed < confirmed or call.PageBegun(page) not in self.events:
            await self._heard.wait()

    def _hear(self, event: call.CallEvent) -> None:
        self.events.append(event)
        self.confirmed += isinstance(event, call.PageDone)
        self._heard.set()
        self._heard = trio.Event()


@dataclass
class House:
    """A service with its provider, and a phone to call it from."""

    service: FaxService
    network: Endpoint
    phone: Endpoint

    def caller(self) -> Caller:
        host, port = self.network.address
        return Caller(self.phone, f"sip:5551234@{host}:{port}")

    def inbox(self) -> list[tuple[Path, dict[str, Any]]]:
        records = sorted(self.service.spool.inbox.glob("*.json"))
        return [(path.with_suffix(".tif"), json.loads(path.read_text())) for path in records]


@pytest.fixture
def house(tmp_path: Path, ear: Ear) -> Callable[..., Any]:
    """`async with house() as h`: the service runs until the block ends."""

    @asynccontextmanager
    async def open_house(*, lines: int = 2, dtls: Dtls = Dtls.OFF) -> AsyncIterator[House]:
        given = Settings()
        host = given.host.model_copy(update={"spool": tmp_path / "spool", "lines": lines})
        sip = given.sip.model_copy(update={"listen": "127.0.0.1:0"})
        abuse = given.abuse.model_copy(update={"unproven_share": 1.0})  # all lines at once, as soon as it listens
        media = given.media.model_copy(update={"dtls": dtls.value})
        settings = given.model_copy(update={"host": host, "sip": sip, "abuse": abuse, "media": media})
        (tmp_path / "spool" / "journal").mkdir(parents=True)
        network = wiring.network(settings)
        service = FaxService(wiring.host_options(settings), [wiring.registration(settings, network)], observe=ear)
        phone = Endpoint(EndpointOptions(listen=("127.0.0.1", 0), leg=LegOptions(dtls=dtls)))
        async with trio.open_nursery() as nursery:
            nursery.start_soon(hold_for_threads)
            await nursery.start(phone.run, lambda arrived: arrived.refuse(486))
            async with running(service):
                yield House(service, network, phone)
            nursery.cancel_scope.cancel()

    return open_house


def assert_kept(house: House, document: Path, confirmed: int) -> None:
    """One incomplete document lies in the inbox and holds at least what was confirmed, pixel for pixel."""
    ((delivered, record),) = house.inbox()
    assert record["incomplete"] is True
    assert record["pages"] == len(tiff.read_headers(delivered)) >= confirmed > 0
    for at in range(confirmed):
        assert tiff.load_page(delivered, at).raster == tiff.load_page(document, at).raster
    assert list(house.service.spool.incoming.iterdir()) == []


async def test_pages_confirmed_before_the_user_aborts_are_discarded_by_the_host(
    fax_clock: MockClock, house: Callable[..., Any], make_document: MakeDocument, ear: Ear
) -> None:
    async with house() as one, trio.open_nursery() as nursery:
        caller = one.caller()
        nursery.start_soon(caller.send, make_document(pages=3))
        await caller.reached(1, page=2)
        (job,) = one.service.running
        assert one.service.abort(job)
        ended = await ear.ended()
        assert (ended.record.cause, ended.record.pages, ended.document) == (Cause.ABORTED, 0, None)
    assert one.inbox() == []
    assert list(one.service.spool.incoming.iterdir()) == []
    assert len(list(one.service.spool.failed.glob("*.json"))) == 1
    assert caller.outcome is not None
    assert not caller.outcome.ok


async def test_pages_confirmed_before_the_service_stops_are_delivered_marked_incomplete(
    fax_clock: MockClock, house: Callable[..., Any], make_document: MakeDocument, ear: Ear
) -> None:
    document = make_document(pages=3)
    async with trio.open_nursery() as nursery:
        async with house() as one:
            caller = one.caller()
            nursery.start_soon(caller.send, document)
            await caller.reached(1, page=2)
            one.service.stop()
            ended = await ear.ended()
        assert ended.record.sentence == "The fax was ended because the service was stopped."
    assert_kept(one, document, caller.confirmed)


async def test_pages_confirmed_before_the_network_breaks_down_are_delivered_marked_incomplete(
    fax_clock: MockClock, house: Callable[..., Any], make_document: MakeDocument, ear: Ear
) -> None:
    document = make_document(pages=3)
    async with house() as one:
        caller = one.caller()
        async with trio.open_nursery() as nursery:
            nursery.start_soon(caller.send, document)
            await caller.reached(1, page=2)
            one.service.providers[0].stop.cancel()
            ended = await ear.ended()
            assert not ended.record.ok
            assert ended.record.sentence
            nursery.cancel_scope.cancel()
        assert_kept(one, document, caller.confirmed)


async def test_pages_confirmed_before_the_disk_goes_away_are_never_called_complete(
    fax_clock: MockClock, house: Callable[..., Any], make_document: MakeDocument, ear: Ear, tmp_path: Path
) -> None:
    async with house() as one:
        caller = one.caller()
        async with trio.open_nursery() as nursery:
            nursery.start_soon(caller.send, make_document(pages=3))
            await caller.reached(1, page=2)
            before = caller.confirmed
            shutil.rmtree(tmp_path / "spool")
            ended = await ear.ended()
        assert caller.outcome is not None
        assert not caller.outcome.ok
        assert caller.confirmed == before
        assert ended.record.cause is Cause.STORAGE
        assert "No such file or directory" in ear.of(StorageFailed)[0].sentence


async def test_faxes_that_end_together_are_each_delivered_under_a_name_of_their_own(
    fax_clock: MockClock, house: Callable[..., Any], make_document: MakeDocument, ear: Ear
) -> None:
    document = make_document(pages=1)
    async with house(lines=6) as one:
        callers = [one.caller() for _ in range(6)]
        async with trio.open_nursery() as nursery:
            for caller in callers:
                nursery.start_soon(caller.send, document)
        await ear.wait_for(FaxEnded, 6)
        assert [caller.outcome.ok for caller in callers if caller.outcome] == [True] * 6
        assert len(one.inbox()) == len({record["job"] for _, record in one.inbox()}) == 6
        assert all(record["pages"] == len(tiff.read_headers(path)) == 1 for path, record in one.inbox())
        assert {moved.job for moved in ear.of(JobMoved)} == {record["job"] for _, record in one.inbox()}


@pytest.mark.parametrize("dtls", [Dtls.OFF, Dtls.REQUIRED])
async def test_a_record_says_whether_its_fax_was_encrypted(
    house: Callable[..., Any], ear: Ear, make_document: MakeDocument, fax_clock: MockClock, dtls: Dtls
) -> None:
    async with house(dtls=dtls) as h:
        sent = await h.caller().send(make_document(rows=200))
        await ear.wait_for(FaxEnded)
    ((_, record),) = h.inbox()
    assert (record["encrypted"], record["outcome"]["ok"]) == (dtls is Dtls.REQUIRED, True)
    assert sent.encrypted is (dtls is Dtls.REQUIRED)
