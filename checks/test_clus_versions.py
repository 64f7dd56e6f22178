"""Checks of CLUS: the versions of Incus and of its packages."""

import re
from collections.abc import Iterator, Mapping

from sigsrv import ClusterFacts, HostFacts, Require, Site, policy
from sigsrv.facts.packages import is_older
from sigsrv.model.errors import EvidenceError

_FIRST_LTS = 6  # the first major version with a long-term series
Version = tuple[int, ...]


@policy("CLUS-002")
def test_all_hosts_run_the_same_supported_and_patched_incus_version(
    facts: ClusterFacts, site: Site, require: Require
) -> None:
    """Looks at the version of each host's daemon and at its Incus packages, and compares them with all other hosts.

    The finding is on the outdated host: its version is older than on another host, older than the minimum of the site file, or of a
    series without long-term support. If another host can't report its version, it is unknown whether a host runs the same one.
    """
    minimum = site.incus.minimum
    expected = f"{minimum} or newer, the same on every host"
    expected += ", of a long-term series (6.0, 7.0)" if site.incus.track == "lts" else ""
    everywhere = {**facts.hosts, **facts.standalone, **facts.others}
    for name, host in facts.hosts.items():
        others = [other for other in everywhere.values() if other.name != name]
        with require.finding(name, expected, host=name) as finding:
            with finding.clause():
                own, version = _version(host), host.incus.server.version
                finding.holds(version)
                if own < _numbers(minimum):
                    finding.violated(f"{version} is older than {minimum}")
                if site.incus.track == "lts" and not (own[0] >= _FIRST_LTS and own[1] == 0):
                    finding.violated(f"{version} is not of a long-term series")
                for other in others:
                    with finding.clause():
                        if _version(other) > own:
                            finding.violated(f"{version} is older than {other.incus.server.version} of {other.name}")
            packages = host.packages
            for key, installed in sorted(packages.items()):
                finding.holds(f"{key} {installed}")
            for other in others:
                with finding.clause():
                    for older in _older_packages(host, packages, other):
                        finding.violated(older)


def _version(host: HostFacts) -> Version:
    """Return the version of a host's daemon. Raises EvidenceError if another member answers there."""
    if host.wrong_member:
        raise host.wrong_member
    return _numbers(host.incus.server.version)


def _numbers(version: str) -> Version:
    """Return the three numbers of a version: 6.0.10 is newer than 6.0.4, and 7.0 is 7.0.0. Raises EvidenceError."""
    if not re.fullmatch(r"[0-9]{1,9}(\.[0-9]{1,9}){1,2}", version):
        raise EvidenceError(f"{version!r} is not a version of Incus")
    found = tuple(int(number) for number in version.split("."))
    return found + (0,) * (3 - len(found))


def _older_packages(host: HostFacts, packages: Mapping[str, str], other: HostFacts) -> Iterator[str]:
    """Yield the packages of a host that are newer on another host with the same release of the same system. Raises EvidenceError.

    A distribution ships fixes without a new version of Incus.
    """
    own_system = (host.incus.server.os, host.incus.server.os_version)
    system = (other.incus.server.os, other.incus.server.os_version)
    is_known = all(own_system) and all(system)
    if not packages or (is_known and system != own_system):
        return
    installed = other.packages
    if installed and not is_known:
        silent = other if all(own_system) else host
        raise EvidenceError(f"{silent.name}: Incus does not report the operating system that it runs on")
    for name in sorted(set(packages) & set(installed)):
        if is_older(packages[name], installed[name]):
            yield f"package {name} {packages[name]} is older than {installed[name]} of {other.name}"
