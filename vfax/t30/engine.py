"""The T.30 engine: one end of one fax, as data in and data out.

Owns      the one door to sender and receiver, and who is behind it: polling turns the called side into the sender.
Not here  the procedure (tables.py), roads (transports/), files (runner.py).
Source    T.30 (09/2005).
"""

from vfax.signals import LineSignal, Transmission
from vfax.t30.options import T30Options
from vfax.t30.polling import Offering, Poller
from vfax.t30.sender import Sender
from vfax.t30.tables import S
from vfax.t30.terminal import Terminal
from vfax.t30.values import Event, Order, Role

_DEFAULTS = T30Options()


class T30Engine:
    """One fax. Three ways in, three ways out; nothing waits, nothing raises for what the peer did.

    `role` tells who called, `sending` who has the pages:

    | role   | sending | what it does                                                       | its order before LineUp |
    |--------|---------|--------------------------------------------------------------------|-------------------------|
    | CALLER | True    | sends                                                              | SendDocument            |
    | CALLED | False   | receives; given a document, it lets a caller poll that as well     | SendDocument, or none   |
    | CALLER | False   | polls: receives the called side's document                         | Poll, or none           |
    | CALLED | True    | has its document polled, and receives nothing                      | SendDocument            |
    """

    def __init__(self, role: Role, *, sending: bool, options: T30Options = _DEFAULTS, now: float) -> None:
        self._terminal: Terminal
        if role is Role.CALLED:
            self._terminal = Offering(options, receives=not sending, now=now)
        elif sending:
            self._terminal = Sender(options, now=now)
        else:
            self._terminal = Poller(options, now=now)

    @property
    def state(self) -> S:
        """What the engine is waiting for."""
        return self._terminal.state

    @property
    def sending(self) -> bool:
        """Whether this end sends the pages. A called side learns that from DTC; until then it does not."""
        return isinstance(self._terminal, Sender)

    def receive(self, signal: LineSignal, now: float) -> None:
        """Take one signal of the line."""
        self._terminal.receive(signal, now)
        if self._terminal.successor is not None:
            self._terminal = self._terminal.successor

    def command(self, order: Order, now: float) -> None:
        """Take one order of the owner. Orders that fit no state are ignored, as are all after `Ended`."""
        self._terminal.command(order, now)

    def handle_timeout(self, now: float) -> None:
        """Do what is due; harmless when nothing is."""
        self._terminal.handle_timeout(now)
        if self._terminal.successor is not None:
            self._terminal = self._terminal.successor

    def take_output(self) -> list[Transmission]:
        """What the line shall transmit, in order."""
        return self._terminal.take_output()

    def take_events(self) -> list[Event]:
        """What happened, in order."""
        return self._terminal.take_events()

    def next_timeout(self) -> float:
        """When `handle_timeout` wants to be called; math.inf when nothing is pending."""
        return self._terminal.next_timeout()
