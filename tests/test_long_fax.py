"""A fax that lasts much longer than its session: refreshed in the middle, and not touched by it (virtual time)."""

import math
import random
import re
from dataclasses import replace

import pytest

from vfax import leg
from vfax.codecs.dis import Resolution
from vfax.leg import CallerOffer, InternetAware, LegOptions, Switched
from vfax.outcome import Cause
from vfax.simulate import Plane, Side, SimulatedFax, SimulatedPage, Simulation, Watcher
from vfax.t30.options import T30Options
from vfax.transports.simnet import Dice, LineFaults, Road
from vfax.transports.sip.options import SipOptions
from vfax.transports.sip.policy import DialogPolicy, RefreshBy, Refreshes, SessionTimers

SLOW = LegOptions(
    fax=replace(T30Options(), max_rate_bps=2400),
    internet_aware=InternetAware.NEVER,
    caller_offer=CallerOffer.AUDIO,
)


class Listener:
    """A road that writes down what it carries, and carries nothing any more from `until` on."""

    def __init__(self, road: Road, heard: list[bytes], until: float) -> None:
        self._road, self._heard, self._until = road, heard, until
        self.arrivals, self.next_arrival = road.arrivals, road.next_arrival

    def send(self, datagram: bytes, now: float) -> None:
        self._heard.append(datagram)
        if now < self._until:
            self._road.send(datagram, now)


class Switches(Watcher):
    """Counts how often T.38 was agreed."""

    def __init__(self) -> None:
        self.count = {Side.CALLER: 0, Side.CALLED: 0}

    def event(self, side: Side, event: leg.LegEvent, now: float) -> None:
        self.count[side] += isinstance(event, Switched)


class Long:
    """A fax of noise at 2400 bit/s; a page takes some eight minutes."""

    def __init__(
        self, pages: int, refresher: Refreshes, by: RefreshBy, *, loss: float, seed: int, until: float = math.inf
    ) -> None:
        dice = random.Random(5)
        self.said: dict[Side, list[bytes]] = {Side.CALLER: [], Side.CALLED: []}
        self.switches = Switches()
        self.loss, self.until = loss, until
        policy = DialogPolicy(session_timer=SessionTimers.ASK, session_expires=90, refresher=refresher, refresh_by=by)
        page = SimulatedPage(1728, 300, Resolution.STANDARD, dice.randbytes(216 * 300))
        self.world = Simulation(
            [page] * pages,
            seed=seed,
            calling=SLOW,
            called=SLOW,
            watch=self.switches,
            roads=self._road,
            sip_calling=SipOptions(dialogs=policy),
            sip_called=SipOptions(dialogs=replace(policy, session_timer=SessionTimers.ACCEPT)),
        )

    def _road(self, side: Side, plane: Plane, dice: Dice) -> Road:
        if plane is Plane.MEDIA:
            return LineFaults().line(dice)
        return Listener(LineFaults(loss=self.loss).line(dice), self.said[side], self.until)

    def run(self) -> SimulatedFax:
        fax = self.world.run()
        assert [node.agent.is_empty for node in (self.world.caller, self.world.called)] == [True, True]
        return fax

    def requests(self, side: Side, method: str) -> list[bytes]:
        """Different requests of a side, repeats left out."""
        return list(dict.fromkeys(one for one in self.said[side] if one.startswith(f"{method} ".encode())))


@pytest.mark.parametrize(("refresher", "by"), [(Refreshes.US, RefreshBy.UPDATE), (Refreshes.PEER, RefreshBy.INVITE)])
def test_fax_of_45_minutes_outlives_sessions_of_90_seconds_at_five_percent_loss(
    refresher: Refreshes, by: RefreshBy
) -> None:
    call = Long(6, refresher, by, loss=0.05, seed=11)
    fax = call.run()
    assert fax.seconds > 45 * 60
    assert fax.received is not None
    assert (fax.sent.cause, fax.received.cause, fax.received.pages_confirmed) == (Cause.COMPLETE, Cause.COMPLETE, 6)
    refreshing = Side.CALLER if refresher is Refreshes.US else Side.CALLED
    assert len(call.requests(refreshing, by.name)) > 45 * 60 / 90
    assert call.switches.count == {Side.CALLER: 1, Side.CALLED: 1}


@pytest.mark.parametrize("refresher", [Refreshes.US, Refreshes.PEER])
@pytest.mark.parametrize("by", [RefreshBy.UPDATE, RefreshBy.INVITE])
def test_refresh_in_mid_fax_says_the_t38_sdp_as_it_stands(refresher: Refreshes, by: RefreshBy) -> None:
    call = Long(1, refresher, by, loss=0.0, seed=3)
    fax = call.run()
    assert (fax.sent.cause, call.switches.count) == (Cause.COMPLETE, {Side.CALLER: 1, Side.CALLED: 1})
    refreshing = Side.CALLER if refresher is Refreshes.US else Side.CALLED
    if by is RefreshBy.UPDATE:
        updates = call.requests(refreshing, "UPDATE")
        assert len(updates) >= 8
        assert not any(b"v=0" in one for one in updates)
        return
    bodies = [one.partition(b"\r\n\r\n")[2] for one in call.requests(refreshing, "INVITE")]
    refreshes = bodies[-8:]
    assert len({*refreshes}) == 1
    assert re.search(rb"m=image 20000 udptl t38", refreshes[0])
    answers = [one for one in call.said[refreshing.other] if one.startswith(b"SIP/2.0 200") and b"INVITE" in one]
    assert len({one.partition(b"\r\n\r\n")[2] for one in answers[-8:]}) == 1


def test_fax_whose_session_nobody_can_refresh_ends_with_it() -> None:
    call = Long(1, Refreshes.US, RefreshBy.AUTO, loss=0.0, seed=3, until=20.0)
    fax = call.world.run()
    assert fax.received is not None
    assert {fax.sent.cause, fax.received.cause} == {Cause.NETWORK}
    assert "refresh" in fax.received.sentence
    assert fax.seconds < 120
