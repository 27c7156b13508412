"""Bounds on what a request may ask of the libraries and of this machine; errors come before the work."""

import operator
import os
import shutil
from pathlib import Path

from multimodal_vae.errors import ConfigurationError, shorten

LARGEST_SEED = 2**32 - 1
"""The largest seed that numpy, scikit-learn and torch all take."""

LARGEST_DERIVED_SEED = 2**64 - 1
"""The largest seed that numpy and torch take; seeds derived from one of a user, such as those of classes, are below."""

_CONTAINER_LIMITS = ("/sys/fs/cgroup/memory.max", "/sys/fs/cgroup/memory/memory.limit_in_bytes")


def require_seed(seed: int, largest: int = LARGEST_SEED) -> int:
    """Return a seed.

    Raises:
        ConfigurationError: if it is not a whole number from 0 to ``largest``.
    """
    try:
        number = operator.index(seed)
    except TypeError:
        number = -1
    if not 0 <= number <= largest:
        raise ConfigurationError(f"the seed is {shorten(repr(seed))}; give a whole number from 0 to {largest}")
    return number


def memory() -> float:
    """Return the bytes of memory that this process can have at most; infinity where the system does not say."""
    limits = []
    if hasattr(os, "sysconf"):
        limits.append(os.sysconf("SC_PHYS_PAGES") * os.sysconf("SC_PAGE_SIZE"))
    for file in map(Path, _CONTAINER_LIMITS):
        text = file.read_text("ascii").strip() if file.is_file() else ""
        limits += [int(text)] if text.isdecimal() else []
    return min((limit for limit in limits if limit > 0), default=float("inf"))


def require_memory(needed: int, what: str) -> None:
    """Check that something fits into memory.

    Args:
        needed: a lower bound of its size in bytes.
        what: what needs the memory, and how to need less.

    Raises:
        ConfigurationError: if it does not.
    """
    most = memory()
    if needed > most:
        raise ConfigurationError(f"{what}: it needs {_gib(needed)} of memory, but this machine has {_gib(most)}")


def require_disk(needed: int, folder: Path, what: str) -> None:
    """Check that files fit on the disk of a folder, which need not exist yet.

    Args:
        needed: a lower bound of their size in bytes.
        folder: where they will be written.
        what: what needs the space, and how to need less.

    Raises:
        ConfigurationError: if they do not.
    """
    place = next((each for each in (folder, *folder.absolute().parents) if each.is_dir()), None)
    free = shutil.disk_usage(place).free if place else needed
    if needed > free:
        raise ConfigurationError(f"{what}: it needs {_gib(needed)} of disk, but {place} has {_gib(free)} free")


def _gib(size: float) -> str:
    return f"{size / 2**30:,.3g} GiB"
