"""Where a Unix socket for clients can be had.

Owns      what the kernel has to know, how long a path may be. Not here: making one and listening (listening.py).
"""

import os
import socket
from pathlib import Path
from typing import Final

CAN_WATCH: Final = hasattr(os, "pidfd_open")
"""Whether a process can be watched (processes.py)."""
LONGEST_PATH: Final = 107
"""Limit: octets of a socket's path (unix(7)); a longer one could be made and not be reached."""


def can_name_peers() -> bool:
    """Whether the kernel says who is at the other end of a Unix socket. Limit: Linux."""
    return CAN_WATCH and hasattr(socket, "SO_PEERCRED")


def is_reachable(path: Path) -> bool:
    """Whether a socket of that path can be connected to."""
    return len(os.fsencode(path)) <= LONGEST_PATH
