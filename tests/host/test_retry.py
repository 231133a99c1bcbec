"""The retry table, row by row (FAX_DEV_STATUS, and the notes on FaxDevSend and FaxDevReportStatus)."""

import pytest

from vfax.fsp.constants import FaxStatus, is_progress
from vfax.host.retry import Next, RetryPolicy, decide, restrained
from vfax.outcome import Retry

POLICY = RetryPolicy(max_retries=2, delay=300.0, soon=5.0)
OWN = 0x20FF0001  # defined by a provider
LINEERR = 0x80000048

ROWS = {
    FaxStatus.FS_LINE_UNAVAILABLE: Next.OTHER_LINE,
    FaxStatus.FS_NO_ANSWER: Next.RETRY,
    FaxStatus.FS_NO_DIAL_TONE: Next.RETRY,
    FaxStatus.FS_DISCONNECTED: Next.RETRY,
    FaxStatus.FS_BUSY: Next.RETRY,
    FaxStatus.FS_FATAL_ERROR: Next.RETRY,
    FaxStatus.FS_NOT_FAX_CALL: Next.RETRY,
    FaxStatus.FS_CALL_DELAYED: Next.GIVE_UP,
    FaxStatus.FS_BAD_ADDRESS: Next.GIVE_UP,
    FaxStatus.FS_CALL_BLACKLISTED: Next.GIVE_UP,
    FaxStatus.FS_USER_ABORT: Next.CANCELLED,
    FaxStatus.FS_COMPLETED: Next.GIVE_UP,
    FaxStatus.FS_HANDLED: Next.GIVE_UP,
    FaxStatus.FS_INITIALIZING: Next.RETRY,
    FaxStatus.FS_DIALING: Next.RETRY,
    FaxStatus.FS_TRANSMITTING: Next.RETRY,
    FaxStatus.FS_RECEIVING: Next.RETRY,
    FaxStatus.FS_ANSWERED: Next.RETRY,
    OWN: Next.GIVE_UP,
    LINEERR: Next.GIVE_UP,
}


@pytest.mark.parametrize(
    ("status", "what"), ROWS.items(), ids=lambda value: getattr(value, "name", None) or hex(int(value))
)
def test_a_failed_attempt_is_decided_by_its_status(status: int, what: Next) -> None:
    assert decide(False, status, POLICY).what is what


@pytest.mark.parametrize(("asked", "delay"), [(0.0, 300.0), (60.0, 300.0), (900.0, 900.0), (1e9, 3600.0)])
def test_who_asks_for_patience_gets_it_within_a_limit(asked: float, delay: float) -> None:
    assert decide(False, FaxStatus.FS_FATAL_ERROR, POLICY, asked=asked).delay == delay


def test_every_status_has_its_row() -> None:
    assert set(FaxStatus) <= ROWS.keys()


@pytest.mark.parametrize("status", [*FaxStatus, OWN, LINEERR])
def test_true_is_trusted_whatever_the_status(status: int) -> None:
    assert decide(True, status, POLICY).what is Next.DONE


@pytest.mark.parametrize(
    ("status", "setting"),
    [(FaxStatus.FS_CALL_DELAYED, "call_delayed"), (OWN, "provider_defined"), (LINEERR, "provider_defined")],
)
def test_settings_may_choose_the_other_rule(status: int, setting: str) -> None:
    policy = RetryPolicy(max_retries=2, delay=300.0, **{setting: True})
    assert decide(False, status, policy).what is Next.RETRY
    assert decide(False, status, policy, failures=2).what is Next.RETRIES_EXCEEDED


@pytest.mark.parametrize("status", [status for status, what in ROWS.items() if what is Next.RETRY])
def test_retries_wait_for_the_delay_and_are_counted(status: int) -> None:
    first, last, over = (decide(False, status, POLICY, failures=failures) for failures in (0, 1, 2))
    assert (first.what, first.delay, first.counts) == (Next.RETRY, 300.0, True)
    assert last.what is Next.RETRY
    assert (over.what, over.why) == (Next.RETRIES_EXCEEDED, "it was tried 3 times")


def test_no_retries_means_one_attempt() -> None:
    once = RetryPolicy(max_retries=0)
    assert decide(False, FaxStatus.FS_BUSY, once).what is Next.RETRIES_EXCEEDED


def test_a_line_that_is_not_there_uses_up_no_retry() -> None:
    decision = decide(False, FaxStatus.FS_LINE_UNAVAILABLE, POLICY, failures=9)
    assert (decision.what, decision.counts) == (Next.OTHER_LINE, False)


def test_advice_never_gives_up_and_now_does_not_wait() -> None:
    assert decide(False, FaxStatus.FS_FATAL_ERROR, POLICY, advice=Retry.NEVER).what is Next.GIVE_UP
    now = decide(False, FaxStatus.FS_FATAL_ERROR, POLICY, advice=Retry.NOW)
    assert (now.what, now.delay) == (Next.RETRY, 5.0)
    assert decide(False, FaxStatus.FS_FATAL_ERROR, POLICY, failures=2, advice=Retry.NOW).what is Next.RETRIES_EXCEEDED


@pytest.mark.parametrize(
    ("limit", "rate", "advice", "expected"),
    [
        (0, 14400, Retry.LOWER_RATE, 12000),
        (0, 9600, Retry.LOWER_RATE, 7200),
        (7200, 7200, Retry.LOWER_RATE, 4800),
        (4800, 14400, Retry.LOWER_RATE, 2400),
        (0, 2400, Retry.LOWER_RATE, 2400),
        (0, 0, Retry.LOWER_RATE, 0),
        (9600, 7200, Retry.LATER, 9600),
    ],
)
def test_advice_lowers_the_rate(limit: int, rate: int, advice: Retry, expected: int) -> None:
    assert restrained(limit, None, rate_bps=rate, advice=advice) == (expected, None)


def test_advice_leaves_out_ecm_and_that_stays() -> None:
    assert restrained(0, None, rate_bps=9600, advice=Retry.NO_ECM) == (0, False)
    assert restrained(0, False, rate_bps=9600, advice=Retry.LOWER_RATE) == (7200, False)


def test_progress_codes_are_progress() -> None:
    assert all(is_progress(status) for status in (FaxStatus.FS_DIALING, FaxStatus.FS_ANSWERED))
