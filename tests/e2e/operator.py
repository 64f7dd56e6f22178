"""Provides an operator who fixes findings of the lab: with a journal, and perhaps a site file, of its own."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from pathlib import Path
from subprocess import CompletedProcess
from typing import Any

import pytest
import yaml

from tests.e2e.conftest import Lab, clean, verdicts
from tests.e2e.safety import leftovers, options

HOSTS = ("sigsrv", "minisrv")


@pytest.fixture(scope="module", autouse=True)
def clean_in_the_end(lab: Lab) -> Iterator[None]:
    """Check after all tests that the lab is as before."""
    yield
    assert verdicts(lab.scan()[0]) == clean()


@pytest.fixture(autouse=True)
def nothing_left(lab: Lab) -> Iterator[None]:
    """Check after each test that nothing of a fix is left on a host."""
    yield
    assert [leftovers(lab, host) for host in HOSTS] == ["", ""]


class Operator:
    """Runs sigsrv-remediate."""

    def __init__(self, lab: Lab, folder: Path) -> None:
        self._lab = lab
        self._folder = folder
        self._site = lab.site

    def site(self) -> dict[str, Any]:
        """Return the content of the lab's site file."""
        content: dict[str, Any] = yaml.safe_load(self._lab.site.read_text())
        for host in content["hosts"]:
            host["ssh_config"] = str(self._lab.ssh_config)
        return content

    def use(self, site: Mapping[str, Any]) -> None:
        """Use another site file from now on."""
        self._site = self._folder / "site.yaml"
        self._site.write_text(yaml.safe_dump(dict(site)))

    def remediate(self, *argv: str) -> CompletedProcess[str]:
        files = ("--site", str(self._site), "--journal", str(self._folder / "journal.sqlite"))
        return self._lab.command("sigsrv-remediate", *files, *options(self._lab), *argv)


def one_line(done: CompletedProcess[str]) -> str:
    """Return the output and the error output of a command in one line."""
    return " ".join(f"{done.stdout} {done.stderr}".split())
