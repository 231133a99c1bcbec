"""A sample of script/crash: the host is killed at points all over a reception, and owes nothing after the next start.

Real time on purpose: what is tested is a process that gets no chance to tidy up. The seed is SEED.
"""

from pathlib import Path
from typing import Final

import pytest
import trio

from tests.durability import crash
from tests.durability.killing import Order, When
from tests.durability.store_points import POINTS, ROWS, read_numbers

pytestmark = pytest.mark.realtime

SEED: Final = 20250131
KILLS: Final = 24
AT_ONCE: Final = 12
LIBSPANDSP: Final = (
    crash.Trial("receive", "spandsp", SEED, Order("page.fsync", 1, When.BEFORE)),
    crash.Trial("receive", "spandsp", SEED + 1, Order("document.write", 2, When.TORN)),
    crash.Trial("receive", "spandsp", SEED + 2, Order("inbox.rename", 1, When.AFTER)),
)
"""What libspandsp takes for a confirmation is not our word."""


def test_no_kill_costs_a_confirmed_page(scratch: Path) -> None:
    crash.prepare()
    points = trio.run(crash.survey, crash.Bench(scratch), SEED, 1)
    trials = [*crash.plan(points, KILLS, SEED, "vfax"), *LIBSPANDSP]
    results = crash.collect(trials, crash.Bench(scratch), AT_ONCE)
    assert [f"{result.trial.command}: {sentence}" for result in results for sentence in result.wrong] == []
    assert sum(result.reached for result in results) > 0.8 * len(trials)
    assert sum(result.confirmed for result in results) > 0


def test_the_harness_notices_a_host_that_loses_pages(scratch: Path) -> None:
    trial = crash.Trial("forgetful", "vfax", SEED, Order("document.open_new", 1, When.BEFORE))
    lost = crash.Trial("forgetful", "vfax", SEED)
    wrong = [sentence for result in crash.collect([trial, lost], crash.Bench(scratch), 2) for sentence in result.wrong]
    assert any("pages were confirmed and none is there" in sentence for sentence in wrong)


def test_the_harness_notices_a_host_that_does_not_deliver(scratch: Path) -> None:
    (result,) = crash.collect([crash.Trial("idle", "vfax", SEED)], crash.Bench(scratch), 1)
    assert any("misses a fax that is in the inbox" in sentence for sentence in result.wrong)


@pytest.mark.parametrize("order", [Order(point, 1, When.BEFORE) for point in POINTS], ids=str)
def test_a_host_that_dies_while_it_makes_its_store_is_well_at_the_next_start(order: Order, scratch: Path) -> None:
    (result,) = crash.collect([crash.Trial("receive", "vfax", SEED, order)], crash.Bench(scratch), 1)
    assert result.reached
    assert result.wrong == []


@pytest.mark.parametrize(
    "order",
    [
        Order("store.begin", 3, When.AFTER),
        Order("store.execute", 8, When.AFTER),
        Order("store.commit", 3, When.BEFORE),
        Order("store.commit", 3, When.AFTER),
    ],
    ids=str,
)
def test_a_host_can_be_killed_inside_its_transactions(order: Order, scratch: Path) -> None:
    told, status = trio.run(count_and_die, scratch, order)
    assert status == -9
    rows = read_numbers(scratch)
    assert rows[: len(told) * 2] == list(range(len(told) * 2)), "what was told is there"
    assert len(rows) % 2 == 0, "a transaction is there or not"
    assert len(rows) < ROWS
    if order.when is When.AFTER and order.point == "store.commit":
        assert len(rows) == len(told) * 2 + 2


async def count_and_die(root: Path, order: Order) -> tuple[list[object], int | None]:
    crash.prepare()
    host = crash.Running("counting", root, order)
    try:
        await host.read()
        return list(host.said), host.status
    finally:
        host.close()


@pytest.mark.parametrize("text", ["page.fsync:0:after", "page.fsync:1", "page:1:after", "page.fsync:1:later", ""])
def test_an_order_that_is_none_is_refused(text: str) -> None:
    with pytest.raises(ValueError, match="expected POINT"):
        Order.parse(text)


@pytest.mark.parametrize(
    "text", ["nonsense", "receive/vfax", "receive/nobody/page.fsync:1:after", "x/vfax/page.fsync:1:after"]
)
def test_a_trial_that_is_none_is_refused_with_an_example(text: str, capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit, match="2"):
        crash.main(["--only", text])
    assert "such as receive/vfax/page.fsync:2:after" in capsys.readouterr().err


def test_a_trial_is_repeated_by_what_it_prints() -> None:
    order = Order("page.write", 2, When.TORN)
    for repair in (None, Order("inbox.rename", 1, When.BEFORE)):
        trial = crash.Trial("receive", "vfax", 7, order, repair)
        *_, text = trial.command.split()
        assert crash.Trial.parse(text, 7) == trial
