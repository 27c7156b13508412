"""Finding parts by name: every part, the core's own included, is an entry point of an installed distribution.

Listing reads package metadata only; nothing is imported before :func:`load` is asked for one part. This module imports
neither torch nor any plugin.
"""

import importlib
import importlib.metadata
import operator
import os
import subprocess
import sys
import tempfile
from dataclasses import replace
from pathlib import Path
from typing import Any, TypeVar

from multimodal_vae import discovery
from multimodal_vae.discovery import (
    CORE,
    KINDS,
    PartEntry,
    Unreadable,
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
    "check",
    "entries",
    "find",
    "is_registered",
    "load",
    "name_of",
    "owner_of",
    "prefer",
    "refresh",
    "register",
    "unreadable",
]

WORKS, RESTRICTED = "works", "not to be loaded: MMVAE_PLUGINS does not name its distribution"
_PATIENCE = 120  # seconds that a part may take to import when it is checked

C = TypeVar("C", bound=Any)


_registered: dict[tuple[str, str], type] = {}
_preferred: dict[tuple[str, str], str] = {}


def entries(kind: str | None = None) -> list[PartEntry]:
    """List the installed parts, sorted by kind and name, without importing any.

    Args:
        kind: one key of :data:`KINDS`, or None for all.
    """
    return sorted(entry for entry in discover() if kind in (None, entry.kind))


def refresh() -> None:
    """Forget what was discovered, so that the next look-up reads the installed metadata anew."""
    discover.cache_clear()


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
    if not _allowed(entry.distribution):
        raise PluginError(f"{kind} {name!r} comes with {entry.distribution}, which MMVAE_PLUGINS does not name")
    if entry.fault:
        raise PluginError(f"{what} cannot be loaded: {entry.fault}")
    _require_this_core(entry, what)
    try:
        part: Any = operator.attrgetter(entry.attribute)(importlib.import_module(entry.module))
    except KeyboardInterrupt:
        raise
    # A plugin's import may fail in any way at all, also by ending the process, and its owner must be named.
    except BaseException as error:
        raise PluginError(f"{what} could not be loaded from {entry.module}: {one_line(error)}") from error
    if not isinstance(part, type) or getattr(part, "kind", None) != kind:
        raise PluginError(f"{what} is {entry.module}:{entry.attribute}, which is no {kind}")
    lacking = ", ".join(sorted(getattr(part, "__abstractmethods__", ())))
    if lacking:
        raise PluginError(f"{what} is {entry.module}:{entry.attribute}, which lacks {lacking}")
    loaded: type = part
    return loaded


def find(kind: str, name: str) -> PartEntry:
    """Look one installed part up, importing nothing.

    A plain name is the core's where the core has it, so that no plugin can take the name of a default away.

    Raises:
        PluginError: if the name is unknown or has two owners.
    """
    owner, _, plain = name.rpartition(":")
    found = [each for each in entries(kind) if each.name == plain and canonical(owner) in ("", each.distribution)]
    if not found:
        raise PluginError(_unknown(kind, name))
    for first in (_preferred.get((kind, plain)), CORE):
        found = [each for each in found if each.distribution == first] or found
    if len(found) > 1:
        owners = " and ".join(each.distribution for each in found)
        raise PluginError(
            f"{kind} {name!r} is registered by {owners}; write '{found[0].distribution}:{plain}', or uninstall "
            "one of them"
        )
    return found[0]


def prefer(kind: str, name: str, distribution: str) -> None:
    """Let a plain name that several distributions have mean one's, for this session, as an opened run means it."""
    namesakes = {entry.distribution for entry in entries(kind) if entry.name == name}
    if distribution in namesakes and len(namesakes) > 1:
        _preferred[kind, name] = distribution


def check(entry: PartEntry) -> str:
    """Import one part in a process of its own, make it if it has no required settings, and say how it is.

    Returns:
        :data:`WORKS`, :data:`RESTRICTED`, or what is wrong.
    """
    if not _allowed(entry.distribution):
        return RESTRICTED
    if entry.fault:
        return entry.fault
    program = (
        "import sys; from multimodal_vae.discovery import shield; shield()\n"
        "from multimodal_vae.part import report; report(*sys.argv[1:])"
    )
    with tempfile.TemporaryDirectory(ignore_cleanup_errors=True) as folder:
        # In files: what a plugin prints is none of our words, and what it leaves running would keep a pipe open.
        state, errors = Path(folder, "state"), Path(folder, "errors")
        command = [sys.executable, "-P", "-c", program, entry.kind, f"{entry.distribution}:{entry.name}", str(state)]
        with open(errors, "wb") as file:
            quiet: dict[str, Any] = {"stdin": subprocess.DEVNULL, "stdout": subprocess.DEVNULL, "stderr": file}
            try:
                ran = subprocess.run(command, timeout=_PATIENCE, **quiet)
            except subprocess.TimeoutExpired:
                return f"has not finished importing after {_PATIENCE} s"
        if state.is_file():
            return state.read_text("utf-8")
        said = errors.read_text("utf-8", "replace").split("\n")
        last = next((f": {line.strip()}" for line in reversed(said) if line.strip()), "")
        return f"ended the process ({ran.returncode}){last}"


def unreadable() -> list[Unreadable]:
    """List the distributions whose entry points cannot be read; parts of theirs are not found.

    One that ``MMVAE_PLUGINS`` keeps out is not counted as ours.
    """
    return [replace(each, ours=each.ours and _allowed(each.distribution)) for each in discovery.unreadable()]


def name_of(part: type) -> str:
    """Return the name under which a class is registered, or its full dotted name where it is not."""
    kind = getattr(part, "kind", "")
    for (registered_kind, name), registered in _registered.items():
        if registered is part and registered_kind == kind:
            return name
    entry = owner_of(part)
    if entry is None:
        return f"{part.__module__}.{part.__qualname__}"
    try:
        return entry.name if find(kind, entry.name) == entry else f"{entry.distribution}:{entry.name}"
    except PluginError:
        return f"{entry.distribution}:{entry.name}"


def owner_of(part: type) -> PartEntry | None:
    """Return the entry of an installed part, or None for a class of this session.

    An entry may name the module that defines the class, or one that is imported already and shows it too, such as the
    package around it. Of several entries of one class the core's comes first: a plugin that lists a class of the core
    does not own it.
    """
    place = (part.__module__, part.__qualname__)

    def offers(entry: PartEntry) -> bool:
        shown = vars(sys.modules[entry.module]).get(entry.attribute) if entry.module in sys.modules else None
        return (entry.module, entry.attribute) == place or shown is part

    owners = [each for each in entries(getattr(part, "kind", None)) if offers(each)]
    return min(owners, key=lambda each: (each.distribution != CORE, each), default=None)


def is_registered(part: type) -> bool:
    """Whether a class was registered in this session."""
    return any(registered is part for registered in _registered.values())


def _of_this_session(kind: str, name: str) -> type | None:
    """Find a registered class, also by the dotted name that it has while nobody registers it."""
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
                f"{what} needs {CORE}{each.specifier}, and {installed} is installed; install a version of one that "
                f"suits the other, for example: pip install --upgrade {CORE} {entry.distribution}"
            )


def _unknown(kind: str, name: str) -> str:
    """Explain why there is no part of this name, and what to do."""
    plugin = _plugin_of_extra(name)
    if plugin:
        return f"{kind} {name!r} is not installed; install it: pip install {plugin}"
    known = {entry.name for entry in entries(kind)} | {known for known_kind, known in _registered if known_kind == kind}
    if "." in name and ":" not in name:
        return f"{kind} {name!r} was a class of another session; pass it to multimodal_vae.register first"
    silent = [f"{each.distribution} {each.version}" for each in unreadable() if each.ours]
    perhaps = f"; {' and '.join(silent)} may have it, but cannot be read: mmvae plugins --check" if silent else ""
    return f"there is no {kind} {name!r}; {did_you_mean(name, known)}{perhaps}"


def _plugin_of_extra(name: str) -> str | None:
    """Return the plugin that the core's extra of this name requires, unless it is installed."""
    installed = {entry.distribution for entry in entries()}
    plugins = [canonical(each.name) for each in requirements_of(CORE, extra=name)]
    return next((each for each in plugins if each.startswith(f"{CORE}-") and each not in installed), None)
