"""What becomes of a send job after an attempt: done, another line, another time, or given up.

Owns      the decision, from the Boolean of FaxDevSend, the final status and the provider's advice.
Not here  who carries it out (queue.py), what an attempt was (jobs.py).
Source    FAX_DEV_STATUS (StatusId) says rule A, the notes on FaxDevSend and FaxDevReportStatus say rule B; where the
          two disagree the table below says what is done here, and settings may say otherwise.

    final status with FALSE                        decision                                   uses up a retry
    FS_LINE_UNAVAILABLE                            another device at once, else JS_NOLINE     no
    FS_NO_ANSWER, FS_NO_DIAL_TONE, FS_BUSY,
    FS_DISCONNECTED, FS_FATAL_ERROR,
    FS_NOT_FAX_CALL                                again after the delay                      yes
    FS_CALL_DELAYED                                given up (rule B); A by setting            yes
    FS_BAD_ADDRESS, FS_CALL_BLACKLISTED            given up                                   -
    FS_USER_ABORT                                  cancelled                                  -
    provider-defined, LINEERR_*                    given up (rule B); A by setting            yes
    a progress code                                as FS_FATAL_ERROR, a contract violation    yes
    FS_COMPLETED                                   given up: sending again might double it    -
    anything, with TRUE                            done

    Deviation: a provider of ours says more than a status (`CallFacts.outcome`): advice NEVER gives up, NOW does not
    wait for the whole delay, LOWER_RATE and NO_ECM change how the next attempt is made.
"""

from dataclasses import dataclass
from enum import Enum, auto
from typing import Final

from vfax.fsp.constants import FaxStatus, is_predefined, is_progress
from vfax.outcome import Retry


class Next(Enum):
    """What is done with the job."""

    DONE = auto()
    OTHER_LINE = auto()
    RETRY = auto()
    GIVE_UP = auto()
    RETRIES_EXCEEDED = auto()
    CANCELLED = auto()


@dataclass(frozen=True, slots=True, kw_only=True)
class RetryPolicy:
    """How often and when; delays in seconds.

    `soon` is the delay after advice NOW. Who asks for more patience (Retry-After) is heeded up to `longest_wait`.
    `call_delayed` and `provider_defined` choose rule A (retry) for those.
    """

    max_retries: int = 3
    delay: float = 600.0
    soon: float = 10.0
    longest_wait: float = 3600.0  # Limit: what another side may have us wait
    call_delayed: bool = False
    provider_defined: bool = False


@dataclass(frozen=True, slots=True, kw_only=True)
class Decision:
    """What to do, after how many seconds, and whether it uses up a retry."""

    what: Next
    delay: float = 0.0
    counts: bool = False
    why: str = ""


AGAIN: Final = frozenset(
    {
        FaxStatus.FS_NO_ANSWER,
        FaxStatus.FS_NO_DIAL_TONE,
        FaxStatus.FS_DISCONNECTED,
        FaxStatus.FS_BUSY,
        FaxStatus.FS_FATAL_ERROR,
        FaxStatus.FS_NOT_FAX_CALL,
    }
)
FINAL: Final = {
    FaxStatus.FS_BAD_ADDRESS: "the number is no good",
    FaxStatus.FS_CALL_BLACKLISTED: "the number is blocked",
    FaxStatus.FS_COMPLETED: "the device said both that it failed and that it is complete",
    FaxStatus.FS_HANDLED: "the device says that it has the document in hand",
}
_RULE_A: Final = {
    "call_delayed": "the number may not be called again",
    "provider_defined": "the device gave its own reason",
}


def decide(
    ok: bool,
    status_id: int,
    policy: RetryPolicy,
    *,
    failures: int = 0,
    advice: Retry | None = None,
    asked: float = 0.0,
) -> Decision:
    """Decide after an attempt. `failures` counts the earlier attempts that used up a retry.

    `asked`: seconds that the other side wants us to wait (Retry-After).
    """
    if ok:
        return Decision(what=Next.DONE)
    if status_id == FaxStatus.FS_USER_ABORT:
        return Decision(what=Next.CANCELLED)
    if status_id == FaxStatus.FS_LINE_UNAVAILABLE:
        return Decision(what=Next.OTHER_LINE)
    if status_id in FINAL:
        return Decision(what=Next.GIVE_UP, why=FINAL[FaxStatus(status_id)])
    held_back = _held_back(status_id, policy)
    if held_back:
        return Decision(what=Next.GIVE_UP, why=held_back)
    if advice is Retry.NEVER:
        return Decision(what=Next.GIVE_UP, why="another attempt would end the same way")
    if failures >= policy.max_retries:
        return Decision(what=Next.RETRIES_EXCEEDED, counts=True, why=_tried(failures + 1))
    delay = min(policy.soon, policy.delay) if advice is Retry.NOW else policy.delay
    return Decision(what=Next.RETRY, delay=max(delay, min(asked, policy.longest_wait)), counts=True)


def _held_back(status_id: int, policy: RetryPolicy) -> str:
    """Why a status on which the two rules disagree is not tried again; empty when it is."""
    if status_id in AGAIN or is_progress(status_id):
        return ""
    if status_id == FaxStatus.FS_CALL_DELAYED:
        return "" if policy.call_delayed else _RULE_A["call_delayed"]
    if is_predefined(status_id) and status_id < 0x80000000:
        return ""
    return "" if policy.provider_defined else _RULE_A["provider_defined"]


def _tried(times: int) -> str:
    return "it was tried once" if times == 1 else f"it was tried {times} times"


LOWEST_RATE: Final = 2400
SLOWER: Final = (12000, 9600, 7200, 4800, LOWEST_RATE)


def restrained(
    rate_limit_bps: int, ecm: bool | None, *, rate_bps: int, advice: Retry | None
) -> tuple[int, bool | None]:
    """Rate limit (0: none) and ECM (None: as agreed) of the next attempt, after one at `rate_bps` with this advice."""
    if advice is Retry.NO_ECM:
        return rate_limit_bps, False
    if advice is Retry.LOWER_RATE and rate_bps:
        below = next((rate for rate in SLOWER if rate < min(rate_bps, rate_limit_bps or rate_bps)), LOWEST_RATE)
        return below, ecm
    return rate_limit_bps, ecm
