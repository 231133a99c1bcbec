import json
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from vfax.codecs import ifp
from vfax.codecs.ifp import Data, DataType, Field, FieldType, Indication, Indicator, Unknown
from vfax.errors import DecodeError, MisuseError

VECTORS: list[dict[str, Any]] = json.loads((Path(__file__).parent.parent / "data" / "t38_vectors.json").read_text())
INDICATORS = {member.title: member for member in Indicator}
DATA_TYPES = {member.title: member for member in DataType}
FIELD_TYPES = {member.title: member for member in FieldType}


def vectors(kind: str) -> list[Any]:
    chosen = [pytest.param(v, id=v["name"]) for v in VECTORS if v["kind"] == kind]
    assert chosen
    return chosen


def value_of(decoded: dict[str, Any]) -> Indication | Data:
    if decoded["type_of_msg"] == "t30-indicator":
        return Indication(INDICATORS[decoded["t30_indicator"]])
    data = DATA_TYPES[decoded["t30_data"]]
    if "data_field" not in decoded:
        return Data(data)
    fields = decoded["data_field"]
    return Data(
        data, tuple(Field(FIELD_TYPES[f["field_type"]], bytes.fromhex(f.get("field_data", ""))) for f in fields)
    )


def root_or_extension(version: int, kind: type[Any], roots: int) -> st.SearchStrategy[Any]:
    return st.sampled_from([member for member in kind if version == 3 or member < roots])


@st.composite
def packets(draw: st.DrawFn) -> tuple[int, Indication | Data]:
    version = draw(st.integers(0, 3))
    if draw(st.booleans()):
        return version, Indication(draw(root_or_extension(version, Indicator, 16)))
    field = st.builds(Field, root_or_extension(version, FieldType, 8), st.binary(max_size=12))
    fields = draw(st.none() | st.lists(field, max_size=6).map(tuple))
    return version, Data(draw(root_or_extension(version, DataType, 9)), fields)


@pytest.mark.parametrize("vector", vectors("ifp"))
def test_vector_decodes(vector: dict[str, Any]) -> None:
    assert ifp.decode(bytes.fromhex(vector["hex"]), vector["version"]) == value_of(vector["decoded"])


@pytest.mark.parametrize("vector", vectors("ifp"))
def test_vector_encodes(vector: dict[str, Any]) -> None:
    assert ifp.encode(value_of(vector["decoded"]), vector["version"]).hex() == vector["hex"]


@pytest.mark.parametrize("vector", vectors("ifp"))
def test_vector_decodes_with_the_zeros_that_fec_repair_leaves(vector: dict[str, Any]) -> None:
    octets = bytes.fromhex(vector["hex"]) + bytes(3)
    assert ifp.decode(octets, vector["version"], padded=True) == value_of(vector["decoded"])
    with pytest.raises(DecodeError):
        ifp.decode(octets, vector["version"])


@pytest.mark.parametrize("vector", vectors("ifp-dialect"))
def test_octet_aligned_dialect_decodes(vector: dict[str, Any]) -> None:
    assert ifp.decode(bytes.fromhex(vector["hex"]), vector["version"]) == value_of(vector["decoded"])
    assert ifp.encode(value_of(vector["decoded"]), vector["version"]).hex() == vector["strict_per"]


@pytest.mark.parametrize("vector", vectors("tpkt"))
def test_tpkt_vector_in_both_directions(vector: dict[str, Any]) -> None:
    octets = bytes.fromhex(vector["hex"])
    inner = ifp.encode(value_of(vector["decoded"]), vector["version"])
    assert ifp.wrap_tpkt(inner) == octets
    assert ifp.unwrap_tpkt(octets + b"\x03") == (inner, len(octets))
    assert all(ifp.unwrap_tpkt(octets[:cut]) is None for cut in range(len(octets)))


@pytest.mark.parametrize("octets", [b"\x06", b"\x03\x01\x00\x05\x06", b"\x03\x00\x00\x04", b"\x03\x00\xff\xff"])
def test_stream_that_cannot_be_delimited_is_refused(octets: bytes) -> None:
    with pytest.raises(DecodeError):
        ifp.unwrap_tpkt(octets)


@pytest.mark.parametrize("vector", vectors("ifp-invalid"))
def test_invalid_vector_is_refused(vector: dict[str, Any]) -> None:
    with pytest.raises(DecodeError):
        ifp.decode(bytes.fromhex(vector["hex"]), vector["version"])


def test_tolerance_vectors_are_survived_as_they_say() -> None:
    verdicts = {v["expect"]: [] for v in VECTORS if v["kind"] == "ifp-tolerance"}  # type: dict[str, list[ifp.Ifp]]
    for vector in VECTORS:
        if vector["kind"] == "ifp-tolerance":
            verdicts[vector["expect"]].append(ifp.decode(bytes.fromhex(vector["hex"]), vector["version"]))
    assert verdicts == {
        "ignore": [Unknown("t30-indicator", 23), Unknown("t30-data", 15)],
        "skip-field": [Data(DataType.V8, ())],
        "accept-as-cng": [Indication(Indicator.CNG)],
    }


@given(packets())
@settings(max_examples=300)
def test_what_was_encoded_decodes_to_the_same(packet: tuple[int, Indication | Data]) -> None:
    version, value = packet
    if isinstance(value, Data) and value.fields:
        # jm and ci share an encoding between the dialects; only their content tells them apart
        kinds = {FieldType.JM_MESSAGE, FieldType.CI_MESSAGE, FieldType.CM_MESSAGE, FieldType.V34RATE}
        value = Data(value.type, tuple(f for f in value.fields if f.type not in kinds))
    assert ifp.decode(ifp.encode(value, version), version) == value


@given(st.integers(0, 3), st.binary(max_size=40), st.booleans())
@settings(max_examples=500)
def test_any_octets_raise_only_decode_error(version: int, octets: bytes, padded: bool) -> None:
    try:
        value = ifp.decode(octets, version, padded=padded)
    except DecodeError:
        return
    assert isinstance(value, Indication | Data | Unknown)


@given(packets(), st.data())
@settings(max_examples=300)
def test_a_cut_packet_never_passes_for_more_than_it_holds(
    packet: tuple[int, Indication | Data], data: st.DataObject
) -> None:
    version, value = packet
    octets = ifp.encode(value, version)
    cut = octets[: data.draw(st.integers(0, len(octets) - 1))]
    try:
        shorter = ifp.decode(cut, version)
    except DecodeError:
        return
    held = sum(len(f.octets) for f in shorter.fields or ()) if isinstance(shorter, Data) else 0
    assert held < len(octets)


@pytest.mark.parametrize("version", [0, 1, 2])
@pytest.mark.parametrize(
    "value",
    [
        Indication(Indicator.V8_ANSAM),
        Data(DataType.V33_14400),
        Data(DataType.V21, (Field(FieldType.CM_MESSAGE, b"1"),)),
    ],
)
def test_encoder_refuses_what_the_version_lacks(version: int, value: Indication | Data) -> None:
    with pytest.raises(MisuseError):
        ifp.encode(value, version)


def test_encoder_refuses_a_field_longer_than_65535_octets() -> None:
    with pytest.raises(MisuseError):
        ifp.encode(Data(DataType.V21, (Field(FieldType.HDLC_DATA, bytes(65536)),)), 0)


@pytest.mark.parametrize("version", [0, 1, 2, 3])
@pytest.mark.parametrize("octets", [b"\xff", bytes(range(54)), bytes(300)])
def test_quick_packers_agree_with_the_encoder(version: int, octets: bytes) -> None:
    data, field, end = DataType.V17_14400, FieldType.HDLC_DATA, FieldType.HDLC_FCS_OK
    assert ifp.pack_field(data, field, octets, version) == ifp.encode(Data(data, (Field(field, octets),)), version)
    both = Data(data, (Field(field, octets), Field(end)))
    assert ifp.pack_field_and_end(data, field, octets, end, version) == ifp.encode(both, version)
    assert ifp.pack_end(data, end, version) == ifp.encode(Data(data, (Field(end),)), version)


def test_number_readers_refuse_the_other_kind_of_packet() -> None:
    with pytest.raises(DecodeError):
        ifp.read_data(b"\x06", 0)
    with pytest.raises(DecodeError):
        ifp.read_indicator(b"\x40")
