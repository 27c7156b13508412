"""Which code each part of a run was, so that a run is opened with the code that trained it."""

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
    """What a run keeps of a part's class; distribution and version are None for a class of the session."""

    kind: str
    name: str
    path: str
    distribution: str | None
    version: str | None
    behavior_version: int


_RECORDS = pydantic.TypeAdapter(list[PartRecord])
_mentioned: set[tuple[str, str]] = set()


def records(value: object) -> list[PartRecord]:
    """Record every part within a value, once each, in their order."""
    found: dict[str, PartRecord] = {}
    for part in parts_within(value):
        record = _record(type(part), part.name)
        found.setdefault(json.dumps(record), record)
    return list(found.values())


def code_of(value: object) -> dict[str, Any] | None:
    """All code that decides what the parts within a value do.

    Returns:
        Their records, a hash of their packages' sources, and the versions of what their distributions require. None
        where that cannot be told: for a class of the session, and where a source has changed since the session began,
        of which nobody knows whether it was imported before.
    """
    parts = [type(part) for part in parts_within(value)]
    owners = {owner.distribution for owner in map(registry.owner_of, parts) if owner}
    packages = {each.__module__.partition(".")[0] for part in parts for each in part.__mro__ if issubclass(each, Part)}
    if not all(map(registry.owner_of, parts)):
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
    """A package's files of Python, or the one of a module."""
    module = sys.modules[package]
    folders = [Path(folder) for folder in getattr(module, "__path__", [])]
    return sorted(each for folder in folders for each in folder.rglob("*.py")) or [Path(str(module.__file__))]


def register_passed(parts: Iterable[type[Part]], recorded: Iterable[PartRecord], where: str) -> None:
    """Register classes of this session under the names that a run knows them by.

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


def register_handed_over(value: object) -> None:
    """Let the classes of instances that were handed over be known by their names, where none is installed."""
    for part in parts_within(value):
        if registry.owner_of(type(part)) is None:
            registry.register(type(part), part.name)


def require(recorded: Iterable[PartRecord], where: str) -> None:
    """Compare what a run recorded with what is installed; a plain name means, from here on, what the run meant by it.

    Args:
        recorded: by :func:`records`.
        where: what the parts belong to, for the messages.

    Raises:
        PluginError: if a part is not to be had; the message says what to install or to pass.
        RunError: if a part is of another distribution, its class declares another behavior, or the record is damaged.

    Warns:
        MultimodalVAEWarning: once a session for each distribution of another version than the run was trained with.
    """
    try:
        recorded = _RECORDS.validate_python(list(recorded))
    except pydantic.ValidationError as error:
        raise RunError(f"what {where} keeps of its parts is damaged: {explain(error)}") from error
    others: dict[str, str] = {}
    for record in recorded:
        part = _load(record, where)
        now = _record(part, record["name"])
        what = f"{where} was trained with {record['kind']} {record['name']!r} of {_owner(record)}"
        passed = not record["distribution"] and registry.is_registered(part)
        if now["distribution"] not in (record["distribution"], None) and not passed:
            mend = "" if record["distribution"] else f"; pass the class: {_pass(record)}"
            raise RunError(f"{what}, and what is installed under that name is of {_owner(now)}{mend}")
        if now["behavior_version"] != record["behavior_version"]:
            mend = f"install {record['distribution']}=={record['version']}" if record["distribution"] else "train anew"
            raise RunError(
                f"{what}, whose behavior version was {record['behavior_version']}, and that of {_owner(now)} is "
                f"{now['behavior_version']}: the same weights would mean something else; {mend}"
            )
        if record["distribution"] and now["version"] != record["version"]:
            others[_owner(record)] = f"{now['version']} is installed" if now["version"] else "a class was passed"
    for owner, instead in others.items():
        if (owner, instead) in _mentioned:  # as by the run, whose densities are compared as well
            continue
        _mentioned.add((owner, instead))
        warnings.warn(
            f"{where} was trained with {owner}, and {instead}; the parts it uses declare no change of behavior",
            MultimodalVAEWarning,
            stacklevel=2,
        )


def _load(record: PartRecord, where: str) -> type:
    kind, name, distribution = record["kind"], record["name"], record["distribution"]
    if distribution:
        registry.prefer(kind, name, distribution)
    try:
        return registry.load(kind, name)
    except PluginError as error:
        what = f"{where} was trained with {kind} {name!r}"
        if distribution is None:
            raise PluginError(
                f"{what}, the class {record['path']}, which belongs to no installed distribution; pass it: "
                f"{_pass(record)}"
            ) from error
        installed = [entry for entry in registry.entries() if entry.distribution == distribution]
        if any((entry.kind, entry.name) == (kind, name.rpartition(":")[2]) for entry in installed):
            raise
        lacks = f"and {installed[0].owner} has none of that name" if installed else "which is not installed"
        raise PluginError(
            f"{what} of {_owner(record)}, {lacks}: pip install {distribution}=={record['version']}"
        ) from error


def _pass(record: PartRecord) -> str:
    return f"open_run(..., parts=[{record['path'].rpartition('.')[2]}])"


def _record(part: type[Part], name: str) -> PartRecord:
    owner = registry.owner_of(part)
    return {
        "kind": part.kind,
        "name": name,
        "path": f"{part.__module__}.{part.__qualname__}",
        "distribution": owner.distribution if owner else None,
        "version": owner.version if owner else None,
        "behavior_version": part.behavior_version,
    }


def _owner(record: PartRecord) -> str:
    return f"{record['distribution']} {record['version']}" if record["distribution"] else "its session"
