"""Octets to start from: the vectors of tests/data.

Owns      reading them by kind.
Not here  what they mean (tests/data/README.md).
"""

import json
from functools import cache

from fuzz.harness import DATA


@cache
def t38(kind: str) -> tuple[tuple[int, bytes], ...]:
    """(version, octets) of all vectors whose kind begins with `kind`; scenarios give each of their datagrams."""
    found: list[tuple[int, bytes]] = []
    for one in json.loads((DATA / "t38_vectors.json").read_text("utf-8")):
        if one["kind"].startswith(kind) and "hex" in one:
            found.append((int(one.get("version") or 0), bytes.fromhex(one["hex"])))
    return tuple(found)


@cache
def sip_messages() -> tuple[bytes, ...]:
    """The torture messages of RFC 4475 and RFC 5118."""
    paths = sorted([*(DATA / "rfc4475").glob("*.dat"), *(DATA / "rfc5118").glob("*.dat")])
    return tuple(path.read_bytes() for path in paths)
