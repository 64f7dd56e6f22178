"""The facts as a person reads them: a page of Markdown, and text for the terminal."""

from __future__ import annotations

import json
import re
import textwrap
from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import Any

from sigsrv.authoring.fact_tree import ROOTS, Fact, Table
from sigsrv.authoring.fact_types import attributes, described, sentence
from sigsrv.authoring.fact_values import Unknown
from sigsrv.report import phrases

_TITLES = {"host": "Facts of a host", "cluster": "Facts of the cluster"}
_HEAD = """\
# The facts

A check looks only at facts: typed views over what a scan collected from a host (the evidence). This page lists all of them. `make docs`
writes it from the code.

```python
@policy("SITE-001")
def test_bridges_have_an_mtu_of_1500_bytes(facts, site, require):
    for bridge in site.bridges:
        mtu = facts.network.links[bridge.name].mtu
        require(bridge.name, mtu == 1500, expected="mtu 1500", observed=f"mtu {mtu}")
```

- A check of a host gets the [facts of a host](#facts-of-a-host). A check of a policy that examines the cluster, its members, networks,
  instances ... gets the [facts of the cluster](#facts-of-the-cluster).
- In a path `["<name>"]` stands for a key of a mapping, and `[<n>]` for a place in a tuple: loop over it.
- None and empty values are answers. A fact that can't be read raises `EvidenceError`. Don't catch it: the engine makes it the verdict
  `error`.
- "From" names the probes (`sigsrv probes` prints their commands) and the paths of the Incus API. Nearly every fact of Incus also reads
  `/1.0` and `/1.0/warnings`, to refuse the filtered answer that a restricted client gets. The tables name those two only if a fact reads
  nothing else.
- The examples come from the demo; long ones are cut. `sigsrv facts --evidence demo network.links` prints a fact in full.
"""


def markdown_page(tables: Sequence[Table]) -> str:
    """Return docs/facts.md: a table of each class, with links between them."""
    titles = {table.title for table in tables}
    parts = [_HEAD]
    for table in tables:
        if not table.path:
            parts.append(f"## {_TITLES[table.root]}\n")
        else:
            parts.append(f"{'###' if table.is_view else '####'} {table.title}\n")
        parts.append(f"{_about(table)}\n")
        parts.append("\n".join(_rows(table, titles)) + "\n")
    return "\n".join(parts)


def _about(table: Table) -> str:
    text = _marked(table.text)
    if not table.path:
        return text
    found = f"`facts{_python(table.path)}`"
    origin = _from(table.sources)
    return f"{found}{f', from {origin}' if origin else ''}. {text}"


def _python(path: str) -> str:
    """Return a path as a check writes it."""
    path = re.sub(r"\.(\d+)(?=\.|$)", r"[\1]", path.replace(".<name>", '["<name>"]').replace(".<n>", "[<n>]"))
    return f".{path}"


def _rows(table: Table, titles: Iterable[str]) -> Iterator[str]:
    head = ["fact", "type", "what it is", *(["from"] if table.is_view else []), "example"]
    yield _row(head)
    yield _row(["---"] * len(head))
    for fact in table.facts:
        name = fact.name if not table.is_view else ".".join((*table.path.split("."), fact.name)).lstrip(".")
        source = [_from(fact.sources)] if table.is_view else []
        yield _row([_code(name), _linked(fact.type, titles), _marked(fact.text), *source, _example(fact)])


def _row(cells: Iterable[str]) -> str:
    return f"| {' | '.join(cells)} |"


def _from(sources: Iterable[str]) -> str:
    return ", ".join(_code(name) for name in sources)


def _linked(kind: str, titles: Iterable[str]) -> str:
    known = set(titles)
    return re.sub(r"\w+", lambda word: f"[{word[0]}](#{_anchor(word[0])})" if word[0] in known else word[0], kind)


def _anchor(title: str) -> str:
    return next(
        (_TITLES[root].lower().replace(" ", "-") for root, kind in ROOTS.items() if kind.__name__ == title),
        title.lower(),
    )


def _example(fact: Fact) -> str:
    return _code(fact.example) if fact.example else f"*{_marked(fact.unknown)}*" if fact.unknown else ""


def _code(text: str) -> str:
    """Return a text as code in a cell of a table."""
    text = phrases.visible(text).replace("|", "\\|")
    fence = "`" * (1 + max((len(found) for found in re.findall("`+", text)), default=0))
    blank = " " if "`" in text else ""
    return f"{fence}{blank}{text}{blank}{fence}"


def _marked(text: str) -> str:
    """Return a text in which only what is between backticks has a meaning in Markdown."""
    text = phrases.visible(text).replace("|", "\\|")
    parts = (
        text.split("`") if text.count("`") % 2 == 0 else [text.replace("`", "'")]
    )  # one without its pair marks nothing
    plain = [re.sub(r"([<>*_\[\]])", r"\\\1", part) if place % 2 == 0 else part for place, part in enumerate(parts)]
    return "`".join(plain)


def summaries() -> dict[str, dict[str, str]]:
    """Return the first sentence of each fact of a host and of the cluster, by name."""
    return {
        root: {each.name: sentence(described(each.text)) for each in attributes(kind)} for root, kind in ROOTS.items()
    }


def listing(width: int = 80) -> str:
    """Return the facts of a host and of the cluster, one per line, with their first sentences."""
    lines: list[str] = []
    for root, facts in summaries().items():
        column = max(len(name) for name in facts) + 4
        lines += [_TITLES[root]]
        for name, text in facts.items():
            lines += textwrap.wrap(
                text.replace("`", ""),
                max(width, 40),
                initial_indent=f"  {name:<{column - 2}}",
                subsequent_indent=" " * column,
            )
        lines.append("")
    return "\n".join(lines)


def shown(name: str, value: Any, width: int = 80) -> str:
    """Return a fact as indented text. value: as ``fact_values.plain`` returns it."""
    return "\n".join(_lines(phrases.visible(name), value, "", width)) + "\n"


def _lines(name: str, value: Any, indent: str, width: int) -> Iterator[str]:
    if not isinstance(value, Mapping | list) or not value:
        yield f"{indent}{name}: {_scalar(value)}"
        return
    if isinstance(value, list) and not any(isinstance(item, Mapping | list) for item in value):
        line = f"{indent}{name}: {', '.join(_scalar(item) for item in value)}"
        if len(line) <= width:
            yield line
            return
    yield f"{indent}{name}:"
    for key, item in value.items() if isinstance(value, Mapping) else enumerate(value):
        yield from _lines(phrases.visible(str(key)) or '""', item, f"{indent}  ", width)


def _scalar(value: Any) -> str:
    if isinstance(value, Unknown):
        return f"unknown: {phrases.visible(value.reason)}"
    if isinstance(value, str):
        return phrases.visible(json.dumps(value, ensure_ascii=False))
    return "empty" if isinstance(value, Mapping | list) else str(value)
