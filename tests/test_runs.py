"""Tests that a part, a run of saved evidence, the demo and another site's run never hide a complete run of this site."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path

import pytest

from sigsrv.commands import remediate
from sigsrv.model import policy, site_file
from sigsrv.model.errors import UsageError
from sigsrv.model.finding import Finding, HostState, Run, Severity, Verdict
from sigsrv.report import publish, runs
from tests.called import sigsrv

POLICIES = policy.load()
SITE = "version: 1\nname: {name}\nhosts: [{{name: sigsrv}}, {{name: minisrv}}]\n"
FAILING = "PROJ-001@cluster/user-john"
PART = f"1 of {len(POLICIES)} policies (--policy POOL-001)"


def site_of(tmp_path: Path, name: str = "ours", file: str = "site.yaml"):
    path = tmp_path / file
    path.write_text(SITE.format(name=name))
    return site_file.load(path, POLICIES)


def run_of(of, number: int, *, fails: bool = True, **more) -> Run:
    """Return a complete run of live hosts in which one finding fails, or a variation of it. number: the minute."""
    project = {"observed": "restricted is unset", "fix": {"project": "user-john", "settings": {}}}
    finding = Finding(
        "PROJ-001", "Project is restricted", Severity.HIGH, "cluster", "user-john", Verdict.FAIL, "", **project
    )
    finding = replace(finding, remediation="restrict-project")
    hosts = tuple(HostState(host.name, "ok", 1.0, 60, ()) for host in of.hosts)
    at = f"2026-11-30T06:{number:02}:00Z"
    run = Run(
        id=f"20261130T06{number:02}00Z-abcd",
        started=at,
        finished=at,
        version="1",
        site=of.name,
        hosts=hosts,
        findings=(finding if fails else replace(finding, verdict=Verdict.PASS, remediation=None),),
        site_file=str(of.path.absolute()),
    )
    return replace(run, **more)


def published(out: Path, *given: Run) -> list[Path]:
    return [publish.publish(run, POLICIES, out) for run in given]


def variations(tmp_path, site) -> dict[str, Run]:
    """Return later runs, without a failure, that are not a complete run of live hosts of the site."""
    other = site_of(tmp_path, "theirs", "theirs.yaml")
    twin = site_of(tmp_path, "ours", "twin.yaml")
    one_host = "1 of 2 hosts (sigsrv)"
    return {
        "policies": run_of(site, 5, fails=False, selected=PART),
        "hosts": run_of(site, 5, fails=False, selected=one_host, hosts=run_of(site, 0).hosts[:1]),
        "evidence": run_of(site, 5, fails=False, evidence="/srv/evidence"),
        "demo": run_of(site, 5, fails=False, evidence="demo", site="demo", site_file="/x/demo/site.yaml"),
        "demo of this name": run_of(site, 5, fails=False, evidence="demo"),
        "part of another site": run_of(other, 5, fails=False, selected=PART),
        "twin": run_of(twin, 5, fails=False),
        "another site": run_of(other, 5, fails=False),
    }


KINDS = ["policies", "hosts", "evidence", "demo", "demo of this name", "part of another site", "twin", "another site"]


@pytest.mark.parametrize("kind", KINDS)
def test_the_newest_complete_run_of_the_site_counts(tmp_path, capsys, kind):
    """The list and ``waive`` use it, and ``latest`` points to a complete run of live hosts."""
    site, out = site_of(tmp_path), tmp_path / "out"
    complete, later = run_of(site, 1), variations(tmp_path, site)[kind]
    published(out, complete)
    path = publish.publish(later, POLICIES, out)

    chosen = runs.choose(out, site)
    status = remediate.main(["--site", str(site.path), "--report-dir", str(out)])
    listed = capsys.readouterr().out
    waived = sigsrv(
        "waive", FAILING, "--reason", "r", "--until", "9d", "--site", str(site.path), "--report-dir", str(out)
    )

    is_complete = kind in ("twin", "another site")  # ``latest`` is of the newest such run, of any site
    assert chosen.run.id == complete.id
    assert runs.linked(out) == (later.id if is_complete else complete.id)
    assert path == out / ("latest" if is_complete else later.id) / "report.html"
    assert status == 0
    assert f"run {complete.id} of ours, 2026-11-30 06:01:00 UTC" in listed
    assert f"sigsrv-remediate {FAILING}" in listed
    assert [run.id for run in chosen.newer] == ([later.id] if kind in ("policies", "hosts", "evidence") else [])
    assert (f"newer: run {later.id}, " in listed) is bool(chosen.newer)
    assert waived.returncode == 0, waived.stderr


@pytest.mark.parametrize("kind", KINDS)
def test_without_a_complete_run_the_others_are_named(tmp_path, capsys, kind):
    """A part and saved evidence of this site are used and named. The demo and another site are refused, with no command."""
    site, out = site_of(tmp_path), tmp_path / "out"
    later = replace(variations(tmp_path, site)[kind], findings=run_of(site, 0).findings)
    published(out, later)

    status = remediate.main(["--site", str(site.path), "--report-dir", str(out)])

    said = capsys.readouterr()
    kinds = {"policies": f"a part: {PART}", "hosts": "a part: 1 of 2 hosts", "evidence": "of saved evidence: /srv"}
    if kind in kinds:
        assert status == 0
        assert f"this run is {kinds[kind]}" in said.out
        assert "the hosts of ours have no complete run yet" in said.out
        assert f"sigsrv-remediate {FAILING}" in said.out
    else:
        assert (status, said.out) == (2, "")
        of = "is the demo" if kind.startswith("demo") else "is of site "
        assert f"no run of site ours ({site.path}); the newest run {later.id} {of}" in said.err
        assert "hint: run a scan first: sigsrv scan" in said.err


def test_a_complete_run_of_saved_evidence_counts_more_than_a_part(tmp_path):
    """For a folder that has only saved evidence; and the demo replaces nothing."""
    site, out = site_of(tmp_path), tmp_path / "out"
    evidence = run_of(site, 1, evidence="/srv/evidence")

    published(out, evidence, run_of(site, 2, selected=PART), run_of(site, 3, evidence="demo"))

    assert runs.linked(out) == evidence.id
    assert runs.choose(out, site).run.id == evidence.id
    published(out, run_of(site, 4))
    assert runs.linked(out) == run_of(site, 4).id


def test_a_host_that_the_site_has_gained_makes_an_old_run_a_part(tmp_path):
    """And an unreachable host does not: it was judged, and its findings are unknown."""
    site, out = site_of(tmp_path), tmp_path / "out"
    down = replace(run_of(site, 1).hosts[1], state="unreachable")
    published(out, run_of(site, 1, hosts=(run_of(site, 1).hosts[0], down)))
    assert runs.choose(out, site).run.kind(site) == ""
    site.path.write_text(SITE.format(name="ours").replace("]", ", {name: third}]"))

    grown = site_file.load(site.path, POLICIES)

    assert runs.choose(out, grown).run.kind(grown) == "a part: without third"


def test_runs_of_an_older_sigsrv_and_other_folders_are_understood(tmp_path):
    """An old run has no site file and no ``evidence``; what is no run is skipped; a removed run leaves ``latest`` dangling."""
    site, out = site_of(tmp_path), tmp_path / "out"
    (old,) = published(out, run_of(site, 1))
    file = old.parent.resolve() / "findings.json"
    content = json.loads(file.read_text())
    for key in ("site_file", "evidence", "complete"):
        del content["run"][key]
    file.write_text(json.dumps(content))
    (out / "20261130T070000Z-beef").mkdir()
    (out / "20261130T070001Z-beef").mkdir()
    (out / "20261130T070001Z-beef" / "findings.json").write_text("[1")
    assert runs.choose(out, site).run.id == content["run"]["id"]

    content["run"]["site"] = "demo"
    file.write_text(json.dumps(content))
    with pytest.raises(UsageError, match="is the demo"):
        runs.choose(out, site)

    file.unlink()
    with pytest.raises(UsageError, match="no run yet"):
        runs.choose(out, site)
    published(out, run_of(site, 2, selected=PART))
    assert runs.linked(out) == run_of(site, 2).id


def test_only_the_newest_runs_of_a_folder_are_read(tmp_path, monkeypatch):
    """And always the one that ``latest`` points to."""
    site, out = site_of(tmp_path), tmp_path / "out"
    monkeypatch.setattr(runs, "_NEWEST", 2)
    published(out, run_of(site, 1), *(run_of(site, number, selected=PART) for number in range(2, 6)))

    assert [run.id[11:13] for run in runs.newest(out)] == ["05", "04", "01"]
    assert runs.choose(out, site).run.id == run_of(site, 1).id


def test_a_scan_says_that_it_is_a_part(tmp_path):
    """It prints the path of its own report, what it has, and the newest complete run. ``--hosts`` also makes a part."""
    demo = Path(__file__).resolve().parents[1] / "src" / "sigsrv" / "demo"
    site = site_file.load(demo / "site.yaml", POLICIES)
    out = tmp_path / "out"
    published(out, run_of(site, 1))
    options = ("--evidence", str(demo / "evidence"), "--site", str(demo / "site.yaml"), "--report-dir", str(out), "-v")

    done = sigsrv("scan", "--policy", "POOL-001", "--hosts", "sigsrv", *options)

    (run,) = [each for each in runs.newest(out) if each.evidence]
    assert done.stdout.endswith(
        f"\nreport: {out}/{run.id}/report.html\n"
        f"this run is a part: {PART}, 1 of 2 hosts (sigsrv); of saved evidence: {demo}/evidence; "
        "the newest complete run: 20261130T060100Z-abcd, 2026-11-30 06:01:00 UTC\n"
    )
    content = json.loads((out / run.id / "findings.json").read_text())["run"]
    assert (content["complete"], content["evidence"]) == (False, str(demo / "evidence"))
    assert content["site_file"] == str(demo / "site.yaml")
    assert (
        "1 of 2 hosts (sigsrv); this report says nothing about the rest" in (out / run.id / "report.html").read_text()
    )
    shown = sigsrv("demo", "--report-dir", str(out)).stdout
    assert "this run is the demo; the newest complete run: " in shown
    assert "/latest/" not in shown


@pytest.mark.parametrize("kind", ["demo", "another site", "twin"])
def test_from_refuses_the_findings_of_another_site(tmp_path, capsys, kind):
    """A finding with the same id would be another one."""
    site, out = site_of(tmp_path), tmp_path / "out"
    (path,) = published(out, variations(tmp_path, site)[kind])

    status = remediate.main(["--from", str(path.parent / "findings.json"), "--plan", "--site", str(site.path)])

    assert status == 2
    assert "--from: " in (said := capsys.readouterr().err)
    assert ("is of the demo, not of ours" if kind == "demo" else "is of site ") in said
