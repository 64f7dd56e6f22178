"""Tests a server in no cluster: its verdicts, a fix, and the site file that sigsrv init drafts from it."""

from __future__ import annotations

import re
from functools import partial

import pytest
import yaml

from sigsrv.scan import scan
from sigsrv.scan.options import Options
from sigsrv.scan.plan import prepare
from tests.e2e.conftest import clean, verdicts
from tests.e2e.safety import leftovers, remediate
from tests.e2e.test_faults import difference, known_state, unchanged
from tests.e2e.test_init import failing, stable

pytestmark = pytest.mark.lab("hosts-1")

__all__ = ["known_state", "unchanged"]

ACL = "ACL-001@sigsrv/userbr0"


def test_clean_server_has_the_reviewed_verdicts(lab):
    """Resources that belong to a cluster elsewhere are those of the host. Nothing of a cluster is judged."""
    found = verdicts(lab.scan()[0])

    assert found == clean()
    assert {key for key in found if "@cluster/" in key} == {
        f"XHOST-00{number}@cluster/cluster" for number in range(1, 6)
    }
    assert {found[f"CLUS-00{number}@sigsrv/sigsrv"] for number in (1, 3, 4)} == {"not-applicable"}
    assert {found[f"POOL-001@sigsrv/{pool}"] for pool in ("nvme", "hdd", "iso")} == {"pass"}


def test_fix_of_an_acl_and_its_undo(lab, unchanged, tmp_path):
    """The ACL of a network outside of a cluster is attached, verified, and detached again."""
    command = partial(remediate, lab, tmp_path / "journal.sqlite")
    lab.fault("acl-detached", "sigsrv")
    try:
        broken = difference(verdicts(lab.scan()[0]))
        assert [key for key, verdict in broken.items() if verdict == "fail"] == [ACL]

        applied = lab.command(*command(ACL, "--yes"))
        assert applied.returncode == 0, applied.stdout + applied.stderr
        assert "chain acl.userbr0" in lab.on("sigsrv", "nft", "list", "ruleset")
        assert difference(verdicts(lab.scan()[0])) == {}

        undone = lab.command(*command("--undo", applied.stdout.split()[-1], "--yes"))
        assert undone.returncode == 0, undone.stdout + undone.stderr
        assert difference(verdicts(lab.scan()[0])) == broken
        assert leftovers(lab, "sigsrv") == ""
    finally:
        lab.fault("acl-detached", "sigsrv", heal=True)


def test_draft_has_the_pools_of_the_server_and_marks_what_a_scan_finds(lab, tmp_path):
    """Incus says that they are nowhere: outside of a cluster a pool has no members. A scan with the draft judges them."""
    path = tmp_path / "site.yaml"

    argv = ["--hosts", "sigsrv", "--ssh-config", str(lab.ssh_config), "--output", str(path)]
    done = lab.command("sigsrv", "init", *argv)

    assert done.returncode == 0, done.stderr
    text = path.read_text()
    pools = yaml.safe_load(text)["pools"]
    assert [pool["name"] for pool in pools] == ["hdd", "iso", "nvme"]
    assert not [pool for pool in pools if "members" in pool]
    marked = set(re.findall(r"fails already: (\S+): ", text))
    assert stable(marked) == stable(failing(path))
    run, _ = scan.scan(prepare(Options(site=str(path))))
    assert {verdicts(run)[f"POOL-001@sigsrv/{pool}"] for pool in ("hdd", "iso", "nvme")} == {"pass"}
