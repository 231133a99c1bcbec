"""`vfax check-trunk`: a trunk tried step by step, from its settings to a page that comes back.

Owns      the steps, what each finds, what to do about it.
Not here  the terminal (cli/check_trunk.py), which trunk and number are meant, the service that may run beside.

Each step is a small function that looks at what the steps before left in `Check` and answers with findings. A step that
needs what an earlier one did not get is passed over.
"""

import ipaddress
from collections.abc import Awaitable, Callable
from dataclasses import dataclass, field, replace
from enum import StrEnum
from pathlib import Path
from typing import Final

import trio

from vfax import call
from vfax.calls import OutgoingFax
from vfax.endpoint import Endpoint, EndpointOptions
from vfax.errors import AddressTaken, FaxError, LinkError, StoreError
from vfax.leg import Opening, SwitchedBy
from vfax.outcome import Outcome
from vfax.pages import PageFolder
from vfax.resolving import Way
from vfax.sockets import Listen
from vfax.transports.sip.outside import Asking
from vfax.transports.sip.probing import SICK, ProbeOptions
from vfax.transports.sip.registration import Standing
from vfax.transports.sip.values import Hop, RequestDone, Transport
from vfax.transports.udp import format_address
from vfax.trunks.board import RegistrationRow, sentence_of
from vfax.trunks.options import OWN_ADDRESS, Accept, TrunkOptions
from vfax.verdict_table import V

PATIENCE: Final = 40.0
"""Seconds for one answer; SIP itself gives up after 32."""
LOOP_PATIENCE: Final = 15.0
"""Seconds from the end of our call to the page that came back."""
SAME_DIGITS: Final = 4
"""Last digits by which a call that comes in is known to be ours."""
SMALL_DATAGRAM: Final = 180
"""Octets below which a page packet of 14400 bit/s with one repetition does not fit."""
LARGE_DATAGRAM: Final = 1_400
"""Octets above which datagrams are cut in pieces on their way."""


class Verdict(StrEnum):
    """What a step found."""

    OK = "ok"
    WARN = "warn"
    FAIL = "fail"
    SKIPPED = "skipped"


@dataclass(frozen=True, slots=True)
class Finding:
    """What one step found, in a sentence that says what to do where something is wrong."""

    step: str
    verdict: Verdict
    sentence: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Beside:
    """What a running service says of the trunk; `registration` None where it does not register."""

    registration: RegistrationRow | None


@dataclass(slots=True, kw_only=True)
class Check:
    """One check of one trunk. `number` is what is called, "" for nothing; `document` is the test page.

    `sender` is who the test page is from (TSI): by it a page that comes back is known. `beside` is the service that has
    the trunk at this moment. `find_page` looks for the page in that service, where it will have gone, and says in words
    where it is there, "" where it is not. `place` makes the file for a call that comes in, where a fax of somebody else
    can stay; it blocks, and may raise StoreError.
    """

    trunk: TrunkOptions
    endpoint: Endpoint
    number: str
    document: Path
    place: Callable[[], Path]
    sender: str
    beside: Beside | None = None
    find_page: Callable[[str], Awaitable[str]] | None = None
    way: Way | None = None
    answered: list[Hop] = field(default_factory=list)
    fax: OutgoingFax | None = None
    outcome: Outcome | None = None
    came_back: "Loop | None" = None
    kept: list[Path] = field(default_factory=list)  # faxes of others that came in meanwhile


@dataclass(slots=True)
class Loop:
    """A call of ours that came in again."""

    outcome: Outcome | None = None
    done: trio.Event = field(default_factory=trio.Event)


Step = Callable[[Check], Awaitable[list[Finding]]]
Tell = Callable[[Finding], None]


async def check_trunk(check: Check, tell: Tell) -> list[Finding]:
    """Take all steps while the endpoint runs; `tell` hears each finding as it is made."""
    found: list[Finding] = []
    for name, step in STEPS:
        for finding in await _taken(name, step, check):
            found.append(finding)
            tell(finding)
    return found


async def _taken(name: str, step: Step, check: Check) -> list[Finding]:
    try:
        return await step(check)
    except FaxError as why:
        return [Finding(name, Verdict.FAIL, sentence_of(str(why)))]


def passed(findings: list[Finding]) -> bool:
    """Whether nothing failed."""
    return all(finding.verdict is not Verdict.FAIL for finding in findings)


# --- settings ------------------------------------------------------------------------------------------


async def settings(check: Check) -> list[Finding]:
    """What of the settings cannot be wished for."""
    await trio.lowlevel.checkpoint()
    trunk, wrong = check.trunk, []
    if not trunk.enabled:
        wrong.append("it has enabled = false, so that no call goes by it: set it to true")
    if not trunk.goals:
        wrong.append("it names no gateway, so that calls only come in by it")
    if trunk.register is not None and trunk.credentials is None:
        wrong.append("it registers without a password: give password_file, unless the registrar asks for none")
    if trunk.tls is not None and trunk.tls.checks == "none":
        wrong.append('it has tls_checks = "none": anybody on the way can pass for it')
    if trunk.inbound.accept is Accept.OPEN:
        wrong.append('it has accept = "open": anybody in its networks can send faxes here')
    if wrong:
        return [Finding("settings", Verdict.WARN, sentence_of(f"the trunk {trunk.name}: {one}")) for one in wrong]
    return [Finding("settings", Verdict.OK, f"The settings of the trunk {trunk.name} can be used.")]


# --- where it is ---------------------------------------------------------------------------------------


async def resolve(check: Check) -> list[Finding]:
    """From names to targets."""
    account = check.endpoint.switchboard.desk.bare_account(check.trunk)
    goals = [goal.text for goal in check.trunk.goals]
    names = ", ".join(goal.partition(":")[2] for goal in goals)
    try:
        check.way = await check.endpoint.find(goals, account)
    except LinkError as why:
        hint = "check gateways and domain of the trunk, and the DNS of this machine"
        return [Finding("resolve", Verdict.FAIL, f"{sentence_of(str(why))} What to do: {hint}.")]
    targets = ", ".join(f"{hop.transport} {format_address(hop.address)}" for hop in check.way.targets)
    found = [Finding("resolve", Verdict.OK, f"{names} leads to {targets}.")]
    return found + [Finding("resolve", Verdict.WARN, sentence_of(note)) for note in check.way.notes]


async def connect(check: Check) -> list[Finding]:
    """Every target is asked whether it lives: over streams that needs a connection first."""
    if check.way is None:
        return [_skipped("connect", "there is nothing to connect to")]
    found = []
    for hop in check.way.targets:
        began = trio.current_time()
        done = await _options(check, hop)
        found += _of_answer(hop, done, trio.current_time() - began)
        if done is not None and done.response is not None:
            check.answered.append(hop)
    return found


async def _options(check: Check, hop: Hop) -> RequestDone | None:
    """The end of an OPTIONS to `hop`, None when none came in time."""
    desk = check.endpoint.switchboard.desk
    goal = check.trunk.goals[0]
    asking = Asking(
        method="OPTIONS",
        uri=goal.text,
        targets=[hop],
        from_user=check.trunk.register.user if check.trunk.register is not None else "vfax",
        account=desk.bare_account(check.trunk),
    )
    with trio.move_on_after(PATIENCE):
        return await check.endpoint.ask(asking)
    return None


def _of_answer(hop: Hop, done: RequestDone | None, took: float) -> list[Finding]:
    where = f"{hop.transport} {format_address(hop.address)}"
    streamed = hop.transport is not Transport.UDP
    if done is None or done.response is None:
        why = done.reason if done is not None else f"no answer within {PATIENCE:.0f} s"
        step = "connect" if streamed and done is not None and done.status == 503 else "OPTIONS"
        if "certificate" in why:  # which says by itself what is to be done
            return [Finding(step, Verdict.FAIL, f"{where} cannot be used: {why}.")]
        hint = "check its address and port, the network and the firewall, and whether it knows our address"
        return [Finding(step, Verdict.FAIL, f"{where} does not answer: {why}. What to do: {hint}.")]
    found = [Finding("connect", Verdict.OK, f"A connection with {where} was made.")] if streamed else []
    said = f"{done.status} {done.reason}"
    if done.status in SICK:
        return [*found, Finding("OPTIONS", Verdict.WARN, f"{where} answers {said}: {SICK[done.status]}.")]
    return [*found, Finding("OPTIONS", Verdict.OK, f"{where} answers {said} after {took * 1_000:.0f} ms.")]


async def register(check: Check) -> list[Finding]:
    """The registration: the service's, where one runs, else our own."""
    if check.trunk.register is None:
        return [_skipped("register", "the trunk does not register")]
    if check.beside is not None:
        row = check.beside.registration
        why = "the running service does not know this registration" if row is None else row.why
        good = row is not None and row.standing == Standing.REGISTERED
        return [
            Finding("register", Verdict.OK if good else Verdict.FAIL, f"The running service says: {sentence_of(why)}")
        ]
    seen = await _standing(check)
    if seen is None or seen.standing == Standing.REGISTERING:
        return [Finding("register", Verdict.FAIL, f"The registrar said nothing within {PATIENCE:.0f} s.")]
    return [Finding("register", Verdict.OK if seen.standing == Standing.REGISTERED else Verdict.FAIL, seen.why)]


async def _standing(check: Check) -> RegistrationRow | None:
    """The registration, once it is more than under way."""
    switchboard = check.endpoint.switchboard
    with trio.move_on_after(PATIENCE):
        while True:
            changed = switchboard.changed
            (row,) = switchboard.rows()
            if row.registration is not None and row.registration.standing != Standing.REGISTERING:
                return row.registration
            await changed.wait()
    (row,) = switchboard.rows()
    return row.registration


# --- a call --------------------------------------------------------------------------------------------


async def dial(check: Check) -> list[Finding]:
    """A call with the test page."""
    if not check.number:
        hint = "give --number, or check_number of the trunk: your own fax number, where calls come back, or a fax test"
        return [_skipped("call", f"there is no number to call ({hint})")]
    if check.way is None:
        return [_skipped("call", "the trunk was not found")]
    check.fax = check.endpoint.outbound()
    destination = check.number if check.number.lower().startswith("sip") else f"sip:{check.number}@{check.trunk.name}"
    request = call.SendRequest(
        document=check.document,
        destination=destination,
        local_id=check.sender,
        caller_name="vfax check-trunk",
        header=True,
    )
    check.outcome = await check.fax.send(request, publish=lambda event: None)
    outcome, answered = check.outcome, check.fax.answered
    if answered:
        return [Finding("call", Verdict.OK, f"{destination} answered.")]
    return [
        Finding("call", Verdict.FAIL, f"The call to {destination} came to nothing: {sentence_of(outcome.sentence)}")
    ]


async def t38(check: Check) -> list[Finding]:
    """Whether the call became T.38, and how."""
    await trio.lowlevel.checkpoint()
    if check.fax is None or not check.fax.answered:
        return [_skipped("T.38", "no call was answered")]
    opening, outcome = check.fax.opening, check.outcome
    assert opening is not None
    if opening.by is SwitchedBy.NOBODY:
        said = sentence_of(outcome.sentence) if outcome is not None else ""
        hint = WITHOUT_T38.get(outcome.verdict if outcome is not None else "", ALLOW_T38)
        return [Finding("T.38", Verdict.FAIL, f"The call never became T.38. {said}{hint}")]
    encrypted = outcome is not None and outcome.encrypted
    found = [
        Finding("T.38", Verdict.OK, _of_opening(opening) + (" It runs encrypted, over DTLS." if encrypted else ""))
    ]
    if opening.dtls_refused:
        advice = (
            'dtls = "accept" saves one offer in vain each time (it is learned, too), "required" sends nothing readable'
        )
        said = f"T.38 over DTLS was refused with {opening.dtls_refused}, so that the page went unencrypted: {advice}."
        found.append(Finding("T.38", Verdict.WARN, said))
    if opening.direct_refused:
        advice = 'caller_offer = "audio" saves one call in vain each time (it is learned, too)'
        said = f"T.38 in the INVITE was refused with {opening.direct_refused}: {advice}."
        found.append(Finding("T.38", Verdict.WARN, said))
    return found


SWITCHING: Final = "switch_by, called_switch_after and caller_offer may help"
ALLOW_T38: Final = f" What to do: ask the carrier to allow T.38 for this trunk; {SWITCHING}."
ALLOW_DTLS: Final = ' What to do: ask the carrier for T.38 over DTLS (RFC 7345), or set dtls = "opportunistic".'
WITHOUT_T38: Final[dict[str, str]] = {
    V.DTLS_REFUSED.value: ALLOW_DTLS,
    **{said.value: "" for said in (V.DTLS_WRONG_CERTIFICATE, V.DTLS_SILENT, V.DTLS_FAILED)},
}
"""What to do without T.38 where encryption is the matter; some verdicts say it themselves."""


def _of_opening(opening: Opening) -> str:
    match opening.by:
        case SwitchedBy.CALL:
            return "T.38 was taken as offered in the INVITE."
        case SwitchedBy.US:
            return f"Audio became T.38 by our re-INVITE after {opening.after:.1f} s."
        case _:
            return f"Audio became T.38 by its re-INVITE after {opening.after:.1f} s."


async def page(check: Check) -> list[Finding]:
    """The test page, there and back."""
    outcome = check.outcome
    if check.fax is None or outcome is None or not check.fax.is_fax:
        return [_skipped("page", "T.38 did not run")]
    mode = f"{outcome.rate_bps} bit/s, {'ECM' if outcome.ecm else 'no ECM'}"
    verdict = Verdict.OK if outcome.ok else Verdict.FAIL
    found = [Finding("page", verdict, f"{sentence_of(outcome.sentence)} ({mode})")]
    return found + (await _loop(check) if outcome.ok else [])


async def _loop(check: Check) -> list[Finding]:
    """Whether the page came back, to us or to the service."""
    if check.came_back is not None:
        with trio.move_on_after(LOOP_PATIENCE):
            await check.came_back.done.wait()
        back = check.came_back.outcome
        if back is not None and back.ok and back.remote_id.strip() == check.sender:
            return [Finding("loop", Verdict.OK, "The page came back to this machine: sending and receiving both work.")]
        said = sentence_of(back.sentence) if back is not None else "It has not ended yet."
        return [Finding("loop", Verdict.FAIL, f"The call came back to this machine, but the page did not. {said}")]
    if check.find_page is not None and (where := await check.find_page(check.sender)):
        return [Finding("loop", Verdict.OK, f"The page came back to the running service: {where}.")]
    return [_skipped("loop", "the page went elsewhere; call your own number to try receiving, too")]


# --- what is on the way --------------------------------------------------------------------------------


async def datagrams(check: Check) -> list[Finding]:
    """How large datagrams may be."""
    await trio.lowlevel.checkpoint()
    if check.fax is None or not check.fax.is_fax or (opening := check.fax.opening) is None:
        return [_skipped("datagrams", "T.38 did not run")]
    limit = opening.datagram_limit
    if not limit:
        return [Finding("datagrams", Verdict.OK, "T.38 ran over TCP: there are no datagrams.")]
    if limit < SMALL_DATAGRAM:
        why = f"It takes datagrams of {limit} octets: too little for repetitions, so that lost packets cost pages."
        return [
            Finding("datagrams", Verdict.WARN, f"{why} What to do: ask it to announce T38FaxMaxDatagram 400 or more.")
        ]
    if limit > LARGE_DATAGRAM:
        why = f"Datagrams of up to {limit} octets may be sent, which are cut in pieces on their way."
        return [Finding("datagrams", Verdict.WARN, f"{why} What to do: set max_datagram_sent = 1400.")]
    return [Finding("datagrams", Verdict.OK, f"Datagrams of up to {limit} octets may be sent.")]


async def nat(check: Check) -> list[Finding]:
    """Whether there is a NAT on the way, and whether the trunk is told an address it can reach."""
    await trio.lowlevel.checkpoint()
    if not check.answered:
        return [_skipped("NAT", "no target answered")]
    hop = check.answered[0]
    agent = check.endpoint.agent
    ours, seen = agent.local.towards(hop), agent.shown.find(hop)
    told = (seen or ours)[0]
    if _is_private(told) and not _is_private(hop.host):
        why = f"We tell the trunk the private address {told}, to which nothing can be sent from {hop.host}."
        return [Finding("NAT", Verdict.FAIL, f"{why} What to do: set public_address of the trunk, or [stun] server.")]
    if seen is not None and seen[0] != ours[0]:
        fixed = check.trunk.public_address is not None
        if check.trunk.public_address == OWN_ADDRESS:
            return [Finding("NAT", Verdict.OK, f"The trunk is told the address of our socket, {told}: it is our own.")]
        how = "as public_address says" if fixed else "as its answers or the STUN server say"
        keep = "" if fixed else " Set public_address to the outer address if it never changes."
        return [Finding("NAT", Verdict.OK, f"We are behind a NAT: the trunk is told {told}, {how}.{keep}")]
    return [Finding("NAT", Verdict.OK, f"There is no NAT on the way: the trunk sees us as {told}.")]


def _is_private(host: str) -> bool:
    address = ipaddress.ip_address(host.partition("%")[0])
    return address.is_private and not address.is_loopback


def _skipped(step: str, why: str) -> Finding:
    return Finding(step, Verdict.SKIPPED, sentence_of(why))


STEPS: Final[tuple[tuple[str, Step], ...]] = (
    ("settings", settings),
    ("resolve", resolve),
    ("connect", connect),
    ("register", register),
    ("call", dial),
    ("T.38", t38),
    ("page", page),
    ("datagrams", datagrams),
    ("NAT", nat),
)
"""In the order they are taken."""


# --- the endpoint of a check ---------------------------------------------------------------------------


def options_for(options: EndpointOptions, trunk: TrunkOptions, *, alone: bool) -> EndpointOptions:
    """The endpoint's options for a check: this trunk and no other, nothing learned.

    `alone`: no service has the trunk, so that we register.
    """
    ours = replace(trunk, enabled=True, learn=False, probe=ProbeOptions(interval=0))
    if not alone:
        ours = replace(ours, register=None)
    return replace(options, trunks=(ours,), learned=None, resident=alone)


def elsewhere(options: EndpointOptions) -> EndpointOptions:
    """The same on free ports: those of the settings are taken."""
    first = Listen(*options.listen)
    also = tuple(Listen(one.host, 0, one.transport) for one in options.listen_also)
    return replace(options, listen=Listen(first.host, 0, first.transport), listen_also=also, media_ports=None)


def is_taken(why: BaseException) -> bool:
    """Whether an endpoint could not start because somebody else has its place."""
    return isinstance(why, AddressTaken)


def take_call(check: Check, arrived: call.InboundCall, nursery: trio.Nursery) -> None:
    """A call comes in meanwhile: ours come back, or somebody else's, who is asked to try again."""
    if check.came_back is None and check.number and _digits(arrived.dialled) == _digits(check.number):
        check.came_back = Loop()
        arrived.ring()
        nursery.start_soon(_receive, check, check.came_back, arrived)
    else:
        arrived.refuse(480)


async def _receive(check: Check, loop: Loop, arrived: call.InboundCall) -> None:
    try:
        target = await trio.to_thread.run_sync(check.place)
    except StoreError:  # no page may be confirmed that cannot be kept
        arrived.refuse(480)
        loop.done.set()
        return
    try:
        loop.outcome = await arrived.receive(target, local_id="", publish=lambda event: None)
    finally:
        loop.done.set()
        ours = loop.outcome is not None and loop.outcome.remote_id.strip() == check.sender
        with trio.CancelScope(shield=True):
            if await trio.to_thread.run_sync(_leave, target, ours):
                check.kept.append(target)


def _leave(target: Path, ours: bool) -> bool:
    """Remove our own page, and a file without any. Pages of somebody else stay, for they may have been confirmed."""
    folder = PageFolder(target)
    if not ours and (folder.pages() or target.stat().st_size):
        return True
    folder.discard()
    target.unlink()
    return False


def _digits(text: str) -> str:
    user = text.removeprefix("sip:").partition("@")[0]
    return "".join(char for char in user if char.isdecimal() and char.isascii())[-SAME_DIGITS:]
