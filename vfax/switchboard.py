"""The trunks of an endpoint at work: which carries a call, when it may go, what becomes known of each.

Owns      the turns of calls at a trunk's limits; what calls, registrations and probes tell of their trunks; who is to
          be looked after, and who is asked for a password.
Not here  the decisions (vfax/trunks), the calls (calls.py), registering and probing (tending.py).
"""

import math
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Protocol

import trio

from vfax.leg import LegOptions
from vfax.resolving import Way
from vfax.tending import Peer, Tending, Ward
from vfax.transports.certificates import Certificates, Checks, TlsOptions
from vfax.transports.sip.account import Account
from vfax.transports.sip.admission import Admission, Rule
from vfax.transports.sip.headers import bracketed
from vfax.transports.sip.keepalive import KeepAliveMode
from vfax.transports.sip.options import Dice
from vfax.transports.sip.outside import Asking
from vfax.transports.sip.probing import Health, Probed
from vfax.transports.sip.registration import Changed, RegistrationOptions, Standing
from vfax.transports.sip.values import Address, Destination, Hop, RequestKey
from vfax.transports.sip_streams import Towards
from vfax.transports.udp import format_address
from vfax.trunks.board import Direction, FaxSeen, TrunkBoard, TrunkRow, sentence_of
from vfax.trunks.book import places
from vfax.trunks.desk import TrunkDesk
from vfax.trunks.identity import NOBODY, identity_uri
from vfax.trunks.limits import Gate, Turn
from vfax.trunks.options import IpNetwork, TrunkOptions

FREE = Turn(goes=True)
"""What calls hear that belong to no trunk, or to one without limits."""
LONGEST_RETRY_AFTER = 60
"""Limit: seconds that a caller is asked to wait."""


@dataclass(slots=True)
class _Turnstile:
    """The gate of one trunk, and those who wait before it: first come, first served."""

    gate: Gate
    line: trio.StrictFIFOLock = field(default_factory=trio.StrictFIFOLock)
    left: trio.Event = field(default_factory=trio.Event)

    async def enter(self, within: float) -> Turn:
        if not self.line.locked() and (turn := self.gate.enter(trio.current_time())).goes:
            return turn
        turn = Turn(goes=False)
        with trio.move_on_after(within):
            async with self.line:
                while not (turn := self.gate.enter(trio.current_time())).goes:
                    with trio.move_on_after(turn.wait):
                        await self.left.wait()
        return turn if turn.why or turn.goes else self.gate.crowded(trio.current_time())

    def leave(self) -> None:
        self.gate.leave()
        self.left.set()
        self.left = trio.Event()


class Switchboard:
    """What an endpoint does with its trunks. Calls without a trunk pass through it untouched."""

    def __init__(self, trunks: Sequence[TrunkOptions], leg: LegOptions) -> None:
        self.desk = TrunkDesk(trunks, leg)
        self.board = TrunkBoard(tuple(trunks))
        self._standing: dict[str, Standing] = {}  # as the operator was told
        self._troubled: set[str] = set()  # trunks of which a gateway was said to be down
        self.changed = trio.Event()
        """Set, and another one, with each news of a registration or a gateway."""
        self._ways: dict[str, Sequence[Hop]] = {}  # where a registration went last
        self._found: dict[str, Hop] = {}  # where a trunk was found last
        self._turnstiles = {trunk.name: _Turnstile(Gate(trunk.name, trunk.limits)) for trunk in trunks}

    # --- looking after trunks -----------------------------------------------------------------------

    def admission(self, allow: Sequence[IpNetwork], dice: Dice) -> Admission:
        """Who may call without a password: those in `allow`, and trunks that are known by where they are."""
        rules = (Rule(networks=tuple(allow)), *self.desk.rules())
        return Admission(rules, dice, freely=self.desk.book.is_known_gateway, policy_of=self.desk.policy_of)

    def tending(self, rim: "Rim", dice: Dice, *, everybody: bool = True) -> Tending:
        """What looks after all trunks, for one run of the endpoint; not `everybody`: after none."""

        async def find(uri: str, account: Account) -> Sequence[Hop]:
            trunk = self.desk.trunk_of(account)
            register = trunk.register if trunk is not None else None
            registers = register is not None and uri == register.registrar.text
            goals = [goal.text for goal in register.goals] if registers and register is not None else [uri]
            targets = (await rim.find(goals, account)).targets
            if trunk is not None and (register is None or registers):
                self._ways[trunk.name] = targets
            return targets

        def tell(news: Changed | Probed) -> None:
            if isinstance(news, Changed):
                self._registered(news, rim)
            else:
                self._probed(news, rim)
            self.changed.set()
            self.changed = trio.Event()

        tended = [trunk for trunk in self.desk.book.trunks if trunk.enabled and everybody]
        wards = [_ward(trunk, self.desk.bare_account(trunk)) for trunk in tended]
        return Tending(wards, dice, find=find, place=rim.place_shown, request=rim.request, pump=rim.pump, tell=tell)

    def _registered(self, news: Changed, rim: "Rim") -> None:
        trunk, now = self.desk.book.find(news.key), news.now
        if trunk is None:
            return
        before = self._standing.get(trunk.name)
        self._standing[trunk.name] = now.standing
        if now.standing is not before and now.standing is not Standing.REGISTERING:
            rim.notice(f"trunk {trunk.name}: {sentence_of(now.why)}")
        self.board.registration(trunk.name, now)
        if now.standing is Standing.REGISTERED:
            self.desk.learn_routes(trunk.name, now.routes)
        up = now.standing in (Standing.REGISTERED, Standing.REGISTERING)
        self._keep_open(trunk, rim, up)

    def _keep_open(self, trunk: TrunkOptions, rim: "Rim", registered: bool) -> None:
        """Keep the way to a registrar, or to the gateway that was written to last, open through NAT."""
        mode = trunk.keep_alive.mode
        kept = mode is KeepAliveMode.CRLF or (mode is KeepAliveMode.AUTO and registered)
        rim.keep_open(trunk.name, self._ways.get(trunk.name, ())[:1] if kept else ())

    def _probed(self, news: Probed, rim: "Rim") -> None:
        name, _, uri = news.key.partition(" ")
        trunk = self.desk.book.find(name)
        goal = next((goal for goal in trunk.goals if goal.text == uri), None) if trunk is not None else None
        if trunk is not None and goal is not None:
            self.board.probe(trunk.name, goal, news, trio.current_time())
            if news.changed and (news.health is Health.DOWN or name in self._troubled):
                rim.notice(f"trunk {name}: {sentence_of(news.why)}")
                (self._troubled.add if news.health is Health.DOWN else self._troubled.discard)(name)
            if trunk.register is None:
                self._keep_open(trunk, rim, registered=False)

    # --- turns ------------------------------------------------------------------------------------

    async def enter(self, account: Account) -> Turn:
        """A turn for a call that goes out: at once, or after waiting as long as its trunk allows.

        Who goes has to `leave`.
        """
        trunk = self.desk.trunk_of(account)
        if trunk is None:
            return FREE
        turn = await self._turnstiles[trunk.name].enter(trunk.limits.queue_for)
        self._note(trunk, Direction.OUT, turn)
        return turn

    def admit(self, account: Account) -> Turn:
        """A turn for a call that comes in: now, or not at all. Who goes has to `leave`."""
        trunk = self.desk.trunk_of(account)
        if trunk is None:
            return FREE
        turn = self._turnstiles[trunk.name].gate.enter(trio.current_time())
        self._note(trunk, Direction.IN, turn)
        return turn

    def leave(self, account: Account, direction: Direction, seen: FaxSeen | None) -> None:
        """A call that went is over."""
        trunk = self.desk.trunk_of(account)
        if trunk is not None:
            self._turnstiles[trunk.name].leave()
            self.board.ended(trunk.name, direction, seen, trio.current_time())

    def know_ways(self, trunk: TrunkOptions, ways: Sequence[Hop]) -> None:
        """Where the names of a trunk lead now, the best first."""
        self.desk.book.learn_hosts(trunk.name, (hop.host for hop in ways))
        self._found[trunk.name] = ways[0]

    def rows(self, told: Callable[[Hop], Address | None] | None = None) -> tuple[TrunkRow, ...]:
        """How all trunks fare; `told` says what a target is told of our address, None where there is nothing to say."""
        rows = self.board.rows(trio.current_time())
        if told is None:
            return rows
        return tuple(replace(row, public_address=self._told(row.name, told)) for row in rows)

    def _told(self, name: str, told: Callable[[Hop], Address | None]) -> str:
        found = told(self._found[name]) if name in self._found else None
        return "" if found is None else format_address(found)

    def _note(self, trunk: TrunkOptions, direction: Direction, turn: Turn) -> None:
        if turn.goes:
            self.board.began(trunk.name, direction)
        else:
            self.board.refused(trunk.name, turn.why, trio.current_time())


class Rim(Protocol):
    """What looking after trunks needs of the endpoint."""

    async def find(self, goals: Sequence[str], account: Account) -> Way:
        """Where to send what is for these SIP URIs."""
        ...

    def request(self, asking: Asking) -> RequestKey:
        """Send an OPTIONS or REGISTER."""
        ...

    def place_shown(self, hop: Hop) -> str:
        """Our host and port as `hop` is told."""
        ...

    def pump(self) -> None:
        """Send and tell what the agent has to send and tell."""
        ...

    def keep_open(self, name: str, ways: Iterable[Destination]) -> None:
        """Keep these ways open for `name`."""
        ...

    def notice(self, sentence: str) -> None:
        """Have the operator told."""
        ...


def _ward(trunk: TrunkOptions, account: Account) -> Ward:
    register = trunk.register
    user = register.user if register is not None else NOBODY
    return Ward(
        name=trunk.name,
        account=account,
        registration=RegistrationOptions(
            registrar=register.registrar.text,
            aor=identity_uri(register.user, register.domain),
            expires=register.expires,
            refresh_share=register.refresh_share,
            retry=register.retry,
            retry_max=register.retry_max,
        )
        if register is not None
        else None,
        peers=tuple(Peer(uri=goal.text, name=goal.text.partition(":")[2]) for goal in trunk.goals),
        probe=trunk.probe,
        from_user=f"{user}@{bracketed(trunk.identity.from_domain)}" if trunk.identity.from_domain else user,
    )


def certificates_of(trunks: Sequence[TrunkOptions]) -> dict[str, Towards]:
    """TLS towards the gateways of trunks that have certificates, or a name, of their own."""
    found: dict[str, Towards] = {}
    for trunk in trunks:
        if (tls := trunk.tls) is not None and trunk.enabled:
            files = TlsOptions(
                certificate=_file(tls.certificate),
                key=_file(tls.key),
                authorities=_file(tls.authorities),
                checks=Checks(tls.checks),
            )
            towards = Towards(Certificates(files), tls.server_name)
            found |= {uri.host.lower(): towards for uri in places(trunk)}
    return found


def _file(name: str) -> Path | None:
    return Path(name).absolute() if name else None


def retry_after(turn: Turn) -> int:
    """Seconds that a caller without a turn is asked to wait (RFC 3261 20.33)."""
    return LONGEST_RETRY_AFTER if turn.wait == math.inf else max(1, min(LONGEST_RETRY_AFTER, math.ceil(turn.wait)))
