"""Tests the scripts of remediations, rendered with names that a host may use."""

from __future__ import annotations

import dataclasses
import os
import shutil
import subprocess
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from sigsrv.collect.target import Target
from sigsrv.model import data, policy, remediation, yamlfile
from sigsrv.model.errors import UsageError
from sigsrv.model.finding import Finding, HostState, Run, Severity, Verdict
from sigsrv.model.fix import _yaml, fix_for, render
from sigsrv.remediate.hosts import Snapshot
from sigsrv.remediate.placing import ON_PROFILE
from sigsrv.remediate.rescan import FreshFinding, regressions
from sigsrv.remediate.transaction import Transaction
from sigsrv.report import publish

REMEDIATIONS = remediation.load()
# An example of each parameter, as the remediations give it.
VALUES = {name: value for each in REMEDIATIONS.values() for name, value in each.example.items()}


def values_of(name: str) -> dict[str, object]:
    """Return a value for each parameter; those of one remediation as its example has them."""
    return {**VALUES, **REMEDIATIONS[name].example}


HOSTILE = [
    "$(reboot)",
    "`reboot`",
    "a'b",
    'a"b',
    "a;reboot",
    "-rf",
    "a\nreboot",
    "../../etc",
    "a\\",
    "$PATH",
    "é\u202e",
    "*",
    "",
    "{{ 7*7 }}",
]


def finding(name: str, fix=None, **more) -> Finding:
    values = {"policy": "NET-001", "host": "minisrv", "resource": "br0"} | more
    return Finding(
        title="t",
        severity=Severity.HIGH,
        verdict=Verdict.FAIL,
        expected="",
        observed="",
        remediation=name,
        fix=values_of(name) if fix is None else fix,
        **values,
    )


def hostile(value: object, text: str) -> object:
    """Return a value of the same shape in which every text is hostile."""
    if isinstance(value, dict):
        return {key: hostile(item, text) for key, item in value.items()}
    if isinstance(value, list):
        return [hostile(item, text) for item in value]
    return value if isinstance(value, bool) else text


@pytest.mark.parametrize("name", REMEDIATIONS)
@pytest.mark.parametrize("script", ["apply.sh.j2", "undo.sh.j2"])
def test_rendered_script_passes_shellcheck(name, script, tmp_path):
    """Scripts are plain sh, to the same standard as scripts written by hand."""
    if shutil.which("shellcheck") is None:
        if os.environ.get("CI") == "true":
            pytest.fail("shellcheck is not installed")
        pytest.skip("shellcheck is not installed: apt-get install shellcheck")
    fix = fix_for(finding(name), REMEDIATIONS, "sigsrv")
    assert fix
    path = tmp_path / "script.sh"
    path.write_text(fix.script if script.startswith("apply") else fix.undo)

    done = subprocess.run(["shellcheck", "--shell", "sh", path], capture_output=True, text=True, check=False)

    assert done.stdout == ""


@pytest.mark.parametrize("name", REMEDIATIONS)
@pytest.mark.parametrize("text", HOSTILE)
def test_hostile_values_are_only_arguments(name, text, tmp_path):
    """A script with hostile names runs only its own commands. Every program here only records its call."""
    fix = fix_for(finding(name, hostile(values_of(name), text), host=text, resource=text), REMEDIATIONS, "sigsrv")
    assert fix
    programs = tmp_path / "bin"
    programs.mkdir()
    for program in ("incus", "ip", "zpool", "systemctl", "reboot", "readlink", "basename", "getent", "gpasswd"):
        path = programs / program
        path.write_text(f'#!/bin/sh\necho "{program}" >>"{tmp_path}/called"\n')
        path.chmod(0o755)
    state = tmp_path / "state"
    state.mkdir()
    environment = {"PATH": f"{programs}:/usr/bin:/bin", "SIGSRV_STATE": str(state)}
    for script in (fix.script, fix.undo):
        checked = subprocess.run(["sh", "-n"], input=script, text=True, capture_output=True, check=False)
        assert checked.stderr == ""
        subprocess.run(
            ["sh"], input=script, text=True, env=environment, cwd=tmp_path, capture_output=True, check=False, timeout=20
        )

    called = (tmp_path / "called").read_text().split() if (tmp_path / "called").exists() else []
    assert "reboot" not in called
    assert {path.name for path in tmp_path.iterdir()} <= {"bin", "state", "called"}


@settings(max_examples=60, deadline=None)
@given(st.text(st.characters(exclude_characters="\0", exclude_categories=["Cs"])))
def test_any_text_is_one_shell_word(text):
    """Whatever name a host uses, the script sees exactly that name, once."""
    template = Path(data.folder("remediations")) / "attach-vlan" / "apply.sh.j2"
    script = render(template, {"bridge": text, "interface": "x", "extra_ports": []})
    line = script.split("bridge=", 1)[1].split("\ninterface=", 1)[0]

    done = subprocess.run(["sh", "-c", f'set -- {line}; printf "%s\\n%s" "$#" "$1"'], capture_output=True, check=True)

    assert done.stdout == b"1\n" + text.encode()


@settings(max_examples=60, deadline=None)
@given(st.text(st.characters(exclude_categories=["Cs"])))
def test_any_text_is_one_yaml_string(text):
    """Whatever name a host uses, a declared change names exactly that."""
    document = yamlfile.parse(f"a: {_yaml(text)}\n", Path("touches.yaml.j2"))

    assert document.data == {"a": text}


@pytest.mark.parametrize("name", REMEDIATIONS)
def test_every_script_saves_and_restores_the_old_state(name):
    """apply writes the old state to $SIGSRV_STATE, and undo reads it from there."""
    fix = fix_for(finding(name), REMEDIATIONS, "sigsrv")
    assert fix

    assert "$SIGSRV_STATE/" in fix.script
    assert "$SIGSRV_STATE/" in fix.undo


@pytest.mark.parametrize("name", REMEDIATIONS)
def test_policies_and_remediations_name_each_other(name):
    """A remediation lists the policies that it fixes, and each of these policies names that remediation."""
    policies = policy.load()

    fixes = REMEDIATIONS[name].fixes
    assert {policies[fixed].remediation for fixed in fixes} == ({name} if fixes else set())
    assert fixes or name == ON_PROFILE  # it takes the place of others


def test_value_that_the_check_did_not_provide_is_an_error():
    """A script is never rendered with a missing value."""
    with pytest.raises(UsageError, match="does not set interface"):
        fix_for(finding("attach-vlan", {"bridge": "br0", "extra_ports": [], "member": ""}), REMEDIATIONS, "sigsrv")


def test_fix_of_the_cluster_runs_on_a_host_that_answers():
    """Any host of the cluster can fix a finding of the whole cluster."""
    fix = fix_for(finding("restrict-project", host="cluster"), REMEDIATIONS, "minisrv")

    assert fix
    assert fix.runs_on == "minisrv"


@pytest.mark.parametrize("verdict", [Verdict.PASS, Verdict.NOT_APPLICABLE, Verdict.ERROR])
def test_only_a_failure_has_a_fix(verdict):
    """A finding that passes, is not applicable or is unknown has no fix."""
    assert fix_for(dataclasses.replace(finding("attach-vlan"), verdict=verdict), REMEDIATIONS, "sigsrv") is None


def test_waived_failure_has_a_fix_that_no_report_offers():
    """It can be fixed by its id, but no report asks for it."""
    waived = dataclasses.replace(finding("attach-vlan"), verdict=Verdict.WAIVED)
    failing = dataclasses.replace(finding("attach-vlan"), resource="br1")
    run = Run("r", "", "", "0", "s", (HostState("minisrv", "ok", 1.0, 1, ()),), (waived, failing))

    assert fix_for(waived, REMEDIATIONS, "sigsrv")
    assert list(publish.fixes_of(run)) == [failing.id]


ORDER = [Verdict.PASS, Verdict.ERROR, Verdict.FAIL]


@pytest.mark.parametrize("was", Verdict)
@pytest.mark.parametrize("now", Verdict)
def test_waived_counts_as_a_failure_when_findings_are_compared(was, now):
    """A waiver accepts a failure. It does not make the finding pass."""
    rank = {Verdict.NOT_APPLICABLE: 0, Verdict.WAIVED: 2} | {verdict: place for place, verdict in enumerate(ORDER)}
    before, after = (dataclasses.replace(finding("attach-vlan"), verdict=verdict) for verdict in (was, now))

    assert bool(regressions([before], [after])) is (rank[now] > rank[was])


@pytest.mark.parametrize(("verdict", "problem"), [(Verdict.WAIVED, "is still waived"), (Verdict.PASS, "")])
def test_fix_that_leaves_its_waived_finding_failing_is_not_verified(monkeypatch, verdict, problem):
    """A waiver does not make a fix successful."""
    waived = dataclasses.replace(finding("attach-vlan"), verdict=Verdict.WAIVED)
    fresh = FreshFinding(waived, (waived,), fix_for(waived, REMEDIATIONS, "sigsrv"))
    after = Snapshot((dataclasses.replace(waived, verdict=verdict),), {})
    monkeypatch.setattr("sigsrv.remediate.transaction.time.sleep", lambda _: None)

    result = Transaction(lambda: after, Target("sigsrv"), fresh, None, print)._verify()

    assert (problem in result) if problem else result == ""
