"""Numbers and names as a trunk wants them, and as it writes them."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from vfax.transports.sip.headers import NameAddr, Uri
from vfax.transports.sip.keyring import Credentials
from vfax.trunks.identity import Identities, identity_uri, of_call, parties, written
from vfax.trunks.options import (
    CallerPlace,
    DidPlace,
    IdentityOptions,
    NumberOptions,
    TrunkOptions,
)

ALL_DIDS = tuple(DidPlace)
ALL_CALLERS = tuple(CallerPlace)


@pytest.mark.parametrize(
    ("number", "form", "region", "expected"),
    [
        ("+49 30 123456", "", "", "+4930123456"),
        ("+49 30 123456", "{digits}", "", "4930123456"),
        ("+4930123456", "00{digits}", "", "004930123456"),
        ("+4930123456", "0{national}", "", "030123456"),
        ("030123456", "{e164}", "DE", "+4930123456"),
        ("004930123456", "{e164}", "DE", "+4930123456"),
        ("030123456", "{e164}", "", "030123456"),  # no country: as it is
        ("4711", "{e164}", "", "4711"),
        ("fax", "{e164}", "DE", "fax"),
        ("", "{e164}", "DE", ""),
    ],
)
def test_numbers_are_written_as_the_trunk_wants_them(number: str, form: str, region: str, expected: str) -> None:
    assert written(number, form, region) == expected


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("+4930", "sip:+4930@example.com"),
        ("fax@other.example", "sip:fax@other.example"),
        ("tel:+4930", "tel:+4930"),
        ("sip:1@host;user=phone", "sip:1@host;user=phone"),
        ("a b", "sip:a%20b@example.com"),
    ],
)
def test_an_identity_becomes_a_uri(text: str, expected: str) -> None:
    assert identity_uri(text, "example.com") == expected


def trunk(**identity: str) -> TrunkOptions:
    who = {"from_domain": "pbx.example.com"} | identity
    return TrunkOptions(
        name="office",
        domain="pbx.example.com",
        identity=IdentityOptions(**who),
        numbers=NumberOptions(caller_format="{digits}"),
        credentials=Credentials("fax1", "secret"),
    )


def test_the_senders_number_is_who_calls() -> None:
    who = of_call(trunk(), number="+49 30 123456", name="Firma Müller")
    assert (who.from_user, who.from_domain, who.from_name) == ("4930123456", "pbx.example.com", "Firma Müller")
    assert who.headers == ()


def test_without_a_number_the_account_calls_and_no_header_is_made_up() -> None:
    who = of_call(trunk(p_asserted_identity="{caller}", diversion="{caller}"), number="", name="")
    assert (who.from_user, who.headers) == ("fax1", ())
    assert of_call(TrunkOptions(name="bare"), number="", name="").from_user == "vfax"


def test_identity_headers_are_fixed_or_the_senders_number() -> None:
    who = of_call(
        trunk(
            from_user="fax1",
            from_name="Office",
            p_asserted_identity="{caller}",
            p_preferred_identity="tel:+49301",
            remote_party_id="+{caller}@carrier.example",
            diversion="sip:+49302@carrier.example",
        ),
        number="+4930123456",
        name="ignored",
    )
    assert (who.from_user, who.from_name) == ("fax1", "Office")
    assert dict(who.headers) == {
        "P-Asserted-Identity": '"Office" <sip:4930123456@pbx.example.com>',
        "P-Preferred-Identity": '"Office" <tel:+49301>',
        "Remote-Party-ID": '"Office" <sip:+4930123456@carrier.example>;party=calling;screen=yes;privacy=off',
        "Diversion": "<sip:+49302@carrier.example>;reason=unconditional;privacy=off",
    }


@given(st.text(max_size=40), st.text(max_size=40))
def test_whatever_the_sender_is_called_the_headers_can_be_read_back(number: str, name: str) -> None:
    options = trunk(p_asserted_identity="{caller}", remote_party_id="{caller}", diversion="{caller}@x.example")
    for _, value in of_call(options, number=number, name=name).headers:
        assert "\r" not in value
        assert "\n" not in value
        assert NameAddr.parse(value).uri.host in ("pbx.example.com", "x.example")


IDENTITIES: Identities = (
    ("from", '"Anonymous" <sip:anonymous@anonymous.invalid>;tag=1'),
    ("to", "<sip:+49301@pbx.example.com>"),
    ("p-asserted-identity", '"Bakery" <sip:+4989123@carrier.example>'),
    ("p-called-party-id", "<sip:+49302@carrier.example>"),
    ("diversion", "<sip:+49304@carrier.example>;reason=user-busy"),
    ("diversion", "<sip:+49303@carrier.example>;reason=unconditional"),
    ("history-info", "<sip:+49305@carrier.example?Reason=SIP%3Bcause%3D302>;index=1"),
    ("history-info", "<sip:+49306@carrier.example>;index=1.1"),
    ("remote-party-id", "<sip:+4989124@carrier.example>;party=calling"),
)


@pytest.mark.parametrize(
    ("place", "number"),
    [
        (DidPlace.REQUEST_URI, "4930999"),
        (DidPlace.TO, "+49301"),
        (DidPlace.P_CALLED_PARTY_ID, "+49302"),
        (DidPlace.DIVERSION, "+49303"),
        (DidPlace.HISTORY_INFO, "+49305"),
    ],
)
def test_the_number_that_was_dialled_is_read_where_the_trunk_puts_it(place: DidPlace, number: str) -> None:
    found = parties(NumberOptions(did_from=(place,)), "sip:4930999@192.0.2.1;user=phone", IDENTITIES)
    assert found.dialled == number


def test_the_first_place_that_has_a_number_counts() -> None:
    places = NumberOptions(did_from=(DidPlace.DIVERSION, DidPlace.TO))
    assert parties(places, "sip:x@192.0.2.1", IDENTITIES).dialled == "+49303"
    assert parties(places, "sip:x@192.0.2.1", IDENTITIES[:2]).dialled == "+49301"
    assert parties(places, "sip:x@192.0.2.1", ()).dialled == ""


@pytest.mark.parametrize(
    ("places", "caller", "name"),
    [
        ((CallerPlace.P_ASSERTED_IDENTITY, CallerPlace.FROM), "+4989123", "Bakery"),
        ((CallerPlace.REMOTE_PARTY_ID,), "+4989124", ""),
        ((CallerPlace.FROM,), "anonymous", "Anonymous"),
        ((CallerPlace.P_PREFERRED_IDENTITY,), "", ""),
    ],
)
def test_the_caller_is_read_where_the_trunk_is_to_be_believed(
    places: tuple[CallerPlace, ...], caller: str, name: str
) -> None:
    found = parties(NumberOptions(caller_from=places), "sip:1@192.0.2.1", IDENTITIES)
    assert (found.caller, found.caller_name) == (caller, name)


def test_numbers_that_come_in_have_one_spelling_where_that_is_wanted() -> None:
    numbers = NumberOptions(did_format="{e164}", region="DE")
    found = parties(numbers, "sip:030999888@192.0.2.1", (("from", "<sip:004989123456@x>"),))
    assert (found.dialled, found.caller) == ("+4930999888", "+4989123456")


def test_what_hangs_on_a_number_is_not_part_of_it() -> None:
    assert parties(NumberOptions(), "sip:+4930;npdi;rn=1@192.0.2.1", ()).dialled == "+4930"


@given(
    st.text(max_size=60), st.lists(st.tuples(st.sampled_from([name for name, _ in IDENTITIES]), st.text(max_size=60)))
)
def test_no_header_of_a_peer_raises(request_uri: str, identities: list[tuple[str, str]]) -> None:
    numbers = NumberOptions(did_from=ALL_DIDS, caller_from=ALL_CALLERS, did_format="{e164}", region="US")
    found = parties(numbers, request_uri, tuple(identities))
    assert (found.dialled + found.caller + found.caller_name).isprintable()


def test_the_example_of_uris_is_read_as_it_is_written() -> None:
    assert Uri.parse(identity_uri("2001@x", "y")).host == "x"
