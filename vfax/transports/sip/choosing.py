"""Which line of an SDP we take up: kinds of media, those we want, the best of what is there.

Owns      the order of preference among a peer's lines, the line that answers ours, why nothing fits where DTLS is why.
Not here  syntax (sdp.py), the state between offers and answers (negotiation.py).
Source    RFC 3264; T.38 (09/2010) Annex D; RFC 3551 for static payload types.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from enum import Flag
from typing import Final

from vfax.transports.parameters import AudioCodec, Dtls, TcpMedia, Transport
from vfax.transports.sip.sdp import DEFAULT_LIMITS, Description, Media, SdpLimits, Setup, number
from vfax.transports.sip.secure import unfit

PCMU: Final = 0
PCMA: Final = 8
G711: Final[dict[int, str]] = {PCMU: "PCMU/8000", PCMA: "PCMA/8000"}
"""Static payload types of RFC 3551 that we can send."""
PAYLOAD_TYPES: Final = {AudioCodec.PCMU: PCMU, AudioCodec.PCMA: PCMA}
BOTH: Final = (AudioCodec.PCMU, AudioCodec.PCMA)


class MediaKind(Flag):
    """Kinds of media in an SDP, or wanted in an answer."""

    NONE = 0
    AUDIO = 1
    T38 = 2
    ANY = AUDIO | T38


@dataclass(frozen=True, slots=True)
class Wanted:
    """What we take up: the roads of T.38, of which UDPTL is one unless DTLS is required, and the codecs of audio."""

    tcp: TcpMedia = TcpMedia.OFF
    dtls: Dtls = Dtls.OFF
    codecs: tuple[AudioCodec, ...] = BOTH

    @property
    def payload_types(self) -> tuple[int, ...]:
        """The codecs as RTP numbers them, the best first."""
        return tuple(PAYLOAD_TYPES[codec] for codec in self.codecs)


USUAL: Final = Wanted()


def offers(sdp: bytes, limits: SdpLimits = DEFAULT_LIMITS, *, wanted: Wanted = USUAL) -> MediaKind:
    """What an SDP offers that we could take up; NONE for no SDP at all. Raises DecodeError for what is no SDP."""
    if not sdp:
        return MediaKind.NONE
    description = Description.decode(sdp, limits)
    found = MediaKind.NONE
    for kind in (MediaKind.AUDIO, MediaKind.T38):
        if candidates(description, kind, wanted):
            found |= kind
    return found


def objection_to(offer: bytes, wanted: Wanted) -> str:
    """Why nothing in an offer is for us; empty when something is, or when it is none. Raises DecodeError as above."""
    if not offer or offers(offer, wanted=wanted) is not MediaKind.NONE:
        return ""
    return secure_objection(Description.decode(offer), wanted) or "the offer has neither T.38 nor G.711"


def candidates(sdp: Description, want: MediaKind, wanted: Wanted) -> list[int]:
    """Indexes of the lines we could accept, the best first.

    T.38 over DTLS, as it should be, written oddly, over TCP, audio.
    """
    live = [(index, media) for index, media in enumerate(sdp.media) if media.port]
    found: list[int] = []
    if MediaKind.T38 in want and wanted.dtls is not Dtls.OFF:
        found += [index for index, media in live if media.is_dtls_t38 and not unfit(sdp, media)]
    if MediaKind.T38 in want and wanted.dtls is not Dtls.REQUIRED:
        found += [index for index, media in live if media.is_udptl]
        found += [index for index, media in live if media.is_odd_t38]
        if wanted.tcp is not TcpMedia.OFF:
            found += [i for i, media in live if media.is_tcp_t38 and media.setup is not Setup.HOLDCONN]
    if MediaKind.AUDIO in want:
        found += [index for index, media in live if media.is_audio and g711(media, wanted) is not None]
    return found


def secure_objection(sdp: Description, wanted: Wanted) -> str:
    """Why an offer has nothing for us, where DTLS is the matter; empty otherwise."""
    live = [media for media in sdp.media if media.port]
    secure = [media for media in live if media.is_dtls_t38]
    if secure and wanted.dtls is Dtls.OFF:
        return 'T.38 is offered over DTLS alone (UDP/TLS/UDPTL), and dtls = "off" declines that'
    if secure:
        return f"T.38 over DTLS is offered and cannot be taken: {unfit(sdp, secure[0])}"
    if wanted.dtls is Dtls.REQUIRED and any(media.is_udptl or media.is_odd_t38 or media.is_tcp_t38 for media in live):
        return 'T.38 is offered without encryption, and dtls = "required" asks for DTLS (UDP/TLS/UDPTL)'
    return ""


def g711(media: Media, wanted: Wanted = USUAL) -> int | None:
    """The peer's first payload type that we want. Limit: static numbers only; they mean nothing else (RFC 3551)."""
    for text in media.formats:
        payload_type = number(text)
        if payload_type in wanted.payload_types:
            return payload_type
    return None


def find_answer(lines: Sequence[Media], index: int, kind: str) -> Media | None:
    """The answer's line for our slot: at its place when the kind is right there, else the first live one of the kind.

    An odd T.38 line may come under another kind than we offered, but only at its place.
    """
    if index < len(lines) and (lines[index].kind.lower() == kind or (kind == "image" and lines[index].is_odd_t38)):
        return lines[index]
    return next((media for media in lines if media.kind.lower() == kind and media.port), None)


def is_answer_to(proto: str, media: Media) -> bool:
    """Whether a line answers our image line with `proto`."""
    if proto.upper() == Transport.DTLS:
        return media.is_dtls_t38
    return media.is_tcp_t38 if proto.lower() == Transport.TCP else media.is_udptl or media.is_odd_t38
