"""Look at a report in a browser: nothing fetched, no error, no serious fault of access, folds, map and table usable.

Not part of the plain suite, since it wants playwright, Chromium and axe-core: make test-report.
"""

from __future__ import annotations

import csv
import io
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
    faults += [*faults_of_view(page, axe), *try_verdict(page), *try_table(page), *try_folds(page)]
    faults += faults_of_view(page, axe)  # all unfolded
    return faults + try_map(page)


def try_verdict(page: Page) -> list[str]:
    """Faults of what a reader sees first: three sentences, five metrics, and folded details."""
    faults = []
    sentences = page.locator("#verdict .verdict")
    if sentences.count() != 3 or not all(text.strip().endswith(".") for text in sentences.all_inner_texts()):
        faults.append("the verdict is not three sentences")
    if not 0 < page.locator("#key li").count() <= 5:
        faults.append("there are not one to five key metrics")
    for mark in page.locator("#key svg").all():
        strip, dot = mark.bounding_box(), mark.locator("circle").bounding_box()
        if not strip or not dot or not strip["x"] - dot["width"] <= dot["x"] <= strip["x"] + strip["width"]:
            faults.append("a key metric has its dot beside its axis")
    if page.locator("details.part[open]").count():
        faults.append("a section is open before anybody opens it")
    return faults


def try_table(page: Page) -> list[str]:
    """Faults of the link to the table of all metrics."""
    with page.expect_download() as download:
        page.locator("a[download]").click()
    text = Path(download.value.path()).read_text("utf-8")
    rows = list(csv.DictReader(io.StringIO(text, newline="")))
    good = download.value.suggested_filename == "metrics.csv" and rows and "value" in rows[0]
    return [] if good else ["the link to the table gives no table"]


def try_folds(page: Page) -> list[str]:
    """Faults of folded sections under links and keyboard; leaves all of them open."""
    faults = []
    link = page.locator('nav a[href="#versions"]')
    link.focus()
    page.keyboard.press("Enter")
    if page.locator("details#versions[open]").count() != 1:
        faults.append("a link to a folded section does not open it")
    for section in page.locator("details.part").all():
        name = section.get_attribute("id")
        for key, expected in (("Enter", True), ("Space", False), ("Enter", True)):
            if name == "versions" and expected is True and section.get_attribute("open") is not None:
                continue
            section.locator("summary").first.focus()
            page.keyboard.press(key)
            if (section.get_attribute("open") is not None) != expected:
                faults.append(f"{key} does not fold or unfold the section {name}")
    page.evaluate("for (const each of document.querySelectorAll('details')) each.open = true")  # those within as well
    return faults


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


def print_page(page: Page, report: Path, out: Path) -> list[str]:
    """Faults of printing: all sections are open on paper, and folded again afterwards."""
    page.goto(report.resolve().as_uri())
    page.evaluate(
        "addEventListener('beforeprint', () => window.folded = document.querySelectorAll('details:not([open])').length)"
    )
    page.pdf(path=out / "printed.pdf", format="A4", print_background=False)
    faults = [] if page.evaluate("window.folded") == 0 else ["a section is folded on paper"]
    page.wait_for_timeout(100)
    return faults + (["printing leaves sections open"] if page.locator("details.part[open]").count() else [])


def look(browser: Browser, report: Path, axe: str, out: Path) -> list[str]:
    """Return the faults of a report in every view; leave screenshots and a printed copy."""
    faults = []
    for name, view in VIEWS.items():
        context = browser.new_context(**view, offline=True)
        page = context.new_page()
        if name == "wide":
            faults += print_page(page, report, out)
        page.goto(report.resolve().as_uri())
        page.screenshot(path=out / f"{name}.png", full_page=True)
        faults += [f"{name}: {fault}" for fault in look_at(page, report, axe)]
        page.screenshot(path=out / f"{name}-unfolded.png", full_page=True)
        page.locator("#latent").screenshot(path=out / f"{name}-map.png")
        context.close()
    return faults


if __name__ == "__main__":
    sys.exit(check(__doc__ or "", "report.html that mmvae evaluate wrote", look))
