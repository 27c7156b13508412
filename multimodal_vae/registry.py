"""Finding parts by name: every part, the core's own included, is an entry point of an installed distribution.

Listing reads package metadata only; nothing is imported before :func:`load` is asked for one part. This module imports
neither torch nor any plugin.
"""

import configparser
import importlib
import importlib.metadata
import os
import subprocess
import sys
import zipfile
from collections.abc import Iterator
from dataclasses import dataclass
from functools import cache
from typing import Any, TypeVar

import entrypoints

from multimodal_vae.errors import PluginError, did_you_mean

KINDS = {
    "modality": "multimodal_vae.modalities",
    "fusion": "multimodal_vae.fusions",
    "metric_loss": "multimodal_vae.metric_losses",
    "sampler": "multimodal_vae.samplers",
    "logger": "multimodal_vae.loggers",
}
"""The kinds of part, and the entry point group of each."""

CORE = "multimodal-vae"

# So that a run which needs one of our plugins can say what to install.
SHIPPED = {
    ("modality", "otoscopy"): "multimodal-vae-otoscopy",
    ("modality", "wbt"): "multimodal-vae-wbt",
    ("modality", "ecg"): "multimodal-vae-ecg",
}

WORKS, RESTRICTED = "works", "not to be loaded: MMVAE_PLUGINS does not name its distribution"
_PATIENCE = 120  # seconds that a part may take to import when it is checked

C = TypeVar("C", bound=Any)


@dataclass(frozen=True, order=True)
class Entry:
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
        ours: whether it speaks of a group of :data:`KINDS`, and so means to offer parts.
    """

    distribution: str
    version: str
    fault: str
    ours: bool


_registered: dict[tuple[str, str], type] = {}


def entries(kind: str | None = None) -> list[Entry]:
    """List the installed parts, sorted by kind and name, without importing any.

    Args:
        kind: one key of :data:`KINDS`, or None for all.
    """
    return sorted(entry for entry in _discover() if kind in (None, entry.kind))


def refresh() -> None:
    """Forget what was discovered, so that the next look-up reads the installed metadata anew."""
    _discover.cache_clear()


def register(part: C, name: str | None = None) -> C:
    """Make a class of this session known by a name, for notebooks; installed parts need no registration.

    Args:
        part: a subclass of one of the kinds of part.
        name: the name; the class's own in lower case where it is None.

    Returns:
        The same class, so that this serves as a decorator.

    Raises:
        PluginError: if it is no such class.
    """
    kind = getattr(part, "kind", None)
    if not isinstance(part, type) or kind not in KINDS:
        raise PluginError(f"{part!r} is not a part: register takes a class that derives from one of {', '.join(KINDS)}")
    _registered[(kind, name or part.__name__.lower())] = part
    return part


def load(kind: str, name: str) -> type:
    """Import one part by name.

    Args:
        kind: a key of :data:`KINDS`.
        name: the part's name; or ``distribution:name``, where two distributions have one of that name; or, for a
            registered class, its full dotted name, under which a run keeps a class that was never registered.

    Raises:
        PluginError: if the name is unknown, has two owners, is not allowed by the environment variable
            ``MMVAE_PLUGINS``, needs another version of the core, or cannot be imported; the message names the
            distribution to install or the one at fault.
    """
    registered = _of_this_session(kind, name)
    if registered is not None:
        return registered
    entry = find(kind, name)
    what = f"{kind} {name!r} of {entry.owner}"
    if not _allowed(entry):
        raise PluginError(f"{kind} {name!r} comes with {entry.distribution}, which MMVAE_PLUGINS does not name")
    if entry.fault:
        raise PluginError(f"{what} cannot be loaded: {entry.fault}")
    _require_this_core(entry, what)
    try:
        part: Any = getattr(importlib.import_module(entry.module), entry.attribute)
    # A plugin's import may fail in any way at all, also by ending the process, and its owner must be named.
    except (Exception, SystemExit) as error:
        raise PluginError(f"{what} could not be loaded from {entry.module}: {type(error).__name__}: {error}") from error
    if not isinstance(part, type) or getattr(part, "kind", None) != kind:
        raise PluginError(f"{what} is {entry.module}:{entry.attribute}, which is no {kind}")
    lacking = ", ".join(sorted(getattr(part, "__abstractmethods__", ())))
    if lacking:
        raise PluginError(f"{what} is {entry.module}:{entry.attribute}, which lacks {lacking}")
    loaded: type = part
    return loaded


def find(kind: str, name: str) -> Entry:
    """Look one installed part up, importing nothing.

    Raises:
        PluginError: if the name is unknown or has two owners.
    """
    owner, _, plain = name.rpartition(":")
    found = [each for each in entries(kind) if each.name == plain and _canonical(owner) in ("", each.distribution)]
    if not found:
        raise PluginError(_unknown(kind, name))
    if len(found) > 1:
        owners = " and ".join(each.distribution for each in found)
        raise PluginError(
            f"{kind} {name!r} is registered by {owners}; write '{found[0].distribution}:{plain}', or uninstall "
            "one of them"
        )
    return found[0]


def check(entry: Entry) -> str:
    """Import one part in a process of its own, make it if it has no required settings, and say how it is.

    Returns:
        :data:`WORKS`, :data:`RESTRICTED`, or what is wrong.
    """
    if not _allowed(entry):
        return RESTRICTED
    program = "import sys; from multimodal_vae.part import examine; examine(*sys.argv[1:])"
    command = [sys.executable, "-c", program, entry.kind, f"{entry.distribution}:{entry.name}"]
    try:
        ran = subprocess.run(command, capture_output=True, text=True, timeout=_PATIENCE)
    except subprocess.TimeoutExpired:
        return f"has not finished importing after {_PATIENCE} s"
    if not ran.returncode:
        return WORKS
    said = ran.stderr.strip().splitlines()
    return said[-1].partition("Error: ")[2] or said[-1] if said else f"ended the process ({ran.returncode})"


def unreadable() -> list[Unreadable]:
    """List the distributions whose entry points cannot be read; parts of theirs are not found."""
    return sorted(_standard_library(faults=True))


def name_of(part: type) -> str:
    """Return the name under which a class is registered, or its full dotted name where it is not."""
    kind = getattr(part, "kind", "")
    for (registered_kind, name), registered in _registered.items():
        if registered is part and registered_kind == kind:
            return name
    entry = owner_of(part)
    if entry is None:
        return f"{part.__module__}.{part.__qualname__}"
    namesakes = [each for each in entries(kind) if each.name == entry.name]
    return entry.name if len(namesakes) == 1 else f"{entry.distribution}:{entry.name}"


def owner_of(part: type) -> Entry | None:
    """Return the entry of an installed part, or None for a class of this session."""
    for entry in entries(getattr(part, "kind", None)):
        if (entry.module, entry.attribute) == (part.__module__, part.__qualname__):
            return entry
    return None


def _of_this_session(kind: str, name: str) -> type | None:
    """Find a registered class, also by the dotted name that it has while nobody registers it."""
    if (kind, name) in _registered:
        return _registered[(kind, name)]
    for (registered_kind, _), part in _registered.items():
        if registered_kind == kind and "." in name and part.__name__ == name.rpartition(".")[2]:
            return part
    return None


def _allowed(entry: Entry) -> bool:
    allowed = os.environ.get("MMVAE_PLUGINS")
    return allowed is None or entry.distribution in {CORE, *map(_canonical, allowed.replace(",", " ").split())}


def _require_this_core(entry: Entry, what: str) -> None:
    """Refuse a part whose distribution asks for another version of the core than is installed."""
    from packaging.requirements import InvalidRequirement, Requirement

    if entry.distribution == CORE:
        return
    try:
        required = [Requirement(line) for line in importlib.metadata.requires(entry.distribution) or []]
        installed = importlib.metadata.version(CORE)
    except (importlib.metadata.PackageNotFoundError, InvalidRequirement):
        return  # its metadata does not say what it needs; its import will
    for each in required:
        if _canonical(each.name) == CORE and not each.specifier.contains(installed, prereleases=True):
            raise PluginError(
                f"{what} needs {CORE}{each.specifier}, and {installed} is installed; install a version of one that "
                f"suits the other, for example: pip install --upgrade {CORE} {entry.distribution}"
            )


def _unknown(kind: str, name: str) -> str:
    shipped = SHIPPED.get((kind, name))
    if shipped:
        return f"{kind} {name!r} is not installed; it comes with the distribution {shipped}: pip install {shipped}"
    known = {entry.name for entry in entries(kind)} | {known for known_kind, known in _registered if known_kind == kind}
    if "." in name:
        return f"{kind} {name!r} was a class of another session; pass it to multimodal_vae.register first"
    return f"there is no {kind} {name!r}; {did_you_mean(name, known)}"


@cache
def _discover() -> tuple[Entry, ...]:
    try:
        found = list(_entrypoints())
    except (configparser.Error, UnicodeError, OSError, zipfile.BadZipFile):
        # One stranger's malformed file costs `entrypoints` all discovery; the standard library reads on.
        found = list(_standard_library(faults=False))
    # A distribution may be found twice, such as by an egg-info beside its dist-info, under two spellings of its name;
    # the first on the path is the one that would be imported.
    unique: dict[tuple[str, str, str], Entry] = {}
    for entry in found:
        unique.setdefault((entry.kind, entry.name, entry.distribution), entry)
    return tuple(unique.values())


def _entrypoints() -> Iterator[Entry]:
    """Every entry point of our groups, by the `entrypoints` package, in one pass over the path."""
    for config, distribution in entrypoints.iter_files_distros():
        for kind, group in KINDS.items():
            if group in config:
                owner = _canonical(distribution.name)
                version = distribution.version or _version(owner)
                for name, value in config[group].items():
                    yield _entry(kind, name, value, owner, version)


def _standard_library(faults: bool) -> Iterator[Any]:
    """The same by the standard library: what can be read, or else what is wrong with what cannot."""
    for distribution in importlib.metadata.distributions():
        owner, version, text = "?", "?", ""
        try:
            owner, version = _canonical(distribution.metadata["Name"]), distribution.version
            text = distribution.read_text("entry_points.txt") or ""
            points = [(point.name, point.value, point.group) for point in distribution.entry_points]
        except Exception as error:  # noqa: BLE001  (a stranger's metadata may fail in any way at all)
            if faults:
                ours = any(group in text for group in KINDS.values())
                yield Unreadable(owner, version, f"its entry points cannot be read: {error}", ours)
            continue
        if not faults:
            for kind, group in KINDS.items():
                yield from (_entry(kind, name, value, owner, version) for name, value, g in points if g == group)


def _entry(kind: str, name: str, value: str, owner: str, version: str) -> Entry:
    try:
        point = entrypoints.EntryPoint.from_string(value, name)
    except entrypoints.BadEntryPoint:
        point = None
    if point is None or not point.object_name:
        fault = f"its entry point {name} = {value!r} is not of the form module:Class"
        return Entry(kind, name, "", "", owner, version, fault)
    return Entry(kind, name, point.module_name, point.object_name, owner, version)


def _version(distribution: str) -> str:
    try:
        return importlib.metadata.version(distribution)
    except importlib.metadata.PackageNotFoundError:
        return "?"


def _canonical(distribution: str) -> str:
    return distribution.lower().replace("_", "-").replace(".", "-")
