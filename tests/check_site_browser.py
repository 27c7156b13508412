"""Read the site in a browser, from files: nothing fetched, search finds, colors follow the system, no fault of access.

Not part of the plain suite, since it wants playwright, Chromium and axe-core: make test-site.
"""

from __future__ import annotations

import sys
from pathlib import Path
from typing import TYPE_CHECKING

sys.path.insert(0, str(Path(__file__).parent / "tools"))
from browser import VIEWS, check, faults_of_view, listen

if TYPE_CHECKING:
    from playwright.sync_api import Browser, Page

READ = (
    "index.html",
    "quickstart.html",
    "gallery.html",
    "concepts/which.html",
    "how-to/evaluate.html",
    "reference/cli.html",
    "reference/settings.html",
    "reference/api/model.html",
)
"""Pages of every kind, on which axe-core runs in each view."""


def look_at(page: Page, site: Path, axe: str, out: Path, view: str) -> list[str]:
    """Return the faults of some pages in one view; leave a screenshot of each."""
    faults = []
    for name in READ:
        page.goto((site / name).resolve().as_uri())
        faults += [f"{name}: {each}" for each in faults_of_view(page, axe)]
        page.screenshot(path=out / f"{view}-{name.replace('/', '-').removesuffix('.html')}.png")
    scheme = page.locator("body").get_attribute("data-md-color-scheme")
    if scheme != ("slate" if "dark" in view else "default"):
        faults.append(f"colors are {scheme}")
    return faults


def search(page: Page, site: Path, out: Path, view: str) -> list[str]:
    """Return the faults of a search: no hit, or a hit that leads to no page with the words."""
    page.goto((site / "concepts/fusion.html").resolve().as_uri())
    if not page.locator(".md-search__input").is_visible():
        page.locator("label[for=__search].md-header__button").click()
    page.locator(".md-search__input").press_sequentially("bandwidth")
    hits = page.locator(".md-search-result__link")
    hits.first.wait_for(timeout=20_000)
    page.screenshot(path=out / f"{view}-search.png")
    hits.first.click()
    page.wait_for_url(lambda url: "fusion.html" not in url)
    return [] if "bandwidth" in page.locator("article").inner_text().lower() else ["the first hit has not the word"]


def change_colors(page: Page) -> list[str]:
    """Return whether the button of the colors changes nothing."""
    schemes = set()
    for _ in range(3):
        page.locator("form[data-md-component=palette] label:visible").click()
        schemes.add(page.locator("body").get_attribute("data-md-color-scheme"))
    return [] if schemes == {"default", "slate"} else [f"the button gives the colors {sorted(map(str, schemes))}"]


def wide_pages(page: Page, site: Path) -> list[str]:
    """Return the pages that are wider than the window."""
    faults = []
    for path in sorted(set(site.glob("**/*.html")) - {site / "404.html"}):  # its links are absolute
        page.goto(path.resolve().as_uri())
        wider = page.evaluate("document.documentElement.scrollWidth - document.documentElement.clientWidth")
        if wider > 0:
            faults.append(f"{path.relative_to(site)} is {wider} pixels wider than its window")
    return faults


def look(browser: Browser, index: Path, axe: str, out: Path) -> list[str]:
    """Return the faults of a site in every view; leave screenshots."""
    site, result = index.parent, []
    for view, options in VIEWS.items():
        context = browser.new_context(**options, offline=True)
        page = context.new_page()
        faults: list[str] = []
        listen(page, faults)
        faults += look_at(page, site, axe, out, view) + search(page, site, out, view) + change_colors(page)
        if view == "narrow":
            faults += wide_pages(page, site)
        result += [f"{view}: {fault}" for fault in faults]
        context.close()
    return result


if __name__ == "__main__":
    sys.exit(check(__doc__ or "", "index.html of the site that make docs built", look))
