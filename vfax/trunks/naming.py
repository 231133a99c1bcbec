"""How an identity of a trunk is written down, and the URI behind it.

Owns      the place of the caller's number, URIs of identities. Not here: which identities a call has (identity.py).
"""

from typing import Final

from vfax.transports.sip.headers import bracketed
from vfax.transports.sip.syntax import escape_user

CALLER: Final = "{caller}"
"""In an identity: the sender's number of the job, written as `NumberOptions.caller_format` has it."""
FULL: Final = ("sip:", "sips:", "tel:")
"""What a whole URI begins with."""


def identity_uri(text: str, domain: str, caller: str = "") -> str:
    """The URI behind an identity: a whole one as it is, user@domain, or a user in `domain`.

    `caller` takes the place of CALLER as a part of the user, whatever is in it.
    """
    if text.lower().startswith(FULL):
        return text.replace(CALLER, escape_user(caller))
    user, at, own = text.rpartition("@")
    named = (user if at else text).replace(CALLER, caller)
    return f"sip:{escape_user(named)}@{own if at else bracketed(domain)}"
