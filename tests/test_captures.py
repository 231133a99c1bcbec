"""Captures of real calls: Wireshark reads them, and replay finds the calls in them."""

from collections.abc import Callable
from contextlib import AbstractAsyncContextManager
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import trio
from trio.testing import MockClock

from tests.conftest import ANY_PORT, Receiver
from vfax.capture import CaptureOptions, Pcap
from vfax.captures import read_capture, recording_of
from vfax.endpoint import Endpoint, EndpointOptions
from vfax.errors import DocumentError
from vfax.leg import LegOptions
from vfax.pcap import CaptureReader, Datagram, file_header, packet_record
from vfax.replay import compare, replay
from vfax.t30.options import T30Options


async def captured(
    folder: Path, document: Path, capture: CaptureOptions, *, fax: T30Options | None = None, destination: str = ""
) -> None:
    """One call between two endpoints, both with journals and captures in `folder`/journal."""
    journals = folder / "journal"
    journals.mkdir(exist_ok=True)
    options = EndpointOptions(
        listen=ANY_PORT, leg=LegOptions(fax=fax or T30Options()), journal=journals, capture=capture
    )
    caller = Endpoint(options)
    async with Receiver(folder, Endpoint(options)).running() as receiver, trio.open_nursery() as nursery:
        await nursery.start(caller.run, lambda arrived: arrived.refuse(486))
        request = receiver.request(document)
        if destination:
            request = replace(request, destination=destination)
        await caller.outbound().send(request, publish=lambda event: None)
        if not destination:
            await receiver.done.wait()
            await trio.sleep(40)  # SIP has its last words
        nursery.cancel_scope.cancel()


def pcaps(folder: Path) -> list[Path]:
    return sorted((folder / "journal").glob("*.pcap*"))


ALL = CaptureOptions(pcap=Pcap.ALL)


@pytest.mark.parametrize("ecm", [True, False], ids=["ecm", "no-ecm"])
async def test_both_ends_of_a_captured_call_replay_the_same(
    ecm: bool, make_document: Callable[..., Path], fax_clock: MockClock, tmp_path: Path
) -> None:
    fax = T30Options(ecm=ecm)
    await captured(tmp_path, make_document(pages=2, rows=250), ALL, fax=fax)
    files = pcaps(tmp_path)
    assert len(files) == 2
    for file in files:
        (call,), note = read_capture(file)
        assert note == ""
        for called in (True, False):
            recording = recording_of(call, called=called, options=LegOptions())
            replayed = replay(recording)
            assert compare(recording, replayed) == ()
            assert len(recording.frames) >= 4
            assert replayed.outcome is not None
            assert (replayed.outcome.ok, replayed.outcome.pages_confirmed) == (True, 2)
