"""Reading ``manifest.csv``: one row per sample, one column per modality."""

import csv
import ntpath
import os
from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from itertools import chain
from pathlib import Path
from typing import Literal

from multimodal_vae.errors import DataError, did_you_mean
from multimodal_vae.files import unquote_formula
from multimodal_vae.names import check_names, clean, refuse_near_columns
from multimodal_vae.tables import parse_text, read_opening

SplitName = Literal["train", "validation", "test"]
SPLITS: tuple[SplitName, ...] = ("train", "validation", "test")
RESERVED = ("sample_id", "patient_id", "label", "split")
"""Columns that cannot be modalities."""

INDEPENDENT = "rows without a patient_id, taken as independent"
"""Note of a data set that names no patients, or not all."""


@dataclass(frozen=True)
class Row:
    """One sample of a manifest.

    Attributes:
        line: line number in the file; the header is line 1.
        sample_id: name of the sample, unique in the manifest.
        patient_id: name of the patient; empty if it is missing.
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
        return parse_text(path, lambda lines: _rows(path, lines, columns))
    except FileNotFoundError:
        raise DataError(f"there is no manifest {path}") from None
    except OSError as error:
        raise DataError(f"{path} cannot be read: {error.strerror}") from error
    except csv.Error as error:
        raise DataError(f"{path} cannot be read as a CSV file: {error}") from error
    except UnicodeError:
        raise DataError(f"{path} cannot be read as a CSV file: its encoding is unknown; save it as UTF-8") from None


OUTSIDE = "leads out of the manifest's folder; move or link the file into it"


def leads_out(cell: str) -> bool:
    """Return whether a path leaves the manifest's folder; an untrusted manifest must not open other files."""
    absolute = os.path.isabs(cell) or ntpath.isabs(cell) or cell.startswith("\\")
    return absolute or os.pardir in os.path.normpath(path_in(cell)).split(os.sep)[:1]


def path_in(cell: str) -> str:
    """Return a path that Windows may have written, with slashes."""
    return cell.replace("\\", "/")


def _rows(path: Path, lines: Iterator[str], columns: Sequence[str]) -> list[Row]:
    separator, skipped, opening = _separator(lines)
    reader = csv.reader(chain(opening, lines), delimiter=separator, strict=True)
    header = _header(path, next((row for row in reader if any(map(str.strip, row))), []), columns)
    known = {*RESERVED, *columns}
    others = [column for column in header if column not in known]
    rows: list[Row] = []
    line_of: dict[str, int] = {}
    for row in reader:
        line, cells = reader.line_num + skipped, [cell.strip() for cell in row]
        cells = [unquote_formula(cell) if cell[:1] == "'" else cell for cell in cells]
        if not any(cells):
            continue
        if len(cells) < len(header) or any(cells[len(header) :]):
            raise DataError(f"{path}, line {line} has {len(cells)} cells, but the header has {len(header)}")
        record = dict(zip(header, cells, strict=False))
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
        rows.append(Row(line, sample_id, record.get("patient_id", ""), record["label"], split, modalities, metadata))
    if not rows:
        raise DataError(f"{path} has a header but no samples")
    _check_names(path, rows)
    return rows


def _separator(lines: Iterator[str]) -> tuple[str, int, list[str]]:
    """Return the separator, the number of lines before the table, and the lines read so far."""
    stated, opening = read_opening(lines, 1, " ,;\t\r\n")
    if stated:
        return stated, 1, []
    header = opening[-1] if opening else ""
    mark = next((mark for mark in ",;\t" if "sample_id" in map(clean, _cells(header, mark))), ",")
    return mark, 0, opening


def _cells(line: str, mark: str) -> list[str]:
    """Return the cells of a line; none if they are too long, as where the mark is not that of a line of many cells."""
    try:
        return next(csv.reader([line], delimiter=mark))
    except csv.Error:
        return []


def _header(path: Path, cells: Sequence[str], columns: Sequence[str]) -> list[str]:
    """Return the names of the columns, without nameless ones at the right edge; check them."""
    known = {clean(column): column for column in columns}
    header = [known.get(name, name) for name in (clean(unquote_formula(cell.strip())) for cell in cells)]
    while header and not header[-1]:
        header.pop()
    repeated = [column for column, times in Counter(header).items() if times > 1]
    if repeated:
        raise DataError(f"{path} has two columns called {repeated[0]!r}")
    try:
        refuse_near_columns("column", header, [*RESERVED, *columns])
    except DataError as error:
        raise DataError(f"{path}: {error}") from error
    for column in ("sample_id", "label", *columns):
        if column not in header:
            raise DataError(f"{path} has no column {column!r}; {did_you_mean(column, header)}")
    return header


def _check_names(path: Path, rows: Sequence[Row]) -> None:
    """Refuse names of samples and patients that are doubtful."""
    try:
        for what, names in (
            ("sample_id", [row.sample_id for row in rows]),
            ("patient_id", [row.patient_id for row in rows]),
        ):
            check_names(what, names, lambda row: f"line {rows[row].line}")
    except DataError as error:
        raise DataError(f"{path}: {error}") from error
