"""Faxes from behind a NAT box, in virtual time: what symmetric signalling, symmetric media and keep-alives are for."""

import random
from dataclasses import replace
from typing import Any

import pytest

from tests.simulation.natbox import NatBox, Natted
from vfax.codecs.dis import Resolution
from vfax.leg import CallerOffer, InternetAware, LegOptions
from vfax.outcome import Cause
from vfax.simulate import Side, SimulatedFax, SimulatedPage, Simulation
from vfax.t30.options import T30Options
from vfax.transports.simnet import LineFaults
from vfax.transports.sip.options import SipOptions
from vfax.transports.t38 import T38Options

SYMMETRIC = SipOptions(symmetric=True)
LEARNING = LegOptions(learn_source=True)
SLOW = LegOptions(
    fax=T30Options(max_rate_bps=2400, min_rate_bps=2400), internet_aware=InternetAware.NEVER, learn_source=True
)


def page(rows: int = 40) -> SimulatedPage:
    """Noise, of which no coding makes less: at 2400 bit/s a row takes a second."""
    return SimulatedPage(1728, rows, Resolution.STANDARD, random.Random(1).randbytes(216 * rows))


def world(
    box: NatBox,
    *,
    rows: int = 40,
    seed: int = 5,
    called: LegOptions = LEARNING,
    called_sip: SipOptions = SYMMETRIC,
    **more: Any,
) -> Natted:
    return Natted([page(rows)], box, seed=seed, called=called, called_sip=called_sip, **more)


def causes(fax: SimulatedFax) -> tuple[Cause, Cause | None]:
    return fax.sent.cause, None if fax.received is None else fax.received.cause


BOTH = (Cause.COMPLETE, Cause.COMPLETE)


@pytest.mark.parametrize("dependent", [False, True], ids=["one mapping for all", "one for each remote address"])
@pytest.mark.parametrize("offer", CallerOffer)
@pytest.mark.parametrize("polled", [False, True])
def test_a_fax_from_behind_a_nat_arrives(dependent: bool, offer: CallerOffer, polled: bool) -> None:
    fax = world(NatBox(dependent=dependent), calling=LegOptions(caller_offer=offer), polled=polled).run()
    assert causes(fax) == BOTH


@pytest.mark.parametrize("dependent", [False, True])
@pytest.mark.parametrize(("loss", "seed"), [(0.02, 1), (0.02, 2), (0.1, 3), (0.1, 4)])
def test_it_arrives_or_fails_cleanly_on_a_bad_line_too(dependent: bool, loss: float, seed: int) -> None:
    fax = world(NatBox(dependent=dependent), seed=seed, faults=LineFaults(loss=loss, jitter=0.05)).run()
    assert fax.sent.sentence.endswith(".")
    assert fax.sent.pages_confirmed <= (fax.received.pages_confirmed if fax.received else 0)


def test_without_symmetric_media_nothing_arrives_and_that_is_said() -> None:
    """The control: this box is one that matters."""
    fax = world(NatBox(dependent=True), called=LegOptions()).run()
    assert Cause.COMPLETE not in causes(fax)
    assert fax.sent.sentence.endswith(".")


def test_the_end_of_a_call_is_heard_behind_the_nat_though_the_contact_is_private() -> None:
    """The called side sends its BYE where the INVITE came from."""
    one = world(NatBox(dependent=True))
    fax = one.run()
    assert causes(fax) == BOTH
    assert one.caller.agent.is_empty
    assert one.called.agent.is_empty


def test_a_learned_contact_needs_no_symmetry_of_the_other_side() -> None:
    one = world(NatBox(dependent=False), called_sip=SipOptions(), taught=True)
    assert causes(one.run()) == BOTH
    assert one.called.agent.is_empty
    assert one.box.refused == 0


def hung_up_late(kept: bool) -> tuple[SimulatedFax, Natted]:
    """A page of two minutes; the called side hangs up near its end."""
    one = world(NatBox(dependent=True), rows=120, kept=kept, calling=SLOW, called=SLOW)
    one.at(100.0, lambda: one.hang_up(Side.CALLED))
    return one.run(), one


def test_a_way_that_is_kept_open_brings_the_bye_of_a_long_call() -> None:
    fax, one = hung_up_late(kept=True)
    assert fax.sent.cause is Cause.PEER_HUNG_UP
    assert one.ended_at < 101.0


def test_without_keep_alives_the_bye_does_not_arrive() -> None:
    """The control: the box has forgotten the way of SIP after 30 s."""
    fax, one = hung_up_late(kept=False)
    assert fax.sent.cause is not Cause.PEER_HUNG_UP
    assert one.box.refused > 0


@pytest.mark.parametrize(("keep_alive", "arrives"), [(15.0, True), (3600.0, False)])
def test_media_that_only_listens_keeps_its_way_open(keep_alive: float, arrives: bool) -> None:
    """The calling side polls: for minutes it only receives, behind a box that what comes in does not keep open."""
    slow = replace(SLOW, fax=replace(SLOW.fax, ecm=False))
    calling = replace(slow, line=T38Options(keep_alive=keep_alive))
    fax = world(NatBox(dependent=True), rows=60, polled=True, calling=calling, called=slow).run()
    assert fax.seconds > 60.0
    assert (causes(fax) == BOTH) is arrives


@pytest.mark.parametrize(("after", "arrives"), [(3.0, True), (3600.0, False)])
def test_a_box_that_is_switched_off_and_on_costs_some_seconds_of_a_fax(after: float, arrives: bool) -> None:
    """Media comes from another port from then on: the one change, after the old port has been silent."""
    called = replace(SLOW, relearn_after=after)
    one = world(NatBox(dependent=True), rows=60, calling=SLOW, called=called)
    one.at(40.0, one.box.forget)
    fax = one.run()
    assert (fax.sent.cause is Cause.COMPLETE) is arrives
    assert one.called.leg is not None
    assert one.called.leg.strangers > 0


def test_a_simulation_without_a_box_is_as_before() -> None:
    fax = Simulation([page()], seed=5).run()
    assert causes(fax) == BOTH
