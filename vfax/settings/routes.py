"""Settings of deliveries: where received faxes go besides the inbox, by which server, how often, how long.

Owns      the tables [[route]], the sections [mail] and [delivery], and what of them cannot be meant together.
Not here  reading them (reading.py), what each becomes (wiring.py), what a rule does (host/routing.py).
"""

import ipaddress
import re
from pathlib import Path
from typing import Annotated, Final, Literal, Self
from urllib.parse import SplitResult, urlsplit

from pydantic import AfterValidator, BeforeValidator, Field, model_validator

from vfax.host.templates import FIELDS, check_template
from vfax.settings.section import Section
from vfax.settings.words import Count, Line, Seconds, Share

SPOOL_FOLDERS: Final = ("incoming", "inbox", "failed", "unreadable", "journal", "extensions", "outgoing")
"""What in the spool is not for deliveries."""
KEYS_OF: Final[dict[str, tuple[str, ...]]] = {
    "folder": ("folder", "record", "hard_link"),
    "mail": ("to", "subject", "text"),
    "webhook": ("url", "body", "secret", "secret_file", "ca_file", "allow_http"),
    "command": ("command",),
}
"""What each kind of rule has of its own."""
_ADDRESS: Final = re.compile(r"[A-Za-z0-9.!#$%&'*+/=?^_`{|}~-]{1,64}@[A-Za-z0-9-]+(\.[A-Za-z0-9-]+)*")


def _listed(value: object) -> object:
    """One pattern needs no brackets."""
    return (value,) if isinstance(value, str) else value


def _patterns(patterns: tuple[str, ...]) -> tuple[str, ...]:
    if not patterns:
        raise ValueError('expected at least one pattern; "*" is anything')
    for pattern in patterns:
        if "*" in pattern[:-1]:
            raise ValueError('expected a whole text, a beginning such as "+4930*", or "*": a star stands at the end')
    return patterns


def _name(name: str) -> str:
    if not re.fullmatch(r"[A-Za-z0-9_.-]{1,64}", name):
        raise ValueError("expected a name of at most 64 letters, digits, full stops, hyphens and underscores")
    return name


def _address(address: str) -> str:
    if len(address) > 254 or not _ADDRESS.fullmatch(address):
        raise ValueError('expected a mail address, such as "fax@example.org", in ASCII and without a name')
    return address


def _address_or_empty(address: str) -> str:
    return _address(address) if address else address


def _arguments(command: tuple[str, ...]) -> tuple[str, ...]:
    for argument in command:
        if "\0" in argument:
            raise ValueError("expected arguments without a NUL")
        for field in FIELDS:
            if field != "job" and f"{{{field}}}" in argument:
                raise ValueError(
                    f"{{{field}}} cannot be an argument, for the caller might choose it: the command finds it in the "
                    "JSON on its standard input"
                )
    return command


def _link(link: str) -> str:
    if link:
        _web(link.replace("{job}", "0"), "link")
        if "{job}" not in link:
            raise ValueError('expected an address with the number of the fax, as in "https://fax.example/faxes/{job}"')
    return link


def _web(url: str, key: str) -> SplitResult:
    try:
        parts = urlsplit(url)
        _ = parts.port
    except ValueError as why:
        raise ValueError(f"{key} is no address ({why})") from None
    plain = url.isascii() and url.isprintable() and " " not in url
    if parts.scheme not in ("http", "https") or not parts.hostname or not plain:
        raise ValueError(f'{key}: expected an address of the web in ASCII, such as "https://example.org/fax"')
    return parts


def is_this_machine(host: str) -> bool:
    """True for localhost and loopback addresses."""
    try:
        return host.lower() == "localhost" or ipaddress.ip_address(host.strip("[]")).is_loopback
    except ValueError:
        return False


Patterns = Annotated[
    tuple[Line, ...], BeforeValidator(_listed), Field(strict=False, max_length=1_000), AfterValidator(_patterns)
]
Template = Annotated[str, Field(max_length=10_000), AfterValidator(check_template)]
Addresses = Annotated[
    tuple[Annotated[str, AfterValidator(_address)], ...],
    BeforeValidator(_listed),
    Field(strict=False, max_length=100),
]
Arguments = Annotated[tuple[str, ...], Field(strict=False, max_length=1_000), AfterValidator(_arguments)]
DEFAULT_TEXT: Final = (
    "A fax from {caller} {caller_name} to {dialled}, {pages} pages, received {received}, is attached.\n\n"
    "It is {state}. {sentence}\n\nFax {job}, terminal {remote_id} {link}\n"
)


class RouteSettings(Section):
    """Where received faxes go besides the inbox: a table for each rule, asked from top to bottom."""

    name: Annotated[str, AfterValidator(_name)] = Field(
        default="example", description="Name of the rule, each once; waiting deliveries find their rule by it."
    )
    kind: Literal["folder", "mail", "webhook", "command"] = Field(
        default="folder", description="What becomes of the fax; the keys of other kinds must not be set."
    )
    dialled: Patterns = Field(
        default=("*",),
        description='Numbers that were called: whole, a beginning ("+4930*"), "*" for any, "" for none. One or a list.',
    )
    caller: Patterns = Field(default=("*",), description="Numbers of callers as the network says them.")
    remote_id: Patterns = Field(default=("*",), description="What the calling terminal says it is (TSI).")
    subaddress: Patterns = Field(default=("*",), description="Subaddresses (SUB).")
    device: Patterns = Field(default=("*",), description='Devices, by name or number, as in "vfax 1" or "1".')
    stop: bool = Field(default=False, description="Ask no further rule when this one holds.")
    format: Literal["", "tiff", "pdf"] = Field(
        default="", description='Form of the document. "": tiff for folder and command, pdf for mail and webhook.'
    )
    folder: str = Field(
        default="copies",
        max_length=4_096,
        description="folder: where to; a relative one is in the spool and made, an absolute one must be there.",
    )
    record: bool = Field(default=True, description="folder: put a JSON record beside the document.")
    hard_link: bool = Field(
        default=False, description="folder: share the octets of a TIFF with the spool instead of copying them."
    )
    to: Addresses = Field(default=(), description="mail: recipients; each gets a mail and a delivery of its own.")
    subject: Template = Field(
        default="Fax from {caller} {remote_id}", description="mail: subject, with fields (docs/delivery.md)."
    )
    text: Template = Field(default=DEFAULT_TEXT, description="mail: text, with fields.")
    url: Annotated[str, Field(max_length=2_000)] = Field(default="", description="webhook: where to POST.")
    body: Literal["multipart", "json"] = Field(
        default="multipart", description="webhook: the record and the document, or the record alone (json)."
    )
    secret: str = Field(
        default="", max_length=4_096, repr=False, description='webhook: secret of the signature. "": not signed.'
    )
    secret_file: str = Field(default="", description="webhook: a file that holds the secret instead.")
    ca_file: str = Field(default="", description='webhook: certificates to trust (PEM). "": those this machine trusts.')
    allow_http: bool = Field(default=False, description="webhook: let faxes leave this machine without TLS.")
    command: Arguments = Field(
        default=(), description="command: program and arguments; {document} and {job} are replaced. No shell."
    )

    @model_validator(mode="after")
    def _only_its_own_keys(self) -> Self:
        for kind, keys in KEYS_OF.items():
            for key in keys:
                if kind != self.kind and getattr(self, key) != type(self).model_fields[key].default:
                    raise ValueError(f'{key} goes with kind = "{kind}", and this rule has kind = "{self.kind}"')
        return self

    @model_validator(mode="after")
    def _whole(self) -> Self:
        {"folder": self._folder, "mail": self._mail, "webhook": self._webhook, "command": self._command}[self.kind]()
        return self

    def _folder(self) -> None:
        path = Path(self.folder)
        if not self.folder or "\0" in self.folder:
            raise ValueError('folder names no folder: give one, such as folder = "copies" (in the spool)')
        if path.is_absolute():
            return
        if ".." in path.parts or path == Path():
            raise ValueError(
                f"folder = {self.folder!r} leaves the spool folder: give a full path, or the name of a folder in it"
            )
        if path.parts[0] in SPOOL_FOLDERS or path.parts[0].startswith("."):
            raise ValueError(f"folder = {self.folder!r} is where vfax keeps its own files: choose another name")

    def _mail(self) -> None:
        if not self.to:
            raise ValueError('a mail needs recipients: give to = ["somebody@example.org"]')

    def _webhook(self) -> None:
        if not self.url:
            raise ValueError('a webhook needs an address: give url = "https://..."')
        parts = _web(self.url, "url")
        if parts.username is not None or parts.password is not None:
            raise ValueError("url has a user or a password in it: leave them out, and let the receiver check a secret")
        if parts.scheme == "http" and not is_this_machine(parts.hostname or "") and not self.allow_http:
            raise ValueError(
                f"url = {parts.scheme}://{parts.hostname} lets faxes leave this machine without TLS: use https://, or "
                "allow_http = true where the network may be trusted"
            )
        if self.secret and self.secret_file:
            raise ValueError("secret and secret_file are both given: keep one")

    def _command(self) -> None:
        if not self.command or not self.command[0].strip():
            raise ValueError('a command needs a program: give command = ["/usr/local/bin/take-fax", "{document}"]')
        program = Path(self.command[0])
        if not program.is_absolute() and self.command[0] != program.name:
            raise ValueError(f"command begins with {self.command[0]!r}: give its full path, or a name found by PATH")


class MailSettings(Section):
    """The mail server that takes what rules of the kind mail send. Times in seconds."""

    server: Line = Field(default="", description='Name or address of the server. "": no mail is sent.')
    port: int = Field(default=587, ge=1, le=65_535, description="Its port: 587 with starttls, 465 with tls, 25 else.")
    security: Literal["starttls", "tls", "none"] = Field(
        default="starttls", description="starttls and tls check the certificate and the name; none sends in the clear."
    )
    user: str = Field(default="", max_length=256, description='User to log in as. "": no login.')
    password: str = Field(default="", max_length=1_024, repr=False, description="Password; rather VFAX_MAIL__PASSWORD.")
    sender: Annotated[str, AfterValidator(_address_or_empty)] = Field(
        default="", description="Address the mails come from, as in fax@example.org."
    )
    ca_file: str = Field(default="", description='Certificates to trust (PEM). "": those this machine trusts.')
    helo: Line = Field(default="", description='What we call ourselves to the server. "": the name of this machine.')
    timeout: Seconds = Field(default=60.0, description="How long the server may take for each answer.")
    max_message: int = Field(
        default=26_214_400, ge=65_536, le=1 << 30, description="Octets of one mail as sent; larger ones are given up."
    )

    @model_validator(mode="after")
    def _no_password_in_the_clear(self) -> Self:
        if self.user and self.security == "none" and not is_this_machine(self.server):
            raise ValueError(
                f'user = {self.user!r} with security = "none" would send the password in the clear to {self.server}: '
                'use "starttls" or "tls"'
            )
        return self


class DeliverySettings(Section):
    """How deliveries are tried, and their limits. Times in seconds."""

    concurrency: int = Field(default=16, ge=1, le=1_000, description="Deliveries tried at once.")
    poll_interval: Seconds = Field(default=15.0, description="How often the store is asked for what others made due.")
    retry_first: Seconds = Field(default=30.0, description="Pause after the first failure; it doubles with each.")
    retry_longest: Seconds = Field(default=3_600.0, description="Longest pause.")
    retry_jitter: Share = Field(default=0.2, description="Share of a pause that chance may take off.")
    max_attempts: Count = Field(default=80, description="Failures after which a delivery is given up.")
    alarm_after: Seconds = Field(default=3_600.0, description="A fax undelivered for so long raises an alarm, once.")
    folder_limit: Seconds = Field(default=120.0, description="One try of a folder.")
    mail_limit: Seconds = Field(default=300.0, description="One try of a mail.")
    webhook_limit: Seconds = Field(default=120.0, description="One try of a webhook.")
    command_limit: Seconds = Field(default=300.0, description="One try of a command; then it is killed.")
    stop_grace: Seconds = Field(default=5.0, description="At the end: for writing down what was interrupted.")
    connect: Seconds = Field(default=10.0, description="Until a webhook's server has taken the connection.")
    max_document: int = Field(
        default=67_108_864, ge=65_536, le=1 << 31, description="Octets of a document that a webhook is sent."
    )
    max_answer: int = Field(default=65_536, ge=256, le=1 << 24, description="Octets of a webhook's answer to read.")
    max_retry_after: Seconds = Field(default=86_400.0, description="Longest wait that a webhook may ask for.")
    kill_grace: Seconds = Field(default=2.0, description="From asking a command to end to killing it.")
    max_output: int = Field(default=2_000, ge=0, le=100_000, description="Characters kept of what a command says.")
    link: Annotated[str, Field(max_length=2_000), AfterValidator(_link)] = Field(
        default="", description='Where people find a fax, as in "https://fax.example/faxes/{job}"; for mails and JSON.'
    )
