"""Settings of the door for clients: where they come in, who may do what, and what they may take of the host.

Owns      the section [clients] and its tokens, and what of them cannot be meant together.
Not here  reading them (reading.py), what each becomes (doors.py), what a right is (host/api/identity.py).
"""

import re
from typing import Annotated, Final, Literal, Self

from pydantic import AfterValidator, Field, model_validator

from vfax.host.api.identity import RIGHT_WORDS
from vfax.settings.section import Section
from vfax.settings.words import Count, Line, Seconds, is_loopback, parse_host_port

ALL: Final = "all"


def _rights(words: tuple[str, ...]) -> tuple[str, ...]:
    for word in words:
        if word != ALL and word not in RIGHT_WORDS:
            raise ValueError(f'expected rights among {", ".join(RIGHT_WORDS)}, or "{ALL}"')
    return words


def _digest(text: str) -> str:
    if not re.fullmatch(r"[0-9a-f]{64}", text):
        raise ValueError(
            "expected the SHA-256 of a token, 64 lower-case hexadecimal digits: printf %s TOKEN | sha256sum"
        )
    return text


def _mode(text: str) -> str:
    if not re.fullmatch(r"0?[0-7]{3}", text):
        raise ValueError('expected permissions in octal, such as "0660"')
    return text


def _name(text: str) -> str:
    if not re.fullmatch(r"[A-Za-z0-9_.@-]{1,64}", text):
        raise ValueError("expected a name of at most 64 letters, digits, full stops, hyphens, underscores and @")
    return text


def _listen(text: str) -> str:
    if text:
        parse_host_port(text)
    return text


Rights = Annotated[tuple[str, ...], Field(strict=False), AfterValidator(_rights)]


class TokenSettings(Section):
    """A token of a client that comes over the network: who has it, its SHA-256, what it may do."""

    name: Annotated[str, AfterValidator(_name)] = Field(default="", validate_default=True)
    sha256: Annotated[str, AfterValidator(_digest)] = Field(default="", validate_default=True)
    rights: Rights = ("submit",)


class ClientSettings(Section):
    """Clients of the service: programs that submit, watch and manage faxes. Times in seconds."""

    socket: Line = Field(
        default="auto",
        description='Unix socket for programs of this machine. "auto": clients.sock in the spool, "": none.',
    )
    socket_mode: Annotated[str, AfterValidator(_mode)] = Field(
        default="0660", description="Permissions of the socket: who may connect."
    )
    socket_rights: Rights = Field(
        default=("submit", "query"),
        description="What others than root and the host's own user may do there: submit, query, manage, config-query, "
        "config-set, port-query, port-set, all.",
    )
    listen: Annotated[str, AfterValidator(_listen)] = Field(
        default="", description='Numeric address and TCP port for clients with tokens, HTTPS. "": none.'
    )
    certificate: Line = Field(default="", description="Certificate chain in PEM; needed unless `listen` is loopback.")
    certificate_key: Line = Field(default="", description="Its private key in PEM.")
    tokens: Annotated[tuple[TokenSettings, ...], Field(strict=False, max_length=1_000)] = Field(
        default=(), description='Tokens: { name = "crm", sha256 = "...", rights = ["submit"] } each.'
    )
    profile: Literal["win2000", "xp"] = Field(
        default="win2000", description="A second registration of a client is refused, or told everything twice."
    )
    account: Literal["user", "system"] = Field(
        default="user",
        description="Messages reach clients by a lease on their desktop (user), or where they may (system).",
    )
    allow_interact: bool = Field(default=False, description="With the system account: messages reach other desktops.")
    max_connections: Count = Field(default=200, description="Sockets of clients at once, here and far away each.")
    max_head: int = Field(default=16_384, ge=4_096, le=1 << 20, description="Octets of the head of a request.")
    max_body: int = Field(default=65_536, ge=1_024, le=1 << 24, description="Octets of a request that is no document.")
    max_upload: int = Field(
        default=67_108_864, ge=65_536, le=1 << 40, description="Octets of a document that comes in."
    )
    max_uploads: Count = Field(default=4, description="Documents that come in at once.")
    max_recipients: Count = Field(default=1_000, description="Recipients of one document.")
    max_rows: Count = Field(default=1_000, description="Rows of one answer.")
    max_streams: Count = Field(default=200, description="Streams of events at once.")
    max_handles: Count = Field(default=1_000, description="Connections (FaxConnectFaxServer) at once.")
    max_handles_per_name: Count = Field(default=250, description="The same of one user or token.")
    max_registrations: Count = Field(default=1_000, description="Registrations (FaxInitializeEventQueue) at once.")
    max_registrations_per_client: Count = Field(default=16, description="The same of one client.")
    max_kept: Count = Field(default=10_000, description="Events a reader may fall behind; then it is dropped.")
    idle_timeout: Seconds = Field(default=15.0, description="A socket without a request, or for the head of one.")
    handshake_timeout: Seconds = Field(default=10.0, description="The TLS handshake.")
    send_timeout: Seconds = Field(default=30.0, description="A client that does not take what is sent to it.")
    body_timeout: Seconds = Field(default=10.0, description="A request that is no document.")
    upload_timeout: Seconds = Field(default=600.0, description="A document that comes in.")
    upload_pause: Seconds = Field(default=30.0, description="Between two pieces of it.")
    heartbeat: Seconds = Field(default=15.0, description="Longest silence of a stream of events.")
    connection_idle: Seconds = Field(
        default=3_600.0, description="A connection over the network without a request; then it is closed."
    )
    reader_grace: Seconds = Field(default=60.0, description="A registration without a reader; then it ends.")

    @model_validator(mode="after")
    def _can_be_meant(self) -> Self:
        if bool(self.certificate) != bool(self.certificate_key):
            raise ValueError("certificate and certificate_key belong together: give both, or none")
        names = [token.name for token in self.tokens]
        if len(set(names)) != len(names) or len({token.sha256 for token in self.tokens}) != len(names):
            raise ValueError("two tokens have one name or one sha256: give each its own")
        if self.listen:
            self._network_is_safe()
        return self

    def _network_is_safe(self) -> None:
        if not self.certificate and not is_loopback(parse_host_port(self.listen)[0]):
            raise ValueError(
                f'listen = "{self.listen}" would show tokens to the network: give certificate and certificate_key'
            )
        if not self.tokens:
            raise ValueError(f'listen = "{self.listen}" lets nobody in: give tokens, or leave listen empty')
