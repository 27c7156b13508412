"""The examples use nothing of the package that is not public."""

import ast
import re
from collections.abc import Iterator
from importlib import import_module
from pathlib import Path

import pytest

import multimodal_vae as mv

ROOT = Path(__file__).parent.parent
SCRIPTS = sorted(ROOT.glob("examples/**/*.py"))
DOCUMENTED = {
    name
    for page in (ROOT / "docs/reference/api").glob("*.md")
    for name in re.findall(r"^::: (\S+)$", page.read_text("utf-8"), re.MULTILINE)
}


def private_names(source: str) -> Iterator[str]:
    """Yield each name that a script takes from the package or a plugin and that no page shows."""
    for node in ast.walk(ast.parse(source)):
        if isinstance(node, ast.Import):
            yield from (f"{each.name} as a module" for each in node.names if each.name.startswith("multimodal_vae."))
        elif isinstance(node, ast.ImportFrom) and (node.module or "").startswith("multimodal_vae"):
            yield from (f"{node.module}.{each.name}" for each in node.names if not is_public(node.module, each.name))
        elif isinstance(node, ast.Attribute) and isinstance(node.value, ast.Name) and node.value.id == "mv":
            yield from () if is_public("multimodal_vae", node.attr) else (f"mv.{node.attr}",)


def is_public(module: str, name: str) -> bool:
    """Whether a name is one of the package's own, or stands on a page of docstrings; a package may pass it on."""
    if module == "multimodal_vae":
        return name in mv.__all__
    home = getattr(getattr(import_module(module), name), "__module__", module)
    return not name.startswith("_") and any(
        place in DOCUMENTED for place in (module, f"{module}.{name}", home, f"{home}.{name}")
    )


@pytest.mark.parametrize("script", SCRIPTS, ids=lambda path: str(path.relative_to(ROOT)))
def test_an_example_uses_public_names_alone(script: Path) -> None:
    assert list(private_names(script.read_text("utf-8"))) == []


@pytest.mark.parametrize(
    ("source", "private"),
    [
        ("import multimodal_vae as mv\nmv.fit\nmv.Image", []),
        ("from multimodal_vae.nn import ssim\nfrom multimodal_vae_wbt import WBT", []),
        ("from multimodal_vae.evaluation.purity import purity", []),
        ("import multimodal_vae.files", ["multimodal_vae.files as a module"]),
        ("from multimodal_vae.files import write_json, write_bytes", ["multimodal_vae.files.write_bytes"]),
        ("import multimodal_vae as mv\nmv.registry", ["mv.registry"]),
        ("from multimodal_vae import cli", ["multimodal_vae.cli"]),
    ],
)
def test_what_is_private_is_named(source: str, private: list[str]) -> None:
    assert list(private_names(source)) == private
