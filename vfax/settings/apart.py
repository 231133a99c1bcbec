"""The device of vfax in a process of its own: made there from the settings, for its options are no JSON.

Owns      the entry point that wiring.own_registration names. Not here: the device (device/), the process (host/).
"""

from collections.abc import Mapping
from typing import Any

from pydantic import ValidationError

from vfax import device
from vfax.errors import SettingsError
from vfax.settings import wiring
from vfax.settings.model import Settings


def create_provider(configuration: Mapping[str, Any]) -> device.Provider:
    """Make the device: `settings` is a dump of all settings, `devices` what overrides them. Raises SettingsError."""
    try:
        settings = Settings.model_validate(configuration["settings"])
    except (KeyError, ValidationError) as why:
        raise SettingsError(f"these are not the settings of the service: {type(why).__name__}") from why
    record = wiring.registration(settings, **configuration.get("devices", {}))
    return device.create_provider(record.configuration)
