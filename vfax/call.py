"""What a device may expect of a network: calls in, calls out, and what they tell.

Owns      the protocols `Network`, `InboundCall` and `OutboundCall`, the events of a call, the request to send.
Not here  the classes that fulfil them: endpoint.py (network), calls.py (calls).
"""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol, runtime_checkable

import trio

from vfax.outcome import Outcome


@dataclass(frozen=True, slots=True)
class Dialing:
    """The INVITE has left."""


@dataclass(frozen=True, slots=True)
class Ringing:
    """The other side rings (180 or 183)."""


@dataclass(frozen=True, slots=True)
class Answered:
    """The call is up; no fax signal has been seen yet."""


@dataclass(frozen=True, slots=True)
class Identified:
    """The peer said who it is (CSI when sending, TSI when receiving)."""

    remote_id: str


@dataclass(frozen=True, slots=True)
class Negotiated:
    """Mode of the pages that follow, in words for people and records."""

    rate_bps: int
    ecm: bool
    coding: str
    resolution: str


@dataclass(frozen=True, slots=True)
class PageBegun:
    """Page `number` (from 1) is on the line."""

    number: int


@dataclass(frozen=True, slots=True)
class PageMoving:
    """Live progress inside a page: rows so far (receiving; total 0), or octets of total (sending)."""

    number: int
    done: int
    total: int


@dataclass(frozen=True, slots=True)
class PageDone:
    """Page `number` is confirmed."""

    number: int


@dataclass(frozen=True, slots=True)
class Addressed:
    """The caller said whom the fax is for behind the number (SUB)."""

    subaddress: str


CallEvent = Dialing | Ringing | Answered | Identified | Addressed | Negotiated | PageBegun | PageMoving | PageDone

Publish = Callable[[CallEvent], None]
"""Called synchronously from the call's task; must not block and must not raise."""


@dataclass(frozen=True, slots=True, kw_only=True)
class SendRequest:
    """What a device asks the network to send. `document` is a TIFF Class F file."""

    document: Path
    destination: str  # SIP URI
    local_id: str  # our TSI
    caller_name: str
    first_page: int = 1  # pages before were confirmed in an earlier call
    max_rate_bps: int = 0  # 0: as the network has it
    ecm: bool | None = None  # None: as the network has it
    subaddress: str = ""  # SUB
    sender_password: str = ""  # SID
    header: bool = False  # a line on top of each page: when, from, to, which page
    header_timezone: str = ""  # of its time: an IANA name, "" for this machine's


@dataclass(frozen=True, slots=True, kw_only=True)
class Offered:
    """A document that callers may poll. `document` is a TIFF Class F file; empty texts ask the caller for nothing."""

    document: Path
    local_id: str  # our CSI
    name: str
    poll_address: str = ""  # SEP that the caller must say
    poll_password: str = ""  # PWD that the caller must say
    header: bool = False
    header_timezone: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class PollRequest:
    """What to ask another machine for: the document it holds ready, or the one behind `poll_address`."""

    destination: str  # SIP URI
    local_id: str  # our CIG
    caller_name: str
    poll_address: str = ""  # SEP
    poll_password: str = ""  # PWD


class InboundCall(Protocol):
    """A call that has not been answered yet. Exactly one of refuse() and receive() ends its waiting.

    `ended_early` is set when the call ends before the answer (CANCEL, timeout, shutdown): receive() then returns at
    once with the outcome. `journal_path` is where its journal is, or None.
    """

    id: str
    journal_path: Path | None
    caller: str
    caller_name: str
    dialled: str
    ended_early: trio.Event

    def note(self, kind: str, **facts: str | int) -> None:
        """Add a line to the call's journal; never raises, and does nothing once the journal is closed."""

    def ring(self) -> None:
        """Tell the caller that it rings (180). May be said again."""

    def refuse(self, status: int) -> None:
        """Refuse with a SIP status: 486 no line free, 480 nobody answers, 603 unwanted."""

    async def receive(self, target: Path, *, local_id: str, publish: Publish) -> Outcome:
        """Answer, receive all pages into `target` (an existing file, filled as TIFF Class F), hang up.

        Every page is durable before the peer hears its confirmation: it is kept beside `target` in
        `<target>.pages/` until the whole file has replaced `target`. Returns an outcome; never raises for what the
        peer did. Cancelling the surrounding scope hangs up.
        """
        ...

    def abort(self) -> None:
        """Latched and immediate, from any phase: receive() ends with Cause.ABORTED within a second."""


class OutboundCall(Protocol):
    """A call to be made. `journal_path` is where its journal will be, or None."""

    id: str
    journal_path: Path | None

    def note(self, kind: str, **facts: str | int) -> None:
        """As of InboundCall; before send() there is no journal yet."""

    async def send(self, request: SendRequest, *, publish: Publish) -> Outcome:
        """Dial, send every page, hang up. Returns an outcome; raises DocumentError before dialling only."""
        ...

    def abort(self) -> None:
        """As of InboundCall."""


class Network(Protocol):
    """Where a device's calls come from and go to: one SIP endpoint."""

    async def run(
        self,
        on_call: Callable[[InboundCall], None],
        *,
        task_status: trio.TaskStatus[None] = trio.TASK_STATUS_IGNORED,
    ) -> None:
        """Serve until cancelled. `on_call` is called synchronously for each new call and must ring or refuse soon.

        Raises LinkError when the address cannot be bound (the message says which and by whom if known).
        """

    def outbound(self) -> OutboundCall:
        """A fresh outgoing call."""
        ...

    @property
    def address(self) -> tuple[str, int]:
        """The bound host and port, once `task_status.started` was called."""
        ...


Rows = Sequence[Mapping[str, object]]
"""What is shown of a network: objects as JSON has them."""


@runtime_checkable
class TalkingNetwork(Protocol):
    """A network that has sentences for the operator: `watch_notices` is called with each, at once and from any task."""

    watch_notices: Callable[[str], None]


@runtime_checkable
class TrunkNetwork(Protocol):
    """A network whose calls go through trunks, and which remembers what its peers are like."""

    def trunk_rows(self) -> Rows:
        """How every trunk fares (`trunks.board.TrunkRow`); from the network's own task."""
        ...

    def peer_rows(self) -> Rows:
        """What is remembered of peers (`learning.PeerRow`); from the network's own task."""
        ...

    async def forget_peers(self, peer: str, number: str) -> int:
        """Forget what is remembered of a peer and number, "" for any; how many entries that were."""
        ...
