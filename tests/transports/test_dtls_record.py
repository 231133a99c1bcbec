"""DTLS records from outside: told from other datagrams, and one from the next."""

import json
from pathlib import Path

from hypothesis import given
from hypothesis import strategies as st

from vfax.transports.dtls_record import HEADER, apart, is_client_hello, looks_like_dtls

VECTORS = json.loads((Path(__file__).parents[1] / "data" / "t38_vectors.json").read_text("utf-8"))
CLIENT_HELLO = bytes.fromhex("16feff0000000000000000000e01000002000000000000000201 02".replace(" ", ""))


def record(content: int, payload: bytes, version: bytes = b"\xfe\xfd", epoch: int = 1) -> bytes:
    return bytes([content]) + version + epoch.to_bytes(2, "big") + bytes(6) + len(payload).to_bytes(2, "big") + payload


def test_records_are_known_by_their_first_octets_and_their_length() -> None:
    whole = record(23, b"fax")
    assert looks_like_dtls(whole)
    assert looks_like_dtls(whole + b"and more")
    assert not looks_like_dtls(whole[:-1])
    assert not looks_like_dtls(record(64, b"fax"))
    assert not looks_like_dtls(record(19, b"fax"))
    assert not looks_like_dtls(record(22, b"fax", version=b"\x03\x03"))


def test_no_udptl_datagram_of_the_vectors_looks_like_dtls_whatever_its_number() -> None:
    datagrams = [bytes.fromhex(vector["hex"]) for vector in VECTORS if vector["kind"] == "udptl"]
    assert len(datagrams) > 20
    for datagram in datagrams:
        for number in (0x14FE, 0x16FE, 0x17FE, 0x16FD, 0x3FFE):
            assert not looks_like_dtls(number.to_bytes(2, "big") + datagram[2:])


def test_a_client_hello_is_known_in_the_clear_alone() -> None:
    assert is_client_hello(CLIENT_HELLO)
    assert not is_client_hello(CLIENT_HELLO[:4] + b"\x01" + CLIENT_HELLO[5:])  # encrypted: another epoch
    assert not is_client_hello(record(22, b"\x02", epoch=0))
    assert not is_client_hello(CLIENT_HELLO[:HEADER])


def test_application_data_comes_record_by_record_and_handshakes_stay_together() -> None:
    first, second = record(23, b"one"), record(23, b"two")
    assert apart(first + second) == [first, second]
    assert apart(first + second[:-1]) == [first]
    flight = record(22, b"hello", epoch=0) + record(22, b"done", epoch=0)
    assert apart(flight) == [flight]


@given(st.binary(max_size=200))
def test_nothing_raises_and_no_octet_is_invented(datagram: bytes) -> None:
    looks_like_dtls(datagram)
    is_client_hello(datagram)
    assert datagram.startswith(b"".join(apart(datagram)))
