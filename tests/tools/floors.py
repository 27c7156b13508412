"""Print the lowest declared version of each dependency of some projects, one requirement per line: ``numpy==1.26``.

If several projects declare one dependency, the highest of their lowest versions counts.

Run: ``python tests/tools/floors.py PYPROJECT... [NAME=VERSION...]``; ``NAME=VERSION`` replaces a lowest version.
"""

import re
import sys
import tomllib
from collections.abc import Iterable
from pathlib import Path

EXTRAS = ("flow", "tensorboard", "metric-learning", "tune", "hub")
"""Extras that the tests need; the others name plugins."""

_LOWEST = re.compile(r"([\w.-]+).*?>= *([\d.]+)")


def floors(files: Iterable[Path]) -> dict[str, str]:
    """Return the lowest version of each dependency, including the extras that the tests need.

    Args:
        files: ``pyproject.toml`` of each project; they do not count as dependencies of each other.

    Raises:
        ValueError: a dependency has no lowest version.
    """
    projects = [tomllib.loads(file.read_text("utf-8"))["project"] for file in files]
    names = {project["name"] for project in projects}
    lowest: dict[str, str] = {}
    for project in projects:
        extras = project.get("optional-dependencies", {})
        for requirement in [*project["dependencies"], *(line for name in EXTRAS for line in extras.get(name, []))]:
            match = _LOWEST.match(requirement)
            if match is None:
                raise ValueError(f"{project['name']} declares no lowest version: {requirement}")
            name, version = match.groups()
            if name not in names:
                lowest[name] = max(version, lowest.get(name, "0"), key=_release)
    return dict(sorted(lowest.items()))


def _release(version: str) -> list[int]:
    return [int(number) for number in version.split(".")]


if __name__ == "__main__":
    projects = [Path(word) for word in sys.argv[1:] if "=" not in word]
    replaced = dict(word.split("=", 1) for word in sys.argv[1:] if "=" in word)
    print(*(f"{name}=={version}" for name, version in (floors(projects) | replaced).items()), sep="\n")
