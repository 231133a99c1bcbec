"""The two kinds of calls an endpoint carries: `call.InboundCall` and `call.OutboundCall` on SIP.

Owns      what joins one leg to one dialog: carrying out its SIP orders, the call's files, journal and outcome.
Not here  the endpoint they travel on (endpoint.py), a call's course (leg.py), its tasks (runner.py).
"""

import ipaddress
import time
import traceback
from collections.abc import Awaitable, Callable, Iterator
from contextlib import contextmanager
from dataclasses import replace
from datetime import UTC, datetime
from functools import partial
from pathlib import Path
from typing import ClassVar, Final, Protocol

import trio

from vfax import call, leg, verdict
from vfax.capture import Capture, CaptureOptions
from vfax.codecs import tiff
from vfax.course import Course
from vfax.errors import DecodeError, DocumentError, FaxError, LinkError, MisuseError, StoreError
from vfax.journal import Journal, facts_of
from vfax.leg import Leg, LegOptions, SipOrder
from vfax.outcome import Cause, Outcome, Phase
from vfax.pages import Disk, PageFolder
from vfax.record import CallRecord, RecordOptions, Terms
from vfax.runner import Runner
from vfax.sheets import header_of, page_infos
from vfax.t30 import values as t30
from vfax.transports.sip import values as sip
from vfax.transports.sip.agent import Agent
from vfax.transports.sip.headers import Uri
from vfax.transports.sip.negotiation import MediaSession
from vfax.transports.sip.values import Address, CallKey
from vfax.transports.tcp import MediaSocket
from vfax.transports.udp import address_towards, format_address

ENDED_EARLY: Final = (sip.Cancelled, sip.HungUp, sip.DialogLost, sip.Released)
SERVER_ERROR: Final = 500
UNABLE: Final = 503
MAX_HOSTS: Final = 8
"""Limit: hosts that one outgoing call may let in."""

NOTHING: Final = Outcome(cause=Cause.INTERNAL)
CUT_OFF: Final = Outcome(cause=Cause.ABORTED)


class Carrier(Protocol):
    """What a call needs of the endpoint that carries it."""

    @property
    def agent(self) -> Agent:
        """The running agent."""
        ...

    @property
    def address(self) -> Address:
        """Where the endpoint listens."""
        ...

    @property
    def leg_options(self) -> LegOptions:
        """Policy of the calls."""
        ...

    @property
    def disk(self) -> Disk:
        """What received pages are written through."""
        ...

    @property
    def record_options(self) -> RecordOptions:
        """What a call writes down of itself."""
        ...

    @property
    def capture_options(self) -> CaptureOptions:
        """Which calls leave a capture."""
        ...

    def pump(self) -> None:
        """Send and tell what the agent has to send and tell."""
        ...

    def adopt(self, key: CallKey, carried: "OutgoingFax") -> None:
        """Events of `key` go to `carried` from now on."""
        ...

    def allow_host(self, host: str) -> None:
        """Hear `host` while we call it."""
        ...

    def forget_host(self, host: str) -> None:
        """One call to `host` less."""
        ...

    def open_media(self, peer: Address) -> tuple[MediaSocket, MediaSession]:
        """A media socket and our side of the offer/answer that names it."""
        ...

    def seeds(self) -> tuple[int, int, int]:
        """Random starts of an RTP stream."""
        ...

    def new_id(self) -> str:
        """A call's name."""
        ...

    def journal_path(self, call_id: str) -> Path | None:
        """Where its journal goes."""
        ...

    def count_bug(self) -> None:
        """A fault of ours ended a call."""
        ...


class _Carried:
    """What incoming and outgoing calls share: a runner, a journal, an abort that is never lost."""

    sending: ClassVar[bool]

    def __init__(self, carrier: Carrier) -> None:
        self._carrier = carrier
        self._runner: Runner | None = None
        self._key: CallKey | None = None  # of the dialog, while the agent has one
        self._aborted = False
        self._over = False  # the outcome is known
        self.id = carrier.new_id()
        self.journal_path = carrier.journal_path(self.id)
        self._failed_so_far = True
        self._journal = Journal(None, clock=trio.current_time, call=self.id)
        self._capture = self._make_capture(None)

    def _open_journal(self, peer: Address) -> None:
        """Begin to write down. `peer` decides which of our addresses the other side sees."""
        self._journal = Journal(self.journal_path, clock=trio.current_time, call=self.id)
        self._capture = self._make_capture(self.journal_path)
        self._capture.sip_at = _seen_from(peer, self._carrier.address)

    def _make_capture(self, journal: Path | None) -> Capture:
        path = None if journal is None else journal.with_suffix(".pcap")
        return Capture(path, self._carrier.capture_options, clock=trio.current_time, wall=time.time)

    def _close_files(self) -> None:
        """Nothing will be written any more. May be called twice."""
        if (path := self._capture.close(failed=self._failed_so_far)) is not None:
            self._journal.note(
                "capture", file=path.name, datagrams=self._capture.datagrams, left_out=self._capture.left_out
            )
        self._journal.close()

    def _record(self, terms: Terms) -> CallRecord:
        return CallRecord(self._journal, terms, self._carrier.record_options)

    def _note_media(self, address: Address, peer: Address) -> None:
        self._capture.media_at = _seen_from(peer, address)
        self._journal.note("media", host=address[0], port=address[1])

    def note(self, kind: str, **facts: str | int) -> None:
        """Add a line to the call's journal."""
        self._journal.note(kind, **facts)

    def abort(self) -> None:
        """Latched and immediate (see `call.InboundCall.abort`)."""
        self._aborted = True
        if self._runner is not None:
            self._runner.command(t30.Abort())

    def on_sip(self, event: sip.SipEvent) -> None:
        """Take an event of the agent; the journal stays open until the dialog is gone. Does not raise."""
        if isinstance(event, sip.MessageSeen):
            direction = "out" if event.sent else "in"
            self._journal.note("sip", direction=direction, peer=format_address(event.peer), summary=event.summary)
            self._capture.sip(event.octets, event.peer, sent=event.sent)
            return
        if isinstance(event, sip.DatagramDropped) or event.call != self._key:
            return  # of our first INVITE, after the second has gone out
        if self._runner is not None:
            self._runner.signal(event)
        if isinstance(event, sip.Released):
            self._lose_dialog()

    def cut_off(self) -> None:
        """The endpoint ends: hang up now, for no answer will be heard. Does not raise.

        To the fax this is a lost dialog, not an abort: nobody wished its pages away.
        """
        key = self._key
        self._hang_up()
        if self._runner is not None and key is not None:
            self._runner.signal(sip.DialogLost(key, "the SIP endpoint was shut down"))
        self._lose_dialog()

    def _lose_dialog(self) -> None:
        self._key = None
        if self._over:
            self._close_files()

    def _hang_up(self) -> None:
        """Make sure that the dialog ends, whatever became of the leg; harmless when it has."""
        if self._key is not None:
            self._carrier.agent.hang_up(self._key, trio.current_time())
            self._carrier.pump()

    # --- the course of the call ------------------------------------------------------------------

    async def _drive(self, runner: Runner, first: leg.LegOrder) -> Outcome:
        self._runner = runner
        return await self._guarded(partial(runner.run, t30.Abort() if self._aborted else first), NOTHING)

    async def _guarded(self, work: Callable[[], Awaitable[Outcome]], so_far: Outcome) -> Outcome:
        """Do `work` behind the project's only guard: a fault of ours ends one call, its trace in the journal."""
        try:
            return await work()
        except Exception as fault:
            self._hang_up()
            return self._fault(fault, so_far)
        finally:
            self._carrier.pump()

    def _fault(self, fault: Exception, so_far: Outcome) -> Outcome:
        """What a fault makes of the outcome. A socket that broke is nobody's fault."""
        while isinstance(fault, ExceptionGroup) and len(fault.exceptions) == 1:
            fault = fault.exceptions[0]
        if isinstance(fault, LinkError):
            return self._explained(replace(so_far, cause=Cause.NETWORK), str(fault))
        self._carrier.count_bug()
        self._journal.note("fault", what=repr(fault), trace=traceback.format_exception(fault))
        return self._explained(replace(so_far, cause=Cause.INTERNAL), repr(fault))

    def _explained(self, outcome: Outcome, evidence: str) -> Outcome:
        course = Course() if self._runner is None else self._runner.course
        return verdict.explain(outcome, course, sending=self.sending, evidence=evidence)

    def _failed(self, cause: Cause, evidence: str, status: int | None = None) -> Outcome:
        """The outcome of a call that did not come to a fax."""
        outcome = Outcome(cause=cause, phase=Phase.CALL, sip_status=status)
        return self._explained(outcome, evidence)

    def _end(self, outcome: Outcome) -> Outcome:
        """Write the outcome down, once; SIP may still have its last words to say."""
        if not self._over:
            self._over = True
            self._failed_so_far = not outcome.ok
            self._journal.note("outcome", **facts_of(outcome))
        if self._key is None:
            self._close_files()
        return outcome

    @contextmanager
    def _to_the_end(self) -> Iterator[None]:
        """Hold the rule that every call leaves an outcome in its journal, one that is cut off, too."""
        try:
            yield
        finally:
            if not self._over:
                self._end(self._explained(CUT_OFF, "the call was cut off on this side"))

    def _obey_in_dialog(self, order: SipOrder) -> None:
        key = self._key
        if key is None:
            return
        agent, now = self._carrier.agent, trio.current_time()
        match order:
            case leg.Answer(sdp):
                agent.answer(key, sdp, now)
            case leg.Refuse(status):
                agent.refuse(key, status, now)
            case leg.Offer(sdp):
                agent.offer(key, sdp, now)
            case leg.AcceptOffer(sdp):
                agent.accept_offer(key, sdp, now)
            case leg.RefuseOffer(status):
                agent.refuse_offer(key, status, now)
            case leg.HangUp(reason):
                agent.hang_up(key, now, reason)
            case _:
                raise MisuseError(f"{order} inside a dialog")
        self._carrier.pump()


class IncomingFax(_Carried):
    """An incoming call: implements `call.InboundCall`."""

    sending = False

    def __init__(self, carrier: Carrier, event: sip.IncomingCall) -> None:
        super().__init__(carrier)
        self._key = event.call
        self._event = event
        self.caller = event.caller
        self.caller_name = event.caller_name
        self.dialled = event.dialled
        self.ended_early = trio.Event()
        self._open_journal(event.source)
        self._journal.note(
            "call",
            direction="in",
            caller=event.caller,
            caller_name=event.caller_name,
            dialled=event.dialled,
            peer=format_address(event.source),
            call_id=event.call_id,
            user_agent=event.user_agent,
        )

    def offer_to(self, on_call: Callable[[call.InboundCall], None]) -> None:
        """Hand the call to whoever takes calls. One who raises loses it."""
        try:
            on_call(self)
        except Exception as fault:
            self._end(self._fault(fault, NOTHING))
            self.refuse(SERVER_ERROR)

    def ring(self) -> None:
        """180."""
        if self._key is not None and not self.ended_early.is_set():
            self._carrier.agent.ring(self._key, trio.current_time())
            self._carrier.pump()

    def refuse(self, status: int, why: str = "") -> None:
        """Final refusal with `status`; `why` is for the journal."""
        if self._key is None or self.ended_early.is_set():
            self._end(self._gave_up())
            return
        self._carrier.agent.refuse(self._key, status, trio.current_time())
        self._carrier.pump()
        self._end(self._failed(Cause.REJECTED, why, status))

    def on_sip(self, event: sip.SipEvent) -> None:
        """Take an event of the agent; before the answer it can only be the end."""
        super().on_sip(event)
        if self._runner is None and isinstance(event, ENDED_EARLY):
            self._end_early()

    def cut_off(self) -> None:
        """As of _Carried."""
        super().cut_off()
        if self._runner is None:
            self._end_early()

    def _end_early(self) -> None:
        """Nobody needs to take the call any more; once its dialog is gone, nobody may be left to write its end down."""
        self.ended_early.set()
        if self._key is None:
            self._end(self._gave_up())

    def _gave_up(self) -> Outcome:
        return self._failed(Cause.PEER_HUNG_UP, "the call ended before it was answered")

    async def receive(self, target: Path, *, local_id: str, publish: call.Publish) -> Outcome:
        """Answer and receive (see `call.InboundCall.receive`)."""
        with self._to_the_end():
            if self._key is None or self._over or self.ended_early.is_set():
                return self._end(self._gave_up())
            try:
                socket, media = self._carrier.open_media(self._event.source)
            except FaxError as why:
                return self._end(self._refuse_unable(why))
            folder = PageFolder(target, disk=self._carrier.disk)
            self._note_media(socket.address, self._event.source)
            try:
                options = _with_id(self._carrier.leg_options, local_id)
                seeds = self._carrier.seeds()
                one = Leg(options, media, incoming=self._event, seeds=seeds, now=trio.current_time())
                record = self._record(Terms(options=options, called=True, peer_agent=self._event.user_agent))
                obey = self._obey_in_dialog
                runner = Runner(
                    one,
                    socket,
                    self._journal,
                    record=record,
                    obey=obey,
                    publish=publish,
                    folder=folder,
                    capture=self._capture,
                )
                outcome = await self._drive(runner, leg.Accept())
            finally:
                socket.close()
            return self._end(await self._guarded(partial(self._put_together, folder, outcome), outcome))

    def _refuse_unable(self, why: FaxError) -> Outcome:
        """No socket for the media: the caller may try elsewhere, or later."""
        if self._key is not None:
            self._carrier.agent.refuse(self._key, UNABLE, trio.current_time())
            self._carrier.pump()
        return self._failed(Cause.LINE_UNAVAILABLE, str(why), UNABLE)

    async def _put_together(self, folder: PageFolder, outcome: Outcome) -> Outcome:
        """All pages into the one file, after an abort too: whether they are wanted is the host's to say.

        What cannot be joined stays page by page and is found at the next start.
        """
        try:
            await trio.to_thread.run_sync(folder.assemble, tiff.join_pages)
        except (StoreError, DocumentError) as why:
            self._journal.note("storage", why=str(why))
            return self._explained(replace(outcome, cause=Cause.STORAGE), str(why))
        return outcome


class OutgoingFax(_Carried):
    """An outgoing call: implements `call.OutboundCall`."""

    sending = True

    def __init__(self, carrier: Carrier) -> None:
        super().__init__(carrier)
        self._towards: Address = ("", 0)
        self._looking_up = trio.CancelScope()
        self._hosts: set[str] = set()  # that are heard because of this call

    async def send(self, request: call.SendRequest, *, publish: call.Publish) -> Outcome:
        """Dial and send (see `call.OutboundCall.send`)."""
        self._open_journal(("192.0.2.1", 9))
        with self._to_the_end():
            try:
                headers = await trio.to_thread.run_sync(tiff.read_headers, request.document)
                pages = page_infos(headers, request.document)
            except DocumentError as why:
                self._end(self._explained(Outcome(cause=Cause.DOCUMENT), str(why)))
                raise
            self._journal.note("call", direction="out", destination=request.destination, pages=len(pages))
            publish(call.Dialing())
            return self._end(await self._dial(request, pages, publish))

    async def _dial(self, request: call.SendRequest, pages: tuple[t30.PageInfo, ...], publish: call.Publish) -> Outcome:
        try:
            with self._looking_up:
                self._towards = await _resolve(request.destination, self._carrier.address)
        except LinkError as why:
            return self._failed(Cause.BAD_ADDRESS, str(why))
        if self._aborted:
            return self._failed(Cause.ABORTED, "")
        try:
            socket, media = self._carrier.open_media(self._towards)
        except FaxError as why:
            return self._failed(Cause.LINE_UNAVAILABLE, str(why))
        self._capture.sip_at = _seen_from(self._towards, self._carrier.address)
        self._note_media(socket.address, self._towards)
        try:
            options = _with_id(self._carrier.leg_options, request.local_id)
            to = t30.Addressing(subaddress=request.subaddress, sender_password=request.sender_password)
            sends = t30.SendDocument(pages, request.first_page, to)
            one = Leg(options, media, document=sends, seeds=self._carrier.seeds(), now=trio.current_time())
            record = self._record(Terms(options=options, called=False, document=sends))
            obey = partial(self._obey, request)
            document, header = request.document, header_of(request, datetime.now(UTC), len(pages))
            runner = Runner(
                one,
                socket,
                self._journal,
                record=record,
                capture=self._capture,
                obey=obey,
                publish=publish,
                document=document,
                header=header,
            )
            return await self._drive(runner, leg.Dial())
        finally:
            socket.close()

    def abort(self) -> None:
        """As of _Carried; asking a resolver may take longer than an abort."""
        super().abort()
        self._looking_up.cancel()

    def on_sip(self, event: sip.SipEvent) -> None:
        """Take an event of the agent. Hosts that we write to are heard until the last word."""
        if isinstance(event, sip.MessageSeen) and event.sent:
            self._hear(event.peer[0])
        super().on_sip(event)

    def _hear(self, host: str) -> None:
        """The host we dial, and those that the answer's Contact and Record-Route lead to."""
        if host not in self._hosts and len(self._hosts) < MAX_HOSTS:
            self._hosts.add(host)
            self._carrier.allow_host(host)

    def _lose_dialog(self) -> None:
        super()._lose_dialog()
        for host in self._hosts:
            self._carrier.forget_host(host)
        self._hosts.clear()

    def _obey(self, request: call.SendRequest, order: SipOrder) -> None:
        if not isinstance(order, leg.Invite):
            self._obey_in_dialog(order)
            return
        self._key = self._carrier.agent.invite(
            request.destination,
            sdp=order.sdp,
            from_user=request.local_id.replace(" ", "") or "vfax",
            from_name=request.caller_name,
            destination=self._towards,
            now=trio.current_time(),
        )
        self._carrier.adopt(self._key, self)
        self._carrier.pump()


def _seen_from(peer: Address, address: Address) -> Address:
    """An address of ours as `peer` sees it, as far as this machine can tell."""
    if not ipaddress.ip_address(address[0].partition("%")[0]).is_unspecified:
        return address
    try:
        return address_towards(peer), address[1]
    except LinkError:
        return address


def _with_id(options: LegOptions, local_id: str) -> LegOptions:
    return replace(options, fax=replace(options.fax, local_id=local_id))


async def _resolve(uri: str, ours: Address) -> Address:
    """Host and port behind a SIP URI, of the family of `ours`: a numeric address, or the resolver's first.

    Raises LinkError for what cannot be called.
    """
    try:
        parsed = Uri.parse(uri)
    except DecodeError as why:
        raise LinkError(f"{uri!r} is not a SIP address: {why.what}") from why
    if parsed.scheme != "sip" or parsed.headers:
        raise LinkError(f"{uri!r} cannot be called: only sip: addresses without headers can")
    family = trio.socket.AF_INET6 if ":" in ours[0] else trio.socket.AF_INET
    try:
        found = await trio.socket.getaddrinfo(
            parsed.host, parsed.port or 5060, family=family, type=trio.socket.SOCK_DGRAM
        )
    except (OSError, UnicodeError) as why:  # a name that is no name fails as Unicode
        raise LinkError(f"{parsed.host} cannot be resolved: {getattr(why, 'strerror', None) or why}") from why
    address = found[0][4]
    return str(address[0]), int(address[1])
