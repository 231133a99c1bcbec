"""Rules of the exports that are our own (VfaxDev...), each of which a provider may offer or not.

Owns      what trunks, peers, addresses, notices, facts and hints must be, when they can be asked, what is refused.
Not here  facts beside a status (jobs.py); what a row holds (vfax/trunks, vfax/learning).
Source    vfax/fsp/provider.py, for nothing of this is published.
"""

import json
from collections.abc import Callable, Mapping, Sequence
from functools import partial
from typing import Any, TypeVar

from vfax.fsp.conformance.desk import Desk, Job
from vfax.fsp.conformance.rules import Mark, Need, NotChecked, broken, expect, rule
from vfax.fsp.structures import SendHints

T = TypeVar("T")

NOBODY = "no such peer"
"""What no peer is called."""


@rule("VfaxDevReportTrunks (an extension)", mark=Mark.OURS)
def trunks_are_told_in_rows(desk: Desk) -> None:
    """VfaxDevReportTrunks, where it is offered, lists trunks as JSON has objects, each with its name and state."""
    desk.start()
    for row in rows(desk, "VfaxDevReportTrunks"):
        named = all(isinstance(row.get(key), str) and row[key] for key in ("name", "state"))
        expect(named, f"a trunk is told as {row!r}")


@rule("VfaxDevReportPeers (an extension)", mark=Mark.OURS)
def peers_are_told_in_rows(desk: Desk) -> None:
    """VfaxDevReportPeers, where it is offered, lists peers as JSON has objects, each with its name and number."""
    desk.start()
    for row in rows(desk, "VfaxDevReportPeers"):
        named = isinstance(row.get("peer"), str) and bool(row["peer"]) and isinstance(row.get("number"), str)
        expect(named, f"a peer is told as {row!r}")


@rule("VfaxDevForgetPeers (an extension)", mark=Mark.OURS)
def forgotten_peers_are_counted_and_gone(desk: Desk) -> None:
    """VfaxDevForgetPeers for any peer and number tells how many entries there were, and none of them is left."""
    desk.start()
    forget = offered(desk.exports.VfaxDevForgetPeers, "VfaxDevForgetPeers")
    known = None if desk.exports.VfaxDevReportPeers is None else len(rows(desk, "VfaxDevReportPeers"))
    forgotten = desk.call(forget, "", "")
    counted = isinstance(forgotten, int) and not isinstance(forgotten, bool) and forgotten >= 0
    expect(counted, f"VfaxDevForgetPeers answered {forgotten!r}, which is no count")
    if known is None:
        return
    expect(forgotten == known, f"VfaxDevForgetPeers answered {forgotten!r} where VfaxDevReportPeers had {known} rows")
    left = len(rows(desk, "VfaxDevReportPeers"))
    expect(left == 0, f"VfaxDevReportPeers still has {left} rows when all were forgotten")


@rule("VfaxDevForgetPeers (an extension)", mark=Mark.OURS)
def unknown_peers_are_nothing_to_forget(desk: Desk) -> None:
    """A peer, or a number, of which nothing is known is forgotten 0 times, and what is known of others stays."""
    desk.start()
    forget = offered(desk.exports.VfaxDevForgetPeers, "VfaxDevForgetPeers")
    known = None if desk.exports.VfaxDevReportPeers is None else len(rows(desk, "VfaxDevReportPeers"))
    for names in ((NOBODY, ""), ("", NOBODY)):
        forgotten = desk.call(forget, *names)
        expect(forgotten == 0, f"VfaxDevForgetPeers{names} answered {forgotten!r} for what nobody is called")
    if known is not None:
        left = len(rows(desk, "VfaxDevReportPeers"))
        expect(left == known, f"of {known} rows {left} are left when nobody was forgotten")


@rule("VfaxDevForgetPeers (an extension)", mark=Mark.OURS)
def peers_are_named_by_texts(desk: Desk) -> None:
    """VfaxDevForgetPeers refuses names and numbers that are no texts."""
    desk.start()
    forget = offered(desk.exports.VfaxDevForgetPeers, "VfaxDevForgetPeers")
    for names in ((None, ""), ("", 493012345), (b"office", "")):
        desk.refused(partial(desk.call, forget, *names), f"VfaxDevForgetPeers{names!r}")


@rule("VfaxDevReportTrunks, VfaxDevReportPeers, VfaxDevForgetPeers (extensions)", mark=Mark.OURS)
def nothing_is_told_before_initialize(desk: Desk) -> None:
    """Trunks and peers are told of after FaxDevInitialize: before it the exports are FALSE with a last error."""
    asked = asks(desk)
    desk.create_devices()
    for name, ask in asked:
        desk.refused(ask, f"{name} before FaxDevInitialize")


@rule("VfaxDevReportTrunks, VfaxDevReportPeers, VfaxDevForgetPeers (extensions)", mark=Mark.OURS)
def nothing_is_told_after_shutdown(desk: Desk) -> None:
    """Trunks and peers are told of until FaxDevShutdown: after it the exports are FALSE with a last error."""
    asked = asks(desk)
    desk.start()
    if desk.exports.FaxDevShutdown is None:
        raise NotChecked("the provider does not offer FaxDevShutdown")
    desk.shutdown()
    for name, ask in asked:
        desk.refused(ask, f"{name} after FaxDevShutdown")


@rule("VfaxDevReportFacts, VfaxDevSendHints (extensions)", mark=Mark.OURS)
def facts_and_hints_need_a_live_job(desk: Desk) -> None:
    """VfaxDevReportFacts and VfaxDevSendHints refuse handles that are none, and those of jobs that have ended."""
    facts, hints = desk.exports.VfaxDevReportFacts, desk.exports.VfaxDevSendHints
    if facts is None and hints is None:
        raise NotChecked("the provider offers neither VfaxDevReportFacts nor VfaxDevSendHints")
    ended = desk.start().start_job()
    ended.end()
    for handle, what in ((object(), "a handle that is none"), (None, "None"), (ended.handle, "a job that has ended")):
        if facts is not None:
            desk.refused(partial(facts, handle), f"VfaxDevReportFacts for {what}")
        if hints is not None:
            desk.refused(partial(hints, handle, SendHints()), f"VfaxDevSendHints for {what}")


@rule("VfaxDevSendHints (an extension)", mark=Mark.OURS)
def hints_are_send_hints(desk: Desk) -> None:
    """VfaxDevSendHints returns at once, and refuses what are no SendHints."""
    job, hint = hinted(desk)
    desk.quickly(partial(hint, job.handle, SendHints()), "VfaxDevSendHints")
    wrongs: tuple[Any, ...] = (None, {}, "first page 2")
    for wrong in wrongs:
        desk.refused(partial(hint, job.handle, wrong), f"VfaxDevSendHints with {wrong!r}")


@rule("VfaxDevSendHints (an extension)", Need.ANSWERING, mark=Mark.OURS)
def hints_cost_no_fax(desk: Desk) -> None:
    """A fax of which VfaxDevSendHints has said how to send it is sent as any other."""
    job, hint = hinted(desk)
    hint(job.handle, SendHints(max_rate_bps=9_600))
    job.begin_send(desk.stimulus.answering())
    ended = job.wait()
    expect(ended.ok, f"with hints Send returns FALSE with {job.words()}: {ended.error}")


@rule("VfaxDevReportAddress (an extension)", mark=Mark.OURS)
def address_is_host_and_port(desk: Desk) -> None:
    """VfaxDevReportAddress answers at once, HOST:PORT, [HOST]:PORT or "" where there is no such place."""
    desk.start()
    report = offered(desk.exports.VfaxDevReportAddress, "VfaxDevReportAddress")
    address: object = desk.quickly(report, "VfaxDevReportAddress")
    if not isinstance(address, str):
        broken(f"VfaxDevReportAddress answered {type(address).__name__}")
    host, _, port = address.rpartition(":")
    number = int(port) if port.isascii() and port.isdecimal() and len(port) <= 5 else 0
    whole = bool(host) and (":" not in host or (host[0] == "[" and host[-1] == "]")) and 0 < number < 1 << 16
    expect(whole or address == "", f"VfaxDevReportAddress answered {address[:100]!r}")


@rule("VfaxDevWatchNotices (an extension)", mark=Mark.OURS)
def notices_are_sentences(desk: Desk) -> None:
    """VfaxDevWatchNotices may come before FaxDevInitialize; what the function given there hears are texts."""
    watch = offered(desk.exports.VfaxDevWatchNotices, "VfaxDevWatchNotices")
    heard: list[object] = []
    desk.create_devices()
    desk.quickly(partial(watch, heard.append), "VfaxDevWatchNotices")
    if desk.exports.FaxExtInitializeConfig is not None:
        desk.configure()
    desk.initialize()
    desk.stays(lambda: all(isinstance(said, str) and said for said in heard), "a notice was no text")


@rule("VfaxDevWatchNotices (an extension)", mark=Mark.OURS)
def notices_want_a_function(desk: Desk) -> None:
    """VfaxDevWatchNotices refuses what cannot be called."""
    watch = offered(desk.exports.VfaxDevWatchNotices, "VfaxDevWatchNotices")
    desk.start()
    wrongs: tuple[Any, ...] = (None, "the operator")
    for wrong in wrongs:
        desk.refused(partial(watch, wrong), f"VfaxDevWatchNotices with {wrong!r}")


def offered(export: T | None, name: str) -> T:
    """An export of which something is to be seen. Raises NotChecked without it."""
    if export is None:
        raise NotChecked(f"the provider does not offer {name}")
    return export


def hinted(desk: Desk) -> tuple[Job, Callable[..., None]]:
    """A started job, and VfaxDevSendHints. Raises NotChecked without it."""
    hint = offered(desk.exports.VfaxDevSendHints, "VfaxDevSendHints")
    return desk.start().start_job(), hint


def asks(desk: Desk) -> list[tuple[str, Callable[[], object]]]:
    """The exports about trunks and peers that are offered, with their names. Raises NotChecked without any."""
    exports = desk.exports
    found: list[tuple[str, Callable[[], object]]] = []
    if exports.VfaxDevReportTrunks is not None:
        found.append(("VfaxDevReportTrunks", partial(desk.call, exports.VfaxDevReportTrunks)))
    if exports.VfaxDevReportPeers is not None:
        found.append(("VfaxDevReportPeers", partial(desk.call, exports.VfaxDevReportPeers)))
    if exports.VfaxDevForgetPeers is not None:
        found.append(("VfaxDevForgetPeers", partial(desk.call, exports.VfaxDevForgetPeers, "", "")))
    if not found:
        raise NotChecked("the provider offers no export about trunks and peers")
    return found


def rows(desk: Desk, name: str) -> Sequence[Mapping[str, object]]:
    """What an export about trunks or peers tells. Raises Broken unless it is JSON, NotChecked without the export."""
    told = desk.call(offered(getattr(desk.exports, name), name))
    if not isinstance(told, list | tuple):
        broken(f"{name} answered {type(told).__name__}")
    for row in told:
        expect(isinstance(row, dict), f"{name} has a row that is {type(row).__name__}")
    try:
        json.dumps(list(told), allow_nan=False)
    except (TypeError, ValueError) as why:
        broken(f"what {name} answered is no JSON: {why}")
    return told
