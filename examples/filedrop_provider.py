"""A whole fax service provider in one small file: its fax machines are folders.

A TIFF that is renamed into `<folder>/in` is a call, and rings until it is received. What is sent appears in
`<folder>/out`. It is registered in the settings of vfax, where this file can be imported:

    [[provider]]
    guid = "{5b5f6f0b-55d4-4f0c-8c5c-3f1d1f2f7a10}"
    friendly_name = "File drop"
    image_name = "filedrop_provider:create_provider"
    configuration = { folder = "/var/spool/filedrop" }
"""

from collections.abc import Mapping
from pathlib import Path

import trio

from vfax.fsp.completion import CompletionPort, RingKey, StatusKey
from vfax.fsp.constants import FaxStatus, Hresult, Win32
from vfax.fsp.errors import InvalidHandle, InvalidParameter, LineUnavailable, OperationAborted, OperationFailed
from vfax.fsp.provider import Arena, FaxLineCallback, FaxSendCallback, FaxServiceCallback
from vfax.fsp.structures import FaxDevStatus, FaxReceive, FaxSend, LineMessage, VirtualDevices

DEVICES = VirtualDevices(device_count=2, device_name_prefix="drop ", device_id_prefix=9001)


class Job:
    """One operation on one device; the host holds it as its handle."""

    def __init__(self, device: int, port: CompletionPort, key: StatusKey) -> None:
        self.device, self.port, self.key = device, port, key
        self.status, self.aborted = FaxDevStatus(FaxStatus.FS_INITIALIZING), False

    def say(self, status: FaxStatus, *, page: int = 0, error: Win32 = Win32.NO_ERROR) -> None:
        """Keep the status for a host that asks, and post it to the one that listens."""
        self.status = FaxDevStatus(status, page_count=page, caller_id="file drop", error_code=error)
        self.port.post(self.key, self.status)

    def copy(self, source: Path, target: Path, mode: str) -> None:
        """Copy the document, in a thread. Raises what FALSE is. The host syncs what it receives."""
        if self.aborted:
            self.say(FaxStatus.FS_USER_ABORT, error=Win32.ERROR_OPERATION_ABORTED)
            raise OperationAborted("The fax was aborted.")
        try:
            with target.open(mode) as file:
                file.write(source.read_bytes())
                file.truncate()
        except OSError as why:
            self.say(FaxStatus.FS_FATAL_ERROR, error=Win32.ERROR_WRITE_FAULT)
            raise OperationFailed(f"{source.name} cannot be copied: {why.strerror}", Win32.ERROR_WRITE_FAULT) from why


class FileDropProvider:
    """The exports of the contract."""

    def __init__(self, folder: Path) -> None:
        self._in, self._out = folder / "in", folder / "out"
        self._open = dict.fromkeys(DEVICES.ids, True)  # whether the host lets a device receive
        self._ringing: dict[int, Path] = {}
        self._jobs: list[Job] = []
        self._scope = trio.CancelScope()

    async def FaxDevVirtualDeviceCreation(self, port: CompletionPort, key: RingKey, /) -> VirtualDevices:
        """Having this export says that there are virtual devices; the port is where they ring."""
        self._port, self._key = port, key
        return DEVICES

    async def FaxDevInitialize(self, line: object, heap: Arena, host: FaxServiceCallback | None, /) -> FaxLineCallback:
        """Make the folders and begin to look into one of them."""
        for folder in (self._in, self._out):
            folder.mkdir(parents=True, exist_ok=True)
        heap.nursery.start_soon(self._watch)
        return self._line_event

    def _line_event(self, handle: object | None, device: int, message: int, *values: int) -> None:
        self._open[device] = values[1] != 0  # after dwInstance comes dwParam1: may it receive?

    async def _watch(self) -> None:
        with self._scope:
            while True:
                self._look()
                await trio.sleep(0.5)

    def _look(self) -> None:  # each new file gets a free device; where nobody has answered, it rings again
        files, busy = sorted(self._in.glob("*.tif")), {job.device for job in self._jobs}
        self._ringing = {at: path for at, path in self._ringing.items() if path in files or at in busy}
        free = [at for at, is_open in self._open.items() if is_open and at not in busy | self._ringing.keys()]
        self._ringing |= zip(free, [path for path in files if path not in self._ringing.values()], strict=False)
        for device in self._ringing.keys() - busy:
            self._port.post(self._key, LineMessage(device))

    async def FaxDevStartJob(self, line: object, device: int, port: CompletionPort, key: StatusKey, /) -> Job:
        """Begin one operation."""
        if device not in DEVICES.ids:
            raise InvalidParameter(f"DeviceId: {device} is none of ours, {DEVICES.ids}")
        self._jobs.append(Job(device, port, key))
        return self._jobs[-1]

    async def FaxDevReceive(self, handle: object, call: object, slot: FaxReceive, /) -> FaxReceive:
        """Copy the file that rings into the one that the host has made; only then it is gone from the folder."""
        job = self._job(handle)
        path = self._ringing.get(job.device)
        if path is None:
            job.say(FaxStatus.FS_LINE_UNAVAILABLE, error=Win32.ERROR_NOT_READY)
            raise LineUnavailable("no file rings on this device")
        job.say(FaxStatus.FS_RECEIVING, page=1)
        await trio.to_thread.run_sync(job.copy, path, Path(slot.file_name), "r+b")  # OPEN_EXISTING
        path.unlink()
        job.say(FaxStatus.FS_COMPLETED)
        return slot

    async def FaxDevSend(self, handle: object, document: FaxSend, callback: FaxSendCallback | None, /) -> None:
        """Put the document into the folder, named by the number and the document."""
        job, source = self._job(handle), Path(document.file_name)
        number = "".join(char if char.isalnum() else "_" for char in document.receiver_number)[:64]
        job.say(FaxStatus.FS_TRANSMITTING, page=1)
        part = self._out / f".{number}-{job.device}"
        await trio.to_thread.run_sync(job.copy, source, part, "wb")
        part.rename(self._out / f"{number}-{source.stem}.tif")
        job.say(FaxStatus.FS_COMPLETED)

    def FaxDevReportStatus(self, handle: object, /) -> FaxDevStatus:
        """Tell what the operation does, or how it ended."""
        return self._job(handle).status

    def FaxDevAbortOperation(self, handle: object, /) -> None:
        """Latch it and return: the operation sees it."""
        self._job(handle).aborted = True

    async def FaxDevEndJob(self, handle: object, /) -> None:
        """From here on the handle is dead, and a file that was not received rings again."""
        job = self._job(handle)
        self._jobs.remove(job)
        self._ringing.pop(job.device, None)

    async def FaxDevShutdown(self) -> Hresult:
        """Look no more."""
        self._scope.cancel()
        return Hresult.S_OK

    def _job(self, handle: object) -> Job:
        if not isinstance(handle, Job) or handle not in self._jobs:
            raise InvalidHandle("FaxHandle: the job is unknown or has ended")
        return handle


def create_provider(configuration: Mapping[str, object]) -> FileDropProvider:
    """Entry point of the registration record."""
    return FileDropProvider(Path(str(configuration["folder"])))
