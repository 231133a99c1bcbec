"""Every script once more, cut off at some step: whatever the peer has said, the call ends, and promises hold."""

import random
from pathlib import Path
from typing import Final

import pytest

from tests.calls.player import Player
from tests.calls.script import Script, read
from tests.calls.stage import KEY
from vfax.outcome import Cause, Outcome
from vfax.t30 import values as t30
from vfax.transports.sip import values as sip

HERE: Final = Path(__file__).parent
SCRIPTS: Final = sorted([*HERE.glob("peers/*.toml"), *HERE.glob("procedures/*.toml")])
PATIENCE: Final = 120.0  # seconds from the peer's last word, or from the end of our own page, to the end
LONGEST: Final = 2400.0  # a page of ours at the slowest rate


def cut(path: Path, salt: str) -> Player:
    """The script as far as some step, the same one at each run."""
    script: Script = read(path)
    player = Player(script)
    player.begin()
    for step in script.steps[: random.Random(f"{path.stem} {salt}").randrange(1, len(script.steps) + 1)]:
        player.do(step)
    return player


def ended(player: Player, within: float) -> Outcome:
    stage = player.stage
    player.run_until(lambda: stage.outcome is not None, stage.now + within, "the call does not end")
    outcome = stage.outcome
    assert outcome is not None
    confirmed = [event.number for event in stage.events if isinstance(event, t30.PageConfirmed)]
    assert confirmed == sorted(set(confirmed))
    assert outcome.pages_confirmed == len(confirmed)
    if not stage.sending:
        assert set(confirmed) <= {page.number for page in stage.kept}
    assert outcome.sentence or player.script.start == "line"
    return outcome


@pytest.mark.parametrize("path", SCRIPTS[::2], ids=lambda path: path.stem)
def test_a_peer_that_falls_silent_ends_no_later_than_the_clock_says(path: Path) -> None:
    player = cut(path, "silence")
    talking = player.stage.open is not None or any(isinstance(event, t30.PageStarted) for event in player.stage.events)
    ended(player, PATIENCE + (LONGEST if talking and player.stage.sending else 0.0))


@pytest.mark.parametrize("path", SCRIPTS[1::3], ids=lambda path: path.stem)
def test_a_bye_ends_the_call_at_once(path: Path) -> None:
    player = cut(path, "bye")
    if player.script.start == "line":
        player.do_order(player.script.steps[0].of("line-down"))
    elif player.stage.outcome is None:
        player.stage.signal(sip.HungUp(KEY, ""))
    ended(player, 1.0)


@pytest.mark.parametrize("path", SCRIPTS[2::3], ids=lambda path: path.stem)
def test_an_abort_ends_the_call_within_a_second(path: Path) -> None:
    player = cut(path, "abort")
    was = player.stage.outcome
    player.do_order(player.script.steps[0].of("abort"))
    outcome = ended(player, 1.0)
    decided = was is not None or player.script.start == "line"  # an engine alone may be saying its last DCN already
    assert decided or outcome.cause in (Cause.ABORTED, Cause.COMPLETE, Cause.PEER_DISCONNECTED)
