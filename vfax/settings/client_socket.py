"""Where the Unix socket for clients is, by the settings.

Owns      that path. Not here: the rest of the door (doors.py), which clients need not load to find it.
"""

from pathlib import Path
from typing import Final

from vfax.host.api.unix import can_name_peers, is_reachable
from vfax.settings.model import Settings

AUTO: Final = "auto"
SOCKET_NAME: Final = "clients.sock"


def client_socket(settings: Settings) -> Path | None:
    """Where the Unix socket is; None when there is none.

    "auto" is none where it cannot be had: on other systems than Linux, and in a spool whose path is too long for one.
    """
    named = settings.clients.socket
    if named == AUTO:
        path = settings.host.spool.absolute() / SOCKET_NAME
        return path if can_name_peers() and is_reachable(path) else None
    return Path(named).absolute() if named else None
