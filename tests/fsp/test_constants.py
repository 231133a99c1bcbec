"""The numbers against the published ones, and the pairings between them."""

import pytest

from vfax.fsp.constants import (
    EVENT_OF_STATUS,
    FEI_NEVENTS,
    PROGRESS,
    STATE_OF_STATUS,
    DeviceState,
    EventId,
    FaxStatus,
    JobExtendedStatus,
    JobStatus,
    JobStatusEnum,
    is_predefined,
    is_progress,
)


def test_all_events_survive_the_inclusive_range_test() -> None:
    message_start = 0x0400 + 77
    for event in EventId:
        difference = (message_start + event) - message_start
        assert 0 <= difference <= FEI_NEVENTS
        assert EventId(difference) is event
    assert sorted(EventId) == list(range(1, 28))
    assert max(EventId) is EventId.FEI_FAXSVC_STARTED
    assert FEI_NEVENTS == 27


@pytest.mark.parametrize("status", FaxStatus)
def test_every_status_has_bit_29_and_no_other_high_bit(status: FaxStatus) -> None:
    assert status & 0xE0000000 == 0x20000000


def test_a_device_state_has_the_number_of_its_status_but_for_initializing() -> None:
    different = {status for status, state in STATE_OF_STATUS.items() if int(status) != int(state)}
    assert different == {FaxStatus.FS_INITIALIZING}
    assert STATE_OF_STATUS[FaxStatus.FS_INITIALIZING] == 0x20008000
    assert set(STATE_OF_STATUS) == set(FaxStatus)


def test_states_without_a_status_are_the_four_of_an_idle_device() -> None:
    alone = set(DeviceState) - set(STATE_OF_STATUS.values())
    assert {state.name for state in alone} == {"FPS_OFFLINE", "FPS_RINGING", "FPS_AVAILABLE", "FPS_ROUTING"}


def test_every_status_has_its_own_event() -> None:
    assert set(EVENT_OF_STATUS) == set(FaxStatus)
    assert len(set(EVENT_OF_STATUS.values())) == len(FaxStatus)


def test_progress_is_what_is_not_an_ending() -> None:
    assert {status.name for status in PROGRESS} == {
        "FS_INITIALIZING",
        "FS_DIALING",
        "FS_TRANSMITTING",
        "FS_RECEIVING",
        "FS_ANSWERED",
    }
    assert not is_progress(0x12345678)


@pytest.mark.parametrize(
    ("value", "expected"), [(FaxStatus.FS_BUSY, True), (0x80000048, True), (0x20000003, False), (1, False)]
)
def test_predefined_codes_are_fs_and_lineerr(value: int, expected: bool) -> None:
    assert is_predefined(value) is expected


def test_the_two_job_status_lists_are_one_bit_apart() -> None:
    for name in ("INPROGRESS", "FAILED", "PAUSED", "NOLINE", "RETRYING", "RETRIES_EXCEEDED"):
        assert JobStatusEnum[f"fjs{name}"] == JobStatus[f"JS_{name}"] << 1
    assert (JobStatus.JS_PENDING, JobStatusEnum.fjsPENDING) == (0, 1)


def test_extended_job_statuses_count_from_none_to_aborted() -> None:
    assert [int(status) for status in JobExtendedStatus] == [*range(20), 0x01000000]
