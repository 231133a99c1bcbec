"""Digest against Kamailio, registrar and proxy: MD5 and SHA-256, nonces for one use, every request of a call."""

import random
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Final

import pytest
import trio

from tests.interop.bare_agent import SDP, BareAgent, hop_to, open_agent
from tests.interop.kamailio import Account as Login
from tests.interop.kamailio import Kamailio, Plan, running_kamailio
from vfax.transports.sip import values as sip
from vfax.transports.sip.account import Account
from vfax.transports.sip.clerk import Clerk, result_of
from vfax.transports.sip.keyring import Credentials
from vfax.transports.sip.registration import RegistrationOptions, Registrations, Standing

LOGIN: Final = Login()
METHODS: Final = frozenset({"REGISTER", "INVITE", "BYE"})
pytestmark = pytest.mark.realtime


def account(password: str = LOGIN.password) -> Account:
    return Account(name="kamailio", credentials=(Credentials(LOGIN.user, password, LOGIN.realm),))


@contextmanager
def asking(algorithm: str, folder: Path) -> Iterator[Kamailio]:
    """One that asks for REGISTER, INVITE and BYE, inside dialogs too."""
    plan = Plan(accounts=(LOGIN,), algorithm=algorithm, challenge=METHODS, once=True)
    with running_kamailio(plan, folder) as server:
        yield server


class Office:
    """Registers one agent."""

    def __init__(self, one: BareAgent, server: Kamailio, login: Account) -> None:
        dice = random.SystemRandom()
        self.one, self.server, self.login = one, server, login
        self.engine, self.clerk = Registrations(dice), Clerk(dice)
        aor = f"sip:{LOGIN.user}@{server.address()[0]}:{server.port}"
        options = RegistrationOptions(registrar=server.uri(), aor=aor, expires=60)
        self.engine.add("t", options, trio.current_time())

    async def carry(self) -> None:
        """Carry out what is due, to its end."""
        while orders := self.engine.take_orders():
            for order in orders:
                asked = self.clerk.registering(order, [hop_to(self.server.port)], self.login)
                self.clerk.sent("REGISTER", order.key, self.one.order("request", asked))
                done = await self.one.wait_for(sip.RequestDone)
                self.clerk.ended(done)
                self.engine.on_result("t", result_of(done), trio.current_time())


@pytest.mark.parametrize("algorithm", ["MD5", "SHA-256"])
async def test_every_request_of_a_call_through_kamailio_proves_itself(algorithm: str, tmp_path: Path) -> None:
    with asking(algorithm, tmp_path) as server:
        async with open_agent() as called, open_agent() as caller:
            office = Office(called, server, account())
            await office.carry()
            state = office.engine.state("t")
            assert state.standing is Standing.REGISTERED, state
            await _call(server, caller, called)
            office.engine.renew("t", trio.current_time() + 60)
            office.engine.handle_timeout(trio.current_time() + 60)
            await office.carry()  # its nonce is used up, which Kamailio does not call stale
            assert office.engine.state("t").standing is Standing.REGISTERED, office.engine.state("t")
            office.engine.leave("t", trio.current_time())
            await office.carry()
            assert office.engine.state("t").standing is Standing.OFF
            assert server.complaints() == []


async def _call(server: Kamailio, caller: BareAgent, called: BareAgent) -> None:
    """407 to the INVITE, to the called side's re-INVITE and to the caller's BYE, each of them answered."""
    key = caller.order(
        "invite",
        server.uri(LOGIN.user),
        sdp=SDP,
        from_user="100",
        targets=[hop_to(server.port)],
        account=account(),
    )
    incoming = await called.wait_for(sip.IncomingCall)
    called.agent.assign(incoming.call, account())
    called.order("answer", incoming.call, SDP)
    await caller.wait_for(sip.Answered)
    await called.wait_for(sip.Confirmed)
    called.order("offer", incoming.call, SDP)
    await caller.wait_for(sip.Reoffered)
    caller.order("accept_offer", key, SDP)
    await called.wait_for(sip.OfferAccepted)
    caller.order("hang_up", key)
    await called.wait_for(sip.HungUp)
    await caller.wait_for(sip.Released)
    challenges = [line for one in (caller, called) for line in one.heard() if line.startswith("407")]
    assert sorted(line.rsplit(" ", 1)[1] for line in challenges) == ["BYE", "INVITE", "INVITE"]


async def test_kamailio_refuses_a_wrong_password_and_we_say_so(tmp_path: Path) -> None:
    with asking("SHA-256", tmp_path) as server:
        async with open_agent() as one:
            office = Office(one, server, account("guess"))
            await office.carry()
            state = office.engine.state("t")
            assert state.standing is Standing.FAILED
            assert f"the password for user '{LOGIN.user}' in realm '{LOGIN.realm}' is wrong" in state.why
            assert state.next_try is not None
            assert state.next_try > trio.current_time() + 25
            assert len([line for line in one.sent() if line.startswith("REGISTER")]) == 2
