"""From settings to what only a service needs: its store, its queue, its housekeeping.

Owns      options of the job store and all that works on it. Not here: what a single call needs (wiring.py), which
          commands without a store use too.
"""

from pathlib import Path

from vfax.errors import SettingsError
from vfax.host.deliver_command import CommandOptions
from vfax.host.deliver_mail import MailServer, Security
from vfax.host.deliver_webhook import WebhookOptions
from vfax.host.delivery import DeliveryOptions, DeliveryPlan
from vfax.host.document import Format
from vfax.host.doorway import DoorOptions
from vfax.host.housekeeping import KeepOptions
from vfax.host.queue_options import QueueOptions
from vfax.host.recipients import DialPlan
from vfax.host.retry import RetryPolicy
from vfax.host.routing import Body, CommandTarget, FolderTarget, MailTarget, Rule, Target, WebhookTarget
from vfax.host.server import ServerOptions
from vfax.settings.doors import client_options
from vfax.settings.model import Settings
from vfax.settings.routes import RouteSettings
from vfax.settings.section import same_names
from vfax.settings.wiring import convert_limits, dials_sip_alone, host_options, journal_folder


def store_url(settings: Settings) -> str:
    """Where the job store is."""
    return settings.store.url or f"sqlite:///{settings.host.spool.absolute() / 'vfax.db'}"


def dial_plan(settings: Settings) -> DialPlan:
    """How recipients are read. Raises SettingsError for a region or template that is none."""
    queue = settings.queue
    try:
        return DialPlan(
            region=queue.region, dial=queue.dial, private=queue.private_digits, sip_only=dials_sip_alone(settings)
        )
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
            longest_wait=queue.retry_after_max,
            call_delayed=queue.retry_call_delayed,
            provider_defined=queue.retry_provider_defined,
        ),
    )


def keep_options(settings: Settings) -> KeepOptions:
    """Housekeeping."""
    return KeepOptions(**settings.keep.model_dump())


def server_options(settings: Settings) -> ServerOptions:
    """A whole server. Raises SettingsError for what cannot work."""
    queue = settings.queue
    return ServerOptions(
        host=host_options(settings),
        store_url=store_url(settings),
        queue=queue_options(settings),
        door=DoorOptions(
            dial_plan=dial_plan(settings),
            convert=convert_limits(settings),
            policy=queue_options(settings).policy,
            dirty_days=queue.dirty_days,
        ),
        delivery=delivery_options(settings),
        plan=delivery_plan(settings),
        keep=keep_options(settings),
        clients=client_options(settings),
        journals=journal_folder(settings),
        idle_stop=settings.host.idle_stop,
    )


def delivery_options(settings: Settings) -> DeliveryOptions:
    """How deliveries are tried."""
    section = settings.delivery
    return DeliveryOptions(
        **same_names(DeliveryOptions, section)
        | {
            "webhook": WebhookOptions(**same_names(WebhookOptions, section)),
            "command": CommandOptions(**same_names(CommandOptions, section)),
        }
    )


def delivery_plan(settings: Settings) -> DeliveryPlan:
    """Where received faxes go, and the mail server; with secrets, so never to be stored or shown."""
    server = same_names(MailServer, settings.mail) | {"security": Security(settings.mail.security)}
    return DeliveryPlan(rules=tuple(rule_of(route) for route in settings.route), mail=MailServer(**server))


def rule_of(route: RouteSettings) -> Rule:
    """One rule."""
    return Rule(**same_names(Rule, route) | {"target": _target(route)})


def _target(route: RouteSettings) -> Target:
    form = {"form": Format(route.format)} if route.format else {}
    match route.kind:
        case "folder":
            return FolderTarget(**same_names(FolderTarget, route) | form)
        case "mail":
            return MailTarget(**same_names(MailTarget, route) | {"body": route.text} | form)
        case "webhook":
            return WebhookTarget(**same_names(WebhookTarget, route) | {"body": Body(route.body)} | form)
        case "command":
            return CommandTarget(command=route.command, **form)
