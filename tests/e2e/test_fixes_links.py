"""Tests fixes that change a host itself next to what others have configured on it: it stays, or the fix is refused and names it."""

from __future__ import annotations

import contextlib
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from sigsrv.model import data
from sigsrv.model.fix import render
from tests.e2e.conftest import Lab, clean, verdicts
from tests.e2e.safety import FINDING, leftovers, remediate

pytestmark = pytest.mark.lab

HOST = "minisrv"
ROUTES = "ip -o addr show dev {link}; ip rule; for family in 4 6; do ip -$family route show table all dev {link} | sort; done"


@pytest.fixture(scope="module")
def healed(lab: Lab) -> Iterator[Lab]:
    """Check after all tests that the lab is clean again."""
    yield lab
    assert verdicts(lab.scan()[0]) == clean()
    assert leftovers(lab) == ""


def sh(lab: Lab, text: str) -> str:
    return lab.on(HOST, "sh", "-c", text)


@contextlib.contextmanager
def changed(lab: Lab, make: str, heal: str) -> Iterator[None]:
    """Change the host, and heal it afterwards whatever happens."""
    try:
        sh(lab, f"set -e; {make}")
        yield
    finally:
        sh(lab, heal)


def fix(lab: Lab, folder: Path, *argv: str, status: int = 0) -> str:
    """Run sigsrv-remediate with --yes. Returns its output and error output."""
    done = lab.command(*remediate(lab, folder / "journal.sqlite", *argv, "--yes"))
    assert done.returncode == status, done.stdout + done.stderr
    return done.stdout + done.stderr


def undo(lab: Lab, folder: Path, fixed: str, status: int = 0) -> str:
    """Undo the run that printed ``fixed``."""
    (run,) = re.findall(r"--undo (\S+)", fixed)
    return fix(lab, folder, "--undo", run, status=status)


def addressed(link: str) -> str:
    """Return commands that give a link addresses with all that an address can have, and a rule for one of them."""
    return (
        f"ip addr add 10.55.0.2/24 dev {link} label {link}:v; ip addr add 10.55.0.3/24 metric 7 dev {link}; "
        f"ip addr add 10.55.1.2/24 dev {link} noprefixroute; ip addr add 10.55.2.2 peer 10.55.2.9/32 dev {link}; "
        f"ip addr add 10.55.3.2/24 brd + scope link dev {link}; ip rule add from 10.55.0.2 table 100; "
    )


def bare(link: str) -> str:
    return f"ip addr flush dev {link} scope global; ip addr flush dev {link} to 10.55.0.0/16; ip rule del from 10.55.0.2 table 100; true"


DEFAULT = "ip route add default via 10.55.0.1 dev {link} table 100"


@pytest.mark.parametrize(
    ("finding", "fault", "link"),
    [("NET-003@minisrv/incusbr0", "vlan-address", "incus0"), (FINDING, "vlan-detached", "sigsrv0")],
)
def test_routes_of_other_tables_and_properties_of_addresses_stay(healed, tmp_path, finding, fault, link):
    """A route of a policy table would be lost with its address. Without it, the undo gives back the very same addresses and routes."""
    seen = ROUTES.format(link=link)
    healed.fault(fault, HOST)
    try:
        with changed(healed, addressed(link) + DEFAULT.format(link=link), bare(link)):
            before = sh(healed, seen)
            refused = fix(healed, tmp_path, finding, status=4)
            assert f"refused: a route over {link} would be lost: default via 10.55.0.1 table 100" in " ".join(
                refused.split()
            )
            assert sh(healed, seen) == before

            sh(healed, "ip route del default table 100")
            before = sh(healed, seen)
            fixed = fix(healed, tmp_path, finding)
            assert "10.55." not in sh(healed, f"ip -o addr show dev {link}")
            undo(healed, tmp_path, fixed)
            assert sh(healed, seen) == before
    finally:
        healed.fault(fault, HOST, heal=True)


@pytest.mark.parametrize("fault", ["vlan-detached", "link-down"])
@pytest.mark.lab("ns")
def test_second_uplink_of_a_bridge_is_named_and_refused(healed, tmp_path, fault):
    """Two uplinks of a bridge without STP can be a loop. The other one stays as it is."""
    finding = FINDING if fault == "vlan-detached" else "NET-005@minisrv/sigsrvbr0"
    tunnel = "ip link add vx24 type vxlan id 24 dstport 4789 remote 10.213.7.1 dev eth0; ip link set vx24 master sigsrvbr0 up"
    healed.fault(fault, HOST)
    try:
        with changed(healed, tunnel, "ip link del vx24"):
            before = sh(healed, "ip -br link")
            refused = fix(healed, tmp_path, finding, status=4)
            assert "refused: vx24 (vxlan) is a port of sigsrvbr0 too" in " ".join(refused.split())
            assert sh(healed, "ip -br link") == before
            sh(healed, "ip link set sigsrvbr0 type bridge stp_state 1; ip link set vx24 nomaster")
            sh(healed, "ip link set sigsrvbr0 type bridge stp_state 0")
            fix(healed, tmp_path, finding)
    finally:
        healed.fault(fault, HOST, heal=True)


def test_port_that_incus_attaches_is_taken_out_of_its_list(healed, tmp_path):
    """Else it is back with the next change of the network. The undo restores the list in its order."""
    get = "incus network get --target minisrv userbr0 bridge.external_interfaces; ip -o link show master userbr0 | grep -o ' fp[0-9]'; true"
    make = (
        "ip link add fp0 type veth peer name fp1; ip link set fp0 up; ip link set fp1 up; "
        "incus network set --target minisrv userbr0 bridge.external_interfaces=fp0,user0"
    )
    heal = "incus network set --target minisrv userbr0 bridge.external_interfaces=user0; ip link del fp0"
    with changed(healed, make, heal):
        fixed = fix(healed, tmp_path, "NET-006@minisrv/userbr0")
        assert sh(healed, get).split() == ["user0"]
        sh(healed, "incus network set userbr0 user.touched=1; incus network unset userbr0 user.touched")
        assert sh(healed, get).split() == ["user0"]  # Incus set the network up again
        undo(healed, tmp_path, fixed)
        assert sh(healed, get).split() == ["fp0,user0", "fp0"]


FACTORS = "/etc/ssh/sshd_config.d/50-factors.conf"
OWN = "/etc/ssh/sshd_config.d/00-sigsrv-passwords.conf"
RELOAD = "kill -HUP $(cat /run/sshd.pid)"


@pytest.mark.lab("ns")
@pytest.mark.parametrize(
    ("lines", "reason"),
    [
        (
            "Match User games\n  AuthenticationMethods publickey,keyboard-interactive",
            f"AuthenticationMethods needs a password there, and sshd would let these accounts in no more. Decide by hand: {FACTORS}:3:",
        ),
        ("Match User games\n  PasswordAuthentication no", "would be locked out: pat."),
    ],
    ids=["second factor", "account without a key"],
)
def test_accounts_that_would_be_locked_out_are_named(healed, tmp_path, lines, reason):
    """Nothing is changed. An account that sshd refuses anyway, or that has a key, is no reason."""
    finding = "HOST-009@minisrv/minisrv"
    make = f"printf '%s\\n' 'KbdInteractiveAuthentication yes' '{lines}' >{FACTORS}; {RELOAD}; useradd -m pat; echo pat:secret | chpasswd"
    with changed(healed, make, f"rm -f {FACTORS} {OWN}; {RELOAD}; userdel -r pat 2>/dev/null; true"):
        assert reason in " ".join(fix(healed, tmp_path, finding, status=4).split())
        assert "sigsrv" not in sh(healed, "ls /etc/ssh/sshd_config.d")
        sh(healed, f"sed -i 's/^  AuthenticationMethods.*/  PasswordAuthentication no/' {FACTORS}")
        sh(healed, "install -d -o pat -m 700 /home/pat/.ssh; cp /root/.ssh/authorized_keys /home/pat/.ssh/")
        fixed = fix(healed, tmp_path, finding)
        settings = sh(healed, "sshd -T -C user=pat,host=x,addr=192.0.2.1,laddr=192.0.2.2,lport=22")
        assert "kbdinteractiveauthentication no" in settings
        undo(healed, tmp_path, fixed)


def script(lab: Lab, name: str, values: dict[str, Any], force: str = "") -> str:
    """Run a script of refuse-ssh-passwords on the host as sigsrv runs it, and return its output."""
    text = render(data.folder("remediations") / "refuse-ssh-passwords" / f"{name}.sh.j2", values)
    given = f"SIGSRV_STATE=/run/passwords SIGSRV_FORCE={force}; export SIGSRV_STATE SIGSRV_FORCE; mkdir -p $SIGSRV_STATE\n{text}"
    return lab.on(HOST, "sh", "-eu", given=given)


@pytest.mark.lab("ns")
def test_undo_starts_a_dead_sshd_and_keeps_what_somebody_changed(healed):
    """The undo must not end with a host that nobody can log in to."""
    values = {"host": HOST, "blocks": ""}
    with changed(healed, "true", f"rm -rf /run/passwords {OWN}; {RELOAD}"):
        healed.fault("ssh-passwords", HOST)
        try:
            assert "sshd reloaded" in script(healed, "apply", values)
            sh(healed, f"kill $(cat /run/sshd.pid); sleep 1; echo '# mine' >>{OWN}")

            output = script(healed, "undo", values)

            assert f"kept: {HOST}: {OWN} is not as the fix left it" in output
            assert "sshd did not run: it is started" in output
            sh(
                healed,
                "for i in 1 2 3 4 5; do ss -Hltn 'sport = :22' | grep -q . && break; sleep 1; done; kill -0 $(cat /run/sshd.pid)",
            )
            assert "is removed" in script(healed, "undo", values, "yes")
            assert "as it was before" in script(healed, "undo", values)
        finally:
            healed.fault("ssh-passwords", HOST, heal=True)
