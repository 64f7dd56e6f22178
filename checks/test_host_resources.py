"""Checks of HOST: memory, load, file systems and the clock."""

from sigsrv import HostFacts, Require, Site, policy


@policy("HOST-007")
def test_host_clock_is_correct_and_synchronized(facts: HostFacts, site: Site, require: Require) -> None:
    """Looks at the difference between the host clock and the clock of the machine that scans, and at what timedatectl reports.

    The difference lies between two bounds. The policy compares the smallest possible difference with the limit.
    """
    limit = site.thresholds.clock_skew_seconds
    expected = f"at most {limit:g} s from the clock of the machine that scans, and synchronized"
    with require.finding(facts.name, expected) as finding:
        with finding.clause():
            skew = facts.machine.skew
            observed = f"{skew.least:+.2f} to {skew.most:+.2f} s from the clock of the machine that scans"
            if skew.nearest <= limit < skew.width:
                finding.unknown(f"{observed}: the answer took too long to detect a difference of {limit:g} s")
            else:
                finding.require(skew.nearest <= limit, observed)
        synchronized = facts.machine.synchronized
        if synchronized is None:
            finding.nothing("the clock is correct now, but without systemd it is unknown whether it is synchronized")
        elif not synchronized:
            finding.violated("the host clock is not synchronized")
        elif finding.is_violated:
            finding.holds("the host clock is synchronized")
            finding.note = "if all hosts differ alike, the clock of the machine that scans is wrong"
