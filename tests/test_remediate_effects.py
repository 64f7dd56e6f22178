"""Tests what a plan says of its effects: counts, names, and the limits of --max."""

from __future__ import annotations

import dataclasses

import pytest

from sigsrv.remediate.effects import Ceilings, disruption, effects, names, summary, too_much
from sigsrv.remediate.planning import Step
from tests.test_remediate_journal import FAILING, FIX


def guest(name: str, restart: bool = True, host: str = "sigsrv") -> Step:
    """Return a step that changes an instance."""
    finding = dataclasses.replace(FAILING, host=host, resource=f"default/{name}", fix={"restart": restart})
    return Step(finding, dataclasses.replace(FIX, runs_on=host, disruption="instance"))


NETWORK = Step(FAILING, FIX, others=("sigsrv",))


def test_plan_counts_and_names_what_it_touches():
    """A guest that restarts twice counts twice. A host counts if Incus makes the change there too."""
    found = effects([NETWORK, guest("web"), guest("web"), guest("db", restart=False)])

    assert len(found.objects) == 3
    assert (found.hosts, found.cuts) == (("minisrv", "sigsrv"), ("minisrv", "sigsrv"))
    assert found.restarts == ("default/web", "default/web")
    assert summary(found, 60) == (
        "changes 3 objects on minisrv and sigsrv; restarts 2 guests: default/web; "
        "may cut the network of minisrv and sigsrv (rolled back within 60 s unless a new login confirms it)"
    )


@pytest.mark.parametrize(
    ("step", "text"),
    [
        (NETWORK, "may cut the network of minisrv and sigsrv"),
        (guest("web"), "restarts default/web if it runs"),
        (guest("web", restart=False), "changes default/web while it runs"),
        (Step(FAILING, dataclasses.replace(FIX, disruption="service")), "restarts a service on minisrv"),
        (Step(FAILING, dataclasses.replace(FIX, disruption="none")), "disrupts nothing"),
    ],
)
def test_disruption_of_a_step_names_who_it_hits(step, text):
    """The sentence of the remediation has the details."""
    assert disruption(step) == text


@pytest.mark.parametrize(
    ("ceilings", "reason"),
    [
        (Ceilings(), []),
        (Ceilings(3, 2, 2), []),
        (Ceilings(2), ["3 objects would change and --max allows 2: name fewer findings, or use --max objects=3"]),
        (
            Ceilings(10, 1, 0),
            [
                "2 hosts would be changed and --max allows 1, 2 restarts would happen and --max allows 0: "
                "name fewer findings, or use --max objects=10,hosts=2,restarts=2"
            ],
        ),
    ],
)
def test_plan_beyond_max_is_refused_with_its_numbers(ceilings, reason):
    """The reason has the option that allows the plan."""
    found = effects([NETWORK, guest("web"), guest("web"), guest("db", restart=False)])

    assert too_much(found, ceilings) == reason


def test_long_list_of_names_is_cut():
    """It says how many more there are."""
    assert names([str(number) for number in range(8)]) == "0, 1, 2, 3, 4 and 3 more"
    assert names(["a", "a"]) == "a"
