"""Trunks looked after: registered, and asked whether they are there.

Owns      the tasks that turn what the engines want into requests, and their ends into results.
Not here  when and how often (transports/sip/registration.py, probing.py), sockets and the agent (endpoint.py), what a
          trunk's state means (trunks/board.py).
"""

import math
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass, field
from typing import Final

import trio

from vfax.errors import LinkError, MisuseError
from vfax.transports.sip.account import NO_ACCOUNT, Account
from vfax.transports.sip.clerk import Clerk, contact_of, result_of
from vfax.transports.sip.options import Dice
from vfax.transports.sip.outside import Asking
from vfax.transports.sip.probing import Probed, ProbeOptions, Probes
from vfax.transports.sip.registration import Changed, Register, RegistrationOptions, Registrations, Result
from vfax.transports.sip.values import Flow, Hop, RequestDone, RequestKey

NOT_SENT: Final = 503  # RFC 3261 8.1.3.1: what could not be sent is as good as that

Find = Callable[[str, Account], Awaitable[Sequence[Hop]]]
"""From a SIP URI to where it leads; raises LinkError with a sentence."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Peer:
    """One gateway that is probed: its URI, and what sentences call it."""

    uri: str
    name: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Ward:
    """One trunk that is looked after. `account` is what REGISTER and OPTIONS bear: no Service-Route of a registration.

    `from_user` is who asks by OPTIONS, as `user@domain`.
    """

    name: str
    account: Account = NO_ACCOUNT
    registration: RegistrationOptions | None = None
    peers: tuple[Peer, ...] = ()
    probe: ProbeOptions = field(default_factory=ProbeOptions)
    from_user: str = ""


class Tending:
    """Looks after all trunks of one endpoint.

    `place` is our host and port as a target is told them.
    `request` gives the agent a request, `pump` sends what that leads to; its end comes by `on_done`, may be at once.
    `tell` hears how registrations stand (key: the name of the ward) and what probes found (key: see `probe_key`).
    """

    def __init__(
        self,
        wards: Sequence[Ward],
        dice: Dice,
        *,
        find: Find,
        place: Callable[[Hop], str],
        request: Callable[[Asking], RequestKey],
        pump: Callable[[], None],
        tell: Callable[[Changed | Probed], None],
    ) -> None:
        self._wards = {ward.name: ward for ward in wards}
        self._peers = {probe_key(ward.name, peer.uri): (ward, peer) for ward in wards for peer in ward.peers}
        self._registrations, self._probes = Registrations(dice), Probes(dice)
        self._clerk = Clerk(dice)
        self._find, self._request, self._pump, self._tell = find, request, pump, tell
        self._place = place
        self._registered_as: dict[str, tuple[Hop, Flow, str]] = {}  # where, by what, and our place as told
        self._wake = trio.Event()
        self._begun = False

    async def run(self) -> None:
        """Look after them until cancelled."""
        self._begin(trio.current_time())
        await self._work(until=lambda: False)

    async def leave(self) -> None:
        """Take back what is registered, once `run` has ended: at most as long as `leave_limit` of the slowest.

        Messages must still come in and be sent meanwhile.
        """
        for peer in self._peers:
            self._probes.remove(peer)
        for name in self._registered():
            self._registrations.leave(name, trio.current_time())
        await self._work(until=lambda: self._registrations.is_over)

    def renew(self, name: str) -> None:
        """Register a trunk anew: our address, or the connection to its registrar, is another one."""
        if self._begun and name in self._registered():
            self._registrations.renew(name, trio.current_time())
            self._wake.set()

    def look_again(self) -> None:
        """We may be seen elsewhere: register anew where another address of ours is registered."""
        for name, (hop, _, place) in list(self._registered_as.items()):
            if self._place(hop) != place:
                self.renew(name)

    def lost(self, flow: Flow) -> None:
        """A connection has ended: a registrar that calls us by it cannot any more."""
        for name, (_, by, _) in list(self._registered_as.items()):
            if by == flow:
                self.renew(name)

    def on_done(self, event: RequestDone) -> None:
        """A request has ended; those of others are passed over."""
        found = self._clerk.ended(event)
        if found is None:
            return
        method, key = found
        if method == "REGISTER":
            self._note(key, event)
            self._registrations.on_result(key, result_of(event), trio.current_time())
            self.look_again()  # the answer to another request may have shown it while this one was out
        else:
            heard = event.response is not None
            self._probes.on_result(key, event.status, event.reason, trio.current_time(), heard=heard)
        self._wake.set()

    def _note(self, name: str, event: RequestDone) -> None:
        """Remember what a registrar knows of us since its answer."""
        if event.by is None or not 200 <= event.status < 300 or not (contact := contact_of(event)):
            return
        hop = Hop(event.by.transport, *event.by.remote)
        self._registered_as[name] = (hop, event.by, contact.rpartition("@")[2].partition(";")[0])

    # --- the rounds ---------------------------------------------------------------------------------

    def _registered(self) -> list[str]:
        return [ward.name for ward in self._wards.values() if ward.registration is not None and self._begun]

    def _begin(self, now: float) -> None:
        self._begun = True
        for ward in self._wards.values():
            if ward.registration is not None:
                self._registrations.add(ward.name, ward.registration, now)
        for key, (ward, peer) in self._peers.items():
            if ward.probe.interval > 0:
                self._probes.add(key, peer.name, ward.probe, now)

    async def _work(self, until: Callable[[], bool]) -> None:
        """Carry out orders and deadlines; one task for each request on its way to being sent."""
        async with trio.open_nursery() as nursery:
            while True:
                self._carry_out(nursery)
                if until():
                    break
                due = min(self._registrations.next_timeout(), self._probes.next_timeout())
                self._wake = trio.Event()
                with trio.move_on_at(due):
                    await self._wake.wait()
                now = trio.current_time()
                if due < math.inf and now >= due:
                    self._registrations.handle_timeout(now)
                    self._probes.handle_timeout(now)
            nursery.cancel_scope.cancel()

    def _carry_out(self, nursery: trio.Nursery) -> None:
        for order in self._registrations.take_orders():
            nursery.start_soon(self._register, order)
        for key in self._probes.take_orders():
            nursery.start_soon(self._ask, key)
        for changed in self._registrations.take_events():
            self._tell(changed)
        for probed in self._probes.take_events():
            self._tell(probed)

    async def _register(self, order: Register) -> None:
        account = self._wards[order.key].account
        try:
            hops = await self._find(order.registrar, account)
            asking = self._clerk.registering(order, hops, account)
            self._clerk.sent("REGISTER", order.key, self._request(asking))
            self._pump()
        except trio.Cancelled:
            self._registrations.withdraw(order.key)
            raise
        except (LinkError, MisuseError) as why:
            result = Result(status=NOT_SENT, reason=str(why))
            self._registrations.on_result(order.key, result, trio.current_time())
            self._wake.set()

    async def _ask(self, key: str) -> None:
        ward, peer = self._peers[key]
        try:
            hops = await self._find(peer.uri, ward.account)
            asking = self._clerk.probing(key, peer.uri, hops, ward.account, from_user=ward.from_user)
            self._clerk.sent("OPTIONS", key, self._request(asking))
            self._probes.sent(key, trio.current_time())
            self._pump()
        except (LinkError, MisuseError) as why:
            self._probes.on_result(key, NOT_SENT, str(why), trio.current_time(), heard=False)
            self._wake.set()


def probe_key(name: str, uri: str) -> str:
    """Under which key the probes of a trunk's gateway are told."""
    return f"{name} {uri}"
