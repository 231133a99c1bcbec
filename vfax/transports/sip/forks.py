"""Branches of a call that we make, while none has answered: early dialogs, one for each To tag.

Owns      the dialog, the offers and the reliable responses of each branch; PRACK.
Not here  the INVITE and its answers (caller.py), the numbers of reliable responses (reliable.py).
Source    RFC 3261 (June 2002) 12.1.2, 13.2.2.1; RFC 3262 4, 5; RFC 6337 2, 3.

Limit: 16 branches of one INVITE; what comes from more of them only rings.
"""

from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Final

from vfax.transports.sip.account import Account
from vfax.transports.sip.core import Core
from vfax.transports.sip.dialog import AckStore, Dialog
from vfax.transports.sip.exchange import Exchange, Phase, SessionKeeper
from vfax.transports.sip.message import Request, Response
from vfax.transports.sip.reliable import Arrival, RAck, ReliableReceiver
from vfax.transports.sip.transaction import Purpose, Transaction
from vfax.transports.sip.values import CallKey, Flow, Reoffered

MAX_FORKS: Final = AckStore.LIMIT


@dataclass(slots=True)
class Fork:
    """One branch. `sdp` is the answer it has given, `settled` whether for good."""

    dialog: Dialog
    exchange: Exchange
    serial: int = 0  # of the INVITE's transaction; another try of it makes other branches
    receiver: ReliableReceiver = field(default_factory=ReliableReceiver)
    sdp: bytes = b""
    settled: bool = False
    owed: RAck | None = None  # of a response with their offer; its PRACK waits for our answer

    @property
    def tag(self) -> str:
        """The To tag that tells it from the others."""
        return self.dialog.remote_tag


class Forks:
    """All branches of one INVITE."""

    def __init__(self, core: Core, call: CallKey, keeper: SessionKeeper, account: Account) -> None:
        self._core = core
        self._call = call
        self._keeper = keeper
        self._account = account
        self._all: dict[str, Fork] = {}

    def find(self, tag: str, invite: Transaction | None = None) -> Fork | None:
        """The branch with this To tag; with `invite` only if it is one of that try."""
        fork = self._all.get(tag)
        return None if fork is None or (invite is not None and fork.serial != invite.serial) else fork

    def note(self, invite: Transaction, response: Response, contact: str, now: float) -> Fork | None:
        """The branch that a provisional response comes from, None where it makes no dialog (RFC 3261 12.1)."""
        tag = response.to.tag
        if not tag or response.status <= 100:
            return None
        fork = self._all.get(tag)
        if fork is not None and fork.serial != invite.serial:
            self.close(now)
            fork = None
        if fork is None and len(self._all) < MAX_FORKS:
            symmetric = self._core.options.symmetric
            dialog = Dialog.of_caller(invite.request, response, invite.peer, symmetric=symmetric)
            exchange = Exchange(
                self._core,
                self._call,
                dialog,
                contact,
                self._keeper,
                self._account,
                phase=Phase.INVITING,
                fork=tag,
            )
            fork = self._all[tag] = Fork(dialog, exchange, invite.serial)
        return fork

    # --- reliable responses -------------------------------------------------------------------------

    def take(self, fork: Fork, rseq: int, invite: Request, sdp: bytes, now: float) -> bool:
        """A reliable response; False for a repeat, for one that came before its turn, and for one too many.

        It is acknowledged at once, but where it brings an offer that our owner has to answer first. Of one too many
        nothing is kept: when it is repeated there may be room for its PRACK.
        """
        crowded = self._core.transactions.has_no_room_for(invite.call_id)
        if crowded or fork.receiver.take(rseq) is not Arrival.NEW:
            return False
        rack = RAck(rseq, invite.cseq.number, "INVITE")
        if sdp and not fork.settled and not invite.body:
            fork.owed = rack
            fork.exchange.hold(now)
            self._core.outbox.tell(Reoffered(self._call, sdp, fork.tag))
            return True
        if sdp and not fork.settled:
            fork.sdp, fork.settled = sdp, True
            fork.exchange.enter(Phase.IDLE)
        self._acknowledge(fork, rack, now)
        return True

    def answer(self, fork: Fork, sdp: bytes, now: float) -> None:
        """Our answer to the offer of a reliable response, in its PRACK (RFC 3262 5)."""
        if fork.owed is not None:
            rack, fork.owed, fork.settled = fork.owed, None, True
            fork.exchange.settle()
            self._acknowledge(fork, rack, now, sdp)

    def _acknowledge(self, fork: Fork, rack: RAck, now: float, sdp: bytes = b"") -> None:
        self._core.request(
            fork.dialog,
            "PRACK",
            now,
            call=self._call,
            purpose=Purpose.PRACK,
            account=self._account,
            fields=(("RAck", rack.value),),
            body=sdp,
        )

    # --- all of them --------------------------------------------------------------------------------

    def sent(self, transaction: Transaction) -> Fork | None:
        """The branch whose offer went by this transaction."""
        return next((fork for fork in self._all.values() if fork.exchange.sent(transaction)), None)

    def __iter__(self) -> Iterator[Fork]:
        return iter(list(self._all.values()))

    def lose(self, flow: Flow) -> None:
        """A connection is gone."""
        for fork in self._all.values():
            fork.dialog.lose(flow)

    def close(self, now: float, *, but: Fork | None = None) -> None:
        """The call has its answer, or is given up: nothing more is offered in the (other) branches."""
        for fork in self._all.values():
            if fork is not but:
                fork.exchange.close(now)
        self._all.clear()
