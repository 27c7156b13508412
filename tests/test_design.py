"""Imports of the package have no circle and follow the order in which docs/design.md lists the files."""

import ast
import re
from graphlib import TopologicalSorter
from pathlib import Path

ROOT = Path(__file__).parent.parent
PACKAGE = ROOT / "multimodal_vae"
MODULES = {
    ".".join(path.relative_to(ROOT).with_suffix("").parts).removesuffix(".__init__"): path
    for path in PACKAGE.rglob("*.py")
}


def imported(path: Path) -> set[str]:
    """Return the package's modules that a file imports, also within functions."""
    result = set()
    for node in ast.walk(ast.parse(path.read_text("utf-8"))):
        if isinstance(node, ast.ImportFrom):
            assert node.level == 0, f"{path} imports relatively"
            names = {f"{node.module}.{alias.name}" for alias in node.names} & set(MODULES)
            result |= names or {str(node.module)} & set(MODULES)
        elif isinstance(node, ast.Import):
            result |= {alias.name for alias in node.names} & set(MODULES)
    return result


IMPORTS = {name: imported(path) for name, path in MODULES.items() if name != "multimodal_vae"}


def test_no_imports_form_a_circle() -> None:
    TopologicalSorter(IMPORTS).prepare()


def test_imports_follow_the_order_of_the_design() -> None:
    page = (ROOT / "docs" / "design.md").read_text("utf-8")
    tree = re.search(r"^multimodal_vae/\n(.*?)^\S", page, re.DOTALL | re.MULTILINE)
    assert tree
    units = {name.split(".")[1] for name in IMPORTS}
    order = [word for word in re.findall(r"(?<!/)\b([a-z_]+)(?:\.py|/)", tree[1]) if word in units]
    assert sorted(order) == sorted(units)
    for name, targets in IMPORTS.items():
        for target in targets - {"multimodal_vae"}:
            above, below = order.index(name.split(".")[1]), order.index(target.split(".")[1])
            assert above <= below, f"{name} imports {target}, which docs/design.md lists above it"
