"""Signalling with sipp, on good roads and bad ones: `script/interop sipp`.

    python -m tests.interop.all_sipp [--only WORD ...] [--seed N] [--list]

Each row runs one scenario of tests/interop/sipp so many times at once, over one transport, with so much loss in each
direction. Loss comes from a relay with seeded dice, in one row from sipp (-lost, whose dice have no seed). Prints a
table; exit status 1 when a call is lost.
"""

import argparse
import re
import sys
import tempfile
from collections.abc import Sequence
from contextlib import AsyncExitStack
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path
from typing import Final

import trio

from tests.interop.dissect import find_program
from tests.interop.documents import draw_pages, write_fax
from tests.interop.relay import bad_road
from tests.interop.side import OUR_ID, VfaxSide, open_vfax
from tests.interop.sipp_runner import Sipp, SippReport, run_sipp
from vfax import call
from vfax.endpoint import EndpointOptions
from vfax.leg_values import LegOptions
from vfax.outcome import Outcome
from vfax.sockets import Listen
from vfax.transports.sip.options import SipOptions
from vfax.transports.sip.policy import DialogPolicy
from vfax.transports.sip.values import Transport

PATIENCE: Final = ("-max_retrans", "12", "-max_invite_retrans", "12", "-recv_timeout", "60000")
BAD_ROAD_SECONDS: Final = 150
MODES: Final = {"udp": "u1", "tcp": "t1"}


@dataclass(frozen=True, slots=True)
class Row:
    """So many calls of one scenario. sipp calls, unless the scenario's name says uas."""

    scenario: str
    calls: int
    loss: float = 0.0
    transport: str = "udp"
    hang_up_after: float | None = None  # we end the call
    rings_on: bool = False  # nobody answers
    switch_after: float = 30.0  # from an answer with audio to our re-INVITE
    by_sipp: bool = False  # sipp itself loses what it sends and hears
    says: str = ""  # is in the sentence of each of our outcomes
    same_session: bool = False  # all SDP of ours in one call is the same, its version included

    @property
    def sipp_is_called(self) -> bool:
        """Whether we make the calls."""
        return self.scenario.startswith("uas_")

    def __str__(self) -> str:
        words = [self.scenario, f"{self.calls} calls", self.transport]
        where = "by sipp" if self.by_sipp else "by the road"
        words += [f"{self.loss:.0%} lost each way {where}"] if self.loss else []
        return ", ".join(words)


CALLED: Final = (
    Row("direct_t38", 20),
    Row("audio_then_t38", 10),
    Row("reinvited", 10, switch_after=0.5),
    Row("glare", 10, switch_after=0.5),
    Row("cancel", 10, rings_on=True),
    Row("options", 20),
    Row("hung_up_on", 10, hang_up_after=0.3),
)
CALLING: Final = (
    Row("uas_busy", 5),
    Row("uas_no_t38", 5),
    Row("uas_hangs_up", 5),
    Row("uas_routed", 5, hang_up_after=1.0),
)
TIMED: Final = (  # session timers: an interval of 30 s, refreshed after 15
    Row("caller_is_refreshed", 5, same_session=True),
    Row("uas_is_refreshed", 5, hang_up_after=17.0),
    Row("caller_never_refreshes", 5, says="the session expired: it was not refreshed in time"),
)
LOSSY: Final = (
    Row("direct_t38", 60, 0.25),
    Row("direct_t38", 60, 0.25, by_sipp=True),
    Row("audio_then_t38", 30, 0.25),
    Row("reinvited", 30, 0.25, switch_after=0.5),
    Row("hung_up_on", 30, 0.25, hang_up_after=0.3),
    Row("options", 60, 0.25),
)


def all_rows() -> list[Row]:
    """Everything."""
    over_tcp = (replace(row, transport="tcp") for row in (*CALLED, *CALLING))
    return [*CALLED, *CALLING, *over_tcp, *TIMED, *LOSSY]


async def play_row(row: Row, sipp: str, folder: Path, seed: int) -> SippReport:
    """Run one row to its end; calls that ended with other words, or changed their SDP, are not good ones."""
    outcomes: list[Outcome] = []
    report = await _play(row, sipp, folder, seed, outcomes)
    bad = row.calls - sum(row.says in one.sentence for one in outcomes) if row.says else 0
    if row.same_session:
        sessions = re.findall(r"^o=vfax (\S+) (\S+)", report.messages, re.MULTILINE)
        bad += len(set(sessions)) != row.calls or len(sessions) < 2 * row.calls
    return replace(
        report, good=max(0, report.good - bad), errors=f"{report.errors}\n{[one.sentence for one in outcomes]}"
    )


async def _play(row: Row, sipp: str, folder: Path, seed: int, outcomes: list[Outcome]) -> SippReport:
    options = EndpointOptions(
        listen=Listen("127.0.0.1", 0, Transport(row.transport.upper())),
        sip=SipOptions(symmetric=row.loss > 0, dialogs=DialogPolicy(min_se=30)),
        leg=LegOptions(caller_retries_audio=False, called_switch_after=row.switch_after),
    )
    async with AsyncExitStack() as stack:
        side = await stack.enter_async_context(open_vfax(options))
        if row.sipp_is_called:
            return await _call_sipp(row, side, sipp, folder)
        target = side.address
        if row.loss and not row.by_sipp:
            target = (await stack.enter_async_context(bad_road(target, loss=row.loss, seed=seed))).address
        async with trio.open_nursery() as nursery:
            nursery.start_soon(partial(take_calls, side, folder, row.hang_up_after, outcomes, answer=not row.rings_on))
            lost = ["-lost", f"{row.loss * 100:.0f}"] if row.by_sipp else []
            more = (*PATIENCE, *lost) if row.loss else ()
            run = partial(run_sipp, calls=row.calls, mode=MODES[row.transport], more=more)
            if row.loss:
                run = partial(run, seconds=BAD_ROAD_SECONDS)
            report = await trio.to_thread.run_sync(run, sipp, row.scenario, folder, target)
            with trio.move_on_after(2.0):
                while row.says and len(outcomes) < row.calls:  # noqa: ASYNC110  # they are known a moment later
                    await trio.sleep(0.05)
            nursery.cancel_scope.cancel()
        return report


async def take_calls(
    side: VfaxSide, folder: Path, hang_up_after: float | None, outcomes: list[Outcome], *, answer: bool = True
) -> None:
    """Let every call ring, and answer it, each into a file of its own."""
    async with trio.open_nursery() as nursery:
        number = 0
        while True:
            incoming = await side.next_call()
            number += 1
            if answer:
                nursery.start_soon(_take, incoming, folder / f"{number}.tif", hang_up_after, outcomes)


async def _take(incoming: call.InboundCall, target: Path, hang_up_after: float | None, outcomes: list[Outcome]) -> None:
    async with trio.open_nursery() as nursery:
        if hang_up_after is not None:
            nursery.start_soon(_abort_after, incoming, hang_up_after)
        target.touch()  # noqa: ASYNC240
        outcomes.append(await incoming.receive(target, local_id=OUR_ID, publish=lambda event: None))
        nursery.cancel_scope.cancel()


async def _abort_after(one: call.InboundCall | call.OutboundCall, seconds: float) -> None:
    await trio.sleep(seconds)
    one.abort()


async def _call_sipp(row: Row, side: VfaxSide, sipp: str, folder: Path) -> SippReport:
    document = write_fax(folder / "sent.tif", draw_pages(1, lines=1))
    with Sipp(sipp, row.scenario, folder, calls=row.calls, at_once=row.calls, mode=MODES[row.transport]) as run:
        await trio.to_thread.run_sync(run.wait_until_listening)
        by = "" if row.transport == "udp" else f";transport={row.transport}"
        async with trio.open_nursery() as nursery:
            for _ in range(row.calls):
                nursery.start_soon(_send, side, document, f"sip:fax@127.0.0.1:{run.port}{by}", row.hang_up_after)
        return await trio.to_thread.run_sync(run.report)


async def _send(side: VfaxSide, document: Path, uri: str, hang_up_after: float | None) -> None:
    outgoing = side.endpoint.outbound()
    request = call.SendRequest(document=document, destination=uri, local_id=OUR_ID, caller_name="vfax")
    async with trio.open_nursery() as nursery:
        if hang_up_after is not None:
            nursery.start_soon(_abort_after, outgoing, hang_up_after)
        await outgoing.send(request, publish=lambda event: None)
        nursery.cancel_scope.cancel()


def aborted(errors: str) -> list[str]:
    """What sipp says of the calls that it gave up, with the start line of what it did not expect."""
    said = re.findall(r"Aborting call[^']*'[^']*'[^\n]*|receive timeout[^\n]*", errors)
    return [line[:300] for line in said]


def chosen(words: Sequence[str]) -> list[Row]:
    """The rows whose description has all of the words."""
    return [row for row in all_rows() if all(word in str(row) for word in words)]


def main() -> int:
    """Run what the command line asks for."""
    parser = argparse.ArgumentParser(description="signalling with sipp, on good roads and bad ones")
    parser.add_argument("--only", nargs="*", default=[], help="words that a row must have, e.g. lost udp")
    parser.add_argument("--seed", type=int, default=1, help="of the dice that lose datagrams")
    parser.add_argument("--list", action="store_true", help="name the rows and stop")
    options = parser.parse_args()
    rows = chosen(options.only)
    if not rows:
        parser.error(f"nothing has all of the words {options.only}")
    sipp, lost = find_program("sipp", "sip-tester"), 0
    for row in rows:
        if options.list:
            print(row)
            continue
        with tempfile.TemporaryDirectory(prefix="vfax-sipp-") as folder:
            report = trio.run(play_row, row, sipp, Path(folder), options.seed)
        bad = row.calls - report.good
        lost += bad
        print(f"{report.good:>4} of {row.calls:<4}{'LOST' if bad else 'ok':<6}{row}, seed {options.seed}", flush=True)
        if bad:
            print("\n".join(aborted(report.errors)), flush=True)
    print(f"{lost} calls lost")
    return 1 if lost else 0


if __name__ == "__main__":
    sys.exit(main())
