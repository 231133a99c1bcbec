"""Uploaded files to fax documents, in a process of its own with limits: what a client sends is not to be trusted.

Owns      starting that process, its limits, and what its end means.
Not here  the conversion (codecs/tiff.py), which the child does; where the document goes (outgoing.py).

    python -m vfax.host.convert <limits as JSON> <resolution> <target> <source>...

The child limits itself before it looks at a file: CPU time, memory, size of what it writes. It answers with one JSON
object on standard output: {"pages": n}, or {"error": sentence}, with "storage": true where the disk is to blame.
"""

import errno
import json
import subprocess
import sys
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from functools import partial
from pathlib import Path
from typing import Final

import trio

from vfax.errors import DocumentError, StoreError

MAX_ANSWER: Final = 65_536
"""Limit: octets of what the child says."""


@dataclass(frozen=True, slots=True, kw_only=True)
class ConvertLimits:
    """What one conversion may take. `seconds` of CPU and twice that of waiting; octets of memory and of the document.

    Limits of memory and CPU hold on POSIX systems; elsewhere the waiting time alone does.
    """

    seconds: int = 120
    memory: int = 2 << 30
    octets: int = 256 << 20


async def convert(sources: Sequence[Path], target: Path, *, resolution: str, limits: ConvertLimits) -> int:
    """Write the files as one TIFF Class F document to `target`; returns its pages.

    `resolution` is the name of a fax resolution ("fine"). Raises DocumentError saying what is wrong with the files,
    StoreError when no process can be had or the disk does not take what it writes. Nothing is left at `target` then.
    What is there otherwise is not synced: nothing may depend on it after a power cut.
    """
    command = [sys.executable, "-m", __name__, json.dumps(asdict(limits)), resolution, str(target), *map(str, sources)]
    with trio.move_on_after(2 * limits.seconds) as patience:
        try:
            done = await trio.run_process(command, capture_stdout=True, capture_stderr=True, check=False)
        except OSError as why:
            raise StoreError(f"cannot start a process to convert the document: {why.strerror or why}") from why
    if patience.cancelled_caught:
        await trio.to_thread.run_sync(partial(target.unlink, missing_ok=True))
        raise DocumentError(f"the document was not converted within {2 * limits.seconds} seconds; send a simpler one")
    answer = _answer(done)
    pages = answer.get("pages")
    if isinstance(pages, int):
        return pages
    await trio.to_thread.run_sync(partial(target.unlink, missing_ok=True))
    raise (StoreError if answer.get("storage") else DocumentError)(str(answer.get("error")))


def _answer(done: "subprocess.CompletedProcess[bytes]") -> dict[str, object]:
    try:
        answer = json.loads(done.stdout[:MAX_ANSWER])
    except ValueError:
        answer = None
    if isinstance(answer, dict) and ("pages" in answer or "error" in answer):
        return answer
    last = done.stderr.decode("utf-8", "replace").strip().splitlines()[-1:]
    why = f"signal {-done.returncode}" if done.returncode < 0 else f"exit code {done.returncode}"
    return {"error": f"the document cannot be converted within the limits ({why}{': ' + last[0] if last else ''})"}


def _limit(limits: ConvertLimits) -> None:
    try:
        import resource
    except ImportError:  # not POSIX
        return
    bounds = (
        (resource.RLIMIT_CPU, limits.seconds),
        (resource.RLIMIT_AS, limits.memory),
        (resource.RLIMIT_FSIZE, limits.octets),
    )
    for what, bound in bounds:
        hard = resource.getrlimit(what)[1]
        highest = bound if hard == resource.RLIM_INFINITY else min(bound, hard)
        resource.setrlimit(what, (highest, hard))


def _unwritten(why: StoreError, limits: ConvertLimits) -> dict[str, object]:
    """The answer where the document could not be written: our own limit is the document's fault, a disk is not."""
    if isinstance(why.__cause__, OSError) and why.__cause__.errno == errno.EFBIG:
        return {"error": f"the document has more than {limits.octets} octets as a fax; send a simpler one"}
    return {"error": str(why), "storage": True}


def main(arguments: Sequence[str]) -> int:
    """Be the child. `arguments` are those of the module's docstring."""
    limits = ConvertLimits(**json.loads(arguments[0]))
    _limit(limits)
    from vfax.codecs import tiff  # after the limits: Pillow and all it loads is under them
    from vfax.codecs.dis import Resolution

    names = {resolution.title: resolution for resolution in Resolution}
    resolution = names.get(arguments[1])
    if resolution is None:
        print(json.dumps({"error": f"resolution {arguments[1]!r} is none of {', '.join(names)}"}))
        return 1
    try:
        pages = tiff.prepare_document([Path(name) for name in arguments[3:]], Path(arguments[2]), resolution=resolution)
    except DocumentError as why:
        print(json.dumps({"error": str(why)}))
        return 1
    except StoreError as why:
        print(json.dumps(_unwritten(why, limits)))
        return 1
    except MemoryError:
        print(json.dumps({"error": f"the document needs more than {limits.memory >> 20} MiB of memory"}))
        return 1
    print(json.dumps({"pages": len(pages)}))
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
