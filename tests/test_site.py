"""Generated parts of the site: notebook, figures, link check and citation."""

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
    """Import a module of docs/tools."""
    spec = importlib.util.spec_from_file_location(name, DOCS / "tools" / f"{name}.py")
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def test_the_notebook_is_the_quickstart_page():
    expected = tool("notebook").notebook((DOCS / "quickstart.md").read_text("utf-8"))
    assert expected == json.loads((DOCS / "quickstart.ipynb").read_text("utf-8"))


def test_the_notebooks_cells_run_and_print_what_the_page_says(tmp_path):
    cells = json.loads((DOCS / "quickstart.ipynb").read_text("utf-8"))["cells"]
    code = "\n".join(cell["source"] for cell in cells if cell["cell_type"] == "code")
    code = code.replace("mv.fit(vae, train)", "mv.fit(vae, train, steps=30)")  # for the defaults it takes minutes
    ran = subprocess.run([sys.executable, "-W", "error", "-c", code], cwd=tmp_path, capture_output=True, text=True)
    assert ran.returncode == 0, ran.stderr
    outputs = [block.expected for block in documents.blocks((DOCS / "quickstart.md").read_text("utf-8"))]
    assert ran.stdout == "".join(text for text in outputs if text)
    assert (tmp_path / "threes.png").stat().st_size > 1000


def test_every_concept_shows_its_own_picture():
    figures = {path.stem for path in (DOCS / "images" / "concepts").glob("*.png")}
    assert figures == {path.stem for path in (DOCS / "concepts").glob("*.md")} == set(tool("pictures").PICTURES)
    for name in figures:
        assert f"../images/concepts/{name}.png" in (DOCS / "concepts" / f"{name}.md").read_text("utf-8")


PAGES = {
    "a.html": '<p id="x"></p><a href="b.html#y">b</a><img src="c.png">',
    "b.html": '<a id="y" href="a.html#x">a</a>',
}


def build(folder, **changed):
    """Write a small site, some of its pages changed, and check it."""
    for name, text in PAGES.items():
        (folder / name).write_text(changed.get(name[0], text), "utf-8")
    (folder / "c.png").touch()
    return tool("check_site").find_problems(folder)


def test_a_whole_site_has_no_complaint(tmp_path):
    assert build(tmp_path) == []


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ('<a href="none.html">b</a>', "none.html, which does not exist"),
        ('<a href="b.html#none">b</a>', "a page without this anchor"),
        ('<script src="https://elsewhere.org/x.js"></script>', "from another site"),
        ('<img src="none.png">', "none.png, which does not exist"),
        ("see :class:<code>Run</code>", "shows 1 unconverted roles, such as :class:<code>"),
    ],
)
def test_a_link_that_leads_nowhere_and_a_stranger_are_named(tmp_path, text, said):
    problems = build(tmp_path, a=text + '<p id="x"></p>')
    assert len(problems) == 1
    assert said in problems[0]
    assert problems[0].startswith("a.html")


def test_the_citation_names_this_version_and_the_license():
    text = (ROOT / "CITATION.cff").read_text("utf-8")
    assert re.search(r"^version: (.+)$", text, re.MULTILINE)[1] == mv.__version__
    assert "license: Apache-2.0" in text
    assert "doi: 10.7557/18.6803" in text
