"""Faxes through a real NAT, in real time: `script/interop nat` (some minutes).

    python -m tests.interop.all_nat [--only WORD ...] [--relay] [--list]

vfax lives behind an iptables MASQUERADE between network namespaces; where the machine does not allow those, or with
--relay, a relay that rewrites addresses takes its place, and the line of each case says so. Two cases are controls.
"""

import argparse
import sys
import tempfile
import time
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any, Final

import trio

from tests.interop import documents
from tests.interop.nat_world import FORGETS, World, namespaces, relay, why_no_namespaces

KEPT: Final[dict[str, Any]] = {"interval": FORGETS * 0.6}
LONG: Final = 4 * FORGETS
"""Seconds of silence, in which the box forgets for certain."""


@dataclass(frozen=True)
class Case:
    """`random`: another port for each flow. `alone`: only with namespaces."""

    name: str
    play: Callable[[World, Path], Awaitable[None]]
    random: bool = True
    alone: bool = False


def well(*answers: dict[str, Any]) -> None:
    """Both sides say so."""
    assert all(answer["ok"] for answer in answers), answers


async def fax(sender: Any, receiver: Any, uri: str, folder: Path) -> tuple[dict[str, Any], dict[str, Any]]:
    """What both sides say of one fax."""
    pages = documents.draw_pages(1, lines=6)
    document = documents.write_fax(folder / "sent.tif", pages)
    answers: dict[str, dict[str, Any]] = {}

    async def say(name: str, side: Any, *command: str) -> None:
        answers[name] = await side.say(*command)

    async with trio.open_nursery() as nursery:
        nursery.start_soon(say, "got", receiver, "take", str(folder / "received.tif"))
        nursery.start_soon(say, "sent", sender, "send", uri, str(document))
    if answers["got"]["ok"]:
        documents.assert_same_pages(folder / "received.tif", pages)
    return answers["sent"], answers["got"]


# --- cases ---------------------------------------------------------------------------------------


async def out_unlearned(world: World, folder: Path) -> None:
    """The first call: what we say of ourselves is private, and arrives so (no helper of the kernel rewrites SIP)."""
    async with (
        world.side(inside=False, symmetric=True) as outside,
        world.side(inside=True, **KEPT) as inside,
    ):
        sent, got = await fax(inside, outside, f"sip:1@{world.outside}", folder)
        well(sent, got)
        assert got["sdp_host"] == world.inside, got
        assert got["source"].startswith(f"{world.public}:"), got


async def out_learned(world: World, folder: Path) -> None:
    """After an OPTIONS: SDP names the public address."""
    async with (
        world.side(inside=False, symmetric=True) as outside,
        world.side(inside=True, **KEPT) as inside,
    ):
        asked = await inside.say("options", f"sip:{world.outside}")
        assert asked["answered"], asked
        assert asked["seen"].startswith(f"{world.public}:"), asked
        sent, got = await fax(inside, outside, f"sip:1@{world.outside}", folder)
        well(sent, got)
        assert got["sdp_host"] == world.public, got


async def out_to_libspandsp(world: World, folder: Path) -> None:
    """To a peer that knows nothing of NAT and believes our SDP and Contact: the settings name the public address."""
    async with (
        world.side(inside=False, peer="spandsp") as outside,
        world.side(inside=True, public=world.public, keep_alive="crlf", **KEPT) as inside,
    ):
        sent, got = await fax(inside, outside, f"sip:1@{world.outside}", folder)
        well(sent, got)


async def out_by_stun(world: World, folder: Path) -> None:
    """The same without an OPTIONS before: a STUN server (coturn) tells the addresses of both sockets."""
    turn = [*world.prefix_out, "turnserver", "-n", "-S", "-L", world.outside, "--no-cli", "--no-tls", "--no-dtls"]
    turn += ["--log-file", "stdout", "--simple-log", "--pidfile", str(folder / "turn.pid")]
    async with trio.open_nursery() as nursery:
        nursery.start_soon(partial(trio.run_process, turn, capture_stdout=True, capture_stderr=True, check=False))
        async with (
            world.side(inside=False, peer="spandsp") as outside,
            world.side(inside=True, stun=world.outside, **KEPT) as inside,
        ):
            wanted = f"sees our SIP socket {world.inside}:5060 as {world.public}:5060"
            with trio.fail_after(45):
                while not any(  # noqa: ASYNC110 - another process has no event
                    wanted in notice for notice in (await inside.say("notices"))["notices"]
                ):
                    await trio.sleep(0.2)
            sent, got = await fax(inside, outside, f"sip:1@{world.outside}", folder)
            well(sent, got)
        nursery.cancel_scope.cancel()


@asynccontextmanager
async def after_silence(world: World, *, keep: bool) -> AsyncIterator[tuple[Any, Any, str]]:
    """Both sides, and the public address of the inner one, long after it has said anything by itself."""
    async with (
        world.side(inside=False, symmetric=True) as outside,
        world.side(inside=True, **KEPT) as inside,
    ):
        asked = await inside.say("options", f"sip:{world.outside}")
        if keep:
            await inside.say("keep", f"sip:{world.outside}")
        await trio.sleep(LONG)
        yield inside, outside, asked["seen"]


async def in_kept_open(world: World, folder: Path) -> None:
    """A fax comes in by the way that keep-alives have kept open."""
    async with after_silence(world, keep=True) as (inside, outside, seen):
        sent, got = await fax(outside, inside, f"sip:1@{seen}", folder)
        well(sent, got)


async def in_forgotten(world: World, folder: Path) -> None:
    """The control: without them the box has forgotten the way, and the call does not arrive."""
    async with after_silence(world, keep=False) as (_, outside, seen):
        document = documents.write_fax(folder / "sent.tif", documents.draw_pages(1))
        sent = await outside.say("send", f"sip:1@{seen}", str(document))
        assert not sent["ok"], sent
        assert sent["cause"] == "no-answer" or "answer" in sent["sentence"], sent


async def out_to_the_deaf(world: World, folder: Path) -> None:
    """The control: to a vfax that does not expect a NAT nothing arrives from a port that its SDP does not name."""
    async with (
        world.side(inside=False, symmetric=False) as outside,
        world.side(inside=True, **KEPT) as inside,
    ):
        sent, got = await fax(inside, outside, f"sip:1@{world.outside}", folder)
        assert not sent["ok"], sent
        assert not got["ok"], got


CASES: Final = (
    Case("out, nothing learned yet, random ports", out_unlearned),
    Case("out, learned by OPTIONS, random ports", out_learned),
    Case("out to libspandsp, by public_address", out_to_libspandsp, random=False, alone=True),
    Case("out to libspandsp, by STUN", out_by_stun, random=False, alone=True),
    Case("in by a way kept open", in_kept_open),
    Case("in by a way forgotten (control)", in_forgotten),
    Case("out to a side that expects no NAT (control)", out_to_the_deaf),
)


async def play(case: Case, *, by_relay: bool, folder: Path) -> str:
    """What stood between the sides."""
    async with relay() if by_relay else namespaces(random=case.random) as world:
        with trio.fail_after(300):
            await case.play(world, folder)
        return world.ways


def leaves(error: BaseException) -> list[BaseException]:
    """What went wrong, out of its groups."""
    if isinstance(error, BaseExceptionGroup):
        return [leaf for one in error.exceptions for leaf in leaves(one)]
    return [error]


def main() -> int:
    """Run what the command line asks for."""
    parser = argparse.ArgumentParser(description="faxes through a real NAT")
    parser.add_argument("--only", nargs="*", default=[], help="words that a case must have in its name")
    parser.add_argument("--relay", action="store_true", help="use the relay even where namespaces are allowed")
    parser.add_argument("--list", action="store_true", help="name the cases and stop")
    options = parser.parse_args()
    no_namespaces = "asked for" if options.relay else why_no_namespaces()
    cases = [case for case in CASES if all(word in case.name for word in options.only)]
    failed = skipped = 0
    for case in cases:
        if options.list:
            print(case.name)
            continue
        if no_namespaces and case.alone:
            skipped += 1
            print(f"left out  {case.name}: it needs network namespaces ({no_namespaces})", flush=True)
            continue
        began, wrong, ways = time.perf_counter(), "", "a relay" if no_namespaces else "namespaces"
        with tempfile.TemporaryDirectory(prefix="vfax-nat-") as folder:
            try:
                ways = trio.run(lambda: play(case, by_relay=bool(no_namespaces), folder=Path(folder)))  # noqa: B023
            except BaseException as why:
                if any(isinstance(one, KeyboardInterrupt) for one in leaves(why)):
                    raise
                wrong = "\n".join(f"    {type(one).__name__}: {one}" for one in leaves(why))
        failed += bool(wrong)
        print(f"{'FAILED' if wrong else 'ok':<8}{time.perf_counter() - began:6.1f} s  {case.name}: {ways}", flush=True)
        if wrong:
            print(wrong, flush=True)
    if not options.list:
        print(f"{len(cases) - failed - skipped} cases went well, {failed} failed, {skipped} were left out")
    return 1 if failed else 0


if __name__ == "__main__":
    sys.exit(main())
