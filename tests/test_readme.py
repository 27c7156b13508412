"""Code blocks and links of the README work."""

import re
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parent.parent
README = (ROOT / "README.md").read_text("utf-8")
PAGES = ("*.md", "docs/**/*.md", "benchmarks/*.md", "examples/**/*.md", "plugins/*/*.md")
BLOCKS = re.findall(r"```python\n(.*?)```\n\n```text\n(.*?)```", README, re.DOTALL)


def shortened(code: str) -> str:
    """Return code that trains for a few steps instead of minutes."""
    return code.replace("mv.fit(vae, data)", "mv.fit(vae, data, steps=30)")


@pytest.mark.parametrize(("code", "printed"), BLOCKS, ids=["quickstart", "modality"])
def test_python_blocks_print_what_the_readme_says(code: str, printed: str, tmp_path: Path) -> None:
    ran = subprocess.run([sys.executable, "-c", shortened(code)], cwd=tmp_path, capture_output=True, text=True)
    assert ran.returncode == 0, ran.stderr
    assert ran.stdout == printed


def test_every_python_block_is_among_them() -> None:
    assert len(BLOCKS) == README.count("```python\n") == 2


def test_the_digits_example_draws_its_picture(tmp_path: Path) -> None:
    picture = tmp_path / "digits.png"
    code = shortened((ROOT / "examples/digits/quickstart.py").read_text("utf-8"))
    ran = subprocess.run([sys.executable, "-c", code, picture], capture_output=True)
    assert ran.returncode == 0, ran.stderr
    assert picture.stat().st_size > 10_000


def test_every_link_to_a_file_leads_somewhere() -> None:
    for text in (page for pattern in PAGES for page in ROOT.glob(pattern)):
        for link in re.findall(r"\]\((?!https?:)([^)#]+)", text.read_text("utf-8")):
            assert (text.parent / link).exists(), f"{text.name}: {link}"
