"""Tests ``pytest checks`` as a user runs it, on the shipped evidence, without a host."""

from __future__ import annotations

import importlib.util
import json
import os
import subprocess
import sys
from collections import Counter
from pathlib import Path

import pytest

from tests.called import sigsrv
from tests.saved import FAILING, PRIVILEGED, saved

ROOT = Path(__file__).resolve().parents[1]
PLUGIN = "sigsrv.pytest_plugin.plugin"
# No cache in the checkout, and no plugins that only these tests need: a user does not have them, and they load slowly.
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
    """All verdicts are as recorded. A failed or undetermined policy is a failing test, and pytest's exit status is 1."""
    done, found = checks(tmp_path)

    assert done.returncode == 1
    assert {finding["id"]: finding["verdict"] for finding in found["findings"]} == EXPECTED
    collected = run("checks", "--evidence=demo", "--collect-only", "-q").stdout
    assert "[NET-001-minisrv]" in collected
    assert "test_vlan_interface_stays_attached_after_a_reboot[minisrv]" in collected
    assert "INST-001@sigsrv/default/svc-a: fail" in done.stdout
    assert "sigsrv-remediate INST-001@sigsrv/default/svc-a" in done.stdout
    assert "  because of HOST-011@minisrv/minisrv" in done.stdout  # a dependent unknown names its root and no reason
    assert "reason: minisrv: probe nft" not in done.stdout
    assert "  sigsrv probes --sudoers USER" in done.stdout
    count = Counter(EXPECTED.values())
    assert f"demo: {count['fail']} failures, {count['error']} could not be determined" in done.stdout


@pytest.mark.parametrize(
    ("select", "families"),
    [(["-k", "vlan_interface"], {"NET"}), (["-m", "acl"], {"ACL"}), (["-m", "high and proj"], {"PROJ"})],
)
def test_pytest_s_own_selection_works(tmp_path, select, families):
    """``-k`` takes names, ``-m`` takes families and severities. The report contains only the selection."""
    _, found = checks(tmp_path, *select)

    assert {finding["policy"].split("-")[0] for finding in found["findings"]} == families


def test_a_selection_does_not_change_verdicts(tmp_path):
    """A finding keeps its verdict even if its root finding is not selected."""
    _, found = checks(tmp_path, "-k", "acl_default_action")

    assert {f["id"]: f["verdict"] for f in found["findings"]} == {
        k: v for k, v in EXPECTED.items() if k.startswith("ACL-003")
    }


def test_an_empty_selection_is_not_a_success(tmp_path):
    """If ``-k`` matches nothing, pytest's exit status is 5 and there is no report."""
    done, found = checks(tmp_path, "-k", "no_such_check")

    assert done.returncode == 5
    assert found == {}


def test_an_unreachable_host_fails_the_run_even_if_no_test_fails(tmp_path):
    """A policy that is judged once for the cluster passes with the answers of the other host."""
    away = {"op": "replace", "path": "/minisrv/failure", "value": {"kind": "unreachable", "reason": "no route to host"}}

    done = run("checks", *saved(tmp_path, away), "--policy=ACL-002")

    assert done.returncode == 1, done.stdout
    assert "1 passed" in done.stdout
    assert run("checks", *saved(tmp_path, name="well"), "--policy=ACL-002").returncode == 0


def test_each_parameter_of_a_test_is_a_separate_finding(tmp_path):
    """A waiver of one parameter does not apply to the other."""
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
    """The exit status is 4, and the error names the nearest host."""
    done, _ = checks(tmp_path, "--hosts=sigsvr")

    assert done.returncode == 4
    assert 'did you mean "sigsrv"?' in done.stdout + done.stderr


def test_collect_only_contacts_no_host(tmp_path):
    """It lists the tests and scans nothing."""
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
    """Unrelated tests need no site file and get no report."""
    (tmp_path / "test_x.py").write_text("def test_x():\n    pass\n")

    done = run("test_x.py", "-p", "no:cacheprovider", cwd=tmp_path)

    assert done.returncode == 0, done.stdout
    assert "compliance" not in done.stdout.replace("sigsrv-compliance", "")
    assert [path.name for path in tmp_path.iterdir() if path.name != "__pycache__"] == ["test_x.py"]


def test_a_user_s_own_check_replaces_the_shipped_check(tmp_path):
    """A function with ``@policy`` is a check of that policy in any folder."""
    (tmp_path / "test_mine.py").write_text(
        "from sigsrv import policy\n\n@policy('HOST-005')\ndef test_mine(facts, site, require):\n"
        "    require('mine', facts.name == 'sigsrv', expected='sigsrv', observed=facts.name)\n"
    )

    done = run("test_mine.py", "--evidence=demo", f"--report-dir={tmp_path / 'out'}", cwd=tmp_path)

    assert done.returncode == 1
    found = json.loads((tmp_path / "out" / "latest" / "findings.json").read_text())["findings"]
    assert {f["id"]: f["verdict"] for f in found} == {"HOST-005@sigsrv/mine": "pass", "HOST-005@minisrv/mine": "fail"}


@pytest.mark.parametrize("mine_first", [True, False])
def test_a_user_s_own_check_replaces_the_test_of_a_form(tmp_path, mine_first):
    """The order in which pytest collects the two files does not matter."""
    (tmp_path / "test_mine.py").write_text(
        "from sigsrv import policy\n\n@policy('HOST-005')\ndef test_mine(facts, site, require):\n"
        "    require(facts.name, True, expected='a', observed='b')\n"
    )
    files = ["test_mine.py", str(ROOT / "checks" / "test_rules.py")]

    done = run(*(files if mine_first else files[::-1]), "--evidence=demo", "--collect-only", "-q", cwd=tmp_path)

    assert "test_mine[minisrv]" in done.stdout
    assert "[HOST-006-minisrv]" in done.stdout
    assert "[HOST-005-minisrv]" not in done.stdout


def test_facts_outside_a_check_are_refused(tmp_path):
    """A test that takes ``facts`` without ``@policy`` fails with a message that names ``@policy``."""
    (tmp_path / "test_mine.py").write_text("def test_mine(facts):\n    pass\n")

    assert "mark it with @policy" in run("test_mine.py", "--evidence=demo", cwd=tmp_path).stdout


def test_control_characters_from_a_host_do_not_reach_the_terminal(tmp_path):
    """The output shows them as escapes."""
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


def test_a_waived_failure_is_an_expected_failure(tmp_path):
    """Its test is xfail, and the short summary says who accepts it until when. With ``--runxfail``, it fails."""
    options = waived(tmp_path, PRIVILEGED)

    done = run("checks", "-k", "INST-001", *options)
    strict = run("checks", "-k", "INST-001", "--runxfail", *options)
    bare = run("checks", "-k", "INST-001", "-c", "/dev/null", "--rootdir=.", *options)

    assert done.returncode == 0, done.stdout
    said = "[INST-001-cluster] - waived by Ada Ops until 2027-01-17 12:00:00 UTC: NFS"
    for each in (done, bare):
        assert said in next(line for line in each.stdout.splitlines() if line.startswith("XFAIL"))
    assert strict.returncode == 1
    assert "waived by Ada Ops" in strict.stdout
    found = json.loads((tmp_path / "out" / "latest" / "findings.json").read_text())
    assert [f["id"] for f in found["findings"] if f["verdict"] == "waived"] == [FAILING]


def test_one_failure_that_is_not_waived_fails_the_test(tmp_path):
    """One test shows all findings of a policy."""
    options = waived(tmp_path, PRIVILEGED, PRIVILEGED | {"path": PRIVILEGED["path"].replace("/db/", "/web/")})

    done = run("checks", "-k", "INST-001", *options)

    assert done.returncode == 1
    assert "INST-001@sigsrv/default/web: fail" in done.stdout
    assert f"{FAILING}: " not in done.stdout


def test_a_pytest_run_reports_waivers_to_review(tmp_path):
    """The summary lists a waiver that is no longer needed, with and without ``-k``."""
    options = waived(tmp_path)

    for select in ((), ("-k", "vlan")):
        done = run("checks", *select, *options)
        assert done.returncode == 0, done.stdout
        assert "Waivers to review: 1 no longer needed" in done.stdout


def waived(folder: Path, *changes: dict) -> tuple[str, ...]:
    """Return the options of a run on changed evidence, with a waiver of the failure that PRIVILEGED causes."""
    entry = {"policy": "INST-001", "host": "minisrv", "resource": "default/db", "owner": "Ada Ops", "reason": "NFS"}
    options = saved(folder, *changes)
    content = {"version": 1, "waivers": [entry | {"until": "2027-01-17T12:00:00Z"}]}
    (folder / "waivers.yaml").write_text(json.dumps(content))
    return options


def test_probe_with_saved_evidence_is_wrong_use(tmp_path):
    """``--probe`` needs hosts and ``--evidence`` uses none. The exit status is 4, and nothing runs."""
    done, found = checks(tmp_path, "--probe")

    assert done.returncode == 4
    assert "--probe can't be used with --evidence" in done.stdout + done.stderr
    assert found == {}


def test_pytest_says_so_if_sigsrv_is_not_installed(monkeypatch):
    """Without this message, pytest would report unknown options and fixtures."""
    spec = importlib.util.spec_from_file_location("checkout_conftest", ROOT / "conftest.py")
    conftest = importlib.util.module_from_spec(spec)
    monkeypatch.setattr(importlib.util, "find_spec", lambda name: None)

    spec.loader.exec_module(conftest)

    assert conftest.pytest_plugins == []
    with pytest.raises(pytest.UsageError, match="sigsrv is not installed in this environment\nhint: run make setup"):
        conftest.pytest_configure()


def test_a_report_folder_that_cannot_be_written_is_refused_before_the_scan(tmp_path):
    """Wrong use, exit status 4, also for ``sigsrv demo`` with 2: nothing is scanned."""
    (tmp_path / "file").write_text("")

    done, _ = checks(tmp_path / "file", "-k", "vlan")

    assert done.returncode == 4
    assert f"{tmp_path}/file: cannot write the report: " in done.stderr + done.stdout
    assert "hint: use another folder: --report-dir DIR" in done.stderr + done.stdout
    assert " passed" not in done.stdout
    demo = sigsrv("demo", "--report-dir", str(tmp_path / "file"))
    assert (demo.returncode, demo.stdout) == (2, "")
    assert "cannot write the report: " in demo.stderr


def test_failures_are_shown_even_if_the_report_cannot_be_written(tmp_path):
    """The folder becomes unwritable while the tests run. Exit status 4, after the text of each failure."""
    (tmp_path / "test_break.py").write_text(
        f"import shutil, pathlib\n"
        f"def test_break():\n"
        f"    shutil.rmtree({str(tmp_path / 'out')!r}); pathlib.Path({str(tmp_path / 'out')!r}).write_text('')\n"
    )

    done = run(
        "checks",
        str(tmp_path / "test_break.py"),
        "--evidence=demo",
        f"--report-dir={tmp_path}/out",
        "-k",
        "INST or break",
    )

    assert done.returncode == 4
    assert "INST-001@sigsrv/default/svc-a: fail" in done.stdout
    assert f"ERROR: {tmp_path}/out: cannot write the report: " in done.stdout


@pytest.mark.parametrize("wrong", ["0", "-1", "nan", "inf", "text"])
def test_a_timeout_is_a_number_of_seconds_up_to_a_day(tmp_path, wrong):
    """Wrong use, exit status 4."""
    done, _ = checks(tmp_path, f"--timeout-s={wrong}")

    assert done.returncode == 4
    assert f'"{wrong}" is not a number of seconds' in done.stderr


def test_a_part_is_named_in_the_summary(tmp_path):
    """``-k`` makes a part, and ``latest`` stays at the complete run."""
    checks(tmp_path)
    before = (tmp_path / "latest").readlink()

    done = run("checks", "--evidence=demo", f"--report-dir={tmp_path}", "-k", "vlan", "--hosts=sigsrv")

    assert "this run is the demo" in done.stdout
    assert "selected: " in done.stdout
    assert ", 1 of 2 hosts (sigsrv)" in done.stdout
    assert (tmp_path / "latest").readlink() != before  # neither says anything about live hosts
