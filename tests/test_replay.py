"""Replay: a call that was recorded runs the same way again."""

import json
import random
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from trio.testing import MockClock

from tests.recorded import LIMIT, RecordedEnd, RecordedPair
from vfax.codecs.dis import Coding, Resolution
from vfax.journal import read_journal
from vfax.leg import CallerOffer, LegOptions
from vfax.outcome import Cause
from vfax.record import Packets, RecordOptions
from vfax.recordings import read_recording
from vfax.replay import Difference, compare, replay
from vfax.simulate import SimulatedPage
from vfax.simulation.scenario import roll
from vfax.simulation.trial import play
from vfax.t30 import values as t30
from vfax.t30.options import T30Options


def page(seed: int, rows: int = 120) -> SimulatedPage:
    """Black bars, different for each seed: coded small, but not to nothing."""
    dice = random.Random(seed)
    lines = []
    for _ in range(rows):
        line = (1 << 1728) - (1 << dice.randrange(100, 1700))
        lines.append((line & ((1 << 1728) - 1)).to_bytes(216, "big"))
    return SimulatedPage(1728, rows, Resolution.STANDARD, b"".join(lines))


def differences(journal: Path) -> tuple[Difference, ...]:
    recording = read_recording(journal)
    return compare(recording, replay(recording))


@pytest.mark.parametrize("loss", [0.0, 0.02, 0.08, 0.3])
@pytest.mark.parametrize("ecm", [True, False], ids=["ecm", "no-ecm"])
@pytest.mark.parametrize("seed", range(4))
def test_a_simulated_call_replays_as_it_was(seed: int, ecm: bool, loss: float, tmp_path: Path) -> None:
    fax = T30Options(local_id="+1 555 0001", ecm=ecm, send_codings=(Coding.MR, Coding.MH))
    options = LegOptions(fax=fax)
    caller = RecordedEnd(tmp_path / "out.jsonl", called=False, pages=[page(seed), page(seed + 99)], options=options)
    called = RecordedEnd(tmp_path / "in.jsonl", called=True, options=options)
    pair = RecordedPair(caller, called, seed=seed, loss=loss, jitter=0.03 * (seed % 2))
    pair.run()
    pair.close()
    assert pair.now < LIMIT
    assert differences(tmp_path / "in.jsonl") == ()
    assert differences(tmp_path / "out.jsonl") == ()


async def send(receiver: Any, caller: Any, document: Path) -> None:
    await caller.outbound().send(receiver.request(document), publish=lambda event: None)
    await receiver.done.wait()


@pytest.mark.parametrize("ecm", [True, False], ids=["ecm", "no-ecm"])
@pytest.mark.parametrize("offer", ["t38", "audio"])
async def test_a_call_over_sockets_replays_as_it_was(
    ecm: bool,
    offer: str,
    fax_pair: Callable[..., Any],
    make_document: Callable[..., Path],
    fax_clock: MockClock,
    tmp_path: Path,
) -> None:
    options = LegOptions(fax=T30Options(ecm=ecm), caller_offer=CallerOffer(offer))
    async with fax_pair(options, options) as (receiver, caller):
        await send(receiver, caller, make_document(pages=2, rows=250))
    journals = sorted((tmp_path / "journal").iterdir())
    assert [differences(journal) for journal in journals] == [(), ()]


def finished_call(folder: Path, *, redacted: bool = False, ecm: bool = True, packets: Packets = Packets.ALL) -> None:
    """A complete call of two pages: in.jsonl and out.jsonl."""
    options = LegOptions(fax=T30Options(ecm=ecm, send_codings=(Coding.MH,)))
    record = RecordOptions(redacted=redacted, packets=packets)
    pages = [page(1), page(2)]
    caller = RecordedEnd(folder / "out.jsonl", called=False, pages=pages, options=options, record=record)
    called = RecordedEnd(folder / "in.jsonl", called=True, options=options, record=record)
    pair = RecordedPair(caller, called, seed=1)
    pair.run()
    pair.close()


def changed(journal: Path, change: Callable[[dict[str, Any]], dict[str, Any] | None]) -> Path:
    """The same journal with lines changed, or dropped where `change` gives None."""
    lines = [change(json.loads(line)) for line in journal.read_text().splitlines()]
    journal.write_text("".join(json.dumps(line) + "\n" for line in lines if line is not None))
    return journal


@pytest.mark.parametrize("end", ["in", "out"])
def test_arrivals_alone_are_enough(end: str, tmp_path: Path) -> None:
    finished_call(tmp_path, packets=Packets.IN)
    assert differences(tmp_path / f"{end}.jsonl") == ()


def test_another_answer_than_was_recorded_is_shown_with_its_moment(tmp_path: Path) -> None:
    finished_call(tmp_path)

    def lie(line: dict[str, Any]) -> dict[str, Any]:
        if line["kind"] == "frame" and line["name"] == "CFR":
            line |= {"name": "FTT", "hex": "ffc844"}
        return line

    (found,) = differences(changed(tmp_path / "in.jsonl", lie))
    assert found.what == "frames"
    assert found.recorded.endswith("sent FTT ffc844")
    assert "sent CFR" in found.replayed


@pytest.mark.parametrize(
    ("recorded", "timer", "name"), [("received-vanished", "t2", "DCN"), ("sent-vanished", "t4", "TSI")]
)
def test_a_timer_that_is_another_one_is_shown_where_it_first_counts(
    recorded: str, timer: str, name: str, tmp_path: Path
) -> None:
    path = tmp_path / "x.jsonl"
    path.write_bytes((Path(__file__).parent / "calls" / "recordings" / f"{recorded}.jsonl").read_bytes())

    def longer(line: dict[str, Any]) -> dict[str, Any]:
        if line["kind"] == "options":
            line["leg"]["fax"]["timers"][timer] += 4.0
        return line

    (found,) = differences(changed(path, longer))
    assert found.what == "moments"
    assert f"sent {name}" in found.recorded
    assert float(found.replayed.split()[0]) - float(found.recorded.split()[0]) == pytest.approx(4.0, abs=0.1)


def test_other_options_than_were_recorded_are_another_call(tmp_path: Path) -> None:
    finished_call(tmp_path)

    def without_ecm(line: dict[str, Any]) -> dict[str, Any]:
        if line["kind"] == "options":
            line["leg"]["fax"]["ecm"] = False
        return line

    found = differences(changed(tmp_path / "in.jsonl", without_ecm))
    assert found[0].what == "frames"
    assert "DIS" in found[0].recorded


def test_a_page_less_is_a_difference(tmp_path: Path) -> None:
    finished_call(tmp_path)

    def forget(line: dict[str, Any]) -> dict[str, Any] | None:
        return None if line["kind"] == "page" and line["what"] == "received" and line["number"] == 2 else line

    (found,) = differences(changed(tmp_path / "in.jsonl", forget))
    assert (found.what, found.recorded.split(" s ")[1]) == ("pages", "page 2 confirmed")


def test_another_outcome_is_a_difference_field_by_field(tmp_path: Path) -> None:
    finished_call(tmp_path)

    def worse(line: dict[str, Any]) -> dict[str, Any]:
        return line | {"cause": "no-carrier", "pages_confirmed": 1} if line["kind"] == "outcome" else line

    found = differences(changed(tmp_path / "in.jsonl", worse))
    assert [(one.what, one.recorded, one.replayed) for one in found] == [
        ("cause", "no-carrier", "complete"),
        ("pages_confirmed", "1", "2"),
    ]


@pytest.mark.parametrize("moment", [2.0, 6.0, 9.0, 12.0])
@pytest.mark.parametrize("side", ["caller", "called"])
def test_an_aborted_call_replays_as_it_was(side: str, moment: float, tmp_path: Path) -> None:
    caller = RecordedEnd(tmp_path / "out.jsonl", called=False, pages=[page(1, 300)])
    called = RecordedEnd(tmp_path / "in.jsonl", called=True)
    pair = RecordedPair(caller, called, seed=3)
    pair.run(until=moment)
    (caller if side == "caller" else called).order(t30.Abort(), pair.now)
    pair.run()
    pair.close()
    ended = (caller if side == "caller" else called).outcome
    assert ended is not None
    assert ended.cause is Cause.ABORTED
    assert (differences(tmp_path / "in.jsonl"), differences(tmp_path / "out.jsonl")) == ((), ())


@pytest.mark.parametrize("down", [Cause.PEER_HUNG_UP, Cause.NETWORK, Cause.ABORTED])
@pytest.mark.parametrize("moment", [1.0, 8.0, 11.0])
def test_a_call_whose_line_went_down_replays_as_it_was(moment: float, down: Cause, tmp_path: Path) -> None:
    caller = RecordedEnd(tmp_path / "out.jsonl", called=False, pages=[page(1, 300)])
    called = RecordedEnd(tmp_path / "in.jsonl", called=True)
    pair = RecordedPair(caller, called, seed=3)
    pair.run(until=moment)
    for end in (caller, called):
        end.order(t30.LineDown(), pair.now, down=down)
    pair.run()
    pair.close()
    assert called.outcome is not None
    assert called.outcome.cause is down
    assert (differences(tmp_path / "in.jsonl"), differences(tmp_path / "out.jsonl")) == ((), ())


def test_a_page_that_could_not_be_kept_is_lost_again(tmp_path: Path) -> None:
    caller = RecordedEnd(tmp_path / "out.jsonl", called=False, pages=[page(1), page(2)])
    called = RecordedEnd(tmp_path / "in.jsonl", called=True, refuse_page=2, keep_after=2.5)
    pair = RecordedPair(caller, called, seed=3)
    pair.run()
    pair.close()
    assert called.outcome is not None
    assert called.outcome.cause is Cause.STORAGE
    assert (differences(tmp_path / "in.jsonl"), differences(tmp_path / "out.jsonl")) == ((), ())


@pytest.mark.parametrize("seed", range(2000, 2020))
def test_a_rolled_call_with_all_that_goes_wrong_replays_as_it_was(seed: int, tmp_path: Path) -> None:
    play(roll(seed), journals=tmp_path)
    for side in ("caller", "called"):
        if any(entry.kind == "options" for entry in read_journal(tmp_path / f"{side}.jsonl")):
            recording = read_recording(tmp_path / f"{side}.jsonl")
            assert recording.ended
            assert compare(recording, replay(recording)) == ()
