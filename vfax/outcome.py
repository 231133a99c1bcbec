"""How a fax ended. Returned, stored and shown; never raised.

Owns      causes, phases, retry advice, the numbers of results, the `Outcome` of a call.
Not here  the sentence with its evidence (`Outcome.sentence` holds it, `vfax/verdict.py` writes it);
          the FS_* status of the provider contract (device/status.py maps it).
Source    results 0 to 61: T30_ERR_* of libspandsp 0.0.6 (a test asks the installed library for their words).
"""

from dataclasses import dataclass
from enum import IntEnum, StrEnum


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
    ENCRYPTION = "encryption"  # T.38 was to run over DTLS, and no association was made
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


class T30Result(IntEnum):
    """The result of a fax as one number: libspandsp's where it has one, from 1000 up where it has none."""

    OK = 0
    T0_EXPIRED = 2
    T1_EXPIRED = 3
    CANNOT_TRAIN = 6
    INCOMPATIBLE = 8
    TX_INCAPABLE = 10
    UNEXPECTED = 13
    TX_BADDCS = 14
    TX_BADPG = 15
    TX_ECMPHD = 16
    TX_GOTDCN = 17
    TX_INVALRSP = 18
    TX_NODIS = 19
    TX_PHBDEAD = 20
    TX_PHDDEAD = 21
    TX_T5EXP = 22
    RX_ECMPHD = 23
    RX_NOCARRIER = 26
    RX_NOFAX = 28
    RX_T2EXPD = 30
    RX_T2EXPMPS = 32
    RX_T2EXP = 34
    RX_DCNWHY = 35
    RX_DCNDATA = 36
    RX_DCNPHD = 38
    RX_DCNNORTN = 40
    FILEERROR = 41
    NOPAGE = 42
    CALLDROPPED = 49
    NOPOLL = 50
    IDENT_UNACCEPTABLE = 51
    # ours
    BUSY = 1000
    NO_ANSWER = 1001
    BAD_ADDRESS = 1002
    REJECTED = 1003
    NO_LINE = 1004
    T38_REFUSED = 1005
    NOT_FAX = 1006
    NETWORK = 1007
    UNCERTAIN = 1008
    ABORTED = 1009
    STORAGE = 1010
    LIMIT = 1011
    INTERNAL = 1012
    UNKNOWN = 1013  # a journal without an outcome
    ENCRYPTION = 1014


@dataclass(frozen=True, slots=True, kw_only=True)
class Outcome:
    """How a fax ended, with the facts of the call.

    `verdict`, `t30_result` and `sentence` are what verdict.py makes of cause, phase and course; until then `sentence`
    may hold what was seen. `evidence` is that, in a few words.
    `rate_bps` is the last modulation's rate (0: none was agreed); `ecm` None means "never agreed".
    `encrypted`: T.38 ran over DTLS.
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
    q850: int | None = None  # cause of the telephone network, where SIP brought one (Reason)
    retry_after: int | None = None  # seconds that the other side asks us to wait
    rate_bps: int = 0
    ecm: bool | None = None
    coding: str = ""
    resolution: str = ""
    remote_id: str = ""
    duration: float = 0.0
    sending: bool | None = None
    verdict: str = ""
    t30_result: int | None = None
    evidence: str = ""
    encrypted: bool = False

    @property
    def ok(self) -> bool:
        """True when every page of the fax was confirmed."""
        return self.cause is Cause.COMPLETE
