"""What a virtual device can be told.

Owns      `DeviceOptions` and how it is read from a registration record's configuration.
Not here  the file the values come from (vfax/settings.py), the network's own options (network.py).
"""

from collections.abc import Mapping
from dataclasses import dataclass, fields
from pathlib import Path
from typing import Final

from vfax.errors import SettingsError
from vfax.fsp.errors import InvalidField
from vfax.fsp.structures import VirtualDevices

MAX_LINES: Final = 10_000
"""Limit: lines of one provider, as in the settings; each takes its room at once."""
NETWORK_KEY: Final = "network"
"""Configuration key of a ready network; without it one is built from the configuration."""


@dataclass(frozen=True, slots=True, kw_only=True)
class DeviceOptions:
    """The devices of one provider. Times in seconds; a wrong value raises SettingsError naming it.

    `local_id` is what the devices say of themselves (CSI; T.30 has room for 20 characters), and the TSI of a sent fax
    that names none; `receiver_name` goes into FAX_RECEIVE. Where one is empty, what the host put there stands. A call
    that rings for `host_answer_timeout` without being taken by the host hears 480. `shutdown_grace` is what running
    calls get to end politely at FaxDevShutdown. With `header` each page sent has a line on top, its time that of
    `header_timezone` (an IANA name, "" for this machine's). `subaddress` and `sender_password` (SUB and SID, 20
    characters each) are said to receivers that take them; sending begins at page `first_page` of the document.
    """

    lines: int = 4
    device_name_prefix: str = "vfax "
    device_id_prefix: int = 1
    local_id: str = ""
    receiver_name: str = ""
    header: bool = False
    header_timezone: str = ""
    subaddress: str = ""
    sender_password: str = ""
    first_page: int = 1
    host_answer_timeout: float = 30.0
    shutdown_grace: float = 2.0
    journal_folder: Path | None = None

    def __post_init__(self) -> None:
        for name, kind in _KINDS.items():
            value = getattr(self, name)
            if not isinstance(value, kind) or (isinstance(value, bool) and kind is not bool):
                raise SettingsError(f"{name} = {value!r}: {_EXPECTED[name]} is expected")
        if self.lines > MAX_LINES:
            raise SettingsError(f"lines = {self.lines}: at most {MAX_LINES} are expected")
        for name in ("host_answer_timeout", "shutdown_grace"):
            if not 0 < getattr(self, name) < float("inf"):
                raise SettingsError(f"{name} = {getattr(self, name)}: more than 0 seconds are expected")
        try:
            _ = self.devices
        except InvalidField as why:
            raise SettingsError(f"lines, device_name_prefix, device_id_prefix: {why}") from why

    @property
    def devices(self) -> VirtualDevices:
        """The devices as FaxDevVirtualDeviceCreation announces them."""
        return VirtualDevices(self.lines, self.device_name_prefix, self.device_id_prefix)

    @classmethod
    def of(cls, configuration: Mapping[str, object]) -> "DeviceOptions":
        """Read our keys; the others belong to the network. Text is taken for `journal_folder` too."""
        known = {field.name for field in fields(cls)}
        values = {name: value for name, value in configuration.items() if name in known}
        if isinstance(values.get("journal_folder"), str):
            values["journal_folder"] = Path(str(values["journal_folder"]))
        return cls(**values)  # type: ignore[arg-type]  # __post_init__ checks every type


_KINDS: Final[dict[str, type | tuple[type, ...]]] = {
    "lines": int,
    "device_name_prefix": str,
    "device_id_prefix": int,
    "local_id": str,
    "receiver_name": str,
    "header": bool,
    "header_timezone": str,
    "subaddress": str,
    "sender_password": str,
    "first_page": int,
    "host_answer_timeout": (int, float),
    "shutdown_grace": (int, float),
    "journal_folder": (Path, type(None)),
}
_EXPECTED: Final = {
    "lines": "a whole number",
    "device_name_prefix": "text",
    "device_id_prefix": "a whole number",
    "local_id": "text",
    "receiver_name": "text",
    "header": "true or false",
    "header_timezone": "text",
    "subaddress": "text",
    "sender_password": "text",
    "first_page": "a whole number",
    "host_answer_timeout": "a number of seconds",
    "shutdown_grace": "a number of seconds",
    "journal_folder": "a path or nothing",
}
