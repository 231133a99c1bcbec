"""Listening sockets of TCP.

Owns      how they are opened. Not here: who connects and what is said (tcp.py, sip_streams.py).
"""

import socket


def open_listener(host: str, port: int, waiting: int) -> socket.socket:
    """A bound, non-blocking socket on which `waiting` connections may wait; with 0 it does not listen, only bind.

    Raises OSError, or OverflowError for a port that is none.
    """
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    sock = socket.socket(family, socket.SOCK_STREAM)
    try:
        sock.setblocking(False)
        sock.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        if family == socket.AF_INET6:  # "::" alike on all systems: IPv4 has a socket of its own
            sock.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_V6ONLY, 1)
        sock.bind((host, port))
        if waiting:
            sock.listen(waiting)
    except BaseException:
        sock.close()
        raise
    return sock
