"""A server whose deliveries meet a fault: one fax while something is wrong, another one when all is well again.

Owns      `Served`, the two calls and what is said and left; `failed` and `done`, until when the fault lasts.
Not here  which faults are tried (test_deliveries.py, test_real_faults.py).
"""

from collections.abc import Callable
from pathlib import Path

import trio

from tests.durability.faulty import settle
from tests.durability.house import write_letter
from tests.durability.judging import Claim, judge
from tests.durability.judging_store import judge_store
from tests.durability.points import HastyDisk
from tests.durability.serving import Office, open_server, serve_and_stop
from tests.virtual import hold_for_threads, virtual_clock
from vfax.disk import Disk
from vfax.host.events import DeliveriesStalled, DeliveryDone, DeliveryFailed, HostEvent, HostFaulted, StorageFailed


def failed(event: HostEvent) -> bool:
    """A try has failed."""
    return isinstance(event, DeliveryFailed)


def done(event: HostEvent) -> bool:
    """A delivery is over."""
    return isinstance(event, DeliveryDone)


class Served:
    """One fax that is received and delivered while something is wrong, another one when all is well again."""

    def __init__(self, folder: Path) -> None:
        self.root = folder / "disk"
        self.root.mkdir()
        self.letters = [write_letter(folder / f"{number}.tif", 2, number) for number in (1, 2)]
        self.events: list[HostEvent] = []
        self.claims: list[Claim] = []

    def run(self, disk: Disk, heal: Callable[[], object], *, until: Callable[[HostEvent], bool] = failed) -> None:
        """Receive, wait for the first such event, heal, receive again, wait for all deliveries."""
        heard = trio.Event()

        def observe(event: HostEvent) -> None:
            self.events.append(event)
            if until(event):
                heard.set()

        async def live() -> None:
            async with trio.open_nursery() as nursery:
                nursery.start_soon(hold_for_threads)
                async with open_server(self.root, disk, observe=observe) as office:
                    await self._call(office, 0)
                    await heard.wait()
                    heal()
                    await self._call(office, 1)
                    await office.errands.done()
                nursery.cancel_scope.cancel()

        trio.run(live, clock=virtual_clock())

    async def _call(self, office: Office, number: int) -> None:
        letter = self.letters[number]
        phone = office.phone(letter)
        await phone.send()
        await settle(office)
        ok = phone.outcome is not None and phone.outcome.ok
        self.claims.append(
            Claim(rasters=letter.rasters, confirmed=phone.confirmed, begun=True, ended=True, complete=ok)
        )

    def sentences(self) -> list[str]:
        """What the host said of deliveries that failed."""
        return [event.sentence for event in self.events if isinstance(event, DeliveryFailed)]

    def wrong(self) -> list[str]:
        """What does not hold, now and after the next start."""
        faults = [e for e in self.events if isinstance(e, HostFaulted | StorageFailed | DeliveriesStalled)]
        found = [f"the host says: {event}" for event in faults]
        found += [f"call {at} did not end well" for at, claim in enumerate(self.claims) if not claim.complete]
        found += judge(self.root / "spool", self.claims) + judge_store(self.root)
        trio.run(serve_and_stop, self.root, HastyDisk(), [])
        return found + judge_store(self.root)
