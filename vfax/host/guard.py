"""The guard around every call into a provider: a time limit, and nothing escapes but FaxServiceError.

Owns      the one place of the host where everything is caught (the contract asks for it: an escaping exception counts
          as FALSE), and how long each export may take.
Not here  what a failed call means for the fax (jobs.py).
Source    the FSP documentation, Handling Exceptions: each call into the provider runs under an exception guard. No
          page gives a time for any call: the limits are ours.

Limit: what is guarded here lives in this process. A provider that blocks the thread, or shields itself from being
cancelled, cannot be stopped from here; a process of its own (process.py) is there for those.
"""

from collections.abc import Awaitable, Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Final, ParamSpec, TypeVar

import trio

from vfax.fsp.errors import FaxServiceError
from vfax.host.events import Observer, ProviderFaulted

P = ParamSpec("P")
T = TypeVar("T")

LOAD: Final = "load"
"""What loading is called where exports have their names."""


class ProviderFault(FaxServiceError):
    """The provider raised what the contract does not know, hung, or answered nonsense. It has been reported."""


class ForeignFault(Exception):
    """What a provider in a process of its own raised and the contract does not know; its words are those of there."""


@dataclass(frozen=True, slots=True, kw_only=True)
class CallTimeouts:
    """What each export may take, in seconds; 0 stands for the limit of all the others.

    `load_timeout` is for importing and making a provider, and for starting its process where it has one of its own;
    `config_timeout` for FaxExtInitializeConfig, and for each change that a provider is told afterwards.
    """

    load_timeout: float = 30.0
    create_timeout: float = 0.0
    config_timeout: float = 0.0
    initialize_timeout: float = 0.0
    start_job_timeout: float = 0.0
    end_job_timeout: float = 0.0
    shutdown_timeout: float = 0.0

    def of(self, name: str, otherwise: float) -> float:
        """The limit of the export called `name`."""
        field = _FIELD_OF_EXPORT.get(name)
        return (getattr(self, field) if field is not None else 0.0) or otherwise


_FIELD_OF_EXPORT: Final = {
    LOAD: "load_timeout",
    "FaxDevVirtualDeviceCreation": "create_timeout",
    "FaxExtInitializeConfig": "config_timeout",
    "FaxExtConfigChange": "config_timeout",
    "FaxDevInitialize": "initialize_timeout",
    "FaxDevStartJob": "start_job_timeout",
    "FaxDevEndJob": "end_job_timeout",
    "FaxDevShutdown": "shutdown_timeout",
}


@contextmanager
def contained(fault: Callable[[str], Exception]) -> Iterator[None]:
    """Let FaxServiceError, cancelling and Ctrl-C pass; anything else a provider raises is what `fault` makes of it.

    That includes SystemExit and whatever else is no Exception: a provider has no say in when the host ends.
    """
    try:
        yield
    except (FaxServiceError, trio.Cancelled, KeyboardInterrupt):
        raise
    except BaseExceptionGroup as group:
        ours, theirs = group.split((trio.Cancelled, KeyboardInterrupt))
        if ours is None:
            raise fault(words_of(group)) from group
        if theirs is not None:
            fault(words_of(theirs))
        raise ours from None
    except BaseException as why:
        raise fault(words_of(why)) from why


def words_of(why: BaseException) -> str:
    """An exception in one line: the innermost one of a group that holds but one."""
    while isinstance(why, BaseExceptionGroup) and why.exceptions:
        why = why.exceptions[0]
    return str(why) if isinstance(why, ForeignFault) else f"{type(why).__name__}: {why}"


class Guard:
    """Calls one provider. `timeout` seconds are what a call may take to which `timeouts` gives no limit of its own.

    Send and Receive have none here: they take as long as a fax takes.
    """

    def __init__(
        self, provider: str, observe: Observer, *, timeout: float, timeouts: CallTimeouts | None = None
    ) -> None:
        self._provider = provider
        self._observe = observe
        self._timeout = timeout
        self._timeouts = timeouts or CallTimeouts()
        self.faults = 0

    def limit(self, name: str) -> float:
        """Seconds that the export called `name` may take."""
        return self._timeouts.of(name, self._timeout)

    async def ask(self, call: Callable[P, Awaitable[T]], /, *args: P.args, **kwargs: P.kwargs) -> T:
        """Await a short call. Raises FaxServiceError (FALSE), ProviderFault for everything else that goes wrong."""
        name = _name(call)
        return await self.within(name, lambda: call(*args, **kwargs))

    async def within(self, name: str, call: Callable[[], Awaitable[T]]) -> T:
        """Await `call`, which counts as the export called `name`; otherwise as `ask`."""
        limit = self.limit(name)
        with trio.move_on_after(limit):
            return await self.operate(name, call)
        raise self.fault(name, f"no answer within {limit:g} seconds")

    async def operate(self, name: str, call: Callable[[], Awaitable[T]]) -> T:
        """Await Send or Receive (`name` is for the report), which take as long as a fax takes; otherwise as `ask`."""
        with contained(lambda why: self.fault(name, why)):
            return await call()

    def ask_now(self, call: Callable[P, T], /, *args: P.args, **kwargs: P.kwargs) -> T:
        """Make a call that does not wait (ReportStatus, AbortOperation); otherwise as `ask`."""
        with contained(lambda why: self.fault(call, why)):
            return call(*args, **kwargs)

    def fault(self, call: object, why: str) -> ProviderFault:
        """Report a fault and make the error to raise for it."""
        name = call if isinstance(call, str) else _name(call)
        self.faults += 1
        self._observe(ProviderFaulted(self._provider, name, why))
        return ProviderFault(f"{self._provider} failed in {name}: {why}")


def _name(call: object) -> str:
    return str(getattr(call, "__name__", call))
