"""Captures: their datagrams, the calls found in them, and both ends of each replayed.

Oracle    DecodeError and DocumentError for the file; after its beginning, nothing; addresses are addresses; no more
          octets than the file has; what our writer makes of a datagram, our reader reads; a replay never raises.
"""

import io
from typing import Final

from fuzz import fax, scratch
from fuzz.mutate import split
from vfax.captures import read_capture, recording_of
from vfax.errors import DecodeError, DocumentError
from vfax.leg_values import LegOptions
from vfax.pcap import CaptureReader, Datagram, file_header, packet_record
from vfax.replay import compare, replay
from vfax.transports.parameters import T38Parameters
from vfax.transports.sip.negotiation import MediaKind, MediaSession
from vfax.transports.sip.values import Address

RECORDS: Final = False
TOKENS: Final = (
    b"\n\r\r\n\x1c\0\0\0\x4d\x3c\x2b\x1a\1\0\0\0",
    b"\xff\xff\xff\xff",
    b"\x45\0\0\x30",
    b"\x60\0\0\0",
    b"INVITE",
    b"\x08\x00",
    b"\x11",
)
CALLER: Final[Address] = ("192.0.2.1", 5060)
CALLED: Final[Address] = ("2001:db8::2", 5060)


def _session(host: str) -> MediaSession:
    return MediaSession(host=host, port=20000, parameters=T38Parameters(), session_id=7)


def _sip(start: str, sdp: bytes) -> bytes:
    head = (
        f"{start}\r\nVia: SIP/2.0/UDP 192.0.2.1;branch=z9hG4bKa\r\nFrom: <sip:a@192.0.2.1>;tag=1\r\n"
        f"To: <sip:b@192.0.2.2>;tag=2\r\nCall-ID: x\r\nCSeq: 1 INVITE\r\nContact: <sip:a@192.0.2.1>\r\n"
        f"Content-Type: application/sdp\r\nContent-Length: {len(sdp)}\r\n\r\n"
    )
    return head.encode() + sdp


def _media(row: bytes, source: Address, target: Address) -> list[Datagram]:
    at, datagrams = 1.0, []
    for _, time, octets in split(row)[1:]:
        at += fax.TIMES[time]
        datagrams.append(Datagram(at, source, target, octets))
    return datagrams


def _capture(*, signalled: bool, rows: int = 1000) -> bytes:
    caller, called = ("192.0.2.1", 20000), ("192.0.2.2", 20000)
    heard, said = fax.dialogue(1)
    datagrams = sorted(_media(heard, caller, called) + _media(said, called, caller), key=lambda one: one.at)[:rows]
    if signalled:
        offer = _session("192.0.2.1").offer_t38()
        answer = _session("192.0.2.2").answer(offer, want=MediaKind.ANY).sdp
        sip = (CALLER, ("192.0.2.2", 5060))
        datagrams.insert(0, Datagram(0.5, *sip, _sip("INVITE sip:b@192.0.2.2 SIP/2.0", offer)))
        datagrams.insert(1, Datagram(0.9, *sip[::-1], _sip("SIP/2.0 200 OK", answer)))
    return file_header() + b"".join(map(packet_record, datagrams))


def seeds() -> list[bytes]:
    """A fax with its SIP, one without, and the beginnings of others."""
    lone = packet_record(Datagram(1.0, ("2001:db8::1", 5060), CALLED, b"hello"))
    return [
        _capture(signalled=True),
        _capture(signalled=False),
        _capture(signalled=True, rows=40),
        file_header() + lone,
    ]


def run(data: bytes) -> None:
    """One file."""
    try:
        datagrams = list(CaptureReader(io.BytesIO(data)))
    except DecodeError:
        datagrams = []
    assert sum(len(one.payload) for one in datagrams) <= len(data), "more octets than the file has"
    for one in datagrams[:50]:
        (again,) = CaptureReader(io.BytesIO(file_header() + packet_record(one)))
        assert (again.source, again.target, again.payload) == (one.source, one.target, one.payload)
    try:
        calls, _ = read_capture(scratch.holding(data, ".pcap"))
    except DocumentError:
        return
    for call in calls[:2]:
        for called in (False, True):
            recording = recording_of(call, called=called, options=LegOptions())
            compare(recording, replay(recording))
