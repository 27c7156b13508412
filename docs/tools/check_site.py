"""Check a built site: links have targets, nothing is loaded from other sites, no reStructuredText role remains.

Run: ``python docs/tools/check_site.py site``.
"""

import re
import sys
from html.parser import HTMLParser
from pathlib import Path
from urllib.parse import unquote, urlsplit

FETCHED = {"script": "src", "img": "src", "iframe": "src", "source": "src", "link": "href"}
"""Tags that a browser loads by itself, with the attribute that holds the address."""

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
    """Return one sentence per broken link, per file loaded from another site, and per page with unconverted roles."""
    pages = {path: _Page(path.read_text("utf-8")) for path in sorted(site.glob("**/*.html"))}
    result = []
    for path, page in pages.items():
        where = path.relative_to(site)
        if path.name == "404.html":  # its links are absolute, since any folder may show it
            continue
        if page.roles:
            result.append(f"{where} shows {len(page.roles)} unconverted roles, such as {page.roles[0]}")
        result += [f"{where} loads {x} from another site" for x in sorted(page.loaded) if urlsplit(x).netloc]
        for link in sorted(page.links | page.loaded):
            parts = urlsplit(link)
            if parts.scheme or parts.netloc:
                continue
            target = (path.parent / unquote(parts.path)).resolve() if parts.path else path
            target = target / "index.html" if target.is_dir() else target
            if not target.exists():
                result.append(f"{where} links to {link}, which does not exist")
            elif parts.fragment and target.suffix == ".html" and unquote(parts.fragment) not in pages[target].anchors:
                result.append(f"{where} links to {link}, a page without this anchor")
    for style in sorted(site.glob("**/*.css")):
        if "url(http" in style.read_text("utf-8"):
            result.append(f"{style.relative_to(site)} loads something from another site")
    return result


if __name__ == "__main__":
    sys.exit("\n".join(find_problems(Path(sys.argv[1]).resolve())) or None)
