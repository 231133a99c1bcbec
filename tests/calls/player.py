"""Plays a call script: a scripted peer against the real leg, in virtual time.

Owns      the way through the steps, and what is checked at the end.
Not here  what each verb does (deeds.py, ears.py, dialog.py), the format (script.py), our side and the clock (stage.py).
"""

import io
from collections.abc import Callable

from PIL import Image

from tests.calls.deeds import Deeds
from tests.calls.dialog import Dialog
from tests.calls.ears import Ears
from tests.calls.script import Script, Step
from tests.calls.words import ScriptError
from vfax import leg
from vfax.codecs import tiff
from vfax.t30 import values as t30
from vfax.transports.udptl import Packet


def play(script: Script, make: "Callable[[Script], Player] | None" = None) -> "Player":
    """Play a script to its end. Raises ScriptError where it and the call part."""
    player = (make or Player)(script)
    player.begin()
    for step in script.steps:
        try:
            player.do(step)
        except (ScriptError, KeyError, IndexError, ValueError) as why:
            raise ScriptError(f"{step} (at {player.stage.now:.2f} s): {why!s}{player.situation()}") from why
    player.finish()
    return player


class Player(Deeds, Ears, Dialog):
    """The peer with all it can do. Verbs of scripts are the methods `do_...`."""

    def __init__(self, script: Script) -> None:
        super().__init__(script)
        self._verbs: dict[str, Callable[[Step], None]] = {
            verb.removeprefix("do_").replace("_", "-"): getattr(self, verb) for verb in dir(self) if verb[:3] == "do_"
        }

    def do(self, step: Step) -> None:
        self._verbs[step.verb](step)

    def finish(self) -> None:
        """Let the call end, then hold it against what the script expects."""
        expect = self.script.expect
        if expect.cause != "going-on":
            try:
                limit = self.stage.now + expect.within
                self.run_until(lambda: self.stage.outcome is not None, limit, "the call does not end")
            except ScriptError as why:
                raise ScriptError(f"{why}{self.situation()}") from why
        faults = [*self.left_over(), *self.facts(), *self.pages()]
        if faults:
            raise ScriptError("\n    ".join(["at the end:", *faults]) + self.situation())

    def left_over(self) -> list[str]:
        orders = self.stage.orders[self.orders :]
        if self.script.expect.cause != "going-on" and orders and isinstance(orders[-1], leg.HangUp):
            orders = orders[:-1]
        faults = ["bursts that no step asks for"] if self.unclaimed or self.stage.open is not None else []
        return faults + [f"{type(order).__name__} that no step asks for" for order in orders]

    def facts(self) -> list[str]:
        """What the outcome and the line say otherwise."""
        expect, outcome, known = self.script.expect, self.stage.outcome, self.stage.known
        found: dict[str, object] = {"cause": "going-on"}
        if outcome is not None:
            found = {
                "cause": outcome.cause.value,
                "pages": outcome.pages_confirmed,
                "partial": outcome.pages_partial,
                "retry": outcome.retry.value,
                "phase": outcome.phase.value,
                "rate": outcome.rate_bps,
                "bad_rows": outcome.bad_rows,
            }
            if expect.sentence not in outcome.sentence:
                found["sentence"] = outcome.sentence
        found |= {"strangers": known.strangers, "early": known.early}
        counters = known.line.counters.as_facts() if known.line is not None else {}
        faults = self.sizes() + [
            f"{name} is {value!r}, not {wanted!r}"
            for name, value in found.items()
            if (wanted := getattr(expect, name)) is not None and wanted != value
        ]
        return faults + [
            f"{name} is {counters.get(name)}, not {wanted}"
            for name, wanted in (expect.counters or {}).items()
            if counters.get(name) != wanted
        ]

    def sizes(self) -> list[str]:
        """Our datagrams: their first number, the largest of them, the largest IFP."""
        expect = self.script.expect
        sent = [(len(datagram), Packet.decode(datagram)) for _, datagram, _ in self.stage.sent]
        faults = [f"a datagram has {size} octets" for size, _ in sent if size > expect.datagram_max]
        faults += [f"an IFP has {len(one.primary)} octets" for _, one in sent if len(one.primary) > expect.ifp_max]
        if sent and sent[0][1].sequence != expect.first_number:
            faults.append(f"our first number is {sent[0][1].sequence}")
        return faults[:3]

    def pages(self) -> list[str]:
        """Pages in the store, pixel for pixel, and pages the peer has."""
        expect, page = self.script.expect, self.script.document
        faults = []
        if expect.delivered is not None and tuple(self.delivered) != expect.delivered:
            faults.append(f"delivered is {self.delivered}")
        if expect.kept is None:
            return faults
        if len(self.stage.kept) != len(expect.kept):
            faults.append(f"{len(self.stage.kept)} pages are kept")
        for kept, number in zip(self.stage.kept, expect.kept, strict=False):
            wanted = page.raster(number) if number else kept.raster  # 0: a page that is not whole
            if (kept.width_px, kept.raster) != (page.width, wanted):
                faults.append(f"page {kept.number} is not picture {number}: {kept.rows} rows, {kept.bad_rows} bad")
            elif expect.tiff:
                faults += read_back(kept)
        return faults


def read_back(kept: t30.PageReceived) -> list[str]:
    """What a TIFF reader that takes nothing for granted does not find in the page as we write it."""
    grain = kept.agreement.resolution
    octets = tiff.write_page(kept.raster, kept.width_px, kept.rows, x_dpi=grain.x_dpi, y_dpi=grain.y_dpi)
    with Image.open(io.BytesIO(octets)) as image:
        tags = {int(tag) for tag in image.tag_v2}  # type: ignore[attr-defined]
        same = image.convert("1").tobytes() == bytes(octet ^ 0xFF for octet in kept.raster)
    missing = [f"TIFF tag {tag} is not written" for tag in (259, 262, 266, 293) if tag not in tags]
    return missing if same else [*missing, "Pillow reads another picture"]
