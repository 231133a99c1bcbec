"""IFP packets, in all versions, and TPKT.

Oracle    DecodeError or a value; a value encodes to octets that decode to it; fields hold no more than came.
"""

from typing import Final

from fuzz import vectors
from vfax.codecs import ifp
from vfax.errors import DecodeError, MisuseError

RECORDS: Final = False
TOKENS: Final = (b"\xc0\x01\x80\x00\x00", b"\x80\x00", b"\xff\xff", b"\x03\x00\x00\x08")


def seeds() -> list[bytes]:
    """The vectors, each behind an octet for its version and tolerance."""
    return [bytes([version & 3]) + octets for version, octets in vectors.t38("ifp")] + [
        bytes([4]) + octets for _, octets in vectors.t38("tpkt")
    ]


def run(data: bytes) -> None:
    """The first octet: version (2 bits), TPKT, padding allowed."""
    if not data:
        return
    version, tpkt, padded = data[0] & 3, bool(data[0] & 4), bool(data[0] & 8)
    packet = data[1:]
    try:
        if tpkt:
            found = ifp.unwrap_tpkt(packet)
            if found is None:
                return
            assert 0 < found[1] <= len(packet), "took more than there was"
            packet = found[0]
        value = ifp.decode(packet, version, padded=padded)
    except DecodeError:
        return
    if isinstance(value, ifp.Unknown):
        return
    fields = value.fields or () if isinstance(value, ifp.Data) else ()
    assert sum(len(one.octets) for one in fields) <= len(packet), "more octets than came"
    if any(one.type >= ifp.FieldType.CM_MESSAGE and len(one.octets) == 1 for one in fields):
        return  # the two dialects cannot be told apart there
    try:
        again = ifp.encode(value, version)
    except MisuseError:
        assert version < ifp.LATEST_VERSION, "the latest version says all"
    else:
        assert ifp.decode(again, version) == value, f"{value} was said as {again.hex()}"
