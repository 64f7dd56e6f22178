"""Checks of PROJ: projects, and what is in them. PROJ-001 is a rule in its policy's file."""

import posixpath

from sigsrv import finding_id, policy
from sigsrv.facts.restrictions import forbidden, ranges
from sigsrv.model.errors import EvidenceError
from sigsrv.model.site import DEFAULT_FEATURES
from sigsrv.model.values import size_bytes, split_list

_BLOCKED = (
    "restricted.cluster.target",
    "restricted.containers.interception",
    "restricted.containers.lowlevel",
    "restricted.containers.nesting",
    "restricted.devices.gpu",
    "restricted.devices.infiniband",
    "restricted.devices.pci",
    "restricted.devices.proxy",
    "restricted.devices.unix-block",
    "restricted.devices.unix-char",
    "restricted.devices.unix-hotplug",
    "restricted.devices.usb",
    "restricted.virtual-machines.lowlevel",
)
_NIC = "restricted.devices.nic"
_NETWORKS = "restricted.networks.access"
_POOLS = "restricted.storage-pools.access"
_POOLS_EXTENSION = "projects_restricted_storage_pool_access"


@policy("PROJ-002")
def test_project_has_its_own_profiles_volumes_and_buckets(facts, site, require):
    """What a project does not have of its own it shares with project default. Unset counts as false."""
    for project in facts.incus.projects:
        if project.name == "default":
            continue
        entry = site.project(project.name)
        wanted = entry.features if entry else DEFAULT_FEATURES
        wrong = [key for key, value in sorted(wanted.items()) if (project.config[key] == "true") is not value]
        require(
            project.name,
            not wrong,
            expected=", ".join(f"{key} is {str(value).lower()}" for key, value in sorted(wanted.items())),
            observed=", ".join(f"{key} is {project.config[key]}" for key in wrong or sorted(wanted)),
        )


def _restricted(facts, require):
    """Each restricted project. In the others no restriction has an effect, whatever it says."""
    for project in facts.incus.projects:
        if project.config["restricted"] == "true":
            yield project
        else:
            because = finding_id("PROJ-001", facts.name, project.name)
            require.not_applicable(project.name, "it is not restricted", because=because)


def _of_the_site(facts, site, require, projects=None):
    """Each project (or each of ``projects``) that the site has an entry for, with it."""
    for project in facts.incus.projects if projects is None else projects:
        entry = site.project(project.name)
        if entry:
            yield project, entry
        else:
            because = finding_id("PROJ-008", facts.name, project.name)
            require.not_applicable(project.name, "the site has no entry for it", because=because)


@policy("PROJ-003")
def test_restricted_project_loosens_nothing_that_matters(facts, site, require):
    """Unset is what restricts. Each key is judged by itself: an exemption may name some."""
    for project in _restricted(facts, require):
        with require.about(project.name):
            exempt = site.exempt_keys("PROJ-003", project.name)
            loose = [key for key in _loosened(project.config) if key not in exempt]
            require(
                project.name,
                not loose,
                expected="no restriction is loosened",
                observed=", ".join(f"{key} is {project.config[key]}" for key in loose) or "none is",
                reason=_reasons(exempt),
                # unset, nesting slips past Incus's look at what is there, and blocks edits later; block is refused at once
                fix=_keys({key: "block" if key.endswith(".nesting") else "" for key in loose}),
            )


def _keys(changes):
    """What the remediation sets, and unsets where the value is empty."""
    return {"keys": [{"name": name, "value": value} for name, value in sorted(changes.items())]}


def _reasons(exempt):
    return "; ".join(f"the site exempts {key}: {reason}" for key, reason in sorted(exempt.items()))


def _loosened(config):
    """The keys of a project that loosen a restriction, in order. Raises EvidenceError where an id range is none."""
    found = [key for key in _BLOCKED if config.get(key, "") not in ("", "block")]
    if config.get("restricted.containers.privilege", "") not in ("", "unprivileged", "isolated"):
        found.append("restricted.containers.privilege")
    for key in ("restricted.idmap.uid", "restricted.idmap.gid"):
        if any(first == 0 for first, _ in ranges(config.get(key, ""))):
            found.append(key)
    disk = config.get("restricted.devices.disk", "")
    if disk not in ("", "managed", "block") and not (disk == "allow" and _bounded(config)):
        found.append("restricted.devices.disk")
    return sorted(found)


def _bounded(config):
    """Whether disks of the host are allowed below some paths only. Without any path they all are."""
    paths = split_list(config.get("restricted.devices.disk.paths"))
    return bool(paths) and all(path.startswith("/") and posixpath.normpath(path).strip("/") for path in paths)


@policy("PROJ-004")
def test_restricted_project_names_the_networks_that_it_may_use(facts, site, require):
    """An empty list of networks is all of them. Pools are restricted likewise, where the server can."""
    for project, _ in _of_the_site(facts, site, require, _restricted(facts, require)):
        with require.about(project.name):
            keys, faults = _networks(project.config, site.networks_of(project.name))
            expected = f"{_NETWORKS} within {_listed(site.networks_of(project.name))}"
            if _POOLS_EXTENSION in facts.incus.extensions:
                more, fault = _pools(facts, project.config, site.pools_of(project.name))
                keys, faults = keys | more, faults + fault
                expected += f", {_POOLS} within {_listed(site.pools_of(project.name))}"
            require(
                project.name,
                not faults,
                expected=expected,
                observed="; ".join(faults) or "as expected",
                fix=_keys(keys),
            )


def _listed(names):
    return ", ".join(sorted(names)) or "none"


def _networks(config, allowed):
    """What is to be set, and what is wrong. NICs that are no managed networks pass by the list."""
    nic, access = config.get(_NIC, ""), split_list(config.get(_NETWORKS))
    if nic == "block":
        return {}, []
    keys, faults = {}, []
    if nic not in ("", "managed"):
        keys[_NIC] = ""
        faults.append(f"{_NIC} is {nic}")
    if not access or not set(access) <= set(allowed):
        kept = [name for name in access if name in allowed] or sorted(allowed)
        keys |= {_NETWORKS: ",".join(kept)} if kept else {_NIC: "block"}
        faults.append(f"{_NETWORKS} is {','.join(access) or 'unset: every network'}")
    return keys, faults


def _pools(facts, config, allowed):
    listed = split_list(config.get(_POOLS))
    usable = listed or tuple(pool.name for pool in facts.incus.pools)
    if set(usable) <= set(allowed):
        return {}, []
    kept = [name for name in usable if name in allowed]
    return {_POOLS: ",".join(kept)}, [f"{_POOLS} is {','.join(listed) or 'unset: every pool'}"]


@policy("PROJ-005")
def test_project_has_resource_limits(facts, site, require):
    """The sum of all that a project's instances may use, each limit that the site names."""
    for project, entry in _of_the_site(facts, site, require):
        if not entry.limits:
            continue
        with require.about(project.name):
            missing = [key for key in entry.limits if not _limited(project.config, key, site.pools_of(project.name))]
            require(
                project.name,
                not missing,
                expected=", ".join(f"{key} is set" for key in entry.limits),
                observed=", ".join(f"{key} is {project.config.get(key) or 'unset'}" for key in missing)
                or "all are set",
            )


def _limited(config, key, pools):
    if _amount(config, key):
        return True
    each = [_amount(config, f"limits.disk.pool.{pool}") for pool in pools]  # 0 hides a pool
    return key == "limits.disk" and bool(each) and None not in each


def _amount(config, key):
    """A limit; None where it is unset. Raises EvidenceError where it is neither a number nor a size."""
    value = config.get(key, "")
    try:
        return size_bytes(value) if value else None
    except ValueError as cause:
        if value.startswith("-"):
            return None  # below 0 Incus sees no limit
        raise EvidenceError(f"{key}: {cause}") from cause


@policy("PROJ-006")
def test_storage_is_not_shared_between_projects(facts, site, require):
    """A volume that instances of two projects mount is a way from one into the other. A pool that they share is none."""
    for pool in facts.incus.pools:
        with require.about(pool.name):
            for volume, host in facts.volumes(pool.name):
                with require.about(volume.resource, host):
                    _judge_users(facts, volume, host, require)
    instances = facts.instances
    for project, entry in _of_the_site(facts, site, require):
        with require.about(project.name):
            _judge_disks(facts, instances, site, project, entry, require)


def _judge_users(facts, volume, host, require):
    projects = _projects(facts.users(volume, decisive=lambda users: len(_projects(users)) > 1))
    require(
        volume.resource,
        len(projects) < 2,
        expected="used by one project",
        observed=f"used by {_listed(projects)}",
        host=host,
    )


def _projects(users):
    return {use.project for use in users if use.kind != "other"}


def _judge_disks(facts, instances, site, project, entry, require):
    pools = site.pools_of(project.name)
    faults = instances.where(lambda each: each.project == project.name).search(
        lambda instance: (
            f"{instance.name}: {fault}" for fault in _foreign_disks(facts, instance, entry.kind == "user", pools)
        )
    )
    require(
        project.name,
        not faults,
        expected=f"root disks in {_listed(pools)}" + ("; volumes of its own" if entry.kind == "user" else ""),
        observed="; ".join(faults) or "as expected",
    )


def _foreign_disks(facts, instance, is_user, pools):
    for name, device in sorted(instance.expanded_devices.items()):
        pool = device.get("pool")
        if device.get("type") != "disk" or not pool:
            continue
        if device.get("path") == "/":
            if pool not in pools:
                yield f"its root disk is in the pool {pool}"
        elif is_user:
            owner = facts.incus.owner(instance.project, "features.storage.volumes")
            if owner != instance.project:
                yield f"{name} is the volume {pool}/{owner}/{device.get('source', '')}"


@policy("PROJ-007")
def test_restricted_project_holds_nothing_that_its_restrictions_forbid(facts, site, require):
    """Incus looks at edits alone: what was there before stays, and blocks every later edit of the project."""
    restricted = {project.name: project.config for project in _restricted(facts, require)}
    expected = "nothing that the restrictions of the project forbid"
    for instance, host in require.each(facts.instances.where(lambda each: each.project in restricted)):
        with require.about(instance.resource, host):
            written = facts.incus.written(instance)
            config = {key: value for key, value in instance.expanded_config.items() if key in written}
            found = forbidden(restricted[instance.project], instance.type, config, instance.expanded_devices)
            require(instance.resource, not found, expected=expected, observed="; ".join(found) or "nothing", host=host)
    for name, config in restricted.items():
        with require.about(name):
            if config["features.profiles"] != "true":
                require.not_applicable(
                    name, "it has no profiles of its own; its instances are judged with what they get"
                )
                continue
            profiles = [each for each in facts.incus.profiles if each.project == name]
            found = [
                f"profile {each.name}: {fault}"
                for each in sorted(profiles, key=lambda profile: profile.name)
                for fault in forbidden(config, "profile", each.config, each.devices)
            ]
            require(name, not found, expected=f"profiles with {expected}", observed="; ".join(found) or "nothing")


@policy("PROJ-008")
def test_projects_are_those_of_the_site_and_default_holds_no_user_work(facts, site, require):
    """Whoever made a project that the site does not know set its limits too."""
    projects = {project.name for project in facts.incus.projects}
    for name in sorted(projects | {entry.match for entry in site.projects if not entry.is_glob}):
        entry = site.project(name)
        if name not in projects:
            with require.about(name):
                _judge_missing(facts, site, name, require)
        elif entry is None:
            require(name, False, expected="a project of the site", observed="no entry of the site matches it")
        elif name == "default":
            with require.about(name):
                _judge_default(facts, site, require)
        else:
            require(name, True, expected="a project of the site", observed=f"{entry.match}, of kind {entry.kind}")


def _judge_missing(facts, site, name, require):
    """Which of several hosts in no cluster should have a project the site does not say: one that has it will do."""
    holder = _holder(facts, site, name) if facts.name != "cluster" else ""
    if holder:
        require.not_applicable(name, f"{facts.name} is in no cluster and has no such project; {holder}")
    else:
        require(name, False, expected=f"a project {name}", observed="there is no such project")


def _holder(facts, site, name):
    """Which other host of the site has a project, or may have it; "" where none has. Raises EvidenceError where that can't be read."""
    others, refused = {**facts.standalone, **facts.others}, None
    for host in others.values():
        try:
            if name in {project.name for project in host.incus.projects}:
                return f"{host.name} has it"
        except EvidenceError as cause:
            refused = refused or cause
    if refused:
        raise refused
    left = sorted({host.name for host in site.hosts} - {*facts.hosts, *others})
    return f"{', '.join(left)} may have it and was not looked at" if left else ""


def _judge_default(facts, site, require):
    allowed = site.networks_of("default")
    strangers = facts.instances.where(lambda each: each.project == "default").search(
        lambda instance: (
            f"{instance.name}: {name} is on {at}"
            for name, device in sorted(instance.expanded_devices.items())
            if not site.is_critical(instance.resource)
            and device.get("type") == "nic"
            and (at := device.get("network") or device.get("parent")) not in allowed
        )
    )
    require(
        "default",
        not strangers,
        expected=f"only critical instances, and such on {_listed(allowed)}",
        observed="; ".join(strangers) or "as expected",
    )
