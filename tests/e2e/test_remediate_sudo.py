"""Tests sigsrv-remediate with an account that is not root: it needs one sudo rule, and the rule allows nothing else."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from sigsrv.collect.connection import open_session
from sigsrv.commands.remediate import hosts_of
from sigsrv.remediate import preflight
from sigsrv.scan.options import Options
from sigsrv.scan.plan import prepare
from tests.e2e.conftest import Lab
from tests.e2e.safety import FINDING, attached, leftovers, remediate

pytestmark = pytest.mark.lab
HOSTS = ("sigsrv", "minisrv")


def give_rules(lab: Lab, *more: str) -> None:
    """Install the sudoers file that ``sigsrv probes --sudoers audit`` prints."""
    text = lab.command("sigsrv", "probes", "--site", str(lab.site), "--sudoers", "audit", *more).stdout
    for host in HOSTS:
        lab.on(host, "sh", "-c", "umask 227; cat >/etc/sudoers.d/sigsrv; visudo -cqf /etc/sudoers.d/sigsrv", given=text)


@pytest.fixture
def audit(lab: Lab) -> Iterator[list[str]]:
    """Give the account audit the rules for a scan and for remediation. Provide the options to use it."""
    give_rules(lab, "--remediate")
    yield ["--ssh-config", str(lab.files / "ssh_config.audit")]
    for host in HOSTS:
        lab.on(host, "rm", "-f", "/etc/sudoers.d/sigsrv")


@pytest.fixture
def detached(lab: Lab) -> Iterator[Lab]:
    """Detach sigsrv0 from its bridge on minisrv. After the test nothing of a fix is left on the host."""
    lab.fault("vlan-detached", "minisrv")
    yield lab
    lab.fault("vlan-detached", "minisrv", heal=True)
    assert leftovers(lab) == ""


def test_fix_is_applied_verified_and_undone(detached, audit, tmp_path):
    """The printed rules are enough, and the host logs who did it."""
    argv = remediate(detached, tmp_path / "journal.sqlite")

    done = detached.command(*argv, FINDING, "--yes", "--sudo", *audit)
    assert done.returncode == 0, done.stdout + done.stderr
    assert f"verified: {FINDING} no longer fails" in done.stdout
    assert attached(detached)
    undone = detached.command(*argv, "--undo", done.stdout.split()[-1], "--yes", "--sudo", *audit)

    assert undone.returncode == 0, undone.stdout + undone.stderr
    assert not attached(detached)


def test_account_may_run_no_other_command(lab, audit):
    """sudo refuses other arguments, other shells and other accounts."""
    ssh = ["ssh", *(("-F", audit[1])), "sigsrv"]
    allowed = lab.command(*ssh, "sudo -n /bin/sh -s", given="id -u\n")
    assert allowed.stdout == "0\n"
    for command in (
        "id",
        "/bin/sh",
        "/bin/sh -c id",
        "/bin/sh -s x",
        "/bin/sh -s -c id",
        "/bin/bash -s",
        "env /bin/sh -s",
        "-u nobody /bin/sh -s",
        "X=y /bin/sh -s",
    ):
        done = lab.command(*ssh, f"sudo -n {command}", given="id -u\n")
        assert (done.returncode, done.stdout) == (1, ""), command
        assert "password is required" in done.stderr or "not allowed" in done.stderr, done.stderr


def test_own_login_is_known_under_sudo(lab, audit):
    """sudo drops the address of the ssh session. Without it, a fix could cut the link that it came by, unarmed."""
    found = []
    for options in (Options(site=str(lab.site)), Options(site=str(lab.site), ssh_config=audit[1], sudo=True)):
        target = hosts_of(prepare(options)).targets["minisrv"]
        with open_session(target) as session:
            found.append(preflight.inspect(session))

    assert found[0].links
    assert found[1] == found[0]


def test_forgotten_option_is_named(detached, audit, tmp_path):
    """Without --sudo the account can't change the host: the plan already says so."""
    argv = remediate(detached, tmp_path / "journal.sqlite", FINDING, *audit)

    for more in ("--plan", "--yes"):
        done = detached.command(*argv, more)
        assert done.returncode == 2, done.stdout + done.stderr
        assert "the account audit is not root, so it can't change this host: use --sudo" in done.stderr
    assert not attached(detached)


def test_missing_rule_is_named(detached, audit, tmp_path):
    """With the rules of a scan only, sudo refuses the shell, and the message says which command prints the rule."""
    give_rules(detached)
    argv = remediate(detached, tmp_path / "journal.sqlite", FINDING, "--yes", "--sudo", *audit)

    done = detached.command(*argv)

    assert done.returncode == 3, done.stdout + done.stderr
    assert "password is required; sigsrv probes --sudoers ACCOUNT --remediate prints the rule for --sudo" in done.stderr
    assert not attached(detached)
