"""Recipients: every spelling of a number becomes one, and what is none says why."""

import pytest

from vfax.errors import SettingsError
from vfax.fsp.errors import InvalidParameter
from vfax.host.recipients import MAX_RECIPIENTS, MAX_TEXT, DialPlan, recipient, recipients

BERLIN = DialPlan(region="DE")


@pytest.mark.parametrize(
    "text", ["+49 30 123456", "030 123456", "030/12 34 56", "(030) 123-456", "0049 30 123456", " +4930123456 "]
)
def test_every_spelling_is_one_number(text: str) -> None:
    found = recipient(text, "Ada", plan=BERLIN)
    assert (found.number, found.name, found.given) == ("+4930123456", "Ada", text.strip())


@pytest.mark.parametrize(
    ("dial", "expected"),
    [
        ("{e164}", "+4930123456"),
        ("{digits}", "4930123456"),
        ("sip:{e164}@trunk.example", "sip:+4930123456@trunk.example"),
        ("sip:0{national}@pbx", "sip:030123456@pbx"),
    ],
)
def test_a_provider_dials_what_its_trunk_wants(dial: str, expected: str) -> None:
    assert recipient("030 123456", plan=DialPlan(region="DE", dial=dial)).number == expected


@pytest.mark.parametrize(
    "uri", ["sip:fax@example.net", "SIP:fax@192.0.2.1:5070", "sips:+4930@[2001:db8::1];user=phone"]
)
def test_a_sip_uri_is_dialled_as_it_is(uri: str) -> None:
    scheme, rest = uri.split(":", 1)
    assert recipient(uri, plan=DialPlan()).number == f"{scheme.lower()}:{rest}"


SIP_ONLY = DialPlan(region="DE", sip_only=True)


def test_devices_that_dial_sip_alone_refuse_a_number_and_say_which_setting_helps() -> None:
    with pytest.raises(InvalidParameter) as caught:
        recipient("030 123456", plan=SIP_ONLY)
    for part in ("'030 123456'", '[queue] dial = "{e164}"', "+4930123456", "sip:{e164}@trunk.example.com"):
        assert part in str(caught.value)
    assert not SIP_ONLY.numbers


def test_devices_that_dial_sip_alone_take_sip_addresses_and_numbers_that_become_some() -> None:
    assert recipient("sip:fax@example.net", plan=SIP_ONLY).number == "sip:fax@example.net"
    assert recipient("sips:fax@example.net", plan=SIP_ONLY).number == "sips:fax@example.net"
    plan = DialPlan(region="DE", dial="sip:{e164}@trunk.example.com", sip_only=True)
    assert plan.numbers
    assert recipient("030 123456", plan=plan).number == "sip:+4930123456@trunk.example.com"


def test_extensions_are_taken_where_the_plan_has_them() -> None:
    plan = DialPlan(region="DE", dial="sip:{digits}@pbx", private=4)
    assert recipient("4711", plan=plan).number == "sip:4711@pbx"
    with pytest.raises(InvalidParameter, match="telephone number"):
        recipient("1", plan=BERLIN)


@pytest.mark.parametrize(
    ("text", "why"),
    [
        ("", "is empty"),
        ("   ", "is empty"),
        ("030 123456", "country code"),
        ("hello", "country code"),
        ("+49", "no telephone number|cannot be"),
        ("+1 555", "too few or too many"),
        ("sip:nobody", "no SIP address"),
        ("sip:@host", "no SIP address"),
        ("sip:a b@host", "no SIP address"),
        ("+4930\x00123456", "cannot be printed"),
        ("+4930\r\n123456", "cannot be printed"),
        ("1" * (MAX_TEXT + 1), "at most 256"),
        (4930123456, "must be text, not int"),
        (None, "must be text, not NoneType"),
    ],
)
def test_what_is_no_recipient_says_why(text: object, why: str) -> None:
    with pytest.raises(InvalidParameter, match=why):
        recipient(text, plan=DialPlan())


def test_a_number_that_is_there_twice_counts_once() -> None:
    found = recipients([("030 123456", "one"), ("+49 30 123456", "two"), ("030 999999", "")], plan=BERLIN)
    assert [one.number for one in found] == ["+4930123456", "+4930999999"]
    assert found[0].name == "one"


def test_no_recipient_and_too_many_are_refused() -> None:
    with pytest.raises(InvalidParameter, match="no recipient"):
        recipients([], plan=BERLIN)
    with pytest.raises(InvalidParameter, match="at most 10000"):
        recipients([("+4930123456", "")] * (MAX_RECIPIENTS + 1), plan=BERLIN)


@pytest.mark.parametrize(
    ("settings", "why"),
    [
        ({"region": "XX"}, "ISO 3166"),
        ({"dial": "sip:@trunk"}, "leaves the number out"),
        ({"dial": "{nix}"}, "expected"),
        ({"dial": "{"}, "expected"),
        ({"dial": "{e164.nix}"}, "expected"),
        ({"dial": "sip:{e164}"}, r"sip:\{e164\}@trunk.example.com\" is expected .'sip:\+1' is no SIP address"),
        ({"dial": "sip:{e164}@my trunk"}, "is no SIP address"),
        ({"dial": "0{national}", "sip_only": True}, r"SIP addresses alone.*sip:0\{national\}@trunk.example.com"),
    ],
)
def test_a_dial_plan_that_cannot_work_is_refused(settings: dict[str, str], why: str) -> None:
    with pytest.raises(SettingsError, match=why):
        DialPlan(**settings)  # type: ignore[arg-type]
