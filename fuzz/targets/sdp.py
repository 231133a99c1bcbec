"""Session descriptions, alone and as offers and answers.

Oracle    DecodeError or a description; it encodes to octets that decode to it; an answer to it is itself SDP with as
          many media; negotiation raises DecodeError and Unacceptable only.
"""

from contextlib import suppress
from typing import Final

from fuzz import vectors
from vfax.errors import DecodeError
from vfax.transports.parameters import T38Parameters
from vfax.transports.sip.negotiation import MediaKind, MediaSession, Unacceptable
from vfax.transports.sip.sdp import Description

RECORDS: Final = False
TOKENS: Final = (
    b"m=image 5000 udptl t38\r\n",
    b"m=audio 5000 RTP/AVP 0 8\r\n",
    b"c=IN IP4 192.0.2.1\r\n",
    b"c=IN IP6 ::ffff:1.2.3.4\r\n",
    b"a=T38FaxVersion:3\r\n",
    b"a=T38FaxMaxDatagram:400\r\n",
    b"a=T38FaxUdpEC:t38UDPFEC\r\n",
    b"a=sendonly\r\n",
    b"99999999999999",
)


def _session() -> MediaSession:
    return MediaSession(host="192.0.2.9", port=20000, parameters=T38Parameters(version=3), session_id=7)


def seeds() -> list[bytes]:
    """Our own offers, and the bodies of the torture messages."""
    bodies = [message.partition(b"\r\n\r\n")[2] for message in vectors.sip_messages()]
    return [_session().offer_t38(), _session().offer_audio(), *(body for body in bodies if body.startswith(b"v="))]


def run(data: bytes) -> None:
    """As a description, as an offer, and as the answer to both of our offers."""
    media = None
    with suppress(DecodeError):
        description = Description.decode(data)
        media = description.media
        assert Description.decode(description.encode()) == description
        for one in media:
            assert description.direction(one) in ("sendrecv", "sendonly", "recvonly", "inactive")
            assert description.host(one) != ""
            description.t38(one)
    called = _session()
    with suppress(DecodeError, Unacceptable):
        answer = called.answer(data, want=MediaKind.ANY)
        assert media is not None
        assert len(Description.decode(answer.sdp).media) == len(media), "an answer of another shape"
        with suppress(DecodeError, Unacceptable):
            Description.decode(called.answer(data, want=MediaKind.T38).sdp)
        Description.decode(called.refresh())
    for offer in (MediaSession.offer_t38, MediaSession.offer_audio):
        caller = _session()
        offer(caller)
        with suppress(DecodeError):
            caller.read_answer(data)
