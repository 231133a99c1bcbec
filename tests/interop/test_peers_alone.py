"""The test peers against each other: what they cannot do here, they cannot show of vfax."""

import re
from collections.abc import Callable
from pathlib import Path

import pytest
import trio
from PIL import Image
from trio.testing import MockClock

from tests.interop import dissect, documents, spandsp
from tests.interop.peer import CallResult, Ending, Fault, Habits, SpandspPeer, Way
from tests.interop.spandsp import Abilities, Coding, Modem
from tests.interop.udptl_plain import BadDatagramError, Packer, Protection, Unpacker, split

MakeFax = Callable[..., tuple[Path, list[Image.Image]]]


async def run_call(
    caller: SpandspPeer, called: SpandspPeer, fax: Path, target: Path, calling: Habits, answering: Habits
) -> tuple[CallResult, CallResult]:
    results: dict[str, CallResult] = {}

    async def send() -> None:
        results["sender"] = await caller.call(called.uri, fax, calling)

    async def receive() -> None:
        results["receiver"] = await called.listen(target, answering)

    async with trio.open_nursery() as nursery:
        nursery.start_soon(send)
        nursery.start_soon(receive)
    return results["sender"], results["receiver"]


@pytest.mark.parametrize(
    ("calling", "answering"),
    [
        (Way.DIRECT, Way.DIRECT),
        (Way.AUDIO_THEN_ASK, Way.AUDIO_THEN_WAIT),
        (Way.AUDIO_THEN_WAIT, Way.AUDIO_THEN_ASK),
        (Way.AUDIO_THEN_ASK, Way.AUDIO_THEN_ASK),
    ],
)
async def test_two_pages_arrive_pixel_for_pixel_whichever_way_t38_begins(
    calling: Way,
    answering: Way,
    fax_clock: MockClock,
    peer: SpandspPeer,
    other_peer: SpandspPeer,
    make_fax: MakeFax,
    tmp_path: Path,
) -> None:
    fax, pages = make_fax(2)
    sender, receiver = await run_call(
        peer, other_peer, fax, tmp_path / "got.tif", Habits(way=calling), Habits(way=answering)
    )
    assert (sender.ok, receiver.ok) == (True, True), peer.transcript.text()
    assert (sender.complaints, receiver.complaints) == ([], [])
    assert (sender.ending, receiver.ending) == (Ending.US, Ending.THEM)
    documents.assert_same_pages(tmp_path / "got.tif", pages)


@pytest.mark.parametrize(
    ("ecm", "modem", "coding", "fine"),
    [
        (True, Modem.V17, Coding.MMR, True),
        (False, Modem.V29, Coding.MR, False),
        (False, Modem.V27TER, Coding.MH, False),
        (True, Modem.V29, Coding.MH, False),
    ],
)
async def test_abilities_asked_for_are_those_used(
    ecm: bool,
    modem: Modem,
    coding: Coding,
    fine: bool,
    fax_clock: MockClock,
    peer: SpandspPeer,
    other_peer: SpandspPeer,
    make_fax: MakeFax,
    tmp_path: Path,
) -> None:
    fax, pages = make_fax(1, fine=fine)
    able = Abilities(ident="+49 30 901820", ecm=ecm, modem=modem, coding=coding, fine=fine)
    sender, receiver = await run_call(
        peer, other_peer, fax, tmp_path / "got.tif", Habits(abilities=able), Habits(abilities=Abilities(ident="B 2"))
    )
    assert sender.verdict is not None
    assert receiver.verdict is not None
    rate = {Modem.V17: 14400, Modem.V29: 9600, Modem.V27TER: 4800}[modem]
    assert (sender.verdict.ecm, sender.verdict.coding, sender.verdict.rate_bps) == (ecm, coding, rate)
    assert (sender.verdict.remote_ident, receiver.verdict.remote_ident) == ("B 2", "+49 30 901820")
    documents.assert_same_pages(tmp_path / "got.tif", pages)


@pytest.mark.parametrize("protection", Protection)
async def test_every_third_datagram_lost_costs_nothing_with_redundancy_or_parity(
    protection: Protection,
    fax_clock: MockClock,
    peer: SpandspPeer,
    other_peer: SpandspPeer,
    make_fax: MakeFax,
    tmp_path: Path,
) -> None:
    fax, _ = make_fax()
    losing = Habits(protection=protection, lose=lambda index: index % 3 == 1)
    sender, receiver = await run_call(peer, other_peer, fax, tmp_path / "got.tif", losing, Habits())
    bare = protection is Protection.NONE  # what is lost then shows that the losses are real ones
    assert sender.ok is not bare
    assert (receiver.recovered > 100) is not bare


@pytest.mark.parametrize(("way", "status", "asked"), [(Way.DIRECT, 488, 0), (Way.AUDIO_THEN_ASK, 200, 488)])
async def test_refused_t38_is_a_488(
    way: Way,
    status: int,
    asked: int,
    fax_clock: MockClock,
    peer: SpandspPeer,
    other_peer: SpandspPeer,
    make_fax: MakeFax,
    tmp_path: Path,
) -> None:
    fax, _ = make_fax()
    refusing = Habits(way=Way.REFUSE_T38)
    sender, receiver = await run_call(peer, other_peer, fax, tmp_path / "got.tif", Habits(way=way), refusing)
    assert (sender.status, sender.asked_them, sender.ok, receiver.ok) == (status, asked, False, False)


async def test_hanging_up_in_the_second_page_is_a_dropped_call(
    fax_clock: MockClock, peer: SpandspPeer, other_peer: SpandspPeer, make_fax: MakeFax, tmp_path: Path
) -> None:
    fax, _ = make_fax(3)
    fault = Habits(fault=Fault.HANG_UP, fault_page=2)
    sender, receiver = await run_call(peer, other_peer, fax, tmp_path / "got.tif", fault, Habits())
    assert (sender.ending, receiver.ending) == (Ending.US, Ending.THEM)
    assert receiver.verdict is not None
    assert receiver.verdict.text == "The call dropped prematurely"
    assert receiver.verdict.pages_received == 1


async def test_vanishing_in_mid_page_leaves_the_other_side_to_its_timers(
    fax_clock: MockClock, peer: SpandspPeer, other_peer: SpandspPeer, make_fax: MakeFax, tmp_path: Path
) -> None:
    fax, _ = make_fax(2)
    fault = Habits(fault=Fault.VANISH, patience=60)
    sender, receiver = await run_call(peer, other_peer, fax, tmp_path / "got.tif", fault, Habits(patience=90))
    assert (sender.ok, receiver.ok, sender.ending) == (False, False, Ending.NOBODY)


@pytest.mark.parametrize("ecm", [True, False])
async def test_tshark_reads_a_call_of_the_peers_without_a_malformed_packet(
    ecm: bool,
    fax_clock: MockClock,
    tshark: str,
    peer: SpandspPeer,
    other_peer: SpandspPeer,
    make_fax: MakeFax,
    tmp_path: Path,
) -> None:
    fax, _ = make_fax(2, lines=3)
    habits = Habits(abilities=Abilities(ecm=ecm))
    await run_call(peer, other_peer, fax, tmp_path / "got.tif", habits, Habits())
    capture = tmp_path / "call.pcap"
    peer.transcript.write_pcap(capture)
    packets = dissect.dissect(capture, udptl_ports=peer.transcript.ports("udptl"))
    dissect.assert_well_formed(packets)
    between = ["FCD", "RCP", "PPS", "MCF"] if ecm else ["MPS", "MCF"]
    dissect.assert_frames(packets, ["CSI", "DIS", "TSI", "DCS", "CFR", *between, "MCF", "DCN"])
    assert any(re.search(r"Request: INVITE", packet.info) for packet in packets)


async def test_tshark_calls_a_damaged_packet_malformed(
    fax_clock: MockClock, tshark: str, peer: SpandspPeer, other_peer: SpandspPeer, make_fax: MakeFax, tmp_path: Path
) -> None:
    peer.transcript.keep(0, "udptl", ("127.0.0.1", 40000), ("127.0.0.1", 40002), bytes.fromhex("000106c001"))
    capture = tmp_path / "bad.pcap"
    peer.transcript.write_pcap(capture)
    packets = dissect.dissect(capture, udptl_ports=[40000])
    with pytest.raises(AssertionError, match="malformed"):
        dissect.assert_well_formed(packets)


def test_plain_udptl_gives_each_packet_once_after_losses_and_repeats() -> None:
    packer, unpacker = Packer(depth=3), Unpacker()
    ifps = [bytes([0, n]) for n in range(200)]
    datagrams = [packer.pack(ifp) for ifp in ifps]
    arriving = [d for n, d in enumerate(datagrams) if n % 4 in (0, 3)] + datagrams[-2:]
    got = [ifp for datagram in arriving for _, ifp in unpacker.unpack(datagram)]
    assert got == ifps
    assert (unpacker.recovered, unpacker.lost) == (100, 0)


def test_plain_udptl_writes_fec_as_the_reference_example() -> None:
    # seq 9, span 3, 3 entries: entry 0 covers 6, 3, 0; entry 1 covers 7, 4, 1; entry 2 covers 8, 5, 2.
    packer = Packer(Protection.FEC, depth=3)
    ifps = [bytes([n, 1 << n % 8]) for n in range(10)]
    last = [packer.pack(ifp) for ifp in ifps][-1]
    rows = [bytes(a ^ b ^ c for a, b, c in zip(ifps[i], ifps[i + 3], ifps[i + 6], strict=True)) for i in range(3)]
    assert last == b"\x00\x09\x02" + ifps[9] + b"\x80\x01\x03\x03" + b"".join(b"\x02" + row for row in rows)


@pytest.mark.parametrize("octets", ["", "0001", "0001050000", "00010100000000", "0001010040", "00010100 0001"])
def test_plain_udptl_refuses_what_is_none(octets: str) -> None:
    with pytest.raises(BadDatagramError):
        split(bytes.fromhex(octets))


def test_the_standard_page_has_its_size() -> None:
    page = documents.standard_page()
    assert page.size == (1728, 1100)
    assert 18_000 < documents.mmr_octets(page) < 20_500


def test_a_missing_library_is_named_with_its_package(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(spandsp, "LIBRARY", "libspandsp.so.none")
    monkeypatch.setattr(spandsp, "_loaded", [])
    with pytest.raises(spandsp.MissingLibraryError, match="install the Debian package libspandsp2"):
        spandsp.load()


def test_a_missing_program_is_named_with_its_package() -> None:
    with pytest.raises(dissect.MissingProgramError, match="install the Debian package sip-tester"):
        dissect.find_program("sipp-that-is-not-there", "sip-tester")
