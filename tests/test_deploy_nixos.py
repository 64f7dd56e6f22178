"""Tests deploy/nixos: its files are Nix, and define what the files for other systems define.

nixpkgs is not here. The module and the package are evaluated with the few functions of nixpkgs that they call, written again below.
"""

from __future__ import annotations

import json
import re
import tomllib
from pathlib import Path
from typing import Any

import pytest

import sigsrv
from tests.nixos import run_nix
from tests.test_deploy import assert_valid_arguments

ROOT = Path(__file__).resolve().parents[1]
FOLDER = ROOT / "deploy" / "nixos"
README = (FOLDER / "README.md").read_text(encoding="utf-8")
OPTIONS = json.loads((Path(__file__).parent / "vendored" / "nixos-options.json").read_text(encoding="utf-8"))["module"]
KEY = "ssh-ed25519 AAAA scanner"

LIB = """
let
  update = old: new:
    if builtins.isAttrs old && builtins.isAttrs new && !(old ? type) then old // builtins.mapAttrs (name: value:
      if old ? ${name} then update old.${name} value else value) new
    else new;
in {
  mkOption = option: option;
  mkEnableOption = text: { default = false; description = text; };
  mkIf = condition: value: if condition then value else null;
  mkMerge = values: builtins.foldl' update { } (builtins.filter (value: value != null) values);
  literalExpression = text: text;
  escapeShellArg = text: "'${text}'";
  types = { package = 0; str = 0; bool = 0; listOf = type: type; };
  fileset = { toSource = given: given; unions = files: files; };
  makeBinPath = packages: builtins.concatStringsSep ":" (map (package: "${package}/bin") packages);
  licenses.asl20 = "Apache-2.0";
  platforms.linux = [ ];
}"""


def evaluated(expression: str, folder: Path) -> Any:
    return json.loads(run_nix(folder, "--eval", "--strict", "--json", "-E", expression))


def module(folder: Path, given: str = "", wheel_only: str = "false") -> dict[str, Any]:
    """Return the configuration that the module defines. given: values of its options, the others have their defaults."""
    return evaluated(
        f"""
        let
          lib = {LIB};
          pkgs.callPackage = path: arguments: "/package";
          call = config: import {FOLDER}/module.nix {{ inherit config lib pkgs; }};
          options = (call {{ }}).options.services.sigsrv-compliance;
          given = {{ {given} }};
          defaults = builtins.mapAttrs (name: option: option.default);
          filled = builtins.mapAttrs (part: all: defaults all // (given.${{part}} or {{ }})) options;
        in (call {{ services.sigsrv-compliance = filled; security.sudo.execWheelOnly = {wheel_only}; }}).config
        """,
        folder,
    )


def test_module_defines_nothing_by_itself(tmp_path):
    assert module(tmp_path) == {}


def settings(section: str, text: str) -> dict[str, str]:
    """Return the settings of a section of a unit file."""
    body = text.partition(f"[{section}]\n")[2].partition("\n[")[0]
    pairs = [line.partition("=") for line in body.splitlines() if "=" in line and not line.startswith("#")]
    return {key: value for key, _, value in pairs if key not in ("Environment", "ExecStart")}


def written(values: dict[str, Any]) -> dict[str, str]:
    """Return settings as a unit file for Debian writes them."""
    return {
        key: {True: "yes", False: "no"}[value] if isinstance(value, bool) else value
        for key, value in values.items()
        if key != "ExecStart"
    }


def test_service_and_timer_are_those_of_other_systems(tmp_path):
    """The same limits hold for the scan: each setting of deploy/sigsrv.service and .timer, and no other one."""
    found = module(tmp_path, "scan.enable = true;")["systemd"]
    service, timer = ((ROOT / "deploy" / f"sigsrv.{kind}").read_text() for kind in ("service", "timer"))

    assert written(found["services"]["sigsrv"]["serviceConfig"]) == settings("Service", service)
    assert found["services"]["sigsrv"]["environment"] == dict(
        pair.split("=", 1) for pair in re.findall(r"^Environment=(.*)$", service, re.MULTILINE)
    )
    assert written(found["timers"]["sigsrv"]["timerConfig"]) | {"Persistent": "true"} == settings("Timer", timer)
    assert found["timers"]["sigsrv"]["wantedBy"] == ["timers.target"]


def test_service_runs_a_valid_command_with_the_site_file(tmp_path):
    command = module(tmp_path, 'scan = { enable = true; siteFile = "/srv/my site.yaml"; };')
    line = command["systemd"]["services"]["sigsrv"]["serviceConfig"]["ExecStart"]

    assert line == "/package/bin/sigsrv scan --site '/srv/my site.yaml'"
    assert_valid_arguments(["scan", "--site", "/srv/my site.yaml"])


def test_findings_fail_the_unit_only_if_the_site_wants_it(tmp_path):
    found = module(tmp_path, "scan = { enable = true; failOnFindings = true; };")

    assert found["systemd"]["services"]["sigsrv"]["serviceConfig"]["SuccessExitStatus"] is None


@pytest.mark.parametrize(
    ("given", "wheel_only", "wrong"),
    [
        (f'keys = [ "{KEY}" ];', "false", []),
        ("", "false", ["services.sigsrv-compliance.host.keys is empty"]),
        (f'keys = [ "{KEY}" ];', "true", ["security.sudo.execWheelOnly shuts audit out of sudo"]),
    ],
    ids=["right", "no key", "only wheel may use sudo"],
)
def test_account_of_a_host_may_log_in_and_use_sudo(tmp_path, given, wheel_only, wrong):
    """What would shut it out stops the build of the system. The key may start commands and nothing else."""
    found = module(tmp_path, f"host = {{ enable = true; {given} }};", wheel_only)

    said = [each["message"] for each in found["assertions"] if not each["assertion"]]
    assert [any(text in message for message in said) for text in wrong] == [True] * len(said)
    keys = found["users"]["users"]["audit"]["openssh"]["authorizedKeys"]["keys"]
    assert keys == ([f"restrict {KEY}"] if given else [])


def names(value: Any, at: str = "") -> set[str]:
    """Return the names of the options that a configuration defines; those of accounts and units are <name>."""
    if at in OPTIONS or not isinstance(value, dict):
        return {at}
    found: set[str] = set()
    for key, each in value.items():
        place = "<name>" if at in ("users.users", "users.groups", "systemd.services", "systemd.timers") else key
        found |= names(each, f"{at}.{place}".lstrip("."))
    return found


def test_module_defines_only_options_that_nixos_has(tmp_path):
    found = module(tmp_path, f'scan.enable = true; host = {{ enable = true; keys = [ "{KEY}" ]; }};')

    assert names(found) == set(OPTIONS)


def test_package_has_the_dependencies_of_the_project(tmp_path):
    """Their names in nixpkgs have dashes. The version is that of the program, and each file of the source exists."""
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
    wanted = [re.split(r"[<>=]", each)[0].replace(".", "-") for each in project["dependencies"]]
    packages = " ".join(f'{name} = "{name}";' for name in [*wanted, "hatchling"])

    found = evaluated(
        f"""
        let
          lib = {LIB};
          package = import {FOLDER}/package.nix {{
            inherit lib;
            python3Packages = {{ buildPythonApplication = given: given; {packages} }};
            makeWrapper = "makeWrapper";
            openssh = "/openssh";
          }};
        in package // {{ src = map toString package.src.fileset; }}
        """,
        tmp_path,
    )

    assert sorted(found["dependencies"]) == sorted(wanted)
    assert found["version"] == sigsrv.__version__
    assert [path for path in found["src"] if not Path(path).exists()] == []
    needed = tomllib.loads((ROOT / "pyproject.toml").read_text())["tool"]["hatch"]["build"]["targets"]["wheel"]
    assert {Path(path).name for path in found["src"]} >= {Path(each).parts[1] for each in needed["include"]}
    for program in project["scripts"]:
        assert program in found["postFixup"]


def test_page_says_what_was_never_run_and_its_example_is_nix(tmp_path):
    """Each block of Nix in the page is parsed."""
    blocks = re.findall(r"```nix\n(.*?)```", README, re.DOTALL)

    assert "## What was never run" in README
    assert blocks
    for block in blocks:
        run_nix(tmp_path, "--parse", "-E", block)
