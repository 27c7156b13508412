"""MkDocs hook that adds pages from outside docs/ to the site and rewrites links between them.

Pages such as README.md keep links that work in the repository. On the site, a link to a page leads to that page, a link
to another file leads to its text, and a link to a folder becomes plain text.
"""

import posixpath
import re
from pathlib import Path

from mkdocs.config.defaults import MkDocsConfig
from mkdocs.structure.files import File, Files, InclusionLevel
from mkdocs.structure.pages import Page

ROOT = Path(__file__).parent.parent.parent
OUTSIDE = {
    "README.md": "index.md",
    "CHANGELOG.md": "changelog.md",
    "CONTRIBUTING.md": "contributing.md",
    "benchmarks/README.md": "benchmarks.md",
    "benchmarks/PERFORMANCE.md": "performance.md",
    "benchmarks/MISSING.md": "missing-cells.md",
    "examples/otitis/README.md": "otitis.md",
    "examples/otitis/COHORT.md": "otitis-cohort.md",
    "examples/otitis/study/README.md": "otitis-study.md",
    "examples/otitis/study/ABLATIONS.md": "otitis-ablations.md",
    "examples/otitis/study/LENGTHS.md": "otitis-lengths.md",
    "examples/otitis/study/PRIVACY.md": "otitis-privacy.md",
    "examples/otitis/study/ADAPT.md": "otitis-adapt.md",
    "examples/otitis/study/FRONTIER.md": "otitis-frontier.md",
    "examples/otitis/study/CANARIES.md": "otitis-canaries.md",
    "examples/ecg/README.md": "ecg.md",
}
"""Path in the repository: path in the site."""

LINK = re.compile(r"(!?)\[([^\]]*)\]\((?!https?:|#|mailto:)([^)#\s]+)(#[^)\s]*)?\)")


def on_files(files: Files, config: MkDocsConfig) -> Files:
    """Add the pages outside docs/ and the text files that they link to."""
    for source, uri in OUTSIDE.items():
        text = (ROOT / source).read_text("utf-8")
        files.append(File.generated(config, uri, content=text))
        for _, _, link, _ in LINK.findall(text):
            target = posixpath.normpath(posixpath.join(posixpath.dirname(source), link))
            linked = not (target in OUTSIDE or target.startswith("docs/")) and (ROOT / target).is_file()
            if linked and files.get_file_from_path(_as_text(target)) is None:
                added = File.generated(config, _as_text(target), content=(ROOT / target).read_text("utf-8"))
                added.inclusion = InclusionLevel.NOT_IN_NAV
                files.append(added)
    return files


def on_page_markdown(markdown: str, page: Page, files: Files, **_: object) -> str:
    """Replace each link of the repository by one that works on the site."""
    here = page.file.src_uri
    source = next((path for path, uri in OUTSIDE.items() if uri == here), f"docs/{here}")

    def rewrite(match: re.Match[str]) -> str:
        mark, label, link, anchor = match.groups()
        target = posixpath.normpath(posixpath.join(posixpath.dirname(source), link))
        if not (ROOT / target).exists():
            return match[0]  # the strict build reports it
        on_site = OUTSIDE.get(target) or (
            target.removeprefix("docs/") if target.startswith("docs/") else _as_text(target)
        )
        if files.get_file_from_path(on_site) is None:
            return label
        return f"{mark}[{label}]({posixpath.relpath(on_site, posixpath.dirname(here) or '.')}{anchor or ''})"

    return LINK.sub(rewrite, markdown)


def on_post_page(output: str, **_: object) -> str:
    """Name the dialog of the search, to which the theme gives no name, for screen readers."""
    dialog = 'data-md-component="search" role="dialog"'
    return output.replace(dialog, f'{dialog} aria-label="Search"')


def _as_text(path: str) -> str:
    """Return the site's address of a file that is no page; browsers show .txt, but save .toml."""
    return f"files/{path}.txt"
