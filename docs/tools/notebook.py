"""Write the quickstart as a notebook: text and Python blocks in order, without outputs.

Run: ``python docs/tools/notebook.py docs/quickstart.md docs/quickstart.ipynb``.
"""

import json
import re
import sys
from pathlib import Path
from typing import Any

_FENCE = re.compile(r"^```(\w+)\n(.*?)^```$\n*", re.DOTALL | re.MULTILINE)
_LINK = re.compile(r"!?\[([^\]]*)\]\((?!https?:)[^)]*\)")


def notebook(page: str) -> dict[str, Any]:
    """Return the notebook of a page, in format 4.5."""
    cells: list[dict[str, Any]] = []

    def add(kind: str, text: str) -> None:
        if text.strip():
            cell = {"cell_type": kind, "id": f"cell-{len(cells)}", "metadata": {}, "source": text.strip("\n")}
            cells.append(cell | ({"execution_count": None, "outputs": []} if kind == "code" else {}))

    end = 0
    for block in _FENCE.finditer(page):
        add("markdown", _LINK.sub(r"\1", page[end : block.start()]))
        if block[1] == "python":
            add("code", block[2])
        end = block.end()
    kernel = {"kernelspec": {"display_name": "Python 3", "language": "python", "name": "python3"}}
    return {"cells": cells, "metadata": kernel, "nbformat": 4, "nbformat_minor": 5}


if __name__ == "__main__":
    result = notebook(Path(sys.argv[1]).read_text("utf-8"))
    Path(sys.argv[2]).write_text(json.dumps(result, indent=1, ensure_ascii=False) + "\n", "utf-8")
