"""Certificates and keys of a control plane, made by openssl for the time of a test."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from cluster import packages
from cluster.running import output

_DAYS = "30"
_KEY = ("-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:prime256v1", "-nodes")
_TIMEOUT_S = 30.0


@dataclass(frozen=True, slots=True)
class Certificate:
    """A certificate and its key, as PEM files."""

    certificate: Path
    key: Path


@dataclass(frozen=True, slots=True)
class Authority:
    """A certificate authority of one test."""

    own: Certificate

    @classmethod
    def create(cls, folder: Path) -> Authority:
        """A new authority in `folder`."""
        packages.ensure("openssl")
        folder.mkdir(parents=True, exist_ok=True)
        own = Certificate(folder / "ca.crt", folder / "ca.key")
        subject = ("-subj", "/CN=test-authority", "-days", _DAYS)
        _openssl("req", "-x509", *_KEY, *subject, "-keyout", str(own.key), "-out", str(own.certificate))
        return cls(own)

    def issue(self, name: str, subject: str, *names: str) -> Certificate:
        """A certificate for both ends of a connection.

        `subject` is as openssl writes it (`/O=system:masters/CN=admin`); `names` are those of a server
        (`DNS:localhost`, `IP:127.0.0.1`).
        """
        folder = self.own.certificate.parent
        issued = Certificate(folder / f"{name}.crt", folder / f"{name}.key")
        request, extensions = folder / f"{name}.csr", folder / f"{name}.ext"
        wanted = ["extendedKeyUsage=clientAuth,serverAuth", *([f"subjectAltName={','.join(names)}"] if names else [])]
        extensions.write_text("\n".join(wanted) + "\n")
        _openssl("req", *_KEY, "-subj", subject, "-keyout", str(issued.key), "-out", str(request))
        authority = ("-CA", str(self.own.certificate), "-CAkey", str(self.own.key), "-CAcreateserial", "-days", _DAYS)
        _openssl(
            "x509",
            "-req",
            "-in",
            str(request),
            *authority,
            "-extfile",
            str(extensions),
            "-out",
            str(issued.certificate),
        )
        return issued


def create_key_pair(folder: Path, name: str) -> tuple[Path, Path]:
    """A private key and its public half: service account tokens are signed with one and checked with the other."""
    private, public = folder / f"{name}.key", folder / f"{name}.pub"
    _openssl("genpkey", "-algorithm", "RSA", "-pkeyopt", "rsa_keygen_bits:2048", "-out", str(private))
    _openssl("pkey", "-in", str(private), "-pubout", "-out", str(public))
    return private, public


def _openssl(*args: str) -> None:
    output(["openssl", *args], timeout_s=_TIMEOUT_S)
