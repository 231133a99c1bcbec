"""Events of the SIP agent, and where messages come from and go to.

Owns      what the agent tells its owner; transports, hops, flows; what leaves the agent. Orders are methods of the
          agent (agent.py).
Not here  messages (message.py), offer/answer content: SDP travels as octets.
Source    RFC 3261, RFC 6026; RFC 3263 4 for hops.
"""

from dataclasses import dataclass
from enum import StrEnum
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from vfax.transports.sip.message import Response
    from vfax.transports.sip.reason import Reason

Address = tuple[str, int]
"""Host (numeric IPv4 or IPv6, no brackets) and port."""

CallKey = int
"""The agent's handle of one call (one dialog and what leads to it); never reused."""

RequestKey = int
"""The agent's handle of one request outside any call; never reused, and never the key of a call."""


class Transport(StrEnum):
    """How SIP messages travel, as Via names it."""

    UDP = "UDP"
    TCP = "TCP"
    TLS = "TLS"

    @property
    def reliable(self) -> bool:
        """Whether nothing is lost on it: nothing is repeated then (RFC 3261 17)."""
        return self is not Transport.UDP

    @property
    def port(self) -> int:
        """The port where none is named (RFC 3261 19.1.2)."""
        return 5061 if self is Transport.TLS else 5060


@dataclass(frozen=True, slots=True)
class Hop:
    """Where a request is to go: by the connection there is to it, else by a new one.

    `host` is numeric. `name` is whom the certificate must be for (TLS), "" for the host itself. Not `fixed`: nobody
    asked for this transport, so that a long request may go over TCP (RFC 3261 18.1.1). `local` is the socket of ours to
    send from, None for any.
    """

    transport: Transport
    host: str
    port: int
    name: str = ""
    fixed: bool = True
    local: Address | None = None

    @property
    def address(self) -> Address:
        """Host and port."""
        return self.host, self.port


@dataclass(frozen=True, slots=True)
class Flow:
    """What a message came by: a connection, or the source of a datagram.

    `local` is the bound address of our socket or listener, `connection` a number that is never reused; 0 with UDP.
    """

    transport: Transport
    remote: Address
    local: Address
    connection: int = 0

    @property
    def address(self) -> Address:
        """The remote host and port."""
        return self.remote


Destination = Hop | Flow


@dataclass(frozen=True, slots=True)
class Send:
    """Octets to send. To a hop without a connection: connect first. To a flow that has gone: they are lost."""

    octets: bytes
    to: Destination


@dataclass(frozen=True, slots=True)
class Close:
    """Close this connection once all that was sent has left."""

    flow: Flow


Output = Send | Close


@dataclass(frozen=True, slots=True, kw_only=True)
class IncomingCall:
    """An INVITE outside a dialog; 100 has been sent. Answer with ring, answer or refuse."""

    call: CallKey
    source: Address
    request_uri: str
    dialled: str  # user part of the Request-URI, unescaped
    caller: str  # user part of From (or P-Asserted-Identity when present), unescaped
    caller_name: str
    call_id: str
    offer: bytes  # the SDP, or b"" for a late offer
    user_agent: str
    identities: tuple[tuple[str, str], ...] = ()  # fields that name somebody: name in lower case, value as it came
    flow: Flow | None = None  # what it came by; None where no agent stands behind it
    digest_user: str = ""  # who proved itself by a password; "" where nobody had to


@dataclass(frozen=True, slots=True)
class Progress:
    """A provisional response to our INVITE (180, 183 ...); `sdp` may be empty.

    `fork` tells branches of the call apart (the To tag), "" where the response makes no dialog. `settled`: `sdp` is the
    answer for good, should this branch take the call; else it is but a foretaste of it.
    """

    call: CallKey
    status: int
    reason: str
    sdp: bytes
    fork: str = ""
    settled: bool = False


@dataclass(frozen=True, slots=True)
class Answered:
    """A 2xx to our INVITE came; the agent acknowledges it.

    `sdp` is the answer, or empty where that of `fork` was settled before (Progress, Reoffered). `offers`: our INVITE
    asked for their offer, and `sdp` is it; accept_offer is due, which acknowledges the 2xx.
    `user_agent` is what the called side calls itself (Server, else User-Agent), empty where it does not say.
    """

    call: CallKey
    sdp: bytes
    user_agent: str = ""
    fork: str = ""
    offers: bool = False


@dataclass(frozen=True, slots=True)
class Confirmed:
    """The ACK to our 2xx came; `sdp` is the answer to a late offer, else empty."""

    call: CallKey
    sdp: bytes


@dataclass(frozen=True, slots=True)
class Refused:
    """Our INVITE ended in a final failure. `heard` is False when the status is our own word (408: nobody answered).

    `reasons` are those of its Reason fields, the network's own words. `retry_after`: seconds that the other side asks
    us to wait, None where it does not say.
    """

    call: CallKey
    status: int
    reason: str
    heard: bool = True
    reasons: tuple["Reason", ...] = ()
    retry_after: int | None = None


@dataclass(frozen=True, slots=True)
class Redirected:
    """Our INVITE was sent elsewhere (3xx): Agent.follow is due, with where these URIs lead, best first.

    Nothing rings meanwhile, and the limit of ringing goes on.
    """

    call: CallKey
    status: int
    uris: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class Cancelled:
    """The caller gave up before we answered; 487 and 200 have been sent. `reasons` as of HungUp."""

    call: CallKey
    reason: str
    reasons: tuple["Reason", ...] = ()


@dataclass(frozen=True, slots=True)
class Reoffered:
    """The peer's offer (b"": it asks for ours): accept_offer or refuse_offer is due.

    It came in a re-INVITE or UPDATE; in a call that is not answered yet, in an UPDATE, PRACK or reliable provisional
    response of the branch `fork`, else "". `acked`: an ACK will tell that our answer has come (OfferSettled, or
    Confirmed where we were asked for our offer); media may wait for it.
    """

    call: CallKey
    sdp: bytes
    fork: str = ""
    acked: bool = False


@dataclass(frozen=True, slots=True)
class OfferSettled:
    """The ACK to our 2xx came that answered their re-INVITE: both sides know what was agreed."""

    call: CallKey


@dataclass(frozen=True, slots=True)
class OfferAccepted:
    """Our offer got this answer, in the 2xx to our re-INVITE or UPDATE, or in the PRACK of our early response."""

    call: CallKey
    sdp: bytes


@dataclass(frozen=True, slots=True)
class OfferRefused:
    """Our re-INVITE was refused; the session stays as it was. 491 has been retried by the agent before this comes."""

    call: CallKey
    status: int
    reason: str


@dataclass(frozen=True, slots=True)
class RefreshDue:
    """The session expires unless it is refreshed, and UPDATE does not do: Agent.refresh is due with the current SDP.

    Said again after a while when nothing follows.
    """

    call: CallKey


@dataclass(frozen=True, slots=True)
class RefreshEnded:
    """What Agent.refresh led to: `sdp` is their answer; None: it was refused or gave way, all stays as it was."""

    call: CallKey
    sdp: bytes | None


@dataclass(frozen=True, slots=True)
class WayWanted:
    """The requests of a dialog go to a name: Agent.found is due with where `uri` leads (RFC 3263).

    Until then, and where nothing is found, they go where its messages came from: nothing waits for an answer.
    """

    call: CallKey
    uri: str


@dataclass(frozen=True, slots=True)
class HungUp:
    """The peer's BYE came (200 has been sent); `reason` is its Reason header in words, `reasons` its values."""

    call: CallKey
    reason: str
    reasons: tuple["Reason", ...] = ()


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
class RequestDone:
    """A request outside any call (Agent.request) has come to its end: last event of that request.

    `response` is its final answer; None when none came, and `status` is then our own word: 408 nobody answered, 503 it
    could not be sent. `reason` is the answer's phrase, or a sentence of ours where that says more (credentials). `cseq`
    is the last number used. `by` is what the answer came by.
    """

    request: RequestKey
    status: int
    reason: str
    cseq: int
    response: "Response | None"
    by: Flow | None
    contact: str = ""  # the Contact we sent


@dataclass(frozen=True, slots=True)
class MessageSeen:
    """One SIP message went by, for journals; `call` is None when it belongs to no call. `summary` is one line."""

    call: CallKey | None
    sent: bool
    peer: Address
    summary: str
    octets: bytes = b""
    transport: Transport = Transport.UDP


@dataclass(frozen=True, slots=True)
class CredentialsRefused:
    """Somebody gave a wrong user or password (401 has been sent, with another challenge); `why` names the user."""

    source: Address
    why: str


@dataclass(frozen=True, slots=True)
class DatagramDropped:
    """Octets that were no SIP message, or one that nothing here answers; counted, never answered blindly."""

    source: Address
    why: str


@dataclass(frozen=True, slots=True)
class TargetFailed:
    """A target of a request outside any dialog was silent, could not be reached, or asks for a pause (503).

    `retry_after` is how long it asks for, None where it did not say; `why` is a clause for people.
    """

    hop: Hop
    why: str
    retry_after: float | None = None


@dataclass(frozen=True, slots=True)
class TargetAnswered:
    """The first answer to a request outside any dialog came from this target; told once for each request."""

    hop: Hop


@dataclass(frozen=True, slots=True)
class Reflected:
    """A host sees us at another address than before: `shown` stands in the Contact of what it is told from now on."""

    by: Flow
    shown: Address


Report = TargetFailed | TargetAnswered | Reflected
"""What concerns no call but the ways there are; told apart from the events of calls."""

SipEvent = (
    IncomingCall
    | Progress
    | Answered
    | Confirmed
    | Refused
    | Redirected
    | Cancelled
    | Reoffered
    | OfferSettled
    | OfferAccepted
    | OfferRefused
    | RefreshDue
    | RefreshEnded
    | WayWanted
    | HungUp
    | DialogLost
    | Released
    | RequestDone
    | MessageSeen
    | CredentialsRefused
    | DatagramDropped
)
