"""What a harness is, and what counts as a finding.

Owns      the names of all targets, loading one, running one input under its limits, telling findings apart.
Not here  where inputs come from (session.py), the harnesses themselves (targets/).

A harness is a module with `seeds()`, inputs that are right or nearly so, and `run(data)`, which returns for every
input that was treated as documented. Whatever it raises is a finding: a foreign exception, an AssertionError of its
oracle, or one of the two limits held here: processor time, and memory beyond what any seed needs.
"""

import importlib
import resource
import signal
import sys
import traceback
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from types import FrameType
from typing import Final, Protocol, cast

ROOT: Final = Path(__file__).resolve().parent.parent
DATA: Final = ROOT / "tests" / "data"
TARGETS: Final = tuple(sorted(path.stem for path in (ROOT / "fuzz" / "targets").glob("[a-z]*.py")))

CPU_SECONDS: Final = 5.0
"""Limit: processor time of one input, on any machine; what is slow costs milliseconds."""

MEMORY_OCTETS: Final = 256 << 20
"""Limit: by how much one input may raise the peak of the process's memory."""


class Harness(Protocol):
    """A module of targets/. `RECORDS`: its inputs are rows of records (mutate.py). `TOKENS`: words of its grammar."""

    RECORDS: bool
    TOKENS: tuple[bytes, ...]

    def seeds(self) -> list[bytes]:
        """Inputs to start from; the same ones each time."""

    def run(self, data: bytes) -> None:
        """Try one input; raise when the oracle is violated."""


@dataclass(frozen=True, slots=True)
class Finding:
    """How an input failed; `place` is equal for equal failures."""

    place: str
    what: str


class TooSlowError(Exception):
    """One input took more than `CPU_SECONDS`."""


class TooMuchMemoryError(Exception):
    """One input raised the peak by more than `MEMORY_OCTETS`."""


def load(name: str) -> Harness:
    """The harness of a target."""
    return cast(Harness, importlib.import_module(f"fuzz.targets.{name}"))


def attempt(run: Callable[[bytes], None], data: bytes) -> Finding | None:
    """Run one input; None when all is well."""
    before = _peak_octets()
    try:
        with _clocked():
            run(data)
        _weigh(_peak_octets() - before)
    except Exception as why:  # the one place that wants to know of every failure
        return _finding(why)
    return None


def _finding(why: Exception) -> Finding:
    """The innermost line of the project, or of the harness where its oracle speaks."""
    frames = traceback.extract_tb(why.__traceback__)
    rooms = (f"{ROOT}/vfax", f"{ROOT}/fuzz")
    ours = [frame for frame in frames if frame.filename.startswith(rooms) and frame.filename != __file__] or frames
    place = ours[-1]
    where = Path(place.filename).relative_to(ROOT) if place.filename.startswith(str(ROOT)) else place.filename
    return Finding(f"{type(why).__name__} at {where}:{place.lineno} {place.name}", str(why)[:300])


def _weigh(grown: int) -> None:
    if grown > MEMORY_OCTETS:
        raise TooMuchMemoryError(f"{grown >> 20} MB")


def _peak_octets() -> int:
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * (1 if sys.platform == "darwin" else 1024)


@contextmanager
def _clocked() -> Iterator[None]:
    def stop(number: int, frame: FrameType | None) -> None:
        raise TooSlowError(f"more than {CPU_SECONDS} s")

    before = signal.signal(signal.SIGVTALRM, stop)
    signal.setitimer(signal.ITIMER_VIRTUAL, CPU_SECONDS)
    try:
        yield
    finally:
        signal.setitimer(signal.ITIMER_VIRTUAL, 0)
        signal.signal(signal.SIGVTALRM, before)
