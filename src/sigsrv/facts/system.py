"""The services of one host."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from functools import cached_property

from sigsrv.collect.evidence import Evidence
from sigsrv.facts.parsing import command_failed, parsing, probe
from sigsrv.model.errors import EvidenceError, FailureKind

_NEEDED = ("LoadState", "ActiveState", "SubState", "UnitFileState", "Result")


@dataclass(frozen=True)
class Unit:
    """A unit as systemd has it; the states are systemd's words. wanted_by: all units of WantedBy and RequiredBy."""

    name: str
    load: str
    active: str
    sub: str
    file_state: str
    result: str
    wanted_by: frozenset[str]

    @property
    def starts_at_boot(self) -> bool:
        """Whether a target pulls it in. That another service does proves nothing: nothing may pull in that one."""
        return any(name.endswith(".target") for name in self.wanted_by)


def units(document: str, host: str = "") -> dict[str, Unit]:
    """Units by name. document: ``systemctl show`` of several units, parted by empty lines. Source: systemctl(1).

    Raises EvidenceError where a block lacks one of the properties that a verdict needs.
    """
    with parsing("systemctl show", host):
        found = {}
        for block in document.strip().split("\n\n"):
            values = dict(line.split("=", 1) for line in block.splitlines() if "=" in line)
            name = values["Id"]
            # a socket or an unloaded unit has no SubState of its own kind, but systemd prints all of these for each
            load, active, sub, file_state, result = (
                values[key] if key != "Result" else values.get("Result", "") for key in _NEEDED
            )
            wanted = frozenset((values.get("WantedBy", "") + " " + values.get("RequiredBy", "")).split())
            found[name] = Unit(name, load, active, sub, file_state, result, wanted)
        return found


@dataclass(frozen=True)
class SystemFacts:
    """What one host tells of its services."""

    evidence: Evidence

    @cached_property
    def has_systemd(self) -> bool:
        """Whether systemd runs the host, as systemctl says. Raises EvidenceError where it can't be told."""
        answer = probe(self.evidence, "units")
        if answer.rc == 0:
            return True
        if "not been booted with systemd" in answer.stderr:
            return False
        raise command_failed(self.evidence.host, "units", answer)

    @cached_property
    def _units(self) -> Mapping[str, Unit]:
        return units(probe(self.evidence, "units").stdout, self.evidence.host)

    def unit(self, name: str) -> Unit:
        """A unit, loaded or not. Raises EvidenceError where the evidence has nothing of it, or the host has no systemd."""
        host = self.evidence.host
        if not self.has_systemd:
            raise EvidenceError(f"{host}: not booted with systemd", FailureKind.ABSENT, host)
        if name not in self._units:
            raise EvidenceError(f"{host}: nothing was asked of {name}", FailureKind.ABSENT, host)
        return self._units[name]
