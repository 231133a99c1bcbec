"""How much the job store takes and how long it waits.

Owns      every limit of the store, with its default.
Not here  how many jobs run at once (host/queue.py), how long documents are kept (host/keeping.py).
"""

from dataclasses import dataclass


@dataclass(frozen=True, slots=True, kw_only=True)
class StoreLimits:
    """Seconds, characters and rows. What is beyond is refused with MisuseError, or cut where that is said.

    `busy_timeout`: how long a call waits for a database that others write. `connect_timeout` and `statement_timeout`
    are PostgreSQL's alone. `tries`: how often a transaction is begun that others keep undoing, `retry_pause` the first
    pause between two of them (it doubles). `max_name`: characters of an owner or a host; `max_text`: of any other text
    (sentences are cut there). `max_record`: octets of a record or a target as JSON. `max_rows`: the most that one call
    hands out; `batch`: the most that one call of housekeeping changes.
    """

    busy_timeout: float = 10.0
    connect_timeout: float = 10.0
    statement_timeout: float = 60.0
    connections: int = 8
    tries: int = 5
    retry_pause: float = 0.05
    max_name: int = 255
    max_text: int = 4096
    max_record: int = 1 << 20
    max_recipients: int = 10_000
    max_rows: int = 10_000
    batch: int = 1_000
