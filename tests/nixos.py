"""Provides what NixOS makes of a module: its sudoers file, from ``security.sudo`` of the module alone."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import pytest

# The rules that NixOS has by itself, before those of other modules.
_OWN = "root ALL=(ALL:ALL) SETENV: ALL\n%wheel ALL=(ALL:ALL) SETENV: ALL\n"


def nix_instantiate() -> str:
    """Return the program that parses and evaluates Nix. Without it the test is skipped, or fails if CI=true."""
    found = shutil.which("nix-instantiate")
    if found is None:
        if os.environ.get("CI") == "true":
            pytest.fail("nix-instantiate is not installed")
        pytest.skip("nix-instantiate is not installed: apt-get install nix-bin")
    return found


def run_nix(folder: Path, *arguments: str) -> str:
    """Run nix-instantiate without a store and return its output. It must succeed."""
    done = subprocess.run(
        [nix_instantiate(), "--store", "dummy://", *arguments],
        capture_output=True,
        text=True,
        check=False,
        env={"PATH": os.environ["PATH"], "HOME": str(folder)},
    )
    assert done.returncode == 0, done.stderr
    return done.stdout


def sudo_of(text: str, folder: Path) -> Mapping[str, Any]:
    """Return the value of ``security.sudo`` in a module. folder: for its file."""
    path = folder / "sigsrv-sudo.nix"
    path.write_text(text, encoding="utf-8")
    run_nix(folder, "--parse", str(path))
    found = json.loads(run_nix(folder, "--eval", "--strict", "--json", "-E", f"import {path} {{ }}"))
    assert list(found) == ["security"]
    assert list(found["security"]) == ["sudo"]
    return found["security"]["sudo"]


def sudoers_of(text: str, folder: Path) -> str:
    """Return the sudoers file that NixOS writes for a module: each command as it is, its options before it.

    Source: nixos/modules/security/sudo.nix.
    """
    sudo = sudo_of(text, folder)
    lines = [
        f"{user} ALL=({rule['runAs']}) {', '.join(_command(each) for each in rule['commands'])}\n"
        for rule in sudo["extraRules"]
        for user in rule["users"]
    ]
    return "".join([_OWN, *lines, sudo["extraConfig"]])


def _command(each: Mapping[str, Any]) -> str:
    options: Sequence[str] = each["options"]
    return f"{':'.join(options)}: {each['command']}"
