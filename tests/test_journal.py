import errno
import json
import os
import tempfile
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from vfax.journal import MAX_LINE_OCTETS, MAX_TEXT, Entry, Journal, facts_of, read_journal
from vfax.outcome import Cause, Outcome, Phase


def journal(path: Path | None, *times: float, max_octets: int = 1 << 20) -> Journal:
    """A journal whose clock reads `times` one after the other, then stands still; the wall clock stands still."""
    clock = ticking(times or (0.0,))
    return Journal(path, clock=clock, call="call-7", wall=lambda: 1_700_000_000.1239, max_octets=max_octets)


def ticking(times: tuple[float, ...]) -> Callable[[], float]:
    rest: Iterator[float] = iter(times)
    return lambda: next(rest, times[-1])


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "call.jsonl"


def kinds(path: Path) -> list[str]:
    return [entry.kind for entry in read_journal(path)]


def test_a_line_has_wall_time_seconds_since_the_call_began_and_its_facts(path: Path) -> None:
    with journal(path, 50.0, 51.23456) as one:
        one.note("page", number=1, what="confirmed", rows=1100)
    assert path.read_text() == (
        '{"at":"2023-11-14T22:13:20.123Z","t":1.235,"kind":"page","number":1,"what":"confirmed","rows":1100}\n'
    )


def test_the_first_line_names_the_call(path: Path) -> None:
    with journal(path) as one:
        one.note("call", direction="in")
    assert read_journal(path) == [Entry("2023-11-14T22:13:20.123Z", 0.0, "call", {"call": "call-7", "direction": "in"})]


def test_each_line_is_on_disk_as_soon_as_it_is_noted(path: Path) -> None:
    one = journal(path)
    for count in range(1, 4):
        one.note("status", status="FS_RECEIVING", page=count)
        assert len(read_journal(path)) == count
    one.close()


@pytest.mark.skipif(os.name == "nt", reason="rights are of another kind there")
def test_a_journal_is_not_for_everybody(path: Path) -> None:
    before = os.umask(0)
    try:
        Journal(path, clock=lambda: 0.0, call="x").close()
    finally:
        os.umask(before)
    assert path.stat().st_mode & 0o777 == 0o640


def test_a_journal_is_appended_to_and_a_torn_last_line_stays_alone(path: Path) -> None:
    path.write_bytes(b'{"at":"x","t":0,"kind":"call"}\n{"at":"x","t":1,"ki')
    with journal(path) as one:
        one.note("outcome", cause="complete")
    assert kinds(path) == ["call", "unreadable", "outcome"]


def test_without_a_path_nothing_is_written_or_lost() -> None:
    with journal(None) as one:
        one.note("call", direction="out")
    assert one.lost == 0


def test_facts_cannot_take_the_place_of_the_common_fields(path: Path) -> None:
    with journal(path) as one:
        one.note("call", kind="evil", at="never", t=-1, call="mine")
    (entry,) = read_journal(path)
    assert (entry.kind, entry.t) == ("call", 0.0)
    assert entry.facts == {"call": "call-7", "kind_": "evil", "at_": "never", "t_": -1, "call_": "mine"}


@given(st.dictionaries(st.text(max_size=8), st.text() | st.floats() | st.binary(max_size=40), max_size=4))
def test_whatever_the_peer_says_stays_one_line_of_plain_json(facts: dict[str, str]) -> None:
    line = noted(**facts)
    assert line.count(b"\n") == 1
    assert line.isascii()
    parsed = json.loads(line, parse_constant=lambda name: pytest.fail(f"{name} is no JSON"))
    json.dumps(parsed, ensure_ascii=False).encode()  # no lone surrogate is left


def noted(**facts: str) -> bytes:
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "call.jsonl"
        with journal(path) as one:
            one.note("frame", **facts)
        assert one.lost == 0
        return path.read_bytes()


def test_octets_that_are_no_utf_8_stay_visible(path: Path) -> None:
    with journal(path) as one:
        one.note("sip", summary=b"From: \xff\x00 <b>\n".decode("utf-8", "surrogateescape"))
    assert read_journal(path)[0].facts["summary"] == "From: \\udcff\x00 <b>\n"


def test_long_texts_long_lines_and_deep_facts_are_cut(path: Path) -> None:
    with journal(path) as one:
        one.note("frame", words="x" * (MAX_TEXT + 5))
        one.note("frame", words=["y" * MAX_TEXT] * 100)
        one.note("frame", words=[[[[[["z"]]]]]])
    long_text, long_line, deep = (entry.facts for entry in read_journal(path))
    assert str(long_text["words"]).endswith("x... (5 more)")
    assert isinstance(long_line["cut_octets"], int)
    assert long_line["cut_octets"] > MAX_LINE_OCTETS
    assert deep["words"] == [[["[[['z']]]"]]]


def test_beyond_the_limit_only_the_outcome_is_written_and_says_how_much_is_missing(path: Path) -> None:
    with journal(path, max_octets=250) as one:
        for number in range(10):
            one.note("page", number=number)
        one.note("outcome", cause="complete")
    written = kinds(path)
    assert written == ["page"] * (len(written) - 1) + ["outcome"]
    assert 2 <= len(written) <= 5
    assert read_journal(path)[-1].facts["lost"] == 11 - len(written)


def test_after_the_limit_no_shorter_line_slips_in(path: Path) -> None:
    with journal(path, max_octets=250) as one:
        one.note("page", number=1)
        one.note("frame", words="x" * 300)
        one.note("page", number=2)
    assert kinds(path) == ["page", "lost"]


class _FullDisk:
    """A file on a disk that takes `room` octets: a part of a line, then ENOSPC, until `room` grows again."""

    def __init__(self, room: int) -> None:
        self.room = room
        self.written = b""

    def write(self, octets: bytes) -> int:
        if self.room == 0:
            raise OSError(errno.ENOSPC, "No space left on device")
        taken = octets[: self.room]
        self.room -= len(taken)
        self.written += taken
        return len(taken)

    def close(self) -> None:
        raise OSError(errno.EIO, "Input/output error")


def on(disk: _FullDisk) -> Journal:
    one = journal(Path(os.devnull))
    assert one._file is not None
    one._file.close()
    one._file = disk  # type: ignore[assignment]
    return one


def test_a_full_disk_is_counted_and_said_when_there_is_room_again(path: Path) -> None:
    disk = _FullDisk(100)
    one = on(disk)
    for number in range(4):
        one.note("page", number=number)
    assert one.lost == 3
    disk.room = 10_000
    one.note("outcome", cause="storage")
    one.close()
    path.write_bytes(disk.written)
    assert kinds(path) == ["page", "unreadable", "outcome"]
    facts = read_journal(path)[-1].facts
    assert (facts["lost"], facts["why_lost"]) == (3, "No space left on device")


def test_what_is_lost_after_the_outcome_is_said_at_the_close(path: Path) -> None:
    disk = _FullDisk(0)
    one = on(disk)
    one.note("outcome", cause="storage")
    disk.room = 10_000
    one.close()
    path.write_bytes(disk.written)
    assert read_journal(path)[0].facts == {"lost": 1, "why": "No space left on device"}


def test_a_really_full_device_never_raises() -> None:
    with journal(Path("/dev/full")) as one:
        one.note("call")
        one.note("outcome", cause="complete")
    assert (one.lost, one.trouble) == (3, "No space left on device")


def test_a_journal_that_cannot_be_opened_only_counts(tmp_path: Path) -> None:
    with journal(tmp_path / "missing" / "call.jsonl") as one:
        one.note("call")
    assert one.lost >= 1
    assert one.trouble == "No such file or directory"


def test_closing_twice_and_noting_after_the_close_do_no_harm(path: Path) -> None:
    one = journal(path)
    one.note("call")
    one.close()
    one.close()
    one.note("page", number=1)
    assert kinds(path) == ["call"]


def test_lines_that_are_no_journal_lines_are_marked(path: Path) -> None:
    path.write_text('[1]\n{"kind":"page"}\n\n{"at":"x","t":"soon","kind":"page"}\n{"at":"x","t":2,"kind":"page"}\n')
    assert [(entry.kind, entry.facts) for entry in read_journal(path)] == [
        ("unreadable", {"line": 1}),
        ("unreadable", {"line": 2}),
        ("unreadable", {"line": 4}),
        ("page", {}),
    ]


def test_an_outcome_is_noted_with_all_its_known_facts(path: Path) -> None:
    with journal(path) as one:
        one.note("outcome", **facts_of(Outcome(cause=Cause.BUSY, phase=Phase.CALL, sip_status=486)))
    facts = read_journal(path)[0].facts
    assert (facts["cause"], facts["phase"], facts["sip_status"], facts["bad_rows"]) == ("busy", "call", 486, 0)
    assert "ecm" not in facts


def test_a_journal_of_too_many_values_is_read_up_to_them(path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("vfax.journal.MAX_READ_VALUES", 1000)
    line = json.dumps({"at": "x", "t": 0, "kind": "x", "a": [[]] * 97})
    path.write_text(f"{line}\n" * 20)
    assert [entry.kind for entry in read_journal(path)] == ["x"] * 10 + ["unreadable"]
