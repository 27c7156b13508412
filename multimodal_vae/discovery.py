"""What package metadata says of parts: read without importing any, whatever state the neighbors' metadata are in.

Discovery is by the `entrypoints` package, and by the standard library where one malformed file costs that everything.
"""

import configparser
import importlib.metadata
import re
import sys
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from functools import cache
from itertools import groupby
from pathlib import PurePath
from typing import TYPE_CHECKING

import entrypoints

from multimodal_vae.errors import one_line

if TYPE_CHECKING:
    from packaging.requirements import Requirement

KINDS = {
    "modality": "multimodal_vae.modalities",
    "fusion": "multimodal_vae.fusions",
    "metric_loss": "multimodal_vae.metric_losses",
    "sampler": "multimodal_vae.samplers",
    "logger": "multimodal_vae.loggers",
}
"""The kinds of part, and the entry point group of each."""

CORE = "multimodal-vae"


@dataclass(frozen=True, order=True)
class PartEntry:
    """Where a part comes from, as package metadata tells it.

    Attributes:
        kind: a key of :data:`KINDS`.
        name: the name users write.
        module: the module that defines the part.
        attribute: the class in that module.
        distribution: the distribution that owns the entry point, as pip spells it.
        version: its version.
        fault: what is wrong with the entry point itself; empty where it can be read.
    """

    kind: str
    name: str
    module: str
    attribute: str
    distribution: str
    version: str
    fault: str = ""

    @property
    def owner(self) -> str:
        """The distribution and its version, as an error names them."""
        return f"{self.distribution} {self.version}"


@dataclass(frozen=True, order=True)
class Unreadable:
    """A distribution whose entry points cannot be read, so that nobody knows what it offers.

    Attributes:
        distribution: its name, as pip spells it.
        version: its version.
        fault: what is wrong.
        ours: whether it speaks of a group of :data:`KINDS`, and so means to offer parts, and may.
    """

    distribution: str
    version: str
    fault: str
    ours: bool


def unreadable() -> list[Unreadable]:
    """List the distributions whose entry points cannot be read; parts of theirs are not found."""
    return sorted(each for each in _standard_library() if isinstance(each, Unreadable))


_ENTRY_POINTS = importlib.metadata.Distribution.entry_points.fget  # type: ignore[attr-defined]  # a property's getter


def shield() -> None:
    """Let other libraries work beside a stranger whose entry points cannot be read, in a process that is ours.

    Torch, pydantic and what scikit-learn stands on look for plugins of their own by the standard library, which fails
    as a whole over one malformed file. From here on such a distribution offers nothing.
    """

    def entry_points(distribution: importlib.metadata.Distribution) -> importlib.metadata.EntryPoints:
        try:
            found: importlib.metadata.EntryPoints = _ENTRY_POINTS(distribution)
        except Exception:  # noqa: BLE001  (a stranger's metadata may fail in any way at all)
            return importlib.metadata.EntryPoints()
        return found

    setattr(importlib.metadata.Distribution, "entry_points", property(entry_points))  # noqa: B010


@cache
def discover() -> tuple[PartEntry, ...]:
    """Every entry point of our groups, once."""
    try:
        found = list(_entrypoints())
    except Exception:  # noqa: BLE001  (one stranger's malformed file costs `entrypoints` all discovery, however)
        found = [each for each in _standard_library() if not isinstance(each, Unreadable)]
    # A distribution may be found twice, such as by an egg-info beside its dist-info, under two spellings of its name;
    # the first on the path is the one that would be imported, and what only the other offers may be long gone.
    unique: dict[str, dict[tuple[str, str], PartEntry]] = {}
    for entries_of_one in found:
        parts: dict[tuple[str, str], PartEntry] = {}
        for entry in entries_of_one:
            parts.setdefault((entry.kind, entry.name), entry)
            unique.setdefault(entry.distribution, parts)
    return tuple(entry for parts in unique.values() for entry in parts.values())


def _entrypoints() -> Iterator[list[PartEntry]]:
    """The entry points of our groups, by distribution, by the `entrypoints` package, in one pass over the path."""
    for config, distribution in entrypoints.iter_files_distros(_path()):
        offered = [(kind, group) for kind, group in KINDS.items() if group in config]
        if offered:
            owner = canonical(distribution.name)
            version = version_of(owner) or distribution.version or "?"
            yield [
                _entry(kind, name, value, owner, version)
                for kind, group in offered
                for name, value in config.items(group, raw=True)
            ]


def _standard_library() -> Iterator[list[PartEntry] | Unreadable]:
    """The same by the standard library, or what is wrong where a distribution's entry points cannot be read."""
    kinds = {group: kind for kind, group in KINDS.items()}
    for distribution in _in_order(importlib.metadata.distributions(path=_path())):
        owner, version, text, fault = _name(distribution), "?", "", ""
        found: list[PartEntry] = []
        try:
            text = distribution.read_text("entry_points.txt") or ""
            points = [point for point in _ENTRY_POINTS(distribution) if point.group in kinds]
            version = (version_of(owner) if text else "") or "?"
            found = [_entry(kinds[point.group], point.name, point.value, owner, version) for point in points]
        except Exception as error:  # noqa: BLE001  (a stranger's metadata may fail in any way at all)
            if isinstance(error, UnicodeDecodeError):
                text = error.object.decode("utf-8", "replace")
            fault = _why(text, one_line(error))
        ours = any(f"[{group}" in text for group in KINDS.values())
        if ours and not found:  # such as where a header is not one for the standard library, which then passes it over
            fault = fault or _why(text, "they name a group of parts, and none in it")
        if fault:
            version = version_of(owner) or "?"
            yield Unreadable(owner, version, f"its entry points cannot be read: {fault}", ours)
        else:
            yield found


def _why(text: str, otherwise: str) -> str:
    """What is wrong with entry points: the words of a parser that says where, or else those given."""
    try:
        entrypoints.CaseSensitiveConfigParser(delimiters=("=",)).read_string(text)
    except configparser.Error as error:
        return one_line(error)
    return otherwise


def _in_order(distributions: Iterable[importlib.metadata.Distribution]) -> Iterator[importlib.metadata.Distribution]:
    """As they stand on the path, within a folder a dist-info before an egg-info, which may be stale."""
    for _, beside in groupby(distributions, lambda each: str(each.locate_file(""))):
        yield from sorted(beside, key=lambda each: PurePath(str(_place(each))).suffix != ".dist-info")


def _path() -> list[str]:
    """Where Python looks: a neighbor may have put there what is no text, which Python passes over."""
    path: list[object] = [*sys.path]
    return [folder for folder in path if isinstance(folder, str)]


def _place(distribution: importlib.metadata.Distribution) -> object:
    return getattr(distribution, "_path", "")  # the standard library shows it nowhere else


def _name(distribution: importlib.metadata.Distribution) -> str:
    """Its name, from the folder of its metadata where these do not tell."""
    try:
        name = distribution.metadata["Name"]
    except Exception:  # noqa: BLE001  (a stranger's metadata may fail in any way at all)
        name = None
    return canonical(name or PurePath(str(_place(distribution))).stem.partition("-")[0] or "?")


def _entry(kind: str, name: str, value: str, owner: str, version: str) -> PartEntry:
    try:
        point = entrypoints.EntryPoint.from_string(value, name)
    except entrypoints.BadEntryPoint:
        point = None
    if point is None or not point.object_name:
        fault = f"its entry point {name} = {value!r} is not of the form module:Class"
    elif ":" in name:
        fault = f"the name of its entry point {name} = {value} holds a colon, which parts it from its distribution's"
    else:
        return PartEntry(kind, name, point.module_name, point.object_name, owner, version)
    return PartEntry(kind, name, "", "", owner, version, fault)


def _installed(distribution: str) -> importlib.metadata.Distribution | None:
    return next(_in_order(importlib.metadata.distributions(name=distribution, path=_path())), None)


def version_of(distribution: str) -> str:
    """Its version, empty where its metadata do not tell."""
    found = _installed(distribution)
    try:
        return str((found and found.version) or "")
    except Exception:  # noqa: BLE001  (a stranger's metadata may fail in any way at all)
        return ""


def requirements_of(distribution: str, extra: str | None = None) -> list["Requirement"]:
    """Return what a distribution requires; requirements that cannot be parsed are left out.

    Args:
        distribution: its name; one that is not installed requires nothing.
        extra: None for all requirements, ``""`` for those without any extra, or the name of one extra for what it adds.
    """
    from packaging.requirements import InvalidRequirement, Requirement

    installed = _installed(distribution)
    requirements = []
    try:
        lines = list((installed and installed.requires) or [])
    except Exception:  # noqa: BLE001  (a stranger's metadata may fail in any way at all)
        return []
    for line in lines:
        try:
            requirements.append(Requirement(line))
        except InvalidRequirement:
            continue
    if extra is None:
        return requirements
    return [each for each in requirements if _applies(each, extra) and not (extra and _applies(each, ""))]


def _applies(requirement: "Requirement", extra: str) -> bool:
    return requirement.marker is None or requirement.marker.evaluate({"extra": extra})


def canonical(distribution: str) -> str:
    """A distribution's name as pip spells it (PEP 503)."""
    return re.sub(r"[-_.]+", "-", distribution).lower()
