"""Recordings out of captures: the T.38 calls of a pcap or pcapng file, each end of them to be replayed.

Owns      finding the calls (by their SDP, else by what looks like UDPTL), which end called, what each end said.
Not here  the file's format (pcap.py), running a recording (replay.py).

A capture does not tell the options of an end: they are given, and what the end said of itself (its identity, ECM) is
taken from its frames. Nor does it tell what the end knew and when: only what it said is compared.
"""

from collections.abc import Iterable
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Final

from vfax.codecs.dis import Resolution, decode_dcs
from vfax.codecs.frames import Fcf, Frame, decode_identity
from vfax.errors import DecodeError, DocumentError, FaxError
from vfax.leg_values import LegOptions
from vfax.pcap import CaptureReader, Datagram
from vfax.recordings import MAX_DATAGRAMS, MAX_OCTETS
from vfax.replay import Arrived, Recording, Replayed, Seen, Step, Switched, Told, replay
from vfax.signals import FrameReceived, Modem
from vfax.t30 import values as t30
from vfax.t30.coding import code_page
from vfax.transports.parameters import T38Parameters
from vfax.transports.rtp import looks_like_rtp
from vfax.transports.sip.merging import merge
from vfax.transports.sip.message import MessageError, Request, Response, parse_datagram
from vfax.transports.sip.options import SipOptions
from vfax.transports.sip.sdp import Description
from vfax.transports.sip.values import Address
from vfax.transports.t38 import T38Line

MAX_CALLS: Final = 50
"""Limit: calls of one capture that are looked at."""

MAX_MESSAGES: Final = 20_000
"""Limit: SIP messages of one capture that are read."""

LIKELY: Final = 5
"""UDPTL datagrams in a row that make two addresses a T.38 call where no SDP tells."""

_SIP: Final = SipOptions()
_STANDARD: Final = Resolution.STANDARD


@dataclass(frozen=True, slots=True, kw_only=True)
class CapturedCall:
    """One T.38 call of a capture. `caller` and `called` are the two ends of its media; times are of the capture."""

    caller: Address
    called: Address
    began: float
    caller_says: T38Parameters
    called_says: T38Parameters
    offered_by_caller: bool = True
    peer_agent: str = ""
    hung_up: tuple[float, bool] | None = None  # when, and whether by the caller
    datagrams: tuple[Datagram, ...] = ()

    @property
    def title(self) -> str:
        """Who with whom."""
        return f"{self.caller[0]}:{self.caller[1]} calls {self.called[0]}:{self.called[1]}"


def read_capture(path: Path) -> tuple[list[CapturedCall], str]:
    """The T.38 calls of a capture, and a sentence about what was left out of it (or nothing).

    Raises DocumentError for a file that is no capture or holds no such call, naming it.
    """
    try:
        with path.open("rb") as file:
            reader = CaptureReader(file)
            sip, media = _sorted(reader)
    except OSError as why:
        raise DocumentError(f"{path}: cannot read the capture: {why.strerror or why}") from why
    except DecodeError as why:
        raise DocumentError(f"{path}: {why.what}") from why
    calls = _Signalling(sip).calls() or _guessed(media)
    found, more = _within_limit(calls, media)
    if not found:
        raise DocumentError(f"{path}: no T.38 over UDPTL in this capture")
    skipped = reader.skipped
    notes = []
    if skipped.fragments:
        notes.append(f"{skipped.fragments} fragments of IP were left out")
    if skipped.cut:
        notes.append("the capture ends in the middle, or was too long to read whole")
    if more:
        notes.append(f"only its first {len(found)} calls are looked at")
    return found, "; ".join(notes)


def _within_limit(calls: list[CapturedCall], media: list[Datagram]) -> tuple[list[CapturedCall], bool]:
    """The calls that have T.38, and whether more are left out: many may lay claim to the same datagrams."""
    found: list[CapturedCall] = []
    total = 0
    for call in (_with_media(call, media) for call in calls):
        total += len(call.datagrams)
        if found and (total > MAX_DATAGRAMS or len(found) == MAX_CALLS):
            return found, True
        if call.datagrams:
            found.append(call)
    return found, False


def recording_of(call: CapturedCall, *, called: bool, options: LegOptions) -> Recording:
    """One end's recording. A calling end is given the pages that a replay of the called end receives."""
    ours, theirs = (call.called, call.caller) if called else (call.caller, call.called)
    our_says, their_says = (call.called_says, call.caller_says) if called else (call.caller_says, call.called_says)
    parameters = merge(our_says, their_says, offered_by_us=called is not call.offered_by_caller)
    heard = [one for one in call.datagrams if one.target == ours and one.source[0] == theirs[0]]
    said = [one for one in call.datagrams if one.source[0] == ours[0] and one.target == theirs]
    frames = _spoken(said, parameters, call.began)
    steps: list[Step] = [Switched(0.0, parameters)]
    document = None
    if not called:
        document, answers = _pages(call, options)
        steps += answers
    steps += [Arrived(max(0.0, one.at - call.began), one.payload) for one in heard]
    if call.hung_up is not None and call.hung_up[1] is called:
        steps.append(Told(max(0.0, call.hung_up[0] - call.began), "line-down", why="peer-hung-up"))
    return Recording(
        options=_as_it_said(options, frames),
        called=called,
        steps=(steps[0], *sorted(steps[1:], key=lambda step: step.at)),
        document=document,
        peer_agent=call.peer_agent,
        frames=tuple(frames),
        pages=None,
        only_said=True,
    )


def _pages(call: CapturedCall, options: LegOptions) -> tuple[t30.SendDocument, list[Step]]:
    """What the caller sent, as the engine of today receives it; sizes of pages it cannot code stay unknown."""
    heard: Replayed = replay(recording_of(call, called=True, options=options), keep_pages=True)
    infos: list[t30.PageInfo] = []
    answers: list[Step] = []
    for page in heard.received:
        infos.append(t30.PageInfo(page.width_px, page.rows, page.agreement.resolution))
        try:
            data = code_page(page.raster, page.width_px, page.rows, page.agreement.resolution, page.agreement)
        except FaxError:
            continue
        answers.append(Told(0.0, "coded", page.number, octets=len(data)))
    return t30.SendDocument(tuple(infos) or (t30.PageInfo(1728, 1100, _STANDARD),)), answers


# --- what an end said ----------------------------------------------------------------------------


def _spoken(datagrams: Iterable[Datagram], parameters: T38Parameters, began: float) -> list[Seen]:
    """The V.21 frames of one direction, as a line of ours hears them."""
    line = T38Line(parameters, now=0.0)
    frames: list[Seen] = []
    for one in datagrams:
        now = max(0.0, one.at - began)
        # Once is enough to end a burst: a capture may claim years between two datagrams, each full of our keep-alives.
        if line.next_timeout() < now:
            line.handle_timeout(now)
        line.receive(one.payload, now)
        line.take_output()
        for signal in line.take_signals():
            if isinstance(signal, FrameReceived) and signal.modem is Modem.V21:
                frames.append(Seen(now, True, _name(signal.octets), signal.octets))
    return frames


def _name(octets: bytes) -> str:
    try:
        return Frame.decode(octets).fcf.title
    except DecodeError:
        return "?"


def _as_it_said(options: LegOptions, frames: Iterable[Seen]) -> LegOptions:
    """The options, with the identity and the ECM that the end's own frames tell of."""
    fax = options.fax
    for seen in frames:
        try:
            frame = Frame.decode(seen.octets)
            if frame.fcf in (Fcf.CSI, Fcf.TSI, Fcf.CIG):
                fax = replace(fax, local_id=decode_identity(frame.info))
            elif frame.fcf is Fcf.DIS and len(frame.info) > 2:
                fax = replace(fax, ecm=len(frame.info) > 3 and bool(frame.info[3] & 0x20))
            elif frame.fcf is Fcf.DCS:
                fax = replace(fax, ecm=decode_dcs(frame.info).ecm)
        except DecodeError:
            continue
    return replace(options, fax=fax)


# --- finding calls -------------------------------------------------------------------------------


def _sorted(reader: CaptureReader) -> tuple[list[Datagram], list[Datagram]]:
    """SIP messages, and what may be media; both within our limits."""
    sip: list[Datagram] = []
    media: list[Datagram] = []
    octets = 0
    for one in reader:
        octets += len(one.payload)
        if len(media) >= MAX_DATAGRAMS or octets > MAX_OCTETS:
            reader.skipped.cut = True
            break
        if b"SIP/2.0" in one.payload[:2000].partition(b"\r\n")[0]:
            if len(sip) < MAX_MESSAGES:
                sip.append(one)
        elif not looks_like_rtp(one.payload):
            media.append(one)
    return sip, media


@dataclass(slots=True)
class _Dialog:
    """What one Call-ID has said so far."""

    caller: Address
    agent: str
    offers: dict[str, tuple[Address, T38Parameters, bool]] = field(default_factory=dict)  # by CSeq
    call: CapturedCall | None = None


class _Signalling:
    """Reads SIP messages in their order; each T.38 offer that got its answer makes a call, or moves one."""

    def __init__(self, messages: Iterable[Datagram]) -> None:
        self._dialogs: dict[str, _Dialog] = {}
        for one in messages:
            try:
                message = parse_datagram(one.payload, _SIP)
            except MessageError:
                continue
            self._take(one, message)

    def calls(self) -> list[CapturedCall]:
        """Those with T.38."""
        return [dialog.call for dialog in self._dialogs.values() if dialog.call is not None]

    def _take(self, one: Datagram, message: Request | Response) -> None:
        headers = message.headers
        call_id, cseq = headers.first("call-id") or "", headers.first("cseq") or ""
        dialog = self._dialogs.get(call_id)
        if isinstance(message, Request):
            if dialog is None and message.method == "INVITE" and len(self._dialogs) < MAX_CALLS:
                dialog = self._dialogs[call_id] = _Dialog(one.source, headers.first("user-agent") or "")
            if dialog is None:
                return
            if message.method == "INVITE" and (said := _t38(message.body)) is not None:
                dialog.offers.setdefault(cseq, (*said, one.source == dialog.caller))
            elif message.method == "BYE" and dialog.call is not None and dialog.call.hung_up is None:
                dialog.call = replace(dialog.call, hung_up=(one.at, one.source == dialog.caller))
        elif dialog is not None and 200 <= message.status < 300 and cseq in dialog.offers:
            self._answer(dialog, one, dialog.offers[cseq], message.body)

    def _answer(self, dialog: _Dialog, one: Datagram, offer: tuple[Address, T38Parameters, bool], body: bytes) -> None:
        answer = _t38(body)
        if answer is None or dialog.call is not None:  # a repeated 200, or a renegotiation: the first one began it
            return
        address, parameters, by_caller = offer
        caller, called = ((address, parameters), answer) if by_caller else (answer, (address, parameters))
        dialog.call = CapturedCall(
            caller=caller[0],
            called=called[0],
            began=one.at,
            caller_says=caller[1],
            called_says=called[1],
            offered_by_caller=by_caller,
            peer_agent=dialog.agent,
        )


def _t38(body: bytes) -> tuple[Address, T38Parameters] | None:
    """Where an SDP wants its UDPTL, and what it says of it."""
    try:
        description = Description.decode(body)
    except DecodeError:
        return None
    for media in description.media:
        host = description.host(media)
        if (media.is_udptl or media.is_odd_t38 or media.is_dtls_t38) and media.port and host:
            return (host, media.port), description.t38(media)
    return None


def _guessed(media: list[Datagram]) -> list[CapturedCall]:
    """Calls of a capture without SIP: pairs of addresses that understand each other as UDPTL."""
    pairs: dict[frozenset[Address], list[Datagram]] = {}
    for one in media:
        pair = frozenset((one.source, one.target))
        if pair in pairs or len(pairs) < 100 * MAX_CALLS:
            pairs.setdefault(pair, []).append(one)
    calls: list[CapturedCall] = []
    for datagrams in pairs.values():
        line = T38Line(T38Parameters(), now=0.0)
        sensible = [line.understands(one.payload) for one in datagrams[: 10 * LIKELY]]
        in_row = longest = 0
        for good in sensible:
            in_row = in_row + 1 if good else 0
            longest = max(longest, in_row)
        if longest >= LIKELY and len(calls) < MAX_CALLS:
            calls.append(_guess_ends(datagrams))
    return calls


def _guess_ends(datagrams: list[Datagram]) -> CapturedCall:
    """Who called: the end that does not say DIS, else the one that says DCS, else the one that spoke second."""
    first = datagrams[0]
    called, caller = first.source, first.target
    for end, other in ((first.source, first.target), (first.target, first.source)):
        names = {seen.name for seen in _spoken((d for d in datagrams if d.source == end), T38Parameters(), first.at)}
        if "DIS" in names:
            called, caller = end, other
            break
        if "DCS" in names:
            called, caller = other, end
            break
    plain = T38Parameters()
    return CapturedCall(caller=caller, called=called, began=first.at, caller_says=plain, called_says=plain)


def _with_media(call: CapturedCall, media: list[Datagram]) -> CapturedCall:
    """The datagrams between the two ends. Quirk: an end may send from another port than its SDP names."""
    ends = {call.caller, call.called}
    hosts = {call.caller[0], call.called[0]}
    datagrams = tuple(one for one in media if one.target in ends and one.source[0] in hosts)
    return replace(call, datagrams=datagrams)


def read_versions(path: Path) -> dict[Address, int]:
    """The T.38 version spoken at each media address that SIP tells of. Raises OSError and DecodeError."""
    with path.open("rb") as file:
        sip, _ = _sorted(CaptureReader(file))
    versions: dict[Address, int] = {}
    for call in _Signalling(sip).calls():
        version = min(call.caller_says.version, call.called_says.version)
        versions |= {call.caller: version, call.called: version}
    return versions
