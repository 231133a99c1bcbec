"""Jobs of a provider in a process of its own: what the host knows of each, and what was left behind in the child.

Owns      the handles the host holds, the last status and facts of each, the packets that stand for them at the ports.
Not here  the exports (process.py), the road (process_link.py), the child's own jobs (process_child.py).
"""

import os
from contextlib import suppress
from dataclasses import dataclass
from itertools import count
from typing import Final

from vfax.fsp.completion import CompletionPort, StatusKey
from vfax.fsp.encoding import decode
from vfax.fsp.errors import FaxServiceError, InvalidHandle, PortError
from vfax.fsp.provider import Arena, FaxSendCallback
from vfax.fsp.structures import CallFacts, FaxDevStatus
from vfax.host.process_link import Link
from vfax.host.process_wire import Message

MAX_FILES: Final = 1_000
"""Limit: files left in a child that are counted."""


@dataclass(slots=True, eq=False)
class RemoteJob:
    """What the host holds for a handle: the child's number for it and what the child said last."""

    number: int
    link: Link
    port: CompletionPort
    key: StatusKey
    status: FaxDevStatus | None = None
    facts: CallFacts | None = None
    callback: FaxSendCallback | None = None
    asking: bool = False
    done: bool = False  # the operation has ended, and its status is the last

    def note(self, news: object) -> None:
        """Keep what the child says of the job; a status that is none is not kept."""
        if not isinstance(news, dict):
            return
        with suppress(FaxServiceError):
            if news.get("status") is not None:
                self.status = decode(FaxDevStatus, news["status"])
            if news.get("facts") is not None:
                self.facts = decode(CallFacts, news["facts"])

    def note_end(self, news: object) -> None:
        """Keep what is said of it at the end of Send or Receive."""
        self.note(news)
        self.done = True

    def ask_for_news(self) -> None:
        """Have the child say how it is going, unless it has been asked or there is nothing new any more."""
        if self.asking or self.done or self.link.lost.is_set():
            return
        self.asking = True
        self.link.ask_soon("report", self._hear, job=self.number)

    def _hear(self, news: object) -> None:
        self.asking = False
        if not self.done:
            self.note(news)


class RemoteJobs:
    """The jobs of one provider by the numbers the child knows them by."""

    def __init__(self) -> None:
        self._jobs: dict[int, RemoteJob] = {}
        self._numbers = count(1)

    def begin(self, link: Link, port: CompletionPort, key: StatusKey) -> RemoteJob:
        """A new job, whose statuses go to `port`."""
        job = RemoteJob(next(self._numbers), link, port, key)
        self._jobs[job.number] = job
        return job

    def end(self, job: RemoteJob) -> None:
        """It is no more: its handle is one no longer."""
        del self._jobs[job.number]

    def of(self, handle: object) -> RemoteJob | None:
        """The job of a handle; None for what is none."""
        return handle if isinstance(handle, RemoteJob) and self._jobs.get(handle.number) is handle else None

    def find(self, handle: object) -> RemoteJob:
        """The job of a handle. Raises InvalidHandle."""
        job = self.of(handle)
        if job is None:
            raise InvalidHandle("FaxHandle: the job is unknown or has ended")
        return job

    def post_status(self, number: int, status: FaxDevStatus, news: Message) -> None:
        """Pass a status packet of the child on; one of a job that has ended goes nowhere, nor one a port refuses."""
        job = self._jobs.get(number)
        if job is None:
            return
        if not job.done:
            job.note(news)
        with suppress(PortError):
            job.port.post(job.key, status)

    def called(self, number: int) -> None:
        """The child calls the callback of Send: where that says FALSE, the fax is aborted."""
        job = self._jobs.get(number)
        if job is not None and job.callback is not None and not job.callback(job, None, 0, 0):
            job.link.tell("abort", job=number)


class LeftBehind:
    """What stands in the host's `arena` for what the child has in its own: the host tells what was left."""

    def __init__(self) -> None:
        self.arena: Arena | None = None
        self._listed: list[object] = []

    def list_jobs(self, live: object) -> None:
        """Have as many jobs in the host's arena as the provider has in its own."""
        arena = self.arena
        if arena is None or not isinstance(live, int):
            return
        with suppress(FaxServiceError):  # beyond the quota, or closed
            while len(self._listed) < live:
                job = object()
                arena.adopt_job(job)
                self._listed.append(job)
        while len(self._listed) > max(0, live):
            arena.release_job(self._listed.pop())

    def list_files(self, count: object) -> None:
        """The same of files. The child has removed them, and the host removes nothing that a child names."""
        if self.arena is not None and isinstance(count, int):
            with suppress(FaxServiceError):
                for number in range(min(count, MAX_FILES)):
                    self.arena.adopt_file(f"{os.devnull}/left in the provider's process {number + 1}")
