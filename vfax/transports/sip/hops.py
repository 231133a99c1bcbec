"""Hops and places: where a URI sends a request, and how we name ourselves on the way.

Owns      transport, host and port of a URI with a numeric host; `Local`, our addresses as others see them.
Not here  names (they need the DNS), connections.
Source    RFC 3263 4.1, 4.2; RFC 3261 (June 2002) 18.1.1, 19.1.2, 26.2.2 (sips).
"""

import ipaddress
from dataclasses import dataclass, replace
from typing import Final

from vfax.transports.sip.headers import Uri
from vfax.transports.sip.values import Address, Destination, Flow, Hop, Transport

_TRANSPORTS: Final = {"udp": Transport.UDP, "tcp": Transport.TCP, "tls": Transport.TLS}


def transport_of(uri: Uri, otherwise: Transport = Transport.UDP) -> tuple[Transport, bool] | None:
    """The transport of a SIP URI, and whether it says so itself; None for one that we do not speak.

    sips is TLS, whichever stream its transport parameter names (RFC 3261 26.2.2).
    """
    named = uri.parameters.get("transport")
    said = _TRANSPORTS.get(named.lower()) if named is not None else None
    if named is not None and said is None:
        return None
    if uri.scheme == "sips":
        return None if said is Transport.UDP else (Transport.TLS, True)
    return (otherwise, False) if said is None else (said, True)


def hop_of(uri: Uri, otherwise: Transport = Transport.UDP) -> Hop | None:
    """Where a SIP URI with a numeric host (or maddr) sends a request; None when it takes the DNS to know.

    `otherwise` is the transport where the URI names none.
    """
    found = transport_of(uri, otherwise)
    host = (uri.parameters.get("maddr") or uri.host).strip("[]")
    try:
        ipaddress.ip_address(host)
    except ValueError:
        return None
    if found is None:
        return None
    transport, fixed = found
    return Hop(transport, host, uri.port or transport.port, fixed=fixed or transport.reliable)


def joined(hop: Hop, peer: Destination) -> Destination:
    """`hop`, by what already leads to `peer` of the same dialog: its connection, its certificate's name, its socket."""
    if isinstance(peer, Hop):
        if (hop.transport, hop.address) == (peer.transport, peer.address):
            return replace(peer, fixed=hop.fixed)
        if hop.transport is not peer.transport:
            return hop
        return replace(hop, name=peer.name, local=peer.local)
    if hop.transport is not peer.transport:
        return hop
    if not hop.transport.reliable:
        return replace(hop, local=peer.local)
    # The connection it came by, whatever port its Contact names: the only way to a peer behind NAT (as RFC 5626).
    return peer if hop.host == peer.remote[0] else hop


def leads_by(destination: Destination, flow: Flow) -> bool:
    """Whether messages to `destination` travel by the connection `flow`."""
    if isinstance(destination, Flow):
        return destination == flow
    return (destination.transport, destination.address) == (flow.transport, flow.remote)


@dataclass(frozen=True, slots=True)
class Place:
    """One of our sockets or listeners: where it is bound, and the address that others are told."""

    transport: Transport
    bound: Address
    shown: Address
    listens: bool = True  # else the port is only held: connections are made from here, none are taken


@dataclass(frozen=True, slots=True)
class Local:
    """Where we listen; at least one place."""

    places: tuple[Place, ...]

    @classmethod
    def of(cls, address: Address) -> "Local":
        """One UDP socket that others see as it is."""
        return cls((Place(Transport.UDP, address, address),))

    def speaks(self, transport: Transport) -> bool:
        """Whether we listen on this transport."""
        return any(place.transport is transport and place.listens for place in self.places)

    def towards(self, to: Destination) -> Address:
        """What we call ourselves in messages to `to`: the place of that socket, else of that transport and family."""
        return min(self.places, key=lambda place: _distance(place, to)).shown


def _distance(place: Place, to: Destination) -> tuple[bool, bool, bool]:
    family = (":" in place.shown[0]) is (":" in to.address[0])
    return place.transport is not to.transport, place.bound != to.local, not family
