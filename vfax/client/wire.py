"""The connection to the service: a Unix socket or TLS, requests and answers as JSON.

Owns      addresses, the HTTP client, and what goes wrong with either. Not here: what is asked (service.py, events.py).
"""

import ipaddress
import json
import re
import socket
import ssl
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, BinaryIO, Final
from urllib.parse import urlsplit

import httpx

from vfax.client.errors import ServiceUnavailable, refused
from vfax.fsp.errors import InvalidParameter

PATIENCE: Final = 600.0
"""Seconds that the service may take for a document: it converts it before it answers, and queues it all the same."""
MAX_ANSWER: Final = 64 << 20
"""Limit: octets of an answer that is no document."""


@dataclass(frozen=True, slots=True)
class Address:
    """Where the service is: `socket` (this machine) or `url`, with what is needed to be let in."""

    socket: Path | None = None
    url: str = ""
    token: str = ""
    certificate: Path | None = None
    timeout: float = 30.0

    @property
    def local(self) -> bool:
        """True over the Unix socket."""
        return self.socket is not None

    def __str__(self) -> str:
        return str(self.socket) if self.socket is not None else self.url

    def open(self, *, read_timeout: float | None = None) -> httpx.Client:
        """A fresh HTTP client. Raises InvalidParameter (certificate), ServiceUnavailable (nobody is at the socket)."""
        timeout = httpx.Timeout(self.timeout, read=read_timeout or self.timeout)
        if self.socket is not None:
            self._knock(self.socket)
            transport = httpx.HTTPTransport(uds=str(self.socket))
            return httpx.Client(transport=transport, base_url="http://vfax", timeout=timeout, trust_env=False)
        headers = {"authorization": f"Bearer {self.token}"}
        try:
            context = ssl.create_default_context(cafile=str(self.certificate) if self.certificate else None)
        except (OSError, ssl.SSLError) as why:
            raise InvalidParameter(f"certificate {self.certificate}: cannot be used: {why}") from why
        return httpx.Client(base_url=self.url, headers=headers, timeout=timeout, verify=context, trust_env=False)

    def _knock(self, path: Path) -> None:
        """Look whether anybody is there: httpx would leave a socket open that found nobody."""
        with reaching(self), socket.socket(socket.AF_UNIX, socket.SOCK_STREAM) as sock:
            sock.settimeout(self.timeout)
            sock.connect(str(path))


def parse_address(address: str | Path, *, token: str, certificate: str | Path | None, timeout: float) -> Address:
    """A path of a Unix socket, or https://HOST:PORT (http:// on this machine alone). Raises InvalidParameter."""
    if not isinstance(address, str | Path) or not str(address):
        raise InvalidParameter(f"address: a path or an https:// address is expected, not {type(address).__name__}")
    if not isinstance(token, str) or any(not 33 <= ord(char) <= 126 for char in token):
        raise InvalidParameter("token: a word of printable ASCII is expected")
    text = str(address)
    if "://" not in text:
        return Address(socket=Path(address), timeout=timeout)
    try:
        parts = urlsplit(text)
        right = parts.scheme in ("https", "http") and parts.hostname and not parts.path.strip("/") and not parts.query
        _ = parts.port
    except ValueError:
        right = False
    if not right:
        raise InvalidParameter(f"address {text}: expected a path of a socket, or https://HOST:PORT")
    if parts.scheme == "http" and not _is_loopback(parts.hostname or ""):
        raise InvalidParameter(f"address {text}: a token would go there in the open; say https://")
    if not token:
        raise InvalidParameter(f"address {text}: a token is needed there")
    found = Path(certificate) if certificate is not None else None
    return Address(url=text, token=token, certificate=found, timeout=timeout)


def _is_loopback(host: str) -> bool:
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return host == "localhost"


@contextmanager
def reaching(address: Address) -> Iterator[None]:
    """Turn what happens to connections into ServiceUnavailable."""
    try:
        yield
    except UnicodeError as why:
        raise InvalidParameter(f"what is said holds text that cannot be sent: {why}") from why
    except httpx.ReadTimeout as why:
        raise ServiceUnavailable(
            f"the fax service at {address} has not answered in time: look what it did before you ask it again"
        ) from why
    except (httpx.HTTPError, httpx.InvalidURL, httpx.StreamError, OSError) as why:
        words = re.sub(r"^\[Errno -?\d+\] ", "", str(why)) or type(why).__name__
        nobody = isinstance(why, httpx.ConnectError | FileNotFoundError | ConnectionRefusedError)
        remedy = "; start it, or give the address that it has" if nobody else ""
        raise ServiceUnavailable(f"the fax service at {address} cannot be reached: {words}{remedy}") from why


@dataclass(frozen=True, slots=True, kw_only=True)
class Body:
    """What goes with a request: a query, JSON, or a form with a file."""

    query: Mapping[str, str] = field(default_factory=dict)
    json: object = None
    fields: Mapping[str, object] | None = None
    file: tuple[str, BinaryIO] | None = None

    def arguments(self, timeout: float) -> dict[str, Any]:
        """As httpx wants it; `timeout` is what an answer may take where there is no document to be looked at first."""
        said = {"params": self.query, "json": self.json, "data": self.fields}
        if self.file is None:
            return said
        patience = httpx.Timeout(timeout, read=max(timeout, PATIENCE))
        return said | {"files": {"document": self.file}, "timeout": patience}


NOTHING: Final = Body()


def ask(
    http: httpx.Client, address: Address, method: str, path: str, *, headers: Mapping[str, str], body: Body = NOTHING
) -> object:
    """One request and its answer as JSON (None for an empty one). Raises the exception of an error."""
    with (
        reaching(address),
        http.stream(method, path, headers=dict(headers), **body.arguments(address.timeout)) as response,
    ):
        octets = bytearray()
        for piece in response.iter_bytes():
            octets += piece
            if len(octets) > MAX_ANSWER:
                raise ServiceUnavailable(f"the answer of {address} is larger than {MAX_ANSWER} octets")
        return answer_of(response.status_code, bytes(octets))


def answer_of(status: int, octets: bytes) -> object:
    """The JSON of an answer. Raises the exception of an error, ServiceUnavailable for what is no JSON."""
    try:
        found: object = json.loads(octets) if octets else None
    except (ValueError, RecursionError):
        found = ...
    if status >= 400:
        raise refused(status, found)
    if found is ...:
        raise ServiceUnavailable("the service answers what is no JSON: is something else at this address?")
    return found
