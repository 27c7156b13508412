"""Documentation pages agree with the code: blocks run, tables list what the code has."""

import json
import re
import sys
from pathlib import Path

import pytest

import documents
from multimodal_vae.configuration import (
    Configuration,
    DataSettings,
    DensitySettings,
    ModelSettings,
    RefinementSettings,
)
from multimodal_vae.registry import KINDS
from multimodal_vae.testing import laws
from warm import Warm

DOCS = Path(__file__).parent.parent / "docs"
WITH_PIP = {"write-a-modality.md"}
"""Pages that install packages; check_authors.py runs them in a new environment."""

PAGES = [
    page
    for page in sorted(DOCS.glob("**/*.md"))
    # Notebooks take minutes; make docs runs them.
    if page.name not in WITH_PIP and not page.with_suffix(".ipynb").exists()
]


@pytest.fixture(scope="module")
def warm():
    if sys.platform != "linux":
        yield None
        return
    with Warm(documents.environment_of(sys.executable)) as process:
        yield process


@pytest.mark.parametrize("page", PAGES, ids=lambda page: str(page.relative_to(DOCS)))
def test_what_a_page_shows_has_been_run(page, tmp_path, warm):
    documents.run(page, tmp_path, warm=warm)


@pytest.mark.parametrize("kind", KINDS)
def test_the_laws_of_a_kind_stand_in_its_reference(kind):
    page = (DOCS / "reference" / f"{kind}.md").read_text("utf-8")
    rows = re.findall(r"^\| `(\w+)` \| (.+) \|$", page[page.index("## The laws") :], re.MULTILINE)
    assert rows == [(law.name, law.statement) for law in laws(kind)]


PAGE = """
```text
not run
```

```python
x = 3
print("hello", x)
```

```text
hello ...
```

```python title="a/b.py"
print("from a file")
```

```console
$ python a/b.py
from a file
$ true
```

```python
print(x + 1)
```

```text
4
```
"""


def test_a_page_is_run_in_order_in_one_session(tmp_path):
    (tmp_path / "page.md").write_text(PAGE, "utf-8")
    assert documents.run(tmp_path / "page.md", tmp_path) == 4


@pytest.mark.parametrize(
    ("old", "new", "line"),
    [("hello ...", "hullo ...", 6), ("from a file", "from no file", 19), ("4\n", "5\n", 25), ("x + 1", "y + 1", 25)],
)
def test_a_page_that_differs_from_its_code_is_named_with_its_line(tmp_path, old, new, line):
    changed = PAGE.replace(old, new) if old != "from a file" else PAGE[::-1].replace(old[::-1], new[::-1], 1)[::-1]
    (tmp_path / "page.md").write_text(changed, "utf-8")
    with pytest.raises(documents.DiffersError, match=f"page.md, line {line}"):
        documents.run(tmp_path / "page.md", tmp_path)


@pytest.mark.parametrize("shown", ["", "before it failed\n"])
def test_a_command_that_fails_is_no_example_whatever_it_shows(tmp_path, shown):
    command = "echo before it failed; exit 3" if shown else "exit 3"
    (tmp_path / "page.md").write_text(f"```console\n$ true\n$ {command}\n{shown}```\n", "utf-8")
    with pytest.raises(documents.DiffersError, match=r"page.md, line 1, \$ (echo|exit).*\nexit code: 3"):
        documents.run(tmp_path / "page.md", tmp_path)


def test_a_command_may_fail_where_the_page_shows_its_error(tmp_path):
    command = "echo 'mmvae: no' >&2; exit 2"
    (tmp_path / "page.md").write_text(f"```console\n$ {command}\nmmvae: no\n```\n", "utf-8")
    assert documents.run(tmp_path / "page.md", tmp_path) == 1


def test_the_recipes_reference_lists_every_key_with_its_default():
    page = (DOCS / "reference" / "recipe.md").read_text("utf-8")
    sections = {
        "data": DataSettings,
        "model": ModelSettings,
        "density": DensitySettings,
        "refinement": RefinementSettings,
    }
    assert set(Configuration.model_fields) == {*sections, "modalities", "training", "tune", "license"}
    for name, section in sections.items():
        table = re.search(rf"^## \[{name}\]\n(.*?)(?=^## )", page, re.DOTALL | re.MULTILINE)[1]
        rows = dict(re.findall(r"^\| `(\w+)` \| (.*?) \|", table, re.MULTILINE))
        assert set(rows) == set(section.model_fields)
        for key, text in rows.items():
            default = section.model_fields[key].default
            if isinstance(default, str | int | tuple):
                assert text.strip("`") == json.dumps(default)
