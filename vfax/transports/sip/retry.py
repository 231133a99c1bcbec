"""What becomes of a request that failed: tried again, or not.

Owns      the one decision, and its table by status.
Not here  carrying it out (errands.py), glare (exchange.py: 491 is a matter of the dialog).
Source    RFC 3261 (June 2002) 8.1.3, 18.1.1, 22.2, 22.3; RFC 3263 4.3; RFC 4028 7.3 (422).

A handler looks at the errand and the failure and answers Again, or None for "not mine". The first answer counts.
"""

import math
from collections.abc import Callable
from typing import TYPE_CHECKING, Final

from vfax.transports.sip.errand import Again, Errand, Failed, Failure
from vfax.transports.sip.message import Response
from vfax.transports.sip.policy import Reliable
from vfax.transports.sip.session_timer import longer
from vfax.transports.sip.transaction import Purpose
from vfax.transports.sip.values import Redirected

if TYPE_CHECKING:
    from vfax.transports.sip.core import Core

MAX_TRIES: Final = 8  # Limit: transactions for one request, whoever asks for more
MAX_CONTACTS: Final = 8  # Limit: addresses of one 3xx that are looked at

Handler = Callable[[Errand, Failure, "Core", float], Again | None]


def decide(errand: Errand, failure: Failure, core: "Core", now: float) -> Again | Failed:
    """What is to be done after `failure`, which ended the present transaction of `errand`."""
    if errand.tries < MAX_TRIES:
        for handler in (*TABLE.get(failure.status, ()), *OTHERWISE):
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
    if errand.dialog is not None:
        errand.dialog.found = None  # not there: later requests need not go by it
    to, uri = errand.next_target()
    return Again(to=to, uri=uri)


def next_if_silent(errand: Errand, failure: Failure, core: "Core", now: float) -> Again | None:
    """A 408 that somebody said comes from behind the target; the next one leads there, too."""
    return next_target(errand, failure, core, now) if failure.response is None else None


def next_way(errand: Errand, failure: Failure, core: "Core", now: float) -> Again | None:
    """A dialog is not known where a name led: it is where its messages come from."""
    return next_target(errand, failure, core, now) if errand.dialog is not None else None


def answer_challenge(errand: Errand, failure: Failure, core: "Core", now: float) -> Again | None:
    """Credentials for who asks for them, as long as that is of use; errands.py puts them into the repeat."""
    if failure.response is None:
        return None
    errand.why = errand.keyring.learn(failure.response, errand.attempt)
    return None if errand.why else Again()


def longer_interval(errand: Errand, failure: Failure, core: "Core", now: float) -> Again | None:
    """A session interval that suits whoever found ours too short (RFC 4028 7.3)."""
    response = failure.response
    fields = longer(errand.transaction.request, response) if response is not None else None
    return None if fields is None else Again(fields=fields)


def without_extensions(errand: Errand, failure: Failure, core: "Core", now: float) -> Again | None:
    """What was asked for and is not understood there is left out (RFC 3261 8.1.3.5), unless our policy needs it."""
    if failure.response is None or "require" not in errand.transaction.request.headers:
        return None
    if core.policy(errand.account).reliable is Reliable.REQUIRE:
        errand.why = 'reliable ringing (100rel) is not known there, and reliable = "require" asks for it'
        return None
    return Again(fields=(("Require", ""),))


def elsewhere(errand: Errand, failure: Failure, core: "Core", now: float) -> Again | None:
    """A redirected INVITE waits until its owner has looked up where the other addresses lead (RFC 3261 8.1.3.4).

    Addresses that were tried before are left out, and there is a limit of how many one call may try: no loop.
    """
    request, response = errand.transaction.request, failure.response
    if response is None or errand.purpose is not Purpose.INVITE or errand.call is None:
        return None
    errand.visited.add(request.uri)
    room = core.policy(errand.account).max_redirects + 1 - len(errand.visited)
    secure = request.uri.lower().startswith("sips:")
    uris = [uri for uri in _contacts(response, secure=secure) if uri not in errand.visited][: max(room, 0)]
    if not uris:
        return None
    errand.visited.update(uris)
    errand.held = response
    core.outbox.tell(Redirected(errand.call, response.status, tuple(uris)))
    return Again(after=math.inf)


def _contacts(response: Response, *, secure: bool) -> list[str]:
    """The SIP addresses of a 3xx, the best (highest q) first, each once; a sips call stays one (RFC 3261 26.4.4)."""
    schemes = ("sips",) if secure else ("sip", "sips")
    found: list[tuple[float, str]] = []
    for contact in response.contacts[:MAX_CONTACTS]:
        uri = contact.uri
        if uri.scheme in schemes and contact.parameters.get("expires") != "0":
            found.append((-_preference(contact.parameters.get("q")), uri.text.removesuffix(f"?{uri.headers}")))
    return list(dict.fromkeys(uri for _, uri in sorted(found, key=lambda one: one[0])))


def _preference(text: str | None) -> float:
    """The q of a Contact, 0 to 1 (RFC 3261 20.10); 1 where it is absent, 0 where it cannot be read."""
    if text is None:
        return 1.0
    if len(text) > 5 or not text.replace(".", "", 1).isdigit() or not text.isascii():
        return 0.0
    return min(float(text), 1.0)


def next_place(errand: Errand, failure: Failure, core: "Core", now: float) -> Again | None:
    """The next of the addresses that a 3xx gave, unless nobody anywhere wants the call (6xx)."""
    if not errand.places or failure.status >= 600:
        return None
    uri, hops = errand.places.pop(0)
    errand.go_elsewhere(hops[1:])
    return Again(to=hops[0], uri=uri)


TABLE: Final[dict[int, tuple[Handler, ...]]] = {
    300: (elsewhere,),
    301: (elsewhere,),
    302: (elsewhere,),
    401: (answer_challenge,),
    403: (next_way,),
    404: (next_way,),
    407: (answer_challenge,),
    408: (over_udp, next_if_silent),
    420: (without_extensions,),
    422: (longer_interval,),
    481: (next_way,),
    503: (over_udp, next_target),
}

OTHERWISE: Final[tuple[Handler, ...]] = (next_place,)
"""Asked last, whatever the status."""
