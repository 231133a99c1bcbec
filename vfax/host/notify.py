"""Clients' notifications: who is told of which event, in which of the two ways, and for how long.

Owns      the session, connections (FaxHandle), registrations in both delivery modes, leases, and handing events out.
Not here  which happening is which event (event_table.py), sockets and streams (api/), the time (an argument).
Source    FaxInitializeEventQueue, FaxClose, FAX_EVENT, WM_FAX_MESSAGE, "Receiving Notification Messages from the Fax
          Service". What the documents leave open, and how it is settled here, is in docs/notifications.md.

A completion packet is a FAX_EVENT posted to a port under a key. A message is a call of a sink with three numbers:
`message_start` + event, device id, job id; it has no time. Everything here runs on the host's one task; a sink may call
back into the hub while it is being told.
"""

from collections import OrderedDict, deque
from collections.abc import Callable
from dataclasses import dataclass
from enum import StrEnum
from typing import Final, Protocol

from vfax.fsp.completion import EventKey
from vfax.fsp.constants import DWORD_MAX, FEI_NEVENTS, EventId
from vfax.fsp.errors import (
    FaxServiceError,
    InvalidData,
    InvalidHandle,
    InvalidParameter,
    NotReady,
    OutOfResources,
    PortClosed,
)
from vfax.fsp.structures import QWORD_MAX, FaxEvent
from vfax.host.event_table import Narrator, Notice
from vfax.host.events import HostEvent

WM_USER: Final = 0x0400
LOGOFF_KEY: Final = 1
"""The CompletionKey that, beside a sink, says that its client logs off. Beside a port it is a key like any other."""

Sink = Callable[[int, int, int], object]
"""Stands for a window: called with message number, device id and job id. One that raises is a window that is gone."""


MAX_REMEMBERED: Final = 100
"""Limit: ended registrations whose reason can still be asked for."""
MAX_REMEMBERED_PROCESSES: Final = 100_000
"""Limit: clients of which it is remembered that they have registered in this session."""


class EventPort(Protocol):
    """What takes completion packets: a CompletionPort, or anything with its `post`."""

    def post(self, key: EventKey, message: FaxEvent, /) -> None:
        """Take a packet without waiting; raise FaxServiceError when it cannot be taken."""


class Profile(StrEnum):
    """Which Windows' rule a second registration of one client meets."""

    WIN2000 = "win2000"  # refused, ERROR_INVALID_DATA
    XP = "xp"  # taken, and each event comes twice


class Account(StrEnum):
    """Under which account the host runs: this decides how messages reach a client's desktop."""

    SYSTEM = "system"
    USER = "user"


class Mode(StrEnum):
    """The two ways of delivery."""

    PACKETS = "packets"
    MESSAGES = "messages"


class State(StrEnum):
    """Where a session is. Clients may register from the first moment, so that they see FEI_FAXSVC_STARTED."""

    STARTING = "starting"
    RUNNING = "running"
    ENDED = "ended"


@dataclass(frozen=True, slots=True, kw_only=True)
class HubOptions:
    """Rules and limits. `desktop` is the host's own: only under the system account does it matter who shares it."""

    profile: Profile = Profile.WIN2000
    account: Account = Account.USER
    allow_interact: bool = False
    desktop: str = ""
    max_handles: int = 1_000
    max_handles_per_name: int = 250  # of one user or token, in however many processes
    max_registrations: int = 1_000
    max_registrations_per_client: int = 16
    max_kept: int = 10_000  # events that can be read again; who falls further behind is dropped


@dataclass(frozen=True, slots=True, kw_only=True)
class Client:
    """A program that uses the service. `process` tells it from all others, `name` is who runs it.

    `local`: it is on this machine. `desktop`: where its windows are, in the host's words.
    """

    process: str
    name: str = ""
    local: bool = True
    desktop: str = ""


@dataclass(slots=True, eq=False)
class Connection:
    """A FaxHandle: what FaxConnectFaxServer gave."""

    id: str
    client: Client
    opened_at: int
    open: bool = True


@dataclass(slots=True, eq=False)
class Lease:
    """What stands for the impersonation token: while it is open, the host holds the client's desktop."""

    id: str
    client: Client
    sink: Sink
    opened_at: int


@dataclass(slots=True, eq=False)
class Registration:
    """One successful FaxInitializeEventQueue. `ended` is the reason why it is over, "" while it lives."""

    id: str
    client: Client
    mode: Mode
    key: EventKey | None
    message_start: int
    opened_at: int
    port: EventPort | None = None
    sink: Sink | None = None
    warnings: tuple[str, ...] = ()
    crosses: bool = True  # False: its messages do not reach the client's desktop
    delivered: int = 0
    since: int = 0  # the number of the last event before it
    until: int | None = None  # the number of the last event that was for it, once it is over
    ended: str = ""
    on_end: Callable[[str], None] | None = None


ENDED_WITH_SERVICE: Final = "The fax service has ended (FEI_FAXSVC_ENDED): register again when it runs again."
LOGGED_OFF: Final = "The client has logged off."
SINK_DIED: Final = "The client's window is gone: a message could not be delivered."
PORT_CLOSED: Final = "The client has closed its completion port."
TOO_SLOW: Final = "The client read too slowly: no room was left for its events."
CLIENT_GONE: Final = "The client's process has ended."
ASKED: Final = "The client has asked for its end."


class Hub:
    """All clients of one session of the host. `now` gives a FILETIME, `new_id` a name that nobody can guess."""

    def __init__(
        self,
        session: str,
        *,
        now: Callable[[], int],
        new_id: Callable[[], str],
        options: HubOptions | None = None,
    ) -> None:
        self.session = session
        self.state = State.STARTING
        self.options = options or HubOptions()
        self.published = 0
        self.connected = 0  # how often FaxConnectFaxServer has succeeded
        self._now = now
        self._new_id = new_id
        self._narrator = Narrator()
        self._connections: dict[str, Connection] = {}
        self._registrations: dict[str, Registration] = {}
        self._leases: dict[str, Lease] = {}
        self._registered: OrderedDict[str, None] = OrderedDict()  # processes that have registered in this session
        self._over: deque[Registration] = deque(maxlen=MAX_REMEMBERED)
        self._waiting: deque[FaxEvent] = deque()
        self._kept: deque[tuple[int, FaxEvent]] = deque(maxlen=self.options.max_kept)
        self._wakers: list[Callable[[], None]] = []
        self._telling = False

    # --- what the host says ------------------------------------------------------------------------

    def hear(self, event: HostEvent) -> None:
        """An Observer of the host: tell clients what concerns them. Never raises."""
        notice = self._narrator.tell(event)
        if notice is not None:
            self.publish(notice)

    def publish(self, notice: Notice) -> None:
        """Tell every registration. FEI_FAXSVC_ENDED is the last: it ends registrations, leases and connections."""
        if self.state is State.ENDED:
            return
        if notice.event_id is EventId.FEI_FAXSVC_STARTED:
            self.state = State.RUNNING
        elif notice.event_id is EventId.FEI_FAXSVC_ENDED:
            self.state = State.ENDED
        self._waiting.append(FaxEvent(self._now() & QWORD_MAX, notice.device_id, notice.event_id, notice.job_id))
        if not self._telling:  # else a sink made this happen: its turn comes after the present event
            self._tell_waiting()

    def _tell_waiting(self) -> None:
        self._telling = True
        try:
            while self._waiting:
                event = self._waiting.popleft()
                self.published += 1
                self._kept.append((self.published, event))
                for registration in tuple(self._registrations.values()):
                    self._deliver(registration, event)
        finally:
            self._telling = False
        if self.state is State.ENDED:
            self._end_all()
        for wake in self._wakers:
            wake()

    def _deliver(self, registration: Registration, event: FaxEvent) -> None:
        if registration.ended or not registration.crosses:
            return
        try:
            if registration.port is not None and registration.key is not None:
                registration.port.post(registration.key, event)
            elif registration.sink is not None:
                registration.sink(registration.message_start + event.event_id, event.device_id, event.job_id)
        except Exception as why:  # a client's own code must not cost the host anything
            self._end(registration, _reason(registration, why))
        else:
            registration.delivered += 1

    def after(self, number: int, most: int) -> list[tuple[int, FaxEvent]]:
        """The events behind event `number` of this session, with their numbers: at most so many of them.

        Raises OutOfResources when some of them are not kept any more: the reader was too slow.
        """
        if number >= self.published:
            return []
        missing = self.published - number
        if missing > len(self._kept):
            raise OutOfResources(f"events {number + 1} to {self.published - len(self._kept)} are not kept any more")
        first = len(self._kept) - missing
        return [self._kept[at] for at in range(first, first + min(missing, most))]

    def wake(self, waker: Callable[[], None]) -> None:
        """Call `waker` after each event and when a registration is over; it must be quick and must not raise."""
        self._wakers.append(waker)

    def _end_all(self) -> None:
        for registration in tuple(self._registrations.values()):
            self._end(registration, ENDED_WITH_SERVICE)
        self._leases.clear()
        for connection in self._connections.values():
            connection.open = False
        self._connections.clear()

    # --- connections -------------------------------------------------------------------------------

    def connect(self, client: Client) -> Connection:
        """FaxConnectFaxServer. Raises NotReady after the end of the session, OutOfResources beyond the limit."""
        if self.state is State.ENDED:
            raise NotReady("the fax service has ended: connect again when it runs again")
        if len(self._connections) >= self.options.max_handles:
            raise OutOfResources(f"{self.options.max_handles} connections are open, which is the limit here")
        most, whose = self.options.max_handles_per_name, client.name or "nobody in particular"
        if sum(one.client.name == client.name for one in self._connections.values()) >= most:
            raise OutOfResources(f"{most} connections of {whose} are open, which is the limit for one: close some")
        connection = Connection(self._new_id(), client, self._now())
        self._connections[connection.id] = connection
        self.connected += 1
        return connection

    def find(self, connection_id: str) -> Connection:
        """The open connection of that id. Raises InvalidHandle."""
        try:
            return self._connections[connection_id]
        except (KeyError, TypeError):
            raise InvalidHandle("this connection is not open: connect first") from None

    def close(self, connection: Connection) -> None:
        """FaxClose: the handle is dead. Notifications go on. Raises InvalidHandle for one that is closed already."""
        self._check(connection)
        connection.open = False
        del self._connections[connection.id]

    def client_gone(self, process: str) -> None:
        """The client's process has ended: close all it had. Harmless when it had nothing."""
        for registration in [one for one in self._registrations.values() if one.client.process == process]:
            self._end(registration, CLIENT_GONE)
        for lease in [one for one in self._leases.values() if one.client.process == process]:
            del self._leases[lease.id]
        for connection in [one for one in self._connections.values() if one.client.process == process]:
            connection.open = False
            del self._connections[connection.id]
        self._registered.pop(process, None)

    def _check(self, handle: object) -> Connection:
        if handle is None:
            raise InvalidParameter("FaxHandle: NULL; connect first")
        if not isinstance(handle, Connection) or not handle.open:
            raise InvalidHandle("FaxHandle: this connection is not open")
        return handle

    # --- registrations -----------------------------------------------------------------------------

    def initialize_event_queue(
        self,
        handle: Connection | None,
        *,
        port: EventPort | None = None,
        key: EventKey | int | None = None,
        sink: Sink | None = None,
        message_start: int = 0,
        on_end: Callable[[str], None] | None = None,
    ) -> Registration | None:
        """FaxInitializeEventQueue: exactly one of `port` (with `key`) and `sink` (with `message_start`) is given.

        A sink with key 1 logs off: its lease is closed, nothing is delivered any more, and None is returned; this may
        be said again. `on_end` is told, once, why a registration is over. Raises InvalidParameter, InvalidHandle,
        InvalidData (a second registration, profile win2000), OutOfResources.
        """
        connection = self._check(handle)
        if (port is None) == (sink is None):
            both = "neither CompletionPort nor hWnd is" if port is None else "CompletionPort and hWnd are both"
            raise InvalidParameter(f"{both} given: say one of them")
        if sink is not None:
            self._check_messages(connection.client, sink, key)
            if _number(key) == LOGOFF_KEY:
                self._log_off(connection.client, sink)
                return None
            warnings = check_message_start(message_start)
            wanted = self._new(connection.client, Mode.MESSAGES, None, message_start, on_end)
            wanted.sink, wanted.warnings, wanted.crosses = sink, warnings, self._crosses(connection.client)
        else:
            wanted = self._new(connection.client, Mode.PACKETS, _event_key(key), 0, on_end)
            wanted.port = _check_packets(port, message_start)
        self._take(wanted)
        return wanted

    def _new(
        self, client: Client, mode: Mode, key: EventKey | None, start: int, on_end: Callable[[str], None] | None
    ) -> Registration:
        made = Registration(self._new_id(), client, mode, key, start, self._now(), on_end=on_end)
        made.since = self.published
        return made

    def _take(self, registration: Registration) -> None:
        client = registration.client
        if client.process in self._registered and self.options.profile is Profile.WIN2000:
            raise InvalidData("this client has registered in this session of the fax service already")
        self._check_room(client)
        self._registered[client.process] = None
        if len(self._registered) > MAX_REMEMBERED_PROCESSES:
            self._registered.popitem(last=False)
        self._registrations[registration.id] = registration
        if registration.sink is not None and self.options.account is Account.USER:
            self._open_lease(client, registration.sink)

    def _check_room(self, client: Client) -> None:
        theirs = max(
            sum(one.client.process == client.process for one in self._registrations.values()),
            sum(one.client.process == client.process for one in self._leases.values()),  # its sinks may have died
        )
        for count, limit in (
            (theirs, self.options.max_registrations_per_client),
            (len(self._registrations), self.options.max_registrations),
        ):
            if count >= limit:
                raise OutOfResources(f"{limit} registrations are there, which is the limit here")

    @staticmethod
    def _check_messages(client: Client, sink: object, key: EventKey | int | None) -> None:
        if not callable(sink):
            raise InvalidParameter(f"hWnd: {type(sink).__name__} cannot be called")
        if not client.local:
            raise InvalidParameter("hWnd: messages are for clients on this machine; a remote one takes packets")
        if _number(key) not in (0, LOGOFF_KEY):
            raise InvalidParameter("CompletionKey: with a window it is NULL, or 1 to log off")

    def _crosses(self, client: Client) -> bool:
        """Messages reach another desktop with the client's token, or where the service may interact with it."""
        if self.options.account is Account.USER:
            return True
        return self.options.allow_interact or client.desktop == self.options.desktop

    def _open_lease(self, client: Client, sink: Sink) -> None:
        if not any(lease.client.process == client.process and lease.sink == sink for lease in self._leases.values()):
            lease = Lease(self._new_id(), client, sink, self._now())
            self._leases[lease.id] = lease

    def _log_off(self, client: Client, sink: Sink) -> None:
        for registration in tuple(self._registrations.values()):
            if registration.client.process == client.process and registration.sink == sink:
                self._end(registration, LOGGED_OFF)
        for lease in tuple(self._leases.values()):
            if lease.client.process == client.process and lease.sink == sink:
                del self._leases[lease.id]

    def end(self, registration: Registration, why: str = ASKED) -> None:
        """End one registration; harmless when it is over. Its lease stays until the client logs off."""
        self._end(registration, why)

    def _end(self, registration: Registration, why: str) -> None:
        if registration.ended:
            return
        registration.ended, registration.until = why, self.published
        self._registrations.pop(registration.id, None)
        self._over.append(registration)
        if registration.on_end is not None:
            registration.on_end(why)
        if not self._telling:
            for wake in self._wakers:
                wake()

    # --- looking -----------------------------------------------------------------------------------

    @property
    def connections(self) -> tuple[Connection, ...]:
        """Open connections, oldest first. While there is one, an idle host must not end itself."""
        return tuple(self._connections.values())

    @property
    def registrations(self) -> tuple[Registration, ...]:
        """Living registrations, oldest first."""
        return tuple(self._registrations.values())

    @property
    def over(self) -> tuple[Registration, ...]:
        """The newest of those that have ended, with their reasons."""
        return tuple(self._over)

    @property
    def leases(self) -> tuple[Lease, ...]:
        """Open leases, oldest first."""
        return tuple(self._leases.values())


def check_message_start(message_start: object) -> tuple[str, ...]:
    """Refuse a base number that messages cannot have; returns what to warn of. Raises InvalidParameter."""
    highest = DWORD_MAX - FEI_NEVENTS
    if not isinstance(message_start, int) or isinstance(message_start, bool):
        raise InvalidParameter(f"MessageStart: an integer is expected, not {type(message_start).__name__}")
    if not WM_USER <= message_start <= highest:
        raise InvalidParameter(f"MessageStart: {message_start} is outside {WM_USER:#x} (WM_USER)..{highest:#x}")
    if message_start == WM_USER:  # one page wants it above, the error list refuses only what is below
        return ("MessageStart equals WM_USER; a number above it is expected",)
    return ()


def event_of_message(message: int, message_start: int) -> EventId | None:
    """The event a message stands for: message - message_start, 1 to FEI_NEVENTS inclusive; None for other messages."""
    event_id = message - message_start
    return EventId(event_id) if 1 <= event_id <= FEI_NEVENTS else None


def _check_packets(port: object, message_start: object) -> EventPort:
    if not callable(getattr(port, "post", None)):
        raise InvalidParameter(f"CompletionPort: {type(port).__name__} takes no packets")
    if message_start != 0 or isinstance(message_start, bool):
        raise InvalidParameter("MessageStart: with a completion port it is 0")
    found: EventPort = port  # type: ignore[assignment]
    return found


def _event_key(key: object) -> EventKey:
    if isinstance(key, EventKey):
        return key
    return EventKey(str(_number(key)))


def _number(key: object) -> int:
    """A key as a number: None is 0; an EventKey, which no number equals, is -1. Raises InvalidParameter."""
    if key is None:
        return 0
    if isinstance(key, EventKey):
        return -1
    if not isinstance(key, int) or isinstance(key, bool) or not 0 <= key <= QWORD_MAX:
        raise InvalidParameter(f"CompletionKey: an EventKey or a number within 0..{QWORD_MAX:#x} is expected")
    return key


def _reason(registration: Registration, why: Exception) -> str:
    if registration.mode is Mode.MESSAGES:
        return SINK_DIED
    if isinstance(why, PortClosed) or not isinstance(why, FaxServiceError):
        return PORT_CLOSED
    return TOO_SLOW
