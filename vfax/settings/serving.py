"""From settings to what only a service needs: its store, its queue, its housekeeping.

Owns      options of the job store and all that works on it. Not here: what a single call needs (wiring.py), which
          commands without a store use too.
"""

from pathlib import Path

from vfax.errors import SettingsError
from vfax.host.convert import ConvertLimits
from vfax.host.housekeeping import KeepOptions
from vfax.host.queue import QueueOptions
from vfax.host.recipients import DialPlan
from vfax.host.retry import RetryPolicy
from vfax.settings.model import Settings


def store_url(settings: Settings) -> str:
    """Where the job store is."""
    return settings.store.url or f"sqlite:///{settings.host.spool.absolute() / 'vfax.db'}"


def dial_plan(settings: Settings) -> DialPlan:
    """How recipients are read. Raises SettingsError for a region or template that is none."""
    queue = settings.queue
    try:
        return DialPlan(region=queue.region, dial=queue.dial, private=queue.private_digits)
    except SettingsError as why:
        raise SettingsError(f"[queue] {why}") from why


def queue_options(settings: Settings) -> QueueOptions:
    """The queue."""
    store, queue = settings.store, settings.queue
    return QueueOptions(
        lease=store.lease,
        look=store.look,
        no_line_delay=queue.no_line_delay,
        documents=Path(store.documents).absolute() if store.documents else None,
        policy=RetryPolicy(
            max_retries=queue.retries,
            delay=queue.retry_delay,
            soon=queue.retry_soon,
            call_delayed=queue.retry_call_delayed,
            provider_defined=queue.retry_provider_defined,
        ),
    )


def keep_options(settings: Settings) -> KeepOptions:
    """Housekeeping."""
    return KeepOptions(**settings.keep.model_dump())


def convert_limits(settings: Settings) -> ConvertLimits:
    """What the conversion of one upload may take."""
    queue = settings.queue
    return ConvertLimits(seconds=queue.convert_seconds, memory=queue.convert_memory, octets=queue.convert_octets)
