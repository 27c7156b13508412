"""Reading ``manifest.csv``: one row per sample, one column per modality."""

import csv
import os
from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Literal

from multimodal_vae.errors import DataError, did_you_mean
from multimodal_vae.files import bounded_lines

SplitName = Literal["train", "validation", "test"]
SPLITS: tuple[SplitName, ...] = ("train", "validation", "test")
RESERVED = ("sample_id", "patient_id", "label", "split")
"""Columns that cannot be modalities."""


@dataclass(frozen=True)
class Row:
    """One sample of a manifest.

    Attributes:
        line: line number in the file; the header is line 1.
        sample_id: name of the sample, unique in the manifest.
        patient_id: name of the patient; ``sample_id`` if the manifest has no such column.
        label: name of the class; empty if unlabeled.
        split: ``train``, ``validation`` or ``test``; empty if the manifest has no such column.
        cells: the cell of each modality's column; empty if the modality is absent.
        metadata: the other columns.
    """

    line: int
    sample_id: str
    patient_id: str
    label: str
    split: str
    cells: dict[str, str]
    metadata: dict[str, str] = field(default_factory=dict)


def read_manifest(path: Path, columns: Sequence[str]) -> list[Row]:
    """Read a manifest.

    Args:
        path: the file, with a header row.
        columns: names of the modalities' columns.

    Raises:
        DataError: naming file, line and column.
    """
    try:
        with open(path, newline="", encoding="utf-8-sig") as file:
            return _rows(path, bounded_lines(file), columns)
    except FileNotFoundError:
        raise DataError(f"there is no manifest {path}") from None
    except (OSError, UnicodeDecodeError, csv.Error) as error:
        raise DataError(f"{path} cannot be read as a CSV file: {error}") from error


OUTSIDE = "leads out of the manifest's folder; move or link the file into it"


def leads_out(cell: str) -> bool:
    """Return whether a path leaves the manifest's folder; an untrusted manifest must not open other files."""
    return os.path.isabs(cell) or os.path.normpath(cell).split(os.sep)[0] == os.pardir


def _rows(path: Path, file: Iterable[str], columns: Sequence[str]) -> list[Row]:
    lines = csv.reader(file, strict=True)
    header = next(lines, [])
    for column in ("sample_id", "label", *columns):
        if column not in header:
            raise DataError(f"{path} has no column {column!r}; {did_you_mean(column, header)}")
    repeated = [column for column, times in Counter(header).items() if times > 1]
    if repeated:
        raise DataError(f"{path} has two columns called {repeated[0]!r}")
    rows: list[Row] = []
    line_of: dict[str, int] = {}
    others = [column for column in header if column not in {*RESERVED, *columns}]
    for cells in lines:
        line = lines.line_num
        if not cells:
            continue
        if len(cells) != len(header):
            raise DataError(f"{path}, line {line} has {len(cells)} cells, but the header has {len(header)}")
        record = {column: cell.strip() for column, cell in zip(header, cells, strict=True)}
        sample_id, split = record["sample_id"], record.get("split", "")
        if not sample_id:
            raise DataError(f"{path}, line {line} has no sample_id")
        if sample_id in line_of:
            raise DataError(f"{path}, line {line} repeats the sample_id {sample_id!r} of line {line_of[sample_id]}")
        if split and split not in SPLITS:
            raise DataError(f"{path}, line {line}: split {split!r} is not one of {', '.join(SPLITS)}")
        modalities = {column: record[column] for column in columns}
        if not any(modalities.values()):
            raise DataError(
                f"{path}, line {line}: sample {sample_id!r} has no modality; fill a cell, or remove the line"
            )
        line_of[sample_id] = line
        metadata = {column: record[column] for column in others}
        patient = record.get("patient_id", "") or sample_id
        rows.append(Row(line, sample_id, patient, record["label"], split, modalities, metadata))
    if not rows:
        raise DataError(f"{path} has a header but no samples")
    return rows
