"""Reading ``manifest.csv``: one row per sample, one or more columns per modality, and files joined to it."""

import csv
import ntpath
import os
from array import array
from collections import Counter
from collections.abc import Callable, Iterator, Mapping, Sequence
from functools import partial
from itertools import chain, islice, repeat
from pathlib import Path
from typing import Literal, NamedTuple

import numpy as np

from multimodal_vae.data.rows import Rows
from multimodal_vae.data.texts import BLOCK, Texts
from multimodal_vae.errors import DataError, did_you_mean
from multimodal_vae.formulas import unquote_formula
from multimodal_vae.names import check_names, clean, form, has_repeats, refuse_near_columns, spelled
from multimodal_vae.tables import parse_text, read_opening

SplitName = Literal["train", "validation", "test"]
SPLITS: tuple[SplitName, ...] = ("train", "validation", "test")
RESERVED = ("sample_id", "patient_id", "label", "split")
"""Columns that cannot be modalities."""

INDEPENDENT = "rows without a patient_id, taken as independent"
"""Note of a data set that names no patients, or not all."""

UNMATCHED = "rows without a sample in the manifest, left out"
"""Note of a joined file."""


class Manifest(NamedTuple):
    """The cells of a manifest and of the files joined to it.

    Attributes:
        path: the manifest.
        columns: (N,) by name, the cells of all columns.
        lines: (N,), line number of each row; the header is line 1.
        unmatched: number of rows without a sample, by joined file.
    """

    path: Path
    columns: dict[str, Texts]
    lines: Sequence[int]
    unmatched: dict[str, int]

    def rows(self, modalities: Mapping[str, Sequence[str]]) -> Rows:
        """Return the samples.

        Args:
            modalities: names of the columns by modality; none for one column that is called like the modality.

        Raises:
            DataError: naming file, line and column.
        """
        columns = {name: list(each) or [name] for name, each in modalities.items()}
        owners: dict[str, str] = {}
        for name, each in columns.items():
            for column in each:
                if column not in self.columns:
                    raise DataError(f"{self.path} has no column {column!r}; {did_you_mean(column, self.columns)}")
                if column in owners:
                    raise DataError(
                        f"{self.path}: the column {column!r} belongs to {owners[column]!r} and to {name!r}; choose one"
                    )
                owners[column] = name
        rows = Rows(self.lines, self.columns, modalities, {*RESERVED, *owners})
        absent = np.flatnonzero(~rows.present.any(1))
        if len(absent):
            row = rows[int(absent[0])]
            raise DataError(
                f"{self.path}, line {row.line}: sample {row.sample_id!r} has no modality; fill a cell, or remove the "
                "line"
            )
        return rows


def read_manifest(path: Path, columns: Sequence[str], join: Sequence[str] = ()) -> Manifest:
    """Read a manifest.

    Args:
        path: the file, with a header row.
        columns: names of columns that must be there.
        join: CSV files beside the manifest, whose columns join its own by ``sample_id`` or, without such a column, by
            ``patient_id``; cells of samples that a file lacks are empty.

    Raises:
        DataError: naming file, line and column.
    """
    required = ["sample_id", "label", *([] if join else columns)]
    manifest = _read(path, lambda lines: _samples(path, lines, columns, required), "manifest")
    for name in join:
        if leads_out(name):
            raise DataError(f"the file {name} to join {OUTSIDE}")
        file = path.parent / path_in(name)
        manifest = joined(manifest, _read(file, partial(_table, file), "file"), name)
    for column in columns:
        if column not in manifest.columns:
            files = " or ".join(map(str, [path, *join]))
            raise DataError(f"{files} has no column {column!r}; {did_you_mean(column, manifest.columns)}")
    return manifest


def _read(path: Path, parse: Callable[[Iterator[str]], Manifest], kind: str) -> Manifest:
    try:
        return parse_text(path, parse)
    except FileNotFoundError:
        raise DataError(f"there is no {kind} {path}") from None
    except OSError as error:
        raise DataError(f"{path} cannot be read: {error.strerror}") from error
    except csv.Error as error:
        raise DataError(f"{path} cannot be read as a CSV file: {error}") from error
    except UnicodeError:
        raise DataError(f"{path} cannot be read as a CSV file: its encoding is unknown; save it as UTF-8") from None


OUTSIDE = "leads out of the manifest's folder; move or link the file into it"


def leads_out(cell: str) -> bool:
    """Return whether a path leaves the manifest's folder; an untrusted manifest must not open other files."""
    if cell[:1] not in ("/", "\\") and ":" not in cell and ".." not in cell:  # as almost all paths
        return False
    absolute = os.path.isabs(cell) or ntpath.isabs(cell) or cell.startswith("\\")
    return absolute or os.pardir in os.path.normpath(path_in(cell)).split(os.sep)[:1]


def path_in(cell: str) -> str:
    """Return a path that Windows may have written, with slashes."""
    return cell.replace("\\", "/")


def joined(manifest: Manifest, table: Manifest, name: str) -> Manifest:
    """Return a manifest with the columns of another table.

    Args:
        manifest: the manifest.
        table: the table, with a column ``sample_id`` or ``patient_id``.
        name: name of the table.

    Raises:
        DataError: if the table has no such column, repeats or lacks a key, fits no sample, or has other columns of the
            manifest.
    """
    key = next((key for key in ("sample_id", "patient_id") if key in table.columns), "")
    if not key:
        raise DataError(f"{table.path} has neither sample_id nor patient_id to join it by; add one of these columns")
    row_of: dict[str, int] = {}
    for row, (line, name_of_row) in enumerate(zip(table.lines, table.columns[key], strict=True)):
        if not name_of_row:
            raise DataError(f"{table.path}, line {line} has no {key}")
        if name_of_row in row_of:
            first = table.lines[row_of[name_of_row]]
            raise DataError(
                f"{table.path}, line {line} repeats the {key} {name_of_row!r} of line {first}; keep one row of each"
            )
        row_of[name_of_row] = row
    columns = [column for column in table.columns if column not in ("sample_id", "patient_id")]
    both = [column for column in columns if column in manifest.columns]
    if both:
        raise DataError(
            f"{table.path} and {manifest.path} both have a column {both[0]!r}; rename or remove one of them"
        )
    ids = manifest.columns["sample_id"]
    keys = [own or each for own, each in zip(manifest.columns.get(key, ids), ids, strict=True)]
    known = {*keys} & row_of.keys()
    forms = {form(each): each for each in {*keys} - known}
    twin = next(((each, forms[form(each)]) for each in row_of if each not in known and form(each) in forms), None)
    if twin:
        raise DataError(
            f"{table.path} has the {key} {spelled(twin[0])}, but {manifest.path} has {spelled(twin[1])}; write both in "
            "the same way"
        )
    if not known:
        raise DataError(
            f"{table.path} has no {key} of {manifest.path}: one has {spelled(next(iter(row_of), ''))}, the other "
            f"{spelled(keys[0])}; write both in the same way"
        )
    added = {
        column: Texts(table.columns[column][row_of[each]] if each in row_of else "" for each in keys)
        for column in columns
    }
    unmatched = {**manifest.unmatched, **({name: len(row_of) - len(known)} if len(known) < len(row_of) else {})}
    return Manifest(manifest.path, manifest.columns | added, manifest.lines, unmatched)


def _table(path: Path, lines: Iterator[str], columns: Sequence[str] = (), required: Sequence[str] = ()) -> Manifest:
    """Read the cells of a CSV file with a header row."""
    separator, skipped, opening = _separator(lines)
    reader = csv.reader(chain(opening, lines), delimiter=separator, strict=True)
    header = _header(path, next((row for row in reader if any(map(str.strip, row))), []), columns, required)
    numbers = array("q")

    def rows() -> Iterator[list[str]]:
        for row in reader:
            cells = [cell.strip() for cell in row]
            if "'" in "".join(cells):
                cells = [unquote_formula(cell) for cell in cells]
            if not any(cells):
                continue
            line = reader.line_num + skipped
            if len(cells) < len(header) or any(cells[len(header) :]):
                raise DataError(f"{path}, line {line} has {len(cells)} cells, but the header has {len(header)}")
            numbers.append(line)
            yield cells

    found, texts = rows(), [Texts() for _ in header]
    while block := list(islice(found, BLOCK)):
        for own, cells in zip(texts, zip(*block, strict=False), strict=False):  # rows may end in empty cells
            own.append_block(cells)
    return Manifest(path, dict(zip(header, texts, strict=True)), numbers, {})


def _samples(path: Path, lines: Iterator[str], columns: Sequence[str], required: Sequence[str]) -> Manifest:
    """Read a manifest, and check names and splits."""
    manifest = _table(path, lines, columns, required)
    ids, splits = manifest.columns["sample_id"], manifest.columns.get("split", Texts())
    if not ids:
        raise DataError(f"{path} has a header but no samples")
    if "" in ids or has_repeats(ids) or not {*splits} <= {"", *SPLITS}:
        _refuse_first_fault(manifest)
    _check_names(manifest)
    return manifest


def _refuse_first_fault(manifest: Manifest) -> None:
    """Raise DataError if a row has no sample_id, that of another row, or an unknown split; name the first such row."""
    path, ids = manifest.path, manifest.columns["sample_id"]
    line_of: dict[str, int] = {}
    for line, sample_id, split in zip(manifest.lines, ids, manifest.columns.get("split", repeat("")), strict=False):
        if not sample_id:
            raise DataError(f"{path}, line {line} has no sample_id")
        if sample_id in line_of:
            raise DataError(f"{path}, line {line} repeats the sample_id {sample_id!r} of line {line_of[sample_id]}")
        if split and split not in SPLITS:
            raise DataError(f"{path}, line {line}: split {split!r} is not one of {', '.join(SPLITS)}")
        line_of[sample_id] = line


def _separator(lines: Iterator[str]) -> tuple[str, int, list[str]]:
    """Return the separator, the number of lines before the table, and the lines read so far."""
    stated, opening = read_opening(lines, 1, " ,;\t\r\n")
    if stated:
        return stated, 1, []
    header = opening[-1] if opening else ""
    keys = {"sample_id", "patient_id"}
    mark = next((mark for mark in ",;\t" if keys & {*map(clean, _cells(header, mark))}), ",")
    return mark, 0, opening


def _cells(line: str, mark: str) -> list[str]:
    """Return the cells of a line; none if they are too long, as where the mark is not that of a line of many cells."""
    try:
        return next(csv.reader([line], delimiter=mark))
    except csv.Error:
        return []


def _header(path: Path, cells: Sequence[str], columns: Sequence[str], required: Sequence[str]) -> list[str]:
    """Return the names of the columns, without nameless ones at the right edge; check them."""
    known = {clean(column): column for column in columns}
    header = [known.get(name, name) for name in (clean(unquote_formula(cell.strip())) for cell in cells)]
    while header and not header[-1]:
        header.pop()
    repeated = [column for column, times in Counter(header).items() if times > 1]
    if repeated:
        raise DataError(f"{path} has two columns called {repeated[0]!r}")
    try:
        refuse_near_columns("column", header, [*(RESERVED if required else ("sample_id",)), *columns])
    except DataError as error:
        raise DataError(f"{path}: {error}") from error
    for column in required:
        if column not in header:
            raise DataError(f"{path} has no column {column!r}; {did_you_mean(column, header)}")
    return header


def _check_names(manifest: Manifest) -> None:
    """Refuse names of samples and patients that are doubtful."""
    try:
        for what in ("sample_id", "patient_id"):
            check_names(what, manifest.columns.get(what, Texts()), lambda row: f"line {manifest.lines[row]}")
    except DataError as error:
        raise DataError(f"{manifest.path}: {error}") from error
