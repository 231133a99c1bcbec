"""The network of two sides with a NAT between them: network namespaces with iptables, or a relay on loopback.

Owns      making and removing both, starting sides in them, talking to a side.
Not here  what a side does (nat_side.py), what is tried (all_nat.py).

No namespace has a way out of this machine: three of them are joined by two pairs of veth, and that is all there is.
"""

import json
import os
import subprocess
import sys
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress
from dataclasses import dataclass, field
from functools import partial
from typing import Any, Final

import trio

from tests.interop.nat_relay import Relay

FORGETS: Final = 6.0
"""Seconds after which the box forgets a way that says nothing."""
INSIDE, BOX_IN, BOX_OUT, OUTSIDE = "192.168.77.2", "192.168.77.1", "198.51.100.1", "198.51.100.2"
FARTHER, BOX_LATER = "198.51.100.3", "198.51.100.9"


@dataclass
class Side:
    """A running nat_side."""

    process: trio.Process
    _rest: bytes = b""

    async def say(self, *command: str) -> dict[str, Any]:
        """Have it do something; its answer."""
        assert self.process.stdin is not None
        await self.process.stdin.send_all(json.dumps(command).encode() + b"\n")
        return await self.hear()

    async def hear(self) -> dict[str, Any]:
        """Its next line."""
        assert self.process.stdout is not None
        while b"\n" not in self._rest:
            chunk = await self.process.stdout.receive_some()
            if not chunk:
                raise AssertionError(f"a side has ended with status {await self.process.wait()}")
            self._rest += chunk
        line, _, self._rest = self._rest.partition(b"\n")
        answer: dict[str, Any] = json.loads(line)
        return answer


@dataclass
class World:
    """Where sides live. `ways` says what stands between them, for people."""

    ways: str
    inside: str
    outside: str
    public: str
    prefix_in: list[str] = field(default_factory=list)
    prefix_out: list[str] = field(default_factory=list)
    more: dict[str, Any] = field(default_factory=dict)  # wishes of whoever is inside
    farther: str = ""  # another address outside
    later: str = ""  # where the inside is seen once the box has moved
    prefix_box: list[str] = field(default_factory=list)

    def move(self, sip_port: int) -> None:
        """The box forgets all ways and gets another address, as a router that dials in anew; SIP another port, too."""
        _run(*self.prefix_box, "iptables", "-t", "nat", "-F", "POSTROUTING")
        add = ("iptables", "-t", "nat", "-A", "POSTROUTING", "-o", "out")
        of_sip = ("-p", "udp", "--sport", "5060")
        _run(*self.prefix_box, *add, *of_sip, "-j", "SNAT", "--to-source", f"{self.later}:{sip_port}")
        _run(*self.prefix_box, *add, "-j", "SNAT", "--to-source", self.later)
        _run(*self.prefix_box, "ip", "address", "delete", f"{self.public}/24", "dev", "out")
        _run(*self.prefix_box, "ip", "address", "add", f"{self.later}/24", "dev", "out")
        _run(*self.prefix_box, "conntrack", "-F")

    def connections(self, port: int) -> list[str]:
        """Who is connected to a port outside."""
        found = _run(*self.prefix_out, "ss", "-Htn", "state", "established", f"sport = :{port}")
        return [line.split()[-1] for line in found.splitlines()]

    @asynccontextmanager
    async def side(self, *, inside: bool, peer: str = "vfax", **wish: Any) -> AsyncIterator[Side]:
        """A side while the block lasts; what of `wish` nat_side knows."""
        prefix = self.prefix_in if inside else self.prefix_out
        wish = {"host": self.inside if inside else self.outside, "peer": peer} | (self.more if inside else {}) | wish
        command = [*prefix, sys.executable, "-m", "tests.interop.nat_side", json.dumps(wish)]
        async with trio.open_nursery() as nursery:
            start = partial(trio.run_process, command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, check=False)
            side = Side(await nursery.start(start))
            assert (await side.hear()) == {"ready": True}
            yield side
            nursery.cancel_scope.cancel()


def _run(*command: str) -> str:
    return subprocess.run(command, check=True, capture_output=True, text=True).stdout


@asynccontextmanager
async def namespaces(*, random: bool) -> AsyncIterator[World]:
    """Three namespaces; the one in the middle masquerades. `random`: with another port for each flow."""
    name = f"vfax-nat-{os.getpid()}"
    inner, box, outer = f"{name}-in", f"{name}-box", f"{name}-out"
    try:
        for one in (inner, box, outer):
            _run("ip", "netns", "add", one)
            _run("ip", "-n", one, "link", "set", "lo", "up")
        for end, other, here, there in (("in", inner, INSIDE, BOX_IN), ("out", outer, OUTSIDE, BOX_OUT)):
            _run("ip", "-n", box, "link", "add", end, "type", "veth", "peer", "name", "eth0", "netns", other)
            for place, link, address in ((box, end, there), (other, "eth0", here)):
                _run("ip", "-n", place, "address", "add", f"{address}/24", "dev", link)
                _run("ip", "-n", place, "link", "set", link, "up")
        _run("ip", "-n", outer, "address", "add", f"{FARTHER}/24", "dev", "eth0")
        _run("ip", "-n", inner, "route", "add", "default", "via", BOX_IN)
        _masquerade(box, random=random)
        yield World(
            ways="iptables MASQUERADE" + (" --random" if random else "") + " between network namespaces",
            inside=INSIDE,
            outside=OUTSIDE,
            public=BOX_OUT,
            prefix_in=["ip", "netns", "exec", inner],
            prefix_out=["ip", "netns", "exec", outer],
            farther=FARTHER,
            later=BOX_LATER,
            prefix_box=["ip", "netns", "exec", box],
        )
    finally:
        for one in (inner, box, outer):
            _remove(one)


def _remove(name: str) -> None:
    subprocess.run(["ip", "netns", "delete", name], check=False, capture_output=True)


def _masquerade(box: str, *, random: bool) -> None:
    def within(*command: str) -> None:
        _run("ip", "netns", "exec", box, *command)

    within("sysctl", "-qw", "net.ipv4.ip_forward=1")
    rule = ("iptables", "-t", "nat", "-A", "POSTROUTING", "-o", "out", "-j", "MASQUERADE")
    within(*rule, *(["--random"] if random else []))
    # nobody comes in by a way that was not opened from inside, or by one that has been forgotten
    within("iptables", "-A", "FORWARD", "-i", "out", "-m", "conntrack", "--ctstate", "NEW", "-j", "DROP")
    for kind in ("udp_timeout", "udp_timeout_stream"):
        within("sysctl", "-qw", f"net.netfilter.nf_conntrack_{kind}={FORGETS:.0f}")


def why_no_namespaces() -> str:
    """Why namespaces cannot be used here; empty when they can."""
    name = f"vfax-nat-{os.getpid()}-try"
    try:
        _run("ip", "netns", "add", name)
        _run("ip", "netns", "exec", name, "iptables", "-t", "nat", "-A", "POSTROUTING", "-j", "MASQUERADE", "--random")
    except subprocess.CalledProcessError as why:
        return str(why.stderr).strip()
    except OSError as why:  # no such program: nothing was made
        return str(why)
    finally:
        with suppress(OSError):
            _remove(name)
    return ""


@asynccontextmanager
async def relay() -> AsyncIterator[World]:
    """Loopback, with a relay that rewrites addresses in the middle."""
    async with trio.open_nursery() as nursery:
        box = Relay("127.0.0.4", "127.0.0.3", FORGETS)
        await nursery.start(box.run)
        yield World(
            ways="a relay on loopback that rewrites addresses",
            inside="127.0.0.2",
            outside="127.0.0.5",
            public="127.0.0.3",
            more={"relay": box.address},
        )
        nursery.cancel_scope.cancel()
