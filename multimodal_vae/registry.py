"""Find parts by name: every part, also of the core, is an entry point of an installed distribution.

Listing parts reads package metadata only; :func:`load` imports one part. This module imports neither torch nor plugins.
"""

import importlib
import importlib.metadata
import json
import operator
import os
import subprocess
import sys
import tempfile
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any, TypeVar

from multimodal_vae import discovery
from multimodal_vae.discovery import (
    CORE,
    KINDS,
    PartEntry,
    UnreadableDistribution,
    canonical,
    discover,
    requirements_of,
    version_of,
)
from multimodal_vae.errors import PluginError, did_you_mean, one_line

__all__ = [
    "CORE",
    "KINDS",
    "RESTRICTED",
    "WORKS",
    "PartEntry",
    "entries",
    "entry_of",
    "find",
    "is_registered",
    "load",
    "name_of",
    "prefer",
    "refresh",
    "register",
    "states_of",
    "unreadable_distributions",
]

WORKS = "works"
RESTRICTED = "not allowed: MMVAE_PLUGINS does not name its distribution"
_TIMEOUT = 120  # seconds for the import of one part in :func:`states_of`
_TRY = """
import json, pathlib, sys
from multimodal_vae.discovery import shield
shield()
from multimodal_vae.isolation import write_states
write_states(pathlib.Path(sys.argv[1]), json.loads(sys.argv[2]), float(sys.argv[3]))
"""

C = TypeVar("C", bound=Any)


_registered: dict[tuple[str, str], type] = {}
_preferred: dict[tuple[str, str], str] = {}


def entries(kind: str | None = None) -> list[PartEntry]:
    """Return the installed parts, sorted by kind and name, without importing any.

    Args:
        kind: a key of :data:`KINDS`; None for all kinds.
    """
    return sorted(entry for entry in discover() if kind in (None, entry.kind))


def refresh() -> None:
    """Clear the cache of installed parts, so that the next lookup reads their metadata again."""
    discover.cache_clear()
    version_of.cache_clear()


def register(part: C, name: str | None = None) -> C:
    """Register a class of this session under a name, as in a notebook; installed parts need no registration.

    Args:
        part: a subclass of one of the kinds of part.
        name: the name; default the class's name in lower case.

    Returns:
        The class, so that this also serves as a decorator.

    Raises:
        PluginError: if ``part`` is no such class.
    """
    kind = getattr(part, "kind", None)
    if not isinstance(part, type) or kind not in KINDS:
        raise PluginError(f"{part!r} is not a part: register takes a subclass of one of the kinds {', '.join(KINDS)}")
    _registered[(kind, name or part.__name__.lower())] = part
    return part


def load(kind: str, name: str) -> type:
    """Import one part by name.

    Args:
        kind: a key of :data:`KINDS`.
        name: the part's name; ``distribution:name`` where two distributions have a part of that name; or the full
            dotted name of a class, which a run records for a class that was not registered in training.

    Raises:
        PluginError: if the name is unknown or ambiguous, the environment variable ``MMVAE_PLUGINS`` excludes it, or it
            requires another version of the core or cannot be imported. The message names the distribution.
    """
    registered = _of_this_session(kind, name)
    if registered is not None:
        return registered
    entry = find(kind, name)
    what = f"{kind} {name!r} of {entry.release}"
    if not _allowed(entry.distribution):
        raise PluginError(f"{what} is not allowed: add {entry.distribution} to the environment variable MMVAE_PLUGINS")
    if entry.fault:
        raise PluginError(f"{what} cannot be loaded: {entry.fault}")
    _require_this_core(entry, what)
    try:
        part: Any = operator.attrgetter(entry.attribute)(importlib.import_module(entry.module))
    except KeyboardInterrupt:
        raise
    # A plugin's import may even exit; the error names its distribution.
    except BaseException as error:
        raise PluginError(f"{what} could not be loaded from {entry.module}: {one_line(error)}") from error
    if not isinstance(part, type) or getattr(part, "kind", None) != kind:
        raise PluginError(f"{what} is {entry.module}:{entry.attribute}, which is no {kind}")
    missing = ", ".join(sorted(getattr(part, "__abstractmethods__", ())))
    if missing:
        raise PluginError(f"{what} is {entry.module}:{entry.attribute}, which lacks {missing}")
    loaded: type = part
    return loaded


def find(kind: str, name: str) -> PartEntry:
    """Return the entry of one installed part, without importing it.

    A plain name of the core is always the core's, so that no plugin can take over a default.

    Raises:
        PluginError: if the name is unknown or ambiguous.
    """
    owner, _, plain = name.rpartition(":")
    matches = [each for each in entries(kind) if each.name == plain and canonical(owner) in ("", each.distribution)]
    if not matches:
        raise PluginError(_unknown(kind, name))
    for first in (_preferred.get((kind, plain)), CORE):
        matches = [each for each in matches if each.distribution == first] or matches
    if len(matches) > 1:
        owners = " and ".join(each.distribution for each in matches)
        raise PluginError(
            f"{kind} {name!r} is registered by {owners}; write '{matches[0].distribution}:{plain}', or uninstall "
            "one of them"
        )
    return matches[0]


def prefer(kind: str, name: str, distribution: str) -> None:
    """Resolve an ambiguous name to this distribution for the rest of the session."""
    owners = {entry.distribution for entry in entries(kind) if entry.name == name}
    if distribution in owners and len(owners) > 1:
        _preferred[kind, name] = distribution


def states_of(entries: Sequence[PartEntry]) -> list[str]:
    """Import each part in a separate process and construct it if all its settings have defaults.

    Returns:
        For each part :data:`WORKS`, :data:`RESTRICTED`, or what is wrong.
    """
    states = [entry.fault if _allowed(entry.distribution) else RESTRICTED for entry in entries]
    tried = [row for row, state in enumerate(states) if not state]
    parts = [(entries[row].kind, f"{entries[row].distribution}:{entries[row].name}") for row in tried]
    if parts:
        with tempfile.TemporaryDirectory(ignore_cleanup_errors=True) as folder:
            # A file, not a pipe, which a process that a plugin starts would keep open.
            with open(Path(folder, "errors"), "wb") as errors:
                quiet: dict[str, Any] = {"stdin": subprocess.DEVNULL, "stdout": subprocess.DEVNULL, "stderr": errors}
                command = [sys.executable, "-P", "-c", _TRY, folder, json.dumps(parts), str(_TIMEOUT)]
                code = subprocess.run(command, **quiet).returncode
            for number, row in enumerate(tried):
                path = Path(folder, str(number))
                states[row] = path.read_text("utf-8") if path.is_file() else f"ended the check ({code})"
    return states


def unreadable_distributions() -> list[UnreadableDistribution]:
    """Return the distributions whose entry points cannot be read; none that ``MMVAE_PLUGINS`` excludes offers parts."""
    return [
        replace(each, offers_parts=each.offers_parts and _allowed(each.distribution))
        for each in discovery.unreadable_distributions()
    ]


def name_of(part: type) -> str:
    """Return the name under which a class is registered or installed, otherwise its full dotted name."""
    kind = getattr(part, "kind", "")
    for (registered_kind, name), registered in _registered.items():
        if registered is part and registered_kind == kind:
            return name
    entry = entry_of(part)
    if entry is None:
        return f"{part.__module__}.{part.__qualname__}"
    try:
        return entry.name if find(kind, entry.name) == entry else f"{entry.distribution}:{entry.name}"
    except PluginError:
        return f"{entry.distribution}:{entry.name}"


def entry_of(part: type) -> PartEntry | None:
    """Return the entry of an installed part; None for a class of this session.

    An entry may name the module that defines the class, or an imported one that also contains it, such as its package.
    Of several entries of one class the core's comes first: a plugin that lists a class of the core does not own it.
    """
    place = (part.__module__, part.__qualname__)

    def leads_to_part(entry: PartEntry) -> bool:
        imported = vars(sys.modules[entry.module]).get(entry.attribute) if entry.module in sys.modules else None
        return (entry.module, entry.attribute) == place or imported is part

    matches = [each for each in entries(getattr(part, "kind", None)) if leads_to_part(each)]
    return min(matches, key=lambda each: (each.distribution != CORE, each), default=None)


def is_registered(part: type) -> bool:
    """Return whether a class was registered in this session."""
    return any(registered is part for registered in _registered.values())


def _of_this_session(kind: str, name: str) -> type | None:
    """Return a registered class by its name, or by the dotted name that a run has recorded for it."""
    if (kind, name) in _registered:
        return _registered[(kind, name)]
    for (registered_kind, _), part in _registered.items():
        if registered_kind == kind and "." in name and part.__name__ == name.rpartition(".")[2]:
            return part
    return None


def _allowed(distribution: str) -> bool:
    allowed = os.environ.get("MMVAE_PLUGINS")
    return allowed is None or distribution in {CORE, *map(canonical, allowed.replace(",", " ").split())}


def _require_this_core(entry: PartEntry, what: str) -> None:
    """Refuse a part whose distribution requires another version of the core than is installed."""
    if entry.distribution == CORE:
        return
    installed = version_of(CORE)
    for each in requirements_of(entry.distribution, extra=""):
        if canonical(each.name) == CORE and not each.specifier.contains(installed, prereleases=True):
            raise PluginError(
                f"{what} needs {CORE}{each.specifier}, but {installed} is installed: "
                f"pip install --upgrade {CORE} {entry.distribution}"
            )


def _unknown(kind: str, name: str) -> str:
    """Explain why there is no part of this name, and what to do."""
    plugin = _plugin_of_extra(name)
    if plugin:
        return f"{kind} {name!r} is not installed; install it: pip install {plugin}"
    if "." in name and ":" not in name:
        return f"{kind} {name!r} is a class of another session; pass it to multimodal_vae.register first"
    known = {entry.name for entry in entries(kind)} | {known for known_kind, known in _registered if known_kind == kind}
    unread = " and ".join(f"{d.distribution} {d.version}" for d in unreadable_distributions() if d.offers_parts)
    perhaps = f"; {unread} may have it, but cannot be read: mmvae plugins --check" if unread else ""
    return f"there is no {kind} {name!r}; {did_you_mean(name, known)}{perhaps}"


def _plugin_of_extra(name: str) -> str | None:
    """Return the plugin that the core's extra of this name requires, unless it is installed."""
    installed = {entry.distribution for entry in entries()}
    plugins = [canonical(each.name) for each in requirements_of(CORE, extra=name)]
    return next((each for each in plugins if each.startswith(f"{CORE}-") and each not in installed), None)
