"""A provider over a real endpoint, driven by hand as a host would: for tests that abort it or break its disk.

Owns      `Stage` (one line, one job at a time), the phases of a reception to wait for, disks that hold or fail.
Not here  the other side of the call (vfax, or tests/interop/peer.py), what is expected.
"""

import os
from collections.abc import Awaitable, Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Final

import trio

from tests.virtual import Gate, hold_for_threads
from vfax.device import create_provider
from vfax.device.provider import Provider
from vfax.endpoint import Endpoint, EndpointOptions
from vfax.fsp.completion import CompletionPort, RingKey, StatusKey
from vfax.fsp.constants import FaxStatus
from vfax.fsp.provider import Arena
from vfax.fsp.structures import CallFacts, FaxDevStatus, LineMessage
from vfax.pages import Disk
from vfax.ports import get_packet
from vfax.transports.udp import format_address

LOCAL_ID: Final = "5551234"


class HeldDisk(Disk):
    """A disk that takes its time over a page until its gate is opened."""

    def __init__(self, *, held: bool = False) -> None:
        self.gate = Gate()
        if not held:
            self.gate.open()

    def fsync(self, fd: int) -> None:
        self.gate.pass_through()
        super().fsync(fd)


class FailingDisk(Disk):
    """Disk full, or a broken one, in one `step` of keeping the second page."""

    def __init__(self, code: int, step: str = "write") -> None:
        self._code = code
        self._step = step

    def write(self, fd: int, octets: memoryview) -> int:
        self._refuse("write", _name(fd))
        return super().write(fd, octets)

    def fsync(self, fd: int) -> None:
        self._refuse("fsync", _name(fd))
        super().fsync(fd)

    def close(self, fd: int) -> None:
        name = _name(fd)
        super().close(fd)
        self._refuse("close", name)

    def rename(self, source: Path, target: Path) -> None:
        self._refuse("rename", source.name)
        super().rename(source, target)

    def fsync_dir(self, path: Path) -> None:
        self._refuse("fsync_dir", " ".join(os.listdir(path)))
        super().fsync_dir(path)

    def _refuse(self, step: str, name: str) -> None:
        if step == self._step and "0002.tif" in name:
            raise OSError(self._code, os.strerror(self._code))


def _name(fd: int) -> str:
    return os.readlink(f"/proc/self/fd/{fd}")


@dataclass
class Stage:
    """A running provider with one line and one job; `packets` are the statuses posted for it."""

    provider: Provider
    endpoint: Endpoint
    disk: HeldDisk
    rings: CompletionPort
    port: CompletionPort = field(default_factory=CompletionPort)
    handle: object = None
    packets: list[FaxDevStatus] = field(default_factory=list)

    @property
    def uri(self) -> str:
        return f"sip:{LOCAL_ID}@{format_address(self.endpoint.address)}"

    async def ring(self) -> None:
        """Wait for a call and start the job that may take it."""
        packet = await get_packet(self.rings)
        assert isinstance(packet.message, LineMessage)
        await self.start_job(packet.message.h_device)

    async def start_job(self, device_id: int = 1) -> None:
        self.handle = await self.provider.FaxDevStartJob(None, device_id, self.port, StatusKey())

    def facts(self) -> CallFacts:
        return self.provider.VfaxDevReportFacts(self.handle)

    def status(self) -> int:
        return self.provider.FaxDevReportStatus(self.handle).status_id

    async def until(self, reached: Callable[[CallFacts], bool]) -> None:
        with trio.fail_after(120):
            while not reached(self.facts()):  # noqa: ASYNC110  # as a host polls: FaxDevReportStatus has no event
                await trio.sleep(0.05)

    async def end(self) -> None:
        """EndJob, then Shutdown; every status that was posted is in `packets` then."""
        await self.provider.FaxDevEndJob(self.handle)
        await self.provider.FaxDevShutdown()
        while (packet := self.port.get_nowait()) is not None:
            assert isinstance(packet.message, FaxDevStatus)
            self.packets.append(packet.message)


async def set_up(nursery: trio.Nursery, disk: HeldDisk) -> Stage:
    """A provider on a free port of 127.0.0.1, running in `nursery`, which holds a virtual clock for its threads."""
    nursery.start_soon(hold_for_threads)
    endpoint = Endpoint(EndpointOptions(listen=("127.0.0.1", 0), disk=disk))
    provider = create_provider({"network": endpoint, "lines": 1, "local_id": LOCAL_ID})
    rings = CompletionPort()
    await provider.FaxDevVirtualDeviceCreation(rings, RingKey())
    await provider.FaxDevInitialize(None, Arena(nursery, remove_file=os.unlink), None)
    return Stage(provider, endpoint, disk, rings)


async def answered(stage: Stage) -> None:
    await stage.until(lambda facts: stage.status() == FaxStatus.FS_ANSWERED)


async def training(stage: Stage) -> None:
    await stage.until(lambda facts: facts.rate_bps > 0)


async def mid_page(stage: Stage) -> None:
    await stage.until(lambda facts: facts.page == 1 and facts.progress_done > 50)


async def post_page(stage: Stage) -> None:
    await stage.disk.gate.reached.wait()


PHASES: Final[dict[str, Callable[[Stage], Awaitable[None]]]] = {
    "answered": answered,
    "training": training,
    "mid-page": mid_page,
    "post-page": post_page,
}
"""Phases of an answered call. For post-page the disk must hold the page: the answer waits for it."""


def open_sockets() -> set[str]:
    """The sockets that this process has open."""
    found = set()
    for name in os.listdir("/proc/self/fd"):
        try:
            link = os.readlink(f"/proc/self/fd/{name}")
        except OSError:
            continue
        if link.startswith("socket:"):
            found.add(link)
    return found
