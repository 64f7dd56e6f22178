"""Tests that nothing passes without proof: empty, missing or refused evidence is no success."""

from __future__ import annotations

import pytest

from sigsrv.authoring import document
from sigsrv.collect.probes import TABLE
from sigsrv.judge.checks import load_checks
from sigsrv.judge.evaluate import evaluate
from sigsrv.model import data, policy, site_file
from sigsrv.model.errors import UsageError
from sigsrv.model.finding import HostState, Run, Verdict
from tests.called import ROOT, sigsrv
from tests.test_plugin import run as pytest_run
from tests.whole_site import whole_document

POLICIES = policy.load()
CHECKS = load_checks(data.folder("checks"))
REFUSED = {"kind": "denied", "reason": "refused"}


def findings_of(content):
    return evaluate(POLICIES.values(), CHECKS, *document.facts_of(content))


def exit_code(findings):
    hosts = (HostState("sigsrv", "ok", 0.0, 1, ()),)
    return Run("r", "", "", "0", "s", hosts, tuple(findings)).exit_code


@pytest.mark.parametrize("policy_id", [key for key in POLICIES if key != "HOST-001"])
def test_policy_whose_facts_are_all_refused_is_an_error(policy_id):
    """The hosts answer, but refuse all data. Such a policy is neither a pass nor not-applicable."""
    content = whole_document()
    for host in ("sigsrv", "minisrv"):
        content[host]["failures"] = {probe.id: REFUSED for probe in TABLE} | {"api": REFUSED}

    found = [finding for finding in findings_of(content) if finding.policy == policy_id]

    assert {finding.verdict for finding in found} == {Verdict.ERROR}


def test_cluster_without_projects_is_an_error():
    """Project default always exists, so a list without it is incomplete."""
    content = document.document()
    content["cluster"]["projects"] = {}

    found = {finding.verdict for finding in findings_of(content) if policy.family_of(finding.policy) == "proj"}

    assert Verdict.ERROR in found
    assert Verdict.PASS not in found


def test_empty_cluster_never_passes():
    """Without instances, networks, ACLs and pools, no finding about them passes. Each policy still has a finding."""
    content = document.document()
    for section in ("instances", "networks", "network_acls", "pools", "volumes", "images", "certificates"):
        content["cluster"][section] = {}
    content["site"] |= {"bridges": [], "acls": [], "pools": []}
    examined = ("instance", "network", "acl", "pool", "bridge", "volume", "image")

    found = findings_of(content)

    assert {finding.policy for finding in found} == set(POLICIES)
    projects = content["cluster"]["projects"]  # some of these policies evaluate projects too
    about = [f for f in found if POLICIES[f.policy].examines in examined and f.resource not in projects]
    assert about
    assert {finding.verdict for finding in about} <= {Verdict.NOT_APPLICABLE, Verdict.ERROR, Verdict.FAIL}
    assert all(finding.reason for finding in about if finding.verdict is Verdict.NOT_APPLICABLE)
    assert exit_code(finding for finding in about if finding.verdict is Verdict.NOT_APPLICABLE) == 3


def test_no_hosts_is_no_success(tmp_path):
    """A site file without hosts is refused. A run without findings exits with 3."""
    path = tmp_path / "site.yaml"
    path.write_text("version: 1\nname: empty\nhosts: []\n")

    with pytest.raises(UsageError, match=r"site\.yaml:3: hosts"):
        site_file.load(path, POLICIES)
    found = evaluate(POLICIES.values(), CHECKS, site_file.parse(document.document()["site"]), {})
    assert {finding.verdict for finding in found} <= {Verdict.NOT_APPLICABLE}
    assert exit_code(found) == exit_code(()) == 3


@pytest.mark.parametrize("hosts", ["", ",", " , "])
def test_empty_list_of_hosts_is_wrong_use(tmp_path, hosts):
    """sigsrv and pytest scan nothing and refuse it."""
    done = sigsrv("scan", "--evidence", "demo", "--hosts", hosts, "--report-dir", str(tmp_path))
    tests = pytest_run("checks", "--evidence=demo", f"--hosts={hosts}", f"--report-dir={tmp_path}")

    assert (done.returncode, tests.returncode) == (2, 4)
    assert list(tmp_path.iterdir()) == []


def test_evidence_folder_without_hosts_is_no_success(tmp_path):
    """It is wrong use or an error, and never exit status 0."""
    (tmp_path / "evidence").mkdir()

    done = sigsrv(
        "scan",
        "--evidence",
        str(tmp_path / "evidence"),
        "--site",
        str(ROOT / "src/sigsrv/demo/site.yaml"),
        "--report-dir",
        str(tmp_path / "out"),
    )

    assert done.returncode in (2, 3)


def test_checks_folder_without_checks_is_no_success(tmp_path):
    """pytest reports that it collected no tests."""
    assert pytest_run(str(tmp_path), "--evidence=demo").returncode == 5
