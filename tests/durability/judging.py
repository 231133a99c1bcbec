"""What must hold in a spool after a crash and the next start, as far as those outside know.

Owns      `Claim` (what one caller knows), `judge` (every sentence that is not true any more).
Not here  how it came to the crash (test_power.py, crash.py), what the disk did (model.py, points.py).
"""

import json
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

from vfax.codecs import tiff
from vfax.errors import DocumentError
from vfax.pages import DONE

MAX_KNOWN: Final = 1_000


@dataclass(frozen=True, slots=True, kw_only=True)
class Claim:
    """One call as its caller knows it.

    `confirmed` pages had their MCF. `begun`: the service said that a job began. `complete`: it said that the fax ended
    well; `ended`: that it ended, `discarded`: that the user's abort, which throws pages away, was asked for before.
    """

    rasters: tuple[bytes, ...]
    confirmed: int = 0
    begun: bool = False
    ended: bool = False
    complete: bool = False
    discarded: bool = False


@dataclass(frozen=True, slots=True)
class Found:
    """A document of the inbox with its record."""

    name: str
    record: dict[str, Any]
    rasters: tuple[bytes, ...]


def judge(spool: Path, claims: Sequence[Claim], *, started_again: bool = True) -> list[str]:
    """What does not hold, in sentences; empty when all is well.

    Unless the service was `started_again` on the spool, pages that it could not remove may wait for that.
    """
    wrong: list[str] = []
    found = _documents(spool / "inbox", wrong)
    failures = _failures(spool / "failed", wrong)
    for folder in ("incoming", "unreadable"):
        names = sorted(path.name for path in (spool / folder).iterdir())
        wrong += [f"{folder} still holds {name}" for name in names if started_again or not name.endswith(DONE)]
    left = list(found)
    for number, claim in enumerate(claims):
        mine = [one for one in left if is_of(one, claim)]
        left = [one for one in left if one not in mine]
        wrong += [f"call {number}: {sentence}" for sentence in _judge_call(claim, mine)]
    wrong += [f"{one.name} holds pages that nobody sent" for one in left]
    begun, known = sum(claim.begun for claim in claims), len(found) + len(failures)
    if known < begun:
        wrong.append(f"{begun} calls had begun and {known} are on record")
    if known > len(claims):
        wrong.append(f"{len(claims)} calls were made and {known} are on record")
    jobs = [one.record["job"] for one in found] + [record["job"] for record in failures]
    wrong += [f"job {job} is on record twice" for job in sorted({job for job in jobs if jobs.count(job) > 1})]
    return wrong


def is_of(found: Found, claim: Claim) -> bool:
    """Is this the claim's document? Its first page says so, whole or in part."""
    return bool(found.rasters) and claim.rasters[0].startswith(found.rasters[0])


def _judge_call(claim: Claim, found: list[Found]) -> list[str]:
    wrong = []
    if len(found) > 1:
        wrong.append(f"delivered {len(found)} times: {', '.join(one.name for one in found)}")
    if claim.confirmed and not found and not claim.discarded:
        wrong.append(f"{claim.confirmed} pages were confirmed and none is there")
    if claim.discarded and claim.ended and found:
        wrong.append(f"aborted, and delivered after all: {found[0].name}")
    for one in found:
        wrong += [f"{one.name}: {sentence}" for sentence in _judge_document(claim, one)]
    return wrong


def _judge_document(claim: Claim, found: Found) -> list[str]:
    wrong = []
    pages, incomplete = found.rasters, bool(found.record["incomplete"])
    if len(pages) < claim.confirmed:
        wrong.append(f"{claim.confirmed} pages were confirmed and {len(pages)} are there")
    for at, page in enumerate(pages):
        whole = claim.rasters[at] if at < len(claim.rasters) else b""
        in_part = incomplete and at >= claim.confirmed and at == len(pages) - 1
        if page != whole and not (in_part and whole.startswith(page)):
            wrong.append(f"page {at + 1} is not the page that was sent")
    if found.record["pages"] != len(pages):
        wrong.append(f"its record speaks of {found.record['pages']} pages and it has {len(pages)}")
    if not incomplete and len(pages) != len(claim.rasters):
        wrong.append(f"{len(pages)} of {len(claim.rasters)} pages are called complete")
    if incomplete and claim.complete and claim.ended:
        wrong.append("it was complete, and is called incomplete")
    return wrong


def _documents(inbox: Path, wrong: list[str]) -> list[Found]:
    found = []
    for path in sorted(inbox.iterdir()):
        record = path.with_suffix(".json")
        if path.name.startswith(".") or path.suffix not in (".tif", ".json"):
            wrong.append(f"the inbox holds {path.name}")
        elif path.suffix == ".json" and not path.with_suffix(".tif").exists():
            wrong.append(f"{path.name} has no document")
        elif path.suffix == ".tif" and not record.exists():
            wrong.append(f"{path.name} has no record")
        elif path.suffix == ".tif":
            try:
                found.append(Found(path.name, json.loads(record.read_bytes()), _rasters(path)))
            except (DocumentError, ValueError, KeyError) as why:
                wrong.append(f"{path.name} or its record cannot be read: {why}")
    return found


_known: dict[bytes, tuple[bytes, ...]] = {}


def _rasters(path: Path) -> tuple[bytes, ...]:
    """The pages of a document; the same octets are decoded once."""
    octets = path.read_bytes()
    if octets not in _known:
        if len(_known) >= MAX_KNOWN:
            _known.clear()
        _known[octets] = tuple(tiff.load_page(path, at).raster for at in range(len(tiff.read_headers(path))))
    return _known[octets]


def _failures(failed: Path, wrong: list[str]) -> list[dict[str, Any]]:
    found = []
    for path in sorted(failed.iterdir()):
        try:
            found.append(json.loads(path.read_bytes()))
        except ValueError as why:
            wrong.append(f"{path.name} cannot be read: {why}")
    return found
