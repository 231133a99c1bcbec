"""OPTIONS probes: up and down with hysteresis, and the sentences."""

import math
import random
from typing import Any

import pytest

from vfax.errors import MisuseError
from vfax.transports.sip.probing import Health, Probed, ProbeOptions, Probes


class Watch:
    def __init__(self, **options: Any) -> None:
        self.engine = Probes(random.Random(3))
        self.now = 10.0
        self.engine.add("t", "trunk t", ProbeOptions(**options), self.now)

    def probe(self, status: int, reason: str = "OK", *, heard: bool = True, after: float = 0.1) -> Probed:
        """To the next probe, and its end."""
        self.now = self.engine.next_timeout()
        self.engine.handle_timeout(self.now)
        assert self.engine.take_orders() == ["t"]
        self.now += after
        self.engine.on_result("t", status, reason, self.now, heard=heard)
        (event,) = self.engine.take_events()
        return event


def test_a_peer_is_asked_at_once_and_then_at_its_interval() -> None:
    watch = Watch(interval=60.0)
    assert watch.engine.next_timeout() == 10.0
    for _ in range(5):
        watch.probe(200)
        assert 54.0 <= watch.engine.next_timeout() - watch.now <= 60.0


@pytest.mark.parametrize("status", [200, 401, 403, 404, 405, 481, 486, 501, 600])
def test_whoever_answers_is_there(status: int) -> None:
    event = Watch().probe(status)
    assert (event.health, event.ok, event.changed, event.status) == (Health.UP, True, True, status)
    assert event.rtt == pytest.approx(0.1)
    assert event.why == f"trunk t answers ({status} OK to OPTIONS)"


def test_one_lost_answer_takes_nobody_down_and_one_answer_brings_it_back() -> None:
    watch = Watch(failures=3)
    watch.probe(200)
    healths = [watch.probe(408, "no answer at all", heard=False).health for _ in range(2)]
    assert healths == [Health.UP, Health.UP]
    down = watch.probe(408, "no answer at all", heard=False)
    assert (down.health, down.changed, down.since, down.rtt, down.status) == (
        Health.DOWN,
        True,
        watch.now,
        None,
        None,
    )
    assert down.why == (
        "trunk t does not answer OPTIONS, 3 times in a row: no answer at all "
        "(check its address, the network and the firewall)"
    )
    assert watch.probe(200).health is Health.UP


def test_up_can_take_several_answers_in_a_row() -> None:
    watch = Watch(failures=1, successes=3)
    watch.probe(408, heard=False)
    assert [watch.probe(status).health for status in (200, 200, 503, 200, 200, 200)] == [
        Health.DOWN,
        Health.DOWN,
        Health.DOWN,
        Health.DOWN,
        Health.DOWN,
        Health.UP,
    ]


def test_overload_is_a_failure_with_its_own_words() -> None:
    event = Watch().probe(503, "Service Unavailable")
    assert (event.ok, event.health) == (False, Health.UNKNOWN)
    assert event.why == "trunk t answers OPTIONS with 503 Service Unavailable: it is overloaded or going down"


def test_interval_has_a_floor() -> None:
    watch = Watch(interval=0.001)
    watch.probe(200)
    assert watch.engine.next_timeout() - watch.now == 1.0


def test_no_second_probe_while_one_is_out() -> None:
    watch = Watch()
    watch.engine.handle_timeout(10.0)
    assert watch.engine.next_timeout() == math.inf


def test_results_nobody_waits_for_are_nothing() -> None:
    watch = Watch()
    watch.engine.on_result("t", 200, "OK", 11.0, heard=True)
    watch.engine.on_result("x", 200, "OK", 11.0, heard=True)
    watch.engine.handle_timeout(10.0)
    watch.engine.remove("t")
    watch.engine.on_result("t", 200, "OK", 11.0, heard=True)
    assert watch.engine.take_events() == []
    assert watch.engine.health("t") is Health.UNKNOWN


def test_a_name_is_probed_once() -> None:
    watch = Watch()
    with pytest.raises(MisuseError):
        watch.engine.add("t", "t", ProbeOptions(), 0.0)
