"""Which faxes go between vfax and libspandsp through Kamailio, and how each is judged.

Owns      `Passage` (one fax by way of a proxy), `play_passage`, `Balance` (two vfax nodes behind a load balancer).
Not here  the proxy (kamailio.py), both ends (peer.py, side.py), which of these run when (test_kamailio.py: a few;
          `script/interop kamailio`: all).

Everything here takes real time: Kamailio knows no other.
"""

import re
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from dataclasses import dataclass, field, replace
from functools import partial
from itertools import count, product
from pathlib import Path
from typing import Final

import trio

from tests.certs import Authority, Credentials
from tests.interop import documents
from tests.interop.kamailio import HOST, Account, Kamailio, Plan, free_port, open_kamailio
from tests.interop.matrix import PEER_ID, Caller, Case, Limiter, Played, Start, judge, peer_habits, vfax_options
from tests.interop.peer import CallResult, Ending, Habits, SpandspPeer, open_peer
from tests.interop.side import OUR_ID, Fax, VfaxSide, open_vfax
from tests.interop.spandsp import Abilities, Coding, Modem
from vfax import call
from vfax.endpoint import EndpointOptions
from vfax.settings import load
from vfax.settings.wiring import endpoint_options
from vfax.transports.sip.registration import Standing
from vfax.transports.sip.values import Transport

LOGIN: Final = Account()
DOMAIN: Final = "fax.example.com"
"""Of trunks that are reached by an outbound proxy alone."""
ALGORITHMS: Final = ("MD5", "SHA-256")
REGISTER_PATIENCE: Final = 10.0


@dataclass(frozen=True, slots=True, kw_only=True)
class Passage:
    """One fax of one page by way of Kamailio."""

    caller: Caller
    start: Start
    transport: Transport = Transport.UDP  # between vfax and Kamailio; libspandsp's is UDP
    digest: str = ""  # the algorithm by which vfax proves itself, registered there; "": it need not
    proxied: bool = False  # Kamailio is the outbound proxy of a domain without gateways, and vfax's first Route

    @property
    def case(self) -> Case:
        """What is agreed between both ends."""
        return Case(self.caller, self.start, True, Modem.V17, Coding.MMR, 1, False, Limiter.PEER)

    def __str__(self) -> str:
        way = "proxied" if self.proxied else "gateway"
        return f"{self.transport.lower()} {self.caller} {self.start} {self.digest.lower() or 'no-digest'} {way}"

    @property
    def by(self) -> str:
        """The transport as URIs name it."""
        return self.transport.lower()

    @property
    def challenged_invites(self) -> int:
        """How many INVITEs of vfax hear 407."""
        calls = self.caller is Caller.VFAX
        re_invites = self.start is not Start.DIRECT and calls is (self.start is Start.CALLER_ASKS)
        return (calls + re_invites) if self.digest else 0

    def plan(self, port: int, peer: SpandspPeer, keys: Credentials) -> Plan:
        """What Kamailio does. Without digest it knows where vfax is; with it, vfax registers."""
        routes = {"spandsp": peer.uri}
        if not self.digest:
            return Plan(routes=routes | {"fax1": f"sip:fax1@{HOST}:{port};transport={self.by}"}, keys=keys)
        return Plan(
            accounts=(LOGIN,),
            algorithm=self.digest,
            challenge=frozenset({"REGISTER", "INVITE", "BYE"}),
            once=True,
            trusted=(peer.address[1],),
            routes=routes,
            keys=keys,
        )

    def options(self, port: int, proxy: Kamailio, keys: Credentials, folder: Path) -> EndpointOptions:
        """What vfax is told, by a file of settings."""
        host, at = proxy.address(self.by)
        place = f"sip:{host}:{at};transport={self.by}"
        where = f'domain = "{DOMAIN}"\noutbound_proxy = "{place};lr"' if self.proxied else f'gateways = ["{place}"]'
        file = folder / "vfax.toml"
        account = ""
        if self.digest:
            account = (
                f'registers = true\nuser = "{LOGIN.user}"\npassword = "{LOGIN.password}"\nrealm = "{LOGIN.realm}"\n'
            )
        file.write_text(
            f'[sip]\nlisten = "{self.by}:{HOST}:{port}"\ntls_certificate = "{keys.certificate}"\n'
            f'tls_authorities = "{keys.authority}"\n[[trunk]]\nname = "kamailio"\n'
            f"{where}\noptions_interval = 0.0\n{account}"
        )
        leg = vfax_options(self.case).leg
        options = endpoint_options(load(file, environ={}))
        trunks = tuple(replace(trunk, leg=leg) for trunk in options.trunks)
        return replace(options, leg=leg, trunks=trunks, media_ports=None, journal=None)


def all_passages() -> list[Passage]:
    """Every combination; by way of an outbound proxy those that are challenged on the re-INVITE."""
    passages = [
        Passage(transport=transport, caller=caller, start=start, digest=digest)
        for transport, digest, caller, start in product(Transport, ("", *ALGORITHMS), Caller, Start)
    ]
    return passages + [
        replace(one, proxied=True) for one in passages if one.digest == "SHA-256" and one.start is Start.CALLED_ASKS
    ]


@dataclass(slots=True)
class Passed:
    """How a passage went."""

    played: Played
    pages_arrived: bool
    relayed: list[str]  # what Kamailio saw of the call
    complaints: list[str]  # of Kamailio


async def play_passage(passage: Passage, folder: Path, *, lines: int = 1) -> Passed:
    """Run one fax to its end."""
    folder.mkdir(exist_ok=True)  # noqa: ASYNC240 - nothing else waits yet
    pages = documents.draw_pages(1, lines=lines)
    document, target = documents.write_fax(folder / "sent.tif", pages), folder / "got.tif"
    keys, port = await trio.to_thread.run_sync(lambda: Authority.make(folder).credentials("both")), free_port()
    async with open_peer() as peer:
        async with open_kamailio(passage.plan(port, peer, keys), folder / "kamailio") as proxy:
            options = passage.options(port, proxy, keys, folder)
            async with open_vfax(options) as side:
                if passage.digest:
                    await _registered(side)
                played = await _play(passage, side, peer, proxy, document, target)
        try:
            documents.assert_same_pages(target, pages)
        except (AssertionError, OSError):
            return Passed(played, False, proxy.seen("script"), proxy.complaints())
    return Passed(played, True, proxy.seen("script"), proxy.complaints())


async def _registered(side: VfaxSide) -> None:
    """Wait until the trunk says that it is registered."""
    with trio.move_on_after(REGISTER_PATIENCE):
        while not _is_registered(side):  # noqa: ASYNC110 - a view tells nobody
            await trio.sleep(0.05)
        return
    raise AssertionError(f"vfax did not register: {side.endpoint.switchboard.rows()}")


def _is_registered(side: VfaxSide) -> bool:
    registration = side.endpoint.switchboard.rows()[0].registration
    return registration is not None and registration.standing == Standing.REGISTERED


async def _play(
    passage: Passage, side: VfaxSide, peer: SpandspPeer, proxy: Kamailio, document: Path, target: Path
) -> Played:
    habits, inbound = peer_habits(passage.case), passage.caller is Caller.PEER
    faxes: list[Fax] = []
    results: list[CallResult] = []

    async def vfax_works() -> None:
        work = side.receive(target) if inbound else side.send(document, "sip:spandsp@kamailio")
        faxes.append(await work)

    async def peer_works() -> None:
        work = peer.call(proxy.uri("fax1"), document, habits) if inbound else peer.listen(target, habits)
        results.append(await work)

    async with trio.open_nursery() as nursery:
        nursery.start_soon(vfax_works)
        nursery.start_soon(peer_works)
    return Played(faxes[0], results[0], peer.transcript.text())


def judge_passage(passage: Passage, passed: Passed) -> None:
    """The fax is well, and every message of its dialog went through Kamailio."""
    judge(passage.case, passed.played)
    assert passed.pages_arrived, passed.played.log
    assert passed.complaints == []
    relayed = "\n".join(passed.relayed)
    for request in ("INVITE", "ACK", "BYE"):
        assert f" {request} sip:" in relayed, relayed
    ways = set(re.findall(r"in  (\w+):127", relayed))
    assert ways == {"udp", passage.by}, relayed
    invites = 1 if passage.start is Start.DIRECT else 2
    assert relayed.count(" INVITE sip:") == invites + passage.challenged_invites, relayed
    challenged = bool(passage.digest) and passed.played.result.ending is Ending.THEM
    assert relayed.count(" BYE sip:") == 1 + challenged, relayed
    assert ("REGISTER" in relayed) is bool(passage.digest), relayed
    outside = re.findall(rf" (REGISTER|INVITE) sip:\S*{re.escape(DOMAIN)} ", relayed)
    preloaded = re.findall(rf"a preloaded route <sip:127\S+;transport={passage.by};lr>", relayed)
    assert len(preloaded) == len(outside) == relayed.count("a preloaded route"), relayed
    assert (f"sip:{DOMAIN}" in relayed) is passage.proxied, relayed


# A load balancer

NODE_PATIENCE: Final = 120.0
NAMES: Final = ("one", "two")


@dataclass(slots=True)
class Balance:
    """Two vfax nodes behind one Kamailio, and what came of faxes to them. A third node was never there."""

    folder: Path
    results: list[CallResult] = field(default_factory=list)
    taken: dict[str, list[Fax]] = field(default_factory=lambda: {name: [] for name in NAMES})
    _expected: int = 0

    async def run(self, faxes: int) -> None:
        """Send so many faxes at once, and wait until all have ended."""
        async with self._between() as (send, node_two), node_two:
            await send(faxes)

    async def lose_a_node(self, faxes: int) -> None:
        """Half of the faxes to both nodes, then one goes away without a word, then the other half."""
        async with self._between() as (send, node_two):
            async with node_two:
                await send(faxes // 2)
            await send(faxes - faxes // 2)

    def judge(self, faxes: int) -> None:
        """All have arrived, and both nodes had some."""
        assert [result.ok for result in self.results] == [True] * faxes, self.results
        assert all(self.taken.values()), self.taken
        assert len(list(self.arrived())) == faxes

    def arrived(self) -> Iterator[Fax]:
        """All faxes that vfax has received whole."""
        return (fax for faxes in self.taken.values() for fax in faxes if fax.ended.ok)

    @asynccontextmanager
    async def _between(
        self,
    ) -> AsyncIterator[tuple[Callable[[int], Awaitable[None]], AbstractAsyncContextManager[None]]]:
        """Node one, Kamailio and a peer; gives what sends faxes, and the block in which node two is up."""
        self.folder.mkdir(exist_ok=True)
        document = documents.write_fax(self.folder / "balanced.tif", documents.draw_pages(1, lines=1))
        gone, one, two = free_port(), free_port(), free_port()
        plan = Plan(nodes=tuple(f"sip:{HOST}:{port}" for port in (gone, one, two)))
        proxying = open_kamailio(plan, self.folder / "balancer")
        async with self._node("one", one), open_peer() as peer, proxying as proxy:
            yield partial(self._send, peer, proxy.uri("fax"), document), self._node("two", two)

    async def _send(self, peer: SpandspPeer, uri: str, document: Path, faxes: int) -> None:
        self._expected += faxes
        async with trio.open_nursery() as nursery:
            for _ in range(faxes):
                nursery.start_soon(self._call, peer, uri, document)
        with trio.fail_after(NODE_PATIENCE):
            while sum(map(len, self.taken.values())) < self._expected:  # noqa: ASYNC110 - other tasks' work
                await trio.sleep(0.05)

    async def _call(self, peer: SpandspPeer, uri: str, document: Path) -> None:
        self.results.append(await peer.call(uri, document, Habits(abilities=Abilities(ident=PEER_ID))))

    @asynccontextmanager
    async def _node(self, name: str, port: int) -> AsyncIterator[None]:
        async with open_vfax(EndpointOptions(listen=(HOST, port))) as side, trio.open_nursery() as nursery:
            nursery.start_soon(self._take_all, name, side)
            yield
            nursery.cancel_scope.cancel()

    async def _take_all(self, name: str, side: VfaxSide) -> None:
        async with trio.open_nursery() as nursery:
            for number in count():
                incoming = await side.next_call()
                nursery.start_soon(self._take, name, incoming, self.folder / f"{name}-{number}.tif")

    async def _take(self, name: str, incoming: call.InboundCall, target: Path) -> None:
        fax = Fax(target)
        target.touch()  # noqa: ASYNC240 - nothing waits for it
        fax.outcome = await incoming.receive(target, local_id=OUR_ID, publish=fax.events.append)
        self.taken[name].append(fax)
