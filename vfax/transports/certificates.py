"""TLS: our certificate, whom we believe, and why a peer's certificate is not believed, in one sentence.

Owns      TLS contexts, read anew when their files change; what errors of TLS mean for people.
Not here  connections (sip_streams.py).
Source    RFC 3261 (June 2002) 26.3.1; RFC 5922 (certificates in SIP); RFC 8446 6.2 (alerts).

Files are looked at before each handshake: whoever renews a certificate need not restart anything. A file that cannot be
read then leaves the last good one in use.
"""

import os
import ssl
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from enum import StrEnum
from pathlib import Path
from typing import Final

from vfax.errors import LinkError


class Checks(StrEnum):
    """What must be right about the certificate of a server that we call."""

    FULL = "full"  # issued by somebody we believe, valid today, for the name we called
    CHAIN = "chain"  # the same for whatever name
    NONE = "none"  # nothing: only listening in is made hard


@dataclass(frozen=True, slots=True, kw_only=True)
class TlsOptions:
    """Files in PEM. Without `certificate` we can call, not be called."""

    certificate: Path | None = None  # our chain, leaf first
    key: Path | None = None  # None: it is in `certificate`
    authorities: Path | None = None  # that servers' certificates must come from; None: those of the system
    client_authorities: Path | None = None  # that callers must show a certificate of; None: callers need none
    checks: Checks = Checks.FULL


class Certificates:
    """The two contexts. `trouble` says why a changed file is not in use, "" when all is well.

    The methods read files: they belong into a thread.
    """

    def __init__(self, options: TlsOptions) -> None:
        self._options = options
        self._server = _Cached(self._build_server, (options.certificate, options.key, options.client_authorities))
        self._client = _Cached(self._build_client, (options.certificate, options.key, options.authorities))

    @property
    def trouble(self) -> str:
        """Why the newest files are not in use."""
        return self._server.trouble or self._client.trouble

    def server(self) -> ssl.SSLContext:
        """For connections that come in. Raises LinkError when there never was a usable certificate."""
        return self._server.get()

    def client(self) -> ssl.SSLContext:
        """For connections that we make. Raises LinkError when a file was never usable."""
        return self._client.get()

    def _build_server(self) -> ssl.SSLContext:
        options = self._options
        if options.certificate is None:
            raise LinkError("TLS cannot be served without a certificate: give [sip] tls_certificate")
        context = _strict(ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER))
        _load_own(context, options)
        if options.client_authorities is not None:
            _load_authorities(context, options.client_authorities)
            context.verify_mode = ssl.CERT_REQUIRED
        return context

    def _build_client(self) -> ssl.SSLContext:
        options = self._options
        context = _strict(ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT))
        context.check_hostname = options.checks is Checks.FULL
        if options.checks is Checks.NONE:
            context.verify_mode = ssl.CERT_NONE
        elif options.authorities is not None:
            _load_authorities(context, options.authorities)
        else:
            context.load_default_certs(ssl.Purpose.SERVER_AUTH)
        if options.certificate is not None:
            _load_own(context, options)
        return context


class _Cached:
    """One context, built anew when one of its files is another than before."""

    def __init__(self, build: Callable[[], ssl.SSLContext], files: tuple[Path | None, ...]) -> None:
        self._build = build
        self._files = [path for path in files if path is not None]
        self._stamp: tuple[tuple[int, int, int], ...] | None = None
        self._context: ssl.SSLContext | None = None
        self.trouble = ""

    def get(self) -> ssl.SSLContext:
        stamp = tuple(_stamp(path) for path in self._files)
        if self._context is None or stamp != self._stamp:
            try:
                self._context, self.trouble = self._build(), ""
            except LinkError as why:
                if self._context is None:
                    raise
                self.trouble = f"{why}; the certificate from before stays in use"
            self._stamp = stamp
        return self._context


def _stamp(path: Path) -> tuple[int, int, int]:
    try:
        found = path.stat()
    except OSError:
        return 0, 0, 0
    return found.st_mtime_ns, found.st_size, found.st_ino


def _strict(context: ssl.SSLContext) -> ssl.SSLContext:
    context.minimum_version = ssl.TLSVersion.TLSv1_2
    context.options |= ssl.OP_NO_RENEGOTIATION | ssl.OP_NO_COMPRESSION
    return context


def _load_own(context: ssl.SSLContext, options: TlsOptions) -> None:
    assert options.certificate is not None
    try:
        context.load_cert_chain(options.certificate, options.key, password=lambda: "")
    except (OSError, ValueError) as why:  # ssl.SSLError is an OSError; a key with a password is a ValueError
        files = str(options.certificate) if options.key is None else f"{options.certificate} and {options.key}"
        raise LinkError(f"no certificate can be read from {files}: {_words(why)}") from why


def _load_authorities(context: ssl.SSLContext, path: Path) -> None:
    try:
        context.load_verify_locations(path)
    except (OSError, ValueError) as why:
        raise LinkError(f"no certificates of authorities can be read from {path}: {_words(why)}") from why


# --- errors in words -----------------------------------------------------------------------------

UNKNOWN_ISSUER: Final = (
    "the certificate of {who} comes from an issuer we do not know; name a file with the issuer's certificate in"
    " [sip] tls_authorities"
)
DOUBTS: Final = (
    ("certificate has expired", "the certificate of {who} has expired; its operator has to renew it"),
    ("certificate is not yet valid", "the certificate of {who} is not valid yet; look at the clocks of both machines"),
    # The issuer came along with it, and signed itself, as issuers do.
    ("signed certificate in certificate chain", UNKNOWN_ISSUER),
    (
        "self-signed certificate",
        "the certificate of {who} is signed by nobody we believe but itself; if you know it, name a file with it in"
        " [sip] tls_authorities",
    ),
    (
        "self signed certificate",
        "the certificate of {who} is signed by nobody we believe but itself; if you know it, name a file with it in"
        " [sip] tls_authorities",
    ),
    ("unable to get local issuer", UNKNOWN_ISSUER),
    ("mismatch", "the certificate of {who} is for another name; call it by a name that stands in its certificate"),
)
"""What OpenSSL says of a certificate, and what it means."""

ALERTS: Final = (
    ("WRONG_VERSION_NUMBER", "{who} does not speak TLS on that port"),
    ("HTTP_REQUEST", "{who} does not speak TLS on that port"),
    ("UNEXPECTED_EOF", "{who} closed the connection before TLS was agreed"),
    ("UNSUPPORTED_PROTOCOL", "{who} speaks no TLS that is new enough (1.2 or 1.3)"),
    ("PROTOCOL_VERSION", "{who} speaks no TLS that is new enough (1.2 or 1.3)"),
    ("CERTIFICATE_REQUIRED", "{who} wants to see a certificate of ours; name one in [sip] tls_certificate"),
    ("PEER_DID_NOT_RETURN_A_CERTIFICATE", "{who} shows no certificate, which [sip] tls_client_authorities asks for"),
    ("ALERT_UNKNOWN_CA", "{who} does not believe the issuer of our certificate"),
    ("ALERT_CERTIFICATE_EXPIRED", "{who} says that our certificate has expired; renew [sip] tls_certificate"),
    ("ALERT_BAD_CERTIFICATE", "{who} does not accept our certificate"),
    ("ALERT_HANDSHAKE_FAILURE", "{who} and we have no way of TLS in common, or it wants a certificate of ours"),
)
"""Reasons of OpenSSL, in parts, and what they mean."""


def explain(fault: BaseException, who: str) -> str:
    """Why a connection with `who` (host and port) was not made or broke, in one sentence."""
    for cause in _causes(fault):
        if isinstance(cause, ssl.SSLCertVerificationError):
            said = str(cause.verify_message)
            return _find(DOUBTS, said, who) or f"the certificate of {who} is not believed: {said}"
        if isinstance(cause, ssl.SSLError) and getattr(cause, "reason", None):  # which some have not
            return _find(ALERTS, cause.reason, who) or f"TLS with {who} failed: {_words(cause)}"
        if isinstance(cause, ssl.SSLZeroReturnError | ssl.SSLEOFError):  # Quirk: of some builds, without a reason
            return _find(ALERTS, "UNEXPECTED_EOF", who)
    for cause in _causes(fault):
        # The number of an SSLError is none of the system's; and trio puts words of its own into strerror.
        if isinstance(cause, OSError) and not isinstance(cause, ssl.SSLError) and cause.errno:
            return f"the connection with {who} failed: {os.strerror(cause.errno)}"
    return f"{who} closed the connection"


def _causes(fault: BaseException | None) -> Iterator[BaseException]:
    for _ in range(10):
        if fault is None:
            return
        yield fault
        fault = fault.__cause__ or fault.__context__


def _find(table: tuple[tuple[str, str], ...], said: str, who: str) -> str:
    return next((words.format(who=who) for part, words in table if part in said), "")


def _words(fault: Exception) -> str:
    if isinstance(fault, ssl.SSLError) and fault.reason:
        return fault.reason.replace("_", " ").lower()
    return getattr(fault, "strerror", None) or str(fault)
