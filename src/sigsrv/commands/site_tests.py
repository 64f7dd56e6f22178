"""Runs a site's own testinfra tests (``verify_with:``), which must pass before a fix and at each verification."""

from __future__ import annotations

import os
import subprocess
import sys
import tempfile
from pathlib import Path

from sigsrv.commands.pytest import PLUGIN
from sigsrv.model import trusted
from sigsrv.model.errors import UsageError
from sigsrv.scan.plan import Plan

_NAMED = 5  # tests that a problem names
_ENDS = ("FAILED ", "ERROR ")
_NO_TESTS = 5  # exit status of pytest


class SiteTests:
    """The tests that the site file names. They run in a process of their own, on the hosts of a plan, reached in the same way."""

    def __init__(self, plan: Plan) -> None:
        self.files = tuple(Path(file) for file in plan.site.verify_with)
        self._plan = plan

    def problem(self, seconds: float) -> str:
        """Run the tests; return which of them did not pass, "" if all did. seconds: after them, the tests are stopped.

        Raises UsageError if a file is missing, or if root would run a file that others may write.
        """
        for file in self.files:
            if not file.is_file():
                raise UsageError(f"verify_with: {file}: no such file", f"correct it in {self._plan.site.path}")
            trusted.check_for_root(file)
        with tempfile.TemporaryDirectory(prefix="sigsrv-tests-") as folder:
            try:
                done = subprocess.run(
                    self._command(folder),
                    cwd=self.files[0].parent,
                    env={**os.environ, "PYTEST_ADDOPTS": ""},
                    stdin=subprocess.DEVNULL,
                    capture_output=True,
                    text=True,
                    errors="replace",
                    timeout=max(seconds, 1.0),
                    check=False,
                )
            except subprocess.TimeoutExpired:
                return f"the site's own tests did not end within {max(seconds, 1.0):.0f} s"
        return _problem(done)

    def _command(self, folder: str) -> list[str]:
        options, site = self._plan.options, self._plan.site
        command = [sys.executable, "-m", "pytest", "-p", PLUGIN, "-p", "no:cacheprovider", "-o", "addopts="]
        command += ["-q", "--tb=line", "-rfE", "--report-dir", folder, "--hosts", self._hosts()]
        given = {
            "--site": str(site.path) if site.path else None,
            "--connection": options.connection,
            "--ssh-config": options.ssh_config,
            "--ssh-identity-file": options.identity_file,
            "--sudo-user": options.sudo_user,
            "--timeout-s": None if options.timeout_s is None else f"{options.timeout_s:g}",
            "--waivers": options.waivers,
        }
        for option, value in given.items():
            if value:
                command += [option, str(Path(value).resolve()) if option in _FILES else value]
        for each in options.policies:
            command += ["--policies", str(Path(each).resolve())]
        return [*command, *(["--sudo"] if options.sudo else []), "--", *map(str, self.files)]

    def _hosts(self) -> str:
        return self._plan.options.hosts or ",".join(host.name for host in self._plan.hosts)


_FILES = ("--site", "--ssh-config", "--ssh-identity-file", "--waivers")


def _problem(done: subprocess.CompletedProcess[str]) -> str:
    """Return what did not pass, from the exit status of pytest and its short summary."""
    if done.returncode == 0:
        return ""
    lines = (done.stdout + done.stderr).splitlines()
    failed = [line.partition(" ")[2] for line in lines if line.startswith(_ENDS)]
    if failed:
        more = f" and {len(failed) - _NAMED} more" if len(failed) > _NAMED else ""
        return f"the site's own tests fail: {'; '.join(failed[:_NAMED])}{more}"
    if done.returncode == _NO_TESTS:
        return "the site's own tests prove nothing: no test ran"
    last = next((line for line in reversed(lines) if line.strip() and not line.startswith("report: ")), "")
    return f"the site's own tests could not run (exit status {done.returncode} of pytest): {last}"
