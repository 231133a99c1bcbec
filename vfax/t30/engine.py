"""The T.30 engine: one end of one fax, as data in and data out.

Owns      the one door to receiver and sender.
Not here  the procedure (tables.py), roads (transports/), files (runner.py).
Source    T.30 (09/2005).
"""

from vfax.errors import MisuseError
from vfax.signals import LineSignal, Transmission
from vfax.t30.options import T30Options
from vfax.t30.receiver import Receiver
from vfax.t30.sender import Sender
from vfax.t30.tables import S
from vfax.t30.values import Event, Order, Role

_DEFAULTS = T30Options()


class T30Engine:
    """One fax. Three ways in, three ways out; nothing waits, nothing raises for what the peer did.

    `role` tells who called, `sending` who has the pages. Raises MisuseError for polling (a caller that receives, a
    called station that sends), which this release does not speak.
    """

    def __init__(self, role: Role, *, sending: bool, options: T30Options = _DEFAULTS, now: float) -> None:
        if sending is not (role is Role.CALLER):
            raise MisuseError("polling is not supported: the caller sends, the called side receives")
        self._terminal: Sender | Receiver = Sender(options, now=now) if sending else Receiver(options, now=now)

    @property
    def state(self) -> S:
        """What the engine is waiting for."""
        return self._terminal.state

    def receive(self, signal: LineSignal, now: float) -> None:
        """Take one signal of the line."""
        self._terminal.receive(signal, now)

    def command(self, order: Order, now: float) -> None:
        """Take one order of the owner. Orders that fit no state are ignored, as are all after `Ended`."""
        self._terminal.command(order, now)

    def handle_timeout(self, now: float) -> None:
        """Do what is due; harmless when nothing is."""
        self._terminal.handle_timeout(now)

    def take_output(self) -> list[Transmission]:
        """What the line shall transmit, in order."""
        return self._terminal.take_output()

    def take_events(self) -> list[Event]:
        """What happened, in order."""
        return self._terminal.take_events()

    def next_timeout(self) -> float:
        """When `handle_timeout` wants to be called; math.inf when nothing is pending."""
        return self._terminal.next_timeout()
