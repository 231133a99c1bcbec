"""What a request is answered with before any call sees it.

Owns      the checks of RFC 3261 8.2, the answer to OPTIONS, challenges, answers without a transaction.
Not here  which call a request belongs to, admission of calls (reception.py).
Source    RFC 3261 (June 2002) 8.2, 8.2.7 (stateless UAS), 11.2; RFC 4028 9 (422); RFC 6086 (INFO).
"""

import zlib
from collections.abc import Callable
from contextlib import suppress
from typing import Final

from vfax.errors import DecodeError
from vfax.transports.sip.admission import Entry
from vfax.transports.sip.body import SDP, sdp_of
from vfax.transports.sip.compose import Fields, respond, response_way, stamp
from vfax.transports.sip.core import ALLOW, Core
from vfax.transports.sip.exchange import supported
from vfax.transports.sip.message import KNOWN_METHODS, MessageError, Request
from vfax.transports.sip.policy import DialogPolicy
from vfax.transports.sip.session_timer import SessionTimer
from vfax.transports.sip.values import CallKey, CredentialsRefused, Flow

SERVED: Final = frozenset({"INVITE", "ACK", "CANCEL", "BYE", "OPTIONS", "UPDATE", "PRACK"})
DTMF: Final = ("application/dtmf-relay", "application/dtmf")
"""Bodies of INFO that are taken and do nothing: PBXes send their keys so, and take a refusal for a broken call."""

SCHEMES: Final = frozenset({"sip", "sips", "tel"})

Refusal = tuple[int, Fields]


def screen(request: Request, core: Core, policy: Callable[[], DialogPolicy]) -> Refusal | None:
    """The checks of RFC 3261 8.2 in its order. Raises DecodeError for a value that cannot be read.

    `policy` finds the one that holds for the request, and is asked where it matters.
    """
    if request.method not in SERVED and not (request.method == "INFO" and request.to.tag):
        return (405 if request.method in KNOWN_METHODS else 501), (ALLOW,)
    if request.target.scheme not in SCHEMES:
        return 416, ()
    if core.transactions.is_merged(request) or core.transactions.is_looped(request):
        return 482, ()
    if required := request.require:
        known = policy().supported
        if strange := [tag for tag in required if tag.lower() not in known]:
            return 420, (("Unsupported", ", ".join(strange)),)
    takes = takes_sdp(request)
    if request.method not in ("INVITE", "UPDATE", "PRACK"):
        return None
    if request.method == "INVITE" and not request.to.tag and "session-expires" in request.headers:
        objection = SessionTimer(policy()).objection(request)
        if objection is not None:
            return objection
    if sdp_of(request) is None:
        return 415, (("Accept", SDP), ("Accept-Encoding", "identity"))
    if not takes:
        return 406, (("Warning", f'399 {core.options.user_agent} "only application/sdp can be answered"'),)
    return None


def takes_sdp(request: Request) -> bool:
    """Whether the answer may carry SDP."""
    accept = request.accept
    return accept is None or any(media.admits(SDP) for media in accept)


class Desk:
    """Answers as a stateless UAS (RFC 3261 8.2.7): a repeat of the request gets the very same answer."""

    def __init__(self, core: Core, salt: int) -> None:
        self._core = core
        self._salt = salt

    def answer(
        self,
        request: Request,
        flow: Flow,
        status: int,
        call: CallKey | None,
        *,
        fields: Fields = (),
        body: bytes = b"",
    ) -> None:
        """Answer a request that came by `flow`, and whose Via can be read."""
        way = response_way(request, flow, symmetric=self._core.options.symmetric)
        self._say(request, way, status, call, fields=fields, body=body)

    def refuse(self, why: MessageError, flow: Flow) -> None:
        """A 400 and its like, where there is a request to answer."""
        request = why.request
        if request is None or request.method == "ACK" or "via" not in request.headers:
            return
        with suppress(DecodeError):  # an unreadable Via: the answer goes where the request came from
            stamp(request, flow.remote)
            flow = response_way(request, flow, symmetric=self._core.options.symmetric)
        self._say(request, flow, why.status, None)

    def challenge(self, request: Request, flow: Flow, entry: Entry) -> None:
        """401 to one who has not proved itself (RFC 3261 22.2)."""
        if entry.refused:
            self._core.outbox.tell(CredentialsRefused(flow.remote, entry.refused))
        self.answer(request, flow, 401, None, fields=entry.fields)

    def options(self, request: Request, flow: Flow, call: CallKey | None, policy: DialogPolicy) -> None:
        """Answer OPTIONS (RFC 3261 11.2): as an INVITE of the same peer would be."""
        core = self._core
        body = core.options.options_sdp if takes_sdp(request) else b""
        fields = [ALLOW, ("Accept", SDP), ("Accept-Encoding", "identity"), ("Accept-Language", "en")]
        fields += supported(policy)
        secure = request.target.scheme == "sips"
        fields.append(("Contact", core.contact_for(request.target.user_text, flow, secure=secure)))
        if body:
            fields.append(("Content-Type", SDP))
        self.answer(request, flow, 200, call, fields=fields, body=body)

    def info(self, request: Request, flow: Flow, call: CallKey | None) -> None:
        """Answer INFO inside a call: keys are heard and forgotten, the rest is refused (RFC 6086 4.2.2)."""
        kind = request.content_type
        if not request.body or (kind is not None and kind.name in DTMF):
            self.answer(request, flow, 200, call)
        else:
            self.answer(request, flow, 415, call, fields=(("Accept", ", ".join(DTMF)),))

    def _say(
        self, request: Request, way: Flow, status: int, call: CallKey | None, *, fields: Fields = (), body: bytes = b""
    ) -> None:
        fields = (*fields, ("Server", self._core.options.user_agent))
        response = respond(request, status, to_tag=self.tag(request), fields=fields, body=body)
        self._core.send(response, way, call)

    def tag(self, request: Request) -> str:
        """The To tag of such an answer: the same for a repeat of the request."""
        seed = "".join(value for name in ("via", "call-id", "from") for value in request.headers.all(name)[:1])
        return f"{zlib.crc32(seed.encode('utf-8', 'surrogateescape'), self._salt):08x}"
