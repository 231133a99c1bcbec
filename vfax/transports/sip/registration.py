"""Registrations: what is asked of registrars, when, and how it stands.

Owns      when a REGISTER is due, refresh, 423, redirection, back-off, leaving; the state of each registration as a
          sentence.
Not here  sending (agent.py), credentials (keyring.py: 401 and 407 are answered before their result comes here), where
          a registrar's name leads.
Source    RFC 3261 (June 2002) 10.2, 20.23; RFC 5626 4.5 (back-off); RFC 3608 (Service-Route); RFC 3327 (Path is the
          registrar's affair: read by nobody here).

One engine for all registrations of a machine: orders, results and time in; `take_orders`, `take_events`,
`next_timeout` out. Nothing a registrar sends raises, and nothing it sends makes us begin a try more often than
`min_pause`; a try is at most `MAX_REDIRECTS + MAX_MIN_EXPIRES + 1` REGISTERs, besides answers to challenges.
"""

from dataclasses import dataclass, replace
from enum import Enum, StrEnum, auto
from typing import Final

from vfax.errors import DecodeError, MisuseError
from vfax.transports.sip.headers import NameAddr, Uri
from vfax.transports.sip.message import Response
from vfax.transports.sip.options import Dice
from vfax.transports.sip.syntax import legible, parse_number, printable
from vfax.transports.sip.timers import Timers

MAX_EXPIRES: Final = 7 * 86400  # Limit: s; a registrar that wants to hear from us less often is refused
MAX_ROUTES: Final = 8  # Limit: values of Service-Route
MAX_REDIRECTS: Final = 3  # Limit: registrars one try is sent on to
MAX_MIN_EXPIRES: Final = 2  # Limit: how often one try may be told 423
MAX_TEXT: Final = 200
MAX_RENEW_PAUSE: Final = 60.0  # Limit: s between two REGISTERs because our address goes on changing
FREE_RENEWALS: Final = 2  # after the first one, without a longer pause
CALM: Final = 600.0  # s without such a change, after which the next one is registered at once again

Key = str
"""Of one registration: the name its owner gives it (a trunk, or a trunk and the number of its registrar)."""


@dataclass(frozen=True, slots=True, kw_only=True)
class RegistrationOptions:
    """One registration at one registrar. Times in seconds."""

    registrar: str  # SIP URI, without a user
    aor: str  # SIP URI that is registered: user and domain
    expires: int = 3600  # what we ask for
    refresh_share: float = 0.8  # of what was granted, after which we ask again (a tenth less by chance)
    retry: float = 30.0  # RFC 5626 4.5 base-time
    retry_max: float = 1800.0  # RFC 5626 4.5 max-time
    min_pause: float = 5.0  # Limit: between two REGISTERs, whatever was granted
    leave_limit: float = 4.0  # how long leaving may take


class Standing(StrEnum):
    """How a registration stands."""

    OFF = "off"  # left, or never begun
    REGISTERING = "registering"
    REGISTERED = "registered"
    FAILED = "failed"


@dataclass(frozen=True, slots=True, kw_only=True)
class Registration:
    """The state of one registration. `until` and `next_try` are times of the engine's clock, None where there is none.

    `why` is a whole sentence. `status` is the last answer's, None when none came. `routes` are the values of
    Service-Route: what requests by this registration are to carry as Route.
    """

    standing: Standing
    why: str
    until: float | None = None
    next_try: float | None = None
    status: int | None = None
    routes: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True, kw_only=True)
class Register:
    """Order: send a REGISTER and tell its result by `on_result`. `expires` 0 unregisters."""

    key: Key
    registrar: str  # Request-URI, and where it is sent
    aor: str  # To and From
    expires: int


@dataclass(frozen=True, slots=True)
class Changed:
    """Event: a registration stands otherwise than before."""

    key: Key
    now: Registration


@dataclass(frozen=True, slots=True, kw_only=True)
class Result:
    """How a REGISTER ended. `response` is None when no answer came: then `reason` says why in words.

    `contact` is the URI we registered: by it we find ourselves among the Contacts of the answer.
    """

    status: int
    reason: str
    response: Response | None = None
    contact: str = ""


class _At(Enum):
    """Where a registration is in its round."""

    IDLE = auto()  # due at its timer
    ASKING = auto()  # a REGISTER is out
    LEAVING = auto()  # a REGISTER that unregisters is out
    GONE = auto()


class _Timer(Enum):
    """Deadlines of a registration. In brackets: what starts it / what stops it."""

    DUE = auto()  # the next REGISTER (result came / renewed, left)
    EXPIRY = auto()  # what was granted is over (2xx / next 2xx)
    LEAVE = auto()  # leaving takes too long (leave / result)


@dataclass(slots=True, eq=False)
class _One:
    """One registration in its course."""

    options: RegistrationOptions
    state: Registration
    expires: int
    at: _At = _At.IDLE
    registrar: str = ""
    failures: int = 0  # in a row
    redirects: int = 0  # of this try
    refusals: int = 0  # 423s of this try
    leaving: bool = False
    again: bool = False  # renewed while a REGISTER was out
    renewing: bool = False  # and the REGISTER for that is still to come
    renewals: int = 0  # in a row, none of which was followed by calm
    renewed_at: float = float("-inf")
    asked_at: float = float("-inf")
    trouble: str = ""  # why the last try failed


HINTS: Final[dict[int, str]] = {
    403: "check the user and the password, and whether the account may register from here",
    404: "the registrar does not know this user: check user and domain",
    405: "this host is no registrar: check registrar",
    408: "check the registrar's address, the network and the firewall",
    423: "it wants longer registrations than it says how to ask for",
    501: "this host is no registrar: check registrar",
    503: "it is overloaded or down",
}
"""What to do about an answer; shown behind it."""


class Registrations:
    """All registrations of a machine."""

    def __init__(self, dice: Dice) -> None:
        self._dice = dice
        self._all: dict[Key, _One] = {}
        self._timers: Timers[tuple[Key, _Timer]] = Timers()
        self._orders: list[Register] = []
        self._events: list[Changed] = []

    # --- out ----------------------------------------------------------------------------------------

    def take_orders(self) -> list[Register]:
        """What is to be sent now."""
        taken, self._orders = self._orders, []
        return taken

    def take_events(self) -> list[Changed]:
        """What stands otherwise."""
        taken, self._events = self._events, []
        return taken

    def next_timeout(self) -> float:
        """When handle_timeout wants to be called; math.inf for never."""
        return self._timers.next()

    def state(self, key: Key) -> Registration:
        """How a registration stands. Raises MisuseError for one that was never added."""
        return self._one(key).state

    @property
    def is_quiet(self) -> bool:
        """Whether no REGISTER is out."""
        return all(one.at in (_At.IDLE, _At.GONE) for one in self._all.values())

    @property
    def is_over(self) -> bool:
        """Whether all have been left, and nothing more will come of them."""
        return all(one.at is _At.GONE for one in self._all.values())

    # --- in -----------------------------------------------------------------------------------------

    def add(self, key: Key, options: RegistrationOptions, now: float) -> None:
        """Begin a registration: its first REGISTER is due at once."""
        if key in self._all:
            raise MisuseError(f"there is a registration {key!r} already")
        state = Registration(standing=Standing.REGISTERING, why=f"not asked {options.registrar} yet")
        self._all[key] = _One(options, state, options.expires)
        self._ask(key, now)

    def renew(self, key: Key, now: float) -> None:
        """Register anew at once: our address changed, or the connection to the registrar was lost.

        Who is moved about all the time registers after `min_pause`, and at last after pauses that double.
        """
        one = self._one(key)
        if one.leaving or one.at is _At.GONE or one.renewing:
            return
        if one.at is _At.ASKING:
            one.again = True
            return
        one.renewals = 0 if now - one.renewed_at > CALM else one.renewals + 1
        one.renewing, one.renewed_at = True, now
        longer = one.options.min_pause * 2.0 ** min(max(0, one.renewals - FREE_RENEWALS), 16)
        due = max(now, one.asked_at + max(one.options.min_pause, min(longer, MAX_RENEW_PAUSE)))
        if one.state.next_try is not None:
            due = min(due, max(now, one.state.next_try))
        self._timers.start((key, _Timer.DUE), due)

    def leave(self, key: Key, now: float) -> None:
        """Unregister, if there is anything to unregister. The state will be OFF."""
        one = self._one(key)
        if one.leaving or one.at is _At.GONE:
            return
        one.leaving = True
        self._timers.stop((key, _Timer.DUE))
        self._timers.start((key, _Timer.LEAVE), now + one.options.leave_limit)
        if one.at is _At.IDLE:  # else after the answer that is still to come (RFC 3261 10.2)
            self._unregister(key, one)

    def on_result(self, key: Key, result: Result, now: float) -> None:
        """The REGISTER of the last order has ended."""
        one = self._one(key)
        if one.at is _At.LEAVING:
            self._gone(key, one, f"unregistered from {one.options.registrar}")
        elif one.at is _At.ASKING:
            one.at = _At.IDLE
            self._take(key, one, result, now)
            if one.leaving and one.at is _At.IDLE:
                self._timers.stop((key, _Timer.DUE))
                self._unregister(key, one)
            elif one.again and one.at is _At.IDLE:
                one.again = False
                self.renew(key, now)

    def withdraw(self, key: Key) -> None:
        """The last order was not carried out, and will not be: to `leave` there is no answer to wait for."""
        one = self._one(key)
        if one.at is _At.ASKING:
            one.at = _At.IDLE

    def handle_timeout(self, now: float) -> None:
        """Do what is due."""
        while (due := self._timers.pop(now)) is not None:
            key, timer = due
            one = self._all[key]
            if timer is _Timer.DUE:
                self._ask(key, now)
            elif timer is _Timer.LEAVE:
                self._gone(key, one, f"left {one.options.registrar} without its answer")
            elif one.state.standing is Standing.REGISTERED:
                trouble = one.trouble or "its refresh has not been answered yet"
                why = f"the registration of {one.options.aor} at {one.registrar} is over: {trouble}"
                self._say(key, one, replace(one.state, standing=Standing.FAILED, why=why, until=None))

    def _one(self, key: Key) -> _One:
        if key not in self._all:
            raise MisuseError(f"there is no registration {key!r}")
        return self._all[key]

    # --- asking -------------------------------------------------------------------------------------

    def _ask(self, key: Key, now: float) -> None:
        """Begin a try."""
        one = self._all[key]
        one.registrar, one.redirects, one.refusals = one.options.registrar, 0, 0
        if one.state.standing is not Standing.REGISTERED:
            self._say(key, one, replace(one.state, standing=Standing.REGISTERING, next_try=None))
        self._order(key, one, one.expires)
        one.at, one.asked_at, one.renewing = _At.ASKING, now, False

    def _order(self, key: Key, one: _One, expires: int) -> None:
        self._orders.append(Register(key=key, registrar=one.registrar, aor=one.options.aor, expires=expires))

    def _unregister(self, key: Key, one: _One) -> None:
        if one.state.until is None:
            self._gone(key, one, f"not registered at {one.options.registrar}")
            return
        one.at = _At.LEAVING
        self._order(key, one, 0)

    def _gone(self, key: Key, one: _One, why: str) -> None:
        one.at = _At.GONE
        for timer in _Timer:
            self._timers.stop((key, timer))
        self._say(key, one, Registration(standing=Standing.OFF, why=why))

    # --- answers ------------------------------------------------------------------------------------

    def _take(self, key: Key, one: _One, result: Result, now: float) -> None:
        response = result.response
        if response is not None and 200 <= result.status < 300:
            self._registered(key, one, response, result, now)
        elif response is not None and result.status == 423 and (least := _min_expires(response, one)) is not None:
            one.expires, one.refusals = least, one.refusals + 1
            self._once_more(key, one, now)
        elif response is not None and 300 <= result.status < 400 and (other := _redirected(response, one)):
            one.registrar, one.redirects = other, one.redirects + 1
            self._once_more(key, one, now)
        else:
            self._failed(key, one, result, now)

    def _once_more(self, key: Key, one: _One, now: float) -> None:
        """Within the same try."""
        self._order(key, one, one.expires)
        one.at, one.asked_at = _At.ASKING, now

    def _registered(self, key: Key, one: _One, response: Response, result: Result, now: float) -> None:
        granted = _granted(response, result.contact, one.expires)
        if granted <= 0:
            self._failed(key, one, replace(result, reason="it granted no time at all"), now)
            return
        granted = min(granted, MAX_EXPIRES)
        one.failures, one.trouble = 0, ""
        pause = granted * one.options.refresh_share * (1 - self._dice.randrange(0, 1001) / 10_000)
        due = now + max(one.options.min_pause, pause)
        self._timers.start((key, _Timer.DUE), due)
        self._timers.start((key, _Timer.EXPIRY), now + granted)
        self._say(
            key,
            one,
            Registration(
                standing=Standing.REGISTERED,
                why=f"{one.options.aor} is registered at {one.registrar} for {granted} s",
                until=now + granted,
                next_try=due,
                status=result.status,
                routes=_service_routes(response),
            ),
        )

    def _failed(self, key: Key, one: _One, result: Result, now: float) -> None:
        """Try later. What was granted before lasts to its end."""
        one.failures += 1
        pause = self._back_off(one)
        if result.response is not None and (asked := result.response.retry_after) is not None:
            pause = max(pause, min(float(asked), one.options.retry_max))
        due = now + max(pause, one.options.min_pause)
        self._timers.start((key, _Timer.DUE), due)
        why = one.trouble = _sentence(one, result)
        before = one.state
        if before.standing is Standing.REGISTERED:
            why = f"registered, but not for longer: {why}"
            self._say(key, one, replace(before, why=why, next_try=due, status=_status(result)))
            return
        failed = Registration(
            standing=Standing.FAILED, why=why, next_try=due, status=_status(result), routes=before.routes
        )
        self._say(key, one, failed)

    def _back_off(self, one: _One) -> float:
        """RFC 5626 4.5: base * 2**failures up to the limit, of which a random half to whole is waited."""
        longest = min(one.options.retry_max, one.options.retry * 2.0 ** min(one.failures, 32))
        return longest * (0.5 + self._dice.randrange(0, 1001) / 2000)

    def _say(self, key: Key, one: _One, state: Registration) -> None:
        if state != one.state:
            one.state = state
            self._events.append(Changed(key, state))


def _status(result: Result) -> int | None:
    return result.status if result.response is not None else None


def _sentence(one: _One, result: Result) -> str:
    """Why a try failed, with what to do about it."""
    text = printable(legible(result.reason))[:MAX_TEXT].strip()
    where, hint = f"{one.options.aor} at {one.registrar}", HINTS.get(result.status, "")
    hint = f" ({hint})" if hint else ""
    if result.response is None and result.status == 408:
        return f"no answer to the registration of {where}: {text}{hint}"
    if result.response is None:
        return f"the registration of {where} could not be sent: {text}"
    if result.status in (401, 407) or result.status < 300:  # the keyring's sentence, or ours
        return f"the registration of {where} was refused: {text}"
    return f"the registration of {where} was refused: {result.status} {text}{hint}"


def _min_expires(response: Response, one: _One) -> int | None:
    """What a 423 asks for, None when asking for it makes no sense."""
    try:
        least = parse_number(response.headers.first("min-expires") or "", MAX_EXPIRES, "Min-Expires", "RFC 3261 20.23")
    except DecodeError:
        return None
    return least if least > one.expires and one.refusals < MAX_MIN_EXPIRES else None


def _redirected(response: Response, one: _One) -> str:
    """The registrar that a 3xx names, "" when there is none to go to."""
    if one.redirects >= MAX_REDIRECTS:
        return ""
    try:
        contacts = [contact.uri for contact in response.contacts]
    except DecodeError:
        return ""
    good = (uri for uri in contacts if uri.scheme in ("sip", "sips") and not uri.headers)
    return next((_without_user(uri) for uri in good), "")


def _without_user(uri: Uri) -> str:
    """RFC 3261 10.2: the Request-URI of a REGISTER has no user."""
    return uri.text if uri.user is None else f"{uri.scheme}:{uri.text.partition('@')[2]}"


def _granted(response: Response, contact: str, asked: int) -> int:
    """How long our Contact is registered (RFC 3261 10.2.4): its own expires, else that of the answer, else what we
    asked.

    Quirk: registrars behind a NAT helper give our Contact back rewritten; the only one there is must be it then.
    """
    try:
        contacts = response.contacts
    except DecodeError:
        contacts = []
    ours = [one for one in contacts if _same(one, contact)]
    mine = ours[0] if ours else contacts[0] if len(contacts) == 1 else None
    values = [mine.parameters.get("expires") if mine is not None else None, response.headers.first("expires")]
    for value in values:
        try:
            return parse_number(value or "", 2**32 - 1, "expires", "RFC 3261 20.19")
        except DecodeError:
            continue
    return asked


def _same(given: NameAddr, contact: str) -> bool:
    try:
        ours = Uri.parse(contact)
    except DecodeError:
        return False
    theirs = given.uri
    return (theirs.user_text, theirs.host.lower(), theirs.port or 5060) == (
        ours.user_text,
        ours.host.lower(),
        ours.port or 5060,
    )


def _service_routes(response: Response) -> tuple[str, ...]:
    """RFC 3608: in order, those that can be read."""
    try:
        values = response.headers.values("service-route")[:MAX_ROUTES]
        for value in values:
            NameAddr.parse(value)
    except DecodeError:
        return ()
    return tuple(values)
