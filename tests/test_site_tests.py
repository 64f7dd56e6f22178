"""Tests how a site's own tests are run and what their outcome means. They are run for real on the lab."""

from __future__ import annotations

import os
import subprocess
from dataclasses import replace

import pytest

from sigsrv.commands import site_tests
from sigsrv.commands.site_tests import SiteTests
from sigsrv.model import policy, site_file
from sigsrv.model.errors import UsageError
from sigsrv.scan.options import DEMO, Options
from sigsrv.scan.plan import prepare

SITE = "version: 1\nname: s\nhosts: [{name: a}]\n"


def named(*files, **options) -> SiteTests:
    """Return the tests of the demo's site that are in these files."""
    plan = prepare(Options(evidence=DEMO, **options))
    return SiteTests(replace(plan, site=replace(plan.site, verify_with=tuple(map(str, files)))))


def test_files_are_relative_to_the_site_file(tmp_path):
    """Without the key there are none."""
    path = tmp_path / "site.yaml"
    path.write_text(f"{SITE}verify_with: [tests/test_a.py]\n")

    assert site_file.load(path, policy.load()).verify_with == (str(tmp_path / "tests" / "test_a.py"),)
    path.write_text(SITE)
    assert site_file.load(path, policy.load()).verify_with == ()


def test_missing_file_is_a_usage_error(tmp_path):
    """It names the key, the file and the site file."""
    with pytest.raises(UsageError, match="no such file"):
        named(tmp_path / "test_a.py").problem(10)


@pytest.mark.skipif(os.geteuid() != 0, reason="only root refuses the files of others")
def test_root_runs_no_test_that_others_can_write(tmp_path):
    """It would run as root."""
    test = tmp_path / "test_a.py"
    test.write_text("")
    test.chmod(0o666)

    with pytest.raises(UsageError, match="test_a"):
        named(test).problem(10)


@pytest.mark.parametrize(
    ("status", "output", "problem"),
    [
        (0, "1 passed", ""),
        (1, "FAILED test_a.py::test_x[a] - assert 0\n", "the site's own tests fail: test_a.py::test_x[a] - assert 0"),
        (1, "ERROR test_a.py::test_x[a] - boom\n", "the site's own tests fail: test_a.py::test_x[a] - boom"),
        (5, "no tests ran", "the site's own tests prove nothing: no test ran"),
        (4, "ERROR: usage\n\n", "the site's own tests could not run (exit status 4 of pytest): ERROR: usage"),
        (
            1,
            "".join(f"FAILED {number}\n" for number in range(7)),
            "the site's own tests fail: 0; 1; 2; 3; 4 and 2 more",
        ),
        (1, "s: 1 could not be determined\nreport: /tmp/x\n", "exit status 1 of pytest): s: 1 could not be determined"),
    ],
)
def test_problem_names_what_did_not_pass(status, output, problem):
    """Only exit status 0 of pytest is a pass: unknown is not."""
    found = site_tests._problem(subprocess.CompletedProcess([], status, output, ""))

    assert found.endswith(problem)
    assert bool(found) is bool(problem)


def test_tests_that_take_too_long_are_stopped(tmp_path, monkeypatch):
    """The host would roll the fix back meanwhile."""
    test = tmp_path / "test_a.py"
    test.write_text("")
    monkeypatch.setattr(SiteTests, "_command", lambda self, folder: ["sleep", "60"])

    assert named(test).problem(0.1) == "the site's own tests did not end within 1 s"


def test_tests_reach_the_hosts_as_the_scan_does(tmp_path):
    """Each option of the command line goes to pytest. Files become absolute, because pytest runs elsewhere."""
    (tmp_path / "ssh").write_text("")
    found = named(
        tmp_path / "test_a.py", hosts="sigsrv", sudo=True, timeout_s=20, ssh_config=os.path.relpath(tmp_path / "ssh")
    )

    words = found._command("OUT")

    assert words[-2:] == ["--", str(tmp_path / "test_a.py")]
    for option, value in (
        ("--hosts", "sigsrv"),
        ("--timeout-s", "20"),
        ("--ssh-config", str(tmp_path / "ssh")),
        ("--report-dir", "OUT"),
    ):
        assert words[words.index(option) + 1] == value
    assert "--sudo" in words
