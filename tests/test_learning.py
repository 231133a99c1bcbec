"""What calls teach, what follows for the next ones, and the file that keeps it."""

import json
import random
import threading
from dataclasses import replace
from pathlib import Path
from typing import Any, Final

import pytest
import trio
import trio.testing
from hypothesis import given
from hypothesis import strategies as st
from trio.testing import MockClock

from tests.virtual import hold_for_threads
from vfax.disk import Disk
from vfax.errors import DecodeError
from vfax.learned import MAX_OCTETS, PAUSE, Learned
from vfax.learning import (
    DAY,
    HEAD_START,
    MAX_TEXT,
    NO_ADVICE,
    SAFE_DATAGRAM,
    Advice,
    Entry,
    Fact,
    Kind,
    LearningOptions,
    Lesson,
    Memory,
    PeerRow,
    advised,
)
from vfax.leg import CallerOffer, LegOptions, Opening, SwitchedBy
from vfax.outcome import Cause, Outcome
from vfax.plain import plain_of, value_of
from vfax.transports.parameters import Dtls

NOW: Final = 1_800_000_000.0
OPENING: Final = ("direct_refused", "ours_refused", "dtls_refused", "by", "after")
OPPORTUNISTIC: Final = LegOptions(dtls=Dtls.OPPORTUNISTIC)
ENCRYPTED: Final = Outcome(cause=Cause.COMPLETE, encrypted=True)


def lesson(number: str = "+4930", cause: Cause = Cause.COMPLETE, **more: Any) -> Lesson:
    opening = {name: more.pop(name) for name in OPENING if name in more}
    plain = Lesson(
        peer="office",
        number=number,
        outgoing=True,
        sending=True,
        at=NOW,
        opening=Opening(**opening),
        outcome=Outcome(cause=cause),
        t38=cause is not Cause.T38_REFUSED,
    )
    return replace(plain, **more)


def advice_of(*lessons: Lesson, number: str = "+4930", now: float = NOW, outgoing: bool = True) -> Advice:
    memory = Memory()
    for one in lessons:
        memory.learn(one)
    return memory.advise("office", number, outgoing=outgoing, now=now)


# --- what is learned, and heeded -----------------------------------------------------------------


def test_a_refused_direct_offer_makes_the_next_call_begin_with_audio() -> None:
    advice = advice_of(lesson(direct_refused=488, by=SwitchedBy.PEER, after=3.0))
    assert advice.audio_first
    assert advice.wait_for_offer == pytest.approx(3.0 + HEAD_START)
    assert advice.sentences == (
        "It begins with audio. T.38 in the INVITE was refused with 488.",
        "It waits 5.0 s for T.38. Its re-INVITE to T.38 came after 3.0 s.",
    )
    options, sentences = advised(LegOptions(), advice)
    assert options.caller_offer is CallerOffer.AUDIO
    assert options.caller_switch_after == LegOptions().caller_switch_after  # six seconds are more than five
    assert sentences == advice.sentences


def test_a_taken_direct_offer_is_taken_again() -> None:
    advice = advice_of(lesson(direct_refused=488), lesson(by=SwitchedBy.CALL))
    assert not advice.audio_first
    assert advised(LegOptions(), advice) == (LegOptions(), ())


def test_a_slow_peer_is_waited_for() -> None:
    options, _ = advised(LegOptions(), advice_of(lesson(by=SwitchedBy.PEER, after=9.5)))
    assert options.caller_switch_after == pytest.approx(11.5)


def test_a_caller_that_refuses_ours_and_sends_its_own_is_waited_for() -> None:
    first = lesson(outgoing=False, sending=False, by=SwitchedBy.PEER, after=6.0, ours_refused=488)
    advice = advice_of(first, outgoing=False)
    assert advice.sentences == (
        "It waits 8.0 s for T.38. Its re-INVITE to T.38 came after 6.0 s, after ours had been refused with 488.",
    )
    assert advised(LegOptions(), advice)[0].called_switch_after == pytest.approx(8.0)


def test_a_caller_whose_offer_came_before_ours_changes_nothing() -> None:
    first = lesson(outgoing=False, sending=False, by=SwitchedBy.PEER, after=1.0)
    assert advice_of(first, outgoing=False) == NO_ADVICE


def test_training_starts_where_it_held() -> None:
    rates = ((14_400, False), (12_000, False), (9_600, True))
    options, (why,) = advised(LegOptions(), advice_of(lesson(rates=rates)))
    assert options.fax.max_rate_bps == 9_600
    assert why == "It starts at 9600 bit/s. Training failed at 14400, 12000 bit/s and held at 9600."


def test_training_that_failed_everywhere_starts_at_the_slowest_that_was_tried() -> None:
    rates = ((14_400, False), (9_600, False), (4_800, False))
    options, _ = advised(LegOptions(), advice_of(lesson(cause=Cause.CANNOT_TRAIN, rates=rates)))
    assert options.fax.max_rate_bps == 4_800


def test_a_fast_call_that_trained_at_once_clears_the_rate() -> None:
    slow = lesson(rates=((14_400, False), (9_600, True)))
    assert advice_of(slow, lesson(rates=((14_400, True),))) == NO_ADVICE


def test_pages_that_failed_with_ecm_go_without() -> None:
    failed = lesson(cause=Cause.ECM_FAILED, ecm=True)
    options, (why,) = advised(LegOptions(), advice_of(failed))
    assert not options.fax.ecm
    assert why == "It goes without ECM. A page failed with error correction mode."
    assert advice_of(failed, lesson(ecm=True)) == NO_ADVICE
    assert advice_of(failed, lesson(ecm=False)).no_ecm  # without it things went well: so it stays


def test_pages_that_never_arrive_in_large_datagrams_go_in_smaller_ones() -> None:
    stuck = lesson(cause=Cause.NO_RESPONSE, limit=1_400, in_page=True)
    options, (why,) = advised(LegOptions(), advice_of(stuck))
    assert options.line.max_datagram_sent == SAFE_DATAGRAM
    assert why.startswith("It sends datagrams of at most 400 octets. Training got through")
    assert advice_of(replace(stuck, limit=400)) == NO_ADVICE
    assert advice_of(replace(stuck, in_page=False)) == NO_ADVICE


def test_refused_encryption_is_not_offered_next_time_and_still_taken() -> None:
    options, why = advised(OPPORTUNISTIC, advice_of(lesson(dtls_refused=488)))
    assert options == replace(OPPORTUNISTIC, dtls=Dtls.ACCEPT)
    assert why == ("It offers T.38 without encryption. T.38 over DTLS was refused with 488.",)
    later = advice_of(lesson(dtls_refused=488), now=NOW + LearningOptions().trouble_days * DAY)
    assert advised(OPPORTUNISTIC, later) == (OPPORTUNISTIC, ())


@pytest.mark.parametrize("dtls", [Dtls.OFF, Dtls.ACCEPT, Dtls.REQUIRED])
def test_who_never_offers_encryption_or_needs_it_is_not_advised_of_it(dtls: Dtls) -> None:
    """Not even by a sentence, where other advice is followed."""
    options = LegOptions(dtls=dtls)
    assert advised(options, advice_of(lesson(dtls_refused=488))) == (options, ())
    changed, why = advised(options, advice_of(lesson(dtls_refused=488, direct_refused=488)))
    assert (changed.dtls, changed.caller_offer) == (dtls, CallerOffer.AUDIO)
    assert why == ("It begins with audio. T.38 in the INVITE was refused with 488.",)


@pytest.mark.parametrize(
    "second",
    [lesson(outcome=ENCRYPTED), lesson(cause=Cause.T38_REFUSED), lesson(cause=Cause.NOT_FAX, t38=False)],
    ids=["encrypted by their offer", "plain was refused, too", "nobody offered T.38"],
)
def test_encryption_is_offered_again_after_a_call_that_denies_the_refusal(second: Lesson) -> None:
    assert advised(OPPORTUNISTIC, advice_of(lesson(dtls_refused=488), second)) == (OPPORTUNISTIC, ())


def test_numbers_of_a_trunk_agree_about_encryption_too() -> None:
    alike = [lesson(f"+4930{n}", dtls_refused=488) for n in range(3)]
    options, why = advised(OPPORTUNISTIC, advice_of(*alike, number="+49307"))
    assert options.dtls is Dtls.ACCEPT
    assert "as 3 other numbers of office do" in why[0]
    other = lesson("+49305", outcome=ENCRYPTED)
    assert advised(OPPORTUNISTIC, advice_of(*alike, other, number="+49307")) == (OPPORTUNISTIC, ())


def test_an_owner_who_is_more_careful_stays_so() -> None:
    careful = LegOptions()
    careful = replace(
        careful,
        fax=replace(careful.fax, max_rate_bps=4_800, ecm=False),
        line=replace(careful.line, max_datagram_sent=200),
    )
    advice = Advice(max_rate_bps=9_600, no_ecm=True, max_datagram=400, sentences=("x",))
    assert advised(careful, advice) == (careful, ())


def test_whether_t38_runs_is_remembered_for_people() -> None:
    memory = Memory()
    memory.learn(lesson(cause=Cause.T38_REFUSED, ours_refused=488))
    memory.learn(lesson(cause=Cause.T38_REFUSED, ours_refused=488))
    ((row,),) = [[fact for fact in one.facts if fact.kind == "t38"] for one in memory.rows(NOW + 5)]
    assert (row.value, row.seen, row.age, row.why) == ("no", 2, 5.0, "No T.38 was agreed (it said 488).")


def test_calls_that_never_got_anywhere_teach_nothing() -> None:
    memory = Memory()
    for cause in (Cause.BUSY, Cause.NO_ANSWER, Cause.NETWORK):
        assert not memory.learn(lesson(cause=cause, t38=False))
    assert len(memory) == 0


# --- other numbers -------------------------------------------------------------------------------


def test_numbers_that_agree_speak_for_their_trunk() -> None:
    lessons = [lesson(number=f"+{one}", direct_refused=488, by=SwitchedBy.PEER, after=float(one)) for one in (1, 2, 3)]
    assert advice_of(*lessons[:2], number="+9") == NO_ADVICE
    advice = advice_of(*lessons, number="+9")
    assert advice.audio_first
    assert advice.wait_for_offer == pytest.approx(3.0 + HEAD_START)
    assert advice.sentences[0] == (
        "It begins with audio. T.38 in the INVITE was refused with 488, as 3 other numbers of office do."
    )


def test_one_number_that_denies_it_is_enough() -> None:
    lessons = [lesson(number=f"+{one}", direct_refused=488) for one in (1, 2, 3)]
    assert advice_of(*lessons, lesson(number="+4", by=SwitchedBy.CALL), number="+9") == NO_ADVICE


def test_troubles_of_others_are_not_a_numbers_own() -> None:
    lessons = [lesson(number=f"+{one}", rates=((14_400, False), (9_600, True))) for one in (1, 2, 3)]
    assert advice_of(*lessons, number="+9") == NO_ADVICE


# --- ends, bounds --------------------------------------------------------------------------------


def test_facts_end_and_the_settings_are_tried_again() -> None:
    one = lesson(direct_refused=488, rates=((14_400, False), (9_600, True)))
    assert advice_of(one, now=NOW + 6 * DAY).max_rate_bps == 9_600
    later = advice_of(one, now=NOW + 8 * DAY)
    assert (later.max_rate_bps, later.audio_first) == (0, True)
    assert advice_of(one, now=NOW + 31 * DAY) == NO_ADVICE


def test_the_oldest_lessons_go_first() -> None:
    memory = Memory(LearningOptions(entries=3))
    for one in range(5):
        memory.learn(lesson(number=str(one)))
    memory.learn(lesson(number="2"))
    assert [row.number for row in memory.rows(NOW)] == ["2", "4", "3"]


def test_names_of_peers_are_bounded_and_printable() -> None:
    memory = Memory()
    memory.learn(lesson(number="\x1b[2J" + "9" * 1_000))
    (row,) = memory.rows(NOW)
    assert len(row.number) == MAX_TEXT
    assert row.number.isprintable()


def test_peers_and_numbers_can_be_forgotten() -> None:
    memory = Memory()
    for peer, number in (("office", "1"), ("office", "2"), ("cloud", "1")):
        memory.learn(lesson(number=number, peer=peer))
    assert memory.forget("OFFICE", "1") == 1
    assert memory.forget(number="1") == 1
    assert memory.forget() == 1
    assert memory.rows(NOW) == ()


@given(st.lists(st.tuples(st.sampled_from(Kind), st.text(max_size=20)), max_size=8), st.booleans())
def test_no_file_makes_bad_advice(facts: list[tuple[Kind, str]], outgoing: bool) -> None:
    made = tuple(Fact(kind=kind, value=value, why="w.", at=NOW, until=NOW + DAY) for kind, value in facts)
    memory = Memory()
    memory.restore([Entry(peer="office", number="1", outgoing=outgoing, at=NOW, facts=made)], NOW)
    options, _ = advised(LegOptions(), memory.advise("office", "1", outgoing=outgoing, now=NOW))
    assert 2_400 <= options.fax.max_rate_bps <= 14_400
    assert options.caller_switch_after <= 3_600 + HEAD_START


def test_rows_travel_as_json() -> None:
    memory = Memory()
    memory.learn(lesson(direct_refused=488))
    for row in memory.rows(NOW):
        assert value_of(PeerRow, json.loads(json.dumps(plain_of(row))))[0] == row


# --- the file ------------------------------------------------------------------------------------


class House:
    """A memory with a file, a clock of its own, and what it says."""

    def __init__(self, path: Path, *, disk: Disk | None = None, keeps: bool = True) -> None:
        self.said: list[str] = []
        self.learned = Learned(
            path, LearningOptions(), disk or Disk(), keeps=keeps, tell=self.said.append, clock=lambda: NOW
        )


def there(path: Path) -> bool:
    return path.exists()


def content_of(path: Path) -> bytes:
    return path.read_bytes()


def put(path: Path, octets: bytes) -> None:
    path.write_bytes(octets)


def names(folder: Path) -> list[str]:
    return sorted(one.name for one in folder.iterdir())


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "learned.json"


async def test_what_was_learned_outlasts_the_program(path: Path) -> None:
    first = House(path)
    await first.learned.load()
    first.learned.learn(lesson(direct_refused=488))
    await first.learned.save()
    second = House(path)
    await second.learned.load()
    assert second.learned.advise("office", "+4930", outgoing=True).audio_first
    assert (first.said, second.said) == ([], [])
    assert names(path.parent) == ["learned.json"]


async def test_lessons_are_written_a_while_after_they_came(path: Path, fax_clock: MockClock) -> None:
    house = House(path)
    async with trio.open_nursery() as nursery:
        nursery.start_soon(hold_for_threads)
        nursery.start_soon(house.learned.run)
        house.learned.learn(lesson(direct_refused=488))
        await trio.sleep(PAUSE - 1)
        assert not there(path)
        await trio.sleep(2)
        assert there(path)
        nursery.cancel_scope.cancel()


async def test_forgetting_reaches_the_file_at_once(path: Path) -> None:
    house = House(path)
    house.learned.learn(lesson(direct_refused=488))
    await house.learned.save()
    assert await house.learned.forget("office", "") == 1
    assert json.loads(content_of(path)) == {"version": 1, "entries": []}
    assert await house.learned.forget("office", "") == 0


@pytest.mark.parametrize(
    ("content", "why"),
    [
        (b"", "it is no JSON"),
        (b"{", "it is no JSON"),
        (b"\xff\xfe", "it is no JSON"),
        (b"[]", "_File is not a mapping"),
        (b"[" * 100_000, "it is no JSON"),
        (b'{"version": 2, "entries": []}', "it is of version 2, and 1 is known"),
        (b'{"version": 1, "entries": [{"peer": 3}]}', "3' is no str"),
        (b'{"version": 1, "entries": ' + b" " * MAX_OCTETS + b"[]}", "more than 2097152 octets"),
    ],
)
async def test_a_file_that_cannot_be_read_is_put_aside(path: Path, content: bytes, why: str) -> None:
    put(path, content)
    house = House(path)
    await house.learned.load()
    (said,) = house.said
    assert said.startswith(f"{path} cannot be read (")
    assert why in said
    assert said.endswith("it is put aside as learned.json.unreadable, and peers are learned anew")
    assert content_of(path.parent / "learned.json.unreadable") == content
    assert not there(path)
    house.learned.learn(lesson())
    await house.learned.save()
    assert there(path)


async def test_who_only_reads_leaves_the_file_alone(path: Path) -> None:
    put(path, b"junk")
    house = House(path, keeps=False)
    await house.learned.load()
    house.learned.learn(lesson())
    await house.learned.save()
    assert content_of(path) == b"junk"


class FullDisk(Disk):
    """Takes nothing while it is full."""

    full = True

    def of(self, purpose: str) -> Disk:
        return self

    def write(self, fd: int, octets: memoryview) -> int:
        if self.full:
            raise OSError(28, "No space left on device")
        return super().write(fd, octets)


async def test_a_full_disk_is_said_once_and_tried_again_later(path: Path, fax_clock: MockClock) -> None:
    disk = FullDisk()
    house = House(path, disk=disk)
    async with trio.open_nursery() as nursery:
        nursery.start_soon(hold_for_threads)
        nursery.start_soon(house.learned.run)
        house.learned.learn(lesson())
        await trio.sleep(100)
        assert house.said == [f"what peers taught cannot be kept in {path}: No space left on device"]
        assert names(path.parent) == []
        disk.full = False
        await trio.sleep(100)
        assert there(path)
        nursery.cancel_scope.cancel()


class SlowDisk(Disk):
    """Holds the first write until `go`."""

    def __init__(self) -> None:
        self.began, self.go = threading.Event(), threading.Event()

    def of(self, purpose: str) -> Disk:
        return self

    def write(self, fd: int, octets: memoryview) -> int:
        if not self.began.is_set():
            self.began.set()
            assert self.go.wait(5)
        return super().write(fd, octets)


async def test_forgetting_while_the_file_is_written_is_not_undone(path: Path) -> None:
    disk = SlowDisk()
    house = House(path, disk=disk)
    house.learned.learn(lesson(direct_refused=488))
    async with trio.open_nursery() as nursery:
        nursery.start_soon(house.learned.save)
        await trio.to_thread.run_sync(disk.began.wait)
        nursery.start_soon(house.learned.forget, "office", "")
        await trio.testing.wait_all_tasks_blocked(0.05)
        disk.go.set()
    assert json.loads(content_of(path)) == {"version": 1, "entries": []}
    assert (house.said, names(path.parent)) == ([], ["learned.json"])


async def test_a_memory_without_a_file_has_nothing_to_write(fax_clock: MockClock) -> None:
    learned = Learned(None, LearningOptions(), Disk(), clock=lambda: NOW)
    learned.learn(lesson(direct_refused=488))
    await learned.save()
    assert not learned._dirty.is_set()


async def test_a_disabled_memory_learns_nothing(path: Path) -> None:
    put(path, b"junk")
    learned = Learned(path, LearningOptions(enabled=False), Disk(), clock=lambda: NOW)
    await learned.load()
    learned.learn(lesson(direct_refused=488))
    await learned.save()
    assert learned.advise("office", "+4930", outgoing=True) == NO_ADVICE
    assert content_of(path) == b"junk"


def test_mutated_files_raise_nothing_but_decode_error() -> None:
    from vfax.learned import _read

    memory = Memory()
    for one in range(5):
        memory.learn(lesson(number=str(one), direct_refused=488, by=SwitchedBy.PEER, after=2.0))
    good = json.dumps({"version": 1, "entries": [plain_of(entry) for entry in memory.entries()]}).encode()
    seed = random.randrange(1 << 32)
    dice = random.Random(seed)
    for _ in range(2_000):
        octets = bytearray(good)
        for _ in range(dice.randrange(1, 4)):
            octets[dice.randrange(len(octets))] = dice.randrange(256)
        try:
            file = _read(bytes(octets))
        except DecodeError:
            continue
        fresh = Memory()
        fresh.restore(file.entries, NOW)
        options, _ = advised(LegOptions(), fresh.advise("office", "1", outgoing=True, now=NOW))
        assert options.fax.max_rate_bps >= 2_400, seed
