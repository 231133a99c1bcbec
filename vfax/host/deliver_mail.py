"""Delivery by mail: one message to one recipient over SMTP, with the document attached.

Owns      the message, the SMTP session, and which refusals are for ever.
Not here  when it is tried (delivery.py), templates (parcel.py).
Source    RFC 5321 (SMTP; 4.2.1 reply codes), RFC 3207 (STARTTLS), RFC 8314 (implicit TLS), RFC 5322 3.6.4 (Message-ID),
          RFC 3834 (Auto-Submitted).

smtplib speaks SMTP in a worker thread; it blocks. A session that has run out of time is ended by shutting its socket
down from outside, whatever the thread waits for there.
"""

import smtplib
import socket
import ssl
from contextlib import suppress
from dataclasses import dataclass, field
from email import policy
from email.message import EmailMessage
from email.utils import format_datetime
from enum import StrEnum
from typing import Final

import trio

from vfax.errors import DocumentError
from vfax.host.document import DocumentTooLarge, load_document
from vfax.host.parcel import Parcel, Result
from vfax.host.routing import MailTarget
from vfax.host.templates import fill, one_line

MESSAGE: Final = policy.SMTP.clone(cte_type="7bit")  # every server takes it, 8BITMIME or not
MAX_SUBJECT: Final = 200
"""Limit: characters of a subject."""
GOODBYE: Final = 2.0
"""Seconds that the answer to QUIT may take."""
TOO_LARGE: Final = 552
"""Answered to MAIL FROM with a SIZE; other refusals of our sender are for the operator to mend, and tried again."""


class Security(StrEnum):
    """How the session is protected; without TLS no password is sent."""

    STARTTLS = "starttls"
    TLS = "tls"
    NONE = "none"


@dataclass(frozen=True, slots=True, kw_only=True)
class MailServer:
    """The server that takes our mail, and what we call ourselves there.

    `sender` is the address in From and MAIL FROM. `ca_file` "": the authorities this machine trusts. `helo` "": this
    machine's name. `timeout` (seconds) bounds each answer. Limit: `max_message`, octets of one message as sent.
    """

    server: str = ""
    port: int = 587
    security: Security = Security.STARTTLS
    user: str = ""
    password: str = field(default="", repr=False)
    sender: str = ""
    ca_file: str = ""
    helo: str = ""
    timeout: float = 60.0
    max_message: int = 26_214_400


class _Aborted(Exception):
    """The session was ended from outside."""


class _Line:
    """The way to end a session that a worker thread is in; `session` is set before it connects."""

    def __init__(self) -> None:
        self.session: smtplib.SMTP | None = None
        self.cut_off = False

    def check(self) -> None:
        """Raises _Aborted once the session has been cut off."""
        if self.cut_off:
            raise _Aborted("there was no time left")

    def cut(self) -> None:
        """End it now. The thread finds its socket shut, or finds out before it uses the next one."""
        self.cut_off = True
        sock = getattr(self.session, "sock", None)
        if isinstance(sock, socket.socket):
            with suppress(OSError):
                socket.socket.shutdown(sock, socket.SHUT_RDWR)  # of an SSLSocket, too: its own forgets the TLS first


class _Plain(smtplib.SMTP):
    def __init__(self, line: _Line, server: MailServer) -> None:
        line.session = self
        super().__init__(server.server, server.port, server.helo or None, server.timeout)


class _Tls(smtplib.SMTP_SSL):
    def __init__(self, line: _Line, server: MailServer, context: ssl.SSLContext) -> None:
        line.session = self
        super().__init__(server.server, server.port, server.helo or None, timeout=server.timeout, context=context)


async def deliver(parcel: Parcel, target: MailTarget, server: MailServer, threads: trio.CapacityLimiter) -> Result:
    """Send the mail of this delivery. Cancelled, it cuts the session off; the server may have taken the mail then."""
    line = _Line()
    try:
        return await trio.to_thread.run_sync(
            _deliver, parcel, target, server, line, abandon_on_cancel=True, limiter=threads
        )
    except trio.Cancelled:
        line.cut()
        raise


def _deliver(parcel: Parcel, target: MailTarget, server: MailServer, line: _Line) -> Result:
    address = str(parcel.delivery.target.get("to", ""))
    if address not in target.to:
        return Result.failed(f"{one_line(address)} is no recipient of the rule {parcel.delivery.rule} any more.")
    try:
        message = _compose(parcel, target, server, address)
    except DocumentError as why:
        final = isinstance(why, DocumentTooLarge)
        return Result.failed(f"The document cannot be delivered: {why}.", final=final)
    octets = message.as_bytes()
    if len(octets) > server.max_message:
        size = f"{len(octets)} octets, at most {server.max_message} are sent"
        return Result.failed(f"The mail to {address} has {size}: raise [mail] max_message.", final=True)
    return _send(octets, address, server, line)


# --- the message -----------------------------------------------------------------------------------


def _compose(parcel: Parcel, target: MailTarget, server: MailServer, address: str) -> EmailMessage:
    """The message; the same for every try, Message-ID and Date included, so that a receiver can drop a double."""
    fields = parcel.fields()
    message = EmailMessage(policy=MESSAGE)
    message["From"] = server.sender
    message["To"] = address
    message["Subject"] = one_line(fill(target.subject, fields), MAX_SUBJECT)
    message["Date"] = format_datetime(parcel.delivery.created_at)
    message["Message-ID"] = f"<vfax.{parcel.event_id}@{server.sender.rpartition('@')[2]}>"
    message["Auto-Submitted"] = "auto-generated"
    message["X-Vfax-Event-Id"] = parcel.event_id
    message.set_content(f"{fill(target.body, fields).strip()}\n")
    document = parcel.document
    if document is not None:
        form = target.form
        octets = load_document(document, form, limit=server.max_message, title=parcel.title, created=parcel.created)
        kind, _, subtype = form.media_type.partition("/")
        message.add_attachment(octets, maintype=kind, subtype=subtype, filename=f"{parcel.name}{form.suffix}")
    return message


# --- the session -----------------------------------------------------------------------------------


def _send(octets: bytes, address: str, server: MailServer, line: _Line) -> Result:
    where = f"{server.server}:{server.port}"
    try:
        session = _session(server, line)
        try:
            return _transact(session, octets, address, server, where)
        finally:
            _part(session)
    except (_Aborted, smtplib.SMTPException, OSError, ValueError) as why:
        return Result.failed(f"The mail to {address} could not be handed to {where}: {_words(why)}.")


def _session(server: MailServer, line: _Line) -> smtplib.SMTP:
    """A session that is connected, protected and logged in as the settings want; never with less than that."""
    context = None
    if server.security is not Security.NONE:
        context = ssl.create_default_context(cafile=server.ca_file or None)
    session = _Tls(line, server, context) if server.security is Security.TLS and context else _Plain(line, server)
    try:
        session.ehlo_or_helo_if_needed()
        if server.security is Security.STARTTLS:
            session.starttls(context=context)  # raises where the server does not offer it
            session.ehlo()
        if server.user:
            session.login(server.user, server.password)
        line.check()
    except BaseException:
        session.close()
        raise
    return session


def _transact(session: smtplib.SMTP, octets: bytes, address: str, server: MailServer, where: str) -> Result:
    try:
        session.sendmail(server.sender, [address], octets)
    except smtplib.SMTPSenderRefused as why:
        said = f"{where} does not take mail from {server.sender}: {why.smtp_code} {_said(why.smtp_error)}."
        return Result.failed(said, final=why.smtp_code == TOO_LARGE)
    except smtplib.SMTPRecipientsRefused as why:
        code, words = why.recipients.get(address, (450, b""))
        return _refused(f"{where} refuses the recipient {address}", code, words)
    except smtplib.SMTPDataError as why:
        return _refused(f"{where} refuses the mail to {address}", why.smtp_code, why.smtp_error)
    return Result.done(f"{where} has taken the mail to {address}.")


def _part(session: smtplib.SMTP) -> None:
    """Say goodbye; how the server takes that changes nothing about the mail, so not even its whole answer is read."""
    with suppress(smtplib.SMTPException, OSError, ValueError):
        if session.sock is not None:
            session.sock.settimeout(GOODBYE)
            session.putcmd("QUIT")
            session.sock.recv(1)
    session.close()


def _refused(what: str, code: int, words: bytes | str) -> Result:
    """5yz to a recipient or a message stays so (RFC 5321 4.2.1); 421 and 4yz may pass."""
    final = 500 <= code <= 599
    return Result.failed(f"{what}: {code} {_said(words)}.", final=final)


def _words(why: Exception) -> str:
    """What happened, in a few words: no password, no traceback, one line of what the server said."""
    match why:
        case smtplib.SMTPAuthenticationError():
            return f"it does not accept user and password: {why.smtp_code} {_said(why.smtp_error)}"
        case smtplib.SMTPResponseException():
            return f"{why.smtp_code} {_said(why.smtp_error)}"
        case ssl.SSLCertVerificationError():
            return f"its certificate is not to be trusted ({why.verify_message})"
        case TimeoutError():
            return "it does not answer"
        case OSError() if why.strerror:
            return why.strerror
        case _:
            return one_line(str(why)).rstrip(".") or type(why).__name__


def _said(words: bytes | str) -> str:
    text = words.decode("ascii", "replace") if isinstance(words, bytes) else words
    return one_line(text).rstrip(".")
