"""Exit codes of the vfax command: one number for each kind of ending, the same for people, scripts and the manual.

Owns      the table. Not here: the sentence that says what happened (outcome.py, host/records.py).
"""

from dataclasses import dataclass
from typing import Final

from vfax.outcome import Cause

OK: Final = 0
INTERNAL: Final = 1
USAGE: Final = 2
DOCUMENT: Final = 3
STORAGE: Final = 4
CANNOT_LISTEN: Final = 5
SERVICE: Final = 6
TRUNK: Final = 7
INTERRUPTED: Final = 130


@dataclass(frozen=True, slots=True)
class Exit:
    """One row: the code, what it means, and the causes of a failed fax that lead to it."""

    code: int
    meaning: str
    causes: tuple[Cause, ...] = ()


TABLE: Final = (
    Exit(OK, "delivered: every page was confirmed", (Cause.COMPLETE,)),
    Exit(INTERNAL, "a fault inside vfax", (Cause.INTERNAL,)),
    Exit(USAGE, "wrong usage or settings; nothing was dialled"),
    Exit(DOCUMENT, "the document cannot be read or sent", (Cause.DOCUMENT,)),
    Exit(STORAGE, "a page or record could not be stored", (Cause.STORAGE,)),
    Exit(CANNOT_LISTEN, "the address to listen on cannot be used"),
    Exit(SERVICE, "the fax service cannot be reached, or it refused"),
    Exit(TRUNK, "a trunk is down, or failed its test"),
    Exit(10, "busy", (Cause.BUSY,)),
    Exit(11, "nobody answered", (Cause.NO_ANSWER,)),
    Exit(12, "the number or address does not exist", (Cause.BAD_ADDRESS,)),
    Exit(13, "the call was rejected", (Cause.REJECTED,)),
    Exit(14, "no line was free on this side", (Cause.LINE_UNAVAILABLE,)),
    Exit(15, "the other side refused T.38", (Cause.T38_REFUSED,)),
    Exit(16, "the other side is no fax machine", (Cause.NOT_FAX,)),
    Exit(17, "the network failed", (Cause.NETWORK,)),
    Exit(18, "the fax could not be encrypted (DTLS)", (Cause.ENCRYPTION,)),
    Exit(
        20,
        "the other side fell silent",
        (Cause.T1_EXPIRED, Cause.NO_COMMAND, Cause.NO_RESPONSE, Cause.NO_CARRIER),
    ),
    Exit(21, "training failed at every rate", (Cause.CANNOT_TRAIN,)),
    Exit(22, "the two machines have no mode in common", (Cause.INCOMPATIBLE,)),
    Exit(23, "a page did not arrive well enough", (Cause.PAGE_REFUSED, Cause.ECM_FAILED)),
    Exit(24, "the other side hung up too early", (Cause.PEER_DISCONNECTED, Cause.PEER_HUNG_UP)),
    Exit(25, "the last page's confirmation never came; it may have arrived", (Cause.UNCERTAIN,)),
    Exit(26, "a limit was reached", (Cause.LIMIT,)),
    Exit(27, "aborted", (Cause.ABORTED,)),
    Exit(INTERRUPTED, "interrupted by Ctrl-C (vfax serve: 0 when its calls ended in peace)"),
)

_CODE_OF_CAUSE: Final = {cause: row.code for row in TABLE for cause in row.causes}


def code_of(cause: Cause) -> int:
    """The exit code of a fax that ended this way."""
    return _CODE_OF_CAUSE[cause]


def help_text() -> str:
    """The table as the help shows it: one line a row, in a block that is not re-wrapped."""
    return "\b\nExit codes:\n" + "\n".join(f"{row.code:>4}  {row.meaning}" for row in TABLE)
