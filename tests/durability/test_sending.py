"""A host that sends, killed at its writes: a few moments here, all of them by `script/crash sending`."""

from collections import Counter
from pathlib import Path

from tests.durability.killing import Order
from tests.durability.sending import judge, note, orders, prepare, run_child, survey, trial
from tests.durability.store_points import POINTS

SEED = 5


def test_no_kill_loses_a_job_or_doubles_it_unmarked(tmp_path: Path) -> None:
    seen = survey(tmp_path / "survey")
    assert not judge(tmp_path / "survey")
    assert seen["store.commit"] > 10
    print(f"seed {SEED}")
    points = {order.point for order in orders(seen, len(seen), SEED)}
    assert {"outgoing.write", "outgoing.rename", "outgoing.fsync_dir", *POINTS} <= points == set(seen)
    few = Counter({point: seen[point] for point in ("outgoing.write", "outgoing.fsync_dir", *POINTS)})
    for order in orders(few, len(few), SEED):
        assert not trial(tmp_path / str(order), order), order


def test_the_judge_sees_a_job_that_is_lost_and_one_that_went_twice(tmp_path: Path) -> None:
    prepare(tmp_path)
    assert run_child(tmp_path, None).returncode == 0
    assert not judge(tmp_path)
    note(tmp_path, "submitted", "00000001", "+499")
    note(tmp_path, "page", "+491", 2)
    wrong = judge(tmp_path)
    assert any("is lost" in one for one in wrong)
    assert any("went twice" in one for one in wrong)


def test_moments_are_spread_and_named(tmp_path: Path) -> None:
    found = orders(Counter({"store.begin": 3, "store.execute": 5, "outgoing.write": 2}), 100, SEED)
    assert len(found) == 22
    assert len({order.point for order in found[:3]}) == 3
    assert {Order.parse(str(order)) for order in found} == set(found)
