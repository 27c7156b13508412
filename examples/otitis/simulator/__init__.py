"""A simulated pediatric ear clinic: one set of causes, an otoscopy image and a wideband tympanogram of each ear."""

from __future__ import annotations

import hashlib
from functools import cache
from pathlib import Path

SIMULATOR_VERSION = "3"
"""Raised whenever the sources change: a test holds each version to the hash of its sources."""


@cache
def sources_sha256() -> str:
    """The sha256 of the simulator's sources: names and texts of its modules, whatever the line endings.

    What was drawn with equal hashes, seeds and counts is the same cohort.

    Example:
        >>> len(sources_sha256())
        64
    """
    digest = hashlib.sha256()
    for path in sorted(Path(__file__).parent.glob("*.py")):
        text = path.read_text(encoding="utf-8")  # universal newlines
        digest.update(f"{path.name}\0{text}\0".encode())
    return digest.hexdigest()


def identity() -> dict[str, str]:
    """Which simulator this is, for whatever is written of its cohorts to carry.

    Example:
        >>> sorted(identity())
        ['simulator_sha256', 'simulator_version']
    """
    return {"simulator_version": SIMULATOR_VERSION, "simulator_sha256": sources_sha256()}
