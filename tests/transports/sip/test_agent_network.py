"""Two agents over a channel that loses, doubles, delays and reorders: every call ends, and nothing is left."""

from typing import Any

import pytest

from vfax.transports.sip import values as sip

LOSSES = (0.0, 0.1, 0.25, 0.4)


def play(make_network: Any, seed: int, loss: float, script: str) -> Any:
    """A whole call: set up, offers by `script` ("callee", "caller", "both", "none"), hung up by the caller at 60 s."""
    net = make_network(seed, loss=loss, twice=0.1, delay=0.4)

    def react(side: int, event: sip.SipEvent) -> None:
        match event:
            case sip.IncomingCall():
                net.order(side, "ring")
                net.at(net.now + 1.0, lambda: net.order(side, "answer", b"v=0 answer"))
            case sip.Reoffered():
                net.at(net.now + 0.02, lambda: net.order(side, "accept_offer", b"v=0 accepted"))
            case sip.Confirmed() if script in ("callee", "both"):
                net.at(max(net.now, 10.0), lambda: net.order(1, "offer", b"v=0 from callee"))
            case sip.Answered() if script in ("caller", "both"):
                net.at(max(net.now, 10.0), lambda: net.order(0, "offer", b"v=0 from caller"))
            case _:
                pass

    net.react = react
    net.at(0.0, net.dial)
    net.at(90.0, lambda: net.order(0, "hang_up"))
    net.run()
    return net


@pytest.mark.parametrize("loss", LOSSES)
@pytest.mark.parametrize("script", ["none", "callee", "caller", "both"])
@pytest.mark.parametrize("seed", range(12))
def test_every_call_is_released_and_every_table_empty(seed: int, script: str, loss: float, make_network: Any) -> None:
    net = play(make_network, seed, loss, script)
    assert [agent.is_empty for agent in net.agents] == [True, True]
    for side in (0, 1):
        mine = [event for event in net.events[side] if not isinstance(event, sip.DatagramDropped)]
        if side == 0 or mine:
            assert isinstance(mine[-1], sip.Released)
        assert len(net.told(side, sip.Released)) == len({event.call for event in mine})
    assert len(net.told(1, sip.IncomingCall)) <= 1


@pytest.mark.parametrize("loss", [0.0, 0.1, 0.25])
@pytest.mark.parametrize("script", ["callee", "caller", "both"])
@pytest.mark.parametrize("seed", range(8))
def test_calls_are_answered_and_offers_settled_up_to_a_quarter_lost(
    seed: int, script: str, loss: float, make_network: Any
) -> None:
    net = play(make_network, seed, loss, script)
    assert len(net.told(0, sip.Answered)) == 1
    assert len(net.told(1, sip.Confirmed)) == 1
    assert not net.told(0, sip.DialogLost) + net.told(1, sip.DialogLost)
    accepted = [len(net.told(side, sip.OfferAccepted)) for side in (0, 1)]
    refused = [len(net.told(side, sip.OfferRefused)) for side in (0, 1)]
    offers = [len(net.told(side, sip.Reoffered)) for side in (0, 1)]
    assert accepted == [offers[1], offers[0]]
    if script == "both":
        assert sum(accepted) >= 1
    else:
        assert (sum(accepted), sum(refused)) == (1, 0)
    assert net.told(1, sip.HungUp)


@pytest.mark.parametrize("seed", range(30))
def test_glare_without_loss_settles_at_least_one_offer(seed: int, make_network: Any) -> None:
    net = make_network(seed, delay=0.05)

    def react(side: int, event: sip.SipEvent) -> None:
        if isinstance(event, sip.IncomingCall):
            net.order(side, "answer", b"v=0")
        elif isinstance(event, sip.Reoffered):
            net.order(side, "accept_offer", b"v=0")

    net.react = react
    net.at(0.0, net.dial)
    for side in (0, 1):
        net.at(5.0, lambda side=side: net.order(side, "offer", b"v=0 mine"))
    net.at(60.0, lambda: net.order(1, "hang_up"))
    net.run()
    assert len(net.told(0, sip.OfferAccepted)) + len(net.told(1, sip.OfferAccepted)) >= 1
    assert [agent.is_empty for agent in net.agents] == [True, True]


@pytest.mark.parametrize("loss", LOSSES)
@pytest.mark.parametrize("seed", range(10))
@pytest.mark.parametrize("script", ["refuse", "cancel", "silence", "both hang up"])
def test_calls_that_come_to_nothing_leave_nothing(seed: int, loss: float, script: str, make_network: Any) -> None:
    net = make_network(seed, loss=loss, twice=0.2, delay=0.8)

    def react(side: int, event: sip.SipEvent) -> None:
        if isinstance(event, sip.IncomingCall):
            net.order(side, "ring")
            if script == "refuse":
                net.at(net.now + 0.5, lambda: net.order(side, "refuse", 486))
            elif script == "both hang up":
                net.order(side, "answer", b"v=0")
                net.at(net.now + 1.0, lambda: net.order(side, "hang_up"))

    net.react = react
    net.at(0.0, net.dial)
    if script in ("cancel", "both hang up"):
        net.at(1.2, lambda: net.order(0, "hang_up"))
    net.run()
    assert [agent.is_empty for agent in net.agents] == [True, True]
    assert len(net.told(0, sip.Released)) == 1
    assert len(net.told(1, sip.Released)) == len(net.told(1, sip.IncomingCall)) <= 1


def test_call_into_the_void_fails_cleanly(make_network: Any) -> None:
    net = make_network(1, loss=1.0)
    net.at(0.0, net.dial)
    net.run()
    assert net.told(0, sip.Refused)[0].heard is False
    assert net.now == 32
    assert net.agents[0].is_empty
