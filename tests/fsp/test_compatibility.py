"""Octets, two steps, and FALSE with a last error."""

import threading

import pytest

from vfax.fsp import compatibility
from vfax.fsp.compatibility import MAX_STATUS, SIZEOF_FAX_DEV_STATUS, SIZEOF_FAX_RECEIVE, call, get_last_error
from vfax.fsp.constants import FaxStatus, Win32
from vfax.fsp.errors import InsufficientBuffer, InvalidField, InvalidHandle
from vfax.fsp.structures import FaxDevStatus, FaxReceive

FULL = FaxDevStatus(FaxStatus.FS_RECEIVING, page_count=1, csi="ab", caller_id="+49 30 1", routing_info="+4930|x")


def test_a_status_takes_its_structure_and_its_strings() -> None:
    assert compatibility.status_size(FaxDevStatus(FaxStatus.FS_DIALING)) == SIZEOF_FAX_DEV_STATUS == 56
    assert compatibility.status_size(FULL) == 56 + 2 * (3 + 9 + 8)


def test_the_largest_status_fits_the_largest_block() -> None:
    room = (4096 - 2 * 2) // 2 - 1  # what is left for one string when two others are empty
    largest = FaxDevStatus(FaxStatus.FS_RECEIVING, csi="x" * room)
    assert compatibility.status_size(largest) <= MAX_STATUS
    with pytest.raises(InvalidField, match="csi"):
        FaxDevStatus(FaxStatus.FS_RECEIVING, csi="x" * (room + 1))


def test_a_receive_block_holds_three_strings() -> None:
    assert compatibility.receive_size(FaxReceive("fax.tif")) == SIZEOF_FAX_RECEIVE + 2 * (8 + 1 + 1)


def test_two_steps_first_ask_for_the_size_and_then_for_the_status() -> None:
    asked: list[object] = []

    def report(handle: object) -> FaxDevStatus:
        asked.append(handle)
        return FULL

    first = compatibility.report_status(report, "job", 0)
    assert (first.status, first.size_required) == (None, 96)
    assert compatibility.report_status(report, "job", first.size_required).status == FULL
    assert compatibility.report_status(report, "job", MAX_STATUS).status == FULL
    with pytest.raises(InsufficientBuffer) as caught:
        compatibility.report_status(report, "job", 95)
    assert (caught.value.required, caught.value.winerror) == (96, 122)
    assert asked == ["job"] * 4


@pytest.mark.parametrize("size", [-1, 1 << 32, "96", None, True])
def test_a_size_is_a_dword(size: object) -> None:
    with pytest.raises(InvalidField, match="FaxStatusSize"):
        compatibility.report_status(lambda handle: FULL, "job", size)  # type: ignore[arg-type]


def test_an_exception_is_false_with_a_last_error_of_its_thread() -> None:
    def refuse() -> None:
        raise InvalidHandle("no such job")

    def crash() -> None:
        raise ZeroDivisionError("a bug")

    assert call(lambda: 7).value == 7
    done = call(refuse)
    assert (done.ok, done.value, done.why) == (False, None, "no such job")
    assert get_last_error() == Win32.ERROR_INVALID_HANDLE
    elsewhere: list[int] = []
    thread = threading.Thread(target=lambda: elsewhere.append(get_last_error()))
    thread.start()
    thread.join()
    assert elsewhere == [Win32.NO_ERROR]
    assert call(crash).why == "ZeroDivisionError: a bug"
    assert get_last_error() == Win32.ERROR_INTERNAL_ERROR
