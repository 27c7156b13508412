"""Look at a report in a browser: nothing fetched, no error, no serious fault of access, map by mouse and by keyboard.

Not part of the plain suite, since it wants playwright, Chromium and axe-core: make test-report.
"""

from __future__ import annotations

import sys
from pathlib import Path
from typing import TYPE_CHECKING

sys.path.insert(0, str(Path(__file__).parent / "tools"))
from browser import VIEWS, check, faults_of_view, listen

if TYPE_CHECKING:
    from playwright.sync_api import Browser, Page


def look_at(page: Page, report: Path, axe: str) -> list[str]:
    """Faults of the report as one view shows it."""
    faults: list[str] = []
    listen(page, faults)
    page.goto(report.resolve().as_uri())
    faults += faults_of_view(page, axe)
    return faults + try_map(page)


def try_map(page: Page) -> list[str]:
    """Faults of the latent map under mouse and keyboard."""
    faults = []
    points, facts = page.locator("#map [role=option]"), page.locator("#facts")
    last = points.count() - 1
    points.nth(last).scroll_into_view_if_needed()
    box = points.nth(last).bounding_box() or {"x": 0, "y": 0, "width": 0, "height": 0}
    place = [box["x"] + box["width"] / 2, box["y"] + box["height"] / 2]
    page.mouse.move(*place)
    under = page.evaluate("place => document.elementFromPoint(...place).getAttribute('aria-selected')", place)
    if under != "true" or not facts.inner_text().startswith("class"):
        faults.append("pointing at a point shows nothing")
    if not page.locator("#decoded .tile").first.is_visible():
        faults.append("pointing at a point shows no decoded picture")
    page.evaluate("document.querySelector('#map [tabindex=\"0\"]').focus()")
    seen = set()
    for key in ("Home", "ArrowRight", "ArrowLeft", "ArrowDown", "ArrowUp", "End"):
        page.keyboard.press(key)
        if page.evaluate("document.activeElement.getAttribute('role')") != "option":
            faults.append(f"{key} leaves the map")
        seen.add(page.evaluate("[...document.querySelectorAll('#map .point')].indexOf(document.activeElement)"))
    if len(seen) < min(3, last + 1):
        faults.append("arrow keys do not move over the map")
    if page.locator("#map [tabindex='0']").count() != 1:
        faults.append("the map is not one stop of the tab key")
    return faults


def look(browser: Browser, report: Path, axe: str, out: Path) -> list[str]:
    """Return the faults of a report in every view; leave screenshots and a printed copy."""
    faults = []
    for name, view in VIEWS.items():
        context = browser.new_context(**view, offline=True)
        page = context.new_page()
        faults += [f"{name}: {fault}" for fault in look_at(page, report, axe)]
        page.screenshot(path=out / f"{name}.png", full_page=True)
        page.locator("#latent").screenshot(path=out / f"{name}-map.png")
        if name == "wide":
            page.pdf(path=out / "printed.pdf", format="A4", print_background=False)
        context.close()
    return faults


if __name__ == "__main__":
    sys.exit(check(__doc__ or "", "report.html that mmvae evaluate wrote", look))
