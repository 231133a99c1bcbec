"""A page's pixels to the octets an agreement asks for.

Owns      what follows from an agreement: rows folded to its resolution, K, fill to the minimum scan-line time.
Not here  the codes themselves (codecs/encode.py).
Source    T.4 (07/2003) 4.2.2 for K at 3.85 and 7.7 lines/mm; higher resolutions as deployed.
"""

from typing import Final

from vfax.codecs.dis import Agreement, Resolution
from vfax.codecs.encode import encode_page
from vfax.errors import DocumentError

K: Final = {Resolution.STANDARD: 2, Resolution.FINE: 4, Resolution.SUPERFINE: 8}


def code_page(raster: bytes, width_px: int, rows: int, resolution: Resolution, agreement: Agreement) -> bytes:
    """Code packed rows (1 = black, most significant bit left) as `agreement` says; takes tens of milliseconds.

    A page finer than what was agreed is folded down. Raises DocumentError for one that is wider: this release does not
    scale in width.
    """
    if width_px != agreement.width_px:
        raise DocumentError(f"a page {width_px} pixels wide cannot go to a receiver of {agreement.width_px}")
    folds = resolution.rows_per_100_mm // agreement.resolution.rows_per_100_mm
    if folds > 1:
        raster = fold_rows(raster, (width_px + 7) // 8, folds)
        rows = -(-rows // folds)
    return encode_page(
        raster,
        width_px,
        rows,
        agreement.coding,
        k=K[agreement.resolution],
        min_row_octets=-(-agreement.modem.rate_bps * agreement.min_scan_ms // 8000),
        ecm=agreement.ecm,
    )


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
