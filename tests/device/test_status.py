"""From causes to statuses; the peer's text made harmless."""

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from vfax.device.status import ENDINGS, TEXT_LIMIT, ending_of, failure, peer_text, routing_info
from vfax.fsp.constants import FaxStatus, Win32, is_progress
from vfax.fsp.errors import LineUnavailable, OperationAborted, OperationFailed
from vfax.fsp.structures import FaxDevStatus
from vfax.outcome import Cause, Outcome


def test_every_cause_has_its_ending() -> None:
    assert set(ENDINGS) == set(Cause)


@pytest.mark.parametrize("cause", Cause)
def test_only_completion_is_success(cause: Cause) -> None:
    ending = ENDINGS[cause]
    assert (ending.status is FaxStatus.FS_COMPLETED) == (cause is Cause.COMPLETE)
    assert (ending.winerror is Win32.NO_ERROR) == (cause is Cause.COMPLETE)
    assert not is_progress(ending.status)


@pytest.mark.parametrize(
    ("known", "status"),
    [
        ({}, FaxStatus.FS_NOT_FAX_CALL),
        ({"pages_confirmed": 1}, FaxStatus.FS_FATAL_ERROR),
        ({"rate_bps": 9600}, FaxStatus.FS_FATAL_ERROR),
        ({"remote_id": "+49 30 1"}, FaxStatus.FS_FATAL_ERROR),
    ],
)
def test_a_machine_that_spoke_fax_and_fell_silent_is_no_telephone(known: dict[str, Any], status: FaxStatus) -> None:
    assert ending_of(Outcome(cause=Cause.T1_EXPIRED, **known)).status is status


def test_only_an_abort_is_a_user_abort() -> None:
    assert [cause for cause in Cause if ENDINGS[cause].status is FaxStatus.FS_USER_ABORT] == [Cause.ABORTED]


@pytest.mark.parametrize(
    ("cause", "kind", "winerror"),
    [
        (Cause.ABORTED, OperationAborted, 995),
        (Cause.LINE_UNAVAILABLE, LineUnavailable, 21),
        (Cause.STORAGE, OperationFailed, 29),
    ],
)
def test_a_failure_carries_sentence_and_code(cause: Cause, kind: type[OperationFailed], winerror: int) -> None:
    error = failure(Outcome(cause=cause, sentence="Why it failed."))
    assert type(error) is kind
    assert (str(error), error.winerror) == ("Why it failed.", winerror)


@given(st.text(max_size=400) | st.text("+0123456789|() a\0\ud800", max_size=40))
def test_whatever_a_peer_says_fits_into_a_status(text: str) -> None:
    said = peer_text(text)
    assert len(said) <= TEXT_LIMIT
    FaxDevStatus(FaxStatus.FS_RECEIVING, csi=said, caller_id=said, routing_info=routing_info(text))


def test_a_dialled_number_stays_as_it_is() -> None:
    assert routing_info("+4930123456") == "+4930123456"
    assert routing_info("fax") == "fax"
    assert routing_info("+fax|x") == "fax?x"
