"""Record the code of a run's parts, and check on opening that the installed code is the same."""

import hashlib
import json
import sys
import warnings
from collections.abc import Iterable
from pathlib import Path
from typing import Any

import pydantic
from typing_extensions import TypedDict

from multimodal_vae import registry
from multimodal_vae.discovery import CORE, requirements_of, version_of
from multimodal_vae.errors import MultimodalVAEWarning, PluginError, RunError, did_you_mean
from multimodal_vae.part import STARTED, Part, explain, parts_within


class PartRecord(TypedDict):
    """Record of a part's class; distribution and version are None for a class of the session."""

    kind: str
    name: str
    path: str
    distribution: str | None
    version: str | None
    behavior_version: int


_RECORDS = pydantic.TypeAdapter(list[PartRecord])
_warned: set[tuple[str, str]] = set()


def records(value: object) -> list[PartRecord]:
    """Return the records of all parts within a value, each once, in their order."""
    unique: dict[str, PartRecord] = {}
    for part in parts_within(value):
        record = _record(type(part), part.name)
        unique.setdefault(json.dumps(record), record)
    return list(unique.values())


def code_of(value: object) -> dict[str, Any] | None:
    """Identify the code that decides what the parts within a value do.

    Returns:
        Their records, a hash of their packages' sources, and the versions of what their distributions require. None if
        the code is unknown: for a class of the session, and where a source has changed since the session started.
    """
    parts = [type(part) for part in parts_within(value)]
    entries = [registry.entry_of(part) for part in parts]
    owners = {entry.distribution for entry in entries if entry}
    packages = {each.__module__.partition(".")[0] for part in parts for each in part.__mro__ if issubclass(each, Part)}
    if None in entries:
        return None
    digest = hashlib.sha256()
    for package in sorted(packages):
        for source in _sources(package):
            if source.stat().st_mtime >= STARTED:
                return None
            digest.update(f"{source}".encode() + source.read_bytes())
    # The core's extras are left out: a plugin that is installed later changes nothing here.
    required = {each.name for each in requirements_of(CORE, extra="")}
    required |= {each.name for owner in owners - {CORE} for each in requirements_of(owner)}
    return {
        "parts": records(value),
        "sources": digest.hexdigest(),
        "requires": {name: version_of(name) for name in sorted(required)},
    }


def _sources(package: str) -> list[Path]:
    """Return the Python files of a package, or of a module."""
    module = sys.modules[package]
    folders = [Path(folder) for folder in getattr(module, "__path__", [])]
    return sorted(each for folder in folders for each in folder.rglob("*.py")) or [Path(str(module.__file__))]


def register_classes(parts: Iterable[type[Part]], recorded: Iterable[PartRecord], where: str) -> None:
    """Register classes of this session under the names that a run has recorded for them.

    Args:
        parts: the classes.
        recorded: the run's records.
        where: the run, for messages.

    Raises:
        PluginError: if the run used no class of that name.
    """
    recorded = list(recorded)
    for part in parts:
        kind = getattr(part, "kind", None)
        name = getattr(part, "__name__", repr(part))
        path = f"{getattr(part, '__module__', '')}.{getattr(part, '__qualname__', '')}"
        alike = [each for each in recorded if (each["kind"], each["path"].rpartition(".")[2]) == (kind, name)]
        names = [each["name"] for each in alike if each["path"] == path] or [each["name"] for each in alike]
        if not names:
            classes = [each["path"].rpartition(".")[2] for each in recorded]
            raise PluginError(f"{where} used no class {name}; {did_you_mean(name, classes)}")
        for each in names:
            registry.register(part, each)


def register_instances(value: object) -> None:
    """Register the class of each part instance within ``value`` under its name, unless a distribution provides it."""
    for part in parts_within(value):
        if registry.entry_of(type(part)) is None:
            registry.register(type(part), part.name)


def require(recorded: Iterable[PartRecord], where: str, call: str = "open_run") -> None:
    """Check that the installed parts are those that a run recorded; ambiguous names then resolve as in the run.

    Args:
        recorded: by :func:`records`.
        where: what the parts belong to, for messages.
        call: function whose argument ``parts`` takes classes of a session, for messages.

    Raises:
        PluginError: if a part is missing. The message says what to install or to pass.
        RunError: if a part now belongs to another distribution or has another behavior version, or the record is
            damaged.

    Warns:
        MultimodalVAEWarning: once per session and distribution, if its version differs from the run's.
    """
    try:
        recorded = _RECORDS.validate_python(list(recorded))
    except pydantic.ValidationError as error:
        raise RunError(f"the record of the parts of {where} is damaged: {explain(error)}") from error
    differing: dict[str, str] = {}
    for record in recorded:
        part = _load(record, where, call)
        now = _record(part, record["name"])
        trained = f"{where} was trained with {record['kind']} {record['name']!r} of {_release(record)}"
        passed = not record["distribution"] and registry.is_registered(part)
        if now["distribution"] not in (record["distribution"], None) and not passed:
            fix = "" if record["distribution"] else f"; pass the class: {_pass(record, call)}"
            raise RunError(f"{trained}, but the installed one is of {_release(now)}{fix}")
        if now["behavior_version"] != record["behavior_version"]:
            requirement = f"{record['distribution']}=={record['version']}"
            fix = f"pip install {requirement}" if record["distribution"] else "train the run again"
            raise RunError(
                f"{trained} (behavior_version {record['behavior_version']}), but {_release(now)} has behavior_version "
                f"{now['behavior_version']}, which computes something else: {fix}"
            )
        if record["distribution"] and now["version"] != record["version"]:
            differing[_release(record)] = f"{now['version']} is installed" if now["version"] else "a class was passed"
    for release, instead in differing.items():
        if (release, instead) in _warned:  # as by the run, before its densities
            continue
        _warned.add((release, instead))
        warnings.warn(
            f"{where} was trained with {release}, but {instead}; the parts it uses have the same behavior version",
            MultimodalVAEWarning,
            stacklevel=2,
        )


def _load(record: PartRecord, where: str, call: str) -> type:
    kind, name, distribution = record["kind"], record["name"], record["distribution"]
    if distribution:
        registry.prefer(kind, name, distribution)
    try:
        return registry.load(kind, name)
    except PluginError as error:
        trained = f"{where} was trained with {kind} {name!r}"
        if distribution is None:
            raise PluginError(
                f"{trained}, the class {record['path']}, which belongs to no installed distribution; pass it: "
                f"{_pass(record, call)}"
            ) from error
        installed = [entry for entry in registry.entries() if entry.distribution == distribution]
        if any((entry.kind, entry.name) == (kind, name.rpartition(":")[2]) for entry in installed):
            raise
        fault = f"but {installed[0].release} has no such part" if installed else "which is not installed"
        raise PluginError(
            f"{trained} of {_release(record)}, {fault}: pip install {distribution}=={record['version']}"
        ) from error


def _pass(record: PartRecord, call: str) -> str:
    return f"{call}(..., parts=[{record['path'].rpartition('.')[2]}])"


def _record(part: type[Part], name: str) -> PartRecord:
    entry = registry.entry_of(part)
    return {
        "kind": part.kind,
        "name": name,
        "path": f"{part.__module__}.{part.__qualname__}",
        "distribution": entry.distribution if entry else None,
        "version": entry.version if entry else None,
        "behavior_version": part.behavior_version,
    }


def _release(record: PartRecord) -> str:
    return f"{record['distribution']} {record['version']}" if record["distribution"] else "its session"
