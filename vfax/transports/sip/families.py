"""IP versions of an offer: which family our media needs.

Owns      one look at the addresses of an SDP.
Not here  the session itself (negotiation.py), sockets.
Source    RFC 8866 5.7 (c=).
"""

from vfax.errors import DecodeError
from vfax.transports.sip.sdp import Description


def media_host(sdp: bytes) -> str | None:
    """The first address that the SDP names for a stream that is on; None when there is none to be seen."""
    if not sdp:
        return None
    try:
        description = Description.decode(sdp)
        hosts = (description.host(media) for media in description.media if media.port)
        return next((host for host in hosts if host is not None), None)
    except DecodeError:
        return None
