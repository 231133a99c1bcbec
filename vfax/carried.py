"""One call on its way: what incoming and outgoing calls share.

Owns      what a call needs of its endpoint (`Carrier`), a call's files, its journal and outcome, the guard around it.
Not here  the two kinds of calls (calls.py), the endpoint (endpoint.py), a call's course (leg.py), tasks (runner.py).
"""

import ipaddress
import time
import traceback
from collections.abc import Awaitable, Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import Final, Protocol

import trio

from vfax import leg, verdict
from vfax.capture import Capture, CaptureOptions
from vfax.codecs import tiff
from vfax.course import Course
from vfax.disk import Disk
from vfax.errors import DocumentError, LinkError, MisuseError, StoreError, only_one
from vfax.journal import Journal, facts_of
from vfax.learned import Learned
from vfax.learning import Lesson, advised
from vfax.leg import LegOptions, Opening, SipOrder
from vfax.outcome import Cause, Outcome, Phase
from vfax.pages import PageFolder
from vfax.record import CallRecord, RecordOptions, Terms
from vfax.resolving import Way
from vfax.runner import Runner
from vfax.switchboard import Switchboard
from vfax.t30 import values as t30
from vfax.transports.sip import values as sip
from vfax.transports.sip.account import NO_ACCOUNT, Account
from vfax.transports.sip.agent import Agent
from vfax.transports.sip.negotiation import MediaSession
from vfax.transports.sip.values import Address, CallKey
from vfax.transports.tcp import MediaSocket
from vfax.transports.udp import address_towards, format_address
from vfax.trunks.board import Direction, FaxSeen

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
    def switchboard(self) -> Switchboard:
        """The trunks, and the policy of each call."""
        ...

    async def find(self, goals: Sequence[str], account: Account) -> Way:
        """Where to send the INVITE, best first. Raises LinkError for what cannot be called."""
        ...

    @property
    def learned(self) -> Learned:
        """What was learned of peers."""
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

    def adopt(self, key: CallKey, carried: "Carried") -> None:
        """Events of `key` go to `carried` from now on."""
        ...

    def allow_host(self, host: str) -> None:
        """Hear `host` while we call it."""
        ...

    def forget_host(self, host: str) -> None:
        """One call to `host` less."""
        ...

    async def open_media(
        self, peer: Address, account: Account, options: LegOptions
    ) -> tuple[MediaSocket, MediaSession]:
        """A media socket and our side of the offer/answer that names it; `options` are those of the call."""
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


class Carried:
    """What incoming and outgoing calls share: a runner, a journal, an abort that is never lost."""

    sending: bool
    calling: bool

    def __init__(self, carrier: Carrier) -> None:
        self._carrier = carrier
        self._runner: Runner | None = None
        self._key: CallKey | None = None  # of the dialog, while the agent has one
        self._aborted = False
        self._over = False  # the outcome is known
        self._account = NO_ACCOUNT
        self._direction = Direction.OUT if self.calling else Direction.IN
        self._has_turn = False  # at the trunk: it is to be told when the call is over
        self._seen: FaxSeen | None = None  # what the trunk is told then
        self._peer = ""  # under which a lesson is remembered; empty: none is
        self._number = ""
        self.id = carrier.new_id()
        self.journal_path = carrier.journal_path(self.id)
        self._failed_so_far = True
        self._unfound = False  # where to call was not to be found out
        self._journal = Journal(None, clock=trio.current_time, call=self.id)
        self._capture = self._make_capture(None)

    def _open_journal(self, peer: Address) -> None:
        """Begin to write down. `peer` decides which of our addresses the other side sees."""
        self._journal = Journal(self.journal_path, clock=trio.current_time, call=self.id)
        self._capture = self._make_capture(self.journal_path)
        self._capture.sip_at = seen_from(peer, self._carrier.address)

    def _make_capture(self, journal: Path | None) -> Capture:
        path = None if journal is None else journal.with_suffix(".pcap")
        return Capture(path, self._carrier.capture_options, clock=trio.current_time, wall=time.time)

    def _close_files(self) -> None:
        """Nothing will be written any more. May be called twice."""
        if (path := self._capture.close(failed=self._failed_so_far)) is not None:
            self._journal.note(
                "capture",
                file=path.name,
                datagrams=self._capture.datagrams,
                left_out=self._capture.left_out,
                decrypted=self._capture.decrypted,
            )
        if self._capture.trouble:
            self._journal.note("capture", why=self._capture.trouble)
        self._journal.close()
        if self._has_turn:
            self._has_turn = False
            self._carrier.switchboard.leave(self._account, self._direction, self._seen)

    def _look_back(self, outcome: Outcome) -> FaxSeen:
        """What a trunk may be told of this call once it is over."""
        heard = self.answered or outcome.sip_status is not None
        silent = outcome.cause is Cause.NETWORK and not heard
        return FaxSeen(
            ok=outcome.ok,
            t38=self._came_to_t38(outcome),
            reached=True if heard else False if silent else None,
            sentence=outcome.sentence,
        )

    def _record(self, terms: Terms) -> CallRecord:
        return CallRecord(self._journal, terms, self._carrier.record_options)

    def _note_media(self, address: Address, peer: Address) -> None:
        self._capture.media_at = seen_from(peer, address)
        self._journal.note("media", host=address[0], port=address[1])

    @property
    def opening(self) -> Opening | None:
        """How the call came to T.38, so far; None before it has begun."""
        return None if self._runner is None else self._runner.opening

    @property
    def answered(self) -> bool:
        """Whether the call was answered."""
        return self._runner is not None and self._runner.course.answered_at is not None

    @property
    def is_fax(self) -> bool:
        """Whether T.38 ran."""
        return self._runner is not None and self._runner.course.is_fax

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
            by = {"by": str(event.transport)} if event.transport.reliable else {}
            self._journal.note("sip", direction=direction, peer=format_address(event.peer), **by, summary=event.summary)
            self._capture.sip(event.octets, event.peer, sent=event.sent)
            return
        if isinstance(event, sip.DatagramDropped | sip.RequestDone | sip.CredentialsRefused) or event.call != self._key:
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
        fault = only_one(fault)
        if isinstance(fault, LinkError):
            return self._explained(replace(so_far, cause=Cause.NETWORK), str(fault))
        self._carrier.count_bug()
        self._journal.note("fault", what=repr(fault), trace=traceback.format_exception(fault))
        return self._explained(replace(so_far, cause=Cause.INTERNAL), repr(fault))

    def _explained(self, outcome: Outcome, evidence: str) -> Outcome:
        course = Course(calling=self.calling, unfound=self._unfound) if self._runner is None else self._runner.course
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
            self._seen = self._look_back(outcome)
            self._teach(outcome)
            self._journal.note("outcome", **facts_of(outcome))
        if self._key is None:
            self._close_files()
        return outcome

    def _take_advice(self, options: LegOptions, peer: str, number: str) -> LegOptions:
        """A call's options with what earlier calls with the number taught; the journal says what that changed."""
        trunk = self._carrier.switchboard.desk.trunk_of(self._account)
        if trunk is not None and not trunk.learn:
            return options
        self._peer, self._number = peer, number
        advice = self._carrier.learned.advise(peer, number, outgoing=self.calling)
        options, sentences = advised(options, advice)
        for sentence in sentences:
            self._journal.note("learned", what=sentence)
        return options

    def _teach(self, outcome: Outcome) -> None:
        """Have remembered what this call showed of the other side."""
        runner = self._runner
        if not self._peer or runner is None or outcome.cause in (Cause.INTERNAL, Cause.ABORTED):
            return
        course = runner.course
        self._carrier.learned.learn(
            Lesson(
                peer=self._peer,
                number=self._number,
                outgoing=self.calling,
                sending=self.sending,
                at=self._carrier.learned.now,
                opening=runner.opening,
                outcome=outcome,
                t38=course.is_fax,
                rates=tuple(course.trainings),
                ecm=course.ecm,
                limit=runner.opening.datagram_limit if course.is_fax else 0,
                in_page=course.in_page,
            )
        )

    def _came_to_t38(self, outcome: Outcome) -> bool | None:
        """Whether T.38 ran; None where the call never came so far that it should have."""
        if self.is_fax:
            return True
        return False if outcome.cause in (Cause.T38_REFUSED, Cause.NOT_FAX) else None

    async def _put_together(self, folder: PageFolder, outcome: Outcome) -> Outcome:
        """All pages into the one file, after an abort too: whether they are wanted is the host's to say.

        What cannot be joined stays page by page and is found at the next start.
        """
        try:
            join = partial(tiff.join_pages, open_file=self._carrier.disk.of("page").open_read)
            await trio.to_thread.run_sync(folder.assemble, join)
        except (StoreError, DocumentError) as why:
            self._journal.note("storage", why=str(why))
            return self._explained(replace(outcome, cause=Cause.STORAGE), str(why))
        return outcome

    @contextmanager
    def _to_the_end(self) -> Iterator[None]:
        """Hold the rule that every call leaves an outcome in its journal, one that is cut off, too."""
        try:
            yield
        finally:
            if not self._over:
                self._end(self._explained(self._so_far(), "the call was cut off on this side"))

    def _so_far(self) -> Outcome:
        """The outcome of a call that is cut off: where it was, and what had been confirmed."""
        course = Course() if self._runner is None else self._runner.course
        phase = Phase.MESSAGE if course.page else Phase.CALL
        return replace(CUT_OFF, phase=phase, pages_confirmed=len(course.confirmed))

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
            case leg.AcceptOffer(sdp, fork):
                agent.accept_offer(key, sdp, now, fork)
            case leg.RefuseOffer(status, fork):
                agent.refuse_offer(key, status, now, fork)
            case leg.Refresh(sdp):
                agent.refresh(key, sdp, now)
            case leg.HangUp(reason):
                agent.hang_up(key, now, reason)
            case _:
                raise MisuseError(f"{order} inside a dialog")
        self._carrier.pump()


def seen_from(peer: Address, address: Address) -> Address:
    """An address of ours as `peer` sees it, as far as this machine can tell."""
    if not ipaddress.ip_address(address[0].partition("%")[0]).is_unspecified:
        return address
    try:
        return address_towards(peer), address[1]
    except LinkError:
        return address
