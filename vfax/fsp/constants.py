"""The numbers of the fax service provider interface, with their documented values.

Owns      FS_*, FPS_*, FEI_*, JS_*, JT_*, FPF_*, LINEDEVSTATE_*, fps*, fjs*, fjes*, the Win32 codes used, and which
          status belongs to which device state and client event.
Not here  what a status means for a retry (host/retry.py), which outcome gives which status (device/status.py).
Source    faxdev.h, winfax.h, faxcomex.h and tapi.h as published; the pages are listed where a value is unusual.

Members keep their full published names, so that a search for a constant finds every use and a log prints it.
"""

from collections.abc import Mapping
from enum import IntEnum, IntFlag
from types import MappingProxyType
from typing import Final

DWORD_MAX: Final = 0xFFFFFFFF
FAXDEVREPORTSTATUS_SIZE: Final = 4096
"""Octets for the strings of one FAX_DEV_STATUS, terminators included."""
FAXDEVRECEIVE_SIZE: Final = 4096
"""Octets for the three strings of one FAX_RECEIVE, terminators included."""
DEVICE_NAME_PREFIX_MAX: Final = 127
"""UTF-16 units: 128 WCHAR are documented; we take it that the terminator counts."""
FSPI_VERSION: Final = 0x00010000
"""The only interface version a provider may register with."""
NO_JOB: Final = 0xFFFFFFFF
"""`FAX_EVENT.JobId` when no job is active."""
FEI_NEVENTS: Final = 27
"""Equals the highest event, `FEI_FAXSVC_STARTED`: range tests must be inclusive."""


class FaxStatus(IntEnum):
    """FS_*: what a provider says about an operation. Values, not flags: compare with `==`."""

    FS_INITIALIZING = 0x20000000
    FS_DIALING = 0x20000001
    FS_TRANSMITTING = 0x20000002
    FS_RECEIVING = 0x20000004
    FS_COMPLETED = 0x20000008
    FS_HANDLED = 0x20000010
    FS_LINE_UNAVAILABLE = 0x20000020
    FS_BUSY = 0x20000040
    FS_NO_ANSWER = 0x20000080
    FS_BAD_ADDRESS = 0x20000100
    FS_NO_DIAL_TONE = 0x20000200
    FS_DISCONNECTED = 0x20000400
    FS_FATAL_ERROR = 0x20000800
    FS_NOT_FAX_CALL = 0x20001000
    FS_CALL_DELAYED = 0x20002000
    FS_CALL_BLACKLISTED = 0x20004000
    FS_USER_ABORT = 0x20200000
    FS_ANSWERED = 0x20800000


class DeviceState(IntEnum):
    """FPS_*: the state of a device as clients see it. `FPS_INITIALIZING` is the one that differs from its FS_*."""

    FPS_DIALING = 0x20000001
    FPS_SENDING = 0x20000002
    FPS_RECEIVING = 0x20000004
    FPS_COMPLETED = 0x20000008
    FPS_HANDLED = 0x20000010
    FPS_UNAVAILABLE = 0x20000020
    FPS_BUSY = 0x20000040
    FPS_NO_ANSWER = 0x20000080
    FPS_BAD_ADDRESS = 0x20000100
    FPS_NO_DIAL_TONE = 0x20000200
    FPS_DISCONNECTED = 0x20000400
    FPS_FATAL_ERROR = 0x20000800
    FPS_NOT_FAX_CALL = 0x20001000
    FPS_CALL_DELAYED = 0x20002000
    FPS_CALL_BLACKLISTED = 0x20004000
    FPS_INITIALIZING = 0x20008000
    FPS_OFFLINE = 0x20010000
    FPS_RINGING = 0x20020000
    FPS_AVAILABLE = 0x20100000
    FPS_ABORTING = 0x20200000
    FPS_ROUTING = 0x20400000
    FPS_ANSWERED = 0x20800000


class EventId(IntEnum):
    """FEI_*: what a client is told. 24 to 26 are in the header only, not in the documented list."""

    FEI_DIALING = 1
    FEI_SENDING = 2
    FEI_RECEIVING = 3
    FEI_COMPLETED = 4
    FEI_BUSY = 5
    FEI_NO_ANSWER = 6
    FEI_BAD_ADDRESS = 7
    FEI_NO_DIAL_TONE = 8
    FEI_DISCONNECTED = 9
    FEI_FATAL_ERROR = 10
    FEI_NOT_FAX_CALL = 11
    FEI_CALL_DELAYED = 12
    FEI_CALL_BLACKLISTED = 13
    FEI_RINGING = 14
    FEI_ABORTING = 15
    FEI_ROUTING = 16
    FEI_MODEM_POWERED_ON = 17
    FEI_MODEM_POWERED_OFF = 18
    FEI_IDLE = 19
    FEI_FAXSVC_ENDED = 20
    FEI_ANSWERED = 21
    FEI_JOB_QUEUED = 22
    FEI_DELETED = 23
    FEI_INITIALIZING = 24
    FEI_LINE_UNAVAILABLE = 25
    FEI_HANDLED = 26
    FEI_FAXSVC_STARTED = 27


_S, _D, _E = FaxStatus, DeviceState, EventId

PROGRESS: Final = frozenset({_S.FS_INITIALIZING, _S.FS_DIALING, _S.FS_TRANSMITTING, _S.FS_RECEIVING, _S.FS_ANSWERED})
"""Statuses of an operation that goes on. Every other value ends it, provider-defined ones included."""

STATE_OF_STATUS: Final[Mapping[FaxStatus, DeviceState]] = MappingProxyType(
    {
        _S.FS_INITIALIZING: _D.FPS_INITIALIZING,
        _S.FS_DIALING: _D.FPS_DIALING,
        _S.FS_TRANSMITTING: _D.FPS_SENDING,
        _S.FS_RECEIVING: _D.FPS_RECEIVING,
        _S.FS_COMPLETED: _D.FPS_COMPLETED,
        _S.FS_HANDLED: _D.FPS_HANDLED,
        _S.FS_LINE_UNAVAILABLE: _D.FPS_UNAVAILABLE,
        _S.FS_BUSY: _D.FPS_BUSY,
        _S.FS_NO_ANSWER: _D.FPS_NO_ANSWER,
        _S.FS_BAD_ADDRESS: _D.FPS_BAD_ADDRESS,
        _S.FS_NO_DIAL_TONE: _D.FPS_NO_DIAL_TONE,
        _S.FS_DISCONNECTED: _D.FPS_DISCONNECTED,
        _S.FS_FATAL_ERROR: _D.FPS_FATAL_ERROR,
        _S.FS_NOT_FAX_CALL: _D.FPS_NOT_FAX_CALL,
        _S.FS_CALL_DELAYED: _D.FPS_CALL_DELAYED,
        _S.FS_CALL_BLACKLISTED: _D.FPS_CALL_BLACKLISTED,
        _S.FS_USER_ABORT: _D.FPS_ABORTING,
        _S.FS_ANSWERED: _D.FPS_ANSWERED,
    }
)
"""The device state a status puts its device in (paired by number and name; no published table says it)."""

EVENT_OF_STATUS: Final[Mapping[FaxStatus, EventId]] = MappingProxyType(
    {
        _S.FS_INITIALIZING: _E.FEI_INITIALIZING,
        _S.FS_DIALING: _E.FEI_DIALING,
        _S.FS_TRANSMITTING: _E.FEI_SENDING,
        _S.FS_RECEIVING: _E.FEI_RECEIVING,
        _S.FS_COMPLETED: _E.FEI_COMPLETED,
        _S.FS_HANDLED: _E.FEI_HANDLED,
        _S.FS_LINE_UNAVAILABLE: _E.FEI_LINE_UNAVAILABLE,
        _S.FS_BUSY: _E.FEI_BUSY,
        _S.FS_NO_ANSWER: _E.FEI_NO_ANSWER,
        _S.FS_BAD_ADDRESS: _E.FEI_BAD_ADDRESS,
        _S.FS_NO_DIAL_TONE: _E.FEI_NO_DIAL_TONE,
        _S.FS_DISCONNECTED: _E.FEI_DISCONNECTED,
        _S.FS_FATAL_ERROR: _E.FEI_FATAL_ERROR,
        _S.FS_NOT_FAX_CALL: _E.FEI_NOT_FAX_CALL,
        _S.FS_CALL_DELAYED: _E.FEI_CALL_DELAYED,
        _S.FS_CALL_BLACKLISTED: _E.FEI_CALL_BLACKLISTED,
        _S.FS_USER_ABORT: _E.FEI_ABORTING,
        _S.FS_ANSWERED: _E.FEI_ANSWERED,
    }
)
"""The client event of a status (paired by name and description; no published table says it)."""


def is_progress(status_id: int) -> bool:
    """Tell whether the operation goes on. False for terminal, special, provider-defined and LINEERR_* values."""
    return status_id in PROGRESS


def is_predefined(status_id: int) -> bool:
    """Tell whether the value is an FS_* or a TAPI LINEERR_* code (those have the top bit set).

    Any other value is provider-defined and must bring its text.
    """
    return status_id in _STATUS_VALUES or status_id >= 0x80000000


_STATUS_VALUES: Final = frozenset(int(status) for status in FaxStatus)


class JobStatus(IntFlag):
    """JS_* of winfax.h (`FAX_JOB_ENTRY.QueueStatus`). Not the fjs* list, which is this one shifted by one bit.

    `JS_PENDING` is 0 and cannot be tested as a bit; only PAUSED and NOLINE join other values.
    """

    JS_PENDING = 0x00
    JS_INPROGRESS = 0x01
    JS_DELETING = 0x02
    JS_FAILED = 0x04
    JS_PAUSED = 0x08
    JS_NOLINE = 0x10
    JS_RETRYING = 0x20
    JS_RETRIES_EXCEEDED = 0x40


class JobStatusEnum(IntFlag):
    """fjs* of faxcomex.h (`FAX_JOB_STATUS_ENUM`); 0x004, deleting, is not exposed there."""

    fjsPENDING = 0x001
    fjsINPROGRESS = 0x002
    fjsFAILED = 0x008
    fjsPAUSED = 0x010
    fjsNOLINE = 0x020
    fjsRETRYING = 0x040
    fjsRETRIES_EXCEEDED = 0x080
    fjsCOMPLETED = 0x100
    fjsCANCELED = 0x200
    fjsCANCELING = 0x400
    fjsROUTING = 0x800


class JobExtendedStatus(IntEnum):
    """fjes* of faxcomex.h (`FAX_JOB_EXTENDED_STATUS_ENUM`); 1 to 19 follow the order of the published list."""

    fjesNONE = 0
    fjesDISCONNECTED = 1
    fjesINITIALIZING = 2
    fjesDIALING = 3
    fjesTRANSMITTING = 4
    fjesANSWERED = 5
    fjesRECEIVING = 6
    fjesLINE_UNAVAILABLE = 7
    fjesBUSY = 8
    fjesNO_ANSWER = 9
    fjesBAD_ADDRESS = 10
    fjesNO_DIAL_TONE = 11
    fjesFATAL_ERROR = 12
    fjesCALL_DELAYED = 13
    fjesCALL_BLACKLISTED = 14
    fjesNOT_FAX_CALL = 15
    fjesPARTIALLY_RECEIVED = 16
    fjesHANDLED = 17
    fjesCALL_COMPLETED = 18
    fjesCALL_ABORTED = 19
    fjesPROPRIETARY = 0x01000000


class JobType(IntEnum):
    """JT_*: what a job is."""

    JT_UNKNOWN = 0  # not scheduled yet
    JT_SEND = 1
    JT_RECEIVE = 2
    JT_ROUTING = 3  # routing failed and will be repeated
    JT_FAIL_RECEIVE = 4  # incomplete reception, the partial file is kept


class PortFlag(IntFlag):
    """FPF_* of `FAX_PORT_INFO.Flags`. `FPF_VIRTUAL` is read-only."""

    FPF_RECEIVE = 1
    FPF_SEND = 2
    FPF_VIRTUAL = 4


class AccessRight(IntFlag):
    """What a client may do with a fax server (winfax.h)."""

    FAX_JOB_SUBMIT = 0x01
    FAX_JOB_QUERY = 0x02
    FAX_CONFIG_QUERY = 0x04
    FAX_CONFIG_SET = 0x08
    FAX_PORT_QUERY = 0x10
    FAX_PORT_SET = 0x20
    FAX_JOB_MANAGE = 0x40


class LineMessageId(IntEnum):
    """LINE_*: message numbers of tapi.h. A ring packet carries 0, not `LINE_LINEDEVSTATE`."""

    LINE_ADDRESSSTATE = 0
    LINE_CALLINFO = 1
    LINE_CALLSTATE = 2
    LINE_CLOSE = 3
    LINE_DEVSPECIFIC = 4
    LINE_LINEDEVSTATE = 8


class LineDevState(IntFlag):
    """LINEDEVSTATE_* of tapi.h; RINGING is the only one a virtual device may post."""

    LINEDEVSTATE_OTHER = 0x00000001
    LINEDEVSTATE_RINGING = 0x00000002
    LINEDEVSTATE_CONNECTED = 0x00000004
    LINEDEVSTATE_DISCONNECTED = 0x00000008


class ProviderStatus(IntEnum):
    """fps*: how far a provider got at service start (`FAX_PROVIDER_STATUS_ENUM`)."""

    fpsSUCCESS = 0
    fpsSERVER_ERROR = 1
    fpsBAD_GUID = 2
    fpsBAD_VERSION = 3
    fpsCANT_LOAD = 4
    fpsCANT_LINK = 5
    fpsCANT_INIT = 6


class Win32(IntEnum):
    """The ordinary Win32 codes this package uses (winerror.h)."""

    NO_ERROR = 0
    ERROR_FILE_NOT_FOUND = 2
    ERROR_ACCESS_DENIED = 5
    ERROR_INVALID_HANDLE = 6
    ERROR_NOT_ENOUGH_MEMORY = 8
    ERROR_INVALID_DATA = 13
    ERROR_NOT_READY = 21
    ERROR_WRITE_FAULT = 29
    ERROR_GEN_FAILURE = 31
    ERROR_NOT_SUPPORTED = 50
    ERROR_ALREADY_ASSIGNED = 85
    ERROR_INVALID_PARAMETER = 87
    ERROR_INSUFFICIENT_BUFFER = 122
    ERROR_MOD_NOT_FOUND = 126
    ERROR_PROC_NOT_FOUND = 127
    ERROR_BUSY = 170
    ERROR_ABANDONED_WAIT_0 = 735
    ERROR_OPERATION_ABORTED = 995
    ERROR_BADDB = 1009
    ERROR_SHUTDOWN_IN_PROGRESS = 1115
    ERROR_POSSIBLE_DEADLOCK = 1131
    ERROR_NOT_FOUND = 1168
    ERROR_CONNECTION_REFUSED = 1225
    ERROR_GRACEFUL_DISCONNECT = 1226
    ERROR_CONNECTION_ABORTED = 1236
    ERROR_INTERNAL_ERROR = 1359
    ERROR_TIMEOUT = 1460


class Hresult(IntEnum):
    """What `FaxDevShutdown` and `FaxExtInitializeConfig` answer; there S_OK is also called NOERROR."""

    S_OK = 0
    E_FAIL = 0x80004005


class DevIdSource(IntEnum):
    """FAX_ENUM_DEVICE_ID_SOURCE: who made a device id that comes with stored configuration."""

    DEV_ID_SRC_FAX = 0  # the service, or a provider of virtual devices
    DEV_ID_SRC_TAPI = 1  # a telephony service provider
