"""Encrypted T.38 (DTLS) at an endpoint: its one certificate, and our side of each call's association.

Owns      when the certificate is made or read, the names of associations, which media sockets can do DTLS.
Not here  certificates (transports/dtls_identity.py), handshakes (transports/dtls.py), SDP (transports/sip/secure.py).
"""

import random
from collections.abc import Iterable
from typing import Final

from vfax.leg_values import LegOptions
from vfax.transports.dtls import DtlsOptions, SecureSocket
from vfax.transports.dtls_identity import DtlsIdentity
from vfax.transports.parameters import Dtls
from vfax.transports.sip.secure import DtlsSide
from vfax.transports.tcp import MediaSocket

TLS_ID_BITS: Final = 160
"""Of the random name of an association; RFC 8842 4 wants 120 at least."""


class Securing:
    """One certificate for all calls of an endpoint; peers know it by its fingerprint in SDP."""

    def __init__(self, options: DtlsOptions, dice: random.Random) -> None:
        self._options = options
        self._dice = dice
        self._identity: DtlsIdentity | None = None

    def begin(self, legs: Iterable[LegOptions]) -> None:
        """Have the certificate ready where any call may want it. Raises LinkError saying what is wrong with it.

        So that is told at the start, and not to the first caller.
        """
        if any(leg.dtls is not Dtls.OFF for leg in legs):
            self._own()

    def side(self, leg: LegOptions) -> DtlsSide | None:
        """Our side of a new call's association; None where its options want none. Raises LinkError as `begin`."""
        if leg.dtls is Dtls.OFF:
            return None
        return DtlsSide(
            policy=leg.dtls,
            fingerprints=self._own().fingerprints,
            tls_id=f"{self._dice.randrange(1 << TLS_ID_BITS):0{TLS_ID_BITS // 4}x}",
            waits=leg.learn_source,
        )

    def open(self, host: str, ports: Iterable[int], side: DtlsSide | None) -> MediaSocket:
        """A media socket on the first free port, ready for DTLS where there is a side of ours. Raises LinkError."""
        if side is None:
            return MediaSocket.bind_even(host, ports)
        socket = SecureSocket.bind_even(host, ports)
        socket.arm(self._own(), self._options)
        return socket

    def _own(self) -> DtlsIdentity:
        if self._identity is None:
            certificate, key = self._options.certificate, self._options.key
            if certificate is None or key is None:
                self._identity = DtlsIdentity.make()
            else:
                self._identity = DtlsIdentity.read(certificate, key)
        return self._identity
