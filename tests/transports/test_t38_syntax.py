"""Peers that agree to one version of T.38 and write another."""

import random

import pytest
from hypothesis import given
from hypothesis import strategies as st

from vfax.codecs import ifp
from vfax.codecs.ifp import Data, DataType, Field, FieldType, Indication, Indicator
from vfax.signals import (
    DataReceived,
    FrameReceived,
    LineSignal,
    Modem,
    SendEcm,
    SendFrames,
    SendImage,
    SendTraining,
    SignalEnded,
    Transmission,
)
from vfax.transports.parameters import T38Parameters
from vfax.transports.t38 import ReadVersion, T38Line, T38Options
from vfax.transports.udptl import Packet, Sender

CSI = b"\xff\xc0\x02" + b"\x0c" * 20
DIS = b"\xff\xc8\x01\x00\x77\x5f"
DCS = b"\xff\xc8\x41\x00\x62\x1f"
MCF = b"\xff\xc8\x31"
DICE = random.Random(3)
FCD = tuple(b"\xff\xc0\x60" + bytes((n,)) + DICE.randbytes(256) for n in range(6))
RCP = (b"\xff\xc0\x61",) * 3
PAGE = bytes(range(1, 241)) * 10

FAX: tuple[Transmission, ...] = (
    SendFrames((CSI, DIS)),
    SendFrames((CSI, DCS)),
    SendTraining(Modem.V17_14400, 900),
    SendEcm(Modem.V17_14400, True, FCD + RCP),
    SendImage(Modem.V29_9600, False, PAGE),
    SendFrames((MCF,)),
)


def said(version: int, *orders: Transmission) -> list[bytes]:
    """All datagrams of a peer that writes `version`."""
    line = T38Line(T38Parameters(version=version, max_datagram=400), now=0.0)
    now, datagrams = 0.0, line.take_output()
    for order in orders:
        line.transmit(order, now)
        while not line.take_signals():
            now = line.next_timeout()
            line.handle_timeout(now)
        datagrams += line.take_output()
    return datagrams


def heard(line: T38Line, datagrams: list[bytes]) -> list[LineSignal]:
    for n, datagram in enumerate(datagrams):
        line.receive(datagram, n * 0.01)
    return line.take_signals()


def line_of(version: int, *, guess: bool = True) -> T38Line:
    return T38Line(T38Parameters(version=version), T38Options(version_guess=guess), now=0.0)


def frames(signals: list[LineSignal]) -> list[bytes]:
    return [signal.octets for signal in signals if isinstance(signal, FrameReceived)]


@pytest.mark.parametrize("writes", [0, 1, 2, 3])
@pytest.mark.parametrize("agreed", [0, 1, 2, 3])
def test_fax_is_read_whatever_syntax_the_peer_writes(agreed: int, writes: int) -> None:
    line = line_of(agreed)
    signals = heard(line, said(writes, *FAX))
    same = (agreed == 0) == (writes == 0)
    assert line.counters.misread == (0 if same else 1)
    got = frames(signals)
    assert got[-(len(FCD) + 4) :] == [*FCD, *RCP, MCF]
    assert DCS in got
    page = b"".join(s.octets for s in signals if isinstance(s, DataReceived) and s.modem is Modem.V29_9600)
    assert page.rstrip(b"\0") == PAGE
    if same:
        assert got == [CSI, DIS, CSI, DCS, *FCD, *RCP, MCF]


@pytest.mark.parametrize(("agreed", "writes"), [(0, 1), (1, 0)])
def test_guessing_can_be_switched_off(agreed: int, writes: int) -> None:
    line = line_of(agreed, guess=False)
    signals = heard(line, said(writes, *FAX))
    assert line.counters.misread == 0
    assert not any(isinstance(signal, DataReceived) for signal in signals)


def test_packet_that_only_the_other_syntax_can_read_is_read_by_it() -> None:
    line = line_of(1)
    assert frames(heard(line, said(0, SendFrames((DIS,))))) == [DIS]
    assert (line.counters.misread, line.counters.undecodable) == (1, 0)


def test_we_write_what_was_agreed_whatever_we_read() -> None:
    line = line_of(1)
    heard(line, said(0, SendFrames((DIS,))))
    line.transmit(SendFrames((MCF,)), 100.0)
    sent = []
    while not line.take_signals():
        line.handle_timeout(line.next_timeout())
        sent += line.take_output()
    ends = {p for d in sent if len(p := Packet.decode(d).primary) == 3}
    assert ends == {b"\xc0\x01\x20"}


def test_same_agreement_said_again_keeps_the_reading_and_another_ends_it() -> None:
    line = line_of(1)
    heard(line, said(0, SendFrames((DIS,))))
    line.renegotiate(T38Parameters(version=1), 5.0)
    assert frames(heard(line, said(0, SendFrames((DIS,))))) == [DIS]
    assert line.counters.misread == 1
    line.renegotiate(T38Parameters(version=2), 6.0)
    assert frames(heard(line, said(1, SendFrames((DIS,))))) == [DIS]
    assert line.counters.misread == 1


def packet(*fields: Field, data: DataType = DataType.V21) -> bytes:
    return ifp.encode(Data(data, fields), 0)


def test_frame_given_up_in_its_middle_does_not_change_the_reading() -> None:
    line, sender = line_of(0), Sender()
    for n in range(6):
        line.receive(sender.send(ifp.encode(Indication(Indicator.V21_PREAMBLE), 0), 0), n)
        line.receive(sender.send(packet(Field(FieldType.HDLC_DATA, CSI)), 0), n)
        line.receive(sender.send(packet(Field(FieldType.HDLC_FCS_OK)), 0), n)
        line.receive(sender.send(packet(Field(FieldType.HDLC_DATA, DIS[:4])), 0), n)
        line.receive(sender.send(packet(Field(FieldType.HDLC_SIG_END)), 0), n)
    assert line.counters.misread == 0
    assert frames(line.take_signals()) == [CSI] * 6


def test_mediatrix_end_of_training_does_not_change_the_reading() -> None:
    line, sender = line_of(0), Sender()
    for n in range(6):
        line.receive(sender.send(ifp.encode(Indication(Indicator.V17_7200_LONG_TRAINING), 0), 0), n)
        data = packet(Field(FieldType.T4_NON_ECM_DATA, bytes(40)), data=DataType.V17_7200)
        line.receive(sender.send(data, 0), n)
        line.receive(sender.send(packet(Field(FieldType.HDLC_SIG_END), data=DataType.V17_7200), 0), n)
    assert line.counters.misread == 0
    assert line.take_signals().count(SignalEnded(Modem.V17_7200)) == 6


@pytest.mark.parametrize("seed", range(6))
@pytest.mark.parametrize("version", [0, 1])
def test_losses_do_not_change_the_reading(version: int, seed: int) -> None:
    dice = random.Random(seed)
    line = line_of(version)
    heard(line, [d for d in said(version, *FAX, *FAX) if dice.random() > 0.2])
    assert line.counters.misread == 0


@given(st.lists(st.binary(min_size=1, max_size=12), max_size=60), st.integers(0, 3))
def test_reading_changes_a_bounded_number_of_times(packets: list[bytes], version: int) -> None:
    line, sender = line_of(version), Sender()
    for octets in packets:
        line.receive(sender.send(b"\xc0" + octets, 0), 0.0)
    assert line.counters.misread <= 3


CM = ifp.encode(Data(DataType.V8, (Field(FieldType.CM_MESSAGE, b"1"),)), 3)


@pytest.mark.parametrize("version", [0, 1, 2, 3])
def test_call_menu_is_declined_once_and_only_at_version_3(version: int) -> None:
    line, sender = line_of(version), Sender()
    line.take_output()
    for n in range(3):
        line.receive(sender.send(CM, 0), n * 0.01)
    answers = [ifp.decode(Packet.decode(d).primary, 3) for d in line.take_output()]
    declined = Data(DataType.V8, (Field(FieldType.JM_MESSAGE, b"N1"),))
    assert answers == ([declined] * 3 if version == 3 else [])
    assert line.counters.unknown == 3


def test_flood_of_call_menus_is_answered_once_a_second() -> None:
    line, sender = line_of(3), Sender()
    line.take_output()
    for n in range(500):
        line.receive(sender.send(CM, 0), n * 0.01)
    assert len(line.take_output()) == 3 * 5


def test_no_version_makes_us_write_an_extension() -> None:
    for version in range(3):
        for datagram in said(version, *FAX):
            primary = Packet.decode(datagram).primary
            assert not primary[0] & 0x20
            ifp.decode(primary, version)


@pytest.mark.parametrize("agreed", [0, 1, 3])
@pytest.mark.parametrize("written", [0, 1])
def test_version_that_a_peer_is_known_to_write_is_read_whatever_was_agreed(agreed: int, written: int) -> None:
    options = T38Options(read_version=ReadVersion(str(written)))
    line = T38Line(T38Parameters(version=agreed), options, now=0.0)
    datagrams = said(written, *FAX)
    got = heard(line, datagrams)
    assert frames(got) == [CSI, DIS, CSI, DCS, *FCD, *RCP, MCF]
    assert (line.counters.misread, line.counters.undecodable) == (0, 0)
    line.renegotiate(T38Parameters(version=1 - written), 900.0)
    assert frames(heard(line, said(written, SendFrames((DIS,))))) == [DIS]
    assert line.counters.misread == 0
