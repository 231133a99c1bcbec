"""The calls of an endpoint: which of them an event of the agent is for, and whom we hear because of them.

Owns      the table of calls by the agent's keys, new calls before anybody has taken them, the hosts of calls of ours.
Not here  what a call does (calls.py), the agent and its sockets (endpoint.py).
"""

from collections.abc import Callable
from typing import Final

import trio

from vfax import call
from vfax.calls import SERVER_ERROR, IncomingFax
from vfax.carried import Carried, Carrier
from vfax.transports.sip import values as sip
from vfax.transports.sip.values import CallKey

MAX_UNCLAIMED: Final = 8
"""Limit: messages that are kept until their call is known."""


class CallTable:
    """All calls of one `carrier`; `closing`: it takes no new ones, and only goodbyes are said."""

    def __init__(self, carrier: Carrier) -> None:
        self.closing = False
        self._carrier = carrier
        self._calls: dict[CallKey, Carried] = {}
        self._hosts: dict[str, int] = {}  # of our outgoing calls, and how many calls each
        self._on_call: Callable[[call.InboundCall], None] | None = None
        self._unclaimed: list[sip.MessageSeen] = []  # of a call that the agent has not told of yet

    def open(self, on_call: Callable[[call.InboundCall], None]) -> None:
        """From now on `on_call` hears of new calls."""
        self._on_call, self.closing = on_call, False

    def adopt(self, key: CallKey, carried: Carried) -> None:
        """Events of `key` go to `carried` from now on."""
        self._calls[key] = carried

    def find(self, key: CallKey) -> Carried | None:
        """The call of that key; None when it is over."""
        return self._calls.get(key)

    def take(self, event: sip.SipEvent) -> None:
        """Take an event of the agent that may be about a call."""
        if isinstance(event, sip.IncomingCall):
            self._begin(event)
        elif isinstance(event, sip.MessageSeen) and event.call not in self._calls:
            self._unclaimed = [*(one for one in self._unclaimed[-MAX_UNCLAIMED:] if one.call == event.call), event]
        elif isinstance(event, sip.DatagramDropped | sip.RequestDone | sip.CredentialsRefused):
            return  # no call's
        elif event.call is not None and (carried := self._calls.get(event.call)) is not None:
            if isinstance(event, sip.Released):
                del self._calls[event.call]
            carried.on_sip(event)

    def _begin(self, event: sip.IncomingCall) -> None:
        if self.closing:
            self._carrier.agent.refuse(event.call, 503, trio.current_time())
            return
        try:
            carried = IncomingFax(self._carrier, event)
        except Exception:  # a fault of ours is not to hold a line for ever
            self._carrier.agent.refuse(event.call, SERVER_ERROR, trio.current_time())
            raise
        self._calls[event.call] = carried
        for seen in self._unclaimed:  # the INVITE itself, and our 100
            if seen.call == event.call:
                carried.on_sip(seen)
        self._unclaimed = []
        carried.arrive(self._on_call)

    def cut_off(self) -> None:
        """End all calls."""
        for carried in list(self._calls.values()):
            carried.cut_off()
        self._calls.clear()
        if not self.closing:
            self._hosts.clear()

    # --- hosts that we call --------------------------------------------------------------------------

    def hears(self, host: str) -> bool:
        """Whether we call this host."""
        return host in self._hosts

    def allow_host(self, host: str) -> None:
        """Hear `host` while we call it."""
        self._hosts[host] = self._hosts.get(host, 0) + 1

    def forget_host(self, host: str) -> None:
        """One call to `host` less. At the end all are heard until the last goodbye."""
        if self.closing:
            return
        calls = self._hosts.pop(host, 0) - 1
        if calls > 0:
            self._hosts[host] = calls
