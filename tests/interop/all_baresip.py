"""Calls with baresip, a telephone without T.38: `script/interop baresip` (four minutes).

    python -m tests.interop.all_baresip [--only WORD ...] [--list]

It is caller and called, over UDP, TCP and TLS. Each call is set up with audio (PCMU), both sides hear the other's;
then it is hung up by either side, or vfax offers T.38, which baresip declines: the fax ends with a sentence about that.
"""

import argparse
import json
import sys
import tempfile
import time
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Final

import trio

from tests.certs import Authority, Credentials
from tests.interop.baresip import HOST, Baresip, open_baresip
from tests.interop.documents import draw_pages, write_fax
from tests.interop.side import OUR_ID, VfaxSide, open_vfax
from vfax import call
from vfax.endpoint import EndpointOptions
from vfax.leg_values import CallerOffer, LegOptions
from vfax.outcome import Cause, Outcome
from vfax.sockets import Listen
from vfax.transports.certificates import TlsOptions
from vfax.transports.sip.values import Transport

PCMU: Final = 64_000
SWITCH_AFTER: Final = 9.0
PACKETS: Final = 40  # of 50 a second
TALK: Final = 6.5
"""Seconds of a call that somebody hangs up before T.38 is offered; baresip counts its audio every 3 s."""
ENOUGH: Final = 0.8
"""The share of a codec's rate that a status line has to show: it may fall into the beginning."""


@dataclass(frozen=True, slots=True)
class Table:
    """Both sides of a row."""

    vfax: VfaxSide
    bare: Baresip
    transport: str
    folder: Path

    @property
    def our_uri(self) -> str:
        """Where vfax is called."""
        host, port = self.vfax.address
        return f"sip:fax@{host}:{port}" + ("" if self.transport == "udp" else f";transport={self.transport}")


async def calling(table: Table, during: Callable[[call.OutboundCall], Awaitable[None]]) -> Outcome:
    """vfax calls."""
    document = await trio.to_thread.run_sync(write_fax, table.folder / "sent.tif", draw_pages(1, lines=1))
    outgoing = table.vfax.endpoint.outbound()
    request = call.SendRequest(
        document=document, destination=table.bare.uri(table.transport), local_id=OUR_ID, caller_name=""
    )
    async with trio.open_nursery() as nursery:
        nursery.start_soon(during, outgoing)
        return await outgoing.send(request, publish=lambda event: None)


async def called(table: Table, during: Callable[[call.InboundCall], Awaitable[None]]) -> Outcome:
    """baresip calls."""
    await table.bare.order("dial", table.our_uri)
    incoming = await table.vfax.next_call()
    target = table.folder / "received.tif"
    await trio.to_thread.run_sync(target.touch)
    async with trio.open_nursery() as nursery:
        nursery.start_soon(during, incoming)
        return await incoming.receive(target, local_id=OUR_ID, publish=lambda event: None)


# --- rows ----------------------------------------------------------------------------------------


async def to_the_end(table: Table, one: call.OutboundCall | call.InboundCall) -> None:
    """Let the call go on until vfax ends it."""
    del one
    await table.bare.wait_for("CALL_ESTABLISHED")
    await table.bare.wait_for("CALL_CLOSED", 60.0)


async def never_up(table: Table, one: call.OutboundCall | call.InboundCall) -> None:
    """The call does not come about: the first answer is 488."""
    del one
    await table.bare.wait_for("CALL_CLOSED")


async def they_hang_up(table: Table, one: call.OutboundCall | call.InboundCall) -> None:
    """baresip ends the call."""
    del one
    await table.bare.wait_for("CALL_ESTABLISHED")
    await trio.sleep(TALK)
    await table.bare.order("hangup")


async def we_hang_up(table: Table, one: call.OutboundCall | call.InboundCall) -> None:
    """vfax ends the call."""
    await table.bare.wait_for("CALL_ESTABLISHED")
    await trio.sleep(TALK)
    one.abort()
    await table.bare.wait_for("CALL_CLOSED")


@dataclass(frozen=True, slots=True)
class Row:
    """Who calls and how it ends: its cause, and words of the sentence."""

    name: str
    talk: Callable[..., Awaitable[Outcome]]
    during: Callable[..., Awaitable[None]]
    cause: Cause
    words: str
    offer: CallerOffer = CallerOffer.AUDIO


ROWS: Final = (
    Row("vfax calls, T.38 is declined", calling, to_the_end, Cause.T38_REFUSED, "refused to switch to fax over IP"),
    Row("vfax calls, baresip hangs up", calling, they_hang_up, Cause.PEER_HUNG_UP, "hung up"),
    Row("vfax calls, vfax hangs up", calling, we_hang_up, Cause.ABORTED, "aborted"),
    Row("vfax calls with T.38 alone", calling, never_up, Cause.T38_REFUSED, "T.38", CallerOffer.T38),
    Row("baresip calls, T.38 is declined", called, to_the_end, Cause.T38_REFUSED, "fax over IP"),
    Row("baresip calls, baresip hangs up", called, they_hang_up, Cause.PEER_HUNG_UP, "hung up"),
    Row("baresip calls, vfax hangs up", called, we_hang_up, Cause.ABORTED, "aborted"),
)
TRANSPORTS: Final = ("udp", "tcp", "tls")


@asynccontextmanager
async def open_table(row: Row, transport: str, folder: Path, keys: Credentials) -> AsyncIterator[Table]:
    """Both sides, ready."""
    options = EndpointOptions(
        listen=Listen(HOST, 0, Transport(transport.upper())),
        journal=folder / "journal",
        tls=TlsOptions(certificate=keys.certificate, key=keys.key, authorities=keys.authority),
        leg=LegOptions(
            caller_offer=row.offer,
            caller_retries_audio=False,
            called_switch_after=SWITCH_AFTER,
            caller_switch_after=SWITCH_AFTER,
        ),
    )
    async with open_vfax(options) as side, open_baresip(folder / "baresip", keys) as bare:
        yield Table(side, bare, transport, folder)


async def play(row: Row, transport: str, folder: Path) -> str:
    """Play one row; what vfax says of the call."""
    keys = await trio.to_thread.run_sync(Authority.make(folder).credentials, "both")
    await trio.Path(folder / "journal").mkdir()
    async with open_table(row, transport, folder, keys) as table:
        with trio.fail_after(90):
            outcome = await row.talk(table, partial(row.during, table))
        assert outcome.cause is row.cause, outcome
        assert row.words in outcome.sentence, outcome.sentence
    log = table.bare.log()  # the whole of it: it is written when baresip ends
    assert f"SIP/2.0/{transport.upper()}" in log
    if row.offer is CallerOffer.AUDIO:
        sent, heard = table.bare.bit_rates()
        assert min(sent, heard) >= ENOUGH * PCMU, (sent, heard)
        assert packets_heard(folder / "journal") >= PACKETS * TALK
    return outcome.sentence


def packets_heard(journals: Path) -> int:
    """RTP packets that reached vfax before any T.38."""
    (journal,) = journals.glob("*.jsonl")
    lines = [json.loads(line) for line in journal.read_text("utf-8").splitlines()]
    return sum(line["early"] for line in lines if line["kind"] == "counters")


def leaves(error: BaseException) -> list[BaseException]:
    """What went wrong, out of its groups."""
    if isinstance(error, BaseExceptionGroup):
        return [leaf for one in error.exceptions for leaf in leaves(one)]
    return [error]


def main() -> int:
    """Run what the command line asks for."""
    parser = argparse.ArgumentParser(description="calls with baresip, a telephone without T.38")
    parser.add_argument("--only", nargs="*", default=[], help="words that a row must have, e.g. tls hangs")
    parser.add_argument("--list", action="store_true", help="name the rows and stop")
    options = parser.parse_args()
    named = {f"{row.name}, {transport}": (row, transport) for transport in TRANSPORTS for row in ROWS}
    chosen = {name: one for name, one in named.items() if all(word in name for word in options.only)}
    if not chosen:
        parser.error(f"nothing has all of the words {options.only}")
    failed = 0
    for name, (row, transport) in chosen.items():
        if options.list:
            print(name)
            continue
        began, wrong = time.perf_counter(), ""
        with tempfile.TemporaryDirectory(prefix="vfax-baresip-") as folder:
            try:
                said = trio.run(play, row, transport, Path(folder))
            except Exception as why:
                wrong = "\n".join(f"    {type(one).__name__}: {one}" for one in leaves(why))
        failed += bool(wrong)
        print(f"{'FAILED' if wrong else 'ok':<8}{time.perf_counter() - began:6.1f} s  {name}", flush=True)
        print(wrong or f"        {said}", flush=True)
    if not options.list:
        print(f"{len(chosen) - failed} of {len(chosen)} calls went well")
    return 1 if failed else 0


if __name__ == "__main__":
    sys.exit(main())
