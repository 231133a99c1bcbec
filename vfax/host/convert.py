"""Files to fax documents, in a process of its own with limits: what somebody sends is not to be trusted.

Owns      starting that process, its limits, how far it is, and what its end means.
Not here  the conversion (codecs/tiff.py), which the child does; where the document goes (outgoing.py).

    python -m vfax.host.convert <limits as JSON> <resolution> <target> <source>...

The child limits itself before it looks at a file: CPU time, memory, size of what it writes. It says JSON objects on
standard output, one a line: `source`, `page`, `number` and `total` before each page, at last `pages` or `error`, that
with `storage` where the disk is to blame.
"""

import errno
import json
import signal
import subprocess
import sys
from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass
from functools import partial
from pathlib import Path
from typing import Any, Final

import trio

from vfax.errors import DocumentError, FaxError, StoreError

MAX_LINE: Final = 65_536
"""Limit: octets of one line of the child, and of what it says on standard error."""

SIMPLER: Final = "send a simpler one, or in parts"

Progress = Callable[[int, int], None]
"""Is told which page is made, from 1, and of how many."""


@dataclass(frozen=True, slots=True, kw_only=True)
class ConvertLimits:
    """What one conversion may take. `seconds` of CPU and twice that of waiting; octets of memory and of the document;
    pages of the document, pixels of one page, millimetres of its length.

    Limits of memory and CPU hold on POSIX systems; elsewhere the waiting time alone does.
    """

    seconds: int = 120
    memory: int = 2 << 30
    octets: int = 256 << 20
    pages: int = 1_000
    pixels: int = 100_000_000
    length_mm: int = 1_200


async def convert(
    sources: Sequence[Path],
    target: Path,
    *,
    resolution: str,
    limits: ConvertLimits,
    observe: Progress = lambda number, total: None,
) -> int:
    """Write the files as one TIFF Class F document to `target`; returns its pages.

    `resolution` is the name of a fax resolution ("fine"); `observe` is told how far it is. Raises DocumentError saying
    what is wrong with the files, StoreError when no process can be had or the disk does not take what it writes.
    Nothing is left at `target` then. What is there otherwise is not synced: nothing may depend on it after a power cut.
    """
    command = [sys.executable, "-m", __name__, json.dumps(asdict(limits)), resolution, str(target), *map(str, sources)]
    child = _Child(limits, observe)
    with trio.move_on_after(2 * limits.seconds):
        await child.run(command)
    if child.pages:
        return child.pages
    await trio.to_thread.run_sync(partial(target.unlink, missing_ok=True))
    raise child.error()


class _Child:
    """The process: what it said, and what that means."""

    def __init__(self, limits: ConvertLimits, observe: Progress) -> None:
        self._limits = limits
        self._observe = observe
        self._said: dict[str, Any] = {}
        self._complaint = b""
        self._status: int | None = None

    @property
    def pages(self) -> int:
        """Pages of the document; 0 while there is none."""
        pages = self._said.get("pages")
        return pages if self._status == 0 and isinstance(pages, int) else 0

    async def run(self, command: Sequence[str]) -> None:
        """Run it to its end; a cancelled one is killed. Raises StoreError."""
        try:
            process = await trio.lowlevel.open_process(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE)
        except OSError as why:
            raise StoreError(f"cannot start a process to convert the document: {why.strerror or why}") from why
        assert process.stdout is not None
        assert process.stderr is not None
        try:
            async with process.stdout, process.stderr, trio.open_nursery() as nursery:
                nursery.start_soon(self._complain, process.stderr)
                nursery.start_soon(self._listen, process.stdout)
            self._status = await process.wait()
        finally:
            process.kill()
            with trio.CancelScope(shield=True):  # a killed process is gone in a moment
                await process.wait()

    async def _complain(self, stream: trio.abc.ReceiveStream) -> None:
        async for octets in stream:
            self._complaint = (self._complaint + octets)[-MAX_LINE:]

    async def _listen(self, stream: trio.abc.ReceiveStream) -> None:
        rest = b""
        async for octets in stream:
            *lines, rest = (rest + octets).split(b"\n")
            rest = rest[:MAX_LINE]
            for line in lines:
                self._hear(line)

    def _hear(self, line: bytes) -> None:
        try:
            said = json.loads(line)
        except ValueError:
            return
        if not isinstance(said, dict):
            return
        self._said = said
        number, total = said.get("number"), said.get("total")
        if isinstance(number, int) and isinstance(total, int):
            self._observe(number, total)

    def error(self) -> FaxError:
        """Why there is no document."""
        if self._status is not None and "error" in self._said:
            kind = StoreError if self._said.get("storage") else DocumentError
            return kind(str(self._said["error"]))
        return DocumentError(self._end())

    def _end(self) -> str:
        """The sentence for a process that ended, or did not, without an answer."""
        source, page = self._said.get("source"), self._said.get("page")
        where = f"{source}: page {page}" if source and page else "the document"
        seconds = self._limits.seconds
        if self._status is None:
            return f"{where} was not converted within {2 * seconds} seconds (twice [queue] convert_seconds); {SIMPLER}"
        if self._status == -getattr(signal, "SIGXCPU", 0):
            return f"{where} takes more than {seconds} seconds of processor ([queue] convert_seconds); {SIMPLER}"
        last = self._complaint.decode("utf-8", "replace").strip().splitlines()[-1:]
        why = f"signal {-self._status}" if self._status < 0 else f"exit code {self._status}"
        said = f": {last[0]}" if last else ""
        return f"{where} cannot be converted within the limits ({why}{said}); print it to a new PDF or store it again"


def _limit(limits: ConvertLimits) -> None:
    try:
        import resource
    except ImportError:  # not POSIX
        return
    bounds = (
        (resource.RLIMIT_CPU, limits.seconds, limits.seconds + 1),  # told by SIGXCPU before it is killed
        (resource.RLIMIT_AS, limits.memory, limits.memory),
        (resource.RLIMIT_FSIZE, limits.octets, limits.octets),
        (resource.RLIMIT_CORE, 0, 0),
    )
    for what, *bound in bounds:
        hard = resource.getrlimit(what)[1]
        soft, hard = (one if hard == resource.RLIM_INFINITY else min(one, hard) for one in bound)
        resource.setrlimit(what, (soft, hard))


def main(arguments: Sequence[str]) -> int:
    """Be the child. `arguments` are those of the module's docstring."""
    limits = ConvertLimits(**json.loads(arguments[0]))
    _limit(limits)
    try:
        pages = _converted(limits, arguments[1], Path(arguments[2]), [Path(name) for name in arguments[3:]])
    except DocumentError as why:
        _say(error=_beyond(limits, why.__cause__) or str(why))
        return 1
    except StoreError as why:  # our own limit is the document's fault, a disk is not
        beyond = _beyond(limits, why.__cause__)
        _say(error=beyond or str(why), storage=not beyond)
        return 1
    except MemoryError as why:
        _say(error=_beyond(limits, why))
        return 1
    _say(pages=pages)
    return 0


def _converted(limits: ConvertLimits, wanted: str, target: Path, sources: Sequence[Path]) -> int:
    from vfax.codecs import tiff  # after the limits: Pillow and all it loads is under them
    from vfax.codecs.dis import Resolution

    names = {resolution.title: resolution for resolution in Resolution}
    resolution = names.get(wanted)
    if resolution is None:
        raise DocumentError(f"resolution {wanted!r} is none of {', '.join(names)}")

    def observe(path: Path, index: int, number: int, total: int) -> None:
        _say(source=str(path), page=index + 1, number=number + 1, total=total)

    bounds = tiff.DocumentLimits(max_pages=limits.pages, max_pixels=limits.pixels, max_length_mm=limits.length_mm)
    return len(tiff.prepare_document(sources, target, resolution=resolution, limits=bounds, observe=observe))


def _beyond(limits: ConvertLimits, why: BaseException | None) -> str:
    """The sentence for a limit of the process that was met; "" for anything else."""
    if isinstance(why, MemoryError):
        return f"the document needs more than {limits.memory >> 20} MiB of memory ([queue] convert_memory)"
    if isinstance(why, OSError) and why.errno == errno.EFBIG:
        return (
            f"the document takes more than {limits.octets} octets as a fax ([queue] convert_octets); send it in parts"
        )
    return ""


def _say(**words: object) -> None:
    print(json.dumps(words), flush=True)


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
