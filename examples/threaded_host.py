"""A fax service host of plain threads, in the order of the documents, over vfax's blocking exports.

    python examples/threaded_host.py --listen 127.0.0.1:5060 --folder received
    python examples/threaded_host.py --listen 127.0.0.1:0 --send fax.tif sip:fax@127.0.0.1:5060

One thread reads the ring port, one the status port; each operation has a thread of its own, which calls StartJob,
Receive or Send, ReportStatus and EndJob. Ctrl-C aborts from another thread. Nothing here knows of trio, SIP or T.38,
but for the address that configures the provider.
"""

import argparse
import os
import signal
import sys
import threading
from collections.abc import Callable
from pathlib import Path

from vfax.device import exports as fsp
from vfax.endpoint import EndpointOptions
from vfax.errors import FaxError
from vfax.fsp.completion import CompletionPort, RingKey, StatusKey
from vfax.fsp.constants import FaxStatus
from vfax.fsp.errors import PortClosed
from vfax.fsp.provider import Arena
from vfax.fsp.structures import FaxDevStatus, FaxReceive, FaxSend, LineMessage


class Host:
    """Ports, threads, and the jobs that run."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.ring_port, self.ring_key = CompletionPort(), RingKey("rings")
        self.status_port = CompletionPort()
        self.heap = Arena(None, remove_file=os.unlink)
        self.running: dict[StatusKey, object] = {}  # status key to FaxHandle
        self.operations: list[threading.Thread] = []
        self.readers = [threading.Thread(target=self.read_rings), threading.Thread(target=self.read_statuses)]
        self.stopping = False

    def start(self) -> None:
        """Devices, then FaxDevInitialize, then the readers of the two ports."""
        self.folder.mkdir(parents=True, exist_ok=True)
        self.devices = fsp.FaxDevVirtualDeviceCreation(self.ring_port, self.ring_key).ids
        fsp.FaxDevInitialize(None, self.heap, None)
        for reader in self.readers:
            reader.start()

    def stop(self) -> None:
        """Take no more rings, abort what runs, let its threads end their jobs, then unload the provider."""
        self.stopping = True
        self.ring_port.close()
        self.readers[0].join()
        for handle in list(self.running.values()):
            self.abort(handle)  # from this thread, while another one is in Receive or Send
        for operation in self.operations:
            operation.join()
        print(f"FaxDevShutdown: {fsp.FaxDevShutdown().name}", flush=True)
        self.status_port.close()
        self.heap.close()

    def read_rings(self) -> None:
        """Each ring is answered by a thread of its own."""
        while isinstance(message := next_message(self.ring_port), LineMessage):
            print(f"device {message.h_device} rings", flush=True)
            path = self.folder / f"fax-{os.getpid()}-{len(self.operations) + 1}.tif"
            self.operations.append(threading.Thread(target=self.receive, args=(message.h_device, path)))
            self.operations[-1].start()

    def read_statuses(self) -> None:
        """Statuses are news; what decides is what Send or Receive returns, and ReportStatus after it."""
        while isinstance(message := next_message(self.status_port), FaxDevStatus):
            print(f"  {FaxStatus(message.status_id).name} page {message.page_count} {message.csi!r}", flush=True)

    def receive(self, device: int, path: Path) -> None:
        """The operation thread of a reception."""
        path.touch()  # the file is the service's: the provider opens an existing one
        slot = FaxReceive(str(path), "threaded host", "+1 555 0123")
        final = self.operate(device, path.name, lambda handle: fsp.FaxDevReceive(handle, None, slot))
        if final == FaxStatus.FS_USER_ABORT:
            path.unlink()  # partial data are discarded after an abort, and after an abort only

    def send(self, document: Path, number: str) -> int:
        """A transmission, on the calling thread; the last device is the least likely to ring."""
        order = FaxSend(str(document), number, "threaded host", "+1 555 0123")
        return self.operate(self.devices[-1], document.name, lambda handle: fsp.FaxDevSend(handle, order, None))

    def operate(self, device: int, name: str, operation: Callable[[object], object]) -> int:
        """StartJob, the operation, ReportStatus, EndJob: four calls on one thread; returns the final status."""
        key, ok, why = StatusKey(name), True, ""
        try:
            handle = self.running[key] = fsp.FaxDevStartJob(None, device, self.status_port, key)
        except FaxError as error:
            print(f"{name}: StartJob failed: {error}", flush=True)
            return FaxStatus.FS_LINE_UNAVAILABLE
        if self.stopping:  # the abort came while StartJob ran
            self.abort(handle)
        try:
            operation(handle)
        except FaxError as error:  # FALSE
            ok, why = False, str(error)
        status = fsp.FaxDevReportStatus(handle)
        del self.running[key]
        fsp.FaxDevEndJob(handle)
        print(f"{name}: {'TRUE' if ok else 'FALSE'} {FaxStatus(status.status_id).name} {why}", flush=True)
        return status.status_id

    @staticmethod
    def abort(handle: object) -> None:
        """FaxDevAbortOperation, which returns at once; the job may have ended by itself in this moment."""
        try:
            fsp.FaxDevAbortOperation(handle)
        except FaxError as why:
            print(f"not aborted: {why}", flush=True)


def next_message(port: CompletionPort) -> object | None:
    """GetQueuedCompletionStatus; None when the port is closed."""
    try:
        return getattr(port.get(), "message", None)
    except PortClosed:
        return None


def main() -> int:
    """Receive until Ctrl-C, or send one document."""
    parser = argparse.ArgumentParser(description="A fax service host of plain threads")
    parser.add_argument("--listen", default="127.0.0.1:5060", metavar="HOST:PORT")
    parser.add_argument("--folder", type=Path, default=Path("received"))
    parser.add_argument("--send", nargs=2, metavar=("FILE", "SIP-URI"))
    options = parser.parse_args()
    address, _, port = options.listen.rpartition(":")
    fsp.configure({"lines": 2, "endpoint": EndpointOptions(listen=(address, int(port)))})
    host, ended, status = Host(options.folder), threading.Event(), int(FaxStatus.FS_COMPLETED)
    host.start()
    print("listening on {}:{}".format(*fsp.exports.network.address), flush=True)
    if options.send:
        status = host.send(Path(options.send[0]), options.send[1])
    else:
        for number in (signal.SIGINT, signal.SIGTERM):
            signal.signal(number, lambda *_: ended.set())
        ended.wait()
    host.stop()
    return 0 if status == FaxStatus.FS_COMPLETED else 1


if __name__ == "__main__":
    sys.exit(main())
