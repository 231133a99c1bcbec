"""A page's pixels to the octets an agreement asks for.

Owns      the parameters of T.4 that follow from an agreement: K, fill to the minimum scan-line time.
Not here  the codes themselves (codecs/encode.py).
Source    T.4 (07/2003) 4.2.2 for K at 3.85 and 7.7 lines/mm; higher resolutions as deployed.
"""

from typing import Final

from vfax.codecs.dis import Agreement, Resolution
from vfax.codecs.encode import encode_page

K: Final = {Resolution.STANDARD: 2, Resolution.FINE: 4, Resolution.SUPERFINE: 8}


def code_page(raster: bytes, width_px: int, rows: int, agreement: Agreement) -> bytes:
    """Code packed rows (1 = black, most significant bit left) as `agreement` says; takes tens of milliseconds."""
    return encode_page(
        raster,
        width_px,
        rows,
        agreement.coding,
        k=K[agreement.resolution],
        min_row_octets=-(-agreement.modem.rate_bps * agreement.min_scan_ms // 8000),
        ecm=agreement.ecm,
    )
