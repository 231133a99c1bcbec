"""One call on trio: the only place where leg, sockets, storage and clock meet.

Owns      the tasks of one call: media reader, clock, page workers; the journal lines they write.
Not here  decisions (leg.py), SIP (calls.py, endpoint.py), what a TIFF is (codecs/tiff.py), durable writing (pages.py).

One task feeds the leg with datagrams, one with time; both run to the end of a step without waiting, so there is
nothing to lock. Work that may block (TIFF, coding, disk) runs in worker threads and comes back as an order.
"""

import math
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import assert_never

import trio

from vfax import call
from vfax.codecs import tiff
from vfax.codecs.dis import Agreement
from vfax.codecs.tiff_page import fax_resolution
from vfax.errors import DocumentError, MisuseError, StoreError
from vfax.journal import Journal, facts_of
from vfax.leg import CallUp, Finished, HangUp, Leg, LegEvent, LegOrder, Rang, SipOrder, Switched
from vfax.outcome import Outcome
from vfax.pages import PageFolder
from vfax.t30 import values as t30
from vfax.t30.coding import code_page
from vfax.transports.sip import values as sip
from vfax.transports.sip.values import Address
from vfax.transports.udp import UdpSocket, format_address

Told = (
    t30.IdentityReceived
    | t30.Agreed
    | t30.Trained
    | t30.PageStarted
    | t30.PageConfirmed
    | t30.PageRepeated
    | t30.Ended
    | Rang
    | CallUp
    | Switched
)
"""Events that are passed on in the same step."""


class Runner:
    """Drives one leg from its first order to its outcome.

    `obey` carries out the leg's SIP orders; `folder` keeps received pages; `document` is what is sent.
    """

    def __init__(
        self,
        leg: Leg,
        socket: UdpSocket,
        journal: Journal,
        *,
        obey: Callable[[SipOrder], None],
        publish: call.Publish,
        folder: PageFolder | None = None,
        document: Path | None = None,
    ) -> None:
        self._leg = leg
        self._socket = socket
        self._journal = journal
        self._obey = obey
        self._publish = publish
        self._folder = folder
        self._document = document
        self._outcome: Outcome | None = None
        self._fault: Exception | None = None
        self._wake = trio.Event()
        self._armed = math.inf
        self._nursery: trio.Nursery
        self._one_page = trio.Lock()  # pages are kept in order, one thread at a time
        self._first_heard = self._first_sent = False

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
        finally:
            if self._outcome is None:
                self._cut_off()
            self._note_counters()
        if self._outcome is None:
            raise MisuseError("a call ended without an outcome")
        return self._outcome

    # --- in --------------------------------------------------------------------------------------

    def command(self, order: LegOrder) -> None:
        """Give the leg an order now. Does not raise."""
        with self._apart():
            self._command(order)

    def signal(self, event: sip.SipEvent) -> None:
        """Give the leg an event of the SIP agent now. Does not raise."""
        with self._apart():
            self._leg.signal(event, trio.current_time())
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
        self._leg.command(order, trio.current_time())
        self._pump()

    def _cut_off(self) -> None:
        """Hang up, and nothing else: the call's tasks are gone, so what it still tells is not heard any more."""
        self._leg.command(t30.LineDown(), trio.current_time())
        for order in self._leg.take_sip():
            if isinstance(order, HangUp):
                self._obey(order)

    async def _read(self, scope: trio.CancelScope) -> None:
        with scope:
            while True:
                batch = await self._socket.receive()
                now = trio.current_time()
                for datagram, source in batch:
                    self._leg.receive(datagram, source, now)
                if not self._first_heard:
                    self._note_first_heard(batch)
                self._pump()

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

    # --- out -------------------------------------------------------------------------------------

    def _pump(self) -> None:
        leg, send = self._leg, self._socket.send
        for datagram, to in leg.take_datagrams():
            if not self._first_sent:
                self._note_first_sent(datagram)
            send(datagram, to)
        for event in leg.take_events():
            self._take(event)
        for order in leg.take_sip():
            self._obey(order)
        if leg.next_timeout() < self._armed or self._outcome is not None:
            self._wake.set()

    def _take(self, event: LegEvent) -> None:
        match event:
            case t30.PageProgress(number, done, total):
                self._publish(call.PageMoving(number, done, total))
            case t30.FrameSeen(sent, name, octets, words):
                kind = name.lower() if name in ("DIS", "DCS") else "frame"
                direction = "out" if sent else "in"
                self._journal.note(kind, direction=direction, name=name, words=words, hex=octets.hex())
            case t30.PageReceived():
                self._nursery.start_soon(self._keep_page, event)
            case t30.PageNeeded():
                self._nursery.start_soon(self._code_page, event)
            case Finished(outcome):
                self._outcome = outcome
            case _:
                self._tell(event)

    def _tell(self, event: Told) -> None:
        note = self._journal.note
        match event:
            case t30.IdentityReceived(frame, text):
                note("identity", frame=frame, text=text)
                if frame in ("CSI", "TSI", "CIG"):
                    self._publish(call.Identified(text))
                elif frame == "SUB":
                    self._publish(call.Addressed(text))
            case t30.Agreed(agreement):
                note("agreed", **_words(agreement))
                self._publish(
                    call.Negotiated(
                        agreement.modem.rate_bps, agreement.ecm, agreement.coding.value, agreement.resolution.title
                    )
                )
            case t30.Trained(ok, rate_bps):
                note("training", ok=ok, rate_bps=rate_bps)
            case t30.PageStarted(number):
                note("page", number=number, what="started")
                self._publish(call.PageBegun(number))
            case t30.PageConfirmed(number):
                note("page", number=number, what="confirmed")
                self._publish(call.PageDone(number))
            case t30.PageRepeated(number, frames, why):
                note("page", number=number, what="repeated", frames=frames, why=why)
            case Rang():
                self._publish(call.Ringing())
            case CallUp(media):
                note("answered", media=media)
                self._publish(call.Answered())
            case Switched(remote, parameters):
                note("t38", peer=format_address(remote), **facts_of(parameters))
            case t30.Ended():
                raise MisuseError("the leg turns Ended into Finished")
            case _:
                assert_never(event)

    # --- pages -----------------------------------------------------------------------------------

    async def _keep_page(self, page: t30.PageReceived) -> None:
        """Make one received page durable, then say so; only then may it be confirmed."""
        self._journal.note(
            "page",
            number=page.number,
            what="received" if page.complete else "cut off",
            rows=page.rows,
            bad_rows=page.bad_rows,
        )
        try:
            async with self._one_page:
                await trio.to_thread.run_sync(self._store, page)
        except StoreError as why:
            self._journal.note("page", number=page.number, what="lost", why=str(why))
            self._command(t30.PageLost(page.number, str(why)))
        else:
            self._journal.note("page", number=page.number, what="kept")
            self._command(t30.PageKept(page.number))

    def _store(self, page: t30.PageReceived) -> None:
        if self._folder is None:
            raise StoreError("no folder to keep received pages in")
        resolution = page.agreement.resolution
        octets = tiff.write_page(
            page.raster,
            page.width_px,
            page.rows,
            x_dpi=resolution.x_dpi,
            y_dpi=resolution.y_dpi,
            number=page.number - 1,
            bad_rows=page.bad_rows,
            longest_bad_run=page.longest_bad_run,
        )
        self._folder.keep(page.number, octets, complete=page.complete)

    async def _code_page(self, needed: t30.PageNeeded) -> None:
        try:
            data = await trio.to_thread.run_sync(self._code, needed)
        except DocumentError as why:
            self._command(t30.PageUnavailable(needed.number, str(why)))
        else:
            self._command(t30.PageCoded(needed.number, data))

    def _code(self, needed: t30.PageNeeded) -> bytes:
        if self._document is None:
            raise DocumentError("no document to send")
        page = tiff.load_page(self._document, needed.number - 1)
        resolution = fax_resolution(page.x_dpi, page.y_dpi)
        if resolution is None:
            raise DocumentError(f"{self._document}: page {needed.number} is no longer a fax page")
        return code_page(page.raster, page.width_px, page.rows, resolution, needed.agreement)

    # --- journal ---------------------------------------------------------------------------------

    def _note_first_sent(self, datagram: bytes) -> None:
        if self._leg.line is not None:  # else it is audio
            self._first_sent = True
            self._note_first("out", datagram)

    def _note_first_heard(self, batch: list[tuple[bytes, Address]]) -> None:
        """The first that was believed: strangers' datagrams and stray audio do not count."""
        believed = self._leg.heard_from
        if believed is not None:
            self._first_heard = True
            self._note_first("in", next((datagram for datagram, source in batch if source == believed), b""))

    def _note_first(self, direction: str, datagram: bytes) -> None:
        self._journal.note("t38-first", direction=direction, octets=len(datagram), hex=datagram[:64].hex())

    def _note_counters(self) -> None:
        line = self._leg.line
        self._journal.note(
            "counters",
            strangers=self._leg.strangers,
            early=self._leg.early,
            unsent=self._socket.dropped,
            unread=self._socket.troubles,
            **({} if line is None else line.counters.as_facts()),
        )


def _words(agreement: Agreement) -> dict[str, str | int | bool]:
    return {
        "modem": agreement.modem.family,
        "rate_bps": agreement.modem.rate_bps,
        "coding": agreement.coding.value,
        "ecm": agreement.ecm,
        "resolution": agreement.resolution.title,
        "width_px": agreement.width_px,
        "min_scan_ms": agreement.min_scan_ms,
    }
