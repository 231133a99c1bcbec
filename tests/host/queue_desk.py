"""A queue at work on a real store and the devices of a scripted provider."""

from collections.abc import AsyncIterator, Callable
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import TYPE_CHECKING, Any

import trio

from tests.host.scripted import PAGE, Script
from vfax.codecs import tiff
from vfax.host.outgoing import keep_document
from vfax.host.queue import Queue
from vfax.host.queue_options import QueueOptions
from vfax.host.retry import RetryPolicy
from vfax.host.service import FaxService
from vfax.host.store.store import Store
from vfax.host.store.values import Recipient, StoredJob, Submission

if TYPE_CHECKING:
    from tests.host.conftest import Ear, Hosting  # which has the fixture

BEGIN = datetime(2026, 11, 30, 12, tzinfo=UTC)
OPTIONS = QueueOptions(
    look=5.0, lease=60.0, no_line_delay=30.0, policy=RetryPolicy(max_retries=2, delay=600.0, soon=5.0)
)
ADA = Recipient(number="+4930123456", name="Ada", given="030 123456")
BOB = Recipient(number="+4930999999", name="Bob", given="030 999999")


class Desk:
    """A queue at work, and what tests ask of it."""

    def __init__(self, service: FaxService, queue: Queue, store: Store, ear: "Ear", document: str) -> None:
        self.service, self.queue, self.store, self.ear, self.document = service, queue, store, ear, document
        self.began = trio.current_time()
        self.jump: Callable[[float], None] = lambda seconds: None  # set the clock of the queue ahead

    def now(self) -> datetime:
        return BEGIN + timedelta(seconds=trio.current_time() - self.began)

    def order(self, *to: Recipient, **given: Any) -> Submission:
        fields = {
            "document": self.document,
            "pages": 3,
            "recipients": to or (ADA,),
            "max_retries": 2,
            "retry_delay": 600.0,
        }
        return Submission(**{**fields, **given})

    async def submit(self, *to: Recipient, **given: Any) -> StoredJob:
        return (await self.queue.submit(self.order(*to, **given)))[0]

    def job(self, number: int) -> StoredJob:
        found = self.store.job(number)
        assert found is not None
        return found

    async def until(self, holds: Callable[[], bool], *, within: float = 3000.0) -> float:
        """Wait in virtual time until something holds; the seconds it took."""
        began = trio.current_time()
        while not holds():
            assert trio.current_time() - began < within, [self.store.jobs(), self.ear.events[-5:]]
            await trio.sleep(0.5 if trio.current_time() - began < 30.0 else 2.0)
        return trio.current_time() - began

    async def ended(self, job: StoredJob) -> StoredJob:
        await self.until(lambda: self.job(job.id).ended_at is not None)
        return self.job(job.id)


Opening = Callable[..., AbstractAsyncContextManager[Desk]]


def opener(hosting: "Hosting", ear: "Ear", tmp_path: Path, store_url: str) -> Opening:
    """What makes a desk: a service, a store in the spool, and the queue between them."""

    @asynccontextmanager
    async def open_(
        *scripts: Script, store: Store | None = None, options: QueueOptions = OPTIONS, host: str = "here"
    ) -> AsyncIterator[Desk]:
        spool = tmp_path / "spool"
        spool.mkdir(exist_ok=True)
        made = tmp_path / "made.tif"
        pages = [tmp_path / f"{number}.tif" for number in range(3)]
        for page in pages:
            page.write_bytes(PAGE)
        tiff.join_pages(pages, made)
        document = keep_document(spool, made)
        opened = store or Store.open(store_url)
        began = trio.current_time()
        jumps = [0.0]
        clock = lambda: BEGIN + timedelta(seconds=trio.current_time() - began + sum(jumps))  # noqa: E731
        try:
            async with hosting(*scripts) as service, trio.open_nursery() as nursery:
                queue = Queue(service, opened, options, observe=ear, host=host, clock=clock)
                await nursery.start(queue.run)
                desk = Desk(service, queue, opened, ear, document)
                desk.jump = jumps.append
                yield desk
                service.stop()
                await queue.stop()
                nursery.cancel_scope.cancel()
        finally:
            if store is None:
                opened.close()

    return open_
