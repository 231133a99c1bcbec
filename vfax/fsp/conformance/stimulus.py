"""The other side of the line: what a provider's author supplies so that the checks can see calls come and go.

Owns      the interface, and which of it a stimulus has.
Not here  what is checked with it.

A stimulus is made for each check, after the provider and before any of its exports is called, by a factory
`(provider, configuration) -> stimulus`. Presence is meaning here too: have the methods that you can fulfil; the checks
that need others are reported as not checked. Methods are called from plain threads, and may raise `NotChecked` with
a reason when they cannot do it this time.
"""

from collections.abc import Callable, Mapping
from typing import Protocol

from vfax.fsp.conformance.rules import Need

StimulusFactory = Callable[[object, Mapping[str, object]], object]


class Stimulus(Protocol):
    """All that a stimulus may have; `close` too may be missing."""

    def ring(self, pages: int) -> None:
        """Let a call come in and return when it is on its way: once answered, the caller sends so many pages.

        Also called before FaxDevInitialize, when it must do whatever a caller could do then.
        """

    def give_up(self) -> None:
        """Let the caller of the last `ring`, which has not been answered, hang up; return when it has."""

    def ring_and_break_off(self, pages: int) -> None:
        """As `ring`, but after so many confirmed pages and in the middle of the next one the caller is gone."""

    def answering(self) -> str:
        """What to dial (FAX_SEND.ReceiverNumber) to find a machine that answers and takes every page."""
        ...

    def busy(self) -> str:
        """What to dial to find the line busy."""
        ...

    def hanging(self) -> str:
        """What to dial for a call that goes on for longer than any check waits: it rings, or answers and is silent."""
        ...

    def close(self) -> None:
        """The check is over, the provider has been shut down: release everything."""


def has(stimulus: object | None, need: Need) -> bool:
    """Tell whether a stimulus can do this."""
    return callable(getattr(stimulus, need.value, None))
