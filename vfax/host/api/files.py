"""A document of the host as a response: read piece by piece, in threads.

Owns      sending a file. Not here: which file (the door), who may have it (jobs.py, resources.py).
"""

import os
from pathlib import Path
from typing import BinaryIO, Final

import trio
from starlette.responses import Response
from starlette.types import Receive, Scope, Send

from vfax.errors import StoreError
from vfax.host.api.parsing import invalid

PIECE: Final = 65_536


class _Document(Response):
    """Sends an open file and closes it."""

    media_type = "image/tiff"

    def __init__(self, file: BinaryIO, name: str) -> None:
        octets = os.fstat(file.fileno()).st_size
        headers = {
            "content-length": str(octets),
            "content-disposition": f'attachment; filename="{name}"',
            "x-content-type-options": "nosniff",
        }
        super().__init__(None, headers=headers)
        self._file = file
        self._octets = octets

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        with self._file as file:
            await send({"type": "http.response.start", "status": 200, "headers": self.raw_headers})
            left = self._octets if scope["method"] != "HEAD" else 0
            while left and (piece := await trio.to_thread.run_sync(file.read, min(left, PIECE))):
                left -= len(piece)
                await send({"type": "http.response.body", "body": piece, "more_body": True})
            await send({"type": "http.response.body", "body": b"", "more_body": False})


async def file_response(path: Path | None, name: str) -> Response:
    """Send a TIFF document. Raises Refused (404) when there is none, StoreError when it cannot be read."""
    if path is None:
        raise invalid("there is no document (any more)", 404)
    try:
        file = await trio.to_thread.run_sync(lambda: path.open("rb"))
    except FileNotFoundError:
        raise invalid("there is no document (any more)", 404) from None
    except OSError as why:
        raise StoreError(f"cannot read the document: {why.strerror or why}") from why
    return _Document(file, name)
