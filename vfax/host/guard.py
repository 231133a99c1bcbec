"""The guard around every call into a provider: a time limit, and nothing escapes but FaxServiceError.

Owns      the one `except Exception` of the host (the contract asks for it: an escaping exception counts as FALSE).
Not here  what a failed call means for the fax (jobs.py).
Source    the FSP documentation, Handling Exceptions: each call into the provider runs under an exception guard.

Limit: the provider lives in this process. One that blocks the thread, or shields itself from being cancelled, cannot be
stopped from here; only a process of its own would do that.
"""

from collections.abc import Awaitable, Callable
from typing import ParamSpec, TypeVar

import trio

from vfax.fsp.errors import FaxServiceError
from vfax.host.events import Observer, ProviderFaulted

P = ParamSpec("P")
T = TypeVar("T")


class ProviderFault(FaxServiceError):
    """The provider raised what the contract does not know, hung, or answered nonsense. It has been reported."""


class Guard:
    """Calls one provider. `timeout` seconds are what any call but Send and Receive may take."""

    def __init__(self, provider: str, observe: Observer, *, timeout: float) -> None:
        self._provider = provider
        self._observe = observe
        self._timeout = timeout
        self.faults = 0

    async def ask(self, call: Callable[P, Awaitable[T]], /, *args: P.args, **kwargs: P.kwargs) -> T:
        """Await a short call. Raises FaxServiceError (FALSE), ProviderFault for everything else that goes wrong."""
        with trio.move_on_after(self._timeout):
            return await self.operate(_name(call), lambda: call(*args, **kwargs))
        raise self.fault(call, f"no answer within {self._timeout:g} seconds")

    async def operate(self, name: str, call: Callable[[], Awaitable[T]]) -> T:
        """Await Send or Receive (`name` is for the report), which take as long as a fax takes; otherwise as `ask`."""
        try:
            return await call()
        except FaxServiceError:
            raise
        except Exception as why:
            raise self.fault(name, f"{type(why).__name__}: {why}") from why

    def ask_now(self, call: Callable[P, T], /, *args: P.args, **kwargs: P.kwargs) -> T:
        """Make a call that does not wait (ReportStatus, AbortOperation); otherwise as `ask`."""
        try:
            return call(*args, **kwargs)
        except FaxServiceError:
            raise
        except Exception as why:
            raise self.fault(call, f"{type(why).__name__}: {why}") from why

    def fault(self, call: object, why: str) -> ProviderFault:
        """Report a fault and make the error to raise for it."""
        name = call if isinstance(call, str) else _name(call)
        self.faults += 1
        self._observe(ProviderFaulted(self._provider, name, why))
        return ProviderFault(f"{self._provider} failed in {name}: {why}")


def _name(call: object) -> str:
    return str(getattr(call, "__name__", call))
