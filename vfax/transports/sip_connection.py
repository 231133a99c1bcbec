"""One connection that carries SIP: read, written, watched.

Owns      its queue of octets to write, its framer, its deadlines, keep-alives on it.
Not here  which connections there are, how they are made (sip_streams.py), what messages mean.
Source    RFC 3261 (June 2002) 18; RFC 5626 4.4.1 (keep-alive with CRLF).
"""

import math
from collections.abc import Callable
from dataclasses import dataclass
from typing import Final, Protocol

import trio

from vfax.transports.certificates import explain
from vfax.transports.sip.framer import Framer, KeepAlive
from vfax.transports.sip.message import MessageError
from vfax.transports.sip.options import SipOptions
from vfax.transports.sip.values import Flow, Hop
from vfax.transports.udp import format_address

READ: Final = 4 * 1024  # octets at once; then other connections have their turn
LONGEST_PAUSE: Final = 2.0  # Limit: seconds that a connection is left unread at a time
GOODBYE: Final = 1.0  # seconds for the last octets to leave
PONG_LIMIT: Final = 10.0  # RFC 5626 4.4.1: how long the answer to a ping may take
PING: Final = b"\r\n\r\n"
PONG: Final = b"\r\n"


@dataclass(frozen=True, slots=True, kw_only=True)
class StreamOptions:
    """Limits of SIP over TCP and TLS. Times in seconds, sizes in octets."""

    max_connections: int = 200  # Limit: connections at once, ours and theirs
    max_connections_per_source: int = 50  # Limit: that one host may have made
    max_handshakes: int = 40  # Limit: TLS connections whose handshake is not over
    connect_limit: float = 5.0  # how long a connection of ours may take, TLS included
    handshake_limit: float = 5.0  # how long TLS may take on a connection that came in
    message_limit: float = 20.0  # Limit: a message that has begun is whole by then, the first one included
    idle_limit: float = 900.0  # a connection without traffic that no call needs is closed
    ping_interval: float = 110.0  # silence after which we ask a connection of ours whether it lives
    max_unsent: int = 262_144  # Limit: octets that wait for a peer who does not read


class Owner(Protocol):
    """What a connection tells of itself."""

    def hear(self, message: bytes, flow: Flow) -> float:
        """A whole message came. How long the connection is not to be read now: its source sends too much."""
        ...

    def hear_fault(self, fault: MessageError, flow: Flow) -> None:
        """What comes cannot be read any further; the answer may still be sent."""

    def is_needed(self, flow: Flow) -> bool:
        """Whether a call needs the connection, though nothing was heard for long."""
        ...


class Connection:
    """One connection. It is written to from its first moment; `run` carries it once it is made."""

    def __init__(self, flow: Flow, options: StreamOptions, sip: SipOptions, owner: Owner, *, ours: bool) -> None:
        self.flow = flow
        self.ours = ours
        self.hops: list[Hop] = []  # that were sent to by it
        self.why = ""  # why it ended, or is to end
        self.scope = trio.CancelScope()
        self._options = options
        self._owner = owner
        self._framer = Framer(sip)
        self._unsent = bytearray()
        self._more = trio.Event()
        self._ending = False
        self._heard = False  # any whole message
        self.used_at = trio.current_time()  # when a message came or was written; keep-alives do not count
        self._moved_at = 0.0  # when octets came or were written
        self._begun_at = math.inf  # when the message that is not whole began
        self._ping_at = math.inf  # when our ping that has no answer was sent
        self._answers_pings = False

    @property
    def who(self) -> str:
        """The other side, for people."""
        return format_address(self.flow.remote)

    # --- writing --------------------------------------------------------------------------------

    def send(self, message: bytes) -> bool:
        """Keep a message for the writer. False when the connection is at its end."""
        self.used_at = trio.current_time()
        return self._put(message)

    def _put(self, octets: bytes) -> bool:
        if self._ending or self.scope.cancel_called:
            return False
        if len(self._unsent) + len(octets) > self._options.max_unsent:
            self.end_now(f"{self.who} does not read what it is sent: {len(self._unsent)} octets wait")
            return False
        self._unsent += octets
        self._more.set()
        return True

    def end(self, why: str) -> None:
        """Let what is written leave, then end."""
        self.why = self.why or why
        self._ending = True
        self._more.set()
        self.scope.deadline = min(self.scope.deadline, trio.current_time() + GOODBYE)

    def end_now(self, why: str) -> None:
        """End without waiting for anything."""
        self.why = self.why or why
        self.scope.cancel()

    # --- running --------------------------------------------------------------------------------

    async def run(self, stream: trio.abc.Stream) -> None:
        """Carry the connection to its end; `why` says how it ended. Closes `stream`."""
        self._moved_at = trio.current_time()
        if not self.ours:
            self._begun_at = self._moved_at  # a first message is awaited
        try:
            with self.scope:
                async with trio.open_nursery() as nursery:
                    nursery.start_soon(self._write, stream)
                    nursery.start_soon(self._watch)
                    await self._read(stream)
                    if self._ending:
                        await trio.sleep_forever()  # the writer has the last word
                    nursery.cancel_scope.cancel()
        finally:
            self.why = self.why or "the connection was closed on this side"
            with trio.move_on_after(GOODBYE, shield=True):
                await stream.aclose()

    async def _read(self, stream: trio.abc.Stream) -> None:
        try:
            while octets := await stream.receive_some(READ):
                pause = self._take(bytes(octets))
                if self._framer.fault is not None:
                    self._owner.hear_fault(self._framer.fault, self.flow)
                    self.end(f"what {self.who} sends is not SIP that can be read: {self._framer.fault}")
                    return
                await trio.sleep(min(pause, LONGEST_PAUSE))
            self.why = self.why or f"{self.who} closed the connection"
        except (trio.BrokenResourceError, trio.ClosedResourceError) as fault:
            self.why = self.why or explain(fault, self.who)

    def _take(self, octets: bytes) -> float:
        """Deal with octets; how long to wait for the next."""
        now, pause = trio.current_time(), 0.0
        self._moved_at = now
        for item in self._framer.receive(octets):
            match item:
                case KeepAlive.PING:
                    self._put(PONG)
                case KeepAlive.PONG:
                    self._answers_pings |= self._ping_at < math.inf
                    self._ping_at = math.inf
                case bytes(message):
                    self._heard, self._ping_at, self.used_at = True, math.inf, now
                    pause = max(pause, self._owner.hear(message, self.flow))
        if not self._framer.pending:
            self._begun_at = math.inf if self._heard or self.ours else self._begun_at
        elif self._begun_at == math.inf:
            self._begun_at = now
        return pause

    async def _write(self, stream: trio.abc.Stream) -> None:
        try:
            while True:
                while self._unsent:
                    octets, self._unsent = bytes(self._unsent), bytearray()
                    await stream.send_all(octets)
                    self._moved_at = trio.current_time()
                if self._ending:
                    break
                self._more = trio.Event()
                await self._more.wait()
        except (trio.BrokenResourceError, trio.ClosedResourceError) as fault:
            self.why = self.why or explain(fault, self.who)
        self.scope.cancel()

    # --- deadlines ------------------------------------------------------------------------------

    async def _watch(self) -> None:
        """End what takes too long. A look now and then will do: nothing here is a matter of milliseconds."""
        options = self._options
        pause = min(options.message_limit, options.idle_limit, options.ping_interval, PONG_LIMIT) / 4
        while True:
            await trio.sleep(pause)
            now = trio.current_time()
            if now - self._begun_at >= options.message_limit:  # Limit: slow senders
                self.end_now(f"{self.who} did not finish a message within {options.message_limit:.0f} s")
            elif self._answers_pings and now - self._ping_at >= PONG_LIMIT:
                self.end_now(f"{self.who} did not answer a keep-alive within {PONG_LIMIT:.0f} s")
            elif self.ours and self._ping_at == math.inf and now - self._moved_at >= options.ping_interval:
                self._ping_at = now
                self._put(PING)
            elif now - self._moved_at >= options.idle_limit and not self._owner.is_needed(self.flow):
                self.end(f"nothing was said for {options.idle_limit:.0f} s")


Say = Callable[[str], None]
"""Takes a sentence for people. Must not raise."""
