"""Offer and answer of one dialog: which media runs, where to, with which T.38 parameters.

Owns      our side of the session: its slots, its versions, what is offered, accepted, declined and restored.
Not here  SDP syntax (sdp.py); which line is taken (choosing.py); merged attributes (merging.py); DTLS associations
          (secure.py); when to offer what (leg.py); the messages that carry it (agent.py).
Source    RFC 3264; T.38 (09/2010) Annex D; RFC 4145 for T.38 over TCP; RFC 7345 and 8842 for UDPTL over DTLS.

One port serves audio and image, over DTLS too, so a switch-over changes no socket; T.38 over TCP has the same number in
TCP. A slot (m= line) is never deleted or moved by us; a peer that does so is followed.
"""

from collections.abc import Sequence
from copy import copy
from dataclasses import dataclass, replace
from typing import Final

from vfax.errors import FaxError, MisuseError
from vfax.transports.parameters import AudioCodec, Dtls, T38Parameters, TcpMedia, Transport
from vfax.transports.sip.choosing import (
    BOTH,
    G711,
    PCMA,
    PCMU,
    MediaKind,
    Wanted,
    candidates,
    find_answer,
    g711,
    is_answer_to,
    offers,
    secure_objection,
)
from vfax.transports.sip.merging import answered, for_stream, merge
from vfax.transports.sip.sdp import (
    DEFAULT_LIMITS,
    Description,
    Line,
    Media,
    SdpLimits,
    Setup,
    format_connection,
    format_t38,
    parse_host,
    setup_of,
)
from vfax.transports.sip.secure import DtlsMedia, DtlsSide, associated, is_another, unfit, with_setup
from vfax.transports.sip.values import Address

__all__ = [
    "PCMA",
    "PCMU",
    "AgreedMedia",
    "Answer",
    "AudioMedia",
    "Declined",
    "MediaKind",
    "MediaSession",
    "T38Media",
    "Unacceptable",
    "Wanted",
    "offers",
]

NOT_ACCEPTABLE_HERE: Final = 488


class Unacceptable(FaxError):
    """Nothing in the peer's offer fits: refuse it with `status`; the session stays as it was."""

    def __init__(self, status: int, why: str) -> None:
        super().__init__(why)
        self.status = status
        self.why = why


@dataclass(frozen=True, slots=True)
class T38Media:
    """T.38 over UDPTL to `remote`, or over TCP: then we connect to `remote`, or (not `connect`) wait for it.

    `parameters` are merged: what both ends can do; `max_datagram` and `max_buffer` are the peer's own limits.
    When `held` (c=0.0.0.0) nothing may be sent and the port of `remote` is 0. `dtls`: UDPTL goes through it.
    """

    remote: Address
    parameters: T38Parameters
    held: bool = False
    connect: bool = False
    dtls: DtlsMedia | None = None


@dataclass(frozen=True, slots=True)
class AudioMedia:
    """G.711 over RTP to `remote`. When `held` nothing may be sent; after c=0.0.0.0 the port of `remote` is 0 too."""

    remote: Address
    payload_type: int
    held: bool = False


@dataclass(frozen=True, slots=True)
class Declined:
    """No media runs: the peer switched every stream off, or declined the one we offered."""

    why: str


AgreedMedia = T38Media | AudioMedia | Declined


@dataclass(frozen=True, slots=True)
class Answer:
    """Our answer and what it agrees to."""

    sdp: bytes
    media: AgreedMedia


@dataclass(frozen=True, slots=True)
class _Slot:
    """One m= line position; `formats` is what its next m= line will say."""

    kind: str
    proto: str
    formats: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class _Session:
    """Our half of the session as last said. `live` is the slot that carries the media, -1 for none."""

    slots: tuple[_Slot, ...] = ()
    live: int = -1
    sdp: bytes = b""
    lines: tuple[Line, ...] = ()
    media: AgreedMedia = Declined("nothing was negotiated")


IMAGE_SLOT: Final = _Slot("image", "udptl", ("t38",))
TCP_SLOT: Final = _Slot("image", "TCP", ("t38",))
DTLS_SLOT: Final = _Slot("image", Transport.DTLS, ("t38",))
MIRRORED: Final[dict[str, str]] = {"sendonly": "recvonly", "recvonly": "sendonly", "inactive": "inactive"}
"""How the answer writes the direction of the offer (RFC 3264 6.1); sendrecv needs no word."""

DISCARD: Final = 9
"""The port that whoever connects names for himself (RFC 4145 4.1)."""

ANSWERED_SETUP: Final = {
    Setup.ACTIVE: Setup.PASSIVE,
    Setup.PASSIVE: Setup.ACTIVE,
    Setup.ACTPASS: Setup.ACTIVE,
    None: Setup.PASSIVE,  # the offer's default is active
}


class MediaSession:
    """Offers, answers and the state between them, for one dialog.

    `host` is the numeric address the peer shall send to, `port` the one UDP port for audio and image alike (and of
    TCP, as far as `tcp` has us use that). `codecs` are those of audio, the best first; `dtls` is our side of UDPTL
    over DTLS, without it there is none.
    Nothing here raises for what a peer wrote but DecodeError and Unacceptable; then the state is as it was.
    """

    def __init__(
        self,
        *,
        host: str,
        port: int,
        parameters: T38Parameters,
        session_id: int,
        username: str = "vfax",
        explicit_flags: bool = False,
        limits: SdpLimits = DEFAULT_LIMITS,
        tcp: TcpMedia = TcpMedia.OFF,
        codecs: Sequence[AudioCodec] = BOTH,
        dtls: DtlsSide | None = None,
    ) -> None:
        own = parse_host(host)
        if own is None or not 0 < port < 65536:
            raise MisuseError(f"media address {host!r} port {port}: a numeric unicast address and a port are needed")
        self._host = own
        self._port = port
        self._parameters = parameters
        self._session_id = session_id
        self._username = "".join(username.split()) or "-"
        self._explicit_flags = explicit_flags
        self._dtls = dtls
        self._wanted = Wanted(tcp, Dtls.OFF if dtls is None else dtls.policy, tuple(codecs))
        self._offers_dtls = self._wanted.dtls in (Dtls.OPPORTUNISTIC, Dtls.REQUIRED)
        self._limits = limits
        self._version = 0
        self._now = _Session()
        self._audio_slot = _Slot("audio", "RTP/AVP", tuple(str(one) for one in self._wanted.payload_types))
        self._ran_last = self._audio_slot  # what refresh() offers when nothing runs
        self._before: _Session | None = None  # what revert() restores while an offer of ours is open

    @property
    def media(self) -> AgreedMedia:
        """What the last completed exchange agreed; an open offer changes nothing yet."""
        return (self._before or self._now).media

    @property
    def offers_stream(self) -> bool:
        """Whether an offer of T.38 is one of T.38 over TCP: then its port has to be listened on."""
        return self._wanted.tcp is TcpMedia.OFFER and not self._offers_dtls

    @property
    def offers_dtls(self) -> bool:
        """Whether an offer of T.38 is one of UDPTL over DTLS."""
        return self._offers_dtls

    @property
    def needs_dtls(self) -> bool:
        """Whether T.38 may run over DTLS alone."""
        return self._wanted.dtls is Dtls.REQUIRED

    def give_way(self) -> bool:
        """Our offer with DTLS was refused: may T.38 be offered once more, and without? From here on it is so offered.

        Nobody deploys SDP's negotiation of capabilities (RFC 5939), so trying is all there is.
        """
        plain = self._offers_dtls and not self.needs_dtls
        self._offers_dtls = self._offers_dtls and not plain
        return plain

    def branch(self) -> "MediaSession":
        """The same as it stands, to go on by itself: one offer of ours may be answered by several sides."""
        return copy(self)

    # --- our offers -------------------------------------------------------------------------------

    def offer_t38(self) -> bytes:
        """An offer of T.38: the image line alone at first, else every other slot of the dialog with port 0."""
        return self._offer(DTLS_SLOT if self._offers_dtls else TCP_SLOT if self.offers_stream else IMAGE_SLOT)

    def offer_audio(self) -> bytes:
        """An offer of G.711, any image slot of the dialog with port 0."""
        return self._offer(self._audio_slot)

    def refresh(self) -> bytes:
        """The current session once more, octet for octet with the same version (session refresh, late offer).

        Where nothing runs it is a new offer: of what ran last, of audio when nothing ever did.
        Quirk: some peers answer a refresh from a stale cache; a Declined then leaves `media` alone: ignore it too.
        """
        self.revert()
        if self._now.live < 0:
            return self._offer(self._ran_last)
        before = self._now
        if NEW_CONNECTION in before.lines:  # said again it would ask for another one (RFC 4145 5)
            lines = [KEPT_CONNECTION if line == NEW_CONNECTION else line for line in before.lines]
            self._write(before.slots, before.live, lines)
        elif before.slots[before.live].proto.upper() == DTLS_SLOT.proto:  # offers never say who begins (RFC 8842 5.5)
            self._write(before.slots, before.live, with_setup(before.lines, Setup.ACTPASS))
        self._before = before
        return self._now.sdp

    def revert(self) -> None:
        """Our open offer was refused: the whole session is again what it was before. Without one: no effect.

        Version numbers already spent are not used again, so no two different SDPs ever share one.
        """
        if self._before is not None:
            self._now, self._before = self._before, None

    def _offer(self, wanted: _Slot) -> bytes:
        """A new offer replaces an open one; the slot of the wanted kind is used again where it is."""
        self.revert()
        before = self._now
        slots = list(before.slots)
        live = next((i for i, slot in enumerate(slots) if slot.kind.lower() == wanted.kind), len(slots))
        slots[live : live + 1] = [wanted]
        self._say(slots, live, self._offered_lines(wanted))
        self._before = before
        return self._now.sdp

    def _offered_lines(self, wanted: _Slot) -> Sequence[Line]:
        if wanted.kind == self._audio_slot.kind:
            return _audio_lines(self._wanted.payload_types)
        if wanted.proto == TCP_SLOT.proto:
            return (*self._image_lines(for_stream(self._parameters)), _setup_line(Setup.ACTPASS), NEW_CONNECTION)
        said = self._image_lines(self._parameters)
        if wanted.proto == DTLS_SLOT.proto and self._dtls is not None:
            said = (*said, *self._dtls.lines(Setup.ACTPASS))
        return said

    # --- the peer's offers ------------------------------------------------------------------------

    def answer(self, offer: bytes, *, want: MediaKind) -> Answer:
        """Accept one stream of `offer`, decline the others by port 0; as many m= lines as the offer has.

        `want` ANY takes T.38 where it is offered, else audio. An offer that switches every stream off is answered
        alike and agrees to Declined, once media had been running. An open offer of ours gives way (glare).
        Raises DecodeError for what is no SDP, Unacceptable when no stream fits.
        """
        sdp = Description.decode(offer, self._limits)
        for index in self._usable(sdp, want):
            if self._remote(sdp, sdp.media[index]) is not None:
                return self._accept(sdp, index)
        current = self._before or self._now
        if current.slots and sdp.media and all(media.port == 0 for media in sdp.media):
            return self._answer(_mirror(sdp), -1, (), Declined("the peer switched every stream off"))
        raise Unacceptable(NOT_ACCEPTABLE_HERE, self._objection(sdp, want))

    def _usable(self, sdp: Description, want: MediaKind) -> list[int]:
        """The lines we could accept now."""
        return [i for i in candidates(sdp, want, self._wanted) if self._may_follow(sdp, sdp.media[i])]

    def _may_follow(self, sdp: Description, media: Media) -> bool:
        """Limit: T.38 that runs stays on UDPTL, TCP or DTLS, as it began, and on its DTLS association.

        Another association would want another port of ours or theirs (RFC 8842 5.1), in the middle of a page.
        """
        current = self.media
        if not isinstance(current, T38Media) or media.is_audio:
            return True
        if current.dtls is None or not media.is_dtls_t38:
            stream = current.parameters.transport is Transport.TCP
            return current.dtls is None and not media.is_dtls_t38 and media.is_tcp_t38 is stream
        remote = self._remote(sdp, media)
        moved = not current.held and remote is not None and remote[1] != 0 and remote != current.remote
        return not moved and not is_another(current.dtls, sdp, media)

    def _accept(self, sdp: Description, index: int) -> Answer:
        media = sdp.media[index]
        slots = _mirror(sdp)
        if not media.is_audio:
            slots[index] = replace(slots[index], formats=media.formats or IMAGE_SLOT.formats)
            theirs = sdp.t38(media)
            said = self._image_lines(answered(self._parameters, theirs))
            agreed = self._t38(sdp, media, theirs, offered_by_us=False)
            if media.is_tcp_t38:
                said = (*said, _setup_line(ANSWERED_SETUP[media.setup]), self._connection())
            elif agreed.dtls is not None and self._dtls is not None:
                setup = Setup.ACTIVE if agreed.dtls.active else Setup.PASSIVE
                said = (*said, *self._dtls.lines(setup, tls_id=bool(agreed.dtls.tls_id)))
            return self._answer(slots, index, said, agreed)
        audio = self._audio(sdp, media)
        slots[index] = replace(slots[index], formats=(str(audio.payload_type),))
        direction = MIRRORED.get(sdp.direction(media), "sendrecv")
        return self._answer(slots, index, _audio_lines((audio.payload_type,), direction), audio)

    def _answer(self, slots: Sequence[_Slot], live: int, lines: Sequence[Line], media: AgreedMedia) -> Answer:
        self.revert()
        self._say(slots, live, lines)
        self._agreed(media)
        return Answer(self._now.sdp, media)

    def _objection(self, sdp: Description, want: MediaKind) -> str:
        """Why nothing fits, for people."""
        if not sdp.media:
            return "the offer has no media"
        found = candidates(sdp, want, self._wanted)
        if found and not any(self._may_follow(sdp, sdp.media[index]) for index in found):
            return "the fax stays with the connection and the DTLS association that it began with"
        if found:
            return f"the offer names no address that {self._host} can reach"
        if candidates(sdp, MediaKind.ANY, self._wanted):
            return f"the offer has no {'T.38' if want is MediaKind.T38 else 'audio'}"
        if why := secure_objection(sdp, self._wanted):
            return why
        lines = ", ".join(f"{m.kind} {m.port} {m.proto} {' '.join(m.formats[:4])}".strip() for m in sdp.media[:4])
        return f"neither T.38 over UDPTL nor G.711 over RTP is offered ({lines})"

    # --- the peer's answers -----------------------------------------------------------------------

    def read_answer(self, sdp: bytes) -> AgreedMedia:
        """What the peer's answer to our last offer (or refresh) agrees to; our offer is settled by it.

        For the final answer only: provisional ones decide nothing. The stream is looked up by its slot, then by its
        kind; surplus and missing m= lines do no harm. Raises DecodeError for what is no SDP (the offer stays open).
        """
        if not self._now.slots:
            raise MisuseError("an answer was read before anything was offered")
        media = self._agree(Description.decode(sdp, self._limits))
        refreshed, self._before = self._before is self._now, None
        if not isinstance(media, Declined):
            self._agreed(media)
        elif not refreshed:
            self._now = replace(self._now, media=media, live=-1)
        return media

    def _agreed(self, media: AgreedMedia) -> None:
        self._now = replace(self._now, media=media)
        if not isinstance(media, Declined):
            fax = DTLS_SLOT if isinstance(media, T38Media) and media.dtls is not None else IMAGE_SLOT
            self._ran_last = self._audio_slot if isinstance(media, AudioMedia) else fax

    def _agree(self, sdp: Description) -> AgreedMedia:
        if self._now.live < 0:
            return Declined("no stream was offered")
        kind = self._now.slots[self._now.live].kind.lower()
        wants_audio = kind == "audio"
        media = find_answer(sdp.media, self._now.live, kind)
        if media is None or media.port == 0:
            return Declined(f"the peer declined the {'audio' if wants_audio else 'T.38'} stream")
        if wants_audio and g711(media, self._wanted) is None:
            return Declined("the peer's answer names no G.711 payload type")
        proto = self._now.slots[self._now.live].proto
        if not wants_audio and not is_answer_to(proto, media):
            return Declined(f"the peer answered T.38 ({proto}) with {media.proto} {' '.join(media.formats[:4])}")
        if media.is_dtls_t38 and (why := unfit(sdp, media)):
            return Declined(f"the peer's answer cannot be used: {why}")
        if media.is_dtls_t38 and not self._may_follow(sdp, media):
            return Declined("the peer's answer is for another DTLS association than the one that runs")
        if self._remote(sdp, media) is None:
            return Declined(f"the peer's answer names no address that {self._host} can reach")
        return self._audio(sdp, media) if wants_audio else self._t38(sdp, media, sdp.t38(media), offered_by_us=True)

    # --- shared -----------------------------------------------------------------------------------

    def _remote(self, sdp: Description, media: Media) -> Address | None:
        """Where to send; port 0 stands for "on hold" (c=0.0.0.0, RFC 3264 8.4). None when we cannot reach it."""
        host = sdp.host(media)
        if host is None or (":" in host) != (":" in self._host):
            return None
        return host, 0 if host in ("0.0.0.0", "::") else media.port

    def _t38(self, sdp: Description, media: Media, theirs: T38Parameters, *, offered_by_us: bool) -> T38Media:
        remote = self._remote(sdp, media) or (self._host, 0)
        if theirs.transport is not Transport.TCP:
            merged = merge(self._parameters, theirs, offered_by_us=offered_by_us)
            dtls = self._association(sdp, media, offered_by_us) if media.is_dtls_t38 else None
            return T38Media(remote, merged, held=remote[1] == 0, dtls=dtls)
        merged = merge(for_stream(self._parameters), theirs, offered_by_us=offered_by_us)
        # An answer is to say who connects; one that does not has left it to us, as had we.
        connect = media.setup is not Setup.ACTIVE if offered_by_us else ANSWERED_SETUP[media.setup] is Setup.ACTIVE
        return T38Media(remote, merged, held=remote[1] == 0, connect=connect)

    def _association(self, sdp: Description, media: Media, offered_by_us: bool) -> DtlsMedia | None:
        """The association of a line: the one that runs, else a new one."""
        current = self.media
        if self._dtls is None or (isinstance(current, T38Media) and current.dtls is not None):
            return current.dtls if isinstance(current, T38Media) else None
        setup = setup_of(sdp, media)
        # As over TCP: an answer that does not say who begins has left it to us.
        active = setup is not Setup.ACTIVE if offered_by_us else self._dtls.answered_setup(setup) is Setup.ACTIVE
        return associated(sdp, media, active=active)

    def _connection(self) -> Line:
        """a=connection of an answer. Limit: a connection that carries T.38 is kept, whatever a new offer says."""
        current = self.media
        kept = isinstance(current, T38Media) and current.parameters.transport is Transport.TCP
        return KEPT_CONNECTION if kept else NEW_CONNECTION

    def _audio(self, sdp: Description, media: Media) -> AudioMedia:
        remote = self._remote(sdp, media) or (self._host, 0)
        held = remote[1] == 0 or sdp.direction(media) in ("sendonly", "inactive")
        return AudioMedia(remote, g711(media, self._wanted) or PCMU, held=held)

    def _say(self, slots: Sequence[_Slot], live: int, media_lines: Sequence[Line]) -> None:
        """Make this our half of the session; equal content keeps its version, new content gets a new one."""
        lines: list[Line] = []
        for index, slot in enumerate(slots):
            port = self._live_port(slot, media_lines) if index == live else 0
            lines.append(("m", f"{slot.kind} {port} {slot.proto} {' '.join(slot.formats)}"))
            if index == live:
                lines.extend(media_lines)
        self._write(slots, live, lines)

    def _live_port(self, slot: _Slot, media_lines: Sequence[Line]) -> int:
        connects = slot.proto.lower() == Transport.TCP and _setup_line(Setup.ACTIVE) in media_lines
        return DISCARD if connects else self._port

    def _write(self, slots: Sequence[_Slot], live: int, lines: Sequence[Line]) -> None:
        said = tuple(lines)
        sdp = self._now.sdp
        if said != self._now.lines or not sdp:
            self._version += 1
            sdp = Description((*self._head(), *said), ()).encode()
        self._now = _Session(tuple(slots), live, sdp, said, self._now.media)

    def _head(self) -> tuple[Line, ...]:
        connection = format_connection(self._host)
        origin = f"{self._username} {self._session_id} {self._version} {connection}"
        return (("v", "0"), ("o", origin), ("s", "-"), ("c", connection), ("t", "0 0"))

    def _image_lines(self, parameters: T38Parameters) -> tuple[Line, ...]:
        return format_t38(parameters, explicit_flags=self._explicit_flags)


def _setup_line(setup: Setup) -> Line:
    return "a", f"setup:{setup.value}"


NEW_CONNECTION: Final[Line] = ("a", "connection:new")
KEPT_CONNECTION: Final[Line] = ("a", "connection:existing")


def _audio_lines(payload_types: Sequence[int], direction: str = "sendrecv") -> tuple[Line, ...]:
    """Fax audio: 20 ms packets and no silence suppression (RFC 3108 5.6.4's attribute, which gateways know)."""
    maps = [f"rtpmap:{one} {G711[one]}" for one in payload_types]
    return tuple(("a", text) for text in (*maps, "ptime:20", "silenceSupp:off - - - -", direction))


def _mirror(sdp: Description) -> list[_Slot]:
    """The offer's slots as our answer will decline them: one format is enough (RFC 8866 5.14 wants one)."""
    return [_Slot(media.kind, media.proto, media.formats[:1] or ("0",)) for media in sdp.media]
