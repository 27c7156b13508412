"""Writes a distribution with one part of one's own, that installs and keeps every law as it is."""

import importlib.metadata
import keyword
import re
from importlib import resources
from pathlib import Path
from string import Template

from multimodal_vae import registry
from multimodal_vae.errors import PluginError, did_you_mean
from multimodal_vae.files import new_folder

KINDS = ("modality", "fusion", "metric_loss", "sampler")
"""The kinds of part for which there is a template."""

_ACRONYM = 4  # letters that a short name such as "eeg" has at most


def new_distribution(kind: str, name: str, out: Path | None = None) -> Path:
    """Write a distribution: pyproject with entry point, module, tests that run the laws, README.

    Args:
        kind: one of :data:`KINDS`; ``metric-loss`` is taken as well.
        name: the name under which users will find the part, in lower case.
        out: a place that is empty or does not exist; ``multimodal-vae-<name>`` where it is None.

    Returns:
        The folder.

    Raises:
        PluginError: if there is no template of that kind, the name is no name, or is taken.
        RunError: if the place is taken.
    """
    kind = kind.replace("-", "_")
    if kind not in KINDS:
        raise PluginError(f"there is no template of a {kind!r}; {did_you_mean(kind, KINDS)}")
    plain = name.replace("-", "_")
    if not re.fullmatch(r"[a-z][a-z0-9]*(_[a-z0-9]+)*", plain) or keyword.iskeyword(plain):
        raise PluginError(f"{name!r} is no name for a {kind}: take small letters and digits, joined by single dashes")
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
        "Part": plain.upper() if len(plain) <= _ACRONYM else "".join(word.title() for word in plain.split("_")),
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
            (folder / path).write_text(_filled(template, words) if template else "", "utf-8")
    return out


def _filled(template: str, words: dict[str, str]) -> str:
    text = (resources.files(__package__) / "templates" / f"{template}.txt").read_text("utf-8")
    return Template(text).substitute(words)


def _compatible(version: str) -> str:
    """The versions of the core that promise not to break a plugin written for this one."""
    major, minor, *_ = version.split(".")
    following = f"0.{int(minor) + 1}" if major == "0" else str(int(major) + 1)
    return f">={major}.{minor},<{following}"
