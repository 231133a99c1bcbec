"""What leaves the agent: datagrams and events, in order.

Owns      the two queues, encoding with the one-line summary for journals.
Not here  who decides to send (transaction.py, dialog.py, agent.py).
"""

from dataclasses import dataclass

from vfax.transports.sip.message import Message, Request, Response
from vfax.transports.sip.syntax import legible, printable
from vfax.transports.sip.values import Address, CallKey, MessageSeen, SipEvent


@dataclass(frozen=True, slots=True)
class Wire:
    """A message ready to be sent as often as needed."""

    octets: bytes
    summary: str


class Outbox:
    """Collects what the owner takes away."""

    def __init__(self) -> None:
        self._output: list[tuple[bytes, Address]] = []
        self._events: list[SipEvent] = []

    def send(self, sent: Wire, peer: Address, call: CallKey | None) -> None:
        """Queue a datagram and say so."""
        self._output.append((sent.octets, peer))
        self._events.append(MessageSeen(call, True, peer, sent.summary, sent.octets))

    def tell(self, event: SipEvent) -> None:
        """Queue an event."""
        self._events.append(event)

    def take_output(self) -> list[tuple[bytes, Address]]:
        """Empty the queue of datagrams."""
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
