"""From settings to the door for clients: where it listens, its limits, its rules, its tokens.

Owns      which setting becomes which option. Not here: the settings (clients.py), the rest of a service (serving.py).
"""

from pathlib import Path
from typing import Final

from vfax.host.api.calls import ApiOptions
from vfax.host.api.identity import Token, rights_of
from vfax.host.api.listening import ListenOptions, own_desktop
from vfax.host.notify import Account, HubOptions, Profile
from vfax.host.server import ClientOptions
from vfax.settings.client_socket import client_socket
from vfax.settings.model import Settings
from vfax.settings.section import same_names
from vfax.settings.words import parse_host_port

UPLOADS: Final = "uploads"


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
