"""Checks of CLUS: the cluster."""

import re

from sigsrv import finding_id, policy
from sigsrv.facts.config import OFFLINE_AFTER, OFFLINE_AFTER_S
from sigsrv.facts.packages import is_older
from sigsrv.model.errors import EvidenceError
from sigsrv.model.values import seconds

_WEEK_S = 7 * 24 * 3600
_FIRST_LTS = 6  # the first major version that had a long-term series
_HEALING_AFTER = "cluster.healing_threshold"
_SPREAD_S = 3  # heartbeats are spread a little beyond half of the threshold
_PATIENCE_S = 240  # a threshold lowered from more than that leaves members Offline for longer than a script may wait
_OFFLINE, _NO_APPARMOR = "Offline cluster member", "AppArmor support has been disabled"
_POOL_LOST, _NETWORK_LOST = "Storage pool unavailable", "Network unavailable"
_SKEW = "Time skew detected between leader and local"


def _answers(facts):
    """What each host's own daemon says of the members, by host; and why the others could not be asked."""
    answers, refused = {}, {}
    for host in facts.hosts.values():
        try:
            answers[host.name] = {member.name: member for member in host.incus.members}
        except EvidenceError as cause:
            refused[host.name] = cause
    if not answers:
        raise next(iter(refused.values()))
    return answers, refused


def _in_no_cluster(facts, site, require):
    """Whether the host stands alone: then a policy on a cluster has nothing to look at. That it should be in one is CLUS-001's."""
    if facts.name == "cluster":
        return False
    because = finding_id("CLUS-001", facts.name, facts.name) if len(site.hosts) > 1 else None
    require.not_applicable(facts.name, f"{facts.name} is in no cluster", because=because)
    return True


@policy("CLUS-001")
def test_cluster_members_are_online(facts, site, require):
    """In the eyes of every host that could be asked: a member may be Online for one and away for another."""
    if facts.name != "cluster":
        if len(site.hosts) == 1:
            require.not_applicable(reason="the site has one host, which is in no cluster")
        else:
            expected = f"a member of the cluster of {len(site.hosts)} hosts"
            require(facts.name, False, expected=expected, observed=f"{facts.name} is in no cluster")
        return
    answers, refused = _answers(facts)
    apart = {host.member: host for host in facts.standalone.values()}
    members = {host.member for host in site.hosts} | {name for listed in answers.values() for name in listed}
    for name in sorted(members):
        host = facts.host_of(name)
        seen = {asked: listed[name] for asked, listed in answers.items() if name in listed}
        statuses = {member.status for member in seen.values()}
        if host is not None and host.daemon_down:
            because = finding_id("HOST-002", host.name, host.name)
            require.not_applicable(name, f"the Incus daemon of {host.name} does not answer", because=because)
        elif name in apart:
            because = finding_id("CLUS-001", apart[name].name, apart[name].name)
            require.not_applicable(name, f"{apart[name].name} is in no cluster", because=because)
        elif len(seen) < len(answers):
            because = finding_id("CLUS-006", facts.name, name)
            blind = ", ".join(asked for asked in answers if asked not in seen)
            require.not_applicable(name, f"{blind} knows no member {name}", because=because)
        elif all(member.is_evacuated for member in seen.values()):
            because = finding_id("CLUS-004", facts.name, name)
            require.not_applicable(name, f"it is {', '.join(sorted(statuses))}", because=because)
        elif statuses == {"Online"} and host and host.name in refused and not host.unreachable:
            with require.about(name):  # it can be cut off, and be Online in the others' eyes for a while
                raise refused[host.name]
        else:
            require(
                name,
                statuses == {"Online"},
                expected="Online in the eyes of every host",
                observed="; ".join(
                    f"{asked}: {member.status} ({member.message})" for asked, member in sorted(seen.items())
                ),
            )


@policy("CLUS-002")
def test_incus_is_the_same_supported_and_patched_version_everywhere(facts, site, require):
    """The finding stands on the host that is behind: behind the others, the site's minimum, or on a series without support.

    While one of the others can't tell what it runs, nobody knows whether a host runs the same.
    """
    builds, untold = {}, {}
    for host in {**facts.hosts, **facts.standalone, **facts.others}.values():
        try:
            builds[host.name] = (_version(host), host)
        except EvidenceError as cause:
            untold[host.name] = cause
    expected = f"{site.incus.minimum} or newer, the same on every host"
    expected += ", of a long-term series (6.0, 7.0)" if site.incus.track == "lts" else ""
    for name, host in facts.hosts.items():
        with require.about(name, host=name):
            if name in untold:
                raise untold[name]
            numbers, packages = builds[name][0], host.packages
            version = host.incus.server.version
            newer = {
                f"{other.incus.server.version} of {other.name}" for theirs, other in builds.values() if theirs > numbers
            }
            faults = [f"{version} is older than {', '.join(sorted(newer))}"] if newer else []
            if numbers < _numbers(site.incus.minimum):
                faults.append(f"{version} is older than {site.incus.minimum}")
            if site.incus.track == "lts" and not (numbers[0] >= _FIRST_LTS and numbers[1] == 0):
                faults.append(f"{version} is of no long-term series")
            older, unread = _older_packages(host, packages, [other for _, other in builds.values()])
            faults += older
            if not faults and (untold or unread):
                raise [*untold.values(), *unread][0]
            shown = f" ({', '.join(f'{key} {value}' for key, value in sorted(packages.items()))})" if packages else ""
            require(name, not faults, expected=expected, observed="; ".join(faults) or version + shown, host=name)


def _version(host):
    """Raises EvidenceError where another member answers there."""
    if host.wrong_member:
        raise host.wrong_member
    return _numbers(host.incus.server.version)


def _numbers(version):
    """The numbers of a version, three of them: 6.0.10 is newer than 6.0.4, and 7.0 is 7.0.0."""
    if not re.fullmatch(r"[0-9]{1,9}(\.[0-9]{1,9}){1,2}", version):
        raise EvidenceError(f"{version!r} is no version of Incus")
    found = tuple(int(number) for number in version.split("."))
    return found + (0,) * (3 - len(found))


def _older_packages(host, packages, others):
    """Packages that another host of the same release of the same system has newer; and why some could not be compared.

    Fixes come without a new version.
    """
    mine = (host.incus.server.os, host.incus.server.os_version)
    found, unread = [], []
    for other in others:
        theirs = (other.incus.server.os, other.incus.server.os_version)
        if other.name == host.name or not packages:
            continue
        try:
            installed = other.packages
        except EvidenceError as cause:
            unread += [cause] if theirs == mine else []
            continue
        if not (all(mine) and all(theirs)):
            of = host if not all(mine) else other
            unread += [EvidenceError(f"{of.name}: Incus does not say which system it runs on")] if installed else []
        elif theirs == mine:
            for name in sorted(set(packages) & set(installed)):
                if is_older(packages[name], installed[name]):
                    found.append(f"package {name} {packages[name]} is older than {installed[name]} of {other.name}")
    return found, unread


@policy("CLUS-003")
def test_database_roles_and_timing_are_the_sites(facts, site, require):
    """Enough votes, one leader, and the thresholds of the site."""
    if _in_no_cluster(facts, site, require):
        return
    members, config = facts.incus.first(lambda incus: (incus.members, incus.config))
    voters = sorted(member.name for member in members if "database" in member.roles)
    leaders = sorted(member.name for member in members if "database-leader" in member.roles)
    wanted = site.cluster
    faults = []
    if len(voters) < wanted.voters_min:
        faults.append(f"{_count(len(voters), 'voter')} of at least {wanted.voters_min}")
    if len(leaders) != 1:
        faults.append(f"{_count(len(leaders), 'leader')} of the database")
    settings, seen, set_to, refused = [], [], {}, list(faults)
    for key, value, default in (
        (OFFLINE_AFTER, wanted.offline_threshold, OFFLINE_AFTER_S),
        (_HEALING_AFTER, wanted.healing_threshold, 0),
    ):
        set_to[key] = seconds(config.get(key), default, key)
        seen.append(f"{key} {set_to[key]}")
        if set_to[key] != value:
            settings.append({"key": key, "value": str(value), "member": "", "settle": ""})
    if set_to[OFFLINE_AFTER] > wanted.offline_threshold:  # all are Offline until they are heard of at the new pace
        settings[0]["settle"] = str(max(wanted.offline_threshold, set_to[OFFLINE_AFTER] // 2) + _SPREAD_S)
        if set_to[OFFLINE_AFTER] > _PATIENCE_S:
            refused.append(
                f"lower {OFFLINE_AFTER} when members may be Offline for {set_to[OFFLINE_AFTER]} s: "
                "the old pace goes on for two heartbeats"
            )
        if set_to[_HEALING_AFTER] or wanted.healing_threshold:
            refused.append(
                f"lower {OFFLINE_AFTER} while {_HEALING_AFTER} is 0: members are Offline until the next heartbeat"
            )
    lone = "; two members: without the voter there is no quorum, whatever is set" if len(members) == 2 else ""
    require(
        facts.name,
        not faults and not settings,
        expected=f"{_count(wanted.voters_min, 'voter')} or more, one leader, {OFFLINE_AFTER} {wanted.offline_threshold}, "
        f"{_HEALING_AFTER} {wanted.healing_threshold}",
        observed=f"{_count(len(voters), 'voter')} ({', '.join(voters) or 'none'}), leader {', '.join(leaders) or 'none'}, "
        + ", ".join(seen)
        + lone,
        fix={"settings": settings, "refused": "; ".join(refused)},
    )


def _count(number, word):
    return f"{number} {word}{'' if number == 1 else 's'}"


@policy("CLUS-004")
def test_no_member_is_evacuated_or_blocked_from_scheduling(facts, site, require):
    """In the eyes of every host that could be asked, as CLUS-001 has it."""
    if _in_no_cluster(facts, site, require):
        return
    answers, _ = _answers(facts)
    for name in sorted({name for members in answers.values() for name in members}):
        seen = [members[name] for members in answers.values() if name in members]
        away = sorted({member.status for member in seen if member.is_evacuated})
        scheduling = sorted({member.config.get("scheduler.instance") or "all" for member in seen})
        require(
            name,
            not away and scheduling == ["all"],
            expected="not evacuated, scheduler.instance is all or unset",
            observed=", ".join([*away, f"scheduler.instance is {', '.join(scheduling)}"]),
            fix={"member": name, "status": ", ".join(away)},
        )


@policy("CLUS-005")
def test_no_unresolved_warnings(facts, site, require):
    """One finding for each type and place; a warning that another policy's finding is the cause of is left to that."""
    found = {}
    ignored = set()
    for warning in facts.incus.warnings:
        if not _is_open(warning, facts.collected):
            continue
        if warning.type in site.warnings_ignored:
            ignored.add(warning.type)
        else:
            where = facts.name if warning.location in ("", "none") else warning.location
            found.setdefault((warning.type, where), []).append(warning)
    if not found:
        seen = f"none but of a type that the site ignores: {', '.join(sorted(ignored))}" if ignored else "none"
        require(facts.name, True, expected="no open warning", observed=seen)
    for (kind, location), warnings in sorted(found.items()):
        resource = f"{kind}/{location}"
        roots = {_root(facts, site, warning) for warning in warnings}
        if None not in roots:
            root = sorted(roots)[0]
            require.not_applicable(resource, f"it tells of the same as {root}", because=root)
            continue
        last = max(warnings, key=lambda warning: warning.last_seen or 0)
        states = ", ".join(sorted({warning.status for warning in warnings}))
        require(
            resource,
            False,
            expected="no open warning",
            observed=f"{states}, seen {_count(sum(warning.count for warning in warnings), 'time')}"
            + (f": {last.message}" if last.message else ""),
        )


def _is_open(warning, now):
    """Resolved ones are listed as well. One that was acknowledged is forgotten a week after it was last seen."""
    if warning.status == "resolved":
        return False
    old = warning.last_seen is not None and warning.last_seen < now - _WEEK_S
    return not (warning.status == "acknowledged" and old)


def _away(facts):
    """The members that are away now, each with the id of the finding that says so."""
    answers, _ = _answers(facts)
    for name in sorted({name for members in answers.values() for name in members}):
        host = facts.host_of(name)
        seen = [members[name] for members in answers.values() if name in members]
        if host is not None and host.unreachable:
            yield name, finding_id("HOST-001", host.name, host.name)
        elif host is not None and host.daemon_down:
            yield name, finding_id("HOST-002", host.name, host.name)
        elif any(member.status != "Online" and not member.is_evacuated for member in seen):
            yield name, finding_id("CLUS-001", facts.name, name)


def _with_a_wrong_clock(facts, site):
    """The hosts whose clock HOST-007 finds wrong now."""
    for host in facts.hosts.values():
        try:
            if host.machine.skew.nearest > site.thresholds.clock_skew_seconds:
                yield host
        except EvidenceError:
            continue  # which HOST-007 tells


def _is_lost(host, warning, name):
    """Whether a warning is of that pool: it names it, or it names none and the pool is not what it should be."""
    if warning.pool is None:
        pool = host.incus.pool_at(name, host.member)
        return pool is not None and pool.status != "Created"
    return True


def _root(facts, site, warning):
    """The id of the finding that has the cause of a warning; None where nothing else tells of it."""
    if warning.type == _OFFLINE:
        # its location is the member that missed another one; which one its message alone tells
        return next((root for name, root in _away(facts) if name != warning.location), None)
    if warning.type == _SKEW:  # it stands with the member that noticed; the wrong clock may be the leader's
        return next((finding_id("HOST-007", each.name, each.name) for each in _with_a_wrong_clock(facts, site)), None)
    host = facts.host_of(warning.location)
    if host is None:
        return None
    if warning.type == _NO_APPARMOR:
        return finding_id("HOST-008", host.name, host.name)
    if warning.type == _POOL_LOST:
        names = [pool.name for pool in site.pools if pool.is_on(host.name)]
        lost = next((name for name in names if warning.pool in (name, None) and _is_lost(host, warning, name)), None)
        return finding_id("POOL-001", host.name, lost) if lost else None
    if warning.type == _NETWORK_LOST and warning.network in site.networks:
        there = host.incus.network_at(warning.network, host.member)
        if there is None or there.status != "Created":  # NET-004 looks at that, and not at warnings
            return finding_id("NET-004", host.name, warning.network)
    return None


@policy("CLUS-006")
def test_cluster_members_are_the_hosts_of_the_site(facts, site, require):
    """No member more, none less; and each host's daemon is the one that the site says it is."""
    hosts = {host.member: host.name for host in site.hosts}
    if facts.name != "cluster":
        if len(site.hosts) > 1:
            _in_no_cluster(facts, site, require)
        else:
            for host in facts.hosts.values():
                own = _own_name(host)
                require(host.name, own == host.member, expected=f"named {host.member}", observed=f"named {own}")
        return
    answers, _ = _answers(facts)
    apart = {host.member: host.name for host in facts.standalone.values()}
    for name in sorted({*hosts, *(name for members in answers.values() for name in members)}):
        if name in apart:
            because = finding_id("CLUS-001", apart[name], apart[name])
            require.not_applicable(name, f"{apart[name]} is in no cluster", because=because)
            continue
        blind = [asked for asked, members in answers.items() if name not in members]
        faults = [f"{asked} knows no member {name}" for asked in blind]
        if name not in hosts:
            faults.append("no host of the site")
        host = facts.hosts.get(hosts.get(name, ""))
        seen = "a member"
        with require.about(name):
            if host is None:
                seen += "" if name not in hosts else f"; what {hosts[name]} says of itself was not asked"
            elif not faults:
                own = _own_name(host)
                seen += f", and {host.name} says that it is {own}"
                if own != name:
                    faults.append(f"{host.name} leads to the member {own}")
            require(
                name, not faults, expected="a member that is a host of the site", observed="; ".join(faults) or seen
            )


def _own_name(host):
    """What a host's daemon calls itself. Raises EvidenceError where it does not say."""
    name = host.incus.server.name
    if not name:
        raise EvidenceError(f"{host.name}: its daemon does not say its name", host=host.name)
    return name
