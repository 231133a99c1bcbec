"""A call we make, until it is answered, refused or given up.

Owns      the INVITE, provisional answers, which branch answers, CANCEL, redirection, the limit of ringing.
Not here  what follows the answer (calls.py); the branches before it (forks.py); what another try needs (retry.py).
Source    RFC 3261 (June 2002) 8.1.1, 8.1.3.4, 9.1, 13.1, 13.2.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final

from vfax.errors import DecodeError, MisuseError
from vfax.transports.sip.account import Account
from vfax.transports.sip.calls import Call, State, hung_up, reason_value, sdp_in
from vfax.transports.sip.compose import cancel_of
from vfax.transports.sip.core import ALLOW, CallTimer, Core
from vfax.transports.sip.dialog import FIRST_CSEQ, Dialog
from vfax.transports.sip.errand import Errand, Failure, Place
from vfax.transports.sip.exchange import Exchange, Loss, Phase, supported
from vfax.transports.sip.forks import Fork, Forks
from vfax.transports.sip.headers import Uri
from vfax.transports.sip.message import Headers, Request, Response, canonical
from vfax.transports.sip.policy import Reliable
from vfax.transports.sip.reason import reasons_of
from vfax.transports.sip.reliable import OPTION, rseq_in
from vfax.transports.sip.syntax import legible, printable
from vfax.transports.sip.transaction import Purpose, S, Transaction
from vfax.transports.sip.values import (
    Answered,
    CallKey,
    Flow,
    Hop,
    HungUp,
    OfferRefused,
    Progress,
    Refused,
    Transport,
)

NO_ANSWER: Final = 'Q.850;cause=19;text="no answer from the user"'
_OURS_ALONE: Final = frozenset(
    {"via", "from", "to", "call-id", "cseq", "contact", "max-forwards", "content-length", "content-type"}
)
MAX_EARLY_BYES: Final = 8  # Limit: forks that may hang up before their 2xx came


@dataclass(frozen=True, slots=True, kw_only=True)
class Invitation:
    """What the owner wants to dial."""

    target_uri: str
    sdp: bytes
    from_user: str
    from_name: str
    targets: Sequence[Hop]  # tried in this order, at least one
    uris: Sequence[str] = ()  # the Request-URI for each of them; none: the same for all
    account: Account
    extra_headers: Sequence[tuple[str, str]]


class CallingSide(Call):
    """The calling side."""

    def __init__(self, core: Core, key: CallKey, invitation: Invitation, now: float) -> None:
        if not invitation.targets:
            raise MisuseError(f"{invitation.target_uri!r} cannot be dialled without an address to send to")
        self.account = invitation.account
        super().__init__(core, key, "", "", State.CALLING)
        request = self._build(core, invitation)
        self.contact = request.headers.first("contact") or ""
        self._heard = False  # any provisional answer at all
        self._cancelled = False  # CANCEL has been sent
        self._farewell = ""  # why: for its Reason
        self._refused = False  # the owner has been told
        self._owed: Response | None = None  # a 2xx with their offer: its ACK waits for our answer
        self._forks = Forks(core, key, self.keeper, invitation.account)
        self._hung_up: dict[str, HungUp] = {}  # To tags whose BYE overtook their 2xx
        self._dialling = (request.call_id, request.from_.tag)
        core.dialling[self._dialling] = key
        self._errand = core.errands.begin(
            request,
            invitation.targets,
            now,
            call=key,
            purpose=Purpose.INVITE,
            account=invitation.account,
            uris=invitation.uris,
        )
        core.start(key, CallTimer.RING_LIMIT, now + core.options.ring_limit)

    def _build(self, core: Core, invitation: Invitation) -> Request:
        account, to = invitation.account, invitation.targets[0]
        uri = _dialled(invitation)
        user = account.contact_user or invitation.from_user.partition("@")[0]
        headers = Headers()
        headers.add("Via", core.via(to))
        headers.add("Max-Forwards", "70")
        for route in account.routes:
            headers.add("Route", route)
        tag = core.token()
        caller = core.from_value(invitation.from_user, invitation.from_name, tag, to, account.from_domain)
        headers.add("From", caller)
        headers.add("To", f"<{uri.text}>")
        headers.add("Call-ID", f"{core.token()}{core.token()}")
        headers.add("CSeq", f"{FIRST_CSEQ} INVITE")
        headers.add("Contact", core.contact_for(user, to, secure=uri.scheme == "sips"))
        headers.add(*ALLOW)
        for name, value in (*supported(self.keeper.policy), *self.keeper.timer.request_fields()):
            headers.add(name, value)
        if self.keeper.policy.reliable in (Reliable.PREFER, Reliable.REQUIRE):
            headers.add("Require", OPTION)
        headers.add("User-Agent", core.options.user_agent)
        for name, value in (*account.headers, *invitation.extra_headers):
            if canonical(name) in _OURS_ALONE:
                raise MisuseError(f"{name} is not for the caller to set")
            headers.add(name, value)
        if invitation.sdp:
            headers.add("Content-Type", "application/sdp")
        return Request("INVITE", uri.text, headers, invitation.sdp)

    @property
    def _invite(self) -> Transaction:
        return self._errand.transaction

    # --- giving up ----------------------------------------------------------------------------------

    def give_up(self, now: float, reason: str) -> None:
        """CANCEL, at once or after the first provisional answer (RFC 3261 9.1)."""
        self.state = State.CANCELLING
        self._farewell = reason
        self.core.stop(self.key, CallTimer.RING_LIMIT)
        self._forks.close(now)
        between = self._errand.waiting  # two tries: nothing is on its way that could be cancelled
        self.core.errands.close(self._errand)
        if between:
            self._refuse(487, "cancelled between two tries", heard=self._heard)
            self.release()
        elif self._invite.state is S.PROCEEDING:
            self._cancel(now)

    def _cancel(self, now: float) -> None:
        core = self.core
        self._cancelled = True
        cancel = cancel_of(self._invite.request)
        if self._farewell:
            cancel.headers.add("Reason", reason_value(self._farewell))
        core.transactions.start_client(cancel, self._invite.peer, now, call=self.key, purpose=Purpose.CANCEL)
        core.start(self.key, CallTimer.CANCEL_LIMIT, now + 64 * core.options.t1)

    def _refuse(self, status: int, reason: str, *, heard: bool, response: Response | None = None) -> None:
        if self._refused:
            return
        self._refused = True
        reasons = reasons_of(response) if response is not None else ()
        wait = response.retry_after if response is not None else None
        self.core.outbox.tell(Refused(self.key, status, printable(legible(reason)), heard, reasons, wait))

    def on_timer(self, timer: CallTimer, now: float) -> None:
        """As of Call."""
        if timer is CallTimer.RING_LIMIT:
            self._refuse(408, "nobody answered the call", heard=self._heard)
            self.give_up(now, NO_ANSWER)
        elif timer is CallTimer.CANCEL_LIMIT:
            self.core.transactions.drop(self._invite)
            self._refuse(487, "cancelled, and no final answer came", heard=self._heard)
            self.release()
        elif self.state is State.CALLING:
            for fork in self._forks:
                fork.exchange.on_timer(timer, now)
        elif timer is CallTimer.REOFFER_LIMIT and self._owed is not None:
            self.refuse_offer(500, now, "")
        else:
            super().on_timer(timer, now)

    def on_failure(self, transaction: Transaction, failure: Failure, now: float) -> None:
        """As of Call; Timer B: nobody answered our INVITE."""
        if transaction is self._invite:
            self._forks.close(now)
            self._refuse(failure.status, failure.reason, heard=False)
            self.release()
        elif (fork := self._early(transaction)) is not None:
            self._end_update(fork, fork.exchange.on_failure(failure, now))
        else:
            super().on_failure(transaction, failure, now)

    def awaits(self, errand: Errand) -> bool:
        """As of Call."""
        if self.state is State.CALLING:
            mine = errand is self._errand or errand.purpose is Purpose.PRACK
            return mine or self._forks.sent(errand.transaction) is not None
        return super().awaits(errand)

    def learn_way(self, uri: str, hops: Sequence[Hop]) -> None:
        """As of Call; also for the ACK, should our peer ask for it again."""
        super().learn_way(uri, hops)
        if self.dialog is not None:
            self.core.acks.lead(self._invite.serial, self.dialog.remote_tag, self.dialog.next_hop())

    def on_flow_lost(self, flow: Flow) -> None:
        """As of Call."""
        self._forks.lose(flow)
        super().on_flow_lost(flow)

    # --- redirection --------------------------------------------------------------------------------

    def follow(self, places: Sequence[Place], now: float) -> None:
        """Agent.follow."""
        held = self._errand.held
        if self.state is not State.CALLING or held is None:
            raise MisuseError(f"call {self.key}: it was not redirected")
        if not self.core.errands.follow(self._errand, places, now):
            self._refuse(held.status, "none of the addresses given instead can be reached", heard=True, response=held)
            self.release()

    # --- answers ------------------------------------------------------------------------------------

    def on_response(self, transaction: Transaction, response: Response, now: float) -> None:
        """As of Call."""
        if transaction is not self._invite:
            if (fork := self._early(transaction)) is not None:
                self._end_update(fork, fork.exchange.on_response(response, sdp_in(response), now))
            else:
                super().on_response(transaction, response, now)
        elif response.status < 200:
            self._on_progress(response, now)
        elif response.status < 300:
            self._on_answer(response, now)
        else:
            self._forks.close(now)
            self._refuse(response.status, self._errand.why or response.reason, heard=True, response=response)
            self.release()

    def _early(self, transaction: Transaction) -> Fork | None:
        return self._forks.sent(transaction) if self.state is State.CALLING else None

    def _end_update(self, fork: Fork, loss: Loss | None) -> None:
        """An UPDATE of ours in a branch that is gone: the others may still answer."""
        if loss is not None:
            self.core.outbox.tell(OfferRefused(self.key, 481, loss.reason))

    def _on_progress(self, response: Response, now: float) -> None:
        self._heard = True
        if self.state is State.CANCELLING:
            if not self._cancelled:
                self._cancel(now)
        elif response.status > 100 and self.state is State.CALLING:
            self._on_ringing(response, now)

    def _on_ringing(self, response: Response, now: float) -> None:
        fork, sdp = self._forks.note(self._invite, response, self.contact, now), sdp_in(response)
        rseq = rseq_in(response) if self.keeper.policy.reliable is not Reliable.OFF else None
        settled_before = fork is not None and fork.settled
        if fork is not None:
            self.keeper.note(response)
            fork.dialog.keyring = self._errand.keyring  # what the INVITE has learned, its PRACK bears unasked
            if rseq is not None and not self._forks.take(fork, rseq, self._invite.request, sdp, now):
                return
            if rseq is None and not fork.settled and self._invite.request.body:
                fork.sdp = sdp or fork.sdp
        settled = fork is not None and fork.settled and not settled_before
        said = sdp if self._invite.request.body and not settled_before else b""
        tag = fork.tag if fork is not None else ""
        reason = printable(legible(response.reason))
        self.core.outbox.tell(Progress(self.key, response.status, reason, said, tag, settled))

    def _on_answer(self, response: Response, now: float) -> None:
        """The first 2xx makes the call; further ones, and one that comes after we gave up, are dismissed."""
        if self.state is State.CANCELLING:
            fork = self._establish(response, now)
            self.core.acknowledge(self._invite, response, fork.dialog)
            self.leave(now, self._farewell)
        elif self.state is State.CALLING:
            fork = self._establish(response, now)
            self.core.stop(self.key, CallTimer.RING_LIMIT)
            self._tell_answer(fork, response, now)
            if response.to.tag in self._hung_up:
                self.core.outbox.tell(self._hung_up[response.to.tag])
                self.close(now)
                self.release()
        elif self.dialog is None or response.to.tag != self.dialog.remote_tag:
            self.core.dismiss(self._invite, response, now, self.account)

    def _tell_answer(self, fork: Fork, response: Response, now: float) -> None:
        """Acknowledge, and tell whose answer holds: that of the branch, settled before, or the one of the 2xx.

        Quirk: some leave the SDP out of their 200 that a 183 without PRACK had brought; that one is taken then.
        """
        sdp, late = sdp_in(response), not self._invite.request.body
        agent = _agent_in(response)
        if late and sdp and not fork.settled:
            self._owed = response
            fork.exchange.hold(now)
        else:
            self.core.acknowledge(self._invite, response, fork.dialog)
        answer = b"" if fork.settled else sdp or fork.sdp
        owed = self._owed is not None
        self.core.outbox.tell(Answered(self.key, answer, agent, fork.tag if fork.settled else "", owed))

    def _establish(self, response: Response, now: float) -> Fork:
        """The 2xx makes the dialog; of the branches, this one is left."""
        core = self.core
        core.errands.close(self._errand)
        self.contact = self._invite.request.headers.first("contact") or self.contact
        fork = self._forks.find(response.to.tag, self._invite) or self._fresh_fork(response)
        self._forks.close(now, but=fork)
        fork.dialog.confirm(response)
        fork.dialog.keyring = self._errand.keyring
        fork.exchange.fork = ""
        if fork.exchange.phase is Phase.INVITING:
            fork.exchange.enter(Phase.IDLE)
        self.dialog, self.exchange = fork.dialog, fork.exchange
        self.state = State.UP
        core.dialling.pop(self._dialling, None)
        core.enter(self.dialog.id, self.key)
        core.seek(self.key, self.dialog)
        self.keeper.attach(self.dialog, self.exchange)
        self.keeper.on_success(self._invite.request, response, now)
        return fork

    def _fresh_fork(self, response: Response) -> Fork:
        symmetric = self.core.options.symmetric
        dialog = Dialog.of_caller(self._invite.request, response, self._invite.peer, symmetric=symmetric)
        return Fork(dialog, Exchange(self.core, self.key, dialog, self.contact, self.keeper, self.account))

    # --- offers before the answer, and with it ------------------------------------------------------

    def talking_in(self, fork: str, order: str) -> Exchange:
        """As of Call."""
        if self.state is not State.CALLING:
            return super().talking_in("", order)
        found = self._forks.find(fork)
        if found is None:
            raise MisuseError(f"call {self.key}: cannot {order}, it has no branch {fork!r}")
        return found.exchange

    def accept_offer(self, sdp: bytes, now: float, fork: str) -> None:
        """As of Call; the answer to an offer in a reliable response goes into PRACK, to that in a 2xx into ACK."""
        found = self._forks.find(fork) if self.state is State.CALLING else None
        if found is not None and found.owed is not None:
            self._forks.answer(found, sdp, now)
        elif self._owed is not None and self.dialog is not None and self.exchange is not None:
            response, self._owed = self._owed, None
            self.exchange.settle()
            self.core.acknowledge(self._invite, response, self.dialog, sdp)
        else:
            super().accept_offer(sdp, now, fork)

    def refuse_offer(self, status: int, now: float, fork: str) -> None:
        """As of Call; what cannot be refused by an answer is hung up on (RFC 6337 5.1)."""
        found = self._forks.find(fork) if self.state is State.CALLING else None
        if found is not None and found.owed is not None:
            self.give_up(now, f"SIP;cause={status}")
        elif self._owed is not None:
            self.leave(now, f"SIP;cause={status}")
        else:
            super().refuse_offer(status, now, fork)

    def leave(self, now: float, reason: str) -> None:
        """As of Call; no BYE goes before the ACK."""
        if self._owed is not None and self.dialog is not None:
            response, self._owed = self._owed, None
            self.core.acknowledge(self._invite, response, self.dialog)
        super().leave(now, reason)

    # --- requests before the answer -----------------------------------------------------------------

    def on_request(self, transaction: Transaction, now: float) -> None:
        """As of Call; while nobody has answered, the branch it comes from counts."""
        fork = self._forks.find(transaction.request.from_.tag) if self.dialog is None else None
        if fork is None:
            super().on_request(transaction, now)
        else:
            self._on_request(fork.dialog, fork.exchange, transaction, now)

    def on_bye(self, request: Request, now: float) -> None:
        """As of Call; a BYE may overtake the 2xx that it ends."""
        if self.dialog is not None:
            super().on_bye(request, now)
        elif len(self._hung_up) < MAX_EARLY_BYES:
            self._hung_up[request.from_.tag] = hung_up(self.key, request)

    def release(self) -> None:
        """As of Call."""
        self.core.errands.close(self._errand)
        self.core.dialling.pop(self._dialling, None)
        super().release()


def _dialled(invitation: Invitation) -> Uri:
    """The URI to dial first. Raises MisuseError where one cannot be dialled, sips over anything but TLS among them."""
    texts = invitation.uris or [invitation.target_uri] * len(invitation.targets)
    if len(texts) != len(invitation.targets) or texts[0] != invitation.target_uri:
        raise MisuseError(f"{invitation.target_uri!r} is to be the first of as many URIs as there are targets")
    uris = [_dialable(text, hop) for text, hop in zip(texts, invitation.targets, strict=True)]
    return uris[0]


def _dialable(text: str, hop: Hop) -> Uri:
    try:
        uri = Uri.parse(text)
    except DecodeError as why:
        raise MisuseError(f"{text!r} is no SIP URI: {why.what}") from why
    if uri.scheme not in ("sip", "sips") or uri.headers:
        raise MisuseError(f"{text!r} is no SIP URI that can be dialled")
    if uri.scheme == "sips" and hop.transport is not Transport.TLS:
        raise MisuseError(f"{text!r} asks for TLS, which is not what it would be dialled over")
    return uri


def _agent_in(response: Response) -> str:
    named = response.headers.first("server") or response.headers.first("user-agent") or ""
    return printable(legible(named))
