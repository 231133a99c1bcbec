"""Captures of real calls: Wireshark reads them, and replay finds the calls in them."""

import errno
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import pytest
import trio
from trio.testing import MockClock

from tests.conftest import ANY_PORT, Receiver
from tests.interop import dissect
from vfax import capture as capture_module
from vfax.capture import CaptureOptions, Pcap
from vfax.captures import read_capture, recording_of
from vfax.codecs import ifp
from vfax.endpoint import Endpoint, EndpointOptions
from vfax.errors import DocumentError
from vfax.journal import read_journal
from vfax.leg import LegOptions
from vfax.pcap import CaptureReader, Datagram, Skipped, file_header, packet_record
from vfax.redact import redact_capture
from vfax.replay import compare, replay
from vfax.t30.options import T30Options
from vfax.transports.parameters import T38Parameters
from vfax.transports.udptl import Packet


async def captured(
    folder: Path,
    document: Path,
    capture: CaptureOptions,
    *,
    fax: T30Options | None = None,
    t38: T38Parameters | None = None,
    destination: str = "",
) -> None:
    """One call between two endpoints, both with journals and captures in `folder`/journal."""
    journals = folder / "journal"
    journals.mkdir(exist_ok=True)
    options = EndpointOptions(
        listen=ANY_PORT,
        leg=LegOptions(fax=fax or T30Options(), t38=t38 or T38Parameters()),
        journal=journals,
        capture=capture,
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


async def test_a_capture_without_sip_is_guessed(
    make_document: Callable[..., Path], fax_clock: MockClock, tmp_path: Path
) -> None:
    await captured(tmp_path, make_document(rows=250), ALL)
    file = pcaps(tmp_path)[0]
    with file.open("rb") as capture:
        media = [one for one in CaptureReader(capture) if b"SIP/2.0" not in one.payload]
    bare = tmp_path / "bare.pcap"
    bare.write_bytes(file_header() + b"".join(map(packet_record, media)))
    (whole,), _ = read_capture(file)
    (call,), _ = read_capture(bare)
    assert (call.caller, call.called) == (whole.caller, whole.called)
    assert len(call.datagrams) == len(whole.datagrams)


async def test_tshark_sees_the_whole_call(
    make_document: Callable[..., Path], fax_clock: MockClock, tmp_path: Path
) -> None:
    await captured(tmp_path, make_document(rows=250), ALL)
    for file in pcaps(tmp_path):
        packets = dissect.dissect(file, udptl_ports=[])
        dissect.assert_well_formed(packets)
        dissect.assert_frames(packets, ["CSI", "DIS", "TSI", "DCS", "CFR", "MCF", "DCN"])
        sip = [packet.info for packet in packets if "sip" in packet.protocols]
        assert sip[0].startswith("Request: INVITE")
        assert any(info.startswith("Request: BYE") for info in sip)
        assert sip[-1].startswith("Status: 200 OK")


async def test_tshark_finds_no_wrong_checksum(
    make_document: Callable[..., Path], fax_clock: MockClock, tmp_path: Path
) -> None:
    await captured(tmp_path, make_document(rows=250), ALL)
    command = [dissect.find_program("tshark", dissect.PACKAGE), "-r", str(pcaps(tmp_path)[0])]
    command += ["-o", "ip.check_checksum:TRUE", "-o", "udp.check_checksum:TRUE"]
    command += ["-T", "fields", "-e", "ip.checksum.status", "-e", "udp.checksum.status"]
    done = await trio.run_process(command, capture_stdout=True, capture_stderr=True)
    assert set(done.stdout.decode().split("\n")) - {""} == {"1\t1"}  # 1: good


async def test_a_successful_call_leaves_no_capture_when_only_failures_do(
    make_document: Callable[..., Path], fax_clock: MockClock, tmp_path: Path
) -> None:
    await captured(tmp_path, make_document(rows=100), CaptureOptions(pcap=Pcap.FAILURES))
    assert pcaps(tmp_path) == []


async def test_a_failed_call_leaves_its_capture(
    make_document: Callable[..., Path], fax_clock: MockClock, tmp_path: Path
) -> None:
    options = CaptureOptions(pcap=Pcap.FAILURES)
    await captured(tmp_path, make_document(rows=100), options, destination="sip:1@127.0.0.1:9")
    (file,) = pcaps(tmp_path)
    assert file.suffix == ".pcap"
    assert file.stat().st_mode & 0o007 == 0
    with file.open("rb") as capture:
        assert {one.payload.split(b" ")[0] for one in CaptureReader(capture)} == {b"INVITE"}
    journal = [entry for entry in read_journal(file.with_suffix(".jsonl")) if entry.kind == "capture"]
    assert [entry.facts["file"] for entry in journal] == [file.name]


async def test_without_the_setting_there_is_no_capture(
    make_document: Callable[..., Path], fax_clock: MockClock, tmp_path: Path
) -> None:
    await captured(tmp_path, make_document(rows=100), CaptureOptions())
    assert pcaps(tmp_path) == []


async def test_a_capture_that_cannot_be_written_harms_no_call_and_the_journal_says_why(
    make_document: Callable[..., Path], fax_clock: MockClock, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def full(path: str, flags: int) -> int:
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr(capture_module, "open_private", full)
    await captured(tmp_path, make_document(rows=100), ALL)
    for journal in (tmp_path / "journal").glob("*.jsonl"):
        entries = {entry.kind: entry.facts for entry in read_journal(journal)}
        assert entries["outcome"]["cause"] == "complete"
        assert entries["capture"] == {"why": "No space left on device"}


async def test_a_capture_stops_at_its_limit_and_stays_readable(
    make_document: Callable[..., Path], fax_clock: MockClock, tmp_path: Path
) -> None:
    await captured(tmp_path, make_document(rows=250), CaptureOptions(pcap=Pcap.ALL, pcap_limit=5000))
    for file in pcaps(tmp_path):
        assert file.stat().st_size <= 5000 + len(file_header())
        with file.open("rb") as capture:
            reader = CaptureReader(capture)
            assert len(list(reader)) > 5
        assert reader.skipped == Skipped()


async def test_many_calls_that_claim_the_same_media_are_not_all_replayed(
    make_document: Callable[..., Path], fax_clock: MockClock, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    await captured(tmp_path, make_document(rows=100), ALL)
    with pcaps(tmp_path)[0].open("rb") as file:
        datagrams = list(CaptureReader(file))
    path = tmp_path / "many.pcap"
    with path.open("wb") as file:
        file.write(file_header())
        for number in range(6):
            told = (
                replace(one, payload=one.payload.replace(b"Call-ID: ", b"Call-ID: %d" % number)) for one in datagrams
            )
            for one in told:
                if number == 0 or b"SIP/2.0" in one.payload:
                    file.write(packet_record(one))
    (first, *others), note = read_capture(path)
    assert (len(others), note) == (5, "")
    monkeypatch.setattr("vfax.captures.MAX_DATAGRAMS", 2 * len(first.datagrams) + 10)
    calls, note = read_capture(path)
    assert (len(calls), note.split("; ")[-1]) == (2, "only its first 2 calls are looked at")


def test_what_is_no_capture_is_refused_in_one_sentence(tmp_path: Path) -> None:
    path = tmp_path / "x.pcap"
    path.write_bytes(b"hello, this is text")
    with pytest.raises(DocumentError) as caught:
        read_capture(path)
    assert str(caught.value) == f"{path}: this is no capture: neither pcap nor pcapng"


def test_a_capture_without_t38_is_refused_in_one_sentence(tmp_path: Path) -> None:
    path = tmp_path / "x.pcap"
    record = packet_record(Datagram(1.0, ("192.0.2.1", 53), ("192.0.2.2", 5353), b"\0" * 30))
    path.write_bytes(file_header() + record * 40)
    with pytest.raises(DocumentError) as caught:
        read_capture(path)
    assert str(caught.value) == f"{path}: no T.38 over UDPTL in this capture"


def page_data(path: Path, version: int) -> list[bytes]:
    """What the fast modems carry, packet by packet."""
    found = []
    with path.open("rb") as capture:
        for one in CaptureReader(capture):
            if b"SIP/2.0" not in one.payload:
                value = ifp.decode(Packet.decode(one.payload).primary, version)
                if isinstance(value, ifp.Data) and value.type is not ifp.DataType.V21:
                    found += [field.octets for field in value.fields or ()]
    return found


def media_of(path: Path) -> bytes:
    with path.open("rb") as capture:
        return b"".join(one.payload for one in CaptureReader(capture) if b"SIP/2.0" not in one.payload)


@pytest.mark.parametrize("ecm", [True, False], ids=["ecm", "no-ecm"])
@pytest.mark.parametrize("version", [0, 3])
async def test_a_redacted_capture_carries_no_page_data_and_is_well_formed(
    ecm: bool, version: int, make_document: Callable[..., Path], fax_clock: MockClock, tmp_path: Path
) -> None:
    fax = T30Options(ecm=ecm)
    document = make_document(rows=250)
    for name in ("open", "redacted"):
        (tmp_path / name).mkdir()
        options = CaptureOptions(pcap=Pcap.ALL, redacted=name == "redacted")
        await captured(tmp_path / name, document, options, fax=fax, t38=T38Parameters(version=version))
    for plain, redacted in zip(pcaps(tmp_path / "open"), pcaps(tmp_path / "redacted"), strict=True):
        telling = {octets[4:16] for octets in page_data(plain, version) if len(set(octets[4:16])) > 6}
        assert len(telling) >= 5
        seen = dissect.frames_seen(dissect.dissect(plain, udptl_ports=[]))
        control = [name for name in seen if name not in ("FCD", "RCP")]
        assert {"DIS", "DCS", "CFR", "MCF", "DCN"} <= set(control)
        copy = tmp_path / f"{redacted.stem}-copy.pcap"
        redact_capture(plain, copy)
        for file in (redacted, copy):
            left = media_of(file)
            assert not any(stretch in left for stretch in telling)
            packets = dissect.dissect(file, udptl_ports=[])
            dissect.assert_well_formed(packets)
            dissect.assert_frames(packets, control)
            (call,), _ = read_capture(file)
            recording = recording_of(call, called=False, options=LegOptions())
            assert [seen.name for seen in recording.frames][-1] == "DCN"
