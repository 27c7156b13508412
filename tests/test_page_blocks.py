"""Blocks of pages that no page runs: recipes hold, and what plugins show works on their own files."""

import contextlib
import io
import tomllib
from pathlib import Path

import pytest

import documents
import multimodal_vae as mv
from multimodal_vae import registry

ROOT = Path(__file__).parent.parent
PAGES = sorted(
    page
    for each in ("*.md", "docs/**/*.md", "benchmarks/*.md", "examples/**/*.md", "plugins/*/*.md")
    for page in ROOT.glob(each)
)
RECIPES = [
    pytest.param(tomllib.loads(block.text), id=f"{page.relative_to(ROOT)}:{block.line}")
    for page in PAGES
    for block in documents.blocks(page.read_text("utf-8"))
    if block.language == "toml" and "[project" not in block.text
]
NOT_HERE = {"audiogram", "ellipsoid", "grain", "mlflow", "omics"}
"""Parts that the page writes itself, and of plugins that have environments of their own."""
READMES = [page for page in PAGES if page.parent.parent.name == "plugins" and "```python" in page.read_text("utf-8")]


@pytest.mark.parametrize("table", RECIPES)
def test_settings_that_a_page_shows_are_taken(table):
    refined = table.get("refinement", {}).get("refiners", {})
    modalities = {name: {"name": "image", "size": [32, 32], "channels": 3} for name in refined} or {
        "blood": {"name": "vector", "size": 3}
    }
    try:
        mv.Configuration(**{"modalities": modalities} | table)
    except mv.PluginError as error:
        if not any(f"'{name}'" in str(error).split(";")[0] for name in NOT_HERE):
            raise
        pytest.skip(str(error))


@pytest.mark.parametrize("page", READMES, ids=lambda page: page.parent.name)
def test_what_a_plugin_shows_reads_files_that_it_wrote(page, tmp_path, monkeypatch):
    part = registry.load("modality", page.parent.name)()
    (tmp_path / "cohort").mkdir()
    rows = ["sample_id,label," + page.parent.name]
    for number, sample in enumerate(part.examples(2)):
        name = f"{number}{part.suffix}"
        part.write(sample, tmp_path / "cohort" / name)
        rows.append(f"s{number},well,{name}")
    (tmp_path / "cohort" / "manifest.csv").write_text("\n".join(rows), "utf-8")
    monkeypatch.chdir(tmp_path)
    names = {}
    for block in documents.blocks(page.read_text("utf-8")):
        if block.language == "python":
            with contextlib.redirect_stdout(io.StringIO()) as printed:
                exec(block.text, names)
            assert printed.getvalue() == (block.expected or "")
    assert len(names["data"]) == 2
