"""Who may call without a password, whose password is asked for, and what policy holds for whom.

Owns      rules by source network; the judgement of one request; who is asked for the policy of one that begins a call.
Not here  whose messages are read at all (endpoint.py), digest itself (warden.py), which trunk a call belongs to.
Source    RFC 3261 (June 2002) 22.1, 22.2, 26.3.2.
"""

import ipaddress
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Final

from vfax.transports.sip.message import Request
from vfax.transports.sip.options import Dice
from vfax.transports.sip.policy import DialogPolicy
from vfax.transports.sip.values import IncomingCall
from vfax.transports.sip.warden import Judgement, Verdict, Warden, WardenOptions

IpNetwork = ipaddress.IPv4Network | ipaddress.IPv6Network

ASKED: Final = frozenset({"INVITE", "OPTIONS"})
"""Methods that are challenged, outside a dialog only: inside one its tags are proof enough (Limit: a peer that reads
them on the wire can spoof a BYE; TLS is the remedy). ACK and CANCEL never are (RFC 3261 22.1), nor what is refused
anyway."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Rule:
    """One kind of caller: those from `networks`. `digest` None: they need no password.

    `holds` knows hosts besides, as near as a network of one address: those that names stand for just now.
    """

    networks: tuple[IpNetwork, ...]
    digest: WardenOptions | None = None
    holds: Callable[[str], bool] = lambda host: False


@dataclass(frozen=True, slots=True)
class Entry:
    """Whether a request may come in. `user` has proved itself, "" where nobody had to.

    `fields` are the challenges for the 401 when it may not; `refused` is why, "" for one that was not asked before or
    whose nonce was old: nothing to alarm anybody.
    """

    admitted: bool
    user: str = ""
    fields: tuple[tuple[str, str], ...] = ()
    refused: str = ""


OPEN: Final = Entry(True)


@dataclass(slots=True)
class _Realm:
    """All who are asked for a password of one realm."""

    rules: list[Rule] = field(default_factory=list)
    users: dict[str, str] = field(default_factory=dict, repr=False)
    options: WardenOptions | None = None


class Admission:
    """The rules of one agent. Without rules everybody who is heard comes in.

    `freely` knows hosts that need no password besides: those that the names of trunks stand for just now. `policy_of`
    knows the policy of the trunk that a call would come by, None where that is the agent's own.
    """

    def __init__(
        self,
        rules: Sequence[Rule],
        dice: Dice,
        *,
        freely: Callable[[str], bool] = lambda host: False,
        policy_of: Callable[[IncomingCall], DialogPolicy | None] = lambda call: None,
    ) -> None:
        self._freely = freely
        self.policy_of = policy_of
        self._free = [rule for rule in rules if rule.digest is None]
        realms = _by_realm(rules)
        self._wardens = [
            (tuple(one.rules), Warden(one.options, dice)) for one in realms.values() if one.options is not None
        ]

    def judge(self, request: Request, host: str, now: float) -> Entry:
        """Judge a request from `host` outside any dialog. Never raises for what it holds.

        The longest network that holds the host decides; of equals one without a password. A host in none comes in:
        whether it is heard is not decided here.
        """
        if request.method not in ASKED or not self._wardens or self._freely(host):
            return OPEN
        free = _longest(self._free, host)
        asking = [warden for rules, warden in self._wardens if _longest(rules, host) > free]
        if not asking:
            return OPEN
        verdicts = [warden.judge(request, host, now) for warden in asking]
        for verdict in verdicts:
            if verdict.judgement is Judgement.ADMITTED:
                return Entry(True, verdict.user)
        fields = [
            one
            for warden, verdict in zip(asking, verdicts, strict=True)
            for one in warden.challenges(verdict, host, now)
        ]
        return Entry(False, fields=tuple(fields), refused=_refused(verdicts))


def _by_realm(rules: Sequence[Rule]) -> Mapping[str, _Realm]:
    """Rules of one realm share its nonces; the first one's limits hold for all."""
    realms: dict[str, _Realm] = {}
    for rule in rules:
        if rule.digest is not None:
            one = realms.setdefault(rule.digest.realm, _Realm())
            one.rules.append(rule)
            one.users |= rule.digest.users
            first = one.options or rule.digest
            one.options = WardenOptions(
                realm=first.realm,
                users=one.users,
                algorithms=first.algorithms,
                nonce_lifetime=first.nonce_lifetime,
                nonce_uses=first.nonce_uses,
                max_nonces=first.max_nonces,
            )
    return realms


def _longest(rules: Sequence[Rule], host: str) -> int:
    """The prefix length of the longest network that holds `host`, -1 for none."""
    try:
        address = ipaddress.ip_address(host.partition("%")[0])
    except ValueError:
        return -1
    if any(rule.holds(host) for rule in rules):
        return address.max_prefixlen
    networks = (network for rule in rules for network in rule.networks)
    return max((network.prefixlen for network in networks if address in network), default=-1)


def _refused(verdicts: Sequence[Verdict]) -> str:
    wrong = next((one for one in verdicts if one.judgement is Judgement.WRONG), None)
    if wrong is None:
        return ""
    return f"user {wrong.user!r}: {wrong.why}" if wrong.user else wrong.why
