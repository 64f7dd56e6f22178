"""Tests the report files. test_report_browser tests the page in a browser."""

from __future__ import annotations

import base64
import dataclasses
import hashlib
import json
import re
import stat
from html.parser import HTMLParser

import pytest

from sigsrv.model.finding import HostState, Verdict, WaiverState
from sigsrv.report import html, phrases, publish, text
from tests.report_sample import (
    ATTRIBUTE,
    FAIL,
    FINDINGS,
    FIXES,
    OK_HOSTS,
    PASS,
    POLICIES,
    SCRIPT_TAG,
    STEERS,
    USES,
    make_run,
    ok,
)

VOID = {"meta", "link", "input", "br", "hr", "img", "rect"}


class Page(HTMLParser):
    """The elements of a page with their attributes and the text inside each of them, descendants included."""

    def __init__(self, source: str) -> None:
        super().__init__()
        self.elements: list[tuple[str, dict[str, str | None], list[str]]] = []
        self._open: list[tuple[str, list[str]]] = []
        self.feed(source)
        self.close()
        assert not self._open, f"not closed: {[tag for tag, _ in self._open]}"

    def handle_starttag(self, tag, attrs):
        content: list[str] = []
        self.elements.append((tag, dict(attrs), content))
        if tag not in VOID:
            self._open.append((tag, content))

    def handle_endtag(self, tag):
        if tag not in VOID:
            assert self._open.pop()[0] == tag, f"</{tag}> closes something else at {self.getpos()}"

    def handle_data(self, data):
        for _, content in self._open:
            content.append(data)

    def having(self, attribute: str, tag: str | None = None) -> list[str]:
        return [a[attribute] or "" for name, a, _ in self.elements if attribute in a and tag in (None, name)]

    def text(self, id: str) -> str:
        return next(" ".join("".join(content).split()) for _, a, content in self.elements if a.get("id") == id)

    def of(self, tag: str) -> list[str]:
        return ["".join(content) for name, _, content in self.elements if name == tag]


@pytest.fixture(scope="module")
def source() -> str:
    return html.render(make_run(), POLICIES, FIXES)


@pytest.fixture(scope="module")
def page(source) -> Page:
    return Page(source)


def unread_of(page: Page) -> list[str]:
    """Return the "Not read" cells of the table of hosts, top to bottom."""
    return [
        "".join(content)
        for tag, attributes, content in page.elements
        if tag == "td" and attributes.get("class") == "unread"
    ]


def test_a_host_with_an_undetermined_finding_is_not_shown_as_completely_read():
    """A refused command counts as an answered probe. Undetermined findings of another host do not count here."""
    findings = [ok(host="sigsrv"), ok(host="minisrv", verdict=Verdict.ERROR)]

    assert unread_of(page_of(findings)) == ["everything was read", "data for 1 finding"]


def page_of(findings, hosts=OK_HOSTS) -> Page:
    return Page(html.render(make_run(findings, hosts), POLICIES, {}))


def test_page_links_and_loads_nothing_outside_itself(page, source):
    """All links are fragments of the page. No URL has a scheme or a host."""
    links = [page.having(name) for name in ("href", "src", "srcset", "action", "data", "poster", "formaction")]

    assert all(link.startswith("#") for group in links for link in group)
    assert not re.search(r"(https?|ftp|data|file):|url\(|@import|[\"']//", source)


def test_policy_allows_exactly_the_style_and_script_of_the_page(page, source):
    """The content security policy contains the hashes of the one style and the one script, and nothing else."""
    [policy] = [a["content"] for _, a, _ in page.elements if a.get("http-equiv") == "Content-Security-Policy"]
    rules = dict(rule.strip().split(" ", 1) for rule in policy.split(";"))

    for tag, rule in (("style", "style-src"), ("script", "script-src")):
        [content] = re.findall(f"<{tag}>(.*?)</{tag}>", source, re.S)
        assert rules[rule] == f"'sha256-{base64.b64encode(hashlib.sha256(content.encode()).digest()).decode()}'"
    assert rules["default-src"] == "'none'"
    assert "style" not in {name for _, a, _ in page.elements for name in a}


def test_hostile_text_is_shown_as_text(page, source):
    """Markup from a host creates no element and no attribute. The page shows it as text."""
    assert [tag for tag, _, _ in page.elements].count("script") == 1
    assert not [name for _, a, _ in page.elements for name in a if name.startswith("on")]
    content = page.text(f"INST-004@minisrv/user-john/{'%3Cscript%3Ealert%281%29%3C/script%3E'}")
    assert SCRIPT_TAG in content
    assert " ".join(ATTRIBUTE.split()) in content


def test_hostile_host_and_title_stay_text_in_attributes():
    """A name with quotes and angle brackets stays one attribute value everywhere on the page."""
    name = f"{SCRIPT_TAG}{ATTRIBUTE}\x1b"
    page = page_of([ok(host=name), ok(host=name, resource=name, verdict=FAIL)], [HostState(name, "ok", 1.0, 1, ())])

    assert [tag for tag, _, _ in page.elements].count("script") == 1
    assert not [attribute for _, a, _ in page.elements for attribute in a if attribute.startswith("on")]
    assert set(page.having("data-host")) == {name.replace("\x1b", "\\x1b")}


def test_characters_that_control_the_display_are_shown_as_escapes(page, source):
    """Control characters, bidi overrides and lone surrogates from a host are visible and have no effect."""
    assert not STEERS.search(source)
    assert "tty\\x1b[2J\\x1b]0;owned\\x07\\u202egnp.exe\\u2066\\x00\\x85" in page.text("fail")
    html.render(make_run([ok(observed="\udcff")]), POLICIES, {}).encode()


def test_scripts_keep_their_lines(page):
    """The page shows a script with its lines and tabs, exactly as it would run."""
    fix = FIXES["NET-001@minisrv/sigsrvbr0"]
    codes = page.of("code")

    for shown in (fix.script, fix.undo, *fix.permanent.values()):
        assert shown.rstrip("\n") in codes


def test_ids_are_unique_and_every_link_has_a_target(page):
    """Each id occurs once, and each link points to an element of the page."""
    ids = page.having("id")

    assert len(ids) == len(set(ids))
    assert {link[1:] for link in page.having("href", "a")} <= set(ids)


def test_every_finding_is_there_once_under_its_own_id(page):
    """The anchor of a finding is its id: people can write the link by hand, and it works in the next run too."""
    assert sorted(i for i in page.having("id") if i in {f.id for f in FINDINGS}) == sorted(f.id for f in FINDINGS)


def test_failure_shows_why_it_matters_and_how_to_fix_it(page):
    """A failure shows the expected and observed values, why it matters, its controls and source, and its fix."""
    policy, fix = POLICIES["NET-001"], FIXES["NET-001@minisrv/sigsrvbr0"]
    group = page.text("fail:NET-001@minisrv/sigsrvbr0")

    for content in (
        policy.title, policy.why, policy.traps, "critical", "SC-7, CM-6, CP-8", "12.2, 4.2", "ip-link(8)",
        "minisrv", "sigsrvbr0", "sigsrv0 attached", "ports: veth91b2c4 veth3f00aa",
        fix.command, fix.title, fix.disrupts, fix.undo_text, "Permanent fix: OpenTofu", "Permanent fix: NixOS",
    ):  # fmt: skip
        assert " ".join(content.split()) in group


def test_failure_without_a_script_shows_the_manual_fix(page):
    """If no script fixes a finding, the page shows the manual steps and offers no command."""
    group = page.text("fail:NET-002@sigsrv/userbr0")

    assert POLICIES["NET-002"].by_hand in group
    assert "sigsrv-remediate" not in group


def test_remediation_without_a_rendered_script_still_has_its_command():
    """A failure shows its command even if its script was not rendered."""
    page = page_of([ok(verdict=FAIL)])

    assert "sigsrv-remediate INST-001@sigsrv/default/a" in page.text("fix:INST-001@sigsrv/default/a")


def test_failures_come_first_sorted_by_severity(page):
    """Critical comes before low, failures come before undetermined findings, and passes come last."""
    order = {id: place for place, id in enumerate(page.having("id"))}
    failures = [f for f in FINDINGS if f.verdict is FAIL]
    severities = [f.severity for f in sorted(failures, key=lambda f: order[f.id])]

    assert severities == [f.severity for f in phrases.worst_first(failures)]
    assert severities[0].value == "critical"
    assert severities[-1].value == "low"
    assert order["fail"] < order["error"] < order["waived"] < order["not-applicable"] < order["pass"]


def test_a_dependent_finding_links_to_its_root_finding(page, source):
    """A dependent finding links to its root finding, and the root finding lists the findings that depend on it."""
    root = "NET-001@minisrv/sigsrvbr0"

    assert f"root finding: {root}" in page.text("NET-005@minisrv/sigsrvbr0")
    assert "2 findings depend on this one" in page.text(root)
    assert f'href="#{root}"' in source[source.index('id="NET-005@minisrv/sigsrvbr0"') :]


def test_root_finding_outside_the_run_is_not_a_dead_link():
    """In a partial scan, a root finding may be missing from the run. The page then shows its id without a link."""
    page = page_of([ok(verdict=Verdict.ERROR, because="NET-001@other/br0")])

    assert "NET-001@other/br0 (not in this run)" in page.text("INST-001@sigsrv/default/a")
    assert "#NET-001@other/br0" not in page.having("href")


def test_finding_without_a_known_policy_is_shown():
    """A user's own check has no policy file. The page shows its finding with the text of the finding itself."""
    page = Page(html.render(make_run([ok(verdict=FAIL, observed="seen")], OK_HOSTS), {}, {}))

    assert "seen" in page.text("INST-001@sigsrv/default/a")


def test_hosts_show_their_state_and_what_could_not_be_read(source):
    """Each host has its state, time and probes; an unreachable host also has the reason."""
    [table] = re.findall('<table class="hosts">.*?</table>', source, re.S)
    content = " ".join(re.sub("<[^>]+>", " ", table).split())

    assert "sigsrv partial 10.2 s 31 1 not read: journal" in content
    assert "backup unreachable 3.1 s 0 ssh: connect to host backup port 22: No route to host" in content


def test_matrix_counts_every_finding_once(source):
    """The numbers in the table "Findings by host" add up to the number of findings in the run."""
    [table] = re.findall('<table class="matrix">.*?</table>', source, re.S)

    assert sum(map(int, re.findall(r">(\d+)</a>", table))) == len(FINDINGS)


UNKNOWN = [
    ([ok(verdict=Verdict.ERROR)], OK_HOSTS, "1 could not be determined"),
    ([ok(), ok(resource="b", verdict=Verdict.ERROR)], OK_HOSTS, "1 could not be determined"),
    ([ok()], [HostState("sigsrv", "partial", 1, 9, ("zpool",))], "Not determined: sigsrv was only partly read"),
    ([ok()], [HostState("sigsrv", "unreachable", 1, 0, (), "no route")], "Not determined: sigsrv is unreachable"),
    ([], OK_HOSTS, "Nothing was examined"),
    ([], [], "Nothing was examined"),
]


@pytest.mark.parametrize(("findings", "hosts", "headline"), UNKNOWN)
def test_unknown_is_never_compliant(findings, hosts, headline):
    """A run with an undetermined finding says so. No text calls it compliant or shows it as a pass."""
    run = make_run(findings, hosts)
    source = html.render(run, POLICIES, {})

    assert phrases.headline(run) == headline
    assert phrases.overall_verdict(run) is Verdict.ERROR
    assert f"sigsrv-infra: {headline}" in text.summary(run)
    assert f'<h1><span class="symbol" aria-hidden="true">?</span> {headline}</h1>' in source
    assert 'class="masthead pass"' not in source
    assert "Compliant" not in source + text.summary(run)
    assert "Everything could be determined" not in source


def test_compliant_run_says_so():
    """If everything was read and nothing failed, the headline is "Compliant", with the number of waived findings if any."""
    run = make_run([ok(), ok(resource="b", verdict=Verdict.WAIVED)], OK_HOSTS)

    assert phrases.headline(make_run([ok()], OK_HOSTS)) == "Compliant"
    assert phrases.headline(run) == "Compliant, 1 waived"
    assert phrases.overall_verdict(run) is PASS
    assert "No failures" in page_of(run.findings).text("fail")


def test_headline_counts_failures_and_unknowns():
    """The headline counts both the failures and the undetermined findings."""
    assert phrases.headline(make_run()) == "15 failures, 9 could not be determined"
    assert phrases.headline(make_run([ok(verdict=FAIL)], OK_HOSTS)) == "1 failure"


def test_two_thousand_findings_stay_small():
    """A phone can open the page of a big run: a pass takes about one kilobyte."""
    source = html.render(make_run([ok(resource=f"default/c{n}") for n in range(2000)], OK_HOSTS), POLICIES, {})

    assert len(source) < 2_000_000


def test_files_are_written_private_and_complete(tmp_path):
    """The folder has mode 0700, the files have 0600, and no temporary file remains."""
    path = publish.write(tmp_path / "a" / "run", make_run(), POLICIES, FIXES)

    assert path == tmp_path / "a" / "run" / "report.html"
    assert sorted(p.name for p in path.parent.iterdir()) == ["findings.json", "report.html"]
    assert stat.S_IMODE(path.parent.stat().st_mode) == 0o700
    assert {stat.S_IMODE(p.stat().st_mode) for p in path.parent.iterdir()} == {0o600}


def test_failed_write_leaves_the_old_report(tmp_path, monkeypatch):
    """If writing a report fails half-way, the old report stays unchanged, and no other file remains."""
    path = publish.write(tmp_path, make_run([ok()], OK_HOSTS), POLICIES, {})
    before = path.read_text()
    monkeypatch.setattr(publish.html, "render", lambda *_: "half \ud800")

    with pytest.raises(UnicodeEncodeError):
        publish.write(tmp_path, make_run(), POLICIES, FIXES)

    assert path.read_text() == before
    assert sorted(p.name for p in tmp_path.iterdir()) == ["findings.json", "report.html"]


def test_findings_json_is_the_run(tmp_path):
    """findings.json contains the run unchanged, in ASCII, with the keys of its schema. Equal runs give equal files."""
    raw = (publish.write(tmp_path, make_run(), POLICIES, FIXES).parent / "findings.json").read_bytes()
    document = json.loads(raw)

    assert document == make_run().as_dict()
    assert set(document) == {"schema_version", "run", "summary", "findings", "waivers", "left_out", "notices"}
    assert raw.isascii()
    assert raw == (publish.write(tmp_path / "b", make_run(), POLICIES, {}).parent / "findings.json").read_bytes()


def test_a_waived_finding_shows_its_real_state_and_its_waiver(page):
    """The page shows the observed state, the owner, the reason and the end. Hostile text in them stays text."""
    for id, waiver in ((use.findings[0], use.waiver) for use in USES[:2]):
        found = next(f for f in FINDINGS if f.id == id)
        content = page.text(id)
        for part in (found.title, found.expected, found.observed, waiver.owner, waiver.reason, waiver.source):
            assert part in content
        assert waiver.until.strftime("%Y-%m-%d %H:%M:%S UTC") in content
    assert "2026-08-29T21:59:59Z" in page.having("datetime", "time")


def test_waivers_to_review_have_their_own_section(page):
    """It lists waivers that end soon, expired, or are no longer needed, with what to do; not a waiver that is in force."""
    content = page.text("to-review")

    assert "INST-001@*/default/nfs ends in 9 days, on 2026-08-29 21:59:59 UTC; 1 finding fails after that" in content
    assert "expired on 2026-07-31 21:59:59 UTC; 1 finding fails again" in content
    assert "POOL-001@sigsrv/hdd no longer needed: no finding that it matches fails; remove it" in content
    assert "legacy-mail" not in content
    assert "3 waivers to review" in " ".join(page.of("p"))
    assert "#INST-004@sigsrv/user-john/build" in page.having("href", "a")


def test_a_page_without_waivers_to_review_has_no_such_section():
    """The page has no empty section and no link to it."""
    source = html.render(make_run(waivers=USES[:1]), POLICIES, FIXES)

    assert "Waivers to review" not in source
    assert 'class="notice"' not in source


@pytest.mark.parametrize(
    ("state", "status"),
    [
        (WaiverState.EXPIRING, "ends in 9 days, on 2026-08-29 21:59:59 UTC"),
        (WaiverState.EXPIRED, "expired on 2026-08-29 21:59:59 UTC; it is unknown whether it is still needed"),
    ],
)
def test_a_waiver_without_judged_findings_counts_none(state, status):
    """If no failure is known, the status counts none."""
    use = dataclasses.replace(USES[1], state=state, findings=())

    assert phrases.waiver_status(use, make_run()) == status
    assert phrases.waiver_status(use, dataclasses.replace(make_run(), finished="")) == status.replace("in 9 days, ", "")


def test_each_form_of_a_finding_says_what_it_stands_on():
    """A failure, a waived finding and a pass. Nothing is said of a finding that read nothing."""
    findings = [
        dataclasses.replace(ok(resource=verdict.value, verdict=verdict), stands_on=("nft", "/1.0/networks"))
        for verdict in (Verdict.FAIL, Verdict.WAIVED, Verdict.PASS)
    ]
    page = page_of([*findings, ok(resource="bare")])

    shown = [page.text(finding.id).lower() for finding in findings]

    assert [text.count("stands on") for text in shown] == [1, 1, 1]
    assert all("nft, /1.0/networks" in text for text in shown)
    assert "stands on" not in page.text(ok(resource="bare").id).lower()
