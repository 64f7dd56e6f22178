"""The trust store of a daemon: its entries, and the X.509 certificates themselves.

Source: Incus REST API, doc/rest-api.yaml (Certificate); RFC 5280.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Annotated, Any

from cryptography import x509 as pyca
from cryptography.exceptions import UnsupportedAlgorithm
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import dsa, ec, ed448, ed25519, rsa

from sigsrv.facts.config import Values
from sigsrv.facts.parsing import boolean_of, parsing, string, text, texts

CertificateType = Annotated[str, Values(("client", "server", "metrics"))]
_SHORT = 12  # digits of a fingerprint, as many as Incus's own lists show
_EDWARDS = {
    pyca.SignatureAlgorithmOID.ED25519: "Ed25519",
    pyca.SignatureAlgorithmOID.ED448: "Ed448",
}


@dataclass(frozen=True)
class X509:
    """An X.509 certificate."""

    fingerprint: str
    """The certificate's SHA-256, in hexadecimal."""
    not_before: float
    """When the certificate becomes valid, in seconds since the epoch."""
    not_after: float
    """When the certificate expires, in seconds since the epoch."""
    key: str
    """The type of the public key: ``ECDSA``, ``RSA``, ``DSA``, ``Ed25519`` or ``Ed448``."""
    bits: int
    """The size of the public key in bits."""
    signature: str
    """The hash of the issuer's signature in lower case (``sha256``), or a scheme with its own hash (``Ed25519``)."""


@dataclass(frozen=True)
class TrustEntry:
    """An entry of the trust store."""

    fingerprint: str
    """The fingerprint that Incus lists: SHA-256, in hexadecimal, in lower case."""
    name: str
    """The entry's name; empty if it has none."""
    type: CertificateType
    """``client``, ``server`` (a member of the cluster) or ``metrics``."""
    restricted: bool
    """Whether the client may use only the projects in ``projects``."""
    projects: tuple[str, ...]
    """The projects that a restricted client may use."""
    pem: str
    """The certificate in PEM, as Incus stores it."""
    is_name_unique: bool = True
    """Whether no other client certificate has the name."""

    @property
    def resource(self) -> str:
        """Return the entry's name in findings: the first 12 digits of the fingerprint."""
        return short(self.fingerprint)

    @property
    def certificate(self) -> X509:
        """Return the certificate itself. Raises EvidenceError if it is unreadable or has another fingerprint."""
        with parsing(f"certificate {self.name}", ""):
            found = x509(self.pem, "PEM")
            if found.fingerprint != self.fingerprint:
                raise ValueError(f"its fingerprint is {found.fingerprint}, not {self.fingerprint}")
            return found


def short(fingerprint: str) -> str:
    """Return the first 12 digits of a fingerprint, which findings show instead of all."""
    return fingerprint[:_SHORT]


def trust_entry(row: Mapping[str, Any]) -> TrustEntry:
    """Read an entry from its row. Raises KeyError or ValueError if a key is missing or has another type."""
    fingerprint = _fingerprint(row["fingerprint"])
    return TrustEntry(
        fingerprint=fingerprint,
        name=string(row["name"], "name"),
        type=text(row["type"], "type"),
        restricted=boolean_of(row["restricted"], "restricted"),
        projects=texts(row["projects"], "projects"),
        pem=text(row["certificate"], "certificate"),
    )


def _fingerprint(value: Any) -> str:
    found = text(value, "fingerprint").lower()
    if len(found) != 64 or not set(found) <= set("0123456789abcdef"):
        raise ValueError(f"fingerprint: {found[:80]!r} is not a SHA-256")
    return found


def x509(pem: Any, what: str) -> X509:
    """Read a certificate from its PEM. Raises ValueError if it is malformed or its type of key is not supported."""
    try:
        found = pyca.load_pem_x509_certificate(text(pem, what).encode())
        key, bits = _key(found.public_key())
        signature = _signature(found)
    except (ValueError, UnsupportedAlgorithm) as cause:
        raise ValueError(f"{what}: not a readable certificate: {' '.join(str(cause).split())[:120]}") from cause
    return X509(
        fingerprint=found.fingerprint(hashes.SHA256()).hex(),
        not_before=found.not_valid_before_utc.timestamp(),
        not_after=found.not_valid_after_utc.timestamp(),
        key=key,
        bits=bits,
        signature=signature,
    )


def _key(key: object) -> tuple[str, int]:
    if isinstance(key, ec.EllipticCurvePublicKey):
        return "ECDSA", key.curve.key_size
    if isinstance(key, rsa.RSAPublicKey):
        return "RSA", key.key_size
    if isinstance(key, dsa.DSAPublicKey):
        return "DSA", key.key_size
    if isinstance(key, ed25519.Ed25519PublicKey):
        return "Ed25519", 256
    if isinstance(key, ed448.Ed448PublicKey):
        return "Ed448", 448
    raise ValueError(f"a key of type {type(key).__name__} is not supported")


def _signature(found: pyca.Certificate) -> str:
    scheme = _EDWARDS.get(found.signature_algorithm_oid)
    if scheme:
        return scheme
    algorithm = found.signature_hash_algorithm
    if algorithm is None:
        raise ValueError(f"a signature of type {found.signature_algorithm_oid.dotted_string} is not supported")
    return algorithm.name
