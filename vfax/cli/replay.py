"""`vfax replay`: a recorded call through the engine of today, and what differs.

Owns      the words.
Not here  recordings (vfax/recordings.py, vfax/captures.py), running and comparing (vfax/replay.py).
"""

from dataclasses import dataclass
from pathlib import Path
from typing import Final

from vfax.captures import read_capture, recording_of
from vfax.cli.common import out, print_json
from vfax.cli.screen import say
from vfax.errors import DocumentError
from vfax.leg import LegOptions
from vfax.recordings import read_recording
from vfax.redact import redact_capture, redact_journal
from vfax.replay import Difference, Recording, Replayed, compare, replay
from vfax.settings import wiring

SAME: Final = 0
DIFFERS: Final = 1
MANY: Final = frozenset({"frames", "moments", "pages"})
MAGIC: Final = frozenset(
    {b"\xa1\xb2\xc3\xd4", b"\xd4\xc3\xb2\xa1", b"\xa1\xb2\x3c\x4d", b"\x4d\x3c\xb2\xa1", b"\n\r\r\n"}
)
"""How pcap and pcapng begin."""


@dataclass(frozen=True, slots=True)
class Result:
    """One end of one call, replayed."""

    title: str
    note: str
    recording: Recording
    replayed: Replayed
    differences: tuple[Difference, ...]


def run(path: Path, *, end: str, options: LegOptions, as_json: bool) -> int:
    """Replay what a file holds and tell; returns the exit code. Raises DocumentError for what cannot be replayed.

    `end` is caller, called or "" for both, and `options` the engine's; both for captures only: a journal knows.
    """
    results = _of_capture(path, end, options) if is_capture(path) else [_of_journal(path)]
    code = DIFFERS if any(result.differences for result in results) else SAME
    if as_json:
        print_json({"ok": code == SAME, "exit": code, "calls": [_facts(result) for result in results]})
    else:
        for result in results:
            _tell(result)
    return code


def redact(path: Path, target: Path) -> None:
    """Write a copy without page data. Raises DocumentError."""
    if is_capture(path):
        redact_capture(path, target)
    else:
        redact_journal(path, target)


def is_capture(path: Path) -> bool:
    """Whether a file begins as captures do. Raises DocumentError when it cannot be read."""
    try:
        with path.open("rb") as file:
            return file.read(4) in MAGIC
    except OSError as why:
        raise DocumentError(f"{path}: cannot be read: {why.strerror or why}") from why


def _of_journal(path: Path) -> Result:
    recording = read_recording(path, wiring.check_options)
    try:
        return _result(path.name, "", recording)
    except DocumentError as why:
        raise DocumentError(f"{path}: {why}") from None


def _of_capture(path: Path, end: str, options: LegOptions) -> list[Result]:
    calls, note = read_capture(path)
    results = []
    for call in calls:
        for called in (True, False):
            if end in ("", "called" if called else "caller"):
                title = f"{call.title}, the {'called' if called else 'calling'} end"
                try:
                    results.append(_result(title, note, recording_of(call, called=called, options=options)))
                except DocumentError as why:
                    raise DocumentError(f"{path}: {title}: {why}") from None
    return results


def _result(title: str, note: str, recording: Recording) -> Result:
    replayed = replay(recording)
    return Result(title, note, recording, replayed, compare(recording, replayed))


def _tell(result: Result) -> None:
    console, recording, replayed = out(), result.recording, result.replayed
    datagrams = "1 datagram" if recording.datagrams == 1 else f"{recording.datagrams} datagrams"
    say(console, f"{result.title}: {datagrams} over {replayed.seconds:.1f} s")
    for note in (result.note, *recording.notes):
        if note:
            say(console, f"  {note}")
    if recording.why_short:
        say(console, f"  The recording stops early: {recording.why_short}. What came before is compared.")
    if replayed.outcome is not None:
        pages = replayed.outcome.pages_confirmed
        say(console, f"  Today: {replayed.outcome.cause}, {pages} page{'' if pages == 1 else 's'} confirmed.")
    if not result.differences:
        say(console, f"  The same as recorded: {len(recording.frames)} frames{_pages(recording)}.")
    if result.differences:
        say(console, "  Something differs. Where it begins is shown; what follows may be its consequence.")
    for one in result.differences:
        say(console, f"  {one.what} differ" if one.what in MANY else f"  {one.what} differs")
        say(console, f"    recorded: {one.recorded}")
        say(console, f"    replayed: {one.replayed}")


def _pages(recording: Recording) -> str:
    if recording.pages is None:
        return " said"
    return f", {len(recording.pages)} steps of pages{', the outcome' if recording.outcome and recording.ended else ''}"


def _facts(result: Result) -> dict[str, object]:
    recording, outcome = result.recording, result.replayed.outcome
    return {
        "title": result.title,
        "end": "called" if recording.called else "caller",
        "datagrams": recording.datagrams,
        "seconds": round(result.replayed.seconds, 3),
        "frames": len(recording.frames),
        "whole": recording.ended,
        "note": "; ".join(one for one in (result.note, recording.why_short, *recording.notes) if one),
        "cause": None if outcome is None else outcome.cause.value,
        "pages_confirmed": None if outcome is None else outcome.pages_confirmed,
        "differences": [{"what": o.what, "recorded": o.recorded, "replayed": o.replayed} for o in result.differences],
    }
