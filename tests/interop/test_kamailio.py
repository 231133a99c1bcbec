"""vfax behind Kamailio, in real time: a few of the passages of passages.py, and the load balancer.

Real time cannot be hurried, but it can be shared: everything runs at once, and the tests look at what came of it.
"""

from dataclasses import dataclass, field
from pathlib import Path
from typing import Final

import pytest
import trio

from tests.interop import kamailio, spandsp
from tests.interop.matrix import Caller, Start
from tests.interop.passages import Balance, Passage, Passed, judge_passage, play_passage
from vfax.transports.sip.values import Transport

PASSAGES: Final = (
    Passage(transport=Transport.UDP, caller=Caller.VFAX, start=Start.CALLER_ASKS, digest="MD5"),
    Passage(transport=Transport.TCP, caller=Caller.PEER, start=Start.CALLED_ASKS, digest="SHA-256"),
    Passage(transport=Transport.TLS, caller=Caller.PEER, start=Start.CALLED_ASKS),
    Passage(transport=Transport.TLS, caller=Caller.VFAX, start=Start.DIRECT, digest="SHA-256", proxied=True),
)
pytestmark = pytest.mark.realtime


@dataclass(slots=True)
class Rush:
    """What came of everything that ran at once."""

    folder: Path
    balance: Balance
    passed: dict[Passage, Passed] = field(default_factory=dict)

    async def run(self) -> None:
        """Everything at once."""
        async with trio.open_nursery() as nursery:
            nursery.start_soon(self.balance.run, 2)
            for passage in PASSAGES:
                nursery.start_soon(self._play, passage)

    async def _play(self, passage: Passage) -> None:
        self.passed[passage] = await play_passage(passage, self.folder / str(PASSAGES.index(passage)))


@pytest.fixture(scope="module")
def rush(tmp_path_factory: pytest.TempPathFactory) -> Rush:
    """The one run that all tests of this module look at."""
    try:
        spandsp.load()
        kamailio.find_program()
    except (spandsp.MissingLibraryError, RuntimeError) as why:
        pytest.fail(str(why), pytrace=False)
    folder = tmp_path_factory.mktemp("kamailio")
    one = Rush(folder, Balance(folder))
    trio.run(one.run)
    return one


@pytest.mark.parametrize("passage", PASSAGES, ids=str)
def test_fax_through_kamailio_arrives_and_its_dialog_stays_on_the_recorded_route(passage: Passage, rush: Rush) -> None:
    judge_passage(passage, rush.passed[passage])


def test_both_nodes_behind_the_balancer_take_faxes_and_one_that_is_gone_costs_none(rush: Rush) -> None:
    rush.balance.judge(2)
