"""One call on trio: the only place where leg, sockets, storage and clock meet.

Owns      the tasks of one call: media reader, clock, page workers.
Not here  decisions (leg.py), SIP (calls.py, endpoint.py), what a TIFF is (codecs/tiff.py), durable writing (pages.py),
          what is written down of the call (record.py).

One task feeds the leg with datagrams, one with time; both run to the end of a step without waiting, so there is
nothing to lock. Work that may block (TIFF, coding, disk) runs in worker threads and comes back as an order.
"""

import math
from collections import deque
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from typing import Final, assert_never

import trio

from vfax import call
from vfax.capture import Capture
from vfax.codecs import tiff
from vfax.codecs.header_line import HeaderLine
from vfax.course import Course
from vfax.errors import DocumentError, LinkError, MisuseError, StoreError
from vfax.journal import Journal
from vfax.leg import (
    CallUp,
    DtlsAgreed,
    DtlsFailed,
    DtlsOffered,
    DtlsRefused,
    DtlsUp,
    Finished,
    HangUp,
    Leg,
    LegEvent,
    LegOrder,
    Opening,
    Rang,
    SipOrder,
    StreamAgreed,
    StreamLost,
    StreamOffered,
    Switched,
    SwitchRefused,
)
from vfax.outcome import Outcome
from vfax.pages import PageFolder
from vfax.record import CallRecord, counters_of
from vfax.sheets import Sheet, code_sheet
from vfax.t30 import values as t30
from vfax.transports.dtls import Association, HandshakeFailed, SecureSocket
from vfax.transports.sip import values as sip
from vfax.transports.sip.values import Address
from vfax.transports.tcp import MediaSocket
from vfax.transports.udp import TURN

CODED_AT_ONCE: Final = 1
"""Limit: pages to be sent, and pages received, of all calls that are coded at once in a thread; the others wait for it.

They have one processor between them, of which a page takes 4 ms and a long one 300. Several at once take it from each
other, end late and at the same moment, and their calls stay in step from then on.
"""
KEPT_AT_ONCE: Final = 40
"""Limit: pages that are written to disk at once, where one wait serves many."""
_page_threads: Final = trio.lowlevel.RunVar["PageThreads"]("what bounds the threads that code and keep pages")

Told = (
    t30.FrameSeen
    | t30.IdentityReceived
    | t30.Agreed
    | t30.Trained
    | t30.PageStarted
    | t30.PageConfirmed
    | t30.PageRepeated
    | t30.Ended
    | Rang
    | CallUp
    | Switched
    | SwitchRefused
    | DtlsOffered
    | DtlsRefused
    | DtlsUp
    | DtlsFailed
)
"""Events that are passed on in the same step."""


@dataclass(frozen=True, slots=True)
class PageThreads:
    """What bounds the threads of pages in one process: their own, so that nobody else's work keeps a page waiting."""

    send: trio.CapacityLimiter = field(default_factory=lambda: trio.CapacityLimiter(CODED_AT_ONCE))
    receive: trio.CapacityLimiter = field(default_factory=lambda: trio.CapacityLimiter(CODED_AT_ONCE))
    keep: trio.CapacityLimiter = field(default_factory=lambda: trio.CapacityLimiter(KEPT_AT_ONCE))


def page_threads() -> PageThreads:
    """Those of this trio run."""
    try:
        return _page_threads.get()
    except LookupError:
        _page_threads.set(PageThreads())
        return _page_threads.get()


class Runner:
    """Drives one leg from its first order to its outcome.

    `obey` carries out the leg's SIP orders; `folder` keeps received pages; `document` is what is sent, with
    `header` on each page; `record` is told all that happens.
    """

    def __init__(
        self,
        leg: Leg,
        socket: MediaSocket,
        journal: Journal,
        *,
        record: CallRecord,
        capture: Capture,
        obey: Callable[[SipOrder], None],
        publish: call.Publish,
        folder: PageFolder | None = None,
        document: Path | None = None,
        header: HeaderLine | None = None,
    ) -> None:
        self._leg = leg
        self._socket = socket
        self._journal = journal
        self._record = record
        self._capture = capture
        self._obey = obey
        self._publish = publish
        self._folder = folder
        self._document = document
        self._header = header
        self._outcome: Outcome | None = None
        self._fault: Exception | None = None
        self._wake = trio.Event()
        self._armed = math.inf
        self._nursery: trio.Nursery
        self._one_page = trio.Lock()  # pages are kept in order, one thread at a time

    async def run(self, first: LegOrder) -> Outcome:
        """Run to the end. Cancelling hangs up at once: nothing of the call outlives this function."""
        try:
            async with trio.open_nursery() as nursery:
                self._nursery = nursery
                self._command(first)
                reading = trio.CancelScope()
                nursery.start_soon(self._read, reading)
                await self._keep_time()
                reading.cancel()
                self._socket.end_stream()
        finally:
            try:
                if self._outcome is None:
                    self._cut_off()
            finally:  # the record of a leg that fails is worth the most
                self._record.flush()
                self._note_counters()
        if self._outcome is None:
            raise MisuseError("a call ended without an outcome")
        return self._outcome

    @property
    def opening(self) -> Opening:
        """How the call came to T.38, so far."""
        return self._leg.opening

    @property
    def course(self) -> Course:
        """What has happened so far."""
        return self._leg.course

    # --- in --------------------------------------------------------------------------------------

    def command(self, order: LegOrder) -> None:
        """Give the leg an order now. Does not raise."""
        with self._apart():
            self._command(order)

    def signal(self, event: sip.SipEvent) -> None:
        """Give the leg an event of the SIP agent now. Does not raise."""
        with self._apart():
            now = trio.current_time()
            self._record.signal(event, now)
            self._leg.signal(event, now)
            self._pump()

    @contextmanager
    def _apart(self) -> Iterator[None]:
        """Whoever comes from outside the call is not to suffer from a fault in it: `run` raises it instead."""
        try:
            yield
        except Exception as fault:
            self._fault = self._fault or fault
            self._wake.set()

    def _command(self, order: LegOrder) -> None:
        now = trio.current_time()
        self._record.order(order, now)
        self._leg.command(order, now)
        self._pump()

    def _cut_off(self) -> None:
        """Hang up, and nothing else: the call's tasks are gone, so what it still tells is not heard any more."""
        now = trio.current_time()
        self._record.order(t30.LineDown(), now)
        self._leg.command(t30.LineDown(), now)
        for order in self._leg.take_sip():
            if isinstance(order, HangUp):
                self._obey(order)

    async def _read(self, scope: trio.CancelScope) -> None:
        with scope:
            while True:
                waiting = deque(await self._socket.receive())
                while waiting:
                    self._hear(waiting)
                    if waiting:  # other calls have their turn: page data may cost a millisecond a datagram
                        await trio.lowlevel.checkpoint()

    def _hear(self, waiting: deque[tuple[bytes, Address]]) -> None:
        """Give the leg datagrams, as many as one turn allows."""
        now = trio.current_time()
        over = now + TURN
        while waiting and trio.current_time() <= over:
            datagram, source = waiting.popleft()
            self._capture.media(datagram, source, sent=False)
            try:
                self._leg.receive(datagram, source, now)
            finally:
                if source == self._leg.heard_from:  # strangers and stray audio were not believed
                    self._record.heard(datagram, now)
        self._pump()

    async def _read_stream(self) -> None:
        """T.38 over TCP: make the connection, and carry what it brings until it ends or the call does."""
        try:
            await self._socket.run_stream(self._take_octets)
        except LinkError as why:
            if self._outcome is None:
                self._command(StreamLost(str(why)))

    def _take_octets(self, octets: bytes) -> None:
        now = trio.current_time()
        try:
            self._leg.read_stream(octets, now)
        finally:
            self._record.heard(octets, now)
        if self._leg.heard_from is not None:
            self._capture.stream(octets, self._leg.heard_from, sent=False)
        self._pump()

    async def _run_secure(self, socket: SecureSocket) -> None:
        """UDPTL over DTLS: make the association, and take what it brings until it ends or the call does."""
        try:
            await socket.run_secure(self._take_decrypted, self._associated)
        except HandshakeFailed as why:
            self._command(DtlsFailed(why.trouble, str(why)))
        except LinkError as why:
            if self._outcome is None:
                self._command(StreamLost(str(why)))

    def _associated(self, made: Association) -> None:
        self._capture.encrypted(made.remote)
        self._command(DtlsUp(made.remote, made.version, made.cipher, str(made.fingerprint)))

    def _take_decrypted(self, datagram: bytes, source: Address) -> None:
        self._hear(deque([(datagram, source)]))

    async def _keep_time(self) -> None:
        while self._outcome is None:
            if self._fault is not None:
                raise self._fault
            due = self._armed = self._leg.next_timeout()
            self._wake = trio.Event()
            with trio.move_on_at(due):
                await self._wake.wait()
            now = trio.current_time()
            if now >= due:
                self._leg.handle_timeout(now)
            self._pump()
            if now >= self._record.due:
                self._record.flush()

    # --- out -------------------------------------------------------------------------------------

    def _pump(self) -> None:
        leg, send = self._leg, self._socket.send
        now = trio.current_time()
        for event in leg.take_events():
            self._record.event(event, now)
            self._take(event)
        fax = leg.line is not None  # else it is audio
        capture = self._capture.stream if leg.line is not None and leg.line.is_stream else self._capture.media
        for datagram, to in leg.take_datagrams():
            if fax:
                self._record.sent(datagram, now)
            capture(datagram, to, sent=True)
            send(datagram, to)
        for order in leg.take_sip():
            self._obey(order)
        if leg.next_timeout() < self._armed or self._outcome is not None:
            self._wake.set()

    def _take(self, event: LegEvent) -> None:
        match event:
            case t30.PageProgress(number, done, total):
                self._publish(call.PageMoving(number, done, total))
            case t30.PageReceived():
                self._nursery.start_soon(self._keep_page, event)
            case t30.PageNeeded():
                self._nursery.start_soon(self._code_page, event)
            case StreamOffered():
                self._socket.listen()
            case StreamAgreed(remote, connect, within, anyone):
                self._socket.expect_stream(remote, connect=connect, within=within, anyone=anyone)
                self._nursery.start_soon(self._read_stream)
            case DtlsAgreed(remote, dtls, anyone):
                socket = self._socket
                if not isinstance(socket, SecureSocket):
                    raise MisuseError("DTLS was agreed on a media socket that cannot do it")
                socket.expect_secure(remote, dtls, anyone=anyone)
                self._nursery.start_soon(self._run_secure, socket)
            case Finished(outcome):
                self._outcome = outcome
            case _:
                self._tell(event)

    def _tell(self, event: Told) -> None:
        publish = self._publish
        match event:
            case t30.IdentityReceived(frame, text):
                if frame in ("CSI", "TSI", "CIG"):
                    publish(call.Identified(text))
                elif frame == "SUB":
                    publish(call.Addressed(text))
            case t30.Agreed(agreement):
                coding, resolution = agreement.coding.value, agreement.resolution.title
                publish(call.Negotiated(agreement.modem.rate_bps, agreement.ecm, coding, resolution))
            case t30.PageStarted(number):
                publish(call.PageBegun(number))
            case t30.PageConfirmed(number):
                publish(call.PageDone(number))
            case Rang():
                publish(call.Ringing())
            case CallUp():
                publish(call.Answered())
            case Switched(_, parameters):
                self._capture.switched(parameters.version)
            case t30.FrameSeen() | t30.Trained() | t30.PageRepeated() | SwitchRefused():
                pass  # for the record only
            case DtlsOffered() | DtlsRefused() | DtlsUp() | DtlsFailed():
                pass  # likewise
            case t30.Ended():
                raise MisuseError("the leg turns Ended into Finished")
            case _:
                assert_never(event)

    # --- pages -----------------------------------------------------------------------------------

    async def _keep_page(self, page: t30.PageReceived) -> None:
        """Make one received page durable, then say so; only then may it be confirmed."""
        try:
            async with self._one_page:
                await self._store(page)
        except StoreError as why:
            self._command(t30.PageLost(page.number, str(why)))
        else:
            self._command(t30.PageKept(page.number))

    async def _store(self, page: t30.PageReceived) -> None:
        if self._folder is None:
            raise StoreError("no folder to keep received pages in")
        threads = page_threads()
        octets = await trio.to_thread.run_sync(tiff_of, page, limiter=threads.receive)
        keep = partial(self._folder.keep, page.number, octets, complete=page.complete)
        with trio.CancelScope(shield=True):  # what is begun is finished, whoever is cancelled meanwhile
            await trio.to_thread.run_sync(keep, limiter=threads.keep)

    async def _code_page(self, needed: t30.PageNeeded) -> None:
        try:
            sheet = await trio.to_thread.run_sync(self._code, needed, limiter=page_threads().send)
        except DocumentError as why:
            self._command(t30.PageUnavailable(needed.number, str(why)))
            return
        if sheet.scaled is not None:
            facts = {"from": sheet.scaled.before, "to": sheet.scaled.after}
            self._journal.note("page", number=needed.number, what="scaled", **facts)
        if sheet.bare:
            self._journal.note("page", number=needed.number, what="without header", why=sheet.bare)
        self._command(t30.PageCoded(needed.number, sheet.data))

    def _code(self, needed: t30.PageNeeded) -> Sheet:
        if self._document is None:
            raise DocumentError("no document to send")
        return code_sheet(self._document, needed.number, needed.agreement, self._header)

    # --- journal ---------------------------------------------------------------------------------

    def _note_counters(self) -> None:
        self._journal.note(
            "counters",
            strangers=self._leg.strangers,
            early=self._leg.early,
            unsent=self._socket.dropped,
            unread=self._socket.troubles,
            **counters_of(self._leg, trio.current_time()),
        )


def tiff_of(page: t30.PageReceived) -> bytes:
    """A received page as a TIFF of its own."""
    resolution = page.agreement.resolution
    return tiff.write_page(
        page.raster,
        page.width_px,
        page.rows,
        x_dpi=resolution.x_dpi,
        y_dpi=resolution.y_dpi,
        number=page.number - 1,
        bad_rows=page.bad_rows,
        longest_bad_run=page.longest_bad_run,
    )
