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
from tests.interop.kamailio import Account, Kamailio, Plan, open_kamailio
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


# --- registered ------------------------------------------------------------------------------------


ACCOUNT: Final = Account()


def settings(world: World, transport: str) -> dict[str, Any]:
    """What a user behind a NAT writes for a provider with user name and password; intervals for a test."""
    return {
        "sip": {
            "listen": f"{world.inside}:5060",
            "listen_also": [f"tcp:{world.inside}:5060"],
            "allow": (),
            "keep_alive_interval": FORGETS * 0.6,
            "ping_interval": 3.0,
        },
        "journal": {"enabled": False},
        "learning": {"enabled": False},
        "trunk": [
            {
                "name": "provider",
                "gateways": [world.outside],
                "transport": transport,
                "registers": True,
                "user": ACCOUNT.user,
                "password": ACCOUNT.password,
                "options_interval": 5.0,
            }
        ],
    }


@asynccontextmanager
async def registered(
    world: World, folder: Path, transport: str
) -> AsyncIterator[tuple[Any, Any, Kamailio, dict[str, Any]]]:
    """vfax behind the NAT, registered with a Kamailio that wants digest; a fax peer outside that calls through it."""
    challenge = frozenset({"REGISTER"})
    plan = Plan(accounts=(ACCOUNT,), challenge=challenge, behind_nat=True, host=world.outside)
    async with (
        open_kamailio(plan, folder / "kamailio", prefix=world.prefix_out, port=5060) as kamailio,
        world.side(inside=False, peer="spandsp", host=world.farther) as outside,
        world.side(inside=True, settings=settings(world, transport)) as inside,
    ):
        row = await until_registered(inside, world.public)
        yield inside, outside, kamailio, row
        assert kamailio.complaints() == []


async def until_registered(side: Any, host: str) -> dict[str, Any]:
    """Until the trunk is registered, and is told that we are at `host`."""
    row: dict[str, Any] = {}
    with trio.move_on_after(30):
        while True:
            row = await side.say("trunk")
            if row["registration"]["standing"] == "registered" and row["public_address"].startswith(f"{host}:"):
                return row
            await trio.sleep(0.2)
    raise AssertionError(row)


def bindings(kamailio: Kamailio) -> list[str]:
    """The Contacts that REGISTERs had which Kamailio has taken."""
    return [line.partition("registers ")[2] for line in kamailio.seen("registers ")]


async def in_by_registration(world: World, folder: Path, transport: str) -> None:
    """The row a user has: the INVITE comes by the way that the registration keeps open, T.38 by what was learned."""
    async with registered(world, folder, transport) as (inside, outside, kamailio, row):
        await trio.sleep(LONG)
        whole = f"<sip:{ACCOUNT.user}@{row['public_address']}{tail(transport)}>;expires=3600"
        assert bindings(kamailio) == [f"{whole} and <null>"]
        sent, got = await fax(outside, inside, f"sip:{ACCOUNT.user}@{world.outside}", folder)
        well(sent, got)
        assert got["source"] == f"{world.outside}:5060", got
        if transport == "tcp":
            assert len(world.connections(5060)) == 1, world.connections(5060)


async def in_after_a_move(world: World, folder: Path, transport: str) -> None:
    """The box dials in anew: nothing of what it knew holds any more. The next answer shows it, and vfax registers."""
    async with registered(world, folder, transport) as (inside, outside, kamailio, _):
        await trio.sleep(FORGETS)
        before = len(bindings(kamailio))
        world.move(41_000)
        row = await until_registered(inside, world.later)
        with trio.fail_after(30):
            while len(bindings(kamailio)) == before:  # noqa: ASYNC110 - another process has no event
                await trio.sleep(0.2)
        await trio.sleep(FORGETS)
        newest = bindings(kamailio)[-1]
        assert f"@{world.later}:" in newest.partition(" and ")[0], newest
        assert len(bindings(kamailio)) - before <= 3, bindings(kamailio)
        print(f"        {row['public_address']} instead of {world.public}; registered: {newest}", flush=True)
        sent, got = await fax(outside, inside, f"sip:{ACCOUNT.user}@{world.outside}", folder)
        well(sent, got)
        assert got["source"] == f"{world.outside}:5060", got


def tail(transport: str) -> str:
    """What follows the port in a Contact."""
    return ";transport=tcp" if transport == "tcp" else ""


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
    Case("in by registration, UDP", partial(in_by_registration, transport="udp"), random=False, alone=True),
    Case("in by registration, TCP", partial(in_by_registration, transport="tcp"), random=False, alone=True),
    Case("in after the NAT has moved, UDP", partial(in_after_a_move, transport="udp"), random=False, alone=True),
    Case("in after the NAT has moved, TCP", partial(in_after_a_move, transport="tcp"), random=False, alone=True),
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
    cases = [case for case in CASES if all(word in case.name for word in options.only)]
    if not cases:
        parser.error(f"nothing has all of the words {options.only}")
    no_namespaces = "asked for" if options.relay else why_no_namespaces()
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
