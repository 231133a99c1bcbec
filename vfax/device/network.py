"""Where a provider gets its network from when none is handed to it.

Owns      the one lazy step from a device's configuration to the endpoint that carries its calls.
Not here  the endpoint (vfax/endpoint.py).
"""

from collections.abc import Mapping
from typing import Final

from vfax.call import Network
from vfax.errors import SettingsError

ENDPOINT_KEY: Final = "endpoint"
"""Configuration key of the `EndpointOptions` to build a network from."""


def build_network(configuration: Mapping[str, object]) -> Network:
    """Build the SIP endpoint that `configuration` describes. Raises SettingsError when it describes none."""
    from vfax.endpoint import Endpoint, EndpointOptions  # late: a provider with another network needs no SIP

    options = configuration.get(ENDPOINT_KEY)
    if not isinstance(options, EndpointOptions):
        given = ", ".join(sorted(map(str, configuration))) or "no keys"
        raise SettingsError(
            f'the provider\'s configuration ({given}) has neither "network" (a ready one) nor '
            f'"{ENDPOINT_KEY}" (EndpointOptions to build one from)'
        )
    return Endpoint(options)
