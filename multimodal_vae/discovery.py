"""Read from package metadata which parts are installed, without importing them.

The `entrypoints` package reads all distributions in one pass, but fails as a whole on one malformed file. Then the
standard library reads them one by one.
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
"""Entry point group of each kind of part."""

CORE = "multimodal-vae"
"""Distribution of this package."""


@dataclass(frozen=True, order=True)
class PartEntry:
    """An installed part, as package metadata describes it.

    Attributes:
        kind: a key of :data:`KINDS`.
        name: the name users write.
        module: module that defines the part.
        attribute: the class in that module.
        distribution: distribution that declares the entry point, in pip's spelling.
        version: version of the distribution.
        fault: what is wrong with the entry point; empty if nothing is.
    """

    kind: str
    name: str
    module: str
    attribute: str
    distribution: str
    version: str
    fault: str = ""

    @property
    def release(self) -> str:
        """Distribution and version, as errors name them."""
        return f"{self.distribution} {self.version}"


@dataclass(frozen=True, order=True)
class UnreadableDistribution:
    """A distribution whose entry points cannot be read, so that its parts are unknown.

    Attributes:
        distribution: its name, in pip's spelling.
        version: its version.
        fault: what is wrong.
        offers_parts: whether its entry points mention a group of :data:`KINDS`, and it may load.
    """

    distribution: str
    version: str
    fault: str
    offers_parts: bool


def unreadable_distributions() -> list[UnreadableDistribution]:
    """Return the distributions whose entry points cannot be read."""
    return sorted(each for each in _by_standard_library() if isinstance(each, UnreadableDistribution))


_ENTRY_POINTS = importlib.metadata.Distribution.entry_points.fget  # type: ignore[attr-defined]  # a property's getter


def shield() -> None:
    """Ignore malformed entry points in the whole process, for the command line and for programs of one's own.

    Torch, pydantic and dependencies of scikit-learn look for plugins with the standard library, which fails on one
    malformed file of any distribution. After this call such a distribution has no entry points.
    """

    def entry_points(distribution: importlib.metadata.Distribution) -> importlib.metadata.EntryPoints:
        try:
            points: importlib.metadata.EntryPoints = _ENTRY_POINTS(distribution)
        except Exception:  # noqa: BLE001  (malformed metadata may raise anything)
            return importlib.metadata.EntryPoints()
        return points

    setattr(importlib.metadata.Distribution, "entry_points", property(entry_points))  # noqa: B010


@cache
def discover() -> tuple[PartEntry, ...]:
    """Return every installed part once."""
    try:
        by_distribution = list(_by_entrypoints())
    except Exception:  # noqa: BLE001  (malformed metadata may raise anything)
        by_distribution = [each for each in _by_standard_library() if not isinstance(each, UnreadableDistribution)]
    # A distribution may be listed twice, as by an egg-info beside its dist-info under another spelling. The first on
    # the path is the one that is imported; what only the other lists may be long gone.
    unique: dict[str, dict[tuple[str, str], PartEntry]] = {}
    for entries in by_distribution:
        parts: dict[tuple[str, str], PartEntry] = {}
        for entry in entries:
            parts.setdefault((entry.kind, entry.name), entry)
            unique.setdefault(entry.distribution, parts)
    return tuple(entry for parts in unique.values() for entry in parts.values())


def _by_entrypoints() -> Iterator[list[PartEntry]]:
    """Yield the parts of each distribution, read by the `entrypoints` package."""
    for config, distribution in entrypoints.iter_files_distros(_search_path()):
        groups = [(kind, group) for kind, group in KINDS.items() if group in config]
        if groups:
            owner = canonical(distribution.name)
            version = version_of(owner) or distribution.version or "?"
            yield [
                _entry(kind, name, value, owner, version)
                for kind, group in groups
                for name, value in config.items(group, raw=True)
            ]


def _by_standard_library() -> Iterator[list[PartEntry] | UnreadableDistribution]:
    """Yield the parts of each distribution, or what is wrong with its entry points."""
    kinds = {group: kind for kind, group in KINDS.items()}
    for distribution in _by_precedence(importlib.metadata.distributions(path=_search_path())):
        owner, version, text, fault = _name(distribution), "?", "", ""
        entries: list[PartEntry] = []
        try:
            text = distribution.read_text("entry_points.txt") or ""
            points = [point for point in _ENTRY_POINTS(distribution) if point.group in kinds]
            version = (version_of(owner) if text else "") or "?"
            entries = [_entry(kinds[point.group], point.name, point.value, owner, version) for point in points]
        except Exception as error:  # noqa: BLE001  (malformed metadata may raise anything)
            if isinstance(error, UnicodeDecodeError):
                text = error.object.decode("utf-8", "replace")
            fault = _parser_error(text, one_line(error))
        offers_parts = any(f"[{group}" in text for group in KINDS.values())
        if offers_parts and not entries:  # as where the standard library silently skips a malformed header
            fault = fault or _parser_error(text, "they name a group of parts, but no part")
        if fault:
            version = version_of(owner) or "?"
            fault = f"its entry points cannot be read: {fault}"
            yield UnreadableDistribution(owner, version, fault, offers_parts)
        else:
            yield entries


def _parser_error(text: str, default: str) -> str:
    """Return the error of a parser that names the line of a fault, or a default if it finds none."""
    try:
        entrypoints.CaseSensitiveConfigParser(delimiters=("=",)).read_string(text)
    except configparser.Error as error:
        return one_line(error)
    return default


def _by_precedence(
    distributions: Iterable[importlib.metadata.Distribution],
) -> Iterator[importlib.metadata.Distribution]:
    """Yield distributions in path order; in one folder a dist-info before an egg-info, which may be stale."""
    for _, neighbors in groupby(distributions, lambda each: str(each.locate_file(""))):
        yield from sorted(neighbors, key=lambda each: PurePath(str(_metadata_path(each))).suffix != ".dist-info")


def _search_path() -> list[str]:
    """Return sys.path without entries that are no text, which Python ignores as well."""
    path: list[object] = [*sys.path]
    return [folder for folder in path if isinstance(folder, str)]


def _metadata_path(distribution: importlib.metadata.Distribution) -> object:
    return getattr(distribution, "_path", "")  # the standard library has no public name for it


def _name(distribution: importlib.metadata.Distribution) -> str:
    """Return a distribution's name, from the name of its metadata folder if the metadata are unreadable."""
    try:
        name = distribution.metadata["Name"]
    except Exception:  # noqa: BLE001  (malformed metadata may raise anything)
        name = None
    return canonical(name or PurePath(str(_metadata_path(distribution))).stem.partition("-")[0] or "?")


def _entry(kind: str, name: str, value: str, owner: str, version: str) -> PartEntry:
    try:
        point = entrypoints.EntryPoint.from_string(value, name)
    except entrypoints.BadEntryPoint:
        point = None
    if point is None or not point.object_name:
        fault = f"its entry point {name} = {value!r} is not of the form module:Class"
    elif ":" in name:
        fault = f"the name of its entry point {name} = {value} contains a colon, which separates distribution and name"
    else:
        return PartEntry(kind, name, point.module_name, point.object_name, owner, version)
    return PartEntry(kind, name, "", "", owner, version, fault)


def _installed(distribution: str) -> importlib.metadata.Distribution | None:
    return next(_by_precedence(importlib.metadata.distributions(name=distribution, path=_search_path())), None)


@cache
def version_of(distribution: str) -> str:
    """Return a distribution's version; empty if it is not installed or its metadata are unreadable."""
    installed = _installed(distribution)
    try:
        return str((installed and installed.version) or "")
    except Exception:  # noqa: BLE001  (malformed metadata may raise anything)
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
    except Exception:  # noqa: BLE001  (malformed metadata may raise anything)
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
    """Return a distribution's name in pip's spelling (PEP 503)."""
    return re.sub(r"[-_.]+", "-", distribution).lower()
