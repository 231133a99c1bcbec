"""A trunk tried step by step: over real sockets, to itself and to peers that misbehave."""

import ipaddress
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import Any, Final

import pytest
import trio
from trio.testing import MockClock

from tests.endpoint_peer import Peer, field, fields, make_page
from tests.virtual import hold_for_threads
from vfax import call, trunk_check
from vfax.endpoint import Endpoint, EndpointOptions
from vfax.errors import AddressTaken
from vfax.host.spool import Spool
from vfax.leg import LegOptions
from vfax.outcome import Cause, Outcome
from vfax.pages import PageFolder, recover
from vfax.transports.parameters import Dtls
from vfax.transports.sip.headers import Uri
from vfax.trunk_check import Beside, Check, Finding, Verdict
from vfax.trunks.board import RegistrationRow
from vfax.trunks.options import InboundOptions, RegisterOptions, TrunkOptions

SENDER: Final = "88123456"


def trunk(*gateways: str, **more: Any) -> TrunkOptions:
    inbound = InboundOptions(networks=(ipaddress.ip_network("127.0.0.0/8"),))
    plain = TrunkOptions(name="office", gateways=tuple(Uri.parse(one) for one in gateways), inbound=inbound)
    return replace(plain, **more)


@asynccontextmanager
async def checking(
    folder: Path, make: Callable[[int], TrunkOptions], *, number: str = "", alone: bool = True, **more: Any
) -> AsyncIterator[Check]:
    """A check on an endpoint that runs; `make` is told the port that it listens on."""
    document = folder / "test.tif"
    make_page(document)
    probe = Endpoint(EndpointOptions(listen=("127.0.0.1", 0)))
    async with trio.open_nursery() as nursery:
        await nursery.start(probe.run, lambda arrived: arrived.refuse(486))
        port = probe.address[1]
        nursery.cancel_scope.cancel()
    options = trunk_check.options_for(EndpointOptions(listen=("127.0.0.1", port)), make(port), alone=alone)
    check = Check(
        trunk=options.trunks[0] if alone else make(port),
        endpoint=Endpoint(options),
        number=number,
        document=document,
        place=lambda: place(folder),
        sender=SENDER,
        **more,
    )
    async with trio.open_nursery() as nursery:
        nursery.start_soon(hold_for_threads)
        await nursery.start(check.endpoint.run, lambda arrived: trunk_check.take_call(check, arrived, nursery))
        yield check
        nursery.cancel_scope.cancel()


async def findings(check: Check) -> dict[str, tuple[str, str]]:
    found: dict[str, tuple[str, str]] = {}

    def tell(finding: Finding) -> None:
        assert finding.sentence[-1] in ".)", finding
        found[finding.step] = finding.verdict.value, finding.sentence

    await trunk_check.check_trunk(check, tell)
    return found


async def test_a_trunk_that_loops_back_is_good_in_every_step(tmp_path: Path, fax_clock: MockClock) -> None:
    async with checking(tmp_path, lambda port: trunk(f"sip:127.0.0.1:{port}"), number="+4930999") as check:
        found = await findings(check)
        (row,) = check.endpoint.switchboard.rows()
    seen = [None if fax is None else (fax.ok, fax.sentence) for fax in (row.t38_in, row.t38_out)]
    assert seen == [
        (True, "The fax was received: its only page is complete."),
        (True, "The fax was delivered: the other machine confirmed its only page."),
    ]
    assert {step: verdict for step, (verdict, _) in found.items()} == {
        "settings": "ok",
        "resolve": "ok",
        "OPTIONS": "ok",
        "register": "skipped",
        "call": "ok",
        "T.38": "ok",
        "page": "ok",
        "loop": "ok",
        "datagrams": "ok",
        "NAT": "ok",
    }
    assert found["loop"][1] == "The page came back to this machine: sending and receiving both work."
    assert found["T.38"][1] == "T.38 was taken as offered in the INVITE."
    assert check.kept == []


@asynccontextmanager
async def second_node(folder: Path, dtls: Dtls) -> AsyncIterator[str]:
    """Another vfax that takes every call; its address."""
    node = Endpoint(EndpointOptions(listen=("127.0.0.1", 0), leg=LegOptions(dtls=dtls)))
    async with trio.open_nursery() as nursery:

        async def take(arrived: call.InboundCall) -> None:
            arrived.ring()
            target = folder / f"{arrived.id}.tif"
            target.touch()
            await arrived.receive(target, local_id="", publish=lambda event: None)

        await nursery.start(node.run, lambda arrived: nursery.start_soon(take, arrived))
        yield f"sip:127.0.0.1:{node.address[1]}"
        nursery.cancel_scope.cancel()


@pytest.mark.parametrize("ours", [Dtls.OPPORTUNISTIC, Dtls.REQUIRED])
@pytest.mark.parametrize("theirs", [Dtls.OPPORTUNISTIC, Dtls.REQUIRED])
async def test_a_trunk_with_encryption_says_that_it_runs(
    tmp_path: Path, fax_clock: MockClock, ours: Dtls, theirs: Dtls
) -> None:
    async with second_node(tmp_path, theirs) as gateway:
        options = LegOptions(dtls=ours)
        async with checking(tmp_path, lambda _: trunk(gateway, leg=options), number="1") as check:
            found = await findings(check)
    assert found["T.38"] == ("ok", "T.38 was taken as offered in the INVITE. It runs encrypted, over DTLS.")
    assert found["page"][0] == "ok"


async def test_a_trunk_that_may_encrypt_and_cannot_is_warned_of(tmp_path: Path, fax_clock: MockClock) -> None:
    async with second_node(tmp_path, Dtls.OFF) as gateway:
        options = LegOptions(dtls=Dtls.OPPORTUNISTIC)
        async with checking(tmp_path, lambda _: trunk(gateway, leg=options), number="1") as check:
            found = await findings(check)
    assert found["T.38"][0] == "warn"
    assert "T.38 over DTLS was refused with 488, so that the page went unencrypted" in found["T.38"][1]
    assert found["page"][0] == "ok"


async def test_a_trunk_that_must_encrypt_and_cannot_fails_and_says_so(tmp_path: Path, fax_clock: MockClock) -> None:
    async with second_node(tmp_path, Dtls.OFF) as gateway:
        options = LegOptions(dtls=Dtls.REQUIRED)
        async with checking(tmp_path, lambda _: trunk(gateway, leg=options), number="1") as check:
            found = await findings(check)
    assert found["T.38"][0] == "fail"
    hint = 'What to do: ask the carrier for T.38 over DTLS (RFC 7345), or set dtls = "opportunistic".'
    assert found["T.38"][1].endswith(hint)
    assert found["page"][0] == "skipped"


async def test_a_trunk_that_does_not_answer_fails_with_what_to_do(tmp_path: Path, fax_clock: MockClock) -> None:
    async with checking(tmp_path, lambda port: trunk("sip:127.0.0.1:9"), number="1") as check:
        found = await findings(check)
    assert found["OPTIONS"][0] == "fail"
    assert "What to do: check its address and port, the network and the firewall" in found["OPTIONS"][1]
    assert found["call"][0] == "fail"
    assert found["NAT"][0] == "skipped"
    assert not trunk_check.passed([Finding("OPTIONS", Verdict.FAIL, "")])


async def test_a_name_that_leads_nowhere_ends_the_check_early(tmp_path: Path, fax_clock: MockClock) -> None:
    async with checking(tmp_path, lambda port: trunk("sip:no-such-host.invalid"), number="1") as check:
        found = await findings(check)
    assert found["resolve"][0] == "fail"
    assert "What to do: check gateways and domain of the trunk" in found["resolve"][1]
    assert found["connect"] == ("skipped", "There is nothing to connect to.")
    assert found["call"][0] == "skipped"


async def test_a_connection_that_is_refused_is_said_as_such(tmp_path: Path, fax_clock: MockClock) -> None:
    async with checking(tmp_path, lambda port: trunk("sip:127.0.0.1:9;transport=tcp")) as check:
        found = await findings(check)
    assert found["connect"][0] == "fail"
    assert "Connection refused" in found["connect"][1]
    assert found["call"] == (
        "skipped",
        "There is no number to call (give --number, or check_number of the trunk: your own fax number, where calls "
        "come back, or a fax test).",
    )


async def test_a_trunk_that_refuses_t38_fails_in_that_step(tmp_path: Path, fax_clock: MockClock) -> None:
    async with Peer().open() as peer, trio.open_nursery() as nursery:
        host, port = peer.address

        @nursery.start_soon
        async def answer() -> None:
            while True:
                request = await peer.hear("OPTIONS", "INVITE", "BYE")
                head = fields(request, "Via", "From", "Call-ID", "CSeq")
                to = f"To: {field(request, 'To').partition(';tag=')[0]};tag=they\r\n"
                contact = f"Contact: <sip:{host}:{port}>\r\n"
                again = ";tag=they" in field(request, "To")
                if request.startswith("INVITE") and (again or "m=image" in request):
                    peer.say(f"SIP/2.0 488 Not Acceptable Here\r\n{head}{to}")
                elif request.startswith("INVITE"):
                    peer.say(f"SIP/2.0 200 OK\r\n{head}{to}{contact}", peer.media.offer_audio())
                else:
                    peer.say(f"SIP/2.0 200 OK\r\n{head}{to}")

        leg = LegOptions(caller_switch_after=1.0, refused_grace=1.0)
        async with checking(tmp_path, lambda _: trunk(f"sip:{host}:{port}", leg=leg), number="1") as check:
            found = await findings(check)
        nursery.cancel_scope.cancel()
    assert found["call"][0] == "ok"
    assert found["T.38"][0] == "fail"
    assert "What to do: ask the carrier to allow T.38" in found["T.38"][1]
    assert found["page"][0] == "skipped"


def registering(port: int) -> TrunkOptions:
    registrar = Uri.parse(f"sip:127.0.0.1:{port}")
    register = RegisterOptions(registrar=registrar, goals=(registrar,), user="7", domain="pbx", contact_user="7")
    return trunk(f"sip:127.0.0.1:{port}", register=register)


async def test_a_registrar_that_is_none_fails_in_that_step(tmp_path: Path, fax_clock: MockClock) -> None:
    async with checking(tmp_path, registering) as check:
        found = await findings(check)
    assert found["register"][0] == "fail"
    assert "405" in found["register"][1]
    assert found["settings"] == (
        "warn",
        "The trunk office: it registers without a password: give password_file, unless the registrar asks for none.",
    )


async def test_a_check_without_a_service_registers_and_takes_it_back(tmp_path: Path, fax_clock: MockClock) -> None:
    contacts: list[str] = []
    async with Peer().open() as peer, trio.open_nursery() as nursery:

        @nursery.start_soon
        async def answer() -> None:
            while True:
                request = await peer.hear("OPTIONS", "REGISTER")
                head = fields(request, "Via", "From", "Call-ID", "CSeq")
                if request.startswith("REGISTER"):
                    contacts.append(field(request, "Contact"))
                    head += f"Contact: {contacts[-1]}\r\n"
                peer.say(f"SIP/2.0 200 OK\r\n{head}To: {field(request, 'To')};tag=they\r\n")

        async with checking(tmp_path, lambda _: registering(peer.address[1])) as check:
            found = await findings(check)
        nursery.cancel_scope.cancel()
    assert found["register"][0] == "ok"
    assert "is registered at sip:127.0.0.1:" in found["register"][1]
    assert [one.rpartition(";expires=")[2] for one in contacts] == ["3600", "0"]


@pytest.mark.parametrize(("standing", "verdict"), [("registered", "ok"), ("failed", "fail")])
async def test_a_service_that_has_the_registration_is_believed(
    standing: str, verdict: str, tmp_path: Path, fax_clock: MockClock
) -> None:
    beside = Beside(registration=RegistrationRow(standing=standing, why="It is so"))
    async with checking(tmp_path, registering, alone=False, beside=beside) as check:
        assert check.endpoint.options.trunks[0].register is None
        found = await findings(check)
    assert found["register"] == (verdict, "The running service says: It is so.")


async def test_the_page_is_looked_for_in_the_service_beside(tmp_path: Path, fax_clock: MockClock) -> None:
    looked: list[str] = []

    async def find_page(sender: str) -> str:
        await trio.lowlevel.checkpoint()
        looked.append(sender)
        return "it is somewhere"

    beside = Beside(registration=None)
    async with checking(tmp_path, lambda port: trunk("sip:127.0.0.1:9"), beside=beside, find_page=find_page) as check:
        (found,) = await trunk_check._loop(check)
    assert (found.verdict, looked) == (Verdict.OK, [SENDER])
    assert found.sentence == "The page came back to the running service: it is somewhere."


class Arrived:
    """An incoming call that notes what becomes of it."""

    id = "1"
    journal_path: Path | None = None
    caller = caller_name = ""

    def __init__(self, dialled: str, outcome: Outcome) -> None:
        self.dialled, self.outcome = dialled, outcome
        self.refused = 0
        self.over: trio.Event | None = None  # until when it lasts
        self.ended_early = trio.Event()

    def note(self, kind: str, **facts: str | int) -> None:
        return None

    def ring(self) -> None:
        return None

    def refuse(self, status: int) -> None:
        self.refused = status

    def abort(self) -> None:
        return None

    async def receive(self, target: Path, *, local_id: str, publish: call.Publish) -> Outcome:
        if self.over is not None:
            await self.over.wait()
        await trio.lowlevel.checkpoint()
        return self.outcome


def place(folder: Path) -> Path:
    return Spool(folder / "spool").borrow()


class Cut(Arrived):
    """A call that has brought one page when the check ends."""

    async def receive(self, target: Path, *, local_id: str, publish: call.Publish) -> Outcome:
        await trio.to_thread.run_sync(partial(PageFolder(target).keep, 1, b"a page", complete=True))
        return await super().receive(target, local_id=local_id, publish=publish)


async def test_the_pages_of_a_call_that_the_end_of_the_check_cuts_off_stay(
    tmp_path: Path, fax_clock: MockClock
) -> None:
    arrived = Cut("4711", Outcome(cause=Cause.COMPLETE))
    arrived.over = trio.Event()
    unreachable = trunk("sip:127.0.0.1:9")
    async with checking(tmp_path, lambda port: unreachable, number="4711") as check, trio.open_nursery() as nursery:
        trunk_check.take_call(check, arrived, nursery)
        await trio.sleep(1)
        nursery.cancel_scope.cancel()
    (path,) = check.kept
    assert [page.number for page in recover(path)] == [1]
    spool = Spool(tmp_path / "spool")
    spool.prepare()
    assert spool.leftovers() == [path.stem]
    spool.release()


async def test_our_own_page_does_not_stay_nor_does_an_empty_file(tmp_path: Path, fax_clock: MockClock) -> None:
    async with checking(tmp_path, lambda port: trunk("sip:127.0.0.1:9"), number="4711") as check:
        for outcome in (Outcome(cause=Cause.COMPLETE, remote_id=f" {SENDER} "), Outcome(cause=Cause.NOT_FAX)):
            check.came_back = None
            async with trio.open_nursery() as nursery:
                trunk_check.take_call(check, (Cut if outcome.ok else Arrived)("4711", outcome), nursery)
        assert check.kept == []
        assert list((tmp_path / "spool" / "incoming").iterdir()) == []


async def test_a_call_for_which_there_is_no_place_is_not_answered(tmp_path: Path, fax_clock: MockClock) -> None:
    (tmp_path / "spool").write_bytes(b"")
    async with checking(tmp_path, lambda port: trunk("sip:127.0.0.1:9"), number="4711") as check:
        arrived = Arrived("4711", Outcome(cause=Cause.COMPLETE))
        async with trio.open_nursery() as nursery:
            trunk_check.take_call(check, arrived, nursery)
        assert (arrived.refused, check.kept) == (480, [])


async def test_faxes_of_others_are_not_lost_meanwhile(tmp_path: Path, fax_clock: MockClock) -> None:
    """Another call is asked to come again; one that looks like ours and was confirmed is kept."""
    async with checking(tmp_path, lambda port: trunk("sip:127.0.0.1:9"), number="+49 30 4711") as check:
        theirs = Arrived("+49309999", Outcome(cause=Cause.COMPLETE))
        async with trio.open_nursery() as nursery:
            trunk_check.take_call(check, theirs, nursery)
            looks_like_ours = Cut("0304711", Outcome(cause=Cause.COMPLETE, pages_confirmed=2, remote_id="+1 555"))
            trunk_check.take_call(check, looks_like_ours, nursery)
    assert theirs.refused == 480
    assert looks_like_ours.refused == 0
    assert [path.parent.name for path in check.kept] == ["incoming"]


async def test_a_private_address_told_to_a_public_trunk_is_a_failure(tmp_path: Path, fax_clock: MockClock) -> None:
    async with checking(tmp_path, lambda port: trunk(f"sip:127.0.0.1:{port}")) as check:
        from vfax.transports.sip.shown import Told
        from vfax.transports.sip.values import Hop, Transport

        check.answered = [Hop(Transport.UDP, "8.8.8.8", 5060)]
        check.endpoint.agent.shown.guide = lambda to: Told(("192.168.1.5", 0), firm=True)
        (found,) = await trunk_check.nat(check)
        assert found.verdict is Verdict.FAIL
        assert found.sentence.endswith("What to do: set public_address of the trunk, or [stun] server.")
        check.endpoint.agent.shown.guide = lambda to: Told(("9.9.9.9", 0), firm=True)
        (found,) = await trunk_check.nat(check)
        assert found.verdict is Verdict.OK
        assert "We are behind a NAT: the trunk is told 9.9.9.9" in found.sentence


def test_a_place_that_is_taken_is_left_for_free_ports() -> None:
    moved = trunk_check.elsewhere(EndpointOptions(listen=("127.0.0.1", 5060), media_ports=(20_000, 20_100)))
    assert (tuple(moved.listen)[:2], moved.media_ports) == (("127.0.0.1", 0), None)
    assert trunk_check.is_taken(AddressTaken("127.0.0.1:5060 is taken", 5060, stream=False))
    assert not trunk_check.is_taken(OSError())
