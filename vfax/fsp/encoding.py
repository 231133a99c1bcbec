"""The structures of the contract as JSON values, for a boundary that objects cannot cross.

Owns      which member has which type there, for every structure; the refusal of anything else.
Not here  frames and pipes (host/process_wire.py), what the members mean and their ranges (structures.py).

Whatever comes back through `decode` has been checked twice: its members here, their values by the structure itself.
"""

import math
from collections.abc import Callable
from typing import Any, Final, TypeVar

from vfax.fsp.constants import EventId
from vfax.fsp.errors import InvalidField
from vfax.fsp.structures import (
    QWORD_MAX,
    CallFacts,
    FaxDevStatus,
    FaxEvent,
    FaxReceive,
    FaxSend,
    LineMessage,
    SendHints,
    VirtualDevices,
)
from vfax.outcome import Cause, Outcome, Phase, Retry

MAX_TEXT: Final = 65_536
"""Limit: characters of one text."""
MAX_FACT: Final = 4_096
"""Limit: characters of one text of CallFacts and Outcome; a longer one is cut when it is written."""

S = TypeVar("S")
Read = Callable[[object], object]
"""Makes a member from its JSON value. Raises ValueError saying what is expected."""


def _integer(value: object) -> object:
    if type(value) is not int or not 0 <= value <= QWORD_MAX:
        raise ValueError(f"an integer from 0 to {QWORD_MAX:#x} is expected")
    return value


def _number(value: object) -> object:
    if type(value) not in (int, float) or not math.isfinite(value) or value < 0:  # type: ignore[arg-type, operator]
        raise ValueError("a number from 0 is expected")
    return float(value)  # type: ignore[arg-type]


def _flag(value: object) -> object:
    if type(value) is not bool:
        raise ValueError("true or false is expected")
    return value


def _text(limit: int) -> Read:
    def read(value: object) -> object:
        if not isinstance(value, str) or len(value) > limit:
            raise ValueError(f"a text of at most {limit} characters is expected")
        return value

    return read


def _one_of(kind: Callable[[Any], object], read: Read) -> Read:
    """A member of an enum; anything else is a ValueError of its own."""
    return lambda value: kind(read(value))


def _or_nothing(read: Read) -> Read:
    return lambda value: None if value is None else read(value)


def _outcome(value: object) -> object:
    return decode(Outcome, value)


_LONG, _FACT = _text(MAX_TEXT), _text(MAX_FACT)

MEMBERS: Final[dict[type, dict[str, Read]]] = {
    LineMessage: {
        "h_device": _integer,
        "message_id": _integer,
        "callback_instance": _integer,
        "param1": _integer,
        "param2": _integer,
        "param3": _integer,
    },
    FaxDevStatus: {
        "status_id": _integer,
        "string": _or_nothing(_LONG),
        "page_count": _integer,
        "csi": _LONG,
        "caller_id": _LONG,
        "routing_info": _LONG,
        "error_code": _integer,
        "version": _integer,
    },
    FaxReceive: {"file_name": _LONG, "receiver_name": _LONG, "receiver_number": _LONG, "version": _integer},
    FaxSend: {
        "file_name": _LONG,
        "receiver_number": _LONG,
        "caller_name": _LONG,
        "caller_number": _LONG,
        "receiver_name": _LONG,
        "version": _integer,
    },
    FaxEvent: {
        "time_stamp": _integer,
        "device_id": _integer,
        "event_id": _one_of(EventId, _integer),
        "job_id": _integer,
        "version": _integer,
    },
    VirtualDevices: {"device_count": _integer, "device_name_prefix": _LONG, "device_id_prefix": _integer},
    SendHints: {
        "first_page": _integer,
        "max_rate_bps": _integer,
        "ecm": _or_nothing(_flag),
        "subaddress": _LONG,
        "sender_password": _LONG,
    },
    CallFacts: {
        "device_id": _integer,
        "call_id": _FACT,
        "remote_id": _FACT,
        "caller_id": _FACT,
        "caller_name": _FACT,
        "dialled": _FACT,
        "subaddress": _FACT,
        "rate_bps": _integer,
        "ecm": _or_nothing(_flag),
        "coding": _FACT,
        "resolution": _FACT,
        "pages_confirmed": _integer,
        "pages_partial": _integer,
        "next_page": _integer,
        "page": _integer,
        "progress_done": _integer,
        "progress_total": _integer,
        "bad_rows": _integer,
        "packets_lost": _integer,
        "outcome": _or_nothing(_outcome),
        "sentence": _FACT,
        "journal_path": _FACT,
    },
    Outcome: {
        "cause": _one_of(Cause, _FACT),
        "phase": _one_of(Phase, _FACT),
        "pages_confirmed": _integer,
        "pages_partial": _integer,
        "bad_rows": _integer,
        "retry": _one_of(Retry, _FACT),
        "sentence": _FACT,
        "sip_status": _or_nothing(_integer),
        "q850": _or_nothing(_integer),
        "retry_after": _or_nothing(_integer),
        "rate_bps": _integer,
        "ecm": _or_nothing(_flag),
        "coding": _FACT,
        "resolution": _FACT,
        "remote_id": _FACT,
        "duration": _number,
        "sending": _or_nothing(_flag),
        "verdict": _FACT,
        "t30_result": _or_nothing(_integer),
        "evidence": _FACT,
        "encrypted": _flag,
    },
}
"""Every member of every structure, in the order of its definition, and how it is read."""

_CUT: Final = (CallFacts, Outcome)


def encode(structure: object) -> dict[str, object]:
    """The structure as a JSON object with all its members."""
    kind = type(structure)
    limit = MAX_FACT if kind in _CUT else None
    return {name: _plain(getattr(structure, name), limit) for name in MEMBERS[kind]}


def _plain(value: object, limit: int | None) -> object:
    if isinstance(value, str):
        return str(value)[:limit]
    if isinstance(value, Outcome):
        return encode(value)
    if isinstance(value, int) and not isinstance(value, bool):
        return int(value)  # an enum's number
    return value


def decode(kind: type[S], value: object) -> S:
    """Make a structure of its JSON object. Raises InvalidField, naming the member, for anything that is none."""
    members = MEMBERS[kind]
    if not isinstance(value, dict):
        raise InvalidField(kind.__name__, "", f"an object is expected, not {type(value).__name__}")
    for name in sorted(members.keys() ^ value.keys()):
        raise InvalidField(kind.__name__, name[:80], "is missing" if name in members else "is no member")
    read: dict[str, object] = {}
    for name, make in members.items():
        try:
            read[name] = make(value[name])
        except ValueError as why:
            raise InvalidField(kind.__name__, name, str(why)) from None
    return kind(**read)
