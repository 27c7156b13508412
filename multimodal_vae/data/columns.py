"""The samples of a data set: tensors, or rows of files that are read on demand.

Rows are read by position, or through a memory map that is closed once they are copied, since the pages read through an
open map count as the process's memory. Only whole columns stay mapped, each from a file that holds nothing else,
since Linux refuses a copy-on-write map larger than memory.
"""

import math
import os
import tempfile
import weakref
from collections.abc import Iterator, Mapping, MutableMapping, Sequence
from contextlib import suppress
from io import FileIO
from pathlib import Path
from typing import IO, Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from multimodal_vae.errors import DataError

FLOAT = np.dtype("<f4")

_CHUNK = 1 << 24
"""Bytes per chunk of :meth:`Column.chunks`."""


def open_unlinked(path: Path) -> FileIO:
    """Open a file to read, without a buffer; never through a link, and never wait for a pipe."""
    flags = sum(getattr(os, name, 0) for name in ("O_NOFOLLOW", "O_NONBLOCK"))
    return open(path, "rb", buffering=0, opener=lambda name, mode: os.open(name, mode | flags))


class FileRows:
    """Rows of float32 in several files.

    Args:
        files: files of rows, without headers.
        file: (N,), index of the file that holds each row; -1 for a row of zeros.
        row: (N,), position of each row in its file.
        shape: shape of one row.
    """

    def __init__(
        self, files: Sequence[Path], file: NDArray[np.int64], row: NDArray[np.int64], shape: tuple[int, ...]
    ) -> None:
        self.files = list(files)
        self.file = file
        self.row = row
        self.shape = (len(file), *shape)

    def __getitem__(self, rows: Tensor) -> Tensor:
        file, position = self.file[rows.numpy()], self.row[rows.numpy()]
        samples = np.zeros((len(rows), *self.shape[1:]), FLOAT)
        buffers = samples.reshape(len(rows), math.prod(self.shape[1:]))
        for number in np.unique(file[file >= 0]).tolist():
            try:
                with open_unlinked(self.files[number]) as opened:
                    for row in np.flatnonzero(file == number).tolist():
                        opened.seek(int(position[row]) * buffers[row].nbytes)
                        if opened.readinto(buffers[row].data) != buffers[row].nbytes:
                            raise DataError(f"{self.files[number]} is truncated; load the data again")
            except OSError as error:
                raise DataError(f"cannot read {self.files[number]} ({error.strerror}); load the data again") from error
        return torch.from_numpy(samples)


class Scratch:
    """A tensor (N, *shape) in an unnamed temporary file, initially zero; deleted with this object or the process.

    Args:
        shape: (N, *shape).
        folder: folder of the file.
    """

    def __init__(self, shape: tuple[int, ...], folder: Path) -> None:
        self.shape = shape
        self.folder = folder
        self._file = tempfile.TemporaryFile(dir=folder)  # noqa: SIM115  (memory maps outlive it)
        weakref.finalize(self, _close, self._file)

    def __setitem__(self, row: int, samples: Tensor | NDArray[np.float32]) -> None:
        """Write samples from a row on, without a map, so that a full disk raises an error instead of SIGBUS."""
        array = np.ascontiguousarray(samples, FLOAT)
        try:
            self._file.seek(row * math.prod(self.shape[1:]) * FLOAT.itemsize)
            self._file.write(array.data)
        except OSError as error:
            raise DataError(f"cannot write to {self.folder}: {error.strerror}") from error

    def __getitem__(self, rows: Tensor) -> Tensor:
        """Copy rows (n,) of int64 into a tensor (n, *shape)."""
        return self.tensor()[rows]

    def __reduce__(self) -> tuple[Any, ...]:
        """Pickle as a tensor, for example for the workers of a data loader."""
        return _identity, (self.tensor(),)

    def tensor(self) -> Tensor:
        """Return a new memory map of all rows."""
        if not math.prod(self.shape):
            return torch.zeros(self.shape)
        try:
            self._file.flush()
            self._file.truncate(math.prod(self.shape) * FLOAT.itemsize)
        except OSError as error:
            raise DataError(f"cannot write to {self.folder}: {error.strerror}") from error
        return torch.from_numpy(np.memmap(self._file, FLOAT, "r+", shape=self.shape))


def _close(file: IO[bytes]) -> None:
    """Close a temporary file; on a full disk, bytes that nobody needs any more may be left to write."""
    with suppress(OSError):
        file.close()


def _identity(tensor: Tensor) -> Tensor:
    return tensor


class Column:
    """The samples (N, *shape) of one modality.

    Args:
        source: the samples.
        rows: (N,), indices into the source; by default all rows.
        folder: folder of temporary files; None keeps everything in memory.
    """

    def __init__(
        self, source: Tensor | FileRows | Scratch, rows: Tensor | None = None, folder: Path | None = None
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
        """Yield all rows in chunks of 16 MiB."""
        size = math.prod(self.shape[1:]) * FLOAT.itemsize
        for rows in torch.split(torch.arange(len(self)), max(1, _CHUNK // max(1, size))):
            yield self[rows]

    def subset(self, rows: Tensor) -> "Column":
        """Return a column of some rows, which shares the samples."""
        return Column(self.source, rows if self.rows is None else self.rows[rows], self.folder)

    def tensor(self) -> Tensor:
        """Return all rows as one tensor, which becomes the column's source."""
        if isinstance(self.source, Tensor) and self.rows is None:
            return self.source
        whole = self[torch.arange(len(self))] if self.folder is None else self._scratch(self.folder).tensor()
        self.source, self.rows = whole, None
        return whole

    def _scratch(self, folder: Path) -> Scratch:
        """Copy the rows into a temporary file."""
        if isinstance(self.source, Scratch) and self.rows is None:
            return self.source
        scratch, row = Scratch(self.shape, folder), 0
        for chunk in self.chunks():
            scratch[row] = chunk
            row += len(chunk)
        return scratch


class SampleColumns(MutableMapping[str, Tensor]):
    """The samples (N, *shape) by modality. A look-up returns a tensor; rows of files become a memory map.

    Attributes:
        columns: the columns, without conversion to tensors.
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
        """Copy rows (n,) of each modality."""
        return {name: column[rows] for name, column in self.columns.items()}

    def subset(self, rows: Tensor) -> "SampleColumns":
        """Return some rows of each modality, which share the samples."""
        return SampleColumns({name: column.subset(rows) for name, column in self.columns.items()})
