"""Load the cells of a manifest into columns: from the cache where it holds them, otherwise from their files."""

import warnings
from array import array
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from contextlib import closing, nullcontext
from itertools import compress
from pathlib import Path
from typing import Literal, NamedTuple, Protocol, overload

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from multimodal_vae.data.cache import FOLDER, CachedColumn, make_root
from multimodal_vae.data.columns import Column, Scratch
from multimodal_vae.data.manifest import OUTSIDE, leads_out, path_in
from multimodal_vae.data.reading import Source, cores, read_all
from multimodal_vae.data.rows import Rows
from multimodal_vae.errors import DataError, MultimodalVAEWarning
from multimodal_vae.modalities.base import Modality
from multimodal_vae.names import is_missing_word
from multimodal_vae.progress import is_shown, shown, track
from multimodal_vae.provenance import code_of

Unreadable = Literal["refuse", "skip"]

SKIPPED = "skipped because they could not be read"

_SHOWN = 3
"""Unreadable cells that an error lists; the others are counted."""


class LoadedColumns(NamedTuple):
    """The cells of a manifest.

    Attributes:
        columns: (N, *shape) by modality.
        present: (N, M) of bool.
        notes: counts, by modality, of the changes that reading made to values.
    """

    columns: dict[str, Column]
    present: Tensor
    notes: dict[str, dict[str, int]]


def load_columns(
    manifest: Path,
    rows: Rows,
    modalities: Mapping[str, Modality],
    cache: str | Path | bool | None = None,
    workers: int | None = None,
    unreadable: Unreadable = "refuse",
    progress: bool | None = None,
) -> LoadedColumns:
    """Load the cells of a manifest; see :meth:`~multimodal_vae.data.dataset.MultimodalDataset.from_manifest`.

    Raises:
        DataError: if cells cannot be read; the message names manifest, line, sample, column and file.
    """
    root = _cache_root(manifest, cache)
    columns, notes, faults = {}, {}, []
    present = torch.from_numpy(rows.present.copy())
    for number, (name, modality) in enumerate(modalities.items()):
        cells, folder = rows.cells[name], manifest.parent if modality.cell == "path" else None
        given = np.flatnonzero(rows.present[:, number])
        outside = [index for index in given.tolist() if leads_out(cells[index])] if folder else []
        builder, count = _builder(root, modality, len(rows)), cores() if workers is None else workers
        with closing(builder):
            inside = _Sources(cells, np.setdiff1d(given, outside, assume_unique=True), folder)
            counts, unread = _fill(builder, modality, inside, count, f"reading {name}", progress)
        unread = dict(sorted({**unread, **dict.fromkeys(outside, OUTSIDE)}.items()))
        unread |= {
            index: f"{cells[index]!r} is a word for a missing value; leave the cell empty"
            for index in unread
            if is_missing_word(cells[index])
        }
        for index, fault in unread.items():
            row, source = rows[index], _source(cells[index], folder)
            where = f"{manifest}, line {row.line}, sample {row.sample_id!r}, {name}"
            faults.append(f"{where}, {source}: {fault}" if isinstance(source, Path) else f"{where}: {fault}")
            present[index, number] = False
        if unread:
            counts[SKIPPED] += len(unread)
        columns[name] = builder.column()
        if counts:
            notes[name] = dict(counts)
    if faults and (unreadable == "refuse" or not present.any()):
        raise DataError(_summary(faults))
    for name, modality in modalities.items():
        try:
            modality.check_notes(notes.get(name, {}))
        except DataError as error:
            raise DataError(f"{manifest}, {name}: {error}") from error
    return LoadedColumns(columns, present, notes)


def _source(cell: str, folder: Path | None) -> Source:
    return cell if folder is None else folder / path_in(cell)


class _Sources(Sequence[Source]):
    """The sources of some cells of a column, each made on access.

    Args:
        cells: (N,), the cells of the column.
        rows: (n,), the rows of these cells, ascending.
        folder: the folder of paths; None for values.
    """

    def __init__(self, cells: Sequence[str], rows: NDArray[np.intp], folder: Path | None) -> None:
        self.cells = cells
        self.rows = rows
        self.folder = folder

    def __len__(self) -> int:
        return len(self.rows)

    @overload
    def __getitem__(self, index: int) -> Source: ...

    @overload
    def __getitem__(self, index: slice) -> "_Sources": ...

    def __getitem__(self, index: int | slice) -> "Source | _Sources":
        if isinstance(index, slice):
            return _Sources(self.cells, self.rows[index], self.folder)
        return _source(self.cells[int(self.rows[index])], self.folder)

    def __iter__(self) -> Iterator[Source]:
        mask = np.zeros(len(self.cells), np.bool_)
        mask[self.rows] = True
        return (_source(cell, self.folder) for cell in compress(self.cells, mask.tolist()))


class _ColumnBuilder(Protocol):
    """Collects the samples of one column."""

    def look_up(self, index: int, source: Source) -> dict[str, int] | None:
        """Return the notes of a cell whose sample is stored already, else None."""

    def put(self, index: int, source: Source, sample: NDArray[np.float32], notes: Mapping[str, int]) -> None:
        """Store the sample of a cell."""

    def close(self) -> None:
        """Finish writing."""

    def column(self) -> Column:
        """Return the column; cells without a sample are zero."""


class _UncachedColumn:
    """Builds a column in memory or in a temporary file."""

    def __init__(self, samples: Tensor | Scratch) -> None:
        self.samples = samples

    def look_up(self, index: int, source: Source) -> dict[str, int] | None:
        return None

    def put(self, index: int, source: Source, sample: NDArray[np.float32], notes: Mapping[str, int]) -> None:
        self.samples[index] = torch.as_tensor(sample)

    def close(self) -> None:
        pass

    def column(self) -> Column:
        return Column(self.samples, folder=self.samples.folder if isinstance(self.samples, Scratch) else None)


def _builder(root: Path | None, modality: Modality, count: int) -> _ColumnBuilder:
    shape = (count, *modality.shape)
    if root is None:
        return _UncachedColumn(torch.zeros(shape))
    code = code_of(modality)
    try:
        return _UncachedColumn(Scratch(shape, root)) if code is None else CachedColumn(root, modality, code, count)
    except OSError as error:
        raise DataError(f"cannot write the cache {error.filename or root}: {error.strerror}") from error


def _fill(
    builder: _ColumnBuilder,
    modality: Modality,
    sources: _Sources,
    workers: int,
    title: str,
    progress: bool | None,
) -> tuple[Counter[str], dict[int, str]]:
    """Read the cells that are not stored yet; return the counted notes, and the faults of unreadable cells."""
    notes, new = Counter[str](), array("q")
    for index, source in zip(sources.rows.tolist(), sources, strict=True):
        known = builder.look_up(index, source)
        if known is None:
            new.append(index)
        elif known:
            notes.update(known)
    missing = _Sources(sources.cells, np.asarray(new, np.intp), sources.folder)
    if workers > 1 and code_of(modality) is None:  # a worker process might import other code under the class's name
        workers = 0
    show = bool(missing) and progress is not False and not is_shown()
    faults = {}
    with shown() if show else nullcontext(), closing(read_all(modality, missing, workers)) as results:
        for index, source, result in zip(track(missing.rows.tolist(), title), missing, results, strict=True):
            if result.sample is None:
                faults[index] = result.fault
            else:
                builder.put(index, source, result.sample, result.notes)
            if result.notes:
                notes.update(result.notes)
    return notes, faults


def _cache_root(manifest: Path, cache: str | Path | bool | None) -> Path | None:
    if cache is False:
        return None
    default = cache in (None, True)
    root = manifest.parent / FOLDER if default else Path(str(cache))
    try:
        make_root(root)
    except OSError as error:
        if not default:
            raise DataError(f"cannot write the cache {root}: {error.strerror}") from error
        warnings.warn(
            f"cannot write the cache {root} ({error.strerror}), so samples stay in memory and are read again each "
            "time; set 'cache' to another folder, or to false",
            MultimodalVAEWarning,
            stacklevel=4,
        )
        return None
    return root


def _summary(faults: Sequence[str]) -> str:
    if len(faults) == 1:
        return faults[0]
    rest = f"; and {len(faults) - _SHOWN} more" if len(faults) > _SHOWN else ""
    return f"{len(faults)} cells cannot be read: {'; '.join(faults[:_SHOWN])}{rest}"
