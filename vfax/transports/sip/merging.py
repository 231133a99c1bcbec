"""The T.38 attributes of both ends, merged to what a stream runs with.

Owns      which end's value counts, and what our answer says. Not here: their spelling (sdp.py).
Source    RFC 5347 for the rules; T.38 (09/2010) Annex D.
"""

from dataclasses import replace
from typing import Final

from vfax.transports.parameters import ErrorCorrection, RateManagement, T38Parameters, Transport

STRENGTH: Final = (ErrorCorrection.NONE, ErrorCorrection.REDUNDANCY, ErrorCorrection.FEC)


def merge(ours: T38Parameters, theirs: T38Parameters, *, offered_by_us: bool) -> T38Parameters:
    """What both ends can do; Max* values are the peer's, for they limit what we send.

    The offer decides the rate management. An answer that claims more than was offered is read as the offer: version
    and error correction are the lesser of both.
    """
    offer = ours if offered_by_us else theirs
    return T38Parameters(
        version=min(ours.version, theirs.version),
        max_bit_rate_bps=min(ours.max_bit_rate_bps, theirs.max_bit_rate_bps),
        rate_management=offer.rate_management,
        fill_bit_removal=ours.fill_bit_removal and theirs.fill_bit_removal,
        transcoding_mmr=ours.transcoding_mmr and theirs.transcoding_mmr,
        transcoding_jbig=ours.transcoding_jbig and theirs.transcoding_jbig,
        max_buffer=theirs.max_buffer,
        max_datagram=theirs.max_datagram,
        error_correction=min(ours.error_correction, theirs.error_correction, key=STRENGTH.index),
        transport=theirs.transport,
    )


def for_stream(ours: T38Parameters) -> T38Parameters:
    """What we say of T.38 over TCP: each end makes its own TCF, for nothing is lost on the way."""
    return replace(ours, rate_management=RateManagement.LOCAL_TCF, transport=Transport.TCP)


def answered(ours: T38Parameters, offered: T38Parameters) -> T38Parameters:
    """What our answer says: the merged values, but our own limits."""
    return replace(
        merge(ours, offered, offered_by_us=False),
        max_bit_rate_bps=ours.max_bit_rate_bps,
        max_buffer=ours.max_buffer,
        max_datagram=ours.max_datagram,
    )
