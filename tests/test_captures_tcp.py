"""Captures and journals of calls whose T.38 runs over TCP: Wireshark follows the stream, replay hears it again."""

from collections.abc import Callable
from pathlib import Path

import pytest
import trio
from trio.testing import MockClock

from tests.conftest import ANY_PORT, Receiver
from tests.interop import dissect
from vfax.capture import CaptureOptions, Pcap
from vfax.endpoint import Endpoint, EndpointOptions
from vfax.leg import LegOptions
from vfax.recordings import read_recording
from vfax.replay import compare, replay
from vfax.transports.parameters import TcpMedia


async def captured(folder: Path, document: Path, capture: CaptureOptions) -> None:
    """One call over TCP between two endpoints, both with journals and captures in `folder`/journal."""
    (folder / "journal").mkdir()
    leg = LegOptions(tcp=TcpMedia.OFFER)
    options = EndpointOptions(listen=ANY_PORT, leg=leg, journal=folder / "journal", capture=capture)
    caller = Endpoint(options)
    async with Receiver(folder, Endpoint(options)).running() as receiver, trio.open_nursery() as nursery:
        await nursery.start(caller.run, lambda arrived: arrived.refuse(486))
        await caller.outbound().send(receiver.request(document), publish=lambda event: None)
        await receiver.done.wait()
        await trio.sleep(40)  # SIP has its last words
        nursery.cancel_scope.cancel()


async def tshark(file: Path, *fields: str) -> list[list[str]]:
    command = [dissect.find_program("tshark", dissect.PACKAGE), "-n", "-r", str(file), "-T", "fields", "-Y", "tcp"]
    command += ["-o", "tcp.check_checksum:TRUE", "-o", "ip.check_checksum:TRUE"]
    command += [word for field in fields for word in ("-e", field)]
    done = await trio.run_process(command, capture_stdout=True, capture_stderr=True)
    return [line.split("\t") for line in done.stdout.decode().splitlines()]


async def test_wireshark_follows_the_stream(
    make_document: Callable[..., Path], fax_clock: MockClock, tmp_path: Path
) -> None:
    await captured(tmp_path, make_document(rows=250), CaptureOptions(pcap=Pcap.ALL))
    for file in sorted((tmp_path / "journal").glob("*.pcap")):
        rows = await tshark(file, "ip.checksum.status", "tcp.checksum.status", "tcp.analysis.lost_segment", "tcp.len")
        assert len(rows) > 50
        assert {tuple(row[:3]) for row in rows} == {("1", "1", "")}


async def test_redacted_capture_has_nothing_of_the_stream(
    make_document: Callable[..., Path], fax_clock: MockClock, tmp_path: Path
) -> None:
    await captured(tmp_path, make_document(rows=250), CaptureOptions(pcap=Pcap.ALL, redacted=True))
    for file in sorted((tmp_path / "journal").glob("*.pcap")):
        assert await tshark(file, "tcp.len") == []


@pytest.mark.parametrize("end", [0, 1])
async def test_journal_of_a_stream_replays_as_it_went(
    make_document: Callable[..., Path], fax_clock: MockClock, tmp_path: Path, end: int
) -> None:
    await captured(tmp_path, make_document(pages=2, rows=250), CaptureOptions())
    journal = sorted((tmp_path / "journal").glob("*.jsonl"))[end]
    recording = read_recording(journal)
    assert compare(recording, replay(recording)) == ()
