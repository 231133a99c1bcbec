"""Journals with recorded packets, replayed and compared.

Oracle    DocumentError for the file; a replay and its comparison raise nothing, but DocumentError for one whose options
          make it longer than its limit of steps, which is a small one here.
"""

import json
import random
from functools import cache
from pathlib import Path
from typing import Final

from fuzz import fax, scratch
from fuzz.mutate import split
from vfax import replay as player
from vfax.errors import DocumentError
from vfax.journal import Journal
from vfax.leg_values import LegOptions, Switched
from vfax.record import CallRecord, RecordOptions, Terms
from vfax.recordings import read_recording
from vfax.replay import compare, replay
from vfax.t30 import values as t30

RECORDS: Final = False
TOKENS: Final = (b"null", b"true", b"-1", b"0", b"0.0", b"1e11", b"Infinity", b"[]", b"{}", b'"', b'"lost"', b"99999")
STEPS: Final = 20_000


@cache
def _recorded(head: int, called: bool) -> bytes:
    """The journal of one end of a sound fax."""
    path = scratch.path(".recorded.jsonl")
    path.unlink(missing_ok=True)
    engine, road = fax.options(head)
    end = fax.End(sending=not called, options=engine, parameters=road)
    options = LegOptions(fax=engine)
    document = None if called else t30.SendDocument(fax.PAGES)
    journal = Journal(path, clock=lambda: end.now, call="x", wall=lambda: 1.7e9, max_octets=1 << 20)
    journal.note("call", direction="in" if called else "out")
    record = CallRecord(journal, Terms(options=options, called=called, document=document), RecordOptions())
    record.event(Switched(("192.0.2.1", 4000), road), 0.0)
    for _, time, octets in split(fax.dialogue(head)[0 if called else 1])[1:]:
        end.wait_until(end.now + fax.TIMES[time])
        record.heard(octets, end.now)
        end.receive(octets)
        for order in end.owner.take_orders():
            record.order(order, end.now)
    record.flush()
    journal.note("outcome", cause="complete", phase="E", pages_confirmed=2)
    journal.close()
    return path.read_bytes()


def seeds() -> list[bytes]:
    """Both ends of faxes, whole, and with options nobody would set."""
    found = [_recorded(head, called) for head in (0, 1) for called in (True, False)]
    return found + [_with_odd_options(found[number % 4], random.Random(number)) for number in range(60)]


def _with_odd_options(journal: bytes, dice: random.Random) -> bytes:
    """One number of the options line replaced."""
    lines = journal.splitlines(keepends=True)
    at = next(number for number, line in enumerate(lines) if b'"kind":"options"' in line)
    facts = json.loads(lines[at])
    groups = [facts["leg"], facts["leg"]["line"], facts["leg"]["fax"], facts["leg"]["fax"]["timers"]]
    group = dice.choice([*groups, facts["leg"]["fax"]["limits"]])
    names = [name for name, value in group.items() if isinstance(value, int | float)]
    name = dice.choice(names)
    group[name] = type(group[name])(dice.choice((0, -1, 1e9, 1)))
    lines[at] = json.dumps(facts, separators=(",", ":")).encode() + b"\n"
    return b"".join(lines)


def run(data: bytes) -> None:
    """One journal."""
    path: Path = scratch.holding(data, ".jsonl")
    try:
        recording = read_recording(path)
    except DocumentError:
        return
    limit, player.STEP_LIMIT = player.STEP_LIMIT, STEPS  # type: ignore[misc]
    try:
        replayed = replay(recording)
    except DocumentError:
        return
    finally:
        player.STEP_LIMIT = limit  # type: ignore[misc]
    for one in compare(recording, replayed):
        assert one.what
