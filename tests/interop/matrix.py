"""Which calls between vfax and libspandsp are tried: all of them, or a small set with every pair of properties.

Owns      `Case`, the full matrix, the pairwise subset, running one case and judging it.
Not here  which of them run when (test_spandsp.py: the subset; script/interop: all).
"""

from dataclasses import dataclass, fields, replace
from enum import StrEnum
from itertools import combinations, product
from pathlib import Path
from typing import Final

import trio

from tests.interop import documents
from tests.interop.peer import CallResult, Habits, Way, open_peer
from tests.interop.side import OUR_ID, Fax, open_vfax
from tests.interop.spandsp import Abilities, Coding, Modem
from vfax.codecs import dis
from vfax.endpoint import EndpointOptions
from vfax.leg_values import CallerOffer, LegOptions
from vfax.outcome import Cause
from vfax.signals import Modem as Signal
from vfax.t30.options import T30Options

PEER_ID: Final = "+44 20 7946 0018"
RATES: Final = {Modem.V17: 14400, Modem.V29: 9600, Modem.V27TER: 4800}
FAMILIES: Final = {
    Modem.V17: ("V.27ter", "V.29", "V.17"),
    Modem.V29: ("V.27ter", "V.29"),
    Modem.V27TER: ("V.27ter",),
}


class Caller(StrEnum):
    """Who calls and sends."""

    PEER = "spandsp-calls"
    VFAX = "vfax-calls"


class Start(StrEnum):
    """How T.38 begins."""

    DIRECT = "direct"
    CALLER_ASKS = "caller-re-invites"
    CALLED_ASKS = "called-re-invites"


class Limiter(StrEnum):
    """Whose abilities are the narrow ones."""

    PEER = "spandsp-limits"
    VFAX = "vfax-limits"


@dataclass(frozen=True, slots=True)
class Case:
    """One call."""

    caller: Caller
    start: Start
    ecm: bool
    modem: Modem
    coding: Coding
    pages: int
    fine: bool
    limiter: Limiter

    def __str__(self) -> str:
        words = [self.caller, self.start, "ecm" if self.ecm else "no-ecm", self.modem, self.coding]
        words += [f"{self.pages}p", "fine" if self.fine else "standard", self.limiter]
        return " ".join(words)


def full_matrix() -> list[Case]:
    """Every combination that T.30 knows (MMR needs ECM)."""
    axes = product(Caller, Start, (True, False), Modem, Coding, (1, 5), (False, True), Limiter)
    cases = [Case(*values) for values in axes]
    return [case for case in cases if case.ecm or case.coding is not Coding.MMR]


Pair = tuple[tuple[str, object], tuple[str, object]]


def _pairs(case: Case) -> set[Pair]:
    values = [(f.name, getattr(case, f.name)) for f in fields(case)]
    return set(combinations(values, 2))


def pairwise(cases: list[Case]) -> list[Case]:
    """A small subset with every pair of properties that the whole list has (greedy, always the same)."""
    pairs = {case: _pairs(case) for case in cases}
    missing = set().union(*pairs.values())
    chosen = []
    while missing:
        best = max(cases, key=lambda case: (len(pairs[case] & missing), -case.pages))
        chosen.append(best)
        missing -= pairs[best]
    return chosen


def vfax_options(case: Case) -> EndpointOptions:
    """The endpoint of one case."""
    limits = case.limiter is Limiter.VFAX
    codings = [dis.Coding(coding.value) for coding in Coding]
    allowed = codings[: codings.index(dis.Coding(case.coding.value)) + 1] if limits else codings
    families = FAMILIES[case.modem if limits else Modem.V17]
    fax = T30Options(
        ecm=case.ecm or not limits,
        modems=frozenset(modem for modem in Signal if modem.family in families),
        receive_codings=frozenset(allowed),
        send_codings=tuple(reversed(allowed)),
    )
    offer = CallerOffer.T38 if case.start is Start.DIRECT else CallerOffer.AUDIO
    wait = 30.0 if case.start is not Start.DIRECT else 1.5
    leg = LegOptions(fax=fax, caller_offer=offer)
    if case.caller is Caller.VFAX and case.start is Start.CALLED_ASKS:
        leg = replace(leg, caller_switch_after=wait)
    if case.caller is Caller.VFAX and case.start is Start.CALLER_ASKS:
        leg = replace(leg, caller_switch_after=2.0)
    if case.caller is Caller.PEER and case.start is Start.CALLER_ASKS:
        leg = replace(leg, called_switch_after=wait)
    return EndpointOptions(listen=("127.0.0.1", 0), leg=leg)


def peer_habits(case: Case) -> Habits:
    """How the peer behaves in one case."""
    limits = case.limiter is Limiter.PEER
    able = Abilities(
        ident=PEER_ID,
        ecm=case.ecm or not limits,
        modem=case.modem if limits else Modem.V17,
        coding=case.coding if limits else Coding.MMR,
    )
    peer_asks = (case.caller is Caller.PEER) == (case.start is Start.CALLER_ASKS)
    way = Way.DIRECT if case.start is Start.DIRECT else Way.AUDIO_THEN_ASK if peer_asks else Way.AUDIO_THEN_WAIT
    return Habits(way=way, abilities=able, ask_after=1.0)


@dataclass(slots=True)
class Played:
    """Both sides' view of one call."""

    fax: Fax
    result: CallResult
    log: str


async def play(
    options: EndpointOptions, habits: Habits, document: Path, target: Path, caller: Caller, capture: Path | None = None
) -> Played:
    """Run one call from `caller` to its end; `document` is what is sent, `target` what arrives."""
    faxes: list[Fax] = []
    results: list[CallResult] = []

    async def vfax_works() -> None:
        work = side.receive(target) if caller is Caller.PEER else side.send(document, peer.uri)
        faxes.append(await work)

    async def peer_works() -> None:
        work = peer.call(side.uri, document, habits) if caller is Caller.PEER else peer.listen(target, habits)
        results.append(await work)

    async with open_vfax(options) as side, open_peer() as peer, trio.open_nursery() as nursery:
        nursery.start_soon(vfax_works)
        nursery.start_soon(peer_works)
    if capture is not None:
        peer.transcript.write_pcap(capture)
    return Played(faxes[0], results[0], peer.transcript.text())


async def play_case(case: Case, folder: Path, *, lines: int = 12, capture: Path | None = None) -> Played:
    """Run one case and judge everything about it."""
    pages = documents.draw_pages(case.pages, fine=case.fine, lines=lines)
    document = documents.write_fax(folder / "sent.tif", pages)
    target = folder / "got.tif"
    played = await play(vfax_options(case), peer_habits(case), document, target, case.caller, capture)
    judge(case, played)
    documents.assert_same_pages(target, pages)
    return played


def judge(case: Case, played: Played) -> None:
    """Both sides say that all went well, in the mode that was asked for, and know each other."""
    fax, result = played.fax, played.result
    said = f"{fax.ended.sentence}\n{result.verdict}\n{result.complaints}\n{played.log}"
    assert result.verdict is not None, said
    assert (result.verdict.ok, fax.ended.cause) == (True, Cause.COMPLETE), said
    assert result.complaints == [], said
    assert fax.ended.pages_confirmed == case.pages, said
    assert result.verdict.pages_sent + result.verdict.pages_received == case.pages, said
    assert (fax.remote_id, result.verdict.remote_ident) == (PEER_ID, OUR_ID), said
    used = (result.verdict.ecm, result.verdict.coding, result.verdict.rate_bps)
    assert used == (case.ecm, case.coding.value, RATES[case.modem]), said
    asked_peer, asked_vfax = result.asked_us > 0, result.asked_them == 200
    vfax_asks = (case.caller is Caller.VFAX) == (case.start is Start.CALLER_ASKS)
    expected = (False, False) if case.start is Start.DIRECT else (vfax_asks, not vfax_asks)
    assert (asked_peer, asked_vfax) == expected, said
