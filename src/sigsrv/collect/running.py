"""Runs probes through the session of a host, as one script."""

from __future__ import annotations

import re
import secrets
from collections.abc import Sequence

from sigsrv.collect.evidence import Answer, Failure
from sigsrv.collect.probes import Probe, parse, script, shell_command
from sigsrv.collect.session import ConnectionFailed, Session
from sigsrv.model.errors import FailureKind


def run_probes(session: Session, probes: Sequence[Probe]) -> dict[str, Answer]:
    """Return the answers of the probes. If the connection fails, return the answers that arrived before.

    Raises ConnectionFailed if no answer arrived.
    """
    word = secrets.token_hex(16)
    try:
        line = shell_command(script(probes, word), session.target.shell)
        rc, out, err = session.run(line, session.remaining_s)
    except ConnectionFailed as cause:
        if not re.search(rb"^%s done " % word.encode(), cause.output, re.MULTILINE):
            raise
        return parse(probes, word, cause.output, cause.failure)
    if word.encode() not in out:
        lines = (err + out).decode("utf-8", "replace").strip().splitlines()
        line = lines[-1][:160] if lines else f"exit status {rc}"
        if session.target.sudo and line.startswith("sudo:"):
            line += "; sigsrv probes --sudoers ACCOUNT --remediate prints the rule for --sudo"
        denied = Failure(FailureKind.DENIED, f"{session.target.name}: the account can't run a script: {line}")
        return parse(probes, word, b"", denied)
    return parse(probes, word, out)
