"""Test pages of `vfax check-trunk` that come back to the service: recognised, delivered nowhere, put aside.

Owns      the marks by which they are known, the folder of the spool where both sides meet.
Not here  the check (vfax/trunk_check.py), the inbox (spool.py), where other faxes go (routing.py).

The check makes up a sender's number (TSI) of 15 digits, 13 of them random, and leaves an empty file of that name here;
whoever may write to the spool may do so, and nobody else. A fax of one page by exactly that number, while the mark lies
there, is the page. It is moved here, not deleted: the check takes away what is its own. All else is a fax as any other.

Everything here blocks on the disk: call it from a worker thread.
"""

import random
import re
import time
from contextlib import suppress
from pathlib import Path
from typing import Final

from vfax.host.records import FaxRecord
from vfax.host.spool import Kept

FOLDER: Final = "checks"
DIGITS: Final = 13
# E.164 4.1: 15 digits at most, for carriers look at the caller's number.
_MARK: Final = re.compile(rf"88\d{{{DIGITS}}}")
MARK_AGE: Final = 3_600.0
"""Seconds after which a mark that a check has left behind is not believed any more."""


def new_mark() -> str:
    """A sender's number that nobody else has."""
    return f"88{random.SystemRandom().randrange(10**DIGITS):0{DIGITS}d}"


class CheckPages:
    """The meeting place in one spool."""

    def __init__(self, spool: Path) -> None:
        self._folder = spool / FOLDER

    # --- the check ---------------------------------------------------------------------------------

    def expect(self, mark: str) -> bool:
        """Have the service know the page by its mark. False where we may not, or no service makes use of it."""
        try:
            (self._folder / mark).touch(exist_ok=False)
        except OSError:
            return False
        return True

    def forget(self, mark: str) -> None:
        """The check is over: take away the mark, and the page that has come back."""
        for path in (self._folder / mark, *self._aside(mark)):
            with suppress(OSError):
                path.unlink(missing_ok=True)

    # --- the service -------------------------------------------------------------------------------

    def prepare(self) -> None:
        """Make the folder, where that can be: without it, test pages are faxes as any other. Old marks go."""
        with suppress(OSError):
            self._folder.mkdir(mode=0o750, exist_ok=True)
            for path in self._folder.iterdir():
                if _MARK.fullmatch(path.name) and time.time() - path.stat().st_mtime > MARK_AGE:
                    path.unlink(missing_ok=True)

    def claims(self, record: FaxRecord) -> bool:
        """Whether a received fax is the page that a check waits for."""
        mark = record.remote_id.strip()
        if not record.ok or record.pages != 1 or not _MARK.fullmatch(mark):
            return False
        try:
            return time.time() - (self._folder / mark).stat().st_mtime < MARK_AGE
        except OSError:
            return False

    def put_aside(self, record: FaxRecord, kept: Kept) -> Kept:
        """Move such a fax out of the inbox; where it is now. What cannot be moved stays where it is."""
        document, beside = self._aside(record.remote_id.strip())
        if kept.document is None or document.exists():
            return kept
        with suppress(OSError):
            kept.document.rename(document)
            kept = Kept(kept.record, document)
            kept.record.rename(beside)
            kept = Kept(beside, document)
        return kept

    def _aside(self, mark: str) -> tuple[Path, Path]:
        return self._folder / f"{mark}.tif", self._folder / f"{mark}.json"
