"""Trunks at work on an endpoint: turns at their limits, who a call says it is, whose policy it has, how they fare."""

import ipaddress
import os
import random
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any, Final

import pytest
import trio
from trio.testing import MockClock

from tests.endpoint_peer import Peer, endpoint, field, fields, lines, make_page
from tests.interop.digest_plain import answer_of, fields_of
from vfax import call
from vfax.endpoint import Endpoint
from vfax.leg import CallerOffer, LegOptions
from vfax.outcome import Cause, Outcome
from vfax.switchboard import LONGEST_RETRY_AFTER, Switchboard, retry_after
from vfax.transports.sip.agent import Agent
from vfax.transports.sip.headers import Uri
from vfax.transports.sip.message import Headers, Request
from vfax.transports.sip.options import SipOptions
from vfax.transports.sip.policy import DialogPolicy, Reliable
from vfax.transports.sip.values import Flow, Hop, Send, Transport
from vfax.trunks.board import Direction, FaxSeen, TrunkRow
from vfax.trunks.limits import Turn
from vfax.trunks.options import (
    Accept,
    DidPlace,
    IdentityOptions,
    InboundOptions,
    LimitOptions,
    NumberOptions,
    TrunkOptions,
)

PBX: Final = Hop(Transport.UDP, "192.0.2.7", 5060)
LOOPBACK: Final = InboundOptions(networks=(ipaddress.ip_network("127.0.0.0/8"),))


def trunk(**more: Any) -> TrunkOptions:
    return replace(TrunkOptions(name="office", inbound=LOOPBACK), **more)


# --- who is asked for a password -----------------------------------------------------------------


@pytest.mark.parametrize(
    ("host", "admitted"),
    [
        ("192.0.2.7", False),  # its gateway by address
        ("192.0.2.8", False),  # by what its name stands for just now
        ("198.51.100.1", False),  # in its networks
        ("203.0.113.9", True),  # the owner's own, and closer than the trunk's network
        ("192.0.2.9", True),  # nobody's: whether it is heard at all is decided elsewhere
    ],
)
def test_a_trunk_with_a_password_asks_its_gateways_for_it_too(host: str, admitted: bool) -> None:
    inbound = InboundOptions(
        networks=(ipaddress.ip_network("198.51.100.0/24"), ipaddress.ip_network("203.0.113.0/24")),
        accept=Accept.DIGEST,
        users={"pbx": "secret"},
    )
    gateways = tuple(Uri.parse(one) for one in ("sip:192.0.2.7", "sip:pbx.example"))
    switchboard = Switchboard((trunk(inbound=inbound, gateways=gateways),), LegOptions())
    switchboard.desk.book.learn_hosts("office", ["192.0.2.8"])
    admission = switchboard.admission((ipaddress.ip_network("203.0.113.8/30"),), random.Random(1))
    asked = Request("INVITE", "sip:1@198.51.100.9", Headers(()))
    assert admission.judge(asked, host, 0.0).admitted is admitted


# --- turns ---------------------------------------------------------------------------------------


def limited(**limits: Any) -> tuple[Switchboard, TrunkOptions]:
    one = trunk(limits=LimitOptions(**limits), gateways=(Uri.parse("sip:127.0.0.1"),))
    return Switchboard((one,), LegOptions()), one


async def test_a_call_waits_until_another_one_leaves(autojump_clock: MockClock) -> None:
    switchboard, one = limited(max_calls=1, queue_for=10.0)
    account = switchboard.desk.account(one)
    assert (await switchboard.enter(account)).goes
    async with trio.open_nursery() as nursery:

        @nursery.start_soon
        async def later() -> None:
            await trio.sleep(3)
            switchboard.leave(account, Direction.OUT, None)

        began = trio.current_time()
        assert (await switchboard.enter(account)).goes
        assert trio.current_time() - began == pytest.approx(3)


async def test_what_a_trunk_sees_of_us_is_in_its_row() -> None:
    switchboard, one = limited()
    told = {PBX: ("203.0.113.9", 6060)}
    assert switchboard.rows(told.get)[0].public_address == ""
    switchboard.know_ways(one, [PBX, Hop(Transport.UDP, "192.0.2.8", 5060)])
    assert switchboard.rows(told.get)[0].public_address == "203.0.113.9:6060"
    assert switchboard.rows(lambda to: None)[0].public_address == ""


async def test_a_call_that_waited_in_vain_hears_why(autojump_clock: MockClock) -> None:
    switchboard, one = limited(max_calls=1, queue_for=5.0)
    account = switchboard.desk.account(one)
    assert (await switchboard.enter(account)).goes
    began = trio.current_time()
    turn = await switchboard.enter(account)
    assert trio.current_time() - began == pytest.approx(5)
    assert (turn.goes, turn.why) == (False, "the trunk office has 1 call, and max_calls = 1 is all that it takes")
    (row,) = switchboard.rows()
    assert (row.refused, row.calls_out) == (1, 1)


async def test_calls_a_second_go_in_the_order_they_came(autojump_clock: MockClock) -> None:
    switchboard, one = limited(calls_per_second=2.0, burst=1, queue_for=60.0)
    account = switchboard.desk.account(one)
    went: list[tuple[int, float]] = []

    async def dial(number: int) -> None:
        await trio.sleep(number / 100)
        assert (await switchboard.enter(account)).goes
        went.append((number, round(trio.current_time() - began, 3)))

    began = trio.current_time()
    async with trio.open_nursery() as nursery:
        for number in range(5):
            nursery.start_soon(dial, number)
    assert [number for number, _ in went] == [0, 1, 2, 3, 4]
    assert [at for _, at in went] == pytest.approx([0.0, 0.5, 1.0, 1.5, 2.0])


async def test_calls_that_wait_too_long_are_told_of_the_crowd(autojump_clock: MockClock) -> None:
    switchboard, one = limited(calls_per_second=0.01, queue_for=1.0)
    account = switchboard.desk.account(one)
    turns: list[Turn] = []

    async def dial() -> None:
        turns.append(await switchboard.enter(account))

    async with trio.open_nursery() as nursery:
        for _ in range(4):
            nursery.start_soon(dial)
    assert sorted(turn.goes for turn in turns) == [False, False, False, True]
    assert all(turn.why.startswith("more calls are waiting for the trunk office") for turn in turns if not turn.goes)


async def test_without_waiting_there_is_a_turn_or_there_is_none(autojump_clock: MockClock) -> None:
    switchboard, one = limited(max_calls=1, queue_for=0.0)
    account = switchboard.desk.account(one)
    assert (await switchboard.enter(account)).goes
    assert not (await switchboard.enter(account)).goes
    switchboard.leave(account, Direction.OUT, FaxSeen(ok=True, t38=True, reached=True, sentence="Sent."))
    assert switchboard.admit(account).goes


async def test_a_call_that_gives_up_waiting_leaves_no_hole_in_the_line(autojump_clock: MockClock) -> None:
    switchboard, one = limited(max_calls=1, queue_for=100.0)
    account = switchboard.desk.account(one)
    assert (await switchboard.enter(account)).goes
    with trio.move_on_after(2):
        await switchboard.enter(account)
    switchboard.leave(account, Direction.OUT, None)
    assert (await switchboard.enter(account)).goes


@pytest.mark.parametrize(("wait", "seconds"), [(0.0, 1), (0.2, 1), (3.1, 4), (1e6, LONGEST_RETRY_AFTER)])
def test_who_is_sent_away_hears_when_to_come_back(wait: float, seconds: int) -> None:
    assert retry_after(Turn(goes=False, wait=wait)) == seconds


# --- calls that come in --------------------------------------------------------------------------


async def test_a_call_beyond_the_limit_hears_503_and_when_to_come_back(tmp_path: Path) -> None:
    arrived: list[call.InboundCall] = []
    one = trunk(limits=LimitOptions(max_calls=1))
    async with endpoint(arrived.append, trunks=(one,), journal=tmp_path) as us, Peer(towards=us.address).open() as peer:
        peer.request("INVITE", peer.media.offer_t38())
        await peer.hear("SIP/2.0 100")
        peer.call_id = "call-2"
        peer.request("INVITE", peer.media.offer_t38())
        refusal = await peer.hear("SIP/2.0 503")
        assert field(refusal, "Retry-After") == str(LONGEST_RETRY_AFTER)
        (row,) = us.switchboard.rows()
        assert (row.calls_in, row.refused, len(arrived)) == (1, 1, 1)
        peer.say(f"ACK sip:1@127.0.0.1 SIP/2.0\r\n{fields(refusal, 'Via', 'From', 'To', 'Call-ID')}CSeq: 3 ACK\r\n")
        arrived[0].refuse(486)
        await peer.hear("SIP/2.0 486")


async def test_a_call_that_is_refused_gives_its_turn_back(tmp_path: Path) -> None:
    one = trunk(limits=LimitOptions(max_calls=1))
    async with endpoint(trunks=(one,)) as us, Peer(towards=us.address).open() as peer:
        for number in range(3):
            peer.call_id = f"call-{number}"
            peer.request("INVITE", peer.media.offer_t38())
            refusal = await peer.hear("SIP/2.0 486")
            peer.say(
                f"ACK sip:1@127.0.0.1 SIP/2.0\r\n{fields(refusal, 'Via', 'From', 'To', 'Call-ID')}"
                f"CSeq: {peer.cseq} ACK\r\n"
            )
            await until(lambda: us.switchboard.rows()[0].calls_in == 0)


async def until(true: Callable[[], bool]) -> None:
    for _ in range(1_000):
        if true():
            return
        await trio.sleep(0.01)
    raise AssertionError("it did not come true")


@pytest.mark.parametrize(
    ("ours", "theirs", "field_of_theirs", "status"),
    [
        ({"reliable": Reliable.OFF}, {"reliable": Reliable.ACCEPT}, "Require: 100rel", 100),
        ({"reliable": Reliable.ACCEPT}, {"reliable": Reliable.OFF}, "Require: 100rel", 420),
        ({"min_se": 90}, {"min_se": 600}, "Session-Expires: 120\r\nSupported: timer", 422),
        ({"min_se": 600}, {"min_se": 90}, "Session-Expires: 120\r\nSupported: timer", 100),
    ],
)
def test_the_policy_of_the_trunk_decides_what_is_refused_before_the_call_is_known(
    ours: dict[str, Any], theirs: dict[str, Any], field_of_theirs: str, status: int
) -> None:
    office = trunk(dialogs=DialogPolicy(**theirs))
    admission = Switchboard((office,), LegOptions()).admission((), random.Random(1))
    by_trunk, by_none = ("127.0.0.1", 5060), ("192.0.2.1", 5060)
    for source, policy in ((by_trunk, office.dialogs), (by_none, DialogPolicy(**ours))):
        agent = Agent(
            SipOptions(dialogs=DialogPolicy(**ours)),
            contact=("127.0.0.2", 5060),
            dice=random.Random(1),
            admission=admission,
        )
        for method in ("OPTIONS", "INVITE"):
            invite = (
                f"{method} sip:1@127.0.0.2 SIP/2.0\r\nVia: SIP/2.0/UDP x;branch=z9hG4bK{method};rport\r\n"
                f"From: <sip:2@x>;tag=t\r\nTo: <sip:1@127.0.0.2>\r\nCall-ID: c\r\nCSeq: 1 {method}\r\n"
                f"Contact: <sip:2@x>\r\n{field_of_theirs if method == 'INVITE' else 'Accept: */*'}\r\n\r\n"
            )
            agent.receive(invite.encode(), Flow(Transport.UDP, source, ("127.0.0.2", 5060)), 0.0)
        options, answer = (one.octets.decode() for one in agent.take_output() if isinstance(one, Send))
        assert field(options, "Supported") == ", ".join(policy.supported)
        assert (int(answer.split()[1]) == status) is (source == by_trunk)


async def test_the_number_that_was_dialled_and_the_caller_are_read_as_the_trunk_writes_them(tmp_path: Path) -> None:
    arrived: list[call.InboundCall] = []

    def take(one: call.InboundCall) -> None:
        arrived.append(one)
        one.refuse(486)

    one = trunk(
        numbers=NumberOptions(did_from=(DidPlace.DIVERSION, DidPlace.REQUEST_URI), did_format="{e164}", region="DE")
    )
    async with endpoint(take, trunks=(one,), journal=tmp_path) as us, Peer(towards=us.address).open() as peer:
        peer.say(
            "INVITE sip:1@127.0.0.1 SIP/2.0\r\n"
            f"Via: SIP/2.0/UDP 127.0.0.1:{peer.address[1]};branch=z9hG4bK1\r\nMax-Forwards: 70\r\n"
            "From: <sip:0891234@127.0.0.1>;tag=them\r\nTo: <sip:1@127.0.0.1>\r\nCall-ID: c\r\nCSeq: 1 INVITE\r\n"
            f"Contact: <sip:2@127.0.0.1:{peer.address[1]}>\r\nDiversion: <sip:030987654@x>;reason=unconditional\r\n",
            peer.media.offer_t38(),
        )
        await peer.hear("SIP/2.0 486")
    assert (arrived[0].dialled, arrived[0].caller) == ("+4930987654", "+49891234")
    begin = next(line for line in lines(tmp_path) if line["kind"] == "call")
    assert (begin["trunk"], begin["dialled"]) == ("office", "+4930987654")


@pytest.mark.parametrize("password", ["secret", "guess"])
async def test_a_caller_comes_by_the_trunk_whose_password_it_knows(password: str, tmp_path: Path) -> None:
    users = {"pbx": "secret"}
    inbound = InboundOptions(networks=LOOPBACK.networks, accept=Accept.DIGEST, users=users)
    elsewhere = InboundOptions(networks=(ipaddress.ip_network("198.51.100.0/24"),))
    trunks = (trunk(inbound=elsewhere), replace(trunk(inbound=inbound), name="guarded"))
    async with (
        endpoint(trunks=trunks, allow=("192.0.2.0/24",), journal=tmp_path) as us,
        Peer(towards=us.address).open() as peer,
    ):
        peer.request("INVITE", peer.media.offer_t38())
        challenge = fields_of(field(await peer.hear("SIP/2.0 401"), "WWW-Authenticate"))
        given = {name: challenge[name] for name in ("realm", "nonce", "algorithm")}
        given |= {"username": "pbx", "uri": "sip:1@127.0.0.1", "qop": "auth", "nc": "00000001", "cnonce": "ours"}
        given["response"] = answer_of(given, "INVITE", "pbx", password)
        bare = ("algorithm", "qop", "nc")
        words = ", ".join(f"{name}={value}" if name in bare else f'{name}="{value}"' for name, value in given.items())
        host, port = peer.address
        peer.say(
            f"INVITE sip:1@127.0.0.1 SIP/2.0\r\nVia: SIP/2.0/UDP {host}:{port};branch=z9hG4bKagain\r\n"
            "From: <sip:2@127.0.0.1>;tag=them\r\nTo: <sip:1@127.0.0.1>\r\nCall-ID: call-1\r\nCSeq: 3 INVITE\r\n"
            f"Contact: <sip:2@{host}:{port}>\r\nMax-Forwards: 70\r\nAuthorization: Digest {words}\r\n",
            peer.media.offer_t38(),
        )
        while "z9hG4bKagain" not in (answer := await peer.hear("SIP/2.0 401", "SIP/2.0 486")):
            pass  # the first challenge, repeated: nobody has acknowledged it
    if password == "secret":
        assert answer.startswith("SIP/2.0 486")
        assert [line["trunk"] for line in lines(tmp_path) if line["kind"] == "call"] == ["guarded"]
    else:
        assert answer.startswith("SIP/2.0 401")
        assert not os.listdir(tmp_path)


async def test_a_trunks_networks_are_heard_although_nobody_else_is() -> None:
    async with (
        endpoint(trunks=(trunk(),), allow=("192.0.2.0/24",)) as us,
        Peer(towards=us.address).open() as peer,
    ):
        peer.request("INVITE", peer.media.offer_t38())
        await peer.hear("SIP/2.0 486")
    async with endpoint(allow=("192.0.2.0/24",)) as us, Peer(towards=us.address).open() as peer:
        peer.request("INVITE", peer.media.offer_t38())
        await until(lambda: us.counters.not_allowed == 1)


# --- calls that go out ---------------------------------------------------------------------------


class Answering:
    """A peer that is a trunk's gateway: it hears the INVITE and answers with `status`."""

    def __init__(self, us: Endpoint, peer: Peer, folder: Path) -> None:
        self.us, self.peer = us, peer
        self.document = folder / "page.tif"
        make_page(self.document)
        self.outcome: Outcome | None = None

    async def send(self, destination: str, answer: str, **request: Any) -> str:
        """The INVITE that our call to `destination` led to."""
        asked = call.SendRequest(
            document=self.document, destination=destination, **{"local_id": "+49 30 1", "caller_name": "Us"} | request
        )

        async def run() -> None:
            self.outcome = await self.us.outbound().send(asked, publish=lambda event: None)

        async with trio.open_nursery() as nursery:
            nursery.start_soon(run)
            invite = await self.peer.hear("INVITE")
            head = fields(invite, "Via", "From", "Call-ID", "CSeq")
            self.peer.say(f"SIP/2.0 {answer}\r\n{head}To: {field(invite, 'To')};tag=they\r\n")
            await self.peer.hear("ACK")
        return invite


def gateway(peer: Peer, **more: Any) -> TrunkOptions:
    host, port = peer.address
    return trunk(gateways=(Uri.parse(f"sip:{host}:{port}"),), inbound=InboundOptions(), **more)


async def test_a_call_by_a_trunk_says_who_calls_and_dials_as_the_trunk_wants_it(
    tmp_path: Path, fax_clock: MockClock
) -> None:
    async with Peer().open() as peer:
        one = gateway(
            peer,
            domain="pbx.example.com",
            identity=IdentityOptions(from_domain="pbx.example.com", p_asserted_identity="{caller}", diversion="+49302"),
            numbers=NumberOptions(dial_format="00{digits}", caller_format="{digits}"),
        )
        async with endpoint(trunks=(one,)) as us:
            invite = await Answering(us, peer, tmp_path).send("sip:+4989123@office", "486 Busy")
    assert invite.startswith("INVITE sip:004989123@pbx.example.com SIP/2.0")
    assert field(invite, "From").startswith('"Us" <sip:49301@pbx.example.com>;tag=')
    assert field(invite, "P-Asserted-Identity") == '"Us" <sip:49301@pbx.example.com>'
    assert field(invite, "Diversion") == "<sip:+49302@pbx.example.com>;reason=unconditional;privacy=off"


@pytest.mark.parametrize(
    ("proxy", "routes"), [(";lr", ["{proxy};lr", "sip:edge.example;lr"]), ("", ["sip:edge.example;lr"])]
)
async def test_a_call_by_a_proxy_visits_what_is_to_be_visited(
    proxy: str, routes: list[str], tmp_path: Path, fax_clock: MockClock
) -> None:
    """Preloaded Route: the proxy where it is a loose router, `route`, then what the registrar has asked for."""
    async with Peer().open() as peer:
        where = f"sip:{peer.address[0]}:{peer.address[1]}"
        one = trunk(
            gateways=(Uri.parse("sip:pbx.example.com"),),
            inbound=InboundOptions(),
            outbound_proxy=Uri.parse(where + proxy),
            route=(Uri.parse("sip:edge.example"),),
            domain="pbx.example.com",
        )
        async with endpoint(trunks=(one,)) as us:
            us.switchboard.desk.learn_routes("office", ("<sip:service.example;lr>",))
            invite = await Answering(us, peer, tmp_path).send("sip:1@office", "486 Busy")
            bare = us.switchboard.desk.bare_account(one)
    assert invite.startswith("INVITE sip:1@pbx.example.com SIP/2.0")
    visited = [line.partition(": ")[2] for line in invite.splitlines() if line.startswith("Route: ")]
    preloaded = [f"<{route.format(proxy=where)}>" for route in routes]
    assert visited == [*preloaded, "<sip:service.example;lr>"]
    assert list(bare.routes) == preloaded  # of REGISTER and OPTIONS


@pytest.mark.parametrize("domain", ["", "pbx.example.com"])
async def test_the_second_gateway_is_dialled_by_its_own_name(domain: str, tmp_path: Path, fax_clock: MockClock) -> None:
    async with Peer().open() as silent, Peer().open() as peer:
        places = [f"{one.address[0]}:{one.address[1]}" for one in (silent, peer)]
        gateways = tuple(Uri.parse(f"sip:{place}") for place in places)
        one = trunk(gateways=gateways, inbound=InboundOptions(), domain=domain)
        async with endpoint(trunks=(one,)) as us:
            first = await Answering(us, peer, tmp_path).send("sip:1@office", "486 Busy")
            await silent.hear("INVITE")
            again = await Answering(us, peer, tmp_path).send("sip:1@office", "486 Busy")  # the first is passed over
    uri = f"sip:1@{domain or places[1]}"
    assert [invite.split()[1] for invite in (first, again)] == [uri, uri]


async def test_calls_to_no_trunk_go_as_they_went(tmp_path: Path, fax_clock: MockClock) -> None:
    async with Peer().open() as peer:
        one = replace(trunk(identity=IdentityOptions(p_asserted_identity="{caller}")), gateways=(Uri.parse("sip:x"),))
        async with endpoint(trunks=(one,)) as us:
            host, port = peer.address
            invite = await Answering(us, peer, tmp_path).send(f"sip:+4989123@{host}:{port}", "486 Busy")
    assert invite.startswith(f"INVITE sip:+4989123@{host}:{port} SIP/2.0")
    assert field(invite, "From").startswith('"Us" <sip:+49301@127.0.0.1>;tag=')
    assert "P-Asserted-Identity" not in invite


@pytest.mark.parametrize(("offer", "media"), [(CallerOffer.T38, "m=image"), (CallerOffer.AUDIO, "m=audio")])
async def test_a_trunk_has_its_own_policy(offer: CallerOffer, media: str, tmp_path: Path, fax_clock: MockClock) -> None:
    async with Peer().open() as peer:
        one = gateway(peer, leg=LegOptions(caller_offer=offer), public_address=("203.0.113.9", 0))
        async with endpoint(trunks=(one,)) as us:
            invite = await Answering(us, peer, tmp_path).send("sip:1@office", "486 Busy")
    assert media in invite
    assert "c=IN IP4 203.0.113.9" in invite


async def test_a_trunk_shows_how_its_calls_ended(tmp_path: Path, fax_clock: MockClock) -> None:
    rows: list[TrunkRow] = []
    async with Peer().open() as peer:
        one = gateway(peer, leg=LegOptions(caller_retries_audio=False))
        async with endpoint(trunks=(one,), journal=tmp_path) as us:
            gate = Answering(us, peer, tmp_path)
            rows += us.switchboard.rows()
            await gate.send("sip:1@office", "486 Busy")
            await until(lambda: us.switchboard.rows()[0].calls_out == 0)
            rows += us.switchboard.rows()
            await gate.send("sip:1@office", "488 Not Acceptable Here")
            await until(lambda: us.switchboard.rows()[0].calls_out == 0)
            rows += us.switchboard.rows()
    assert [row.state for row in rows] == ["untested", "ready", "trouble"]
    assert rows[1].t38_out is None
    assert rows[2].t38_out is not None
    assert not rows[2].t38_out.ok
    assert rows[2].reason == rows[2].t38_out.sentence


async def sent(us: Endpoint, folder: Path, destination: str) -> Outcome:
    document = folder / "page.tif"
    make_page(document)
    request = call.SendRequest(document=document, destination=destination, local_id="1", caller_name="")
    return await us.outbound().send(request, publish=lambda event: None)


async def test_a_disabled_trunk_carries_nothing_and_says_so(tmp_path: Path, fax_clock: MockClock) -> None:
    async with endpoint(trunks=(trunk(enabled=False, gateways=(Uri.parse("sip:127.0.0.1"),)),)) as us:
        outcome = await sent(us, tmp_path, "sip:1@office")
    assert outcome.cause is Cause.LINE_UNAVAILABLE
    assert "the trunk office has enabled = false" in outcome.sentence


async def test_a_trunk_without_gateways_says_that_calls_only_come_in(tmp_path: Path, fax_clock: MockClock) -> None:
    async with endpoint(trunks=(trunk(),)) as us:
        outcome = await sent(us, tmp_path, "sip:1@office")
        assert us.switchboard.rows()[0].state == "down"
    assert "the trunk office has no gateways" in outcome.sentence


async def test_a_call_that_found_no_turn_fails_as_a_line_that_is_taken(tmp_path: Path, fax_clock: MockClock) -> None:
    one = trunk(gateways=(Uri.parse("sip:127.0.0.1:9"),), limits=LimitOptions(max_calls=1, queue_for=2.0))
    async with endpoint(trunks=(one,)) as us:
        assert (await us.switchboard.enter(us.switchboard.desk.account(one))).goes
        outcome = await sent(us, tmp_path, "sip:1@office")
    assert outcome.cause is Cause.LINE_UNAVAILABLE
    assert "max_calls = 1 is all that it takes" in outcome.sentence


async def test_an_abort_does_not_wait_for_a_turn(tmp_path: Path, fax_clock: MockClock) -> None:
    one = trunk(gateways=(Uri.parse("sip:127.0.0.1:9"),), limits=LimitOptions(max_calls=1, queue_for=1_000.0))
    async with endpoint(trunks=(one,)) as us:
        assert (await us.switchboard.enter(us.switchboard.desk.account(one))).goes
        document = tmp_path / "page.tif"
        make_page(document)
        fax = us.outbound()
        request = call.SendRequest(document=document, destination="sip:1@office", local_id="1", caller_name="")
        outcomes: list[Outcome] = []

        async def run() -> None:
            outcomes.append(await fax.send(request, publish=lambda event: None))

        async with trio.open_nursery() as nursery:
            nursery.start_soon(run)
            await trio.sleep(5)
            fax.abort()
        assert outcomes[0].cause is Cause.ABORTED


# --- learning ------------------------------------------------------------------------------------


async def refused_then_busy(us: Endpoint, peer: Peer, folder: Path, destination: str) -> list[str]:
    """The media of the INVITEs of one call: T.38 is refused, audio finds the line busy."""
    document = folder / "page.tif"
    make_page(document)
    request = call.SendRequest(document=document, destination=destination, local_id="1", caller_name="")
    media: list[str] = []
    async with trio.open_nursery() as nursery:

        @nursery.start_soon
        async def run() -> None:
            await us.outbound().send(request, publish=lambda event: None)

        while media[-1:] != ["audio"]:
            invite = await peer.hear("INVITE")
            media.append("t38" if "m=image" in invite else "audio")
            status = "488 Not Acceptable Here" if media[-1] == "t38" else "486 Busy Here"
            head = fields(invite, "Via", "From", "Call-ID", "CSeq")
            peer.say(f"SIP/2.0 {status}\r\n{head}To: {field(invite, 'To')};tag=they\r\n")
            await peer.hear("ACK")
    return media


async def test_a_call_learns_from_the_one_before_and_says_so(tmp_path: Path, fax_clock: MockClock) -> None:
    learned = tmp_path / "learned.json"
    async with Peer().open() as peer:
        one = gateway(peer)
        async with endpoint(trunks=(one,), learned=learned) as us:
            assert await refused_then_busy(us, peer, tmp_path, "sip:+4930@office") == ["t38", "audio"]
            assert await refused_then_busy(us, peer, tmp_path, "sip:+4930@office") == ["audio"]
            assert await refused_then_busy(us, peer, tmp_path, "sip:+4989@office") == ["t38", "audio"]
        async with endpoint(trunks=(one,), learned=learned, journal=tmp_path) as us:
            assert await refused_then_busy(us, peer, tmp_path, "sip:+4930@office") == ["audio"]
            (row,) = [row for row in us.peer_rows() if row["number"] == "+4930"]
            assert (row["peer"], row["direction"]) == ("office", "out")
            assert await us.forget_peers("office", "+4930") == 1
    said = [line["what"] for line in lines(tmp_path) if line["kind"] == "learned"]
    assert said == ["It begins with audio. T.38 in the INVITE was refused with 488."]


async def test_a_trunk_that_does_not_learn_is_called_alike_every_time(tmp_path: Path, fax_clock: MockClock) -> None:
    async with Peer().open() as peer, endpoint(trunks=(gateway(peer, learn=False),)) as us:
        for _ in range(2):
            assert await refused_then_busy(us, peer, tmp_path, "sip:+4930@office") == ["t38", "audio"]
        assert us.peer_rows() == []
