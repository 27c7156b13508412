"""Counts of named features, such as genes, proteins or species, in AnnData and MuData files."""

import re
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from functools import lru_cache
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import h5py
import numpy as np
import pandas
from numpy.typing import NDArray
from pydantic import Field, PositiveInt
from torch import Tensor

from multimodal_vae import Counts
from multimodal_vae.errors import ConfigurationError, DataError, did_you_mean
from multimodal_vae.modalities.counts import CountDistribution

if TYPE_CHECKING:
    from matplotlib.axes import Axes

_CELL = re.compile(r"^(.+\.(?:h5ad|h5mu))(?:#(.+))?$", re.IGNORECASE)


class Omics(Counts):
    """Raw counts of named features in one observation, such as a cell.

    A manifest's cell is ``file.h5ad#observation``, or a ``.npy`` file of (features,), as of generated samples.

    Args:
        variables: names of the features, in the order of a sample's elements; ``mmvae-omics prepare`` chooses them.
        assay: modality within ``.h5mu`` files. Default: their only one.
        layer: layer that holds raw counts. Default: ``X``.
        distribution: as of :class:`~multimodal_vae.Counts`; with ``"presence"``, any count above 0 is present.
        hidden: width of the perceptron's two hidden layers.
    """

    def __init__(
        self,
        variables: Annotated[Sequence[str], Field(min_length=1)],
        assay: str | None = None,
        layer: str | None = None,
        distribution: CountDistribution = "negative_binomial",
        hidden: PositiveInt = 256,
    ) -> None:
        if len({*variables}) < len(variables):
            raise ConfigurationError(f"{self.name!r}: the variables are not unique; name each once")
        super().__init__(len(variables), distribution, hidden, "path")
        self.variables, self.assay, self.layer = list(variables), assay, layer

    def read(self, cell: str | Path) -> NDArray[np.float32]:
        """Read the counts of one observation."""
        match = _CELL.fullmatch(str(cell))
        if not match:
            return super().read(cell)
        with open_file(Path(match[1])) as file:
            matrix = Matrix(file, self.assay, self.layer)
            name = match[2] or (matrix.rows[0] if len(matrix.rows) == 1 else "")
            if name not in matrix.rows:
                advice = did_you_mean(name, matrix.rows[:1000])
                raise DataError(f"has no observation {name!r}; write file.h5ad#observation; {advice}")
            places = matrix.columns.get_indexer(self.variables)
            lacking = np.array(self.variables, object)[places < 0]
            if len(lacking):
                raise DataError(f"lacks {len(lacking)} of {self.size} features, such as {lacking[0]!r}")
            counts: NDArray[np.float32] = matrix.row(name)[places]
        wrong = counts[(counts != counts.round()) | (counts < 0)]
        if len(wrong):
            raise DataError(f"holds {wrong[0]:g}, which is no raw count; name the layer of raw counts in 'layer'")
        return (counts > 0).astype(np.float32) if self.distribution == "presence" else counts

    def files(self, cell: str | Path) -> list[Path]:
        """Return the file of a cell."""
        return [Path(_CELL.sub(r"\1", str(cell)))]

    def plot(self, sample: Tensor, ax: "Axes") -> None:
        """Plot the 30 highest counts with the names of their features."""
        highest = sample.argsort(descending=True)[:30].flip(0)
        ax.barh([self.variables[place] for place in highest.tolist()], sample[highest].numpy())


@contextmanager
def open_file(path: Path) -> Iterator[Any]:
    """Give an open HDF5 file, which stays open while it is among the last; its errors become those of data."""
    facts = path.stat()
    try:
        yield _open(path, facts.st_mtime_ns, facts.st_size, facts.st_ino)
    except (OSError, LookupError, AttributeError, ValueError, RuntimeError, TypeError) as error:  # of h5py
        raise DataError(f"is no readable .h5ad or .h5mu file ({type(error).__name__}: {error})") from error


@lru_cache(maxsize=4)
def _open(path: Path, *_version: int) -> Any:
    return h5py.File(path, "r")


@lru_cache(maxsize=8)
class Matrix:
    """A matrix in an open file, with the names of its ``rows``, the observations, and ``columns``, the features.

    Rows are read one by one, so that memory stays bounded. Without an assay it is the only one, without a layer ``X``.
    """

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
        self.rows, self.columns = (_names(group, axis) for axis in ("obs", "var"))
        self.encoding = self.data.attrs.get("encoding-type", "array")
        if self.encoding == "csc_matrix":
            raise DataError("holds a matrix that is stored by columns; write it anew after adata.X = adata.X.tocsr()")

    def row(self, name: str) -> NDArray[np.float32]:
        """Return the row of an observation, (features,)."""
        number = self.rows.get_loc(name)
        if self.encoding != "csr_matrix":
            return np.asarray(self.data[number], np.float32)
        data, places, starts = (_own(self.data, part) for part in ("data", "indices", "indptr"))
        start, end = map(int, starts[number : number + 2])
        row = np.zeros(len(self.columns), np.float32)
        if not 0 <= end - start <= len(row):
            raise DataError("is damaged: a row of its matrix has more values than there are features")
        row[places[start:end]] = data[start:end]
        return row


def _own(group: Any, name: str) -> Any:
    """Return an element that lies in the file itself; HDF5 can refer to other files."""
    for part in name.split("/"):
        if not isinstance(group.get(part, getlink=True), h5py.HardLink):
            raise DataError(f"has no {name!r} of its own")
        group = group[part]
    if isinstance(group, h5py.Dataset) and (group.is_virtual or group.external):
        raise DataError(f"refers to another file in {name!r}; copy the data into it")
    return group


def _names(group: Any, axis: str) -> Any:
    table = _own(group, axis)
    names = _own(table, str(table.attrs["_index"]))
    if names.size > min(2**24, names.file.id.get_filesize()):  # a name takes more than a byte
        raise DataError(f"is damaged: it claims {names.size} names in {axis!r}")
    index = pandas.Index(names.asstr()[:], dtype=object)
    if index.has_duplicates:
        raise DataError(f"has names in {axis!r} that are not unique; call adata.{axis}_names_make_unique()")
    return index
