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
import warnings
from collections.abc import Iterator
from dataclasses import dataclass
from functools import cache

import entrypoints

from multimodal_vae.errors import PluginError, did_you_mean

KINDS = {
    "modality": "multimodal_vae.modalities",
    "fusion": "multimodal_vae.fusions",
    "metric_loss": "multimodal_vae.metric_losses",
    "sampler": "multimodal_vae.samplers",
}
"""The kinds of part, and the entry point group of each."""

CORE = "multimodal-vae"

# So that a run which needs one of our plugins can say what to install.
SHIPPED = {
    ("modality", "otoscopy"): "multimodal-vae-otoscopy",
    ("modality", "wbt"): "multimodal-vae-wbt",
}


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
    """

    kind: str
    name: str
    module: str
    attribute: str
    distribution: str
    version: str


_registered: dict[tuple[str, str], type] = {}


def entries(kind: str | None = None) -> list[Entry]:
    """List the installed parts, sorted by kind and name, without importing any.

    Args:
        kind: one key of :data:`KINDS`, or None for all.
    """
    kinds = [kind] if kind else list(KINDS)
    return sorted(entry for each in kinds for entry in _discover(KINDS[each], each))


def refresh() -> None:
    """Forget what was discovered, so that the next look-up reads the installed metadata anew."""
    _discover.cache_clear()


def register(part: type, name: str | None = None) -> None:
    """Make a class of this session known by a name, for notebooks; installed parts need no registration.

    Args:
        part: a subclass of one of the kinds of part.
        name: the name; the class's own in lower case where it is None.
    """
    kind = getattr(part, "kind", None)
    if kind not in KINDS:
        raise PluginError(f"{part!r} is not a part: it must derive from one of {', '.join(KINDS)}")
    _registered[(kind, name or part.__name__.lower())] = part


def load(kind: str, name: str) -> type:
    """Import one part by name.

    Args:
        kind: a key of :data:`KINDS`.
        name: the part's name; or ``distribution:name``, where two distributions have one of that name.

    Raises:
        PluginError: if the name is unknown, has two owners, is not allowed by the environment variable
            ``MMVAE_PLUGINS``, or cannot be imported; the message names the distribution to install or the one at fault.
    """
    if (kind, name) in _registered:
        return _registered[(kind, name)]
    owner, _, plain = name.rpartition(":")
    found = [each for each in entries(kind) if each.name == plain and owner in ("", each.distribution)]
    if not found:
        raise PluginError(_unknown(kind, name))
    if len(found) > 1:
        owners = " and ".join(each.distribution for each in found)
        raise PluginError(
            f"{kind} {name!r} is registered by {owners}; write '{found[0].distribution}:{name}', or uninstall "
            "one of them"
        )
    entry = found[0]
    allowed = os.environ.get("MMVAE_PLUGINS")
    if allowed is not None and entry.distribution not in {CORE, *map(_canonical, allowed.replace(",", " ").split())}:
        raise PluginError(f"{kind} {name!r} comes with {entry.distribution}, which MMVAE_PLUGINS does not name")
    try:
        part: type = getattr(importlib.import_module(entry.module), entry.attribute)
    except Exception as error:  # a plugin's import may fail in any way at all, and its owner must be named
        raise PluginError(
            f"{kind} {name!r} of {entry.distribution} {entry.version} could not be loaded from {entry.module}: "
            f"{type(error).__name__}: {error}"
        ) from error
    if getattr(part, "kind", None) != kind:
        raise PluginError(
            f"{kind} {name!r} of {entry.distribution} {entry.version} is {entry.module}:{entry.attribute}, "
            f"which is no {kind}"
        )
    return part


def check(entry: Entry) -> str:
    """Import one part in a process of its own, and return what is wrong with it, or an empty string."""
    wanted = f"{entry.distribution}:{entry.name}"
    program = "import sys; from multimodal_vae.registry import load; load(*sys.argv[1:])"
    ran = subprocess.run([sys.executable, "-c", program, entry.kind, wanted], capture_output=True, text=True)
    if not ran.returncode:
        return ""
    said = ran.stderr.strip().splitlines()
    return said[-1].partition("PluginError: ")[2] or said[-1] if said else f"ended the process ({ran.returncode})"


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


def _unknown(kind: str, name: str) -> str:
    shipped = SHIPPED.get((kind, name))
    if shipped:
        return f"{kind} {name!r} is not installed; it comes with the distribution {shipped}: pip install {shipped}"
    known = {entry.name for entry in entries(kind)} | {known for known_kind, known in _registered if known_kind == kind}
    if "." in name:
        return f"{kind} {name!r} was a class of another session; pass it to multimodal_vae.register first"
    return f"there is no {kind} {name!r}; {did_you_mean(name, known)}"


@cache
def _discover(group: str, kind: str) -> tuple[Entry, ...]:
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # a stranger's entry point that cannot be parsed is not ours to report
            found = entrypoints.get_group_all(group)
        return tuple(
            Entry(
                kind,
                point.name,
                point.module_name,
                point.object_name or "",
                _canonical(point.distro.name if point.distro else "?"),
                (point.distro.version if point.distro else None) or "?",
            )
            for point in found
        )
    except (configparser.Error, UnicodeError):
        # One stranger's malformed file costs `entrypoints` all discovery; the standard library reads on.
        return tuple(_by_standard_library(group, kind))


def _by_standard_library(group: str, kind: str) -> Iterator[Entry]:
    seen = set()
    for distribution in importlib.metadata.distributions():
        try:
            name, version = _canonical(distribution.metadata["Name"]), distribution.version
            points = [(point.name, point.module, point.attr) for point in distribution.entry_points.select(group=group)]
        except Exception:  # noqa: BLE001, S112  (a stranger's metadata may fail in any way, and is not ours to report)
            continue
        if name not in seen:  # the first on the path is the one that would be imported
            yield from (Entry(kind, *point, name, version) for point in points)
        seen.add(name)


def _canonical(distribution: str) -> str:
    return distribution.lower().replace("_", "-").replace(".", "-")
