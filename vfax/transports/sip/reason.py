"""The Reason header field: why a call ends, in the words of SIP or of the telephone network.

Owns      reading and writing Reason values; the causes of Q.850 with their names.
Not here  what a cause means for a fax (verdict.py), which one we say when (leg_core.py).
Source    RFC 3326 (December 2002); RFC 6432 (Q.850 in responses); RFC 8606 (location); ITU-T Q.850 (05/1998) Table 1.
"""

from collections.abc import Iterable
from dataclasses import dataclass
from typing import Final

from vfax.errors import DecodeError, MisuseError
from vfax.transports.sip.headers import Parameters
from vfax.transports.sip.message import Message
from vfax.transports.sip.syntax import LWS, is_token, legible, parse_number, printable, quote, sayable, split_outside

MAX_REASONS: Final = 8  # Limit: Reason values of one message that are looked at
MAX_TEXT: Final = 200  # Limit: characters of a text that are kept
LARGEST_CAUSE: Final = 999

SIP: Final = "SIP"
Q850: Final = "Q.850"


@dataclass(frozen=True, slots=True)
class Reason:
    """One value: `protocol` is Q.850, SIP, or what else a peer writes; `cause` 0 where it names none."""

    protocol: str
    cause: int
    text: str = ""

    @property
    def value(self) -> str:
        """As it stands in a message. Raises MisuseError for a protocol that is no token."""
        if not is_token(self.protocol) or not 0 <= self.cause <= LARGEST_CAUSE:
            raise MisuseError(f"the reason {self.protocol!r} with cause {self.cause} cannot be sent")
        cause = f";cause={self.cause}" if self.cause else ""
        text = sayable(self.text)[:MAX_TEXT]
        return f"{self.protocol}{cause}{f';text={quote(text)}' if text else ''}"

    @property
    def words(self) -> str:
        """For people: `Q.850 cause 17, user busy`; their text where there is one."""
        name = self.text or (Q850_CAUSES.get(self.cause, "") if self.protocol == Q850 else "")
        number = f"{self.protocol} cause {self.cause}" if self.cause else self.protocol
        return f"{number}, {name}" if name else number


def parse_reason(value: str) -> Reason:
    """Read one value. Raises DecodeError for what is none; a cause that is no number counts as not named.

    Quirk: `Q850`, `q.850` and `ISUP` are seen for Q.850.
    """
    protocol, *parts = split_outside(value, ";")
    protocol = protocol.strip(LWS)
    if not is_token(protocol):
        raise DecodeError("a reason without a protocol", source="RFC 3326 2")
    parameters = Parameters.parse([part for part in parts if part], "RFC 3326 2")
    try:
        cause = parse_number(parameters.get("cause") or "", LARGEST_CAUSE, "cause", "RFC 3326 2")
    except DecodeError:
        cause = 0
    text = printable(legible(parameters.get("text") or ""))[:MAX_TEXT]
    return Reason(_SPELLINGS.get(protocol.upper(), protocol), cause, text)


def reasons_of(message: Message) -> tuple[Reason, ...]:
    """The readable ones among the Reason values of a message."""
    try:
        values = message.headers.values("reason")[:MAX_REASONS]
    except DecodeError:
        return ()
    return tuple(one for value in values if (one := _readable(value)) is not None)


def _readable(value: str) -> Reason | None:
    try:
        return parse_reason(value)
    except DecodeError:
        return None


def q850_in(reasons: Iterable[Reason]) -> int | None:
    """The first cause of Q.850 among them, None where there is none."""
    return next((one.cause for one in reasons if one.protocol == Q850 and one.cause), None)


def words_of(reasons: Iterable[Reason]) -> str:
    """All of them for people, "" for none."""
    return "; ".join(one.words for one in reasons)[: 2 * MAX_TEXT]


_SPELLINGS: Final = {"Q.850": Q850, "Q850": Q850, "ISUP": Q850, "SIP": SIP}

Q850_CAUSES: Final[dict[int, str]] = {
    1: "unallocated number",
    2: "no route to the transit network",
    3: "no route to the destination",
    4: "send special information tone",
    5: "misdialled trunk prefix",
    6: "channel unacceptable",
    7: "call awarded and being delivered in an established channel",
    8: "preemption",
    9: "preemption, circuit reserved for reuse",
    14: "query on release, number ported",
    16: "normal call clearing",
    17: "user busy",
    18: "no user responding",
    19: "no answer from the user",
    20: "subscriber absent",
    21: "call rejected",
    22: "number changed",
    23: "redirection to a new destination",
    24: "call rejected due to a feature at the destination",
    25: "exchange routing error",
    26: "non-selected user clearing",
    27: "destination out of order",
    28: "invalid number format",
    29: "facility rejected",
    30: "response to a status enquiry",
    31: "normal, unspecified",
    34: "no circuit or channel available",
    38: "network out of order",
    39: "permanent connection out of service",
    40: "permanent connection operational",
    41: "temporary failure",
    42: "switching equipment congestion",
    43: "access information discarded",
    44: "requested circuit or channel not available",
    46: "precedence call blocked",
    47: "resource unavailable",
    49: "quality of service not available",
    50: "requested facility not subscribed",
    52: "outgoing calls barred",
    53: "outgoing calls barred within the closed user group",
    54: "incoming calls barred",
    55: "incoming calls barred within the closed user group",
    57: "bearer capability not authorized",
    58: "bearer capability not presently available",
    62: "inconsistent access information",
    63: "service or option not available",
    65: "bearer capability not implemented",
    66: "channel type not implemented",
    69: "requested facility not implemented",
    70: "only restricted digital information is available",
    79: "service or option not implemented",
    81: "invalid call reference",
    82: "identified channel does not exist",
    83: "suspended call exists, but not this identity",
    84: "call identity in use",
    85: "no call suspended",
    86: "call with this identity has been cleared",
    87: "user not a member of the closed user group",
    88: "incompatible destination",
    90: "closed user group does not exist",
    91: "invalid transit network selection",
    95: "invalid message",
    96: "mandatory information is missing",
    97: "message type does not exist",
    98: "message does not fit the call state",
    99: "information element does not exist",
    100: "invalid contents of an information element",
    101: "message does not fit the call state",
    102: "recovery on timer expiry",
    103: "parameter does not exist, passed on",
    110: "message with an unknown parameter discarded",
    111: "protocol error",
    127: "interworking, unspecified",
}
