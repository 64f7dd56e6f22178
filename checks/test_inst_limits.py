"""Checks of INST: the memory, CPU and process limits of instances of all projects, with what their profiles give."""

from collections.abc import Collection, Mapping

from sigsrv import ClusterFacts, Require, Site, policy
from sigsrv.facts.resources import Instance
from sigsrv.judge.instance_keys import InstanceKeys
from sigsrv.judge.instance_status import may_run
from sigsrv.model.errors import EvidenceError
from sigsrv.model.values import size_bytes

_MEMORY, _CPUS, _PROCESSES = "2GiB", "2", "2000"  # what the remediation sets; a person may choose better ones


@policy("INST-006")
def test_instances_have_memory_cpu_and_process_limits(facts: ClusterFacts, site: Site, require: Require) -> None:
    """Checks the limits.* keys of each instance, for the limits that the site requires.

    Virtual machines pass: they have memory and CPU limits by default, and process limits do not apply to them.
    """
    keys = InstanceKeys("INST-006", facts, site, require)
    for instance, host in require.each(facts.instances):
        container = instance.type == "container"
        wanted = [limit for limit in site.instance_limits if container or limit != "processes"]
        if not wanted:
            reason = "process limits do not apply to virtual machines"
            require.not_applicable(instance.resource, reason, host=host)
            continue
        with require.about(instance.resource, host):
            wrong = _missing_limits(instance, wanted) if container else {}
            config = instance.expanded_config
            limits = [f"{key} is {config[key]}" for key in sorted(config) if key.startswith("limits.")]
            keys.record(
                instance,
                host,
                wrong,
                expected=f"limits of {', '.join(wanted)}",
                observed=", ".join(limits) or "the default limits of a virtual machine",
                live=tuple(wrong),
                refuse=_too_tight(instance, wrong),
            )


def _missing_limits(instance: Instance, wanted: Collection[str]) -> dict[str, str]:
    """Return the keys that leave a container without a wanted limit, each with the value that the fix sets.

    Raises EvidenceError if Incus would not accept a limit.
    """
    config, wrong = instance.expanded_config, {}
    try:
        if "memory" in wanted:
            if not _limits_memory(config.get("limits.memory", "")):
                wrong["limits.memory"] = _MEMORY
            if config.get("limits.memory.enforce", "") not in ("", "hard"):
                wrong["limits.memory.enforce"] = "hard"
        if "cpu" in wanted and not config.get("limits.cpu") and not _limits_cpu(config.get("limits.cpu.allowance", "")):
            wrong["limits.cpu"] = _CPUS
        if "processes" in wanted and int(config.get("limits.processes") or 0) <= 0:
            wrong["limits.processes"] = _PROCESSES
    except ValueError as cause:
        raise EvidenceError(f"{instance.resource}: a limit has a value that Incus does not accept: {cause}") from cause
    return wrong


def _limits_memory(value: str) -> bool:
    if value.endswith("%"):
        return 0 < int(value.removesuffix("%")) < 100
    return bool(value) and size_bytes(value) > 0


def _limits_cpu(allowance: str) -> bool:
    """Return whether limits.cpu.allowance is below 100%, or is a time in each period (``25ms/100ms``)."""
    return bool(allowance) and not (allowance.endswith("%") and int(allowance.removesuffix("%")) >= 100)


def _too_tight(instance: Instance, wrong: Mapping[str, str]) -> str:
    """Return why a script must not set a memory or process limit, "" if it may.

    Below the current use, the limit kills running processes or keeps the instance from starting new ones.
    """
    now = instance.expanded_config.get("limits.memory", "")
    memory = wrong.get("limits.memory", now) if wrong.keys() & {"limits.memory", "limits.memory.enforce"} else ""
    processes = wrong.get("limits.processes", "")
    if not may_run(instance) or not (memory or processes):
        return ""
    if instance.usage is None or memory.endswith("%"):
        return "sigsrv does not know how much of the new limit the instance uses"
    used = instance.usage
    if memory and used.memory_bytes > size_bytes(memory):
        return (
            f"the instance has used {used.memory_bytes} bytes of memory, more than {memory}: set a higher limit by hand"
        )
    if processes and used.processes > int(processes):
        return f"the instance has {used.processes} processes, more than {processes}: set a higher limit by hand"
    return ""
