"""What becomes of a request that failed: tried again, or not.

Owns      the one decision, and its table by status.
Not here  carrying it out (errands.py), glare (exchange.py: 491 is a matter of the dialog).
Source    RFC 3261 (June 2002) 8.1.3, 18.1.1, 22.2, 22.3; RFC 3263 4.3.

A handler looks at the errand and the failure and answers Again, or None for "not mine". The first answer counts.
"""

from collections.abc import Callable
from typing import TYPE_CHECKING, Final

from vfax.transports.sip.errand import Again, Errand, Failed, Failure

if TYPE_CHECKING:
    from vfax.transports.sip.core import Core

MAX_TRIES: Final = 8  # Limit: transactions for one request, whoever asks for more

Handler = Callable[[Errand, Failure, "Core", float], Again | None]


def decide(errand: Errand, failure: Failure, core: "Core", now: float) -> Again | Failed:
    """What is to be done after `failure`, which ended the present transaction of `errand`."""
    if errand.tries < MAX_TRIES:
        for handler in TABLE.get(failure.status, ()):
            if (again := handler(errand, failure, core, now)) is not None:
                return again
    return Failed()


def over_udp(errand: Errand, failure: Failure, core: "Core", now: float) -> Again | None:
    """A long request that TCP did not carry goes over UDP after all (RFC 3261 18.1.1)."""
    if failure.response is not None or errand.fallback is None:
        return None
    core.shun_tcp(errand.fallback, now)
    fallback, errand.fallback = errand.fallback, None
    return Again(to=fallback)


def next_target(errand: Errand, failure: Failure, core: "Core", now: float) -> Again | None:
    """The next target of the list, where this one cannot be reached or is overloaded (RFC 3263 4.3)."""
    if not errand.targets or (failure.response is None and errand.heard):
        return None
    return Again(to=errand.targets.pop(0))


def next_if_silent(errand: Errand, failure: Failure, core: "Core", now: float) -> Again | None:
    """A 408 that somebody said comes from behind the target; the next one leads there, too."""
    return next_target(errand, failure, core, now) if failure.response is None else None


def answer_challenge(errand: Errand, failure: Failure, core: "Core", now: float) -> Again | None:
    """Credentials for who asks for them, as long as that is of use; errands.py puts them into the repeat."""
    if failure.response is None:
        return None
    errand.why = errand.keyring.learn(failure.response, errand.attempt)
    return None if errand.why else Again()


TABLE: Final[dict[int, tuple[Handler, ...]]] = {
    401: (answer_challenge,),
    407: (answer_challenge,),
    408: (over_udp, next_if_silent),
    503: (over_udp, next_target),
}
