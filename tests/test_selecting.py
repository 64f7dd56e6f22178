"""A part of the catalogue: what is selected, what is left out, and that a selection of nothing is no success."""

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
    """The verdicts of all policies on the shipped evidence."""
    plan = prepare(Options(evidence=DEMO, policies=tuple(options)))
    return {finding.id: finding.verdict.value for finding in scan.scan(plan)[0].findings}


EXPECTED = whole()


def scanned(tmp_path, *options):
    """What ``sigsrv scan`` of the shipped evidence ends with, prints, and writes."""
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
def test_each_option_narrows(wanted, chosen):
    """A policy is selected if it fits all that was said; a severity means that one and worse."""
    selection = choose(wanted, POLICIES)

    assert selection.policies == {each.id for each in POLICIES.values() if chosen(each)}
    assert selection.text.endswith(f"({wanted.options})") is (len(selection.policies) < len(POLICIES))


def test_the_user_s_profile_is_what_concerns_one_project():
    """user-environment names exactly the policies about a project, its instances, volumes and isolation."""
    wanted = {f"INST-{number:03}" for number in range(1, 12)} | {f"ACL-{number:03}" for number in range(1, 6)}
    wanted |= {"PROJ-001", "PROJ-002", "PROJ-005", "PROJ-006", "VOL-001", "VOL-004"}
    others = {"INST-012", "INST-013", "ACL-006", "ACL-007", "PROJ-003", "PROJ-004", "PROJ-007", "VOL-002", "NET-001"}
    every = {key: dataclasses.replace(POLICIES["INST-001"], id=key) for key in wanted | others}

    assert choose(Filters(profile="user-environment"), every).policies == wanted


def test_the_site_s_own_profiles_take_the_place_of_the_shipped_ones():
    """Globs, a severity and projects; the shipped names are then unknown."""
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
def test_a_selection_of_nothing_is_wrong_use(wanted, message):
    """Also where only one of several names fits nothing: it may be mistyped."""
    with pytest.raises(UsageError, match=message) as caught:
        choose(wanted, POLICIES)

    assert caught.value.hint


def finding(policy_id, host, resource, verdict=Verdict.FAIL):
    each = POLICIES[policy_id]
    return Finding(policy_id, each.title, each.severity, host, resource, verdict, "", "")


def test_projects_leave_out_what_lies_in_others():
    """Instances, projects, volumes and images of other projects; what is in none stays, and so does what could not be read."""
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
        ),  # a pool of that name
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


def test_a_policy_that_examined_nothing_in_the_projects_says_so():
    """It is not-applicable, and not silently absent."""
    selection = choose(Filters(policy="INST-001", project="user-a"), POLICIES)

    (found,) = select(selection, [finding("INST-001", "sigsrv", "default/web")], POLICIES, {"user-a", "default"})

    assert (found.id, found.verdict) == ("INST-001@cluster/cluster", Verdict.NOT_APPLICABLE)
    assert "no instance in user-a" in found.reason


def test_a_project_that_there_is_not_is_wrong_use_unless_nobody_knows():
    """Where the projects could not be read nothing is left out, so that the errors are seen."""
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
def test_scan_and_pytest_show_the_same_part_with_the_same_verdicts(tmp_path, options, starts):
    """What is left out changes no verdict, and the run says what it is a part of."""
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


def test_a_whole_run_says_nothing_of_a_selection(tmp_path):
    """Also where an option was given that selects everything."""
    done, found = scanned(tmp_path, "-v", "--profile", "strict")

    assert found["run"]["selected"] is None
    assert verdicts(found) == EXPECTED
    assert "selected" not in done.stdout
    assert "<dt>Selected</dt>" not in (tmp_path / "latest" / "report.html").read_text()


def test_a_part_that_complies_does_not_say_that_all_complies(tmp_path):
    """The headline of a part names it as one."""
    done, _ = scanned(tmp_path, "-v", "--policy", "POOL-001")

    assert done.returncode == 0
    assert "demo: Compliant in what was selected" in done.stdout


@pytest.mark.parametrize("select", [["-k", "vlan"], ["-m", "net and critical"], ["-k", "minisrv"]])
def test_pytest_s_own_selection_is_told_as_well(tmp_path, select):
    """-k and -m stand in the report as they were typed; a part of the hosts is a part, too."""
    done, found = pytest_checks(tmp_path, *select)

    assert f"of {len(POLICIES)} policies" in found["run"]["selected"]
    assert select[0] in found["run"]["selected"]
    assert f"selected: {found['run']['selected']}" in done.stdout
    assert ("not on every host" in found["run"]["selected"]) is (select[1] == "minisrv")


def test_one_user_s_project(tmp_path):
    """The profile for users with --project: nothing of another project is in the run."""
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
    """2, a hint, and no report."""
    done, found = scanned(tmp_path, *options)

    assert done.returncode == 2
    assert found is None
    assert "hint: " in done.stderr or "usage: " in done.stderr or "no such folder" in done.stderr


@pytest.mark.parametrize("options", [["--policy", "NOPE-001"], ["--project", "nope"], ["--severity", "hihg"]])
def test_a_wrong_selection_is_pytest_s_wrong_use(tmp_path, options):
    """4, whether it is seen before the scan, after it, or by the parser of options."""
    done, found = pytest_checks(tmp_path, *options)

    assert done.returncode == 4
    assert found == {}
    assert "Traceback" not in done.stdout + done.stderr


def test_a_site_s_profile(tmp_path):
    """Profiles of the site file, with its line where one fits no policy."""
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


def test_nothing_judged_is_no_success(tmp_path):
    """A site without pools: the pools' policies are all not applicable, which proves nothing. sigsrv ends with 3, pytest with 5."""
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


def test_what_proves_a_fix_is_everything(tmp_path):
    """A plan's judgement is of all policies, whatever its selection: only the run is a part."""
    plan = prepare(Options(evidence=DEMO, filters=Filters(policy="NET-001")))

    run, evidences = scan.scan(plan)

    assert {f.policy for f in run.findings} == {"NET-001"}
    assert {f.id: str(f.verdict) for f in judging.judge(plan, evidences)} == EXPECTED


def test_the_shipped_profiles_stand_in_the_schema_of_the_site():
    """Their names are what the site's schema says."""
    schema = json.loads((ROOT / "policies/schema/site.schema.json").read_text())

    assert ", ".join(profile.name for profile in shipped_profiles()) in schema["properties"]["profiles"]["description"]
