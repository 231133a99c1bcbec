"""What vfax raises on purpose.

Owns      the error tree. Peer rubbish is an event, our own misuse an exception, a failed fax an `Outcome`.
Not here  errors of the provider contract with their Win32 codes (fsp/errors.py).
"""

import errno
from traceback import extract_tb
from typing import Final, Self, overload

_REMEDIES: Final = {
    errno.ENOENT: "there is no such file or folder; check its name",
    errno.ENOTDIR: "there is no such folder; check its name",
    errno.EISDIR: "this is a folder; name a file in it",
    errno.EACCES: "this user may not open it; change its permissions, or those of its folder",
}


class FaxError(Exception):
    """Everything vfax raises on purpose."""


class MisuseError(FaxError):
    """Our own caller broke the contract: a bug on this side, never the peer's."""


class DecodeError(FaxError):
    """Octets that are not what the Recommendation says; always raised fresh.

    `offset` counts octets from the start of the input, `source` is the clause that was broken.
    """

    def __init__(self, what: str, *, offset: int = 0, source: str = "") -> None:
        super().__init__(what)
        self.what = what
        self.offset = offset
        self.source = source

    def __str__(self) -> str:
        where = f"{self.what} at octet {self.offset}"
        return f"{where} ({self.source})" if self.source else where


class LinkError(FaxError):
    """The road is gone: socket closed, no route, dialog torn down."""


class NameServiceSilent(LinkError):
    """Nobody said where a name is: it may be found later."""


class AddressTaken(LinkError):
    """Somebody else listens there. `stream`: on TCP, else UDP."""

    def __init__(self, what: str, port: int, *, stream: bool) -> None:
        super().__init__(what)
        self.port = port
        self.stream = stream


class StoreError(FaxError):
    """A page, or what the job store holds, could not be made durable or read; the system's error is the `__cause__`."""


class LeaseLost(FaxError):
    """A job or a delivery is no longer in the hands of the host that acts on it: it has to let go of it."""


class DocumentError(FaxError):
    """A document cannot be sent: the message names the file, what is wrong and what would be right."""

    @classmethod
    def of_system(cls, path: object, why: OSError) -> Self:
        """What the system has against a file, with what helps where something does."""
        return cls(f"{path}: {_REMEDIES.get(why.errno or 0) or why.strerror or why}")


class SettingsError(FaxError):
    """A setting is wrong: the message names file, key, value and what is expected."""


@overload
def only_one(found: Exception) -> Exception: ...


@overload
def only_one(found: BaseException) -> BaseException: ...


def only_one(found: BaseException) -> BaseException:
    """The one exception that nurseries have wrapped up, or the group when there are several."""
    while isinstance(found, BaseExceptionGroup) and len(found.exceptions) == 1:
        found = found.exceptions[0]
    return found


def fault_place(why: BaseException) -> str:
    """What a fault of ours is and where it came up, for a sentence: type, module, line and function."""
    frames = extract_tb(why.__traceback__)
    if not frames:
        return f"{type(why).__name__} in an unknown place"
    module = frames[-1].filename.replace("\\", "/").rpartition("/")[2]
    return f"{type(why).__name__} in {module}:{frames[-1].lineno}, {frames[-1].name}"
