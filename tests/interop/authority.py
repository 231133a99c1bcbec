"""A certificate authority of the tests' own: keys and certificates in a folder, made by openssl.

Owns      `Authority`: its own certificate, and certificates that it issues, good ones and ones that must be refused.
Not here  who shows them (kamailio.py, peer_wires.py) and who checks them.
Source    openssl-req(1), openssl-x509(1); RFC 5922 7.2 for what names a SIP certificate bears.
"""

import subprocess
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Final

EC: Final = ("-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:prime256v1", "-nodes")


@dataclass(frozen=True, slots=True)
class Credentials:
    """A certificate with its key, PEM, and the certificate of the authority that vouches for it."""

    certificate: Path
    key: Path
    authority: Path


class Authority:
    """A root of trust in `folder` that nobody else trusts."""

    def __init__(self, folder: Path, name: str = "tests of vfax") -> None:
        self._folder = folder
        folder.mkdir(parents=True, exist_ok=True)
        self.certificate, self._key = folder / "authority.pem", folder / "authority.key"
        signing = ("-addext", "basicConstraints=critical,CA:TRUE", "-addext", "keyUsage=critical,keyCertSign,cRLSign")
        subject = ("-subj", f"/CN={name}", "-days", "30", *signing)
        _openssl("req", "-x509", *EC, "-keyout", str(self._key), "-out", str(self.certificate), *subject)

    def issue(self, name: str, *, names: Sequence[str], days: int = 30) -> Credentials:
        """A certificate for `names` (DNS names and addresses as openssl writes them: `DNS:a`, `IP:127.0.0.1`).

        It is good for clients and servers. `days` of 0 or less: it has run out already.
        """
        request, key = self._folder / f"{name}.csr", self._folder / f"{name}.key"
        certificate, extensions = self._folder / f"{name}.pem", self._folder / f"{name}.ext"
        extensions.write_text(
            f"basicConstraints=CA:FALSE\nsubjectAltName={','.join(names)}\nextendedKeyUsage=serverAuth,clientAuth\n"
        )
        _openssl("req", "-new", *EC, "-keyout", str(key), "-out", str(request), "-subj", f"/CN={name}")
        signed = ("-CA", str(self.certificate), "-CAkey", str(self._key), "-CAcreateserial", "-days", str(days))
        _openssl("x509", "-req", "-in", str(request), "-out", str(certificate), "-extfile", str(extensions), *signed)
        return Credentials(certificate, key, self.certificate)


def _openssl(*arguments: str) -> None:
    done = subprocess.run(["openssl", *arguments], capture_output=True, text=True, check=False)
    if done.returncode:
        raise RuntimeError(f"openssl {' '.join(arguments)} ended with {done.returncode}: {done.stderr.strip()}")
