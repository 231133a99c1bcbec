"""The two kinds of calls an endpoint carries: `call.InboundCall` and `call.OutboundCall` on SIP.

Owns      what joins one leg to one dialog: from the offer or the request to the file or the confirmation.
Not here  what both share (carried.py), the endpoint (endpoint.py), a call's course (leg.py), its tasks (runner.py).
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from functools import partial
from pathlib import Path
from typing import Final

import trio

from vfax import call, leg
from vfax.carried import NOTHING, Carried, Carrier, seen_from
from vfax.codecs import tiff
from vfax.codecs.header_line import HeaderLine
from vfax.errors import DecodeError, DocumentError, FaxError, LinkError, NameServiceSilent
from vfax.leg import Leg, LegOptions, SipOrder
from vfax.outcome import Cause, Outcome
from vfax.pages import PageFolder
from vfax.record import Terms
from vfax.resolving import Way
from vfax.runner import Runner
from vfax.sheets import header_line, header_of, page_infos
from vfax.switchboard import retry_after
from vfax.t30 import values as t30
from vfax.transports.sip import values as sip
from vfax.transports.sip.account import Account
from vfax.transports.sip.choosing import Wanted, objection_to
from vfax.transports.sip.families import media_host
from vfax.transports.sip.negotiation import MediaSession
from vfax.transports.sip.values import Address, Hop
from vfax.transports.tcp import MediaSocket
from vfax.transports.udp import format_address
from vfax.trunks.desk import Departure
from vfax.trunks.options import TrunkOptions

ENDED_EARLY: Final = (sip.Cancelled, sip.HungUp, sip.DialogLost, sip.Released)
SERVER_ERROR: Final = 500
UNABLE: Final = 503
MAX_HOSTS: Final = 8
"""Limit: hosts that one outgoing call may let in."""


@dataclass(frozen=True, slots=True, kw_only=True)
class _Errand:
    """What a call is for: to send `document`, which is in `file`, or to fill `folder`; only ours have a destination."""

    destination: str = ""
    local_id: str
    caller_name: str = ""
    max_rate_bps: int = 0
    ecm: bool | None = None
    document: t30.SendDocument | None = None
    file: Path | None = None
    header: HeaderLine | None = None
    poll: t30.Poll | None = None
    folder: PageFolder | None = None


class IncomingFax(Carried):
    """An incoming call: implements `call.InboundCall`."""

    sending = False  # unless it is polled
    calling = False

    def __init__(self, carrier: Carrier, event: sip.IncomingCall) -> None:
        super().__init__(carrier)
        self._key = event.call
        self._event = event
        self._account = carrier.switchboard.desk.account_of(event)
        carrier.agent.assign(event.call, self._account)
        who = carrier.switchboard.desk.parties(self._account, event)
        self.caller, self.caller_name, self.dialled = who.caller, who.caller_name, who.dialled
        self.ended_early = trio.Event()
        self._open_journal(event.source)
        self._journal.note(
            "call",
            direction="in",
            caller=self.caller,
            caller_name=self.caller_name,
            dialled=self.dialled,
            peer=format_address(event.source),
            call_id=event.call_id,
            user_agent=event.user_agent,
            **_trunk_of(self._account),
        )

    @property
    def policy(self) -> LegOptions:
        """How this call is taken."""
        return self._carrier.switchboard.desk.leg_options(self._account)

    def objection(self) -> tuple[int, str]:
        """A status and why, when this call is refused before it rings; 0 when nothing is wrong with it."""
        if missing := self._carrier.agent.missing(self._event.call):
            return 421, f'the caller does not know {missing}, and reliable = "require" asks for it'
        leg = self.policy
        try:
            why = objection_to(self._event.offer, Wanted(leg.tcp, leg.dtls, leg.audio_codecs))
        except DecodeError as unreadable:
            return 400, f"the offer cannot be read, {unreadable}"
        return (488, why) if why else (0, "")

    def admit(self) -> bool:
        """Take a turn at the trunk; without one the call is refused with 503, and False."""
        turn = self._carrier.switchboard.admit(self._account)
        if turn.goes:
            self._has_turn = True
        else:
            self.refuse(UNABLE, turn.why, retry_after=retry_after(turn))
        return turn.goes

    def arrive(self, on_call: Callable[[call.InboundCall], None] | None) -> None:
        """Refuse the call, or hand it to whoever takes calls. A fault of ours or of theirs loses it, and no other."""
        try:
            status, why = self.objection()
            if status:
                self.refuse(status, why)
            elif self.admit() and on_call is not None:
                on_call(self)
        except Exception as fault:
            self._end(self._fault(fault, NOTHING))
            self.refuse(SERVER_ERROR)

    def ring(self) -> None:
        """180."""
        if self._key is not None and not self.ended_early.is_set():
            self._carrier.agent.ring(self._key, trio.current_time())
            self._carrier.pump()

    def refuse(self, status: int, why: str = "", *, retry_after: int | None = None) -> None:
        """Final refusal with `status`; `why` is for the journal, `retry_after` (seconds) for the caller."""
        if self._key is None or self.ended_early.is_set():
            self._end(self._gave_up())
            return
        self._carrier.agent.refuse(self._key, status, trio.current_time(), retry_after=retry_after)
        self._carrier.pump()
        self._end(self._failed(Cause.REJECTED, why, status))

    def on_sip(self, event: sip.SipEvent) -> None:
        """Take an event of the agent; before the answer it can only be the end."""
        super().on_sip(event)
        if self._runner is None and isinstance(event, ENDED_EARLY):
            self._end_early()

    def cut_off(self) -> None:
        """As of Carried."""
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
            folder = PageFolder(target, disk=self._carrier.disk)
            outcome = await self._answer(_Errand(local_id=local_id, folder=folder), publish)
            if self._runner is None:
                return self._end(outcome)
            return self._end(await self._guarded(partial(self._put_together, folder, outcome), outcome))

    async def offer(self, offered: call.Offered, *, publish: call.Publish) -> Outcome:
        """Answer, and let the caller poll a document. Returns an outcome; raises DocumentError before answering only.

        Not in `call.InboundCall`: the contract between devices and services knows no polling.
        """
        self.sending = True
        with self._to_the_end():
            headers = await trio.to_thread.run_sync(tiff.read_headers, offered.document)
            asks = t30.Addressing(poll_address=offered.poll_address, poll_password=offered.poll_password)
            pages = page_infos(headers, offered.document)
            document = t30.SendDocument(pages, addressing=asks, alone=True)
            header = None
            if offered.header:
                header = header_line(
                    datetime.now(UTC),
                    offered.header_timezone,
                    name=offered.name,
                    local_id=offered.local_id,
                    recipient=self.caller,
                    pages=len(pages),
                )
            errand = _Errand(local_id=offered.local_id, document=document, file=offered.document, header=header)
            return self._end(await self._answer(errand, publish))

    async def _answer(self, errand: _Errand, publish: call.Publish) -> Outcome:
        """Answer and run the call; without a runner it never came to that."""
        if self._key is None or self._over or self.ended_early.is_set():
            return self._gave_up()
        peer = self._account.name or self._event.source[0]
        options = self._take_advice(_with_id(self.policy, errand.local_id), peer, self.caller)
        try:
            socket, media = await self._carrier.open_media(self._media_peer(), self._account, options)
        except FaxError as why:
            return self._refuse_unable(why)
        if self._key is None or self._over or self.ended_early.is_set():
            socket.close()
            return self._gave_up()
        self._note_media(socket.address, self._event.source)
        try:
            event, seeds, document = self._event, self._carrier.seeds(), errand.document
            one = Leg(options, media, incoming=event, document=document, seeds=seeds, now=trio.current_time())
            terms = Terms(options=options, called=True, document=document, peer_agent=event.user_agent)
            runner = Runner(
                one,
                socket,
                self._journal,
                record=self._record(terms),
                obey=self._obey_in_dialog,
                publish=publish,
                folder=errand.folder,
                document=errand.file,
                header=errand.header,
                capture=self._capture,
            )
            return await self._drive(runner, leg.Accept())
        finally:
            socket.close()

    def _media_peer(self) -> Address:
        """Whom our media is for: their SDP may be of the other IP version than their SIP."""
        source, host = self._event.source, media_host(self._event.offer)
        return source if host is None or (":" in host) is (":" in source[0]) else (host, source[1])

    def _refuse_unable(self, why: FaxError) -> Outcome:
        """No socket for the media: the caller may try elsewhere, or later."""
        if self._key is not None:
            self._carrier.agent.refuse(self._key, UNABLE, trio.current_time())
            self._carrier.pump()
        return self._failed(Cause.LINE_UNAVAILABLE, str(why), UNABLE)


class OutgoingFax(Carried):
    """An outgoing call: implements `call.OutboundCall`."""

    sending = True  # unless it polls
    calling = True

    def __init__(self, carrier: Carrier) -> None:
        super().__init__(carrier)
        self._targets: Sequence[Hop] = ()
        self._uris: Sequence[str] = ()  # what is dialled at each
        self._looking_up = trio.CancelScope()
        self._beside: trio.Nursery | None = None  # of look-ups while the call goes on
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
            to = t30.Addressing(subaddress=request.subaddress, sender_password=request.sender_password)
            errand = _Errand(
                destination=request.destination,
                local_id=request.local_id,
                caller_name=request.caller_name,
                max_rate_bps=request.max_rate_bps,
                ecm=request.ecm,
                document=t30.SendDocument(pages, request.first_page, to),
                file=request.document,
                header=header_of(request, datetime.now(UTC), len(pages)),
            )
            return self._end(await self._dial(errand, publish))

    async def poll(self, request: call.PollRequest, target: Path, *, publish: call.Publish) -> Outcome:
        """Dial, ask for a document (DTC), receive it into `target` as `call.InboundCall.receive` does; never raises.

        Not in `call.OutboundCall`: the contract between devices and services knows no polling.
        """
        self.sending = False
        self._open_journal(("192.0.2.1", 9))
        with self._to_the_end():
            self._journal.note("call", direction="out", destination=request.destination, polls=True)
            publish(call.Dialing())
            to = t30.Addressing(poll_address=request.poll_address, poll_password=request.poll_password)
            folder = PageFolder(target, disk=self._carrier.disk)
            errand = _Errand(
                destination=request.destination,
                local_id=request.local_id,
                caller_name=request.caller_name,
                poll=t30.Poll(to),
                folder=folder,
            )
            outcome = await self._dial(errand, publish)
            return self._end(await self._guarded(partial(self._put_together, folder, outcome), outcome))

    async def _dial(self, errand: _Errand, publish: call.Publish) -> Outcome:
        desk = self._carrier.switchboard.desk
        way = desk.depart(errand.destination, number=errand.local_id, name=errand.caller_name)
        self._account = way.account
        options = _with_id(desk.leg_options(self._account), errand.local_id)
        options = _restrained(self._take_advice(options, way.peer, way.number), errand)
        prepared = None
        with self._looking_up:
            prepared = await self._prepare(way, options)
        if isinstance(prepared, Outcome):
            return prepared
        if prepared is None or self._aborted:
            if prepared is not None:
                prepared[0].close()
            return self._failed(Cause.ABORTED, "")
        socket, media = prepared
        towards = self._targets[0].address
        self._capture.sip_at = seen_from(towards, self._carrier.address)
        self._note_media(socket.address, towards)
        try:
            document, poll, now = errand.document, errand.poll, trio.current_time()
            one = Leg(options, media, document=document, poll=poll, seeds=self._carrier.seeds(), now=now)
            runner = Runner(
                one,
                socket,
                self._journal,
                record=self._record(Terms(options=options, called=False, document=document, poll=poll)),
                capture=self._capture,
                obey=partial(self._obey, way),
                publish=publish,
                folder=errand.folder,
                document=errand.file,
                header=errand.header,
            )
            async with trio.open_nursery() as self._beside:
                outcome = await self._drive(runner, leg.Dial())
                self._beside.cancel_scope.cancel()
            return outcome
        finally:
            socket.close()

    async def _redirect(self, event: sip.Redirected) -> None:
        """Find where a redirected call may go on; nowhere ends it."""
        places: list[tuple[str, Sequence[Hop]]] = []
        for uri in event.uris:
            try:
                places.append((uri, (await self._find([uri])).targets))
            except LinkError as why:
                self.note("found", destination=uri, why=str(why))
        if self._key == event.call:
            self._carrier.agent.follow(event.call, places, trio.current_time())
            self._carrier.pump()

    async def _prepare(self, way: Departure, options: LegOptions) -> tuple[MediaSocket, MediaSession] | Outcome:
        """Wait for a turn, find where to call, and open a socket for the media; or what the call has come to."""
        trunk = self._carrier.switchboard.desk.trunk_of(way.account)
        if trunk is not None and (trouble := await self._set_out(way, trunk)):
            return self._failed(Cause.LINE_UNAVAILABLE, trouble)
        try:
            found = await self._find(way.goals)
            self._targets, self._uris = found.targets, [way.uris[number] for number in found.goals]
        except LinkError as why:
            self.note("found", why=str(why))
            if trunk is None and not isinstance(why, NameServiceSilent):
                return self._failed(Cause.BAD_ADDRESS, str(why))
            self._unfound = True
            return self._failed(Cause.NETWORK, str(why))
        try:
            return await self._carrier.open_media(self._targets[0].address, self._account, options)
        except FaxError as why:
            return self._failed(Cause.LINE_UNAVAILABLE, str(why))

    async def _set_out(self, way: Departure, trunk: TrunkOptions) -> str:
        """Take a turn at the trunk; why there is none, "" when there is."""
        self._journal.note("trunk", name=trunk.name, dials=way.uri)
        if not trunk.enabled:
            return f"the trunk {trunk.name} has enabled = false in the settings"
        turn = await self._carrier.switchboard.enter(way.account)
        self._has_turn = turn.goes
        return turn.why

    async def _find(self, goals: Sequence[str]) -> Way:
        """The targets, and in the journal what they are and what they are not."""
        way = await self._carrier.find(goals, self._account)
        now = trio.current_time()
        facts: dict[str, list[str]] = {
            "targets": [f"{hop.transport} {format_address(hop.address)}" for hop in way.targets],
            "passed_over": [one.sentence(now) for one in way.passed_over],
            "notes": list(way.notes),
        }
        self._journal.note("found", **{name: said for name, said in facts.items() if said})
        return way

    def abort(self) -> None:
        """As of Carried; asking a resolver, and waiting for a turn, may take longer than an abort."""
        super().abort()
        self._looking_up.cancel()

    def on_sip(self, event: sip.SipEvent) -> None:
        """Take an event of the agent. Hosts that we write to are heard until the last word."""
        if isinstance(event, sip.MessageSeen) and event.sent:
            self._hear(event.peer[0])
        if isinstance(event, sip.Redirected) and self._beside is not None:
            self._beside.start_soon(self._redirect, event)
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

    def _obey(self, way: Departure, order: SipOrder) -> None:
        if not isinstance(order, leg.Invite):
            self._obey_in_dialog(order)
            return
        self._key = self._carrier.agent.invite(
            self._uris[0],
            uris=self._uris,
            sdp=order.sdp,
            from_user=way.from_user,
            from_name=way.from_name,
            targets=self._targets,
            account=self._account,
            now=trio.current_time(),
        )
        self._carrier.adopt(self._key, self)
        self._carrier.pump()


def _trunk_of(account: Account) -> dict[str, str]:
    """The trunk as a fact of a journal, where there is one."""
    return {"trunk": account.name} if account.name else {}


def _with_id(options: LegOptions, local_id: str) -> LegOptions:
    return replace(options, fax=replace(options.fax, local_id=local_id))


def _restrained(options: LegOptions, errand: _Errand) -> LegOptions:
    """No faster, and with ECM or without, as earlier attempts advise; never below the slowest rate that is allowed."""
    fax = options.fax
    rate_bps = max(fax.min_rate_bps, min(fax.max_rate_bps, errand.max_rate_bps or fax.max_rate_bps))
    ecm = fax.ecm if errand.ecm is None else errand.ecm
    return replace(options, fax=replace(fax, max_rate_bps=rate_bps, ecm=ecm))
