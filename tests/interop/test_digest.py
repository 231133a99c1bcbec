"""Digest against sipp, which computes and checks MD5 with code that nobody here wrote: both sides, and a registrar."""

import random
from collections.abc import Iterator
from contextlib import contextmanager
from functools import partial
from ipaddress import ip_network
from pathlib import Path
from typing import Final

import pytest
import trio

from tests.interop.bare_agent import SDP, BareAgent, hop_to, open_agent
from tests.interop.sipp_runner import Sipp, run_sipp
from vfax.transports.sip import values as sip
from vfax.transports.sip.account import Account
from vfax.transports.sip.admission import Admission, Rule
from vfax.transports.sip.clerk import Clerk, result_of
from vfax.transports.sip.keyring import Credentials
from vfax.transports.sip.registration import RegistrationOptions, Registrations, Standing
from vfax.transports.sip.warden import WardenOptions

ACCOUNT: Final = Account(name="sipp", credentials=(Credentials("alice", "s3cret"),))
LOGIN: Final = ("alice", "s3cret")
pytestmark = pytest.mark.realtime


@contextmanager
def called(program: str, scenario: str, folder: Path) -> Iterator[Sipp]:
    with Sipp(program, scenario, folder) as run:
        run.wait_until_listening()
        yield run


def dial(one: BareAgent, port: int) -> int:
    key = one.order(
        "invite",
        f"sip:9@127.0.0.1:{port}",
        sdp=SDP,
        from_user="100",
        targets=[hop_to(port)],
        account=ACCOUNT,
    )
    assert isinstance(key, int)
    return key


async def ended_well(run: Sipp) -> None:
    report = await trio.to_thread.run_sync(run.report)
    assert report.ok, str(report)


async def test_sipp_takes_our_answers_to_its_challenges_in_the_whole_call(sipp: str, tmp_path: Path) -> None:
    """INVITE, a re-INVITE with a stale nonce, BYE; nonce counts and the ACK's credentials are in the scenario."""
    with called(sipp, "uas_digest", tmp_path) as run:
        async with open_agent() as one:
            key = dial(one, run.port)
            await one.wait_for(sip.Answered)
            one.order("offer", key, SDP)
            accepted = await one.wait_for(sip.OfferAccepted)
            assert accepted.call == key
            one.order("hang_up", key)
            await one.wait_for(sip.Released)
            await ended_well(run)


async def test_sipp_refuses_us_twice_and_hears_no_third_invite(sipp: str, tmp_path: Path) -> None:
    with called(sipp, "uas_wrong_password", tmp_path) as run:
        async with open_agent() as one:
            dial(one, run.port)
            refused = await one.wait_for(sip.Refused)
            assert refused.reason.startswith("the password for user 'alice' in realm 'sipp.test' is wrong")
            await ended_well(run)
            assert len([line for line in one.sent() if line.startswith("INVITE")]) == 2


async def test_sipp_is_our_registrar(sipp: str, tmp_path: Path) -> None:
    """401, 423, registered, unregistered: registration, clerk and agent on a real socket."""
    with called(sipp, "registrar", tmp_path) as run:
        async with open_agent() as one:
            dice = random.Random(7)
            offices, clerk = Registrations(dice), Clerk(dice)
            options = RegistrationOptions(
                registrar=f"sip:127.0.0.1:{run.port}", aor=f"sip:alice@127.0.0.1:{run.port}", expires=60
            )
            offices.add("t", options, trio.current_time())

            async def carry() -> None:
                for order in offices.take_orders():
                    asking = clerk.registering(order, [hop_to(run.port)], ACCOUNT)
                    clerk.sent("REGISTER", order.key, one.agent.request(asking, trio.current_time()))
                    one.pump()
                    done = await one.wait_for(sip.RequestDone)
                    assert clerk.ended(done) == ("REGISTER", "t")
                    offices.on_result("t", result_of(done), trio.current_time())

            await carry()
            assert offices.state("t").standing is Standing.REGISTERING
            await carry()
            state = offices.state("t")
            assert state.standing is Standing.REGISTERED, state
            assert state.until is not None
            assert 110 < state.until - trio.current_time() <= 120
            assert state.routes == (f"<sip:127.0.0.1:{run.port};lr>",)
            offices.leave("t", trio.current_time())
            await carry()
            assert offices.state("t").standing is Standing.OFF
            await ended_well(run)


# --- sipp calls us ------------------------------------------------------------------------------------


def admission() -> Admission:
    """sipp knows MD5 alone."""
    digest = WardenOptions(realm="vfax.test", users={"alice": "s3cret"}, algorithms=("MD5",))
    return Admission([Rule(networks=(ip_network("127.0.0.0/8"),), digest=digest)], random.SystemRandom())


async def test_sipp_calls_us_with_the_right_password(sipp: str, tmp_path: Path) -> None:
    async with open_agent(admission()) as one, trio.open_nursery() as nursery:

        async def answer() -> None:
            for _ in range(5):
                call = await one.wait_for(sip.IncomingCall)
                assert call.digest_user == "alice"
                one.order("answer", call.call, SDP)

        nursery.start_soon(answer)
        run = partial(run_sipp, sipp, "uac_digest", tmp_path, one.address, calls=5, login=LOGIN)
        report = await trio.to_thread.run_sync(run)
        assert report.ok, str(report)
        assert not [event for event in one.events if isinstance(event, sip.CredentialsRefused)]


async def test_sipp_calls_us_with_a_wrong_password(sipp: str, tmp_path: Path) -> None:
    async with open_agent(admission()) as one:
        run = partial(run_sipp, sipp, "uac_wrong_password", tmp_path, one.address, login=("alice", "guess"))
        report = await trio.to_thread.run_sync(run)
        assert report.ok, str(report)
        refused = await one.wait_for(sip.CredentialsRefused)
        assert refused.why == "user 'alice': the password is wrong"
        assert not [event for event in one.events if isinstance(event, sip.IncomingCall)]
        assert one.agent.is_empty
