"""The record of a call: what is in it, what it may take, what is left out on wish."""

import json
import time
import zlib
from pathlib import Path
from typing import Any, Final

import pytest

from tests.recorded import RecordedEnd, RecordedPair
from vfax.codecs.dis import Coding, Resolution
from vfax.codecs.frames import Fcf, encode_identity
from vfax.journal import Entry, Journal, pack_packet, pack_packets, read_journal, read_packets
from vfax.leg import InternetAware, LegOptions, Switched
from vfax.record import CallRecord, Packets, RecordOptions, Terms
from vfax.recordings import read_recording
from vfax.redact import redact_journal
from vfax.replay import compare, replay
from vfax.simulate import SimulatedPage
from vfax.t30 import values as t30
from vfax.t30.options import T30Options
from vfax.transports.parameters import T38Parameters
from vfax.transports.sip import values as sip

NOISE: Final = bytes(range(1, 217))
PAGE: Final = SimulatedPage(1728, 60, Resolution.STANDARD, NOISE * 60)


def call(folder: Path, record: RecordOptions, *, ecm: bool = False) -> None:
    """A call of one page of hard pixels: in.jsonl and out.jsonl."""
    options = LegOptions(fax=T30Options(ecm=ecm, send_codings=(Coding.MH,)))
    caller = RecordedEnd(folder / "out.jsonl", called=False, pages=[PAGE], options=options, record=record)
    called = RecordedEnd(folder / "in.jsonl", called=True, options=options, record=record)
    pair = RecordedPair(caller, called, seed=1)
    pair.run()
    pair.close()


def of_kind(path: Path, kind: str) -> list[Entry]:
    return [entry for entry in read_journal(path) if entry.kind == kind]


def recorded(path: Path, direction: str) -> list[tuple[float, bytes]]:
    lines = [entry for entry in of_kind(path, "packets") if entry.facts["direction"] == direction]
    return [packet for entry in lines for packet in read_packets(entry)]


def test_what_one_end_sent_is_what_the_other_heard(tmp_path: Path) -> None:
    call(tmp_path, RecordOptions())
    for sender, hearer in (("in", "out"), ("out", "in")):
        said = recorded(tmp_path / f"{sender}.jsonl", "out")
        heard = recorded(tmp_path / f"{hearer}.jsonl", "in")
        assert [octets for _, octets in said[: len(heard)]] == [octets for _, octets in heard]
        assert [at for at, _ in heard] == pytest.approx([at + 0.02 for at, _ in said[: len(heard)]], abs=3e-6)
        assert len(heard) > 50


def test_lines_of_packets_are_about_a_second_each(tmp_path: Path) -> None:
    call(tmp_path, RecordOptions())
    lines = of_kind(tmp_path / "in.jsonl", "packets")
    assert 5 < len(lines) < 40
    for entry in lines:
        at = [moment for moment, _ in read_packets(entry)]
        assert at == sorted(at)
        assert at[-1] - at[0] < 1.1
        assert len(at) == entry.facts["count"]


@pytest.mark.parametrize("wish", [InternetAware.ALWAYS, InternetAware.NEVER])
def test_what_was_agreed_tells_whether_a_modem_was_in_between(wish: InternetAware, tmp_path: Path) -> None:
    options = LegOptions(internet_aware=wish)
    caller = RecordedEnd(tmp_path / "out.jsonl", called=False, pages=[PAGE], options=options)
    called = RecordedEnd(tmp_path / "in.jsonl", called=True, options=options)
    pair = RecordedPair(caller, called, seed=1)
    pair.run()
    pair.close()
    for end in ("in", "out"):
        (agreed,) = of_kind(tmp_path / f"{end}.jsonl", "agreed")
        assert agreed.facts["internet_aware"] is (wish is InternetAware.ALWAYS)


def test_arrivals_alone_are_kept_on_wish(tmp_path: Path) -> None:
    call(tmp_path, RecordOptions(packets=Packets.IN))
    assert {entry.facts["direction"] for entry in of_kind(tmp_path / "in.jsonl", "packets")} == {"in"}
    (first,) = of_kind(tmp_path / "in.jsonl", "t38-first")
    assert first.facts["direction"] == "out"


def test_without_packets_the_first_of_each_way_is_noted(tmp_path: Path) -> None:
    call(tmp_path, RecordOptions(packets=Packets.OFF))
    kinds = {entry.kind for entry in read_journal(tmp_path / "in.jsonl")}
    assert not kinds & {"packets", "options", "order", "unrecorded"}
    directions = [str(entry.facts["direction"]) for entry in of_kind(tmp_path / "in.jsonl", "t38-first")]
    assert sorted(directions) == ["in", "out"]


@pytest.mark.parametrize("limit", [0, 1500, 6000])
def test_recording_stops_at_its_limit_and_replay_says_so(limit: int, tmp_path: Path) -> None:
    call(tmp_path, RecordOptions(packets_limit=limit))
    path = tmp_path / "in.jsonl"
    assert sum(len(str(entry.facts["data"])) for entry in of_kind(path, "packets")) <= limit
    (end,) = of_kind(path, "unrecorded")
    assert end.facts["heard"] == len(recorded(path, "in"))
    recording = read_recording(path)
    assert (recording.ended, recording.why_short) == (False, "the limit of recorded packets was reached")
    assert compare(recording, replay(recording)) == ()


@pytest.mark.parametrize("ecm", [True, False], ids=["ecm", "no-ecm"])
def test_a_redacted_record_carries_no_page_data(ecm: bool, tmp_path: Path) -> None:
    call(tmp_path, RecordOptions(), ecm=ecm)
    page = b"".join(octets for _, octets in recorded(tmp_path / "in.jsonl", "in"))
    stretches = {page[at : at + 12] for at in range(len(page) // 2, len(page) // 2 + 400)}
    assert len(stretches) > 100
    redacted = tmp_path / "redacted"
    redacted.mkdir()
    call(redacted, RecordOptions(redacted=True), ecm=ecm)
    for path, direction in ((redacted / "in.jsonl", "in"), (redacted / "out.jsonl", "out")):
        left = b"".join(octets for _, octets in recorded(path, direction))
        assert not any(stretch in left for stretch in stretches if any(stretch))
        recording = read_recording(path)
        assert recording.redacted
        assert compare(recording, replay(recording)) == ()


@pytest.mark.parametrize(
    "facts",
    [
        {},
        {"since": 1.0},
        {"since": "soon", "data": pack_packets(pack_packet(0, b"x"))},
        {"since": float("nan"), "data": pack_packets(pack_packet(0, b"x"))},
        {"since": 1.0, "data": "no base64!"},
        {"since": 1.0, "data": "AAAA"},
        {"since": 1.0, "data": pack_packets(pack_packet(5, b"xyz")[:-1])},
        {"since": 1.0, "data": 7},
    ],
)
def test_what_is_no_batch_of_packets_holds_none(facts: dict[str, Any]) -> None:
    assert read_packets(Entry("", 0.0, "packets", facts)) == []


def test_a_batch_that_unpacks_without_end_is_cut() -> None:
    bomb = pack_packets(pack_packet(0, bytes(60_000)) * 1000)
    assert len(bomb) < 120_000
    packets = read_packets(Entry("", 0.0, "packets", {"since": 0.0, "data": bomb}))
    assert len(packets) == (1 << 20) // 60_006
    assert len(read_packets(Entry("", 0.0, "packets", {"since": 0.0, "data": bomb}), limit=3)) == 3


def test_a_line_without_end_is_unreadable_and_the_next_is_read(tmp_path: Path) -> None:
    path = tmp_path / "x.jsonl"
    path.write_bytes(b"x" * 700_000 + b'\n{"at":"x","t":1,"kind":"page"}\n')
    assert [entry.kind for entry in read_journal(path)] == ["unreadable", "page"]


def test_times_no_call_can_have_are_unreadable(tmp_path: Path) -> None:
    path = tmp_path / "x.jsonl"
    times = ("NaN", "Infinity", "1e300", "1" + "0" * 400)
    path.write_text("".join(f'{{"at":"x","t":{one},"kind":"page"}}\n' for one in times))
    assert [entry.kind for entry in read_journal(path)] == ["unreadable"] * len(times)


def test_recording_a_datagram_costs_next_to_nothing(tmp_path: Path) -> None:
    """Not a measurement (bench/ has those): only that a batch of the largest size does not hold up a call."""
    journal = Journal(tmp_path / "x.jsonl", clock=lambda: 0.0, call="x")
    record = CallRecord(journal, Terms(options=LegOptions(), called=True), RecordOptions())
    record.event(Switched(("192.0.2.1", 4000), T38Parameters()), 0.0)
    slowest = 0.0
    for number in range(1500):
        began = time.perf_counter()
        record.heard(zlib.crc32(bytes((number % 256,))).to_bytes(4, "big") * 30, 0.0)
        slowest = max(slowest, time.perf_counter() - began)
    journal.close()
    assert len(of_kind(tmp_path / "x.jsonl", "packets")) >= 5
    assert slowest < 0.5


def test_who_answered_is_in_the_options_line(tmp_path: Path) -> None:
    """Whether the unpaced transfer is taken up depends on it."""
    journal = Journal(tmp_path / "x.jsonl", clock=lambda: 0.0, call="x")
    record = CallRecord(journal, Terms(options=LegOptions(), called=False), RecordOptions())
    record.signal(sip.Answered(1, b"", "a PBX"), 0.0)
    record.event(Switched(("192.0.2.1", 4000), T38Parameters()), 0.0)
    journal.close()
    assert [entry.facts["peer_agent"] for entry in of_kind(tmp_path / "x.jsonl", "options")] == ["a PBX"]


def test_the_options_line_is_whole(tmp_path: Path) -> None:
    call(tmp_path, RecordOptions())
    (entry,) = of_kind(tmp_path / "out.jsonl", "options")
    assert (entry.facts["role"], entry.facts["pages"]) == ("caller", [[1, 1728, 60, "STANDARD"]])
    assert len(json.dumps(entry.facts)) < 4000


def poll_with_password(folder: Path, *, redacted: bool) -> Path:
    """The journal of a call that polls with a password, up to the end; nobody need answer it well."""
    journal = Journal(folder / "out.jsonl", clock=lambda: 0.0, call="x", wall=lambda: 1.7e9)
    asks = t30.Addressing(poll_address="4711", poll_password="2468", sender_password="97531")
    terms = Terms(options=LegOptions(), called=False, poll=t30.Poll(asks))
    record = CallRecord(journal, terms, RecordOptions(redacted=redacted, packets=Packets.ALL))
    record.event(Switched(("192.0.2.2", 4000), T38Parameters()), 0.0)
    password = bytes((0xFF, 0xC0, Fcf.PWD.value)) + encode_identity("2468")
    record.event(t30.FrameSeen(True, "PWD", password, "2468"), 0.0)
    record.event(t30.IdentityReceived("SID", "97531"), 0.0)
    journal.close()
    return folder / "out.jsonl"


@pytest.mark.parametrize("late", [True, False])
def test_a_redacted_record_tells_no_password(late: bool, tmp_path: Path) -> None:
    path = poll_with_password(tmp_path, redacted=not late)
    if late:
        redact_journal(path, tmp_path / "copy.jsonl")
        assert "2468" in path.read_text()
        path = tmp_path / "copy.jsonl"
    text = path.read_text()
    assert "4711" in text
    for secret in ("2468", "97531", encode_identity("2468").hex()):
        assert secret not in text
    (terms,) = of_kind(path, "options")
    assert terms.facts["poll"] == {
        "subaddress": "",
        "sender_password": "00000",
        "poll_address": "4711",
        "poll_password": "0000",
    }
    (frame,) = of_kind(path, "frame")
    assert str(frame.facts["hex"]).endswith(encode_identity("0000").hex())


def test_a_redacted_record_shows_no_octets_of_the_first_datagram(tmp_path: Path) -> None:
    call(tmp_path, RecordOptions(redacted=True, packets=Packets.OFF))
    assert all("hex" not in entry.facts for entry in of_kind(tmp_path / "in.jsonl", "t38-first"))
    assert len(of_kind(tmp_path / "in.jsonl", "t38-first")) == 2
