"""Structures across a boundary: whole and the same, or refused by name."""

import dataclasses
import json
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from vfax.fsp import structures
from vfax.fsp.constants import EventId, FaxStatus
from vfax.fsp.encoding import MAX_FACT, MAX_TEXT, MEMBERS, decode, encode
from vfax.fsp.errors import InvalidField
from vfax.fsp.structures import (
    CallFacts,
    FaxDevStatus,
    FaxEvent,
    FaxReceive,
    FaxSend,
    LineMessage,
    SendHints,
    VirtualDevices,
)
from vfax.outcome import Cause, Outcome, Phase, Retry, T30Result

OUTCOME = Outcome(
    cause=Cause.PEER_HUNG_UP,
    phase=Phase.MESSAGE,
    pages_confirmed=2,
    retry=Retry.LOWER_RATE,
    sentence="They hung up.",
    sip_status=486,
    ecm=True,
    duration=12.5,
    sending=False,
    t30_result=T30Result.NOPAGE,
)
ALL: list[object] = [
    LineMessage(7),
    FaxDevStatus(FaxStatus.FS_RECEIVING, page_count=3, csi="Ünïcode ☎", routing_info="+49 (30) 1|7"),
    FaxDevStatus(0x30000001, string="A status of our own."),
    FaxReceive("/spool/a.tif", "name", "number"),
    FaxSend("/spool/a.tif", "sip:fax@192.0.2.1", "caller"),
    FaxEvent(1, 2, EventId.FEI_FAXSVC_STARTED),
    VirtualDevices(4, "vfax ", 1),
    SendHints(first_page=2, ecm=False),
    CallFacts(device_id=1, caller_id="\udc80", ecm=None),
    CallFacts(device_id=1, ecm=True, outcome=OUTCOME),
    OUTCOME,
]

JSON: st.SearchStrategy[Any] = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(), inner, max_size=3),
    max_leaves=5,
)


@pytest.mark.parametrize("structure", ALL, ids=lambda structure: type(structure).__name__)
def test_a_structure_comes_back_as_it_was(structure: object) -> None:
    travelled = json.loads(json.dumps(encode(structure)))
    assert decode(type(structure), travelled) == structure


def test_every_member_of_every_structure_travels() -> None:
    known = {kind for kind in vars(structures).values() if isinstance(kind, type) and dataclasses.is_dataclass(kind)}
    assert {kind.__name__ for kind in known} == {kind.__name__ for kind in MEMBERS}
    for kind, members in MEMBERS.items():
        assert list(members) == [field.name for field in dataclasses.fields(kind)]


@given(st.sampled_from(ALL), st.data())
def test_a_member_of_any_other_kind_is_refused_or_is_a_legal_one(structure: object, data: st.DataObject) -> None:
    value = encode(structure)
    name = data.draw(st.sampled_from(sorted(value)))
    value[name] = data.draw(JSON)
    try:
        made = decode(type(structure), value)
    except InvalidField:
        return
    assert encode(made) == value


@given(JSON)
def test_whatever_is_no_structure_is_refused(value: object) -> None:
    for kind in MEMBERS:
        with pytest.raises(InvalidField):
            decode(kind, value)


@pytest.mark.parametrize(
    ("change", "words"),
    [
        ({"more": 1}, "LineMessage.more: is no member"),
        ({"h_device": True}, "LineMessage.h_device: an integer from 0"),
        ({"h_device": -1}, "LineMessage.h_device: an integer from 0"),
        ({"h_device": 1 << 64}, "LineMessage.h_device: an integer from 0"),
        ({"h_device": 1 << 32}, "LineMessage.h_device: 4294967296 is outside"),
    ],
)
def test_a_refusal_names_structure_member_and_what_is_expected(change: dict[str, object], words: str) -> None:
    with pytest.raises(InvalidField) as caught:
        decode(LineMessage, encode(LineMessage(1)) | change)
    assert words in str(caught.value)


def test_a_long_fact_is_cut_and_a_long_text_is_refused() -> None:
    assert len(decode(CallFacts, encode(CallFacts(device_id=1, sentence="x" * 9_999))).sentence) == MAX_FACT
    with pytest.raises(InvalidField, match=r"FaxSend\.file_name"):
        decode(FaxSend, encode(FaxSend("x" * (MAX_TEXT + 1), "1")))
