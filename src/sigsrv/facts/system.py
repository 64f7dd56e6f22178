"""The systemd units of one host."""

from __future__ import annotations

from collections.abc import Mapping
from contextlib import suppress
from dataclasses import dataclass

from sigsrv.collect.evidence import Evidence
from sigsrv.facts.parsing import command_failed, parsing, probe
from sigsrv.facts.reading import fact
from sigsrv.model.errors import EvidenceError, FailureKind

_NEEDED = ("LoadState", "ActiveState", "SubState", "UnitFileState", "Result")


@dataclass(frozen=True)
class Unit:
    """A systemd unit; the states are systemd's own words."""

    name: str
    """The unit's name with its suffix, for example ``incus.service``."""
    load: str
    """systemd's LoadState, for example ``loaded``, ``not-found`` or ``masked``."""
    active: str
    """systemd's ActiveState, for example ``active``, ``inactive`` or ``failed``."""
    sub: str
    """systemd's SubState, for example ``running``, ``exited`` or ``dead``."""
    file_state: str
    """systemd's UnitFileState, for example ``enabled``, ``disabled`` or ``static``; empty if there is no unit file."""
    result: str
    """systemd's Result of the last run, for example ``success`` or ``exit-code``; empty if systemd reports none."""
    wanted_by: frozenset[str]
    """The units in WantedBy and RequiredBy."""

    @property
    def starts_at_boot(self) -> bool:
        """Return whether a target pulls the unit in. Another service is not enough: that service may itself not start."""
        return any(name.endswith(".target") for name in self.wanted_by)


def units(document: str, host: str = "") -> dict[str, Unit]:
    """Return the units by name.

    document: the output of ``systemctl show`` for several units, separated by empty lines. Raises EvidenceError if a block lacks
    a property that a verdict needs. Source: systemctl(1).
    """
    with parsing("systemctl show", host):
        found = {}
        for name, block in blocks(document).items():
            values = _properties(block)
            # systemd prints all of these properties for each unit, also for a socket or a unit that is not loaded
            load, active, sub, file_state, result = (
                values[key] if key != "Result" else values.get("Result", "") for key in _NEEDED
            )
            wanted = frozenset((values.get("WantedBy", "") + " " + values.get("RequiredBy", "")).split())
            found[name] = Unit(name, load, active, sub, file_state, result, wanted)
        return found


def blocks(document: str) -> dict[str, str]:
    """Return the block of each unit by its name. Raises KeyError if a block has no name."""
    return {_properties(block)["Id"]: block for block in document.strip().split("\n\n")}


def _properties(block: str) -> dict[str, str]:
    return dict(line.split("=", 1) for line in block.splitlines() if "=" in line)


@dataclass(frozen=True)
class SystemFacts:
    """The systemd units of one host."""

    evidence: Evidence
    """The evidence of the host."""

    @fact
    def has_systemd(self) -> bool:
        """Return whether systemd is the host's init system, according to systemctl. Raises EvidenceError if that is unknown."""
        answer = probe(self.evidence, "units")
        if answer.rc == 0:
            for block in self._blocks.values():
                with suppress(EvidenceError):
                    return bool(units(block, self.evidence.host))
            host = self.evidence.host  # exit status 0 alone is no proof: the output may be lost
            raise EvidenceError(f"{host}: systemctl show: no unit in the answer", FailureKind.GARBLED, host)
        if "not been booted with systemd" in answer.stderr:
            return False
        raise command_failed(self.evidence.host, "units", answer)

    @fact
    def _blocks(self) -> Mapping[str, str]:
        with parsing("systemctl show", self.evidence.host):
            return blocks(probe(self.evidence, "units").stdout)

    def unit(self, name: str) -> Unit:
        """Return a unit, loaded or not.

        Raises EvidenceError if its block is malformed, if the scan did not ask for it, or if the host has no systemd.
        """
        host = self.evidence.host
        if not self.has_systemd:
            raise EvidenceError(f"{host}: not booted with systemd", FailureKind.ABSENT, host)
        if name not in self._blocks:
            raise EvidenceError(f"{host}: the scan did not ask for the unit {name}", FailureKind.ABSENT, host)
        return units(self._blocks[name], host)[name]
