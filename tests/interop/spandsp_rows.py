"""libspandsp's decoder of T.4 and T.6: a coded page in, rows out.

Owns      the ctypes binding to t4_rx_*, and `decode_rows`.
Not here  the rest of libspandsp (spandsp.py).
Source    t4_rx.h of libspandsp-dev 0.0.6.
"""

import ctypes as c
from pathlib import Path
from typing import Final

from tests.interop.spandsp import LIBRARY, PACKAGE, Coding, MissingLibraryError

ENCODINGS: Final = {Coding.MH: 1, Coding.MR: 2, Coding.MMR: 3}  # T4_COMPRESSION_ITU_T4_1D, _T4_2D, _T6
REVERSED: Final = bytes(int(f"{octet:08b}"[::-1], 2) for octet in range(256))
"""libspandsp takes the first bit of the code from the least significant bit of an octet."""

RowHandler = c.CFUNCTYPE(c.c_int, c.c_void_p, c.POINTER(c.c_uint8), c.c_size_t)
PROTOTYPES: Final = {
    "t4_rx_init": (c.c_void_p, [c.c_void_p, c.c_char_p, c.c_int]),
    "t4_rx_set_row_write_handler": (c.c_int, [c.c_void_p, RowHandler, c.c_void_p]),
    "t4_rx_set_rx_encoding": (None, [c.c_void_p, c.c_int]),
    "t4_rx_set_image_width": (None, [c.c_void_p, c.c_int]),
    "t4_rx_set_x_resolution": (None, [c.c_void_p, c.c_int]),
    "t4_rx_set_y_resolution": (None, [c.c_void_p, c.c_int]),
    "t4_rx_start_page": (c.c_int, [c.c_void_p]),
    "t4_rx_put_chunk": (c.c_int, [c.c_void_p, c.c_char_p, c.c_int]),
    "t4_rx_end_page": (c.c_int, [c.c_void_p]),
    "t4_rx_free": (c.c_int, [c.c_void_p]),
}


def _load() -> c.CDLL:
    try:
        library = c.CDLL(LIBRARY)
    except OSError as why:
        raise MissingLibraryError(f"{LIBRARY} cannot be loaded ({why}); install the Debian package {PACKAGE}") from why
    for name, (result, arguments) in PROTOTYPES.items():
        function = getattr(library, name)
        function.restype = result
        function.argtypes = arguments
    return library


def decode_rows(coded: bytes, coding: Coding, width_px: int, scratch: Path) -> list[bytes]:
    """The rows libspandsp makes of a page, 1 = black. `scratch` is where it may write a TIFF file."""
    library = _load()
    state = library.t4_rx_init(None, str(scratch).encode(), ENCODINGS[Coding.MMR])
    assert state, f"libspandsp could not open {scratch}"
    rows: list[bytes] = []

    def keep(user: object, row: "c._Pointer[c.c_uint8]", size: int) -> int:
        if size:
            rows.append(c.string_at(row, size))
        return 0

    handler = RowHandler(keep)
    library.t4_rx_set_row_write_handler(state, handler, None)
    library.t4_rx_set_rx_encoding(state, ENCODINGS[coding])
    library.t4_rx_set_image_width(state, width_px)
    library.t4_rx_set_x_resolution(state, 8031)
    library.t4_rx_set_y_resolution(state, 7700)
    library.t4_rx_start_page(state)
    library.t4_rx_put_chunk(state, coded.translate(REVERSED), len(coded))
    library.t4_rx_end_page(state)
    library.t4_rx_free(state)
    return rows
