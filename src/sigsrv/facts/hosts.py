"""The facts of a host: typed views over its evidence, the only thing that a check looks at."""

from __future__ import annotations

from collections.abc import Mapping
from contextlib import suppress
from dataclasses import dataclass

from sigsrv.collect.evidence import Evidence, Failure
from sigsrv.facts import listening, packages, reading
from sigsrv.facts.accounts import AccountFacts
from sigsrv.facts.backups import BackupFacts
from sigsrv.facts.firewall import FirewallFacts
from sigsrv.facts.frames import FrameFacts
from sigsrv.facts.host_pools import PoolFacts
from sigsrv.facts.incus import IncusFacts
from sigsrv.facts.instances import Instances
from sigsrv.facts.journal import JournalFacts
from sigsrv.facts.listening import Listener
from sigsrv.facts.machine import MachineFacts
from sigsrv.facts.network import NetworkFacts
from sigsrv.facts.reading import fact, guard
from sigsrv.facts.resources import Instance, UnreadInstance
from sigsrv.facts.storage import StorageFacts
from sigsrv.facts.system import SystemFacts
from sigsrv.facts.unanswered import Unanswered, unanswered
from sigsrv.facts.updates import UpdateFacts
from sigsrv.model.errors import EvidenceError, FailureKind

_NOT_RUN = (FailureKind.ABSENT, FailureKind.NO_LOGIN)  # nobody wanted the probe to run


@dataclass(frozen=True)
class HostFacts:
    """What a check of a host gets. Each view raises EvidenceError if it can't be read; the engine makes that the verdict ``error``."""

    name: str
    """The name of the host in the site file."""

    member: str
    """The name of the host in the cluster."""

    evidence: Evidence
    """What the host answered, as it came. Checks look at the views instead."""

    @property
    def collected(self) -> float:
        """Return when the evidence was collected, in seconds since the epoch. Ages are counted from it, never from the clock."""
        return self.evidence.collected

    @property
    def unreachable(self) -> Failure | None:
        """Return why sigsrv could not log in; None if it could."""
        reading.note(self.name, reading.LOGIN)
        return self.evidence.failure

    @property
    def no_probe_answered(self) -> Failure | None:
        """Return why no probe answered although the login worked; None if one answered, or if none was to be run."""
        reading.note(self.name, reading.LOGIN)
        failures = [answer.failure for answer in self.evidence.probes.values()]
        failed = [failure for failure in failures if failure and failure.kind not in _NOT_RUN]
        return failed[0] if failed and len(failed) == len(failures) else None

    @property
    def has_no_login(self) -> bool:
        """Return whether the site file says that sigsrv must not log in to the host."""
        failures = [answer.failure for answer in self.evidence.probes.values()]
        return any(failure and failure.kind is FailureKind.NO_LOGIN for failure in failures)

    @property
    def unanswered(self) -> tuple[Unanswered, ...]:
        """Return the probes and requests of a scan that this host did not answer, whatever the reason is."""
        reading.note(self.name, reading.LOGIN)
        return guard(lambda: unanswered(self.evidence))

    @fact
    def network(self) -> NetworkFacts:
        """Return links, bridges and addresses, as the kernel has them."""
        return NetworkFacts(self._own)

    @fact
    def firewall(self) -> FirewallFacts:
        """Return the firewall rules that are loaded in the kernel."""
        return FirewallFacts(self._own)

    @fact
    def frames(self) -> FrameFacts:
        """Return what the frames of ``--probe`` showed."""
        return FrameFacts(self._own)

    @fact
    def incus(self) -> IncusFacts:
        """Return what the Incus daemon of this host reports."""
        return IncusFacts(self.evidence)

    @fact
    def instances(self) -> Instances:
        """Return the instances that are on this host, as its own daemon reports them.

        Raises EvidenceError if the daemon did not give the list.
        """
        rows = self.incus.instance_rows
        here = [each.read for each in rows if each.location in ("", "none", self.member)]
        return Instances(
            tuple((each, self.name) for each in here if isinstance(each, Instance)),
            tuple(
                (each, EvidenceError(self._unread_reason(each), host=self.name))
                for each in here
                if isinstance(each, UnreadInstance)
            ),
        )

    def _unread_reason(self, unread: UnreadInstance) -> str:
        if unread.reason:
            return f"{self.name}: {unread.reason}"
        return f"{unread.resource}: Incus does not report its configuration"

    @fact
    def storage(self) -> StorageFacts:
        """Return the state of the ZFS pools."""
        return StorageFacts(self._own)

    @fact
    def pools(self) -> Mapping[str, PoolFacts]:
        """Return the storage pools that Incus lists, by name, each as this host has it."""
        return {
            pool.name: PoolFacts(
                pool.name, pool.driver, pool.locations, self.member, self.collected, self.incus, lambda: self.storage
            )
            for pool in self.incus.pools
        }

    @fact
    def system(self) -> SystemFacts:
        """Return the systemd units."""
        return SystemFacts(self._own)

    @fact
    def accounts(self) -> AccountFacts:
        """Return groups, accounts and who may use the Incus socket."""
        return AccountFacts(self._own)

    @fact
    def packages(self) -> Mapping[str, str]:
        """Return the versions of the installed Incus packages, by name; empty on a host without dpkg."""
        return packages.of_host(self._own, self.machine)

    @fact
    def machine(self) -> MachineFacts:
        """Return memory, load, file systems, clock and kernel settings."""
        return MachineFacts(self._own)

    @fact
    def journal(self) -> JournalFacts:
        """Return the errors that the Incus units wrote to the systemd journal."""
        return JournalFacts(self._own)

    @fact
    def updates(self) -> UpdateFacts:
        """Return pending security updates and whether a reboot is due."""
        return UpdateFacts(self._own)

    @fact
    def backups(self) -> BackupFacts:
        """Return the files in the site's backup directory."""
        return BackupFacts(self._own)

    @fact
    def listeners(self) -> tuple[Listener, ...]:
        """Return the TCP sockets that listen for connections."""
        return listening.of_host(self._own)

    @fact
    def wrong_member(self) -> EvidenceError | None:
        """Return why the facts are not believed: another member's daemon answers there, for example behind a wrong ssh alias.

        None if it is the right daemon, or if that can't be determined.
        """
        with suppress(EvidenceError):
            server = guard(lambda: self.incus.server)
            if server.clustered and server.name and server.name != self.member:
                reason = f"{self.name}: the daemon there says that it is {server.name}"
                return EvidenceError(reason, FailureKind.WRONG_MEMBER, self.member)
        return None

    @property
    def _own(self) -> Evidence:
        """Return the evidence. Raises EvidenceError if another member answered."""
        if self.wrong_member:
            raise self.wrong_member
        return self.evidence

    @property
    def open_warnings(self) -> frozenset[str]:
        """Return the types of Incus's warnings about this member that are not resolved."""
        return frozenset(
            warning.type
            for warning in self.incus.warnings
            if warning.status != "resolved" and warning.location in (self.member, "none", "")
        )

    @fact
    def is_evacuated(self) -> bool:
        """Return whether the member is evacuated, as its own daemon reports. False if that can't be determined."""
        try:
            return any(member.name == self.member and member.is_evacuated for member in self.incus.members)
        except EvidenceError:
            return False

    @property
    def cluster_member(self) -> str:
        """Return the name of the host in its cluster, as ``--target`` of Incus takes it; "" in no cluster."""
        with suppress(EvidenceError):
            if not guard(lambda: self.incus.server.clustered):
                return ""
        return self.member

    @fact
    def daemon_down(self) -> bool:
        """Return whether the host answers and its Incus daemon does not. False if that can't be determined."""
        try:
            _ = self.incus.server
        except EvidenceError as cause:
            return cause.kind in (FailureKind.DOWN, FailureKind.SILENT)
        return False
