"""Registrations in virtual time: what is asked when, what answers mean, and that nobody asks in a tight loop."""

import math
import random
from itertools import pairwise
from typing import Any, Final

import pytest

from vfax.errors import MisuseError
from vfax.transports.sip.message import Headers, Response
from vfax.transports.sip.registration import (
    CALM,
    Changed,
    Register,
    Registration,
    RegistrationOptions,
    Registrations,
    Result,
    Standing,
)

REGISTRAR: Final = "sip:registrar.example"
AOR: Final = "sip:alice@example.org"
CONTACT: Final = "sip:alice@192.0.2.1:5060"


class Office:
    """Some registrations, their clock and all they ordered."""

    def __init__(self, seed: int = 1) -> None:
        self.engine: Any = Registrations(random.Random(seed))
        self.now = 0.0
        self.orders: list[tuple[float, Register]] = []
        self.events: list[Changed] = []

    def add(self, key: str = "t", **options: Any) -> None:
        self.engine.add(key, RegistrationOptions(**({"registrar": REGISTRAR, "aor": AOR} | options)), self.now)
        self.collect()

    def collect(self) -> None:
        self.orders += [(self.now, order) for order in self.engine.take_orders()]
        self.events += self.engine.take_events()

    def answer(self, status: int, *fields: tuple[str, str], key: str = "t", reason: str = "Whatever") -> None:
        response = Response(status, reason, Headers(fields))
        self.engine.on_result(key, Result(status=status, reason=reason, response=response, contact=CONTACT), self.now)
        self.collect()

    def silence(self, status: int = 408, reason: str = "no answer at all", key: str = "t") -> None:
        self.engine.on_result(key, Result(status=status, reason=reason), self.now)
        self.collect()

    def granted(self, seconds: int, key: str = "t") -> None:
        self.answer(200, ("Contact", f"<{CONTACT}>;expires={seconds}"), key=key)

    def go(self) -> float:
        """To the next deadline; how long that took."""
        due = float(self.engine.next_timeout())
        assert due < math.inf
        began, self.now = self.now, due
        self.engine.handle_timeout(due)
        self.collect()
        return due - began

    def next_order(self) -> float:
        """To the next REGISTER; how long that took."""
        began, seen = self.now, len(self.orders)
        while len(self.orders) == seen:
            self.go()
        return self.now - began

    @property
    def state(self) -> Any:  # not narrowed: it changes with every step
        return self.engine.state("t")

    def standing(self) -> Standing:
        return Standing(self.state.standing)


@pytest.fixture
def office() -> Office:
    return Office()


def test_a_registration_begins_at_once(office: Office) -> None:
    office.add()
    assert office.orders == [(0.0, Register(key="t", registrar=REGISTRAR, aor=AOR, expires=3600))]
    assert office.state.standing is Standing.REGISTERING


def test_it_is_registered_for_what_was_granted_and_refreshed_before_that(office: Office) -> None:
    office.add()
    office.granted(600)
    state = office.state
    assert (state.standing, state.until, state.status) == (Standing.REGISTERED, 600.0, 200)
    assert state.why == f"{AOR} is registered at {REGISTRAR} for 600 s"
    assert 0.72 * 600 <= office.next_order() <= 0.8 * 600
    assert office.state.standing is Standing.REGISTERED
    office.granted(600)
    assert office.state.until == office.now + 600


@pytest.mark.parametrize(
    ("fields", "granted"),
    [
        ([("Contact", f"<sip:other@h>;expires=9, <{CONTACT}>;expires=77")], 77),
        ([("m", "<SIP:alice@192.0.2.1>;q=1;EXPIRES=77")], 77),
        ([("Contact", "<sip:alice@203.0.113.5:1024>;expires=77")], 77),  # rewritten, but the only one
        ([("Contact", "<sip:a@h>;expires=1, <sip:b@h>;expires=2"), ("Expires", "77")], 77),
        ([("Contact", f"<{CONTACT}>"), ("Expires", "77")], 77),
        ([("Contact", f"<{CONTACT}>;expires=soon"), ("Expires", "77")], 77),
        ([("Expires", "-1")], 3600),
        ([("Contact", "<sip:"), ("Expires", "77")], 77),
        ([], 3600),
        ([("Expires", str(2**32 - 1))], 7 * 86400),
    ],
)
def test_how_long_is_read_as_10_2_4_says(fields: list[tuple[str, str]], granted: int, office: Office) -> None:
    office.add()
    office.answer(200, *fields)
    assert office.state.until == granted


def test_423_is_obeyed_at_once_and_remembered(office: Office) -> None:
    office.add(expires=60)
    office.answer(423, ("Min-Expires", "900"))
    assert [(at, order.expires) for at, order in office.orders] == [(0.0, 60), (0.0, 900)]
    office.granted(900)
    office.next_order()
    assert office.orders[-1][1].expires == 900


@pytest.mark.parametrize("least", ["", "60", "5", "x", "999999999"])
def test_423_that_makes_no_sense_is_a_failure(least: str, office: Office) -> None:
    office.add(expires=60)
    office.answer(423, *([("Min-Expires", least)] if least else []))
    assert len(office.orders) == 1
    assert office.state.standing is Standing.FAILED


def test_423_for_ever_ends_in_back_off(office: Office) -> None:
    office.add(expires=60)
    for more in (100, 200, 300):
        office.answer(423, ("Min-Expires", str(more)))
    assert len(office.orders) == 3
    assert office.state.standing is Standing.FAILED
    assert office.next_order() > 20


def test_redirection_is_followed_for_this_try(office: Office) -> None:
    office.add()
    office.answer(302, ("Contact", "<sip:alice@second.example:5070;transport=tcp>;q=0.5"))
    assert office.orders[-1][1].registrar == "sip:second.example:5070;transport=tcp"
    office.granted(600)
    assert "second.example" in office.state.why
    office.next_order()
    assert office.orders[-1][1].registrar == REGISTRAR


def test_redirection_in_a_circle_ends_in_back_off(office: Office) -> None:
    office.add()
    for _ in range(4):
        office.answer(302, ("Contact", f"<{REGISTRAR}>"))
    assert len(office.orders) == 4
    assert office.state.standing is Standing.FAILED


@pytest.mark.parametrize("contact", ["<mailto:a@b>", "<sip:", "<sip:a@b?x=y>", "*"])
def test_redirection_to_nowhere_is_a_failure(contact: str, office: Office) -> None:
    office.add()
    office.answer(305, ("Contact", contact))
    assert (len(office.orders), office.state.standing) == (1, Standing.FAILED)


def test_unreachable_registrar_is_asked_after_pauses_that_grow_to_a_limit() -> None:
    """RFC 5626 4.5: half to whole of min(1800, 30 * 2**failures)."""
    for seed in range(20):
        office = Office(seed)
        office.add()
        pauses = []
        for _ in range(12):
            office.silence()
            assert office.state.standing is Standing.FAILED
            assert office.state.next_try is not None
            pauses.append(office.next_order())
        limits = [min(1800.0, 30.0 * 2**n) for n in range(1, 13)]
        assert all(limit / 2 <= pause <= limit for pause, limit in zip(pauses, limits, strict=True)), (seed, pauses)
        office.silence()
        office.next_order()
        office.granted(3600)
        office.next_order()
        office.silence()
        assert office.next_order() <= 60  # a success begins anew


def test_two_machines_do_not_come_back_together() -> None:
    pauses = set()
    for seed in range(50):
        office = Office(seed)
        office.add()
        office.silence()
        pauses.add(round(office.next_order(), 1))
    assert len(pauses) > 30


@pytest.mark.parametrize(
    ("status", "reason", "sentence"),
    [
        (
            403,
            "Forbidden",
            f"the registration of {AOR} at {REGISTRAR} was refused: 403 Forbidden "
            "(check the user and the password, and whether the account may register from here)",
        ),
        (
            401,
            "the password for user 'alice' in realm 'r' is wrong",
            f"the registration of {AOR} at {REGISTRAR} was refused: "
            "the password for user 'alice' in realm 'r' is wrong",
        ),
        (500, "Oops\x07", f"the registration of {AOR} at {REGISTRAR} was refused: 500 Oops"),
        (
            404,
            "Not Found",
            f"the registration of {AOR} at {REGISTRAR} was refused: 404 Not Found "
            "(the registrar does not know this user: check user and domain)",
        ),
    ],
)
def test_a_refusal_is_a_sentence(status: int, reason: str, sentence: str, office: Office) -> None:
    office.add()
    office.answer(status, reason=reason)
    assert office.state.why == sentence
    assert (office.state.standing, office.state.status) == (Standing.FAILED, status)


def test_silence_is_a_sentence(office: Office) -> None:
    office.add()
    office.silence()
    assert office.state.why == (
        f"no answer to the registration of {AOR} at {REGISTRAR}: no answer at all "
        "(check the registrar's address, the network and the firewall)"
    )
    assert office.state.status is None


def test_retry_after_is_waited_for_within_the_limit(office: Office) -> None:
    office.add()
    office.answer(503, ("Retry-After", "600 (rebooting)"))
    assert office.next_order() == 600
    office.answer(503, ("Retry-After", "99999999"))
    assert office.next_order() == 1800


def test_failed_refresh_leaves_the_registration_until_it_is_over(office: Office) -> None:
    office.add()
    office.granted(600)
    office.next_order()
    office.silence()
    assert office.standing() is Standing.REGISTERED
    assert office.state.why.startswith("registered, but not for longer: no answer")
    while office.standing() is Standing.REGISTERED:
        if office.engine.is_quiet:
            office.go()
        else:
            office.silence()
    assert office.now == 600.0
    assert office.standing() is Standing.FAILED
    assert office.state.until is None
    assert "is over: no answer to" in office.state.why


@pytest.mark.parametrize("granted", [0, 1, 2])
def test_a_registrar_that_grants_next_to_nothing_is_not_asked_all_the_time(granted: int, office: Office) -> None:
    office.add()
    while office.now < 1000:
        office.granted(granted)
        office.next_order()
    pauses = [b - a for (a, _), (b, _) in pairwise(office.orders)]
    assert min(pauses) >= 5.0


def test_whatever_a_registrar_answers_it_is_not_asked_all_the_time() -> None:
    """Seeded registrars that answer anything: at most ten REGISTERs within any minute once the first tries are over."""
    for seed in range(60):
        dice, office = random.Random(seed), Office(seed)
        office.add(expires=60)
        while office.now < 2000:
            fields = [
                ("Min-Expires", str(dice.randrange(0, 5000))),
                ("Contact", dice.choice(["<sip:a@b>", f"<{CONTACT}>;expires={dice.randrange(0, 4)}", "*", "<sip:"])),
                ("Retry-After", str(dice.randrange(0, 3))),
            ]
            status = dice.choice([200, 301, 302, 403, 423, 500, 503, 600, 0])
            if status:
                office.answer(status, *dice.sample(fields, dice.randrange(0, 4)))
            else:
                office.silence()
            if office.engine.is_quiet:
                office.next_order()
        times = [at for at, _ in office.orders]
        tries = sorted(set(times))
        assert min(b - a for a, b in pairwise(tries)) >= 5.0 - 1e-9, seed
        assert max(times.count(at) for at in tries) <= 6, seed  # one try: three redirections and two 423s at most


def test_service_routes_are_kept_in_order(office: Office) -> None:
    office.add()
    office.answer(200, ("Service-Route", "<sip:p1;lr>, <sip:p2;lr>"), ("Service-Route", '"x" <sip:p3;lr>'))
    assert office.state.routes == ("<sip:p1;lr>", "<sip:p2;lr>", '"x" <sip:p3;lr>')
    office.next_order()
    office.answer(200, ("Service-Route", "<sip:p1;lr>, <sip:"))
    assert office.state.routes == ()


def test_leaving_unregisters(office: Office) -> None:
    office.add()
    office.granted(600)
    office.engine.leave("t", office.now)
    office.collect()
    assert office.orders[-1][1].expires == 0
    assert not office.engine.is_quiet
    office.answer(200)
    assert office.engine.is_quiet
    assert office.state == Registration(standing=Standing.OFF, why=f"unregistered from {REGISTRAR}")
    assert office.engine.next_timeout() == math.inf


def test_leaving_waits_for_the_answer_that_is_out(office: Office) -> None:
    office.add()
    office.engine.leave("t", office.now)
    office.collect()
    assert len(office.orders) == 1
    office.granted(600)
    assert office.orders[-1][1].expires == 0
    office.silence()
    assert office.state.standing is Standing.OFF


def test_leaving_what_was_never_registered_asks_nothing(office: Office) -> None:
    office.add()
    office.answer(403)
    office.engine.leave("t", office.now)
    office.collect()
    assert len(office.orders) == 1
    assert office.state.standing is Standing.OFF
    assert office.engine.next_timeout() == math.inf


def test_leaving_takes_no_longer_than_its_limit(office: Office) -> None:
    office.add()
    office.granted(600)
    office.engine.leave("t", office.now)
    assert office.go() == 4.0
    assert office.state.standing is Standing.OFF
    office.silence()  # late, and without effect
    assert office.state.standing is Standing.OFF


def test_renewing_asks_at_once_but_not_more_often_than_allowed(office: Office) -> None:
    office.add()
    office.granted(600)
    office.now = 100.0
    office.engine.renew("t", office.now)
    assert office.next_order() == 0.0
    office.engine.renew("t", office.now)  # while one is out
    office.granted(600)
    assert office.next_order() == 5.0
    office.granted(600)
    office.now += 1
    office.engine.renew("t", office.now)
    assert office.next_order() == pytest.approx(4.0)


def test_an_address_that_goes_on_changing_is_registered_ever_more_rarely(office: Office) -> None:
    """A registrar, or two behind one name, that sees us elsewhere each time."""
    office.add()
    office.granted(86_400)
    asked = []
    for _ in range(10):
        office.engine.renew("t", office.now)
        office.engine.renew("t", office.now)  # more news before it was asked are no more reason
        asked.append(office.next_order())
        office.granted(86_400)
    assert asked == [5.0, 5.0, 5.0, 10.0, 20.0, 40.0, 60.0, 60.0, 60.0, 60.0]
    office.now += CALM + 1
    office.engine.renew("t", office.now)
    assert office.next_order() == 0.0  # after a calm day the next move is registered at once


def test_a_renewal_is_not_later_than_the_refresh_would_have_been(office: Office) -> None:
    office.add()
    office.granted(30)
    for _ in range(10):
        office.engine.renew("t", office.now)
        assert office.next_order() <= 24.0
        office.granted(30)


def test_renewing_ends_a_back_off(office: Office) -> None:
    office.add()
    for _ in range(8):
        office.silence()
        office.next_order()
    office.silence()
    office.now += 100
    office.engine.renew("t", office.now)
    assert office.next_order() == 0.0


def test_many_registrations_share_one_deadline(office: Office) -> None:
    for number in range(50):
        office.add(f"t{number}")
        office.granted(600 + number, key=f"t{number}")
    assert office.engine.next_timeout() == min(
        office.engine.state(f"t{number}").next_try or math.inf for number in range(50)
    )


def test_misuse_of_names(office: Office) -> None:
    office.add()
    with pytest.raises(MisuseError):
        office.add()
    with pytest.raises(MisuseError):
        office.engine.state("x")


def test_what_has_been_left_is_neither_renewed_nor_left_again(office: Office) -> None:
    office.add()
    office.granted(600)
    office.engine.leave("t", office.now)
    office.engine.leave("t", office.now)
    office.collect()
    office.answer(200)
    office.engine.renew("t", office.now)
    assert [order.expires for _, order in office.orders] == [3600, 0]
    assert office.engine.is_over
    assert office.engine.next_timeout() == math.inf


def test_an_unreadable_contact_of_ours_matches_none(office: Office) -> None:
    office.add()
    response = Response(
        200, "OK", Headers([("Contact", "<sip:a@h>;expires=9, <sip:b@h>;expires=8"), ("Expires", "77")])
    )
    office.engine.on_result("t", Result(status=200, reason="OK", response=response), office.now)
    assert office.state.until == 77
