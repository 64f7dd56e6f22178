"""Tests ``sigsrv policies new`` and ``sigsrv policies forms``: the first file of a policy, and the documentation of the forms."""

from __future__ import annotations

import re

import pytest

from sigsrv.authoring import first_policy
from sigsrv.model import data, policy, records, yamlfile
from sigsrv.model.forms import FORMS, Forms
from sigsrv.report import forms
from tests.called import sigsrv

SHIPPED = policy.load()
FILES = [(form, kind) for form in first_policy.FORMS for kind in first_policy.kinds(form)]


@pytest.mark.parametrize(("form", "kind"), FILES)
def test_a_first_file_passes_lint_and_its_examples_at_once(tmp_path, form, kind):
    """The commands that ``new`` prints work as they are. The file examines the kind, and has the form."""
    done = sigsrv("policies", "new", "LAB-007", "--form", form, "--examines", kind, "--policies", "mine", cwd=tmp_path)

    path, _, *commands = done.stdout.splitlines()
    assert (done.returncode, path) == (0, "mine/lab/LAB-007.yaml")
    for line in commands:
        run = sigsrv(*line.split()[1:], cwd=tmp_path)
        assert run.returncode == 0, run.stdout
    made = policy.read(tmp_path / path)
    assert (made.id, made.examines, made.decided_by) == ("LAB-007", kind, form)
    assert all(made.examples.values())


@pytest.mark.parametrize("form", first_policy.FORMS)
def test_the_usual_kind_is_the_default(tmp_path, form):
    """Each form has one, and its file is in the family's folder below ./policies."""
    done = sigsrv("policies", "new", "lab-007", "--form", form, cwd=tmp_path)

    assert done.returncode == 0
    assert policy.read(tmp_path / "policies" / "lab" / "LAB-007.yaml").examines == first_policy.kinds(form)[0]


def test_every_form_has_a_first_file():
    """A new form needs one, and a line in the help."""
    assert set(first_policy.FORMS) == {*FORMS, "rule"}
    shown = sigsrv("policies", "new", "--help").stdout
    assert all(re.search(rf"^  {form} +\w", shown, re.MULTILINE) for form in first_policy.FORMS)


def test_each_line_that_an_author_changes_has_a_comment():
    """The comments are most of what the command gives. Editors read the first line."""
    for form, kind in FILES:
        text = first_policy.text(form, kind, "LAB-007")
        assert text.count("  # ") >= 8, (form, kind)
        assert "SITE-001" not in text


def test_the_first_line_leads_editors_to_the_schema(tmp_path):
    """They complete the keys of a form then."""
    path = first_policy.write("LAB-007", "keys", None, tmp_path)

    assert path.read_text().startswith(data.modeline("policy", path.parent))


@pytest.mark.parametrize(
    ("argv", "message", "hint"),
    [
        (["LAB-7", "--form", "keys"], '"LAB-7" can\'t be the ID of a policy: an ID is 2 to 12', "for example SITE-001"),
        (["../x", "--form", "keys"], '"../x" can\'t be the ID of a policy', "for example"),
        (["\x1b[31m", "--form", "keys"], "\\x1b[31m", "for example"),
        (["CHECKS-001", "--form", "keys"], '"checks" can\'t be a family', "for example"),
        (["NET-001", "--form", "keys"], "NET-001 is a shipped policy, which the new one would replace", "choose another ID"),
        (["LAB-007", "--form", "keys", "--examines", "projct"], "no first file of the form keys for projct", 'did you mean "project"?'),
        (["LAB-007", "--form", "joined", "--examines", "host"], "no first file of the form joined for host", "it is for bridge"),
        (["LAB-007", "--form", "keys", "--policies", "no/such/mine"], "there is no folder no/such", "create it first"),
        (["LAB-007", "--form", "keys", "--policies", "file"], "file/lab/LAB-007.yaml: ", "choose another folder"),
        (["LAB-008", "--form", "keys"], "policies/lab/LAB-008.yaml: this file exists already", "choose another ID, or edit the file"),
        (["LAB-009", "--form", "keys"], "policies/lab/LAB-009.yaml: this file exists already", "choose another ID"),
    ],
)  # fmt: skip
def test_wrong_use_writes_nothing(tmp_path, argv, message, hint):
    """The error says what is wrong and what to do. A file is never overwritten, nor the target of a link."""
    (tmp_path / "file").write_text("mine")
    (tmp_path / "policies" / "lab").mkdir(parents=True)
    (tmp_path / "policies" / "lab" / "LAB-008.yaml").write_text("mine")
    (tmp_path / "policies" / "lab" / "LAB-009.yaml").symlink_to(tmp_path / "elsewhere")
    before = {path: path.read_text() for path in tmp_path.rglob("*") if path.is_file()}

    done = sigsrv("policies", "new", *argv, cwd=tmp_path)

    assert (done.returncode, done.stdout) == (2, "")
    assert message in done.stderr
    assert hint in done.stderr.splitlines()[1]
    assert {path: path.read_text() for path in tmp_path.rglob("*") if path.is_file()} == before


def test_an_unknown_form_is_wrong_use(tmp_path):
    """The message lists the forms."""
    done = sigsrv("policies", "new", "LAB-007", "--form", "kyes", cwd=tmp_path)

    assert done.returncode == 2
    assert "choose from 'keys', 'devices', 'threshold', 'listed', 'joined', 'rule'" in done.stderr


# --- the documentation of the forms


def test_every_parameter_has_a_sentence():
    """The JSON Schema, ``explain`` and docs/forms.md show it."""
    for kind in [*FORMS.values(), Forms, *forms.used_by([*FORMS.values(), Forms])]:
        assert forms.about(kind).endswith(".")
        for each in forms.parameters(kind):
            assert each.text.endswith("."), f"{kind.__name__}.{each.name}"


@pytest.mark.parametrize("name", [*FORMS, "clause", "comparison", "wanted", "need", "join", "value", "refusal"])
def test_forms_describes_each_form_and_each_part(name):
    """With each parameter, in 80 columns. A form has an example from a shipped policy."""
    done = sigsrv("policies", "forms", name.upper(), COLUMNS="80")

    assert done.returncode == 0
    assert done.stdout.startswith(f"{name}: ")
    assert all(
        re.search(rf"^  {re.escape(each.name)} +\w", done.stdout, re.MULTILINE)
        for each in forms.parameters(forms.named(name))
    )
    described = done.stdout.partition("Example, from ")[0] + done.stdout.partition("Every form may also have")[2]
    assert max(len(line) for line in described.splitlines()) <= 80
    assert ("Example, from " in done.stdout) is (name in FORMS)


def test_forms_lists_the_forms():
    """Without a name, each form with its sentence. ``rule`` is one of the ways too."""
    shown = sigsrv("policies", "forms", COLUMNS="80").stdout

    assert all(re.search(rf"^  {name} ", shown, re.MULTILINE) for name in (*FORMS, "rule"))
    assert max(len(line) for line in shown.splitlines()) <= 80
    assert sigsrv("policies", "forms", "rule").stdout.startswith("rule: JSON Schema")


def test_an_unknown_form_gives_the_nearest_name():
    """It is wrong use."""
    done = sigsrv("policies", "forms", "clauze")

    assert (done.returncode, done.stdout) == (2, "")
    assert done.stderr == 'sigsrv: error: there is no form clauze\nsigsrv: hint: did you mean "clause"?\n'


@pytest.mark.parametrize("policy_id", [each.id for each in SHIPPED.values() if each.forms.names])
def test_explain_shows_the_form_and_what_its_keys_mean(policy_id):
    """Each key of the form has its sentence, and the text fits a terminal."""
    shown = sigsrv("explain", policy_id, COLUMNS="80").stdout
    part = shown.partition("\nHow it is checked\n")[2].partition("\n\n")[0]
    content = yamlfile.load(SHIPPED[policy_id].path).data
    used = {key: content[key] for key in (records.key_of(name) for name in Forms.__annotations__) if key in content}
    keys, _, meaning = part.partition("  What its keys mean:\n")

    assert max(len(line) for line in part.splitlines()) <= 80
    assert all(re.search(rf"^    {key}:", keys, re.MULTILINE) for key in used)
    assert all(re.search(rf"^    {key} +\w", meaning, re.MULTILINE) for key in used)
    flat = " ".join(meaning.split())
    assert all(" ".join(forms.plain(text).split()) in flat for _, text in forms.meanings(used))


def test_the_meaning_of_a_key_is_said_once():
    """In the order of the file, and indented like there. A plain value stands for a record without keys."""
    content = {
        "shows": "x",
        "keys": [
            {"must": {"a": "b", "c": {"one_of": ["d"]}}, "when": [{"fact": "e", "is": "f"}]},
            {"must": {"g": "h"}},
        ],
    }

    assert [name for name, _ in forms.meanings(content)] == [
        "shows",
        "keys",
        "  must",
        "    one_of",
        "  when",
        "    fact",
        "    is",
    ]


def test_the_block_of_a_key_ends_before_the_next_key():
    """Its comments belong to it, and those of the next key do not end it early."""
    text = "keys:\n  must: a  # why\n  # more\n\nexpected: b\n"

    assert forms.block(text, "keys") == "keys:\n  must: a  # why\n  # more\n\n"
    assert forms.block(text, "expected") == "expected: b\n"
    assert forms.block(text, "fix") == ""
