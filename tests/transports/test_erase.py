"""Redaction: no page data stays, all else does, datagram for datagram."""

import random

import pytest
from hypothesis import given
from hypothesis import strategies as st

from vfax.codecs import ifp
from vfax.codecs.frames import Fcf, encode_identity
from vfax.codecs.ifp import Data, DataType, Field, FieldType, Indication, Indicator
from vfax.signals import FrameDamaged, FrameReceived, Modem
from vfax.transports.erase import PageEraser, hide_frame, hide_keys, hide_text, silence
from vfax.transports.parameters import T38Parameters
from vfax.transports.t38 import T38Line
from vfax.transports.udptl import Fec, Packet, Recovery, Sender

FCD = bytes((0xFF, 0xC0, 0x06, 7)) + b"page data of a frame"
V21 = ifp.encode(Data(DataType.V21, (Field(FieldType.HDLC_DATA, b"\xff\xc8\x41secret?"),)), 0)


def ecm(octets: bytes) -> bytes:
    return ifp.encode(Data(DataType.V17_14400, (Field(FieldType.HDLC_DATA, octets),)), 0)


def plain(octets: bytes) -> bytes:
    return ifp.encode(Data(DataType.V29_9600, (Field(FieldType.T4_NON_ECM_DATA, octets),)), 0)


TRAINING = ifp.encode(Indication(Indicator.V17_14400_LONG_TRAINING), 0)
FRAME_END = ifp.encode(Data(DataType.V17_14400, (Field(FieldType.HDLC_FCS_OK),)), 0)


def erased(ifps: list[bytes], *, depth: int = 0, lose: frozenset[int] = frozenset()) -> list[bytes]:
    """What a receiver gets of an erased stream."""
    sender, eraser, recovery = Sender(), PageEraser(), Recovery()
    got: list[bytes] = []
    for index, one in enumerate(ifps):
        datagram = sender.send(one, depth)
        if index in lose:
            continue
        for delivery in recovery.receive(Packet.decode(eraser.erase(datagram))):
            if isinstance(delivery, bytes):
                got.append(delivery)
    return got


def test_signals_and_control_frames_stay_as_they_are() -> None:
    assert erased([TRAINING, V21, FRAME_END]) == [TRAINING, V21, FRAME_END]


def test_a_page_without_ecm_becomes_zeros_of_the_same_number() -> None:
    assert erased([TRAINING, plain(b"black and white")]) == [TRAINING, plain(bytes(15))]


def test_of_an_ecm_frame_its_header_stays() -> None:
    assert erased([TRAINING, ecm(FCD), FRAME_END]) == [TRAINING, ecm(FCD[:4] + bytes(20)), FRAME_END]


@given(st.lists(st.integers(1, 9), max_size=20))
def test_a_frame_may_come_in_any_pieces(sizes: list[int]) -> None:
    pieces, at = [], 0
    for size in [*sizes, len(FCD)]:
        if at < len(FCD):
            pieces.append(FCD[at : at + size])
            at += size
    got = erased([TRAINING, *map(ecm, pieces), FRAME_END])
    joined = b"".join(ifp.decode(one, 0).fields[0].octets for one in got[1:-1])  # type: ignore[union-attr,index]
    assert joined == FCD[:4] + bytes(20)


def test_after_a_loss_nothing_of_the_frame_is_kept() -> None:
    got = erased([TRAINING, ecm(b"\xff"), ecm(b"ab"), ecm(b"secret"), FRAME_END, ecm(FCD)], lose=frozenset({2}))
    assert ecm(bytes(6)) in got
    assert got[-1] == ecm(FCD[:4] + bytes(20))


def test_what_redundancy_repairs_is_erased_and_repaired() -> None:
    stream = [TRAINING, ecm(FCD[:9]), ecm(FCD[9:]), FRAME_END, plain(b"secret")]
    expected = [TRAINING, ecm(FCD[:4] + bytes(5)), ecm(bytes(15)), FRAME_END, plain(bytes(6))]
    assert erased(stream, depth=3, lose=frozenset({1, 2})) == expected


def test_parity_is_no_way_around() -> None:
    one, two = plain(b"first secret"), plain(b"secret no. 2")
    parity = bytes(a ^ b for a, b in zip(one, two, strict=True))
    eraser = PageEraser()
    eraser.erase(Packet(0, TRAINING).encode())
    eraser.erase(Packet(1, one).encode())
    octets = eraser.erase(Packet(3, TRAINING, fec=Fec(2, (parity,))).encode())
    packet = Packet.decode(octets)
    assert (packet.fec, packet.earlier) == (None, (plain(bytes(12)),))


@pytest.mark.parametrize("octets", [b"", b"x", b"hello, no UDPTL at all", bytes(40)])
def test_what_is_no_udptl_keeps_its_length_alone(octets: bytes) -> None:
    assert PageEraser().erase(octets) == b"\xff" * len(octets)


@given(st.lists(st.binary(max_size=60), max_size=12))
def test_whatever_comes_erasing_does_not_fall_over(datagrams: list[bytes]) -> None:
    eraser = PageEraser()
    for datagram in datagrams:
        eraser.erase(datagram)


@given(st.integers(0, 1 << 32))
def test_no_stretch_of_page_data_survives(seed: int) -> None:
    """Ten octets of noise are not met by accident: any stretch of the page that is still there is a leak."""
    dice = random.Random(seed)
    page = dice.randbytes(400)
    sender, eraser = Sender(), PageEraser()
    stream = [TRAINING] + [(ecm if dice.random() < 0.5 else plain)(page[at : at + 40]) for at in range(0, 400, 40)]
    for one in stream:
        datagram = sender.send(one, dice.randrange(4))
        if dice.random() < 0.2:
            continue
        left = eraser.erase(datagram)
        assert not any(page[at : at + 10] in left for at in range(391))


@pytest.mark.parametrize("hole", [None, b"\xc0\x01"])  # a datagram that never came, an IFP that cannot be read
def test_a_loss_stays_one_where_the_peer_sends_empty_ifps_too(hole: bytes | None) -> None:
    eraser, line = PageEraser(), T38Line(T38Parameters(), now=0.0)
    stream = [TRAINING, b"", ecm(FCD[:12]), hole, FRAME_END]
    for number, one in enumerate(stream):
        if one is not None:
            line.receive(eraser.erase(Packet(number, one).encode()), 0.1)
    heard = line.take_signals()
    assert FrameDamaged(Modem.V17_14400) in heard
    assert not [signal for signal in heard if isinstance(signal, FrameReceived)]


def v21(octets: bytes, *, end: bool = False) -> bytes:
    fields = [Field(FieldType.HDLC_DATA, octets)] if octets else []
    return ifp.encode(Data(DataType.V21, (*fields, *([Field(FieldType.HDLC_FCS_OK)] if end else []))), 0)


def in_octets(frame: bytes) -> list[bytes]:
    return [*(v21(bytes((octet,))) for octet in frame), v21(b"", end=True)]


PREAMBLE = ifp.encode(Indication(Indicator.V21_PREAMBLE), 0)
PASSWORD = bytes((0xFF, 0xC0, Fcf.PWD.value)) + encode_identity("24 68")
HIDDEN = bytes((0xFF, 0xC0, Fcf.PWD.value)) + encode_identity("00 00")
NUMBER = bytes((0xFF, 0xC0, Fcf.CIG.value)) + encode_identity("4711")


def test_of_a_password_the_length_stays_and_the_frames_around_it_as_they_are() -> None:
    said = [PREAMBLE, *in_octets(NUMBER), *in_octets(PASSWORD), *in_octets(NUMBER)]
    assert erased(said) == [PREAMBLE, *in_octets(NUMBER), *in_octets(HIDDEN), *in_octets(NUMBER)]
    assert erased([PREAMBLE, v21(PASSWORD, end=True)]) == [PREAMBLE, v21(HIDDEN, end=True)]


@pytest.mark.parametrize("depth", [0, 2])
@pytest.mark.parametrize("lost", range(1, 12))
def test_no_loss_brings_a_password_to_light(lost: int, depth: int) -> None:
    said = [PREAMBLE, *in_octets(PASSWORD), *in_octets(NUMBER)]
    got = erased(said, depth=depth, lose=frozenset(range(lost, lost + 3)))
    digits = b"".join(
        field.octets for one in got if isinstance(value := ifp.decode(one, 0), Data) for field in value.fields or ()
    ).partition(NUMBER)
    assert digits[1] == NUMBER
    assert not set(digits[0]) & set(encode_identity("2468").strip(b"\x04"))


def test_a_password_said_twice_is_hidden_twice() -> None:
    sender, eraser = Sender(), PageEraser()
    eraser.erase(sender.send(PREAMBLE, 0))
    datagram = sender.send(v21(PASSWORD, end=True), 0)
    for _ in range(2):
        assert encode_identity("24 68")[:5] not in eraser.erase(datagram)


def test_text_and_frame_of_a_password_are_hidden_alike() -> None:
    assert hide_text("24 68") == "00 00"
    assert hide_frame(PASSWORD) == HIDDEN
    assert hide_frame(NUMBER) == NUMBER
    assert hide_frame(b"") == b""


def test_audio_is_silent_and_as_long_as_before() -> None:
    rtp = bytes((0x80, 8)) + bytes(range(1, 171))
    assert silence(rtp) == rtp[:12] + bytes(160)
    assert silence(b"\x80") == b"\x80"


def test_what_proves_a_password_in_sip_is_gone_and_all_else_stays() -> None:
    head = b"INVITE sip:1@a SIP/2.0\r\nVia: x\r\n"
    secret = b'Proxy-Authorization : Digest username="bob",\r\n response="6629fae4"\r\nauthorization:Digest y\r\n'
    told = hide_keys(head + secret + b"To: <sip:1@a>\r\n\r\nv=0\r\na=crypto:1 AES inline:WVNfX19z\r\n")
    assert told.startswith(head)
    assert len(told) == len(head + secret) + len(b"To: <sip:1@a>\r\n\r\nv=0\r\na=crypto:1 AES inline:WVNfX19z\r\n")
    for word in (b"bob", b"6629fae4", b"Digest", b"WVNf"):
        assert word not in told
    assert b"\r\nTo: <sip:1@a>\r\n\r\nv=0\r\na=crypto:x" in told
