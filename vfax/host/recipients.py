"""Whom a fax is for, in one spelling: E.164, or a SIP URI.

Owns      reading what people write as a number, and what a provider dials for it.
Not here  routing of received faxes (routing.py), SIP itself (transports/sip).
Source    E.164 and national plans: the phonenumbers library.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final

import phonenumbers

from vfax.errors import SettingsError
from vfax.fsp.errors import InvalidParameter
from vfax.host.store.values import Recipient

MAX_RECIPIENTS: Final = 10_000
"""Limit: recipients of one submission."""
MAX_TEXT: Final = 256
"""Limit: characters of a number, a SIP URI or a name."""

DIAL: Final = "{e164}"
"""What is dialled where the settings say nothing."""

_SIP: Final = ("sip:", "sips:")


@dataclass(frozen=True, slots=True, kw_only=True)
class DialPlan:
    """How numbers are read and dialled.

    `region` (ISO 3166, "DE") is the country of numbers without a country code; "" takes only numbers with one.
    `dial` is what a provider dials: a template with `{e164}` (with +), `{digits}` (without), `{national}`; a SIP trunk
    has "sip:{e164}@trunk.example.com". Numbers that are possible but belong to no plan (extensions of a PBX) are taken
    as they are where `private` allows so many digits (0: none). `sip_only`: all devices dial SIP URIs and nothing else,
    so numbers are refused unless `dial` makes such URIs of them.
    """

    region: str = ""
    dial: str = DIAL
    private: int = 0
    sip_only: bool = False

    def __post_init__(self) -> None:
        if self.region and self.region not in phonenumbers.SUPPORTED_REGIONS:
            given = f"region = {self.region[:20]!r}"
            raise SettingsError(f"{given}: a country code of ISO 3166 is expected, such as DE or US")
        try:
            tried = self.dial.format(e164="+1", digits="1", national="1")
        except (LookupError, ValueError, AttributeError) as why:
            raise SettingsError(
                f"dial = {self.dial!r}: {{e164}}, {{digits}} or {{national}} are expected ({why})"
            ) from why
        if "1" not in tried:
            raise SettingsError(
                f"dial = {self.dial!r} leaves the number out: {{e164}}, {{digits}} or {{national}} is expected"
            )
        if self.dial.lower().startswith(_SIP):
            self._check_sip(tried)
        elif self.sip_only and self.dial != DIAL:
            raise SettingsError(
                f"dial = {self.dial!r}: the devices here dial SIP addresses alone, so one is expected with the name of "
                f'the trunk or PBX, such as "sip:{self.dial}@trunk.example.com"'
            )

    def _check_sip(self, tried: str) -> None:
        try:
            _sip(tried)
        except InvalidParameter as why:
            raise SettingsError(f'dial = {self.dial!r}: "sip:{{e164}}@trunk.example.com" is expected ({why})') from why

    @property
    def numbers(self) -> bool:
        """True when telephone numbers can be dialled, not only SIP URIs."""
        return not self.sip_only or self.dial.lower().startswith(_SIP)


def recipient(text: object, name: object = "", *, plan: DialPlan) -> Recipient:
    """Read one recipient: a telephone number in any spelling, or a SIP URI. Raises InvalidParameter saying why not."""
    given, named = _text("number", text), _text("name", name)
    if not given:
        raise InvalidParameter("the recipient's number is empty: a telephone number or a SIP URI is expected")
    if given.lower().startswith(_SIP):
        return Recipient(number=_sip(given), name=named, given=given)
    return Recipient(number=_dialled(given, plan), name=named, given=given)


def recipients(given: Sequence[tuple[object, object]], *, plan: DialPlan) -> tuple[Recipient, ...]:
    """Read (number, name) pairs; a number that is there twice counts once. Raises InvalidParameter."""
    if not given:
        raise InvalidParameter("there is no recipient: at least one number is expected")
    if len(given) > MAX_RECIPIENTS:
        raise InvalidParameter(f"{len(given)} recipients: at most {MAX_RECIPIENTS} are taken at once")
    found: dict[str, Recipient] = {}
    for number, name in given:
        one = recipient(number, name, plan=plan)
        found.setdefault(one.number, one)
    return tuple(found.values())


def _text(what: str, value: object) -> str:
    if not isinstance(value, str):
        raise InvalidParameter(f"the recipient's {what} must be text, not {type(value).__name__}")
    text = value.strip()
    if len(text) > MAX_TEXT:
        raise InvalidParameter(f"the recipient's {what} has {len(text)} characters: at most {MAX_TEXT} are taken")
    if not text.isprintable():
        raise InvalidParameter(f"the recipient's {what} {text!r} has characters that cannot be printed")
    return text


def _sip(uri: str) -> str:
    scheme, _, rest = uri.partition(":")
    user, at, host = rest.rpartition("@")
    if not (at and user and host) or any(char in ' <>"' for char in rest):
        raise InvalidParameter(f"{uri!r} is no SIP address: sip:user@host is expected")
    return f"{scheme.lower()}:{rest}"


def _dialled(text: str, plan: DialPlan) -> str:
    dialled = _filled_in(text, plan)
    if not plan.numbers:
        raise InvalidParameter(
            f"{text!r} cannot be dialled: the devices here dial SIP addresses alone, and [queue] dial = "
            f'"{plan.dial}" makes {dialled} of it. Set dial = "sip:{{e164}}@trunk.example.com" with the name of your '
            "trunk or PBX, or give a SIP address as the recipient"
        )
    return dialled


def _filled_in(text: str, plan: DialPlan) -> str:
    digits = "".join(char for char in text if char.isdecimal() and char.isascii())
    if plan.private and len(digits) <= plan.private and digits == text:
        return plan.dial.format(e164=digits, digits=digits, national=digits)
    try:
        number = phonenumbers.parse(text, plan.region or None)
    except phonenumbers.NumberParseException as why:
        raise InvalidParameter(f"{text!r} is no telephone number{_hint(text, plan)}") from why
    if not phonenumbers.is_possible_number(number):
        raise InvalidParameter(
            f"{text!r} cannot be a telephone number: it has too few or too many digits for its country"
        )
    return plan.dial.format(
        e164=phonenumbers.format_number(number, phonenumbers.PhoneNumberFormat.E164),
        digits=phonenumbers.format_number(number, phonenumbers.PhoneNumberFormat.E164).lstrip("+"),
        national=phonenumbers.national_significant_number(number),
    )


def _hint(text: str, plan: DialPlan) -> str:
    if not plan.region and not text.startswith("+"):
        return ": write it with its country code, as +49 30 123456, or set a region"
    return " that can be dialled: digits with a country code, as +49 30 123456, are expected"
