"""The fax service from any program: connect, submit, abort, be notified. Blocking, callable from any thread.

    import vfax.client
    from vfax.fsp.completion import CompletionPort, EventKey

    with vfax.client.connect() as fax:  # FaxConnectFaxServer
        port, key = CompletionPort(), EventKey("mine")
        fax.initialize_event_queue(port=port, key=key)  # FaxInitializeEventQueue, completion packets
        (job,) = fax.submit("letter.pdf", ["+49 30 123456"])
    while (packet := port.get()).message.job_id != job.id:  # FaxClose does not end notifications
        ...

Owns      `connect` and `Client` (service.py), `Registration` and its reader (events.py), values (values.py).
Not here  the service itself (vfax/host), what is asked and answered on the wire (docs/api.md).

Errors are those of the documented functions, from vfax.fsp.errors: AccessDenied (5), InvalidHandle (6),
InvalidParameter (87), InvalidData (13), OutOfResources (8), NotReady (21); `ServiceUnavailable` when the service cannot
be reached. All are FaxServiceError with a `winerror` and a sentence.
"""

from vfax.client.errors import RequestRefused, ServiceUnavailable
from vfax.client.events import Registration
from vfax.client.service import Client, connect, default_socket
from vfax.client.values import Device, Job

__all__ = [
    "Client",
    "Device",
    "Job",
    "Registration",
    "RequestRefused",
    "ServiceUnavailable",
    "connect",
    "default_socket",
]
