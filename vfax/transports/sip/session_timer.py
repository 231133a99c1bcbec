"""Session timers: how long a session lasts unless it is refreshed, who refreshes it, and when.

Owns      Session-Expires and Min-SE both ways, who becomes the refresher, the two deadlines of a session.
Not here  the refresh itself and what its failure means (refreshing.py), which SDP it carries (leg.py).
Source    RFC 4028 (April 2005) 4, 5, 7 (UAC), 8 (422), 9 with Table 2 (UAS), 10 (expiry).

Every INVITE, re-INVITE and UPDATE refreshes the session, whatever else it wants: its 2xx starts the interval anew.
"""

import math
from dataclasses import dataclass
from enum import Enum, auto
from typing import Final

from vfax.errors import DecodeError
from vfax.transports.sip.headers import Parameters
from vfax.transports.sip.message import Message, Request, Response
from vfax.transports.sip.policy import LEAST_INTERVAL, DialogPolicy, Refreshes, SessionTimers
from vfax.transports.sip.syntax import parse_number, split_outside

Field = tuple[str, str]

TIMER: Final = "timer"
LARGEST: Final = 2**31 - 1
SHORTEST: Final = 30
"""Limit: seconds; a shorter interval is taken as this one, so that no peer has us refresh without end."""

MARGIN: Final = 32.0
"""RFC 4028 10: BYE is said that long before the end, or a third of the interval if that is less."""


class Side(Enum):
    """Who refreshes."""

    US = auto()
    PEER = auto()


@dataclass(frozen=True, slots=True)
class SessionExpires:
    """The field's value. `refresher` is uac, uas, or "" where it is not said."""

    seconds: int
    refresher: str = ""

    @property
    def value(self) -> str:
        """As it stands in a message."""
        return f"{self.seconds};refresher={self.refresher}" if self.refresher else str(self.seconds)


def session_expires_in(message: Message) -> SessionExpires | None:
    """Session-Expires of a message; None where it is absent or cannot be read."""
    value = message.headers.first("session-expires")
    if value is None:
        return None
    try:
        number, *parts = split_outside(value, ";")
        seconds = parse_number(number, LARGEST, "Session-Expires", "RFC 4028 4")
        refresher = (Parameters.parse(parts, "RFC 4028 4").get("refresher") or "").lower()
    except DecodeError:
        return None
    return SessionExpires(seconds, refresher if refresher in ("uac", "uas") else "")


def min_se_in(message: Message) -> int:
    """Min-SE of a message, 0 where it is absent or cannot be read."""
    value = message.headers.first("min-se")
    if value is None:
        return 0
    try:
        return parse_number(split_outside(value, ";")[0], LARGEST, "Min-SE", "RFC 4028 5")
    except DecodeError:
        return 0


def longer(request: Request, response: Response) -> tuple[Field, ...] | None:
    """The fields of `request` once more after a 422: an interval that suits both (RFC 4028 7.3).

    None when it cannot help: the 422 names no Min-SE, or the interval was long enough already.
    """
    wanted, asked = min_se_in(response), session_expires_in(request)
    least = max(wanted, min_se_in(request))
    if not wanted or asked is None or asked.seconds >= least:
        return None
    return ("Session-Expires", SessionExpires(least, asked.refresher).value), ("Min-SE", str(least))


class SessionTimer:
    """The timer of one dialog. `interval` 0: the session does not expire. Deadlines are math.inf then."""

    def __init__(self, policy: DialogPolicy) -> None:
        self._policy = policy
        self._least = 0  # what a 422 has taught
        self.interval = 0
        self.refresher: Side | None = None
        self.refresh_at = math.inf
        self.expires_at = math.inf

    # --- our requests -------------------------------------------------------------------------------

    def request_fields(self) -> tuple[Field, ...]:
        """What an INVITE, re-INVITE or UPDATE of ours says. Supported is said by whoever builds the request."""
        policy = self._policy
        if self.interval and self.refresher is not None:
            asked = SessionExpires(self.interval, "uac" if self.refresher is Side.US else "uas")
        elif policy.session_timer is SessionTimers.ASK:
            wish = {Refreshes.US: "uac", Refreshes.PEER: "uas"}.get(policy.refresher, "")
            asked = SessionExpires(max(policy.session_expires, policy.min_se, self._least), wish)
        else:
            return ()
        least = max(policy.min_se, self._least)
        shown = (("Min-SE", str(least)),) if LEAST_INTERVAL < least <= asked.seconds else ()
        return ("Session-Expires", asked.value), *shown

    def on_success(self, request: Request, response: Response, now: float) -> None:
        """A 2xx to such a request: it decides (RFC 4028 7.2). Without Session-Expires nothing expires any more."""
        if self._policy.session_timer is SessionTimers.OFF:
            return
        self._least = max(self._least, min_se_in(request) if session_expires_in(request) is not None else 0)
        agreed = session_expires_in(response)
        if agreed is None:
            self.stop()
        else:  # Quirk: some answers leave the refresher out; two who refresh do no harm, none does
            self._start(agreed.seconds, Side.PEER if agreed.refresher == "uas" else Side.US, now)

    # --- their requests -----------------------------------------------------------------------------

    def objection(self, request: Request) -> tuple[int, tuple[Field, ...]] | None:
        """422 for an interval that is too short for us, where the peer knows what that is (RFC 4028 9)."""
        policy, asked = self._policy, session_expires_in(request)
        if policy.session_timer is SessionTimers.OFF or asked is None:
            return None
        if asked.seconds >= policy.min_se or TIMER not in request.options:
            return None
        return 422, (("Min-SE", str(policy.min_se)),)

    def answer(self, request: Request, now: float) -> tuple[Field, ...]:
        """What our 2xx to such a request says; it takes effect now (RFC 4028 9)."""
        policy, asked = self._policy, session_expires_in(request)
        if policy.session_timer is SessionTimers.OFF:
            return ()
        if asked is None and policy.session_timer is not SessionTimers.ASK and not self.interval:
            return ()
        knows = TIMER in request.options
        seconds = self._interval_for(asked, max(min_se_in(request), LEAST_INTERVAL))
        self._start(seconds, self._refresher_for(asked, knows=knows), now)
        role = "uas" if self.refresher is Side.US else "uac"
        required = (("Require", TIMER),) if knows else ()
        return ("Session-Expires", SessionExpires(self.interval, role).value), *required

    def _interval_for(self, asked: SessionExpires | None, least: int) -> int:
        """We may shorten what was asked for, but not below the peer's least; nothing asked for is ours to say."""
        policy = self._policy
        wish = max(policy.session_expires, policy.min_se, least)
        if asked is None:
            return max(self.interval, least) if self.interval else wish
        if policy.session_timer is SessionTimers.ASK and wish < asked.seconds:
            return wish
        return asked.seconds

    def _refresher_for(self, asked: SessionExpires | None, *, knows: bool) -> Side:
        """RFC 4028 Table 2: a peer that does not know session timers cannot refresh, else it may choose."""
        if not knows:
            return Side.US
        if asked is not None and asked.refresher:
            return Side.PEER if asked.refresher == "uac" else Side.US
        if self._policy.refresher is not Refreshes.AUTO:
            return Side.US if self._policy.refresher is Refreshes.US else Side.PEER
        return self.refresher or Side.PEER

    # --- the deadlines ------------------------------------------------------------------------------

    def stop(self) -> None:
        """Nothing expires any more."""
        self.interval, self.refresher = 0, None
        self.refresh_at = self.expires_at = math.inf

    def _start(self, seconds: int, refresher: Side, now: float) -> None:
        self.interval, self.refresher = max(seconds, SHORTEST), refresher
        # RFC 4028 7.2, 10: half of it for whoever refreshes; the other side ends the session shortly before it expires.
        self.refresh_at = now + self.interval / 2 if refresher is Side.US else math.inf
        margin = 0.0 if refresher is Side.US else min(MARGIN, self.interval / 3)
        self.expires_at = now + self.interval - margin
