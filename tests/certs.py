"""Certificates for tests, made by openssl once a session.

Owns      one authority and leaves of it: valid, expired, for another name; one that signed itself.
"""

import subprocess
from dataclasses import dataclass
from pathlib import Path

NAMES = "DNS:localhost,DNS:sip.test,IP:127.0.0.1,IP:::1"
NEW_KEY = ("-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:prime256v1", "-nodes")


@dataclass(frozen=True, slots=True)
class Credentials:
    """What one side of TLS shows, and whom it believes: PEM files."""

    certificate: Path
    key: Path
    authority: Path


@dataclass(frozen=True, slots=True)
class Authority:
    """Its folder; `certificate` is whom to believe."""

    folder: Path

    @property
    def certificate(self) -> Path:
        return self.folder / "authority.pem"

    @classmethod
    def make(cls, folder: Path) -> "Authority":
        made = cls(folder)
        key = folder / "authority.key"
        openssl("req", "-x509", *NEW_KEY, "-keyout", key, "-out", made.certificate, "-subj", "/CN=Authority")
        return made

    def issue(self, name: str, *, names: str = NAMES, days: int = 30) -> Path:
        """A leaf with its key in one file; one of -1 days has expired."""
        folder = self.folder
        key, request, names_file, made = (folder / f"{name}.{kind}" for kind in ("key", "csr", "names", "crt"))
        openssl("req", *NEW_KEY, "-keyout", key, "-out", request, "-subj", f"/CN={name}")
        names_file.write_text(f"subjectAltName={names}\n")
        signing = ("-CA", self.certificate, "-CAkey", folder / "authority.key", "-CAcreateserial")
        openssl("x509", "-req", "-in", request, *signing, "-days", days, "-extfile", names_file, "-out", made)
        return join(folder / f"{name}.pem", made, key)

    def credentials(self, name: str) -> Credentials:
        """A leaf as what one side shows."""
        leaf = self.issue(name)
        return Credentials(leaf, leaf, self.certificate)

    def self_signed(self, name: str) -> Path:
        """One that nobody but itself vouches for."""
        key, made = self.folder / f"{name}.key", self.folder / f"{name}.crt"
        names = ("-addext", f"subjectAltName={NAMES}")
        openssl("req", "-x509", *NEW_KEY, "-keyout", key, "-out", made, "-subj", f"/CN={name}", *names)
        return join(self.folder / f"{name}.pem", made, key)


def join(path: Path, *parts: Path) -> Path:
    path.write_bytes(b"".join(part.read_bytes() for part in parts))
    return path


def openssl(*words: object) -> None:
    subprocess.run(["openssl", *map(str, words)], check=True, capture_output=True)
