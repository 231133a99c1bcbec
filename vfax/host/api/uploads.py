"""Documents that clients send: multipart bodies, spooled to disk piece by piece.

Owns      the file a document comes into, the form fields beside it, and their limits.
Not here  boundaries (multipart.py), what fields mean (jobs.py), what becomes of the document (the door).

A file is removed when the block is left, unless somebody has moved it. Writing is done in threads.
"""

import os
import secrets
from collections.abc import AsyncIterator
from contextlib import aclosing, asynccontextmanager, suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import Final

import trio

from vfax.errors import StoreError
from vfax.host.api.calls import Call, too_slow
from vfax.host.api.multipart import Multipart, PartBegun, PartData, PartEnded, PartEvent, boundary_of
from vfax.host.api.parsing import invalid, parse_text, shown
from vfax.host.door import Upload

DOCUMENT: Final = "document"
"""The name of the part that is the document; all others are fields."""
MAX_FIELD: Final = 1_024
"""Limit: octets of one form field."""
OVERHEAD: Final = 1_048_576
"""Limit: octets of a body beside its document: boundaries, headers, fields."""


@dataclass(slots=True)
class Form:
    """What came: the document, and the fields in order."""

    fields: list[tuple[str, str]] = field(default_factory=list)
    upload: Upload | None = None


@dataclass(slots=True, eq=False)
class _File:
    """The document's file while it comes."""

    path: Path
    handle: int
    file_name: str
    media_type: str
    octets: int = 0


class _Taking:
    """Takes the parts of one body."""

    def __init__(self, folder: Path, *, max_document: int, max_fields: int) -> None:
        self.form = Form()
        self._folder = folder
        self._max_document = max_document
        self._max_fields = max_fields
        self._file: _File | None = None
        self._name = ""
        self._text = bytearray()

    async def take(self, event: PartEvent) -> None:
        match event:
            case PartBegun(name, file_name, media_type):
                await self._begin(name, file_name or "", media_type)
            case PartData(octets):
                await self._data(octets)
            case PartEnded():
                await self._end()

    async def _begin(self, name: str, file_name: str, media_type: str) -> None:
        self._name = parse_text(name, "the name of a part")
        self._text.clear()
        if name == DOCUMENT:
            if self.form.upload is not None:
                raise invalid("the body has two documents: expected one")
            name, kind = (parse_text(text[-256:], "what is said of the document") for text in (file_name, media_type))
            self._file = await trio.to_thread.run_sync(_create, self._folder, name, kind)
        elif len(self.form.fields) >= self._max_fields:
            raise invalid(f"the body has more than {self._max_fields} fields")

    async def _data(self, octets: bytes) -> None:
        if self._file is None:
            self._text += octets
            if len(self._text) > MAX_FIELD:
                raise invalid(f"field {shown(self._name)} is longer than {MAX_FIELD} octets")
            return
        self._file.octets += len(octets)
        if self._file.octets > self._max_document:
            raise invalid(f"the document is larger than {self._max_document} octets", 413)
        await trio.to_thread.run_sync(_write, self._file, octets)

    async def _end(self) -> None:
        if self._file is None:
            try:
                self.form.fields.append((self._name, self._text.decode("utf-8")))
            except UnicodeDecodeError:
                raise invalid(f"field {shown(self._name)} is not UTF-8") from None
            return
        file, self._file = self._file, None
        os.close(file.handle)
        self.form.upload = Upload(
            path=file.path, octets=file.octets, file_name=file.file_name, media_type=file.media_type
        )

    def clear(self) -> None:
        """Close and remove what is there."""
        if self._file is not None:
            os.close(self._file.handle)
        for left in (self._file, self.form.upload):
            if left is not None:
                with suppress(OSError):
                    os.unlink(left.path)


@asynccontextmanager
async def received(call: Call) -> AsyncIterator[Form]:
    """Take a multipart body; what was spooled is removed after the block. Raises Refused, DecodeError, StoreError."""
    options = call.options
    parser = Multipart(boundary_of(call.request.headers.get("content-type", "")))
    taking = _Taking(options.uploads, max_document=options.max_upload, max_fields=options.max_recipients + 100)
    try:
        with trio.move_on_after(options.upload_timeout) as limit:
            async with aclosing(call.pieces(options.max_upload + OVERHEAD, pause=options.upload_pause)) as pieces:
                async for piece in pieces:
                    for event in parser.feed(piece):
                        await taking.take(event)
            parser.finish()
        if limit.cancelled_caught:
            raise too_slow(options.upload_timeout)
        yield taking.form
    finally:
        with trio.CancelScope(shield=True):
            await trio.to_thread.run_sync(taking.clear)


def prepare(folder: Path) -> None:
    """Make the folder and remove what an earlier run has left in it. Raises StoreError."""
    try:
        folder.mkdir(mode=0o700, parents=True, exist_ok=True)
        for path in folder.glob(f"{PREFIX}*"):
            path.unlink(missing_ok=True)
    except OSError as why:
        raise StoreError(f"cannot make the folder of uploads {folder}: {why.strerror or why}") from why


PREFIX: Final = "upload-"


def _create(folder: Path, file_name: str, media_type: str) -> _File:
    path = folder / f"{PREFIX}{secrets.token_hex(16)}"
    try:
        handle = os.open(path, os.O_CREAT | os.O_EXCL | os.O_WRONLY | getattr(os, "O_BINARY", 0), 0o600)
    except OSError as why:
        raise StoreError(f"cannot create a file in {folder}: {why.strerror or why}") from why
    return _File(path, handle, file_name, media_type)


def _write(file: _File, octets: bytes) -> None:
    view = memoryview(octets)
    try:
        while view:
            view = view[os.write(file.handle, view) :]
    except OSError as why:
        raise StoreError(f"cannot write {file.path.name}: {why.strerror or why}") from why
