"""Whole faxes between two endpoints of ours over real UDP on loopback, in virtual time."""

import json
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from PIL import Image
from trio.testing import MockClock

import vfax.journal
from vfax import call
from vfax.codecs import tiff
from vfax.codecs.dis import Coding, Resolution
from vfax.codecs.header_line import HeaderLine, draw_header, header_rows
from vfax.leg import CallerOffer, InternetAware, LegOptions
from vfax.outcome import Cause, Outcome
from vfax.t30.options import T30Options


def pixels(path: Path) -> list[bytes]:
    found = []
    with Image.open(path) as document:
        for index in range(getattr(document, "n_frames", 1)):
            document.seek(index)
            found.append(document.convert("1").tobytes())
    return found


def fax(**changes: object) -> LegOptions:
    return LegOptions(fax=replace(T30Options(), **changes))  # type: ignore[arg-type]


async def send(caller: call.Network, receiver: Any, document: Path, heard: list[call.CallEvent]) -> Outcome:
    outcome = await caller.outbound().send(receiver.request(document), publish=heard.append)
    await receiver.done.wait()
    return outcome


@pytest.mark.parametrize(
    ("ecm", "coding"),
    [(True, Coding.MMR), (True, Coding.MR), (True, Coding.MH), (False, Coding.MR), (False, Coding.MH)],
)
async def test_three_pages_arrive_pixel_for_pixel(
    fax_pair: Callable[..., Any], make_document: Callable[..., Path], fax_clock: MockClock, ecm: bool, coding: Coding
) -> None:
    document = make_document(pages=3, rows=400)
    options = fax(ecm=ecm, send_codings=(coding,), receive_codings=frozenset({coding, Coding.MH}))
    events: list[call.CallEvent] = []
    async with fax_pair(options, options) as (receiver, caller):
        sent = await send(caller, receiver, document, events)
    (received,) = receiver.outcomes
    assert (sent.cause, received.cause) == (Cause.COMPLETE, Cause.COMPLETE), (sent.sentence, received.sentence)
    assert (sent.pages_confirmed, received.pages_confirmed) == (3, 3)
    assert (received.ecm, received.coding, received.rate_bps) == (ecm, coding.value, 14400)
    assert received.remote_id == "+1 555 0001"
    assert pixels(receiver.files[0]) == pixels(document)
    assert [event.number for event in events if isinstance(event, call.PageDone)] == [1, 2, 3]


async def test_audio_first_call_switches_to_t38_on_the_called_sides_offer(
    fax_pair: Callable[..., Any], make_document: Callable[..., Path], fax_clock: MockClock
) -> None:
    async with fax_pair(None, LegOptions(caller_offer=CallerOffer.AUDIO)) as (receiver, caller):
        sent = await send(caller, receiver, make_document(rows=200), [])
    assert (sent.cause, receiver.outcomes[0].cause) == (Cause.COMPLETE, Cause.COMPLETE), sent.sentence


async def test_calling_side_offers_t38_itself_when_the_called_side_does_not(
    fax_pair: Callable[..., Any], make_document: Callable[..., Path], fax_clock: MockClock
) -> None:
    patient = LegOptions(called_switch_after=1000.0)
    async with fax_pair(patient, LegOptions(caller_offer=CallerOffer.AUDIO)) as (receiver, caller):
        sent = await send(caller, receiver, make_document(rows=200), [])
    assert (sent.cause, receiver.outcomes[0].cause) == (Cause.COMPLETE, Cause.COMPLETE), sent.sentence


async def test_both_sides_offering_t38_at_once_still_agree(
    fax_pair: Callable[..., Any], make_document: Callable[..., Path], fax_clock: MockClock
) -> None:
    called = LegOptions(called_switch_after=3.0)
    calling = LegOptions(caller_offer=CallerOffer.AUDIO, caller_switch_after=3.0)
    async with fax_pair(called, calling) as (receiver, caller):
        sent = await send(caller, receiver, make_document(rows=200), [])
    assert (sent.cause, receiver.outcomes[0].cause) == (Cause.COMPLETE, Cause.COMPLETE), sent.sentence


def documented_kinds() -> set[str]:
    """The kinds in the table of the journal's docstring."""
    assert vfax.journal.__doc__ is not None
    rows = [line.split("|") for line in vfax.journal.__doc__.splitlines() if line.startswith("| ")]
    return {kind for row in rows for kind in row[1].replace(",", " ").split()}


async def test_journal_tells_the_call_from_invite_to_outcome(
    fax_pair: Callable[..., Any], make_document: Callable[..., Path], fax_clock: MockClock
) -> None:
    trained = LegOptions(internet_aware=InternetAware.NEVER)
    async with fax_pair(trained) as (receiver, caller):
        await send(caller, receiver, make_document(rows=200), [])
    journal = receiver.journals[0]
    lines = [json.loads(line) for line in journal.read_text("utf-8").splitlines()]
    kinds = [line["kind"] for line in lines]
    assert kinds[0] == "call"
    assert {
        "sip",
        "t38",
        "packets",
        "options",
        "order",
        "frame",
        "agreed",
        "training",
        "page",
        "counters",
        "outcome",
    } <= set(kinds)
    assert [line["name"] for line in lines if line["kind"] == "frame"][-1] == "DCN"
    assert lines[-1]["cause"] == "complete"
    assert set(kinds) <= documented_kinds()


async def test_nobody_listening_ends_with_a_sentence(
    fax_pair: Callable[..., Any], make_document: Callable[..., Path], fax_clock: MockClock
) -> None:
    async with fax_pair() as (receiver, caller):
        nobody = replace(receiver.request(make_document()), destination="sip:1@127.0.0.1:9")
        outcome = await caller.outbound().send(nobody, publish=lambda event: None)
    assert outcome.cause is Cause.NETWORK
    assert outcome.sentence.endswith(".")


async def test_a_page_the_other_side_cannot_take_is_scaled_and_the_journal_says_so(
    fax_pair: Callable[..., Any], fax_clock: MockClock, tmp_path: Path
) -> None:
    document = tmp_path / "document.tif"
    document.write_bytes(tiff.write_page(b"\x18" * 304 * 200, 2432, 200, x_dpi=204, y_dpi=196))
    modest = fax(resolutions=frozenset({Resolution.STANDARD}), max_width_px=1728)
    async with fax_pair(modest) as (receiver, caller):
        one = caller.outbound()
        sent = await one.send(receiver.request(document), publish=lambda event: None)
        await receiver.done.wait()
    assert sent.cause is Cause.COMPLETE, sent.sentence
    (page,) = tiff.read_headers(receiver.files[0])
    assert (page.width_px, page.rows, page.y_dpi) == (1728, 71, 98)
    notes = [line.facts for line in vfax.journal.read_journal(one.journal_path) if line.kind == "page"]
    (scaled,) = [facts for facts in notes if facts["what"] == "scaled"]
    assert (scaled["number"], scaled["from"], scaled["to"]) == (1, "2432 x 200 fine", "1728 x 71 standard")


async def test_a_header_line_stands_above_every_page(
    fax_pair: Callable[..., Any], make_document: Callable[..., Path], fax_clock: MockClock
) -> None:
    document = make_document(pages=2, rows=100)
    async with fax_pair() as (receiver, caller):
        request = replace(receiver.request(document), header=True, header_timezone="UTC")
        sent = await caller.outbound().send(request, publish=lambda event: None)
        await receiver.done.wait()
    assert sent.cause is Cause.COMPLETE, sent.sentence
    tops = []
    for index in (0, 1):
        ours, theirs = tiff.load_page(document, index), tiff.load_page(receiver.files[0], index)
        assert theirs.raster.endswith(ours.raster)
        tops.append(theirs.raster.removesuffix(ours.raster))
    rows = header_rows(tiff.read_headers(document)[0].resolution or Resolution.FINE)
    assert [len(top) for top in tops] == [rows * 216] * 2
    assert any(tops[0])
    assert tops[0] != tops[1]  # page 1 of 2, page 2 of 2


async def test_a_subaddress_reaches_the_called_side(
    fax_pair: Callable[..., Any], make_document: Callable[..., Path], fax_clock: MockClock
) -> None:
    async with fax_pair(fax(), fax()) as (receiver, caller):
        request = replace(receiver.request(make_document()), subaddress="42#7")
        sent = await caller.outbound().send(request, publish=lambda event: None)
        await receiver.done.wait()
    assert sent.cause is Cause.COMPLETE, sent.sentence
    assert call.Addressed("42#7") in receiver.events


async def test_pages_that_arrived_before_do_not_go_again(
    fax_pair: Callable[..., Any], make_document: Callable[..., Path], fax_clock: MockClock
) -> None:
    document = make_document(pages=3, rows=400)
    events: list[call.CallEvent] = []
    async with fax_pair(fax(), fax()) as (receiver, caller):
        request = replace(receiver.request(document), first_page=3)
        sent = await caller.outbound().send(request, publish=events.append)
        await receiver.done.wait()
    assert (sent.cause, sent.pages_confirmed) == (Cause.COMPLETE, 1), sent.sentence
    assert [event.number for event in events if isinstance(event, call.PageDone)] == [3]
    assert pixels(receiver.files[0]) == pixels(document)[2:]


async def test_a_resumed_fax_counts_the_pages_of_the_document(
    fax_pair: Callable[..., Any], make_document: Callable[..., Path], fax_clock: MockClock
) -> None:
    document = make_document(pages=3, rows=100)
    async with fax_pair() as (receiver, caller):
        request = replace(receiver.request(document), header=True, header_timezone="UTC", first_page=3)
        sent = await caller.outbound().send(request, publish=lambda event: None)
        await receiver.done.wait()
    assert sent.cause is Cause.COMPLETE, sent.sentence
    (header,) = tiff.read_headers(receiver.files[0])
    arrived = tiff.load_page(receiver.files[0], 0)
    resolution = header.resolution or Resolution.FINE
    wanted = draw_header(HeaderLine(when="", pages=3), 3, 1728, resolution)
    for row in range(header_rows(resolution)):
        assert arrived.raster[row * 216 + 180 : row * 216 + 216] == wanted[row * 216 + 180 : row * 216 + 216]
