"""Who we are in DTLS: a certificate, its key and its fingerprints; and the rules of a handshake for OpenSSL.

Owns      making a certificate of our own, reading one from files, the context of one association.
Not here  what fingerprints are (sip/secure.py), handshakes (dtls.py).
Source    RFC 7345 4.1 for the cipher suites that every end has; RFC 8122 5 and 6: whose certificate it is, SDP says by
          its fingerprint; so it needs no authority, and its names and dates say nothing.

pyOpenSSL is loaded here, when the first certificate is made or read: who does not use DTLS need not have it.
"""

import contextlib
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import TYPE_CHECKING, Final, Self

from vfax.errors import LinkError
from vfax.transports.sip.secure import HASHES, USUAL, Fingerprint

if TYPE_CHECKING:
    from cryptography.hazmat.primitives.asymmetric.ec import EllipticCurvePrivateKey
    from cryptography.hazmat.primitives.asymmetric.rsa import RSAPrivateKey
    from cryptography.x509 import Certificate
    from OpenSSL import SSL, crypto

Check = Callable[["SSL.Connection", bytes], bool]
"""Whether the peer on this connection may have this certificate (DER)."""
Told = Callable[["SSL.Connection", int, int], None]
"""OpenSSL's news of a connection: where (SSL_CB_*) and a number."""

NAME: Final = "vfax"
SINCE: Final = timedelta(days=1)  # clocks of peers are not ours
FOR: Final = timedelta(days=3_650)  # longer than the process runs that made it
CIPHERS: Final = b"ECDHE+AESGCM:ECDHE+CHACHA20:DHE+AESGCM:ECDHE+AES:!aNULL:!eNULL:!PSK:!SRP"
"""Forward secret ones with a certificate; those without AEAD last, for peers of the age of RFC 7345."""
KEY_BITS: Final = 2_048
GROUP: Final = Path(__file__).with_name("ffdhe2048.pem")
"""The group of DHE where we are the server (RFC 7919 A.1): TLS_DHE_RSA_WITH_AES_128_GCM_SHA256 is one of those two."""
MAX_FILE: Final = 1 << 20
"""Limit: octets of a file with a certificate or a key."""


class DtlsIdentity:
    """Our certificate and its key, with the fingerprints to be said in SDP."""

    def __init__(self, certificate: "Certificate", key: "EllipticCurvePrivateKey | RSAPrivateKey") -> None:
        self._certificate = certificate
        self._key = key
        der = _der(certificate)
        self.fingerprints = tuple(Fingerprint.of(der, name) for name in _hashes(certificate))
        """With SHA-256, and with the hash function of the certificate's signature (RFC 8122 5.1)."""

    @classmethod
    def make(cls) -> Self:
        """A new key and a certificate that it has signed itself. Raises LinkError without pyOpenSSL.

        Of RSA: both cipher suites that every peer must have are for that (RFC 7345 4.1).
        """
        _need_openssl()
        from cryptography.hazmat.primitives.asymmetric import rsa

        key = rsa.generate_private_key(65_537, KEY_BITS)
        return cls(_self_signed(key), key)

    @classmethod
    def read(cls, certificate: Path, key: Path) -> Self:
        """A certificate and its key from PEM files. Raises LinkError naming the file and what is wrong with it."""
        _need_openssl()
        from cryptography import x509
        from OpenSSL import SSL

        try:
            owner = x509.load_pem_x509_certificate(_octets(certificate))
        except ValueError as why:
            raise LinkError(f"[dtls] certificate = {str(certificate)!r} is no certificate in PEM: {why}") from why
        identity = cls(owner, _private_key(key))
        try:
            identity.context(lambda *_: True, lambda *_: None)
        except SSL.Error as why:
            raise LinkError(f"[dtls] key = {str(key)!r} is not the key of the certificate {certificate}") from why
        return identity

    def context(self, check: Check, told: Told) -> "SSL.Context":
        """The rules of one association: both ends show certificates, `check` decides about the peer's."""
        from OpenSSL import SSL

        context = SSL.Context(SSL.DTLS_METHOD)
        context.set_cipher_list(CIPHERS)
        context.load_tmp_dh(str(GROUP).encode())
        # Tickets and sessions would let a peer come back without showing its certificate.
        context.set_options(SSL.OP_NO_TICKET | SSL.OP_NO_COMPRESSION)
        context.set_session_cache_mode(SSL.SESS_CACHE_OFF)
        context.set_verify(SSL.VERIFY_PEER | SSL.VERIFY_FAIL_IF_NO_PEER_CERT, _checked_by(check))
        context.set_info_callback(told)
        context.use_certificate(self._certificate)
        context.use_privatekey(self._key)
        context.check_privatekey()
        return context


def _checked_by(check: Check) -> Callable[["SSL.Connection", "crypto.X509", int, int, int], bool]:
    from OpenSSL import crypto

    def verify(connection: "SSL.Connection", shown: "crypto.X509", _error: int, depth: int, _ok: int) -> bool:
        if depth > 0:
            return True
        try:  # as it came: whether its names and dates make sense is none of our business
            octets = crypto.dump_certificate(crypto.FILETYPE_ASN1, shown)
        except (crypto.Error, ValueError):
            return False
        return check(connection, octets)

    return verify


def _der(certificate: "Certificate") -> bytes:
    from cryptography.hazmat.primitives.serialization import Encoding

    return certificate.public_bytes(Encoding.DER)


def _hashes(certificate: "Certificate") -> tuple[str, ...]:
    """Names of the hash functions to make fingerprints with."""
    from cryptography.exceptions import UnsupportedAlgorithm

    with contextlib.suppress(UnsupportedAlgorithm):
        signed_with = certificate.signature_hash_algorithm  # None: the signature has its own, as with Ed25519
        for name, ours in HASHES.items():
            if name not in (USUAL, "sha-1") and signed_with is not None and signed_with.name == ours:
                return USUAL, name
    return (USUAL,)


def _private_key(path: Path) -> "EllipticCurvePrivateKey | RSAPrivateKey":
    from cryptography.hazmat.primitives.asymmetric.ec import EllipticCurvePrivateKey
    from cryptography.hazmat.primitives.asymmetric.rsa import RSAPrivateKey
    from cryptography.hazmat.primitives.serialization import load_pem_private_key

    try:
        key = load_pem_private_key(_octets(path), password=None)
    except (ValueError, TypeError) as why:
        raise LinkError(f"[dtls] key = {str(path)!r} is no private key in PEM without a password") from why
    if not isinstance(key, EllipticCurvePrivateKey | RSAPrivateKey):
        raise LinkError(f"[dtls] key = {str(path)!r} is of another kind than RSA and EC, which DTLS 1.2 peers know")
    return key


def _self_signed(key: "RSAPrivateKey") -> "Certificate":
    from cryptography import x509
    from cryptography.hazmat.primitives import hashes
    from cryptography.x509.oid import NameOID

    name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, NAME)])
    now = datetime.now(UTC)
    unsigned = (
        x509.CertificateBuilder()
        .subject_name(name)
        .issuer_name(name)
        .public_key(key.public_key())
        .serial_number(x509.random_serial_number())
        .not_valid_before(now - SINCE)
        .not_valid_after(now + FOR)
    )
    return unsigned.sign(key, hashes.SHA256())


def _octets(path: Path) -> bytes:
    try:
        with path.open("rb") as file:
            return file.read(MAX_FILE)
    except OSError as why:
        raise LinkError(f"[dtls] cannot read {path}: {why.strerror or why}") from why


def _need_openssl() -> None:
    try:
        import OpenSSL.SSL  # noqa: F401
    except ImportError as why:
        raise LinkError(
            "DTLS ([media] dtls) needs pyOpenSSL, which is not installed: pip install 'vfax[dtls]'"
        ) from why
