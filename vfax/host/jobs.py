"""One operation on one device: StartJob, then Send or Receive, ReportStatus, EndJob, whatever the provider does.

Owns      the order of the calls, the latched abort, the time limits, and what an operation's end means.
Not here  where received pages go (reception.py), which device is used (service.py), the guard itself (guard.py).
Source    the fax job overview and the pages of the functions: the Boolean of Send or Receive and the final status
          decide; posted statuses inform; EndJob follows every StartJob that succeeded.
"""

import math
from collections.abc import Awaitable, Callable
from contextlib import suppress
from dataclasses import dataclass, replace
from datetime import datetime

import trio

from vfax.fsp.completion import CompletionPort, StatusKey
from vfax.fsp.constants import FaxStatus, is_progress
from vfax.fsp.errors import FaxServiceError
from vfax.fsp.structures import CallFacts, FaxDevStatus
from vfax.host.events import AbortAsked, Direction, JobMoved, Observer, StatusPosted
from vfax.host.loading import Device
from vfax.host.records import CAUSE_OF_STATUS, SENTENCE_OF_STATUS, status_name
from vfax.outcome import Cause


@dataclass(frozen=True, slots=True, kw_only=True)
class JobOptions:
    """Limits of one operation, in seconds.

    `operation_timeout`: then it is aborted. `abort_grace`: what an aborted operation gets before it is cancelled.
    `poll_interval`: how often a provider that reports facts is asked for them while it works.
    """

    operation_timeout: float = 45_000.0
    abort_grace: float = 5.0
    poll_interval: float = 0.5


@dataclass(frozen=True, slots=True, kw_only=True)
class Ending:
    """How an operation ended: the Boolean, the status after checking it against the Boolean, and what is known.

    `stopped_by_host` is True when the service ended it while shutting down, which keeps the pages of a reception.
    `reported` is the status as the provider gave it.
    """

    ok: bool
    status: FaxDevStatus
    cause: Cause
    sentence: str
    facts: CallFacts | None
    stopped_by_host: bool = False
    never_started: bool = False
    reported: int = FaxStatus.FS_FATAL_ERROR


class Job:
    """One StartJob ... EndJob. `carry_out` runs it; `abort` may come at any time, from the host's thread."""

    def __init__(
        self,
        job_id: str,
        device: Device,
        direction: Direction,
        port: CompletionPort,
        *,
        observe: Observer,
        options: JobOptions,
        started_at: datetime,
    ) -> None:
        self.id = job_id
        self.device = device
        self.direction = direction
        self.key = StatusKey(job_id)
        self.started_at = started_at
        self.ended = trio.Event()
        self._guard = device.provider.guard
        self._exports = device.exports
        self._port = port
        self._observe = observe
        self._options = options
        self._handle: object | None = None
        self._posted: FaxDevStatus | None = None
        self._last_moved: JobMoved | None = None
        self._scope = trio.CancelScope()
        self._aborted_for: Cause | None = None
        self._cancel_at = math.inf
        self._stopped_by_host = False
        self._over = False  # Send or Receive has returned: an abort changes nothing any more

    # --- from the host -----------------------------------------------------------------------------

    def abort(self, *, cause: Cause = Cause.ABORTED, stopped_by_host: bool = False) -> None:
        """Ask for the end and return at once. Latched until StartJob has given a handle; the first reason stands."""
        if self._aborted_for is not None:
            return
        self._aborted_for = cause
        self._stopped_by_host = stopped_by_host
        self._cancel_at = trio.current_time() + self._options.abort_grace
        if not self._over:
            self._observe(AbortAsked(self.id, self.device.device_id))
        if self._handle is not None:
            self._send_abort()

    @property
    def aborted(self) -> bool:
        """True once the end has been asked for."""
        return self._aborted_for is not None

    @property
    def over(self) -> bool:
        """True once Send or Receive has returned."""
        return self._over

    def facts(self) -> CallFacts | None:
        """What the provider tells of the running operation; None when it tells nothing."""
        return self._ask_facts()

    def give_up(self) -> None:
        """Cancel the operation: the provider did not heed the abort."""
        self._scope.cancel()

    def take_status(self, status: FaxDevStatus) -> None:
        """Note a posted status and tell the observers what is new in it."""
        self._posted = status
        self._observe(StatusPosted(self.id, self.device.device_id, status.status_id, status.page_count))
        if self._handle is not None:
            self._tell(status, self._ask_facts())

    def tell_end(self, ending: Ending) -> None:
        """Tell the final status, should the provider have reported it without posting it. Take posted ones before."""
        posted = self._posted.status_id if self._posted is not None else None
        unheard = ending.never_started and (self.direction is Direction.RECEIVE or self._aborted_for is not None)
        if posted != ending.status.status_id and not unheard:  # who called never came through, or has been told
            self._observe(StatusPosted(self.id, self.device.device_id, ending.status.status_id))

    # --- the operation -----------------------------------------------------------------------------

    async def carry_out(self, operation: Callable[[object], Awaitable[object]]) -> Ending:
        """Run StartJob, `operation` with the handle, ReportStatus, EndJob. Never raises for what the provider does."""
        try:
            handle = await self._guard.ask(
                self._exports.FaxDevStartJob, None, self.device.device_id, self._port, self.key
            )
            if handle is None or (isinstance(handle, int) and handle == 0):
                raise self._guard.fault("FaxDevStartJob", f"gave {handle!r} for a handle")
        except FaxServiceError as why:
            return self._never_started(str(why))
        self._handle = handle
        if self._aborted_for is not None:
            self._send_abort()
        ok, words = await self._operate(operation, handle)
        ending = self._ending(ok, words, handle)
        with suppress(FaxServiceError):  # the handle is dead regardless
            await self._guard.ask(self._exports.FaxDevEndJob, handle)
        self._handle = None
        return ending

    async def _operate(self, operation: Callable[[object], Awaitable[object]], handle: object) -> tuple[bool, str]:
        ok, words = False, ""
        async with trio.open_nursery() as nursery:
            nursery.start_soon(self._watch)
            with self._scope:
                try:
                    await self._guard.operate(self._name(), lambda: operation(handle))
                    ok = True
                except FaxServiceError as why:
                    words = str(why)
            nursery.cancel_scope.cancel()
        self._over = True
        if self._scope.cancelled_caught:
            words = "The provider did not end the fax when it was told to."
            self._guard.fault(self._name(), f"still running {self._options.abort_grace:g} seconds after the abort")
        return ok, words

    async def _watch(self) -> None:
        """Ask for facts now and then, abort what takes too long, cancel what does not heed the abort."""
        limit = trio.current_time() + self._options.operation_timeout
        while True:
            await trio.sleep(
                min(self._options.poll_interval, max(0.0, min(limit, self._cancel_at) - trio.current_time()))
            )
            now = trio.current_time()
            if now >= limit:
                limit = math.inf
                self.abort(cause=Cause.LIMIT)
            if now >= self._cancel_at:
                self._scope.cancel()
                return
            if self._posted is not None and (facts := self._ask_facts()) is not None:
                self._tell(self._posted, facts)

    def _send_abort(self) -> None:
        try:
            self._guard.ask_now(self._exports.FaxDevAbortOperation, self._handle)
        except FaxServiceError:  # it cannot be refused: the operation is cancelled when the grace is over
            return

    # --- what is known -----------------------------------------------------------------------------

    def _never_started(self, words: str) -> Ending:
        status = FaxDevStatus(FaxStatus.FS_LINE_UNAVAILABLE)
        cause = Cause.ABORTED if self._aborted_for is Cause.ABORTED else Cause.LINE_UNAVAILABLE
        sentence = f"The job could not be started: {words}"
        return Ending(
            ok=False,
            status=status,
            cause=cause,
            sentence=sentence,
            facts=None,
            never_started=True,
            reported=status.status_id,
        )

    def _ending(self, ok: bool, words: str, handle: object) -> Ending:
        facts = self._ask_facts()
        status = self._final_status(handle)
        reported = status.status_id
        checked, complaint = check_status(ok, reported)
        if complaint:
            self._guard.fault(self._name(), complaint)
        if checked != status.status_id:
            status = replace(status, status_id=checked, string=None)
        cause, sentence = self._explain(ok, status, facts, words)
        stopped = self._stopped_by_host and not ok
        return Ending(
            ok=ok,
            status=status,
            cause=cause,
            sentence=sentence,
            facts=facts,
            stopped_by_host=stopped,
            reported=reported,
        )

    def _explain(self, ok: bool, status: FaxDevStatus, facts: CallFacts | None, words: str) -> tuple[Cause, str]:
        said = facts.outcome if facts is not None else None
        if said is not None and said.ok == ok:
            cause, sentence = said.cause, said.sentence
        else:
            cause, sentence = CAUSE_OF_STATUS.get(status.status_id, Cause.INTERNAL), ""
        if self._aborted_for is Cause.LIMIT and not ok:
            cause, sentence = Cause.LIMIT, f"The fax took longer than {self._options.operation_timeout:g} seconds."
        elif self._stopped_by_host and not ok:
            cause, sentence = Cause.ABORTED, "The fax was ended because the service was stopped."
        fallback = status.string or SENTENCE_OF_STATUS.get(status.status_id, "The fax failed.")
        return cause, sentence or words or fallback

    def _final_status(self, handle: object) -> FaxDevStatus:
        """Ask for the final status; failing that, the last one that was posted; failing that, a fatal error."""
        report = self._exports.FaxDevReportStatus
        try:
            answer: object = self._guard.ask_now(report, handle)
        except FaxServiceError:
            answer = self._posted
        if isinstance(answer, FaxDevStatus):
            return answer
        if answer is not None:
            self._guard.fault(report, f"answered {type(answer).__name__}")
        return self._posted or FaxDevStatus(FaxStatus.FS_FATAL_ERROR)

    def _ask_facts(self) -> CallFacts | None:
        report = self._exports.VfaxDevReportFacts
        if report is None or self._handle is None:
            return None
        try:
            facts: object = self._guard.ask_now(report, self._handle)
        except FaxServiceError:
            return None
        return facts if isinstance(facts, CallFacts) else None

    def _tell(self, status: FaxDevStatus, facts: CallFacts | None) -> None:
        moved = JobMoved(
            job=self.id,
            direction=self.direction,
            status=status.string or status_name(status.status_id),
            page=max(status.page_count, facts.page if facts is not None else 0),
            done=facts.progress_done if facts is not None else 0,
            total=facts.progress_total if facts is not None else 0,
            rate_bps=facts.rate_bps if facts is not None else 0,
            remote_id=status.csi or (facts.remote_id if facts is not None else ""),
            caller_id=status.caller_id or (facts.caller_id if facts is not None else ""),
        )
        if moved != self._last_moved:
            self._last_moved = moved
            self._observe(moved)

    def _name(self) -> str:
        return "FaxDevReceive" if self.direction is Direction.RECEIVE else "FaxDevSend"


def check_status(ok: bool, status_id: int) -> tuple[int, str]:
    """Hold the Boolean against the final status: the status that counts, and what to complain about ("" for nothing).

    The Boolean is trusted. A failure that calls itself complete is fatal and not repeated, so that nothing goes twice.
    """
    name = status_name(status_id)
    if ok:
        return FaxStatus.FS_COMPLETED, "" if status_id == FaxStatus.FS_COMPLETED else f"succeeded, but reports {name}"
    if status_id == FaxStatus.FS_COMPLETED or is_progress(status_id):
        return FaxStatus.FS_FATAL_ERROR, f"failed, but reports {name}"
    return status_id, ""
