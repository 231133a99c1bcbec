"""Building messages from messages: responses, the ACK to a failure, CANCEL, a request once more.

Owns      which header fields are copied and which are added; where a response goes.
Not here  requests inside a dialog (dialog.py), when anything is sent.
Source    RFC 3261 (June 2002) 8.1.3.5, 8.2.6, 9.1, 17.1.1.3, 18.2.2, 21; RFC 3581 4.
"""

from collections.abc import Iterable
from dataclasses import replace
from typing import Final

from vfax.errors import DecodeError
from vfax.transports.sip.message import Headers, Request, Response, canonical
from vfax.transports.sip.reasons import REASONS
from vfax.transports.sip.syntax import split_outside
from vfax.transports.sip.values import Address, Flow, Hop

Fields = Iterable[tuple[str, str]]

_COPIED: Final = ("via", "from", "to", "call-id", "cseq")


def respond(
    request: Request, status: int, *, to_tag: str = "", reason: str = "", fields: Fields = (), body: bytes = b""
) -> Response:
    """A response with everything copied that RFC 3261 8.2.6.2 wants copied, as the octets that came.

    Works on a request that could only be read in part: what is not there is not copied. `to_tag` goes into a To that
    has none.
    """
    headers = Headers()
    for name, value in request.headers:
        key = canonical(name)
        if key in _COPIED or (key == "timestamp" and status == 100):
            headers.keep(name, _with_tag(request, value, to_tag) if key == "to" else value)
    for name, value in fields:
        headers.add(name, value)
    return Response(status, reason or REASONS.get(status, ""), headers, body)


def _with_tag(request: Request, value: str, to_tag: str) -> str:
    try:
        tagged = not to_tag or bool(request.to.tag)
    except DecodeError:
        return value  # an unreadable To goes back as it came
    return value if tagged else f"{value};tag={to_tag}"


def stamp(request: Request, source: Address) -> None:
    """Write received and rport into the topmost Via of a request that came from `source`. Needs a readable Via."""
    field = request.headers.all("via")[0]
    _, *others = split_outside(field, ",")
    request.via = request.via.stamped(source)
    request.headers.replace_first("via", [request.via.value, *others])


def response_way(request: Request, flow: Flow, *, symmetric: bool) -> Flow:
    """What responses to a request that came by `flow` go by (RFC 3261 18.2.2, RFC 3581 4).

    Deviation: maddr is not obeyed; it would let a stranger aim our answers at a third host.
    """
    via = request.via
    if flow.transport.reliable or symmetric or "rport" in via.parameters:
        return flow
    return replace(flow, remote=(flow.remote[0], via.port or flow.transport.port))


def response_hop(request: Request, flow: Flow) -> Hop:
    """Where responses go once the connection they belong to is gone: a new one (RFC 3261 18.2.2)."""
    return Hop(flow.transport, flow.remote[0], request.via.port or flow.transport.port)


def renewed(
    request: Request,
    via: str,
    *,
    cseq: int | None = None,
    contact: str = "",
    former: str = "",
    uri: str = "",
    fields: Fields = (),
) -> Request:
    """The request once more: another Via, and what else is given; `former` is as of `take_back`.

    A field of `fields` replaces all of its name; an empty value only takes them out. Raises MisuseError for a value
    that cannot be sent.
    """
    instead = {canonical(name): "" for name, _ in fields}
    headers = Headers()
    for name, value in request.headers:
        match canonical(name):
            case "via":
                headers.keep(name, via)
            case "cseq" if cseq is not None:
                headers.keep(name, f"{cseq} {request.method}")
            case "contact" if contact:
                if headers.first("contact") is None:
                    headers.keep(name, contact)
                    take_back(headers, former)
            case key if key not in instead:
                headers.keep(name, value)
    for name, value in fields:
        if value:
            headers.add(name, value)
    return Request(request.method, uri or request.uri, headers, request.body)


def take_back(headers: Headers, former: str) -> None:
    """In a REGISTER: unregister a URI of ours where Contact is another one by now (RFC 3261 10.2.2)."""
    if former and not (headers.first("contact") or "").startswith(f"<{former}>"):
        headers.add("Contact", f"<{former}>;expires=0")


def ack_to_failure(invite: Request, response: Response) -> Request:
    """The ACK of the transaction itself (RFC 3261 17.1.1.3): same branch, same Request-URI, To of the response."""
    headers = _same_hop(invite, "ACK")
    headers.keep("To", response.headers.first("to") or "")
    return Request("ACK", invite.uri, headers)


def cancel_of(invite: Request) -> Request:
    """The CANCEL of an INVITE (RFC 3261 9.1): same branch, To without the tag of any answer."""
    headers = _same_hop(invite, "CANCEL")
    headers.keep("To", invite.headers.first("to") or "")
    return Request("CANCEL", invite.uri, headers)


def _same_hop(invite: Request, method: str) -> Headers:
    headers = Headers()
    headers.keep("Via", invite.headers.all("via")[0])
    headers.keep("Max-Forwards", "70")
    for route in invite.headers.all("route"):
        headers.keep("Route", route)
    headers.keep("From", invite.headers.first("from") or "")
    headers.keep("Call-ID", invite.call_id)
    headers.keep("CSeq", f"{invite.cseq.number} {method}")
    return headers
