"""A provider in a process of its own, the host's side: the exports of the contract, and the child behind them.

Owns      what each export says to the child, bringing a lost child back.
Not here  what is known of each job (process_jobs.py), the road (process_link.py), the child's side (process_child.py),
          which providers have one (loading.py).
Source    from Windows Server 2003 on, the service runs providers in a process apart so that a faulty one cannot take it
          down; what then becomes of its jobs is not published, so it is ours.

When the child is lost, running operations fail with FS_FATAL_ERROR and a sentence. Pages it had kept lie beside the job
file, where the host finds them. Then it is started again, its devices are created and it is initialized as before; what
was switched on and off with the line callback is for the host to say again.

FaxDevReportStatus, VfaxDevReportFacts and FaxDevAbortOperation return at once: the third only tells; the first two give
what the provider itself said of the job when the child last wrote of it, and ask for news. The child writes of it with
every status that is posted, when the job has been started, and before Send or Receive returns, so an answer is never
older than the last packet; a provider that changes its status and posts nothing is one question late. Other limits:
hints and aborts that the provider refuses are refused in silence, as are line events; a fax that ends before FALSE of
FaxSendCallback arrives stands.

FaxDevConfigure is not carried: of it a type alone is published, by which it hands its caller a property-sheet page, a
structure of the caller's own process whose code is the provider's. It means nothing in another process, and this host,
which has no such pages, never calls it.
"""

from collections.abc import Awaitable, Callable
from contextlib import suppress
from functools import partial
from typing import Final, Protocol, TypeVar, cast

import trio

from vfax.errors import DecodeError
from vfax.fsp.completion import CompletionPort, RingKey, StatusKey
from vfax.fsp.constants import FaxStatus, Hresult, ProviderStatus, Win32
from vfax.fsp.encoding import decode, encode
from vfax.fsp.errors import FaxServiceError, InvalidParameter, PortError, ProviderLoadError
from vfax.fsp.extension import (
    ExtensionCallbacks,
    FaxExtFreeBuffer,
    FaxExtGetData,
    FaxExtRegisterForEvents,
    FaxExtSetData,
    FaxExtUnregisterForEvents,
)
from vfax.fsp.provider import (
    OPTIONAL,
    REQUIRED,
    Arena,
    Exports,
    FaxLineCallback,
    FaxSendCallback,
    FaxServiceCallback,
    Notice,
    RegistrationRecord,
    Rows,
)
from vfax.fsp.structures import (
    CallFacts,
    FaxDevStatus,
    FaxReceive,
    FaxSend,
    LineMessage,
    SendHints,
    VirtualDevices,
    check_dword,
)
from vfax.host.extensions import is_noerror, shown
from vfax.host.guard import LOAD, ForeignFault
from vfax.host.process_extension import NearExtension
from vfax.host.process_jobs import LeftBehind, RemoteJob, RemoteJobs
from vfax.host.process_link import Link, ProcessLost, ProcessOptions, start_process
from vfax.host.process_wire import Message

T = TypeVar("T")

NOT_CARRIED: Final = frozenset({"FaxDevConfigure"})
LOST: Final = FaxDevStatus(FaxStatus.FS_FATAL_ERROR, error_code=Win32.ERROR_GEN_FAILURE)
"""The status of an operation whose process is gone."""


class Watcher(Protocol):
    """Who is told what becomes of the child."""

    def lost(self, why: str, back_in: float | None) -> None:
        """The child is gone; it is started again in so many seconds (None: no more)."""

    def back(self, starts: int) -> None:
        """It runs again, after so many starts."""


class ProcessProvider:
    """The exports over a child that may come and go. `load` first, then `exports`; `mind` once initialized.

    `limit` tells how many seconds an export may take, by its name; it bounds what is said to a child that comes back.
    """

    def __init__(
        self, record: RegistrationRecord, options: ProcessOptions, watcher: Watcher, limit: Callable[[str], float]
    ) -> None:
        self.record = record
        self.starts = 0
        self.exports: Exports | None = None
        self._options = options
        self._watcher = watcher
        self._limit = limit
        self._nursery: trio.Nursery | None = None
        self._link: Link | None = None
        self._offered: frozenset[str] = frozenset()
        self._ring: tuple[CompletionPort, RingKey] | None = None
        self._devices: VirtualDevices | None = None
        self._address = ""
        self._notice: Notice = lambda sentence: None
        self._extension = NearExtension()
        self._left = LeftBehind()
        self._jobs = RemoteJobs()
        self._up = False  # the child runs, is initialized and minded
        self._since = 0.0  # when that began
        self._back_in: float | None = None

    # --- the child's life --------------------------------------------------------------------------

    async def load(self, nursery: trio.Nursery) -> Exports:
        """Start the child in `nursery` and load the provider there. Raises ProviderLoadError, as load_provider."""
        self._nursery = nursery
        self._offered = await self._start_child()
        names = [name for name in (*REQUIRED, *OPTIONAL) if name in REQUIRED or name in self._offered - NOT_CARRIED]
        self.exports = Exports(**{name: getattr(self, name) for name in names})
        return self.exports

    async def _start_child(self) -> frozenset[str]:
        assert self._nursery is not None
        try:
            process = await start_process()
        except OSError as why:
            raise _cannot_load(f"its process cannot be started: {why}") from why
        self.starts += 1
        link = self._link = Link(process, self._options, self._take, self._gone)
        self._nursery.start_soon(link.run)
        record = self.record
        members = {
            "guid": record.guid,
            "friendly_name": record.friendly_name,
            "image_name": record.image_name,
            "configuration": dict(record.configuration),
        }
        try:
            offered = await self._within(LOAD, partial(link.ask, "load", record=members))
        except (TypeError, ValueError) as why:
            link.lose("has nothing to load")
            raise _cannot_load(f"its configuration cannot be said to another process: {why}") from why
        except ProcessLost as why:
            raise _cannot_load(str(why)) from why
        except FaxServiceError:
            link.lose("could not load its provider")
            raise
        if not isinstance(offered, list) or not all(isinstance(name, str) for name in offered):
            link.lose("wrote what is no message: a list of exports is expected")
            raise _cannot_load("the provider's process did not say what it exports")
        self._nursery.start_soon(link.watch)
        return frozenset(offered)

    def mind(self) -> None:
        """From now on the child is brought back when it is lost, until `load`'s nursery ends."""
        assert self._nursery is not None
        self._up, self._since = True, trio.current_time()
        self._nursery.start_soon(self._supervise)

    async def _supervise(self) -> None:
        while (link := self._link) is not None:
            await link.lost.wait()
            self._gone(link.why)
            while self._back_in is not None:
                await trio.sleep(self._back_in)
                try:
                    await self._come_back()
                except FaxServiceError as why:
                    await self._give_up_child()
                    self._note_loss(str(why))
                else:
                    self._up, self._since = True, trio.current_time()
                    self._watcher.back(self.starts)
                    break
            else:
                return

    def _gone(self, why: str) -> None:
        """A child is gone: if it was minded, say so before anybody else learns of it."""
        self._extension.lost()
        self._left.list_jobs(0)
        if self._up:
            self._up = False
            if trio.current_time() - self._since >= self._options.steady_after:
                self.starts = 1
            self._note_loss(why)

    def _note_loss(self, why: str) -> None:
        options = self._options
        delay = min(options.restart_delay * 2 ** min(self.starts - 1, 30), options.restart_delay_max)
        self._back_in = delay if self.starts <= options.restarts else None
        self._watcher.lost(why, self._back_in)

    async def _give_up_child(self) -> None:
        if self._link is not None:
            self._link.lose("could not be initialized again")
            await self._link.lost.wait()

    async def _come_back(self) -> None:
        """Start the child and put it where the last one was. Raises FaxServiceError."""
        offered = await self._start_child()
        if offered != self._offered:
            raise ProviderLoadError(ProviderStatus.fpsCANT_LINK, "it came back with other exports")
        link = self._running()
        if self._devices is not None:
            again = await self._within("FaxDevVirtualDeviceCreation", partial(link.ask, "create"))
            if decode(VirtualDevices, again) != self._devices:
                raise ProviderLoadError(ProviderStatus.fpsCANT_INIT, "it came back with other devices")
        if self._extension.callbacks is not None:
            answer = await self._within("FaxExtInitializeConfig", partial(link.ask, "configure"))
            if not is_noerror(answer):
                why = f"FaxExtInitializeConfig: it answered {shown(answer)} when it came back"
                raise ProviderLoadError(ProviderStatus.fpsCANT_INIT, why, Win32.ERROR_GEN_FAILURE)
        self._address = str(await self._within("FaxDevInitialize", partial(link.ask, "initialize")))

    async def _within(self, name: str, call: Callable[[], Awaitable[T]]) -> T:
        limit = self._limit(name)
        try:
            with trio.fail_after(limit):
                return await call()
        except trio.TooSlowError:
            status = ProviderStatus.fpsCANT_LOAD if name == LOAD else ProviderStatus.fpsCANT_INIT
            raise ProviderLoadError(
                status, f"{name}: no answer within {limit:g} seconds", Win32.ERROR_TIMEOUT
            ) from None
        except ForeignFault as why:
            raise ProviderLoadError(ProviderStatus.fpsCANT_INIT, f"{name}: {why}", Win32.ERROR_GEN_FAILURE) from why

    def _running(self) -> Link:
        if self._link is None or self._link.lost.is_set():
            raise ProcessLost(self._link.why if self._link is not None else "the provider has not been loaded")
        return self._link

    # --- what the child says by itself -------------------------------------------------------------

    def _take(self, message: Message) -> None:
        """Take a packet. Raises DecodeError or InvalidField for what is none: the link ends then."""
        match message:
            case {"ring": ring}:
                self._post_ring(decode(LineMessage, ring))
            case {"status": status, "reports": reports, "facts": facts, "job": int() as number}:
                news = {"status": reports or status, "facts": facts}
                self._jobs.post_status(number, decode(FaxDevStatus, status), news)
            case {"extension": str() as word, "number": int() as number} if self._link is not None and self._nursery:
                self._extension.take(self._link, self._nursery, word, number, message)
            case {"called": int() as number}:
                self._jobs.called(number)
            case {"notice": str() as sentence}:
                self._notice(sentence)
            case {"broken": str() as words} if self._link is not None:
                self._link.lose(f"met an error in a task of the provider's own ({words[:200]})")
            case _:
                raise DecodeError("none of the kinds there are")

    def _post_ring(self, ring: LineMessage) -> None:
        if self._ring is None:
            return
        port, key = self._ring
        with suppress(PortError):  # full or closed
            port.post(key, ring)

    # --- the exports -------------------------------------------------------------------------------

    async def FaxDevVirtualDeviceCreation(self, port: CompletionPort, key: RingKey, /) -> VirtualDevices:
        """Remember the ring port, for every child that comes, and ask how many devices there are.

        Raises InvalidParameter for what is no port or no key for rings.
        """
        if not isinstance(port, CompletionPort) or not isinstance(key, RingKey):
            raise InvalidParameter("CompletionPort, CompletionKey: a port and a key for rings are expected")
        self._ring = port, key
        self._devices = decode(VirtualDevices, await self._running().ask("create"))
        return self._devices

    async def FaxExtInitializeConfig(
        self,
        get_data: FaxExtGetData,
        set_data: FaxExtSetData,
        register: FaxExtRegisterForEvents,
        unregister: FaxExtUnregisterForEvents,
        free_buffer: FaxExtFreeBuffer,
        /,
    ) -> Hresult:
        """Configure the provider in the child, whose callbacks ask these here. What it answers is for the caller."""
        self._extension.begin(ExtensionCallbacks(get_data, set_data, register, unregister, free_buffer))
        return await self._running().ask("configure")  # type: ignore[return-value]

    async def FaxDevInitialize(
        self, line_app: object | None, heap: Arena, callback: FaxServiceCallback | None, /
    ) -> FaxLineCallback:
        """Initialize the provider in the child, in an arena of the child's; `heap` lists what is left in that one."""
        self._left.arena = heap
        self._address = str(await self._running().ask("initialize"))
        return self._line_event

    def _line_event(self, handle: object | None, *numbers: int) -> None:
        job = self._jobs.of(handle)
        link = self._link
        if handle is not None and job is None:
            return  # no handle of ours: no event that concerns the provider
        if link is not None and not link.lost.is_set():
            link.tell("line", job=job.number if job is not None else None, numbers=list(numbers))

    async def FaxDevStartJob(
        self, line: object | None, device_id: int, port: CompletionPort, key: StatusKey, /
    ) -> RemoteJob | None:
        """Start a job in the child. None stands for a handle that is none.

        Raises InvalidParameter for what is no device id, port or key for statuses.
        """
        check_dword("FaxDevStartJob", "DeviceId", device_id)
        if not isinstance(port, CompletionPort) or not isinstance(key, StatusKey):
            raise InvalidParameter("CompletionPortHandle, CompletionKey: a port and a key for statuses are expected")
        link = self._running()
        job = self._jobs.begin(link, port, key)
        started: object = False
        try:
            started = await link.ask_all("start", job.note, job=job.number, device=device_id)
        except trio.Cancelled:
            link.tell("forget", job=job.number)
            raise
        finally:
            if started is not True:
                self._jobs.end(job)
        return job if started is True else None

    async def FaxDevSend(self, handle: object, document: FaxSend, callback: FaxSendCallback | None, /) -> None:
        """Send in the child. The callback is asked when the child calls it; where it is False, the fax is aborted."""
        job = self._jobs.find(handle)
        if not isinstance(document, FaxSend):
            raise InvalidParameter(f"FaxSend: {type(document).__name__}, where a FaxSend is expected")
        job.callback = callback
        await self._operate(job, "send", document=encode(document), calls=callback is not None)

    async def FaxDevReceive(self, handle: object, call: object | None, slot: FaxReceive, /) -> FaxReceive:
        """Receive in the child, which writes the pages beside the file itself."""
        job = self._jobs.find(handle)
        if not isinstance(slot, FaxReceive):
            raise InvalidParameter(f"FaxReceive: {type(slot).__name__}, where a FaxReceive is expected")
        return decode(FaxReceive, await self._operate(job, "receive", slot=encode(slot)))

    async def _operate(self, job: RemoteJob, word: str, **members: object) -> object:
        return await job.link.ask_all(word, job.note_end, job=job.number, **members)

    def FaxDevReportStatus(self, handle: object, /) -> FaxDevStatus:
        """What the provider said when the child last wrote of the job. Raises InvalidHandle."""
        job = self._jobs.find(handle)
        if job.link.lost.is_set() and not job.done:
            return LOST
        job.ask_for_news()
        return job.status or FaxDevStatus(FaxStatus.FS_INITIALIZING)

    def VfaxDevReportFacts(self, handle: object, /) -> CallFacts:
        """As FaxDevReportStatus. Raises InvalidHandle, and ProcessLost where the provider has said nothing of use."""
        job = self._jobs.find(handle)
        job.ask_for_news()
        if job.facts is None:
            raise ProcessLost("nothing is known of this call yet")
        return job.facts

    def VfaxDevSendHints(self, handle: object, hints: SendHints, /) -> None:
        """Pass the hints on; they arrive before the order to send. Raises InvalidHandle, InvalidParameter."""
        job = self._jobs.find(handle)
        if not isinstance(hints, SendHints):
            raise InvalidParameter(f"Hints: SendHints are expected, not {type(hints).__name__}")
        if not job.link.lost.is_set():
            job.link.tell("hints", job=job.number, hints=encode(hints))

    def VfaxDevReportAddress(self) -> str:
        """Where the child's calls come in, as it said when it was initialized."""
        return self._address

    async def VfaxDevReportTrunks(self) -> Rows:
        """Ask the child how its trunks fare. What it answers is for the caller to look at."""
        return cast("Rows", await self._running().ask("trunks"))

    async def VfaxDevReportPeers(self) -> Rows:
        """Ask the child what it has learned; likewise."""
        return cast("Rows", await self._running().ask("peers"))

    async def VfaxDevForgetPeers(self, peer: str, number: str, /) -> int:
        """Have the child forget. Raises InvalidParameter for what is no text."""
        if not isinstance(peer, str) or not isinstance(number, str):
            raise InvalidParameter("Peer, Number: texts are expected")
        return cast("int", await self._running().ask("forget-peers", peer=peer, number=number))

    def VfaxDevWatchNotices(self, notice: Notice, /) -> None:
        """Say what every child that comes has to say; each does at its start. Raises InvalidParameter."""
        if not callable(notice):
            raise InvalidParameter(f"Notice: a function is expected, not {type(notice).__name__}")
        self._notice = notice

    def FaxDevAbortOperation(self, handle: object, /) -> None:
        """Tell the child, and return at once. Raises InvalidHandle."""
        job = self._jobs.find(handle)
        if not job.link.lost.is_set():
            job.link.tell("abort", job=job.number)

    async def FaxDevEndJob(self, handle: object, /) -> None:
        """End the job in the child; where that is gone there is nothing to end. Raises InvalidHandle."""
        job = self._jobs.find(handle)
        self._jobs.end(job)
        if not job.link.lost.is_set():
            answer = await job.link.ask("end", job=job.number)
            self._left.list_jobs(answer.get("jobs") if isinstance(answer, dict) else 0)
        await trio.lowlevel.checkpoint()

    async def FaxDevShutdown(self) -> Hresult:
        """Shut the provider down in the child. The process itself ends with the nursery it was started in."""
        answer = await self._running().ask("shutdown")
        told = answer if isinstance(answer, dict) else {}
        self._left.list_jobs(told.get("jobs"))
        self._left.list_files(told.get("files"))
        return Hresult.S_OK if told.get("result") == 0 else Hresult.E_FAIL


def _cannot_load(why: str) -> ProviderLoadError:
    return ProviderLoadError(ProviderStatus.fpsCANT_LOAD, why, Win32.ERROR_MOD_NOT_FOUND)
