"""Delivery to a webhook: one signed POST, and whatever the answer says, bounded in time and size.

Owns      the request, its signature, and what each kind of answer means.
Not here  when it is tried (delivery.py), what the JSON says (parcel.py).
Source    RFC 9110 (15 status codes, 10.2.3 Retry-After), RFC 2104 (HMAC), RFC 7578 (multipart/form-data).

The signature is made as docs/delivery.md says; a test runs the example there. Redirects are not followed: a signed fax
goes where the settings say and nowhere else. Proxies of the environment are not used.
"""

import hashlib
import hmac
import json
import ssl
from collections.abc import AsyncIterator, Iterator
from dataclasses import dataclass
from datetime import UTC, datetime
from email.utils import parsedate_to_datetime
from pathlib import Path
from typing import Final

import httpx
import trio

from vfax import __version__
from vfax.errors import DocumentError
from vfax.host.document import DocumentTooLarge, load_document
from vfax.host.parcel import Parcel, Result
from vfax.host.routing import Body, WebhookTarget, origin
from vfax.host.templates import one_line

SIGNATURE_VERSION: Final = "v1"
MAX_SECRET: Final = 4_096
"""Limit: octets of a secret in a file."""
SHOWN_ANSWER: Final = 200
"""Limit: characters of an answer that are kept in a sentence."""
PIECE_OCTETS: Final = 1 << 16
MAX_CAUSES: Final = 8
"""Limit: exceptions behind an exception that are looked at."""
GONE: Final = 410
ASK_LATER: Final = (429, 503)


@dataclass(frozen=True, slots=True, kw_only=True)
class WebhookOptions:
    """Times in seconds. Limit: `max_document` octets are sent, `max_answer` octets of an answer are read.

    A target that asks to be left alone for longer than `max_retry_after` is tried again after that.
    """

    connect: float = 10.0
    max_answer: int = 65_536
    max_document: int = 67_108_864
    max_retry_after: float = 86_400.0


def signature(secret: bytes, timestamp: str, body: bytes) -> str:
    """The value of X-Vfax-Signature: `v1=` and the HMAC-SHA256 of timestamp, a full stop, and the body, in hex."""
    return (
        f"{SIGNATURE_VERSION}={hmac.new(secret, timestamp.encode('ascii') + b'.' + body, hashlib.sha256).hexdigest()}"
    )


async def deliver(
    parcel: Parcel, target: WebhookTarget, options: WebhookOptions, now: datetime, threads: trio.CapacityLimiter
) -> Result:
    """POST this delivery; the caller bounds the time of all of it. 2xx: the receiver has the fax."""
    where = origin(target.url)
    try:
        context, request = await trio.to_thread.run_sync(
            _prepare, parcel, target, options, now, abandon_on_cancel=True, limiter=threads
        )
    except DocumentError as why:
        final = isinstance(why, DocumentTooLarge)
        return Result.failed(f"The document cannot be delivered: {why}.", final=final)
    except OSError as why:  # ssl.SSLError, too
        return Result.failed(f"The call of {where} cannot be prepared: {why.strerror or why}.")
    except (httpx.InvalidURL, ValueError) as why:  # ValueError: names that IDNA does not have
        return Result.failed(f"The call of {where} cannot be prepared: its url is none ({one_line(str(why))}).")
    try:
        async with httpx.AsyncClient(verify=context, follow_redirects=False, trust_env=False) as client:
            answer = await client.send(request, stream=True)
            try:
                text = await _read(answer, options.max_answer)
            finally:
                await answer.aclose()
    except (httpx.HTTPError, httpx.StreamError, OSError) as why:
        return Result.failed(f"{where} could not be called: {_words(why)}.")
    return judge(where, answer, text, options, now)


def _prepare(
    parcel: Parcel, target: WebhookTarget, options: WebhookOptions, now: datetime
) -> tuple[ssl.SSLContext, httpx.Request]:
    """All that takes the disk, or time: authorities, secret, document, and the signature over it."""
    context = ssl.create_default_context(cafile=target.ca_file or None)
    secret = _secret(Path(target.secret_file)) if target.secret_file else target.secret.encode("utf-8")
    document = None
    path = parcel.document if target.body is Body.MULTIPART else None
    if path is not None:
        limit = options.max_document
        document = load_document(path, target.form, limit=limit, title=parcel.title, created=parcel.created)
    request = _request(parcel, target, document)
    request.extensions["timeout"] = httpx.Timeout(None, connect=options.connect).as_dict()
    _sign(request, parcel, secret, now)
    return context, request


def _secret(path: Path) -> bytes:
    with path.open("rb") as file:
        secret = file.read(MAX_SECRET + 1).strip()
    if not 0 < len(secret) <= MAX_SECRET:
        raise OSError(f"the file of the secret, {path}, is empty or has more than {MAX_SECRET} octets")
    return secret


def _request(parcel: Parcel, target: WebhookTarget, document: bytes | None) -> httpx.Request:
    """The POST; of two parts (`event`, `document`) where there is a document to send."""
    event = json.dumps(parcel.payload(target.form)).encode("ascii")
    headers = {"User-Agent": f"vfax/{__version__}", "Accept": "*/*"}
    if document is None:
        headers["Content-Type"] = "application/json"
        return httpx.Request("POST", target.url, headers=headers, content=event)
    name = f"{parcel.name}{target.form.suffix}"
    parts = {
        "event": ("event.json", event, "application/json"),
        "document": (name, document, target.form.media_type),
    }
    return httpx.Request("POST", target.url, headers=headers, files=parts)


class _Whole(httpx.AsyncByteStream):
    """A body that is there already, in pieces that do not hold up the other tasks while they are encrypted.

    httpx's own streams are generators, which trio wants closed when a peer stops reading in the middle.
    """

    def __init__(self, octets: bytes) -> None:
        self._octets = octets
        self._at = 0

    def __aiter__(self) -> AsyncIterator[bytes]:
        return self

    async def __anext__(self) -> bytes:
        if self._at >= len(self._octets):
            raise StopAsyncIteration
        piece = self._octets[self._at : self._at + PIECE_OCTETS]
        self._at += len(piece)
        return piece


def _sign(request: httpx.Request, parcel: Parcel, secret: bytes, now: datetime) -> None:
    body = request.read()
    request.stream = _Whole(body)
    timestamp = str(int(now.timestamp()))
    request.headers["X-Vfax-Event-Id"] = parcel.event_id
    request.headers["X-Vfax-Sequence"] = str(parcel.delivery.id)
    request.headers["X-Vfax-Timestamp"] = timestamp
    if secret:
        request.headers["X-Vfax-Signature"] = signature(secret, timestamp, body)


async def _read(answer: httpx.Response, limit: int) -> str:
    """The beginning of the answer as text; no more than `limit` octets of it are ever held."""
    octets = b""
    try:
        async for part in answer.aiter_raw():
            octets += part[: limit - len(octets)]
            if len(octets) >= limit:
                await answer.aclose()  # the next read fails: left behind, the iteration would end some other time
    except httpx.HTTPError:
        if len(octets) < limit:
            raise
    return one_line(octets.decode("utf-8", "replace"), SHOWN_ANSWER)


def judge(where: str, answer: httpx.Response, text: str, options: WebhookOptions, now: datetime) -> Result:
    """What an answer means for the delivery."""
    code = answer.status_code
    if 200 <= code <= 299:
        return Result.done(f"{where} has answered {code}.")
    said = f"{where} has answered {code}{f' ({text})' if text else ''}"
    if 300 <= code <= 399:
        return Result.failed(f"{said}: redirects are not followed, put the address it means into url.")
    if code == GONE:
        return Result.failed(f"{said}: it wants no more faxes.", final=True)
    wait = retry_after(answer.headers.get("Retry-After", ""), now) if code in ASK_LATER else 0.0
    return Result.failed(f"{said}.", retry_after=min(wait, options.max_retry_after))


def retry_after(value: str, now: datetime) -> float:
    """Seconds that a Retry-After asks for, as a number or a date; 0.0 where it makes no sense."""
    value = value.strip()
    if value.isascii() and value.isdigit():
        return float(value[:10])
    try:
        at = parsedate_to_datetime(value)
    except (ValueError, TypeError, IndexError, OverflowError):
        return 0.0
    return max(0.0, (at.replace(tzinfo=at.tzinfo or UTC) - now).total_seconds())


def _words(why: Exception) -> str:
    """What happened, in a few words."""
    for cause in _causes(why):
        if isinstance(cause, ssl.SSLCertVerificationError):
            return f"its certificate is not to be trusted ({cause.verify_message})"
    match why:
        case httpx.ConnectTimeout():
            return "it does not answer"
        case httpx.RemoteProtocolError():
            return f"what it answers is not HTTP ({one_line(str(why)).rstrip('.')})"
        case _:
            said = (one_line(str(cause)).rstrip(".") for cause in _causes(why))
            return next((words for words in said if words), type(why).__name__)


def _causes(why: BaseException) -> Iterator[BaseException]:
    """The exception and what it came from, the outermost first."""
    cause: BaseException | None = why
    for _ in range(MAX_CAUSES):
        if cause is None:
            return
        yield cause
        cause = cause.__cause__ or cause.__context__
