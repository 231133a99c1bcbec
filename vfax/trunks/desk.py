"""The trunks of one endpoint: which carries a call, as whom, under what policy.

Owns      accounts and departures: what the SIP agent and a call are told of a trunk.
Not here  finding a trunk (book.py), turns (limits.py), its state (board.py), the calls themselves (vfax/calls.py).
"""

from collections.abc import Sequence
from contextlib import suppress
from dataclasses import dataclass, replace
from functools import partial

from vfax.errors import DecodeError
from vfax.leg_values import LegOptions
from vfax.transports.sip import values as sip
from vfax.transports.sip.account import NO_ACCOUNT, Account
from vfax.transports.sip.admission import Rule
from vfax.transports.sip.headers import NameAddr, Uri
from vfax.transports.sip.policy import DialogPolicy
from vfax.transports.sip.warden import WardenOptions
from vfax.trunks.book import TrunkBook
from vfax.trunks.identity import NOBODY, Parties, of_call, parties
from vfax.trunks.options import Accept, TrunkOptions


@dataclass(frozen=True, slots=True, kw_only=True)
class Departure:
    """How a call of ours sets out: what it dials, where that is sent, on whose behalf, as whom.

    `uris` has what is dialled at each of the goals: a gateway is asked for a number of its own (RFC 3261 8.1.1.1).
    `peer` and `number` are under what the other side is remembered: the trunk or the host, and what is dialled there.
    """

    uris: tuple[str, ...]
    goals: tuple[str, ...]
    account: Account
    from_user: str
    from_name: str
    peer: str
    number: str

    @property
    def uri(self) -> str:
        """What is dialled at the first of them."""
        return self.uris[0]


class TrunkDesk:
    """Answers what a call needs to know of its trunk. `leg` is the policy of calls that have none."""

    def __init__(self, trunks: Sequence[TrunkOptions], leg: LegOptions) -> None:
        self.book = TrunkBook(trunks)
        self._leg = leg
        self._service_routes: dict[str, tuple[str, ...]] = {}

    def trunk_of(self, account: Account) -> TrunkOptions | None:
        """The trunk behind an account; None for calls that have none."""
        return self.book.find(account.name) if account.name else None

    def leg_options(self, account: Account) -> LegOptions:
        """The policy of calls by this account."""
        trunk = self.trunk_of(account)
        return self._leg if trunk is None else trunk.leg

    def learn_routes(self, name: str, routes: tuple[str, ...]) -> None:
        """What a registrar wants requests of this registration to visit (Service-Route, RFC 3608)."""
        self._service_routes[name] = routes

    def account(self, trunk: TrunkOptions) -> Account:
        """What the trunk adds to the requests of a call."""
        bare = self.bare_account(trunk)
        return replace(bare, routes=bare.routes + self._service_routes.get(trunk.name, ()))

    @staticmethod
    def bare_account(trunk: TrunkOptions) -> Account:
        """What it adds to any request, registering included."""
        proxy = trunk.outbound_proxy
        through = (proxy,) if proxy is not None and proxy.loose else ()
        return Account(
            name=trunk.name,
            routes=tuple(f"<{_loose(uri)}>" for uri in (*through, *trunk.route)),
            from_domain=trunk.identity.from_domain,
            contact_user=trunk.register.contact_user if trunk.register is not None else "",
            credentials=(trunk.credentials,) if trunk.credentials is not None else (),
            md5=trunk.md5,
            dialogs=trunk.dialogs,
        )

    # --- calls that go out -------------------------------------------------------------------------

    def depart(self, destination: str, *, number: str, name: str) -> Departure:
        """A call to `destination`; `number` and `name` are those of the job's sender, "" for none."""
        passage = self.book.of_destination(destination)
        if passage is None:
            return Departure(
                uris=(destination,),
                goals=(destination,),
                account=NO_ACCOUNT,
                from_user=number.replace(" ", "") or NOBODY,
                from_name=name,
                peer=_host(destination),
                number=_user(destination),
            )
        trunk = passage.trunk
        who = of_call(trunk, number=number, name=name)
        uris = tuple(passage.uri_for(goal) for goal in trunk.goals) or (destination,)
        return Departure(
            uris=uris,
            goals=tuple(goal.text for goal in trunk.goals),
            account=replace(self.account(trunk), headers=who.headers),
            from_user=who.from_user,
            from_name=who.from_name,
            peer=trunk.name,
            number=_user(uris[0]),
        )

    # --- calls that come in ------------------------------------------------------------------------

    def account_of(self, event: sip.IncomingCall) -> Account:
        """By which account a call comes in."""
        trunk = self._came_by(event)
        return NO_ACCOUNT if trunk is None else self.account(trunk)

    def policy_of(self, event: sip.IncomingCall) -> DialogPolicy | None:
        """The policy of the dialogs of calls that come as this one would; None where no trunk has one."""
        trunk = self._came_by(event)
        return None if trunk is None else trunk.dialogs

    def _came_by(self, event: sip.IncomingCall) -> TrunkOptions | None:
        return self.book.of_incoming(
            event.source[0],
            port=event.source[1],
            digest_user=event.digest_user,
            domains=tuple(_domains(event)),
            contact_user=event.dialled,
        )

    def parties(self, account: Account, event: sip.IncomingCall) -> Parties:
        """Who calls whom, as the trunk's numbers are read; without one as the agent read them."""
        trunk = self.trunk_of(account)
        if trunk is None:
            return Parties(caller=event.caller, caller_name=event.caller_name, dialled=event.dialled)
        return parties(trunk.numbers, event.request_uri, event.identities)

    def rules(self) -> tuple[Rule, ...]:
        """Whose passwords are asked for: those from gateways and networks of trunks that want one, nobody else's."""
        return tuple(self._rule(trunk) for trunk in self.book.trunks if trunk.enabled)

    def _rule(self, trunk: TrunkOptions) -> Rule:
        inbound = trunk.inbound
        if inbound.accept is not Accept.DIGEST:
            return Rule(networks=inbound.networks)
        return Rule(
            networks=inbound.networks,
            holds=partial(self.book.is_gateway_of, trunk.name),
            digest=WardenOptions(
                realm=inbound.realm,
                users=inbound.users,
                nonce_lifetime=inbound.nonce_lifetime,
                nonce_uses=inbound.nonce_uses,
            ),
        )


def _loose(uri: Uri) -> str:
    return uri.text if uri.loose else f"{uri.text};lr"


def _user(uri: str) -> str:
    with suppress(DecodeError):
        return Uri.parse(uri).user_text.partition(";")[0]
    return ""


def _host(uri: str) -> str:
    with suppress(DecodeError):
        return Uri.parse(uri).host.lower()
    return ""


def _domains(event: sip.IncomingCall) -> list[str]:
    found = []
    with suppress(DecodeError):
        found.append(Uri.parse(event.request_uri).host)
    for name, value in event.identities:
        if name in ("to", "from"):
            with suppress(DecodeError):
                found.append(NameAddr.parse(value).uri.host)
    return [host for host in found if host]
