"""Runs probes through the session of a host, as one script."""

from __future__ import annotations

import secrets
from collections.abc import Callable, Sequence

from sigsrv.collect.answers import AnswerReader, limit_bytes
from sigsrv.collect.evidence import Answer, Failure
from sigsrv.collect.probes import Probe
from sigsrv.collect.refusals import last_message
from sigsrv.collect.script import script, shell_command
from sigsrv.collect.session import ConnectionFailed, Session
from sigsrv.model.errors import FailureKind

_MORE_S = 5  # by how much the script may outlive the session


def run_probes(
    session: Session, probes: Sequence[Probe], on_answer: Callable[[str, Answer], None] = lambda *_: None
) -> dict[str, Answer]:
    """Return the answers of the probes. If the connection fails, return the answers that arrived before.

    on_answer: called with each probe's ID and answer when it arrives. Raises ConnectionFailed if no answer arrived.
    """
    if not probes:
        return {}
    word = secrets.token_hex(16)
    reader = AnswerReader(probes, word, on_answer)

    def take(stream: int, piece: bytes) -> None:
        if stream == 1:
            reader.take(piece)

    command = shell_command(script(probes, word, session.remaining_s + _MORE_S), session.target.shell)
    try:
        rc, _, err = session.run(
            command, session.remaining_s, on_output=take, limit_bytes=limit_bytes(probes), keep=False
        )
    except ConnectionFailed as cause:
        if not reader.has_answers:
            raise
        return reader.answers(cause.failure)
    if reader.has_answers:
        return reader.answers()
    line = last_message((err + reader.banner).decode("utf-8", "replace"))[:160] or f"exit status {rc}"
    if session.target.sudo and line.startswith("sudo:"):
        line += "; sigsrv probes --sudoers ACCOUNT --remediate prints the rule for --sudo"
    reason = f"{session.target.name}: the account can't run a script: {line}"
    return reader.answers(Failure(FailureKind.DENIED, reason))
