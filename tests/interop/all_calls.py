"""The full matrix of calls between vfax and libspandsp, each in virtual time: `script/interop calls`.

    python -m tests.interop.all_calls [--only WORD ...] [--every N] [--list]

Prints one line a call and the failures in full; exit status 1 when a call fails.
"""

import argparse
import sys
import tempfile
import time
from functools import partial
from pathlib import Path

import trio

from tests.interop.matrix import Case, full_matrix, play_case
from tests.virtual import virtual_clock


def try_case(case: Case) -> str:
    """Run one call; gives what went wrong, or an empty text."""
    with tempfile.TemporaryDirectory(prefix="vfax-interop-") as folder:
        try:
            trio.run(partial(play_case, case, Path(folder)), clock=virtual_clock())
        except BaseExceptionGroup as group:
            return "\n".join(_leaves(group))
        except AssertionError as why:
            return str(why)
    return ""


def _leaves(group: BaseExceptionGroup[BaseException]) -> list[str]:
    texts = []
    for error in group.exceptions:
        texts += _leaves(error) if isinstance(error, BaseExceptionGroup) else [f"{type(error).__name__}: {error}"]
    return texts


def main() -> int:
    """Run what the command line asks for."""
    parser = argparse.ArgumentParser(description="every kind of call between vfax and libspandsp")
    parser.add_argument("--only", nargs="*", default=[], help="words that a case must have, e.g. V.17 no-ecm")
    parser.add_argument("--every", type=int, default=1, help="only every Nth case")
    parser.add_argument("--list", action="store_true", help="name the cases and stop")
    options = parser.parse_args()
    cases = [case for case in full_matrix() if all(word in str(case).split() for word in options.only)]
    if not cases:
        parser.error(f"nothing has all of the words {options.only}")
    failed = 0
    for number, case in enumerate(cases[:: options.every], start=1):
        if options.list:
            print(case)
            continue
        started = time.perf_counter()
        wrong = try_case(case)
        failed += bool(wrong)
        print(f"{number:>4} {'FAILED' if wrong else 'ok':<7}{time.perf_counter() - started:6.1f} s  {case}", flush=True)
        if wrong:
            print(wrong, flush=True)
    print(f"{len(cases[:: options.every]) - failed} calls went well, {failed} failed")
    return 1 if failed else 0


if __name__ == "__main__":
    sys.exit(main())
