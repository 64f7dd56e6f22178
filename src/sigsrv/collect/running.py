"""Probes run through the session of a host, by one script."""

from __future__ import annotations

import re
import secrets
from collections.abc import Sequence

from sigsrv.collect.evidence import Answer, Failure
from sigsrv.collect.probes import Probe, carried, read, script
from sigsrv.collect.session import ConnectionFailed, Session
from sigsrv.model.errors import FailureKind


def probed(session: Session, probes: Sequence[Probe]) -> dict[str, Answer]:
    """What the probes answered; where the connection broke meanwhile, what had come until then."""
    word = secrets.token_hex(16)
    try:
        result = session.host().run(carried(script(probes, word)))
    except ConnectionFailed as cause:
        if not re.search(rb"^%s done " % word.encode(), cause.output, re.MULTILINE):
            raise
        return read(probes, word, cause.output, cause.failure)
    if word.encode() not in result.stdout_bytes:
        said = (result.stderr_bytes + result.stdout_bytes).decode("utf-8", "replace").strip().splitlines()
        line = said[-1][:160] if said else f"exit status {result.rc}"
        refused = Failure(FailureKind.DENIED, f"{session.target.name}: no script runs there: {line}")
        return read(probes, word, b"", refused)
    return read(probes, word, result.stdout_bytes)
