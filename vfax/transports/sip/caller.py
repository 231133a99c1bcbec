"""A call we make, until it is answered, refused or given up.

Owns      the INVITE, provisional answers, forks, CANCEL, the limit of ringing.
Not here  what follows the answer (calls.py); what another try needs (retry.py).
Source    RFC 3261 (June 2002) 8.1.1, 9.1, 13.1, 13.2.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final

from vfax.errors import DecodeError, MisuseError
from vfax.transports.sip.account import Account
from vfax.transports.sip.calls import Call, State, reason_in, sdp_in
from vfax.transports.sip.compose import cancel_of
from vfax.transports.sip.core import ALLOW, CallTimer, Core
from vfax.transports.sip.dialog import FIRST_CSEQ, Dialog
from vfax.transports.sip.errand import Errand, Failure
from vfax.transports.sip.exchange import Exchange
from vfax.transports.sip.headers import Uri
from vfax.transports.sip.message import Headers, Request, Response, canonical
from vfax.transports.sip.syntax import legible, printable
from vfax.transports.sip.transaction import Purpose, S, Transaction
from vfax.transports.sip.values import Answered, CallKey, Hop, HungUp, Progress, Refused, Transport

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
    account: Account
    extra_headers: Sequence[tuple[str, str]]


class CallingSide(Call):
    """The calling side."""

    def __init__(self, core: Core, key: CallKey, invitation: Invitation, now: float) -> None:
        if not invitation.targets:
            raise MisuseError(f"{invitation.target_uri!r} cannot be dialled without an address to send to")
        self.account = invitation.account
        request = self._build(core, invitation)
        super().__init__(core, key, "", request.headers.first("contact") or "", State.CALLING)
        self._heard = False  # any provisional answer at all
        self._cancelled = False  # CANCEL has been sent
        self._refused = False  # the owner has been told
        self._hung_up: dict[str, str] = {}  # To tags whose BYE overtook their 2xx, with the reason
        self._dialling = (request.call_id, request.from_.tag)
        core.dialling[self._dialling] = key
        targets = list(invitation.targets)
        self._errand = core.errands.begin(
            request, targets, now, call=key, purpose=Purpose.INVITE, account=invitation.account
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
        self.core.stop(self.key, CallTimer.RING_LIMIT)
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
        core.transactions.start_client(cancel, self._invite.peer, now, call=self.key, purpose=Purpose.CANCEL)
        core.start(self.key, CallTimer.CANCEL_LIMIT, now + 64 * core.options.t1)

    def _refuse(self, status: int, reason: str, *, heard: bool) -> None:
        if not self._refused:
            self._refused = True
            self.core.outbox.tell(Refused(self.key, status, printable(legible(reason)), heard))

    def on_timer(self, timer: CallTimer, now: float) -> None:
        """As of Call."""
        if timer is CallTimer.RING_LIMIT:
            self._refuse(408, "nobody answered the call", heard=self._heard)
            self.give_up(now, "")
        elif timer is CallTimer.CANCEL_LIMIT:
            self.core.transactions.drop(self._invite)
            self._refuse(487, "cancelled, and no final answer came", heard=self._heard)
            self.release()
        else:
            super().on_timer(timer, now)

    def on_failure(self, transaction: Transaction, failure: Failure, now: float) -> None:
        """As of Call; Timer B: nobody answered our INVITE."""
        if transaction is self._invite:
            self._refuse(failure.status, failure.reason, heard=False)
            self.release()
        else:
            super().on_failure(transaction, failure, now)

    def awaits(self, errand: Errand) -> bool:
        """As of Call."""
        if errand is self._errand:
            return self.state is State.CALLING
        return super().awaits(errand)

    # --- answers ------------------------------------------------------------------------------------

    def on_response(self, transaction: Transaction, response: Response, now: float) -> None:
        """As of Call."""
        if transaction is not self._invite:
            super().on_response(transaction, response, now)
        elif response.status < 200:
            self._on_progress(response, now)
        elif response.status < 300:
            self._on_answer(response, now)
        else:
            self._refuse(response.status, self._errand.why or response.reason, heard=True)
            self.release()

    def _on_progress(self, response: Response, now: float) -> None:
        self._heard = True
        if self.state is State.CANCELLING:
            if not self._cancelled:
                self._cancel(now)
        elif response.status > 100:
            reason = printable(legible(response.reason))
            self.core.outbox.tell(Progress(self.key, response.status, reason, sdp_in(response)))

    def _on_answer(self, response: Response, now: float) -> None:
        """The first 2xx makes the call; further ones, and one that comes after we gave up, are dismissed."""
        if self.state is State.CANCELLING:
            self._establish(response)
            self.leave(now, "")
        elif self.state is not State.CALLING:
            self.core.dismiss(self._invite, response, now, self.account)
        else:
            self._establish(response)
            self.core.stop(self.key, CallTimer.RING_LIMIT)
            self.core.outbox.tell(Answered(self.key, sdp_in(response), _agent_in(response)))
            if response.to.tag in self._hung_up:
                self.core.outbox.tell(HungUp(self.key, self._hung_up[response.to.tag]))
                self.release()

    def _establish(self, response: Response) -> None:
        core = self.core
        core.errands.close(self._errand)
        self.contact = self._invite.request.headers.first("contact") or self.contact
        self.dialog = Dialog.of_caller(
            self._invite.request, response, self._invite.peer, symmetric=core.options.symmetric
        )
        self.dialog.keyring = self._errand.keyring
        self.exchange = Exchange(core, self.key, self.dialog, self.contact, self.account)
        self.state = State.UP
        core.dialling.pop(self._dialling, None)
        core.dialogs[self.dialog.id] = self.key
        core.acknowledge(self._invite, response, self.dialog)

    # --- requests before the answer -----------------------------------------------------------------

    def on_bye(self, request: Request, now: float) -> None:
        """As of Call; a BYE may overtake the 2xx that it ends."""
        if self.dialog is not None:
            super().on_bye(request, now)
        elif len(self._hung_up) < MAX_EARLY_BYES:
            self._hung_up[request.from_.tag] = reason_in(request)

    def release(self) -> None:
        """As of Call."""
        self.core.errands.close(self._errand)
        self.core.dialling.pop(self._dialling, None)
        super().release()


def _dialled(invitation: Invitation) -> Uri:
    """The URI to dial. Raises MisuseError for one that cannot be, sips over anything but TLS among them."""
    text = invitation.target_uri
    try:
        uri = Uri.parse(text)
    except DecodeError as why:
        raise MisuseError(f"{text!r} is no SIP URI: {why.what}") from why
    if uri.scheme not in ("sip", "sips") or uri.headers:
        raise MisuseError(f"{text!r} is no SIP URI that can be dialled")
    if uri.scheme == "sips" and any(hop.transport is not Transport.TLS for hop in invitation.targets):
        raise MisuseError(f"{text!r} asks for TLS, which is not what it would be dialled over")
    return uri


def _agent_in(response: Response) -> str:
    named = response.headers.first("server") or response.headers.first("user-agent") or ""
    return printable(legible(named))
