"""Checks of CLUS: the versions of Incus and of its packages."""

import re
from collections.abc import Iterable, Mapping

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
    known: dict[str, tuple[Version, HostFacts]] = {}
    unread: dict[str, EvidenceError] = {}
    for host in {**facts.hosts, **facts.standalone, **facts.others}.values():
        try:
            known[host.name] = (_version(host), host)
        except EvidenceError as cause:
            unread[host.name] = cause
    expected = f"{site.incus.minimum} or newer, the same on every host"
    expected += ", of a long-term series (6.0, 7.0)" if site.incus.track == "lts" else ""
    for name, host in facts.hosts.items():
        with require.about(name, host=name):
            if name in unread:
                raise unread[name]
            own, packages, version = known[name][0], host.packages, host.incus.server.version
            newer = {
                f"{other.incus.server.version} of {other.name}" for theirs, other in known.values() if theirs > own
            }
            faults = [f"{version} is older than {', '.join(sorted(newer))}"] if newer else []
            if own < _numbers(site.incus.minimum):
                faults.append(f"{version} is older than {site.incus.minimum}")
            if site.incus.track == "lts" and not (own[0] >= _FIRST_LTS and own[1] == 0):
                faults.append(f"{version} is not of a long-term series")
            older, not_compared = _older_packages(host, packages, [other for _, other in known.values()])
            faults += older
            unknown = [*unread.values(), *not_compared]
            if not faults and unknown:
                raise unknown[0]
            shown = f" ({', '.join(f'{key} {value}' for key, value in sorted(packages.items()))})" if packages else ""
            require(name, not faults, expected=expected, observed="; ".join(faults) or version + shown, host=name)


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


def _older_packages(
    host: HostFacts, packages: Mapping[str, str], others: Iterable[HostFacts]
) -> tuple[list[str], list[EvidenceError]]:
    """Return the packages that are newer on another host with the same release of the same system, and why some could not be compared.

    A distribution ships fixes without a new version of Incus.
    """
    own_system = (host.incus.server.os, host.incus.server.os_version)
    older: list[str] = []
    unread: list[EvidenceError] = []
    for other in others:
        system = (other.incus.server.os, other.incus.server.os_version)
        if other.name == host.name or not packages:
            continue
        try:
            installed = other.packages
        except EvidenceError as cause:
            unread += [cause] if system == own_system else []
            continue
        if not (all(own_system) and all(system)):
            silent = other if all(own_system) else host
            reason = f"{silent.name}: Incus does not report the operating system that it runs on"
            unread += [EvidenceError(reason)] if installed else []
        elif system == own_system:
            for name in sorted(set(packages) & set(installed)):
                if is_older(packages[name], installed[name]):
                    older.append(f"package {name} {packages[name]} is older than {installed[name]} of {other.name}")
    return older, unread
