"""Words on the screen: what a person reads for each event, and what a peer cannot make the terminal do."""

import io
import re
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, Final

import pytest
from rich.console import Console

from vfax.cli.screen import Bars, Screen, Sentences, Silence, choose, ended, printable, say, sentence, tell
from vfax.fsp.constants import FaxStatus, JobType
from vfax.host.events import (
    DeliveriesStalled,
    DeliveryDone,
    DeliveryFailed,
    DeliveryOverdue,
    Direction,
    FaxEnded,
    HostEvent,
    HostFaulted,
    JobMoved,
    ProviderFaulted,
    RingDropped,
    StorageFailed,
)
from vfax.host.records import FaxRecord
from vfax.outcome import Cause

HOSTILE = "\x1b[2J\x07[bold]rich[/bold]\n\u202e"
DELIVERY: Final[Any] = {
    "job": "0000abcd",
    "delivery": 3,
    "rule": "sales",
    "kind": "mail",
    "sentence": "It went so.",
}


def record(**changes: object) -> FaxRecord:
    fields: dict[str, object] = {
        "job": "0000abcd",
        "job_type": JobType.JT_RECEIVE,
        "device_id": 1,
        "device_name": "vfax 1",
        "started_at": datetime(2025, 1, 31, 12, 0, 0, tzinfo=UTC),
        "ended_at": datetime(2025, 1, 31, 12, 0, 30, tzinfo=UTC),
        "status_id": FaxStatus.FS_COMPLETED,
        "cause": Cause.COMPLETE,
        "sentence": "All is well.",
        "pages": 2,
        "caller": "+4930123456",
        "remote_id": "SENDER",
        "rate_bps": 14_400,
        "ecm": True,
        "coding": "MMR",
        "resolution": "fine",
    }
    return FaxRecord(**(fields | changes))  # type: ignore[arg-type]


def moved(**changes: object) -> JobMoved:
    fields: dict[str, object] = {
        "job": "0000abcd",
        "direction": Direction.RECEIVE,
        "status": "FS_RECEIVING",
        "page": 2,
        "rate_bps": 14_400,
        "remote_id": "SENDER",
    }
    return JobMoved(**(fields | changes))  # type: ignore[arg-type]


def console(*, terminal: bool = False) -> tuple[Console, io.StringIO]:
    text = io.StringIO()
    return Console(file=text, force_terminal=terminal, width=200), text


def test_a_received_fax_is_one_line_with_everything_worth_knowing() -> None:
    line = ended(record(), "/spool/inbox/fax.tif")
    expected = "from +4930123456 (SENDER): 2 pages, 14400 bit/s, ECM, MMR, fine, 30 s -> /spool/inbox/fax.tif"
    assert line.endswith(expected)


def test_an_incomplete_fax_says_so_and_why() -> None:
    cut = record(cause=Cause.PEER_HUNG_UP, sentence="The caller hung up.", job_type=JobType.JT_FAIL_RECEIVE)
    line = ended(cut, "/x.tif")
    assert "INCOMPLETE, from" in line
    assert line.endswith(". The caller hung up. -> /x.tif")


def test_a_sent_fax_names_whom_it_went_to() -> None:
    assert "to sip:fax@192.0.2.1 (SENDER)" in ended(record(job_type=JobType.JT_SEND, dialled="sip:fax@192.0.2.1"), "")


def test_sentences_name_each_page_once() -> None:
    plain, text = console()
    with Sentences(plain) as screen:
        for done in (0, 64, 128):
            screen.show(moved(done=done))
        screen.show(moved(page=3))
    assert text.getvalue().splitlines() == [
        "0000abcd: receiving page 2 at 14400 bit/s from SENDER",
        "0000abcd: receiving page 3 at 14400 bit/s from SENDER",
    ]


def show_hostile(screen: Screen) -> None:
    with screen:
        screen.show(moved(remote_id=HOSTILE))
        screen.show(FaxEnded(record(caller=HOSTILE, remote_id=HOSTILE, sentence=HOSTILE), Path("/x.tif"), None))
        screen.show(ProviderFaulted(HOSTILE, "FaxDevReceive", HOSTILE))


def test_a_peers_text_is_neither_markup_nor_a_command_in_sentences() -> None:
    plain, text = console()
    show_hostile(Sentences(plain))
    assert "[bold]rich[/bold]" in text.getvalue()
    assert not set("\x1b\x07\u202e") & set(text.getvalue())
    assert len(text.getvalue().splitlines()) == 3


def test_a_peers_text_is_neither_markup_nor_a_command_on_bars() -> None:
    terminal, text = console(terminal=True)
    show_hostile(Bars(terminal))
    assert "[bold]rich[/bold]" in text.getvalue()
    assert "\x1b[2J" not in text.getvalue()
    assert not set("\x07\u202e") & set(text.getvalue())


def test_bars_follow_page_and_rate_and_end_with_a_line() -> None:
    terminal, text = console(terminal=True)
    with Bars(terminal) as screen:
        screen.show(moved(done=640))
        screen._bars.refresh()
        screen.show(FaxEnded(record(), None, None))
    assert "receiving page 2 at 14400 bit/s from SENDER" in text.getvalue()
    assert "640 rows" in text.getvalue()
    assert "2 pages" in text.getvalue()


def test_the_screen_fits_the_output() -> None:
    assert isinstance(choose(console(terminal=True)[0], json=False), Bars)
    assert type(choose(console()[0], json=False)) is Sentences
    assert type(choose(console(terminal=True)[0], json=True)) is Silence


@pytest.mark.parametrize(
    ("event", "words"),
    [
        (RingDropped(9, "no such device"), "A ring on device 9 was dropped: no such device."),
        (StorageFailed("x", "The disk is full."), "The disk is full."),
        (HostFaulted("KeyError: 3", "trace"), "A fault inside vfax ended a fax: KeyError: 3"),
        (DeliveryDone(**DELIVERY, attempt=1), "0000abcd: It went so."),
        (DeliveryFailed(**DELIVERY, attempt=1, retry_at=None), "0000abcd: It went so."),
        (DeliveryOverdue(**DELIVERY, waiting_since=datetime(2025, 1, 31, tzinfo=UTC)), "ALARM: It went so."),
        (DeliveriesStalled("The database is away."), "The database is away."),
    ],
)
def test_what_goes_wrong_is_said(event: HostEvent, words: str) -> None:
    assert sentence(event) == words


@pytest.mark.parametrize(("terminal", "break_"), [(True, "\n"), (False, " ")], ids=["terminal", "file"])
def test_a_line_is_broken_between_words_on_a_terminal_and_a_path_stays_whole(terminal: bool, break_: str) -> None:
    path = "/" + "x" * 60 + ".tif"
    shown = io.StringIO()
    say(
        Console(file=shown, force_terminal=terminal, width=34, no_color=True),
        f"three pages came from far away -> {path}",
    )
    assert shown.getvalue() == f"three pages came from far away ->{break_}{path}\n"


def test_a_running_fax_takes_one_line_however_long_its_callers_name() -> None:
    terminal, text = console(terminal=True)
    terminal.width = 80
    with Bars(terminal) as screen:
        screen.show(moved(remote_id="", caller_id="sip:" + "long-" * 30, page=123, done=1024))
        screen._bars.refresh()
    colourless = re.sub(r"\x1b\[[0-9;]*m", "", text.getvalue())
    lines = [line for line in re.split(r"\x1b\[[0-9;?]*[A-Za-z]|[\r\n]", colourless) if line.strip()]
    assert lines
    for line in lines:
        assert "receiving page 123" in line
        assert "1024 rows" in line
        assert len(line) <= 80


def test_printable_text_is_left_alone() -> None:
    assert printable("Müller & Söhne +49 (30) 1") == "Müller & Söhne +49 (30) 1"


class Full(io.StringIO):
    """A log on a disk without room."""

    def write(self, text: str) -> int:
        raise OSError(28, "No space left on device")


class Unread(Console):
    """A pipe whose reader is gone, as rich takes it."""

    def print(self, *_: object, **__: object) -> None:
        raise SystemExit(1)


@pytest.mark.parametrize("console", [Console(file=Full()), Unread()], ids=["no room", "nobody reads"])
def test_what_cannot_be_printed_ends_no_fax(console: Console) -> None:
    tell(console, "vfax is listening.")
    screen = Sentences(console)
    for event in (moved(page=1), FaxEnded(record(), None, None)):
        screen.show(event)
    with pytest.raises((OSError, SystemExit)):
        say(console, "A command that does nothing else may as well end.")
