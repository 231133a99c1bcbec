"""The gate of an endpoint: who may talk at all, and what is written down of those who are not heard.

Owns      the lookup of allowed networks, the sieve of the endpoint, the log of nuisances and the form of its lines.
Not here  what is a nuisance, how often it is told (transports/sip/sieve.py).

docs/abuse.md and config/fail2ban hold the form of the lines:

    2026-11-30T08:12:51Z vfax: SIP refused from 192.0.2.7 reason=flood count=512
    2026-11-30T08:12:51Z vfax: SIP overload by 192.0.2.8 reason=flood count=3

The second form is for hosts that are no strangers: networks of the owner's own, peers that have proven themselves. A
UDP source can be forged, and nothing may ban a trunk because somebody used its address.
"""

import sys
import time
from collections.abc import Sequence
from contextlib import suppress
from functools import lru_cache, partial
from pathlib import Path
from typing import Final

import trio

from vfax.errors import LinkError
from vfax.transports.sip.sieve import IpNetwork, Known, Nuisance, Report, Sieve, SieveOptions, lies_in
from vfax.transports.sip.values import Flow
from vfax.trunks.book import TrunkBook

KEPT_HOSTS: Final = 4096
"""Limit: hosts of which it is remembered whether they may talk; only time is lost with the others."""


class AbuseLog:
    """Lines into `path`, which another program may rotate or remove; None: to standard error.

    A line that the file does not take goes to standard error, too: strangers decide when there is one, and a disk that
    is full must not cost a call. Raises LinkError when the file cannot be had at the start.
    """

    def __init__(self, path: Path | None) -> None:
        self._path = path
        try:
            self._append("")
        except OSError as why:
            raise LinkError(f"[abuse] log = {str(path)!r} cannot be written: {why.strerror}") from why

    def write(self, report: Report) -> None:
        """Write one line. Does not raise."""
        line = f"{time.strftime('%Y-%m-%dT%H:%M:%SZ', time.gmtime())} vfax: {line_of(report)}\n"
        try:
            self._append(line)
        except OSError:
            _to_standard_error(line)

    def _append(self, line: str) -> None:
        """Opened for each line, as the sieve allows few of them a second: so nobody has to tell us of a rotation."""
        if self._path is None:
            _to_standard_error(line)
            return
        with self._path.open("ab", buffering=0) as file:
            if line:
                file.write(line.encode())


def _to_standard_error(line: str) -> None:
    with suppress(OSError, ValueError):  # closed, or nobody reads it any more
        sys.stderr.write(line)
        sys.stderr.flush()


def line_of(report: Report) -> str:
    """The line without its time. Nothing a peer wrote is in it."""
    verb = "overload by" if report.known else "refused from"
    return f"SIP {verb} {report.host} reason={report.reason} count={report.count}"


class Gate:
    """One endpoint's. Open while the endpoint runs. The hosts of a trunk in `book` speak for each other."""

    def __init__(
        self, options: SieveOptions, allow: Sequence[IpNetwork], log: Path | None, book: TrunkBook | None = None
    ) -> None:
        book = TrunkBook() if book is None else book
        trunks = (network for trunk in book.trunks if trunk.enabled for network in trunk.inbound.networks)
        self.sieve = Sieve(options, trusted=(*allow, *trunks), akin=book.are_one)
        self.allows = lru_cache(KEPT_HOSTS)(partial(lies_in, networks=tuple(allow)))
        """Whether a host is in a network that may talk."""
        self._path = log
        self._log: AbuseLog | None = None

    def open(self) -> None:
        """Begin to write down. Raises LinkError when the file cannot be written."""
        self._log = AbuseLog(self._path)

    def close(self) -> None:
        """Nothing is written down any more."""
        self._log = None

    def refuse(self, host: str, reason: Nuisance) -> None:
        """Something of `host` was not taken."""
        self.sieve.note(host, reason, trio.current_time())
        self.tell()

    def tell(self) -> None:
        """Write down what the sieve has to report."""
        for report in self.sieve.take_reports():
            if self._log is not None:
                self._log.write(report)

    def admits(self, message: bytes, flow: Flow, known: Known, now: float) -> bool:
        """Whether the agent is to have a message. A stream loses nothing: its reader waits, see `pause`."""
        return flow.transport.reliable or self.sieve.admit(message, flow.remote, known, now)

    def pause(self, message: bytes, flow: Flow, known: Known) -> float:
        """How long the connection that `message` came by is not to be read: nothing on a stream may be dropped."""
        return self.sieve.pause(message, flow.remote, known, trio.current_time()) if flow.transport.reliable else 0.0
