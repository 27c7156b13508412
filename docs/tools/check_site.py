"""Whether a built site holds together by itself: every link leads somewhere, nothing is fetched from elsewhere, and no
role of reStructuredText is left as it was typed.

Run: ``python docs/tools/check_site.py site``.
"""

import re
import sys
from html.parser import HTMLParser
from pathlib import Path
from urllib.parse import unquote, urlsplit

FETCHED = {"script": "src", "img": "src", "iframe": "src", "source": "src", "link": "href"}
"""What a browser loads by itself; a link that a reader may follow is another thing."""


ROLE = re.compile(r":(?:attr|class|data|func|math|meth|mod):(?:`|<code>)|\.\. math::")
"""What docstrings.py turns into links and formulas."""


class _Page(HTMLParser):
    """The anchors of a page, the links of it, and what it makes a browser load."""

    def __init__(self, text: str) -> None:
        super().__init__()
        self.roles = ROLE.findall(text)
        self.anchors: set[str] = set()
        self.links: set[str] = set()
        self.loaded: set[str] = set()
        self.feed(text)

    def handle_starttag(self, tag: str, attributes: list[tuple[str, str | None]]) -> None:
        """Keep what is of interest in a tag."""
        values = {name: value or "" for name, value in attributes}
        self.anchors |= {values[name] for name in ("id", "name") if name in values}
        if tag in FETCHED and FETCHED[tag] in values and values.get("rel") != "canonical":
            self.loaded.add(values[FETCHED[tag]])
        if tag == "a" and "href" in values:
            self.links.add(values["href"])


def complaints(site: Path) -> list[str]:
    """One sentence for each link that leads nowhere, each thing from elsewhere, each page with bare roles."""
    pages = {path: _Page(path.read_text("utf-8")) for path in sorted(site.glob("**/*.html"))}
    found = []
    for path, page in pages.items():
        where = path.relative_to(site)
        if path.name == "404.html":  # its links are absolute, for it is shown in any folder
            continue
        if page.roles:
            found.append(f"{where} shows {len(page.roles)} roles as they were typed, such as {page.roles[0]}")
        found += [f"{where} loads {x} from elsewhere" for x in sorted(page.loaded) if urlsplit(x).netloc]
        for link in sorted(page.links | page.loaded):
            parts = urlsplit(link)
            if parts.scheme or parts.netloc:
                continue
            target = (path.parent / unquote(parts.path)).resolve() if parts.path else path
            target = target / "index.html" if target.is_dir() else target
            if not target.exists():
                found.append(f"{where} links to {link}, which is not there")
            elif parts.fragment and target.suffix == ".html" and unquote(parts.fragment) not in pages[target].anchors:
                found.append(f"{where} links to {link}, a page without this anchor")
    for style in sorted(site.glob("**/*.css")):
        if "url(http" in style.read_text("utf-8"):
            found.append(f"{style.relative_to(site)} loads something from elsewhere")
    return found


if __name__ == "__main__":
    folder = Path(sys.argv[1]).resolve()
    found = complaints(folder)
    sys.exit("\n".join(found) if found else None)
