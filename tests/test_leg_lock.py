"""Symmetric media: where media goes and who is heard, with the one change that is learned."""

from dataclasses import replace

import pytest

from tests.test_leg import (
    KEY,
    NO_SIGNAL,
    STRANGER,
    THEIRS,
    World,
    called_in_audio,
    called_in_fax,
    calling_in_audio,
    offering,
)
from vfax.leg import AcceptOffer, CallerOffer, LegOptions, Offer
from vfax.leg_lock import SourceLock
from vfax.transports.rtp import HEADER, RTP_VERSION, looks_like_rtp
from vfax.transports.sip import values as sip
from vfax.transports.sip.negotiation import MediaKind
from vfax.transports.sip.values import Address
from vfax.transports.udptl import Packet

NAT: Address = ("203.0.113.7", 40_000)
OTHER: Address = ("203.0.113.7", 41_000)
LEARNING = LegOptions(learn_source=True)


def rtp(ssrc: int = 7) -> bytes:
    return HEADER.pack(RTP_VERSION, 0, 1, 160, ssrc) + bytes(160)


def udptl(number: int) -> bytes:
    return Packet(number, b"\0").encode()


def goes_to(world: World) -> set[Address]:
    """Where media goes from now on."""
    world.media.clear()
    world.wait(20.0)
    return {to for _, to in world.media}


# --- the lock by itself --------------------------------------------------------------------------


def lock(*, learn: bool = True) -> SourceLock:
    one = SourceLock(learn=learn, silence=3.0)
    one.agree(THEIRS, held=False)
    return one


def hear(one: SourceLock, source: Address, now: float, *, sense: bool = True) -> bool:
    taken = source == one.locked or one.accepts(source, now, lambda: sense)
    if taken:
        one.heard_at = now
    return taken


@pytest.mark.parametrize("first", [THEIRS, NAT])
def test_the_lock_changes_once_when_its_source_has_fallen_silent(first: Address) -> None:
    one = lock()
    assert hear(one, first, 0.0)
    assert one.remote == first
    assert not hear(one, OTHER, 2.9)  # it is not silent yet
    assert hear(one, OTHER, 3.0)
    assert (one.remote, one.learned) == (OTHER, OTHER)
    assert not hear(one, first, 1000.0)
    assert not hear(one, ("203.0.113.7", 42_000), 1000.0)
    assert one.remote == OTHER


def test_a_later_change_is_for_peers_whose_nat_is_declared() -> None:
    one = lock(learn=False)
    assert not hear(one, NAT, 0.0)
    assert hear(one, THEIRS, 0.0)
    assert not hear(one, (THEIRS[0], 9), 1000.0)


def test_another_port_of_the_named_host_is_believed_at_the_beginning() -> None:
    one = lock(learn=False)
    assert hear(one, (THEIRS[0], 9), 0.0)
    assert one.remote == (THEIRS[0], 9)


def test_what_makes_no_sense_changes_nothing() -> None:
    one = lock()
    assert not hear(one, NAT, 0.0, sense=False)
    assert (one.locked, one.remote) == (None, THEIRS)
    assert hear(one, OTHER, 1.0)


def test_the_same_address_again_keeps_what_was_learned() -> None:
    one = lock()
    hear(one, NAT, 0.0)
    one.agree(THEIRS, held=False)
    assert (one.locked, one.remote) == (NAT, NAT)


def test_another_address_begins_anew() -> None:
    one = lock()
    hear(one, NAT, 0.0)
    one.agree(("192.0.2.77", 4), held=False)
    assert (one.locked, one.remote) == (None, ("192.0.2.77", 4))
    assert hear(one, OTHER, 1.0)


@pytest.mark.parametrize("named", [("0.0.0.0", 0), THEIRS])
def test_on_hold_nothing_goes_out_and_nobody_is_learned(named: Address) -> None:
    one = lock()
    hear(one, NAT, 0.0)
    one.agree(named, held=True)
    assert one.remote is None
    assert not hear(one, OTHER, 99.0)
    one.agree(THEIRS, held=False)
    assert one.remote == NAT


# --- in a call -----------------------------------------------------------------------------------


def test_audio_goes_where_audio_comes_from() -> None:
    world = called_in_audio(replace(LEARNING, called_switch_after=30.0))
    world.hear(rtp(), NAT)
    assert goes_to(world) == {NAT}
    assert world.leg.heard_from is None  # nobody's T.38 is heard


def test_audio_of_another_stream_or_host_does_not_turn_it_away() -> None:
    world = called_in_audio(LegOptions(called_switch_after=30.0))
    world.hear(rtp(), NAT)  # NAT is not declared
    assert goes_to(world) == {THEIRS}
    world = called_in_audio(replace(LEARNING, called_switch_after=100.0, audio_limit=99.0))
    world.hear(rtp(1), THEIRS)
    world.wait(5.0)
    world.hear(rtp(2), NAT)
    world.hear(b"\0" * 20, NAT)
    assert goes_to(world) == {THEIRS}
    world.hear(rtp(1), NAT)
    assert goes_to(world) == {NAT}


def test_what_audio_has_learned_holds_for_t38_at_the_same_address() -> None:
    world = offering(LEARNING)
    world.hear(rtp(), NAT)
    (offer,) = world.said(Offer)
    world.signal(sip.OfferAccepted(KEY, world.theirs.answer(offer.sdp, want=MediaKind.T38).sdp))
    assert goes_to(world) == {NAT}
    early = world.leg.early
    world.hear(rtp(), NAT)  # still in flight: it is not taken for T.38
    assert (world.leg.early, world.leg.heard_from) == (early + 1, None)
    world.hear(NO_SIGNAL, NAT)
    assert world.leg.heard_from == NAT


def test_a_refresh_in_mid_fax_does_not_send_media_back_behind_the_nat() -> None:
    world = called_in_fax(LEARNING)
    world.hear(NO_SIGNAL, NAT)
    world.signal(sip.Reoffered(KEY, world.theirs.refresh()))
    assert len(world.said(AcceptOffer)) == 1
    assert goes_to(world) == {NAT}
    assert world.leg.heard_from == NAT


def test_a_nat_that_forgets_gives_the_fax_another_port_once() -> None:
    world = called_in_fax(LEARNING)
    world.hear(udptl(0))
    world.hear(udptl(1), NAT)
    assert (world.leg.heard_from, world.leg.strangers) == (THEIRS, 1)
    world.wait(3.0)
    world.hear(udptl(4000), NAT)  # no number that could come next: a guess
    assert world.leg.heard_from == THEIRS
    world.hear(udptl(3), NAT)
    assert world.leg.heard_from == NAT
    assert goes_to(world) == {NAT}
    world.hear(udptl(4), OTHER)
    world.hear(udptl(4), STRANGER)
    assert (world.leg.heard_from, world.leg.strangers) == (NAT, 4)


def test_a_calling_side_learns_too() -> None:
    world = calling_in_audio(replace(LEARNING, caller_offer=CallerOffer.AUDIO, caller_switch_after=60.0))
    world.hear(rtp(), NAT)
    assert goes_to(world) == {NAT}
    assert all(looks_like_rtp(datagram) for datagram, _ in world.media)
