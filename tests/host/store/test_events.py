"""Events: one order, no gaps, nothing that comes later with a smaller number."""

from concurrent.futures import ThreadPoolExecutor
from threading import Event

import pytest

from tests.host.store.examples import NOON
from vfax.errors import MisuseError
from vfax.fsp.constants import NO_JOB, EventId
from vfax.fsp.structures import FaxEvent
from vfax.host.store.store import Store


def ring(job: int = NO_JOB, time_stamp: int = 133_800_000_000_000_000) -> FaxEvent:
    return FaxEvent(time_stamp=time_stamp, device_id=1, event_id=EventId.FEI_RINGING, job_id=job)


def test_events_get_the_next_numbers(store: Store) -> None:
    first = store.add_events([ring(1), ring(2)], "session")
    second = store.add_events([ring(3)], "other")
    assert [event.sequence for event in first + second] == [1, 2, 3]
    assert [event.job_id for event in first + second] == [1, 2, 3]
    assert store.add_events([], "session") == []
    assert store.events() == first + second
    assert store.events(after=1, limit=1) == first[1:]
    assert store.events(after=3) == []
    assert (second[0].session, second[0].event_id, second[0].device_id) == ("other", 14, 1)


@pytest.mark.parametrize("time_stamp", [0, 2**63 - 1, 2**63, 2**64 - 1])
def test_every_filetime_comes_back(store: Store, time_stamp: int) -> None:
    store.add_events([ring(time_stamp=time_stamp)], "s")
    assert store.events()[0].time_stamp == time_stamp


def test_numbers_go_on_after_pruning(store: Store) -> None:
    store.add_events([ring() for _ in range(10)], "s")
    assert store.prune(jobs_before=NOON, keep_events=3) == 7
    assert [event.sequence for event in store.events()] == [8, 9, 10]
    assert store.prune(jobs_before=NOON, keep_events=0) == 3
    assert store.add_events([ring()], "s")[0].sequence == 11


def test_reader_misses_nothing_while_others_write(store: Store) -> None:
    done = Event()
    seen: list[int] = []

    def read() -> None:
        while True:
            last = done.is_set()
            seen.extend(event.sequence for event in store.events(after=seen[-1] if seen else 0))
            if last:
                return

    def write(writer: int) -> None:
        for _ in range(25):
            store.add_events([ring(writer), ring(writer)], "s")

    with ThreadPoolExecutor(5) as pool:
        reader = pool.submit(read)
        for writer in [pool.submit(write, number) for number in range(1, 5)]:
            writer.result()
        done.set()
        reader.result()
    assert seen == list(range(1, 201))


def test_session_has_to_be_short(store: Store) -> None:
    with pytest.raises(MisuseError, match="session"):
        store.add_events([ring()], "x" * 300)
