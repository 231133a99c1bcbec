"""What a dialog may ask of its peer and grant it: session timers, reliable provisional answers, redirection.

Owns      `DialogPolicy` and its words, with safe defaults.
Not here  where they are read from (settings), what is done with them (session_timer.py, reliable.py, retry.py).
Source    RFC 4028 4 (the least interval is 90 s, half an hour is recommended); RFC 3262; RFC 3261 8.1.3.4.
"""

from dataclasses import dataclass
from enum import StrEnum
from typing import Final

LEAST_INTERVAL: Final = 90
"""Seconds; RFC 4028 5: no Min-SE and no Session-Expires may be below."""


class SessionTimers(StrEnum):
    """Whether sessions end unless they are refreshed (RFC 4028)."""

    OFF = "off"  # not spoken: Require: timer is refused
    ACCEPT = "accept"  # where the peer or a proxy wants it
    ASK = "ask"  # wanted in every call


class Refreshes(StrEnum):
    """Which side shall refresh, as far as we may choose."""

    AUTO = "auto"
    US = "us"
    PEER = "peer"


class RefreshBy(StrEnum):
    """By which request we refresh."""

    AUTO = "auto"  # UPDATE where the peer takes it, else re-INVITE
    UPDATE = "update"
    INVITE = "invite"


class Reliable(StrEnum):
    """Provisional answers that are acknowledged (RFC 3262)."""

    OFF = "off"  # not spoken: Require: 100rel is refused
    ACCEPT = "accept"  # where the peer wants it
    PREFER = "prefer"  # asked of those we call, until they refuse it; towards callers wherever they can
    REQUIRE = "require"  # no call without: callers who cannot hear 421, those we call may not refuse it


@dataclass(frozen=True, slots=True, kw_only=True)
class DialogPolicy:
    """How dialogs are kept, for one agent or one trunk. Times in seconds."""

    session_timer: SessionTimers = SessionTimers.ACCEPT
    session_expires: int = 1800  # the interval we ask for
    min_se: int = LEAST_INTERVAL  # Limit: shorter intervals are answered 422
    refresher: Refreshes = Refreshes.AUTO
    refresh_by: RefreshBy = RefreshBy.AUTO
    reliable: Reliable = Reliable.ACCEPT
    max_redirects: int = 0  # other addresses (3xx) that one call may try; 0: a redirected call has failed

    @property
    def supported(self) -> tuple[str, ...]:
        """Option tags that we understand (RFC 3261 20.37)."""
        timer = ("timer",) if self.session_timer is not SessionTimers.OFF else ()
        return ("100rel", *timer) if self.reliable is not Reliable.OFF else timer


DEFAULT_POLICY: Final = DialogPolicy()
