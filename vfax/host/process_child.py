"""A provider in a process of its own, the child's side: `python -m vfax.host.process_child`.

Owns      the provider, its jobs under the host's numbers, the thread that reads orders and the thread that writes.
Not here  what is done when this process dies (process.py), the frames (process_wire.py).
Source    from Windows Server 2003 on, the service runs providers in a process apart so that a faulty one cannot take it
          down.

Standard input and output are the road to the host; a provider that prints does so on standard error. When the road ends
the host is gone or wants no more: this process ends at once, whatever the provider is doing.

Threads: everything is called in the trio run of the main thread, but for FaxDevReportStatus and VfaxDevReportFacts,
which the writer asks (any thread may), just before it writes what they say: news never overtake packets, nor the other
way round. Blocking exports get threads of their own (blocking.py).
"""

import faulthandler
import gc
import os
import signal
import sys
import threading
from collections import deque
from collections.abc import Awaitable, Callable
from contextlib import suppress
from functools import partial
from typing import Final, NoReturn, ParamSpec, TypeVar

import trio

from vfax.errors import DecodeError
from vfax.fsp.completion import CompletionPort, Packet, RingKey
from vfax.fsp.constants import Hresult, ProviderStatus
from vfax.fsp.encoding import decode, encode
from vfax.fsp.errors import InvalidHandle, InvalidParameter, NotReady, PortClosed, ProviderLoadError
from vfax.fsp.provider import (
    OPTIONAL,
    Arena,
    Exports,
    FaxLineCallback,
    RegistrationRecord,
    load_provider,
    probe_exports,
)
from vfax.fsp.structures import FaxDevStatus, FaxReceive, FaxSend, LineMessage, SendHints, VirtualDevices
from vfax.host.blocking import in_threads
from vfax.host.guard import ForeignFault, contained, words_of
from vfax.host.process_child_job import ChildJob, structure
from vfax.host.process_extension import FarExtension
from vfax.host.process_wire import Message, Unframer, encode_error, frame

S = TypeVar("S")
P = ParamSpec("P")
T = TypeVar("T")

PORT_CAPACITY: Final = 4_096
"""Limit: packets that wait for the host; then progress is coalesced (fsp/completion.py)."""
READ_OCTETS: Final = 65_536
SWITCH_SECONDS: Final = 0.001
"""As in the vfax command: for how long a thread that codes a page may keep the one that paces packets waiting."""
MAX_NOTICE: Final = 1_000
"""Limit: characters of a sentence for the operator."""
SPEECHLESS: Final = 3
"""Exit status when the host says what is no message."""
BROKEN: Final = 4
"""Exit status when a task of the provider's own has failed."""


class Child:
    """The provider and all that the host asks of it. Everything but `news_of` and reports runs in the trio run."""

    def __init__(self, nursery: trio.Nursery, writer: "Writer") -> None:
        self._nursery = nursery
        self._writer = writer
        self._exports: Exports | None = None
        self._arena: Arena | None = None
        self._line_callback: FaxLineCallback | None = None
        self.extension = FarExtension(writer.answer)
        self._scopes: dict[int, trio.CancelScope] = {}
        self._jobs: dict[int, ChildJob] = {}
        self._forgotten: set[int] = set()  # jobs the host gave up while they were being started
        self._answered: dict[str, Callable[[Message], Awaitable[object]]] = {
            "load": self._load,
            "create": self._create,
            "configure": self._configure,
            "changed": self.extension.changed,
            "initialize": self._initialize,
            "start": self._start,
            "send": self._send,
            "receive": self._receive,
            "end": self._end,
            "shutdown": self._shutdown,
            "trunks": self._trunks,
            "peers": self._peers,
            "forget-peers": self._forget_peers,
            "ping": self._ping,
        }
        self._told: dict[str, Callable[[Message], None]] = {
            "cancel": self._cancel,
            "report": self._report,
            "abort": self._abort,
            "hints": self._hints,
            "line": self._line,
            "forget": self._forget,
        }

    def take(self, message: Message) -> None:
        """Take one order. Raises DecodeError for what is none."""
        word, number = message.get("do"), message.get("id")
        if isinstance(word, str) and word in self._told:
            with suppress(Exception), contained(ForeignFault):
                self._told[word](message)
        elif isinstance(word, str) and word in self._answered and isinstance(number, int):
            self._nursery.start_soon(self._answer, self._answered[word], number, message)
        else:
            raise DecodeError(f"an order that is none: {word!r}")

    async def _answer(self, carry_out: Callable[[Message], Awaitable[object]], number: int, message: Message) -> None:
        scope = self._scopes[number] = trio.CancelScope()
        answer: Message = {"answer": number, "error": encode_error(ForeignFault("it was cancelled"))}
        try:
            with scope, contained(ForeignFault):
                answer = {"answer": number, "value": await carry_out(message)}
        except Exception as why:
            answer = {"answer": number, "error": encode_error(why)}
        finally:
            del self._scopes[number]
        if message["do"] in ("start", "send", "receive"):
            answer |= self._latest_news(message)
        self._writer.answer(answer)

    def _latest_news(self, message: Message) -> Message:
        """How a job stands once it was started, or how its operation ended, so that the host need not ask."""
        try:
            return self._job(message).news(self._loaded())
        except Exception:
            return {"status": None, "facts": None}

    # --- the provider's life -----------------------------------------------------------------------

    async def _load(self, message: Message) -> object:
        record = RegistrationRecord(**message["record"])  # type: ignore[arg-type]  # the record checks its members
        try:
            with contained(ForeignFault):
                found = probe_exports(load_provider(record))
                self._exports = found if isinstance(found, Exports) else in_threads(found)
        except ForeignFault as why:
            raise ProviderLoadError(ProviderStatus.fpsCANT_LOAD, f"{record.image_name}: {why}") from why
        self._arena = Arena(await self._nursery.start(self._own_tasks), remove_file=_remove_file)
        watch = self._exports.VfaxDevWatchNotices
        with suppress(Exception), contained(ForeignFault):  # of no weight for faxes
            _ = watch is None or watch(self._notice)
        return [name for name in OPTIONAL if getattr(self._exports, name) is not None]

    def _notice(self, sentence: str, /) -> None:
        """A sentence for the operator, from any thread. Limit: what the host takes of one."""
        if isinstance(sentence, str):
            self._writer.answer({"notice": sentence[:MAX_NOTICE]})

    async def _own_tasks(self, *, task_status: trio.TaskStatus[trio.Nursery]) -> None:
        """Keep the nursery of the provider's own tasks; when one fails, this process is of no more use."""
        try:
            with contained(ForeignFault):
                async with trio.open_nursery() as nursery:
                    nursery.start_soon(trio.sleep_forever)
                    task_status.started(nursery)
        except Exception as why:
            self._writer.answer({"broken": words_of(why)})
            await trio.to_thread.run_sync(self._writer.flush)
            _leave(BROKEN)

    async def _create(self, message: Message) -> object:
        create = self._loaded().FaxDevVirtualDeviceCreation
        if create is None:
            raise NotReady("FaxDevVirtualDeviceCreation is not offered")
        return encode(structure(VirtualDevices, await create(self._writer.port, self._writer.ring_key)))

    async def _configure(self, message: Message) -> object:
        configure = self._loaded().FaxExtInitializeConfig
        if configure is None:
            raise NotReady("FaxExtInitializeConfig is not offered")
        answer: object = await configure(*self.extension.callbacks)
        return answer if isinstance(answer, int) else repr(answer)[:60]  # the host looks at it

    async def _initialize(self, message: Message) -> object:
        assert self._arena is not None
        self._line_callback = await self._loaded().FaxDevInitialize(None, self._arena, None)
        gc.collect()
        gc.freeze()  # as memory.py, until this process ends
        address = self._loaded().VfaxDevReportAddress
        return address() if address is not None else ""

    async def _shutdown(self, message: Message) -> object:
        shutdown, arena = self._loaded().FaxDevShutdown, self._arena
        result = Hresult.S_OK if shutdown is None else await shutdown()
        left = arena.close() if arena is not None else None
        return {
            "result": int(result),
            "jobs": len(left.jobs) if left is not None else 0,
            "files": len(left.files) if left is not None else 0,
        }

    async def _trunks(self, message: Message) -> object:
        return list(await _offered(self._loaded().VfaxDevReportTrunks)())

    async def _peers(self, message: Message) -> object:
        return list(await _offered(self._loaded().VfaxDevReportPeers)())

    async def _forget_peers(self, message: Message) -> object:
        return await _offered(self._loaded().VfaxDevForgetPeers)(str(message["peer"]), str(message["number"]))

    async def _ping(self, message: Message) -> object:
        await trio.lowlevel.checkpoint()
        return None

    # --- jobs --------------------------------------------------------------------------------------

    async def _start(self, message: Message) -> object:
        number, device = int(str(message["job"])), int(str(message["device"]))
        job = ChildJob(number)
        self._writer.numbers[job.key] = number
        try:
            job.handle = await self._loaded().FaxDevStartJob(None, device, self._writer.port, job.key)
        finally:
            if job.handle is None:
                del self._writer.numbers[job.key]
        if job.handle is None or (isinstance(job.handle, int) and job.handle == 0):
            return False
        self._jobs[number] = job
        if number in self._forgotten:
            self._nursery.start_soon(self._end_forgotten, job)
        return True

    async def _send(self, message: Message) -> object:
        job, document = self._job(message), decode(FaxSend, message["document"])
        called = self._called if message.get("calls") is True else None
        await self._loaded().FaxDevSend(job.handle, document, called)
        return None

    def _called(self, handle: object, call: object | None, reserved1: int, reserved2: int, /) -> bool:
        """FaxSendCallback. The host's answer is an abort where it is FALSE: there is no waiting for it here."""
        for job in self._jobs.values():
            if job.handle is handle:
                self._writer.answer({"called": job.number})
        return True

    async def _receive(self, message: Message) -> object:
        job, slot = self._job(message), decode(FaxReceive, message["slot"])
        filled: object = await self._loaded().FaxDevReceive(job.handle, None, slot)
        return encode(filled if isinstance(filled, FaxReceive) else slot)  # TRUE, whatever is in it

    def _report(self, message: Message) -> None:
        self._writer.answer(partial(self._reported, message))

    def _reported(self, message: Message) -> Message:
        """The answer to `report`, made as it is written."""
        try:
            with contained(ForeignFault):
                return {"answer": message["id"], "value": self._job(message).news(self._loaded())}
        except Exception as why:
            return {"answer": message["id"], "error": encode_error(why)}

    def news_of(self, number: int) -> Message:
        """What is said of a job beside a status that it has posted, from any thread."""
        job = self._jobs.get(number)
        if job is None or self._exports is None:  # it is being started, or has ended
            return {"reports": None, "facts": None}
        return job.news_if_any(self._exports)

    async def _end(self, message: Message) -> object:
        job = self._job(message)
        del self._jobs[job.number]
        try:
            await job.finish()
            await self._loaded().FaxDevEndJob(job.handle)
        finally:
            self._writer.numbers.pop(job.key, None)
        return {"jobs": self._arena.live_jobs if self._arena is not None else 0}

    async def _end_forgotten(self, job: ChildJob) -> None:
        with suppress(Exception), contained(ForeignFault):
            await self._end({"job": job.number})

    def _forget(self, message: Message) -> None:
        job = self._jobs.get(int(str(message["job"])))
        if job is not None:
            self._nursery.start_soon(self._end_forgotten, job)
        else:
            self._forgotten.add(int(str(message["job"])))

    def _cancel(self, message: Message) -> None:
        scope = self._scopes.get(int(str(message["of"])))
        if scope is not None:
            scope.cancel()

    def _abort(self, message: Message) -> None:
        self._loaded().FaxDevAbortOperation(self._job(message).handle)

    def _hints(self, message: Message) -> None:
        take = self._loaded().VfaxDevSendHints
        if take is not None:
            take(self._job(message).handle, decode(SendHints, message["hints"]))

    def _line(self, message: Message) -> None:
        numbers = message["numbers"]
        if self._line_callback is None or not isinstance(numbers, list) or len(numbers) != 6:
            raise InvalidParameter("no line event")
        handle = self._job(message).handle if message.get("job") is not None else None
        self._line_callback(handle, *numbers)

    def _loaded(self) -> Exports:
        if self._exports is None:
            raise NotReady("the provider has not been loaded")
        return self._exports

    def _job(self, message: Message) -> ChildJob:
        job = self._jobs.get(int(str(message["job"])))
        if job is None:
            raise InvalidHandle("FaxHandle: the job is unknown or has ended")
        return job


class Writer(threading.Thread):
    """Writes to the host: packets in the order in which they were posted, and never an answer before an older packet.

    One thread, so that a host that does not read stops nobody else: packets wait in `port`, which coalesces.
    """

    def __init__(self, fd: int) -> None:
        super().__init__(name="to the host", daemon=True)
        self.port = CompletionPort(PORT_CAPACITY, reserve=PORT_CAPACITY)
        self.ring_key = RingKey("ring")
        self.numbers: dict[object, int] = {}
        self.child: Child | None = None
        self._fd = fd
        self._answers: deque[Message | Callable[[], Message]] = deque()
        self._bell = threading.Event()
        self._idle = threading.Event()

    def answer(self, message: Message | Callable[[], Message]) -> None:
        """Queue an answer, or a function that makes it as it is written; from any thread."""
        self._answers.append(message)
        self._idle.clear()
        self._bell.set()

    def flush(self, seconds: float = 2.0) -> None:
        """Wait until what was queued is written, but no longer than that."""
        self._idle.wait(seconds)

    def run(self) -> None:
        """Write for ever."""
        with self.port.waking(self._bell.set):
            while True:
                self._bell.wait()
                self._bell.clear()
                answers = [self._answers.popleft() for _ in range(len(self._answers))]
                self._write_packets()
                for answer in answers:
                    self._write(answer() if callable(answer) else answer)
                if not self._answers:
                    self._idle.set()

    def _write_packets(self) -> None:
        with suppress(PortClosed):
            while (packet := self.port.get_nowait()) is not None:
                self._write_packet(packet)

    def _write_packet(self, packet: Packet) -> None:
        if isinstance(packet.message, LineMessage):
            self._write({"ring": encode(packet.message)})
        elif isinstance(packet.message, FaxDevStatus) and packet.key in self.numbers:
            number = self.numbers[packet.key]
            news = self.child.news_of(number) if self.child is not None else {}
            self._write({"job": number, "status": encode(packet.message)} | news)

    def _write(self, message: Message) -> None:
        try:
            octets = frame(message)
        except (TypeError, ValueError) as why:  # a provider's answer that cannot be said
            octets = frame({"answer": message.get("answer"), "error": encode_error(ForeignFault(str(why)))})
        try:
            while octets:
                octets = octets[os.write(self._fd, octets) :]
        except OSError:
            _leave(0)


def _read_orders(fd: int, token: trio.lowlevel.TrioToken, child: Child) -> None:
    """The reading thread. The end of the road ends the process, also when the provider blocks the main thread."""
    unframer = Unframer()
    try:
        while octets := os.read(fd, READ_OCTETS):
            for message in unframer.feed(octets):
                if message.get("do") == "told":  # whoever waits for it may be the trio run itself
                    child.extension.take(message)
                else:
                    token.run_sync_soon(_take, child, message)
    except OSError:
        _leave(0)
    except DecodeError:
        _leave(SPEECHLESS)
    _leave(0)


def _take(child: Child, message: Message) -> None:
    try:
        child.take(message)
    except DecodeError:
        _leave(SPEECHLESS)


def _leave(status: int) -> NoReturn:
    """Leave without asking anybody: threads that hang and tasks that will not end must not keep the process."""
    os._exit(status)


def _offered(export: Callable[P, Awaitable[T]] | None) -> Callable[P, Awaitable[T]]:
    """An export that the host asks for only where it was said to be there. Raises NotReady."""
    if export is None:
        raise NotReady("the provider does not offer this export")
    return export


def _remove_file(path: str) -> None:
    with suppress(OSError):
        os.unlink(path)


async def _serve(reading: int, writing: int) -> None:
    writer = Writer(writing)
    async with trio.open_nursery() as nursery:
        child = writer.child = Child(nursery, writer)
        writer.start()
        arguments = (reading, trio.lowlevel.current_trio_token(), child)
        threading.Thread(target=_read_orders, args=arguments, name="from the host", daemon=True).start()
        await trio.sleep_forever()


def _take_road() -> tuple[int, int]:
    """Keep standard input and output for the host alone; whoever prints in this process prints on standard error."""
    reading, writing = os.dup(0), os.dup(1)
    nothing = os.open(os.devnull, os.O_RDONLY)
    os.dup2(nothing, 0)
    os.dup2(2, 1)
    os.close(nothing)
    return reading, writing


def main() -> None:
    """Serve the host until the road ends."""
    for asked in (signal.SIGINT, signal.SIGTERM):  # they reach the whole group; it is the host that ends us, in order
        signal.signal(asked, lambda *ignored: None)
    faulthandler.enable()
    sys.setswitchinterval(SWITCH_SECONDS)
    trio.run(_serve, *_take_road())


if __name__ == "__main__":
    main()
