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


async def find_hops(uri: str, account: Account, families: frozenset[int]) -> list[Hop]:
    """The hops of a SIP URI in the IP versions `families`, best first; at least one. Raises LinkError for what cannot
    be called.
    """
    try:
        parsed = Uri.parse(uri)
    except DecodeError as why:
        raise LinkError(f"{uri!r} is not a SIP address: {why.what}") from why
    if parsed.scheme not in ("sip", "sips") or parsed.headers:
        raise LinkError(f"{uri!r} cannot be called: only sip: and sips: addresses without headers can")
    found = transport_of(parsed, account.transport or Transport.UDP)
    if found is None:
        raise LinkError(f"{uri!r} cannot be called: its transport is none of udp, tcp and tls")
    transport, fixed = found
    fixed = fixed or account.transport is not None
    name = (parsed.parameters.get("maddr") or parsed.host).strip("[]")
    addresses = await _look_up(name, parsed.port or transport.port, families)
    return [Hop(transport, *address, name=parsed.host, fixed=fixed) for address in addresses]


async def _look_up(name: str, port: int, families: frozenset[int]) -> list[Address]:
    family = {4: trio.socket.AF_INET, 6: trio.socket.AF_INET6}[min(families)] if len(families) == 1 else 0
    try:
        found = await trio.socket.getaddrinfo(name, port, family=family, type=trio.socket.SOCK_DGRAM)
    except (OSError, UnicodeError) as why:  # a name that is no name fails as Unicode
        alone = f" over IPv{min(families)}, and we listen on nothing else" if len(families) == 1 else ""
        raise LinkError(f"{name} cannot be resolved{alone}: {getattr(why, 'strerror', None) or why}") from why
    return list(dict.fromkeys((str(address[0]), int(address[1])) for *_, address in found))
