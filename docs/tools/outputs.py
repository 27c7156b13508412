"""MkDocs hook that shows the outputs of a page's notebook below the blocks of code, and links the notebook."""

import html
import json
import sys
from pathlib import Path
from typing import Any

from mkdocs.structure.pages import Page

sys.path.append(str(Path(__file__).parent))
from notebook import FENCE, PAGES, code_cells, colab_address


def on_page_markdown(markdown: str, page: Page, **_: object) -> str:
    """Insert the outputs, in place of those that the page has as text."""
    name = page.file.src_uri
    if name not in PAGES:
        return markdown
    path = Path(str(page.file.abs_src_path)).with_suffix(".ipynb")
    cells = iter(code_cells(json.loads(path.read_text("utf-8"))))
    parts, end, after_code = list[str](), 0, False
    for block in FENCE.finditer(markdown):
        between = markdown[end : block.start()]
        if not (after_code and block[1] == "text" and not between.strip()):
            parts += [between, block[0]]
            after_code = block[1] == "python"
            parts += [as_markdown(each) for each in next(cells)["outputs"]] if after_code else []
        end = block.end()
    title, _, text = "".join([*parts, markdown[end:]]).partition("\n")
    link = f"This page is a notebook: [download it]({path.name}), or open it in [Colab]({colab_address(name)})."
    return f"{title}\n\n{link}\n{text}"


def as_markdown(output: dict[str, Any]) -> str:
    """Return an output as Markdown: its picture, its table, or its text."""
    data = output.get("data", {})
    if "image/png" in data:
        source = f"data:image/png;base64,{''.join(data['image/png'].split())}"
        return f'<p><img alt="Figure that the code above draws" src="{source}"></p>\n\n'
    if "<table" in data.get("text/html", ""):
        return f"{data['text/html']}\n\n"
    text = output.get("text") or data.get("text/plain", "")
    return f"<pre><code>{html.escape(text.rstrip())}</code></pre>\n\n"
