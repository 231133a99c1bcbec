"""One received fax on its way to one target: its document, its name, what is said about it, and how a try went.

Owns      the id a receiver can tell doubles by, the JSON that webhooks and commands get, the values of the fields.
Not here  templates and which fields they have (templates.py), the ways to deliver (deliver_*.py), when (delivery.py).

Text of a peer (caller, remote id, subaddress) is data here too: it becomes a JSON string, or a template's value with
everything unprintable replaced, or a plain word of a file name.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Final, Self

from vfax.errors import DocumentError
from vfax.host.document import Format
from vfax.host.records import stamp
from vfax.host.spool import file_name
from vfax.host.store.values import StoredDelivery, StoredFax
from vfax.host.templates import FIELDS, one_line

PAYLOAD_VERSION: Final = 1
"""Raised when a field of the JSON changes its meaning; new fields do not raise it."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Result:
    """How one try ended, and the sentence about it.

    `final`: it would fail the same way for ever. `retry_after`: seconds that the target asks for before the next try.
    """

    ok: bool
    sentence: str
    final: bool = False
    retry_after: float = 0.0

    @classmethod
    def done(cls, sentence: str) -> Self:
        """The target has the fax."""
        return cls(ok=True, sentence=sentence)

    @classmethod
    def failed(cls, sentence: str, *, final: bool = False, retry_after: float = 0.0) -> Self:
        """The target does not have the fax, or nobody knows whether it has."""
        return cls(ok=False, sentence=sentence, final=final, retry_after=retry_after)


@dataclass(frozen=True, slots=True, kw_only=True)
class Parcel:
    """One delivery with its fax. `link` is a template for the address where people find the fax, "": there is none."""

    delivery: StoredDelivery
    fax: StoredFax
    spool: Path
    link: str = ""

    @property
    def job(self) -> str:
        """The job's number in eight hexadecimal digits."""
        return f"{self.fax.job:08x}"

    @property
    def event_id(self) -> str:
        """The same for every try of this delivery, and for no other delivery."""
        made = self.delivery.created_at.astimezone(UTC).strftime("%Y%m%dT%H%M%SZ")
        return f"{made}-{self.job}-{self.delivery.id}"

    @property
    def document(self) -> Path | None:
        """The document in the spool; None when the fax has none. Raises DocumentError for a path that leaves it."""
        if self.fax.document is None:
            return None
        path = self.spool / self.fax.document
        if Path(self.fax.document).is_absolute() or ".." in Path(self.fax.document).parts:
            raise DocumentError(f"{self.fax.document}: the document of fax {self.job} is not inside the spool folder")
        return path

    @property
    def name(self) -> str:
        """The file name of the fax without its suffix: `<UTC stamp>-<caller>-<job>`."""
        return file_name(self._said("caller", "id"), self.job, self.started_at)

    @property
    def started_at(self) -> datetime:
        """When the call came; when it was stored, if the record does not say."""
        try:
            return datetime.fromisoformat(self._said("started"))
        except ValueError:
            return self.fax.received_at

    @property
    def created(self) -> str:
        """The fax's date as PDF writes it."""
        return self.started_at.astimezone(UTC).strftime("D:%Y%m%d%H%M%SZ")

    @property
    def title(self) -> str:
        """The fax in a few words, for the properties of a PDF."""
        fields = self.fields()
        return f"Fax from {fields['caller'] or fields['remote_id'] or 'an unknown caller'}, {fields['received']}"

    def _said(self, *keys: str) -> str:
        """A value of the record as text; "" where there is none."""
        value: object = self.fax.record
        for key in keys:
            value = value.get(key) if isinstance(value, Mapping) else None
        return str(value) if isinstance(value, str | int) and not isinstance(value, bool) else ""

    def fields(self) -> dict[str, str]:
        """The values of FIELDS: each one line, printable, at most MAX_FIELD characters."""
        said = {
            "caller": self._said("caller", "id"),
            "caller_name": self._said("caller", "name"),
            "remote_id": self._said("remote_id"),
            "dialled": self._said("dialled"),
            "subaddress": self._said("subaddress"),
            "device": self._said("device", "name"),
            "job": self.job,
            "pages": self._said("pages"),
            "received": f"{self.started_at.astimezone(UTC):%Y-%m-%d %H:%M:%S} UTC",
            "state": "incomplete" if self.fax.record.get("incomplete") else "complete",
            "sentence": self._said("outcome", "sentence"),
            "rule": self.delivery.rule,
            "link": self.link.replace("{job}", self.job),
        }
        return {name: one_line(said[name]) for name in FIELDS}

    def payload(self, form: Format) -> dict[str, object]:
        """What webhooks and commands are told; the same for every try. Places on this machine are left out."""
        record = {name: value for name, value in self.fax.record.items() if name != "files"}
        document = None
        if self.fax.document is not None:
            document = {"name": f"{self.name}{form.suffix}", "type": form.media_type}
        return {
            "version": PAYLOAD_VERSION,
            "event": "fax.received",
            "id": self.event_id,
            "sequence": self.delivery.id,
            "rule": self.delivery.rule,
            "received": stamp(self.fax.received_at),
            "fax": record,
            "document": document,
            "links": {"fax": self.link.replace("{job}", self.job)} if self.link else {},
        }
