"""Requests outside any call: OPTIONS to look whether somebody is there, REGISTER.

Owns      what such a request asks for and says.
Not here  when it is sent, what its answer means (who asks knows); its tries (errands.py).
Source    RFC 3261 (June 2002) 8.1.1, 10.2, 11.1.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final

from vfax.errors import DecodeError, MisuseError
from vfax.transports.sip.account import NO_ACCOUNT, Account
from vfax.transports.sip.compose import take_back
from vfax.transports.sip.core import ALLOW, Core
from vfax.transports.sip.dialog import FIRST_CSEQ
from vfax.transports.sip.headers import Uri
from vfax.transports.sip.keyring import Keyring
from vfax.transports.sip.message import Headers, Request, canonical
from vfax.transports.sip.transaction import Purpose
from vfax.transports.sip.values import Hop

PURPOSES: Final = {"OPTIONS": Purpose.OPTIONS, "REGISTER": Purpose.REGISTER}
_OURS_ALONE: Final = frozenset({"via", "from", "to", "call-id", "cseq", "contact", "max-forwards", "content-length"})


@dataclass(frozen=True, slots=True, kw_only=True)
class Asking:
    """One request outside any call. `uri` is the Request-URI; `targets` are tried in order.

    Requests that belong together (the refreshes of one registration) have one `call_id` and `from_tag` and rising
    numbers: the next `cseq` is that of RequestDone plus one. Empty ones are made up.
    """

    method: str  # OPTIONS or REGISTER
    uri: str
    targets: Sequence[Hop]
    to: str = ""  # a URI; "": the Request-URI
    from_user: str = ""  # may bring its domain: user@domain
    from_name: str = ""
    account: Account = NO_ACCOUNT
    contact: str | None = (
        ""  # parameters of our Contact, as in `;expires=600`; None for no Contact, `*` for all of ours
    )
    former: str = ""  # a URI of ours that is registered still: taken back where our Contact is another one by now
    fields: Sequence[tuple[str, str]] = ()
    call_id: str = ""
    from_tag: str = ""
    cseq: int = FIRST_CSEQ
    keyring: Keyring | None = None  # of those that belong together: it goes on where the last one ended

    @property
    def purpose(self) -> Purpose:
        """What its transaction is for. Raises MisuseError for another method."""
        if self.method not in PURPOSES:
            raise MisuseError(f"{self.method} is not sent outside calls: expected OPTIONS or REGISTER")
        return PURPOSES[self.method]


def build_request(core: Core, asking: Asking) -> Request:
    """The request for its first target. Raises MisuseError for what cannot be sent."""
    if not asking.targets:
        raise MisuseError(f"{asking.method} {asking.uri!r} cannot be sent without an address to send to")
    account, to = asking.account, asking.targets[0]
    secure = _scheme_of(asking.uri) == "sips"
    tag = asking.from_tag or core.token()
    headers = Headers()
    headers.add("Via", core.via(to))
    headers.add("Max-Forwards", "70")
    for route in account.routes:
        headers.add("Route", route)
    headers.add("From", core.from_value(asking.from_user, asking.from_name, tag, to, account.from_domain))
    headers.add("To", f"<{asking.to or asking.uri}>")
    headers.add("Call-ID", asking.call_id or f"{core.token()}{core.token()}")
    headers.add("CSeq", f"{asking.cseq} {asking.method}")
    if asking.contact == "*":
        headers.add("Contact", "*")
    elif asking.contact is not None:
        user = account.contact_user or asking.from_user.partition("@")[0]
        headers.add("Contact", core.contact_for(user, to, secure=secure) + asking.contact)
        take_back(headers, asking.former)
    headers.add(*ALLOW)
    headers.add("User-Agent", core.options.user_agent)
    for name, value in asking.fields:
        if canonical(name) in _OURS_ALONE:
            raise MisuseError(f"{name} is not for the caller to set")
        headers.add(name, value)
    return Request(asking.method, asking.uri, headers)


def _scheme_of(uri: str) -> str:
    try:
        scheme = Uri.parse(uri).scheme
    except DecodeError as why:
        raise MisuseError(f"{uri!r} is no SIP URI: {why.what}") from why
    if scheme not in ("sip", "sips"):
        raise MisuseError(f"{uri!r} is no SIP URI")
    return scheme
