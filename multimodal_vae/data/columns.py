"""Where a data set's samples are: a tensor, or rows of files of which only those are read that are asked for.

Files are read by position, or through a map that goes when the rows are copied: what is read of a map that stays counts
as the process's memory until the system is short of it. Only whole columns are maps that stay, of files of their own,
since a copy-on-write map larger than memory is refused.
"""

import math
import tempfile
import weakref
from collections.abc import Iterator, Mapping, MutableMapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from multimodal_vae.errors import DataError

FLOAT = np.dtype("<f4")

_CHUNK = 1 << 24
"""Bytes that are gathered at once."""


class Stored:
    """Rows of files of float32.

    Args:
        files: without any header.
        file: (N,), which file each row is in; -1 for a row of zeros.
        place: (N,), which row of that file it is.
        shape: of one row.
    """

    def __init__(
        self, files: Sequence[Path], file: NDArray[np.int64], place: NDArray[np.int64], shape: tuple[int, ...]
    ) -> None:
        self.files = list(files)
        self.file = file
        self.place = place
        self.shape = (len(file), *shape)

    def __getitem__(self, rows: Tensor) -> Tensor:
        wanted = rows.numpy()
        file, place = self.file[wanted], self.place[wanted]
        found = np.zeros((len(wanted), *self.shape[1:]), FLOAT)
        buffers = found.reshape(len(wanted), math.prod(self.shape[1:]))
        for number in np.unique(file[file >= 0]).tolist():
            try:
                with open(self.files[number], "rb", buffering=0) as opened:
                    for row in np.flatnonzero(file == number).tolist():
                        opened.seek(int(place[row]) * buffers[row].nbytes)
                        if opened.readinto(buffers[row].data) != buffers[row].nbytes:
                            raise DataError(f"{self.files[number]} was cut short; read the data anew")
            except OSError as error:
                raise DataError(
                    f"{self.files[number]} cannot be read ({error.strerror}); read the data anew"
                ) from error
        return torch.from_numpy(found)


class Scratch:
    """A tensor (N, *shape) of zeros in a nameless file, which goes when the tensor does, or the process.

    Args:
        shape: (N, *shape).
        folder: where the file is.
    """

    def __init__(self, shape: tuple[int, ...], folder: Path) -> None:
        self.shape = shape
        self.folder = folder
        self._file = tempfile.TemporaryFile(dir=folder)  # noqa: SIM115  (its maps outlive it)
        weakref.finalize(self, self._file.close)

    def __setitem__(self, row: int, samples: Tensor | NDArray[np.float32]) -> None:
        """Write samples from a row on: written, not mapped, so that a full disk is an error and not the end."""
        array = np.ascontiguousarray(samples, FLOAT)
        try:
            self._file.seek(row * math.prod(self.shape[1:]) * FLOAT.itemsize)
            self._file.write(array.data)
        except OSError as error:
            raise DataError(f"{self.folder} cannot be written: {error.strerror}") from error

    def __getitem__(self, rows: Tensor) -> Tensor:
        """Copy rows (n,) of int64 into a tensor (n, *shape)."""
        return self.tensor()[rows]

    def __reduce__(self) -> tuple[Any, ...]:
        """Another process, such as a loader's worker, gets a tensor in its place."""
        return _as_it_is, (self.tensor(),)

    def tensor(self) -> Tensor:
        """A new map of all that was written."""
        if not math.prod(self.shape):
            return torch.zeros(self.shape)
        try:
            self._file.flush()
            self._file.truncate(math.prod(self.shape) * FLOAT.itemsize)
        except OSError as error:
            raise DataError(f"{self.folder} cannot be written: {error.strerror}") from error
        return torch.from_numpy(np.memmap(self._file, FLOAT, "r+", shape=self.shape))


def _as_it_is(tensor: Tensor) -> Tensor:
    return tensor


class Column:
    """The samples (N, *shape) of one modality.

    Args:
        source: where they are.
        rows: (N,), which of the source's; all where it is None.
        folder: where to put what is too large for memory; None for memory.
    """

    def __init__(
        self, source: Tensor | Stored | Scratch, rows: Tensor | None = None, folder: Path | None = None
    ) -> None:
        self.source = source
        self.rows = rows
        self.folder = folder

    def __len__(self) -> int:
        return self.source.shape[0] if self.rows is None else len(self.rows)

    @property
    def shape(self) -> tuple[int, ...]:
        """(N, *shape)."""
        return (len(self), *self.source.shape[1:])

    def __getitem__(self, rows: Tensor) -> Tensor:
        """Copy rows (n,) of int64 into a tensor (n, *shape)."""
        return self.source[rows if self.rows is None else self.rows[rows]]

    def chunks(self) -> Iterator[Tensor]:
        """All rows, as many at once as memory takes lightly."""
        size = math.prod(self.shape[1:]) * FLOAT.itemsize
        for rows in torch.split(torch.arange(len(self)), max(1, _CHUNK // max(1, size))):
            yield self[rows]

    def subset(self, rows: Tensor) -> "Column":
        """Some rows, shared."""
        return Column(self.source, rows if self.rows is None else self.rows[rows], self.folder)

    def tensor(self) -> Tensor:
        """All rows as one tensor, which is kept, and from now on is what the column is."""
        if isinstance(self.source, Tensor) and self.rows is None:
            return self.source
        whole = self[torch.arange(len(self))] if self.folder is None else self._scratch(self.folder).tensor()
        self.source, self.rows = whole, None
        return whole

    def _scratch(self, folder: Path) -> Scratch:
        """A file with these rows and no others."""
        if isinstance(self.source, Scratch) and self.rows is None:
            return self.source
        scratch, row = Scratch(self.shape, folder), 0
        for chunk in self.chunks():
            scratch[row] = chunk
            row += len(chunk)
        return scratch


class SampleColumns(MutableMapping[str, Tensor]):
    """The samples (N, *shape) by modality. Looking one up makes it a tensor, of a file's rows a memory-mapped one.

    Attributes:
        columns: the same, without making anything.
    """

    def __init__(self, columns: Mapping[str, Tensor | Column]) -> None:
        self.columns: dict[str, Column] = {
            name: column if isinstance(column, Column) else Column(column)
            for name, column in (columns.columns if isinstance(columns, SampleColumns) else columns).items()
        }

    def __getitem__(self, name: str) -> Tensor:
        return self.columns[name].tensor()

    def __setitem__(self, name: str, samples: Tensor) -> None:
        self.columns[name] = Column(samples)

    def __delitem__(self, name: str) -> None:
        del self.columns[name]

    def __iter__(self) -> Iterator[str]:
        return iter(self.columns)

    def __len__(self) -> int:
        return len(self.columns)

    def batch(self, rows: Tensor) -> dict[str, Tensor]:
        """Copy rows (n,)."""
        return {name: column[rows] for name, column in self.columns.items()}

    def subset(self, rows: Tensor) -> "SampleColumns":
        """Some rows, shared."""
        return SampleColumns({name: column.subset(rows) for name, column in self.columns.items()})
