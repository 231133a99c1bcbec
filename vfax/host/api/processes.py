"""Processes of clients on this machine: told apart, and noticed when they end.

Owns      the identity of a process (a number is used again, its start time is not), and waiting for its end.
Not here  what is closed then (registrations.py).
Source    pidfd_open(2), proc(5).

Limit: Linux. Elsewhere a process cannot be watched, and its client is treated as one that comes from afar and falls
silent.
"""

import os
from pathlib import Path

import trio

from vfax.host.api.unix import CAN_WATCH


def identity_of(pid: int) -> str:
    """The process behind a number, told from earlier and later ones; empty when it is not there or cannot be told."""
    if not CAN_WATCH or pid <= 0:
        return ""
    try:
        stat = Path(f"/proc/{pid}/stat").read_bytes()
    except OSError:
        return ""
    fields = stat.rpartition(b")")[2].split()  # the name before the bracket may hold anything
    return f"{pid}:{fields[19].decode('ascii')}" if len(fields) > 19 else ""


async def wait_for_end(pid: int, identity: str) -> None:
    """Return when that process has ended, at once if it has; for ever where it cannot be watched."""
    try:
        handle = os.pidfd_open(pid)
    except ProcessLookupError:
        return
    except OSError:
        await trio.sleep_forever()
    try:
        if identity_of(pid) == identity:  # else the number is another's already
            await trio.lowlevel.wait_readable(handle)
    finally:
        os.close(handle)
