"""What leaves the agent: messages, events and reports, in order.

Owns      the three queues, encoding with the one-line summary for journals.
Not here  who decides to send (transaction.py, dialog.py, agent.py).
"""

from dataclasses import dataclass
from typing import Final

from vfax.transports.sip.message import Message, Request, Response
from vfax.transports.sip.sieve import Sieve
from vfax.transports.sip.syntax import legible, printable
from vfax.transports.sip.values import (
    CallKey,
    Close,
    DatagramDropped,
    Destination,
    Flow,
    MessageSeen,
    Output,
    Report,
    Send,
    SipEvent,
)

MAX_REPORTS: Final = 1000


@dataclass(frozen=True, slots=True)
class Wire:
    """A message ready to be sent as often as needed."""

    octets: bytes
    summary: str


class Outbox:
    """Collects what the owner takes away."""

    def __init__(self, sieve: Sieve | None = None) -> None:
        self._sieve = sieve
        self._output: list[Output] = []
        self._events: list[SipEvent] = []
        self._reports: list[Report] = []

    def send(self, sent: Wire, to: Destination, call: CallKey | None) -> None:
        """Queue a message and say so; not one that is more than its receiver has earned."""
        if self._sieve is not None and not self._sieve.lets_out(sent.octets, to.address[0], to.transport):
            return
        self._output.append(Send(sent.octets, to))
        self._events.append(MessageSeen(call, True, to.address, sent.summary, sent.octets, to.transport))

    def close(self, flow: Flow) -> None:
        """Queue the end of a connection."""
        self._output.append(Close(flow))

    def tell(self, event: SipEvent) -> None:
        """Queue an event."""
        self._events.append(event)

    def saw(self, message: Message, octets: bytes, flow: Flow, call: CallKey | None) -> None:
        """Say that a message came, as `octets` by `flow`."""
        self._events.append(MessageSeen(call, False, flow.remote, summarise(message), octets, flow.transport))

    def drop(self, flow: Flow, why: str) -> None:
        """Say that octets came that nothing here can use."""
        self._events.append(DatagramDropped(flow.remote, printable(legible(why))[:300]))

    def report(self, report: Report) -> None:
        """Queue a report. Limit: an owner who does not ask gets the first ones alone."""
        if len(self._reports) < MAX_REPORTS:
            self._reports.append(report)

    def take_reports(self) -> list[Report]:
        """Empty the queue of reports."""
        taken, self._reports = self._reports, []
        return taken

    def take_output(self) -> list[Output]:
        """Empty the queue of messages."""
        taken, self._output = self._output, []
        return taken

    def take_events(self) -> list[SipEvent]:
        """Empty the queue of events."""
        taken, self._events = self._events, []
        return taken


def wire(message: Message) -> Wire:
    """Encode a message and summarise it. Raises MisuseError for what cannot be sent."""
    return Wire(message.encode(), summarise(message))


def summarise(message: Message) -> str:
    """One line for people: `INVITE sip:9@example.org (offer: image)`, `200 OK to INVITE (sdp: image)`."""
    if isinstance(message, Request):
        line = f"{message.method} {message.uri}"
        word = "offer" if message.method in ("INVITE", "UPDATE") else "sdp"
    elif isinstance(message, Response):
        line = f"{message.status} {message.reason} to {_method_of(message)}"
        word = "sdp"
    else:
        raise TypeError(type(message))
    if message.body:
        line = f"{line} ({word}: {_media_of(message.body)})"
    elif isinstance(message, Request) and message.method == "INVITE":
        line = f"{line} (no offer)"
    return printable(legible(line))[:300]


def _method_of(response: Response) -> str:
    return (response.headers.first("cseq") or "?").split()[-1]


def _media_of(body: bytes) -> str:
    """The media of the m-lines with a port, as written: `audio+image`."""
    words = [line[2:].split()[:2] for line in body[:8192].split(b"\n") if line.startswith(b"m=")][:8]
    names = [word[0].decode("ascii", "replace") for word in words if len(word) == 2 and word[1] != b"0"]
    return "+".join(names) or "no media"
