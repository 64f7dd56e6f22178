"""Tests ``sigsrv policies lint``: it reports every kind of mistake, with file and line."""

from __future__ import annotations

import re
import shutil
from functools import cache
from pathlib import Path

import pytest

from sigsrv.authoring import lint as lint_module
from sigsrv.authoring.lint import lint
from sigsrv.judge import catalogue, examined
from sigsrv.model import data, policy
from sigsrv.model.errors import UsageError

SHIPPED = data.folder("policies")
RULE = """\
id: SITE-001
title: Project keeps images of its own
severity: low
why: An image that another project replaces changes what this one starts.
examines: project
rule: {properties: {config: {properties: {features.images: {const: "true"}}}}}
expected: features.images is true
observe: /config/features.images
by_hand: Set features.images=true on the project.
controls: {nist-800-53r5: [CM-2], cis-v8: []}
source: [Incus reference/projects]
examples:
  compliant: [{config: {features.images: "true"}}]
  violating: [{config: {features.images: "false"}}]
"""
CHECK = """\
id: SITE-002
title: Bridges carry frames of 1500 bytes
severity: low
why: A host with a smaller MTU drops large frames silently.
examines: bridge
by_hand: Set bridge.mtu on the network.
controls: {nist-800-53r5: [CM-6], cis-v8: []}
source: [ip-link(8)]
examples:
  compliant: [{name: one, change: [{op: remove, path: /minisrv/links/trunk}], expect: {}}]
  violating: [{name: two, change: [{op: remove, path: /minisrv/links/trunk}], expect: {SITE-002@minisrv/a: fail}}]
"""
PYTHON = """\
from sigsrv import policy


@policy("SITE-002")
def test_it(facts, site, require):
    require("a", True, expected="x", observed="x")
"""


@pytest.fixture
def mine(tmp_path):
    """Create an added folder without mistakes: one policy with a rule and one with a check."""
    for name, text in {"site/SITE-001.yaml": RULE, "site/SITE-002.yaml": CHECK, "checks/test_site.py": PYTHON}.items():
        path = tmp_path / "mine" / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text)
    return tmp_path / "mine"


@pytest.fixture(autouse=True)
def read_once(monkeypatch):
    """Read the shipped files only once for all tests that do not change them."""
    for name in ("_policies", "_checks"):
        whole = getattr(lint_module, name)
        monkeypatch.setattr(
            lint_module, name, lambda folder, whole=whole: _shipped(whole) if folder == SHIPPED else whole(folder)
        )


@cache
def _shipped(whole):
    return whole(SHIPPED)


def change(mine: Path, name: str, old: str, new: str) -> None:
    text = (mine / name).read_text()
    assert old in text
    (mine / name).write_text(text.replace(old, new))


def mistakes_in(folder: Path) -> list[str]:
    """Return the mistakes, with paths relative to the folder. Each must have a line number."""
    _, mistakes = lint([folder])
    found = [mistake.message.removeprefix(f"{folder}/") for mistake in mistakes]
    assert all(re.match(r"[^:]+:\d+: ", text) for text in found), found
    return found


def test_an_added_folder_without_mistakes_passes(mine):
    """The other tests break this folder, so it must be correct first."""
    assert mistakes_in(mine) == []
    assert lint([mine])[0] == len(policy.load()) + 2


def test_a_mistyped_source_has_the_nearest_name_as_a_hint(mine):
    """Probes, paths of the API and login are known; a policy of a site need not declare any."""
    change(mine, "site/SITE-002.yaml", "by_hand:", "looks_at: [login, frames, nft, /1.0/netwoks]\nby_hand:")

    (mistake,) = lint([mine])[1]

    assert mistake.hint == 'did you mean "/1.0/networks"?'


@pytest.mark.parametrize(
    ("name", "old", "new", "message"),
    [
        ("site/SITE-001.yaml", "severity: low", "severity: hihg", 'SITE-001.yaml:3: severity: "hihg" is not allowed'),
        ("site/SITE-001.yaml", "why: An", "wy: An", 'SITE-001.yaml:4: wy: unknown key "wy"'),
        ("site/SITE-001.yaml", "why: An", "wy: An", 'SITE-001.yaml:1: "why" is missing'),
        ("site/SITE-001.yaml", "title: Project", "title: [Project", "SITE-001.yaml:3: not YAML"),
        ("site/SITE-001.yaml", "id: SITE-001", "id: SITE-003", "SITE-001.yaml:1: id: this policy must be in site/SITE-003.yaml, not in"),
        ("site/SITE-001.yaml", "id: SITE-001", "id: site1", "SITE-001.yaml:1: id: 'site1' does not match"),
        ("site/SITE-001.yaml", "  compliant: [{config: {features.images: \"true\"}}]\n", "", 'SITE-001.yaml:12: examples: "compliant" is missing'),  # noqa: E501
        ("site/SITE-001.yaml", "compliant: [{config: {features.images: \"true\"}}]", "compliant: []", "SITE-001.yaml:13: examples.compliant: [] should be non-empty"),  # noqa: E501
        ("site/SITE-001.yaml", "{const:", "{cnst:", 'SITE-001.yaml:6: rule.properties.config.properties.features.images.cnst: "cnst" is not a supported JSON Schema keyword'),  # noqa: E501
        ("site/SITE-001.yaml", "{const: \"true\"}", "{format: ipv4}", '"format" is not a supported JSON Schema keyword'),
        ("site/SITE-001.yaml", "{const: \"true\"}", "{type: txt}", "SITE-001.yaml:6: rule.properties.config.properties.features.images.type: not a JSON Schema"),  # noqa: E501
        ("site/SITE-001.yaml", "rule: {", "match: {anyOf: [{tpe: object}]}\nrule: {", 'SITE-001.yaml:6: match.anyOf[0].tpe: "tpe" is not a supported JSON Schema keyword'),  # noqa: E501
        ("site/SITE-001.yaml", "rule: {", "looks_at: [/1.0/projects, /1.0/project]\nrule: {", "SITE-001.yaml:6: looks_at[1]: there is no probe and no path of the Incus API /1.0/project"),  # noqa: E501
        ("site/SITE-002.yaml", "by_hand:", "looks_at: [lnk]\nby_hand:", "SITE-002.yaml:6: looks_at[0]: there is no probe and no path of the Incus API lnk"),  # noqa: E501
        ("site/SITE-001.yaml", "observe: /", "observe: ", "SITE-001.yaml:8: observe: not a JSON Pointer"),
        ("site/SITE-001.yaml", "examines: project", "examines: projct", 'SITE-001.yaml:5: examines: "projct" is not allowed'),
        ("site/SITE-001.yaml", "by_hand: Set features.images=true on the project.", "remediation: set-images", "SITE-001.yaml:9: remediation: there is no remediation set-images"),  # noqa: E501
        ("site/SITE-001.yaml", "by_hand: Set features.images=true on the project.", "remediation: attach-vlan", "SITE-001.yaml:9: remediation: attach-vlan does not list SITE-001 in fixes"),  # noqa: E501
        ("site/SITE-001.yaml", "[CM-2]", "[CM-99]", "SITE-001.yaml:10: controls: nist-800-53r5 has no control CM-99"),
        ("site/SITE-002.yaml", "change: [{op: remove, path: /minisrv/links/trunk}], expect: {}", "expect: {}", 'SITE-002.yaml:10: examples.compliant[0]: "change" is missing'),  # noqa: E501
        ("site/SITE-002.yaml", "SITE-002@minisrv/a: fail", "SITE-002@minisrv/a: failed", '"failed" is not allowed'),
        ("checks/test_site.py", "SITE-002", "SITE-003", "checks/test_site.py:4: there is no policy SITE-003"),
        ("checks/test_site.py", "SITE-002", "SITE-003", "SITE-002.yaml:1: id: the policy has neither a rule, nor a form, nor a check"),
        ("checks/test_site.py", "SITE-002", "SITE-001", "SITE-001.yaml:6: rule: the policy says itself how to judge, and has a check as well"),  # noqa: E501
        ("checks/test_site.py", "def test_it", "def test it", "checks/test_site.py:5: can't be imported: SyntaxError"),
        ("checks/test_site.py", "\n\n@", "\nimport nothing_of_this_name\n\n@", "checks/test_site.py:3: can't be imported: ModuleNotFoundError"),  # noqa: E501
    ],
)  # fmt: skip
def test_a_mistake_is_reported_with_its_line(mine, name, old, new, message):
    """Lint says where each mistake is and what is wrong. One mistake hides no other."""
    change(mine, name, old, new)

    found = mistakes_in(mine)

    assert any(message in text for text in found), found


def test_a_rule_on_a_kind_without_facts_is_reported(mine, monkeypatch):
    """It would give ``error`` on every host. The kind needs a check or an entry in the table of kinds."""
    monkeypatch.setattr(examined, "KINDS", examined.KINDS - {"project"})

    assert "site/SITE-001.yaml:5: examines: a rule or a form can't examine project" in mistakes_in(mine)


def test_all_mistakes_are_reported_at_once(mine):
    """The user does not have to fix one mistake to see the next one."""
    change(mine, "site/SITE-001.yaml", "severity: low", "severity: hihg")
    change(mine, "site/SITE-001.yaml", "examines: project", "examines: projct")
    change(mine, "site/SITE-002.yaml", "severity: low", "severity: lw")

    assert [text.split(": ")[0] for text in mistakes_in(mine)] == [
        "site/SITE-001.yaml:5",
        "site/SITE-001.yaml:3",
        "site/SITE-002.yaml:3",
    ]


@pytest.mark.parametrize(
    ("family", "why"),
    [
        ("skip", "its tests would all be skipped"),
        ("critical", "a severity"),
        ("checks", "the folder of checks"),
    ],
)
def test_a_reserved_name_is_refused_as_a_family(mine, family, why):
    """pytest's markers, the severities and the other folders next to the families are reserved."""
    (mine / family).mkdir(exist_ok=True)
    (mine / family / f"{family.upper()}-001.yaml").write_text(RULE.replace("SITE-001", f"{family.upper()}-001"))

    assert f'{family}/{family.upper()}-001.yaml:1: id: "{family}" can\'t be a family' in mistakes_in(mine)[0]
    with pytest.raises(UsageError, match="can't be a family"):
        catalogue.load([mine])


@pytest.mark.parametrize(
    "name", ["SITE-009.yaml", "site/SITE-009.yml", "policies/site/SITE-009.yaml", "site/more/SITE-009.yaml"]
)
def test_a_policy_in_the_wrong_place_is_refused(mine, name):
    """sigsrv would never read such a file, so lint and scan both report it."""
    (mine / name).parent.mkdir(parents=True, exist_ok=True)
    (mine / name).write_text(RULE)

    (mistake,) = lint([mine])[1]
    assert str(mine / name) in mistake.message
    with pytest.raises(UsageError, match=r"SITE-009"):
        catalogue.load([mine])


def test_a_policy_without_examples_is_refused(mine):
    """Lint and every command that evaluates policies refuse it."""
    (mine / "site" / "SITE-001.yaml").write_text(RULE[: RULE.index("examples:")])

    assert 'site/SITE-001.yaml:1: "examples" is missing' in mistakes_in(mine)
    with pytest.raises(UsageError, match='"examples" is missing'):
        catalogue.load([mine])


@pytest.fixture
def checkout(tmp_path, monkeypatch):
    """Create a copy of the shipped content for a test to break."""
    for name in ("policies", "checks", "remediations"):
        shutil.copytree(data.folder(name), tmp_path / "checkout" / name)
    monkeypatch.setattr(data, "_CHECKOUT", tmp_path / "checkout")
    monkeypatch.setattr(data, "_IN_CHECKOUT", True)
    return tmp_path / "checkout"


@pytest.mark.parametrize(
    ("old", "new", "message"),
    [
        ("fixes: [NET-005]", "fixes: [NET-005, NET-099]", "remediation.yaml:3: fixes[1]: there is no policy NET-099"),
        ("fixes: [NET-005]", "fixes: [NET-005, NET-004]", "remediation.yaml:3: fixes[1]: NET-004 does not name raise-links"),
        ("fixes: [NET-005]", "fixes: [NET-004]", ": remediation: raise-links does not list NET-005 in fixes"),
        ("disruption: network", "disruption: netwrk", 'remediation.yaml:4: disruption: "netwrk" is not allowed'),
    ],
)  # fmt: skip
def test_a_remediation_and_its_policies_must_name_each_other(checkout, old, new, message):
    """The policy names its remediation, and the remediation lists the policy in ``fixes``."""
    path = checkout / "remediations" / "raise-links" / "remediation.yaml"
    assert old in path.read_text()
    path.write_text(path.read_text().replace(old, new))

    found = [mistake.message for mistake in lint()[1]]

    assert any(message in text for text in found), found


def test_a_missing_remediation_is_reported(checkout):
    """Lint reports it at the policy that names it."""
    shutil.rmtree(checkout / "remediations" / "raise-links")

    assert ["there is no remediation raise-links" in mistake.message for mistake in lint()[1]] == [True]


@pytest.mark.parametrize(
    ("file", "old", "new", "message"),
    [
        ("remediation.yaml", "  parent: trunk\n", "", "no example for parent"),
        ("apply.sh.j2", "{{ bridge }}", "{{ brigde }}", "apply.sh.j2: 'brigde' is undefined"),
        ("undo.sh.j2", "{{ bridge }}", '"{{ bridge }}"', "a value is in quotes: bridge="),
    ],
)
def test_a_mistake_in_a_remediation_s_scripts_is_reported(checkout, file, old, new, message):
    """Lint renders each script with the example values of the remediation."""
    path = checkout / "remediations" / "raise-links" / file
    assert old in path.read_text()
    path.write_text(path.read_text().replace(old, new))

    found = [mistake.message for mistake in lint()[1]]

    assert any(message in text for text in found), found


@pytest.mark.parametrize(
    ("old", "new", "messages"),
    [
        ("{config: {properties: {f", "{confg: {properties: {f", ['site/SITE-001.yaml:6: rule.properties.confg: a project has no fact "confg"']),  # noqa: E501
        ("{properties: {features.images: {", "{properties: {feature.images: {", ['site/SITE-001.yaml:6: rule.properties.config.properties.feature.images: a project has no configuration key "feature.images"']),  # noqa: E501
        ('{const: "true"}', "{const: true}", ["site/SITE-001.yaml:6: rule.properties.config.properties.features.images.const: features.images is text, and never true"]),  # noqa: E501
        ("rule: {", "match: {required: [nmae]}\nrule: {", ['site/SITE-001.yaml:6: match.required[0]: a project has no fact "nmae"']),
        ("observe: /config/", "observe: /confg/", ['site/SITE-001.yaml:8: observe: a project has no fact "confg"']),
        ("compliant: [{config: {features", "compliant: [{config: {feature", ['site/SITE-001.yaml:13: examples.compliant[0].config.feature.images: a project has no configuration key "feature.images"']),  # noqa: E501
        ('violating: [{config: {features.images: "false"}}]', "violating: [{config: 5}]", ["site/SITE-001.yaml:14: examples.violating[0].config: config is an object, and never 5"]),  # noqa: E501
        ('rule: {properties: {config: {properties: {features.images: {const: "true"}}}}}', "rule: {}", ["site/SITE-001.yaml:6: rule: the rule can never fail: every project complies"]),  # noqa: E501
        ("observe: /config/features.images", "observe: /confg/features.images\nseverty: low", ['site/SITE-001.yaml:9: severty: unknown key "severty"']),  # noqa: E501
    ],
)  # fmt: skip
def test_a_rule_about_what_no_resource_has_is_reported(mine, old, new, messages):
    """With file and line. The file must fit the schema of policies first."""
    change(mine, "site/SITE-001.yaml", old, new)

    assert mistakes_in(mine) == messages


def test_the_hint_of_an_unknown_fact_or_key_is_the_nearest_one(mine):
    """Hints are shown behind the message."""
    change(
        mine,
        "site/SITE-001.yaml",
        "config: {properties: {features.images: {",
        "config: {properties: {feature.images: {",
    )
    change(mine, "site/SITE-001.yaml", "observe: /config", "observe: /confg")

    assert [mistake.hint for mistake in lint([mine])[1]] == [
        'did you mean "features.images"?',
        'did you mean "config"?',
    ]


def test_wrong_rules_are_reported_together_with_files_that_cannot_be_read(mine):
    """One run of lint shows both."""
    change(mine, "site/SITE-001.yaml", "observe: /config", "observe: /confg")
    change(mine, "site/SITE-002.yaml", "severity: low", "severity: lw")

    assert [text.split(": ")[0] for text in mistakes_in(mine)] == ["site/SITE-002.yaml:3", "site/SITE-001.yaml:8"]


def test_all_mistakes_of_a_remediation_are_reported_at_once(checkout):
    """Also missing scripts, and mistakes of other remediations."""
    folder = checkout / "remediations" / "raise-links"
    path = folder / "remediation.yaml"
    path.write_text(path.read_text().replace("disruption: network", "disruption: netwrk").replace("undo:", "undoo:"))
    (folder / "undo.sh.j2").unlink()
    other = checkout / "remediations" / "restrict-project" / "remediation.yaml"
    other.write_text(other.read_text().replace("timeout_s:", "timeout:"))

    found = [mistake.message.removeprefix(f"{checkout}/remediations/") for mistake in lint()[1]]

    assert {text.split(": ", 1)[1] for text in found if text.startswith("raise-links/remediation.yaml")} == {
        '"undo" is missing',
        'disruption: "netwrk" is not allowed',
        'undoo: unknown key "undoo"',
    }
    assert any(text.startswith("raise-links/undo.sh.j2: no such file") for text in found)
    assert any(text.startswith("restrict-project/remediation.yaml") for text in found)
