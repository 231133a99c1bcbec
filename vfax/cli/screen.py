"""What people see while a fax runs: bars on a terminal, plain sentences in a log, nothing beside JSON.

Owns      turning host events into words and bars. Not here: the events (host/events.py).

Text from the peer is shown with everything unprintable replaced and never read as markup.
"""

import textwrap
from contextlib import suppress
from types import TracebackType
from typing import Final, Protocol, Self

from rich.console import Console
from rich.progress import BarColumn, Progress, SpinnerColumn, TaskID, TextColumn, TimeElapsedColumn
from rich.table import Column

from vfax.host.events import (
    DeliveriesStalled,
    DeliveryDone,
    DeliveryFailed,
    DeliveryOverdue,
    Direction,
    FaxEnded,
    FaxRecovered,
    HostEvent,
    HostFaulted,
    IdleLongEnough,
    JobMoved,
    ProviderBack,
    ProviderFaulted,
    ProviderLost,
    RingDropped,
    StorageFailed,
)
from vfax.host.records import FaxRecord

NARROWEST: Final = 20
BAR_WIDTH: Final = 10

WORDS: Final = {
    "FS_INITIALIZING": "setting up the call",
    "FS_DIALING": "dialling",
    "FS_ANSWERED": "answered",
    "FS_TRANSMITTING": "sending",
    "FS_RECEIVING": "receiving",
}


class Screen(Protocol):
    """Shows a stream of host events between entering and leaving."""

    def __enter__(self) -> Self: ...
    def __exit__(
        self, kind: type[BaseException] | None, why: BaseException | None, trace: TracebackType | None
    ) -> None: ...

    def show(self, event: HostEvent) -> None:
        """Take one event; never raises, never waits long."""


def printable(text: str) -> str:
    """The text with everything a terminal might obey replaced."""
    return "".join(char if char.isprintable() else "\N{REPLACEMENT CHARACTER}" for char in text)


def wrapped(text: str, width: int) -> str:
    """The text in lines of at most `width` characters, broken between words; a longer word (a path) stays whole."""
    lines = textwrap.wrap(text, max(width, NARROWEST), break_long_words=False, break_on_hyphens=False)
    return "\n".join(lines)


def say(console: Console, text: str) -> None:
    """Print one line: no markup, no colours guessed from the content; broken between words on a terminal only."""
    text = printable(text)
    if console.is_terminal:
        text = wrapped(text, console.width)
    console.print(text, markup=False, highlight=False, soft_wrap=True)


def tell(console: Console, text: str) -> None:
    """Print one line as `say` does, if that can be had: a log without room, or a pipe that nobody reads, ends no fax.

    rich ends the program when the reader of a pipe is gone.
    """
    with suppress(OSError, ValueError, SystemExit):
        say(console, text)


class Silence:
    """Shows nothing: the JSON object at the end is all."""

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, why: BaseException | None, trace: TracebackType | None
    ) -> None:
        return None

    def show(self, event: HostEvent) -> None:
        """Show nothing."""


class Sentences(Silence):
    """One plain line for each thing that happens; pages are named once."""

    def __init__(self, console: Console) -> None:
        self._console = console
        self._said: dict[str, str] = {}

    def show(self, event: HostEvent) -> None:
        """Print the event if it is news."""
        if isinstance(event, JobMoved):
            line = moving(event)
            if event.status in WORDS and self._said.get(event.job) != line:
                self._said[event.job] = line
                tell(self._console, f"{event.job}: {line}")
            return
        if isinstance(event, FaxEnded):
            self._said.pop(event.record.job, None)
        if line := sentence(event):
            tell(self._console, line)


class Bars(Silence):
    """A bar for each running fax, and a line for each that ended."""

    def __init__(self, console: Console) -> None:
        one_line = Column(ratio=1, no_wrap=True, overflow="ellipsis")  # a peer's name gives way, the bar does not
        self._bars = Progress(
            SpinnerColumn(),
            TextColumn("{task.fields[job]}", markup=False, table_column=Column(no_wrap=True)),
            TextColumn("{task.description}", markup=False, table_column=one_line),
            BarColumn(bar_width=BAR_WIDTH),
            TextColumn("{task.fields[rows]}", markup=False, table_column=Column(no_wrap=True)),
            TimeElapsedColumn(table_column=Column(no_wrap=True)),
            console=console,
            transient=True,
            expand=True,
        )
        self._tasks: dict[str, TaskID] = {}

    def __enter__(self) -> Self:
        self._bars.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, why: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._bars.stop()

    def show(self, event: HostEvent) -> None:
        """Move a bar, or end it with a line."""
        if isinstance(event, JobMoved):
            with suppress(OSError, ValueError, SystemExit):
                self._move(event)
            return
        if isinstance(event, FaxEnded) and (task := self._tasks.pop(event.record.job, None)) is not None:
            self._bars.remove_task(task)
        if line := sentence(event):
            tell(self._bars.console, line)

    def _move(self, event: JobMoved) -> None:
        rows = f"{event.done} rows" if event.direction is Direction.RECEIVE and event.done else ""
        words, total = printable(moving(event)), event.total or None
        task = self._tasks.get(event.job)
        if task is None:
            task = self._bars.add_task(words, total=total, completed=event.done, job=event.job, rows=rows)
            self._tasks[event.job] = task
        else:
            self._bars.update(task, description=words, total=total, completed=event.done, rows=rows)


def choose(console: Console, *, json: bool) -> Screen:
    """Bars on a terminal, sentences elsewhere, silence for JSON."""
    if json:
        return Silence()
    return Bars(console) if console.is_terminal else Sentences(console)


def moving(event: JobMoved) -> str:
    """What a running fax does now: "receiving page 2 at 14400 bit/s from +49 89 1234"."""
    words = [WORDS.get(event.status, event.status)]
    if event.page:
        words.append(f"page {event.page}")
        if event.rate_bps:
            words.append(f"at {event.rate_bps} bit/s")
    if who := event.remote_id or event.caller_id:
        words.append(f"{'from' if event.direction is Direction.RECEIVE else 'to'} {who}")
    return " ".join(words)


def sentence(event: HostEvent) -> str:
    """One line for what ended or went wrong; "" for what is not worth a line."""
    match event:
        case FaxEnded(record, document, _):
            return ended(record, str(document) if document is not None else "")
        case FaxRecovered(_, document, words):
            return f"{words} {document}"
        case RingDropped(device_id, why):
            return f"A ring on device {device_id} was dropped: {why}."
        case ProviderFaulted(provider, call, why):
            return f"The provider {provider} broke its contract in {call}: {why}"
        case ProviderLost(provider, words, back_in):
            again = f"it is started again in {back_in:g} s" if back_in is not None else "it is not started any more"
            return f"The devices of {provider} are out of service: {words}; {again}."
        case ProviderBack(provider, _):
            return f"The devices of {provider} are back."
        case StorageFailed(_, words):
            return words
        case DeliveryDone() | DeliveryFailed():
            return f"{event.job}: {event.sentence}"
        case DeliveryOverdue():
            return f"ALARM: {event.sentence}"
        case DeliveriesStalled(words):
            return words
        case IdleLongEnough(seconds):
            return f"Nothing has been to do for {seconds:g} s and no client is connected ([host] idle_stop)."
        case HostFaulted(what, _):
            return f"A fault inside vfax ended a fax: {what}"
        case _:
            return ""


def ended(record: FaxRecord, document: str) -> str:
    """A fax in one line: when, from whom, how many pages, how well, where it is."""
    who = (record.caller if record.received else record.dialled) or record.remote_id or "an unknown caller"
    if record.remote_id and record.remote_id != who:
        who += f" ({record.remote_id})"
    pages = f"{record.pages} page{'' if record.pages == 1 else 's'}"
    facts = [pages]
    if record.rate_bps:
        facts.append(f"{record.rate_bps} bit/s")
    if record.ecm is not None:
        facts.append("ECM" if record.ecm else "no ECM")
    if record.encrypted:
        facts.append("encrypted")
    facts.extend(word for word in (record.coding, record.resolution) if word)
    facts.append(f"{record.duration:.0f} s")
    mark = "" if record.ok else "INCOMPLETE, " if record.incomplete and record.pages else "FAILED, "
    line = (
        f"{record.ended_at.astimezone():%H:%M:%S} {mark}{'from' if record.received else 'to'} {who}: {', '.join(facts)}"
    )
    line += f". {record.sentence}" if not record.ok else ""
    return f"{line} -> {document}" if document else line
