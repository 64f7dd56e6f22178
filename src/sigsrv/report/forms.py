"""The documentation of the forms, for the terminal and as a Markdown page. All of it comes from the records of ``model.forms``."""

from __future__ import annotations

import dataclasses
import textwrap
import types
import typing
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Literal, Union

from sigsrv.model import records
from sigsrv.model.errors import UsageError, nearest
from sigsrv.model.forms import FORMS, Clause, Comparison, Forms, Value
from sigsrv.model.policy import Policy
from sigsrv.report import phrases

RULE = "JSON Schema for the facts of one resource. Rules and the forms exclude each other."
_RULE_MORE = (
    "`rule` decides, `observe` names the fact that a finding shows (a JSON Pointer), `match` selects resources."
)
_COLUMNS, _LINES = 76, 3  # of a good example
_COMMON = "every form"
_PARTS_OF = {"Forms": _COMMON}
_NAMES = {str: "text", bool: "true or false", int: "a number"}


@dataclass(frozen=True)
class Parameter:
    """A parameter of a form, or of a part of one."""

    name: str
    """Its name in a policy file."""
    value: str
    """What it takes, in words."""
    text: str
    """The sentence below its field."""
    parts: tuple[type, ...]
    """The records that it contains."""


_COMPARED = Parameter("fact ...", "a comparison", "A fact and one comparison.", (Comparison,))


def name_of(kind: type) -> str:
    """Return how people call a record: ``keys``, ``clause``, ``every form``."""
    return _PARTS_OF.get(kind.__name__, kind.__name__.lower())


def parameters(kind: type) -> list[Parameter]:
    """Return the parameters of a record, in the order of the code. Those of an operator that the record does not have are left out."""
    texts, hints = records.descriptions(kind), records.hints(kind)
    found = [_COMPARED] if kind is Clause else []
    inherited = {each.name for each in dataclasses.fields(Comparison)} if kind is Clause else ()
    for each in dataclasses.fields(kind):
        if each.name in inherited:
            continue
        operators = Comparison.operators if issubclass(kind, Comparison) else ()
        allowed = each.name not in operators or each.name in kind.operators  # type: ignore[attr-defined]
        is_form = kind is Forms and each.name in FORMS
        if allowed and not is_form and (kind, each.name) != (Value, "literal"):
            hint = hints[each.name]
            text = texts.get(each.name, "")
            found.append(Parameter(records.key_of(each.name), value_words(hint), text, tuple(_records_in(hint))))
    return found


def value_words(hint: Any) -> str:
    """Return what a parameter takes, in words: ``one clause, or a list``."""
    origin, inner = typing.get_origin(hint), typing.get_args(hint)
    if origin in (Union, types.UnionType):
        return value_words(next(each for each in inner if each is not type(None)))
    if origin is Literal:
        return " or ".join(str(each) for each in inner if each)
    if origin is tuple:
        return f"{value_words(inner[0])}, or a list"
    if isinstance(origin, type) and issubclass(origin, Mapping):
        return f"name: {value_words(inner[1])}"
    if dataclasses.is_dataclass(hint) and isinstance(hint, type):
        return f"a {name_of(hint)}"
    return _NAMES.get(hint, "any value")


def _records_in(hint: Any) -> Iterator[type]:
    if dataclasses.is_dataclass(hint) and isinstance(hint, type):
        yield hint
    for each in typing.get_args(hint):
        yield from _records_in(each)


def about(kind: type) -> str:
    """Return what a record is."""
    return " ".join((kind.__doc__ or "").split())


def used_by(kinds: Iterable[type]) -> list[type]:
    """Return the records that some records contain, each once, in the order in which a reader meets them."""
    found: list[type] = []
    pending = [part for kind in kinds for each in parameters(kind) for part in each.parts]
    while pending:
        part = pending.pop(0)
        if part not in found and part not in FORMS.values():
            found.append(part)
            pending += [inner for each in parameters(part) for inner in each.parts]
    return found


def named(name: str) -> type:
    """Return the record with a name. Raises UsageError."""
    known = {name_of(kind): kind for kind in [*FORMS.values(), *used_by([*FORMS.values(), Forms])]}
    if name not in known:
        raise UsageError(f"there is no form {phrases.visible(name)}", nearest(name, [*known, "rule"]))
    return known[name]


def example(name: str, policies: Iterable[Policy]) -> tuple[str, str]:
    """Return (ID, text) of the shortest example of a form in some policies; empty if there is none.

    Preferred are those of three lines or more that fit a terminal.
    """
    found = []
    for each in policies:
        if name in each.forms.names and len(each.forms.names) == 1:
            text = block(each.path.read_text(encoding="utf-8"), name)
            is_wide = max(len(line) for line in text.splitlines()) > _COLUMNS
            found.append((is_wide, text.count("\n") < _LINES, text.count("\n"), each.id, text))
    *_, policy_id, text = min(found, default=("", ""))
    return policy_id, text


def block(source: str, key: str) -> str:
    """Return the lines of a policy file that belong to a key."""
    lines = source.splitlines(keepends=True)
    begin = next((number for number, line in enumerate(lines) if line.startswith(f"{key}:")), len(lines))
    end = next((number for number in range(begin + 1, len(lines)) if lines[number][:1].strip("#\n ")), len(lines))
    return "".join(lines[begin:end])


# --- for the terminal


def overview(width: int = 80) -> str:
    """Return a list of the forms, each with its sentence."""
    rows = [*((name, about(kind)) for name, kind in FORMS.items()), ("rule", RULE)]
    lines = textwrap.wrap("A policy file says in a form what must be true. No form needs Python.", width)
    lines += ["", *definitions(rows, width), "", "More: sigsrv policies forms NAME; docs/forms.md has all of them."]
    return "\n".join(lines) + "\n"


def description(name: str, policies: Iterable[Policy], width: int = 80) -> str:
    """Return the documentation of one form, or of a part of forms. Raises UsageError for an unknown name."""
    if name == "rule":
        return "\n".join(textwrap.wrap(f"rule: {RULE} {_RULE_MORE}".replace("`", ""), width)) + "\n"
    kind = named(name)
    lines = [*textwrap.wrap(f"{name}: {plain(about(kind))}", width), "", *_table(kind, width)]
    policy_id, text = example(name, policies)
    if text:
        lines += ["", f"Example, from {policy_id}", *textwrap.indent(text.rstrip(), "  ").splitlines()]
    if name in FORMS:
        lines += ["", "Every form may also have", *_table(Forms, width)]
    for part in used_by([kind, Forms] if name in FORMS else [kind]):
        lines += ["", *textwrap.wrap(f"{name_of(part)}: {plain(about(part))}", width), *_table(part, width)]
    return "\n".join(lines) + "\n"


def _table(kind: type, width: int) -> list[str]:
    return definitions([(each.name, each.text) for each in parameters(kind)], width)


def definitions(rows: Sequence[tuple[str, str]], width: int, indent: str = "  ") -> list[str]:
    """Return names and their sentences in two columns."""
    column = max((len(name) for name, _ in rows), default=0) + 2
    lines = []
    for name, text in rows:
        hanging = f"{indent}{'':<{column}}"
        lines += textwrap.wrap(
            plain(text),
            width,
            initial_indent=f"{indent}{name:<{column}}",
            subsequent_indent=hanging,
            break_on_hyphens=False,
        ) or [f"{indent}{name}"]
    return lines


def plain(text: str) -> str:
    """Return the text of a docstring without its marks for code."""
    return text.replace("``", "")


def meanings(content: Mapping[str, Any]) -> list[tuple[str, str]]:
    """Return (name, sentence) of each parameter that a policy file uses, in its order and with its indentation, each once."""
    found: dict[tuple[str, str], str] = {}
    for indent, name, text in _used(content, Forms, ""):
        found.setdefault((name, text), indent)
    return [(f"{indent}{name}", text) for (name, text), indent in found.items()]


def _used(content: Any, kind: type, indent: str) -> Iterator[tuple[str, str, str]]:
    """Yield (indentation, name, sentence) of each parameter of a record that a policy file uses."""
    if not isinstance(content, Mapping):
        return  # a plain value that stands for a record
    texts, hints = records.descriptions(kind), records.hints(kind)
    fields = {records.key_of(each.name): each.name for each in dataclasses.fields(kind)}
    for key in [key for key in content if key in fields]:
        is_form = kind is Forms and key in FORMS
        yield indent, key, about(FORMS[key]) if is_form else texts.get(fields[key], "")
        for part in _records_in(hints[fields[key]]):
            for one in _inner(content[key], hints[fields[key]]) if part is not Value else ():
                yield from _used(one, part, f"{indent}  ")


def _inner(content: Any, hint: Any) -> list[Any]:
    """Return the records in what a parameter has: itself, the items of a list, or the values of a mapping by name."""
    origin, inner = typing.get_origin(hint), typing.get_args(hint)
    if origin is tuple:
        items = content if isinstance(content, list) else [content]
        return [each for item in items for each in _inner(item, inner[0])]
    if isinstance(origin, type) and issubclass(origin, Mapping):
        return list(content.values())
    return [content]


# --- as a page

_HEAD = """\
# The forms

A policy file says in a form what must be true of a resource. It needs no Python. `make docs` writes this page from the code.

| form | for |
| --- | --- |
{rows}

- `sigsrv policies new ID --form FORM` writes a first file. `sigsrv policies forms FORM` prints this page's part about a form.
- All forms of a policy make one finding for each resource. Each part of a form is a clause of it: one violated clause makes it `fail`, else
  one unknown clause makes it `error`. What can't be read is never a pass.
- A path leads to a fact, as in [facts.md](facts.md): `machine.memory.available`, `expanded_config.limits.memory`. A path may also
  begin with `site` (the site file), `entry` (the entry of the site file for the resource; none: `null`), `scope` (the host or the
  cluster), or the name of a join. A configuration key that is unset has no value: `null`.
- `sigsrv policies lint` holds each path, value, key and text against the types of the facts and the keys of Incus. In a scan, a path
  that leads nowhere is `error`.
- If no form says it in a few plain clauses, write a check in Python ([CONTRIBUTING.md](../CONTRIBUTING.md)).
"""


def markdown_page(policies: Sequence[Policy]) -> str:
    """Return docs/forms.md: a table of each form and of each part, with an example from a shipped policy."""
    rows = [f"| [{name}](#{name}) | {_code(about(kind))} |" for name, kind in FORMS.items()]
    rows.append(f"| rule | {RULE} {_RULE_MORE} |")
    parts = [_HEAD.format(rows="\n".join(rows))]
    for name, kind in FORMS.items():
        parts.append(f"## {name}\n\n{_code(about(kind))}\n\n{_markdown_table(kind)}\n")
        policy_id, text = example(name, policies)
        if text:
            each = next(one for one in policies if one.id == policy_id)
            link = f"[{policy_id}](../policies/{each.family}/{policy_id}.yaml)"
            parts.append(f"From {link}:\n\n{textwrap.indent(text, '    ')}")
    parts.append(f"## every form\n\nA policy with forms may have these keys too.\n\n{_markdown_table(Forms)}\n")
    for part in used_by([*FORMS.values(), Forms]):
        parts.append(f"## {name_of(part)}\n\n{_code(about(part))}\n\n{_markdown_table(part)}\n")
    return "\n".join(parts)


def _markdown_table(kind: type) -> str:
    lines = ["| key | value | what it is |", "| --- | --- | --- |"]
    lines += [f"| `{each.name}` | {_linked(each)} | {_code(each.text)} |" for each in parameters(kind)]
    return "\n".join(lines)


def _linked(parameter: Parameter) -> str:
    value = parameter.value
    for part in parameter.parts:
        name = name_of(part)
        value = value.replace(f"a {name}", f"a [{name}](#{name.replace(' ', '-')})")
    return value


def _code(text: str) -> str:
    return text.replace("``", "`").replace("|", "\\|")
