"""A provider over a real endpoint, driven by hand as a host would: for tests that abort it or break its disk.

Owns      `Stage` (one line, one job at a time), the phases of a reception to wait for, disks that hold or fail.
Not here  the other side of the call (vfax, or tests/interop/peer.py), what is expected.
"""

import os
import threading
from collections.abc import Awaitable, Callable
from dataclasses import dataclass, field
from typing import Final

import trio

from tests.virtual import hold_for_threads
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
REAL_SECONDS: Final = 20


class HeldDisk(Disk):
    """A disk that takes its time over a page until it is let go; virtual time stands still meanwhile."""

    def __init__(self, *, held: bool = False) -> None:
        self.reached = trio.Event()
        self._let_go = threading.Event()
        self._token = trio.lowlevel.current_trio_token()
        if not held:
            self.let_go()

    def let_go(self) -> None:
        self._let_go.set()

    def fsync(self, fd: int) -> None:
        self._token.run_sync_soon(self.reached.set, idempotent=True)
        assert self._let_go.wait(REAL_SECONDS), "nobody let the disk go"
        super().fsync(fd)


class FailingDisk(Disk):
    """Disk full, or a broken one, from the second page on."""

    def __init__(self, code: int) -> None:
        self.code = code

    def write(self, fd: int, octets: memoryview) -> int:
        if "0002" in os.readlink(f"/proc/self/fd/{fd}"):
            raise OSError(self.code, os.strerror(self.code))
        return super().write(fd, octets)


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
    await stage.disk.reached.wait()


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
