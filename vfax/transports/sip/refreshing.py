"""Keeping a session alive: refreshes of ours, and its end when nobody refreshes it.

Owns      when and by which request we refresh, what a failed refresh leads to, BYE for a session that expires.
Not here  what the header fields say (session_timer.py), the re-INVITE itself (exchange.py), its SDP (the owner's).
Source    RFC 4028 (April 2005) 7.4, 10; RFC 3311 5.1.

A refresh in mid-fax must not touch the fax: UPDATE without an offer where the peer takes it, else a re-INVITE with the
SDP as it stands, same version.
"""

from typing import Final

from vfax.transports.sip.account import Account
from vfax.transports.sip.compose import Fields
from vfax.transports.sip.core import ALLOW, CallTimer, Core
from vfax.transports.sip.dialog import Dialog
from vfax.transports.sip.errand import Errand, Failure
from vfax.transports.sip.exchange import ENDING, Exchange, Loss, glare_pause, supported
from vfax.transports.sip.message import Message, Request, Response
from vfax.transports.sip.policy import DialogPolicy, RefreshBy
from vfax.transports.sip.session_timer import SessionTimer
from vfax.transports.sip.transaction import Purpose
from vfax.transports.sip.values import CallKey, RefreshDue

LOOK_AGAIN: Final = 1.0
"""Seconds until a refresh is thought of again that an offer or a 2xx without its ACK holds up: those refresh, too."""

ASK_AGAIN: Final = 5.0
"""Seconds until the owner is asked again for the SDP of a refresh, and until a failed refresh is tried once more."""

OTHER_WAY: Final = frozenset({400, 403, 405, 406, 415, 420, 488, 500, 501, 606})
"""Answers to a refresh after which another method may do: it is the request that is not liked."""

EXPIRED: Final = 'Q.850;cause=102;text="the session was not refreshed"'


class Keeper:
    """The session timer of one call, at work. `dialog` and `exchange` are there once the call is answered."""

    def __init__(self, core: Core, key: CallKey, account: Account) -> None:
        self._core = core
        self._key = key
        self._account = account
        self._policy = core.policy(account)
        self.timer = SessionTimer(self._policy)
        self._dialog: Dialog | None = None
        self._exchange: Exchange | None = None
        self._updates = False  # the peer takes UPDATE
        self._by: RefreshBy | None = None  # what has turned out to work, or not to
        self._errand: Errand | None = None  # our UPDATE

    def assign(self, account: Account) -> None:
        """By whose policy the session is kept; before anything was agreed."""
        self._account, self._policy = account, self._core.policy(account)
        self.timer = SessionTimer(self._policy)

    @property
    def policy(self) -> DialogPolicy:
        """The policy of this call."""
        return self._policy

    def attach(self, dialog: Dialog, exchange: Exchange) -> None:
        """The call is answered."""
        self._dialog, self._exchange = dialog, exchange

    def note(self, message: Message) -> None:
        """Learn from Allow, as the peer said it last, whether UPDATE is taken."""
        allowed = message.allows("UPDATE")
        self._updates = self._updates if allowed is None else allowed

    # --- what goes into messages --------------------------------------------------------------------

    def offer_fields(self) -> Fields:
        """Fields of a re-INVITE or UPDATE of ours. Before the call is answered no session is kept."""
        return () if self._dialog is None else self.timer.request_fields()

    def answer(self, request: Request, now: float) -> Fields:
        """Fields of our 2xx to an INVITE, re-INVITE or UPDATE; it counts from now."""
        self.note(request)
        if self._dialog is None:
            return ()
        fields = self.timer.answer(request, now)
        self._arm()
        return fields

    def on_success(self, request: Request, response: Response, now: float) -> None:
        """A 2xx to such a request of ours."""
        self.note(response)
        if self._dialog is None:
            return
        self.timer.on_success(request, response, now)
        self._arm()

    def _arm(self) -> None:
        core, timer, key = self._core, self.timer, self._key
        core.stop(key, CallTimer.REFRESH, CallTimer.SESSION_END)
        if timer.interval:
            core.start(key, CallTimer.SESSION_END, timer.expires_at)
            core.start(key, CallTimer.REFRESH, timer.refresh_at)

    # --- time ---------------------------------------------------------------------------------------

    def on_timer(self, timer: CallTimer, now: float) -> Loss | None:
        """A deadline of the session has passed."""
        if timer is CallTimer.SESSION_END:
            return Loss("the session expired: it was not refreshed in time", bye=True, say=EXPIRED)
        if timer is CallTimer.REFRESH and self._errand is None:
            self._refresh(now)
        return None

    def _refresh(self, now: float) -> None:
        exchange = self._exchange
        if exchange is None or not exchange.is_quiet:
            self._later(now + LOOK_AGAIN)
        elif self._method() is RefreshBy.UPDATE:
            self._update(now)
        else:
            self._later(now + ASK_AGAIN)
            self._core.outbox.tell(RefreshDue(self._key))

    def _method(self) -> RefreshBy:
        wish = self._by or self._policy.refresh_by
        if wish is RefreshBy.AUTO:
            return RefreshBy.UPDATE if self._updates else RefreshBy.INVITE
        return wish

    def _update(self, now: float) -> None:
        """RFC 4028 7.4: an UPDATE that refreshes should have no offer."""
        assert self._dialog is not None
        assert self._exchange is not None
        fields = (("Contact", self._exchange.contact), ALLOW, *supported(self._policy), *self.timer.request_fields())
        self._errand = self._core.request(
            self._dialog,
            "UPDATE",
            now,
            call=self._key,
            purpose=Purpose.REFRESH,
            account=self._account,
            fields=fields,
        )

    def _later(self, due: float) -> None:
        self._core.start(self._key, CallTimer.REFRESH, due)

    # --- answers ------------------------------------------------------------------------------------

    def awaits(self, errand: Errand) -> bool:
        """Whether this is our UPDATE."""
        return errand is self._errand

    def on_response(self, response: Response, now: float) -> Loss | None:
        """A response to our UPDATE."""
        errand = self._errand
        if errand is None or response.status < 200:
            return None
        self._errand = None
        if response.status < 300:
            if self._dialog is not None:
                self._dialog.refresh(response)
                self._core.seek(self._key, self._dialog)
            self.on_success(errand.transaction.request, response, now)
            return None
        return self.on_refused(Failure(response.status, response.reason, response), now)

    def on_failure(self, failure: Failure, now: float) -> Loss | None:
        """No answer came to our UPDATE."""
        self._errand = None
        return self.on_refused(failure, now)

    def on_refused(self, failure: Failure, now: float) -> Loss | None:
        """A refresh came to nothing: another way, another time, or the end (RFC 4028 10)."""
        if failure.status in ENDING:
            return Loss(f"{failure.status} {failure.reason} to our session refresh", ENDING[failure.status])
        if failure.status in OTHER_WAY:
            first, before = self._by is None, self._method()
            self._by = RefreshBy.INVITE if before is RefreshBy.UPDATE else RefreshBy.UPDATE
            self._later(now if first else now + ASK_AGAIN)
        elif failure.status == 491 and self._dialog is not None:
            self._later(now + glare_pause(self._core, self._dialog))
        else:
            said = failure.response.retry_after if failure.response is not None else None
            self._later(now + max(said or 0, ASK_AGAIN))
        return None

    def close(self) -> None:
        """The dialog ends."""
        self._core.stop(self._key, CallTimer.REFRESH, CallTimer.SESSION_END)
        if self._errand is not None:
            self._core.errands.close(self._errand)
            self._errand = None
