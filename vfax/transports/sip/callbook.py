"""The calls of one agent by their keys, and how many of them each host has.

Owns      keys, which call a message or an order is about, what is left of calls that are over.
Not here  what a call does (calls.py), who may begin one (reception.py).
Source    RFC 3261 (June 2002) 12.2.2.
"""

from collections import Counter
from collections.abc import Iterator

from vfax.errors import MisuseError
from vfax.transports.sip.callee import CalledSide
from vfax.transports.sip.calls import ENDED, Call
from vfax.transports.sip.core import Core
from vfax.transports.sip.message import Request
from vfax.transports.sip.transaction import Transaction
from vfax.transports.sip.values import CallKey


class CallBook:
    """All calls that are not released."""

    def __init__(self, core: Core) -> None:
        self._core = core
        self._calls: dict[CallKey, Call] = {}
        self._per_host: Counter[str] = Counter()
        self._last_key: CallKey = 0

    def __len__(self) -> int:
        return len(self._calls)

    def __iter__(self) -> Iterator[Call]:
        return iter(list(self._calls.values()))

    @property
    def is_empty(self) -> bool:
        """Whether nothing is left, of the counts either."""
        return not self._calls and not self._per_host

    def of_host(self, host: str) -> int:
        """How many calls came in from `host`."""
        return self._per_host[host]

    # --- entries ------------------------------------------------------------------------------------

    @property
    def next_key(self) -> CallKey:
        """What `enter` is to bring next: it is taken by a call that has begun, not by one that cannot."""
        return self._last_key + 1

    def take_key(self) -> CallKey:
        """The next key, taken at once: of a request outside calls."""
        self._last_key += 1
        return self._last_key

    def enter(self, call: Call) -> None:
        """A call has begun, under `next_key`."""
        self._last_key = call.key
        self._calls[call.key] = call
        if call.host:
            self._per_host[call.host] += 1

    def sweep(self) -> None:
        """Take released calls out of the table, and ACKs whose transaction is over."""
        core = self._core
        for key in core.gone:
            call = self._calls.pop(key)
            if call.host:
                self._per_host[call.host] -= 1
                if not self._per_host[call.host]:
                    del self._per_host[call.host]
        core.gone.clear()
        ended = core.transactions.take_ended()
        core.acks.forget(ended)
        core.errands.forget(ended)

    # --- whose it is --------------------------------------------------------------------------------

    def get(self, key: CallKey | None) -> Call | None:
        """The call of this key, None for no key and for one that is released."""
        return self._calls.get(key) if key is not None else None

    def of(self, transaction: Transaction) -> Call | None:
        """The call a transaction belongs to."""
        return self.get(transaction.call)

    def of_dialog(self, request: Request) -> Call | None:
        """The call a request with a To tag belongs to (RFC 3261 12.2.2)."""
        core, to_tag = self._core, request.to.tag
        if not to_tag:
            return None
        key = core.dialogs.get((request.call_id, to_tag, request.from_.tag))
        return self.get(core.dialling.get((request.call_id, to_tag)) if key is None else key)

    def live(self, key: CallKey) -> Call | None:
        """The call an order is about, None when it has ended by itself. MisuseError for one that never was."""
        if not 0 < key <= self._last_key:
            raise MisuseError(f"there never was a call {key}")
        call = self._calls.get(key)
        return None if call is None or call.state in ENDED else call

    def incoming(self, key: CallKey) -> CalledSide | None:
        """The same, for orders that only a call that came in can have."""
        call = self.live(key)
        if call is not None and not isinstance(call, CalledSide):
            raise MisuseError(f"call {key} is one we made")
        return call
