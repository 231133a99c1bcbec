"""The structures that cross the provider contract: frozen, and checked the moment they are made.

Owns      LineMessage, FaxDevStatus, FaxReceive, FaxSend, FaxEvent, VirtualDevices; CallFacts (an extension of ours).
Not here  which of them may be posted under which key (completion.py).
Source    LINEMESSAGE (tapi.h); FAX_DEV_STATUS, FAX_RECEIVE, FAX_SEND (faxdev.h); FAX_EVENT (winfax.h). Member names
          are the published ones in Python spelling. `SizeOfStruct` becomes `version`, the reserved members are gone.

Ownership of a packet becomes immutability: what has been posted can no longer change under its reader.
A wrong member raises InvalidField, which names it.
"""

from dataclasses import dataclass
from typing import Final

from vfax.fsp.constants import (
    DEVICE_NAME_PREFIX_MAX,
    DWORD_MAX,
    FAXDEVRECEIVE_SIZE,
    FAXDEVREPORTSTATUS_SIZE,
    NO_JOB,
    EventId,
    LineDevState,
    Win32,
    is_predefined,
)
from vfax.fsp.errors import InvalidField
from vfax.outcome import Outcome

STRUCTURE_VERSION: Final = 1
"""The counterpart of `SizeOfStruct`: another number is another layout and is refused."""
QWORD_MAX: Final = 0xFFFFFFFFFFFFFFFF
_CANONICAL: Final = frozenset("0123456789 ()-.")


def utf16_size(text: str) -> int:
    """Octets of `text` as zero-terminated UTF-16. Raises UnicodeEncodeError for a lone surrogate."""
    return len(text.encode("utf-16-le")) + 2


def check_dword(structure: str, field: str, value: object, *, low: int = 0, high: int = DWORD_MAX) -> None:
    """Raise InvalidField unless `value` is an int within `low`..`high`."""
    if not isinstance(value, int) or isinstance(value, bool):
        raise InvalidField(structure, field, f"an integer is expected, not {type(value).__name__}")
    if not low <= value <= high:
        raise InvalidField(structure, field, f"{value} is outside {low:#x}..{high:#x}")


def check_text(structure: str, field: str, value: object, *, required: bool = False) -> None:
    """Raise InvalidField unless `value` is text a zero-terminated UTF-16 string can hold."""
    if not isinstance(value, str):
        raise InvalidField(structure, field, f"a string is expected, not {type(value).__name__}")
    if required and not value:
        raise InvalidField(structure, field, "must not be empty")
    if "\0" in value:
        raise InvalidField(structure, field, "must not contain a zero character")
    if any("\ud800" <= char <= "\udfff" for char in value):
        raise InvalidField(structure, field, "contains half a surrogate pair")


def check_budget(structure: str, texts: dict[str, str], octets: int) -> None:
    """Raise InvalidField, naming the longest string, unless all of them fit in `octets` of UTF-16."""
    total = sum(utf16_size(text) for text in texts.values())
    if total > octets:
        longest = max(texts, key=lambda field: len(texts[field]))
        raise InvalidField(structure, longest, f"the strings take {total} octets, at most {octets} fit")


def check_version(structure: str, version: object) -> None:
    """Raise InvalidField unless the layout is the one this package knows."""
    if version != STRUCTURE_VERSION:
        raise InvalidField(structure, "version", f"{version!r} is not {STRUCTURE_VERSION}")


def check_routing(structure: str, field: str, value: str) -> None:
    """Raise InvalidField unless `value` is empty or `number[|additional]` (FAX_DEV_STATUS, RoutingInfo).

    A number that begins with `+` must be a TAPI canonical address: digits, spaces, brackets, hyphens. Others stand as
    the network gave them: what a SIP caller dials need not be a telephone number.
    """
    if not value:
        return
    number = value.partition("|")[0]
    if not number.strip():
        raise InvalidField(structure, field, "the number before the bar is missing")
    if not value.isprintable():
        raise InvalidField(structure, field, "contains a control character")
    if number.startswith("+") and not (set(number[1:]) <= _CANONICAL and any(char.isdigit() for char in number)):
        raise InvalidField(structure, field, f"{number!r} is not a canonical address such as +49 (30) 123456")


@dataclass(frozen=True, slots=True)
class LineMessage:
    """LINEMESSAGE: a line event. Made with one argument it is the ring of device `h_device`.

    Any TAPI line message can be built; a ring port takes the ring alone.
    """

    h_device: int
    message_id: int = 0
    callback_instance: int = 0
    param1: int = LineDevState.LINEDEVSTATE_RINGING
    param2: int = 0
    param3: int = 0

    def __post_init__(self) -> None:
        check_dword("LineMessage", "h_device", self.h_device)
        check_dword("LineMessage", "message_id", self.message_id)
        for field in ("callback_instance", "param1", "param2", "param3"):  # DWORD_PTR
            check_dword("LineMessage", field, getattr(self, field), high=QWORD_MAX)


@dataclass(frozen=True, slots=True)
class FaxDevStatus:
    """FAX_DEV_STATUS: what an operation is doing, or how it ended.

    `status_id` is an FS_* or LINEERR_* code or a value of the provider's own, which must bring its text in `string`
    (instead of a resource id). `page_count` is the number of the page on the line, from 1. `csi` is the remote
    identity: its CSI when we send, its TSI when we receive. `error_code` is 0 while running and after success.
    """

    status_id: int
    string: str | None = None
    page_count: int = 0
    csi: str = ""
    caller_id: str = ""
    routing_info: str = ""
    error_code: int = Win32.NO_ERROR
    version: int = STRUCTURE_VERSION

    def __post_init__(self) -> None:
        check_version("FaxDevStatus", self.version)
        for field in ("status_id", "page_count", "error_code"):
            check_dword("FaxDevStatus", field, getattr(self, field))
        texts = {"csi": self.csi, "caller_id": self.caller_id, "routing_info": self.routing_info}
        for field, text in texts.items():
            check_text("FaxDevStatus", field, text)
        check_routing("FaxDevStatus", "routing_info", self.routing_info)
        self._check_string()
        check_budget("FaxDevStatus", texts, FAXDEVREPORTSTATUS_SIZE)

    def _check_string(self) -> None:
        if self.string is not None:
            check_text("FaxDevStatus", "string", self.string, required=True)
        if (self.string is None) != is_predefined(self.status_id):
            expected = "belongs to" if self.string is not None else "is required for"
            raise InvalidField(
                "FaxDevStatus", "string", f"text {expected} provider-defined codes ({self.status_id:#x})"
            )


@dataclass(frozen=True, slots=True)
class FaxReceive:
    """FAX_RECEIVE: the existing file to fill; the provider answers with a copy that names the receiving device."""

    file_name: str
    receiver_name: str = ""
    receiver_number: str = ""
    version: int = STRUCTURE_VERSION

    def __post_init__(self) -> None:
        check_version("FaxReceive", self.version)
        check_text("FaxReceive", "file_name", self.file_name, required=True)
        texts = {
            "file_name": self.file_name,
            "receiver_number": self.receiver_number,
            "receiver_name": self.receiver_name,
        }
        for field, text in texts.items():
            check_text("FaxReceive", field, text)
        check_budget("FaxReceive", texts, FAXDEVRECEIVE_SIZE)


@dataclass(frozen=True, slots=True)
class FaxSend:
    """FAX_SEND: what to send, to whom, in whose name. `caller_number` is the TSI; `receiver_number` is dialled."""

    file_name: str
    receiver_number: str
    caller_name: str = ""
    caller_number: str = ""
    receiver_name: str = ""
    version: int = STRUCTURE_VERSION

    def __post_init__(self) -> None:
        check_version("FaxSend", self.version)
        check_text("FaxSend", "file_name", self.file_name, required=True)
        check_text("FaxSend", "receiver_number", self.receiver_number, required=True)
        for field in ("caller_name", "caller_number", "receiver_name"):
            check_text("FaxSend", field, getattr(self, field))


@dataclass(frozen=True, slots=True)
class FaxEvent:
    """FAX_EVENT: what a client is told. `time_stamp` is a FILETIME: 100 ns ticks since 1601-01-01 UTC."""

    time_stamp: int
    device_id: int
    event_id: EventId
    job_id: int = NO_JOB
    version: int = STRUCTURE_VERSION

    def __post_init__(self) -> None:
        check_version("FaxEvent", self.version)
        check_dword("FaxEvent", "time_stamp", self.time_stamp, high=QWORD_MAX)
        check_dword("FaxEvent", "device_id", self.device_id)
        check_dword("FaxEvent", "job_id", self.job_id)
        if not isinstance(self.event_id, EventId):
            raise InvalidField("FaxEvent", "event_id", f"{self.event_id!r} is no FEI_* event")


@dataclass(frozen=True, slots=True)
class VirtualDevices:
    """What `FaxDevVirtualDeviceCreation` hands out: how many devices, their name prefix, their first id.

    `device_id_prefix` is not zero: id 0 stands for global configuration data.
    """

    device_count: int
    device_name_prefix: str
    device_id_prefix: int

    def __post_init__(self) -> None:
        check_dword("VirtualDevices", "device_count", self.device_count, low=1)
        check_text("VirtualDevices", "device_name_prefix", self.device_name_prefix, required=True)
        units = utf16_size(self.device_name_prefix) // 2 - 1
        if units > DEVICE_NAME_PREFIX_MAX:
            why = f"{units} characters, at most {DEVICE_NAME_PREFIX_MAX} fit"
            raise InvalidField("VirtualDevices", "device_name_prefix", why)
        check_dword("VirtualDevices", "device_id_prefix", self.device_id_prefix, low=1)
        check_dword("VirtualDevices", "device_id_prefix", self.device_id_prefix + self.device_count - 1)

    @property
    def ids(self) -> range:
        """The device ids, in order."""
        return range(self.device_id_prefix, self.device_id_prefix + self.device_count)

    def name(self, device_id: int) -> str:
        """Name of the device: the prefix and the id, which is what makes it unique."""
        if device_id not in self.ids:
            raise InvalidField("VirtualDevices", "device_id", f"{device_id} is none of ours")
        return f"{self.device_name_prefix}{device_id}"


@dataclass(frozen=True, slots=True, kw_only=True)
class SendHints:
    """How one document is to be sent, which FAX_SEND has no room for: an extension of ours (`VfaxDevSendHints`).

    Sending begins at page `first_page` (from 1): those before were confirmed in an earlier call. `max_rate_bps` (0: the
    device's own) and `ecm` (None: the device's own) are what earlier attempts advise. `subaddress` and
    `sender_password` (SUB, SID) are said to receivers that take them.
    """

    first_page: int = 1
    max_rate_bps: int = 0
    ecm: bool | None = None
    subaddress: str = ""
    sender_password: str = ""

    def __post_init__(self) -> None:
        check_dword("SendHints", "first_page", self.first_page, low=1)
        check_dword("SendHints", "max_rate_bps", self.max_rate_bps)
        if self.ecm is not None and not isinstance(self.ecm, bool):
            raise InvalidField("SendHints", "ecm", f"true, false or nothing is expected, not {self.ecm!r}")
        for field in ("subaddress", "sender_password"):
            check_text("SendHints", field, getattr(self, field))


@dataclass(frozen=True, slots=True, kw_only=True)
class CallFacts:
    """What FAX_DEV_STATUS has no room for: an extension of ours, read with `VfaxDevReportFacts`.

    `progress_done` of `progress_total` are rows of the page on the line (receiving; total 0) or octets (sending).
    `ecm` None means that no mode has been agreed yet. `next_page` is, of a fax that is sent, the first page that the
    other side has not confirmed (0: not known). `outcome` is None while the operation runs. `journal_path` is
    empty when the network keeps no journal for the call.
    """

    device_id: int
    call_id: str = ""
    remote_id: str = ""
    caller_id: str = ""
    caller_name: str = ""
    dialled: str = ""
    subaddress: str = ""
    rate_bps: int = 0
    ecm: bool | None = None
    coding: str = ""
    resolution: str = ""
    pages_confirmed: int = 0
    pages_partial: int = 0
    next_page: int = 0
    page: int = 0
    progress_done: int = 0
    progress_total: int = 0
    bad_rows: int = 0
    packets_lost: int = 0
    outcome: Outcome | None = None
    sentence: str = ""
    journal_path: str = ""
