"""Generated parts of the site: notebooks, figures, link check and citation."""

import importlib.util
import inspect
import json
import re
import subprocess
import sys
from pathlib import Path
from types import SimpleNamespace

import pytest

import documents
import multimodal_vae as mv
from multimodal_vae import registry

ROOT = Path(__file__).parent.parent
DOCS = ROOT / "docs"


def tool(name):
    """Import a module of docs/tools."""
    spec = importlib.util.spec_from_file_location(name, DOCS / "tools" / f"{name}.py")
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


NOTEBOOK = tool("notebook")
PAGES_OF_NOTEBOOKS = [*NOTEBOOK.PAGES]


def read_notebook(name):
    return json.loads((DOCS / name).with_suffix(".ipynb").read_text("utf-8"))


@pytest.mark.parametrize("name", PAGES_OF_NOTEBOOKS)
def test_a_notebook_is_its_page_with_outputs(name):
    written = read_notebook(name)
    counts = [cell.get("execution_count") for cell in written["cells"] if cell["cell_type"] == "code"]
    assert counts == [*range(1, len(counts) + 1)]
    outputs = [output for cell in NOTEBOOK.code_cells(written) for output in cell["outputs"]]
    assert outputs
    assert any("image/png" in output.get("data", {}) for output in outputs)
    assert {output["output_type"] for output in outputs} <= {"stream", "display_data", "execute_result"}
    assert all(output["name"] == "stdout" for output in outputs if output["output_type"] == "stream")
    for cell in written["cells"]:
        if cell["cell_type"] == "code":
            cell["outputs"], cell["execution_count"] = [], None
    assert written == NOTEBOOK.notebook(name)


@pytest.mark.parametrize("name", PAGES_OF_NOTEBOOKS)
def test_a_notebook_has_no_path_of_a_machine_and_only_the_address_of_colab(name):
    text = (DOCS / name).with_suffix(".ipynb").read_text("utf-8")
    pictures = re.sub(r'"image/png": "[^"]*"', "", text)
    assert not re.findall(r"(?:/home|/root|/tmp|/work|/Users)/", pictures)
    assert {*re.findall(r"https?://([\w.-]+)", pictures)} == {"colab.research.google.com"}


def test_the_notebooks_cells_run_and_print_what_the_page_says(tmp_path):
    code = "\n".join(cell["source"] for cell in NOTEBOOK.code_cells(read_notebook("quickstart.md")))
    code = code.replace("mv.fit(vae, train)", "mv.fit(vae, train, steps=30)")  # for the defaults it takes minutes
    ran = subprocess.run([sys.executable, "-W", "error", "-c", code], cwd=tmp_path, capture_output=True, text=True)
    assert ran.returncode == 0, ran.stderr
    outputs = [block.expected for block in documents.blocks((DOCS / "quickstart.md").read_text("utf-8"))]
    assert ran.stdout == "".join(text for text in outputs if text)
    assert (tmp_path / "threes.png").stat().st_size > 1000


def test_an_address_of_the_repository_gives_the_notebooks_place_in_colab(tmp_path, monkeypatch):
    (tmp_path / "docs").mkdir()
    monkeypatch.setattr(NOTEBOOK, "DOCS", tmp_path / "docs")
    (tmp_path / "CITATION.cff").write_text("title: x\n", "utf-8")
    assert NOTEBOOK.colab_address("a/b.md") == "https://colab.research.google.com"
    (tmp_path / "CITATION.cff").write_text("repository-code: https://github.com/owner/name\ntitle: x\n", "utf-8")
    assert NOTEBOOK.colab_address("a/b.md").endswith("/github/owner/name/blob/main/docs/a/b.ipynb")


def test_a_page_is_executed_and_a_notebook_that_shows_other_things_is_named(tmp_path, monkeypatch):
    pytest.importorskip("nbclient")
    (tmp_path / "docs").mkdir()
    page = tmp_path / "docs" / "page.md"
    (tmp_path / "CITATION.cff").touch()
    page.write_text("# Title\n\nText.\n\n## Code\n\n```python\nx = 3\nprint(x)\nx\n```\n", "utf-8")
    monkeypatch.setattr(NOTEBOOK, "DOCS", tmp_path / "docs")
    monkeypatch.setattr(NOTEBOOK, "PAGES", {"page.md": "multimodal-vae"})
    executed = NOTEBOOK.execute("page.md")
    (cell,) = NOTEBOOK.code_cells(executed)
    assert NOTEBOOK.shown(cell) == ["3\n", "text/plain"]
    cell["outputs"][0]["text"] = "30\n"
    page.with_suffix(".ipynb").write_text(json.dumps(executed), "utf-8")
    (said,) = NOTEBOOK.differences("page.md")
    assert said.startswith("page.md, cell 2: the notebook has ['30\\n', 'text/plain'], the code gives ['3\\n'")
    assert not list((tmp_path / "build").iterdir())


def test_outputs_agree_in_words_kinds_and_roughly_in_numbers():
    outputs = [
        {"output_type": "stream", "name": "stdout", "text": "error 0.14, of 359\n"},
        {"output_type": "display_data", "data": {"text/plain": "in 3 s", "image/png": "x"}},
    ]
    shown = NOTEBOOK.shown({"outputs": outputs})
    assert shown == ["error 0.14, of 359\n", "image/png, text/plain"]
    assert NOTEBOOK.agree(shown, ["error 0.17, of 360\n", "image/png, text/plain"])
    for other in ("error 0.94, of 359\n", "error 0.14, of 35\n", "loss 0.14, of 359\n", "error 0.14\n", ""):
        assert not NOTEBOOK.agree(shown, [other, "image/png, text/plain"])
    assert not NOTEBOOK.agree(shown, shown[:1])


def test_the_site_shows_the_outputs_below_the_code():
    hook = tool("outputs")
    table = {"data": {"text/plain": "a: 1", "text/html": "<table><tr><td>1</td></tr></table>"}}
    assert hook.as_markdown({"text": "1 < 2\n"}) == "<pre><code>1 &lt; 2</code></pre>\n\n"
    assert hook.as_markdown(table).startswith("<table>")
    assert 'src="data:image/png;base64,YWI="' in hook.as_markdown({"data": {"image/png": "YWI=\n"}})
    page = SimpleNamespace(
        file=SimpleNamespace(src_uri="quickstart.md", abs_src_path=str(DOCS / "quickstart.md"), name="quickstart")
    )
    shown = hook.on_page_markdown((DOCS / "quickstart.md").read_text("utf-8"), page)
    assert "```text" not in shown
    assert "1438 to train on, 359 to test on" in shown
    assert shown.count("<img ") >= 1
    assert "(quickstart.ipynb)" in shown
    assert hook.on_page_markdown("# x\n", SimpleNamespace(file=SimpleNamespace(src_uri="design.md"))) == "# x\n"


def test_every_concept_shows_its_own_picture():
    figures = {path.stem for path in (DOCS / "images" / "concepts").glob("*.png")}
    assert figures == {path.stem for path in (DOCS / "concepts").glob("*.md")} == set(tool("pictures").PICTURES)
    for name in figures:
        assert f"../images/concepts/{name}.png" in (DOCS / "concepts" / f"{name}.md").read_text("utf-8")


PAGES = {
    "index.html": '<p id="x"></p><a href="b.html#y">b</a><img src="c.png">',
    "b.html": '<a id="y" href="index.html#x">a</a>',
    "search/search_index.js": 'var __index = {"docs": [{"location": "index.html"}, {"location": "b.html#y"}]}',
}


def build(folder, **changed):
    """Write a small site, some of its files changed, and check it."""
    (folder / "search").mkdir()
    for name, text in PAGES.items():
        (folder / name).write_text(changed.get(Path(name).stem, text), "utf-8")
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
    problems = build(tmp_path, index=PAGES["index.html"] + text)
    assert len(problems) == 1
    assert said in problems[0]
    assert problems[0].startswith("index.html")


def test_a_page_to_which_nothing_leads_is_named(tmp_path):
    assert build(tmp_path, index='<p id="x"></p>') == ["b.html cannot be reached from index.html"]


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ('{"docs": []}', ["search/search_index.js has no search index"]),
        ('var __index = {"docs": [{"location": "index.html#x"}]}', ["b.html is not in the search index"]),
    ],
)
def test_a_page_that_search_cannot_find_is_named(tmp_path, text, said):
    assert build(tmp_path, search_index=text) == said


def test_the_command_reference_has_each_command_with_its_options_and_example(mmvae):
    page = tool("reference").commands() + "\n"
    sections = dict(re.findall(r"^## (mmvae.*?)\n(.*?)(?=^## |\Z)", page, re.DOTALL | re.MULTILINE))
    listed = re.findall(r"^  ([a-z-]+)  ", mmvae("--help")[1].partition("Commands:")[2], re.MULTILINE)
    assert {name.split()[1] for name in sections if name != "mmvae"} == set(listed)
    for name, text in sections.items():
        said = mmvae(*name.split()[1:], "--help")[1]
        options = set(re.findall(r"^  (--[a-z-]+)", said, re.MULTILINE)) - {"--help"}
        assert options <= set(re.findall(r"--[a-z-]+", text))
        for command in re.findall(r"^  ((?:mmvae|python) .+)$", said.partition("Example:")[2], re.MULTILINE):
            assert f"$ {command}" in text


def test_the_table_of_settings_has_each_setting_of_each_part():
    rows = re.findall(r"^\| \[`(\w+)`\]\(\S+\) \| (?:`(\w+)`|none) \|", tool("reference").settings(), re.MULTILINE)
    expected = []
    for entry in registry.entries():
        names = list(inspect.signature(registry.load(entry.kind, entry.name)).parameters)
        expected += [(entry.name, name) for name in names] or [(entry.name, "")]
    assert sorted(rows) == sorted(expected)


def test_the_pages_of_the_reference_have_a_place_for_what_is_filled_in():
    for page, (mark, _) in tool("reference").FILLED.items():
        assert (DOCS / page).read_text("utf-8").count(mark) == 1


def test_the_citation_names_this_version_and_the_license():
    text = (ROOT / "CITATION.cff").read_text("utf-8")
    assert re.search(r"^version: (.+)$", text, re.MULTILINE)[1] == mv.__version__
    assert "license: Apache-2.0" in text
    assert "doi: 10.7557/18.6803" in text
