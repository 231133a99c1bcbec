"""`vfax replay` as people type it: what it says, how it ends, and that no file makes it fall over."""

import json
import re
import shutil
import time
from contextlib import suppress
from pathlib import Path
from typing import Any, Final

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from typer.testing import CliRunner, Result

from vfax import replay
from vfax.cli import app
from vfax.cli.replay import run
from vfax.errors import DocumentError
from vfax.journal import read_journal, read_packets
from vfax.leg import LegOptions
from vfax.pcap import Datagram, file_header, packet_record

RECORDINGS: Final = Path(__file__).parents[1] / "calls" / "recordings"
RECEIVED, SENT = RECORDINGS / "received-ecm.jsonl", RECORDINGS / "sent-ecm.jsonl"


def vfax(*arguments: object) -> Result:
    return CliRunner().invoke(app, ["replay", *map(str, arguments)])


def facts(*arguments: object) -> dict[str, Any]:
    answer = json.loads(vfax(*arguments, "--json").stdout)
    assert isinstance(answer, dict)
    return answer


def spoiled(path: Path, target: Path, old: str, new: str) -> Path:
    text = path.read_text()
    assert old in text
    target.write_text(text.replace(old, new))
    return target


def test_the_same_call_ends_with_0_and_says_so() -> None:
    result = vfax(RECEIVED)
    assert result.exit_code == 0
    assert result.stdout.startswith("received-ecm.jsonl: ")
    assert "Today: complete, 2 pages confirmed." in result.stdout
    assert "The same as recorded: " in result.stdout


def test_a_difference_ends_with_1_and_shows_both(tmp_path: Path) -> None:
    result = vfax(spoiled(RECEIVED, tmp_path / "x.jsonl", '"ecm":true', '"ecm":false'))
    assert result.exit_code == 1
    assert "frames differ\n    recorded: " in result.stdout
    assert "\n    replayed: " in result.stdout


def test_json_holds_every_call_and_difference(tmp_path: Path) -> None:
    same = facts(SENT)
    assert (same["ok"], same["exit"], same["calls"][0]["end"], same["calls"][0]["differences"]) == (
        True,
        0,
        "caller",
        [],
    )
    other = facts(spoiled(SENT, tmp_path / "x.jsonl", '"cause":"complete"', '"cause":"busy"'))
    assert (other["ok"], other["exit"]) == (False, 1)
    assert other["calls"][0]["differences"] == [{"what": "cause", "recorded": "busy", "replayed": "complete"}]


def test_a_recording_that_stops_early_is_compared_so_far(tmp_path: Path) -> None:
    lines = RECEIVED.read_text().splitlines()
    path = tmp_path / "x.jsonl"
    path.write_text("\n".join(lines[: len(lines) * 2 // 3]))
    result = vfax(path)
    assert result.exit_code == 0
    assert "The recording stops early: the journal has no outcome" in result.stdout


@pytest.mark.parametrize(
    ("content", "sentence"),
    [
        ("", "this is no journal of a call"),
        ("hello\nworld\n", "this is no journal of a call"),
        ('{"at":"x","t":0,"kind":"call"}\n', "no T.38 was agreed in this call, so there is nothing to replay"),
        (
            '{"at":"x","t":0,"kind":"call"}\n{"at":"x","t":0,"kind":"t38"}\n',
            "the packets of this call were not recorded ([journal] packets), so it cannot be replayed",
        ),
        (
            '{"at":"x","t":0,"kind":"call"}\n{"at":"x","t":0,"kind":"options","version":99}\n',
            "recorded in form 99; this version replays form 1",
        ),
        (
            '{"at":"x","t":0,"kind":"call"}\n{"at":"x","t":0,"kind":"options","version":1,"leg":7}\n',
            "LegOptions is not a mapping",
        ),
    ],
)
def test_what_cannot_be_replayed_is_one_sentence_and_3(content: str, sentence: str, tmp_path: Path) -> None:
    path = tmp_path / "x.jsonl"
    path.write_text(content)
    answer = facts(path)
    assert (answer["exit"], answer["error"]) == (3, f"{path}: {sentence}")


def test_a_missing_file_is_one_sentence_and_3(tmp_path: Path) -> None:
    answer = facts(tmp_path / "missing")
    assert (answer["exit"], answer["error"]) == (
        3,
        f"{tmp_path / 'missing'}: cannot be read: No such file or directory",
    )


def test_an_unknown_end_is_refused() -> None:
    answer = facts(RECEIVED, "--as", "both")
    assert (answer["exit"], answer["error"]) == (2, "--as both: expected caller or called")


def test_a_redacted_copy_of_what_was_sent_replays_the_same(tmp_path: Path) -> None:
    assert vfax(SENT, "--redact", tmp_path / "x.jsonl").exit_code == 0
    result = vfax(tmp_path / "x.jsonl")
    assert (result.exit_code, "complete" in result.stdout) == (0, True)


def test_a_redacted_copy_never_replaces_a_file(tmp_path: Path) -> None:
    shutil.copy(SENT, tmp_path / "x.jsonl")
    answer = facts(SENT, "--redact", tmp_path / "x.jsonl")
    assert (answer["exit"], answer["error"].endswith("File exists")) == (3, True)


LINES: Final = RECEIVED.read_bytes().splitlines(keepends=True)


@given(st.data())
@settings(max_examples=25, suppress_health_check=[HealthCheck.function_scoped_fixture])
def test_no_damage_to_a_journal_makes_it_fall_over(tmp_path: Path, data: st.DataObject) -> None:
    octets = bytearray(b"".join(data.draw(st.permutations(LINES))) if data.draw(st.booleans()) else b"".join(LINES))
    for _ in range(data.draw(st.integers(0, 30))):
        octets[data.draw(st.integers(0, len(octets) - 1))] = data.draw(st.integers(32, 126))
    path = tmp_path / "x.jsonl"
    path.write_bytes(octets[: data.draw(st.integers(0, len(octets)))])
    with suppress(DocumentError):
        run(path, end="", options=LegOptions(), as_json=True)


JUNK = (
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=9) | st.lists(st.integers(), max_size=3)
)


@given(st.data())
@settings(max_examples=60, suppress_health_check=[HealthCheck.function_scoped_fixture])
def test_no_value_in_a_journal_makes_it_fall_over(tmp_path: Path, data: st.DataObject) -> None:
    lines = [json.loads(line) for line in LINES]
    for _ in range(data.draw(st.integers(1, 4))):
        place = data.draw(
            st.sampled_from(
                [line for line in lines if line["kind"] in ("options", "order", "packets", "t38", "page", "frame")]
            )
        )
        while isinstance(inner := place[data.draw(st.sampled_from(sorted(place)))], dict) and inner:
            place = inner
        place[data.draw(st.sampled_from(sorted(place)))] = data.draw(JUNK)
    path = tmp_path / "x.jsonl"
    path.write_text("".join(json.dumps(line) + "\n" for line in lines))
    with suppress(DocumentError):
        run(path, end="", options=LegOptions(), as_json=True)


def test_a_journal_whose_options_keep_every_timer_busy_ends_within_seconds(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(replay, "WORK_BASE", 0.3)
    lines = [json.loads(line) for line in SENT.read_bytes().splitlines()[:6]]
    (terms,) = [line for line in lines if line["kind"] == "options"]
    terms["leg"]["line"] |= {"keep_alive": 0.001, "v21_octet": 0.000001}
    terms["leg"]["fax"]["timers"] |= {"t1": 86400.0, "call": 86400.0}
    lines.append({"at": "x", "t": 86400.0, "kind": "outcome", "cause": "complete"})
    path = tmp_path / "x.jsonl"
    path.write_text("".join(json.dumps(line) + "\n" for line in lines))
    before = time.process_time()
    answer = facts(path)
    assert time.process_time() - before < 3
    assert answer["exit"] == 3
    assert re.fullmatch(
        rf"{path}: the replay takes too long: it was stopped at \d+\.\d{{3}} s of the call", answer["error"]
    )


OURS, THEIRS = ("192.0.2.1", 4000), ("198.51.100.2", 4002)


@pytest.fixture
def capture(tmp_path: Path) -> Path:
    """A capture without SIP: vfax called libspandsp."""
    datagrams = []
    for entry in read_journal(SENT):
        if entry.kind == "packets":
            sent = entry.facts["direction"] == "out"
            source, target = (OURS, THEIRS) if sent else (THEIRS, OURS)
            datagrams += [Datagram(1_700_000_000 + at, source, target, octets) for at, octets in read_packets(entry)]
    path = tmp_path / "call.pcap"
    path.write_bytes(file_header() + b"".join(map(packet_record, sorted(datagrams, key=lambda one: one.at))))
    return path


def test_our_end_of_a_capture_replays_the_same(capture: Path) -> None:
    result = vfax(capture, "--as", "caller")
    assert (result.exit_code, result.stdout.splitlines()[0].split(": ")[0]) == (
        0,
        "192.0.2.1:4000 calls 198.51.100.2:4002, the calling end",
    )
    assert "Today: complete, 2 pages confirmed." in result.stdout


def test_another_makers_end_of_a_capture_differs(capture: Path) -> None:
    answer = facts(capture)
    assert (answer["exit"], [call["end"] for call in answer["calls"]]) == (1, ["called", "caller"])
    (found,) = answer["calls"][0]["differences"]
    assert (found["what"], answer["calls"][1]["differences"]) == ("frames", [])
    assert "sent CSI" in found["recorded"] or "sent DIS" in found["recorded"] or "sent NSF" in found["recorded"]


def test_a_redacted_copy_of_a_capture_is_a_capture(capture: Path, tmp_path: Path) -> None:
    assert vfax(capture, "--redact", tmp_path / "copy.pcap").exit_code == 0
    assert facts(tmp_path / "copy.pcap")["calls"][0]["datagrams"] > 100
    assert (tmp_path / "copy.pcap").stat().st_size < capture.stat().st_size


@pytest.mark.parametrize("head", [b"\xd4\xc3\xb2\xa1", b"\x0a\x0d\x0d\x0a", b"\xa1\xb2\x3c\x4d"])
def test_a_capture_of_noise_is_one_sentence_and_3(head: bytes, tmp_path: Path) -> None:
    path = tmp_path / "x.pcap"
    path.write_bytes(head + bytes(range(256)) * 40)
    answer = facts(path)
    assert answer["exit"] == 3
    assert answer["error"].startswith(f"{path}: ")
    assert "\n" not in answer["error"]
