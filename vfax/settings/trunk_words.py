"""Kinds of values that a trunk's settings are made of: where it is, numbers, identities.

Owns      the validators and the readers behind them; each message says what is expected. Not here: the settings
          (trunks.py), the general kinds (words.py).
"""

import ipaddress
import re
from typing import Annotated, Final

from pydantic import AfterValidator, BeforeValidator, Field

from vfax.errors import DecodeError
from vfax.settings.words import Line
from vfax.transports.sip.headers import SIP_PORT, Uri, bracketed
from vfax.transports.sip.values import Address
from vfax.trunks.naming import CALLER, identity_uri

TRANSPORTS: Final = ("udp", "tcp", "tls")
OWN: Final = "own"
"""As the public address of a trunk: that of our socket."""
PLACE: Final = 'expected a host such as "pbx.example.com", "192.0.2.1:5070" or "sip:sbc.example.com;transport=tls"'
FORMAT: Final = 'expected "" (as it is) or a text with {e164}, {digits} or {national} in it, such as "00{digits}"'
_NAME: Final = re.compile(r"[A-Za-z0-9_-]{1,32}")
_IDENTITY: Final = re.compile(r"[^\x00-\x20\x7f<>\"\\,]{1,128}")


def _name(name: str) -> str:
    if not _NAME.fullmatch(name):
        raise ValueError(
            "expected a name of at most 32 letters, digits, hyphens and underscores (without a full stop, for "
            "sip:NUMBER@NAME must not look like a host)"
        )
    return name


def parse_place(text: str, transport: str = "") -> Uri:
    """A host, host:port or SIP URI without user as the URI of a next hop. Raises ValueError saying what is expected.

    `transport` is filled in where the text names none.
    """
    try:
        uri = Uri.parse(text if ":" in text and text.lower().startswith(("sip:", "sips:")) else f"sip:{_host(text)}")
    except DecodeError as why:
        raise ValueError(f"{PLACE} ({why.what})") from None
    if uri.user is not None or uri.headers or not uri.host:
        raise ValueError(f"{PLACE}, without a user and without headers")
    named = (uri.parameters.get("transport") or "").lower()
    if named and named not in TRANSPORTS:
        raise ValueError(f'{PLACE}; transport is "udp", "tcp" or "tls"')
    if named or not transport or uri.scheme == "sips":
        return uri
    return Uri.parse(f"{uri.text};transport={transport}")


def _host(text: str) -> str:
    """An IPv6 address needs no brackets where it stands alone."""
    try:
        return bracketed(str(ipaddress.ip_address(text)))
    except ValueError:
        return text


def _place(text: str) -> str:
    parse_place(text)
    return text


def _place_or_empty(text: str) -> str:
    return _place(text) if text else text


def parse_public(text: str) -> Address:
    """A numeric address with or without a port (then 0). Raises ValueError."""
    expected = ValueError(
        'expected a numeric address, such as "203.0.113.5", "203.0.113.5:5060" or "[2001:db8::1]:5060"'
    )
    try:
        return str(ipaddress.ip_address(text)), 0
    except ValueError:
        pass
    try:
        uri = Uri.parse(f"sip:{text}")
        host, port = str(ipaddress.ip_address(uri.host)), uri.port
    except (DecodeError, ValueError):
        raise expected from None
    if not port or uri.text != f"sip:{bracketed(uri.host)}:{port}":
        raise expected
    return host, port


def _public_or_empty(text: str) -> str:
    if text:
        parse_public(text)
    return text


def _trunk_public(text: str) -> str:
    try:
        return text if text == OWN else _public_or_empty(text)
    except ValueError as why:
        raise ValueError(f'{why}, or "{OWN}"') from None


def parse_server(text: str, port: int) -> tuple[str, int]:
    """host[:port] as a pair. Raises ValueError."""
    try:
        uri = Uri.parse(f"sip:{_host(text)}")
    except DecodeError as why:
        raise ValueError(
            f'expected a host with or without a port, such as "stun.example.com:3478" ({why.what})'
        ) from None
    if uri.user is not None or uri.parameters.items or uri.headers:
        raise ValueError('expected a host with or without a port, such as "stun.example.com:3478"')
    return uri.host, uri.port or port


def _server_or_empty(text: str) -> str:
    if text:
        parse_server(text, SIP_PORT)
    return text


def _domain(text: str) -> str:
    if text:
        uri = _uri(f"sip:{_host(text)}")
        if uri is None or uri.user is not None or uri.port is not None or uri.parameters.items or uri.headers:
            raise ValueError('expected the name of a domain alone, such as "pbx.example.com"')
    return text


def _uri(text: str) -> Uri | None:
    try:
        return Uri.parse(text)
    except DecodeError:
        return None


def _format(text: str) -> str:
    try:
        tried = text.format(e164="+1", digits="1", national="1")
    except (LookupError, ValueError, AttributeError):
        raise ValueError(FORMAT) from None
    if text and ("1" not in tried or not text.isascii() or not text.isprintable() or " " in text):
        raise ValueError(FORMAT)
    return text


def _identity(text: str) -> str:
    expected = ValueError(
        f'expected "" (not said), "{CALLER}" (the sender\'s number of the fax), a fixed number, user@domain, or a '
        "sip: or tel: URI"
    )
    bare = text.replace(CALLER, "")
    known = "{" not in bare and "}" not in bare and CALLER not in text.rpartition("@")[2 if "@" in text else 0]
    if text and not (known and _IDENTITY.fullmatch(text) and _uri(identity_uri(text, "host", "1")) is not None):
        raise expected
    return text


def _region(text: str) -> str:
    if not text:
        return text
    import phonenumbers  # half a hundred modules, for those alone who name a region

    if text not in phonenumbers.SUPPORTED_REGIONS:
        raise ValueError('expected a country code of ISO 3166, such as "DE" or "US", or "" for that of [queue]')
    return text


def _user(text: str) -> str:
    if any(char in '"\\' or not char.isprintable() for char in text):
        raise ValueError("expected a user name in printable characters, without quotes and backslashes")
    return text


def _variable(text: str) -> str:
    if text and not re.fullmatch(r"[A-Za-z_][A-Za-z0-9_]*", text):
        raise ValueError('expected the name of an environment variable, such as "OFFICE_PASSWORD"')
    return text


def _secret(text: str) -> str:
    if not text.isprintable():
        raise ValueError("expected a password in printable characters")
    return text


def _listed(value: object) -> object:
    """One entry needs no brackets."""
    return (value,) if isinstance(value, str) else value


TrunkName = Annotated[str, AfterValidator(_name)]
Place = Annotated[str, Field(max_length=255), AfterValidator(_place)]
PlaceOrEmpty = Annotated[str, Field(max_length=255), AfterValidator(_place_or_empty)]
Places = Annotated[tuple[Place, ...], BeforeValidator(_listed), Field(strict=False, max_length=16)]
PublicAddress = Annotated[str, AfterValidator(_public_or_empty)]
TrunkAddress = Annotated[str, AfterValidator(_trunk_public)]
ServerOrEmpty = Annotated[str, Field(max_length=255), AfterValidator(_server_or_empty)]
Domain = Annotated[str, Field(max_length=253), AfterValidator(_domain)]
Domains = Annotated[tuple[Domain, ...], BeforeValidator(_listed), Field(strict=False, max_length=100)]
NumberFormat = Annotated[str, Field(max_length=64), AfterValidator(_format)]
IdentityText = Annotated[str, Field(max_length=128), AfterValidator(_identity)]
Region = Annotated[str, AfterValidator(_region)]
UserName = Annotated[Line, AfterValidator(_user)]
VariableName = Annotated[str, AfterValidator(_variable)]
Secret = Annotated[str, Field(max_length=256), AfterValidator(_secret)]
