"""The lowest versions that the distributions declare of what they need, a requirement a line: ``numpy==1.26``.

Where several declare one, the highest of their floors is what an environment with all of them has at least.

Run: ``python tests/tools/floors.py PYPROJECT...``; ``NAME=VERSION`` among the words puts another
version in a floor's place.
"""

import sys
import tomllib
from collections.abc import Iterable, Mapping
from pathlib import Path

from packaging.requirements import Requirement
from packaging.utils import canonicalize_name
from packaging.version import Version

EXTRAS = ("flow", "tensorboard", "metric-learning")
"""Extras that the tests need; the others name plugins."""


def floors(files: Iterable[Path]) -> dict[str, Version]:
    """The floor of each requirement of some ``pyproject.toml``, extras of the tests included, by name.

    Raises:
        ValueError: naming a requirement of another distribution that declares no floor.
    """
    found: dict[str, Version] = {}
    projects = [tomllib.loads(file.read_text("utf-8"))["project"] for file in files]
    own = {canonicalize_name(project["name"]) for project in projects}
    for project in projects:
        extras = project.get("optional-dependencies", {})
        for text in [*project["dependencies"], *(line for name in EXTRAS for line in extras.get(name, []))]:
            requirement = Requirement(text)
            name = canonicalize_name(requirement.name)
            if name in own:
                continue
            lowest = [Version(each.version) for each in requirement.specifier if each.operator == ">="]
            if not lowest:
                raise ValueError(f"{project['name']} declares no lowest version: {text}")
            found[name] = max([*lowest, *([found[name]] if name in found else [])])
    return dict(sorted(found.items()))


def lines(found: Mapping[str, Version], instead: Mapping[str, str]) -> list[str]:
    """The requirements, with other versions in place of some floors."""
    return [f"{name}=={instead.get(name, version)}" for name, version in found.items()]


if __name__ == "__main__":
    words = sys.argv[1:]
    changed = dict(word.split("=", 1) for word in words if "=" in word)
    print(*lines(floors(Path(word) for word in words if "=" not in word), changed), sep="\n")
