"""Which trunk a call belongs to.

Owns      the trunks by name, domain, gateway and network; the Request-URI of a call that goes out.
Not here  asking the DNS (the rim tells what a gateway's name stands for), what becomes of the call (calls.py).
"""

import ipaddress
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from functools import lru_cache

from vfax.errors import DecodeError
from vfax.transports.sip.headers import Uri, bracketed
from vfax.transports.sip.sieve import is_open
from vfax.transports.sip.syntax import escape_user
from vfax.trunks.identity import written
from vfax.trunks.options import Accept, IpNetwork, TrunkOptions

KEPT_HOSTS = 4096
"""Limit: hosts of which it is remembered whether they may talk and whose they are; only time is lost with others."""
MAX_HOSTS = 64
"""Limit: numeric addresses that are remembered as one trunk's gateways."""


@dataclass(frozen=True, slots=True)
class Passage:
    """The way of a call that goes out: its trunk, and the user part it dials there (escaped, parameters included)."""

    trunk: TrunkOptions
    user: str
    tail: str = ""  # URI parameters, `;user=phone`

    def uri_for(self, goal: Uri) -> str:
        """The Request-URI towards `goal`, one of the trunk's goals."""
        trunk = self.trunk
        scheme = "sips" if goal.scheme == "sips" else "sip"
        if trunk.domain:
            return f"{scheme}:{self.user}@{bracketed(trunk.domain)}{self.tail}"
        place = goal if goal in trunk.gateways or not trunk.gateways else trunk.gateways[0]
        port = f":{place.port}" if place.port is not None else ""
        return f"{scheme}:{self.user}@{bracketed(place.host)}{port}{self.tail}"


class TrunkBook:
    """All trunks of one endpoint, in the order of the settings. Disabled ones have no calls."""

    def __init__(self, trunks: Sequence[TrunkOptions] = ()) -> None:
        self.trunks = tuple(trunks)
        self._by_name = {trunk.name.lower(): trunk for trunk in trunks}
        self.may_talk = lru_cache(KEPT_HOSTS)(self._may_talk)
        """Whether datagrams from a host are read for the sake of a trunk."""
        self.are_one = lru_cache(KEPT_HOSTS)(self._are_one)
        """Whether two hosts are of one trunk. A network that is open to everybody makes nobody one with another."""
        self._near = lru_cache(KEPT_HOSTS)(self._find_near)
        self._hosts: dict[str, tuple[str, ...]] = {trunk.name: _numeric_hosts(trunk) for trunk in trunks}

    def __len__(self) -> int:
        return len(self.trunks)

    def find(self, name: str) -> TrunkOptions | None:
        """The trunk of that name, in capitals or not."""
        return self._by_name.get(name.lower())

    # --- calls that go out -------------------------------------------------------------------------

    def of_destination(self, destination: str) -> Passage | None:
        """The trunk that a SIP URI names: as its host, by its domain, or as one of its gateways; None for no trunk.

        A trunk of that name that is disabled is returned as well: its calls cannot be made.
        """
        try:
            uri = Uri.parse(destination)
        except DecodeError:
            return None
        if uri.scheme not in ("sip", "sips") or not uri.host:
            return None
        trunk = (self.find(uri.host) if uri.port is None else None) or next(
            (one for one in self.trunks if one.enabled and _leads_to(one, uri)), None
        )
        if trunk is None:
            return None
        tail = "".join(
            f";{name}" if value is None else f";{name}={value}"
            for name, value in uri.parameters.items
            if name.lower() not in ("transport", "maddr", "lr")
        )
        return Passage(trunk, _dialled(uri, trunk), tail)

    # --- calls that come in ------------------------------------------------------------------------

    def learn_hosts(self, name: str, hosts: Iterable[str]) -> None:
        """What the names of a trunk's gateways stand for now: calls from there are its own."""
        trunk = self.find(name)
        if trunk is not None:
            known = tuple(dict.fromkeys((*_numeric_hosts(trunk), *hosts)))[:MAX_HOSTS]
            if known != self._hosts[trunk.name]:
                self._hosts[trunk.name] = known
                for remembered in (self.may_talk, self.are_one, self._near):
                    remembered.cache_clear()

    def _may_talk(self, host: str) -> bool:
        address = _address(host)
        return address is not None and any(
            trunk.enabled and self._reach(trunk, host, address) >= 0 for trunk in self.trunks
        )

    def of_incoming(
        self, host: str, *, port: int = 0, digest_user: str = "", domains: Sequence[str] = (), contact_user: str = ""
    ) -> TrunkOptions | None:
        """The trunk an INVITE from `host` came through; None for none.

        `digest_user` has answered our challenge. `domains` are the hosts of Request-URI, To and From, `contact_user`
        the user of the Request-URI, `port` where it was sent from: they tell apart what comes from one host.
        """
        if digest_user:
            users = (trunk for trunk in self.trunks if trunk.enabled and digest_user in trunk.inbound.users)
            return next(users, None)
        near, address = self._near(host), _address(host)
        if len(near) < 2:
            return near[0] if near else None
        spoken = {domain.lower() for domain in domains}
        for trunk in near:
            if spoken & {domain.lower() for domain in (*trunk.inbound.domains, trunk.domain) if domain}:
                return trunk
        for trunk in near:
            if contact_user and trunk.register is not None and trunk.register.contact_user == contact_user:
                return trunk
        for trunk in near:
            if any(uri.port == port and _address(uri.host) == address for uri in places(trunk)):
                return trunk
        return near[0]

    def _find_near(self, host: str) -> tuple[TrunkOptions, ...]:
        """The trunks that are closest to a host, as the settings have them in order."""
        address = _address(host)
        if address is None:
            return ()
        reach = [(self._reach(trunk, host, address), trunk) for trunk in self.trunks if trunk.enabled]
        best = max((length for length, _ in reach), default=-1)
        return tuple(trunk for length, trunk in reach if length == best >= 0)

    def _are_one(self, host: str, other: str) -> bool:
        addresses = _address(host), _address(other)
        return any(
            trunk.enabled and all(one is not None and self._owns(trunk, one) for one in addresses)
            for trunk in self.trunks
        )

    def _owns(self, trunk: TrunkOptions, address: ipaddress.IPv4Address | ipaddress.IPv6Address) -> bool:
        own = (network for network in trunk.inbound.networks if not is_open(network))
        return str(address) in self._hosts[trunk.name] or any(_within(address, network) for network in own)

    def is_known_gateway(self, host: str) -> bool:
        """Whether a host is a gateway of a trunk that is known by where it is, and needs no password."""
        address = _address(host)
        return address is not None and any(
            trunk.enabled and trunk.inbound.accept is not Accept.DIGEST and str(address) in self._hosts[trunk.name]
            for trunk in self.trunks
        )

    def is_gateway_of(self, name: str, host: str) -> bool:
        """Whether a host is one of those that the trunk of this name names."""
        address = _address(host)
        return address is not None and str(address) in self._hosts.get(name, ())

    def _reach(self, trunk: TrunkOptions, host: str, address: ipaddress.IPv4Address | ipaddress.IPv6Address) -> int:
        """How closely a host is a trunk's: the length of the network's prefix, -1 for not at all."""
        lengths = [network.prefixlen for network in trunk.inbound.networks if _within(address, network)]
        if str(address) in self._hosts[trunk.name]:
            lengths.append(address.max_prefixlen)
        return max(lengths, default=-1)


def _within(address: ipaddress.IPv4Address | ipaddress.IPv6Address, network: IpNetwork) -> bool:
    return address.version == network.version and address in network


def _address(host: str) -> ipaddress.IPv4Address | ipaddress.IPv6Address | None:
    try:
        return ipaddress.ip_address(host.partition("%")[0])
    except ValueError:
        return None


def places(trunk: TrunkOptions) -> tuple[Uri, ...]:
    """Every host that a trunk names."""
    proxy = () if trunk.outbound_proxy is None else (trunk.outbound_proxy,)
    registrar = () if trunk.register is None else (trunk.register.registrar,)
    return (*trunk.gateways, *proxy, *trunk.route, *registrar)


def _numeric_hosts(trunk: TrunkOptions) -> tuple[str, ...]:
    found = (_address(uri.host) for uri in places(trunk))
    return tuple(dict.fromkeys(str(address) for address in found if address is not None))


def _leads_to(trunk: TrunkOptions, uri: Uri) -> bool:
    host = uri.host.lower()
    if trunk.domain and host == trunk.domain.lower() and uri.port is None:
        return True
    return any((gateway.host.lower(), gateway.port) == (host, uri.port) for gateway in trunk.gateways)


def _dialled(uri: Uri, trunk: TrunkOptions) -> str:
    """The user part as the trunk wants it; one that is no telephone number stays as it came."""
    user = uri.user or ""
    number, semicolon, rest = user.partition(";")
    plain = uri.user_text.partition(";")[0]
    form = trunk.numbers.dial_format
    wanted = written(plain, form, trunk.numbers.region) if form else plain
    return (escape_user(wanted) if wanted != plain else number) + semicolon + rest
