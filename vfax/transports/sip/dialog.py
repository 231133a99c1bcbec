"""A dialog: who talks to whom, by which way, with which numbers.

Owns      dialog identity, route set, remote target and its refresh, CSeq both ways, requests inside the dialog; our
          2xx that is repeated until its ACK comes; the ACKs kept for repeated 2xx.
Not here  offers and glare (exchange.py), when a call begins and ends (calls.py).
Source    RFC 3261 (June 2002) 12, 13.2.2.4, 13.3.1.4.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final

from vfax.errors import DecodeError
from vfax.transports.sip.headers import NameAddr, Uri
from vfax.transports.sip.hops import hop_of, joined, transport_of
from vfax.transports.sip.keyring import Keyring
from vfax.transports.sip.message import Headers, Message, Request, Response
from vfax.transports.sip.outbox import Wire
from vfax.transports.sip.values import Destination, Flow, Hop

DialogId = tuple[str, str, str]
"""Call-ID, local tag, remote tag (RFC 3261 12). The remote tag of an RFC 2543 peer is empty."""

FIRST_CSEQ: Final = 1


@dataclass(slots=True, kw_only=True)
class Dialog:
    """One dialog. `local` and `remote` are whole From/To values; `peer` is what the peer's messages come by."""

    call_id: str
    local: str
    remote: str
    local_tag: str
    remote_tag: str
    target: str
    routes: tuple[str, ...]
    local_cseq: int
    remote_cseq: int | None
    owner: bool  # whether the Call-ID is ours: decides who waits longer after glare
    peer: Destination
    symmetric: bool = False
    keyring: Keyring | None = None  # the challenges met on its behalf, and the nonces in use
    sought: str = ""  # the URI with a name that our owner was asked about
    found: Hop | None = None  # where that leads

    @property
    def id(self) -> DialogId:
        """Under which a request for this dialog is found."""
        return self.call_id, self.local_tag, self.remote_tag

    @classmethod
    def of_callee(cls, invite: Request, local_tag: str, flow: Flow, *, symmetric: bool) -> "Dialog":
        """The dialog an INVITE that came by `flow` leads to (RFC 3261 12.1.1). `invite` has been checked."""
        local = invite.headers.first("to") or ""
        return cls(
            call_id=invite.call_id,
            local=f"{local};tag={local_tag}",
            remote=invite.headers.first("from") or "",
            local_tag=local_tag,
            remote_tag=invite.from_.tag,
            target=_contact_of(invite, invite.from_.uri.text),
            routes=tuple(invite.record_routes),
            local_cseq=FIRST_CSEQ - 1,
            remote_cseq=invite.cseq.number,
            owner=False,
            peer=flow,
            symmetric=symmetric,
        )

    @classmethod
    def of_caller(cls, invite: Request, response: Response, peer: Destination, *, symmetric: bool) -> "Dialog":
        """The dialog a response to our `invite` leads to (RFC 3261 12.1.2): the route set is reversed."""
        return cls(
            call_id=invite.call_id,
            local=invite.headers.first("from") or "",
            remote=response.headers.first("to") or "",
            local_tag=invite.from_.tag,
            remote_tag=response.to.tag,
            # Quirk: some gateways leave Contact out of their 200; the INVITE's own target is the best guess.
            target=_contact_of(response, invite.uri),
            routes=tuple(reversed(response.record_routes)),
            local_cseq=invite.cseq.number,
            remote_cseq=None,
            owner=True,
            peer=peer,
            symmetric=symmetric,
        )

    def confirm(self, response: Response) -> None:
        """The 2xx to our INVITE: remote target and route set anew, numbers kept (RFC 3261 13.2.2.4)."""
        self.remote = response.headers.first("to") or self.remote
        self.target = _contact_of(response, self.target)
        self.routes = tuple(reversed(response.record_routes))

    def refresh(self, message: Message) -> None:
        """Take the Contact of a re-INVITE, an UPDATE or a 2xx to one as the new remote target (RFC 3261 12.2)."""
        self.target = _contact_of(message, self.target)

    def is_stale(self, request: Request) -> bool:
        """Whether the request's CSeq is not above the last one; else it becomes the last (RFC 3261 12.2.2)."""
        if self.is_old(request):
            return True
        self.remote_cseq = request.cseq.number
        return False

    def is_old(self, request: Request) -> bool:
        """The same, and nothing becomes the last."""
        return self.remote_cseq is not None and request.cseq.number <= self.remote_cseq

    def request(self, method: str, via: str, *, cseq: int | None = None, body: bytes = b"") -> Request:
        """A request inside the dialog (RFC 3261 12.2.1.1). `cseq` is given for ACK only; else the next is taken."""
        if cseq is None:
            self.local_cseq += 1
            cseq = self.local_cseq
        uri, routes = self._way()
        headers = Headers()
        headers.keep("Via", via)
        headers.keep("Max-Forwards", "70")
        for route in routes:
            headers.keep("Route", route)
        headers.keep("From", self.local)
        headers.keep("To", self.remote)
        headers.keep("Call-ID", self.call_id)
        headers.keep("CSeq", f"{cseq} {method}")
        if body:
            headers.keep("Content-Type", "application/sdp")
        return Request(method, uri, headers, body)

    def _way(self) -> tuple[str, tuple[str, ...]]:
        """Request-URI and Route values; a first route without lr is an old strict router."""
        if not self.routes or NameAddr.parse(self.routes[0]).uri.loose:
            return self.target, self.routes
        return NameAddr.parse(self.routes[0]).uri.text, (*self.routes[1:], f"<{self.target}>")

    @property
    def _next_uri(self) -> Uri:
        """First route, else remote target."""
        return NameAddr.parse(self.routes[0]).uri if self.routes else Uri.parse(self.target)

    def next_ways(self) -> list[Destination]:
        """Where the next request goes, and where else it may. A name that is not found (yet) leads to `peer`.

        What a name led to may be another machine than the one we talk to: then `peer` stands behind it.
        Quirk: a URI without a transport means UDP (RFC 3263 4.1), but peers on a stream leave theirs out of Contact;
        the dialog stays on the transport it came by.
        """
        if self.symmetric:
            return [self.peer]
        uri = self._next_uri
        hop = hop_of(uri, self.peer.transport)
        if hop is not None:
            return [joined(hop, self.peer)]
        if self.found is None or self.sought != uri.text:
            return [self.peer]
        way = joined(self.found, self.peer)
        return [way] if _same(way, self.peer) else [way, self.peer]

    def next_hop(self) -> Destination:
        """Where the next request goes."""
        return self.next_ways()[0]

    def seek(self) -> str:
        """The URI that our owner is to look up, for its host is a name; "" when there is none, or it was asked."""
        uri = self._next_uri
        named = not self.symmetric and uri.scheme in ("sip", "sips") and hop_of(uri, self.peer.transport) is None
        if not named or uri.text == self.sought:
            return ""
        self.sought, self.found = uri.text, None
        return uri.text

    def learn(self, uri: str, hops: Sequence[Hop]) -> None:
        """Where `uri` leads, best first: of those the one we talk to already, and by the transport we talk by."""
        way = transport_of(self._next_uri)
        if uri == self.sought and way is not None:
            fit = [hop for hop in hops if way[1] or hop.transport is self.peer.transport]
            self.found = min(fit, key=lambda hop: hop.host != self.peer.address[0], default=None)

    def comes_from(self, host: str) -> bool:
        """Whether the peer's requests may come from `host`: where its messages came from, or where ours to it go.

        Limit: when they go to a name, any host that is heard may be the one; tags of 64 random bits have to do.
        """
        ways = [NameAddr.parse(route).uri for route in self.routes[:1]]
        hops = [hop_of(uri, self.peer.transport) for uri in (*ways, Uri.parse(self.target))]
        named = hops[0] is None
        return named or host == self.peer.address[0] or any(hop is not None and hop.host == host for hop in hops)

    def lose(self, flow: Flow) -> None:
        """The connection is gone: the next request needs another one."""
        if self.peer == flow:
            self.peer = Hop(flow.transport, flow.remote[0], flow.transport.port)


def _same(one: Destination, other: Destination) -> bool:
    return (one.transport, one.address) == (other.transport, other.address)


def _contact_of(message: Message, otherwise: str) -> str:
    """The Contact URI if it is one that a request can be sent to, without its ?headers (RFC 3261 19.1.5)."""
    try:
        contacts = message.contacts
    except DecodeError:
        return otherwise
    if not contacts or contacts[0].uri.scheme not in ("sip", "sips"):
        return otherwise
    uri = contacts[0].uri
    return uri.text.removesuffix(f"?{uri.headers}")


@dataclass(slots=True)
class OkWait:
    """Our 2xx that waits for its ACK: repeated after T1, doubling up to T2 (RFC 3261 13.3.1.4)."""

    cseq: int
    sent: Wire
    late_offer: bool  # the 2xx carried our offer: the ACK carries the answer
    pause: float

    def next_pause(self, t2: float) -> float:
        """The pause before the next repeat."""
        pause = self.pause
        self.pause = min(2 * pause, t2)
        return pause


class AckStore:
    """ACKs to 2xx by client transaction and To tag, kept as long as the transaction: a repeated 2xx gets its own again.

    Limit: 16 forks of one INVITE; a 2xx beyond them is dropped.
    """

    LIMIT: Final = 16

    def __init__(self) -> None:
        self._kept: dict[int, dict[str, tuple[Wire, Destination]]] = {}

    def __len__(self) -> int:
        return len(self._kept)

    def keep(self, serial: int, tag: str, sent: Wire, peer: Destination) -> None:
        """Remember the ACK sent for the 2xx with this To tag."""
        self._kept.setdefault(serial, {})[tag] = (sent, peer)

    def lead(self, serial: int, tag: str, way: Destination) -> None:
        """The next repeat of this 2xx is answered by `way`: the ACK of the last one may have gone astray."""
        kept = self._kept.get(serial, {}).get(tag)
        if kept is not None and way.transport is kept[1].transport:  # its Via names the transport
            self._kept[serial][tag] = (kept[0], way)

    def find(self, serial: int, tag: str) -> tuple[Wire, Destination] | None:
        """The ACK to send once more, None when this 2xx is new."""
        return self._kept.get(serial, {}).get(tag)

    def is_full(self, serial: int) -> bool:
        """Whether this INVITE has had as many 2xx as we bear."""
        return len(self._kept.get(serial, ())) >= self.LIMIT

    def forget(self, serials: list[int]) -> None:
        """Drop the ACKs of transactions that are over."""
        for serial in serials:
            self._kept.pop(serial, None)
