"""T.38 line and T.30 engine without a call around them, behind the face of a leg: for what a leg does not order yet.

Owns      the joint of line and engine, polling and addressed documents.
Not here  SDP, SIP, sources of datagrams (those are the leg's: stage.py uses it wherever it can).
"""

from vfax.leg import Finished, LegEvent, LegOptions, LegOrder, SipOrder
from vfax.outcome import Outcome
from vfax.t30 import values as t30
from vfax.t30.engine import T30Engine
from vfax.transports.parameters import RateManagement
from vfax.transports.sip import values as sip
from vfax.transports.sip.values import Address
from vfax.transports.t38 import T38Line


class Bare:
    """One line that is up at once; the peer is at `remote`."""

    def __init__(
        self,
        options: LegOptions,
        role: t30.Role,
        *,
        order: t30.Order | None,
        sending: bool,
        remote: Address,
        now: float,
    ) -> None:
        local_tcf = options.t38.rate_management is RateManagement.LOCAL_TCF
        assert not local_tcf, "scripts of a bare line know the transferred TCF only"
        self.line = T38Line(options.t38, options.line, now=now)
        self.strangers = self.early = 0
        self._remote = remote
        self._engine = T30Engine(role, sending=sending, options=options.fax, now=now)
        self._outcome: Outcome | None = None
        if order is not None:
            self._engine.command(order, now)
        self._engine.command(t30.LineUp(), now)
        self._pump(now)

    def receive(self, datagram: bytes, source: Address, now: float) -> None:
        if source == self._remote:
            self.line.receive(datagram, now)
            self._pump(now)

    def command(self, order: LegOrder, now: float) -> None:
        self._engine.command(order, now)  # type: ignore[arg-type]
        self._pump(now)

    def signal(self, event: sip.SipEvent, now: float) -> None:
        raise AssertionError(f"{event} at {now}: a bare line knows nothing of SIP")

    def handle_timeout(self, now: float) -> None:
        self.line.handle_timeout(now)
        self._engine.handle_timeout(now)
        self._pump(now)

    def _pump(self, now: float) -> None:
        while True:
            signals = self.line.take_signals()
            for signal in signals:
                self._engine.receive(signal, now)
            orders = self._engine.take_output()
            for order in orders:
                self.line.transmit(order, now)
            if not signals and not orders:
                return

    def take_sip(self) -> list[SipOrder]:
        return []

    def take_datagrams(self) -> list[tuple[bytes, Address]]:
        return [(datagram, self._remote) for datagram in self.line.take_output()]

    def take_events(self) -> list[LegEvent]:
        told: list[LegEvent] = []
        for event in self._engine.take_events():
            if isinstance(event, t30.Ended):
                self._outcome = event.outcome
                told.append(Finished(event.outcome))
            else:
                told.append(event)
        return told

    def next_timeout(self) -> float:
        """Never again once the fax has ended: nobody would hang up."""
        return min(self.line.next_timeout(), self._engine.next_timeout()) if self._outcome is None else float("inf")
