"""The media socket of a call for trio whose T.38 may run over DTLS: the same port as audio and plain UDPTL.

Owns      the handshake and its limits, whom it is made with, encrypted datagrams out and in, the end of an association.
Not here  DTLS itself (trio's DTLSEndpoint, OpenSSL), certificates (dtls_identity.py), who begins and whose fingerprint
          counts (SDP says so: sip/secure.py), what is in the datagrams.
Source    RFC 7345 and RFC 6347; RFC 8122 6.2 for what is done about a wrong certificate.

trio's endpoint wants a socket of its own. It gets a `Wire`, which is one as far as it can tell: what it sends leaves by
the media socket, and of what arrives there it is given the DTLS records of whom we expect. So the port that carried
audio carries the handshake, and NAT bindings that audio has opened stay good.
"""

import secrets
import struct
from collections import deque
from collections.abc import Callable
from contextlib import suppress
from contextvars import ContextVar
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Final

import trio

from vfax.errors import LinkError, MisuseError
from vfax.transports.dtls_identity import DtlsIdentity
from vfax.transports.dtls_record import is_client_hello, looks_like_dtls
from vfax.transports.dtls_wire import Wire
from vfax.transports.parameters import DtlsTrouble
from vfax.transports.sip.secure import DtlsMedia, Fingerprint, matches, preferred
from vfax.transports.sip.values import Address
from vfax.transports.tcp import MediaSocket
from vfax.transports.udp import UdpSocket, format_address

if TYPE_CHECKING:
    import socket

    from OpenSSL import SSL

EARLY: Final = 8
"""Limit: records that are kept for an association which SDP has not agreed yet: the ClientHello may be faster."""
READ: Final = 1 << 14  # octets of OpenSSL's output at once
ALERT: Final = 0.1  # seconds for our alert to leave before a handshake is given up
GRACE: Final = 1.0  # seconds from the peer's close_notify to the end: its BYE is on its way
GOODBYE: Final = 1.0  # seconds for the last datagrams of a call to leave
OPEN_EACH: Final = 1.0  # seconds between two datagrams that open our NAT for a peer who is to begin
FATAL: Final = 2  # level of an alert

ALERTS: Final[dict[int, str]] = {
    20: "bad record",
    40: "handshake failure: no cipher in common, or none with a certificate",
    42: "our certificate is not the one that our SDP names, or was changed on the way",
    43: "unsupported certificate",
    44: "certificate revoked",
    45: "certificate expired",
    46: "certificate unknown",
    47: "illegal parameter",
    48: "our certificate is not the one that our SDP names, or its authority is not known there",
    49: "access denied",
    50: "decode error",
    51: "decrypt error",
    70: "protocol version: no DTLS version in common",
    71: "insufficient security",
    80: "internal error",
    116: "certificate required",
}
"""Fatal alerts in words (RFC 5246 7.2)."""


@dataclass(frozen=True, slots=True, kw_only=True)
class DtlsOptions:
    """How associations are made; times in seconds. Without `certificate` (and `key`) one is made at the start."""

    certificate: Path | None = None
    key: Path | None = None
    handshake: float = 15.0  # Limit: a handshake, from the agreement in SDP to its end
    retransmit: float = 1.0  # of a lost flight, doubled each time (RFC 6347 4.2.4.1)
    mtu: int = 1_200  # octets of one datagram of the handshake
    candidates: int = 4  # Limit: handshakes at once, where the peer begins and SDP's host is behind NAT
    backlog: int = 512  # Limit: datagrams that wait for their turn, in each direction


@dataclass(frozen=True, slots=True, kw_only=True)
class Association:
    """One that was made: with whom, in which version, with which ciphers, and what the peer has proved."""

    remote: Address
    version: str
    cipher: str
    fingerprint: Fingerprint


class HandshakeFailed(LinkError):
    """There is no association; `trouble` says in a word why."""

    def __init__(self, trouble: DtlsTrouble, why: str) -> None:
        super().__init__(why)
        self.trouble = trouble


class SecureSocket(MediaSocket):
    """A media socket that may also carry one DTLS association, once it has an identity (`arm`)."""

    def __init__(self, sock: "socket.socket") -> None:
        super().__init__(sock)
        self.unprotected = 0  # datagrams that came in the clear while an association was there
        self._early: deque[tuple[bytes, Address]] = deque(maxlen=EARLY)
        self._identity: DtlsIdentity | None = None
        self._options = DtlsOptions()
        self._secure: _Attempt | None = None

    def arm(self, identity: DtlsIdentity, options: DtlsOptions) -> None:
        """Be ready for DTLS."""
        self._identity, self._options = identity, options

    def expect_secure(self, remote: Address, agreed: DtlsMedia, *, anyone: bool = False) -> None:
        """From here on only what DTLS protects goes in and out; `run_secure` makes the association.

        With whom SDP names: with `remote` where we begin, else with its host. `anyone`: or with the first who shows
        the certificate that SDP names, for that proves as much (peers behind NAT).
        """
        if self._identity is None:
            raise MisuseError("DTLS was agreed on a media socket that has no certificate")
        self._secure = _Attempt(self, self._identity, self._options, remote, agreed, anyone=anyone)
        for datagram, source in self._early:
            self._secure.feed(datagram, source)
        self._early.clear()

    async def receive(self) -> list[tuple[bytes, Address]]:
        """As of UdpSocket, without what belongs to DTLS and, once that is agreed, without anything in the clear."""
        taken = await super().receive()
        return taken if self._identity is None else [one for one in taken if not self._divert(*one)]

    def _divert(self, datagram: bytes, source: Address) -> bool:
        if not looks_like_dtls(datagram):
            if self._secure is not None:
                self.unprotected += 1
                self._secure.in_clear(source)
            return self._secure is not None
        if self._secure is None:
            self._early.append((datagram, source))
        elif not self._secure.feed(datagram, source):
            self.troubles += 1
        return True

    def send(self, datagram: bytes, to: Address) -> None:
        """As of MediaSocket; where an association is agreed, to whom that was made with, or not at all."""
        if self._secure is None:
            super().send(datagram, to)
        elif not self._secure.write(datagram):
            self.dropped += 1

    async def run_secure(self, take: Callable[[bytes, Address], None], made: Callable[[Association], None]) -> None:
        """Make the association, say `made`, and `take` what it brings, until `end_stream`.

        Raises HandshakeFailed when it is not made, LinkError when it ends by itself.
        """
        if self._secure is None:
            raise MisuseError("no DTLS association is expected")
        await self._secure.run(take, made)

    def end_stream(self) -> None:
        """The call is over: let what is written leave, then close."""
        super().end_stream()
        if self._secure is not None:
            self._secure.end()


class _Candidate:
    """Somebody with whom a handshake runs, and how that goes."""

    def __init__(self, address: Address) -> None:
        self.address = address
        self.scope = trio.CancelScope()
        self.connection: SSL.Connection | None = None
        self.done = False
        self.approved: Fingerprint | None = None
        self.shown: Fingerprint | None = None  # and not approved
        self.alert = ""  # that ended it, in words

    def give_up(self, after: float = 0.0) -> None:
        self.scope.deadline = min(self.scope.deadline, trio.current_time() + after)


_CANDIDATE: Final[ContextVar[_Candidate]] = ContextVar("candidate")
"""Whose handshake this task runs: OpenSSL calls back with a connection that trio keeps to itself."""


class _Attempt:
    """One association: from its agreement in SDP to its end."""

    def __init__(
        self,
        media: UdpSocket,
        identity: DtlsIdentity,
        options: DtlsOptions,
        remote: Address,
        agreed: DtlsMedia,
        *,
        anyone: bool,
    ) -> None:
        self._media = media
        self._identity = identity
        self._options = options
        self._remote = remote
        self._agreed = agreed
        self._anyone = anyone and not agreed.active
        self._wire = Wire(media, options.backlog, self._alerted)
        self._scope = trio.CancelScope()
        self._settled, self._over, self._more = trio.Event(), trio.Event(), trio.Event()
        self._proved: _Candidate | None = None
        self._failed: _Candidate | None = None  # the last of those that failed in a way that says something
        self._running: list[_Candidate] = []
        self._heard = self._clear = 0
        self._queue: deque[bytes] = deque()
        self._ending = False
        self._why = ""

    # --- from the socket, from the call -------------------------------------------------------------

    def feed(self, datagram: bytes, source: Address) -> bool:
        """One datagram with DTLS records; False when it is not for us, or cannot be kept."""
        if not self._may_come(datagram, source):
            return False
        self._heard += 1
        return self._wire.feed(datagram, source)

    def _may_come(self, datagram: bytes, source: Address) -> bool:
        if self._proved is not None:  # a new ClientHello would end this association before anything is proved
            return source == self._proved.address and not is_client_hello(datagram)
        if self._agreed.active:
            return source == self._remote
        return self._anyone or source[0] == self._remote[0]

    def in_clear(self, source: Address) -> None:
        """Something came from there that is not protected."""
        if source[0] == self._remote[0]:
            self._clear += 1

    def write(self, datagram: bytes) -> bool:
        """Keep a datagram for the writer; False when that would be too many."""
        if len(self._queue) >= self._options.backlog or self._over.is_set():
            return False
        self._queue.append(datagram)
        self._more.set()
        return True

    def end(self) -> None:
        """The call is over."""
        self._ending = True
        self._more.set()
        if self._proved is None:
            self._scope.cancel()
        else:
            self._scope.deadline = min(self._scope.deadline, trio.current_time() + GOODBYE)

    # --- its course ---------------------------------------------------------------------------------

    async def run(self, take: Callable[[bytes, Address], None], made: Callable[[Association], None]) -> None:
        """Make the association and carry what goes over it, to its end."""
        with trio.DTLSEndpoint(self._wire, incoming_packets_buffer=self._options.backlog) as endpoint:
            try:
                with self._scope:
                    await self._run(endpoint, take, made)
            finally:
                self._say_goodbye()
                self._over.set()
        if self._proved is None and not self._ending:
            raise self._failure()
        if self._why and not self._ending:
            raise LinkError(self._why)

    async def _run(
        self,
        endpoint: trio.DTLSEndpoint,
        take: Callable[[bytes, Address], None],
        made: Callable[[Association], None],
    ) -> None:
        context = self._identity.context(self._check, self._told)

        async def attempt(channel: trio.DTLSChannel) -> None:
            one = await self._handshake(channel)
            if one is not None:
                made(self._association(one))
                await self._carry(channel, one, take)

        async with trio.open_nursery() as nursery:
            nursery.start_soon(self._wire.send_copies)
            if self._agreed.active:
                nursery.start_soon(attempt, endpoint.connect(self._remote, context))
            else:
                await nursery.start(endpoint.serve, context, attempt)
                nursery.start_soon(self._open_nat)
            with trio.move_on_after(self._options.handshake):
                await self._settled.wait()
            if self._proved is not None:
                await self._over.wait()
            nursery.cancel_scope.cancel()

    async def _open_nat(self) -> None:
        """Send something that is not DTLS until they begin: where we are behind NAT, nobody gets in before that.

        A STUN Binding indication (RFC 8489), which whoever shares ports between protocols ignores or knows.
        """
        while not self._heard:
            indication = struct.pack(">HHI12s", 0x0011, 0, 0x2112A442, secrets.token_bytes(12))
            self._media_send(indication, self._remote)
            await trio.sleep(OPEN_EACH)

    # --- the handshake ------------------------------------------------------------------------------

    async def _handshake(self, channel: trio.DTLSChannel) -> _Candidate | None:
        """Run one handshake; the candidate, if it is the first to prove who it is."""
        from OpenSSL import SSL

        host, port = channel.peer_address[:2]
        one = _Candidate((str(host), int(port)))
        if self._proved is not None or self._full(one):
            return None
        self._running.append(one)
        _CANDIDATE.set(one)
        channel.set_ciphertext_mtu(self._options.mtu)
        try:
            with one.scope:
                await channel.do_handshake(initial_retransmit_timeout=self._options.retransmit)
                one.done = True
        except (SSL.Error, trio.BrokenResourceError):
            pass  # rubbish from whoever it was, or a handshake that the same peer began anew
        finally:
            self._running.remove(one)
        if one.done and one.approved is not None and self._proved is None:
            self._proved = one
            self._settled.set()
            return one
        self._note_failure(one)
        return None

    def _full(self, new: _Candidate) -> bool:
        """Whether too many handshakes run. Strangers do not count against the host that SDP names."""
        named = new.address[0] == self._remote[0]
        alike = [one for one in self._running if (one.address[0] == self._remote[0]) is named]
        return len(alike) >= self._options.candidates

    def _note_failure(self, one: _Candidate) -> None:
        """A handshake has failed. With whom SDP names that is the end; a stranger keeps nobody from coming."""
        if one.shown is None and not one.alert:
            return
        named = one.address[0] == self._remote[0]
        if self._failed is None or named:
            self._failed = one
        if named:
            self._settled.set()

    def _check(self, connection: "SSL.Connection", certificate: bytes) -> bool:
        """Whether this is the certificate that SDP names (OpenSSL asks, in the middle of a handshake).

        Deviation: the alert for another one is to be bad_certificate (RFC 8122 6.2). OpenSSL makes it unknown_ca.
        """
        one = _CANDIDATE.get()
        one.connection = connection
        wanted = preferred(self._agreed.fingerprints)
        shown = Fingerprint.of(certificate, wanted[0].name) if wanted else None
        if matches(certificate, wanted):
            one.approved = shown
            return True
        one.shown = shown
        one.give_up(ALERT)
        return False

    def _told(self, connection: "SSL.Connection", where: int, number: int) -> None:
        """News of a connection from OpenSSL: fatal alerts end handshakes, which trio would go on with."""
        from OpenSSL import SSL

        if not where & SSL.SSL_CB_ALERT or number >> 8 != FATAL or (one := _CANDIDATE.get(None)) is None:
            return
        one.connection = connection
        words = ALERTS.get(number & 0xFF, f"alert {number & 0xFF}")
        if where & SSL.SSL_CB_READ:
            one.alert = one.alert or f"the peer gave up: {words}"
            one.give_up()
        else:
            one.alert = one.alert or f"we gave up: {words}"
            one.give_up(ALERT)

    def _alerted(self) -> None:
        """Our alert has left: the handshake need not be waited for, and a BYE for the alert must not come before us."""
        one = _CANDIDATE.get(None)
        if one is not None and not one.done:
            one.give_up()

    def _association(self, one: _Candidate) -> Association:
        connection, proved = one.connection, one.approved
        assert connection is not None
        assert proved is not None
        return Association(
            remote=one.address,
            version=connection.get_protocol_version_name(),
            cipher=connection.get_cipher_name() or "",
            fingerprint=proved,
        )

    def _failure(self) -> HandshakeFailed:
        """Why there is no association, in a sentence."""
        one, peer = self._failed, format_address(self._remote)
        if one is not None and one.shown is not None:
            named = " or ".join(wanted.short for wanted in preferred(self._agreed.fingerprints)[:2])
            shown = f"{format_address(one.address)} showed a certificate with {one.shown.short}"
            return HandshakeFailed(DtlsTrouble.MISMATCH, f"{shown}, and its SDP names {named}")
        if one is not None:
            with_whom = format_address(one.address)
            return HandshakeFailed(DtlsTrouble.FAILED, f"the handshake with {with_whom} failed, {one.alert}")
        within = f"within {self._options.handshake:.0f} s"
        if self._heard:
            return HandshakeFailed(DtlsTrouble.FAILED, f"the handshake with {peer} was not finished {within}")
        clear = f", but {self._clear} datagrams without encryption" if self._clear else ""
        return HandshakeFailed(DtlsTrouble.SILENT, f"no DTLS came from {peer} {within}{clear}")

    # --- afterwards ---------------------------------------------------------------------------------

    async def _carry(self, channel: trio.DTLSChannel, one: _Candidate, take: Callable[[bytes, Address], None]) -> None:
        """Read and write until one of both ends."""
        from OpenSSL import SSL

        async with trio.open_nursery() as nursery:
            nursery.start_soon(self._write_all, channel)
            try:
                while True:
                    take(await channel.receive(), one.address)
            except SSL.ZeroReturnError:
                await trio.sleep(GRACE)
                self._end_because("the peer ended the DTLS association")
            except (SSL.Error, trio.BrokenResourceError):
                self._end_because(one.alert or "the DTLS association broke")
            nursery.cancel_scope.cancel()
        self._over.set()

    async def _write_all(self, channel: trio.DTLSChannel) -> None:
        from OpenSSL import SSL

        try:
            while True:
                while self._queue:
                    await channel.send(self._queue.popleft())
                if self._ending:
                    break
                self._more = trio.Event()
                await self._more.wait()
        except (SSL.Error, trio.BrokenResourceError):
            self._end_because("the DTLS association broke")
        self._over.set()

    def _say_goodbye(self) -> None:
        """close_notify, so that the peer need not wait for silence; it may be lost like all else."""
        connection = self._proved.connection if self._proved is not None else None
        if self._proved is None or connection is None:
            return
        from OpenSSL import SSL

        with suppress(SSL.Error):
            connection.shutdown()
        with suppress(SSL.Error):
            while True:
                self._media_send(connection.bio_read(READ), self._proved.address)

    def _media_send(self, datagram: bytes, to: Address) -> None:
        UdpSocket.send(self._media, datagram, to)

    def _end_because(self, why: str) -> None:
        if not self._ending:
            self._why = self._why or why
