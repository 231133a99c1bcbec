"""A NAT box in virtual time, and a simulated fax whose calling side lives behind it."""

import math
import random
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Final

from vfax.leg import LegOptions
from vfax.simulate import CALLED, CALLER, MEDIA_PORT, Node, Plane, Side, SimulatedPage, Simulation
from vfax.transports.sip.agent import Agent
from vfax.transports.sip.keepalive import KeepAlive, KeepAliveOptions
from vfax.transports.sip.options import SipOptions
from vfax.transports.sip.shown import Told
from vfax.transports.sip.values import Address

PUBLIC: Final = "203.0.113.5"
_Key = tuple[Address, Address | None]


@dataclass
class _Mapping:
    inner: Address
    port: int
    used: float
    talked_to: set[Address]


class NatBox:
    """Rewrites addresses as RFC 4787 describes it.

    `dependent`: a mapping for each remote address and port ("symmetric"), else one for all. In both kinds only whom we
    have written to may answer. A mapping that sends nothing for `timeout` seconds is forgotten; what comes in does not
    keep it alive (REQ-6).
    """

    def __init__(self, *, dependent: bool, timeout: float = 30.0, seed: int = 9) -> None:
        self._dependent = dependent
        self._timeout = timeout
        self._dice = random.Random(seed)
        self._mappings: dict[_Key, _Mapping] = {}
        self.refused = 0  # datagrams that came for nobody

    def outward(self, inner: Address, to: Address, now: float) -> Address:
        """The address that `to` sees."""
        key = inner, to if self._dependent else None
        mapping = self._mappings.get(key)
        if mapping is None or now > mapping.used + self._timeout:
            taken = {one.port for one in self._mappings.values()}
            port = next(p for p in iter(lambda: self._dice.randrange(1024, 65536), 0) if p not in taken)
            mapping = self._mappings[key] = _Mapping(inner, port, now, set())
        mapping.used = now
        mapping.talked_to.add(to)
        return PUBLIC, mapping.port

    def inward(self, port: int, source: Address, now: float) -> Address | None:
        """Who is meant by a datagram to `port`; None when it is dropped."""
        for mapping in self._mappings.values():
            if mapping.port == port and now <= mapping.used + self._timeout and source in mapping.talked_to:
                return mapping.inner
        self.refused += 1
        return None

    def forget(self) -> None:
        """The box was switched off and on again."""
        self._mappings.clear()


class Natted(Simulation):
    """A simulated fax. The calling side has a private address; the called side cannot send there, only to the box.

    `kept`: the calling side keeps its SIP way open, as nat.py does. `taught`: it has learned its public address before.
    """

    def __init__(
        self,
        pages: Sequence[SimulatedPage],
        box: NatBox,
        *,
        called: LegOptions,
        called_sip: SipOptions,
        kept: bool = True,
        taught: bool = False,
        **more: Any,
    ) -> None:
        super().__init__(pages, called=called, **more)
        self.box = box
        self._seen: dict[tuple[Address, Address], Address] = {}
        self.called.agent = Agent(called_sip, contact=CALLED, dice=random.Random(11), now=0.0)
        self._keeper = KeepAlive(KeepAliveOptions().interval, random.Random(12), 0.0)
        if taught:
            shown = box.outward(CALLER, CALLED, 0.0)
            self.caller.agent.shown.guide = lambda to: Told(shown, firm=True)
        if kept:
            self.at(0.0, self._keep_open)

    def _keep_open(self) -> None:
        peers = self.caller.agent.peers
        self._keeper.handle_timeout(self.now, dict.fromkeys(peers, KeepAliveOptions().interval))
        for out in self._keeper.take_output():
            self._send(CALLER, out.to.address, out.octets)
        due = self._keeper.next_timeout()
        over = self.caller.outcome is not None and not peers
        if due < math.inf and not over:
            self.at(due, self._keep_open)

    def _send(self, source: Address, to: Address, datagram: bytes) -> None:
        if source[0] == CALLER[0]:
            self._seen[source, to] = self.box.outward(source, to, self.now)
        elif to[0] == PUBLIC:
            inner = self.box.inward(to[1], source, self.now)
            if inner is None:
                self.datagrams += 1
                return
            to = inner
        else:
            self.datagrams += 1
            return  # a private address is nowhere on the other side
        super()._send(source, to, datagram)

    def _deliver(self, datagram: bytes, source: Address, node: Node, plane: Plane | None = None) -> None:
        if plane is None:
            plane = Plane.MEDIA if source[1] == MEDIA_PORT else Plane.SIGNALLING
        if node.side is Side.CALLED:
            target = node.media if plane is Plane.MEDIA else node.address
            source = self._seen.get((source, target), source)
        super()._deliver(datagram, source, node, plane)
