"""What fuzzing found, each as the smallest input that shows it."""

import io
import struct

import pytest

from vfax.codecs.tiff_file import read_directories
from vfax.errors import DecodeError


def test_tiff_fields_that_all_claim_the_same_octets_are_not_all_believed() -> None:
    claims = b"".join(struct.pack("<HHII", 1000 + number, 1, 100_000, 8) for number in range(400))
    head = b"II*\0" + struct.pack("<IH", 8, 400) + claims + bytes(4)
    with pytest.raises(DecodeError, match="values in all fields"):
        read_directories(io.BytesIO(head.ljust(100_008, b"x")))
