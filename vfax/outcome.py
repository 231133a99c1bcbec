"""How a fax ended. Returned, stored and shown; never raised.

Owns      causes, phases, retry advice, the `Outcome` of a call.
Not here  the sentence with its evidence (`Outcome.sentence` holds it, `vfax/verdict.py` writes it);
          the FS_* status of the provider contract (device/status.py maps it).
"""

from dataclasses import dataclass
from enum import StrEnum


class Cause(StrEnum):
    """Why a fax ended. Names are stable: they stand in stored records and exit codes."""

    COMPLETE = "complete"
    # before the line was a fax line
    BUSY = "busy"
    NO_ANSWER = "no-answer"
    BAD_ADDRESS = "bad-address"
    REJECTED = "rejected"
    LINE_UNAVAILABLE = "line-unavailable"
    T38_REFUSED = "t38-refused"
    NOT_FAX = "not-fax"
    NETWORK = "network"
    # T.30
    T1_EXPIRED = "t1-expired"
    NO_COMMAND = "no-command"  # T2 ran out: the sender stopped commanding
    NO_RESPONSE = "no-response"  # T4 ran out three times: the receiver stopped answering
    NO_CARRIER = "no-carrier"  # announced pages never came, or stopped in the middle
    CANNOT_TRAIN = "cannot-train"
    INCOMPATIBLE = "incompatible"
    PAGE_REFUSED = "page-refused"  # RTN too often
    ECM_FAILED = "ecm-failed"
    PEER_DISCONNECTED = "peer-disconnected"  # DCN where it ends the fax early
    PEER_HUNG_UP = "peer-hung-up"  # BYE, or the dialog was lost
    UNCERTAIN = "uncertain"  # the last page's confirmation never came
    # this side
    ABORTED = "aborted"
    STORAGE = "storage"
    DOCUMENT = "document"
    LIMIT = "limit"
    INTERNAL = "internal"


class Phase(StrEnum):
    """Where a call was (T.30 (09/2005) clause 5: phases A to E)."""

    IDLE = "idle"
    CALL = "call"  # A: dialling, ringing, answering, switching to T.38
    IDENTIFY = "identify"  # B: identification, capabilities, training
    MESSAGE = "message"  # C: page data
    POST_MESSAGE = "post-message"  # D: confirming
    RELEASE = "release"  # E


class Retry(StrEnum):
    """Whether another attempt makes sense, and how."""

    NEVER = "never"
    NOW = "now"
    LATER = "later"
    LOWER_RATE = "lower-rate"
    NO_ECM = "no-ecm"
    AUDIO = "audio"


@dataclass(frozen=True, slots=True, kw_only=True)
class Outcome:
    """How a fax ended, with the facts of the call.

    `rate_bps` is the last modulation's rate (0: none was agreed); `ecm` None means "never agreed".
    `pages_confirmed` counts pages we confirmed (receiving) or the peer confirmed (sending).
    """

    cause: Cause
    phase: Phase = Phase.IDLE
    pages_confirmed: int = 0
    pages_partial: int = 0
    bad_rows: int = 0
    retry: Retry = Retry.NEVER
    sentence: str = ""
    sip_status: int | None = None
    rate_bps: int = 0
    ecm: bool | None = None
    coding: str = ""
    resolution: str = ""
    remote_id: str = ""
    duration: float = 0.0

    @property
    def ok(self) -> bool:
        """True when every page of the fax was confirmed."""
        return self.cause is Cause.COMPLETE
