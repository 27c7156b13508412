"""The modalities of a data set, once their columns have been seen."""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from multimodal_vae.data.manifest import RESERVED, Manifest, read_manifest
from multimodal_vae.errors import DataError
from multimodal_vae.modalities.base import Modality, require_size


def modalities_of(modalities: Mapping[str, Any]) -> dict[str, Modality]:
    """Return the modalities that instances, names or tables describe, by name."""
    parts = _parts(modalities)
    for name, part in parts.items():
        require_size(name, part)
    return parts


def _parts(modalities: Mapping[str, Any]) -> dict[str, Modality]:
    for name in modalities:
        if name in RESERVED:
            raise DataError(f"a modality cannot be called {name!r}, which is a reserved column of manifests; rename it")
    return {name: Modality.of(spec) for name, spec in modalities.items()}


def settled(modalities: Mapping[str, Any], path: Path, join: Sequence[str]) -> tuple[dict[str, Modality], Manifest]:
    """Read a manifest and the files joined to it, and settle the modalities in its columns."""
    parts = _parts(modalities)
    owned = {name: list(part.columns) or [name] for name, part in parts.items()}
    manifest = read_manifest(path, [name for name, part in parts.items() if not part.columns], join)
    for name, part in parts.items():
        others = {column for other, columns in owned.items() if other != name for column in columns}
        free = {column: cells for column, cells in manifest.columns.items() if column not in {*RESERVED, *others}}
        try:
            parts[name] = part.settle(free)
        except DataError as error:
            raise DataError(f"{path}, {name}: {error}") from error
        require_size(name, parts[name])
    return parts, manifest
