"""How the queue works, as the settings have it.

Owns      its times and limits. Not here: what is made of them (queue.py), when a fax is tried again (retry.py).
"""

from dataclasses import dataclass, field
from pathlib import Path

from vfax.host.retry import RetryPolicy


@dataclass(frozen=True, slots=True, kw_only=True)
class QueueOptions:
    """How the queue works; times in seconds.

    `lease`: so long a job belongs to the host that claimed it, unless renewed; every third of it is renewed. `look`:
    how often the store is asked for jobs that another host or program put there. `no_line_delay`: until a job is tried
    again that a device had no line for, and no other device was free. `note_interval`: how often confirmed pages of a
    running job are written down. `policy` has what submissions do not say.
    """

    lease: float = 60.0
    look: float = 5.0
    no_line_delay: float = 30.0
    note_interval: float = 2.0
    expire_interval: float = 60.0
    documents: Path | None = None  # where documents are; None: the spool. Hosts that share a store share this folder
    policy: RetryPolicy = field(default_factory=RetryPolicy)
