"""Every script once more over a worse road: while nothing is lost for good, nothing differs."""

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Final

import pytest

from tests.calls.player import Player, play
from tests.calls.script import Script, Step, read
from tests.calls.speech import Manner

HERE: Final = Path(__file__).parent
SCRIPTS: Final = sorted([*HERE.glob("peers/*.toml"), *HERE.glob("procedures/*.toml")])
DEPTH: Final = 3


class Doubled(Player):
    """Every datagram comes twice."""

    def carry(self, datagram: bytes) -> None:
        super().carry(datagram)
        super().carry(datagram)


class Late(Player):
    """Every third datagram comes behind its successor."""

    def __init__(self, script: Script) -> None:
        super().__init__(script)
        self._count = 0
        self._held: list[bytes] = []

    def carry(self, datagram: bytes) -> None:
        self._count += 1
        if self._count % 3 == 0:
            self._held.append(datagram)
            return
        super().carry(datagram)
        for each in self._held:
            super().carry(each)
        self._held.clear()

    def do(self, step: Step) -> None:
        super().do(step)
        held, self._held = self._held, []
        for each in held:
            super().carry(each)


class Lossy(Player):
    """Two of every seven datagrams in a row are lost; the peer repeats enough to make up for it."""

    def __init__(self, script: Script) -> None:
        super().__init__(script)
        self._count = 0

    def manner(self, step: Step) -> Manner:
        own = super().manner(step)
        return replace(own, redundancy=DEPTH, fec=(), repeats=max(own.repeats, 3))

    def carry(self, datagram: bytes) -> None:
        self._count += 1
        if self._count % 7 not in (3, 4):
            super().carry(datagram)


def without_counters(script: Script) -> Script:
    return replace(script, expect=replace(script.expect, counters=None, strangers=None, early=None))


def is_plain(script: Script) -> bool:
    """Whether the script leaves numbers, loss and the last moment before a timer alone: what is lost twice is lost."""
    verbs = {step.verb for step in script.steps}
    if any(step.more.get("after", 0.0) > 4.0 for step in script.steps):
        return False
    spoils = any({"drop", "late", "end", "octets"} & set(step.more) for step in script.steps)
    own = script.peer.end not in ("fcs-sig-end",) or script.peer.first_number or script.peer.wrap_to or script.peer.fec
    return not (spoils or own or verbs & {"datagrams", "skip", "restart", "move", "ifp", "again", "rtp"})


ROADS: Final = (Doubled, Late, Lossy)
TRIPS: Final = [(path, ROADS[number % len(ROADS)]) for number, path in enumerate(SCRIPTS)]


@pytest.mark.parametrize(("path", "road"), TRIPS, ids=[f"{path.stem} {road.__name__}" for path, road in TRIPS])
def test_nothing_differs_on_a_road_that_redundancy_bears(path: Path, road: Callable[[Script], Player]) -> None:
    script = without_counters(read(path))
    if road is Doubled or is_plain(script):
        play(replace(script, peer=replace(script.peer, redundancy=DEPTH)), road)
