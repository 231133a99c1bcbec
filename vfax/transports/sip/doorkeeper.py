"""The sieve as an agent uses it: what proves a source, and whose word counts inside a call.

Owns      `Doorkeeper`. Without a sieve only the hosts of a call speak in it, and nothing is noted.
Not here  rates, proof and credit (sieve.py), what those hear who are not taken (reception.py); what is parsed at all
          (endpoint.py asks the sieve).
Source    RFC 3261 (June 2002) 9.1 (CANCEL goes from hop to hop), 12.2.2, 26.1.3.
"""

from collections import Counter
from collections.abc import Iterable

from vfax.transports.sip.calls import Call
from vfax.transports.sip.core import Core
from vfax.transports.sip.sieve import Nuisance
from vfax.transports.sip.transaction import Transaction
from vfax.transports.sip.values import Flow


class Doorkeeper:
    """Stands between what comes in and one agent."""

    def __init__(self, core: Core) -> None:
        self._core = core
        self._sieve = core.sieve

    def prove(self, flow: Flow, now: float) -> None:
        """What came by `flow` has a tag or a branch in it that only our messages told."""
        if self._sieve is not None and not flow.transport.reliable:
            self._sieve.prove(flow.remote, now)

    def note(self, flow: Flow, reason: Nuisance, now: float) -> None:
        """A message that came by `flow` was not taken."""
        if self._sieve is not None:
            self._sieve.note(flow.remote[0], reason, now)

    def has_room(self, calls: Iterable[Call], flow: Flow) -> bool:
        """Whether one more call may come in by `flow`: forged INVITEs must not take all lines.

        Limit: hosts that the owner has named, as a trunk's or one by one, are believed before they have proven
        anything, for a trunk may send many calls in its first second. Whoever forges those can take all lines.
        """
        sieve = self._sieve
        if sieve is None or flow.transport.reliable or sieve.has_proven(flow.remote) or sieve.is_named(flow.remote[0]):
            return True
        ways = [by.address for call in calls if (by := call.rings_by) is not None]
        hosts = Counter(way[0] for way in ways if not sieve.has_proven(way))
        return sum(count for host, count in hosts.items() if not sieve.is_named(host)) < sieve.max_unproven_calls

    def hears_in(self, call: Call, flow: Flow, now: float) -> bool:
        """Whether a request inside `call` may come by `flow`; it has the tags of the call."""
        host, dialog = flow.remote[0], call.dialog
        if not call.comes_from(host) and (dialog is None or not self._are_akin(host, dialog.peer.address[0])):
            self.note(flow, Nuisance.DIALOG, now)
            return False
        self.prove(flow, now)
        return True

    def hears_cancel_of(self, invite: Transaction, flow: Flow, now: float) -> bool:
        """Whether a CANCEL of `invite` may come by `flow`."""
        if self._are_akin(flow.remote[0], invite.peer.address[0]):
            return True
        self.note(flow, Nuisance.DIALOG, now)
        return False

    def _are_akin(self, host: str, other: str) -> bool:
        return host == other or (self._sieve is not None and self._sieve.are_akin(host, other))
