"""Journals and captures without page data, passwords and audio: copies that may leave the house.

Owns      reading one file and writing its redacted copy.
Not here  what is erased from a datagram (transports/erase.py); calls that are written without page data from the start
          (record.py, capture.py).

Limit: identities (CSI, TSI, caller and dialled numbers, SIP addresses) stay: they are needed to tell calls apart.
"""

import json
from dataclasses import replace
from pathlib import Path

from vfax.captures import read_versions
from vfax.errors import DecodeError, DocumentError
from vfax.journal import Entry, pack_packet, pack_packets, read_journal, read_packets
from vfax.pcap import DECRYPTED, CaptureReader, file_header, packet_record
from vfax.record import without_secrets
from vfax.transports.erase import PageEraser, hide_keys, silence
from vfax.transports.rtp import looks_like_rtp
from vfax.transports.sip.values import Address

MAX_FLOWS = 1000
"""Limit: pairs of addresses in one capture whose packets are kept; the others' are left out."""


def redact_journal(source: Path, target: Path) -> None:
    """Write a copy without page data and passwords. Raises DocumentError naming the file that failed."""
    try:
        entries = read_journal(source)
        with target.open("x", encoding="ascii") as file:
            erasers = {"in": PageEraser(), "out": PageEraser()}
            for entry in entries:
                if (line := _line(entry, erasers)) is not None:
                    file.write(json.dumps(line, separators=(",", ":")) + "\n")
    except OSError as why:
        raise DocumentError(f"{source} to {target}: cannot write the redacted copy: {why.strerror or why}") from why


def _line(entry: Entry, erasers: dict[str, PageEraser]) -> dict[str, object] | None:
    """The line again; unreadable ones might hold anything, and are left out."""
    if entry.kind == "unreadable":
        return None
    facts: dict[str, object] = {**without_secrets(entry.kind, entry.facts)}
    if entry.kind == "t38" and isinstance(version := facts.get("version"), int):
        for eraser in erasers.values():
            eraser.version = max(0, min(3, version))
    if entry.kind == "t38-first":
        facts.pop("hex", None)
    if entry.kind == "packets":
        eraser = erasers["out" if facts.get("direction") == "out" else "in"]
        packets = read_packets(entry)
        since = packets[0][0] if packets else 0.0
        records = [pack_packet(max(0, round((at - since) * 1e6)), eraser.erase(octets)) for at, octets in packets]
        facts |= {"since": since, "data": pack_packets(b"".join(records)), "redacted": True}
    return {"at": entry.at, "t": entry.t, "kind": entry.kind, **facts}


def redact_capture(source: Path, target: Path) -> None:
    """Write a pcap of the SIP and T.38 in a capture without page data; audio is silent. Raises DocumentError."""
    try:
        versions = read_versions(source)
        erasers: dict[tuple[Address, Address], PageEraser] = {}
        with source.open("rb") as capture, target.open("xb") as file:
            file.write(file_header())
            for one in CaptureReader(capture):
                flow = one.source, one.target
                if b"SIP/2.0" in one.payload[:2000].partition(b"\r\n")[0]:
                    one = replace(one, payload=hide_keys(one.payload))
                elif one.payload == DECRYPTED:
                    pass  # a remark of ours
                elif looks_like_rtp(one.payload):
                    one = replace(one, payload=silence(one.payload))
                else:
                    if flow not in erasers and len(erasers) == MAX_FLOWS:
                        continue
                    version = versions.get(one.source, versions.get(one.target, 0))
                    one = replace(one, payload=erasers.setdefault(flow, PageEraser(version)).erase(one.payload))
                file.write(packet_record(one))
    except OSError as why:
        raise DocumentError(f"{source} to {target}: cannot write the redacted copy: {why.strerror or why}") from why
    except DecodeError as why:
        raise DocumentError(f"{source}: {why.what}") from why
