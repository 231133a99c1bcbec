"""A call we make, until it is answered, refused or given up.

Owns      the INVITE, provisional answers, forks, CANCEL, the limit of ringing.
Not here  what follows the answer (calls.py); credentials and other targets (not in this release).
Source    RFC 3261 (June 2002) 8.1.1, 9.1, 13.1, 13.2.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final

from vfax.errors import DecodeError, MisuseError
from vfax.transports.sip.calls import Call, State, reason_in, sdp_in
from vfax.transports.sip.compose import cancel_of
from vfax.transports.sip.core import ALLOW, CallTimer, Core
from vfax.transports.sip.dialog import FIRST_CSEQ, Dialog
from vfax.transports.sip.exchange import Exchange
from vfax.transports.sip.headers import Uri
from vfax.transports.sip.message import Headers, Request, Response, canonical
from vfax.transports.sip.syntax import legible, printable
from vfax.transports.sip.transaction import Purpose, S, Transaction
from vfax.transports.sip.values import Address, Answered, CallKey, HungUp, Progress, Refused

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
    destination: Address
    extra_headers: Sequence[tuple[str, str]]


class CallingSide(Call):
    """The calling side."""

    def __init__(self, core: Core, key: CallKey, invitation: Invitation, now: float) -> None:
        super().__init__(core, key, "", core.contact_for(invitation.from_user.partition("@")[0]), State.CALLING)
        request = self._build(invitation)
        self._heard = False  # any provisional answer at all
        self._refused = False  # the owner has been told
        self._hung_up: dict[str, str] = {}  # To tags whose BYE overtook their 2xx, with the reason
        self._dialling = (request.call_id, request.from_.tag)
        core.dialling[self._dialling] = key
        self._invite = core.transactions.start_client(
            request, invitation.destination, now, call=key, purpose=Purpose.INVITE
        )
        core.start(key, CallTimer.RING_LIMIT, now + core.options.ring_limit)

    def _build(self, invitation: Invitation) -> Request:
        core = self.core
        try:
            uri = Uri.parse(invitation.target_uri)
        except DecodeError as why:
            raise MisuseError(f"{invitation.target_uri!r} is no SIP URI: {why.what}") from why
        if uri.scheme != "sip" or uri.headers:  # Limit: sips needs TLS, which this release does not speak
            raise MisuseError(f"{invitation.target_uri!r} is no SIP URI that can be dialled over UDP")
        headers = Headers()
        headers.add("Via", core.via())
        headers.add("Max-Forwards", "70")
        headers.add("From", core.from_value(invitation.from_user, invitation.from_name, core.token()))
        headers.add("To", f"<{uri.text}>")
        headers.add("Call-ID", f"{core.token()}{core.token()}")
        headers.add("CSeq", f"{FIRST_CSEQ} INVITE")
        headers.add("Contact", self.contact)
        headers.add(*ALLOW)
        headers.add("User-Agent", core.options.user_agent)
        for name, value in invitation.extra_headers:
            if canonical(name) in _OURS_ALONE:
                raise MisuseError(f"{name} is not for the caller to set")
            headers.add(name, value)
        if invitation.sdp:
            headers.add("Content-Type", "application/sdp")
        return Request("INVITE", uri.text, headers, invitation.sdp)

    # --- giving up ----------------------------------------------------------------------------------

    def give_up(self, now: float, reason: str) -> None:
        """CANCEL, at once or after the first provisional answer (RFC 3261 9.1)."""
        self.state = State.CANCELLING
        self.core.stop(self.key, CallTimer.RING_LIMIT)
        if self._invite.state is S.PROCEEDING:
            self._cancel(now)

    def _cancel(self, now: float) -> None:
        core = self.core
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

    def on_silence(self, transaction: Transaction, now: float) -> None:
        """As of Call; Timer B: nobody answered our INVITE."""
        if transaction is self._invite:
            self._refuse(408, "no answer at all", heard=False)
            self.release()
        else:
            super().on_silence(transaction, now)

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
            self._refuse(response.status, response.reason, heard=True)
            self.release()

    def _on_progress(self, response: Response, now: float) -> None:
        first, self._heard = not self._heard, True
        if self.state is State.CANCELLING:
            if first:
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
            self.core.dismiss(self._invite, response, now)
        else:
            self._establish(response)
            self.core.stop(self.key, CallTimer.RING_LIMIT)
            self.core.outbox.tell(Answered(self.key, sdp_in(response), _agent_in(response)))
            if response.to.tag in self._hung_up:
                self.core.outbox.tell(HungUp(self.key, self._hung_up[response.to.tag]))
                self.release()

    def _establish(self, response: Response) -> None:
        core = self.core
        self.dialog = Dialog.of_caller(
            self._invite.request, response, self._invite.peer, symmetric=core.options.symmetric
        )
        self.exchange = Exchange(core, self.key, self.dialog, self.contact)
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
        self.core.dialling.pop(self._dialling, None)
        super().release()


def _agent_in(response: Response) -> str:
    named = response.headers.first("server") or response.headers.first("user-agent") or ""
    return printable(legible(named))
