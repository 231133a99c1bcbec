"""T.30 capabilities: DIS, DTC and DCS information fields to values and back.

Owns      what the bits mean, and the values negotiated from them.
Not here  frames around them (frames.py), which mode is chosen (t30/).
Source    T.30 (09/2005) Table 2 and its notes.
"""

from dataclasses import dataclass
from enum import Enum, StrEnum

from vfax.signals import Modem


class Coding(StrEnum):
    """Page codings (T.4, T.6)."""

    MH = "MH"
    MR = "MR"
    MMR = "MMR"


class Resolution(Enum):
    """Value: (name, horizontal, vertical pixels per inch as written to TIFF, rows per mm times 100)."""

    STANDARD = ("standard", 204, 98, 385)  # R8 x 3.85
    FINE = ("fine", 204, 196, 770)  # R8 x 7.7
    SUPERFINE = ("superfine", 204, 391, 1540)  # R8 x 15.4

    def __init__(self, title: str, x_dpi: int, y_dpi: int, rows_per_100_mm: int) -> None:
        self.title = title
        self.x_dpi = x_dpi
        self.y_dpi = y_dpi
        self.rows_per_100_mm = rows_per_100_mm


@dataclass(frozen=True, slots=True, kw_only=True)
class Agreement:
    """What one DCS settles for the pages that follow it: frozen once, passed down, never re-read from bits.

    `min_scan_ms` is the minimum scan-line time (0 with ECM); `frame_octets` is 256 or 64 with ECM, else 0;
    `max_rows` is 0 for unlimited length.
    """

    modem: Modem
    coding: Coding
    ecm: bool
    frame_octets: int
    resolution: Resolution
    width_px: int
    min_scan_ms: int
    max_rows: int = 0
