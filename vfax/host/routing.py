"""Rules that say where a received fax goes.

Owns      patterns, rules, the targets of each kind, and which rules hold for a fax.
Not here  how a rule is written (settings/routes.py), carrying deliveries out (delivery.py).

A fax lies in the inbox whatever the rules say; a fax that no rule holds for lies there and nowhere else. What is stored
with a delivery (`NewDelivery.target`) is for people to read: secrets, the paths of URLs and the arguments of commands
stay in the settings, and a delivery asks for them by the name of its rule each time it is tried. So the store alone
can never make this host run, write or call anything.
"""

import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from enum import StrEnum
from typing import Final, TypeAlias

from vfax.host.document import Format
from vfax.host.records import FaxRecord
from vfax.host.store.values import NewDelivery

EVERYTHING: Final = ("*",)
SEPARATORS: Final = frozenset(" -/().\t")
"""What people and terminals put between digits; numbers are compared without."""


class Kind(StrEnum):
    """How a fax is delivered."""

    FOLDER = "folder"
    MAIL = "mail"
    WEBHOOK = "webhook"
    COMMAND = "command"


class Body(StrEnum):
    """What a webhook is sent: the record alone, or the record and the document as two parts."""

    JSON = "json"
    MULTIPART = "multipart"


@dataclass(frozen=True, slots=True, kw_only=True)
class FolderTarget:
    """A folder for documents, with a JSON record beside each if `record`.

    `hard_link`: a TIFF shares its octets with the spool where both are on one file system.
    """

    folder: str
    form: Format = Format.TIFF
    record: bool = True
    hard_link: bool = False


@dataclass(frozen=True, slots=True, kw_only=True)
class MailTarget:
    """Recipients; each gets a mail, and a delivery, of its own. `subject` and `body` are templates (template.py)."""

    to: tuple[str, ...]
    subject: str
    body: str
    form: Format = Format.PDF


@dataclass(frozen=True, slots=True, kw_only=True)
class WebhookTarget:
    """Where to POST. `secret` signs what is sent ("": unsigned), `secret_file` holds it instead; `ca_file` "": the
    authorities this machine trusts."""

    url: str
    body: Body = Body.MULTIPART
    form: Format = Format.PDF
    secret: str = field(default="", repr=False)
    secret_file: str = ""
    ca_file: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class CommandTarget:
    """A program and its arguments; `{document}` and `{job}` in an argument stand for their values."""

    command: tuple[str, ...]
    form: Format = Format.TIFF


Target: TypeAlias = FolderTarget | MailTarget | WebhookTarget | CommandTarget

KIND_OF: Final[Mapping[type[Target], Kind]] = {
    FolderTarget: Kind.FOLDER,
    MailTarget: Kind.MAIL,
    WebhookTarget: Kind.WEBHOOK,
    CommandTarget: Kind.COMMAND,
}


@dataclass(frozen=True, slots=True, kw_only=True)
class Rule:
    """One rule: it holds when a pattern of each of its five questions fits. `stop`: rules behind it are not asked.

    A pattern is `*` (anything, or nothing said), a beginning (`+4930*`), or the whole ("": nothing was said).
    """

    name: str
    target: Target
    dialled: tuple[str, ...] = EVERYTHING
    caller: tuple[str, ...] = EVERYTHING
    remote_id: tuple[str, ...] = EVERYTHING
    subaddress: tuple[str, ...] = EVERYTHING
    device: tuple[str, ...] = EVERYTHING
    stop: bool = False

    @property
    def kind(self) -> Kind:
        """How this rule delivers."""
        return KIND_OF[type(self.target)]

    def holds(self, record: FaxRecord) -> bool:
        """True when the fax is one of this rule's. A device may be named by its name or its number."""
        return (
            fits(self.dialled, record.dialled)
            and fits(self.caller, record.caller)
            and fits(self.remote_id, record.remote_id)
            and fits(self.subaddress, record.subaddress)
            and (fits(self.device, record.device_name) or fits(self.device, str(record.device_id)))
        )


def route(rules: Iterable[Rule], record: FaxRecord) -> tuple[NewDelivery, ...]:
    """Every delivery that the rules want for this fax, in their order; none where no rule holds."""
    found: list[NewDelivery] = []
    for rule in rules:
        if rule.holds(record):
            found.extend(NewDelivery(rule=rule.name, kind=rule.kind, target=shown) for shown in targets(rule.target))
            if rule.stop:
                break
    return tuple(found)


def fits(patterns: Sequence[str], text: str) -> bool:
    """True when one of the patterns fits the text of a peer; case, and separators within numbers, do not count."""
    said = _plain(text)
    return any(_fits(_plain(pattern), said) for pattern in patterns)


def _fits(pattern: str, said: str) -> bool:
    return said.startswith(pattern[:-1]) if pattern.endswith("*") else said == pattern


def _plain(text: str) -> str:
    return "".join(letter for letter in text if letter not in SEPARATORS).casefold()


def targets(target: Target) -> list[dict[str, object]]:
    """What is stored of a target, one for each delivery it makes; nothing in it is secret."""
    form: dict[str, object] = {"format": target.form.value}
    match target:
        case FolderTarget():
            return [{"folder": target.folder} | form]
        case MailTarget():
            return [{"to": address} | form for address in target.to]
        case WebhookTarget():
            return [{"url": origin(target.url), "body": target.body.value} | form]
        case CommandTarget():
            return [{"program": target.command[0]} | form]


def origin(url: str) -> str:
    """Scheme, host and port of a URL: its path and query may hold tokens."""
    scheme, mark, rest = url.partition("://")
    return f"{scheme}{mark}{re.split('[/?#]', rest, maxsplit=1)[0]}"
