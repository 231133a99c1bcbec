"""A vfax endpoint in a process of its own that answers calls or refuses them, for loads: see rate.py.

    python -m tests.interop.answering FOLDER [--refuse] [--hang-up-after SECONDS] [--transport udp|tcp]

Owns      the process. It prints its port, serves until its standard input ends, then prints one JSON object: calls
          taken, in how many milliseconds from the first to the last, the fewest within one second of these; bugs of
          ours, what was dropped.
Not here  who calls.
"""

import argparse
import json
import sys
import time
from collections import Counter
from dataclasses import asdict
from functools import partial
from itertools import count
from pathlib import Path

import trio

from tests.interop.side import OUR_ID
from vfax import call
from vfax.endpoint import Endpoint, EndpointOptions
from vfax.host.memory import settled
from vfax.sockets import Listen
from vfax.transports.sip.values import Transport


class Answering:
    """Takes every call into a file that is removed again."""

    def __init__(self, folder: Path, *, refuse: bool, hang_up_after: float | None, nursery: trio.Nursery) -> None:
        self.came: list[float] = []  # when each call rang
        self._pause = 0.0, 0.0  # the longest that nothing else could run, and how much of it was computing
        self._folder, self._refuse, self._hang_up_after = folder, refuse, hang_up_after
        self._nursery = nursery
        self._numbers = count()

    def on_call(self, incoming: call.InboundCall) -> None:
        """As of Network.run."""
        self.came.append(trio.current_time())
        if self._refuse:
            incoming.refuse(486)
        else:
            self._nursery.start_soon(self._take, incoming)

    def counted(self) -> dict[str, int]:
        """How many calls came, and how fast."""
        pause, computing = (round(seconds * 1000) for seconds in self._pause)
        pauses = {"longest_pause_ms": pause, "of_it_computing_ms": computing}
        if not self.came:
            return {"taken": 0, "within_ms": 0, "fewest_in_a_second": 0, **pauses}
        within = self.came[-1] - self.came[0]
        seconds = Counter(int(at - self.came[0]) for at in self.came)
        fewest = min((seconds[second] for second in range(int(within))), default=0)
        return {"taken": len(self.came), "within_ms": round(within * 1000), "fewest_in_a_second": fewest, **pauses}

    async def watch_pauses(self) -> None:
        """Look every 10 ms how late that is."""
        while True:
            wall, cpu = trio.current_time(), time.thread_time()
            await trio.sleep(0.01)
            self._pause = max(self._pause, (trio.current_time() - wall - 0.01, time.thread_time() - cpu))

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


async def serve(folder: Path, *, refuse: bool, hang_up_after: float | None, transport: Transport) -> None:
    """Serve until standard input ends."""
    endpoint = Endpoint(EndpointOptions(listen=Listen("127.0.0.1", 0, transport)))
    async with trio.open_nursery() as nursery:
        answering = Answering(folder, refuse=refuse, hang_up_after=hang_up_after, nursery=nursery)
        await nursery.start(endpoint.run, answering.on_call)
        nursery.start_soon(answering.watch_pauses)
        print(endpoint.address[1], flush=True)
        with settled():  # as `vfax serve`
            await trio.to_thread.run_sync(sys.stdin.read)
        nursery.cancel_scope.cancel()
    print(json.dumps({**answering.counted(), **asdict(endpoint.counters)}))


def main() -> int:
    """Serve as the command line says."""
    parser = argparse.ArgumentParser(description="an endpoint that answers calls")
    parser.add_argument("folder", type=Path)
    parser.add_argument("--refuse", action="store_true")
    parser.add_argument("--hang-up-after", type=float)
    parser.add_argument("--transport", choices=["udp", "tcp"], default="udp")
    given = parser.parse_args()
    transport = Transport(given.transport.upper())
    trio.run(partial(serve, given.folder, refuse=given.refuse, hang_up_after=given.hang_up_after, transport=transport))
    return 0


if __name__ == "__main__":
    sys.exit(main())
