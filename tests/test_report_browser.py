"""Tests the report in a browser: with and without JavaScript, on large and small screens, in light and dark mode."""

from __future__ import annotations

import os
from pathlib import Path
from urllib.parse import parse_qs, urlsplit

import pytest

from sigsrv.report import publish
from tests.report_sample import FINDINGS, FIXES, LONG, OK_HOSTS, PASS, POLICIES, finding, make_run

try:
    from playwright.sync_api import expect, sync_playwright
except ImportError:
    if os.environ.get("CI") == "true":
        raise
    pytest.skip("needs the module playwright", allow_module_level=True)

CHROMIUM = Path("/usr/bin/chromium")
if not CHROMIUM.exists() and os.environ.get("CI") != "true":
    pytest.skip(f"needs {CHROMIUM}", allow_module_level=True)

ARGUMENTS = [
    "--no-sandbox",
    "--disable-gpu",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
    "--no-first-run",
]
ROOT = "NET-001@minisrv/sigsrvbr0"

# Contrast between each element with its own text and the color behind it (WCAG 2.2, relative luminance).
CONTRASTS = """() => {
  const canvas = document.createElement("canvas").getContext("2d", { willReadFrequently: true });
  const rgba = (color) => {
    canvas.clearRect(0, 0, 1, 1); canvas.fillStyle = color; canvas.fillRect(0, 0, 1, 1);
    return canvas.getImageData(0, 0, 1, 1).data;
  };
  const luminance = ([r, g, b]) => [r, g, b].map((v) => v / 255)
    .map((v) => v <= 0.04045 ? v / 12.92 : ((v + 0.055) / 1.055) ** 2.4)
    .reduce((sum, v, i) => sum + v * [0.2126, 0.7152, 0.0722][i], 0);
  const behind = (element) => {
    for (let box = element; box; box = box.parentElement) {
      const color = rgba(getComputedStyle(box).backgroundColor);
      if (color[3] === 255) return color;
    }
    return [255, 255, 255];
  };
  return [...document.body.querySelectorAll("*")]
    .filter((e) => e.checkVisibility() && [...e.childNodes].some((n) => n.nodeType === 3 && n.data.trim()))
    .map((e) => {
      const [a, b] = [luminance(rgba(getComputedStyle(e).color)), luminance(behind(e))];
      const ratio = (Math.max(a, b) + 0.05) / (Math.min(a, b) + 0.05);
      return [ratio, e.className || e.tagName, e.textContent.trim().slice(0, 30)];
    });
}"""


@pytest.fixture(scope="module")
def browser():
    try:
        playwright = sync_playwright().start()
    except Exception as cause:  # the driver is a separate program and needs a library that a minimal Debian lacks
        if os.environ.get("CI") == "true":
            raise
        pytest.skip(f"playwright's driver does not start ({cause}): apt-get install libatomic1")
    browser = playwright.chromium.launch(executable_path=str(CHROMIUM), args=ARGUMENTS)
    yield browser
    browser.close()
    playwright.stop()


@pytest.fixture(scope="module")
def address(tmp_path_factory) -> str:
    return publish.write(tmp_path_factory.mktemp("run"), make_run(), POLICIES, FIXES).as_uri()


@pytest.fixture
def visit(browser):
    """Open a page. At the end, the test fails on any script error or content security policy violation."""
    contexts, reported = [], []

    def open_page(address, **options):
        context = browser.new_context(**{"viewport": {"width": 1280, "height": 900}, **options})
        contexts.append(context)
        context.set_default_timeout(10_000)
        page = context.new_page()
        page.on("console", lambda message: reported.append(message.text))
        page.on("pageerror", lambda error: reported.append(str(error)))
        page.on(
            "request", lambda request: reported.append(request.url) if not request.is_navigation_request() else None
        )
        page.goto(address)
        return page

    yield open_page
    for context in contexts:
        context.close()
    assert reported == []


def shown(page) -> set[str]:
    """Return the ids of the findings that the filter shows."""
    return set(page.eval_on_selector_all(".item:not([hidden])", "items => items.map(item => item.id)"))


def select(page, name: str, value: str) -> None:
    page.get_by_role("combobox", name=name).select_option(value)


def ids(wanted) -> set[str]:
    return {f.id for f in FINDINGS if wanted(f)}


def test_everything_is_shown_at_first(visit, address):
    """Without a filter, the page shows all findings and their number."""
    page = visit(address)

    assert shown(page) == ids(lambda f: True)
    expect(page.locator(".filter output")).to_have_text(f"{len(FINDINGS)} findings")


@pytest.mark.parametrize(
    ("choose", "wanted", "query"),
    [
        (lambda p: select(p, "Host", "minisrv"), lambda f: f.host == "minisrv", "host=minisrv"),
        (lambda p: select(p, "Family", "net"), lambda f: f.policy.startswith("NET-"), "family=net"),
        (lambda p: p.get_by_role("checkbox", name="high").check(), lambda f: f.severity == "high", "severity=high"),
        (lambda p: p.get_by_role("checkbox", name="waived").check(), lambda f: f.verdict == "waived", "verdict=waived"),
        (lambda p: p.get_by_label("Search").fill("DOCKER path"), lambda f: "docker" in f.observed, "q=DOCKER+path"),
    ],
    ids=["host", "family", "severity", "verdict", "search"],
)  # fmt: skip
def test_filter_shows_what_matches_and_can_be_shared(visit, address, choose, wanted, query):
    """Each filter shows the matching findings and their number, and its URL opens the same view again."""
    page = visit(address)

    choose(page)

    assert shown(page) == ids(wanted)
    expect(page.locator(".filter output")).to_have_text(f"{len(ids(wanted))} of {len(FINDINGS)} findings shown")
    assert urlsplit(page.url).query == query
    assert shown(visit(page.url)) == ids(wanted)


def test_filters_combine(visit, address):
    """Two values of one filter widen the selection; two different filters narrow it."""
    page = visit(address)

    page.get_by_role("checkbox", name="critical").check()
    page.get_by_role("checkbox", name="medium").check()
    select(page, "Host", "sigsrv")

    assert shown(page) == ids(lambda f: f.severity in ("critical", "medium") and f.host == "sigsrv")
    assert parse_qs(urlsplit(page.url).query) == {"severity": ["critical,medium"], "host": ["sigsrv"]}
    page.get_by_role("button", name="Show all").first.click()
    assert shown(page) == ids(lambda f: True)
    assert urlsplit(page.url).query == ""


def test_filter_opens_folded_sections_with_matches(visit, address):
    """Passes are folded. The filter for passes opens them, and they fold again afterwards."""
    page = visit(address)
    row = page.locator("[id='POOL-001@sigsrv/iso']")
    expect(row).not_to_be_visible()

    page.get_by_role("checkbox", name="pass").check()
    expect(row).to_be_visible()
    page.get_by_role("checkbox", name="pass").uncheck()
    expect(row).not_to_be_visible()


def test_an_empty_result_says_that_nothing_matches(visit, address):
    """The page says that nothing matches and offers a button that shows all findings."""
    page = visit(f"{address}?q=no-such-thing")

    expect(page.get_by_text("Nothing matches.")).to_be_visible()
    page.get_by_role("button", name="Show all findings").click()
    assert shown(page) == ids(lambda f: True)


def test_url_with_unknown_filter_values_shows_everything(visit, address):
    """A link with a host of another site hides nothing."""
    page = visit(f"{address}?host=elsewhere&verdict=nonsense#%ff")

    assert shown(page) == ids(lambda f: True)
    assert page.get_by_role("combobox", name="Host").evaluate("box => box.selectedIndex") == 0  # "all", not a blank


def test_number_in_the_table_filters(visit, address):
    """A click on a number in the table shows exactly those findings."""
    page = visit(address)

    page.get_by_role("link", name="2 high on cluster").click()

    assert shown(page) == ids(lambda f: (f.host, f.severity, f.verdict) == ("cluster", "high", "fail"))


def test_failure_leads_to_its_remediation(visit, address):
    """One click on a failure opens its script, undo and permanent fix."""
    page = visit(address)
    script = page.locator(f"[id='fix:{ROOT}'] pre").first
    expect(script).not_to_be_visible()

    page.locator(f"[id='{ROOT}']").get_by_role("link", name="Remediation").click()

    expect(script).to_be_in_viewport()
    expect(script).to_contain_text("ip link set dev sigsrv0 master sigsrvbr0")


def test_permalink_shows_a_folded_or_filtered_finding(visit, address):
    """A link to a finding shows it, even if it is in a folded section or hidden by the filter."""
    for query in ("", "?host=minisrv&verdict=fail"):
        page = visit(f"{address}{query}#POOL-001@sigsrv/iso")
        expect(page.locator("[id='POOL-001@sigsrv/iso']")).to_be_in_viewport()


def test_a_dependent_finding_leads_to_its_root_finding(visit, address):
    """A click on the root finding's id scrolls to it."""
    page = visit(f"{address}#NET-005@minisrv/sigsrvbr0")

    page.locator("[id='NET-005@minisrv/sigsrvbr0']").get_by_role("link", name=ROOT).click()

    expect(page.locator(f"[id='{ROOT}']")).to_be_in_viewport()


def test_command_is_copied(visit, address):
    """The button copies the exact command and confirms it."""
    page = visit(address, permissions=["clipboard-read", "clipboard-write"])

    page.locator(f"[id='fix:{ROOT}']").get_by_role("button").click()

    expect(page.get_by_role("status").last).to_have_text(f"Copied: sigsrv-remediate {ROOT}")
    assert page.evaluate("navigator.clipboard.readText()") == f"sigsrv-remediate {ROOT}"


def test_page_works_without_javascript(visit, address):
    """Without JavaScript there are no dead controls, and folded sections open by click and by link."""
    page = visit(f"{address}#fix:{ROOT}", java_script_enabled=False)

    expect(page.locator(".filter")).not_to_be_visible()
    expect(page.get_by_role("button")).to_have_count(0)
    expect(page.locator(".finding").first).to_be_visible()
    assert page.locator(".item").count() == len(FINDINGS)
    page.locator(f"[id='fix:{ROOT}'] summary").click()
    expect(page.locator(f"[id='fix:{ROOT}'] pre").first).to_be_visible()
    page.get_by_text("25 pass").last.click()
    expect(page.locator("[id='POOL-001@sigsrv/iso']")).to_be_visible()


@pytest.mark.parametrize("width", [390, 320, 1280])
def test_page_never_scrolls_sideways(visit, address, width):
    """With the longest names and all sections open, the page is as wide as the screen, on a phone too."""
    page = visit(address, viewport={"width": width, "height": 844})
    page.evaluate("document.querySelectorAll('details').forEach(box => box.open = true)")

    assert page.evaluate("document.documentElement.scrollWidth") == width
    box = page.locator(f"[id='INST-001@sigsrv/{LONG}']").bounding_box()
    assert box["x"] >= 0
    assert box["x"] + box["width"] <= width


@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_text_has_contrast(visit, address, scheme):
    """All text has at least the contrast of WCAG AA, in light and dark mode."""
    page = visit(f"{address}?verdict=fail,pass", color_scheme=scheme)
    page.evaluate("document.querySelectorAll('details').forEach(box => box.open = true)")

    contrasts = page.evaluate(CONTRASTS)

    assert len(contrasts) > 200
    assert [found for found in contrasts if found[0] < 4.5] == []


def test_page_is_dark_in_dark_mode(visit, address):
    """The page follows the color scheme of the system."""
    page = visit(address, color_scheme="dark")

    color = page.evaluate("getComputedStyle(document.documentElement).backgroundColor")
    assert max(map(int, color.removeprefix("rgb(").rstrip(")").split(","))) < 64


def test_print_shows_the_details_of_failures_and_no_controls(visit, address):
    """The printed page has the scripts of failures, and no control that needs a mouse."""
    page = visit(address)
    page.emulate_media(media="print")

    assert page.locator(f"[id='fix:{ROOT}'] pre").first.bounding_box()["height"] > 50
    for control in (".filter", ".command button", ".to-fix"):
        expect(page.locator(control).first).not_to_be_visible()


def test_filter_works_from_the_keyboard(visit, address):
    """Tab reaches the filter, space toggles it, and the focus is visible."""
    page = visit(address)
    page.get_by_role("combobox", name="Family").focus()

    page.keyboard.press("Tab")
    page.keyboard.press("Space")

    assert shown(page) == ids(lambda f: f.verdict == "fail")
    outline = "getComputedStyle(document.activeElement.nextElementSibling).outlineStyle"
    assert page.evaluate(outline) == "solid"


def test_filtering_two_thousand_findings_is_fast(visit, tmp_path):
    """A filter over 2,000 findings takes less than 500 ms."""
    many = [finding("INST-001", "sigsrv", f"default/c{n}", PASS, "unset", "unset") for n in range(2000)]
    page = visit(publish.write(tmp_path, make_run(many, OK_HOSTS), POLICIES, {}).as_uri())

    milliseconds = page.evaluate("""() => {
      const box = document.querySelector("[name=q]");
      const took = (text) => {
        const start = performance.now();
        box.value = text; box.dispatchEvent(new Event("input", { bubbles: true })); document.body.offsetHeight;
        return performance.now() - start;
      };
      took("c1"); return took("c19");
    }""")

    assert len(shown(page)) == 111
    assert milliseconds < 500
