"""A vfax endpoint in a process of its own that answers calls or refuses them, for loads: see rate.py.

    python -m tests.interop.answering FOLDER [--refuse] [--hang-up-after SECONDS]

Owns      the process. It prints its port, serves until its standard input ends, then prints one JSON object: calls
          taken, bugs of ours, what was dropped.
Not here  who calls.
"""

import argparse
import json
import sys
from dataclasses import asdict
from functools import partial
from itertools import count
from pathlib import Path

import trio

from tests.interop.side import OUR_ID
from vfax import call
from vfax.endpoint import Endpoint, EndpointOptions


class Answering:
    """Takes every call into a file that is removed again."""

    def __init__(self, folder: Path, *, refuse: bool, hang_up_after: float | None, nursery: trio.Nursery) -> None:
        self.taken = 0
        self._folder, self._refuse, self._hang_up_after = folder, refuse, hang_up_after
        self._nursery = nursery
        self._numbers = count()

    def on_call(self, incoming: call.InboundCall) -> None:
        """As of Network.run."""
        self.taken += 1
        if self._refuse:
            incoming.refuse(486)
        else:
            self._nursery.start_soon(self._take, incoming)

    async def _take(self, incoming: call.InboundCall) -> None:
        target = self._folder / f"{next(self._numbers)}.tif"
        target.touch()
        async with trio.open_nursery() as nursery:
            if self._hang_up_after is not None:
                nursery.start_soon(self._hang_up, incoming, self._hang_up_after)
            await incoming.receive(target, local_id=OUR_ID, publish=lambda event: None)
            nursery.cancel_scope.cancel()
        target.unlink(missing_ok=True)

    async def _hang_up(self, incoming: call.InboundCall, after: float) -> None:
        await trio.sleep(after)
        incoming.abort()


async def serve(folder: Path, *, refuse: bool, hang_up_after: float | None) -> None:
    """Serve until standard input ends."""
    endpoint = Endpoint(EndpointOptions(listen=("127.0.0.1", 0)))
    async with trio.open_nursery() as nursery:
        answering = Answering(folder, refuse=refuse, hang_up_after=hang_up_after, nursery=nursery)
        await nursery.start(endpoint.run, answering.on_call)
        print(endpoint.address[1], flush=True)
        await trio.to_thread.run_sync(sys.stdin.read)
        nursery.cancel_scope.cancel()
    print(json.dumps({"taken": answering.taken, **asdict(endpoint.counters)}))


def main() -> int:
    """Serve as the command line says."""
    parser = argparse.ArgumentParser(description="an endpoint that answers calls")
    parser.add_argument("folder", type=Path)
    parser.add_argument("--refuse", action="store_true")
    parser.add_argument("--hang-up-after", type=float)
    options = parser.parse_args()
    trio.run(partial(serve, options.folder, refuse=options.refuse, hang_up_after=options.hang_up_after))
    return 0


if __name__ == "__main__":
    sys.exit(main())
