"""Checks of HOST: memory, load, file systems and the clock."""

from sigsrv import HostFacts, Require, Site, policy


@policy("HOST-007")
def test_host_clock_is_correct_and_synchronized(facts: HostFacts, site: Site, require: Require) -> None:
    """Looks at the difference between the host clock and the clock of the machine that scans, and at what timedatectl reports.

    The difference lies between two bounds. The policy compares the smallest possible difference with the limit.
    """
    limit = site.thresholds.clock_skew_seconds
    skew, synchronized = facts.machine.skew, facts.machine.synchronized
    observed = f"{skew.least:+.2f} to {skew.most:+.2f} s from the clock of the machine that scans"
    wrong = skew.nearest > limit
    if not wrong and skew.width > limit:
        require.unknown(facts.name, f"{observed}: the answer took too long to detect a difference of {limit:g} s")
        return
    if synchronized is None and not wrong:
        reason = f"{observed}: the clock is correct now, but without systemd it is unknown whether it is synchronized"
        require.not_applicable(facts.name, reason)
        return
    if wrong and synchronized:
        observed += (
            "; the host clock is synchronized: if all hosts differ alike, the clock of the machine that scans is wrong"
        )
    elif synchronized is False:
        observed += "; the host clock is not synchronized"
    require(
        facts.name,
        bool(synchronized) and not wrong,
        expected=f"at most {limit:g} s from the clock of the machine that scans, and synchronized",
        observed=observed,
    )
