"""From settings to the door for clients: its sockets, its limits, its rules, its tokens.

Owns      which setting becomes which option. Not here: the settings (clients.py), the rest of a service (serving.py).
"""

from pathlib import Path
from typing import Final

from vfax.host.api.calls import ApiOptions
from vfax.host.api.identity import Token, rights_of
from vfax.host.api.listening import ListenOptions, can_name_peers, is_reachable, own_desktop
from vfax.host.notify import Account, HubOptions, Profile
from vfax.host.server import ClientOptions
from vfax.settings.model import Settings
from vfax.settings.section import same_names
from vfax.settings.words import parse_host_port

AUTO: Final = "auto"
SOCKET_NAME: Final = "clients.sock"
UPLOADS: Final = "uploads"


def client_socket(settings: Settings) -> Path | None:
    """Where the Unix socket is; None when there is none.

    "auto" is none where it cannot be had: on other systems than Linux, and in a spool whose path is too long for one.
    """
    named = settings.clients.socket
    if named == AUTO:
        path = settings.host.spool.absolute() / SOCKET_NAME
        return path if can_name_peers() and is_reachable(path) else None
    return Path(named).absolute() if named else None


def client_options(settings: Settings) -> ClientOptions | None:
    """The door for clients; None when it has no socket at all."""
    clients = settings.clients
    socket = client_socket(settings)
    if socket is None and not clients.listen:
        return None
    listen = same_names(ListenOptions, clients) | {
        "socket": socket,
        "socket_mode": int(clients.socket_mode, 8),
        "peer_rights": rights_of(clients.socket_rights),
        "address": parse_host_port(clients.listen) if clients.listen else None,
        "certificate": Path(clients.certificate) if clients.certificate else None,
        "key": Path(clients.certificate_key) if clients.certificate_key else None,
    }
    hub = same_names(HubOptions, clients) | {
        "profile": Profile(clients.profile),
        "account": Account(clients.account),
        "desktop": own_desktop(),
    }
    api = same_names(ApiOptions, clients) | {"uploads": settings.host.spool.absolute() / UPLOADS}
    tokens = tuple(Token(token.name, token.sha256, rights_of(token.rights)) for token in clients.tokens)
    return ClientOptions(listen=ListenOptions(**listen), api=ApiOptions(**api), hub=HubOptions(**hub), tokens=tokens)
