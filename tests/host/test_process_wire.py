"""Frames between the host and a provider's process: whole messages, or an end."""

import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from vfax.errors import DecodeError, LinkError
from vfax.fsp.constants import ProviderStatus, Win32
from vfax.fsp.errors import (
    FaxServiceError,
    InitializationFailed,
    InvalidField,
    InvalidParameter,
    OperationAborted,
    OperationFailed,
    ProviderLoadError,
)
from vfax.host.guard import ForeignFault
from vfax.host.process_wire import LENGTH, MAX_FRAME, Unframer, decode_error, encode_error, frame

MESSAGES = [{"do": "ping", "id": 1}, {"answer": 1, "value": "Ünïcode \ud800"}, {}]


@given(st.lists(st.integers(1, 40), max_size=40))
def test_messages_come_out_whole_however_the_octets_arrive(cuts: list[int]) -> None:
    octets, unframer, found = b"".join(frame(message) for message in MESSAGES), Unframer(), []
    for cut in [*cuts, len(octets)]:
        found += list(unframer.feed(octets[:cut]))
        octets = octets[cut:]
    assert found == MESSAGES


@given(st.binary(max_size=200))
def test_rubbish_is_a_message_or_a_decode_error(octets: bytes) -> None:
    try:
        for message in Unframer().feed(octets):
            assert isinstance(message, dict)
    except DecodeError:
        return


@pytest.mark.parametrize(
    "body",
    [b"[]", b"1", b"{", b"\xff", '{"a":"ü"}'.encode(), b'{"a":NaN}', b"[" * 50_000, b"9" * 5_000, b""],
    ids=["list", "number", "open", "octet", "not ASCII", "not a number", "deep", "long", "empty"],
)
def test_a_body_that_is_no_object_is_refused(body: bytes) -> None:
    with pytest.raises(DecodeError):
        list(Unframer().feed(LENGTH.pack(len(body)) + body))


def test_a_length_beyond_the_limit_is_refused_before_it_is_read() -> None:
    with pytest.raises(DecodeError, match="a message of 1048577 octets"):
        list(Unframer().feed(LENGTH.pack(MAX_FRAME + 1)))
    with pytest.raises(ValueError, match="at most 1048576 may be"):
        frame({"a": "x" * MAX_FRAME})


@pytest.mark.parametrize(
    "error",
    [
        OperationFailed("They hung up.", Win32.ERROR_GRACEFUL_DISCONNECT),
        OperationAborted("Aborted."),
        InvalidParameter("DeviceId: 7 is none of ours"),
        ProviderLoadError(ProviderStatus.fpsCANT_LINK, "no export", Win32.ERROR_PROC_NOT_FOUND),
    ],
    ids=lambda error: type(error).__name__,
)
def test_an_error_of_the_contract_keeps_kind_words_and_code(error: FaxServiceError) -> None:
    again = decode_error(json.loads(json.dumps(encode_error(error))))
    assert type(again) is type(error)
    assert str(again) == str(error)
    assert isinstance(again, FaxServiceError)
    assert again.winerror == error.winerror
    if isinstance(again, ProviderLoadError):
        assert again.status is ProviderStatus.fpsCANT_LINK


def test_an_error_that_needs_more_than_words_becomes_the_one_it_is_derived_from() -> None:
    again = decode_error(encode_error(InvalidField("FaxSend", "file_name", "must not be empty")))
    assert (type(again), str(again)) == (InvalidParameter, "FaxSend.file_name: must not be empty")


def test_an_address_that_is_taken_is_still_the_cause_on_the_other_side() -> None:
    error = InitializationFailed("port 5060 is taken")
    error.__cause__ = LinkError("port 5060 is taken")
    assert isinstance(decode_error(encode_error(error)).__cause__, LinkError)


@pytest.mark.parametrize("error", [ValueError("no"), SystemExit(3)])
def test_any_other_exception_is_a_fault_in_its_own_words(error: BaseException) -> None:
    again = decode_error(encode_error(error))
    assert isinstance(again, ForeignFault)
    assert str(again) == f"{type(error).__name__}: {error}"


@pytest.mark.parametrize("value", [None, 1, [], {}, {"words": 1}, {"kind": "OperationFailed"}])
def test_what_is_no_error_is_refused(value: object) -> None:
    with pytest.raises(DecodeError):
        decode_error(value)


def test_numbers_nobody_knows_become_the_general_ones() -> None:
    error = decode_error({"kind": "OperationFailed", "words": "x", "winerror": [1], "status": None, "cause": ""})
    assert isinstance(error, OperationFailed)
    assert error.winerror is Win32.ERROR_GEN_FAILURE
