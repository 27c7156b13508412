"""``manifest.csv``: one row a sample, a column a modality."""

import csv
import os
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Literal

from multimodal_vae.errors import DataError, did_you_mean
from multimodal_vae.files import bounded_lines

SplitName = Literal["train", "validation", "test"]
SPLITS: tuple[SplitName, ...] = ("train", "validation", "test")
RESERVED = ("sample_id", "patient_id", "label", "split")
"""Columns that hold no modality."""


@dataclass(frozen=True)
class Row:
    """One sample of a manifest.

    Attributes:
        line: its line in the file, the header being line 1.
        sample_id: its name, unique in the manifest.
        patient_id: whose it is; the sample's own name where the manifest has no such column.
        label: its class; empty where unknown.
        split: ``train``, ``validation`` or ``test``; empty where the manifest does not say.
        cells: what stands in each modality's column; empty where the modality is absent.
        metadata: every other column.
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
        columns: those that hold modalities.

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


OUTSIDE = "leads out of the manifest's folder; put the file, or a link to it, there"


def leads_out(cell: str) -> bool:
    """Whether a path leaves the manifest's folder: a stranger's must not open other files of whoever reads it."""
    return os.path.isabs(cell) or os.path.normpath(cell).split(os.sep)[0] == os.pardir


def _rows(path: Path, file: Iterable[str], columns: Sequence[str]) -> list[Row]:
    lines = csv.reader(file, strict=True)
    header = next(lines, [])
    for column in ("sample_id", "label", *columns):
        if column not in header:
            raise DataError(f"{path} has no column {column!r}; {did_you_mean(column, header)}")
    doubled = [column for column in header if header.count(column) > 1]
    if doubled:
        raise DataError(f"{path} has two columns called {doubled[0]!r}")
    rows: list[Row] = []
    seen: dict[str, int] = {}
    for cells in lines:
        line = lines.line_num
        if not cells:
            continue
        if len(cells) != len(header):
            raise DataError(f"{path}, line {line} has {len(cells)} cells and the header {len(header)}")
        record = {column: cell.strip() for column, cell in zip(header, cells, strict=True)}
        sample_id, split = record["sample_id"], record.get("split", "")
        if not sample_id:
            raise DataError(f"{path}, line {line} has no sample_id")
        if sample_id in seen:
            raise DataError(f"{path}, line {line} repeats the sample_id {sample_id!r} of line {seen[sample_id]}")
        if split and split not in SPLITS:
            raise DataError(f"{path}, line {line}: split is {split!r}, which is none of {', '.join(SPLITS)}")
        modalities = {column: record[column] for column in columns}
        if not any(modalities.values()):
            raise DataError(f"{path}, line {line}: the sample {sample_id!r} has no modality at all")
        seen[sample_id] = line
        metadata = {column: cell for column, cell in record.items() if column not in (*RESERVED, *columns)}
        patient = record.get("patient_id", "") or sample_id
        rows.append(Row(line, sample_id, patient, record["label"], split, modalities, metadata))
    if not rows:
        raise DataError(f"{path} has a header and no samples")
    return rows
