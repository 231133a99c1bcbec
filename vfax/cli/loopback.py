"""`vfax loopback`: one fax between two whole instances on this machine, or in virtual time over a bad line.

Owns      the comparison of what was sent with what arrived. Not here: the simulation (vfax/simulate.py).
"""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import trio
from rich.console import Console

from vfax import simulate
from vfax.cli import exits
from vfax.cli.common import out, print_json, scratch
from vfax.cli.documents import prepare
from vfax.cli.hosting import abort_when, interruptible, running
from vfax.cli.screen import Screen, choose, say
from vfax.codecs import tiff
from vfax.codecs.dis import Resolution
from vfax.endpoint import Endpoint
from vfax.host.events import FaxEnded, HostEvent, Observer
from vfax.host.records import FaxRecord
from vfax.host.service import FaxService
from vfax.outcome import Cause, Outcome
from vfax.settings import Settings, wiring


@dataclass(frozen=True, slots=True, kw_only=True)
class Line:
    """The simulated line: the seed of its dice and what it does to datagrams (probabilities, seconds)."""

    seed: int
    loss: float = 0.0
    duplicate: float = 0.0
    reorder: float = 0.0
    delay: float = 0.02
    jitter: float = 0.0


def loopback(
    settings: Settings, files: Sequence[Path], *, line: Line | None, resolution: Resolution, as_json: bool
) -> int:
    """Send the files from one instance to another and compare; returns the exit code. Raises DocumentError."""
    with scratch("vfax-loopback-") as folder:
        document = folder / "document.tif"
        prepare(settings, files, document, resolution=resolution, as_json=as_json)
        if line is not None:
            return _simulated(settings, document, line, as_json=as_json)
        return _over_udp(settings, document, as_json=as_json)


def pixels(path: Path) -> list[tuple[int, int, bytes]]:
    """Width, rows and raster of every page."""
    pages = [tiff.load_page(path, index) for index in range(len(tiff.read_headers(path)))]
    return [(page.width_px, page.rows, page.raster) for page in pages]


# --- over UDP --------------------------------------------------------------------------------------


def _over_udp(settings: Settings, document: Path, *, as_json: bool) -> int:
    console = out()
    with choose(console, json=as_json) as screen:
        sent, received, identical, interrupted = trio.run(_two_instances, settings, document, screen)
    code = exits.code_of(sent.cause) if not (sent.ok and not identical) else exits.INTERNAL
    if interrupted and not sent.ok:
        code = exits.INTERRUPTED
    if as_json:
        answer = received.to_json() if received is not None else None
        print_json({"ok": sent.ok, "exit": code, "identical": identical, "sent": sent.to_json(), "received": answer})
    elif sent.ok:
        say(console, _comparison(sent.pages, identical=identical))
    return code


async def _two_instances(
    settings: Settings, document: Path, screen: Screen
) -> tuple[FaxRecord, FaxRecord | None, bool, bool]:
    """Receiver and sender, each a whole service over its own endpoint on a free port of 127.0.0.1."""
    settings = settings.model_copy(update={"fax": settings.fax.model_copy(update={"header": False})})  # compare pixels
    receiver_network = wiring.network_towards(settings, "sip:fax@127.0.0.1", "127.0.0.1:0", allow=("127.0.0.0/8",))
    sender_network = wiring.network_towards(settings, "sip:fax@127.0.0.1")
    ended = trio.Event()
    endings: list[FaxEnded] = []

    def hear(event: HostEvent) -> None:
        if isinstance(event, FaxEnded):
            endings.append(event)
            ended.set()
            event = replace(event, document=None)  # it is compared and removed
        screen.show(event)

    receiver = _service(settings, receiver_network, document.parent / "received", hear)
    sender = _service(settings, sender_network, document.parent / "sent", screen.show, receive=False)
    interrupted = trio.Event()
    watched = interruptible(interrupted.set)
    async with watched, running(receiver), running(sender), trio.open_nursery() as nursery:
        nursery.start_soon(abort_when, interrupted, sender)
        host, port = receiver_network.address
        record = await sender.submit(document, f"sip:fax@{host}:{port}")
        with trio.move_on_after(settings.timers.t2):
            await ended.wait()
        nursery.cancel_scope.cancel()
    if not endings:
        return record, None, False, interrupted.is_set()
    there = endings[0].document
    identical = there is not None and await trio.to_thread.run_sync(_same, document, there)
    return record, endings[0].record, identical, interrupted.is_set()


def _service(
    settings: Settings, network: Endpoint, spool: Path, observe: Observer, *, receive: bool = True
) -> FaxService:
    options = replace(wiring.host_options(settings), spool=spool, receive=receive)
    return FaxService(options, [wiring.registration(settings, network)], observe=observe)


def _same(sent: Path, received: Path) -> bool:
    return pixels(sent) == pixels(received)


def _comparison(pages: int, *, identical: bool) -> str:
    count = f"{pages} page{'' if pages == 1 else 's'}"
    return f"{count} arrived, the same pixel for pixel." if identical else f"{count} arrived, but NOT the same pixels."


# --- in virtual time -------------------------------------------------------------------------------


def _simulated(settings: Settings, document: Path, line: Line, *, as_json: bool) -> int:
    """The one place that calls the simulation."""
    pages = [_page(document, index) for index in range(len(tiff.read_headers(document)))]
    faults = simulate.LineFaults(
        loss=line.loss, duplicate=line.duplicate, reorder=line.reorder, delay=line.delay, jitter=line.jitter
    )
    options = wiring.leg_options(settings)
    fax = simulate.run_fax(pages, seed=line.seed, faults=faults, calling=options, called=options)
    whole = [page for page in fax.pages if page.complete]
    identical = [(page.width_px, page.rows, page.raster) for page in whole] == pixels(document)
    code = exits.code_of(fax.sent.cause)
    if as_json:
        print_json(
            {
                "ok": fax.sent.ok,
                "exit": code,
                "identical": identical,
                "seed": line.seed,
                "virtual_seconds": round(fax.seconds, 3),
                "datagrams": fax.datagrams,
                "sent": _facts(fax.sent),
                "received": _facts(fax.received) if fax.received is not None else None,
            }
        )
    else:
        _tell(out(), fax, identical=identical, seed=line.seed)
    return code


def _page(document: Path, index: int) -> simulate.SimulatedPage:
    page = tiff.load_page(document, index)
    resolution = next(one for one in Resolution if (one.x_dpi, one.y_dpi) == (page.x_dpi, page.y_dpi))
    return simulate.SimulatedPage(page.width_px, page.rows, resolution, page.raster)


def _facts(outcome: Outcome) -> dict[str, object]:
    return {
        "cause": outcome.cause.value,
        "sentence": outcome.sentence,
        "pages": outcome.pages_confirmed,
        "bad_rows": outcome.bad_rows,
        "rate": outcome.rate_bps,
        "ecm": outcome.ecm,
        "coding": outcome.coding,
        "resolution": outcome.resolution,
        "retry": outcome.retry.value,
    }


def _tell(console: Console, fax: simulate.SimulatedFax, *, identical: bool, seed: int) -> None:
    minutes, seconds = divmod(round(fax.seconds), 60)
    say(console, f"Seed {seed}: {fax.datagrams} datagrams in {minutes}:{seconds:02d} of virtual time.")
    say(console, f"Sender:   {fax.sent.sentence or fax.sent.cause.value}")
    if fax.received is not None:
        say(console, f"Receiver: {fax.received.sentence or fax.received.cause.value}")
    if fax.sent.cause is Cause.COMPLETE:
        say(console, _comparison(fax.sent.pages_confirmed, identical=identical))
