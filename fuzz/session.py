"""One target, fuzzed for some seconds in a process of its own.

Owns      the two ways to make inputs (atheris, where it is installed, else the plain mutator), the corpus on disk, the
          report that the parent reads.
Not here  all targets in turn (__main__.py), what is a finding (harness.py), mutations (mutate.py).

    python -m fuzz.session TARGET SECONDS SEED FOLDER [--plain]      writes FOLDER/{corpus,findings}/ and report.json
"""

import contextlib
import importlib
import json
import random
import resource
import sys
import time
from dataclasses import asdict, dataclass, field
from hashlib import sha256
from importlib.util import find_spec
from pathlib import Path
from typing import Any, Final

from fuzz.harness import Harness, attempt, load
from fuzz.mutate import MAX_OCTETS, spoil, spoil_records

REPORT_EVERY: Final = 1.0
ADDRESS_SPACE: Final = 4 << 30
"""Limit: a claimed count that is believed fails here, whether the memory is touched or not."""


@dataclass(slots=True)
class Report:
    """What a run did; `findings` maps the place of each to the file that repeats it."""

    target: str
    guided: bool
    seed: int
    executions: int = 0
    seconds: float = 0.0
    findings: dict[str, str] = field(default_factory=dict)


class Session:
    """Runs inputs, keeps the findings, writes the report about once a second."""

    def __init__(self, target: str, *, seed: int, guided: bool, folder: Path) -> None:
        self.report = Report(target, guided, seed)
        self.folder = folder
        self.harness: Harness = load(target)
        self._began = time.monotonic()
        self._reported = 0.0
        (self.folder / "findings").mkdir(parents=True, exist_ok=True)

    def start(self) -> list[bytes]:
        """The seeds, each tried unspoilt."""
        seeds = self.harness.seeds()
        for data in seeds:
            self.attempt(data)
        return seeds

    def attempt(self, data: bytes) -> None:
        """Try one input and keep it if it is the first with this finding."""
        self.report.executions += 1
        finding = attempt(self.harness.run, data)
        if finding is not None and finding.place not in self.report.findings:
            path = self.folder / "findings" / sha256(data).hexdigest()[:16]
            path.write_bytes(data)
            self.report.findings[finding.place] = str(path)
            path.with_suffix(".txt").write_text(f"{finding.place}\n{finding.what}\n", "utf-8")
            self.write()
        elif self.report.executions % 64 == 0 and time.monotonic() - self._reported > REPORT_EVERY:
            self.write()

    def write(self) -> None:
        """Write the report; a process that is killed leaves the last one."""
        self._reported = time.monotonic()
        self.report.seconds = self._reported - self._began
        (self.folder / "report.json").write_text(json.dumps(asdict(self.report)), "utf-8")

    def mutant(self, data: bytes, dice: random.Random, others: list[bytes]) -> bytes:
        """One spoilt input."""
        if self.harness.RECORDS and dice.random() < 0.8:
            return spoil_records(data, dice, others)
        return spoil(data, dice, others)


def run_plain(session: Session, seconds: float, *, mutants: int = sys.maxsize) -> None:
    """Spoil seeds until `seconds` or `mutants` are over; the same seed makes the same inputs."""
    dice = random.Random(session.report.seed)
    end = time.monotonic() + seconds
    seeds = session.start()
    others = [*seeds, *session.harness.TOKENS]
    for _ in range(mutants):
        if time.monotonic() > end:
            break
        session.attempt(session.mutant(dice.choice(seeds), dice, others))
    session.write()


def run_guided(target: str, seconds: float, seed: int, folder: Path) -> None:
    """Let atheris choose the inputs by the code they reach; ends the process."""
    atheris: Any = importlib.import_module("atheris")
    with atheris.instrument_imports(include=["vfax"]):
        session = Session(target, seed=seed, guided=True, folder=folder)
    seeds = session.start()
    corpus, first = session.folder / "corpus", session.folder / "seeds"
    for place, inputs in ((corpus, []), (first, seeds)):
        place.mkdir(exist_ok=True)
        for data in inputs:
            (place / sha256(data).hexdigest()[:16]).write_bytes(data)
    others = [*seeds, *session.harness.TOKENS]

    def mutate(data: bytes, max_size: int, number: int) -> bytes:
        dice = random.Random(number)
        if dice.random() < 0.5:
            return bytes(atheris.Mutate(data, max_size))
        return session.mutant(data, dice, others)[:max_size]

    options = [f"-max_total_time={max(1, int(seconds))}", f"-seed={seed or 1}", f"-max_len={MAX_OCTETS}", "-timeout=60"]
    options += [f"-artifact_prefix={session.folder}/findings/", "-rss_limit_mb=4096", "-print_final_stats=1"]
    atheris.Setup([sys.argv[0], *options, str(corpus), str(first)], session.attempt, custom_mutator=mutate)
    session.write()
    atheris.Fuzz()


def main() -> None:
    """What the parent starts."""
    target, seconds, seed, folder = sys.argv[1], float(sys.argv[2]), int(sys.argv[3]), Path(sys.argv[4])
    with contextlib.suppress(ValueError, OSError):
        resource.setrlimit(resource.RLIMIT_AS, (ADDRESS_SPACE, ADDRESS_SPACE))
    if "--plain" not in sys.argv and find_spec("atheris") is not None:
        run_guided(target, seconds, seed, folder)
    else:
        run_plain(Session(target, seed=seed, guided=False, folder=folder), seconds)


if __name__ == "__main__":
    main()
