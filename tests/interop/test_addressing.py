"""Polling, SUB, SID, SEP and PWD with libspandsp at the other end."""

from pathlib import Path

import pytest
import trio
from PIL import Image
from trio.testing import MockClock

from tests.interop import documents
from tests.interop.grid import draw, simulated
from tests.interop.joined import JoinedFax
from tests.interop.peer import CallResult, Habits, open_peer
from tests.interop.side import Fax, open_vfax
from tests.interop.spandsp import Abilities
from vfax.codecs.dis import Resolution
from vfax.endpoint import EndpointOptions
from vfax.outcome import Cause
from vfax.t30.options import T30Options
from vfax.t30.values import Addressing

pytestmark = pytest.mark.usefixtures("libspandsp")

PAGES = [draw(1728, 157, number) for number in (1, 2)]
OURS = tuple(simulated(page, Resolution.STANDARD) for page in PAGES)


@pytest.fixture
def document(tmp_path: Path) -> Path:
    path = tmp_path / "document.tif"
    path.write_bytes(documents.class_f(PAGES, dpi=(204, 98)))
    return path


def rasters(pages: list[Image.Image]) -> list[bytes]:
    return [simulated(page, Resolution.STANDARD).raster for page in pages]


def test_we_poll_the_document_of_libspandsp(document: Path) -> None:
    fax = JoinedFax(document, peer_calls=False, polled=True, abilities=Abilities(), options=T30Options())
    result = fax.run()
    assert result.ok, result
    assert [page.raster for page in result.pages] == rasters(PAGES)


def test_libspandsp_polls_our_document(tmp_path: Path) -> None:
    got = tmp_path / "got.tif"
    fax = JoinedFax(got, peer_calls=True, polled=True, abilities=Abilities(), options=T30Options(), pages=OURS)
    result = fax.run()
    assert result.ok, result
    documents.assert_same_pages(got, PAGES)


def test_libspandsp_polls_with_the_password_that_our_document_asks_for(tmp_path: Path) -> None:
    got = tmp_path / "got.tif"
    able = Abilities(poll_address="4711", password="2468")
    says = Addressing(poll_address="4711", poll_password="2468")
    options = T30Options(takes_password=True)
    fax = JoinedFax(got, peer_calls=True, polled=True, abilities=able, options=options, pages=OURS, addressing=says)
    result = fax.run()
    assert result.ok, result
    assert (result.heard["SEP"], result.heard["PWD"]) == ("4711", "2468")
    documents.assert_same_pages(got, PAGES)


def test_a_poll_of_libspandsp_with_a_wrong_password_gets_nothing(tmp_path: Path) -> None:
    able = Abilities(poll_address="4711", password="1357")
    says = Addressing(poll_address="4711", poll_password="2468")
    options = T30Options(takes_password=True)
    fax = JoinedFax(
        tmp_path / "got.tif", peer_calls=True, polled=True, abilities=able, options=options, pages=OURS, addressing=says
    )
    result = fax.run()
    assert result.outcome is not None
    assert result.outcome.cause is not Cause.COMPLETE
    assert (result.outcome.pages_confirmed, result.verdict.ok) == (0, False)


def test_we_poll_libspandsp_with_address_and_password(document: Path) -> None:
    says = Addressing(poll_address="4711", poll_password="2468")
    fax = JoinedFax(
        document, peer_calls=False, polled=True, abilities=Abilities(), options=T30Options(), addressing=says
    )
    result = fax.run()
    assert result.ok, result
    assert result.heard_by_peer.get("SEP", "") == "4711"


def test_libspandsp_hears_our_subaddress(tmp_path: Path) -> None:
    got = tmp_path / "got.tif"
    says = Addressing(subaddress="12#34", sender_password="99")
    fax = JoinedFax(got, peer_calls=False, abilities=Abilities(), options=T30Options(), pages=OURS, addressing=says)
    result = fax.run()
    assert result.ok, result
    assert result.heard_by_peer["SUB"] == "12#34"
    documents.assert_same_pages(got, PAGES)


def test_we_hear_the_subaddress_of_libspandsp(document: Path) -> None:
    able = Abilities(subaddress="12#34", sender_ident="99")
    options = T30Options(takes_password=True)
    result = JoinedFax(document, peer_calls=True, abilities=able, options=options).run()
    assert result.ok, result
    assert result.heard["SUB"] == "12#34"
    assert [page.raster for page in result.pages] == rasters(PAGES)


async def test_a_whole_call_of_ours_polls_libspandsp(document: Path, tmp_path: Path, fax_clock: MockClock) -> None:
    got = tmp_path / "got.tif"
    faxes: list[Fax] = []
    results: list[CallResult] = []

    async def peer_works() -> None:
        results.append(await peer.listen(document, Habits(sends=True)))

    options = EndpointOptions(listen=("127.0.0.1", 0))
    async with open_vfax(options) as side, open_peer() as peer, trio.open_nursery() as nursery:
        nursery.start_soon(peer_works)
        faxes.append(await side.poll(got, peer.uri))
    assert (faxes[0].ended.cause, results[0].ok) == (Cause.COMPLETE, True), (faxes[0].ended, results[0].verdict)
    assert faxes[0].ended.sentence.startswith("The fax was received")
    documents.assert_same_pages(got, PAGES)


async def test_a_machine_that_has_nothing_to_poll_is_said_to_have_nothing(tmp_path: Path, fax_clock: MockClock) -> None:
    got = tmp_path / "got.tif"
    options = EndpointOptions(listen=("127.0.0.1", 0))
    async with open_vfax(options) as side, open_peer() as peer, trio.open_nursery() as nursery:
        nursery.start_soon(peer.listen, tmp_path / "theirs.tif")
        fax = await side.poll(got, peer.uri)
        nursery.cancel_scope.cancel()
    assert fax.ended.cause is Cause.INCOMPATIBLE
    assert "poll" in fax.ended.sentence
    assert got.stat().st_size == 0
