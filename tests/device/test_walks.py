"""Random walks over calls, jobs, aborts and ends: whatever happens, every call ends once and every line comes free."""

from collections.abc import Awaitable, Callable
from contextlib import suppress
from typing import Any

import trio
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from trio.testing import MockClock

from vfax.call import PageBegun, PageDone
from vfax.fsp.errors import FaxServiceError

STEPS = st.sampled_from(
    ["call", "give-up", "start", "receive", "send", "abort", "end", "off", "on", "wait", "long-wait"]
)


@given(st.lists(st.tuples(STEPS, st.integers(0, 7)), max_size=40))
@settings(max_examples=60, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
def test_every_call_ends_once_and_every_line_comes_free(
    make_lone_desk: Any, scripted: Any, walk: list[tuple[str, int]]
) -> None:
    trio.run(_walk, walk, make_lone_desk, scripted, clock=MockClock(autojump_threshold=0))


class Walker:
    """Takes the steps of one walk on a desk."""

    def __init__(self, desk: Any, scripted: Any, nursery: trio.Nursery) -> None:
        self.desk = desk
        self.calls: list[Any] = []
        self.out: list[Any] = []
        self.jobs: list[Any] = []
        self._scripted = scripted
        self._nursery = nursery

    async def take(self, step: str, which: int) -> None:
        job = self.jobs[which % len(self.jobs)] if self.jobs else None
        match step:
            case "call":
                self.calls.append(self._scripted(2.0, PageBegun(1), 5.0, PageDone(1)))
                self.desk.network.comes(self.calls[-1])
            case "give-up":
                waiting = [call for call in self.calls if not call.answered and not call.refused]
                if waiting:
                    waiting[which % len(waiting)].ended_early.set()
            case "start":
                self.jobs.append(await self.desk.job(1 + which % 3))
            case "receive" if job is not None:
                self._nursery.start_soon(self._operate, self.desk.receive, job)
            case "send" if job is not None:
                self.out.append(self._scripted(2.0, PageBegun(1), 5.0, PageDone(1)))
                self.desk.network.going_out.append(self.out[-1])
                self._nursery.start_soon(self._operate, self.desk.send, job)
            case "abort" if job is not None:
                self.desk.provider.FaxDevAbortOperation(job.handle)
            case "end" if job is not None:
                self.jobs.remove(job)
                await self.desk.end(job)
            case "on" | "off":
                self.desk.callback(None, 1 + which % 3, 4, 0, int(step == "on"), 1, 0)
            case "wait":
                await trio.sleep(which)
            case "long-wait":
                await trio.sleep(60)

    async def _operate(self, operation: Callable[[Any], Awaitable[Any]], job: Any) -> None:
        with suppress(FaxServiceError):
            await operation(job)

    async def finish(self) -> None:
        for job in self.jobs:
            self.desk.provider.FaxDevAbortOperation(job.handle)
        await trio.sleep(100)  # rings run out, aborted operations end
        for job in self.jobs:
            await self.desk.end(job)
        for number in (1, 2, 3):
            self.desk.callback(None, number, 4, 0, 1, 1, 0)

    def check(self) -> None:
        for call in self.calls:
            gave_up = call.ended_early.is_set() and not call.answered and not call.refused
            assert call.answered + len(call.refused) + gave_up == 1
            assert call.hung_up or not call.answered or call.ended_early.is_set()
        late = [self._scripted() for _ in range(3)]
        for call in late:
            self.desk.network.comes(call)
        assert [call.rang for call in late] == [1, 1, 1]


async def _walk(steps: list[tuple[str, int]], make_lone_desk: Any, scripted: Any) -> None:
    async with trio.open_nursery() as nursery:
        desk = make_lone_desk(nursery, lines=3, host_answer_timeout=30.0)
        await desk.start()
        walker = Walker(desk, scripted, nursery)
        for step, which in steps:
            await walker.take(step, which)
        await walker.finish()
        walker.check()
        await desk.stop()
        assert desk.arena.close().jobs == ()
