"""What a test asks of the peer, and what it says of a call.

Owns      `Habits` and `Fault` (how it behaves), `CallResult` (how a call went).
Not here  who does so (peer.py, peer_call.py).
"""

from collections.abc import Callable
from dataclasses import dataclass, field
from enum import Enum, auto

from tests.interop.digest_plain import Login
from tests.interop.spandsp import Abilities, FrameSeen, Verdict
from tests.interop.udptl_plain import Protection


class Way(Enum):
    """How the call gets into T.38."""

    DIRECT = auto()  # calling: offer T.38 in the INVITE. Called: accept T.38, refuse audio
    AUDIO_THEN_ASK = auto()  # audio first, then we send the re-INVITE
    AUDIO_THEN_WAIT = auto()  # audio first, then we wait for theirs
    REFUSE_T38 = auto()  # audio first; every T.38 offer hears 488


class Fault(Enum):
    """What goes wrong in the middle of page `fault_page`."""

    NONE = auto()
    VANISH = auto()  # no packet and no SIP message any more
    HANG_UP = auto()  # BYE


@dataclass(frozen=True, slots=True, kw_only=True)
class Habits:
    """How the peer behaves in one call."""

    way: Way = Way.DIRECT
    abilities: Abilities = field(default_factory=Abilities)
    fault: Fault = Fault.NONE
    fault_page: int = 1
    fault_after_packets: int = 20
    ask_after: float = 0.2  # from ACK to our re-INVITE
    ring_for: float = 0.0  # from 180 to our final answer
    refuse_with: int = 0  # a status for every call instead of an answer
    glare: int = 0  # so many of their re-INVITEs hear 491
    protection: Protection = Protection.REDUNDANCY
    depth: int = 3
    lose: Callable[[int], bool] = lambda index: False  # which of our UDPTL datagrams (counted from 0) never leave
    patience: float = 600.0
    watch_frames: bool = True
    sends: bool | None = None  # None: the caller sends; else polling
    user: str = "spandsp"
    login: Login | None = None  # what a 401 or 407 hears
    proxy: str = ""  # URI of the outbound proxy, the preloaded Route of a call we make
    transport: str = "udp"  # of our Contact


class Ending(Enum):
    """Who said BYE."""

    US = auto()
    THEM = auto()
    NOBODY = auto()


@dataclass(frozen=True, slots=True, kw_only=True)
class CallResult:
    """How a call went for the peer. `status` is the final answer to the first INVITE, 0 if there was none."""

    status: int
    verdict: Verdict | None
    ending: Ending
    frames: list[FrameSeen]
    complaints: list[str]  # what the other side did wrong on the wire
    asked_them: int  # final answer to our re-INVITE, 0 if there was none
    asked_us: int  # how many re-INVITEs they sent
    audio: bytes  # G.711 octets heard
    recovered: int  # packets that came back from redundancy
    challenged: int = 0  # how many 401 and 407 we answered

    @property
    def ok(self) -> bool:
        """Did libspandsp say OK?"""
        return self.verdict is not None and self.verdict.ok

    def heard(self) -> list[str]:
        """Names of T.30 frames received, without page data."""
        return [f.name for f in self.frames if f.incoming and f.name not in ("FCD", "RCP")]

    def said(self) -> list[str]:
        """Names of T.30 frames sent, without page data."""
        return [f.name for f in self.frames if not f.incoming and f.name not in ("FCD", "RCP")]
