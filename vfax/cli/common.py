"""What the commands share: consoles, settings with what the command line overrides, and errors as one line and a code.

Owns      the boundary between vfax and the shell. Not here: what a command does, signals (hosting.py).

Every command and every help comes by here, so what is heavy (settings, rich) is imported where it is used: a test holds
what a command must not load.
"""

import json
import sys
import tempfile
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Final

import typer

from vfax.cli import exits
from vfax.errors import DocumentError, FaxError, LinkError, SettingsError, StoreError

if TYPE_CHECKING:
    from rich.console import Console

    from vfax.codecs.dis import Resolution
    from vfax.settings import Settings

CODE_OF_ERROR: tuple[tuple[type[FaxError], int], ...] = (
    (SettingsError, exits.USAGE),
    (DocumentError, exits.DOCUMENT),
    (StoreError, exits.STORAGE),
    (LinkError, exits.CANNOT_LISTEN),
)

SCRATCH: Final[list[str]] = []
"""Folders of this process that go with it."""


def out() -> "Console":
    """The console of standard output, made afresh so that it is the one of this moment."""
    from rich.console import Console

    return Console(file=sys.stdout, soft_wrap=True)


def read_settings(config: Path | None, overrides: Mapping[tuple[str, str], object | None]) -> "Settings":
    """Settings from the file, the environment and those options of the command line that were given."""
    from vfax.settings import load

    given = {name: value for name, value in overrides.items() if value is not None}
    return load(config, overrides=given)


@contextmanager
def one_line_errors(*, as_json: bool = False) -> Iterator[None]:
    """Turn what vfax raises on purpose into one line on standard error and the exit code of its kind."""
    try:
        yield
    except FaxError as why:
        code = next((code for kind, code in CODE_OF_ERROR if isinstance(why, kind)), exits.INTERNAL)
        fail(str(why), code, as_json=as_json)


def fail(sentence: str, code: int, *, as_json: bool = False) -> None:
    """Say why on standard error (as an object on standard output with `as_json`) and leave with `code`."""
    if as_json:
        print_json({"ok": False, "exit": code, "error": sentence})
    else:
        from rich.console import Console

        from vfax.cli.screen import say

        say(Console(file=sys.stderr, soft_wrap=True), f"vfax: {sentence}")
    raise typer.Exit(code)


def print_json(value: Mapping[str, object]) -> None:
    """Print the one object of --json, in ASCII: what a peer wrote must pass any terminal, pipe and encoding."""
    typer.echo(json.dumps(value))


@contextmanager
def scratch(prefix: str) -> Iterator[Path]:
    """A folder for the time of a command, which a second Ctrl-C removes as well. Nothing in it may be missed."""
    with tempfile.TemporaryDirectory(prefix=prefix) as name:
        SCRATCH.append(name)
        try:
            yield Path(name)
        finally:
            SCRATCH.remove(name)


def make_journal_folder(folder: Path | None) -> None:
    """Make the folder of the journals, when there is to be one. Raises StoreError naming it."""
    if folder is None:
        return
    try:
        folder.mkdir(mode=0o750, parents=True, exist_ok=True)
    except OSError as why:
        raise StoreError(f"cannot make the journal folder {folder}: {why.strerror or why}") from why


def read_for_images(
    config: Path | None, overrides: Mapping[tuple[str, str], object | None], name: str
) -> "tuple[Settings, Resolution]":
    """The settings, and the resolution that images are to have: what is asked for may be used. Raises SettingsError."""
    from vfax.codecs.dis import Resolution

    found = {resolution.title.lower(): resolution for resolution in Resolution}.get(name.lower())
    if found is None:
        expected = ", ".join(resolution.title for resolution in Resolution)
        raise SettingsError(f"command line: --resolution {name}: expected one of {expected}")
    settings = read_settings(config, overrides)
    usable = (*settings.fax.resolutions, *({found.title} - set(settings.fax.resolutions)))
    return settings.model_copy(update={"fax": settings.fax.model_copy(update={"resolutions": usable})}), found
