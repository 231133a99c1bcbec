"""What the owner of a SIP agent may choose, and the dice it hands in.

Owns      limits, timers and texts of the agent with safe defaults; the protocol of the random source.
Not here  where they are read from (settings.py).
Source    RFC 3261 (June 2002) Table 4 for T1, T2, T4.
"""

from dataclasses import dataclass
from typing import Protocol

from vfax.transports.sip.policy import DEFAULT_POLICY, DialogPolicy


class Dice(Protocol):
    """A random source; `random.Random` (tests, seeded) and `random.SystemRandom` (production) both fit."""

    def getrandbits(self, k: int, /) -> int:
        """An integer of `k` random bits."""
        ...

    def randrange(self, start: int, stop: int, /) -> int:
        """An integer from `start` to `stop` - 1."""
        ...


@dataclass(frozen=True, slots=True, kw_only=True)
class SipOptions:
    """Choices of one agent. Times in seconds, sizes in octets."""

    t1: float = 0.5  # round-trip estimate
    t2: float = 4.0  # longest pause between repeats
    t4: float = 5.0  # how long a message may stay in the network

    max_message: int = 65535  # Limit: longer datagrams are answered 513
    max_head: int = 32768  # Limit: start line and header fields together
    max_header_line: int = 8192  # Limit: the first line; one header field, unfolded; all fields of one list
    max_headers: int = 256  # Limit: header fields of one message

    max_calls: int = 400  # Limit: calls at once, then 503
    max_calls_per_source: int = 400  # Limit: calls at once from one host, then 503
    max_transactions: int = 10_000  # Limit: transactions at once, then 503; a call leaves two for 64*T1
    retry_after: int = 10  # what the 503 asks the caller to wait

    failover_after: float = 6.0  # a silent target is left for the next one, where there are several

    unanswered_limit: float = 180.0  # an incoming call nobody answers gets 480
    ring_limit: float = 180.0  # our INVITE that nobody answers is cancelled
    reoffer_limit: float = 25.0  # a re-INVITE or UPDATE that our owner does not answer gets 500
    offer_limit: float = 40.0  # our re-INVITE that only gets provisional answers is cancelled

    dialogs: DialogPolicy = DEFAULT_POLICY  # where no trunk has its own

    user_agent: str = "vfax"
    contact_user: str = "fax"  # user part of Contact where the call does not give one
    domain: str = ""  # host part of our From; empty: the contact host
    options_sdp: bytes = b""  # body of the answer to OPTIONS; empty: none
    learn_address: bool = True  # a host that sees us at another address is told that one (NAT)
    symmetric: bool = False  # answer and send where the peer's datagrams come from, whatever Via and Contact say (NAT)
