"""pytest checks, as its user runs it, on the shipped evidence: no host is needed."""

from __future__ import annotations

import importlib.util
import json
import os
import subprocess
import sys
from collections import Counter
from pathlib import Path

import pytest

from tests.saved import FAILING, PRIVILEGED, saved

ROOT = Path(__file__).resolve().parents[1]
PLUGIN = "sigsrv.pytest_plugin.plugin"
# No cache in the checkout; and what the tests alone need is not in a user's environment: it takes as long to load as the checks to run.
WITHOUT = ("-p", "no:cacheprovider", "-p", "no:hypothesispytest", "-p", "no:xdist", "-p", "no:xdist.looponfail")
EXPECTED = json.loads((ROOT / "src" / "sigsrv" / "demo" / "expected.json").read_text())


def run(*arguments: str, cwd: Path = ROOT, **environment: str) -> subprocess.CompletedProcess[str]:
    env = {key: value for key, value in os.environ.items() if not key.startswith(("SIGSRV", "PYTEST"))} | environment
    argv = [sys.executable, "-m", "pytest", *WITHOUT, "-p", PLUGIN, *arguments]
    return subprocess.run(argv, cwd=cwd, env=env, capture_output=True, text=True, check=False, timeout=60)


def checks(tmp_path: Path, *more: str) -> tuple[subprocess.CompletedProcess[str], dict]:
    done = run("checks", "--evidence=demo", f"--report-dir={tmp_path}", *more)
    path = tmp_path / "latest" / "findings.json"
    return done, json.loads(path.read_text()) if path.exists() else {}


def test_every_policy_is_shown_on_every_host_and_the_cluster(tmp_path):
    """All verdicts are those recorded; a policy that fails or is unknown is a failing test, and pytest ends with 1."""
    done, found = checks(tmp_path)

    assert done.returncode == 1
    assert {finding["id"]: finding["verdict"] for finding in found["findings"]} == EXPECTED
    assert (
        "test_bridge_has_its_vlan_interface_attached[minisrv]"
        in run("checks", "--evidence=demo", "--collect-only", "-q").stdout
    )
    assert "INST-001@sigsrv/default/svc-a: fail" in done.stdout
    assert "sigsrv-remediate INST-001@sigsrv/default/svc-a" in done.stdout
    count = Counter(EXPECTED.values())
    assert f"demo: {count['fail']} failures, {count['error']} could not be determined" in done.stdout


@pytest.mark.parametrize(
    ("select", "families"),
    [(["-k", "vlan_interface"], {"NET"}), (["-m", "acl"], {"ACL"}), (["-m", "high and proj"], {"PROJ"})],
)
def test_pytest_s_own_selection_works(tmp_path, select, families):
    """-k takes names, -m families and severities; the report holds what was selected."""
    _, found = checks(tmp_path, *select)

    assert {finding["policy"].split("-")[0] for finding in found["findings"]} == families


def test_a_part_of_the_catalogue_has_the_verdicts_of_the_whole(tmp_path):
    """What follows from a finding that was not selected keeps its verdict."""
    _, found = checks(tmp_path, "-k", "acl_default_action")

    assert {f["id"]: f["verdict"] for f in found["findings"]} == {
        k: v for k, v in EXPECTED.items() if k.startswith("ACL-003")
    }


def test_a_selection_of_nothing_is_no_success(tmp_path):
    """-k that matches nothing ends with pytest's 5, and writes no report."""
    done, found = checks(tmp_path, "-k", "no_such_check")

    assert done.returncode == 5
    assert found == {}


def test_a_host_that_is_away_is_no_success_though_no_test_of_it_fails(tmp_path):
    """What is judged once for the cluster passes by what the other host tells."""
    away = {"op": "replace", "path": "/minisrv/failure", "value": {"kind": "unreachable", "reason": "no route to host"}}

    done = run("checks", *saved(tmp_path, away), "--policy=ACL-002")

    assert done.returncode == 1, done.stdout
    assert "1 passed" in done.stdout
    assert run("checks", *saved(tmp_path, name="well"), "--policy=ACL-002").returncode == 0


def test_each_parameter_of_a_test_is_a_finding_of_its_own(tmp_path):
    """What somebody accepts of one is not accepted of the other."""
    (tmp_path / "test_mine.py").write_text(
        "import pytest\n\n\n@pytest.mark.parametrize('number', ['one', 'two-three'])\n"
        "def test_it(host, number):\n    assert number == 'one'\n"
    )
    site = tmp_path / "site.yaml"
    site.write_text("version: 1\nname: here\nhosts: [{name: here}]\n")

    done = run(
        "test_mine.py",
        f"--site={site}",
        "--connection=local",
        "--hosts=here",
        f"--report-dir={tmp_path / 'out'}",
        cwd=tmp_path,
    )

    assert done.returncode == 1, done.stdout
    found = json.loads((tmp_path / "out" / "latest" / "findings.json").read_text())["findings"]
    assert {f["id"]: f["verdict"] for f in found} == {
        "test_mine.test_it@here/one": "pass",
        "test_mine.test_it@here/two-three": "fail",
    }


def test_an_unknown_host_is_wrong_use(tmp_path):
    """pytest's exit code for it is 4; the error names the nearest host."""
    done, _ = checks(tmp_path, "--hosts=sigsvr")

    assert done.returncode == 4
    assert 'did you mean "sigsrv"?' in done.stdout + done.stderr


def test_collecting_alone_asks_no_host(tmp_path):
    """--collect-only lists the tests and scans nothing."""
    done = run(
        "checks",
        "--collect-only",
        "-q",
        "--hosts=sigsrv",
        f"--report-dir={tmp_path}",
        f"--site={ROOT / 'policies/site.yaml'}",
    )

    assert done.returncode == 0, done.stdout
    assert "[sigsrv]" in done.stdout
    assert list(tmp_path.iterdir()) == []


def test_without_checks_the_plugin_does_nothing(tmp_path):
    """Tests that have nothing to do with sigsrv need no site and get no report."""
    (tmp_path / "test_x.py").write_text("def test_x():\n    pass\n")

    done = run("test_x.py", "-p", "no:cacheprovider", cwd=tmp_path)

    assert done.returncode == 0, done.stdout
    assert "compliance" not in done.stdout.replace("sigsrv-compliance", "")
    assert [path.name for path in tmp_path.iterdir() if path.name != "__pycache__"] == ["test_x.py"]


def test_a_check_of_one_s_own_replaces_the_shipped_one(tmp_path):
    """A file with @policy is a check of that policy wherever it lies."""
    (tmp_path / "test_mine.py").write_text(
        "from sigsrv import policy\n\n@policy('NET-001')\ndef test_mine(facts, site, require):\n"
        "    require('mine', facts.name == 'sigsrv', expected='sigsrv', observed=facts.name)\n"
    )

    done = run("test_mine.py", "--evidence=demo", f"--report-dir={tmp_path / 'out'}", cwd=tmp_path)

    assert done.returncode == 1
    found = json.loads((tmp_path / "out" / "latest" / "findings.json").read_text())["findings"]
    assert {f["id"]: f["verdict"] for f in found} == {"NET-001@sigsrv/mine": "pass", "NET-001@minisrv/mine": "fail"}


def test_facts_outside_a_check_are_refused(tmp_path):
    """A test that takes facts and is no check says how it becomes one."""
    (tmp_path / "test_mine.py").write_text("def test_mine(facts):\n    pass\n")

    assert "mark it with @policy" in run("test_mine.py", "--evidence=demo", cwd=tmp_path).stdout


def test_a_host_s_text_does_not_steer_the_terminal(tmp_path):
    """Control characters of a host are shown, not obeyed."""
    import shutil

    from sigsrv.collect import evidence

    kept = evidence.load(ROOT / "src" / "sigsrv" / "demo" / "evidence")
    for seen in kept.values():
        for row in seen.api["/1.0/projects?recursion=1"].metadata:
            if row["name"] == "restricted":
                row["name"] = "x\x1b[2J\u202ey"
    evidence.save(tmp_path / "e", "run", kept)
    shutil.copy(ROOT / "src/sigsrv/demo/site.yaml", tmp_path / "site.yaml")

    done = run(
        "checks", f"--evidence={tmp_path / 'e'}", f"--site={tmp_path / 'site.yaml'}", f"--report-dir={tmp_path / 'o'}"
    )

    assert "PROJ-001@cluster/x%1B%5B2J%E2%80%AEy" in done.stdout
    assert "\x1b[2J" not in done.stdout
    assert "\u202e" not in done.stdout


def test_a_waived_failure_is_an_expected_one(tmp_path):
    """Its test is xfail, the short summary says who accepts it and until when, and pytest ends with 0; --runxfail fails it."""
    options = waived(tmp_path, PRIVILEGED)

    done = run("checks", "-k", "privileged", *options)
    strict = run("checks", "-k", "privileged", "--runxfail", *options)
    bare = run("checks", "-k", "privileged", "-c", "/dev/null", "--rootdir=.", *options)

    assert done.returncode == 0, done.stdout
    said = "[cluster] - waived by Ada Ops until 2027-01-17 12:00:00 UTC: NFS"
    for each in (done, bare):
        assert said in next(line for line in each.stdout.splitlines() if line.startswith("XFAIL"))
    assert strict.returncode == 1
    assert "waived by Ada Ops" in strict.stdout
    found = json.loads((tmp_path / "out" / "latest" / "findings.json").read_text())
    assert [f["id"] for f in found["findings"] if f["verdict"] == "waived"] == [FAILING]


def test_a_failure_beside_a_waived_one_fails_the_test(tmp_path):
    """One test is one policy: what is not waived decides."""
    options = waived(tmp_path, PRIVILEGED, PRIVILEGED | {"path": PRIVILEGED["path"].replace("/db/", "/web/")})

    done = run("checks", "-k", "privileged", *options)

    assert done.returncode == 1
    assert "INST-001@sigsrv/default/web: fail" in done.stdout
    assert f"{FAILING}: " not in done.stdout


def test_a_run_of_pytest_tells_of_its_waivers(tmp_path):
    """What nothing needs any more is told where the run is summed up; -k changes nothing of that."""
    options = waived(tmp_path)

    for select in ((), ("-k", "vlan")):
        done = run("checks", *select, *options)
        assert done.returncode == 0, done.stdout
        assert "Waivers to look at: 1 no longer needed" in done.stdout


def waived(folder: Path, *changes: dict) -> tuple[str, ...]:
    """Options of a run on saved evidence with some changes; what PRIVILEGED makes fail is waived."""
    entry = {"policy": "INST-001", "host": "minisrv", "resource": "default/db", "owner": "Ada Ops", "reason": "NFS"}
    options = saved(folder, *changes)
    content = {"version": 1, "waivers": [entry | {"until": "2027-01-17T12:00:00Z"}]}
    (folder / "waivers.yaml").write_text(json.dumps(content))
    return options


def test_frames_and_saved_evidence_are_wrong_use(tmp_path):
    """--probe asks hosts, --evidence asks none: pytest ends with 4 and runs nothing."""
    done, found = checks(tmp_path, "--probe")

    assert done.returncode == 4
    assert "--probe: evidence that was saved sends no frames" in done.stdout + done.stderr
    assert found == {}


def test_where_sigsrv_is_not_installed_pytest_says_so(monkeypatch):
    """Instead of options and fixtures that nobody knows."""
    spec = importlib.util.spec_from_file_location("checkout_conftest", ROOT / "conftest.py")
    conftest = importlib.util.module_from_spec(spec)
    monkeypatch.setattr(importlib.util, "find_spec", lambda name: None)

    spec.loader.exec_module(conftest)

    assert conftest.pytest_plugins == []
    with pytest.raises(pytest.UsageError, match="sigsrv is not installed in this environment\nhint: make setup"):
        conftest.pytest_configure()
