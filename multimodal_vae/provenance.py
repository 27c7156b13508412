"""Which code each part of a run was, so that a run is opened with the code that trained it."""

import json
import warnings
from collections.abc import Iterable

import pydantic
from typing_extensions import TypedDict

from multimodal_vae import registry
from multimodal_vae.errors import MultimodalVAEWarning, PluginError, RunError, did_you_mean
from multimodal_vae.part import Part, explain, parts_within


class PartRecord(TypedDict):
    """What a run keeps of a part's class; distribution and version are None for a class of the session."""

    kind: str
    name: str
    path: str
    distribution: str | None
    version: str | None
    behaviour_version: int


_RECORDS = pydantic.TypeAdapter(list[PartRecord])
_mentioned: set[tuple[str, str]] = set()


def records(value: object) -> list[PartRecord]:
    """Record every part within a value, once each, in their order."""
    found: dict[str, PartRecord] = {}
    for part in parts_within(value):
        record = _record(type(part), part.name)
        found.setdefault(json.dumps(record), record)
    return list(found.values())


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
        RunError: if a part is of another distribution, its class declares another behaviour, or the record is damaged.

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
        if now["behaviour_version"] != record["behaviour_version"]:
            mend = f"install {record['distribution']}=={record['version']}" if record["distribution"] else "train anew"
            raise RunError(
                f"{what}, whose behaviour version was {record['behaviour_version']}, and that of {_owner(now)} is "
                f"{now['behaviour_version']}: the same weights would mean something else; {mend}"
            )
        if record["distribution"] and now["version"] != record["version"]:
            others[_owner(record)] = f"{now['version']} is installed" if now["version"] else "a class was passed"
    for owner, instead in others.items():
        if (owner, instead) in _mentioned:  # as by the run, whose densities are compared as well
            continue
        _mentioned.add((owner, instead))
        warnings.warn(
            f"{where} was trained with {owner}, and {instead}; the parts it uses declare no change of behaviour",
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
        "behaviour_version": part.behaviour_version,
    }


def _owner(record: PartRecord) -> str:
    return f"{record['distribution']} {record['version']}" if record["distribution"] else "its session"
