"""Completion ports: how a provider talks to its host, and a host to its clients.

Owns      keys, packets, `CompletionPort`: post and get from any thread, first in first out, bounded, with a
          wake-up hook.
Not here  waiting from trio (vfax/ports.py).
Source    PostQueuedCompletionStatus; FaxDevVirtualDeviceCreation (the ring packet); FaxDevStartJob (status packets).

A port never blocks the poster: a provider posts from inside Send while the host waits for Send, so a blocking put
could stop both. A full port makes room among progress packets instead; rings, events and final statuses are kept.
"""

import threading
from collections import OrderedDict, deque
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Final

from vfax.fsp.constants import LineDevState, is_progress
from vfax.fsp.errors import InvalidField, InvalidParameter, PortClosed, PortFull
from vfax.fsp.structures import FaxDevStatus, FaxEvent, LineMessage

Message = LineMessage | FaxDevStatus | FaxEvent
Waker = Callable[[], None]
"""Called after each post and on close, in the poster's thread, outside the lock; must be quick and must not raise."""


@dataclass(frozen=True, slots=True, eq=False)
class CompletionKey:
    """An opaque key, equal to itself alone. It is the only routing information of a packet; `label` is for people."""

    label: str = ""


@dataclass(frozen=True, slots=True, eq=False)
class RingKey(CompletionKey):
    """Key of one source of rings: takes LineMessage."""


@dataclass(frozen=True, slots=True, eq=False)
class StatusKey(CompletionKey):
    """Key of one job: takes FaxDevStatus."""


@dataclass(frozen=True, slots=True, eq=False)
class EventKey(CompletionKey):
    """Key of one client registration: takes FaxEvent."""


@dataclass(frozen=True, slots=True)
class Packet:
    """What leaves a port: the key it was posted under and the message, untouched."""

    key: CompletionKey
    message: Message


TAKES: Final[dict[type[CompletionKey], type[Message]]] = {
    RingKey: LineMessage,
    StatusKey: FaxDevStatus,
    EventKey: FaxEvent,
}
"""Which message may be posted under which key."""

RING_FIELDS: Final[dict[str, int]] = {
    "message_id": 0,  # 0 in TAPI is LINE_ADDRESSSTATE: the host knows a ring by its key
    "callback_instance": 0,
    "param1": LineDevState.LINEDEVSTATE_RINGING,
    "param2": 0,
    "param3": 0,
}
"""The members of a ring packet besides `h_device` (FaxDevVirtualDeviceCreation, remarks)."""


def check_packet(key: CompletionKey, message: Message) -> None:
    """Raise InvalidField or InvalidParameter unless `message` may be posted under `key`."""
    expected = TAKES.get(type(key))
    if expected is None:
        raise InvalidParameter(f"CompletionKey: {type(key).__name__} is neither RingKey, StatusKey nor EventKey")
    if not isinstance(message, expected):
        taken = f"{type(key).__name__} takes {expected.__name__}, not {type(message).__name__}"
        raise InvalidField("Packet", "message", taken)
    if isinstance(message, LineMessage):
        _check_ring(message)


def _check_ring(ring: LineMessage) -> None:
    if ring.h_device == 0:
        raise InvalidField("LineMessage", "h_device", "0 is no device")
    for field, expected in RING_FIELDS.items():
        if getattr(ring, field) != expected:
            raise InvalidField("LineMessage", field, f"{getattr(ring, field):#x} in a ring, {expected:#x} is expected")


class CompletionPort:
    """A bounded first-in-first-out queue of packets for any number of posting and reading threads.

    `capacity` packets are held; when it is full, the older of two progress statuses of one key makes room (the key of
    the new packet first), and a progress status for which that fails is refused. `reserve` places more are kept for
    rings, events and final statuses, so that these are refused only when both are full.

    Limit: capacity + reserve packets.
    """

    def __init__(self, capacity: int = 1024, *, reserve: int = 1024) -> None:
        if capacity < 1 or reserve < 0:
            raise InvalidParameter(f"capacity {capacity} and reserve {reserve}: at least 1 and 0 are expected")
        self._capacity = capacity
        self._reserve = reserve
        self._condition = threading.Condition()
        self._packets: OrderedDict[int, Packet] = OrderedDict()
        self._progress: dict[CompletionKey, deque[int]] = {}  # places of the progress packets of each key
        self._crowded: dict[CompletionKey, None] = {}  # keys with more than one of them, oldest first
        self._posted = 0
        self._coalesced = 0
        self._closed = False
        self._wakers: list[Waker] = []

    def post(self, key: CompletionKey, message: Message) -> None:
        """Queue `message` under `key`; never waits.

        Raises InvalidField (wrong member, wrong type for the key), PortClosed, PortFull. After an error the packet
        still belongs to the poster.
        """
        check_packet(key, message)
        with self._condition:
            if self._closed:
                raise PortClosed("the completion port is closed")
            progress = isinstance(message, FaxDevStatus) and is_progress(message.status_id)
            self._make_room(key, progress=progress)
            self._append(Packet(key, message), progress=progress)
            self._condition.notify()
            wakers = tuple(self._wakers)
        for wake in wakers:
            wake()

    def get(self, timeout: float | None = None) -> Packet | None:
        """Take the oldest packet, waiting up to `timeout` seconds (None: for ever). None: no packet came in time.

        Raises PortClosed once the port is closed and empty. Blocks its thread: from trio use vfax.ports.get_packet.
        """
        with self._condition:
            self._condition.wait_for(self._readable, timeout)
            return self._take()

    def get_nowait(self) -> Packet | None:
        """Take the oldest packet, or None. Raises PortClosed once the port is closed and empty."""
        with self._condition:
            return self._take()

    def close(self) -> None:
        """Refuse further posts; what is queued can still be taken. May be said again."""
        with self._condition:
            self._closed = True
            self._condition.notify_all()
            wakers = tuple(self._wakers)
        for wake in wakers:
            wake()

    @contextmanager
    def waking(self, wake: Waker) -> Iterator[None]:
        """Call `wake` after every post and on close, as long as the block runs. Look at the port after entering."""
        with self._condition:
            self._wakers.append(wake)
        try:
            yield
        finally:
            with self._condition:
                self._wakers.remove(wake)

    def __len__(self) -> int:
        return len(self._packets)

    @property
    def coalesced(self) -> int:
        """Progress packets that made room for later ones."""
        return self._coalesced

    @property
    def closed(self) -> bool:
        """True after close()."""
        return self._closed

    def _readable(self) -> bool:
        return bool(self._packets) or self._closed

    def _take(self) -> Packet | None:
        if not self._packets:
            if self._closed:
                raise PortClosed("the completion port is closed")
            return None
        place, packet = self._packets.popitem(last=False)
        places = self._progress.get(packet.key)
        if places and places[0] == place:
            self._forget_oldest(packet.key)
        return packet

    def _append(self, packet: Packet, *, progress: bool) -> None:
        self._posted += 1
        self._packets[self._posted] = packet
        if progress:
            places = self._progress.setdefault(packet.key, deque())
            places.append(self._posted)
            if len(places) > 1:
                self._crowded[packet.key] = None

    def _make_room(self, key: CompletionKey, *, progress: bool) -> None:
        if len(self._packets) < self._capacity:
            return
        if progress and key in self._progress:  # the new packet says all that the old one did, and more
            self._coalesce(key)
        elif self._crowded:
            self._coalesce(next(iter(self._crowded)))
        elif progress or len(self._packets) >= self._capacity + self._reserve:
            raise PortFull(f"the completion port is full: {len(self._packets)} packets and none to coalesce")

    def _coalesce(self, key: CompletionKey) -> None:
        del self._packets[self._progress[key][0]]
        self._forget_oldest(key)
        self._coalesced += 1

    def _forget_oldest(self, key: CompletionKey) -> None:
        places = self._progress[key]
        places.popleft()
        if len(places) < 2:
            self._crowded.pop(key, None)
        if not places:
            del self._progress[key]
