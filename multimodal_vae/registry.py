"""Finding parts by name: every part, the core's own included, is an entry point of an installed distribution.

Listing reads package metadata only; nothing is imported before :func:`load` is asked for one part. This module imports
neither torch nor any plugin.
"""

import configparser
import importlib
import importlib.metadata
import operator
import os
import re
import subprocess
import sys
import tempfile
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from functools import cache
from itertools import groupby
from pathlib import Path, PurePath
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
        ours: whether it speaks of a group of :data:`KINDS`, and so means to offer parts, and may.
    """

    distribution: str
    version: str
    fault: str
    ours: bool


_registered: dict[tuple[str, str], type] = {}
_preferred: dict[tuple[str, str], str] = {}


def entries(kind: str | None = None) -> list[Entry]:
    """List the installed parts, sorted by kind and name, without importing any.

    Args:
        kind: one key of :data:`KINDS`, or None for all.
    """
    return sorted(entry for entry in _discover() if kind in (None, entry.kind))


def refresh() -> None:
    """Forget what was discovered, so that the next look-up reads the installed metadata anew."""
    _discover.cache_clear()


def shield() -> None:
    """Let torch and pydantic import where one stranger's entry points cannot be read.

    Both look for plugins of their own by ``importlib.metadata.entry_points()``, which fails over one malformed file.
    Only then, and unless the user says otherwise, is that turned off in this process and those it starts.
    """
    try:
        importlib.metadata.entry_points()
    except Exception:  # noqa: BLE001  (a stranger's metadata may fail in any way at all)
        os.environ.setdefault("TORCH_DEVICE_BACKEND_AUTOLOAD", "0")
        os.environ.setdefault("PYDANTIC_DISABLE_PLUGINS", "__all__")


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
        raise PluginError(f"{what} could not be loaded from {entry.module}: {say(error)}") from error
    if not isinstance(part, type) or getattr(part, "kind", None) != kind:
        raise PluginError(f"{what} is {entry.module}:{entry.attribute}, which is no {kind}")
    lacking = ", ".join(sorted(getattr(part, "__abstractmethods__", ())))
    if lacking:
        raise PluginError(f"{what} is {entry.module}:{entry.attribute}, which lacks {lacking}")
    loaded: type = part
    return loaded


def find(kind: str, name: str) -> Entry:
    """Look one installed part up, importing nothing.

    A plain name is the core's where the core has it, so that no plugin can take the name of a default away.

    Raises:
        PluginError: if the name is unknown or has two owners.
    """
    owner, _, plain = name.rpartition(":")
    found = [each for each in entries(kind) if each.name == plain and _canonical(owner) in ("", each.distribution)]
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


def check(entry: Entry) -> str:
    """Import one part in a process of its own, make it if it has no required settings, and say how it is.

    Returns:
        :data:`WORKS`, :data:`RESTRICTED`, or what is wrong.
    """
    if not _allowed(entry.distribution):
        return RESTRICTED
    if entry.fault:
        return entry.fault
    program = "import sys; from multimodal_vae.part import report; report(*sys.argv[1:])"
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
    """List the distributions whose entry points cannot be read; parts of theirs are not found."""
    return sorted(each for each in _standard_library() if isinstance(each, Unreadable))


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


def owner_of(part: type) -> Entry | None:
    """Return the entry of an installed part, or None for a class of this session.

    Of several entries of one class the core's comes first: a plugin that lists a class of the core does not own it.
    """
    place = (part.__module__, part.__qualname__)
    owners = [each for each in entries(getattr(part, "kind", None)) if (each.module, each.attribute) == place]
    return min(owners, key=lambda each: (each.distribution != CORE, each), default=None)


def is_registered(part: type) -> bool:
    """Whether a class was registered in this session."""
    return any(registered is part for registered in _registered.values())


def say(error: BaseException) -> str:
    """An exception in one line, its class first."""
    return " ".join(f"{type(error).__name__}: {error}".split())


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
    return allowed is None or distribution in {CORE, *map(_canonical, allowed.replace(",", " ").split())}


def _require_this_core(entry: Entry, what: str) -> None:
    """Refuse a part whose distribution asks for another version of the core than is installed."""
    from packaging.requirements import InvalidRequirement, Requirement

    if entry.distribution == CORE:
        return
    installed = _version(CORE)
    for line in _requirements(entry.distribution):
        try:
            each = Requirement(line)
        except InvalidRequirement:
            continue  # whoever installs it has to complain
        applies = each.marker is None or each.marker.evaluate({"extra": ""})
        if _canonical(each.name) == CORE and applies and not each.specifier.contains(installed, prereleases=True):
            raise PluginError(
                f"{what} needs {CORE}{each.specifier}, and {installed} is installed; install a version of one that "
                f"suits the other, for example: pip install --upgrade {CORE} {entry.distribution}"
            )


def _unknown(kind: str, name: str) -> str:
    shipped = SHIPPED.get((kind, name))
    if shipped:
        return f"{kind} {name!r} is not installed; it comes with the distribution {shipped}: pip install {shipped}"
    known = {entry.name for entry in entries(kind)} | {known for known_kind, known in _registered if known_kind == kind}
    if "." in name and ":" not in name:
        return f"{kind} {name!r} was a class of another session; pass it to multimodal_vae.register first"
    silent = [f"{each.distribution} {each.version}" for each in unreadable() if each.ours]
    perhaps = f"; {' and '.join(silent)} may have it, but cannot be read: mmvae plugins --check" if silent else ""
    return f"there is no {kind} {name!r}; {did_you_mean(name, known)}{perhaps}"


@cache
def _discover() -> tuple[Entry, ...]:
    try:
        found = list(_entrypoints())
    except Exception:  # noqa: BLE001  (one stranger's malformed file costs `entrypoints` all discovery, however)
        found = [each for each in _standard_library() if not isinstance(each, Unreadable)]
    # A distribution may be found twice, such as by an egg-info beside its dist-info, under two spellings of its name;
    # the first on the path is the one that would be imported, and what only the other offers may be long gone.
    unique: dict[str, dict[tuple[str, str], Entry]] = {}
    for entries_of_one in found:
        parts: dict[tuple[str, str], Entry] = {}
        for entry in entries_of_one:
            parts.setdefault((entry.kind, entry.name), entry)
            unique.setdefault(entry.distribution, parts)
    return tuple(entry for parts in unique.values() for entry in parts.values())


def _entrypoints() -> Iterator[list[Entry]]:
    """The entry points of our groups, by distribution, by the `entrypoints` package, in one pass over the path."""
    path = list(filter(lambda folder: isinstance(folder, str), sys.path))  # Python ignores anything else, too
    for config, distribution in entrypoints.iter_files_distros(path):
        offered = [(kind, group) for kind, group in KINDS.items() if group in config]
        if offered:
            owner = _canonical(distribution.name)
            version = _version(owner) or distribution.version or "?"
            yield [
                _entry(kind, name, value, owner, version)
                for kind, group in offered
                for name, value in config.items(group, raw=True)
            ]


def _standard_library() -> Iterator[list[Entry] | Unreadable]:
    """The same by the standard library, or what is wrong where a distribution's entry points cannot be read."""
    kinds = {group: kind for kind, group in KINDS.items()}
    for distribution in _in_order(importlib.metadata.distributions()):
        owner, version, text, fault = _name(distribution), "?", "", ""
        found: list[Entry] = []
        try:
            text = distribution.read_text("entry_points.txt") or ""
            points = [point for point in distribution.entry_points if point.group in kinds]
            version = (_version(owner) if text else "") or "?"
            found = [_entry(kinds[point.group], point.name, point.value, owner, version) for point in points]
        except Exception as error:  # noqa: BLE001  (a stranger's metadata may fail in any way at all)
            if isinstance(error, UnicodeDecodeError):
                text = error.object.decode("utf-8", "replace")
            fault = _why(text, say(error))
        ours = any(f"[{group}" in text for group in KINDS.values())
        if ours and not found:  # such as where a header is not one for the standard library, which then passes it over
            fault = fault or _why(text, "they name a group of parts, and none in it")
        if fault:
            version = _version(owner) or "?"
            yield Unreadable(owner, version, f"its entry points cannot be read: {fault}", ours and _allowed(owner))
        else:
            yield found


def _why(text: str, otherwise: str) -> str:
    """What is wrong with entry points: the words of a parser that says where, or else those given."""
    try:
        entrypoints.CaseSensitiveConfigParser(delimiters=("=",)).read_string(text)
    except configparser.Error as error:
        return say(error)
    return otherwise


def _in_order(distributions: Iterable[importlib.metadata.Distribution]) -> Iterator[importlib.metadata.Distribution]:
    """As they stand on the path, within a folder a dist-info before an egg-info, which may be stale."""
    for _, beside in groupby(distributions, lambda each: str(each.locate_file(""))):
        yield from sorted(beside, key=lambda each: PurePath(str(_place(each))).suffix != ".dist-info")


def _place(distribution: importlib.metadata.Distribution) -> object:
    return getattr(distribution, "_path", "")  # the standard library shows it nowhere else


def _name(distribution: importlib.metadata.Distribution) -> str:
    """Its name, from the folder of its metadata where these do not tell."""
    try:
        name = distribution.metadata["Name"]
    except Exception:  # noqa: BLE001  (a stranger's metadata may fail in any way at all)
        name = None
    return _canonical(name or PurePath(str(_place(distribution))).stem.partition("-")[0] or "?")


def _entry(kind: str, name: str, value: str, owner: str, version: str) -> Entry:
    try:
        point = entrypoints.EntryPoint.from_string(value, name)
    except entrypoints.BadEntryPoint:
        point = None
    if point is None or not point.object_name:
        fault = f"its entry point {name} = {value!r} is not of the form module:Class"
    elif ":" in name:
        fault = f"the name of its entry point {name} = {value} holds a colon, which parts it from its distribution's"
    else:
        return Entry(kind, name, point.module_name, point.object_name, owner, version)
    return Entry(kind, name, "", "", owner, version, fault)


def _installed(distribution: str) -> importlib.metadata.Distribution | None:
    return next(_in_order(importlib.metadata.distributions(name=distribution)), None)


def _version(distribution: str) -> str:
    """Its version, empty where its metadata do not tell."""
    found = _installed(distribution)
    try:
        return str((found and found.version) or "")
    except Exception:  # noqa: BLE001  (a stranger's metadata may fail in any way at all)
        return ""


def _requirements(distribution: str) -> list[str]:
    """What it asks for, nothing where its metadata do not tell."""
    found = _installed(distribution)
    try:
        return list((found and found.requires) or [])
    except Exception:  # noqa: BLE001  (a stranger's metadata may fail in any way at all)
        return []


def _canonical(distribution: str) -> str:
    return re.sub(r"[-_.]+", "-", distribution).lower()
