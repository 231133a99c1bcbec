"""What tshark reads in T.38 of ours that no other peer here understands: parity, unpaced bursts, TPKT over TCP."""

import struct
import subprocess
from pathlib import Path

import pytest

from tests.interop.dissect import assert_well_formed, dissect
from tests.interop.transcript import ETHERNET, PCAP_HEADER, Transcript
from vfax.signals import Modem, SendEcm, SendFrames, SendImage, SendTraining, SetPace, Transmission
from vfax.transports.parameters import ErrorCorrection, T38Parameters, Transport
from vfax.transports.t38 import T38Line, T38Options

PORTS = (20000, 20002)
TSI = b"\xff\xc0\x42" + b"\x2c" * 20
DCS = b"\xff\xc8\x41\x00\x62\x1f"
PPS = b"\xff\xc8\x7d\x2f\x00\x00\x07"
FCD = tuple(b"\xff\xc0\x60" + bytes((n,)) + bytes(range(256)) for n in range(8))
RCP = (b"\xff\xc0\x61",) * 3
FAX: tuple[Transmission, ...] = (
    SendFrames((TSI, DCS)),
    SendTraining(Modem.V17_14400, 900),
    SendEcm(Modem.V17_14400, True, FCD + RCP),
    SendFrames((PPS,)),
    SendImage(Modem.V29_9600, False, bytes(range(1, 241)) * 10),
)


def said(
    parameters: T38Parameters, options: T38Options | None = None, *, free: bool = False
) -> list[tuple[float, bytes]]:
    """All that a line sends of a fax, with its time."""
    line = T38Line(parameters, options or T38Options(), now=0.0)
    now = 0.0
    sent = [(now, octets) for octets in line.take_output()]
    for order in (*((SetPace(paced=False),) if free else ()), *FAX):
        line.transmit(order, now)
    while not line.take_signals():
        now = line.next_timeout()
        line.handle_timeout(now)
        sent += [(now, octets) for octets in line.take_output()]
    return sent


@pytest.mark.parametrize("version", [0, 3])
@pytest.mark.parametrize("free", [False, True])
@pytest.mark.parametrize("correction", list(ErrorCorrection))
def test_tshark_reads_every_datagram(
    tshark: str, tmp_path: Path, version: int, free: bool, correction: ErrorCorrection
) -> None:
    parameters = T38Parameters(version=version, max_datagram=400, error_correction=correction)
    transcript = Transcript()
    for at, octets in said(parameters, T38Options(send_fec=True), free=free):
        transcript.keep(at, "udptl", ("192.0.2.1", PORTS[0]), ("192.0.2.2", PORTS[1]), octets)
    capture = tmp_path / "line.pcap"
    transcript.write_pcap(capture)
    packets = dissect(capture, udptl_ports=[*PORTS])
    assert len(packets) == len(transcript.datagrams)
    assert_well_formed(packets)
    assert all(packet.protocols.endswith(("t38", "t30")) for packet in packets)


def write_tcp(path: Path, chunks: list[tuple[float, bytes]]) -> None:
    """One direction of a TCP connection, as it might be cut on the way: check sums are left out."""
    with path.open("wb") as file:
        file.write(PCAP_HEADER)
        number = 1
        for at, octets in chunks:
            tcp = struct.pack("!HHIIBBHHH", *PORTS, number, 1, 0x50, 0x18, 65535, 0, 0) + octets
            head = struct.pack("!BBHHHBBH", 0x45, 0, 20 + len(tcp), 0, 0, 64, 6, 0)
            frame = ETHERNET + head + bytes((192, 0, 2, 1, 192, 0, 2, 2)) + tcp
            file.write(struct.pack("<IIII", *divmod(round(at * 1e6), 1_000_000), len(frame), len(frame)) + frame)
            number += len(octets)


@pytest.mark.parametrize("size", [200, 700])
def test_tshark_reads_the_stream_however_it_is_cut(tshark: str, tmp_path: Path, size: int) -> None:
    sent = said(T38Parameters(transport=Transport.TCP), free=True)
    stream = b"".join(octets for _, octets in sent)
    capture = tmp_path / "stream.pcap"
    write_tcp(capture, [(at / 1e5, stream[at : at + size]) for at in range(0, len(stream), size)])
    command = [tshark, "-n", "-r", str(capture), "-d", f"tcp.port=={PORTS[0]},t38", "-o", "tcp.check_checksum:FALSE"]
    command += ["-o", "tcp.desegment_tcp_streams:TRUE", "-o", "t38.tpkt_usage:Always", "-V"]
    done = subprocess.run(command, capture_output=True, text=True, timeout=60, check=True)
    assert done.stdout.count("TPKT, Version: 3") == len(sent)
    assert "Malformed" not in done.stdout
