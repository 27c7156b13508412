"""Look at a report in a browser: nothing fetched, no error, no serious fault of access, map by mouse and by keyboard.

Not part of the plain suite, since it wants playwright, Chromium and axe-core: make test-report.
"""

from __future__ import annotations

import argparse
import shutil
import sys
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from playwright.sync_api import Page

VIEWS = {
    "wide": {"viewport": {"width": 1280, "height": 900}, "color_scheme": "light"},
    "narrow": {"viewport": {"width": 375, "height": 780}, "color_scheme": "light", "has_touch": True},
    "dark": {"viewport": {"width": 1280, "height": 900}, "color_scheme": "dark"},
    "narrow-dark": {"viewport": {"width": 375, "height": 780}, "color_scheme": "dark"},
}


def look_at(page: Page, report: Path, axe: str) -> list[str]:
    """Faults of the report as one view shows it."""
    faults: list[str] = []
    page.on("console", lambda message: faults.append(f"console: {message.text}"))
    page.on("pageerror", lambda error: faults.append(f"script: {error}"))
    page.on(
        "request",
        lambda request: (
            None if request.url.startswith(("file:", "data:")) else faults.append(f"asks for {request.url}")
        ),
    )
    page.goto(report.resolve().as_uri())
    page.evaluate(axe)
    for each in page.evaluate("axe.run().then(found => found.violations)"):
        if each["impact"] in ("serious", "critical"):
            faults.append(f"axe: {each['id']}: {each['help']}: {each['nodes'][0]['html'][:200]}")
    wider = page.evaluate("document.documentElement.scrollWidth - document.documentElement.clientWidth")
    if wider > 0:
        faults.append(f"the page is {wider} pixels wider than its window")
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


def main() -> int:
    """Check a report, and leave a screenshot of each view."""
    from playwright.sync_api import sync_playwright

    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("report", type=Path, help="report.html that mmvae evaluate wrote")
    parser.add_argument("--axe", type=Path, required=True, help="axe.min.js of axe-core")
    parser.add_argument("--out", type=Path, required=True, help="folder for screenshots")
    parser.add_argument(
        "--chromium", default=shutil.which("chromium"), help="browser; playwright's where there is none"
    )
    given = parser.parse_args()
    given.out.mkdir(parents=True, exist_ok=True)
    axe, faults = given.axe.read_text("utf-8"), []
    with sync_playwright() as play:
        browser = play.chromium.launch(executable_path=given.chromium, args=["--no-sandbox"])
        for name, view in VIEWS.items():
            context = browser.new_context(**view, offline=True)
            page = context.new_page()
            faults += [f"{name}: {fault}" for fault in look_at(page, given.report, axe)]
            page.screenshot(path=given.out / f"{name}.png", full_page=True)
            page.locator("#latent").screenshot(path=given.out / f"{name}-map.png")
            if name == "wide":
                page.pdf(path=given.out / "printed.pdf", format="A4", print_background=False)
            context.close()
        browser.close()
    for fault in faults:
        print(fault, file=sys.stderr)
    print(f"{given.report}: {len(VIEWS)} views, {len(faults)} faults; screenshots in {given.out}")
    return 1 if faults else 0


if __name__ == "__main__":
    sys.exit(main())
