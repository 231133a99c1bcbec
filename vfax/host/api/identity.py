"""Who a client is and what it may do.

Owns      access rights and their words, tokens and how they are compared, the visitor behind a request.
Not here  how the kernel is asked (listening.py), which right a request needs (routes.py).
Source    the access rights of winfax.h; how they are given is ours: peers of the Unix socket by user, others by token.

A token is never kept: settings hold its SHA-256, which is enough for what is as random as a token must be.
"""

import hashlib
import hmac
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Final

from vfax.fsp.constants import AccessRight

ALL_RIGHTS: Final = AccessRight(sum(AccessRight))
RIGHT_WORDS: Final = {
    "submit": AccessRight.FAX_JOB_SUBMIT,
    "query": AccessRight.FAX_JOB_QUERY,
    "manage": AccessRight.FAX_JOB_MANAGE,
    "config-query": AccessRight.FAX_CONFIG_QUERY,
    "config-set": AccessRight.FAX_CONFIG_SET,
    "port-query": AccessRight.FAX_PORT_QUERY,
    "port-set": AccessRight.FAX_PORT_SET,
}
"""How settings and clients spell a right."""
SHORTEST_TOKEN: Final = 20
"""Limit: characters of a token; a shorter one could be guessed from its digest."""
LONGEST_TOKEN: Final = 512


def rights_of(words: Iterable[str]) -> AccessRight:
    """The rights behind their words; "all" is every one of them. Raises KeyError for a word that is none."""
    found = AccessRight(0)
    for word in words:
        found |= ALL_RIGHTS if word == "all" else RIGHT_WORDS[word]
    return found


def words_of(rights: AccessRight) -> list[str]:
    """The words of rights, in the order of RIGHT_WORDS."""
    return [word for word, right in RIGHT_WORDS.items() if right in rights]


@dataclass(frozen=True, slots=True)
class Visitor:
    """Who makes a request. `name` owns the jobs it submits.

    `process` tells the program from all others (empty: it has not said), `watchable` that this machine knows when it
    ends; `desktop` is where its windows are.
    """

    name: str
    rights: AccessRight
    local: bool
    process: str = ""
    pid: int = 0
    watchable: bool = False
    desktop: str = ""

    def may(self, needed: AccessRight) -> bool:
        """True with any of the rights; nothing needed is always there."""
        return not needed or bool(self.rights & needed)


@dataclass(frozen=True, slots=True)
class Token:
    """A token without itself: its SHA-256 in hexadecimal, who has it, what it may do."""

    name: str
    digest: str
    rights: AccessRight


def digest_of(token: str) -> str:
    """SHA-256 of a token, in hexadecimal."""
    return hashlib.sha256(token.encode("utf-8", "surrogateescape")).hexdigest()


def find_token(tokens: Sequence[Token], given: str) -> Token | None:
    """The entry of a token. All are compared, each in constant time, whichever is right."""
    if not SHORTEST_TOKEN <= len(given) <= LONGEST_TOKEN:
        return None
    digest, found = digest_of(given), None
    for token in tokens:
        if hmac.compare_digest(token.digest, digest):
            found = token
    return found
