"""Checks of INST: settings that bypass Incus: raw and low-level keys, and system call interception.

They cover instances of all projects, stopped ones too, each with the configuration that its profiles give.
"""

from sigsrv import ClusterFacts, Require, Site, policy
from sigsrv.facts.lowlevel import BPFFS, INTERCEPTION, INTERCEPTION_LISTS, RAW
from sigsrv.judge.instance_keys import InstanceKeys
from sigsrv.judge.instance_status import may_run

_SYSCALL_DEFAULTS = ("security.syscalls.deny_default", "security.syscalls.blacklist_default")


@policy("INST-003")
def test_instances_have_no_raw_or_low_level_settings(facts: ClusterFacts, site: Site, require: Require) -> None:
    """Checks the raw.* keys of each instance, and low-level settings for id map, modules, system calls and BPF file system.

    Only keys that have an effect on its type count: a profile may contain keys for the other type.
    """
    keys = InstanceKeys("INST-003", facts, site, require)
    for instance, host in require.each(facts.instances):
        config = instance.expanded_config
        wrong = {key: "" for key in RAW[instance.type] if config.get(key, "").strip()}
        if instance.type == "container":
            wrong |= {key: "" for key in sorted(config) if key.startswith(BPFFS) and config[key].strip()}
            wrong |= {key: "true" for key in _SYSCALL_DEFAULTS if config[key] == "false"}
        locked = instance.type == "virtual-machine" and may_run(instance)
        keys.record(
            instance,
            host,
            wrong,
            expected="no raw.* key, and no low-level setting for id map, modules, system calls or BPF file system",
            observed="none of these keys",
            live=("raw.apparmor", "linux.kernel_modules"),
            refuse="Incus changes these keys of a virtual machine only while it is stopped: stop it first"
            if locked
            else "",
        )


@policy("INST-008")
def test_containers_use_no_system_call_interception(facts: ClusterFacts, site: Site, require: Require) -> None:
    """Checks the security.syscalls.intercept.* keys of each container. The site can exempt a key by its name."""
    keys = InstanceKeys("INST-008", facts, site, require)
    for instance, host in require.each(facts.instances):
        if instance.type != "container":
            require.leave_out(instance.resource, "not a container")
            continue
        config = instance.expanded_config
        wrong = {key: "false" for key in INTERCEPTION if config[key] == "true"}
        wrong |= {key: "" for key in INTERCEPTION_LISTS if config.get(key, "").strip()}
        keys.record(
            instance,
            host,
            wrong,
            expected="no system call is intercepted",
            observed="no system call is intercepted",
        )
