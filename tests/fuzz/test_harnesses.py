"""Every harness on its seeds and some hundred mutants of them, and the machinery around the harnesses."""

import json
import math
import random
import subprocess
import sys
from pathlib import Path
from typing import Final

import pytest

from fuzz.harness import ROOT, TARGETS, attempt
from fuzz.mutate import MAX_OCTETS, record, split, spoil, spoil_records
from fuzz.session import Session, run_plain

SLOW: Final = {"receiver": 60, "sender": 60, "leg": 60, "mr": 100, "pcap": 40, "replay": 60, "pdf_reading": 60}
MUTANTS: Final = 300
SEED: Final = 20261120


@pytest.mark.parametrize("target", TARGETS)
def test_seeds_and_mutants_of_them_meet_the_oracle(target: str, tmp_path: Path) -> None:
    session = Session(target, seed=SEED, guided=False, folder=tmp_path)
    run_plain(session, math.inf, mutants=SLOW.get(target, MUTANTS))
    found = [path.read_text("utf-8") for path in sorted((tmp_path / "findings").glob("*.txt"))]
    assert not found, f"seed {SEED}: {found}"
    assert session.report.executions > SLOW.get(target, MUTANTS)


# --- the machinery -------------------------------------------------------------------------------


def divide(data: bytes) -> None:
    assert data != b"no", "the oracle speaks"
    _ = 1 // len(data)


def test_a_sound_input_is_no_finding() -> None:
    assert attempt(divide, b"yes") is None


def test_a_foreign_exception_and_a_broken_oracle_are_findings_with_their_place() -> None:
    foreign, broken = attempt(divide, b""), attempt(divide, b"no")
    assert foreign is not None
    assert foreign.place.startswith("ZeroDivisionError")
    assert broken is not None
    assert broken.place.startswith("AssertionError")
    assert broken.what.startswith("the oracle speaks")


def test_an_input_without_end_is_a_finding(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("fuzz.harness.CPU_SECONDS", 0.05)

    def spin(data: bytes) -> None:
        while data:
            pass

    finding = attempt(spin, b"x")
    assert finding is not None
    assert finding.place.startswith("TooSlowError")


def test_memory_beyond_the_limit_is_a_finding(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("fuzz.harness.MEMORY_OCTETS", -1)
    finding = attempt(lambda data: None, b"x")
    assert finding is not None
    assert finding.place.startswith("TooMuchMemoryError")


def test_a_finding_is_kept_once_with_the_octets_that_repeat_it(tmp_path: Path) -> None:
    session = Session("ifp", seed=1, guided=False, folder=tmp_path)
    session.harness = _Broken()
    for data in (b"", b"no", b"", b"yes"):
        session.attempt(data)
    kept = sorted(Path(path).read_bytes() for path in session.report.findings.values())
    assert kept == [b"", b"no"]
    assert (tmp_path / "report.json").exists()


class _Broken:
    RECORDS = False
    TOKENS: tuple[bytes, ...] = ()

    def seeds(self) -> list[bytes]:
        return [b"seed"]

    def run(self, data: bytes) -> None:
        divide(data)


def test_the_same_seed_spoils_alike() -> None:
    data = [record(0, 1, bytes(range(50))) * 5, b"", b"x"]
    for mutate in (spoil, spoil_records):
        ways = [[mutate(one, random.Random(seed), data) for one in data for seed in range(50)] for _ in range(2)]
        assert ways[0] == ways[1]
        assert len(set(ways[0])) > 50
        assert max(map(len, ways[0])) <= MAX_OCTETS


def test_records_survive_being_written_and_read() -> None:
    rows = [(0, 5, b"abc"), (255, 0, b""), (7, 255, bytes(300))]
    assert split(b"".join(record(*row) for row in rows)) == rows
    assert split(record(1, 2, b"abc")[:-1]) == [(1, 2, b"ab")]


def fuzz_command(*words: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run([sys.executable, "-m", "fuzz", *words], cwd=ROOT, capture_output=True, text=True, check=False)


def test_the_command_prints_a_line_for_each_target_and_leaves_its_report(tmp_path: Path) -> None:
    ended = fuzz_command("0.1", "ifp", "dis", "--plain", "--seed", "7", "--folder", str(tmp_path))
    assert ended.returncode == 0, ended.stderr
    assert [line.split()[:2] for line in ended.stdout.splitlines()[2:]] == [["ifp", "plain"], ["dis", "plain"]]
    assert json.loads((tmp_path / "ifp" / "report.json").read_text("utf-8"))["seed"] == 7


def test_a_finding_is_tried_again_by_its_file(tmp_path: Path) -> None:
    octets = tmp_path / "octets"
    octets.write_bytes(b"\x00\x02")
    ended = fuzz_command("repeat", "ifp", str(octets))
    assert (ended.returncode, ended.stdout) == (0, f"ifp: {octets} is no finding (any more)\n")


def test_a_target_that_is_none_is_refused_by_name() -> None:
    ended = fuzz_command("1", "fax")
    assert ended.returncode == 2
    assert "no such target: fax" in ended.stderr
