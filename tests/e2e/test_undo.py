"""Each remediation on the lab that breaks at its very end: what it had changed is put back, and the host is as it was."""

from __future__ import annotations

import dataclasses

import pytest

from sigsrv import scan
from sigsrv.remediate import Ending, Transaction, look, worse
from sigsrv.remediate.journal import Journal
from tests.e2e.conftest import named, state_of
from tests.e2e.test_faults import CASES

pytestmark = pytest.mark.lab


@pytest.mark.parametrize("case", [case for case in CASES if case.mended], ids=str)
def test_what_a_remediation_did_is_undone(lab, tmp_path, case):
    """All of the script runs, and then it fails: the state is that of the fault again, and no verdict is worse.

    One may be better: a restart that was pending was made.
    """
    journal = Journal(tmp_path / "journal.sqlite")
    lab.fault(case.fault, case.host)
    try:
        run, before = lab.scan()
        plan = scan.prepare(scan.Options(site=str(lab.site)))
        looked = look(plan, named(case.mended[0]))
        assert looked.fix
        fix = dataclasses.replace(looked.fix, script=f"{looked.fix.script}\nexit 7\n")
        told: list[str] = []

        outcome = Transaction(plan, dataclasses.replace(looked, fix=fix), journal, told.append).run()

        assert (outcome.ending, "ended with 7" in outcome.reason) == (Ending.UNDONE, True), [outcome, told]
        again, after = lab.scan()
        assert worse(run.findings, again.findings) == []
        assert state_of(after) == state_of(before)
    finally:
        lab.fault(case.fault, case.host, heal=True)
        journal.close()
