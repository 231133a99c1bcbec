"""Notifications of a client: a registration, and the thread that reads its events and hands them over.

Owns      delivery to a port or a sink, and the end of it. Not here: the rules of registering, which are the service's.
Source    FAX_EVENT, WM_FAX_MESSAGE, FaxClose: notifications go on when the connection is closed, and end with
          FEI_FAXSVC_ENDED. What happens when the service vanishes without a word is not in the documents.

Deviation: the service itself cannot tell that it was killed or cut off. Then no event is made up: the registration is
over, `lost` says why, and the log has a warning. Nobody registers again but the program itself.
"""

import json
import logging
import threading
from collections.abc import Callable, Iterator, Mapping
from typing import Final, Protocol

import httpx

from vfax.client.errors import ServiceUnavailable
from vfax.client.wire import Address, answer_of, ask, reaching
from vfax.fsp.completion import EventKey
from vfax.fsp.constants import EventId
from vfax.fsp.errors import FaxServiceError, InvalidParameter, PortFull
from vfax.fsp.structures import FaxEvent

Sink = Callable[[int, int, int], object]
"""What stands for a window: called with message number, device id and job id, in the reader's thread."""

SILENCE: Final = 60.0
"""Seconds without even a heartbeat after which the service counts as gone; it says something every 15."""
LONGEST_LINE: Final = 65_536
SINK_DIED: Final = "The sink raised an exception: its window counts as gone."
PORT_CLOSED: Final = "The completion port was closed."
PORT_FULL: Final = "The completion port was full: nobody read it."

log = logging.getLogger("vfax.client")


class EventPort(Protocol):
    """What takes completion packets: a CompletionPort, or anything with its `post`."""

    def post(self, key: EventKey, message: FaxEvent, /) -> None:
        """Take a packet without waiting; raise FaxServiceError when it cannot be taken."""


class Registration:
    """One FaxInitializeEventQueue. `key` is the key of its packets, `warnings` what the service found odd.

    `ended` says why it is over ("" while it lives); `lost` is set when the service went away without saying so.
    """

    def __init__(
        self,
        address: Address,
        answer: Mapping[str, object],
        *,
        port: EventPort | None,
        key: EventKey | None,
        sink: Sink | None,
    ) -> None:
        self.id = str(answer["registration"])
        self.session = str(answer["session"])
        self.warnings = tuple(str(one) for one in _list(answer.get("warnings")))
        self.key = key
        self.ended = ""
        self.lost: ServiceUnavailable | None = None
        self._address = address
        self._port = port
        self.sink = sink
        self._after = int(str(answer["after"]))
        self._over = threading.Event()
        self._reading = threading.Event()  # the stream has begun, or failed to
        self._handing = threading.RLock()  # held while an event is handed over; a sink may log itself off
        self._thread = threading.Thread(target=self._run, name=f"vfax events {self.id[:8]}", daemon=True)

    def start(self) -> None:
        """Begin to read; returns when whatever happens from now on will be heard. Raises ServiceUnavailable."""
        self._thread.start()
        self._reading.wait(self._address.timeout)
        if self.lost is not None:
            raise self.lost

    @property
    def over(self) -> bool:
        """True when no event comes any more."""
        return self._over.is_set()

    def wait(self, timeout: float | None = None) -> bool:
        """Wait for the end of it; True when it is over. Not for the thread of a sink. Raises InvalidParameter."""
        number = isinstance(timeout, int | float) and not isinstance(timeout, bool)
        if timeout is not None and not (number and 0 <= timeout <= threading.TIMEOUT_MAX):
            raise InvalidParameter(f"timeout: seconds from 0 on, or None, are expected, not {timeout!r:.100}")
        return self._over.wait(timeout)

    # --- reading -----------------------------------------------------------------------------------

    def _run(self) -> None:
        try:
            self._read()
        except FaxServiceError as why:
            self._lose(why)
        except Exception as why:  # what a stranger at the address sends must not end the program's thread unseen
            self._lose(ServiceUnavailable(f"the events of {self._address} cannot be read: {why}"))

    def _read(self) -> None:
        path = f"/v1/registrations/{self.id}/events?after={self._after}&session={self.session}"
        with (
            self._address.open(read_timeout=SILENCE) as http,
            reaching(self._address),
            http.stream("GET", path) as response,
        ):
            if response.status_code >= 400:
                answer_of(response.status_code, response.read())
            for line in _lines(response):
                self._reading.set()
                if not self._take(line):
                    return
        raise ServiceUnavailable(f"the connection to the fax service at {self._address} was closed")

    def _take(self, line: Mapping[str, object]) -> bool:
        """Deal with one line; False: it was the last."""
        if self._over.is_set():
            return False
        if "end" in line:
            self._finish(str(line["end"]))
            return False
        if "event" in line or "message" in line:
            with self._handing:
                why = "" if self._over.is_set() else self._deliver(line)
            if why:
                self._finish(why)
                self._tell_end()
                return False
        return True

    def _deliver(self, line: Mapping[str, object]) -> str:
        """Hand one event over; the reason why that cannot be done, or ""."""
        device, job = int(str(line["device"])), int(str(line["job"]))
        if self.sink is not None:
            try:
                self.sink(int(str(line["message"])), device, job)
            except Exception:
                return SINK_DIED
            return ""
        assert self._port is not None
        assert self.key is not None
        event = FaxEvent(int(str(line["time"])), device, EventId(int(str(line["event"]))), job)
        try:
            self._port.post(self.key, event)
        except PortFull:
            return PORT_FULL
        except FaxServiceError:
            return PORT_CLOSED
        return ""

    # --- the end -----------------------------------------------------------------------------------

    def _finish(self, why: str) -> None:
        if not self._over.is_set():
            self.ended = why
            self._over.set()
            self._reading.set()

    def stop(self, why: str) -> None:
        """Deliver nothing any more: what is being handed over is over when this returns."""
        with self._handing:
            self._finish(why)

    def _lose(self, why: FaxServiceError) -> None:
        if self._over.is_set():
            return
        self.lost = why if isinstance(why, ServiceUnavailable) else ServiceUnavailable(str(why))
        log.warning("notifications of the fax service have ended without FEI_FAXSVC_ENDED: %s", why)
        self._finish(f"The fax service went away without a word: {why}")

    def _tell_end(self) -> None:
        """Let the service forget what cannot be delivered; should it not hear, it notices by itself."""
        try:
            with self._address.open() as http:
                ask(http, self._address, "DELETE", f"/v1/registrations/{self.id}", headers={})
        except FaxServiceError as why:
            log.debug("the service was not told that registration %s is over: %s", self.id, why)


def _lines(response: httpx.Response) -> Iterator[Mapping[str, object]]:
    """Objects of a stream, one a line. Raises ServiceUnavailable for what is none."""
    rest = b""
    for piece in response.iter_bytes():
        *whole, rest = (rest + piece).split(b"\n")
        if len(rest) > LONGEST_LINE:
            raise ServiceUnavailable("the service sends lines without an end: is something else at this address?")
        for line in whole:
            try:
                found = json.loads(line)
            except (ValueError, RecursionError):
                found = None
            if not isinstance(found, dict):
                raise ServiceUnavailable("the service sends what is no JSON: is something else at this address?")
            yield found


def _list(value: object) -> list[object]:
    return value if isinstance(value, list) else []
