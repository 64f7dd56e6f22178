"""Checks of INST: the memory, CPU and process limits of instances of all projects, with what their profiles give."""

from collections.abc import Callable, Collection, Mapping

from sigsrv import ClusterFacts, Require, Site, policy
from sigsrv.facts.resources import Config, Instance
from sigsrv.judge.clauses import Clauses
from sigsrv.judge.instance_keys import InstanceKeys
from sigsrv.judge.instance_status import may_run
from sigsrv.model.values import size_bytes

_GIB = 1024**3
_MOST_MEMORY = 4 * _GIB  # of a container whose limit a script chooses: twice that protects no small host
_MOST_PROCESSES = 4000


@policy("INST-006")
def test_instances_have_memory_cpu_and_process_limits(facts: ClusterFacts, site: Site, require: Require) -> None:
    """Checks the limits.* keys of each instance, for the limits that the site requires.

    Virtual machines pass: they have memory and CPU limits by default, and process limits do not apply to them.
    """
    keys = InstanceKeys("INST-006", facts, site)
    for instance, host in require.each(facts.instances):
        container = instance.type == "container"
        wanted = [limit for limit in site.instance_limits if container or limit != "processes"]
        if not wanted:
            reason = "process limits do not apply to virtual machines"
            require.not_applicable(instance.resource, reason, host=host)
            continue
        config = instance.expanded_config
        limits = [f"{key} is {config[key]}" for key in sorted(key for key in config if key.startswith("limits."))]
        with require.finding(
            instance.resource,
            f"limits of {', '.join(wanted)}",
            host=host,
            otherwise=", ".join(limits) or "the default limits of a virtual machine",
        ) as finding:
            wrong = _fitting(instance, _missing_limits(finding, instance, wanted)) if container else {}
            keys.judge(finding, instance, wrong, live=tuple(wrong), refuse=_too_tight(instance, wrong))


def _missing_limits(finding: Clauses, instance: Instance, wanted: Collection[str]) -> dict[str, str]:
    """Return the keys that leave a container without a wanted limit, each with the value that the fix sets.

    A limit with a value that Incus does not accept is an unknown clause.
    """
    wrong = {}
    for key, (limit, value, is_set) in _LIMITS.items():
        try:
            if limit in wanted and not is_set(instance.expanded_config):
                wrong[key] = value
        except ValueError as cause:
            finding.unknown(f"{instance.resource}: a limit has a value that Incus does not accept: {cause}")
    return wrong


def _limits_memory(config: Config) -> bool:
    value = config.get("limits.memory", "")
    if value.endswith("%"):
        return 0 < int(value.removesuffix("%")) < 100
    return bool(value) and size_bytes(value) > 0


def _limits_cpu(config: Config) -> bool:
    """Return whether CPUs are limited, or limits.cpu.allowance is below 100% or a time in each period (``25ms/100ms``)."""
    allowance = config.get("limits.cpu.allowance", "")
    if config.get("limits.cpu"):
        return True
    return bool(allowance) and not (allowance.endswith("%") and int(allowance.removesuffix("%")) >= 100)


# Each key with the limit that it belongs to, the value that the fix sets (a person may choose a better one), and whether it is right.
_LIMITS: Mapping[str, tuple[str, str, Callable[[Config], bool]]] = {
    "limits.memory": ("memory", "2GiB", _limits_memory),
    "limits.memory.enforce": ("memory", "hard", lambda config: config.get("limits.memory.enforce", "") in ("", "hard")),
    "limits.cpu": ("cpu", "2", _limits_cpu),
    "limits.processes": ("processes", "2000", lambda config: int(config.get("limits.processes") or 0) > 0),
}


def _fitting(instance: Instance, wrong: Mapping[str, str]) -> dict[str, str]:
    """Return the keys to set with limits that leave the container twice what it has used, where that is known and not too much."""
    fitting = dict(wrong)
    if may_run(instance) and instance.usage:
        if "limits.memory" in wrong and instance.usage.memory_bytes <= _MOST_MEMORY:
            fitting["limits.memory"] = f"{max(2, -(-2 * instance.usage.memory_bytes // _GIB))}GiB"
        if "limits.processes" in wrong and instance.usage.processes <= _MOST_PROCESSES:
            fitting["limits.processes"] = str(max(2000, -(-2 * instance.usage.processes // 1000) * 1000))
    return fitting


def _too_tight(instance: Instance, wrong: Mapping[str, str]) -> str:
    """Return why a script must not set a memory or process limit, "" if it may.

    Below the current use, the limit kills running processes or keeps the instance from starting new ones.
    """
    now = instance.expanded_config.get("limits.memory", "")
    memory = wrong.get("limits.memory", now) if wrong.keys() & {"limits.memory", "limits.memory.enforce"} else ""
    processes = wrong.get("limits.processes", "")
    if not (memory or processes):
        return ""
    if not may_run(instance):
        return (
            "the container is stopped, so sigsrv does not know what it needs: start it first, or set the limits by hand"
        )
    memory_bytes = _bytes(memory)
    if instance.usage is None or memory_bytes is None:
        return "sigsrv does not know how much of the new limit the instance uses"
    used = instance.usage
    if memory and used.memory_bytes > memory_bytes:
        return (
            f"the instance has used {used.memory_bytes} bytes of memory, more than {memory}: set a higher limit by hand"
        )
    if processes and used.processes > int(processes):
        return f"the instance has {used.processes} processes, more than {processes}: set a higher limit by hand"
    return ""


def _bytes(limit: str) -> int | None:
    """Return a memory limit in bytes, 0 if it is empty; None for a share of the host's memory, and for a text that is no size."""
    try:
        return size_bytes(limit) if limit else 0
    except ValueError:
        return None
