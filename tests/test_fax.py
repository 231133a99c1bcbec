"""Whole faxes between two endpoints of ours over real UDP on loopback, on a fast clock."""

import json
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from dataclasses import replace
from pathlib import Path

import pytest
import trio
from PIL import Image
from trio.testing import MockClock

from vfax import call
from vfax.codecs.dis import Coding
from vfax.endpoint import Endpoint, EndpointOptions
from vfax.leg import CallerOffer, LegOptions
from vfax.outcome import Cause, Outcome
from vfax.t30.options import T30Options
from vfax.transports.udp import format_address

ANY_PORT = ("127.0.0.1", 0)


class Receiver:
    """An endpoint that takes every call into a file of its own."""

    def __init__(self, folder: Path, endpoint: Endpoint) -> None:
        self.folder = folder
        self.endpoint = endpoint
        self.outcomes: list[Outcome] = []
        self.events: list[call.CallEvent] = []
        self.files: list[Path] = []
        self.calls: list[call.InboundCall] = []
        self.journals: list[Path] = []
        self.done = trio.Event()
        self._nursery: trio.Nursery | None = None

    @property
    def uri(self) -> str:
        return f"sip:5551234@{format_address(self.endpoint.address)}"

    def on_call(self, arrived: call.InboundCall) -> None:
        arrived.ring()
        self.calls.append(arrived)
        assert self._nursery is not None
        self._nursery.start_soon(self._take, arrived)

    async def _take(self, arrived: call.InboundCall) -> None:
        target = self.folder / f"received-{len(self.calls)}.tif"
        target.touch()
        self.files.append(target)
        self.outcomes.append(await arrived.receive(target, local_id="5551234", publish=self.events.append))
        self.done.set()

    @asynccontextmanager
    async def running(self) -> AsyncIterator["Receiver"]:
        async with trio.open_nursery() as nursery:
            self._nursery = nursery
            await nursery.start(self.endpoint.run, self.on_call)
            yield self
            nursery.cancel_scope.cancel()


@asynccontextmanager
async def pair(
    folder: Path, receiving: LegOptions | None = None, sending: LegOptions | None = None
) -> AsyncIterator[tuple[Receiver, Endpoint]]:
    journals = folder / "journal"
    journals.mkdir(exist_ok=True)
    called = EndpointOptions(listen=ANY_PORT, leg=receiving or LegOptions(), journal=journals)
    caller = Endpoint(EndpointOptions(listen=ANY_PORT, leg=sending or LegOptions(), journal=journals))
    async with Receiver(folder, Endpoint(called)).running() as receiver, trio.open_nursery() as nursery:
        await nursery.start(caller.run, lambda arrived: arrived.refuse(486))
        yield receiver, caller
        nursery.cancel_scope.cancel()


def request(document: Path, receiver: Receiver) -> call.SendRequest:
    return call.SendRequest(document=document, destination=receiver.uri, local_id="+1 555 0001", caller_name="Test")


def pixels(path: Path) -> list[bytes]:
    found = []
    with Image.open(path) as document:
        for index in range(getattr(document, "n_frames", 1)):
            document.seek(index)
            found.append(document.convert("1").tobytes())
    return found


def fax(**changes: object) -> LegOptions:
    return LegOptions(fax=replace(T30Options(), **changes))  # type: ignore[arg-type]


async def send(caller: Endpoint, receiver: Receiver, document: Path, heard: list[call.CallEvent]) -> Outcome:
    outcome = await caller.outbound().send(request(document, receiver), publish=heard.append)
    await receiver.done.wait()
    return outcome


@pytest.mark.parametrize(
    ("ecm", "coding"),
    [(True, Coding.MMR), (True, Coding.MR), (True, Coding.MH), (False, Coding.MR), (False, Coding.MH)],
)
async def test_three_pages_arrive_pixel_for_pixel(
    tmp_path: Path, make_document: Callable[..., Path], fast_clock: MockClock, ecm: bool, coding: Coding
) -> None:
    document = make_document(pages=3, rows=400)
    options = fax(ecm=ecm, send_codings=(coding,), receive_codings=frozenset({coding, Coding.MH}))
    events: list[call.CallEvent] = []
    async with pair(tmp_path, options, options) as (receiver, caller):
        sent = await send(caller, receiver, document, events)
    (received,) = receiver.outcomes
    assert (sent.cause, received.cause) == (Cause.COMPLETE, Cause.COMPLETE), (sent.sentence, received.sentence)
    assert (sent.pages_confirmed, received.pages_confirmed) == (3, 3)
    assert (received.ecm, received.coding, received.rate_bps) == (ecm, coding.value, 14400)
    assert received.remote_id == "+1 555 0001"
    assert pixels(receiver.files[0]) == pixels(document)
    assert [event.number for event in events if isinstance(event, call.PageDone)] == [1, 2, 3]


async def test_audio_first_call_switches_to_t38_on_the_called_sides_offer(
    tmp_path: Path, make_document: Callable[..., Path], fast_clock: MockClock
) -> None:
    async with pair(tmp_path, None, LegOptions(caller_offer=CallerOffer.AUDIO)) as (receiver, caller):
        sent = await send(caller, receiver, make_document(rows=200), [])
    assert (sent.cause, receiver.outcomes[0].cause) == (Cause.COMPLETE, Cause.COMPLETE), sent.sentence


async def test_calling_side_offers_t38_itself_when_the_called_side_does_not(
    tmp_path: Path, make_document: Callable[..., Path], fast_clock: MockClock
) -> None:
    patient = LegOptions(called_switch_after=1000.0)
    async with pair(tmp_path, patient, LegOptions(caller_offer=CallerOffer.AUDIO)) as (receiver, caller):
        sent = await send(caller, receiver, make_document(rows=200), [])
    assert (sent.cause, receiver.outcomes[0].cause) == (Cause.COMPLETE, Cause.COMPLETE), sent.sentence


async def test_both_sides_offering_t38_at_once_still_agree(
    tmp_path: Path, make_document: Callable[..., Path], fast_clock: MockClock
) -> None:
    called = LegOptions(called_switch_after=3.0)
    calling = LegOptions(caller_offer=CallerOffer.AUDIO, caller_switch_after=3.0)
    async with pair(tmp_path, called, calling) as (receiver, caller):
        sent = await send(caller, receiver, make_document(rows=200), [])
    assert (sent.cause, receiver.outcomes[0].cause) == (Cause.COMPLETE, Cause.COMPLETE), sent.sentence


async def test_journal_tells_the_call_from_invite_to_outcome(
    tmp_path: Path, make_document: Callable[..., Path], fast_clock: MockClock
) -> None:
    async with pair(tmp_path) as (receiver, caller):
        await send(caller, receiver, make_document(rows=200), [])
    journal = receiver.journals[0]
    lines = [json.loads(line) for line in journal.read_text("utf-8").splitlines()]
    kinds = [line["kind"] for line in lines]
    assert kinds[0] == "call"
    assert {"sip", "t38", "t38-first", "frame", "agreed", "trained", "page", "counters", "outcome"} <= set(kinds)
    assert [line["name"] for line in lines if line["kind"] == "frame"][-1] == "DCN"
    assert lines[-1]["cause"] == "complete"


async def test_nobody_listening_ends_with_a_sentence(
    tmp_path: Path, make_document: Callable[..., Path], fast_clock: MockClock
) -> None:
    async with pair(tmp_path) as (receiver, caller):
        nobody = replace(request(make_document(), receiver), destination="sip:1@127.0.0.1:9")
        outcome = await caller.outbound().send(nobody, publish=lambda event: None)
    assert outcome.cause is Cause.NETWORK
    assert outcome.sentence.endswith(".")
