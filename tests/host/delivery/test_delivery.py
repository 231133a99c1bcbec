"""Deliveries as a whole: at least once, written down, tried again with pauses, given up, brought back, told late."""

import sys
import threading
from dataclasses import replace
from pathlib import Path

import pytest
import trio
from hypothesis import given
from hypothesis import strategies as st

from tests.host.conftest import Ear
from tests.host.delivery.conftest import HOSTILE, Bench, Delivering, WallClock, arrive
from tests.host.delivery.peers import SmtpPeer, drip, listening
from vfax.errors import StoreError
from vfax.host.deliver_mail import MailServer, Security
from vfax.host.delivery import Delivery, DeliveryOptions, DeliveryPlan
from vfax.host.events import DeliveriesStalled, DeliveryDone, DeliveryFailed, DeliveryOverdue, HostFaulted
from vfax.host.routing import CommandTarget, FolderTarget, Kind, MailTarget, Rule, Target, WebhookTarget
from vfax.host.store.store import Store
from vfax.host.store.values import DeliveryState, StoredDelivery

PATIENCE = 30.0


def plan(*targets: Target, mail: MailServer | None = None) -> DeliveryPlan:
    rules = tuple(Rule(name=f"rule-{number}", target=target) for number, target in enumerate(targets, 1))
    return DeliveryPlan(rules=rules, mail=mail or MailServer())


FOLDER = plan(FolderTarget(folder="copies"))


@pytest.fixture
def missing(tmp_path: Path) -> DeliveryPlan:
    """A rule whose folder is not there."""
    return plan(FolderTarget(folder=str(tmp_path / "share")))


async def done(ear: Ear, count: int = 1) -> list[DeliveryDone]:
    with trio.fail_after(PATIENCE):
        return await ear.wait_for(DeliveryDone, count)


async def failed(ear: Ear, count: int = 1) -> list[DeliveryFailed]:
    with trio.fail_after(PATIENCE):
        return await ear.wait_for(DeliveryFailed, count)


def tried(bench: Bench, delivery: StoredDelivery) -> list[bool]:
    return [one.ok for one in bench.store.delivery_attempts(delivery.id)]


# --- done ------------------------------------------------------------------------------------------


async def test_a_fax_that_arrives_is_delivered_and_written_down(delivering: Delivering, ear: Ear, spool: Path) -> None:
    async with delivering(FOLDER) as bench:
        (made,) = bench.arrive()
        (told,) = await done(ear)
        assert bench.state(made).state is DeliveryState.DONE
        (attempt,) = bench.store.delivery_attempts(made.id)
    assert (attempt.ok, attempt.number) == (True, 1)
    assert attempt.sentence.startswith("It is in ")
    assert told == DeliveryDone(
        job="0000abcd",
        delivery=made.id,
        rule="rule-1",
        kind="folder",
        attempt=1,
        sentence=f"Delivered: {attempt.sentence} (rule rule-1, attempt 1)",
    )
    assert len(list((spool / "copies").iterdir())) == 2


async def test_what_was_due_before_the_start_is_delivered(
    delivering: Delivering, ear: Ear, store: Store, wall: WallClock
) -> None:
    arrive(store, FOLDER, wall.now)
    async with delivering(FOLDER):
        await done(ear)


async def test_every_kind_in_one_house(delivering: Delivering, ear: Ear, spool: Path) -> None:
    peer = SmtpPeer()
    called = []

    async def webhook(stream: trio.SocketStream) -> None:
        octets = b""
        while b"--\r\n" not in octets:
            octets += await stream.receive_some(65_536)
        called.append(octets)
        await stream.send_all(b"HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n")

    async with listening(peer.handle) as smtp, listening(webhook) as http:
        mail = MailServer(server="127.0.0.1", port=smtp, security=Security.NONE, sender="f@example.org", helo="here")
        house = plan(
            FolderTarget(folder="copies"),
            MailTarget(to=("a@example.org", "b@example.org"), subject="s", body="b"),
            WebhookTarget(url=f"http://127.0.0.1:{http}/", secret="s"),
            CommandTarget(command=(sys.executable, "-c", "pass")),
            mail=mail,
        )
        async with delivering(house) as bench:
            bench.arrive()
            await done(ear, 5)
            assert {one.state for one in bench.store.deliveries()} == {DeliveryState.DONE}
    assert sorted(mail.recipient for mail in peer.mails) == ["a@example.org", "b@example.org"]
    assert len(called) == 1
    assert sorted(event.kind for event in ear.of(DeliveryDone)) == ["command", "folder", "mail", "mail", "webhook"]


async def test_a_target_that_hangs_holds_up_no_other(delivering: Delivering, ear: Ear) -> None:
    async with listening(drip) as port:
        house = plan(WebhookTarget(url=f"http://127.0.0.1:{port}/"), FolderTarget(folder="copies"))
        async with delivering(house) as bench:
            bench.arrive()
            (event,) = await done(ear)
    assert event.kind == "folder"


# --- failures --------------------------------------------------------------------------------------


async def test_a_failure_is_tried_again_after_pauses_that_double(
    delivering: Delivering, ear: Ear, missing: DeliveryPlan, tmp_path: Path
) -> None:
    async with delivering(missing, retry_first=10.0, retry_longest=1_000.0) as bench:
        (made,) = bench.arrive()
        for number, pause in enumerate((7.5, 15.0, 30.0), 1):  # half of the jitter of 0.5 is taken off
            event = (await failed(ear, number))[-1]
            assert event.attempt == number
            assert event.retry_at is not None
            assert (event.retry_at - bench.wall.now).total_seconds() == pause
            bench.later(pause - 0.1)
            bench.later(0.1)
        await failed(ear, 4)
        (tmp_path / "share").mkdir()
        bench.later(60.0)
        await done(ear)
        assert tried(bench, made) == [False, False, False, False, True]


async def test_nothing_is_tried_before_its_time(delivering: Delivering, ear: Ear, missing: DeliveryPlan) -> None:
    async with delivering(missing) as bench:
        (made,) = bench.arrive()
        await failed(ear)
        bench.later(1.0)
        bench.arrive(job="0000abce")  # what is tried after the kick shows that the kick was heard
        await failed(ear, 2)
        assert tried(bench, made) == [False]


async def test_what_fails_too_often_is_given_up_and_said(
    delivering: Delivering, ear: Ear, missing: DeliveryPlan
) -> None:
    async with delivering(missing, max_attempts=2) as bench:
        (made,) = bench.arrive()
        await failed(ear)
        bench.later(3_600.0)
        event = (await failed(ear, 2))[-1]
        assert event.retry_at is None
        assert event.sentence.endswith("(rule rule-1, attempt 2) It is given up.")
        assert bench.state(made).state is DeliveryState.GIVEN_UP


async def test_what_was_given_up_comes_back_with_all_its_tries(
    delivering: Delivering, ear: Ear, missing: DeliveryPlan, tmp_path: Path
) -> None:
    async with delivering(missing, max_attempts=2) as bench:
        (made,) = bench.arrive()
        await failed(ear)
        bench.later(3_600.0)
        await failed(ear, 2)
        bench.store.retry_delivery(made.id, bench.wall.now)
        bench.delivery.kick()
        assert (await failed(ear, 3))[-1].retry_at is not None
        (tmp_path / "share").mkdir()
        bench.later(3_600.0)
        await done(ear)
        assert tried(bench, made) == [False, False, False, True]


async def test_what_can_never_work_is_given_up_at_once(delivering: Delivering, ear: Ear) -> None:
    async def gone(stream: trio.SocketStream) -> None:
        await stream.receive_some(65_536)
        await stream.send_all(b"HTTP/1.1 410 Gone\r\nContent-Length: 0\r\n\r\n")

    async with listening(gone) as port, delivering(plan(WebhookTarget(url=f"http://127.0.0.1:{port}/"))) as bench:
        (made,) = bench.arrive()
        (event,) = await failed(ear)
        assert event.retry_at is None
        assert bench.state(made).state is DeliveryState.GIVEN_UP


async def test_a_target_that_asks_for_patience_gets_it(delivering: Delivering, ear: Ear) -> None:
    async def busy(stream: trio.SocketStream) -> None:
        await stream.receive_some(65_536)
        await stream.send_all(b"HTTP/1.1 503 Busy\r\nRetry-After: 900\r\nContent-Length: 0\r\n\r\n")

    async with listening(busy) as port, delivering(plan(WebhookTarget(url=f"http://127.0.0.1:{port}/"))) as bench:
        bench.arrive()
        (event,) = await failed(ear)
        assert event.retry_at is not None
        assert (event.retry_at - bench.wall.now).total_seconds() == 900


@pytest.mark.parametrize("kind", ["mail", "webhook", "command", "folder"])
async def test_a_try_that_takes_too_long_is_cut_off(
    kind: str, delivering: Delivering, ear: Ear, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    async with listening(drip) as port:
        targets: dict[str, Target] = {
            "mail": MailTarget(to=("a@example.org",), subject="s", body="b"),
            "webhook": WebhookTarget(url=f"http://127.0.0.1:{port}/"),
            "command": CommandTarget(command=(sys.executable, "-c", "import time; time.sleep(60)")),
            "folder": FolderTarget(folder="copies"),
        }
        mail = MailServer(server="127.0.0.1", port=port, security=Security.NONE, sender="f@example.org", helo="here")
        limits = dict.fromkeys(("folder_limit", "mail_limit", "webhook_limit", "command_limit"), 0.3)
        gate = Gate()
        if kind == "folder":  # a file system that hangs
            monkeypatch.setattr("vfax.host.deliver_folder._Placing.place", gate.wait)
        async with delivering(plan(targets[kind], mail=mail), **limits) as bench:
            (made,) = bench.arrive()
            (event,) = await failed(ear)
            assert "was not over after 0.3 seconds and was cut off" in event.sentence
            assert bench.state(made).state is DeliveryState.WAITING
        gate.open()


class Gate:
    """Where a thread waits until the test is over."""

    def __init__(self) -> None:
        self._open = threading.Event()

    def wait(self) -> None:
        self._open.wait(PATIENCE)
        raise OSError(5, "too late")

    def open(self) -> None:
        self._open.set()


# --- rules -----------------------------------------------------------------------------------------


async def test_a_corrected_rule_holds_for_what_waits(
    delivering: Delivering, ear: Ear, missing: DeliveryPlan, spool: Path
) -> None:
    async with delivering(missing) as bench:
        bench.arrive()
        await failed(ear)
    bench.wall.pass_by(3_600.0)
    async with delivering(FOLDER):
        await done(ear)
    assert len(list((spool / "copies").iterdir())) == 2


@pytest.mark.parametrize("now", [plan(), plan(CommandTarget(command=("true",)))])
async def test_what_the_settings_do_not_say_is_not_done(
    now: DeliveryPlan, delivering: Delivering, ear: Ear, missing: DeliveryPlan
) -> None:
    async with delivering(missing) as bench:
        bench.arrive()
        await failed(ear)
    bench.wall.pass_by(3_600.0)
    async with delivering(now):
        event = (await failed(ear, 2))[-1]
    assert "The settings have no rule rule-1 of the kind folder any more" in event.sentence
    assert event.retry_at is not None


# --- alarms ----------------------------------------------------------------------------------------


async def test_what_takes_too_long_raises_one_alarm(delivering: Delivering, ear: Ear, missing: DeliveryPlan) -> None:
    async with delivering(missing, alarm_after=600.0) as bench:
        (made,) = bench.arrive()
        await failed(ear)
        bench.later(599.0)
        await failed(ear, 2)
        assert not ear.of(DeliveryOverdue)
        bench.later(1.0)
        with trio.fail_after(PATIENCE):
            (event,) = await ear.wait_for(DeliveryOverdue)
        bench.later(3_600.0)
        await failed(ear, 3)
        bench.later(3_600.0)
        await failed(ear, 4)
    assert ear.of(DeliveryOverdue) == [event]
    assert (event.delivery, event.rule, event.waiting_since) == (made.id, "rule-1", made.created_at)
    assert "waits for 10 minutes on its way to folder by the rule rule-1. Last: The folder" in event.sentence


async def test_what_was_given_up_raises_the_alarm_too(delivering: Delivering, ear: Ear, missing: DeliveryPlan) -> None:
    async with delivering(missing, max_attempts=1, alarm_after=600.0) as bench:
        bench.arrive()
        await failed(ear)
        bench.later(600.0)
        with trio.fail_after(PATIENCE):
            (event,) = await ear.wait_for(DeliveryOverdue)
    assert "was given up on its way" in event.sentence


# --- the end, and worse ----------------------------------------------------------------------------


async def test_a_stop_cuts_off_writes_down_and_what_was_cut_off_is_due_at_once(
    delivering: Delivering, ear: Ear
) -> None:
    reached = trio.Event()

    async def hanging(stream: trio.SocketStream) -> None:
        reached.set()
        await trio.sleep_forever()

    async with listening(hanging) as port:
        house = plan(WebhookTarget(url=f"http://127.0.0.1:{port}/"))
        async with delivering(house) as bench:
            (made,) = bench.arrive()
            with trio.fail_after(PATIENCE):
                await reached.wait()
    now = bench.state(made)
    assert now.state is DeliveryState.WAITING
    assert now.next_attempt_at == bench.wall.now
    assert now.sentence == "The service stopped while the fax was being delivered."


async def test_a_host_that_died_in_the_middle_leaves_it_to_the_next(
    delivering: Delivering, ear: Ear, store: Store, wall: WallClock
) -> None:
    arrive(store, FOLDER, wall.now)
    (dead,) = store.claim_deliveries("another", wall.now, lease=60.0, limit=9)
    async with delivering(FOLDER) as bench:
        bench.later(30.0)
        bench.later(31.0)
        await done(ear)
        assert bench.state(dead).lease_term == dead.lease_term + 1


async def test_a_try_whose_lease_was_lost_changes_nothing(delivering: Delivering, ear: Ear) -> None:
    reached, go_on = trio.Event(), trio.Event()

    async def slow(stream: trio.SocketStream) -> None:
        reached.set()
        await go_on.wait()

    async with listening(slow) as port:
        rules = (
            Rule(name="one", target=WebhookTarget(url=f"http://127.0.0.1:{port}/"), caller=("1",)),
            Rule(name="two", target=FolderTarget(folder="copies"), caller=("2",)),
        )
        async with delivering(DeliveryPlan(rules=rules), concurrency=1) as bench:
            (made,) = bench.arrive(caller="1")
            with trio.fail_after(PATIENCE):
                await reached.wait()
            bench.wall.pass_by(bench.delivery.options.lease + 1)
            (theirs,) = bench.store.claim_deliveries("another", bench.wall.now, lease=600.0, limit=1)
            bench.arrive(job="0000abce", caller="2")
            go_on.set()
            (event,) = await done(ear)  # the next one had to wait for the end of that one
            assert bench.state(made) == theirs
            assert event.kind == "folder"
    assert not ear.of(DeliveryFailed)


async def test_whatever_a_caller_says_gets_through_the_store(delivering: Delivering, ear: Ear, spool: Path) -> None:
    async with delivering(FOLDER) as bench:
        bench.arrive(caller=HOSTILE)
        await done(ear)
    assert len(list((spool / "copies").iterdir())) == 2


async def test_a_fault_of_ours_ends_one_try_and_nothing_else(
    delivering: Delivering, ear: Ear, monkeypatch: pytest.MonkeyPatch
) -> None:
    def faulty(*arguments: object) -> None:
        raise ZeroDivisionError("oops")

    monkeypatch.setattr("vfax.host.deliver_folder._Placing.place", faulty)
    house = plan(FolderTarget(folder="copies"), CommandTarget(command=(sys.executable, "-c", "pass")))
    async with delivering(house) as bench:
        bench.arrive()
        await done(ear)
        (event,) = await failed(ear)
    assert "A fault inside vfax ended the delivery: ZeroDivisionError: oops" in event.sentence
    assert event.retry_at is not None
    (fault,) = ear.of(HostFaulted)
    assert "Traceback" in fault.trace


async def test_an_observer_that_raises_costs_no_fax(store: Store, spool: Path, wall: WallClock, ear: Ear) -> None:
    def observer(event: object) -> None:
        ear(event)  # type: ignore[arg-type]
        raise RuntimeError("the screen is gone")

    delivery = Delivery(store, spool, FOLDER, host="here", observe=observer, clock=wall)
    bench = Bench(store, delivery, FOLDER, wall)
    async with trio.open_nursery() as nursery:
        await nursery.start(lambda task_status: delivery.run(task_status=task_status))
        bench.arrive()
        bench.arrive(job="0000abce")
        await done(ear, 2)
        nursery.cancel_scope.cancel()


async def test_a_store_that_fails_is_said_once_and_asked_again(
    delivering: Delivering, ear: Ear, monkeypatch: pytest.MonkeyPatch
) -> None:
    calls = 0

    async with delivering(FOLDER, poll_interval=0.02) as bench:
        claim = bench.store.claim_deliveries

        def broken(*arguments: object, **more: object) -> list[StoredDelivery]:
            nonlocal calls
            calls += 1
            if calls <= 3:
                raise StoreError("the database is away")
            return claim(*arguments, **more)  # type: ignore[arg-type]

        monkeypatch.setattr(bench.store, "claim_deliveries", broken)
        bench.arrive()
        await done(ear)
    (event,) = ear.of(DeliveriesStalled)
    assert event.sentence.startswith("the database is away; deliveries wait")
    assert calls > 3


async def test_no_more_are_tried_at_once_than_allowed(
    delivering: Delivering, ear: Ear, store: Store, wall: WallClock
) -> None:
    waiting = 0
    full, go_on = trio.Event(), trio.Event()

    async def counting(stream: trio.SocketStream) -> None:
        nonlocal waiting
        waiting += 1
        if waiting == 3:
            full.set()
        await go_on.wait()
        await stream.receive_some(65_536)
        await stream.send_all(b"HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n")

    async with listening(counting) as port:
        house = plan(WebhookTarget(url=f"http://127.0.0.1:{port}/"))
        for number in range(10):
            arrive(store, house, wall.now, job=f"{number + 1:08x}")
        async with delivering(house, concurrency=3):
            with trio.fail_after(PATIENCE):
                await full.wait()
            assert len(store.deliveries(state=DeliveryState.RUNNING)) == 3
            go_on.set()
            await done(ear, 10)


# --- numbers ---------------------------------------------------------------------------------------


@given(st.integers(1, 10_000), st.floats(0, 1))
def test_pauses_stay_within_their_bounds(failures: int, chance: float) -> None:
    options = DeliveryOptions()
    assert options.retry_first * 0.8 <= options.pause(failures, chance) <= options.retry_longest


def test_a_lease_outlives_every_try() -> None:
    options = DeliveryOptions(command_limit=1_000.0)
    assert all(options.lease >= options.limit_of(kind) + options.stop_grace + 60 for kind in Kind)


def test_the_plan_shows_no_secret() -> None:
    house = plan(WebhookTarget(url="https://x", secret="TOKEN"), mail=MailServer(password="TOKEN"))
    assert "TOKEN" not in repr(replace(house))
