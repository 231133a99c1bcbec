"""Trunks looked after, in virtual time: two agents joined by a wire, one of them the tended one."""

import random
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from itertools import pairwise
from typing import Any, Final

import pytest
import trio
from trio.testing import MockClock

from vfax.errors import LinkError
from vfax.tending import Peer, Tending, Ward, probe_key
from vfax.transports.sip import values as sip
from vfax.transports.sip.account import Account
from vfax.transports.sip.agent import Agent
from vfax.transports.sip.keyring import Credentials
from vfax.transports.sip.message import Request, parse_datagram
from vfax.transports.sip.options import SipOptions
from vfax.transports.sip.outside import Asking
from vfax.transports.sip.probing import Health, Probed, ProbeOptions
from vfax.transports.sip.registration import Changed, RegistrationOptions, Standing
from vfax.transports.sip.values import Address, Flow, Hop, Send, Transport

HERE: Final = ("192.0.2.1", 5060)
THERE: Final = Hop(Transport.UDP, "192.0.2.9", 5060)
REGISTRATION: Final = RegistrationOptions(registrar="sip:pbx.example", aor="sip:alice@example.org", expires=600)
ACCOUNT: Final = Account(name="pbx", credentials=(Credentials("alice", "s3cret"),))
PBX: Final = Ward(name="pbx", account=ACCOUNT, registration=REGISTRATION)
GATEWAY: Final = Peer(uri="sip:pbx.example", name="pbx.example of trunk pbx")


class Office:
    """An agent whose requests are answered by a function, `tending` above it."""

    def __init__(self, *wards: Ward) -> None:
        self.agent = Agent(SipOptions(), contact=HERE, dice=random.Random(1))
        self.tending = Tending(
            wards,
            random.Random(2),
            find=self.find,
            place=self.agent.place_shown,
            request=self.request,
            pump=self.pump,
            tell=self.tell,
        )
        self.told: list[Changed | Probed] = []
        self.requests: list[tuple[float, Request]] = []
        self.answers: Any = lambda request: 200
        self.missing = ""
        self.find_takes = 0.01
        self.unreachable = ""  # why no connection comes about
        self.tries: list[float] = []  # when a registration was tried again
        self.nonce = ""  # asked for with a challenge
        self.seen: Address | None = None  # where the other side sees us
        self._armed = trio.Event()

    def tell(self, event: Changed | Probed) -> None:
        self.told.append(event)
        if isinstance(event, Changed) and event.now.standing is Standing.REGISTERING:
            self.tries.append(trio.current_time())

    async def find(self, uri: str, account: Account) -> Sequence[Hop]:
        await trio.sleep(self.find_takes)
        if self.missing:
            raise LinkError(self.missing)
        return [THERE]

    def request(self, asking: Asking) -> int:
        return self.agent.request(asking, trio.current_time())

    def pump(self) -> None:
        for out in self.agent.take_output():
            assert isinstance(out, Send)
            request = parse_datagram(out.octets, SipOptions())
            assert isinstance(request, Request)
            self.requests.append((trio.current_time(), request))
            answer = self.answers(request)
            if self.unreachable:
                self.agent.unreachable(out.to, self.unreachable, trio.current_time())
            elif answer is not None:
                self._say(request, answer)
        for event in self.agent.take_events():
            if isinstance(event, sip.RequestDone):
                self.tending.on_done(event)
        for report in self.agent.take_reports():
            if isinstance(report, sip.Reflected):
                self.tending.look_again()
        self._armed.set()

    def _say(self, request: Request, answer: int) -> None:
        copied = [
            f"{name}: {value}"
            for name, value in request.headers
            if name in ("Via", "From", "To", "Call-ID", "CSeq", "Contact")
        ]
        if self.seen is not None:
            copied[0] = copied[0].replace(";rport", f";rport={self.seen[1]};received={self.seen[0]}")
        if self.nonce and (answer == 401 or request.headers.first("authorization") is None):
            answer = 401
            copied.append(f'WWW-Authenticate: Digest realm="pbx", nonce="{self.nonce}", qop="auth"')
        lines = [f"SIP/2.0 {answer} Whatever", *copied, "Content-Length: 0", "", ""]
        flow = Flow(Transport.UDP, THERE.address, HERE)
        self.agent.receive("\r\n".join(lines).encode(), flow, trio.current_time())

    async def keep_time(self) -> None:
        while True:
            self._armed = trio.Event()
            with trio.move_on_at(self.agent.next_timeout()):
                await self._armed.wait()
            self.agent.handle_timeout(trio.current_time())
            self.pump()

    @asynccontextmanager
    async def at_work(self) -> AsyncIterator[None]:
        """It runs during the block, and does not leave after it."""
        async with trio.open_nursery() as nursery:
            nursery.start_soon(self.keep_time)
            nursery.start_soon(self.tending.run)
            yield
            nursery.cancel_scope.cancel()

    async def work_for(self, seconds: float) -> None:
        """Let it run for so long, then leave."""
        async with trio.open_nursery() as nursery:
            nursery.start_soon(self.keep_time)
            with trio.move_on_after(seconds):
                await self.tending.run()
            nursery.cancel_scope.cancel()

    def times(self, method: str) -> list[float]:
        return [at for at, request in self.requests if request.method == method]

    def last(self, kind: type[Any]) -> Any:
        return next(event for event in reversed(self.told) if isinstance(event, kind))


async def test_a_trunk_is_registered_and_kept_so(autojump_clock: MockClock) -> None:
    office = Office(PBX)
    await office.work_for(3600)
    assert office.last(Changed).key == "pbx"
    assert office.last(Changed).now.standing is Standing.REGISTERED
    assert 7 <= len(office.times("REGISTER")) <= 9


async def test_gateways_are_probed_at_their_interval(autojump_clock: MockClock) -> None:
    office = Office(
        Ward(name="pbx", peers=(GATEWAY,), probe=ProbeOptions(interval=60.0), from_user="alice@example.org")
    )
    await office.work_for(600)
    assert 10 <= len(office.times("OPTIONS")) <= 12
    probed = office.last(Probed)
    assert (probed.key, probed.health) == (probe_key("pbx", GATEWAY.uri), Health.UP)
    assert probed.why == "pbx.example of trunk pbx answers (200 Whatever to OPTIONS)"


async def test_the_time_of_a_look_up_is_no_part_of_the_round_trip(autojump_clock: MockClock) -> None:
    office = Office(Ward(name="pbx", peers=(GATEWAY,)))
    office.find_takes = 3.0
    await office.work_for(10)
    assert office.last(Probed).rtt == pytest.approx(0.0, abs=0.5)


async def test_interval_zero_probes_nobody(autojump_clock: MockClock) -> None:
    office = Office(Ward(name="pbx", peers=(GATEWAY,), probe=ProbeOptions(interval=0.0)))
    await office.work_for(600)
    assert office.requests == []


async def test_a_name_that_leads_nowhere_is_said_and_not_asked_in_a_loop(autojump_clock: MockClock) -> None:
    office = Office(Ward(name="pbx", registration=REGISTRATION, peers=(GATEWAY,)))
    office.missing = "pbx.example cannot be resolved: no such name"
    await office.work_for(7200)
    assert office.requests == []
    changed = office.last(Changed).now
    assert changed.why == (
        "the registration of sip:alice@example.org at sip:pbx.example could not be sent: "
        "pbx.example cannot be resolved: no such name"
    )
    assert (
        office.last(Probed).why
        == "pbx.example of trunk pbx cannot be asked: pbx.example cannot be resolved: no such name"
    )
    assert office.last(Probed).health is Health.DOWN
    assert len([event for event in office.told if isinstance(event, Changed)]) < 40


async def test_an_unreachable_registrar_is_asked_ever_more_rarely(autojump_clock: MockClock) -> None:
    office = Office(PBX)
    office.answers = lambda request: None
    await office.work_for(7200)
    assert office.last(Changed).now.why.startswith("no answer to the registration of sip:alice@example.org")
    assert len({request.cseq.number for _, request in office.requests}) < 15


def broken(office: Office, how: str) -> None:
    """What the other side, or the way to it, is like."""
    office.answers = {"silent": lambda request: None, "forbidden": lambda request: 403}.get(how, office.answers)
    if how == "no such name":
        office.missing = "pbx.example cannot be resolved: no such name"
    elif how == "IPv4 alone":
        office.missing = "192.0.2.9 is IPv4, and there is no IPv4 socket for SIP over UDP"
    elif how == "wrong password":
        office.answers = lambda request: 401
        office.nonce = "abc"
    elif how == "expired certificate":
        office.unreachable = "the certificate of pbx.example has expired; its operator has to renew it"


BROKEN: Final = {
    "silent": "no answer to the registration of sip:alice@example.org at sip:pbx.example: no answer at all",
    "no such name": "could not be sent: pbx.example cannot be resolved: no such name",
    "IPv4 alone": "could not be sent: 192.0.2.9 is IPv4, and there is no IPv4 socket for SIP over UDP",
    "forbidden": "was refused: 403 Whatever (check the user and the password",
    "wrong password": "the password for user 'alice' in realm 'pbx' is wrong: 401 came again after it was given",
    "expired certificate": "could not be sent: the certificate of pbx.example has expired; its operator",
}


@pytest.mark.parametrize("how", BROKEN)
async def test_what_is_broken_is_said_and_tried_ever_more_rarely(how: str, autojump_clock: MockClock) -> None:
    """Three hours of it: nothing is asked in a tight loop, and the sentence stays."""
    hours = 3 * 3_600
    office = Office(Ward(name="pbx", account=ACCOUNT, registration=REGISTRATION, peers=(GATEWAY,)))
    broken(office, how)
    await office.work_for(hours)
    assert office.last(Changed).now.standing in (Standing.FAILED, Standing.REGISTERING)
    assert BROKEN[how] in office.last(Changed).now.why
    assert hours / 1_900 <= len(office.tries) <= 2 * hours / 1_800 + 8
    assert all(later - sooner >= 29.0 for sooner, later in pairwise(office.tries))
    sent = {(one.method, one.via.branch) for _, one in office.requests}
    assert sum(method == "REGISTER" for method, _ in sent) <= 2 * len(office.tries) + 2  # a challenge is answered
    assert sum(method == "OPTIONS" for method, _ in sent) <= 2 * (hours / (0.9 * ProbeOptions().interval) + 2)


async def test_leaving_takes_the_registration_back(autojump_clock: MockClock) -> None:
    office = Office(Ward(name="pbx", account=ACCOUNT, registration=REGISTRATION, peers=(GATEWAY,)))
    async with trio.open_nursery() as nursery:
        nursery.start_soon(office.keep_time)
        with trio.move_on_after(100):
            await office.tending.run()
        await office.tending.leave()
        nursery.cancel_scope.cancel()
    assert office.requests[-1][1].headers.first("contact").endswith(";expires=0")  # type: ignore[union-attr]
    assert office.last(Changed).now.standing is Standing.OFF


async def test_leaving_does_not_wait_for_ever(autojump_clock: MockClock) -> None:
    office = Office(PBX)
    async with trio.open_nursery() as nursery:
        nursery.start_soon(office.keep_time)
        with trio.move_on_after(100):
            await office.tending.run()
        office.answers = lambda request: None
        began = trio.current_time()
        await office.tending.leave()
        assert trio.current_time() - began == pytest.approx(REGISTRATION.leave_limit)
        nursery.cancel_scope.cancel()
    assert office.last(Changed).now.standing is Standing.OFF


async def test_leaving_does_not_wait_for_the_answer_to_what_was_not_asked(autojump_clock: MockClock) -> None:
    office = Office(PBX)
    office.find_takes = 20.0  # a DNS server that is silent
    with trio.move_on_after(1):
        await office.tending.run()
    began = trio.current_time()
    await office.tending.leave()
    assert (trio.current_time() - began, office.requests) == (0.0, [])
    assert [event.now.standing for event in office.told if isinstance(event, Changed)] == [Standing.OFF]


async def test_leaving_before_anything_began_is_nothing(autojump_clock: MockClock) -> None:
    office = Office(PBX)
    await office.tending.leave()
    assert office.requests == []


async def test_a_new_address_is_registered_at_once(autojump_clock: MockClock) -> None:
    office = Office(PBX)
    async with office.at_work():
        await trio.sleep(100)
        office.tending.renew("pbx")
        office.tending.renew("unknown")
        await trio.sleep(1)
        assert len(office.times("REGISTER")) == 2


SEEN: Final = ("203.0.113.5", 40_000)


def contacts(request: Request) -> list[str]:
    return [value.partition(";transport")[0] for value in request.headers.all("contact")]


async def test_an_address_that_others_see_elsewhere_is_registered_anew_and_the_former_taken_back(
    autojump_clock: MockClock,
) -> None:
    """At first the registrar itself tells us of the NAT; later the NAT is started again."""
    office = Office(PBX)
    office.seen = SEEN
    async with office.at_work():
        await trio.sleep(60)
        first, second = (request for _, request in office.requests)
        assert contacts(first) == ["<sip:alice@192.0.2.1:5060>;expires=600"]
        public = "<sip:alice@203.0.113.5:40000>"
        assert contacts(second) == [f"{public};expires=600", "<sip:alice@192.0.2.1:5060>;expires=0"]
        office.tending.look_again()
        await trio.sleep(60)
        assert len(office.requests) == 2  # nothing is new
        office.seen = ("203.0.113.5", 50_000)
        await trio.sleep(600)  # by the next refresh at the latest
        refresh, third = (request for _, request in office.requests[2:4])
        assert contacts(refresh) == [f"{public};expires=600"]
        assert contacts(third) == ["<sip:alice@203.0.113.5:50000>;expires=600", f"{public};expires=0"]
        assert len({request.headers.first("call-id") for _, request in office.requests}) == 1


async def test_what_a_challenge_shows_of_us_stands_in_the_answer_to_it(autojump_clock: MockClock) -> None:
    """So that a private address is never registered where the registrar asks for a password."""
    office = Office(PBX)
    office.seen, office.nonce = SEEN, "abc"
    await office.work_for(60)
    first, second, *_ = (request for _, request in office.requests)
    assert contacts(first) == ["<sip:alice@192.0.2.1:5060>;expires=600"]
    assert contacts(second) == ["<sip:alice@203.0.113.5:40000>;expires=600"]
    assert len(office.times("REGISTER")) == 2


async def test_a_former_contact_is_taken_back_through_a_challenge_too(autojump_clock: MockClock) -> None:
    office = Office(PBX)
    async with office.at_work():
        await trio.sleep(60)
        office.seen, office.nonce = SEEN, "abc"
        await trio.sleep(600)
        answered = [contacts(one) for _, one in office.requests if one.headers.first("authorization") is not None]
        assert ["<sip:alice@203.0.113.5:40000>;expires=600", "<sip:alice@192.0.2.1:5060>;expires=0"] in answered


async def test_a_registrar_that_takes_one_contact_alone_is_not_asked_for_two_for_ever(
    autojump_clock: MockClock,
) -> None:
    office = Office(PBX)
    office.answers = lambda request: 400 if len(contacts(request)) > 1 else 200
    async with office.at_work():
        await trio.sleep(10)
        office.seen = SEEN
        await trio.sleep(1200)
        assert office.last(Changed).now.standing is Standing.REGISTERED
        assert contacts(office.requests[-1][1]) == ["<sip:alice@203.0.113.5:40000>;expires=600"]


async def test_a_connection_that_ended_is_made_anew_by_registering(autojump_clock: MockClock) -> None:
    office = Office(PBX)
    async with office.at_work():
        await trio.sleep(100)
        office.tending.lost(Flow(Transport.UDP, ("192.0.2.77", 5060), HERE))
        await trio.sleep(10)
        assert len(office.times("REGISTER")) == 1
        office.tending.lost(Flow(Transport.UDP, THERE.address, HERE))
        await trio.sleep(10)
        assert len(office.times("REGISTER")) == 2


async def test_ends_of_requests_of_others_are_passed_over(autojump_clock: MockClock) -> None:
    office = Office(PBX)
    office.tending.on_done(sip.RequestDone(99, 200, "OK", 1, None, None))
    assert office.told == []
