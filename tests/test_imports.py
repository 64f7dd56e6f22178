"""Tests what a command imports: --version must not wait for an HTTP library.

The tests count modules, not time, so a slow machine does not matter.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

USED_FOR_SCANS = {"pylxd", "testinfra", "requests", "urllib3", "pytest", "ruamel"}
CODE = """\
import contextlib, io, json, sys
from {module} import main
with contextlib.redirect_stdout(io.StringIO()), contextlib.suppress(SystemExit):
    main({arguments})
print(json.dumps(sorted(sys.modules)))
"""


def imported(module: str, *arguments: str, cwd: Path) -> set[str]:
    """Return the modules that a process has imported at the end of a command."""
    code = CODE.format(module=module, arguments=list(arguments))
    kept = {key: value for key, value in os.environ.items() if not key.startswith(("SIGSRV", "COV"))}
    done = subprocess.run(
        [sys.executable, "-c", code], cwd=cwd, env=kept, capture_output=True, text=True, check=True, timeout=60
    )
    return set(json.loads(done.stdout))


@pytest.mark.parametrize(
    ("arguments", "most", "never"),
    [
        (("--version",), 150, USED_FOR_SCANS | {"yaml", "jsonschema", "jinja2", "cryptography", "jsonpatch"}),
        (("--help",), 150, USED_FOR_SCANS | {"yaml", "jsonschema", "jinja2", "cryptography", "jsonpatch"}),
        (("policies", "list"), 270, USED_FOR_SCANS | {"jinja2", "cryptography", "jsonpatch", "sigsrv.facts"}),
        (("explain", "NET-001"), 465, USED_FOR_SCANS | {"jsonpatch"}),
        (("demo", "--report-dir", "out"), 495, USED_FOR_SCANS | {"jsonpatch"}),
    ],
    ids=lambda value: " ".join(value[:2]) if isinstance(value, tuple) else "",
)
def test_command_imports_no_more_than_it_needs(tmp_path, arguments, most, never):
    """Their number is limited. Slow modules that other commands need are not imported."""
    found = imported("sigsrv.commands.main", *arguments, cwd=tmp_path)

    assert never & found == set()
    assert len(found) <= most


def test_interface_for_check_authors_is_that_of_the_engine():
    """Each public name exists, and is the same object as in the engine."""
    import sigsrv
    from sigsrv.facts.clusters import ClusterFacts
    from sigsrv.facts.hosts import HostFacts
    from sigsrv.judge.require import Require, policy
    from sigsrv.judge.site_resources import each_bridge, each_network, each_vlan_interface
    from sigsrv.model.finding import finding_id
    from sigsrv.model.site import Site

    assert {name: getattr(sigsrv, name) for name in sigsrv.__all__} == {
        "ClusterFacts": ClusterFacts,
        "HostFacts": HostFacts,
        "Require": Require,
        "Site": Site,
        "each_bridge": each_bridge,
        "each_network": each_network,
        "each_vlan_interface": each_vlan_interface,
        "finding_id": finding_id,
        "policy": policy,
    }
    with pytest.raises(AttributeError, match="has no attribute 'nothing'"):
        _ = sigsrv.nothing
    with pytest.raises(ImportError):
        exec("from sigsrv import nothing")


def test_pytest_run_of_another_project_imports_nothing_of_sigsrv(tmp_path):
    """sigsrv is installed in the environment, but adds no module, no option and no output."""
    (tmp_path / "test_theirs.py").write_text(
        "import sys\n\n\ndef test_theirs(pytestconfig):\n"
        "    assert [name for name in sys.modules if name.partition('.')[0] == 'sigsrv'] == []\n"
        "    assert [name for name in vars(pytestconfig.option) if 'sigsrv' in name] == []\n"
    )
    command = [sys.executable, "-m", "pytest", "-q", "-p", "no:cacheprovider", "test_theirs.py"]
    kept = {key: value for key, value in os.environ.items() if not key.startswith("PYTEST")}

    done = subprocess.run(command, cwd=tmp_path, env=kept, capture_output=True, text=True, check=False, timeout=60)

    assert done.returncode == 0, done.stdout
    assert "sigsrv" not in done.stdout


def test_sigsrv_pytest_runs_the_shipped_checks_in_any_folder(tmp_path):
    """It gives the same verdicts as ``pytest checks`` in a checkout, and passes other arguments to pytest."""
    command = [Path(sys.executable).parent / "sigsrv", "pytest", "-q", "-p", "no:cacheprovider", "--evidence=demo"]
    command += ["--report-dir=out", "-m", "critical"]
    kept = {key: value for key, value in os.environ.items() if not key.startswith(("PYTEST", "SIGSRV"))}

    done = subprocess.run(command, cwd=tmp_path, env=kept, capture_output=True, text=True, check=False, timeout=60)

    assert done.returncode == 1, done.stdout + done.stderr
    assert "-m critical" in done.stdout
    found = json.loads((tmp_path / "out" / "latest" / "findings.json").read_text())["findings"]
    assert {finding["severity"] for finding in found} == {"critical"}
