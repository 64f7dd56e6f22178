"""A remediation and what may go wrong with it: the host ends in the old or the new state, never between; the journal says which."""

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
from tests.e2e.safety import ATTACH, DETACH, FINDING, attached, has_systemd, left, remediate, start
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
    """sigsrv0 is out of its bridge on minisrv; afterwards the lab is clean again, with nothing left on the host."""
    lab.fault("vlan-detached", "minisrv")
    yield lab
    lab.fault("vlan-detached", "minisrv", heal=True)
    assert verdicts(lab.scan()[0]) == clean()
    assert left(lab) == ""


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
    """Remediate the finding in process, with parts of its fix replaced; how it ended, and the states in the journal."""
    hosts = hosts_of(prepare(Options(site=str(lab.site), ssh_config=ssh_config)))
    fresh = fresh_finding(hosts, FINDING)
    assert fresh.fix
    fresh = dataclasses.replace(fresh, fix=dataclasses.replace(fresh.fix, **changes))
    timer = RollbackTimer.TRANSIENT if has_systemd(lab) else RollbackTimer.SHELL
    options = FixOptions(confirm_s=confirm_s or 60.0 * lab.slowness, timer=timer)
    transaction = Transaction(hosts.scan, hosts.targets[fresh.fix.runs_on], fresh, journal, notify, options)
    outcome = transaction.run()
    return outcome, journal.states(transaction.id)


def test_a_fix_that_cuts_its_own_connection_is_proven_over_a_new_one(detached, journal):
    """Its ssh session is killed under it: the script goes on, a new login sees that it ended well, and it is verified."""
    told: list[str] = []

    outcome, states = transact(
        detached,
        journal,
        told.append,
        script=f"{ATTACH}pkill -f '^sshd[^ ]*: root' || true\nsleep 1\necho through\n",
        undo=DETACH,
    )

    assert any("the connection broke while it ran" in line for line in told), told
    assert outcome.end_state is EndState.VERIFIED, outcome.reason
    assert states == ["applying", "applied", "confirming", "verified"]
    assert attached(detached)


def test_the_link_of_the_session_itself_goes_down_and_the_host_comes_back(detached, journal):
    """Whatever link the login came over, also a VLAN: within the time given the host is in its old state."""
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
def test_the_vlan_that_the_session_runs_over_goes_down_and_the_host_comes_back(detached, journal, tmp_path):
    """minisrv is reached through sigsrv, over a VLAN of the trunk alone: the fix takes it down, and the host itself brings it back."""
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


def test_sshd_that_the_fix_stops_is_started_by_the_host_itself(detached, journal):
    """Nobody gets in any more: the timer on the host undoes it, and then somebody does."""
    outcome, states = transact(
        detached, journal, confirm_s=10, script=f"{ATTACH}{STOP_SSHD}", undo=f"{START_SSHD}{DETACH}", timeout_s=10
    )

    assert outcome.end_state is EndState.UNDONE, outcome.reason
    assert states[-1] == "undone"
    assert not attached(detached)


def test_a_script_that_prints_an_error_and_ends_with_0_is_undone(detached, journal):
    """What it says is shown; what counts is what fresh facts say."""
    told: list[str] = []

    outcome, states = transact(
        detached, journal, told.append, script="echo 'RTNETLINK answers: No such device' >&2\nexit 0\n", undo="true\n"
    )

    assert outcome.end_state is EndState.UNDONE
    assert f"{FINDING} is still fail" in outcome.reason
    assert "RTNETLINK answers: No such device" in told
    assert states[-1] == "undone"


def test_a_script_that_fails_half_way_is_undone(detached, journal):
    """It ends with its own status; what it had done is put back."""
    outcome, states = transact(detached, journal, script=f"{ATTACH}exit 3\n", undo=DETACH)

    assert (outcome.end_state, "ended with 3" in outcome.reason) == (EndState.UNDONE, True)
    assert states[-1] == "undone"
    assert not attached(detached)


def test_a_fix_that_spoils_another_policy_is_undone(detached, journal):
    """The finding is gone and another is there: the old state, with the other's name as the reason."""
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
def test_whoever_applies_it_is_killed_and_the_host_undoes_it(lab, tmp_path, finding):
    """SIGKILL between apply and confirm: within the time given the host is in its old state; the next run writes that, and goes on."""
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
            assert wait(lambda: left(lab, host) in ("", "lock"), within), "the host did not undo it in time"
            assert verdicts(lab.scan()[0])[finding] == "fail"
            told = lab.command(*remediate(lab, journal, "--history")).stdout
            assert f"broken off: {finding}" in told

        done = lab.command(*argv)

        assert done.returncode == 0, done.stdout + done.stderr
        assert "was broken off" in done.stdout
        told = lab.command(*remediate(lab, journal, "--history")).stdout
        assert [line.split(":")[0].strip() for line in told.splitlines() if f": {finding}" in line] == [
            "verified",
            "undone",
        ]
        assert left(lab, host) == ""
    finally:
        lab.fault(fault, host, heal=True)


def test_of_two_operators_at_once_one_applies_it(detached, tmp_path):
    """Each with a journal of their own: one puts it right, the other is told who is at work, or finds it right."""
    argv = [remediate(detached, tmp_path / f"{number}.sqlite", FINDING, "--yes") for number in (1, 2)]
    processes = [start(*each) for each in argv]

    result = [process.communicate(timeout=180) for process in processes]

    codes = [process.returncode for process in processes]
    assert 0 in codes, result
    applied = [out for out, _ in result if "verified:" in out]
    assert len(applied) == 1, result
    for code, (out, err) in zip(codes, result, strict=True):
        if "verified:" not in out:
            assert (code, "is at work here" in err) == (1, True) or "nothing is to be done" in out, (out, err)
    assert attached(detached)


def test_a_journal_on_a_full_disk_stops_it_before_the_host_is_touched(detached, small_disk):
    """No room for the journal, no change."""
    fill(small_disk)

    done = detached.command(*remediate(detached, small_disk / "journal.sqlite", FINDING, "--yes"))

    assert done.returncode == 2, done.stdout + done.stderr
    assert "the journal can't be written" in done.stderr
    assert not attached(detached)


def test_a_disk_that_fills_up_while_it_is_applied_does_not_keep_the_journal_from_saying_how_it_ended(
    detached, small_disk
):
    """The room for that was kept."""
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


def test_a_fix_waits_for_a_member_that_is_offline(lab, tmp_path):
    """Refused with the reason, and nothing changed; what starts the daemon again is not refused for that."""
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


def test_several_findings_are_put_right_in_order_and_undone_together(lab, tmp_path):
    """A bridge before an instance, whatever order they are named in; undone the other way round; the history has both runs."""
    journal = tmp_path / "journal.sqlite"
    bridge, instance = FINDING, "INST-013@sigsrv/default/svc-a"
    try:
        lab.fault("vlan-detached", "minisrv")
        lab.fault("unprotected", "sigsrv")
        was = verdicts(lab.scan()[0])
        done = lab.command(*remediate(lab, journal, instance, bridge, "--yes"))
        assert done.returncode == 0, done.stdout + done.stderr
        assert verdicts(lab.scan()[0]) == clean()
        paths = [done.stdout.index(f"verified: {each} holds") for each in (bridge, instance)]
        assert paths == sorted(paths)
        if has_systemd(lab):
            told = lab.on("minisrv", "journalctl", "-q", "-t", "sigsrv-remediate", "-n", "2", "-o", "cat").splitlines()
            words = rf"\S+ (.+) attach-vlan for {bridge} \(transaction [0-9a-f]{{16}}, script sha256 [0-9a-f]{{64}}\)"
            assert [re.fullmatch(words, line)[1] for line in told] == ["applies", "has confirmed"]

        undone = lab.command(*remediate(lab, journal, "--undo", done.stdout.split()[-1], "--yes"))

        assert undone.returncode == 0, undone.stdout + undone.stderr
        paths = [undone.stdout.index(f"verified: {each} is as it was") for each in (instance, bridge)]
        assert paths == sorted(paths)
        assert verdicts(lab.scan()[0]) == was
        again = lab.command(*remediate(lab, journal, "--undo", done.stdout.split()[-1], "--yes"))
        assert "nothing is to be undone" in again.stdout
    finally:
        lab.fault("unprotected", "sigsrv", heal=True)
        lab.fault("vlan-detached", "minisrv", heal=True)


def test_an_undo_that_fails_is_said(detached, journal):
    """Where neither the new nor the old state can be shown, that is what is said; what is left on the host is a person's."""
    outcome, states = transact(detached, journal, script="exit 1\n", undo="exit 1\n", disruption="none")

    assert outcome.end_state is EndState.UNKNOWN
    assert states[-1] == "failed"
    assert left(detached) != ""
    detached.on("minisrv", "sh", "-c", "rm -r /run/sigsrv/*")
