"""What is said about a fax on its way: ids, names, templates, JSON; whatever the caller says, it stays data."""

import json
from dataclasses import replace
from datetime import UTC, datetime

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tests.host.delivery.conftest import HOSTILE, NOON, Parcels
from vfax.errors import DocumentError
from vfax.host.document import Format
from vfax.host.templates import FIELDS, check_template, fill, one_line


def test_the_event_id_is_the_same_for_every_try_and_no_other_delivery(parcel: Parcels) -> None:
    first = parcel()
    again = replace(first, delivery=replace(first.delivery, attempts=5, lease_term=9))
    other = replace(first, delivery=replace(first.delivery, id=18))
    assert first.event_id == again.event_id == "20250131T120000Z-0000abcd-17"
    assert other.event_id != first.event_id


def test_the_name_is_the_one_of_the_inbox(parcel: Parcels) -> None:
    assert parcel().name == "20250131T120000Z-+49_30_123456-0000abcd"


def test_nothing_a_caller_says_is_more_than_a_word_in_a_name(parcel: Parcels) -> None:
    name = parcel(caller=HOSTILE).name
    assert set(name) <= set("ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+_-")


def test_a_record_that_says_no_time_has_that_of_its_arrival(parcel: Parcels) -> None:
    made = parcel()
    bare = replace(made, fax=replace(made.fax, record={"started": "yesterday", "caller": 3}))
    assert bare.name == "20250131T120030Z-unknown-0000abcd"
    assert bare.title == "Fax from an unknown caller, 2025-01-31 12:00:30 UTC"


@pytest.mark.parametrize("document", ["/etc/passwd", "../x.tif", "inbox/../../x.tif"])
def test_a_document_outside_the_spool_is_refused(document: str, parcel: Parcels) -> None:
    made = parcel()
    with pytest.raises(DocumentError, match="not inside the spool folder"):
        _ = replace(made, fax=replace(made.fax, document=document)).document


def test_every_field_of_a_template_has_its_value(parcel: Parcels) -> None:
    made = replace(parcel(), link="https://fax.example/{job}")
    assert made.fields() == {
        "caller": "+49 30 123456",
        "caller_name": "Somebody",
        "remote_id": "+49 30 99",
        "dialled": "+498912345",
        "subaddress": "77",
        "device": "vfax 2",
        "job": "0000abcd",
        "pages": "2",
        "received": "2025-01-31 12:00:00 UTC",
        "state": "complete",
        "sentence": "The fax is complete.",
        "rule": "sales",
        "link": "https://fax.example/0000abcd",
    }
    assert tuple(made.fields()) == FIELDS


@given(st.text(max_size=400))
def test_a_field_is_one_printable_line(text: str) -> None:
    line = one_line(text)
    assert len(line) <= 200
    assert line.isprintable()


def test_braces_in_a_value_are_not_a_field() -> None:
    assert fill("{caller} {job} {other}", {"caller": "{job}", "job": "1"}) == "{job} 1 {other}"


def test_a_template_with_a_field_that_there_is_not_is_refused_with_the_nearest() -> None:
    assert check_template("Fax from {caller}") == "Fax from {caller}"
    with pytest.raises(ValueError, match=r"there is no field {callr}; did you mean {caller}\?"):
        check_template("Fax from {callr}")
    with pytest.raises(ValueError, match=r"there is no field {caller.__class__}"):
        check_template("{caller.__class__}")


def test_the_json_tells_everything_but_where_things_are_on_this_machine(parcel: Parcels) -> None:
    made = replace(parcel(caller=HOSTILE), link="https://fax.example/{job}")
    payload = json.loads(json.dumps(made.payload(Format.PDF)))
    fax = payload.pop("fax")
    assert payload == {
        "version": 1,
        "event": "fax.received",
        "id": "20250131T120000Z-0000abcd-17",
        "sequence": 17,
        "rule": "sales",
        "received": "2025-01-31T12:00:30.000Z",
        "document": {"name": f"{made.name}.pdf", "type": "application/pdf"},
        "links": {"fax": "https://fax.example/0000abcd"},
    }
    assert fax["caller"]["id"] == HOSTILE
    assert fax["subaddress"] == "77"
    assert "files" not in fax


def test_a_fax_without_a_document_says_so(parcel: Parcels) -> None:
    made = parcel()
    bare = replace(made, fax=replace(made.fax, document=None))
    assert bare.document is None
    assert bare.payload(Format.TIFF)["document"] is None


def test_the_date_of_a_pdf_is_the_fax_in_utc(parcel: Parcels) -> None:
    assert parcel().created == "D:20250131120000Z"
    assert datetime.strptime(parcel().created, "D:%Y%m%d%H%M%SZ").replace(tzinfo=UTC) == NOON
