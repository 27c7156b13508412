"""Write pages as executed notebooks: text and Python blocks in order, with what the blocks show.

Run: ``python docs/tools/notebook.py`` executes the pages and writes the notebook beside each of them;
``python docs/tools/notebook.py --check`` executes them anew and compares the outputs. Paths of pages restrict both.
"""

import argparse
import json
import re
import sys
import tempfile
from collections.abc import Sequence
from pathlib import Path
from typing import Any

DOCS = Path(__file__).parent.parent
PAGES = {
    "quickstart.md": "multimodal-vae",
    "tutorials/own-modality.md": "multimodal-vae",
    "tutorials/missing-modalities.md": "multimodal-vae",
    "tutorials/otitis.md": "multimodal-vae[otoscopy,wbt]",
}
"""Pages that are notebooks, with what their first cell installs."""

COLAB = "https://colab.research.google.com"
BADGE = f"{COLAB}/assets/colab-badge.svg"
INSTALL = """# Installs the package where it is missing, as in Colab.
import importlib.util

if importlib.util.find_spec("multimodal_vae") is None:
    %pip install -q "{}"
"""
FENCE = re.compile(r"^```(\w+)\n(.*?)^```$\n*", re.DOTALL | re.MULTILINE)
_LINK = re.compile(r"!?\[([^\]]*)\]\((?!https?:)[^)]*\)")
_REPOSITORY = re.compile(r"^repository-code: \"?https://github\.com/([\w.-]+/[\w.-]+?)\"?$", re.MULTILINE)
_NUMBER = re.compile(r"\d+(?:\.\d+)?")
_TIMEOUT = 1800  # seconds for one cell


def colab_address(name: str) -> str:
    """Return where Colab opens a page's notebook, by the ``repository-code`` of CITATION.cff.

    Without a repository there, it is Colab's start page, to which a notebook can be uploaded.
    """
    known = _REPOSITORY.search((DOCS.parent / "CITATION.cff").read_text("utf-8"))
    return f"{COLAB}/github/{known[1]}/blob/main/docs/{Path(name).with_suffix('.ipynb')}" if known else COLAB


def notebook(name: str) -> dict[str, Any]:
    """Return the notebook of a page, in format 4.5, without outputs."""
    title, rest = (DOCS / name).read_text("utf-8").split("\n", 1)
    start, found, sections = rest.partition("\n## ")
    cells: list[dict[str, Any]] = []

    def add(kind: str, text: str) -> None:
        if text.strip():
            cell = {"cell_type": kind, "id": f"cell-{len(cells)}", "metadata": {}, "source": text.strip("\n")}
            cells.append(cell | ({"execution_count": None, "outputs": []} if kind == "code" else {}))

    add("markdown", f"{title}\n\n[![Open in Colab]({BADGE})]({colab_address(name)})\n" + _LINK.sub(r"\1", start))
    add("code", INSTALL.format(PAGES[name]))
    page, end = found.lstrip("\n") + sections, 0
    for block in FENCE.finditer(page):
        add("markdown", _LINK.sub(r"\1", page[end : block.start()]))
        if block[1] == "python":
            add("code", block[2])
        end = block.end()
    add("markdown", _LINK.sub(r"\1", page[end:]))
    kernel = {"kernelspec": {"display_name": "Python 3", "language": "python", "name": "python3"}}
    return {"cells": cells, "metadata": kernel, "nbformat": 4, "nbformat_minor": 5}


def code_cells(written: dict[str, Any]) -> list[dict[str, Any]]:
    """Return the cells of a notebook that hold the page's code, without the first one, which installs."""
    return [cell for cell in written["cells"] if cell["cell_type"] == "code"][1:]


def execute(name: str) -> dict[str, Any]:
    """Return the notebook of a page with the outputs of its cells, run in an empty folder of the checkout."""
    import nbformat
    from nbclient import NotebookClient

    build = DOCS.parent / "build"
    build.mkdir(exist_ok=True)
    with tempfile.TemporaryDirectory(dir=build) as folder:
        executed = nbformat.from_dict(notebook(name))
        resources = {"metadata": {"path": folder}}
        settings = {"timeout": _TIMEOUT, "record_timing": False, "coalesce_streams": True}
        NotebookClient(executed, resources=resources, **settings).execute()
    result = notebook(name)
    for cell, done in zip(result["cells"], executed["cells"], strict=True):
        if cell["cell_type"] == "code":
            cell["execution_count"] = done["execution_count"]
            cell["outputs"] = [json.loads(json.dumps(each)) for each in done["outputs"] if _is_visible(each)]
    return result


def _is_visible(output: dict[str, Any]) -> bool:
    """Return whether an output shows anything; bars that are done are empty."""
    return bool(output.get("text") or any(output.get("data", {}).values()))


def shown(cell: dict[str, Any]) -> list[str]:
    """Return what a cell prints, and of which kind its other outputs are."""
    return [each.get("text") or ", ".join(sorted(each.get("data", {}))) for each in cell["outputs"]]


def agree(before: Sequence[str], after: Sequence[str]) -> bool:
    """Return whether outputs have the same words, and numbers that differ no more than those of two machines may.

    The weights after a training differ between machines, so numbers may differ by a fifth and a tenth.

    Example:
        >>> agree(["accuracy 0.91"], ["accuracy 0.88"]), agree(["accuracy 0.91"], ["accuracy 0.31"])
        (True, False)
    """
    old, new = ("\n".join(texts) for texts in (before, after))
    numbers = ([float(x) for x in _NUMBER.findall(text)] for text in (old, new))
    same_words = _NUMBER.sub("", old).split() == _NUMBER.sub("", new).split()
    return same_words and all(abs(x - y) <= 0.1 + 0.2 * max(abs(x), abs(y)) for x, y in zip(*numbers, strict=True))


def differences(name: str) -> list[str]:
    """Execute a page anew, and return one sentence per cell whose outputs differ from those of its notebook."""
    before = json.loads((DOCS / name).with_suffix(".ipynb").read_text("utf-8"))
    pairs = zip(code_cells(before), code_cells(execute(name)), strict=True)
    return [
        f"{name}, cell {old['execution_count']}: the notebook has {shown(old)}, the code gives {shown(new)}"
        for old, new in pairs
        if not agree(shown(old), shown(new))
    ]


def main() -> None:
    """Run the command."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("pages", nargs="*", default=[*PAGES], help="pages in docs/ (default: all that are notebooks)")
    parser.add_argument("--check", action="store_true", help="compare outputs, and write nothing")
    given = parser.parse_args()
    if given.check:
        sys.exit("\n".join(each for name in given.pages for each in differences(name)) or None)
    for name in given.pages:
        text = json.dumps(execute(name), indent=1, ensure_ascii=False) + "\n"
        (DOCS / name).with_suffix(".ipynb").write_text(text, "utf-8")


if __name__ == "__main__":
    main()
