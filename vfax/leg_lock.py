"""Where a call's media goes, and the one source that is heard; pure.

Owns      what SDP names, what is learned instead, the one change of that.
Not here  what is in the datagrams (leg_media.py says whether one makes sense), SDP (transports/sip/negotiation.py).

SDP names an address. A peer behind NAT sends from another one, and hears what is sent there alone (symmetric media).
So the first source that makes sense is believed and locked. Where NAT is declared (`learn`) the lock changes once, when
its source has fallen silent and another goes on where that stopped: a NAT may give a flow another port in mid-call.
After that nobody else is heard: a stranger who guesses the port must not take a fax away.
"""

import math
from collections.abc import Callable

from vfax.transports.sip.values import Address


class SourceLock:
    """One media socket's view of its peer. `silence`: seconds after which another source may take the place."""

    __slots__ = ("_held", "_learn", "_learned", "_named", "_silence", "_spent", "heard_at", "locked")

    def __init__(self, *, learn: bool, silence: float) -> None:
        self._learn = learn
        self._silence = silence
        self._named: Address | None = None  # by SDP
        self._learned: Address | None = None  # that answers in its place
        self._held = True
        self._spent = False  # the change of the lock has been made
        self.locked: Address | None = None
        self.heard_at = -math.inf
        """When the locked source was last heard; whoever takes its datagrams sets it."""

    @property
    def remote(self) -> Address | None:
        """Where media goes; None: nowhere, it is on hold."""
        return None if self._held else self._learned or self._named

    @property
    def learned(self) -> Address | None:
        """Where media goes instead of what SDP names; None when that is right."""
        return self._learned

    def agree(self, named: Address, *, held: bool, fresh: bool = False) -> None:
        """SDP has named an address. The same one again (a refresh of the session) changes nothing that was learned.

        `fresh`: another kind of media begins, and nobody is heard yet. Port 0 names nobody: it is on hold.
        """
        self._held = held
        if fresh:
            self.locked = None
        if named == self._named or named[1] == 0:
            return
        self._named, self._learned, self.locked, self._spent = named, None, None, False

    def prove(self, source: Address) -> None:
        """A source has proved who it is: nobody else will be heard."""
        self.locked, self._spent = source, True
        self._learned = None if source == self._named else source

    def hush(self) -> None:
        """Media goes nowhere until something is agreed again."""
        self._held = True

    @property
    def open(self) -> bool:
        """Whether media is agreed to run."""
        return not self._held and self._named is not None

    def accepts(self, source: Address, now: float, makes_sense: Callable[[], bool]) -> bool:
        """Whether a source that is not the locked one becomes it, for it has sent what `makes_sense`."""
        if self._held or self._named is None:
            return False
        expected = self.locked is None and source in (self._named, self._learned)
        if not expected and not (self._may_take_over(source, self._named, now) and makes_sense()):
            return False
        self._spent = self._spent or self.locked is not None
        self._learned = None if source == self._named else source
        self.locked = source
        return True

    def _may_take_over(self, source: Address, named: Address, now: float) -> bool:
        """Quirk: some gateways send from another port than their SDP names; that is believed of the named host."""
        if self.locked is None:
            return self._learn or source[0] == named[0]
        return self._learn and not self._spent and now - self.heard_at >= self._silence
