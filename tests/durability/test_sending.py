"""A host that sends, killed inside its store: a few moments here, all of them by `script/crash sending`."""

from pathlib import Path

from tests.durability.killing import Order
from tests.durability.sending import judge, note, orders, prepare, run_child, survey, trial

SEED = 5


def test_no_kill_inside_the_store_loses_a_job_or_doubles_it_unmarked(tmp_path: Path) -> None:
    seen = survey(tmp_path / "survey")
    assert not judge(tmp_path / "survey")
    assert seen["store.commit"] > 10
    print(f"seed {SEED}")
    for order in orders(seen, 4, SEED):
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
    from collections import Counter

    found = orders(Counter({"store.begin": 3, "store.execute": 5, "store.commit": 2}), 100, SEED)
    assert len(found) == 20
    assert {Order.parse(str(order)) for order in found} == set(found)
