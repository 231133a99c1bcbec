"""From what a call says to what the contract says.

Owns      the table from every Cause to its FS_* status and Win32 code; text of the peer made fit for FAX_DEV_STATUS.
Not here  when a status is posted (job.py), what the host makes of it (host/retry.py).
Source    FS_* meanings: FAX_DEV_STATUS (faxdev.h). Which cause gets which is ours.
"""

from dataclasses import dataclass
from typing import Final

from vfax.fsp.constants import FaxStatus, Win32
from vfax.fsp.errors import InvalidField, LineUnavailable, OperationAborted, OperationFailed
from vfax.fsp.structures import check_routing
from vfax.outcome import Cause, Outcome

TEXT_LIMIT: Final = 256
"""Limit: characters of one text of the peer; three of them stay far below the 4096 octets of a status."""


@dataclass(frozen=True, slots=True)
class Ending:
    """How a cause is told to the service."""

    status: FaxStatus
    winerror: Win32


_S, _W = FaxStatus, Win32

ENDINGS: Final[dict[Cause, Ending]] = {
    Cause.COMPLETE: Ending(_S.FS_COMPLETED, _W.NO_ERROR),
    Cause.BUSY: Ending(_S.FS_BUSY, _W.ERROR_CONNECTION_REFUSED),
    Cause.NO_ANSWER: Ending(_S.FS_NO_ANSWER, _W.ERROR_TIMEOUT),
    Cause.BAD_ADDRESS: Ending(_S.FS_BAD_ADDRESS, _W.ERROR_INVALID_PARAMETER),
    Cause.REJECTED: Ending(_S.FS_CALL_BLACKLISTED, _W.ERROR_ACCESS_DENIED),  # they do not want our call
    Cause.LINE_UNAVAILABLE: Ending(_S.FS_LINE_UNAVAILABLE, _W.ERROR_NOT_READY),
    Cause.T38_REFUSED: Ending(_S.FS_FATAL_ERROR, _W.ERROR_NOT_SUPPORTED),  # it may well be a fax machine
    Cause.NOT_FAX: Ending(_S.FS_NOT_FAX_CALL, _W.ERROR_INVALID_DATA),
    Cause.NETWORK: Ending(_S.FS_DISCONNECTED, _W.ERROR_CONNECTION_ABORTED),
    Cause.ENCRYPTION: Ending(_S.FS_FATAL_ERROR, _W.ERROR_ACCESS_DENIED),
    Cause.T1_EXPIRED: Ending(_S.FS_NOT_FAX_CALL, _W.ERROR_TIMEOUT),  # nobody ever spoke T.30: see `ending_of`
    Cause.NO_COMMAND: Ending(_S.FS_FATAL_ERROR, _W.ERROR_TIMEOUT),
    Cause.NO_RESPONSE: Ending(_S.FS_FATAL_ERROR, _W.ERROR_TIMEOUT),
    Cause.NO_CARRIER: Ending(_S.FS_FATAL_ERROR, _W.ERROR_TIMEOUT),
    Cause.CANNOT_TRAIN: Ending(_S.FS_FATAL_ERROR, _W.ERROR_GEN_FAILURE),
    Cause.INCOMPATIBLE: Ending(_S.FS_FATAL_ERROR, _W.ERROR_NOT_SUPPORTED),
    Cause.PAGE_REFUSED: Ending(_S.FS_FATAL_ERROR, _W.ERROR_GEN_FAILURE),
    Cause.ECM_FAILED: Ending(_S.FS_FATAL_ERROR, _W.ERROR_GEN_FAILURE),
    Cause.PEER_DISCONNECTED: Ending(_S.FS_DISCONNECTED, _W.ERROR_GRACEFUL_DISCONNECT),
    Cause.PEER_HUNG_UP: Ending(_S.FS_DISCONNECTED, _W.ERROR_GRACEFUL_DISCONNECT),
    Cause.UNCERTAIN: Ending(_S.FS_FATAL_ERROR, _W.ERROR_TIMEOUT),
    Cause.ABORTED: Ending(_S.FS_USER_ABORT, _W.ERROR_OPERATION_ABORTED),
    Cause.STORAGE: Ending(_S.FS_FATAL_ERROR, _W.ERROR_WRITE_FAULT),
    Cause.DOCUMENT: Ending(_S.FS_FATAL_ERROR, _W.ERROR_INVALID_DATA),
    Cause.LIMIT: Ending(_S.FS_FATAL_ERROR, _W.ERROR_NOT_ENOUGH_MEMORY),
    Cause.INTERNAL: Ending(_S.FS_FATAL_ERROR, _W.ERROR_INTERNAL_ERROR),
}
"""Total over Cause; only success is FS_COMPLETED, and only it has no error code."""


SPOKE_FAX: Final = Ending(_S.FS_FATAL_ERROR, _W.ERROR_TIMEOUT)
"""T1 ran out on a machine that had said what it is, or had taken pages: it is no telephone."""


def ending_of(outcome: Outcome) -> Ending:
    """How an outcome is told to the service."""
    spoke = outcome.rate_bps > 0 or outcome.pages_confirmed > 0 or bool(outcome.remote_id)
    return SPOKE_FAX if outcome.cause is Cause.T1_EXPIRED and spoke else ENDINGS[outcome.cause]


def failure(outcome: Outcome) -> OperationFailed:
    """Make the exception that is Send's or Receive's FALSE."""
    ending = ending_of(outcome)
    sentence = outcome.sentence or outcome.cause.value
    if ending.status is FaxStatus.FS_USER_ABORT:
        return OperationAborted(sentence)
    if ending.status is FaxStatus.FS_LINE_UNAVAILABLE:
        return LineUnavailable(sentence)
    return OperationFailed(sentence, ending.winerror)


def peer_text(text: str) -> str:
    """What a peer wrote, cut to TEXT_LIMIT and freed of whatever a status string cannot hold."""
    return "".join(char if char.isprintable() else "?" for char in text[:TEXT_LIMIT]).strip()


def routing_info(dialled: str, subaddress: str = "") -> str:
    """RoutingInfo of a call to `dialled` (what the caller asked for, as the network gave it); always well-formed.

    A subaddress (SUB) stands behind the bar; a call that named no number has nothing it could stand behind.
    """
    number = _number(dialled)
    behind = peer_text(subaddress).replace("|", "?")
    return f"{number}|{behind}" if number.strip() and behind else number


def _number(dialled: str) -> str:
    number = peer_text(dialled).replace("|", "?")
    try:
        check_routing("FaxDevStatus", "routing_info", number)
    except InvalidField:  # begins like an international number and is none
        return number.lstrip("+ ")
    return number
