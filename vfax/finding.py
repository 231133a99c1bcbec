"""Where a SIP URI is to be called: a numeric host as it is, a name by the system's resolver.

Owns      the way from a URI to hops.
Not here  which account calls it (endpoint.py), trying the hops in turn (transports/sip/errands.py).
Source    RFC 3263 4.1, 4.2, without NAPTR and SRV.
"""

import trio

from vfax.errors import DecodeError, LinkError
from vfax.transports.sip.account import Account
from vfax.transports.sip.headers import Uri
from vfax.transports.sip.hops import transport_of
from vfax.transports.sip.values import Address, Hop, Transport


async def find_hops(uri: str, account: Account, ours: Address) -> list[Hop]:
    """The hops of a SIP URI in the family of `ours`, best first; at least one. Raises LinkError for what cannot be
    called.
    """
    try:
        parsed = Uri.parse(uri)
    except DecodeError as why:
        raise LinkError(f"{uri!r} is not a SIP address: {why.what}") from why
    if parsed.scheme != "sip" or parsed.headers:
        raise LinkError(f"{uri!r} cannot be called: only sip: addresses without headers can")
    found = transport_of(parsed, account.transport or Transport.UDP)
    if found is None:
        raise LinkError(f"{uri!r} cannot be called: its transport is none of udp, tcp and tls")
    transport, fixed = found
    family = trio.socket.AF_INET6 if ":" in ours[0] else trio.socket.AF_INET
    host = (parsed.parameters.get("maddr") or parsed.host).strip("[]")
    try:
        addresses = await trio.socket.getaddrinfo(
            host, parsed.port or transport.port, family=family, type=trio.socket.SOCK_DGRAM
        )
    except (OSError, UnicodeError) as why:  # a name that is no name fails as Unicode
        raise LinkError(f"{parsed.host} cannot be resolved: {getattr(why, 'strerror', None) or why}") from why
    hops = [(str(address[0]), int(address[1])) for *_, address in addresses]
    fixed = fixed or account.transport is not None
    return [Hop(transport, *hop, name=parsed.host, fixed=fixed) for hop in dict.fromkeys(hops)]
