"""One side of a call through a real NAT, as a process of its own: `python -m tests.interop.nat_side WISH`.

Owns      an endpoint of vfax, or a libspandsp peer, that does what the lines of its standard input say, one at a time,
          and answers each with one line of JSON.
Not here  the network between the sides (nat_world.py), who says what when (all_nat.py).

WISH is JSON: host, peer ("vfax" or "spandsp"), and for vfax symmetric, keep_alive, interval, public, stun,
relay; or settings, as they stand in a file.
"""

import json
import os
import sys
from collections.abc import Awaitable, Callable
from contextlib import suppress
from pathlib import Path
from typing import Any

import trio

from tests.interop.nat_relay import use_relay
from tests.interop.peer import SpandspPeer
from vfax import call
from vfax.calls import IncomingFax
from vfax.endpoint import Endpoint, EndpointOptions
from vfax.leg import LegOptions
from vfax.nat import NatOptions
from vfax.outcome import Outcome
from vfax.settings import Settings
from vfax.settings.wiring import endpoint_options
from vfax.sockets import Listen
from vfax.transports.sip import values as sip
from vfax.transports.sip.headers import Uri
from vfax.transports.sip.hops import hop_of
from vfax.transports.sip.keepalive import KeepAliveMode, KeepAliveOptions
from vfax.transports.sip.options import SipOptions
from vfax.transports.sip.outside import Asking
from vfax.transports.sip.values import Hop
from vfax.transports.udp import format_address

Answer = dict[str, Any]
PATIENCE = 150.0


class VfaxSide:
    """An endpoint of vfax."""

    def __init__(self, wish: dict[str, Any]) -> None:
        self._endpoint = Endpoint(self._options(wish))
        self._calls_in, self._calls = trio.open_memory_channel[call.InboundCall](8)
        self._reports_in, self._reports = trio.open_memory_channel[sip.Report](100)
        self._endpoint.watch_ways = self._note

    @staticmethod
    def _options(wish: dict[str, Any]) -> EndpointOptions:
        if "settings" in wish:
            return endpoint_options(Settings.model_validate(wish["settings"]))
        stun = wish.get("stun")
        return EndpointOptions(
            listen=Listen(wish["host"], 5060),
            allow=("0.0.0.0/0",),
            public_address=wish.get("public"),
            sip=SipOptions(symmetric=wish.get("symmetric", False)),
            leg=LegOptions(learn_source=wish.get("symmetric", False), answer_limit=12.0),
            nat=NatOptions(
                keep_alive=KeepAliveOptions(
                    mode=KeepAliveMode(wish.get("keep_alive", "auto")), interval=wish.get("interval", 25.0)
                ),
                stun_server=(stun, 3478) if stun else None,
            ),
        )

    def _note(self, report: sip.Report) -> None:
        with suppress(trio.WouldBlock):
            self._reports_in.send_nowait(report)

    async def run(self, task_status: trio.TaskStatus[None] = trio.TASK_STATUS_IGNORED) -> None:
        """Serve until cancelled."""
        await self._endpoint.run(self._calls_in.send_nowait, task_status=task_status)

    async def options(self, uri: str) -> Answer:
        """Ask whether somebody is there; how it sees us."""
        seen = ""
        asking = Asking(method="OPTIONS", uri=uri, targets=[_hop(uri)])
        self._endpoint.agent.request(asking, trio.current_time())
        self._endpoint.pump()
        with trio.move_on_after(5):
            while True:
                report = await self._reports.receive()
                if isinstance(report, sip.Reflected):
                    seen = format_address(report.shown)
                elif isinstance(report, sip.TargetAnswered):
                    with trio.move_on_after(0.2):  # what it sees of us comes with the same answer
                        while not seen:
                            follows = await self._reports.receive()
                            seen = format_address(follows.shown) if isinstance(follows, sip.Reflected) else seen
                    return {"answered": True, "seen": seen}
        return {"answered": False, "seen": seen}

    async def keep(self, uri: str) -> Answer:
        """Keep the way to somebody open."""
        self._endpoint.keep_open("test", [_hop(uri)])
        return {}

    async def trunk(self) -> Answer:
        """How the first trunk fares."""
        return dict(self._endpoint.trunk_rows()[0])

    async def notices(self) -> Answer:
        """What the endpoint has found out."""
        return {"notices": list(self._endpoint.notices)}

    async def send(self, uri: str, document: str) -> Answer:
        """Call and send."""
        request = call.SendRequest(document=Path(document), destination=uri, local_id="1", caller_name="")
        return _told(await self._endpoint.outbound().send(request, publish=lambda event: None))

    async def take(self, target: str) -> Answer:
        """Take the next call."""
        arrived = await self._calls.receive()
        assert isinstance(arrived, IncomingFax)
        await trio.Path(target).touch()
        outcome = await arrived.receive(Path(target), local_id="2", publish=lambda event: None)
        event = arrived._event
        lines = event.offer.decode("ascii", "replace").splitlines()
        named = next((line.removeprefix("c=IN IP4 ") for line in lines if line.startswith("c=")), "")
        return _told(outcome) | {"sdp_host": named, "source": format_address(event.source)}


class SpandspSide:
    """A peer made of libspandsp, with nothing of vfax in it; it knows nothing of NAT."""

    def __init__(self, wish: dict[str, Any]) -> None:
        self._host = wish["host"]
        self._peer: SpandspPeer | None = None

    async def run(self, task_status: trio.TaskStatus[None] = trio.TASK_STATUS_IGNORED) -> None:
        """Serve until cancelled."""
        async with trio.open_nursery() as nursery:
            self._peer = SpandspPeer(self._host, 5060, nursery, keep=False)
            task_status.started()
            await self._peer.run()

    async def take(self, target: str) -> Answer:
        """Take the next call."""
        assert self._peer is not None
        result = await self._peer.listen(Path(target))
        return {"ok": result.ok, "sentence": f"{result.verdict}; {result.complaints}"}

    async def send(self, uri: str, document: str) -> Answer:
        """Call and send."""
        assert self._peer is not None
        result = await self._peer.call(uri, Path(document))
        return {"ok": result.ok, "sentence": f"{result.status} {result.verdict}; {result.complaints}"}


def _hop(uri: str) -> Hop:
    hop = hop_of(Uri.parse(uri))
    assert hop is not None
    return hop


def _told(outcome: Outcome) -> Answer:
    return {"ok": outcome.ok, "cause": outcome.cause.value, "sentence": outcome.sentence}


async def obey(side: VfaxSide | SpandspSide) -> None:
    """Carry out line by line; an empty one or the end of the input ends it."""
    async with trio.open_nursery() as nursery:
        await nursery.start(side.run)
        print(json.dumps({"ready": True}), flush=True)
        stream, rest = trio.lowlevel.FdStream(os.dup(0)), b""
        async for chunk in stream:
            *lines, rest = (rest + chunk).split(b"\n")
            for line in lines:
                name, *arguments = json.loads(line)
                work: Callable[..., Awaitable[Answer]] = getattr(side, name)
                answer: Answer = {"ok": False, "sentence": f"{name} was not over within {PATIENCE:g} s"}
                with trio.move_on_after(PATIENCE):
                    answer = await work(*arguments)
                print(json.dumps(answer), flush=True)
        nursery.cancel_scope.cancel()


if __name__ == "__main__":
    wish = json.loads(sys.argv[1])
    if relay := wish.get("relay"):
        use_relay((relay[0], relay[1]))
    trio.run(obey, VfaxSide(wish) if wish["peer"] == "vfax" else SpandspSide(wish))
