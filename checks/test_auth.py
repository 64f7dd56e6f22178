"""Checks of AUTH: certificates and accounts that may use Incus."""

from sigsrv import ClusterFacts, Require, Site, policy
from sigsrv.facts.trust import X509, short
from sigsrv.judge.ages import DAY_S
from sigsrv.judge.clauses import Clauses

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
    least = site.thresholds.certificate_days
    expected = f"valid for more than {least} days; at least ECDSA of 256 bits, Ed25519, or RSA of 3072 bits; SHA-2"
    seen: set[str] = set()
    with require.about(facts.name):
        seen = {entry.fingerprint for entry in facts.incus.trust}
    for entry in facts.incus.trust if seen else ():
        with require.finding(entry.resource, expected) as finding:
            finding.note = f"certificate {entry.name}"
            _judge(entry.certificate, facts.collected, least, finding)
    for host in facts.hosts.values():
        with require.about(host.name, host=host.name):
            fingerprint = host.incus.certificate.fingerprint
            if fingerprint not in seen:
                seen.add(fingerprint)
                with require.finding(short(fingerprint), expected) as finding:
                    finding.note = f"certificate that {host.name} shows"
                    _judge(host.incus.certificate, facts.collected, least, finding)


def _judge(certificate: X509, now: float, least_days: int, finding: Clauses) -> None:
    days = (certificate.not_after - now) / DAY_S
    if days <= 0:
        finding.violated(f"expired {-days:.0f} days ago")
    else:
        finding.require(days > least_days, f"valid for {days:.0f} days")
    if certificate.not_before > now:
        finding.violated("not valid yet")
    strong = certificate.bits >= _LEAST_BITS.get(certificate.key, certificate.bits + 1)
    finding.require(strong, f"{certificate.key} of {certificate.bits} bits")
    finding.require(certificate.signature in (*_SHA2, *_EDWARDS), f"signed with {certificate.signature}")
