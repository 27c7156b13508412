"""Rows of the count matrices in ``.h5ad`` and ``.h5mu`` files, read one by one, so that memory stays bounded."""

from collections.abc import Iterator
from contextlib import contextmanager
from functools import lru_cache
from pathlib import Path
from typing import Any

import h5py
import numpy as np
from numpy.typing import NDArray

from multimodal_vae.errors import DataError, did_you_mean

MOST_NAMES = 2**24
"""Most observations or features of a matrix."""


class Matrix:
    """A matrix in an open file, with the names of its ``rows``, the observations, and ``columns``, the features."""

    def __init__(self, file: Any, assay: str | None, layer: str | None) -> None:
        assays = list(file.get("mod", {}))
        if assay is None and len(assays) > 1:
            raise DataError(f"holds the modalities {assays}; choose one with the setting 'assay'")
        if assay is not None and assay not in assays:
            raise DataError(f"has no modality {assay!r}; {did_you_mean(assay, assays)}")
        group = _own(file, f"mod/{assay or assays[0]}") if assays else file
        if layer is not None and layer not in group.get("layers", {}):
            raise DataError(f"has no layer {layer!r}; {did_you_mean(layer, group.get('layers', {}))}")
        self.data = _own(group, f"layers/{layer}" if layer else "X")
        self.rows, self.columns = ({name: n for n, name in enumerate(_names(group, axis))} for axis in ("obs", "var"))
        self.encoding = self.data.attrs.get("encoding-type", "array")
        if self.encoding == "csc_matrix":
            raise DataError("holds a matrix that is stored by columns; write it anew after adata.X = adata.X.tocsr()")

    def row(self, name: str) -> NDArray[np.float32]:
        """Return the row of an observation, (features,)."""
        if self.encoding != "csr_matrix":
            return np.asarray(self.data[self.rows[name]], np.float32)
        data, places, starts = (_own(self.data, name) for name in ("data", "indices", "indptr"))
        start, end = (int(place) for place in starts[self.rows[name] : self.rows[name] + 2])
        row = np.zeros(len(self.columns), np.float32)
        if not 0 <= end - start <= len(row):
            raise DataError("is damaged: a row of its matrix has more values than there are features")
        row[places[start:end]] = data[start:end]
        return row

    def places(self, features: list[str]) -> list[int]:
        """Return the columns of some features."""
        lacking = [name for name in features if name not in self.columns]
        if lacking:
            raise DataError(f"lacks {len(lacking)} of {len(features)} features, such as {lacking[0]!r}")
        return [self.columns[name] for name in features]


@contextmanager
def open_file(path: Path) -> Iterator[Any]:
    """Give an open HDF5 file, which stays open while it is among the last; its errors become those of data."""
    facts = path.stat()
    try:
        yield _open(path, facts.st_mtime_ns, facts.st_size, facts.st_ino)
    except (OSError, LookupError, AttributeError, ValueError, RuntimeError, TypeError) as error:  # of h5py
        raise DataError(f"is no readable .h5ad or .h5mu file ({type(error).__name__}: {error})") from error


@contextmanager
def open_matrix(path: Path, assay: str | None = None, layer: str | None = None) -> Iterator[Matrix]:
    """Give the matrix of a file: of an assay, None for the only one, and of a layer, None for ``X``."""
    with open_file(path) as file:
        yield _matrix(file, assay, layer)


@lru_cache(maxsize=4)
def _open(path: Path, *_version: int) -> Any:
    return h5py.File(path, "r")


@lru_cache(maxsize=8)
def _matrix(file: Any, assay: str | None, layer: str | None) -> Matrix:
    return Matrix(file, assay, layer)


def _own(group: Any, name: str) -> Any:
    """Return an element that lies in the file itself; HDF5 can refer to other files."""
    for part in name.split("/"):
        if not isinstance(group.get(part, getlink=True), h5py.HardLink):
            raise DataError(f"has no {name!r} of its own")
        group = group[part]
    if isinstance(group, h5py.Dataset) and (group.is_virtual or group.external):
        raise DataError(f"refers to another file in {name!r}; copy the data into it")
    return group


def _names(group: Any, axis: str) -> list[str]:
    table = _own(group, axis)
    names = _own(table, str(table.attrs["_index"]))
    if names.size > min(MOST_NAMES, names.file.id.get_filesize()):  # a name takes more than a byte
        raise DataError(f"is damaged: it claims {names.size} names in {axis!r}")
    unique = dict.fromkeys(map(str, names.asstr()[:]))
    if len(unique) < names.size:
        raise DataError(f"has names in {axis!r} that are not unique; call adata.{axis}_names_make_unique()")
    return list(unique)
