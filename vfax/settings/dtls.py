"""Settings of encryption: the section [dtls].

Owns      its fields. The explanation of a field is its comment in config/vfax.example.toml.
Not here  whether DTLS is used ([media] dtls, or dtls of a trunk).
"""

from typing import Self

from pydantic import Field, model_validator

from vfax.settings.section import Section
from vfax.settings.words import Count, Seconds


class DtlsSettings(Section):
    """Encrypted T.38 (UDPTL over DTLS): our certificate, and the limits of a handshake. Times in seconds."""

    certificate: str = Field(
        default="", description='PEM file of our certificate; "": one of our own, made at each start, does as well.'
    )
    key: str = Field(default="", description="PEM file of its private key (RSA or EC), without a password.")
    handshake: Seconds = Field(default=15.0, description="How long a handshake may take; then the call ends.")
    retransmit: Seconds = Field(default=1.0, description="Until lost parts of it are sent again; doubled each time.")
    mtu: int = Field(default=1_200, ge=256, le=65_000, description="Octets of one datagram of a handshake.")
    candidates: Count = Field(default=4, description="Handshakes at once in one call, where the peer is to begin.")
    backlog: int = Field(default=512, ge=16, le=65_536, description="Datagrams of a call that wait for their turn.")

    @model_validator(mode="after")
    def _both_or_none(self) -> Self:
        if bool(self.certificate) != bool(self.key):
            missing = "key" if self.certificate else "certificate"
            raise ValueError(f"{missing} is missing: expected both certificate and key, or neither")
        return self
