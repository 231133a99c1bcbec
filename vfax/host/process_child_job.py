"""One job of a provider in a process of its own, on the child's side.

Owns      the provider's handle of it, and that nobody asks about a job once FaxDevEndJob has been called.
Not here  orders and answers (process_child.py), the host's side of a job (process_jobs.py).

FaxDevReportStatus and VfaxDevReportFacts are asked in the thread that writes, FaxDevEndJob is called in the trio run:
without a turn to take, a provider could be asked about a handle that it has just been told to forget.
"""

import threading
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import TypeVar

import trio

from vfax.fsp.completion import StatusKey
from vfax.fsp.encoding import decode, encode
from vfax.fsp.errors import InvalidHandle
from vfax.fsp.provider import Exports
from vfax.fsp.structures import CallFacts, FaxDevStatus
from vfax.host.guard import ForeignFault, contained
from vfax.host.process_wire import Message

S = TypeVar("S")


@dataclass(slots=True, eq=False)
class ChildJob:
    """One job: the host's number, the provider's handle, the key its statuses come under."""

    number: int
    handle: object = None
    key: StatusKey = field(default_factory=StatusKey)
    _over: bool = False
    _turn: threading.Lock = field(default_factory=threading.Lock)

    @contextmanager
    def asked(self) -> Iterator[object]:
        """The handle, which nobody ends meanwhile; from any thread. Raises InvalidHandle once the job is over."""
        with self._turn:
            if self._over:
                raise InvalidHandle("FaxHandle: the job has ended")
            yield self.handle

    async def finish(self) -> None:
        """Wait for those who ask about the job; from here on nobody can, and it may be ended."""
        if not self._turn.acquire(blocking=False):
            with trio.CancelScope(shield=True):  # a job that nobody ends would stay with the provider
                await trio.to_thread.run_sync(self._turn.acquire)
        self._over = True
        self._turn.release()

    def news(self, exports: Exports) -> Message:
        """What FaxDevReportStatus and VfaxDevReportFacts say. Raises what the first one raises, and ForeignFault."""
        return {"status": self._status(exports), "facts": self._facts(exports)}

    def news_if_any(self, exports: Exports) -> Message:
        """What they say beside a status that was posted; None for each that says nothing of use."""
        try:
            with contained(ForeignFault):
                status = self._status(exports)
        except Exception:
            status = None
        return {"reports": status, "facts": self._facts(exports)}

    def _status(self, exports: Exports) -> Message:
        with self.asked() as handle:
            answer: object = exports.FaxDevReportStatus(handle)
        return encode(structure(FaxDevStatus, answer))

    def _facts(self, exports: Exports) -> Message | None:
        report = exports.VfaxDevReportFacts
        if report is None or self.handle is None:
            return None
        try:
            with contained(ForeignFault), self.asked() as handle:
                facts: object = report(handle)
            said = encode(facts) if isinstance(facts, CallFacts) else None
            if said is not None:
                decode(CallFacts, said)  # its members are not checked when it is made
        except Exception:
            return None
        return said


def structure(kind: type[S], answer: object) -> S:
    """A structure that a provider has answered. Raises ForeignFault for anything else."""
    if not isinstance(answer, kind):
        raise ForeignFault(f"answered {type(answer).__name__}")
    return answer
