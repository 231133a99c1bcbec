"""On whose behalf a request is made: what one trunk adds to it.

Owns      the value `Account`.
Not here  where it is read from (settings), who chooses it (endpoint.py), answering challenges (keyring.py).
Source    RFC 3261 (June 2002) 8.1.1, 8.1.2 (pre-loaded route set); RFC 3325 (P-Asserted-Identity).
"""

from dataclasses import dataclass
from typing import Final

from vfax.transports.sip.keyring import Credentials
from vfax.transports.sip.policy import DialogPolicy
from vfax.transports.sip.values import Transport


@dataclass(frozen=True, slots=True, kw_only=True)
class Account:
    """What a trunk adds to the requests of its calls. The default adds nothing."""

    name: str = ""  # of the trunk, "" for none
    routes: tuple[str, ...] = ()  # Route values to preload, outbound proxy first: `<sip:proxy.example;lr>`
    headers: tuple[tuple[str, str], ...] = ()  # fields of an INVITE: P-Asserted-Identity and its kin
    from_domain: str = ""  # host part of From; "": as the agent has it
    contact_user: str = ""  # user part of Contact; "": that of From
    credentials: tuple[Credentials, ...] = ()  # with which 401 and 407 are answered
    md5: bool = True  # whether a challenge that offers nothing better than MD5 is answered
    transport: Transport | None = None  # the only one it is reached by; None: as its address says
    dialogs: DialogPolicy | None = None  # session timers and their kin; None: as the agent has it


NO_ACCOUNT: Final = Account()
