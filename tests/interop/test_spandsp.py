"""vfax against libspandsp: a fax engine that nobody here wrote calls vfax, and vfax calls it."""

import math
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import pytest
from PIL import Image
from trio.testing import MockClock

from tests.interop import dissect, documents
from tests.interop.matrix import Caller, Case, Limiter, Start, full_matrix, pairwise, play, play_case
from tests.interop.peer import Ending, Fault, Habits, Way
from tests.interop.spandsp import Abilities, Coding, Modem
from tests.interop.udptl_plain import Protection
from vfax.endpoint import EndpointOptions
from vfax.leg_values import CallerOffer, LegOptions
from vfax.outcome import Cause

MakeFax = Callable[..., tuple[Path, list[Image.Image]]]
pytestmark = pytest.mark.usefixtures("libspandsp")

PLAIN = Case(Caller.PEER, Start.DIRECT, True, Modem.V17, Coding.MMR, 1, False, Limiter.PEER)
DIRECT = EndpointOptions(listen=("127.0.0.1", 0))
AUDIO = replace(DIRECT, leg=LegOptions(caller_offer=CallerOffer.AUDIO))


@pytest.mark.parametrize("case", pairwise(full_matrix()), ids=str)
async def test_fax_arrives_pixel_for_pixel_and_both_sides_agree(
    case: Case, fax_clock: MockClock, tmp_path: Path
) -> None:
    await play_case(case, tmp_path)


@pytest.mark.parametrize("caller", Caller)
@pytest.mark.parametrize("ecm", [True, False], ids=["ecm", "no-ecm"])
async def test_tshark_finds_no_malformed_packet_in_a_call(
    caller: Caller, ecm: bool, fax_clock: MockClock, tshark: str, tmp_path: Path
) -> None:
    coding = Coding.MMR if ecm else Coding.MR
    capture = tmp_path / "call.pcap"
    case = replace(PLAIN, caller=caller, ecm=ecm, coding=coding, pages=2)
    await play_case(case, tmp_path, lines=3, capture=capture)
    packets = dissect.dissect(capture, udptl_ports=[])
    dissect.assert_well_formed(packets)
    between = ["FCD", "RCP", "PPS", "MCF"] if ecm else ["MPS", "MCF"]
    last = "PPS" if ecm else "EOP"
    dissect.assert_frames(packets, ["CSI", "DIS", "TSI", "DCS", "CFR", *between, last, "MCF", "DCN"])


@pytest.mark.parametrize("protection", [Protection.REDUNDANCY, Protection.FEC])
async def test_every_fourth_datagram_of_the_sender_may_get_lost(
    protection: Protection, fax_clock: MockClock, make_fax: MakeFax, tmp_path: Path
) -> None:
    document, pages = make_fax(2)
    habits = Habits(protection=protection, lose=lambda index: index % 4 == 2)
    played = await play(DIRECT, habits, document, tmp_path / "got.tif", Caller.PEER)
    assert (played.result.ok, played.fax.ended.cause) == (True, Cause.COMPLETE), played.log
    documents.assert_same_pages(tmp_path / "got.tif", pages)


async def test_every_fourth_datagram_of_the_receiver_may_get_lost(
    fax_clock: MockClock, make_fax: MakeFax, tmp_path: Path
) -> None:
    document, pages = make_fax(2)
    habits = Habits(lose=lambda index: index % 4 == 2)
    played = await play(DIRECT, habits, document, tmp_path / "got.tif", Caller.VFAX)
    assert (played.result.ok, played.fax.ended.cause) == (True, Cause.COMPLETE), played.log
    documents.assert_same_pages(tmp_path / "got.tif", pages)


@pytest.mark.parametrize("caller", Caller)
async def test_a_re_invite_that_hears_491_comes_again(
    caller: Caller, fax_clock: MockClock, make_fax: MakeFax, tmp_path: Path
) -> None:
    document, pages = make_fax()
    options = replace(AUDIO, leg=replace(AUDIO.leg, caller_switch_after=1.0))
    habits = Habits(way=Way.AUDIO_THEN_WAIT, glare=1)
    played = await play(options, habits, document, tmp_path / "got.tif", caller)
    assert (played.result.ok, played.result.asked_us) == (True, 2), played.log
    documents.assert_same_pages(tmp_path / "got.tif", pages)


@pytest.mark.parametrize("caller", Caller)
async def test_both_sides_asking_at_once_still_end_in_t38(
    caller: Caller, fax_clock: MockClock, make_fax: MakeFax, tmp_path: Path
) -> None:
    document, pages = make_fax()
    options = replace(AUDIO, leg=replace(AUDIO.leg, caller_switch_after=1.0, called_switch_after=1.0))
    habits = Habits(way=Way.AUDIO_THEN_ASK, ask_after=1.0)
    played = await play(options, habits, document, tmp_path / "got.tif", caller)
    assert (played.result.ok, played.fax.ended.cause) == (True, Cause.COMPLETE), played.log
    documents.assert_same_pages(tmp_path / "got.tif", pages)


@pytest.mark.parametrize("fault", [Fault.VANISH, Fault.HANG_UP])
async def test_a_sender_lost_in_page_two_leaves_page_one(
    fault: Fault, fax_clock: MockClock, make_fax: MakeFax, tmp_path: Path
) -> None:
    document, pages = make_fax(3)
    habits = Habits(fault=fault, fault_page=2)
    played = await play(DIRECT, habits, document, tmp_path / "got.tif", Caller.PEER)
    ended = played.fax.ended
    assert ended.cause in ({Cause.PEER_HUNG_UP} if fault is Fault.HANG_UP else {Cause.NO_CARRIER, Cause.NO_COMMAND})
    assert ended.pages_confirmed == 1
    assert ended.sentence
    assert documents.read_pages(tmp_path / "got.tif")[0].tobytes() == pages[0].tobytes()


@pytest.mark.parametrize("fault", [Fault.VANISH, Fault.HANG_UP])
async def test_a_receiver_lost_in_page_two_is_told(
    fault: Fault, fax_clock: MockClock, make_fax: MakeFax, tmp_path: Path
) -> None:
    document, _ = make_fax(3)
    habits = Habits(fault=fault, fault_page=2)
    played = await play(DIRECT, habits, document, tmp_path / "got.tif", Caller.VFAX)
    ended = played.fax.ended
    assert ended.cause is (Cause.PEER_HUNG_UP if fault is Fault.HANG_UP else Cause.NO_RESPONSE)
    assert ended.pages_confirmed == 1
    assert ended.sentence


@pytest.mark.parametrize(("status", "cause"), [(486, Cause.BUSY), (603, Cause.REJECTED), (480, Cause.NO_ANSWER)])
async def test_a_refused_call_says_so(
    status: int, cause: Cause, fax_clock: MockClock, make_fax: MakeFax, tmp_path: Path
) -> None:
    document, _ = make_fax()
    played = await play(DIRECT, Habits(refuse_with=status), document, tmp_path / "got.tif", Caller.VFAX)
    assert (played.fax.ended.cause, played.fax.ended.sip_status) == (cause, status)


async def test_a_peer_that_refuses_t38_is_an_outcome_with_the_sip_code(
    fax_clock: MockClock, make_fax: MakeFax, tmp_path: Path
) -> None:
    document, _ = make_fax()
    played = await play(AUDIO, Habits(way=Way.REFUSE_T38), document, tmp_path / "got.tif", Caller.VFAX)
    assert (played.fax.ended.cause, played.fax.ended.sip_status) == (Cause.T38_REFUSED, 488), played.log
    assert "488" in played.fax.ended.sentence
    assert played.result.ending in (Ending.US, Ending.THEM)


async def test_a_called_vfax_whose_t38_is_refused_hangs_up_and_says_so(
    fax_clock: MockClock, make_fax: MakeFax, tmp_path: Path
) -> None:
    document, _ = make_fax()
    played = await play(AUDIO, Habits(way=Way.REFUSE_T38), document, tmp_path / "got.tif", Caller.PEER)
    assert (played.fax.ended.cause, played.result.ending) == (Cause.T38_REFUSED, Ending.THEM), played.log


async def test_ced_is_heard_while_the_call_is_audio(fax_clock: MockClock, make_fax: MakeFax, tmp_path: Path) -> None:
    document, _ = make_fax()
    played = await play(DIRECT, Habits(way=Way.AUDIO_THEN_WAIT), document, tmp_path / "got.tif", Caller.PEER)
    assert played.result.ok, played.log
    assert loudest_hz(played.result.audio) == pytest.approx(2100, abs=20)


async def test_lower_bit_rate_in_sdp_is_obeyed(fax_clock: MockClock, make_fax: MakeFax, tmp_path: Path) -> None:
    document, pages = make_fax()
    habits = Habits(abilities=Abilities(max_bit_rate_bps=9600))
    played = await play(DIRECT, habits, document, tmp_path / "got.tif", Caller.VFAX)
    assert played.result.verdict is not None
    assert (played.result.ok, played.result.verdict.rate_bps) == (True, 9600), played.log
    documents.assert_same_pages(tmp_path / "got.tif", pages)


def loudest_hz(ulaw: bytes) -> float:
    """Frequency of the loudest tone from 400 to 3600 Hz in mu-law octets at 8 kHz, to 20 Hz (plain Goertzel)."""
    samples = [mulaw(octet) for octet in ulaw[-1600:]]
    powers = {}
    for hz in range(400, 3600, 20):
        factor, one, two = 2 * math.cos(2 * math.pi * hz / 8000), 0.0, 0.0
        for sample in samples:
            one, two = sample + factor * one - two, one
        powers[hz] = one * one + two * two - factor * one * two
    return max(powers, key=lambda hz: powers[hz])


def mulaw(octet: int) -> float:
    """One G.711 mu-law octet as a linear sample."""
    octet = ~octet & 0xFF
    value = ((octet & 0x0F) * 2 + 33 << (octet >> 4 & 7)) - 33
    return -value if octet & 0x80 else value
