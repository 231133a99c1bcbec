"""Whole calls over a signalling network that loses, doubles and reorders, with real SDP and the switch to T.38.

Every call is set up, switched to T.38, sends its page and is released, or fails cleanly; nothing is left in any table.
"""

import random
from dataclasses import replace

import pytest

from vfax.codecs.dis import Resolution
from vfax.leg import CallerOffer, LegOptions
from vfax.outcome import Cause
from vfax.simulate import Plane, Side, SimulatedFax, SimulatedPage, Simulation
from vfax.transports.simnet import Dice, LineFaults, Road
from vfax.transports.sip.options import SipOptions
from vfax.transports.sip.policy import DialogPolicy, RefreshBy, Refreshes, Reliable, SessionTimers

PAGE = SimulatedPage(1728, 8, Resolution.STANDARD, bytes(216 * 8))
POLICIES = (
    DialogPolicy(),
    DialogPolicy(reliable=Reliable.PREFER, session_timer=SessionTimers.ASK, session_expires=90),
    DialogPolicy(reliable=Reliable.OFF, session_timer=SessionTimers.OFF),
    DialogPolicy(session_timer=SessionTimers.ASK, refresher=Refreshes.US, refresh_by=RefreshBy.INVITE, min_se=120),
)
FAILED = {Cause.NETWORK, Cause.PEER_HUNG_UP, Cause.NO_ANSWER, Cause.UNCERTAIN, Cause.T38_REFUSED, Cause.NOT_FAX}


def play(seed: int, loss: float, offer: CallerOffer) -> tuple[SimulatedFax, Simulation]:
    """One call; the seed decides the policies of both sides, and how long the called side takes for its page."""
    dice = random.Random(seed)
    faults = LineFaults(loss=loss, duplicate=loss / 2, reorder=loss / 2, jitter=0.3)

    def road(side: Side, plane: Plane, dice: Dice) -> Road:
        return (LineFaults() if plane is Plane.MEDIA else faults).line(dice)

    options = replace(LegOptions(), caller_offer=offer)
    calling, called = (SipOptions(dialogs=dice.choice(POLICIES)) for _ in range(2))
    world = Simulation(
        [PAGE], seed=seed, calling=options, called=options, roads=road, sip_calling=calling, sip_called=called
    )
    return world.run(), world


@pytest.mark.parametrize("offer", CallerOffer)
@pytest.mark.parametrize("loss", [0.0, 0.1, 0.25, 0.4])
@pytest.mark.parametrize("seed", range(25))
def test_every_call_comes_to_its_fax_or_fails_cleanly_and_leaves_nothing(
    seed: int, loss: float, offer: CallerOffer
) -> None:
    fax, world = play(seed, loss, offer)
    assert [node.agent.is_empty for node in (world.caller, world.called)] == [True, True], f"seed {seed}"
    outcomes = [one for one in (fax.sent, fax.received) if one is not None]
    assert all(one.ok or one.cause in FAILED for one in outcomes), f"seed {seed}: {outcomes}"
    if fax.sent.ok:
        assert fax.received is not None
        assert fax.received.pages_confirmed == 1
    if not loss:
        assert fax.sent.ok


@pytest.mark.parametrize("offer", CallerOffer)
def test_up_to_a_quarter_lost_nearly_every_call_comes_to_its_fax(offer: CallerOffer) -> None:
    came = [play(seed, 0.25, offer)[0].sent.ok for seed in range(100, 140)]
    assert sum(came) >= 39, came
