"""Events of the SIP agent and the address type.

Owns      what the agent tells its owner. Orders are methods of the agent (agent.py).
Not here  messages (message.py), offer/answer content: SDP travels as octets.
Source    RFC 3261, RFC 6026.
"""

from dataclasses import dataclass

Address = tuple[str, int]
"""Host (numeric IPv4 or IPv6, no brackets) and port."""

CallKey = int
"""The agent's handle of one call (one dialog and what leads to it); never reused."""


@dataclass(frozen=True, slots=True, kw_only=True)
class IncomingCall:
    """An INVITE outside a dialog; 100 has been sent. Answer with ring, answer or refuse."""

    call: CallKey
    source: Address
    request_uri: str
    dialled: str  # user part of the Request-URI, unescaped
    caller_uri: str
    caller: str  # user part of From (or P-Asserted-Identity when present), unescaped
    caller_name: str
    call_id: str
    offer: bytes  # the SDP, or b"" for a late offer
    user_agent: str


@dataclass(frozen=True, slots=True)
class Progress:
    """A provisional response to our INVITE (180, 183 ...); `sdp` may be empty."""

    call: CallKey
    status: int
    reason: str
    sdp: bytes


@dataclass(frozen=True, slots=True)
class Answered:
    """A 2xx to our INVITE came; the agent acknowledges it.

    `user_agent` is what the called side calls itself (Server, else User-Agent), empty where it does not say.
    """

    call: CallKey
    sdp: bytes
    user_agent: str = ""


@dataclass(frozen=True, slots=True)
class Confirmed:
    """The ACK to our 2xx came; `sdp` is the answer to a late offer, else empty."""

    call: CallKey
    sdp: bytes


@dataclass(frozen=True, slots=True)
class Refused:
    """Our INVITE ended in a final failure. `heard` is False when the status is our own word (408: nobody answered)."""

    call: CallKey
    status: int
    reason: str
    heard: bool = True


@dataclass(frozen=True, slots=True)
class Cancelled:
    """The caller gave up before we answered; 487 and 200 have been sent."""

    call: CallKey
    reason: str


@dataclass(frozen=True, slots=True)
class Reoffered:
    """The peer's re-INVITE (or UPDATE) with an offer (b"": it asks for ours): accept_offer or refuse_offer is due."""

    call: CallKey
    sdp: bytes


@dataclass(frozen=True, slots=True)
class OfferAccepted:
    """Our re-INVITE got its 2xx with this answer; it has been acknowledged."""

    call: CallKey
    sdp: bytes


@dataclass(frozen=True, slots=True)
class OfferRefused:
    """Our re-INVITE was refused; the session stays as it was. 491 has been retried by the agent before this comes."""

    call: CallKey
    status: int
    reason: str


@dataclass(frozen=True, slots=True)
class HungUp:
    """The peer's BYE came (200 has been sent); `reason` is its Reason header or empty."""

    call: CallKey
    reason: str


@dataclass(frozen=True, slots=True)
class DialogLost:
    """The dialog broke: no ACK to our 2xx, 481 or 408 inside the dialog. BYE has been sent where it makes sense."""

    call: CallKey
    reason: str


@dataclass(frozen=True, slots=True)
class Released:
    """Nothing of the call is left in the agent: last event of every call."""

    call: CallKey


@dataclass(frozen=True, slots=True)
class MessageSeen:
    """One SIP message went by, for journals; `call` is None when it belongs to no call. `summary` is one line."""

    call: CallKey | None
    sent: bool
    peer: Address
    summary: str
    octets: bytes = b""


@dataclass(frozen=True, slots=True)
class DatagramDropped:
    """Octets that were no SIP message, or one that nothing here answers; counted, never answered blindly."""

    source: Address
    why: str


SipEvent = (
    IncomingCall
    | Progress
    | Answered
    | Confirmed
    | Refused
    | Cancelled
    | Reoffered
    | OfferAccepted
    | OfferRefused
    | HungUp
    | DialogLost
    | Released
    | MessageSeen
    | DatagramDropped
)
