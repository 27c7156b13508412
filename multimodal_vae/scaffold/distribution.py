"""Scaffold a plugin: a distribution with one working part that passes all laws."""

import importlib.metadata
import keyword
import re
from importlib import resources
from pathlib import Path
from string import Template

from multimodal_vae import registry
from multimodal_vae.errors import PluginError, did_you_mean
from multimodal_vae.files import is_reserved_name, new_folder

TEMPLATES = ("modality", "fusion", "metric_loss", "sampler", "refiner")
"""Kinds of part that have a template."""

_MAX_ACRONYM = 4  # letters; a class of a name up to this length is written in capitals, as EEG


def new_distribution(kind: str, name: str, out: Path | None = None) -> Path:
    """Write a distribution: pyproject.toml with an entry point, a module, tests that run the laws, and a README.

    Args:
        kind: one of :data:`TEMPLATES`, or ``metric-loss``.
        name: name of the part, in lower case.
        out: folder, new or empty; default ``multimodal-vae-<name>``.

    Returns:
        The folder.

    Raises:
        PluginError: if the kind has no template, or the name is invalid or taken.
        RunError: if the folder is not empty.
    """
    kind = kind.replace("-", "_")
    if kind not in TEMPLATES:
        raise PluginError(f"there is no template for a {kind!r}; {did_you_mean(kind, TEMPLATES)}")
    plain = name.replace("-", "_")
    if not re.fullmatch(r"[a-z][a-z0-9]*(_[a-z0-9]+)*", plain) or keyword.iskeyword(plain) or is_reserved_name(plain):
        raise PluginError(f"{name!r} is no name for a {kind}: use lower-case letters, digits and single dashes")
    for entry in registry.entries(kind):
        if entry.name == name:
            raise PluginError(f"{kind} {name!r} exists already, in {entry.distribution}; choose another name")
    words = {
        "name": name,
        "kind": kind,
        "kind_in_words": kind.replace("_", " "),
        "command": kind.replace("_", "-"),
        "group": registry.KINDS[kind],
        "distribution": f"multimodal-vae-{plain.replace('_', '-')}",
        "module": f"multimodal_vae_{plain}",
        "part": plain,
        "Part": plain.upper() if len(plain) <= _MAX_ACRONYM else "".join(word.title() for word in plain.split("_")),
        "core": _compatible(importlib.metadata.version(registry.CORE)),
    }
    files = {
        "pyproject.toml": "pyproject.toml",
        "README.md": "README.md",
        f"{words['module']}/__init__.py": "__init__.py",
        f"{words['module']}/{plain}.py": f"{kind}.py",
        f"{words['module']}/py.typed": "",
        "tests/test_laws.py": "test_laws.py",
    }
    out = Path(words["distribution"]) if out is None else out
    with new_folder(out) as folder:
        for path, template in files.items():
            (folder / path).parent.mkdir(parents=True, exist_ok=True)
            (folder / path).write_text(_fill(template, words) if template else "", "utf-8")
    return out


def _fill(template: str, words: dict[str, str]) -> str:
    text = (resources.files(__package__) / "templates" / f"{template}.txt").read_text("utf-8")
    return Template(text).substitute(words)


def _compatible(version: str) -> str:
    """Return the range of core versions with the public API of this one."""
    major, minor, *_ = version.split(".")
    following = f"0.{int(minor) + 1}" if major == "0" else str(int(major) + 1)
    return f">={major}.{minor},<{following}"
