"""The mode that two ends have in common: from what one can do and the other is willing to use.

Owns      which modems are left, and the mode for one page.
Not here  the bits (dis.py), when a mode is chosen or given up (t30/), making a page fit it (scaling.py).
Source    T.30 (09/2005) Table 2 and its notes.
"""

from dataclasses import dataclass

from vfax.codecs.dis import FALL_BACK, PAPER_WIDTHS_PX, Agreement, Capabilities, Coding, Resolution
from vfax.signals import Modem


@dataclass(frozen=True, slots=True, kw_only=True)
class Preferences:
    """What a sender is willing to use; `codings` best first. Rates in bit/s."""

    modems: frozenset[Modem] = frozenset(FALL_BACK)
    max_rate_bps: int = 14400
    min_rate_bps: int = 2400
    ecm: bool = True
    codings: tuple[Coding, ...] = (Coding.MMR, Coding.MR, Coding.MH)
    resolutions: frozenset[Resolution] = frozenset(Resolution)
    small_frames: bool = False


def usable_modems(capabilities: Capabilities, preferences: Preferences) -> tuple[Modem, ...]:
    """Modems both ends have, within the rate limits, best first.

    Limit: a rate cap below 2400 bit/s (a nonsense T38MaxBitRate) leaves the slowest modem that both have.
    """
    shared = [modem for modem in FALL_BACK if modem in capabilities.modems and modem in preferences.modems]
    allowed = [m for m in shared if preferences.min_rate_bps <= m.rate_bps <= preferences.max_rate_bps]
    return tuple(allowed) or tuple(shared[-1:])


def agree(
    capabilities: Capabilities, preferences: Preferences, *, width_px: int, resolution: Resolution
) -> Agreement | None:
    """Choose the mode for a page; None when the peer cannot receive or no modem is common.

    The page's own width and resolution are taken when the peer can print them, else the next smaller ones: the page
    must then be scaled to `width_px` and `resolution` of the result (scaling.py). With ECM the order of codings is the
    caller's (MMR first by default); without it MMR is left out (T.6 needs error-free data).
    """
    modems = usable_modems(capabilities, preferences)
    if not capabilities.receives or not modems:
        return None
    ecm = capabilities.ecm and preferences.ecm
    codings = [c for c in preferences.codings if c in capabilities.codings and (ecm or c is not Coding.MMR)]
    common = _common_resolution(capabilities, preferences, resolution)
    small = preferences.small_frames or capabilities.small_frames
    return Agreement(
        modem=modems[0],
        coding=codings[0] if codings else Coding.MH,
        ecm=ecm,
        frame_octets=(64 if small else 256) if ecm else 0,
        resolution=common,
        width_px=_common_width(capabilities, width_px, resolution, common),
        min_scan_ms=0 if ecm else capabilities.scan_ms(common),
        max_rows=capabilities.max_length_mm * common.rows_per_100_mm // 100,
    )


def _common_resolution(capabilities: Capabilities, preferences: Preferences, wanted: Resolution) -> Resolution:
    """The page's own, else its counterpart (the same pixels), else the finest that is finer in neither direction."""
    both = (capabilities.resolutions & preferences.resolutions) | {Resolution.STANDARD}
    if wanted in both:
        return wanted
    across, down = wanted.grid
    fitting = [one for one in both if one.grid[0] <= across and one.grid[1] <= down]
    return max(fitting, key=lambda one: (one.grid[0] * one.grid[1], one.inch_based is wanted.inch_based))


def _common_width(capabilities: Capabilities, width_px: int, wanted: Resolution, common: Resolution) -> int:
    """The narrowest paper that holds the page, as far as the peer's goes, in pixels of the common resolution."""
    papers = [paper for paper, width in enumerate(PAPER_WIDTHS_PX) if width <= capabilities.max_width_px]
    paper = next((paper for paper in papers if wanted.widths_px[paper] >= width_px), papers[-1])
    return common.widths_px[paper]
