"""The vocabulary of a leg: its options, its orders to SIP, what it is told and what it tells.

Owns      `LegOptions` and the values that go into and come out of `leg.Leg`.
Not here  what is done with them (leg.py).
"""

from dataclasses import dataclass, field
from enum import StrEnum

from vfax.outcome import Outcome
from vfax.t30 import values as t30
from vfax.t30.options import T30Options
from vfax.transports.parameters import AudioCodec, Dtls, DtlsTrouble, T38Parameters, TcpMedia
from vfax.transports.sip.secure import DtlsMedia
from vfax.transports.sip.values import Address
from vfax.transports.t38 import T38Options


class CallerOffer(StrEnum):
    """What a calling leg offers first."""

    T38 = "t38"
    AUDIO = "audio"


class SwitchBy(StrEnum):
    """Which side's re-INVITE makes an audio call a T.38 call, as far as it is for us to say."""

    EITHER = "either"  # ours when theirs has not come in time
    CALLED = "called"  # calling, theirs is waited for
    CALLER = "caller"  # called, theirs is waited for
    PEER = "peer"  # ours is never sent


class InternetAware(StrEnum):
    """When the unpaced transfer between internet-aware terminals (bit 123) is announced, or taken up."""

    AUTO = "auto"  # with a peer whose User-Agent or Server says vfax; calling, also with one that says nothing
    ALWAYS = "always"
    NEVER = "never"


class SwitchedBy(StrEnum):
    """Whose offer made a call a T.38 call."""

    NOBODY = ""
    CALL = "call"  # the INVITE, or the answer to it
    US = "us"
    PEER = "peer"


@dataclass(slots=True, kw_only=True)
class Opening:
    """How a call came to T.38, or did not: kept by the leg while it runs."""

    direct_refused: int = 0  # status that refused T.38 in our INVITE
    ours_refused: int = 0  # status that refused our re-INVITE
    dtls_refused: int = 0  # status that refused T.38 over DTLS, so that it was offered plain
    by: SwitchedBy = SwitchedBy.NOBODY
    after: float = 0.0  # seconds from the answer to T.38
    datagram_limit: int = 0  # octets of the largest datagram we may send; 0: T.38 runs over TCP, or not at all


@dataclass(frozen=True, slots=True, kw_only=True)
class LegOptions:
    """Policy and limits of one call; times in seconds."""

    t38: T38Parameters = field(default_factory=T38Parameters)
    line: T38Options = field(default_factory=T38Options)
    fax: T30Options = field(default_factory=T30Options)
    caller_offer: CallerOffer = CallerOffer.T38
    caller_retries_audio: bool = True  # a refused direct T.38 offer is dialled again with audio
    switch_by: SwitchBy = SwitchBy.EITHER
    audio_codecs: tuple[AudioCodec, ...] = (AudioCodec.PCMU, AudioCodec.PCMA)
    called_switch_after: float = 1.5  # called side: from the ACK to our re-INVITE, CED sounding
    caller_switch_after: float = 6.0  # calling side: how long their re-INVITE is awaited
    refused_grace: float = 10.0  # after a refused switch-over: a T.38 offer of theirs may still come
    audio_limit: float = 45.0  # Limit: audio without T.38, whatever happens
    answer_limit: float = 60.0  # T0: an INVITE nobody answers
    abort_limit: float = 0.9  # an aborted fax is over by then
    internet_aware: InternetAware = InternetAware.AUTO
    tcp: TcpMedia = TcpMedia.ACCEPT
    tcp_connect: float = 10.0  # how long its connection may take
    dtls: Dtls = Dtls.OFF
    learn_source: bool = False  # media may come from a host that the SDP does not name (NAT)
    relearn_after: float = 3.0  # of silence, before the one change of source may come in the middle of the call


# --- orders to the SIP agent ---------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class Invite:
    """Dial with this offer. Said again for a second try over audio: a new call of the agent."""

    sdp: bytes


@dataclass(frozen=True, slots=True)
class Answer:
    """200 with this SDP."""

    sdp: bytes


@dataclass(frozen=True, slots=True)
class Refuse:
    """Final refusal of the incoming call."""

    status: int


@dataclass(frozen=True, slots=True)
class Offer:
    """re-INVITE."""

    sdp: bytes


@dataclass(frozen=True, slots=True)
class AcceptOffer:
    """200 to their re-INVITE or UPDATE; `fork` is the branch of a call that is not answered yet."""

    sdp: bytes
    fork: str = ""


@dataclass(frozen=True, slots=True)
class RefuseOffer:
    """Refuse their re-INVITE or UPDATE; the session stays as it was."""

    status: int
    fork: str = ""


@dataclass(frozen=True, slots=True)
class Refresh:
    """re-INVITE with what runs, so that the session does not expire."""

    sdp: bytes


@dataclass(frozen=True, slots=True)
class HangUp:
    """BYE, CANCEL or a refusal, as the dialog's state asks. `reason` is a Reason value (RFC 3326) or plain text."""

    reason: str


SipOrder = Invite | Answer | Refuse | Offer | AcceptOffer | RefuseOffer | Refresh | HangUp


# --- orders to the leg ---------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class Dial:
    """Calling leg: begin."""


@dataclass(frozen=True, slots=True)
class Accept:
    """Called leg: answer now."""


@dataclass(frozen=True, slots=True)
class StreamLost:
    """The connection of T.38 over TCP was not made, was closed, or brought what cannot be read."""

    why: str


@dataclass(frozen=True, slots=True)
class DtlsUp:
    """The DTLS association is made, with `remote`, who has proved with `fingerprint` who it is."""

    remote: Address
    version: str
    cipher: str
    fingerprint: str


@dataclass(frozen=True, slots=True)
class DtlsFailed:
    """The DTLS association was not made."""

    trouble: DtlsTrouble
    why: str


LegOrder = (
    Dial
    | Accept
    | StreamLost
    | DtlsUp
    | DtlsFailed
    | t30.PageCoded
    | t30.PageUnavailable
    | t30.PageKept
    | t30.PageLost
    | t30.Abort
    | t30.LineDown
)


# --- events --------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class Rang:
    """The other side rings."""


@dataclass(frozen=True, slots=True)
class CallUp:
    """The call is answered; `media` is what it began with, in a word."""

    media: str


@dataclass(frozen=True, slots=True)
class Switched:
    """T.38 runs with these merged parameters towards `remote`."""

    remote: Address
    parameters: T38Parameters


@dataclass(frozen=True, slots=True)
class SwitchRefused:
    """The other side refused our offer of T.38; the call goes on for a while, in case it offers T.38 itself."""

    status: int
    reason: str


@dataclass(frozen=True, slots=True)
class StreamOffered:
    """T.38 over TCP is about to be offered: listen on the media port before the offer leaves."""


@dataclass(frozen=True, slots=True)
class StreamAgreed:
    """T.38 runs over TCP: connect to `remote`, or let it connect to the media port. Said once a call.

    What the stream brings goes to `Leg.read_stream`; datagrams of the leg to `remote` are the stream's octets.
    """

    remote: Address
    connect: bool
    within: float  # seconds for the connection to be made
    anyone: bool  # may connect, not the host of `remote` alone


@dataclass(frozen=True, slots=True)
class DtlsOffered:
    """T.38 is about to be offered over DTLS; where that is `required`, not without."""

    required: bool


@dataclass(frozen=True, slots=True)
class DtlsRefused:
    """The other side refused T.38 over DTLS; it is offered without next."""

    status: int
    reason: str


@dataclass(frozen=True, slots=True)
class DtlsAgreed:
    """T.38 is to run over DTLS: make the association with `remote`, then say DtlsUp or DtlsFailed. Said once a call.

    `anyone` who shows the right certificate will do, not the host of `remote` alone.
    """

    remote: Address
    dtls: DtlsMedia
    anyone: bool


@dataclass(frozen=True, slots=True)
class Finished:
    """The leg is done; the orders taken with this event release the dialog."""

    outcome: Outcome


DtlsEvent = DtlsOffered | DtlsRefused | DtlsAgreed | DtlsUp | DtlsFailed

LegEvent = t30.Event | Rang | CallUp | Switched | SwitchRefused | StreamOffered | StreamAgreed | DtlsEvent | Finished
