"""The capture of one call: its SIP and its media as a pcap file beside the journal.

Owns      the file, its size limit, keeping it only for calls that fail where that is wished, redaction.
Not here  the format (pcap.py); reading captures (captures.py).

While the outcome is not known the file of a call that may be dropped is called `.pcap.part`. Records are written
through a buffer of 64 KB: no system call for each datagram. Nothing here raises for what the disk does.
"""

from collections.abc import Callable
from dataclasses import dataclass
from enum import StrEnum
from pathlib import Path
from typing import BinaryIO, Final

from vfax.journal import open_private
from vfax.pcap import DECRYPTED, Datagram, file_header, packet_record, segment_record
from vfax.transports.erase import PageEraser, hide_keys, silence
from vfax.transports.rtp import looks_like_rtp
from vfax.transports.sip.values import Address

BUFFER: Final = 64 * 1024
PART: Final = ".part"
DISCARD: Final = 9  # a port where nobody listens (RFC 863)


class Pcap(StrEnum):
    """Which calls leave a capture."""

    OFF = "off"
    FAILURES = "failures"
    ALL = "all"


@dataclass(frozen=True, slots=True, kw_only=True)
class CaptureOptions:
    """What is captured; `pcap_limit` in octets of one file."""

    pcap: Pcap = Pcap.OFF
    pcap_limit: int = 16 * 1024 * 1024  # Limit: what comes later is left out and counted
    redacted: bool = False  # page data, passwords and audio are replaced by zeros


class Capture:
    """One call's capture; does nothing without a path. `clock` gives monotonic seconds, `wall` seconds since 1970.

    `sip_at` and `media_at` are our own addresses, to be set as soon as they are known.
    """

    def __init__(
        self, path: Path | None, options: CaptureOptions, *, clock: Callable[[], float], wall: Callable[[], float]
    ) -> None:
        self.sip_at: Address = ("0.0.0.0", 0)
        self.media_at: Address = ("0.0.0.0", 0)
        self.datagrams = 0
        self.left_out = 0
        self.trouble = ""
        self.decrypted = False  # what is captured was encrypted on the wire
        self._options = options
        self._clock = clock
        self._ahead = wall() - clock()
        self._room = options.pcap_limit
        self._path = path if options.pcap is not Pcap.OFF else None
        self._numbers = [1, 1]  # of the next octet of a stream: heard, sent
        self._file = self._open()
        self._erasers = (PageEraser(), PageEraser()) if options.redacted else None

    @property
    def runs(self) -> bool:
        """Whether anything is captured."""
        return self._file is not None

    def switched(self, version: int) -> None:
        """T.38 of this version was agreed: what is to be erased is written in it."""
        for eraser in self._erasers or ():
            eraser.version = version

    def encrypted(self, peer: Address) -> None:
        """UDPTL with `peer` is encrypted on the wire from here on, and captured decrypted: say so in the file."""
        self.decrypted = True
        if self._file is not None:
            self._write(DECRYPTED, self.media_at, (peer[0], DISCARD), sent=True)

    def sip(self, octets: bytes, peer: Address, *, sent: bool) -> None:
        """One SIP message."""
        if self._file is not None and octets:
            octets = octets if self._erasers is None else hide_keys(octets)
            self._write(octets, self.sip_at, peer, sent=sent)

    def media(self, octets: bytes, peer: Address, *, sent: bool) -> None:
        """One datagram of the media socket, audio or T.38."""
        if self._file is None:
            return
        if self._erasers is not None:
            octets = silence(octets) if looks_like_rtp(octets) else self._erasers[sent].erase(octets)
        self._write(octets, self.media_at, peer, sent=sent)

    def stream(self, octets: bytes, peer: Address, *, sent: bool) -> None:
        """Octets of T.38 over TCP. With page data erased nothing is left of a stream: it is left out and counted."""
        if self._file is None:
            return
        if self._erasers is not None:
            self.left_out += 1
            return
        number, acknowledged = self._numbers[sent], self._numbers[not sent]
        self._numbers[sent] += len(octets)
        self._write(octets, self.media_at, peer, sent=sent, tcp=(number, acknowledged))

    def close(self, *, failed: bool) -> Path | None:
        """End the file; tell where it is when it stays. May be called twice."""
        path, self._path = self._path, None
        if self._file is None or path is None:
            return None
        try:
            self._file.close()
            if self._options.pcap is Pcap.ALL:
                return path
            part = _part(path)
            if not failed:
                part.unlink()
                return None
            part.replace(path)
        except OSError as why:
            self._fail(why)
            return None
        finally:
            self._file = None
        return path

    def _open(self) -> BinaryIO | None:
        path = self._path
        if path is None:
            return None
        try:
            name = path if self._options.pcap is Pcap.ALL else _part(path)
            file = open(name, "wb", buffering=BUFFER, opener=open_private)  # noqa: SIM115
            file.write(file_header())
        except OSError as why:
            self._fail(why)
            return None
        return file

    def _write(
        self, octets: bytes, ours: Address, peer: Address, *, sent: bool, tcp: tuple[int, int] | None = None
    ) -> None:
        source, target = (ours, peer) if sent else (peer, ours)
        try:
            packet = Datagram(self._clock() + self._ahead, source, target, octets)
            record = packet_record(packet) if tcp is None else segment_record(packet, *tcp)
        except ValueError:  # an address that is none: a name that stands for a peer in a test
            self.left_out += 1
            return
        if len(record) > self._room or self._file is None:
            self._room = 0  # a beginning without holes
            self.left_out += 1
            return
        self._room -= len(record)
        try:
            self._file.write(record)
        except OSError as why:
            self._fail(why)
            return
        self.datagrams += 1

    def _fail(self, why: OSError) -> None:
        self.trouble = why.strerror or type(why).__name__
        self._room = 0


def _part(path: Path) -> Path:
    return path.with_name(path.name + PART)
