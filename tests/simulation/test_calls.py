"""A thousand calls with everything going wrong that dice can think of: what must hold holds in each of them.

Seeds are fixed (0 to 999), so a run is the same everywhere. `script/interop dice` plays those behind them.
"""

import os
import subprocess
import sys
from typing import Final

import pytest

from vfax.simulation.campaign import judge, repeat_command

CALLS: Final = 1000
CHUNK: Final = 50
HASH_SEEDS: Final = ("1", "2")


@pytest.mark.parametrize("first", range(0, CHUNK * (CALLS // CHUNK), CHUNK))
def test_every_invariant_holds_in_every_call(first: int) -> None:
    bad = [verdict for verdict in map(judge, range(first, first + CHUNK)) if verdict.violations]
    assert not bad, "\n".join(
        f"{violation.number}: {violation.what}\n    {repeat_command(verdict.seed)}"
        for verdict in bad
        for violation in verdict.violations
    )


def test_another_process_with_other_hashes_writes_the_same_journals() -> None:
    """Sets and dictionaries of strings come in another order there; no fax may depend on it."""
    program = (
        "import hashlib; from vfax.simulation.campaign import play_with_journals as play\n"
        "for seed in range(12):\n"
        "    print(seed, {s: hashlib.sha256(j).hexdigest() for s, j in sorted(play(seed).journals.items())})"
    )
    said = [
        subprocess.run(
            [sys.executable, "-c", program],
            env={**os.environ, "PYTHONHASHSEED": hash_seed},
            capture_output=True,
            text=True,
            check=True,
        ).stdout
        for hash_seed in HASH_SEEDS
    ]
    assert said[0].count("\n") == 12
    assert said[0].splitlines() == said[1].splitlines()
