"""Which code each part of a run was, so that a run is opened with the code that trained it."""

import json
import warnings
from collections.abc import Iterable

from typing_extensions import TypedDict

from multimodal_vae import registry
from multimodal_vae.errors import MultimodalVAEWarning, PluginError, RunError, did_you_mean
from multimodal_vae.part import Part, parts_within


class PartRecord(TypedDict):
    """What a run keeps of a part's class; distribution and version are None for a class of the session."""

    kind: str
    name: str
    path: str
    distribution: str | None
    version: str | None
    behaviour_version: int


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
        names = [each["name"] for each in recorded if (each["kind"], each["path"].rpartition(".")[2]) == (kind, name)]
        if not names:
            classes = [each["path"].rpartition(".")[2] for each in recorded]
            raise PluginError(f"{where} used no class {name}; {did_you_mean(name, classes)}")
        for each in names:
            registry.register(part, each)


def require(recorded: Iterable[PartRecord], where: str) -> None:
    """Compare what a run recorded with what is installed.

    Args:
        recorded: by :func:`records`.
        where: what the parts belong to, for the messages.

    Raises:
        PluginError: if a part is not to be had; the message says what to install or to pass.
        RunError: if a part is of another distribution, or its class declares another behaviour.

    Warns:
        MultimodalVAEWarning: once for each distribution of another version than the run was trained with.
    """
    others: dict[str, str] = {}
    for record in recorded:
        now = _record(_load(record, where), record["name"])
        what = f"{where} was trained with {record['kind']} {record['name']!r} of {_owner(record)}"
        if record["distribution"] and now["distribution"] not in (record["distribution"], None):
            raise RunError(f"{what}, and what is installed under that name is of {_owner(now)}")
        if now["behaviour_version"] != record["behaviour_version"]:
            mend = f"install {record['distribution']}=={record['version']}" if record["distribution"] else "train anew"
            raise RunError(
                f"{what}, whose behaviour version was {record['behaviour_version']}, and that of {_owner(now)} is "
                f"{now['behaviour_version']}: the same weights would mean something else; {mend}"
            )
        if record["distribution"] and now["version"] != record["version"]:
            others[_owner(record)] = f"{now['version']} is installed" if now["version"] else "a class was passed"
    for owner, instead in others.items():
        warnings.warn(
            f"{where} was trained with {owner}, and {instead}; the parts it uses declare no change of behaviour",
            MultimodalVAEWarning,
            stacklevel=2,
        )


def _load(record: PartRecord, where: str) -> type:
    try:
        return registry.load(record["kind"], record["name"])
    except PluginError as error:
        what = f"{where} was trained with {record['kind']} {record['name']!r}"
        if record["distribution"] is None:
            raise PluginError(
                f"{what}, the class {record['path']}, which belongs to no installed distribution; pass it: "
                f"open_run(..., parts=[{record['path'].rpartition('.')[2]}])"
            ) from error
        if any(entry.distribution == record["distribution"] for entry in registry.entries()):
            raise
        raise PluginError(
            f"{what} of {_owner(record)}, which is not installed: "
            f"pip install {record['distribution']}=={record['version']}"
        ) from error


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
