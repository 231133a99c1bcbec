"""What tshark says of a capture: a dissector that nobody here wrote as judge of our packets.

Owns      running tshark over a pcap, one `Dissected` per packet, the checks that tests share.
Not here  capturing (transcript.py writes pcap files).
Source    tshark 4.0: fields of its sip, udptl, t38 and t30 dissectors.
"""

import shutil
import subprocess
from dataclasses import dataclass
from pathlib import Path
from typing import Final

PACKAGE: Final = "tshark"
FIELDS: Final = (
    "frame.number",
    "udp.srcport",
    "udp.dstport",
    "frame.protocols",
    "_ws.col.Info",
    "_ws.malformed",
    "_ws.expert.message",
    "t30.FacsimileControl",
)
TSHARK_SECONDS: Final = 60
REPEATED_END: Final = "END OF FRAGMENT W/OUT ANY FRAGMENT DATA"
# T.30 facsimile control field values, X bit cleared, in transmission order (first bit is the highest).
FRAME_NAMES: Final = {
    0x01: "DIS",
    0x02: "CSI",
    0x41: "DCS",
    0x42: "TSI",
    0x21: "CFR",
    0x22: "FTT",
    0x71: "EOM",
    0x72: "MPS",
    0x74: "EOP",
    0x7D: "PPS",
    0x73: "EOR",
    0x76: "RR",
    0x31: "MCF",
    0x32: "RTN",
    0x33: "RTP",
    0x37: "RNR",
    0x3D: "PPR",
    0x38: "ERR",
    0x5F: "DCN",
    0x58: "CRP",
    0x60: "FCD",
    0x61: "RCP",
}


class MissingProgramError(Exception):
    """A program is not installed; the message names its Debian package."""


@dataclass(frozen=True, slots=True)
class Dissected:
    """One packet in tshark's words. `t30` names the T.30 frames that end in this packet."""

    number: int
    source_port: int
    target_port: int
    protocols: str
    info: str
    malformed: bool
    expert: str
    t30: tuple[str, ...]


def find_program(name: str, package: str) -> str:
    """Path of a program; raises MissingProgramError."""
    found = shutil.which(name)
    if found is None:
        raise MissingProgramError(f"{name} is not installed; install the Debian package {package}")
    return found


def dissect(capture: Path, *, udptl_ports: list[int]) -> list[Dissected]:
    """Every packet of a capture; traffic of the given UDP ports is read as UDPTL."""
    command = [find_program("tshark", PACKAGE), "-n", "-r", str(capture), "-T", "fields", "-E", "separator=\t"]
    command += ["-E", "occurrence=a", "-E", "aggregator=,"]
    for port in udptl_ports:
        command += ["-d", f"udp.port=={port},t38"]
    for field in FIELDS:
        command += ["-e", field]
    done = subprocess.run(command, capture_output=True, text=True, timeout=TSHARK_SECONDS, check=False)
    if done.returncode != 0:
        raise AssertionError(f"tshark failed ({done.returncode}): {done.stderr.strip()}")
    return [_packet(line) for line in done.stdout.splitlines()]


def _packet(line: str) -> Dissected:
    number, source, target, protocols, info, malformed, expert, controls = (line.split("\t") + [""] * 8)[:8]
    names = tuple(_frame_name(int(value, 0)) for value in controls.split(",") if value)
    broken = bool(malformed) or "_ws.malformed" in protocols or "Malformed" in info
    # Quirk: tshark marks the second and third copy of the end of a burst (new number, same end) as malformed.
    broken = broken and REPEATED_END not in expert
    return Dissected(int(number), int(source or 0), int(target or 0), protocols, info, broken, expert, names)


def _frame_name(control: int) -> str:
    return FRAME_NAMES.get(control, FRAME_NAMES.get(control & 0x7F, f"{control:02x}"))


def assert_well_formed(packets: list[Dissected]) -> None:
    """No packet is malformed in tshark's eyes."""
    broken = [f"packet {p.number} ({p.protocols}): {p.info} {p.expert}" for p in packets if p.malformed]
    assert not broken, "tshark finds malformed packets:\n" + "\n".join(broken[:20])


def frames_seen(packets: list[Dissected]) -> list[str]:
    """T.30 frames in order of appearance, immediate repeats (redundancy) left out."""
    names = [name for packet in packets for name in packet.t30]
    return [name for at, name in enumerate(names) if at == 0 or names[at - 1] != name]


def assert_frames(packets: list[Dissected], expected: list[str]) -> None:
    """The expected T.30 frames appear in this order (others may lie between)."""
    seen = frames_seen(packets)
    rest = iter(seen)
    missing = next((name for name in expected if name not in rest), None)
    assert missing is None, f"{missing} is missing or too late; tshark saw {' '.join(seen)}"
