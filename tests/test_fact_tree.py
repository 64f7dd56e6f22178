"""The description of all facts: complete, true to the evidence, and the same in each run."""

from __future__ import annotations

import dataclasses
import importlib
import pkgutil
import re
from collections.abc import Mapping
from dataclasses import dataclass, replace

import pytest

from sigsrv import facts as package
from sigsrv.authoring import fact_tree
from sigsrv.authoring.fact_tree import EXAMPLE_LENGTH, Demo, Table
from sigsrv.authoring.fact_types import attributes, described, readable, records_in, sentence, shown
from sigsrv.facts.network import Address, Link
from sigsrv.facts.reading import fact
from sigsrv.report import facts as report

TABLES = Demo().tables()
FACTS = {(table.root, fact.path): fact for table in TABLES for fact in table.facts}
MODULES = [importlib.import_module(f"sigsrv.facts.{each.name}") for each in pkgutil.iter_modules(package.__path__)]
CLASSES = [
    kind
    for module in MODULES
    for kind in vars(module).values()
    if isinstance(kind, type) and kind.__module__ == module.__name__ and dataclasses.is_dataclass(kind)
]
PAGE = report.markdown_page(TABLES)


@pytest.mark.parametrize("table", TABLES, ids=lambda table: table.title)
def test_each_fact_says_what_it_is(table):
    """A fact that a check can reach has a docstring, a field one below it."""
    assert table.text
    assert [fact.path for fact in table.facts if not fact.text] == []


@pytest.mark.parametrize("kind", CLASSES, ids=lambda kind: kind.__name__)
def test_each_field_of_a_class_of_facts_says_what_it_is(kind):
    """Also in classes that only checks make, such as the packets of an ACL's rule."""
    assert [each.name for each in attributes(kind) if not each.text] == []


def test_the_roots_and_their_views_are_all_there():
    """A view that is added to a host or to the cluster gets a table without a list being edited, also as one of a mapping."""
    views = [
        f"{each.name}{steps}"
        for kind in fact_tree.ROOTS.values()
        for in_mapping in (False, True)
        for each in attributes(kind)
        for steps, found in records_in(each.hint)
        if bool(steps) == in_mapping and fact_tree.is_view(found) and found not in fact_tree.ROOTS.values()
    ]

    assert len(views) >= 13
    assert "pools.<name>" in views
    assert [table.path for table in TABLES if table.is_view and table.path] == views


def test_each_class_has_one_table():
    """Its facts are described where a check reaches it first."""
    titles = [table.title for table in TABLES]

    assert sorted(set(titles)) == sorted(titles)
    assert {"Link", "Address", "Instance", "InstanceUsage", "Rule", "X509", "ZpoolUsage", "Volume"} <= set(titles)


@pytest.mark.parametrize(
    ("root", "path", "kind", "sources", "example"),
    [
        ("host", "network.links", "mapping of str to Link", ("link",), None),
        ("host", "network.addresses", "mapping of str to tuple of Address", ("addr",), None),
        ("host", "storage.zpools", "mapping of str to ZPool", ("zpool-json",), None),
        ("host", "machine.cpus", "int", ("cpus",), "1"),
        ("host", "machine.sshd_of_users", "mapping of str to str", ("sshd",), None),
        ("host", "incus.projects", "tuple of Project", ("/1.0/projects",), None),
        ("host", "no_probe_answered", "Failure or None", ("login",), "None"),
        ("host", "name", "str", (), "'sigsrv'"),
        ("cluster", "incus.projects", "tuple of Project", ("/1.0/projects",), None),
        ("cluster", "name", "str", (), "'cluster'"),
        ("host", "network.links.<name>.vlan_id", "int or None", (), "24"),
        ("host", "network.addresses.<name>.<n>.ip", "IPv4Address or IPv6Address", (), "127.0.0.1"),
        ("host", "incus.network_acls.<n>.rules.<n>.action", "str", (), "'allow'"),
    ],
)
def test_a_fact_has_type_sources_and_a_value(root, path, kind, sources, example):
    """As the code and the demo's evidence have them; what leads to the view is not a source of the fact."""
    fact = FACTS[root, path]

    assert (fact.type, fact.sources) == (kind, sources)
    assert fact.example
    assert example is None or fact.example == example


def test_the_server_is_read_for_what_reads_nothing_else():
    """The guards of Incus's facts are named only there."""
    assert FACTS["host", "incus.server"].sources == ("/1.0",)
    assert FACTS["host", "incus.config"].sources == ("/1.0",)
    assert FACTS["host", "incus.networks"].sources == ("/1.0/networks",)


def test_a_fact_that_the_demo_does_not_have_says_why():
    """The reason of the evidence, or that there is none; never an empty cell, but for methods and views."""
    assert FACTS["host", "frames.sent"].unknown == "sigsrv: this evidence has no probe frames"
    assert FACTS["host", "frames.sent.paths.<n>.size"].unknown == "sigsrv: this evidence has no probe frames"
    assert FACTS["host", "storage.usage(name).capacity"].unknown == "the method needs arguments"
    views = {table.path for table in TABLES if table.is_view}
    silent = [
        path for (_, path), fact in FACTS.items() if not fact.example and not fact.unknown and "(" not in fact.name
    ]
    assert set(silent) <= views


def test_a_fact_that_one_host_does_not_have_is_that_of_the_next():
    """One host of several is enough for an example; the sources are those of all."""
    hosts = dict(fact_tree.demo_hosts())
    member, first = hosts["sigsrv"]
    hosts["sigsrv"] = (
        member,
        replace(first, probes={key: each for key, each in first.probes.items() if key != "link"}),
    )

    read = Demo(hosts).read("host", ("network", "links"))

    assert len(read.values) == 1
    assert read.sources == ("link",)
    assert "no probe link" in read.reason


def test_a_method_is_listed_with_its_parameters():
    """It is not called."""
    fact = FACTS["host", "incus.pool_at"]

    assert fact.name == "pool_at(name: str, member: str)"
    assert fact.type == "Pool or None"
    assert fact.text


def test_examples_are_short_and_the_first_that_is_not_empty():
    """None and empty values are shown only if there is nothing else."""
    assert max(len(fact.example) for fact in FACTS.values()) == EXAMPLE_LENGTH
    assert FACTS["host", "network.links.<name>.master"].example == "'userbr0'"
    assert FACTS["host", "network.links.<name>.gone_at"].example == "None"


def test_values_are_written_the_same_in_each_run():
    """Sets are sorted: the order of a set of texts changes from process to process."""
    assert shown(frozenset({"b", "c", "a"})) == "{'a', 'b', 'c'}"
    assert shown(("a",)) == "('a',)"
    assert shown({"a": 1}) == "{'a': 1}"
    assert shown(Address("10.0.0.1", 24)) == "10.0.0.1/24"


def test_types_are_words():
    """With the classes in them that have facts of their own, and the steps to them."""
    hint = Mapping[str, tuple[Link | None, ...]]

    assert readable(hint) == "mapping of str to tuple of Link or None"
    assert records_in(hint) == [(".<name>.<n>", Link)]
    assert records_in(tuple[Link, str]) == [(".0", Link)]


def test_a_docstring_becomes_one_paragraph_without_what_is_true_for_all():
    """``Return``, the sources and the plain remark on EvidenceError are left out; a condition stays."""
    text = "Return ``a`` or b. Raises EvidenceError.\n\nMore of\nit. Source: x(8)."

    assert described(text) == "`a` or b. More of it."
    assert described("Raises EvidenceError if x.") == "Raises EvidenceError if x."
    assert sentence("`a` or b; c. More.") == "`a` or b; c."


@dataclass(frozen=True)
class _Sample:
    shown: int
    """The text below
    the field."""
    silent: int
    _hidden: int

    @fact
    def computed(self) -> str:
        """Return this."""
        return ""

    def asked(self, first: str, *others: int) -> bool:
        """Return that."""
        return not first and not others


def test_attributes_are_read_from_the_code():
    """Fields with the string below them, properties and methods with their docstring; nothing private."""
    found = {each.name: (each.text, each.signature) for each in attributes(_Sample)}

    assert found == {
        "shown": ("The text below\nthe field.", None),
        "silent": ("", None),
        "computed": ("Return this.", None),
        "asked": ("Return that.", "(first: str, *others: int)"),
    }


def test_the_page_has_a_row_for_each_fact():
    """Whatever is in a value: no text breaks a table."""
    rows = [line for line in PAGE.splitlines() if line.startswith("| ")]
    cells = [re.split(r"(?<!\\)\|", line)[1:-1] for line in rows]
    facts = [each for each in cells if each[0].strip() not in ("fact", "---")]

    assert len(facts) == len(FACTS)
    assert {len(each) for each in facts} == {4, 5}
    assert "| `network.links` | mapping of str to [Link](#link) |" in PAGE
    assert '`facts.network.links["<name>"]`, from `link`. A network link.' in PAGE


def test_the_links_of_the_page_lead_to_its_headings():
    """Each class that a type names has a heading."""
    headings = {line.lstrip("# ").lower().replace(" ", "-") for line in PAGE.splitlines() if line.startswith("#")}

    assert set(re.findall(r"\]\(#([^)]+)\)", PAGE)) <= headings


def test_a_value_cannot_leave_its_cell():
    """Neither a pipe, nor a backtick, nor a line or a tag of HTML."""
    hostile = "a|b`c\n<script>\x1b[31m"
    facts = (
        fact_tree.Fact("x", "x", "str", hostile, (hostile,), hostile, ""),
        fact_tree.Fact("x", "x", "str", "", (), "", hostile),
    )
    for row in report.markdown_page([Table("T", "host", "t", "", facts, True)]).splitlines()[-2:]:
        assert len(re.split(r"(?<!\\)\|", row)) == 7
        assert "\x1b" not in row
        assert "<script>" not in re.sub(r"(`+) .*? \1", "", row).replace(r"\<", "")
