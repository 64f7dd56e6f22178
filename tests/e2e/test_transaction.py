"""Tests what may go wrong during a fix: the host ends in the old or the new state, never between, and the journal
records which one.
"""

from __future__ import annotations

import dataclasses
import json
import re
import signal
import time

import pytest

from sigsrv.collect.connection import open_session
from sigsrv.commands.remediate import hosts_of
from sigsrv.remediate import preflight
from sigsrv.remediate.arming import RollbackTimer
from sigsrv.remediate.journal import Journal
from sigsrv.remediate.remote import FixOptions
from sigsrv.remediate.rescan import fresh_finding
from sigsrv.remediate.transaction import EndState, Outcome, Transaction
from sigsrv.scan import live
from sigsrv.scan.options import Options
from sigsrv.scan.plan import prepare
from tests.e2e.conftest import Lab, clean, verdicts
from tests.e2e.safety import ATTACH, DETACH, FINDING, attached, has_systemd, leftovers, remediate, start
from tests.local_host import wait
from tests.test_remediate_journal import fill, small_disk

pytestmark = pytest.mark.lab

__all__ = ["small_disk"]

STOP_SSHD = """\
if [ -d /run/systemd/system ]; then systemctl stop ssh.socket ssh.service 2>/dev/null || systemctl stop ssh.service
else kill "$(cat /run/sshd.pid)"; fi
pkill -f '^sshd[^ ]*: root' || true
"""
START_SSHD = """\
if [ -d /run/systemd/system ]; then systemctl start ssh.service
elif ! kill -0 "$(cat /run/sshd.pid)" 2>/dev/null; then mkdir -p /run/sshd; /usr/sbin/sshd -E /var/log/incus/sshd.log; fi
"""


@pytest.fixture
def detached(lab: Lab):
    """Detach sigsrv0 from its bridge on minisrv. Afterwards the lab is clean again, with nothing left on the host."""
    lab.fault("vlan-detached", "minisrv")
    yield lab
    lab.fault("vlan-detached", "minisrv", heal=True)
    assert verdicts(lab.scan()[0]) == clean()
    assert leftovers(lab) == ""


@pytest.fixture
def journal(tmp_path):
    found = Journal(tmp_path / "journal.sqlite")
    yield found
    found.close()


def transact(
    lab: Lab,
    journal: Journal,
    notify=lambda line: None,
    confirm_s: float | None = None,
    ssh_config: str | None = None,
    **changes,
) -> tuple[Outcome, list[str]]:
    """Fix the finding in process, with parts of its fix replaced. Returns the outcome and the states in the journal."""
    hosts = hosts_of(prepare(Options(site=str(lab.site), ssh_config=ssh_config)))
    fresh = fresh_finding(hosts, FINDING)
    assert fresh.fix
    fresh = dataclasses.replace(fresh, fix=dataclasses.replace(fresh.fix, **changes))
    timer = RollbackTimer.TRANSIENT if has_systemd(lab) else RollbackTimer.SHELL
    options = FixOptions(confirm_s=confirm_s or 60.0 * lab.slowness, timer=timer)
    transaction = Transaction(hosts.scan, hosts.targets[fresh.fix.runs_on], fresh, journal, notify, options)
    outcome = transaction.run()
    return outcome, journal.states(transaction.id)


def test_fix_that_cuts_its_own_connection_is_verified_over_a_new_one(detached, journal):
    """Its ssh session is killed: the script continues, a new login gets its result, and the fix is verified."""
    messages: list[str] = []

    outcome, states = transact(
        detached,
        journal,
        messages.append,
        script=f"{ATTACH}pkill -f '^sshd[^ ]*: root' || true\nsleep 1\necho through\n",
        undo=DETACH,
    )

    assert any("the connection broke while the script ran" in line for line in messages), messages
    assert outcome.end_state is EndState.VERIFIED, outcome.reason
    assert states == ["applying", "applied", "confirming", "verified"]
    assert attached(detached)


def test_host_recovers_when_a_fix_takes_down_the_link_of_the_login(detached, journal):
    """For any link of the login, also a VLAN interface, the host is in its old state within the confirm timeout."""
    plan = prepare(Options(site=str(detached.site)))
    host = next(each for each in plan.hosts if each.name == "minisrv")
    with open_session(live.target(host, plan)) as session:
        link = preflight.inspect(session).links[0]

    outcome, states = transact(
        detached,
        journal,
        confirm_s=10,
        script=f"{ATTACH}ip link set dev {link} down\n",
        undo=f"ip link set dev {link} up\n{DETACH}",
        timeout_s=5,
    )

    assert outcome.end_state is EndState.UNDONE, outcome.reason
    assert states[-1] == "undone"
    assert not attached(detached)


@pytest.mark.lab("vm")
def test_host_recovers_when_a_fix_takes_down_the_vlan_of_the_login(detached, journal, tmp_path):
    """minisrv is reached through sigsrv, over a VLAN of the trunk only. The host itself sets that VLAN up again."""
    config = tmp_path / "ssh_config"
    config.write_text(
        "Host minisrv\n  HostName 192.0.2.2\n  Port 22\n  HostKeyAlias [127.0.0.1]:21402\n  ProxyJump sigsrv\n"
        + detached.ssh_config.read_text().replace("Host minisrv", "Host *")
    )
    for number, host in enumerate(("sigsrv", "minisrv"), 1):
        detached.on(host, "ip", "link", "add", "link", "eth1", "name", "mgmt0", "type", "vlan", "id", "99")
        detached.on(host, "ip", "address", "add", f"192.0.2.{number}/24", "dev", "mgmt0")
        detached.on(host, "ip", "link", "set", "mgmt0", "up")
    try:
        plan = prepare(Options(site=str(detached.site), ssh_config=str(config)))
        host = next(each for each in plan.hosts if each.name == "minisrv")
        with open_session(live.target(host, plan)) as session:
            links = preflight.inspect(session).links
        began = time.monotonic()
        outcome, states = transact(
            detached,
            journal,
            confirm_s=20,
            ssh_config=str(config),
            script=f"{ATTACH}ip link set dev mgmt0 down\n",
            undo=f"ip link set dev mgmt0 up\n{DETACH}",
            timeout_s=10,
        )
        print(f"ended after {time.monotonic() - began:.0f} s")
    finally:
        for host in ("sigsrv", "minisrv"):
            detached.on(host, "ip", "link", "delete", "mgmt0")

    assert {"mgmt0", "eth1"} <= set(links)
    assert outcome.end_state is EndState.UNDONE, outcome.reason
    assert states[-1] == "undone"
    assert not attached(detached)


def test_host_restarts_the_sshd_that_a_fix_stopped(detached, journal):
    """No login is possible: the timer on the host rolls the fix back, and then a login is possible again."""
    outcome, states = transact(
        detached, journal, confirm_s=10, script=f"{ATTACH}{STOP_SSHD}", undo=f"{START_SSHD}{DETACH}", timeout_s=10
    )

    assert outcome.end_state is EndState.UNDONE, outcome.reason
    assert states[-1] == "undone"
    assert not attached(detached)


def test_script_that_prints_an_error_and_exits_with_0_is_rolled_back(detached, journal):
    """Its output is shown, but only fresh facts decide."""
    messages: list[str] = []

    outcome, states = transact(
        detached,
        journal,
        messages.append,
        script="echo 'RTNETLINK answers: No such device' >&2\nexit 0\n",
        undo="true\n",
    )

    assert outcome.end_state is EndState.UNDONE
    assert f"{FINDING} is still fail" in outcome.reason
    assert "RTNETLINK answers: No such device" in messages
    assert states[-1] == "undone"


def test_script_that_fails_half_way_is_rolled_back(detached, journal):
    """It ends with its own exit status, and its changes are reverted."""
    outcome, states = transact(detached, journal, script=f"{ATTACH}exit 3\n", undo=DETACH)

    assert (outcome.end_state, "ended with exit status 3" in outcome.reason) == (EndState.UNDONE, True)
    assert states[-1] == "undone"
    assert not attached(detached)


def test_fix_that_breaks_another_policy_is_rolled_back(detached, journal):
    """The finding is gone, but another one is new: the reason names it, and the host is in its old state."""
    outcome, states = transact(
        detached,
        journal,
        script=f"{ATTACH}ip link set dev incus0 nomaster\n",
        undo=f"ip link set dev incus0 master incusbr0\n{DETACH}",
    )

    assert outcome.end_state is EndState.UNDONE
    assert "NET-001@minisrv/incusbr0 fail" in outcome.reason
    assert states[-1] == "undone"


@pytest.mark.parametrize("finding", [pytest.param(FINDING, marks=pytest.mark.smoke), "INST-013@sigsrv/default/svc-a"])
def test_host_rolls_a_fix_back_after_its_run_was_killed(lab, tmp_path, finding):
    """SIGKILL between apply and confirm: the host is in its old state in time.

    The next run records that and continues.
    """
    journal = tmp_path / "journal.sqlite"
    fault, host = ("vlan-detached", "minisrv") if finding == FINDING else ("unprotected", "sigsrv")
    lab.fault(fault, host)
    try:
        argv = remediate(lab, journal, finding, "--yes")
        process = start(*argv, "--confirm-timeout", "8")
        database = Journal(journal)
        try:
            assert wait(lambda: [s for s in database.interrupted_steps() if "applied" in s.states], 60), (
                process.communicate()
            )
            process.send_signal(signal.SIGKILL)
            process.communicate()
            assert database.interrupted_steps()[0].states == ("applying", "applied")
        finally:
            database.close()
        within = 8 * lab.slowness
        if finding == FINDING:
            assert wait(lambda: leftovers(lab, host) in ("", "lock"), within), "the host did not roll it back in time"
            assert verdicts(lab.scan()[0])[finding] == "fail"
            messages = lab.command(*remediate(lab, journal, "--history")).stdout
            assert f"interrupted: {finding}" in messages

        done = lab.command(*argv)

        assert done.returncode == 0, done.stdout + done.stderr
        assert "was interrupted" in done.stdout
        messages = lab.command(*remediate(lab, journal, "--history")).stdout
        assert [line.split(":")[0].strip() for line in messages.splitlines() if f": {finding}" in line] == [
            "verified",
            "undone",
        ]
        assert leftovers(lab, host) == ""
    finally:
        lab.fault(fault, host, heal=True)


def test_one_of_two_concurrent_operators_applies_the_fix(detached, tmp_path):
    """Each has an own journal. The other one is refused because of the lock, or has nothing to do."""
    argv = [remediate(detached, tmp_path / f"{number}.sqlite", FINDING, "--yes") for number in (1, 2)]
    processes = [start(*each) for each in argv]

    result = [process.communicate(timeout=180) for process in processes]

    codes = [process.returncode for process in processes]
    assert 0 in codes, result
    applied = [out for out, _ in result if "verified:" in out]
    assert len(applied) == 1, result
    for code, (out, err) in zip(codes, result, strict=True):
        if "verified:" not in out:
            assert (code, "the host is locked by" in err) == (1, True) or "nothing to do" in out, (out, err)
    assert attached(detached)


def test_journal_on_a_full_disk_stops_before_the_host_is_changed(detached, small_disk):
    """Without space for the journal there is no change."""
    fill(small_disk)

    done = detached.command(*remediate(detached, small_disk / "journal.sqlite", FINDING, "--yes"))

    assert done.returncode == 2, done.stdout + done.stderr
    assert "the journal can't be written" in done.stderr
    assert not attached(detached)


def test_journal_records_the_end_on_a_disk_that_fills_up(detached, small_disk):
    """The space for that was reserved."""
    journal = Journal(small_disk / "journal.sqlite")
    try:
        outcome, states = transact(
            detached, journal, lambda line: fill(small_disk), script=f"{ATTACH}echo attached\n", undo=DETACH
        )
    finally:
        journal.close()

    assert outcome.end_state is EndState.VERIFIED, outcome.reason
    assert states == ["applying", "applied", "confirming", "verified"]
    assert attached(detached)


def test_fix_is_refused_while_a_member_is_offline(lab, tmp_path):
    """The reason is shown and nothing changes. The fix that starts the daemon is not refused."""
    try:
        lab.fault("vlan-detached", "sigsrv")
        lab.fault("incusd-stopped", "minisrv")
        finding = "NET-001@sigsrv/sigsrvbr0"
        done = lab.command(*remediate(lab, tmp_path / "journal.sqlite", finding, "--yes"))
        planned = lab.command(
            *remediate(lab, tmp_path / "journal.sqlite", "HOST-002@minisrv/minisrv", "--plan", "--json")
        )
    finally:
        lab.fault("incusd-stopped", "minisrv", heal=True)
        lab.fault("vlan-detached", "sigsrv", heal=True)

    assert done.returncode == 1, done.stdout + done.stderr
    assert "refused: the Incus daemon of minisrv does not answer" in done.stderr
    assert json.loads(planned.stdout)["refused"] == []


def test_several_findings_are_fixed_in_order_and_undone_together(lab, tmp_path):
    """A bridge is fixed before an instance, in whatever order they are named, and undone after it.

    The history has both runs.
    """
    journal = tmp_path / "journal.sqlite"
    bridge, instance = FINDING, "INST-013@sigsrv/default/svc-a"
    try:
        lab.fault("vlan-detached", "minisrv")
        lab.fault("unprotected", "sigsrv")
        was = verdicts(lab.scan()[0])
        done = lab.command(*remediate(lab, journal, instance, bridge, "--yes"))
        assert done.returncode == 0, done.stdout + done.stderr
        assert verdicts(lab.scan()[0]) == clean()
        positions = [done.stdout.index(f"verified: {each} no longer fails") for each in (bridge, instance)]
        assert positions == sorted(positions)
        if has_systemd(lab):
            messages = lab.on(
                "minisrv", "journalctl", "-q", "-t", "sigsrv-remediate", "-n", "2", "-o", "cat"
            ).splitlines()
            words = rf"\S+ (.+) attach-vlan for {bridge} \(transaction [0-9a-f]{{16}}, script sha256 [0-9a-f]{{64}}\)"
            assert [re.fullmatch(words, line)[1] for line in messages] == ["applies", "has confirmed"]

        undone = lab.command(*remediate(lab, journal, "--undo", done.stdout.split()[-1], "--yes"))

        assert undone.returncode == 0, undone.stdout + undone.stderr
        positions = [undone.stdout.index(f"verified: {each} is as it was") for each in (instance, bridge)]
        assert positions == sorted(positions)
        assert verdicts(lab.scan()[0]) == was
        again = lab.command(*remediate(lab, journal, "--undo", done.stdout.split()[-1], "--yes"))
        assert "nothing to undo" in again.stdout
    finally:
        lab.fault("unprotected", "sigsrv", heal=True)
        lab.fault("vlan-detached", "minisrv", heal=True)


def test_failed_rollback_is_reported(detached, journal):
    """Neither the new nor the old state can be verified. A person must clean up the leftovers on the host."""
    outcome, states = transact(detached, journal, script="exit 1\n", undo="exit 1\n", disruption="none")

    assert outcome.end_state is EndState.UNKNOWN
    assert states[-1] == "failed"
    assert leftovers(detached) != ""
    detached.on("minisrv", "sh", "-c", "rm -r /run/sigsrv/*")
