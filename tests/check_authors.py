"""Does what an author of a plugin does, with the wheel of the core in an environment of its own, and no checkout near.

The tutorial is followed to the letter, and each distribution that ``mmvae new`` writes is installed, tried and built.

Run: ``python tests/check_authors.py DIST CONSTRAINTS``; it ends with the count of what held.
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


def main(dist: Path, constraints: Path) -> None:
    """Check, and fail with the first thing that does not hold."""
    (core,) = dist.glob("multimodal_vae-*.whl")
    with fresh(constraints) as env:
        env.pip("install", core, "pytest", "hatchling", "editables", "mypy")
        tutorial(env)
        for kind, name in (
            ("modality", "eeg"),
            ("fusion", "blend"),
            ("metric-loss", "pull-push"),
            ("sampler", "one-blob"),
        ):
            written(env, kind, name)
        checked = env.run(env.python, "-m", "pip", "check")
        env.hold("pip check finds no fault", checked.returncode == 0, checked.stdout)


def tutorial(env: Fresh) -> None:
    """Follow the page in a folder outside the project, and count the author's lines."""
    folder = env.place / "tutorial"
    folder.mkdir()
    done = documents.run(TUTORIAL, folder, str(env.python))
    env.hold(f"the tutorial's {done} blocks do what the page says", done > 5)
    lines = author_lines((folder / "multimodal-vae-audiogram/multimodal_vae_audiogram/audiogram.py").read_text("utf-8"))
    said = f"Those are {lines} lines of yours" in TUTORIAL.read_text("utf-8")
    env.hold(f"its author writes {lines} lines beside the networks, as the page says", said)
    env.hold(f"which is at most {MOST_LINES}", lines <= MOST_LINES)


def written(env: Fresh, kind: str, name: str) -> None:
    """Write a distribution, install it in place, run its tests, and use its wheel."""
    folder = env.place / f"multimodal-vae-{name}"
    made = env.run("mmvae", "new", kind, name)
    env.hold(f"mmvae new {kind} {name}", made.returncode == 0 and folder.is_dir(), made.stderr)
    env.pip("install", "--no-build-isolation", "-e", f"{folder}[test]")
    tested = env.run(env.python, "-m", "pytest", "-q", folder)
    env.hold(f"its tests pass: {tested.stdout.strip().splitlines()[-1]}", tested.returncode == 0, tested.stdout)
    (package,) = folder.glob("multimodal_vae_*")
    typed = env.run(env.python, "-m", "mypy", "--strict", package)
    env.hold("it is fully typed", typed.returncode == 0, typed.stdout)
    env.pip("uninstall", "-y", folder.name)
    env.pip("wheel", "--no-deps", "--no-build-isolation", "--wheel-dir", env.place / "dist", folder)
    (wheel,) = (env.place / "dist").glob(f"{package.name}-*.whl")
    env.pip("install", "--no-deps", wheel)
    listed = env.run("mmvae", "plugins").stdout
    env.hold("its wheel is listed", f" {name} " in listed, listed)
    checked = env.run("mmvae", "check", kind, name)
    env.hold(checked.stdout.strip().splitlines()[-1], checked.returncode == 0, checked.stdout)


def author_lines(source: str) -> int:
    """Count lines of code: no blank ones, comments or docstrings, and not the bodies of the networks."""
    tree = ast.parse(source)
    without: set[int] = set()
    for node in ast.walk(tree):
        if isinstance(node, ast.FunctionDef) and node.name in NETWORKS:
            without |= set(range(node.lineno, (node.end_lineno or 0) + 1))
        if isinstance(node, ast.Expr) and isinstance(node.value, ast.Constant) and isinstance(node.value.value, str):
            without |= set(range(node.lineno, (node.end_lineno or 0) + 1))
    lines = enumerate(source.splitlines(), start=1)
    return sum(bool(text.strip()) and not text.strip().startswith("#") and line not in without for line, text in lines)


if __name__ == "__main__":
    main(Path(sys.argv[1]).resolve(), Path(sys.argv[2]).resolve())
