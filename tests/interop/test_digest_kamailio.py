"""Digest against Kamailio, registrar and proxy: MD5 and SHA-256, nonces for one use, every request of a call."""

import random
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path
from typing import Final

import pytest
import trio

from tests.interop import documents
from tests.interop.bare_agent import SDP, BareAgent, hop_to, open_agent
from tests.interop.kamailio import Account as Login
from tests.interop.kamailio import Kamailio, Plan, running_kamailio
from tests.interop.matrix import Caller, Case, Limiter, Start, peer_habits, vfax_options
from tests.interop.peer import open_peer
from tests.interop.side import VfaxSide
from tests.interop.spandsp import Coding, Modem
from vfax.endpoint import Endpoint, EndpointOptions
from vfax.transports.sip import values as sip
from vfax.transports.sip.account import Account
from vfax.transports.sip.clerk import Clerk, result_of
from vfax.transports.sip.keyring import Credentials
from vfax.transports.sip.registration import RegistrationOptions, Registrations, Standing
from vfax.trunks.desk import Departure, TrunkDesk

LOGIN: Final = Login()
FAX_PATIENCE: Final = 90.0
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


# --- whole faxes --------------------------------------------------------------------------------------


class Lodgings(TrunkDesk):
    """All calls belong to one account."""

    def account_of(self, event: sip.IncomingCall) -> Account:
        return account()

    def depart(self, destination: str, *, number: str, name: str) -> Departure:
        return replace(super().depart(destination, number=number, name=name), account=account())


def lodger(options: EndpointOptions) -> Endpoint:
    """An endpoint whose proxy knows its name and password; the proxy's address is not known yet."""
    endpoint = Endpoint(options)
    endpoint.switchboard.desk = Lodgings(options.trunks, options.leg)
    return endpoint


async def _fax(caller: Caller, folder: Path, logs: dict[Caller, list[str]]) -> None:
    """One fax; the peer is known by its port, vfax has to prove itself."""
    case = Case(caller, Start.CALLED_ASKS, True, Modem.V17, Coding.MMR, 1, False, Limiter.PEER)
    pages = documents.draw_pages(1, lines=1)
    document, target = documents.write_fax(folder / "sent.tif", pages), folder / "got.tif"
    side = VfaxSide(lodger(vfax_options(case)))
    habits = peer_habits(case)
    async with open_peer() as peer, trio.open_nursery() as serving:
        await serving.start(side.endpoint.run, side.ringing.send_nowait)
        plan = Plan(
            accounts=(LOGIN,),
            algorithm="SHA-256",
            challenge=METHODS,
            once=True,
            trusted=(peer.address[1],),
            routes={"fax": side.uri, "spandsp": peer.uri},
        )
        with running_kamailio(plan, folder / "kamailio") as proxy:
            async with trio.open_nursery() as nursery:
                if caller is Caller.PEER:
                    nursery.start_soon(peer.call, proxy.uri("fax"), document, habits)
                    fax = await side.receive(target)
                else:
                    nursery.start_soon(peer.listen, target, habits)
                    fax = await side.send(document, proxy.uri("spandsp"))
            logs[caller] = proxy.seen("script")
        serving.cancel_scope.cancel()
    assert fax.ended.ok, fax.ended
    documents.assert_same_pages(target, pages)


async def test_faxes_pass_a_proxy_that_challenges_the_switch_to_t38(libspandsp: None, tmp_path: Path) -> None:
    """Both ways at once: vfax is called and its re-INVITE is challenged; it calls, and its INVITE and BYE are."""
    logs: dict[Caller, list[str]] = {}
    with trio.fail_after(FAX_PATIENCE):
        async with trio.open_nursery() as nursery:
            for caller in Caller:
                (tmp_path / caller).mkdir()
                nursery.start_soon(_fax, caller, tmp_path / caller, logs)
    invites = {caller: sum(" INVITE sip:" in line for line in log) for caller, log in logs.items()}
    byes = {caller: sum(" BYE sip:" in line for line in log) for caller, log in logs.items()}
    assert invites == {Caller.PEER: 3, Caller.VFAX: 3}, logs  # first and switch-over, one of them twice
    assert byes[Caller.VFAX] == 2, logs  # the sender hangs up, and is asked
