"""Nuisances written down, one line each, in a form that fail2ban and people read.

Owns      the line, where it goes. docs/abuse.md and config/fail2ban hold its form.
Not here  what is a nuisance, how often it is told (transports/sip/sieve.py).

    2026-11-30T08:12:51Z vfax: SIP refused from 192.0.2.7 reason=flood count=512
    2026-11-30T08:12:51Z vfax: SIP overload by 192.0.2.8 reason=flood count=3

The second form is for hosts that are no strangers: networks of the owner's own, peers that have proven themselves. A
UDP source can be forged, and nothing may ban a trunk because somebody used its address.
"""

import logging
import sys
import time
from logging.handlers import WatchedFileHandler
from pathlib import Path

from vfax.errors import LinkError
from vfax.transports.sip.sieve import Report


class AbuseLog:
    """Lines into `path`, which another program may rotate; None: to standard error."""

    def __init__(self, path: Path | None) -> None:
        try:
            self._handler: logging.Handler = (
                logging.StreamHandler(sys.stderr) if path is None else WatchedFileHandler(path, encoding="utf-8")
            )
        except OSError as why:
            raise LinkError(f"[abuse] log = {str(path)!r} cannot be written: {why.strerror}") from why
        line = logging.Formatter("%(asctime)s vfax: %(message)s", "%Y-%m-%dT%H:%M:%SZ")
        line.converter = time.gmtime
        self._handler.setFormatter(line)

    def write(self, report: Report) -> None:
        """Write one line."""
        self._handler.handle(logging.makeLogRecord({"msg": line_of(report), "levelno": logging.WARNING}))

    def close(self) -> None:
        """Nothing will be written any more."""
        self._handler.close()


def line_of(report: Report) -> str:
    """The line without its time. Nothing a peer wrote is in it."""
    verb = "overload by" if report.known else "refused from"
    return f"SIP {verb} {report.host} reason={report.reason} count={report.count}"
