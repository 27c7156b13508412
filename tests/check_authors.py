"""Follow the tutorial for plugin authors, and install, test and build each plugin that ``mmvae new`` scaffolds.

All of it uses the core's wheel in a new environment, outside the checkout.

Run: ``python tests/check_authors.py DIST CONSTRAINTS CORE``; it prints each check and their number.
"""

import ast
import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parent / "tools"))
import documents
from fresh import Fresh, fresh

TUTORIAL = Path(__file__).parent.parent / "docs" / "how-to" / "write-a-modality.md"
MOST_LINES = 40
NETWORKS = ("encoder", "decoder")


def main(dist: Path, constraints: Path, core: Path) -> None:
    """Run all checks; exit at the first that fails."""
    (wheel,) = dist.glob("multimodal_vae-*.whl")
    with fresh(constraints, core) as env:
        env.pip("install", wheel, "pytest", "hatchling", "editables", "mypy")
        tutorial(env)
        plugins = (
            ("modality", "emg"),
            ("fusion", "blend"),
            ("metric-loss", "pull-push"),
            ("sampler", "one-blob"),
            ("refiner", "crisp"),
        )
        packages = [scaffolded(env, kind, name) for kind, name in plugins]
        typed = env.run(env.python, "-m", "mypy", "--strict", *packages)
        env.hold("all of them are fully typed", typed.returncode == 0, typed.stdout)
        checked = env.run(env.python, "-m", "pip", "check")
        env.hold("pip check finds no fault", checked.returncode == 0, checked.stdout)


def tutorial(env: Fresh) -> None:
    """Run the page in a folder of its own, and count the author's lines."""
    folder = env.place / "tutorial"
    folder.mkdir()
    done = documents.run(TUTORIAL, folder, str(env.python))
    env.hold(f"the tutorial's {done} blocks do what the page says", done > 5)
    lines = author_lines((folder / "multimodal-vae-audiogram/multimodal_vae_audiogram/audiogram.py").read_text("utf-8"))
    said = f"These are {lines} lines" in TUTORIAL.read_text("utf-8")
    env.hold(f"its author writes {lines} lines beside the networks, as the page says", said)
    env.hold(f"which is at most {MOST_LINES}", lines <= MOST_LINES)


def scaffolded(env: Fresh, kind: str, name: str) -> Path:
    """Scaffold a plugin, install it in place, run its tests, and use its wheel; return the folder of its package."""
    folder = env.place / f"multimodal-vae-{name}"
    made = env.run("mmvae", "new", kind, name)
    env.hold(f"mmvae new {kind} {name}", made.returncode == 0 and folder.is_dir(), made.stderr)
    env.pip("install", "--no-build-isolation", "-e", f"{folder}[test]")
    tested = env.run(env.python, "-m", "pytest", "-q", folder)
    env.hold(f"its tests pass: {tested.stdout.strip().splitlines()[-1]}", tested.returncode == 0, tested.stdout)
    (package,) = folder.glob("multimodal_vae_*")
    env.pip("uninstall", "-y", folder.name)
    env.pip("wheel", "--no-deps", "--no-build-isolation", "--wheel-dir", env.place / "dist", folder)
    (wheel,) = (env.place / "dist").glob(f"{package.name}-*.whl")
    env.pip("install", "--no-deps", wheel)
    listed = env.run("mmvae", "plugins").stdout
    env.hold("its wheel is listed", f" {name} " in listed, listed)
    checked = env.run("mmvae", "check", kind, name)
    env.hold(checked.stdout.strip().splitlines()[-1], checked.returncode == 0, checked.stdout)
    return package


def author_lines(source: str) -> int:
    """Count lines of code without blank lines, comments, docstrings and the networks."""
    tree = ast.parse(source)
    excluded: set[int] = set()
    for node in ast.walk(tree):
        if isinstance(node, ast.FunctionDef) and node.name in NETWORKS:
            excluded |= set(range(node.lineno, (node.end_lineno or 0) + 1))
        if isinstance(node, ast.Expr) and isinstance(node.value, ast.Constant) and isinstance(node.value.value, str):
            excluded |= set(range(node.lineno, (node.end_lineno or 0) + 1))
    lines = enumerate(source.splitlines(), start=1)
    return sum(bool(text.strip()) and not text.strip().startswith("#") and line not in excluded for line, text in lines)


if __name__ == "__main__":
    main(*(Path(word).resolve() for word in sys.argv[1:4]))
