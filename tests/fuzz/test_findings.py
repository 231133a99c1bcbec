"""What fuzzing found, each as the smallest input that shows it."""

import io
import struct

import pytest

from vfax.captures import CapturedCall, recording_of
from vfax.codecs import ifp
from vfax.codecs.frames import Fcf, Frame
from vfax.codecs.tiff_file import read_directories
from vfax.errors import DecodeError
from vfax.leg_values import LegOptions
from vfax.pcap import Datagram
from vfax.transports import udptl
from vfax.transports.parameters import T38Parameters


def test_tiff_fields_that_all_claim_the_same_octets_are_not_all_believed() -> None:
    claims = b"".join(struct.pack("<HHII", 1000 + number, 1, 100_000, 8) for number in range(400))
    head = b"II*\0" + struct.pack("<IH", 8, 400) + claims + bytes(4)
    with pytest.raises(DecodeError, match="values in all fields"):
        read_directories(io.BytesIO(head.ljust(100_008, b"x")))


def test_a_capture_that_claims_years_between_two_datagrams_is_read_at_once() -> None:
    sender = udptl.Sender()
    preamble, dcn = ifp.pack_indicator(ifp.Indicator.V21_PREAMBLE), Frame(Fcf.DCN, x=True).encode()
    frame = ifp.pack_field_and_end(0, ifp.FieldType.HDLC_DATA, dcn, ifp.FieldType.HDLC_FCS_OK_SIG_END, 0)
    caller, called, age = ("192.0.2.1", 4000), ("192.0.2.2", 4000), 3e9
    said = tuple(
        Datagram(at, caller, called, sender.send(packet, 0))
        for at, packet in ((0.0, preamble), (1.0, frame), (age, preamble), (age + 1, frame))
    )
    parameters = T38Parameters()
    call = CapturedCall(
        caller=caller, called=called, began=0.0, caller_says=parameters, called_says=parameters, datagrams=said
    )
    recording = recording_of(call, called=False, options=LegOptions())
    assert [(seen.at, seen.name) for seen in recording.frames] == [(1.0, "DCN"), (age + 1, "DCN")]
