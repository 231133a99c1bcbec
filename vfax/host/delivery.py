"""Deliveries of received faxes: what is due is tried, what fails is tried again, what takes too long is told.

Owns      when a delivery is tried, its time limits, back-off, giving up, alarms, and what is written about each try.
Not here  which deliveries there are (routing.py), how each kind is done (deliver_*.py), the rows (store/).

At least once: a try is written down when it is over. Where this host dies in between, its lease runs out and the
delivery is tried again; receivers tell doubles by the event id (`Parcel.event_id`), the same for every try.

The time between tries doubles from `retry_first` to `retry_longest`, less a random share so that what failed together
is not tried together. The rule of the settings counts, as it is at the time of the try: the store knows its name.
"""

import random
from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from functools import partial
from pathlib import Path
from traceback import format_exception
from typing import Final, Protocol

import trio

from vfax.disk import Disk
from vfax.errors import FaxError, LeaseLost, StoreError
from vfax.host import deliver_command, deliver_folder, deliver_mail, deliver_webhook
from vfax.host.deliver_command import CommandOptions
from vfax.host.deliver_mail import MailServer
from vfax.host.deliver_webhook import WebhookOptions
from vfax.host.events import (
    DeliveriesStalled,
    DeliveryDone,
    DeliveryFailed,
    DeliveryOverdue,
    HostEvent,
    HostFaulted,
    Observer,
)
from vfax.host.parcel import Parcel, Result
from vfax.host.routing import CommandTarget, FolderTarget, Kind, MailTarget, Rule, WebhookTarget
from vfax.host.store.values import DeliveryState, StoredDelivery, StoredFax

LEASE_MARGIN: Final = 60.0
"""Seconds that a lease outlives the longest try, for the store to hear of its end."""
STOPPED: Final = "The service stopped while the fax was being delivered."


class DeliveryStore(Protocol):
    """What deliveries need of the job store. Every method blocks, may be called from any thread, raises StoreError."""

    def claim_deliveries(self, host: str, now: datetime, *, lease: float, limit: int) -> list[StoredDelivery]:
        """Take what is due, at most `limit`, for `lease` seconds."""

    def end_delivery(
        self,
        delivery: StoredDelivery,
        *,
        ok: bool,
        sentence: str,
        retry_at: datetime | None,
        started_at: datetime,
        now: datetime,
    ) -> StoredDelivery:
        """Write down how a try ended; not `ok` and no `retry_at`: given up."""

    def overdue(self, now: datetime, *, older_than: float) -> list[StoredDelivery]:
        """What has been undelivered for so many seconds and nobody was told of; marks it as told."""

    def fax(self, job: int) -> StoredFax | None:
        """The fax of a job."""


@dataclass(frozen=True, slots=True, kw_only=True)
class DeliveryOptions:
    """When deliveries are tried, and their limits; times in seconds.

    `retry_jitter` is the share of a pause that chance may take off. A delivery is given up after `max_attempts` tries
    (and as many again each time somebody asks for it), and overdue `alarm_after` it was made. `folder_limit` to
    `command_limit` bound one try of each kind. `poll_interval`: how often the store is asked for what others made due.
    `stop_grace`: for writing down, at the end, what was interrupted. `link`: template of the address of a fax. Limit:
    `concurrency` tries at once.
    """

    concurrency: int = 16
    poll_interval: float = 15.0
    retry_first: float = 30.0
    retry_longest: float = 3_600.0
    retry_jitter: float = 0.2
    max_attempts: int = 80
    alarm_after: float = 3_600.0
    folder_limit: float = 120.0
    mail_limit: float = 300.0
    webhook_limit: float = 120.0
    command_limit: float = 300.0
    stop_grace: float = 5.0
    link: str = ""
    webhook: WebhookOptions = field(default_factory=WebhookOptions)
    command: CommandOptions = field(default_factory=CommandOptions)

    def limit_of(self, kind: Kind) -> float:
        """Seconds that one try may take."""
        limits = {Kind.FOLDER: self.folder_limit, Kind.MAIL: self.mail_limit, Kind.WEBHOOK: self.webhook_limit}
        return limits.get(kind, self.command_limit)

    @property
    def lease(self) -> float:
        """Seconds for which a delivery is taken."""
        return max(self.limit_of(kind) for kind in Kind) + self.stop_grace + LEASE_MARGIN

    def pause(self, failures: int, chance: float) -> float:
        """Seconds until the next try after so many failures (from 1); `chance` is from 0 to 1."""
        doublings = min(max(failures, 1) - 1, 32)
        return float(min(self.retry_first * 2**doublings, self.retry_longest) * (1 - self.retry_jitter * chance))


@dataclass(frozen=True, slots=True, kw_only=True)
class DeliveryPlan:
    """What the settings say about deliveries, secrets included; never stored, never shown."""

    rules: Sequence[Rule] = ()
    mail: MailServer = field(default_factory=MailServer)


class Delivery:
    """Carries out the deliveries of one host. `run` works until it is cancelled; `kick` says that something may be due.

    `dice` gives chances from 0 to 1. `disk` is what is written through into folders.
    """

    def __init__(
        self,
        store: DeliveryStore,
        spool: Path,
        plan: DeliveryPlan,
        options: DeliveryOptions | None = None,
        *,
        host: str,
        observe: Observer = lambda event: None,
        clock: Callable[[], datetime] = lambda: datetime.now(UTC),
        dice: Callable[[], float] = random.random,
        disk: Disk | None = None,
    ) -> None:
        self.options = options or DeliveryOptions()
        self._store = store
        self._spool = spool.absolute()
        self._rules: Mapping[str, Rule] = {rule.name: rule for rule in plan.rules}
        self._mail = plan.mail
        self._host = host
        self._observer = observe
        self._clock = clock
        self._dice = dice
        self._disk = disk or Disk()
        # Threads that hang on a dead file system are left behind; they must not use up those of the whole process.
        self._threads = trio.CapacityLimiter(self.options.concurrency)
        self._running = 0
        self._next: datetime | None = None  # the earliest retry that this host knows of
        self._stalled = False
        self._wake = trio.Event()

    def kick(self) -> None:
        """Look now for what is due: a fax was received, or somebody asked for one again."""
        self._wake.set()

    async def run(self, *, task_status: trio.TaskStatus[None] = trio.TASK_STATUS_IGNORED) -> None:
        """Deliver until cancelled; tries that run then are cut off, written down, and due again at once."""
        async with trio.open_nursery() as nursery:
            task_status.started()
            while True:
                self._wake = trio.Event()  # before the store is asked: what comes in the meantime is not missed
                try:
                    await self._start_due(nursery)
                    await self._tell_overdue()
                    self._stalled = False
                except StoreError as why:
                    self._stall(str(why))
                with trio.move_on_after(self._until_next()):
                    await self._wake.wait()

    def _stall(self, why: str) -> None:
        if not self._stalled:
            self._stalled = True
            again = f"deliveries wait, the store is asked again every {self.options.poll_interval:g} seconds"
            self._observe(DeliveriesStalled(f"{why}; {again}."))

    def _until_next(self) -> float:
        """Seconds until the store is asked again, should nobody kick."""
        if self._next is None or self._running >= self.options.concurrency:
            return self.options.poll_interval
        return min(self.options.poll_interval, max(0.0, (self._next - self._clock()).total_seconds()))

    async def _start_due(self, nursery: trio.Nursery) -> None:
        free = self.options.concurrency - self._running
        if free <= 0:
            return
        now = self._clock()
        if self._next is not None and self._next <= now:
            self._next = None
        claimed = await trio.to_thread.run_sync(
            lambda: self._store.claim_deliveries(self._host, now, lease=self.options.lease, limit=free)
        )
        for delivery in claimed:
            self._running += 1
            nursery.start_soon(self._attempt, delivery)

    async def _tell_overdue(self) -> None:
        now, limit = self._clock(), self.options.alarm_after
        for late in await trio.to_thread.run_sync(lambda: self._store.overdue(now, older_than=limit)):
            self._observe(overdue(late, now))

    # --- one try -----------------------------------------------------------------------------------

    async def _attempt(self, delivery: StoredDelivery) -> None:
        """Try one delivery and write down how that went, whatever happens."""
        started = self._clock()
        result: Result | None = None  # None: interrupted, for the service stops
        try:
            result = await self._guarded(delivery)
        finally:
            with trio.CancelScope(shield=True, deadline=trio.current_time() + self.options.stop_grace):
                await self._end(delivery, result, started)
            self._running -= 1
            self.kick()

    async def _guarded(self, delivery: StoredDelivery) -> Result:
        try:
            return await self._bounded(delivery)
        except FaxError as why:
            return Result.failed(f"{why}.")
        except Exception as why:  # a fault of ours must not end the other deliveries, nor repeat without a pause
            self._observe(HostFaulted(f"{type(why).__name__}: {why}", "".join(format_exception(why))))
            return Result.failed(f"A fault inside vfax ended the delivery: {type(why).__name__}: {why}.")

    async def _bounded(self, delivery: StoredDelivery) -> Result:
        rule = self._rules.get(delivery.rule)
        if rule is None or rule.kind != delivery.kind:
            return Result.failed(
                f"The settings have no rule {delivery.rule} of the kind {delivery.kind} any more: "
                "bring it back, or give the delivery up."
            )
        fax = await trio.to_thread.run_sync(self._store.fax, delivery.job)
        if fax is None:
            return Result.failed(f"The store has no fax {delivery.job:08x}.", final=True)
        parcel = Parcel(delivery=delivery, fax=fax, spool=self._spool, link=self.options.link)
        limit = self.options.limit_of(rule.kind)
        with trio.move_on_after(limit):
            return await self._carry_out(parcel, rule)
        return Result.failed(f"The delivery was not over after {limit:g} seconds and was cut off.")

    async def _carry_out(self, parcel: Parcel, rule: Rule) -> Result:
        threads = self._threads
        match rule.target:
            case FolderTarget() as target:
                deliver = partial(deliver_folder.deliver, parcel, target, disk=self._disk)
                return await trio.to_thread.run_sync(deliver, abandon_on_cancel=True, limiter=threads)
            case MailTarget() as target:
                return await deliver_mail.deliver(parcel, target, self._mail, threads)
            case WebhookTarget() as target:
                return await deliver_webhook.deliver(parcel, target, self.options.webhook, self._clock(), threads)
            case CommandTarget() as target:
                return await deliver_command.deliver(parcel, target, self.options.command, threads)

    async def _end(self, delivery: StoredDelivery, result: Result | None, started: datetime) -> None:
        """Write down how a try ended. What cannot be written down is tried again when the lease has run out."""
        now = self._clock()
        retry_at = self._retry_at(delivery, result, now)
        result = result or Result.failed(STOPPED)
        try:
            ended = await trio.to_thread.run_sync(
                lambda: self._store.end_delivery(
                    delivery, ok=result.ok, sentence=result.sentence, retry_at=retry_at, started_at=started, now=now
                ),
                abandon_on_cancel=True,
            )
        except LeaseLost:  # another host has it by now, and writes down how its own try goes
            return
        except StoreError as why:
            self._stall(f"the end of a delivery of fax {delivery.job:08x} could not be written down: {why}")
            return
        if retry_at is not None:
            self._next = retry_at if self._next is None else min(self._next, retry_at)
        self._observe(news(ended, result, retry_at))

    def _retry_at(self, delivery: StoredDelivery, result: Result | None, now: datetime) -> datetime | None:
        """When to try again; None when it is done, or given up."""
        if result is None:
            return now
        failures = delivery.attempts % self.options.max_attempts + 1  # one that was asked for again begins anew
        if result.ok or result.final or failures >= self.options.max_attempts:
            return None
        return now + timedelta(seconds=max(self.options.pause(failures, self._dice()), result.retry_after))

    def _observe(self, event: HostEvent) -> None:
        """Tell the observer; what it makes of it must not cost a fax."""
        with suppress(Exception):
            self._observer(event)


def news(delivery: StoredDelivery, result: Result, retry_at: datetime | None) -> HostEvent:
    """The event about a try that has just been written down."""
    job, attempt = f"{delivery.job:08x}", delivery.attempts
    about = f"{result.sentence} (rule {delivery.rule}, attempt {attempt})"
    if result.ok:
        return DeliveryDone(
            job=job,
            delivery=delivery.id,
            rule=delivery.rule,
            kind=delivery.kind,
            attempt=attempt,
            sentence=f"Delivered: {about}",
        )
    then = "It is given up" if retry_at is None else f"The next attempt is at {retry_at:%Y-%m-%d %H:%M:%S} UTC"
    return DeliveryFailed(
        job=job,
        delivery=delivery.id,
        rule=delivery.rule,
        kind=delivery.kind,
        attempt=attempt,
        sentence=f"Not delivered: {about} {then}.",
        retry_at=retry_at,
    )


def overdue(delivery: StoredDelivery, now: datetime) -> DeliveryOverdue:
    """The alarm about a delivery."""
    minutes = (now - delivery.created_at).total_seconds() / 60
    how = "was given up" if delivery.state is DeliveryState.GIVEN_UP else f"waits for {minutes:.0f} minutes"
    last = f" Last: {delivery.sentence}" if delivery.sentence else ""
    return DeliveryOverdue(
        job=f"{delivery.job:08x}",
        delivery=delivery.id,
        rule=delivery.rule,
        kind=delivery.kind,
        waiting_since=delivery.created_at,
        sentence=f"The fax {delivery.job:08x} {how} on its way to {delivery.kind} by the rule {delivery.rule}.{last}",
    )
