"""Check a built site: links have targets, every page can be reached and found, nothing is loaded from other sites.

Run: ``python docs/tools/check_site.py site``.
"""

import json
import re
import sys
from collections.abc import Iterable, Mapping
from html.parser import HTMLParser
from pathlib import Path
from urllib.parse import unquote, urlsplit

FETCHED = {"script": "src", "img": "src", "iframe": "src", "source": "src", "link": "href"}
"""Tags that a browser loads by itself, with the attribute that holds the address."""

INDEX = "var __index = "
"""Beginning of the search index that pages opened from files load."""

ROLE = re.compile(r":(?:attr|class|data|func|math|meth|mod):(?:`|<code>)|\.\. math::")
"""Roles that docstrings.py converts."""


class _Page(HTMLParser):
    """Anchors, links and loaded addresses of a page."""

    def __init__(self, text: str) -> None:
        super().__init__()
        self.roles = ROLE.findall(text)
        self.anchors: set[str] = set()
        self.links: set[str] = set()
        self.loaded: set[str] = set()
        self.feed(text)

    def handle_starttag(self, tag: str, attributes: list[tuple[str, str | None]]) -> None:
        """Collect anchors, links and loaded addresses."""
        values = {name: value or "" for name, value in attributes}
        self.anchors |= {values[name] for name in ("id", "name") if name in values}
        if tag in FETCHED and FETCHED[tag] in values and values.get("rel") != "canonical":
            self.loaded.add(values[FETCHED[tag]])
        if tag == "a" and "href" in values:
            self.links.add(values["href"])


def find_problems(site: Path) -> list[str]:
    """Return one sentence per broken link, unreachable page, foreign file, and page with unconverted roles."""
    pages = {path: _Page(path.read_text("utf-8")) for path in sorted(site.glob("**/*.html"))}
    pages.pop(site / "404.html", None)  # its links are absolute, since any folder may show it
    result = list[str]()
    leads_to = {path: set[Path]() for path in pages}
    for path, page in pages.items():
        where = path.relative_to(site)
        if page.roles:
            result.append(f"{where} shows {len(page.roles)} unconverted roles, such as {page.roles[0]}")
        result += [f"{where} loads {x} from another site" for x in sorted(page.loaded) if urlsplit(x).netloc]
        for link in sorted(page.links | page.loaded):
            parts = urlsplit(link)
            if parts.scheme or parts.netloc:
                continue
            target = (path.parent / unquote(parts.path)).resolve() if parts.path else path
            target = target / "index.html" if target.is_dir() else target
            leads_to[path].add(target)
            if not target.exists():
                result.append(f"{where} links to {link}, which does not exist")
            elif parts.fragment and target.suffix == ".html" and unquote(parts.fragment) not in pages[target].anchors:
                result.append(f"{where} links to {link}, a page without this anchor")
    for style in sorted(site.glob("**/*.css")):
        if "url(http" in style.read_text("utf-8"):
            result.append(f"{style.relative_to(site)} loads something from another site")
    result += [f"{path.relative_to(site)} cannot be reached from index.html" for path in _unreachable(site, leads_to)]
    return result + _search_problems(site, pages)


def _unreachable(site: Path, leads_to: Mapping[Path, set[Path]]) -> list[Path]:
    """Return the pages to which no links lead from the first page."""
    reached, found = set[Path](), {site / "index.html"}
    while found:
        reached |= found
        found = {target for path in found for target in leads_to.get(path, ())} - reached
    return sorted(leads_to.keys() - reached)


def _search_problems(site: Path, pages: Iterable[Path]) -> list[str]:
    """Return what search misses where pages are opened from files: a script with the index, and each page in it."""
    script = site / "search" / "search_index.js"
    text = script.read_text("utf-8") if script.is_file() else ""
    if not text.startswith(INDEX):
        return ["search/search_index.js has no search index"]
    found = {urlsplit(each["location"]).path for each in json.loads(text.removeprefix(INDEX))["docs"]}
    names = (path.relative_to(site).as_posix() for path in pages)
    return [f"{name} is not in the search index" for name in names if name not in found]


if __name__ == "__main__":
    sys.exit("\n".join(find_problems(Path(sys.argv[1]).resolve())) or None)
