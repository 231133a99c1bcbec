"""One job: one operation on one line, from StartJob to EndJob.

Owns      the operation's status and facts, what is posted when, the latched abort.
Not here  the contract's functions (provider.py), the line (line.py), how the fax travels (vfax/call.py).

Everything runs in the provider's trio run except `abort`, `status` and `report`, which any thread may call: they read
or set single references to frozen values.
"""

import math
from collections.abc import Awaitable, Callable, Iterator
from contextlib import contextmanager
from dataclasses import replace
from enum import Enum, auto
from pathlib import Path
from typing import Final, NoReturn, assert_never

import trio

from vfax.call import (
    Addressed,
    Answered,
    CallEvent,
    Dialing,
    Identified,
    InboundCall,
    Negotiated,
    Network,
    OutboundCall,
    PageBegun,
    PageDone,
    PageMoving,
    Ringing,
    SendRequest,
)
from vfax.device.line import IN_USE, Line
from vfax.device.options import DeviceOptions
from vfax.device.status import ending_of, failure, peer_text, routing_info
from vfax.errors import DocumentError, FaxError, LinkError, StoreError
from vfax.fsp.completion import CompletionPort, StatusKey
from vfax.fsp.constants import FaxStatus
from vfax.fsp.errors import InvalidParameter, PortError
from vfax.fsp.structures import CallFacts, FaxDevStatus, FaxReceive, FaxSend, SendHints
from vfax.outcome import Cause, Outcome
from vfax.verdict import aborted, without_call

DECLINED: Final = 603
"""SIP status for a caller whose job was aborted before the answer (RFC 3261 21.6.2)."""
UNAVAILABLE: Final = 480
"""SIP status for a caller whom we cannot serve now (RFC 3261 21.4.18)."""

ABORTED: Final = without_call(Cause.ABORTED, "The fax was aborted on this side.", sending=False)
NO_RING: Final = without_call(
    Cause.LINE_UNAVAILABLE, "No call rings on this line: receiving without a ring is not possible.", sending=False
)
BROKEN: Final = without_call(Cause.INTERNAL, "The operation ended with an error of this program.", sending=False)

_CAUSES: Final = {DocumentError: Cause.DOCUMENT, StoreError: Cause.STORAGE, LinkError: Cause.NETWORK}


def _cause_of(error: FaxError) -> Cause:
    return next((cause for kind, cause in _CAUSES.items() if isinstance(error, kind)), Cause.INTERNAL)


class JobState(Enum):
    """How far a job has come; one operation a job."""

    STARTED = auto()
    RUNNING = auto()
    DONE = auto()


class JobHandle:
    """What a host sees of a job: nothing but its identity."""

    __slots__ = ()


Ask = Callable[[JobHandle], Awaitable[bool]]
"""What the host's FaxSendCallback says: False means that the call must not be made."""


class Job:
    """One operation. `post_failures` counts statuses that the host's port did not take."""

    def __init__(
        self,
        line: Line,
        options: DeviceOptions,
        network: Network,
        port: CompletionPort,
        key: StatusKey,
        token: trio.lowlevel.TrioToken,
    ) -> None:
        self.handle = JobHandle()
        self.line = line
        self.state = JobState.STARTED
        self.done = trio.Event()
        self.post_failures = 0
        self._options = options
        self._network = network
        self._port = port
        self._key = key
        self._token = token
        self._scope = trio.CancelScope()
        self._asking = trio.CancelScope()  # around the host's callback, which an abort does not wait for
        self._call: InboundCall | OutboundCall | None = None
        self._note: Callable[..., None] | None = None
        self._inbound = False
        self._aborted = False
        self._ended = False
        self._posted: tuple[int, int] | None = None
        self._facts = CallFacts(device_id=line.device_id)
        self._moving: PageMoving | None = None
        self._status = FaxDevStatus(FaxStatus.FS_INITIALIZING)
        self._hints = SendHints(
            first_page=options.first_page, subaddress=options.subaddress, sender_password=options.sender_password
        )

    # --- any thread ------------------------------------------------------------------------------

    @property
    def status(self) -> FaxDevStatus:
        """What the operation does, or how it ended."""
        return self._status

    def report(self) -> CallFacts:
        """All that is known about the call."""
        facts, moving = self._facts, self._moving
        if moving is None:
            return facts
        return replace(facts, page=moving.number, progress_done=moving.done, progress_total=moving.total)

    def hint(self, hints: SendHints) -> None:
        """Take how the coming document is to be sent. Raises InvalidField, InvalidParameter once it is being sent."""
        if not isinstance(hints, SendHints):
            raise InvalidParameter(f"Hints: SendHints are expected, not {type(hints).__name__}")
        if self.state is not JobState.STARTED:
            raise InvalidParameter("FaxHandle: this job has begun its operation; hints come before FaxDevSend")
        self._hints = hints

    def abort(self) -> None:
        """Latch the abort and return; the operation ends by itself, or does not begin. Harmless once it is over."""
        self._aborted = True
        try:
            self._token.run_sync_soon(self._pass_on_abort)
        except trio.RunFinishedError:  # nothing runs any more
            return

    def _pass_on_abort(self) -> None:
        self._asking.cancel()
        if self._call is not None:
            self._call.abort()

    # --- the operation ---------------------------------------------------------------------------

    async def receive(self, slot: FaxReceive) -> FaxReceive:
        """Answer the call that rings, receive it into the existing file. Raises OperationFailed, InvalidParameter."""
        with self._operation():
            number = self._options.local_id or slot.receiver_number
            name = self._options.receiver_name or slot.receiver_name
            filled = replace(slot, receiver_name=name, receiver_number=number)
            target = Path(slot.file_name)
            call = self._take_call(target)

            def receiving() -> Awaitable[Outcome]:
                return call.receive(target, local_id=number, publish=self.publish)

            await self._run(call, receiving)
        return filled

    async def send(self, document: FaxSend, ask: Ask) -> None:
        """Dial and send the document. Raises OperationFailed, InvalidParameter."""
        with self._operation():
            if self._aborted:
                self._fail(ABORTED)
            refused = self.line.seize(self)
            if refused is not None:
                self._fail(refused)
            hints = self._hints
            self._facts = replace(self._facts, dialled=peer_text(document.receiver_number), next_page=hints.first_page)
            self._say(FaxStatus.FS_INITIALIZING)
            call = self._network.outbound()
            await self._ask_host(ask)
            request = SendRequest(
                document=Path(document.file_name),
                destination=document.receiver_number,
                local_id=document.caller_number or self._options.local_id,
                caller_name=document.caller_name,
                header=self._options.header,
                header_timezone=self._options.header_timezone,
                first_page=hints.first_page,
                max_rate_bps=hints.max_rate_bps,
                ecm=hints.ecm,
                subaddress=hints.subaddress,
                sender_password=hints.sender_password,
            )
            await self._run(call, lambda: call.send(request, publish=self.publish))

    async def _ask_host(self, ask: Ask) -> None:
        """Let the host see the call before it is dialled. Raises OperationFailed when it says no, or on an abort."""
        agreed = False
        with self._asking:
            agreed = await ask(self.handle)
        if self._asking.cancelled_caught:
            self._fail(ABORTED)
        if not agreed:
            self._fail(replace(ABORTED, sentence="The host refused the call before it was dialled."))

    def end(self) -> None:
        """EndJob: post nothing any more and give the line back (a running operation is cut off first)."""
        self._ended = True
        if self.state is JobState.RUNNING:
            self.cut_off()
        else:
            self.line.release(self)

    def cut_off(self) -> None:
        """Cancel the running operation: it ends with FS_USER_ABORT."""
        self._aborted = True
        self._asking.cancel()
        self._scope.cancel()

    @contextmanager
    def _operation(self) -> Iterator[None]:
        """Hold the rule that an operation, however it ends, leaves a final status behind."""
        if self.state is not JobState.STARTED:
            raise InvalidParameter("FaxHandle: this job has had its operation; start another job")
        self.state = JobState.RUNNING
        try:
            yield
        finally:
            self._call = None
            if self._facts.outcome is None:
                cancelled = trio.current_effective_deadline() == -math.inf
                self._finish(ABORTED if cancelled else BROKEN)
            self.state = JobState.DONE
            self.done.set()
            if self._ended:
                self.line.release(self)

    def _take_call(self, target: Path) -> InboundCall:
        """Take the ringing call, which from here on is ours to answer or refuse. Raises OperationFailed.

        The file must be there already (OPEN_EXISTING): one look at what the host has just made needs no thread.
        """
        missed = self.line.missed or (IN_USE if self.line.held_by_another(self) else NO_RING)
        call = self.line.take(self)
        if call is None:
            self._fail(ABORTED if self._aborted else missed)
        self._note_caller(call)
        if self._aborted:
            call.refuse(DECLINED)
            self._fail(ABORTED)
        if not target.is_file():
            call.refuse(UNAVAILABLE)
            why = f"The file to receive into, {target}, does not exist."
            self._fail(without_call(Cause.STORAGE, why, sending=False))
        return call

    async def _run(self, call: InboundCall | OutboundCall, operate: Callable[[], Awaitable[Outcome]]) -> None:
        """See a call through to its outcome and say it. Raises OperationFailed unless the fax is complete."""
        self._call = call
        self._facts = replace(self._facts, call_id=call.id, journal_path=str(call.journal_path or ""))
        self._note = call.note
        if self._aborted:  # it came before there was a call to pass it on to
            call.abort()
        outcome = ABORTED  # of an operation that is cut off
        with self._scope:
            try:
                outcome = await operate()
            except FaxError as why:
                outcome = without_call(_cause_of(why), str(why), sending=not self._inbound)
        if self._aborted and not outcome.ok and outcome.cause is not Cause.ABORTED:
            # the peer may have hung up first, but what was asked for here is what the service must hear
            outcome = aborted(outcome, sending=not self._inbound)
        if not outcome.ok:
            self._fail(outcome)
        self._finish(outcome)

    def publish(self, event: CallEvent) -> None:
        """Take one event of the call: note it, and post the status when it changes."""
        match event:
            case PageMoving():  # many a page: one reference, nothing else
                self._moving = event
            case Dialing():
                self._say(FaxStatus.FS_DIALING)
            case Answered():
                if self._inbound:
                    self._say(FaxStatus.FS_ANSWERED)
            case Ringing():
                return  # dialling goes on
            case Identified(remote_id):
                self._facts = replace(self._facts, remote_id=peer_text(remote_id))
                self._status = replace(self._status, csi=self._facts.remote_id)
            case Addressed(subaddress):
                self._facts = replace(self._facts, subaddress=peer_text(subaddress))
                self._status = replace(self._status, routing_info=self._routing_info())
            case Negotiated(rate_bps, ecm, coding, resolution):
                self._facts = replace(self._facts, rate_bps=rate_bps, ecm=ecm, coding=coding, resolution=resolution)
            case PageBegun(number):
                self._moving = None
                self._facts = replace(self._facts, page=number, progress_done=0, progress_total=0)
                self._say(FaxStatus.FS_RECEIVING if self._inbound else FaxStatus.FS_TRANSMITTING)
            case PageDone(number):
                confirmed = max(self._facts.pages_confirmed, number)
                following = number + 1 if number == self._facts.next_page else self._facts.next_page
                self._facts = replace(self.report(), pages_confirmed=confirmed, next_page=following)
                self._moving = None
            case _:
                assert_never(event)

    def _routing_info(self) -> str:
        return routing_info(self._facts.dialled, self._facts.subaddress) if self._inbound else ""

    # --- saying it -------------------------------------------------------------------------------

    def _note_caller(self, call: InboundCall) -> None:
        self._inbound = True
        self._facts = replace(
            self._facts,
            call_id=call.id,
            caller_id=peer_text(call.caller),
            caller_name=peer_text(call.caller_name),
            dialled=peer_text(call.dialled),
        )

    def _say(self, status_id: FaxStatus, error_code: int = 0) -> None:
        """Set the status, and post it when code or page are news."""
        facts = self._facts
        self._status = FaxDevStatus(
            status_id,
            page_count=facts.page,
            csi=facts.remote_id,
            caller_id=facts.caller_id if self._inbound else "",
            routing_info=self._routing_info(),
            error_code=error_code,
        )
        news = (status_id, facts.page)
        if news == self._posted or self._ended:
            return
        self._posted = news
        if self._note is not None:
            self._note("status", status=status_id.name, page=facts.page, remote_id=facts.remote_id)
        try:
            self._port.post(self._key, self._status)
        except PortError:  # full or closed: the host can still ask, and the fax goes on
            self.post_failures += 1

    def _finish(self, outcome: Outcome) -> None:
        """Note the outcome and say the final status, the last that is posted."""
        facts = self.report()
        self._moving = None
        self._facts = replace(
            facts,
            remote_id=peer_text(outcome.remote_id) or facts.remote_id,
            rate_bps=outcome.rate_bps or facts.rate_bps,
            ecm=facts.ecm if outcome.ecm is None else outcome.ecm,
            coding=outcome.coding or facts.coding,
            resolution=outcome.resolution or facts.resolution,
            pages_confirmed=outcome.pages_confirmed,
            pages_partial=outcome.pages_partial,
            bad_rows=outcome.bad_rows,
            outcome=outcome,
            sentence=outcome.sentence,
        )
        ending = ending_of(outcome)
        self._say(ending.status, ending.winerror)

    def _fail(self, outcome: Outcome) -> NoReturn:
        self._finish(outcome)
        raise failure(outcome)
