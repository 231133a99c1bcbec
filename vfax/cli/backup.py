"""`vfax backup` and `vfax restore`: a spool with its store in one file.

Owns      what is printed. Not here: the work (host/backup.py).
"""

from pathlib import Path

from vfax.cli import exits
from vfax.cli.common import out, print_json
from vfax.cli.screen import say
from vfax.host.backup import Contents, back_up, restore
from vfax.settings import Settings, serving


def backup(settings: Settings, target: Path, *, as_json: bool) -> int:
    """Write the backup; returns the exit code. Raises StoreError."""
    spool = settings.host.spool.absolute()
    contents = back_up(spool, serving.store_url(settings), target)
    apart = "" if serving.store_url(settings).startswith("sqlite") else " The database is not in it: use pg_dump."
    _say(contents, f"{target} holds {_words(contents)} of {spool}.{apart}", as_json=as_json)
    return exits.OK


def bring_back(settings: Settings, source: Path, *, as_json: bool) -> int:
    """Restore a backup into the spool of the settings; returns the exit code. Raises StoreError."""
    spool = settings.host.spool.absolute()
    contents = restore(source, spool, serving.store_url(settings))
    paused = (
        "The queue is paused, for what waited then may have been sent since: look at `vfax jobs`, cancel what is not "
        "wanted, and let the rest go with `vfax queue resume`."
    )
    _say(contents, f"{spool} holds {_words(contents)} of {source}. {paused}", as_json=as_json)
    return exits.OK


def _words(contents: Contents) -> str:
    return f"{contents.files} file{'' if contents.files == 1 else 's'}, {contents.octets} octets,"


def _say(contents: Contents, words: str, *, as_json: bool) -> None:
    if as_json:
        print_json({"ok": True, "exit": exits.OK, "files": contents.files, "octets": contents.octets})
    else:
        say(out(), words)
