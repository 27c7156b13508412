"""From a manifest's rows to columns of samples: what is known already is taken from the cache, the rest is read."""

import warnings
from collections import Counter
from collections.abc import Mapping, Sequence
from contextlib import closing
from pathlib import Path
from typing import Literal, NamedTuple, Protocol

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from multimodal_vae.data.cache import FOLDER, Store, make_root
from multimodal_vae.data.columns import Column, Scratch
from multimodal_vae.data.manifest import OUTSIDE, Row, leads_out
from multimodal_vae.data.reading import Source, cores, read_all
from multimodal_vae.errors import DataError, MultimodalVAEWarning
from multimodal_vae.modalities.base import Modality
from multimodal_vae.provenance import code_of

Unreadable = Literal["refuse", "skip"]

SKIPPED = "left out, since they could not be read"

_LISTED = 10
"""Unreadable cells that an error names; of the rest it gives the number."""


class Intake(NamedTuple):
    """What came of a manifest's cells.

    Attributes:
        columns: by modality, (N, *shape).
        present: (N, M) of bool.
        notes: by modality, what reading noted, counted.
    """

    columns: dict[str, Column]
    present: Tensor
    notes: dict[str, dict[str, int]]


def take_in(
    manifest: Path,
    rows: Sequence[Row],
    modalities: Mapping[str, Modality],
    cache: str | Path | bool | None = None,
    workers: int | None = None,
    unreadable: Unreadable = "refuse",
    progress: bool | None = None,
) -> Intake:
    """Read the cells of a manifest; see :meth:`~multimodal_vae.data.dataset.MultimodalDataset.from_manifest`.

    Raises:
        DataError: naming manifest, line, sample, column and file of each cell that cannot be read.
    """
    root = _root(manifest, cache)
    columns, notes, faults = {}, {}, []
    present = torch.tensor([[bool(row.cells[name]) for name in modalities] for row in rows])
    for number, (name, modality) in enumerate(modalities.items()):
        cells: dict[int, Source] = {
            index: manifest.parent / row.cells[name] if modality.cell == "path" else row.cells[name]
            for index, row in enumerate(rows)
            if row.cells[name]
        }
        outside = {
            index: OUTSIDE
            for index, cell in cells.items()
            if isinstance(cell, Path) and leads_out(rows[index].cells[name])
        }
        keeper, count = _keeper(root, modality, len(rows)), cores() if workers is None else workers
        with closing(keeper):
            inside = {index: cell for index, cell in cells.items() if index not in outside}
            noted, wrong = _fill(keeper, modality, inside, count, f"reading {name}", progress)
        wrong = dict(sorted({**wrong, **outside}.items()))
        for index, fault in wrong.items():
            row, source = rows[index], cells[index]
            where = f"{manifest}, line {row.line}, sample {row.sample_id!r}, {name}"
            faults.append(f"{where}, {source}: {fault}" if isinstance(source, Path) else f"{where}: {fault}")
            present[index, number] = False
        if wrong:
            noted[SKIPPED] += len(wrong)
        columns[name] = keeper.column()
        if noted:
            notes[name] = dict(noted)
    if faults and (unreadable == "refuse" or not present.any()):
        raise DataError(_listed(faults))
    return Intake(columns, present, notes)


class _Keeper(Protocol):
    """Where a column is put together."""

    def known(self, index: int, source: Source) -> dict[str, int] | None:
        """What was noted of a cell that need not be read any more."""

    def put(self, index: int, source: Source, sample: NDArray[np.float32], notes: Mapping[str, int]) -> None:
        """Keep a sample."""

    def close(self) -> None:
        """Nothing more will come for now."""

    def column(self) -> Column:
        """What was put together; what was not is zero."""


class _ForNow:
    """Samples in a tensor, in memory or in a nameless file."""

    def __init__(self, samples: Tensor | Scratch) -> None:
        self.samples = samples

    def known(self, index: int, source: Source) -> dict[str, int] | None:
        return None

    def put(self, index: int, source: Source, sample: NDArray[np.float32], notes: Mapping[str, int]) -> None:
        self.samples[index] = torch.as_tensor(sample)

    def close(self) -> None:
        pass

    def column(self) -> Column:
        return Column(self.samples, folder=self.samples.folder if isinstance(self.samples, Scratch) else None)


def _keeper(root: Path | None, modality: Modality, count: int) -> _Keeper:
    shape = (count, *modality.shape)
    if root is None:
        return _ForNow(torch.zeros(shape))
    code = code_of(modality)
    return _ForNow(Scratch(shape, root)) if code is None else Store(root, modality, code, count)


def _fill(
    keeper: _Keeper, modality: Modality, cells: Mapping[int, Source], workers: int, title: str, progress: bool | None
) -> tuple[Counter[str], dict[int, str]]:
    """Read what is not known; give what was noted, and by cell what is wrong."""
    from rich.console import Console
    from rich.progress import track

    noted = {index: keeper.known(index, source) for index, source in cells.items()}
    unread = [index for index, notes in noted.items() if notes is None]
    if workers > 1 and code_of(modality) is None:  # another process would not have the same class
        workers = 0
    console = Console(stderr=True)
    shown = bool(unread) and (console.is_terminal if progress is None else progress)
    # Older versions of rich end a display that is disabled with an empty line.
    indices = track(unread, title, console=console, transient=True) if shown else unread
    wrong = {}
    with closing(read_all(modality, [cells[index] for index in unread], workers)) as readings:
        for index, reading in zip(indices, readings, strict=True):
            if reading.sample is None:
                wrong[index] = reading.fault
            else:
                keeper.put(index, cells[index], reading.sample, reading.notes)
            noted[index] = reading.notes
    total: Counter[str] = Counter()
    for notes in noted.values():
        total.update(notes or {})
    return total, wrong


def _root(manifest: Path, cache: str | Path | bool | None) -> Path | None:
    if cache is False:
        return None
    by_default = cache in (None, True)
    root = manifest.parent / FOLDER if by_default else Path(str(cache))
    try:
        make_root(root)
    except OSError as error:
        if not by_default:
            raise DataError(f"the cache {root} cannot be written: {error.strerror}") from error
        warnings.warn(
            f"{root} cannot be written ({error.strerror}), so all samples are kept in memory and read again each time; "
            "give another place as 'cache', or false",
            MultimodalVAEWarning,
            stacklevel=4,
        )
        return None
    return root


def _listed(faults: Sequence[str]) -> str:
    if len(faults) == 1:
        return faults[0]
    rest = f"; and {len(faults) - _LISTED} more" if len(faults) > _LISTED else ""
    return f"{len(faults)} cells cannot be read: {'; '.join(faults[:_LISTED])}{rest}"
