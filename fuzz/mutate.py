"""Spoiling octets: the plain mutator, for machines without atheris and beside it.

Owns      the mutations, of octets and of rows of records.
Not here  who calls them (guided.py, plain.py), what a target's octets mean (the harnesses).

A record is what the stateful harnesses read: a head of four octets (kind, time, size in two octets), then the octets.
"""

import random
from collections.abc import Callable, Sequence
from typing import Final

MAX_OCTETS: Final = 1 << 16
ODD: Final = (0, 1, 2, 3, 4, 7, 8, 15, 16, 31, 32, 63, 64, 100, 127, 128, 192, 200, 254, 255)
HEAD: Final = 4

Mutation = Callable[[bytearray, random.Random, Sequence[bytes]], None]


def _flip(data: bytearray, dice: random.Random, others: Sequence[bytes]) -> None:
    data[dice.randrange(len(data))] ^= 1 << dice.randrange(8)


def _set(data: bytearray, dice: random.Random, others: Sequence[bytes]) -> None:
    data[dice.randrange(len(data))] = dice.choice(ODD)


def _replace(data: bytearray, dice: random.Random, others: Sequence[bytes]) -> None:
    data[dice.randrange(len(data))] = dice.randrange(256)


def _number(data: bytearray, dice: random.Random, others: Sequence[bytes]) -> None:
    size = dice.choice((2, 4))
    at = dice.randrange(len(data))
    value = dice.choice((0, 1, 255, 256, 0x7FFF, 0x8000, 0xFFFF, len(data), 0x7FFFFFFF, 0xFFFFFFFF)) % (1 << 8 * size)
    data[at : at + size] = value.to_bytes(size, dice.choice(("big", "little")))


def _cut(data: bytearray, dice: random.Random, others: Sequence[bytes]) -> None:
    at = dice.randrange(len(data))
    del data[at : at + dice.choice((1, 1, 2, 4, 16, len(data)))]


def _double(data: bytearray, dice: random.Random, others: Sequence[bytes]) -> None:
    at = dice.randrange(len(data))
    part = data[at : at + dice.choice((1, 2, 4, 16, 64))]
    data[at:at] = part * dice.choice((1, 1, 2, 50))


def _insert(data: bytearray, dice: random.Random, others: Sequence[bytes]) -> None:
    at = dice.randrange(len(data) + 1)
    data[at:at] = dice.randbytes(dice.choice((1, 1, 2, 4, 16)))


def _splice(data: bytearray, dice: random.Random, others: Sequence[bytes]) -> None:
    other = dice.choice(others)
    if other:
        start = dice.randrange(len(other))
        part = other[start : start + dice.choice((1, 4, 16, 64, len(other)))]
        at = dice.randrange(len(data) + 1)
        data[at : at + dice.choice((0, len(part)))] = part


MUTATIONS: Final[tuple[Mutation, ...]] = (_flip, _flip, _set, _replace, _number, _cut, _double, _insert, _splice)


def spoil(data: bytes, dice: random.Random, others: Sequence[bytes]) -> bytes:
    """One to eight mutations of `data`; `others` lend parts (seeds, tokens of the grammar)."""
    spoilt = bytearray(data)
    for _ in range(dice.choice((1, 1, 1, 2, 2, 4, 8))):
        if not spoilt:
            spoilt += dice.randbytes(dice.randrange(1, 9))
        dice.choice(MUTATIONS)(spoilt, dice, others)
    return bytes(spoilt[:MAX_OCTETS])


# --- records -------------------------------------------------------------------------------------


def record(kind: int, time: int, octets: bytes = b"") -> bytes:
    """One record: `kind` and `time` are octets, what they mean is the harness's."""
    return bytes((kind, time)) + len(octets).to_bytes(2, "big") + octets


def split(data: bytes) -> list[tuple[int, int, bytes]]:
    """The records of any octets: the last may be short of what its size claims."""
    records: list[tuple[int, int, bytes]] = []
    at = 0
    while at + HEAD <= len(data):
        end = at + HEAD + (data[at + 2] << 8 | data[at + 3])
        records.append((data[at], data[at + 1], data[at + HEAD : end]))
        at = end
    return records


def spoil_records(data: bytes, dice: random.Random, others: Sequence[bytes]) -> bytes:
    """As `spoil`, but what is lost, doubled, moved or spoilt is one record at a time."""
    records = [record(*one) for one in split(data)]
    for _ in range(dice.choice((1, 1, 2, 4, 16))):
        if not records:
            return spoil(data, dice, others)
        at = dice.randrange(len(records))
        match dice.randrange(8):
            case 0:
                del records[at : at + dice.choice((1, 1, 5, 50))]
            case 1:
                records[at:at] = records[at : at + dice.choice((1, 1, 5, 50))]
            case 2:
                records.insert(dice.randrange(len(records) + 1), records.pop(at))
            case 3:
                lent = split(dice.choice(others))
                records.insert(at, record(*dice.choice(lent))) if lent else None
            case 4:
                kind, _, octets = split(records[at])[0]
                records[at] = record(kind, dice.randrange(256), octets)
            case _:
                kind, time, octets = split(records[at])[0]
                records[at] = record(kind, time, spoil(octets, dice, [octets])[:2000])
    return b"".join(records)[:MAX_OCTETS]
