"""Tests selections: what they contain, what they leave out, and that an empty selection is not a success."""

from __future__ import annotations

import dataclasses
import json

import pytest

from sigsrv.judge.selecting import Filters, choose, select
from sigsrv.model import policy
from sigsrv.model.errors import UsageError
from sigsrv.model.finding import Finding, Severity, Verdict
from sigsrv.model.site import SiteProfile
from sigsrv.model.site_file import shipped_profiles
from sigsrv.scan import judging, scan
from sigsrv.scan.options import DEMO, Options
from sigsrv.scan.plan import prepare
from tests.called import ROOT, sigsrv
from tests.test_plugin import checks as pytest_checks

POLICIES = policy.load()


def whole(options=()):
    """Return the verdicts of all policies on the shipped evidence."""
    plan = prepare(Options(evidence=DEMO, policies=tuple(options)))
    return {finding.id: finding.verdict.value for finding in scan.scan(plan)[0].findings}


EXPECTED = whole()


def scanned(tmp_path, *options):
    """Run ``sigsrv scan`` on the shipped evidence; return the process and its findings."""
    done = sigsrv("scan", "--evidence", "demo", "--report-dir", str(tmp_path), *options)
    path = tmp_path / "latest" / "findings.json"
    return done, json.loads(path.read_text()) if path.exists() else None


def of(expected, *starts):
    return {key: verdict for key, verdict in expected.items() if key.startswith(starts)}


def critical(*families):
    return tuple(p.id for p in POLICIES.values() if p.family in families and p.severity is Severity.CRITICAL)


def verdicts(found):
    return {finding["id"]: finding["verdict"] for finding in found["findings"]}


@pytest.mark.parametrize(
    ("wanted", "chosen"),
    [
        (Filters(policy="NET-001"), lambda p: p.id == "NET-001"),
        (Filters(policy="net-00*, POOL-001"), lambda p: p.family == "net" or p.id == "POOL-001"),
        (Filters(severity="critical"), lambda p: p.severity is Severity.CRITICAL),
        (Filters(severity="high"), lambda p: p.severity in (Severity.CRITICAL, Severity.HIGH)),
        (Filters(family="Net,acl"), lambda p: p.family in ("net", "acl")),
        (Filters(family="net", severity="critical"), lambda p: p.family == "net" and p.severity is Severity.CRITICAL),
        (Filters(profile="baseline"), lambda p: p.severity in (Severity.CRITICAL, Severity.HIGH)),
        (Filters(profile="strict"), lambda p: True),
        (Filters(), lambda p: True),
    ],
)
def test_each_option_narrows_the_selection(wanted, chosen):
    """A policy must match all options. A severity means this severity or higher."""
    selection = choose(wanted, POLICIES)

    assert selection.policies == {each.id for each in POLICIES.values() if chosen(each)}
    assert selection.text.endswith(f"({wanted.options})") is (len(selection.policies) < len(POLICIES))


def test_the_profile_for_users_has_the_policies_about_one_project():
    """``user-environment`` has exactly the policies about a project, its instances, volumes and isolation."""
    wanted = {f"INST-{number:03}" for number in range(1, 12)} | {f"ACL-{number:03}" for number in range(1, 6)}
    wanted |= {"PROJ-001", "PROJ-002", "PROJ-005", "PROJ-006", "VOL-001", "VOL-004"}
    others = {"INST-012", "INST-013", "ACL-006", "ACL-007", "PROJ-003", "PROJ-004", "PROJ-007", "VOL-002", "NET-001"}
    every = {key: dataclasses.replace(POLICIES["INST-001"], id=key) for key in wanted | others}

    assert choose(Filters(profile="user-environment"), every).policies == wanted


def test_the_site_s_profiles_replace_the_shipped_profiles():
    """A profile has globs, a severity and projects. The names of the shipped profiles are then unknown."""
    own = (SiteProfile("night", ("NET-*", "POOL-*"), "critical", ("user-*",)),)

    selection = choose(Filters(profile="night"), POLICIES, own)

    assert selection.policies == {
        p.id for p in POLICIES.values() if p.family in ("net", "pool") and p.severity == "critical"
    }
    assert selection.projects == ("user-*",)
    assert choose(Filters(profile="night", project="a"), POLICIES, own).projects == ("a",)
    with pytest.raises(UsageError, match='no profile "baseline"'):
        choose(Filters(profile="baseline"), POLICIES, own)


@pytest.mark.parametrize(
    ("wanted", "message"),
    [
        (Filters(policy="NET-1*"), 'nothing matches "NET-1\\*"'),
        (Filters(policy="NET-001,NOPE-001"), 'nothing matches "NOPE-001"'),
        (Filters(policy=" , "), "--policy names nothing"),
        (Filters(policy=""), "--policy names nothing"),
        (Filters(family="nett"), 'nothing matches "nett"'),
        (Filters(family=""), "--family names nothing"),
        (Filters(project=""), "--project names nothing"),
        (Filters(profile="basline"), 'no profile "basline"'),
        (Filters(profile=""), 'no profile ""'),
        (Filters(policy="POOL-005", severity="critical"), "no policy is selected"),
    ],
)
def test_an_empty_selection_is_wrong_use(wanted, message):
    """One name out of several that matches nothing is also wrong use: it may be mistyped."""
    with pytest.raises(UsageError, match=message) as caught:
        choose(wanted, POLICIES)

    assert caught.value.hint


def finding(policy_id, host, resource, verdict=Verdict.FAIL):
    each = POLICIES[policy_id]
    return Finding(policy_id, each.title, each.severity, host, resource, verdict, "", "")


def test_a_project_filter_removes_findings_of_other_projects():
    """It removes projects, profiles, instances, volumes and images. Findings outside projects stay, and so do errors."""
    volume = dataclasses.replace(POLICIES["PROJ-001"], id="VOL-009", examines="volume")
    kept = [
        finding("INST-001", "sigsrv", "user-a/web"),
        finding("PROJ-001", "cluster", "user-a"),
        finding("PROJ-002", "cluster", "cluster", Verdict.ERROR),
        finding("INST-004", "minisrv", "minisrv", Verdict.ERROR),
        finding("ACL-001", "cluster", "userbr0"),
        finding("NET-001", "sigsrv", "userbr0"),
        dataclasses.replace(finding("PROJ-001", "sigsrv", "nvme/user-a/data"), policy="VOL-009"),
        dataclasses.replace(finding("PROJ-001", "sigsrv", "nvme"), policy="VOL-009"),
        dataclasses.replace(
            finding("PROJ-001", "sigsrv", "default", Verdict.ERROR), policy="VOL-009"
        ),  # a pool with this name
        dataclasses.replace(finding("PROJ-001", "cluster", "user-a"), policy="VOL-009"),
        dataclasses.replace(finding("PROJ-001", "sigsrv", "user-a/web"), policy="VOL-009"),
    ]
    left = [
        finding("INST-001", "sigsrv", "default/web"),
        finding("PROJ-001", "cluster", "default"),
        finding("PROJ-001", "cluster", "gone"),
        dataclasses.replace(finding("PROJ-001", "sigsrv", "nvme/default/data"), policy="VOL-009"),
        dataclasses.replace(finding("PROJ-001", "cluster", "default"), policy="VOL-009"),
        dataclasses.replace(finding("PROJ-001", "sigsrv", "default/web"), policy="VOL-009"),
    ]
    policies = {**POLICIES, "VOL-009": volume}
    selection = choose(Filters(project="user-*"), policies)

    assert select(selection, kept + left, policies, {"default", "user-a"}) == tuple(kept)


def test_a_policy_without_resources_in_the_projects_is_not_applicable():
    """It does not disappear from the run."""
    selection = choose(Filters(policy="INST-001", project="user-a"), POLICIES)

    (found,) = select(selection, [finding("INST-001", "sigsrv", "default/web")], POLICIES, {"user-a", "default"})

    assert (found.id, found.verdict) == ("INST-001@cluster/cluster", Verdict.NOT_APPLICABLE)
    assert "no instance in user-a" in found.reason


def test_an_unknown_project_is_wrong_use_if_the_projects_are_known():
    """If the projects could not be read, no finding is removed, so the errors stay visible."""
    selection = choose(Filters(project="user-x"), POLICIES)
    found = [finding("INST-001", "sigsrv", "default/web")]

    with pytest.raises(UsageError, match='nothing matches "user-x"'):
        select(selection, found, POLICIES, {"user-a", "default"})
    assert select(selection, found, POLICIES, None) == tuple(found)


@pytest.mark.parametrize(
    ("options", "starts"),
    [
        (["--policy", "NET-001,inst-*"], ("NET-001", "INST-")),
        (["--family", "acl"], ("ACL-",)),
        (["--family", "net,pool", "--severity", "critical"], critical("net", "pool")),
    ],
)
def test_scan_and_pytest_show_the_same_selection_with_the_same_verdicts(tmp_path, options, starts):
    """A selection changes no verdict, and the run says that it is a selection."""
    done, found = scanned(tmp_path / "a", "-v", *options)
    tests, shown = pytest_checks(tmp_path / "b", *options)

    assert verdicts(found) == verdicts(shown) == of(EXPECTED, *starts)
    number = len({key.split("@")[0] for key in verdicts(found)})
    said = f"{number} of {len(POLICIES)} policies ("
    assert found["run"]["selected"].startswith(said)
    assert shown["run"]["selected"] == found["run"]["selected"]
    assert f"selected: {said}" in " ".join(done.stdout.split())
    assert f"selected: {said}" in tests.stdout
    assert "<dt>Selected</dt>" in (tmp_path / "a" / "latest" / "report.html").read_text()


def test_a_complete_run_mentions_no_selection(tmp_path):
    """This includes a run with an option that selects everything."""
    done, found = scanned(tmp_path, "-v", "--profile", "strict")

    assert found["run"]["selected"] is None
    assert verdicts(found) == EXPECTED
    assert "selected" not in done.stdout
    assert "<dt>Selected</dt>" not in (tmp_path / "latest" / "report.html").read_text()


def test_a_compliant_selection_is_not_called_a_compliant_site(tmp_path):
    """The headline says that only the selection is compliant."""
    done, _ = scanned(tmp_path, "-v", "--policy", "POOL-001")

    assert done.returncode == 0
    assert "demo: Compliant in the selection" in done.stdout


@pytest.mark.parametrize("select", [["-k", "vlan"], ["-m", "net and critical"], ["-k", "minisrv"]])
def test_the_report_shows_pytest_s_own_selection(tmp_path, select):
    """The report shows ``-k`` and ``-m`` as typed. A run of some hosts is a selection too."""
    done, found = pytest_checks(tmp_path, *select)

    assert f"of {len(POLICIES)} policies" in found["run"]["selected"]
    assert select[0] in found["run"]["selected"]
    assert f"selected: {found['run']['selected']}" in done.stdout
    assert ("not on every host" in found["run"]["selected"]) is (select[1] == "minisrv")


def test_the_profile_for_users_with_one_project(tmp_path):
    """With ``--project``, the run has no finding of another project."""
    done, found = scanned(tmp_path, "--profile", "user-environment", "--project", "user-alice")

    named = {
        f["resource"] for f in found["findings"] if f["verdict"] != "error" and f["policy"].startswith(("INST", "PROJ"))
    }
    assert named
    assert all("user-alice" in resource.split("/") or resource == "cluster" for resource in named)
    assert "PROJ-001@cluster/user-alice" in verdicts(found)
    assert done.returncode in (1, 3)


@pytest.mark.parametrize(
    "options",
    [
        ["--policy", "NOPE-001"],
        ["--family", "nope"],
        ["--profile", "nope"],
        ["--project", "nope"],
        ["--policy", "POOL-005", "--severity", "critical"],
        ["--severity", "hihg"],
        ["--policies", "/nowhere"],
    ],
)
def test_a_wrong_selection_is_wrong_use(tmp_path, options):
    """Exit status 2, a hint, and no report."""
    done, found = scanned(tmp_path, *options)

    assert done.returncode == 2
    assert found is None
    assert "hint: " in done.stderr or "usage: " in done.stderr or "no such folder" in done.stderr


@pytest.mark.parametrize("options", [["--policy", "NOPE-001"], ["--project", "nope"], ["--severity", "hihg"]])
def test_a_wrong_selection_is_wrong_use_in_pytest(tmp_path, options):
    """Exit status 4, no matter whether the scan, the code before it or the option parser finds the mistake."""
    done, found = pytest_checks(tmp_path, *options)

    assert done.returncode == 4
    assert found == {}
    assert "Traceback" not in done.stdout + done.stderr


def test_a_site_s_profile(tmp_path):
    """The site file defines profiles. A profile that matches no policy is reported with its line."""
    text = (ROOT / "src/sigsrv/demo/site.yaml").read_text()
    site = tmp_path / "site.yaml"
    site.write_text(text + "profiles:\n  - {name: bridges, policies: [NET-*], severity: critical}\n")

    done, found = scanned(tmp_path / "a", "--site", str(site), "--profile", "bridges")
    assert found, done.stderr
    assert verdicts(found) == of(EXPECTED, *critical("net"))

    site.write_text(text + "profiles:\n  - {name: bridges, policies: [NT-*]}\n")
    done, found = scanned(tmp_path / "b", "--site", str(site), "--profile", "bridges")
    assert done.returncode == 2
    assert f'{site}:{len(text.splitlines()) + 2}: profiles[0].policies[0]: no policy matches "NT-*"' in done.stderr
    assert found is None


def test_a_run_without_a_judgement_is_not_a_success(tmp_path):
    """For a site without pools, all pool policies are not applicable. The exit status is 3, and 5 for pytest."""
    text = (ROOT / "src/sigsrv/demo/site.yaml").read_text()
    site = tmp_path / "site.yaml"
    site.write_text("".join(line for line in text.splitlines(True) if "driver: " not in line and "pools:" not in line))
    options = ["--site", str(site), "--policy", "POOL-005"]

    done, found = scanned(tmp_path / "a", *options)
    tests, shown = pytest_checks(tmp_path / "b", *options)

    assert set(verdicts(found).values()) == set(verdicts(shown).values()) == {"not-applicable"}
    assert (done.returncode, tests.returncode) == (3, 5)
    assert "Nothing was judged" in done.stdout
    assert "Nothing was judged" in tests.stdout


def test_judging_ignores_the_selection(tmp_path):
    """Only the run is limited to the selection, so verifying a fix covers all policies."""
    plan = prepare(Options(evidence=DEMO, filters=Filters(policy="NET-001")))

    run, evidences = scan.scan(plan)

    assert {f.policy for f in run.findings} == {"NET-001"}
    assert {f.id: str(f.verdict) for f in judging.judge(plan, evidences)} == EXPECTED


def test_the_site_schema_names_the_shipped_profiles():
    """The schema and the shipped profiles have the same names."""
    schema = json.loads((ROOT / "policies/schema/site.schema.json").read_text())

    assert ", ".join(profile.name for profile in shipped_profiles()) in schema["properties"]["profiles"]["description"]
