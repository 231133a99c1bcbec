"""What runs on a call's one media socket: audio at first, then T.38 with the T.30 terminal behind it; pure.

Owns      the audio before the switch, the joint between T.30 engine and T.38 line.
Not here  when to switch and how the call ends (leg.py), packets (rtp.py, t38.py), the fax (t30/), where media goes and
          from whom it is heard (leg_lock.py).
"""

import math
from dataclasses import replace
from typing import Final

from vfax.errors import MisuseError
from vfax.leg_lock import SourceLock
from vfax.leg_values import InternetAware, LegOptions
from vfax.t30 import values as t30
from vfax.t30.engine import T30Engine
from vfax.t30.tables import S
from vfax.transports.parameters import RateManagement
from vfax.transports.rtp import AudioSender, looks_like_rtp
from vfax.transports.sip.negotiation import AudioMedia, T38Media
from vfax.transports.sip.values import Address
from vfax.transports.t38 import T38Line

OURS: Final = "vfax"
"""How the User-Agent of another of us begins."""


class LegMedia:
    """The media of one call. The called side says CED and receives; the calling side sends its document.

    With `poll` the calling side asks for the called side's document instead, which that was given as its own.
    `seeds` are (ssrc, sequence, timestamp) of the audio; `peer_agent` is what the other side calls itself, empty until
    it has said so.
    """

    def __init__(
        self,
        options: LegOptions,
        *,
        called: bool,
        pages: tuple[t30.PageInfo, ...] = (),
        document: t30.SendDocument | None = None,
        poll: t30.Poll | None = None,
        seeds: tuple[int, int, int],
        peer_agent: str = "",
    ) -> None:
        self._options = options
        self._called = called
        self.peer_agent = peer_agent
        calls_to_send = not called and poll is None
        self._document = t30.SendDocument(pages) if document is None and calls_to_send else document
        self._poll = poll
        self._offers_alone = document is not None and document.alone
        self._seeds = seeds
        self._audio: AudioSender | None = None
        self._engine: T30Engine | None = None
        self._lock = SourceLock(learn=options.learn_source, silence=options.relearn_after)
        self._stream_id = b""  # SSRC of the audio that is heard
        self._datagrams: list[tuple[bytes, Address]] = []
        self.line: T38Line | None = None
        self.strangers = 0
        self.early = 0

    # --- out -------------------------------------------------------------------------------------

    def take_datagrams(self) -> list[tuple[bytes, Address]]:
        """Media to send since last asked."""
        taken, self._datagrams = self._datagrams, []
        return taken

    def take_events(self) -> list[t30.Event]:
        """What the T.30 engine has told since last asked."""
        return [] if self._engine is None else self._engine.take_events()

    def next_timeout(self) -> float:
        """When `handle_timeout` wants to be called; `math.inf` for never."""
        if self.line is not None and self._engine is not None:
            return min(self.line.next_timeout(), self._engine.next_timeout())
        return math.inf if self._audio is None else self._audio.next_timeout()

    @property
    def locked(self) -> Address | None:
        """The one source whose T.38 is heard; None while there is none."""
        return None if self.line is None else self._lock.locked

    @property
    def learned(self) -> Address | None:
        """Where media goes instead of what SDP names, once that is known."""
        return self._lock.learned

    @property
    def is_fax(self) -> bool:
        """Whether T.38 runs."""
        return self._engine is not None

    @property
    def is_closing(self) -> bool:
        """Whether the fax has said its last word (DCN) and only lets it leave."""
        return self._engine is not None and self._engine.state is S.CLOSING

    @property
    def sending(self) -> bool:
        """Whether this end sends the pages. Polling turns the called side into the sender."""
        if self._engine is not None:
            return self._engine.sending
        return self._offers_alone if self._called else self._poll is None

    # --- in --------------------------------------------------------------------------------------

    def receive(self, datagram: bytes, source: Address, now: float) -> None:
        """Take one datagram of the media socket, whoever sent it."""
        line = self.line
        if line is None:
            self.early += 1
            self._learn_from_audio(datagram, source, now)
            return
        if line.is_stream:
            self.strangers += 1
            return
        lock = self._lock
        if source != lock.locked and not self._takes(line, datagram, source, now):
            return
        lock.heard_at = now
        line.receive(datagram, now)
        self._pump(now)

    def read_stream(self, octets: bytes, now: float) -> None:
        """Take what the connection brought, where T.38 runs over one."""
        if self.line is not None and self.line.is_stream:
            self._lock.locked = self._lock.remote
            self.line.receive(octets, now)
            self._pump(now)

    def order(self, order: t30.Order, now: float) -> None:
        """Give the T.30 engine an order; harmless before there is one."""
        if self._engine is not None:
            self._engine.command(order, now)
            self._pump(now)

    def handle_timeout(self, now: float) -> None:
        """Send what is due, notice what did not come."""
        if self._audio is not None and now >= self._audio.next_timeout():
            self._audio.handle_timeout(now)
            self._send(self._audio.take_output())
        line, engine = self.line, self._engine
        if line is not None and engine is not None:
            if now >= line.next_timeout():
                line.handle_timeout(now)
            if now >= engine.next_timeout():
                engine.handle_timeout(now)
            self._pump(now)

    # --- what was agreed -------------------------------------------------------------------------

    def play(self, media: AudioMedia, now: float) -> None:
        """Audio runs, or goes on as newly agreed: elsewhere, in another law, on hold."""
        if self._engine is not None:
            raise MisuseError("a fax does not go back to audio")
        self._lock.agree(media.remote, held=media.held)
        if self._audio is not None:
            self._audio.use(media.payload_type)
            return
        ssrc, sequence, timestamp = self._seeds
        self._audio = AudioSender(media.payload_type, ssrc=ssrc, sequence=sequence, timestamp=timestamp, now=now)
        if self._called:
            self._audio.play_ced(now)

    def secure(self, media: T38Media) -> Address:
        """The audio is over, and T.38 awaits its DTLS association: where to make that."""
        self._audio = None
        self._lock.agree(media.remote, held=media.held)
        return self._lock.learned or media.remote

    def fax(self, media: T38Media, now: float, *, proved: Address | None = None) -> None:
        """T.38 runs, or goes on as newly agreed; T.30 begins its phase B once and is not restarted.

        `proved`: with whom DTLS runs.
        """
        self._audio = None
        self._lock.agree(media.remote, held=media.held, fresh=self.line is None)
        if proved is not None:
            self._lock.prove(proved)
        if self.line is not None:
            self.line.renegotiate(media.parameters, now)
            return
        parameters = media.parameters
        local_tcf = parameters.rate_management is RateManagement.LOCAL_TCF
        rate_bps = min(self._options.fax.max_rate_bps, parameters.max_bit_rate_bps)
        options = replace(
            self._options.fax, local_tcf=local_tcf, max_rate_bps=rate_bps, internet_aware=self._internet_aware()
        )
        self.line = T38Line(parameters, self._options.line, now=now)
        role = t30.Role.CALLED if self._called else t30.Role.CALLER
        self._engine = T30Engine(role, sending=self.sending, options=options, now=now)
        for order in (self._document, self._poll):
            if order is not None:
                self._engine.command(order, now)
        self._engine.command(t30.LineUp(), now)
        self._pump(now)

    def hush(self) -> None:
        """Send nothing until something is agreed again: every stream was switched off."""
        self._lock.hush()

    # --- inside ----------------------------------------------------------------------------------

    def _internet_aware(self) -> bool:
        """Whether our T.30 knows the unpaced transfer: announces it if called, takes it up if calling.

        Unless told otherwise, with one of us alone: a gateway would pass the bit on from or to a machine behind modems,
        which cannot keep up. Where the called side does not say what it is, the caller believes its bit.
        """
        wish, agent = self._options.internet_aware, self.peer_agent
        if wish is InternetAware.AUTO:
            return agent.startswith(OURS) or not (self._called or agent)
        return wish is InternetAware.ALWAYS

    def _takes(self, line: T38Line, datagram: bytes, source: Address, now: float) -> bool:
        """Decide about a datagram that is not from the locked source; afterwards one comparison does."""
        lock = self._lock
        if not lock.open or looks_like_rtp(datagram):
            self.early += 1
            return False
        after = None if lock.locked is None else now - lock.heard_at
        if lock.accepts(source, now, lambda: line.understands(datagram, after=after)):
            return True
        self.strangers += 1
        return False

    def _learn_from_audio(self, datagram: bytes, source: Address, now: float) -> None:
        """Audio is not decoded, but where it comes from is where ours is heard."""
        if self._audio is None or not looks_like_rtp(datagram):
            return
        stream, lock = datagram[8:12], self._lock
        if source != lock.locked and not lock.accepts(source, now, lambda: self._stream_id in (b"", stream)):
            return
        self._stream_id = self._stream_id or stream
        lock.heard_at = now

    def _pump(self, now: float) -> None:
        """Carry what engine and line have for each other until both are silent."""
        line, engine = self.line, self._engine
        if line is None or engine is None:
            return
        while True:
            signals = line.take_signals()
            for heard in signals:
                engine.receive(heard, now)
            orders = engine.take_output()
            for order in orders:
                line.transmit(order, now)
            if not orders and not signals:
                break
        self._send(line.take_output())

    def _send(self, datagrams: list[bytes]) -> None:
        """To the peer; on hold nothing is sent, and nothing is saved up either."""
        remote = self._lock.remote
        if remote is not None:
            self._datagrams.extend((datagram, remote) for datagram in datagrams)
