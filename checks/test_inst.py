"""Checks of INST: the configuration and the state of instances of all projects, stopped ones too, with what their profiles give.

Their devices are in test_inst_devices.py.
"""

from fnmatch import fnmatchcase

from sigsrv import finding_id, policy
from sigsrv.facts.lowlevel import BPFFS, INTERCEPTION, INTERCEPTION_LISTS, RAW
from sigsrv.model.errors import EvidenceError
from sigsrv.model.values import is_true, size_bytes

_STOPPED = ("Stopped",)
_UNSURE = ("Error", "Unknown")  # the member that it is on did not answer
_RUNNING = ("Running", "Ready")  # a guest may call itself ready, through the guest API
_LASTING = (*_RUNNING, *_STOPPED, "Frozen")
_NOTHING = ("", "[]", "null")  # an id map that maps nothing
_MEMORY, _PROCESSES = "2GiB", "2000"  # what the remediation sets; a person knows better


class _Keys:
    """Findings about configuration keys of instances: those that the site exempts by name are left out."""

    def __init__(self, policy_id, facts, site, require):
        self._id, self._facts, self._site, self._require = policy_id, facts, site, require

    def __call__(
        self,
        instance,
        host,
        wrong,
        *,
        expected,
        seen,
        live=(),
        state="",
        first=(),
        restart=False,
        start=False,
        refuse="",
    ):
        """Record one finding.

        wrong: key -> what it must be, "" for nothing. state: what is wrong beside the keys. seen: what to show where all is well.
        live: keys that need no restart. first: what to set before, for Incus to see a change. restart, start: what the remediation
        must do. refuse: why it must not.
        """
        exempt = self._site.exempt_keys(self._id, instance.resource)
        left = {key: value for key, value in wrong.items() if key not in exempt}
        faults = [*(self._shown(instance, key) for key in left), *([state] if state else [])]
        self._require(
            instance.resource,
            not faults,
            expected=expected,
            observed="; ".join(faults) or seen,
            reason="; ".join(f"the site exempts {key}: {exempt[key]}" for key in wrong if key in exempt),
            host=host,
            fix={
                "instance": instance.name,
                "project": instance.project,
                "set": [*first, *(f"{key}={value}" for key, value in left.items() if value)],
                "unset": [key for key, value in left.items() if not value],
                "restart": restart or bool(set(left) - set(live)),
                "start": start,
                "refuse": refuse or self._given(instance, left),
            },
        )

    def _shown(self, instance, key):
        value = " ".join(instance.expanded_config.get(key, "").split()) or "unset"
        origin = self._facts.incus.origin(instance, key)
        by = {"instance": "", None: ""}.get(origin, f" (from profile {origin})")
        return f"{key} is {value if len(value) <= 60 else value[:57] + '...'}{by}"

    def _given(self, instance, wrong):
        """What can't be taken away on the instance, for a profile gives it. A key that has a value to set wins over profiles."""
        texts = [key for key, value in wrong.items() if not value]
        found = {key: self._facts.incus.profile_with(instance, key) for key in texts}
        return "; ".join(
            f"{key} comes from profile {name}: take it out there" for key, name in found.items() if name is not None
        )


def _containers(facts, require):
    return ((instance, host) for instance, host in require.each(facts.instances) if instance.type == "container")


def _runs(instance):
    return instance.status not in (*_STOPPED, *_UNSURE)


@policy("INST-001")
def test_containers_are_not_privileged(facts, site, require):
    """Neither configured as privileged, by whatever profile, nor still running so after the key was put right."""
    keys = _Keys("INST-001", facts, site, require)
    for instance, host in _containers(facts, require):
        configured = instance.expanded_config["security.privileged"] == "true"
        unmapped = instance.config.get("volatile.idmap.current", "") in _NOTHING
        if instance.status in _UNSURE and not configured and unmapped:
            require.unknown(
                instance.resource, f"whether it runs privileged: its status is {instance.status}", host=host
            )
            continue
        pending = _runs(instance) and unmapped and not configured
        keys(
            instance,
            host,
            {"security.privileged": "false"} if configured else {},
            expected="security.privileged is false or unset, and the container runs with an id map",
            seen=f"not privileged, {instance.status}",
            live=("security.privileged",),  # the id map tells whether it must be restarted
            state="not configured as privileged, but it runs without an id map: a restart is pending"
            if pending
            else "",
            restart=_runs(instance) and unmapped,
        )


@policy("INST-002")
def test_containers_are_not_nested(facts, site, require):
    """Whatever profile it comes from. Virtual machines nest without harm, and are not examined."""
    keys = _Keys("INST-002", facts, site, require)
    for instance, host in _containers(facts, require):
        nested = instance.expanded_config["security.nesting"] == "true"
        keys(
            instance,
            host,
            {"security.nesting": "false"} if nested else {},
            expected="security.nesting is false or unset",
            seen="security.nesting is false",
            live=("security.nesting",),
        )


@policy("INST-003")
def test_instances_have_no_raw_or_low_level_settings(facts, site, require):
    """Only keys that do something for its type: a profile may hold those of the other one too."""
    keys = _Keys("INST-003", facts, site, require)
    for instance, host in require.each(facts.instances):
        config = instance.expanded_config
        wrong = {key: "" for key in RAW[instance.type] if config.get(key, "").strip()}
        if instance.type == "container":
            wrong |= {key: "" for key in sorted(config) if key.startswith(BPFFS) and config[key].strip()}
            defaults = ("security.syscalls.deny_default", "security.syscalls.blacklist_default")
            wrong |= {key: "true" for key in defaults if config[key] == "false"}
        stuck = instance.type == "virtual-machine" and instance.status not in _STOPPED
        keys(
            instance,
            host,
            wrong,
            expected="no raw.* key, and none of its own for id map, modules, system calls or BPF file system",
            seen="none of these keys",
            live=("raw.apparmor", "linux.kernel_modules"),
            refuse="Incus changes such a key of a virtual machine only while it is stopped" if stuck else "",
        )


@policy("INST-006")
def test_instances_have_limits(facts, site, require):
    """Of what the site wants limited. A virtual machine has memory and processors of its own by default, and no processes."""
    keys = _Keys("INST-006", facts, site, require)
    for instance, host in require.each(facts.instances):
        container = instance.type == "container"
        wanted = [limit for limit in site.instance_limits if container or limit != "processes"]
        if not wanted:
            require.not_applicable(instance.resource, "a virtual machine counts its processes itself", host=host)
            continue
        with require.about(instance.resource, host):
            wrong = _unlimited(instance, wanted) if container else {}
            config = instance.expanded_config
            limits = [f"{key} is {config[key]}" for key in sorted(config) if key.startswith("limits.")]
            keys(
                instance,
                host,
                wrong,
                expected=f"limits of {', '.join(wanted)}",
                seen=", ".join(limits) or "those that a virtual machine has by default",
                live=tuple(wrong),
                refuse=_too_tight(instance, wrong),
            )


def _unlimited(instance, wanted):
    """The keys that leave a container without a limit, and what they are to be. Raises EvidenceError: no limit of Incus."""
    config, wrong = instance.expanded_config, {}
    try:
        if "memory" in wanted:
            if not _bounds_memory(config.get("limits.memory", "")):
                wrong["limits.memory"] = _MEMORY
            if config.get("limits.memory.enforce", "") not in ("", "hard"):
                wrong["limits.memory.enforce"] = "hard"
        if "cpu" in wanted and not config.get("limits.cpu") and not _bounds_cpu(config.get("limits.cpu.allowance", "")):
            wrong["limits.cpu"] = "2"
        if "processes" in wanted and int(config.get("limits.processes") or 0) <= 0:
            wrong["limits.processes"] = _PROCESSES
    except ValueError as cause:
        raise EvidenceError(f"{instance.resource}: a limit is no limit of Incus: {cause}") from cause
    return wrong


def _bounds_memory(value):
    if value.endswith("%"):
        return 0 < int(value.removesuffix("%")) < 100
    return bool(value) and size_bytes(value) > 0


def _bounds_cpu(allowance):
    """A share of all time, or some milliseconds of each period (``25ms/100ms``)."""
    return bool(allowance) and not (allowance.endswith("%") and int(allowance.removesuffix("%")) >= 100)


def _too_tight(instance, wrong):
    """Why a limit of memory or processes must not be set by a script: what runs would be killed, or could not go on."""
    held = instance.expanded_config.get("limits.memory", "")
    memory = wrong.get("limits.memory", held) if wrong.keys() & {"limits.memory", "limits.memory.enforce"} else ""
    processes = wrong.get("limits.processes", "")
    if instance.status in _STOPPED or not (memory or processes):
        return ""
    if instance.usage is None or memory.endswith("%"):
        return "how much of the new limit it uses is not known"
    used = instance.usage
    if memory and used.memory_bytes > size_bytes(memory):
        return f"it has used {used.memory_bytes} bytes of memory, more than {memory}: set a limit that suits it"
    if processes and used.processes > int(processes):
        return f"it has {used.processes} processes, more than {processes}: set a limit that suits it"
    return ""


@policy("INST-007")
def test_instances_of_users_have_their_own_id_map_and_no_guest_api(facts, site, require):
    """Those of the kinds of projects that the site hardens; images of the host are nobody's business in any project."""
    keys = _Keys("INST-007", facts, site, require)
    for instance, host in require.each(facts.instances):
        config = instance.expanded_config
        entry = site.project(instance.project)
        hardened = entry is not None and entry.kind in site.user_hardening
        wrong, state, again, expected = {}, "", False, ["not security.guestapi.images"]
        if config["security.guestapi.images"] == "true":
            wrong["security.guestapi.images"] = "false"
        if hardened:
            expected.append("security.guestapi is false")
            if config["security.guestapi"] == "true":
                wrong["security.guestapi"] = "false"
            if instance.type == "container" and config["security.privileged"] == "false":
                expected.append("security.idmap.isolated is true and in effect")
                if config["security.idmap.isolated"] == "false":
                    wrong["security.idmap.isolated"] = "true"
                elif "security.idmap.isolated" not in site.exempt_keys("INST-007", instance.resource):
                    state, again = _map_of_all(instance)
        if state and not again and instance.status in _UNSURE and not wrong:
            require.unknown(instance.resource, f"its id map: its status is {instance.status}", host=host)
        elif entry is None and not wrong:
            because = finding_id("PROJ-008", facts.name, instance.project)
            reason = f"no entry of the site is for project {instance.project}"
            require.not_applicable(instance.resource, reason, because, host)
        else:
            keys(
                instance,
                host,
                wrong,
                expected=", ".join(reversed(expected)),
                seen="so it is" if hardened else "project of the system: its guest API may be there, without images",
                live=("security.guestapi", "security.guestapi.images"),
                state=state,
                first=("security.idmap.isolated=false", "security.idmap.isolated=true") if again else (),
                restart=bool(state),
            )


def _map_of_all(instance):
    """What is wrong with the id map of a container that is configured as isolated, and whether a restart alone won't help."""
    base, now, then = (instance.config.get(f"volatile.idmap.{which}", "") for which in ("base", "current", "next"))
    if base in ("", "0"):  # after `config set KEY=`, for one, Incus shows what the profile gives and does not do it
        return "security.idmap.isolated is true and its id map is still that of all others", True
    if instance.status not in _STOPPED and (now in _NOTHING or now != then):
        return "it runs with another id map than the configured one: a restart is pending", False
    return "", False


@policy("INST-008")
def test_containers_use_no_system_call_interception(facts, site, require):
    """None that the site does not exempt by its key."""
    keys = _Keys("INST-008", facts, site, require)
    for instance, host in _containers(facts, require):
        config = instance.expanded_config
        wrong = {key: "false" for key in INTERCEPTION if config[key] == "true"}
        wrong |= {key: "" for key in INTERCEPTION_LISTS if config.get(key, "").strip()}
        keys(instance, host, wrong, expected="no system call is intercepted", seen="none is intercepted")


@policy("INST-012")
def test_virtual_machines_boot_with_secure_boot(facts, site, require):
    """Nor by way of a BIOS, which knows none. What was changed while it ran holds from its next cold start on."""
    keys = _Keys("INST-012", facts, site, require)
    require.if_nothing("there is no virtual machine")
    for instance, host in require.each(facts.instances):
        if instance.type != "virtual-machine":
            continue
        config = instance.expanded_config
        wrong = {"security.secureboot": "true"} if config["security.secureboot"] == "false" else {}
        wrong |= {"security.csm": "false"} if config["security.csm"] == "true" else {}
        pending = instance.status not in _STOPPED and is_true(instance.config.get("volatile.apply_nvram", ""))
        refuse = ""
        if config.get("image.requirements.secureboot", "").lower() in ("false", "0", "no", "off"):
            refuse = "its image can't boot with Secure Boot: exempt it, or make it anew from another image"
        elif instance.status not in _STOPPED:
            refuse = "it runs: set the keys, stop it, start it, and see on its console that it boots"
        keys(
            instance,
            host,
            wrong,
            expected="security.secureboot is true or unset, security.csm false or unset, and it was started so",
            seen=f"security.secureboot is true, {instance.status}",
            live=tuple(wrong),
            state="its firmware's settings were changed while it ran: a cold start is pending" if pending else "",
            refuse=refuse,
        )


@policy("INST-013")
def test_instances_are_in_their_expected_state(facts, site, require):
    """A state that lasts; those that the site calls critical run, start by themselves and can't be deleted by mistake."""
    keys = _Keys("INST-013", facts, site, require)
    _missing_critical_ones(facts, site, require)
    online = _online(facts)
    for instance, host in require.each(facts.instances):
        if instance.status == "Unknown":
            require.unknown(instance.resource, "its state did not come in time", host=host)
            continue
        if instance.status == "Error" and online is not None and instance.location not in online:
            because = finding_id("CLUS-001", facts.name, instance.location)
            require.not_applicable(instance.resource, f"{instance.location} is not Online", because, host)
            continue
        critical = site.is_critical(instance.resource)
        allowed = ("Running",) if critical else ("Running", "Stopped", "Frozen")
        holds = instance.status in (_RUNNING if critical else _LASTING)
        protection = ("boot.autostart", "security.protection.delete") if critical else ()
        wrong = {key: "true" for key in protection if not is_true(instance.expanded_config.get(key, ""))}
        startable = instance.status in (*_STOPPED, "Frozen")
        if not holds and not wrong and instance.status in _STOPPED and facts.hosts[host].is_evacuated:
            because = finding_id("CLUS-004", facts.name, instance.location)
            require.not_applicable(instance.resource, f"{instance.location} is evacuated", because, host)
            continue
        keys(
            instance,
            host,
            wrong,
            expected=" or ".join(allowed) + "".join(f", {key} is true" for key in protection),
            seen=f"{instance.status}, critical and protected" if critical else instance.status,
            live=tuple(wrong),
            state="" if holds else f"its status is {instance.status}",
            start=critical and startable,
            refuse="" if holds or startable else f"{instance.status} is a person's to look into: incus info --show-log",
        )


def _missing_critical_ones(facts, site, require):
    """A critical name that no instance has, on whatever member. Hosts that are in no cluster don't say whose it should be."""
    listed = facts.incus.listed_instances
    for glob in dict.fromkeys(site.critical):
        if any(fnmatchcase(instance.resource, glob) for instance in listed):
            continue
        if facts.name != "cluster" and len(site.hosts) > 1:
            require.not_applicable(glob, f"no instance of {facts.name} is so called, and it is in no cluster")
            continue
        refuse = f"no instance is called {glob}: restore it, or take it out of the site's list"
        fix = {"instance": glob, "project": "", "set": [], "unset": [], "restart": False, "start": False}
        require(
            glob, False, expected="an instance of this name", observed="there is none", fix={**fix, "refuse": refuse}
        )


def _online(facts):
    """The members that are Online; None where there is no cluster."""
    if not facts.incus.server.clustered:
        return None
    return {member.name for member in facts.incus.members if member.status == "Online"}
