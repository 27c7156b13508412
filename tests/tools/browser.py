"""Look at pages in a browser: what several checks of pages share."""

from __future__ import annotations

import argparse
import shutil
import sys
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from playwright.sync_api import Browser, Page

WIDE, NARROW = {"width": 1280, "height": 900}, {"width": 390, "height": 780}
VIEWS = {
    "wide": {"viewport": WIDE, "color_scheme": "light"},
    "narrow": {"viewport": NARROW, "color_scheme": "light", "has_touch": True},
    "dark": {"viewport": WIDE, "color_scheme": "dark"},
    "narrow-dark": {"viewport": NARROW, "color_scheme": "dark", "has_touch": True},
}


def listen(page: Page, faults: list[str], own: str = "file:") -> None:
    """Note errors of a page, and requests to addresses that do not begin with its own."""
    page.on("console", lambda message: faults.append(f"console: {message.text}"))
    page.on("pageerror", lambda error: faults.append(f"script: {error}"))
    page.on(
        "request",
        lambda request: (
            None if request.url.startswith((own, "data:", "blob:")) else faults.append(f"asks for {request.url}")
        ),
    )


def faults_of_view(page: Page, axe: str) -> list[str]:
    """Return the serious faults of access that axe-core finds, and whether the page is wider than its window."""
    page.evaluate(axe)
    faults = [
        f"axe: {each['id']}: {each['help']}: {each['nodes'][0]['html'][:200]}"
        for each in page.evaluate("axe.run({preload: false}).then(found => found.violations)")
        if each["impact"] in ("serious", "critical")
    ]
    wider = page.evaluate("document.documentElement.scrollWidth - document.documentElement.clientWidth")
    return faults + ([f"the page is {wider} pixels wider than its window"] if wider > 0 else [])


def check(words: str, what: str, look: Callable[[Browser, Path, str, Path], list[str]]) -> int:
    """Run a check of one page from the command line: print its faults, return the exit status.

    Args:
        words: Description of the command.
        what: What the page is.
        look: Takes a browser, the page's path, the source of axe-core and a folder for screenshots; returns faults.
    """
    from playwright.sync_api import sync_playwright

    parser = argparse.ArgumentParser(description=words.splitlines()[0])
    parser.add_argument("page", type=Path, help=what)
    parser.add_argument("--axe", type=Path, required=True, help="axe.min.js of axe-core")
    parser.add_argument("--out", type=Path, required=True, help="folder for screenshots")
    parser.add_argument(
        "--chromium", default=shutil.which("chromium"), help="browser; playwright's where there is none"
    )
    given = parser.parse_args()
    given.out.mkdir(parents=True, exist_ok=True)
    with sync_playwright() as play:
        browser = play.chromium.launch(executable_path=given.chromium, args=["--no-sandbox"])
        faults = look(browser, given.page, given.axe.read_text("utf-8"), given.out)
        browser.close()
    for fault in faults:
        print(fault, file=sys.stderr)
    print(f"{given.page}: {len(faults)} faults; screenshots in {given.out}")
    return 1 if faults else 0
