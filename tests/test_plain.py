"""Plain values: what is written is read back, what another version wrote is survived, nonsense is refused."""

import json
import re

import pytest

from vfax.errors import DecodeError
from vfax.leg import CallerOffer, LegOptions
from vfax.plain import plain_of, value_of
from vfax.signals import Modem
from vfax.t30.options import T30Options
from vfax.transports.parameters import ErrorCorrection, T38Parameters

OPTIONS = LegOptions(
    caller_offer=CallerOffer.AUDIO,
    fax=T30Options(local_id="+1 555", modems=frozenset({Modem.V29_9600, Modem.V27TER_2400})),
    t38=T38Parameters(max_datagram=300, error_correction=ErrorCorrection.FEC),
)


def test_options_come_back_as_they_were() -> None:
    assert value_of(LegOptions, json.loads(json.dumps(plain_of(OPTIONS)))) == (OPTIONS, ())


def test_an_enum_is_read_by_its_value_too() -> None:
    value, _ = value_of(T38Parameters, {"error_correction": "t38UDPFEC"})
    assert value == T38Parameters(error_correction=ErrorCorrection.FEC)


def test_what_another_version_knew_is_told_and_what_it_lacked_has_our_default() -> None:
    assert value_of(T38Parameters, {"version": 2, "colour": True}) == (
        T38Parameters(version=2),
        ("T38Parameters.colour",),
    )


@pytest.mark.parametrize(
    ("plain", "why"),
    [
        (7, "T38Parameters is not a mapping"),
        ({"version": "2"}, "'2' is no int"),
        ({"version": True}, "'True' is no int"),
        ({"error_correction": "magic"}, "'magic' is no ErrorCorrection"),
        ({"max_buffer": 1.5}, "'1.5' is no int"),
    ],
)
def test_what_is_no_such_value_is_refused(plain: object, why: str) -> None:
    with pytest.raises(DecodeError, match=re.escape(why)):
        value_of(T38Parameters, plain)


@pytest.mark.parametrize("plain", [{"t1": float("nan")}, {"t1": 1e300}, {"t1": None}, {"t1": [1.0]}])
def test_times_must_be_numbers_of_this_world(plain: object) -> None:
    with pytest.raises(DecodeError):
        value_of(LegOptions, {"fax": {"timers": plain}})


def test_a_value_without_a_plain_form_is_our_mistake() -> None:
    with pytest.raises(TypeError, match="object has no plain form"):
        plain_of(object())
