"""Structures name the member that is wrong."""

from collections.abc import Callable
from contextlib import suppress
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from vfax.fsp.constants import NO_JOB, EventId, FaxStatus
from vfax.fsp.errors import InvalidField
from vfax.fsp.structures import FaxDevStatus, FaxEvent, FaxReceive, FaxSend, LineMessage, VirtualDevices

WRONG: list[tuple[Callable[[], object], str]] = [
    (lambda: LineMessage(-1), "LineMessage.h_device"),
    (lambda: LineMessage(2**32), "LineMessage.h_device"),
    (lambda: LineMessage(True), "LineMessage.h_device"),
    (lambda: LineMessage(1, message_id=2**32), "LineMessage.message_id"),
    (lambda: LineMessage(1, param3=2**64), "LineMessage.param3"),
    (lambda: FaxDevStatus(-1), "FaxDevStatus.status_id"),
    (lambda: FaxDevStatus(FaxStatus.FS_BUSY, page_count=2**32), "FaxDevStatus.page_count"),
    (lambda: FaxDevStatus(FaxStatus.FS_BUSY, error_code=-5), "FaxDevStatus.error_code"),
    (lambda: FaxDevStatus(FaxStatus.FS_BUSY, csi="a\0b"), "FaxDevStatus.csi"),
    (lambda: FaxDevStatus(FaxStatus.FS_BUSY, caller_id="\ud800"), "FaxDevStatus.caller_id"),
    (lambda: FaxDevStatus(FaxStatus.FS_BUSY, caller_id="x" * 2046), "FaxDevStatus.caller_id"),
    (lambda: FaxDevStatus(FaxStatus.FS_BUSY, string="busy"), "FaxDevStatus.string"),
    (lambda: FaxDevStatus(0x20000003), "FaxDevStatus.string"),
    (lambda: FaxDevStatus(0x20000003, string=""), "FaxDevStatus.string"),
    (lambda: FaxDevStatus(FaxStatus.FS_BUSY, routing_info="|sub"), "FaxDevStatus.routing_info"),
    (lambda: FaxDevStatus(FaxStatus.FS_BUSY, routing_info="+49x30"), "FaxDevStatus.routing_info"),
    (lambda: FaxDevStatus(FaxStatus.FS_BUSY, routing_info="1\r2"), "FaxDevStatus.routing_info"),
    (lambda: FaxDevStatus(FaxStatus.FS_BUSY, version=2), "FaxDevStatus.version"),
    (lambda: FaxReceive(""), "FaxReceive.file_name"),
    (lambda: FaxReceive("a" * 2046), "FaxReceive.file_name"),
    (lambda: FaxReceive("a", receiver_name="n\0"), "FaxReceive.receiver_name"),
    (lambda: FaxSend("", "1"), "FaxSend.file_name"),
    (lambda: FaxSend("a", ""), "FaxSend.receiver_number"),
    (lambda: FaxEvent(2**64, 1, EventId.FEI_IDLE), "FaxEvent.time_stamp"),
    (lambda: FaxEvent(1, 1, 28), "FaxEvent.event_id"),  # type: ignore[arg-type]
    (lambda: FaxEvent(1, 1, EventId.FEI_IDLE, -1), "FaxEvent.job_id"),
    (lambda: VirtualDevices(0, "fax", 1), "VirtualDevices.device_count"),
    (lambda: VirtualDevices(1, "f" * 128, 1), "VirtualDevices.device_name_prefix"),
    (lambda: VirtualDevices(1, "fax", 0), "VirtualDevices.device_id_prefix"),
    (lambda: VirtualDevices(2, "fax", 0xFFFFFFFF), "VirtualDevices.device_id_prefix"),
]


@pytest.mark.parametrize(("make", "name"), WRONG, ids=[name for _, name in WRONG])
def test_a_wrong_member_is_refused_by_name(make: Callable[[], object], name: str) -> None:
    with pytest.raises(InvalidField, match=name) as caught:
        make()
    assert f"{caught.value.structure}.{caught.value.field}" == name
    assert caught.value.winerror == 87


@pytest.mark.parametrize("routing", ["", "+49 (30) 123456", "+4930123456|77", "fax", "123;phone-context=x|a|b"])
def test_routing_strings_of_both_worlds_are_taken(routing: str) -> None:
    assert FaxDevStatus(FaxStatus.FS_COMPLETED, routing_info=routing).routing_info == routing


def test_the_string_budget_counts_utf16_and_terminators() -> None:
    room = (4096 - 3 * 2) // 4  # characters outside the basic plane take four octets
    status = FaxDevStatus(FaxStatus.FS_COMPLETED, csi="\U0001f4e0" * room)
    with pytest.raises(InvalidField, match="csi"):
        FaxDevStatus(FaxStatus.FS_COMPLETED, csi=status.csi + "\U0001f4e0")


def test_a_provider_defined_status_brings_its_text() -> None:
    assert FaxDevStatus(0x20000003, string="Warming up").string == "Warming up"


def test_no_job_stays_unsigned() -> None:
    assert FaxEvent(0, 1, EventId.FEI_IDLE).job_id == NO_JOB == 0xFFFFFFFF


def test_a_structure_cannot_be_changed() -> None:
    ring: Any = LineMessage(1)
    with pytest.raises(AttributeError):
        ring.param1 = 4


def test_device_names_are_the_prefix_and_the_id() -> None:
    devices = VirtualDevices(3, "vfax ", 7)
    assert [devices.name(number) for number in devices.ids] == ["vfax 7", "vfax 8", "vfax 9"]
    with pytest.raises(InvalidField, match="device_id"):
        devices.name(10)


@given(st.text(), st.text(), st.text())
def test_any_text_makes_a_status_within_budget_or_is_refused(csi: str, caller: str, routing: str) -> None:
    with suppress(InvalidField):
        status = FaxDevStatus(FaxStatus.FS_COMPLETED, csi=csi, caller_id=caller, routing_info=routing)
        octets = sum(len(text.encode("utf-16-le")) + 2 for text in (status.csi, status.caller_id, status.routing_info))
        assert octets <= 4096
