"""The virtual device: a fax service provider whose devices are SIP/T.38 endpoints.

`create_provider` is the entry point of the registration record, `vfax.device:create_provider`.
"""

from vfax.device.options import DeviceOptions
from vfax.device.provider import Provider, create_provider

__all__ = ["DeviceOptions", "Provider", "create_provider"]
