"""Faxes between vfax and libspandsp by way of Kamailio, all of them: `script/interop kamailio`.

    python -m tests.interop.all_kamailio [--only WORD ...] [--at-once N] [--list]

Real time, for Kamailio knows no other; so several run at once. Prints one line a fax and what went wrong in full; exit
status 1 when one fails. The last lines are the load balancer's: two nodes, a third that was never there, and one of the
two that goes away between faxes.
"""

import argparse
import sys
import tempfile
from functools import partial
from pathlib import Path

import trio

from tests.interop.passages import Balance, Passage, all_passages, judge_passage, play_passage


class Tally:
    """What was tried, and what failed."""

    def __init__(self) -> None:
        self.tried = self.failed = 0

    def count(self, name: str, wrong: str) -> None:
        """One more."""
        self.tried += 1
        self.failed += bool(wrong)
        print(f"{self.tried:>4} {'FAILED' if wrong else 'ok':<7}{name}", flush=True)
        if wrong:
            print(wrong, flush=True)


async def try_passage(passage: Passage, folder: Path, tally: Tally, limiter: trio.CapacityLimiter) -> None:
    """One fax."""
    async with limiter:
        try:
            passed = await play_passage(passage, folder)
            judge_passage(passage, passed)
        except Exception as why:
            tally.count(str(passage), _told(why))
        else:
            tally.count(str(passage), "")


async def try_balance(folder: Path, tally: Tally, limiter: trio.CapacityLimiter) -> None:
    """Faxes to two nodes, then to one of them."""
    async with limiter:
        balance = Balance(folder)
        try:
            await balance.run(4)
            balance.judge(4)
        except Exception as why:
            tally.count("balancer, a dead node among three", _told(why))
        else:
            tally.count("balancer, a dead node among three", "")
        lost = Balance(folder / "lost")
        try:
            await lost.lose_a_node(4)
            assert len(list(lost.arrived())) == 4, lost.results
        except Exception as why:
            tally.count("balancer, one node goes away", _told(why))
        else:
            tally.count("balancer, one node goes away", "")


def _told(why: BaseException) -> str:
    if isinstance(why, BaseExceptionGroup):
        return "\n".join(map(_told, why.exceptions))
    return "\n".join([f"{type(why).__name__}: {why}", *getattr(why, "__notes__", [])])


async def try_all(passages: list[Passage], at_once: int, tally: Tally, *, balance: bool) -> None:
    """All of them, so many at a time."""
    limiter = trio.CapacityLimiter(at_once)
    with tempfile.TemporaryDirectory(prefix="vfax-kamailio-") as folder:
        async with trio.open_nursery() as nursery:
            for number, passage in enumerate(passages):
                nursery.start_soon(try_passage, passage, Path(folder) / str(number), tally, limiter)
            if balance:
                nursery.start_soon(try_balance, Path(folder), tally, limiter)


def main() -> int:
    """Run what the command line asks for."""
    parser = argparse.ArgumentParser(description="faxes by way of Kamailio")
    parser.add_argument("--only", nargs="*", default=[], help="words that a fax must have, e.g. tls sha-256")
    parser.add_argument("--at-once", type=int, default=6)
    parser.add_argument("--list", action="store_true", help="name the faxes and stop")
    options = parser.parse_args()
    passages = [passage for passage in all_passages() if all(word in str(passage).split() for word in options.only)]
    if not passages:
        parser.error(f"nothing has all of the words {options.only}")
    if options.list:
        print("\n".join(map(str, passages)))
        return 0
    tally = Tally()
    trio.run(partial(try_all, passages, options.at_once, tally, balance=not options.only))
    print(f"{tally.tried - tally.failed} went well, {tally.failed} failed")
    return 1 if tally.failed else 0


if __name__ == "__main__":
    sys.exit(main())
