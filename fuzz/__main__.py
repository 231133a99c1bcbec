"""All targets in turn, a line for each.

    python -m fuzz SECONDS [TARGET...] [--seed N] [--plain] [--folder FOLDER]      SECONDS for each target
    python -m fuzz repeat TARGET FILE                            one finding again, with its trace

Inputs are made by atheris where it is installed, else (or with --plain) by a seeded mutator. Exits 1 on findings.
"""

import argparse
import json
import os
import re
import subprocess
import sys
from pathlib import Path

from fuzz.harness import ROOT, TARGETS, load
from fuzz.session import Report

SPARE_SECONDS = 120.0


def fuzz(target: str, seconds: float, seed: int, folder: Path, *, plain: bool) -> tuple[Report, str, int]:
    """Run one target in a process of its own: its report, what it said, how it ended."""
    folder.mkdir(parents=True, exist_ok=True)
    (folder / "report.json").unlink(missing_ok=True)
    command = [sys.executable, "-m", "fuzz.session", target, str(seconds), str(seed), str(folder)]
    command += ["--plain"] if plain else []
    with (folder / "said.txt").open("wb") as said:
        try:
            ended = subprocess.run(command, cwd=ROOT, stderr=said, stdout=said, timeout=seconds + SPARE_SECONDS)
            status = ended.returncode
        except subprocess.TimeoutExpired:
            status = -1
    words = (folder / "said.txt").read_text("utf-8", "replace")
    try:
        report = Report(**json.loads((folder / "report.json").read_text("utf-8")))
    except FileNotFoundError:
        report = Report(target, False, seed)
    return report, words, status


def line(report: Report, words: str) -> str:
    """One line of the table."""
    covered = re.findall(r"cov: (\d+)", words)
    # libFuzzer counts what ran after our last report, too
    counted = re.findall(r"stat::number_of_executed_units:\s*(\d+)", words)
    executions = int(counted[-1]) if counted else report.executions
    seconds = report.seconds or 1e-9
    way = "atheris" if report.guided else "plain"
    return (
        f"{report.target:10} {way:8} {executions:10} {executions / seconds:10.0f} "
        f"{covered[-1] if covered else '-':>9} {len(report.findings):9}"
    )


def repeat(target: str, path: Path) -> None:
    """Run one input with nothing around it: the trace is the finding's."""
    load(target).run(path.read_bytes())
    print(f"{target}: {path} is no finding (any more)")


def main() -> int:
    """Parse, run, print."""
    if sys.argv[1:2] == ["repeat"] and len(sys.argv) == 4:
        repeat(sys.argv[2], Path(sys.argv[3]))
        return 0
    parser = argparse.ArgumentParser(prog="script/fuzz", description=(__doc__ or "").split("\n\n")[1])
    parser.add_argument("seconds", type=float, help="for each target")
    parser.add_argument("targets", nargs="*", metavar="TARGET", help=f"of {', '.join(TARGETS)}; all without any")
    parser.add_argument("--seed", type=int, default=int.from_bytes(os.urandom(3), "big"), help="of all dice")
    parser.add_argument("--folder", type=Path, default=ROOT / ".fuzz", help="for corpus and findings")
    parser.add_argument("--plain", action="store_true", help="without atheris")
    options = parser.parse_args()
    if unknown := [name for name in options.targets if name not in TARGETS]:
        parser.error(f"no such target: {', '.join(unknown)}; there are {', '.join(TARGETS)}")
    print(f"seed {options.seed}, {options.seconds:g} s for each target")
    print("target     way      executions   per second  coverage  findings")
    failed = False
    for target in options.targets or TARGETS:
        folder = options.folder.resolve() / target
        report, words, status = fuzz(target, options.seconds, options.seed, folder, plain=options.plain)
        print(line(report, words), flush=True)
        if status != 0:
            print(f"    ended with status {status}: see {folder / 'said.txt'}", flush=True)
        failed |= bool(report.findings) or status != 0
        for place, path in report.findings.items():
            print(f"    {place}\n    repeat it: {sys.executable} -m fuzz repeat {target} {path}", flush=True)
    return 1 if failed else 0


if __name__ == "__main__":
    sys.exit(main())
