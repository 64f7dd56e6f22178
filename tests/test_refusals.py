"""Tests what a scan shows when sudo refuses, and which sudo it finds on a host with two of them."""

from __future__ import annotations

import os
import subprocess

import pytest
import requests

from sigsrv.collect.probes import Probe
from sigsrv.collect.refusals import is_refused, last_message
from sigsrv.collect.running import run_probes
from sigsrv.collect.script import script, shell_command
from sigsrv.collect.session import LIMIT_OUTPUT_BYTES, OutputCallback, Session
from sigsrv.collect.target import Target
from sigsrv.collect.transports import QueryAdapter, TransportError
from sigsrv.model.errors import FailureKind
from sigsrv.remediate.shell import CommandResult
from tests.test_probe_script import WORD, read

LOCKED = "sudo: account validation failure, is your account locked?\nsudo: a password is required\n"
BOTH = "sudo: account validation failure, is your account locked? sudo: a password is required"


class Refusing(Session):
    """A session in which sudo refuses every command."""

    def _open(self) -> None: ...

    def _close(self) -> None: ...

    def run(
        self,
        command: str,
        timeout_s: float,
        stdin: bytes = b"",
        on_output: OutputCallback | None = None,
        limit_bytes: int = LIMIT_OUTPUT_BYTES,
        keep: bool = True,
    ) -> tuple[int, bytes, bytes]:
        return 1, b"", b"Welcome to minisrv\n" + LOCKED.encode()


@pytest.mark.parametrize(
    ("output", "shown"),
    [
        (LOCKED, BOTH),
        (f"Last login: today\n{LOCKED}", BOTH),
        ("sudo: unable to resolve host a\nError: not found\n", "Error: not found"),
        ("one\n\ntwo\n", "two"),
        ("", ""),
        ("\n", ""),
    ],
)
def test_all_lines_of_sudo_are_shown(output, shown):
    """The first one has the cause: the account is locked or expired. The last line of another program is enough."""
    assert last_message(output) == shown


def test_each_way_to_run_a_command_shows_both_lines():
    """The script of the probes under --sudo, incus query, and a script of sigsrv-remediate."""
    session = Refusing(Target("minisrv", sudo=True))

    answer = run_probes(session, [Probe("nft", ("nft",), "a test", root=True)])["nft"]
    assert answer.failure
    assert answer.failure.kind is FailureKind.DENIED
    assert f"can't run a script: {BOTH}; sigsrv probes --sudoers ACCOUNT --remediate" in answer.failure.reason

    with pytest.raises(TransportError) as raised:
        QueryAdapter(session, True).send(requests.Request("GET", "http://x/1.0").prepare())
    assert raised.value.failure.kind is FailureKind.DENIED
    assert raised.value.failure.reason == f"Incus API on minisrv: {BOTH}"

    assert CommandResult(1, "", LOCKED).reason == BOTH
    assert CommandResult(1, "", "Error: no such network\ntry --help\n").reason == "Error: no such network"


@pytest.mark.parametrize(
    "message",
    [
        "sudo: /run/current-system/sw/bin/sudo must be owned by uid 0 and have the setuid bit set",
        "sudo: effective uid is not 0, is /usr/bin/sudo on a file system with the 'nosuid' option set or an NFS file system",
        'sudo: The "no new privileges" flag is set, which prevents sudo from running as root.',
        "timeout: failed to run command 'sudo': Permission denied",
    ],
)
def test_sudo_that_can_not_become_root_is_a_missing_right(message):
    """The account can't run it, and no other command would show more."""
    assert is_refused(message)


def test_setuid_copies_of_nixos_come_first(tmp_path):
    """NixOS has a sudo among its programs too, which refuses to run because it is not setuid."""
    for folder, code in (("wrappers", 'echo "setuid: $*"'), ("programs", "echo refused; exit 1")):
        (tmp_path / folder).mkdir()
        (tmp_path / folder / "sudo").write_text(f"#!/bin/sh\n{code}\n")
        (tmp_path / folder / "sudo").chmod(0o755)
    (tmp_path / "wrappers" / "id").write_text("#!/bin/sh\necho 1000\n")
    (tmp_path / "wrappers" / "id").chmod(0o755)
    probe = Probe("nft", ("nft", "list"), "a test", root=True)
    text = script([probe], WORD, 60)
    # The folders of this machine come between, and may have a sudo.
    text = text.replace("/run/wrappers/bin", f"{tmp_path}/wrappers").replace("/run/current-system/sw", str(tmp_path))
    done = subprocess.run(
        ["sh", "-c", shell_command(text)],
        capture_output=True,
        check=False,
        timeout=30,
        env={"PATH": os.environ["PATH"]},
    )

    assert read([probe], done.stdout)["nft"].stdout == "setuid: -n nft list\n"
