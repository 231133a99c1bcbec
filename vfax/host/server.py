"""A fax service with all that it keeps: store, queue, received faxes, deliveries, housekeeping, clients.

Owns      what belongs to one server, and the order in which it starts and stops.
Not here  each of them: service.py, queue.py, books.py, store/, delivery.py, housekeeping.py, notify.py, api.py.

    start   store ─► service (repairs the spool, loads providers) ─► what the store had missed ─► queue and the rest
    stop    no new jobs ─► running faxes aborted and their ends written ─► clients told, last of all ─► store closed
"""

from dataclasses import dataclass, field
from pathlib import Path

from vfax.host.doorway import DoorOptions
from vfax.host.housekeeping import KeepOptions
from vfax.host.queue import QueueOptions
from vfax.host.service import HostOptions


@dataclass(frozen=True, slots=True, kw_only=True)
class ServerOptions:
    """All that a server is told. `journals` is the folder that housekeeping looks after."""

    host: HostOptions
    store_url: str
    queue: QueueOptions = field(default_factory=QueueOptions)
    door: DoorOptions = field(default_factory=DoorOptions)
    keep: KeepOptions = field(default_factory=KeepOptions)
    journals: Path | None = None
