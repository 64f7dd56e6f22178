"""Who may speak to a daemon: the entries of its trust store, and the certificates (X.509) themselves.

Source: Incus REST API, doc/rest-api.yaml (Certificate); RFC 5280.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from cryptography import x509 as pyca
from cryptography.exceptions import UnsupportedAlgorithm
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import dsa, ec, ed448, ed25519, rsa

from sigsrv.facts.parsing import boolean_of, parsing, string, text, texts

_SHORT = 12  # of a fingerprint, as Incus's own lists show it
_EDWARDS = {
    pyca.SignatureAlgorithmOID.ED25519: "Ed25519",
    pyca.SignatureAlgorithmOID.ED448: "Ed448",
}


@dataclass(frozen=True)
class X509:
    """A certificate. fingerprint: SHA-256 in hexadecimal; not_before, not_after: seconds since the epoch.

    key: ``ECDSA``, ``RSA``, ``DSA``, ``Ed25519`` or ``Ed448``; bits: its size; signature: the hash that the issuer signed, in lower case
    (``sha256``), or the name of a scheme that brings its own (``Ed25519``).
    """

    fingerprint: str
    not_before: float
    not_after: float
    key: str
    bits: int
    signature: str


@dataclass(frozen=True)
class TrustEntry:
    """An entry of the trust store. type: ``client``, ``server`` (a member of the cluster) or ``metrics``. pem: as Incus has it.

    projects: of a restricted one, those that it may use.
    """

    fingerprint: str
    name: str
    type: str
    restricted: bool
    projects: tuple[str, ...]
    pem: str

    @property
    def resource(self) -> str:
        return short(self.fingerprint)

    @property
    def certificate(self) -> X509:
        """The certificate itself. Raises EvidenceError where it can't be read, or has another fingerprint."""
        with parsing(f"certificate {self.name}", ""):
            found = x509(self.pem, "PEM")
            if found.fingerprint != self.fingerprint:
                raise ValueError(f"it has the fingerprint {found.fingerprint}, not {self.fingerprint}")
            return found


def short(fingerprint: str) -> str:
    """The beginning of a fingerprint, which stands for it."""
    return fingerprint[:_SHORT]


def trust_entry(row: Mapping[str, Any]) -> TrustEntry:
    """An entry from its row. Raises KeyError or ValueError where something is missing or of another shape."""
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
        raise ValueError(f"fingerprint: {found[:80]!r} is no SHA-256")
    return found


def x509(pem: Any, what: str) -> X509:
    """A certificate from its PEM. Raises ValueError where it is none, or has a key of a kind that is not known here."""
    try:
        found = pyca.load_pem_x509_certificate(text(pem, what).encode())
        key, bits = _key(found.public_key())
        signature = _signature(found)
    except (ValueError, UnsupportedAlgorithm) as cause:
        raise ValueError(f"{what}: not a certificate that can be read: {' '.join(str(cause).split())[:120]}") from cause
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
    raise ValueError(f"a key of the kind {type(key).__name__}")


def _signature(found: pyca.Certificate) -> str:
    scheme = _EDWARDS.get(found.signature_algorithm_oid)
    if scheme:
        return scheme
    algorithm = found.signature_hash_algorithm
    if algorithm is None:
        raise ValueError(f"a signature of the kind {found.signature_algorithm_oid.dotted_string}")
    return algorithm.name
