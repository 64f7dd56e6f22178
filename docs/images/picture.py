"""Takes the README's pictures of a report, in light and in dark: ``python docs/images/picture.py FOLDER/report.html``.

Needs /usr/bin/chromium and the module playwright; fonts: ``fonts-noto-core fonts-noto-mono``.
"""

import sys
from pathlib import Path

from playwright.sync_api import sync_playwright

ARGUMENTS = ["--no-sandbox", "--disable-gpu", "--disable-background-networking", "--no-first-run"]


def main(report: Path) -> None:
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path="/usr/bin/chromium", args=ARGUMENTS)
        for scheme in ("light", "dark"):
            size = {"width": 1280, "height": 1120}
            page = browser.new_page(viewport=size, color_scheme=scheme, device_scale_factor=1.5)
            page.goto(report.resolve().as_uri())
            page.screenshot(path=Path(__file__).with_name(f"report-{scheme}.png"))
        browser.close()


if __name__ == "__main__":
    main(Path(sys.argv[1]))
