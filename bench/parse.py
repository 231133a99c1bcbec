"""What the worst 64 KiB cost in each of our parsers, beside Python's own of a like kind.

Owns      the table. The inputs and the readers are those of the tests (tests/transports/sip/worst.py).
Not here  T.38 datagrams (they are short), correctness.

    python bench/parse.py [--repeat N] [--all] [--limit MS]

Milliseconds of this thread's processor, the best of N runs. For each parser its dearest inputs; with --all every one.
Ends with 1 when one is above the limit (5 ms). "email" is Python's email.parser on the same head, for a measure.
"""

import argparse
import email.parser
import sys
from functools import partial
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parent.parent))

from tests.transports.sip.worst import LONGEST, best_of, cases, longest_octet_s, messages, streams

SHOWN = 3  # of each parser


def beside(repeat: int) -> tuple[float, str]:
    """What email.parser makes of the dearest of our messages."""
    parser = email.parser.BytesHeaderParser()

    def read(data: bytes) -> object:
        # The start line is none of its own, and values of headers are read on demand, as ours are.
        return [str(value) for _, value in parser.parsebytes(data.partition(b"\r\n")[2]).items()]

    return max((1e3 * best_of(repeat, partial(read, octets[:LONGEST])), name) for name, octets in messages())


def measure(repeat: int) -> dict[str, list[tuple[float, str, int]]]:
    """Milliseconds, input and its octets, by parser; the dearest first."""
    costs: dict[str, list[tuple[float, str, int]]] = {}
    for reader, name, octets, work in cases():
        costs.setdefault(reader, []).append((1e3 * best_of(repeat, work), name, octets))
    for name, stream in streams():
        ms = 1e3 * min(longest_octet_s(stream[:LONGEST]) for _ in range(repeat))
        costs.setdefault("stream, one octet", []).append((ms, name, len(stream[:LONGEST])))
    return {reader: sorted(rows, reverse=True) for reader, rows in costs.items()}


def main() -> int:
    """Print the table."""
    options = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    options.add_argument("--repeat", type=int, default=5)
    options.add_argument("--all", action="store_true")
    options.add_argument("--limit", type=float, default=5.0, help="milliseconds")
    given = options.parse_args()
    costs = measure(given.repeat)
    above = 0
    print(f"{'parser':<20} {'ms':>7} {'octets':>7}  input")
    for reader, rows in costs.items():
        above += sum(ms > given.limit for ms, _, _ in rows)
        for ms, name, octets in rows if given.all else rows[:SHOWN]:
            print(f"{reader:<20} {ms:7.2f} {octets:7}  {name}{'  ABOVE' if ms > given.limit else ''}")
    ms, name = beside(given.repeat)
    print(f"{'email (Python)':<20} {ms:7.2f} {'':>7}  {name}")
    print(f"{sum(map(len, costs.values()))} readings, {above} above {given.limit:g} ms")
    return 1 if above else 0


if __name__ == "__main__":
    sys.exit(main())
