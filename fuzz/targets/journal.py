"""Journals read back: their lines, the packets recorded in them, the verdict and the timeline made of them.

Oracle    nothing raises; every line is an entry or unreadable; packets are no more than their limit; the verdict is
          one line.
"""

import json
import random
from typing import Final

from fuzz import scratch
from vfax.journal import MAX_BATCH_OCTETS, pack_packet, pack_packets, read_journal, read_packets
from vfax.timeline import timeline
from vfax.verdict import judge

RECORDS: Final = False
TOKENS: Final = (
    b'{"at":"2026-01-01T00:00:00.000Z","t":1.0,"kind":"outcome"}\n',
    b'"kind":"packets"',
    b"1e999",
    b"NaN",
    b"-0",
    b"[" * 50,
    b"\\ud800",
    b"\n",
    b"9" * 400,
)


def _line(**facts: object) -> bytes:
    return json.dumps({"at": "2026-01-01T00:00:00.000Z", "t": 1.5, **facts}).encode() + b"\n"


def seeds() -> list[bytes]:
    """A journal with a line of most kinds."""
    dice = random.Random(3)
    records = b"".join(pack_packet(number * 1000, dice.randbytes(number)) for number in range(1, 30))
    lines = [
        _line(kind="call", call="x", direction="in", caller="1", dialled="2", peer=["192.0.2.1", 5060]),
        _line(kind="sip", direction="in", peer=["192.0.2.1", 5060], summary="INVITE sip:2@192.0.2.2"),
        _line(kind="packets", direction="in", count=29, since=1.5, data=pack_packets(records)),
        _line(kind="frame", direction="in", name="CFR", words="ready", hex="ffc884"),
        _line(kind="page", number=1, what="received", rows=100, bad_rows=2),
        _line(kind="outcome", cause="COMPLETE", phase="E", pages_confirmed=1),
    ]
    return [b"".join(lines), *lines]


def run(data: bytes) -> None:
    """One file."""
    entries = read_journal(scratch.holding(data, ".jsonl"))
    assert len(entries) <= data.count(b"\n") + 2
    for entry in entries:
        assert abs(entry.t) < 1e9
        packets = read_packets(entry, 1000)
        assert len(packets) <= 1000
        assert sum(len(octets) for _, octets in packets) <= MAX_BATCH_OCTETS
    verdict = judge(entries)
    assert verdict.sentence
    assert "\n" not in verdict.sentence
    for row in timeline(entries, packets=True):
        assert row.text is not None
