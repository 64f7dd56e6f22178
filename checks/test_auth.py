"""Checks of AUTH: certificates and accounts that may use Incus."""

from sigsrv import ClusterFacts, Require, Site, policy
from sigsrv.facts.trust import X509, short
from sigsrv.judge.ages import DAY_S

_SHA2 = ("sha224", "sha256", "sha384", "sha512")
_EDWARDS = ("Ed25519", "Ed448")
_LEAST_BITS = {"ECDSA": 256, "RSA": 3072, "Ed25519": 256, "Ed448": 448}


@policy("AUTH-003")
def test_certificates_are_strong_valid_and_not_about_to_expire(
    facts: ClusterFacts, site: Site, require: Require
) -> None:
    """Looks at the certificates in the trust store, and at the one that each host's daemon shows.

    A certificate that is in several places is checked once.
    """
    found: dict[str, tuple[str, X509]] = {}
    in_store: set[str] = set()
    for entry in facts.incus.trust:
        with require.about(entry.resource):
            in_store.add(entry.fingerprint)
            found[entry.fingerprint] = (entry.name, entry.certificate)
    for host in facts.hosts.values():
        with require.about(host.name, host=host.name):
            shown = host.incus.certificate
            if shown.fingerprint not in in_store:
                found.setdefault(shown.fingerprint, (f"the certificate that {host.name} shows", shown))
    least = site.thresholds.certificate_days
    for fingerprint, (name, certificate) in sorted(found.items(), key=lambda item: item[0]):
        faults = _weaknesses(certificate)
        days = (certificate.not_after - facts.collected) / DAY_S
        if certificate.not_before > facts.collected:
            faults.append("not valid yet")
        if days <= 0:
            faults.append(f"expired {-days:.0f} days ago")
        elif days <= least:
            faults.append(f"expires in {days:.0f} days")
        fine = f"{certificate.key} {certificate.bits}, {certificate.signature}, valid for {days:.0f} days"
        require(
            short(fingerprint),
            not faults,
            expected=f"valid for more than {least} days; at least ECDSA of 256 bits, Ed25519, or RSA of 3072 bits; SHA-2",
            observed=f"{name}: {'; '.join(faults) or fine}",
        )


def _weaknesses(certificate: X509) -> list[str]:
    found = []
    if certificate.bits < _LEAST_BITS.get(certificate.key, certificate.bits + 1):
        found.append(f"{certificate.key} of {certificate.bits} bits")
    if certificate.signature not in (*_SHA2, *_EDWARDS):
        found.append(f"signed with {certificate.signature}")
    return found
