"""Where a provider gets its network from when none is handed to it.

Owns      the one lazy step from a device's configuration to the endpoint that carries its calls.
Not here  the endpoint (vfax/endpoint.py).
"""

from collections.abc import Mapping

from vfax.call import Network
from vfax.errors import MisuseError


def build_network(configuration: Mapping[str, object]) -> Network:
    """Build the SIP endpoint that `configuration` describes."""
    given = ", ".join(sorted(configuration)) or "no keys"
    raise MisuseError(f'this configuration ({given}) has no "network": hand over a ready one under that key')
