"""How others see us: addresses learned from the answers to our requests, or given for some hosts.

Owns      what a response tells of our address, and the table of what is told to whom.
Not here  our sockets and the address told to everybody else (hops.py), STUN (transports/stun_client.py).
Source    RFC 3261 (June 2002) 18.2.1 (received); RFC 3581 4 (rport).

What a host says of us is used towards that host alone, in the Contact of later calls and registrations and in SDP. So
nobody can send our calls with others astray, and no dialog that is up changes its Contact.
"""

import ipaddress
from collections.abc import Callable
from dataclasses import dataclass
from typing import Final

from vfax.errors import DecodeError
from vfax.transports.sip.headers import parse_hostport
from vfax.transports.sip.message import Response
from vfax.transports.sip.values import Address, Destination, Flow, Transport

MAX_HOSTS: Final = 256
"""Limit: hosts whose view is remembered; the one that was heard of longest ago goes."""

_Key = tuple[Transport, str]


@dataclass(frozen=True, slots=True)
class Told:
    """What a host is told whatever it says, or (not `firm`) until it says how it sees us. Port 0: the socket's."""

    address: Address
    firm: bool


Guide = Callable[[Destination], Told | None]
"""What its owner wants a host to be told; None where that is for the host to say."""


class Shown:
    """What hosts are told instead of the address of our socket."""

    def __init__(self) -> None:
        self._learned: dict[_Key, Address] = {}
        self.guide: Guide = lambda to: None

    def __len__(self) -> int:
        return len(self._learned)

    def find(self, to: Destination) -> Address | None:
        """What `to` is told; None: the address of the socket. A port of 0 is that of the socket."""
        told = self.guide(to)
        if told is not None and told.firm:
            return told.address
        learned = self._learned.get((to.transport, to.address[0]))
        return learned if learned is not None or told is None else told.address

    def learn(self, flow: Flow, seen: Address, ours: Address) -> bool:
        """A host sees us at `seen`. True when that is news; `ours` is what it is told where its owner says nothing."""
        key = flow.transport, flow.remote[0]
        if (told := self.guide(flow)) is not None:
            ours = told.address[0], told.address[1] or ours[1]
        before = self._learned.pop(key, ours)
        if seen != ours:
            if len(self._learned) >= MAX_HOSTS:
                del self._learned[next(iter(self._learned))]
            self._learned[key] = seen
        return seen != before

    def forget(self, flow: Flow) -> None:
        """The connection by which a host saw us has gone, and its port with it."""
        self._learned.pop((flow.transport, flow.remote[0]), None)


def seen_in(response: Response) -> Address | None:
    """Where the sender of a response saw its request come from; None when it does not say, or says nonsense."""
    via = response.via
    received, rport = via.received, via.parameters.get("rport")
    if not received and not rport:
        return None
    try:
        host, port = ipaddress.ip_address(received or via.host), parse_hostport(f"x:{rport or via.sent_by[1]}")[1]
    except (ValueError, DecodeError):
        return None
    if not port or host.is_unspecified or host.is_multicast:
        return None
    return str(host), port
