"""The two kinds of calls an endpoint carries: `call.InboundCall` and `call.OutboundCall` on SIP.

Owns      what joins one leg to one dialog: carrying out its SIP orders, the call's files, journal and outcome.
Not here  the endpoint they travel on (endpoint.py), a call's course (leg.py), its tasks (runner.py).
"""

import traceback
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Protocol

import trio

from vfax import call, leg, verdict
from vfax.codecs import tiff
from vfax.errors import DecodeError, DocumentError, FaxError, LinkError, StoreError
from vfax.journal import Journal, facts_of
from vfax.leg import Leg, LegOptions, SipOrder
from vfax.outcome import Cause, Outcome, Phase, Retry
from vfax.pages import Disk, PageFolder
from vfax.runner import Runner
from vfax.t30 import values as t30
from vfax.transports.sip import values as sip
from vfax.transports.sip.agent import Agent
from vfax.transports.sip.headers import Uri
from vfax.transports.sip.negotiation import MediaSession
from vfax.transports.sip.values import Address, CallKey
from vfax.transports.udp import UdpSocket, format_address

ENDED_EARLY = (sip.Cancelled, sip.HungUp, sip.DialogLost, sip.Released)


class Carrier(Protocol):
    """What a call needs of the endpoint that carries it."""

    @property
    def agent(self) -> Agent:
        """The running agent."""
        ...

    @property
    def leg_options(self) -> LegOptions:
        """Policy of the calls."""
        ...

    @property
    def disk(self) -> Disk:
        """What received pages are written through."""
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

    def open_media(self, peer: Address) -> tuple[UdpSocket, MediaSession]:
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

    def __init__(self, carrier: Carrier) -> None:
        self._carrier = carrier
        self._runner: Runner | None = None
        self._key: CallKey | None = None
        self._aborted = False
        self._closed = False
        self.id = carrier.new_id()
        self.journal_path = carrier.journal_path(self.id)
        self._journal = Journal(self.journal_path, clock=trio.current_time, call=self.id)

    def note(self, kind: str, **facts: str | int) -> None:
        """Add a line to the call's journal."""
        self._journal.note(kind, **facts)

    def abort(self) -> None:
        """Latched and immediate (see `call.InboundCall.abort`)."""
        self._aborted = True
        if self._runner is not None:
            self._runner.command(t30.Abort())

    def on_sip(self, event: sip.SipEvent) -> None:
        """Take an event of the agent; the journal stays open until the dialog is gone."""
        if isinstance(event, sip.MessageSeen):
            direction = "out" if event.sent else "in"
            self._journal.note("sip", direction=direction, peer=format_address(event.peer), summary=event.summary)
        elif self._runner is not None:
            self._runner.signal(event)
        if isinstance(event, sip.Released) and event.call == self._key:
            self._key = None
            if self._closed:
                self._journal.close()

    def close(self) -> None:
        """The endpoint ends: whatever the journal has not got yet will not come."""
        self._journal.close()

    async def _drive(self, runner: Runner, first: leg.LegOrder) -> Outcome:
        """Run the leg behind the project's only guard: a fault of ours ends one call, its trace in the journal."""
        self._runner = runner
        try:
            return await runner.run(t30.Abort() if self._aborted else first)
        except Exception as fault:
            return self._fault(fault)
        finally:
            self._carrier.pump()

    def _fault(self, fault: Exception) -> Outcome:
        self._carrier.count_bug()
        while isinstance(fault, ExceptionGroup) and len(fault.exceptions) == 1:
            fault = fault.exceptions[0]
        self._journal.note("fault", what=repr(fault), trace=traceback.format_exception(fault))
        outcome = Outcome(cause=Cause.INTERNAL, retry=Retry.LATER)
        return replace(outcome, sentence=verdict.explain(outcome, sending=False, evidence=repr(fault)))

    def _end(self, outcome: Outcome) -> Outcome:
        """Write the outcome down; SIP may still have its last words to say."""
        self._journal.note("outcome", **facts_of(outcome))
        self._closed = True
        if self._key is None:
            self._journal.close()
        return outcome

    def _obey_in_dialog(self, order: SipOrder) -> None:
        agent, key, now = self._carrier.agent, self._key, trio.current_time()
        if key is None:
            return
        match order:
            case leg.Offer(sdp):
                agent.offer(key, sdp, now)
            case leg.AcceptOffer(sdp):
                agent.accept_offer(key, sdp, now)
            case leg.RefuseOffer(status):
                agent.refuse_offer(key, status, now)
            case leg.HangUp(reason):
                agent.hang_up(key, now, reason)
            case _:
                pass


class IncomingFax(_Carried):
    """An incoming call: implements `call.InboundCall`."""

    def __init__(self, carrier: Carrier, event: sip.IncomingCall) -> None:
        super().__init__(carrier)
        self._key = event.call
        self._event = event
        self._ended: sip.SipEvent | None = None
        self.caller = event.caller
        self.caller_name = event.caller_name
        self.dialled = event.dialled
        self.ended_early = trio.Event()
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

    def ring(self) -> None:
        """180."""
        if self._ended is None:
            self._carrier.agent.ring(self._event.call, trio.current_time())
            self._carrier.pump()

    def refuse(self, status: int) -> None:
        """Final refusal with `status`."""
        if self._ended is None:
            self._carrier.agent.refuse(self._event.call, status, trio.current_time())
            self._carrier.pump()
        outcome = Outcome(cause=Cause.REJECTED, phase=Phase.CALL, sip_status=status)
        self._end(replace(outcome, sentence=f"This side refused the call with {verdict.sip_words(status)}."))

    def on_sip(self, event: sip.SipEvent) -> None:
        """Take an event of the agent; before the answer it can only be the end."""
        super().on_sip(event)
        if self._runner is None and isinstance(event, ENDED_EARLY):
            self._ended = self._ended or event
            self.ended_early.set()

    async def receive(self, target: Path, *, local_id: str, publish: call.Publish) -> Outcome:
        """Answer and receive (see `call.InboundCall.receive`)."""
        if self._ended is not None:
            outcome = Outcome(cause=Cause.PEER_HUNG_UP, phase=Phase.CALL)
            sentence = verdict.explain(outcome, sending=False, evidence="the caller gave up before the answer")
            return self._end(replace(outcome, sentence=sentence))
        folder = PageFolder(target, disk=self._carrier.disk)
        socket, media = self._carrier.open_media(self._event.source)
        self._journal.note("media", host=socket.address[0], port=socket.address[1])
        try:
            options = _with_id(self._carrier.leg_options, local_id)
            seeds = self._carrier.seeds()
            one = Leg(options, media, incoming=self._event, seeds=seeds, now=trio.current_time())
            runner = Runner(one, socket, self._journal, obey=self._obey, publish=publish, folder=folder)
            outcome = await self._drive(runner, leg.Accept())
        finally:
            socket.close()
        return self._end(await self._put_together(folder, outcome))

    async def _put_together(self, folder: PageFolder, outcome: Outcome) -> Outcome:
        """All pages into the one file, after an abort too: whether they are wanted is the host's to say.

        What cannot be joined stays page by page and is found at the next start.
        """
        try:
            await trio.to_thread.run_sync(folder.assemble, tiff.join_pages)
        except (StoreError, DocumentError) as why:
            self._journal.note("storage", why=str(why))
            return replace(outcome, cause=Cause.STORAGE, sentence=f"{outcome.sentence} But {why}.")
        return outcome

    def _obey(self, order: SipOrder) -> None:
        agent, key, now = self._carrier.agent, self._event.call, trio.current_time()
        match order:
            case leg.Answer(sdp):
                agent.answer(key, sdp, now)
            case leg.Refuse(status):
                agent.refuse(key, status, now)
            case _:
                self._obey_in_dialog(order)
        self._carrier.pump()


class OutgoingFax(_Carried):
    """An outgoing call: implements `call.OutboundCall`."""

    def __init__(self, carrier: Carrier) -> None:
        super().__init__(carrier)
        self._request: call.SendRequest | None = None
        self._towards: Address = ("", 0)

    async def send(self, request: call.SendRequest, *, publish: call.Publish) -> Outcome:
        """Dial and send (see `call.OutboundCall.send`)."""
        self._request = request
        headers = await trio.to_thread.run_sync(tiff.read_headers, request.document)
        pages = _page_infos(headers, request.document)
        self._journal.note("call", direction="out", destination=request.destination, pages=len(pages))
        publish(call.Dialing())
        try:
            self._towards = await _resolve(request.destination)
            socket, media = self._carrier.open_media(self._towards)
        except FaxError as why:
            outcome = Outcome(cause=Cause.BAD_ADDRESS, phase=Phase.CALL)
            return self._end(replace(outcome, sentence=verdict.explain(outcome, sending=True, evidence=str(why))))
        self._journal.note("media", host=socket.address[0], port=socket.address[1])
        self._carrier.allow_host(self._towards[0])
        try:
            options = _with_id(self._carrier.leg_options, request.local_id)
            one = Leg(options, media, pages=pages, seeds=self._carrier.seeds(), now=trio.current_time())
            runner = Runner(one, socket, self._journal, obey=self._obey, publish=publish, document=request.document)
            return self._end(await self._drive(runner, leg.Dial()))
        finally:
            socket.close()

    def on_sip(self, event: sip.SipEvent) -> None:
        """Take an event of the agent; hosts we call are heard until their last word."""
        last = isinstance(event, sip.Released) and event.call == self._key
        super().on_sip(event)
        if last:
            self._carrier.forget_host(self._towards[0])

    def _obey(self, order: SipOrder) -> None:
        if isinstance(order, leg.Invite) and self._request is not None:
            self._key = self._carrier.agent.invite(
                self._request.destination,
                sdp=order.sdp,
                from_user=self._request.local_id.replace(" ", "") or "vfax",
                from_name=self._request.caller_name,
                destination=self._towards,
                now=trio.current_time(),
            )
            self._carrier.adopt(self._key, self)
        else:
            self._obey_in_dialog(order)
        self._carrier.pump()


def _with_id(options: LegOptions, local_id: str) -> LegOptions:
    return replace(options, fax=replace(options.fax, local_id=local_id))


def _page_infos(headers: Sequence[tiff.PageHeader], document: Path) -> tuple[t30.PageInfo, ...]:
    infos = []
    for number, header in enumerate(headers, 1):
        resolution = header.resolution
        if resolution is None or not header.bilevel:
            raise DocumentError(
                f"{document}: page {number} ({header.x_dpi} x {header.y_dpi} dpi, {header.compression}) is not a fax "
                "page; prepare the document first"
            )
        infos.append(t30.PageInfo(header.width_px, header.rows, resolution))
    return tuple(infos)


async def _resolve(uri: str) -> Address:
    """Host and port behind a SIP URI: a numeric address, or the first that the system's resolver names."""
    try:
        parsed = Uri.parse(uri)
    except DecodeError as why:
        raise LinkError(f"{uri!r} is not a SIP address: {why.what}") from why
    if parsed.scheme != "sip":
        raise LinkError(f"{uri!r} cannot be called: only sip: addresses can")
    try:
        found = await trio.socket.getaddrinfo(parsed.host, parsed.port or 5060, type=trio.socket.SOCK_DGRAM)
    except OSError as why:
        raise LinkError(f"{parsed.host} cannot be resolved: {why.strerror}") from why
    address = found[0][4]
    return str(address[0]), int(address[1])
