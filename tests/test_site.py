"""The site's parts that are made by code: the notebook, the pictures' list, the check of links, the citation."""

import importlib.util
import json
import re
import subprocess
import sys
from pathlib import Path

import pytest

import documents
import multimodal_vae as mv

ROOT = Path(__file__).parent.parent
DOCS = ROOT / "docs"


def tool(name):
    """A module of docs/tools."""
    spec = importlib.util.spec_from_file_location(name, DOCS / "tools" / f"{name}.py")
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def test_the_notebook_is_the_quickstart_page():
    made = tool("notebook").notebook((DOCS / "quickstart.md").read_text("utf-8"))
    assert made == json.loads((DOCS / "quickstart.ipynb").read_text("utf-8"))


def test_the_notebooks_cells_run_and_print_what_the_page_says(tmp_path):
    cells = json.loads((DOCS / "quickstart.ipynb").read_text("utf-8"))["cells"]
    code = "\n".join(cell["source"] for cell in cells if cell["cell_type"] == "code")
    ran = subprocess.run([sys.executable, "-W", "error", "-c", code], cwd=tmp_path, capture_output=True, text=True)
    assert ran.returncode == 0, ran.stderr
    shown = [block.expected for block in documents.blocks((DOCS / "quickstart.md").read_text("utf-8"))]
    assert ran.stdout == "".join(text for text in shown if text)
    assert (tmp_path / "threes.png").stat().st_size > 1000


def test_every_concept_shows_its_own_picture():
    drawn = {path.stem for path in (DOCS / "images" / "concepts").glob("*.png")}
    assert drawn == {path.stem for path in (DOCS / "concepts").glob("*.md")} == set(tool("pictures").PICTURES)
    for name in drawn:
        assert f"../images/concepts/{name}.png" in (DOCS / "concepts" / f"{name}.md").read_text("utf-8")


PAGES = {
    "a.html": '<p id="x"></p><a href="b.html#y">b</a><img src="c.png">',
    "b.html": '<a id="y" href="a.html#x">a</a>',
}


def built(folder, **changed):
    """A small site."""
    for name, text in PAGES.items():
        (folder / name).write_text(changed.get(name[0], text), "utf-8")
    (folder / "c.png").touch()
    return tool("check_site").complaints(folder)


def test_a_whole_site_has_no_complaint(tmp_path):
    assert built(tmp_path) == []


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ('<a href="none.html">b</a>', "none.html, which is not there"),
        ('<a href="b.html#none">b</a>', "a page without this anchor"),
        ('<script src="https://elsewhere.org/x.js"></script>', "from elsewhere"),
        ('<img src="none.png">', "none.png, which is not there"),
        ("see :class:<code>Run</code>", "shows 1 roles as they were typed, such as :class:<code>"),
    ],
)
def test_a_link_that_leads_nowhere_and_a_stranger_are_named(tmp_path, text, said):
    complaints = built(tmp_path, a=text + '<p id="x"></p>')
    assert len(complaints) == 1
    assert said in complaints[0]
    assert complaints[0].startswith("a.html")


def test_the_citation_names_this_version_and_the_license():
    text = (ROOT / "CITATION.cff").read_text("utf-8")
    assert re.search(r"^version: (.+)$", text, re.MULTILINE)[1] == mv.__version__
    assert "license: Apache-2.0" in text
    assert "doi: 10.7557/18.6803" in text
