"""Errors of the provider contract: each is what FALSE plus a last-error code is in C.

Owns      exceptions with their Win32 code (`winerror`).
Not here  the errors of the rest of vfax (vfax/errors.py); how a fax ended (vfax/outcome.py).
Source    the pages of the FSP functions: failure is FALSE after setting the last error; none lists particular codes,
          so the choice of numbers is ours.
"""

from vfax.errors import FaxError
from vfax.fsp.constants import ProviderStatus, Win32


class FaxServiceError(FaxError):
    """A contract function failed (returned FALSE); `winerror` is the last-error code."""

    winerror: Win32 = Win32.ERROR_GEN_FAILURE


class InvalidParameter(FaxServiceError):
    """An argument is not what the contract allows."""

    winerror = Win32.ERROR_INVALID_PARAMETER


class InvalidField(InvalidParameter):
    """A member of a structure is wrong: `structure` and `field` say which, the message says why."""

    def __init__(self, structure: str, field: str, why: str) -> None:
        super().__init__(f"{structure}.{field}: {why}")
        self.structure = structure
        self.field = field


class InvalidHandle(FaxServiceError):
    """The job is unknown or has ended."""

    winerror = Win32.ERROR_INVALID_HANDLE


class AccessDenied(FaxServiceError):
    """The client lacks the right."""

    winerror = Win32.ERROR_ACCESS_DENIED


class InvalidData(FaxServiceError):
    """Second registration in one session, or a file that is not a fax."""

    winerror = Win32.ERROR_INVALID_DATA


class OutOfResources(FaxServiceError):
    """A quota is used up."""

    winerror = Win32.ERROR_NOT_ENOUGH_MEMORY


class NotSupported(FaxServiceError):
    """This provider cannot do it (receiving without a ring)."""

    winerror = Win32.ERROR_NOT_SUPPORTED


class NotReady(FaxServiceError):
    """`FaxDevInitialize` has not succeeded yet, or `FaxDevShutdown` has been called."""

    winerror = Win32.ERROR_NOT_READY


class WouldDeadlock(FaxServiceError):
    """The call was made in the one thread that would have to answer it (a blocking provider's own)."""

    winerror = Win32.ERROR_POSSIBLE_DEADLOCK


class InsufficientBuffer(FaxServiceError):
    """The block for FAX_DEV_STATUS is too small: `required` octets are needed (compatibility.py)."""

    winerror = Win32.ERROR_INSUFFICIENT_BUFFER

    def __init__(self, what: str, required: int) -> None:
        super().__init__(what)
        self.required = required


class DataNotFound(FaxServiceError):
    """There is no configuration data under that GUID for that device, or no such device."""

    winerror = Win32.ERROR_FILE_NOT_FOUND


class DataCorrupt(FaxServiceError):
    """Stored configuration data are not what was stored."""

    winerror = Win32.ERROR_BADDB


class AlreadyAssigned(FaxServiceError):
    """The extension has asked for notifications about that device and GUID already."""

    winerror = Win32.ERROR_ALREADY_ASSIGNED


class RegistrationNotFound(FaxServiceError):
    """There is no such registration for notifications (any more)."""

    winerror = Win32.ERROR_NOT_FOUND


class ServerBusy(FaxServiceError):
    """Too much is being asked for at once: ask again later."""

    winerror = Win32.ERROR_BUSY


class ShuttingDown(FaxServiceError):
    """The service is shutting down, or has done with this extension."""

    winerror = Win32.ERROR_SHUTDOWN_IN_PROGRESS


class InitializationFailed(FaxServiceError):
    """The provider cannot start; the message says why (fpsCANT_INIT)."""


class OperationFailed(FaxServiceError):
    """Send or Receive failed; the message is the sentence of the outcome, `FaxDevReportStatus` has the status."""

    def __init__(self, sentence: str, winerror: Win32 = Win32.ERROR_GEN_FAILURE) -> None:
        super().__init__(sentence)
        self.winerror = winerror


class OperationAborted(OperationFailed):
    """Send or Receive was ended by an abort (FS_USER_ABORT)."""

    def __init__(self, sentence: str, winerror: Win32 = Win32.ERROR_OPERATION_ABORTED) -> None:
        super().__init__(sentence, winerror)


class LineUnavailable(OperationFailed):
    """The line is in use (FS_LINE_UNAVAILABLE): another one may serve."""

    def __init__(self, sentence: str, winerror: Win32 = Win32.ERROR_NOT_READY) -> None:
        super().__init__(sentence, winerror)


class PortError(FaxServiceError):
    """A completion port did not take or give a packet."""


class PortFull(PortError):
    """No room and nothing to coalesce: the packet still belongs to the poster."""

    winerror = Win32.ERROR_NOT_ENOUGH_MEMORY


class PortClosed(PortError):
    """The port has been closed."""

    winerror = Win32.ERROR_ABANDONED_WAIT_0


class ProviderLoadError(FaxServiceError):
    """A provider cannot be used: `status` is the fps* value to keep beside its registration."""

    def __init__(self, status: ProviderStatus, why: str, winerror: Win32 = Win32.ERROR_INVALID_PARAMETER) -> None:
        super().__init__(f"{status.name}: {why}")
        self.status = status
        self.winerror = winerror
