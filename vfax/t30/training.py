"""Whether a training check (TCF) was good.

Owns      counting zeros, and the verdict.
Not here  what is answered (receiver.py).
Source    T.30 (09/2005) 5.3.6.2.3 for 1.5 s of zeros; the thresholds are those of deployed receivers.
"""

from typing import Final

from vfax.signals import Modem

SECONDS: Final = 1.0  # of zeros, of the 1.5 s that are sent
WRONG: Final = 0.1  # share of anything else that is borne when the zeros are not in one row


class TrainingCheck:
    """Good with one second of zeros in a row, or one second in all and at most a tenth of anything else.

    Over T.38 a hole is a lost packet: it tells nothing about a modem, but it counts as something else.
    """

    def __init__(self, modem: Modem) -> None:
        self.modem = modem
        self._run = 0
        self._longest = 0
        self._zeros = 0
        self._others = 0
        self._packet_octets = 0  # of the last packet: what a lost one may have held

    def add(self, octets: bytes) -> None:
        """Take octets of the burst."""
        zeros = octets.count(0)
        self._packet_octets = len(octets)
        self._zeros += zeros
        self._others += len(octets) - zeros
        if zeros == len(octets):
            self._run += zeros
        else:
            for octet in octets:
                self._longest = max(self._longest, self._run)
                self._run = 0 if octet else self._run + 1
        self._longest = max(self._longest, self._run)

    def miss(self, packets: int) -> None:
        """That many packets of the burst are lost."""
        self._run = 0
        self._others += packets * self._packet_octets

    @property
    def good(self) -> bool:
        """The verdict on what came so far."""
        wanted = SECONDS * self.modem.rate_bps / 8
        mostly = self._others <= WRONG * (self._zeros + self._others)
        return self._longest >= wanted or (mostly and self._zeros >= wanted)
