"""Numbers and names of a call as one trunk wants them written, and as it writes them.

Owns      formats of numbers, the header field values that say who calls, which number was dialled, who called.
Not here  building and parsing messages (transports/sip), which trunk a call belongs to (book.py).
Source    RFC 3261 20.20; RFC 3325 (P-Asserted-Identity); RFC 5806 (Diversion); RFC 7044 (History-Info);
          RFC 7315 4.2 (P-Called-Party-ID); draft-ietf-sip-privacy-04 (Remote-Party-ID, never an RFC).

What a peer sent is data: what cannot be read counts as not being there.
"""

from collections.abc import Iterable
from contextlib import suppress
from dataclasses import dataclass
from typing import Final

from vfax.errors import DecodeError
from vfax.transports.sip.headers import NameAddr, Uri
from vfax.transports.sip.syntax import printable, quote
from vfax.trunks.naming import CALLER, identity_uri
from vfax.trunks.options import CallerPlace, DidPlace, NumberOptions, TrunkOptions

Identities = tuple[tuple[str, str], ...]
"""Header fields of an INVITE that name somebody: name in lower case, one value as it came; in their order."""

NOBODY: Final = "vfax"


@dataclass(frozen=True, slots=True, kw_only=True)
class Identity:
    """Who a call of ours says it is: the parts of From, and header fields besides."""

    from_user: str
    from_domain: str
    from_name: str
    headers: tuple[tuple[str, str], ...] = ()


@dataclass(frozen=True, slots=True, kw_only=True)
class Parties:
    """Who called whom, as the trunk's numbers are read."""

    caller: str
    caller_name: str
    dialled: str


def written(number: str, form: str, region: str = "") -> str:
    """A telephone number in `form`; what is none (a name, an extension), and all with the form "", stay as they are."""
    bare = number.replace(" ", "")
    if not form:
        return bare
    import phonenumbers  # half a hundred modules, for those alone whose numbers are formatted

    try:
        parsed = phonenumbers.parse(bare, region or None)
    except phonenumbers.NumberParseException:
        return bare
    if not phonenumbers.is_possible_number(parsed):
        return bare
    e164 = phonenumbers.format_number(parsed, phonenumbers.PhoneNumberFormat.E164)
    return form.format(e164=e164, digits=e164.lstrip("+"), national=phonenumbers.national_significant_number(parsed))


def of_call(trunk: TrunkOptions, *, number: str, name: str) -> Identity:
    """Who a call through `trunk` says it is; `number` and `name` are those of the job's sender, "" for none."""
    who, numbers = trunk.identity, trunk.numbers
    caller = written(number, numbers.caller_format, numbers.region).partition("@")[0]
    domain = who.from_domain or trunk.domain
    named = who.from_name or name
    from_user = _filled(who.from_user, caller) or _account(trunk) or NOBODY
    headers = []
    for header, text, tail in (
        ("P-Asserted-Identity", who.p_asserted_identity, ""),
        ("P-Preferred-Identity", who.p_preferred_identity, ""),
        ("Remote-Party-ID", who.remote_party_id, ";party=calling;screen=yes;privacy=off"),
        ("Diversion", who.diversion, ";reason=unconditional;privacy=off"),
    ):
        if _filled(text, caller):
            shown = f"{quote(named)} " if named and header != "Diversion" else ""
            headers.append((header, f"{shown}<{identity_uri(text, domain, caller)}>{tail}"))
    return Identity(from_user=from_user, from_domain=domain, from_name=named, headers=tuple(headers))


def _filled(text: str, caller: str) -> str:
    """The text with the caller's number in it; "" where it needs one and there is none."""
    return "" if CALLER in text and not caller else text.replace(CALLER, caller)


def _account(trunk: TrunkOptions) -> str:
    if trunk.register is not None:
        return trunk.register.user
    return trunk.credentials.user if trunk.credentials is not None else ""


def parties(numbers: NumberOptions, request_uri: str, identities: Identities) -> Parties:
    """Who called whom, by the places that the trunk's numbers are read from."""
    dialled = next((user for place in numbers.did_from if (user := _dialled_at(place, request_uri, identities))), "")
    caller = next((one for place in numbers.caller_from if (one := _first(identities, place)) is not None), None)
    region = numbers.region
    return Parties(
        caller=printable(written(_user(caller.uri), numbers.did_format, region)) if caller is not None else "",
        caller_name=printable(caller.name) if caller is not None else "",
        dialled=printable(written(dialled, numbers.did_format, region)),
    )


def _dialled_at(place: DidPlace, request_uri: str, identities: Identities) -> str:
    match place:
        case DidPlace.REQUEST_URI:
            with suppress(DecodeError):
                return _user(Uri.parse(request_uri))
            return ""
        case DidPlace.DIVERSION:  # the newest stands on top (RFC 5806 5.2): the number dialled first is the last
            named = list(_all(identities, place))[-1:]
        case _:
            named = list(_all(identities, place))[:1]
    return _user(named[0].uri) if named else ""


def _first(identities: Identities, name: str) -> NameAddr | None:
    """The first identity under that name that has a user: an anonymous or unreadable one says nothing."""
    return next((one for one in _all(identities, name) if _user(one.uri)), None)


def _all(identities: Identities, name: str) -> Iterable[NameAddr]:
    for header, value in identities:
        if header == name:
            with suppress(DecodeError):
                yield NameAddr.parse(value)


def _user(uri: Uri) -> str:
    """The user part without what may hang on it (;npdi, ;phone-context), escapes resolved."""
    return uri.user_text.partition(";")[0]


__all__ = [
    "CallerPlace",
    "DidPlace",
    "Identities",
    "Identity",
    "Parties",
    "identity_uri",
    "of_call",
    "parties",
    "written",
]
