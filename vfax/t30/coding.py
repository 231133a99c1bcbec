"""A page's pixels to the octets an agreement asks for.

Owns      what follows from an agreement: K, fill to the minimum scan-line time; rows folded to half or a quarter.
Not here  the codes themselves (codecs/encode.py), scaling in any other way (codecs/scaling.py).
Source    T.4 (07/2003) 4.2.2 for K at 3.85 and 7.7 lines/mm; T.30 (09/2005) Table 2 for K above that (bit 122) and
          for the minimum scan-line time.
"""

from typing import Final

from vfax.codecs.dis import Agreement, Resolution
from vfax.codecs.encode import encode_page
from vfax.errors import DocumentError

K: Final = {resolution: 2 if resolution.grid[1] == 1 else 4 for resolution in Resolution}
"""Parameter K of MR: a row coded on its own at least every so many rows. Above 4 only with bit 122 of DIS and DCS,
which vfax never says: more rows of one dimension are right for every receiver and cost little."""


def code_page(raster: bytes, width_px: int, rows: int, resolution: Resolution, agreement: Agreement) -> bytes:
    """Code packed rows (1 = black, most significant bit left) as `agreement` says; takes tens of milliseconds.

    Rows of a whole multiple of what was agreed are folded down. Raises DocumentError for a page that must be scaled
    otherwise (`scaling.fit_page` does).
    """
    across, down = agreement.resolution.grid
    folds, left = divmod(resolution.grid[1], down)
    if width_px != agreement.width_px or resolution.grid[0] != across or left:
        raise DocumentError(
            f"a page {width_px} pixels wide at {resolution.title} does not fit {agreement.width_px} pixels at "
            f"{agreement.resolution.title}; scale it first"
        )
    if folds > 1:
        raster = fold_rows(raster, (width_px + 7) // 8, folds)
        rows = -(-rows // folds)
    return encode_page(
        raster,
        width_px,
        rows,
        agreement.coding,
        k=K[agreement.resolution],
        min_row_octets=least_row_octets(agreement),
        ecm=agreement.ecm,
    )


def least_row_octets(agreement: Agreement) -> int:
    """Octets that a coded row takes at least, so that the slowest printer keeps up; 0 with ECM."""
    return 0 if agreement.ecm else -(-agreement.modem.rate_bps * agreement.min_scan_ms // 8000)


def fold_rows(raster: bytes, row_octets: int, folds: int) -> bytes:
    """One row for every `folds` rows, black where any of them is: thin lines survive."""
    folded = []
    band = row_octets * folds
    for start in range(0, len(raster), band):
        ink = 0
        for at in range(start, min(start + band, len(raster)), row_octets):
            ink |= int.from_bytes(raster[at : at + row_octets], "big")
        folded.append(ink.to_bytes(row_octets, "big"))
    return b"".join(folded)
