"""Reading ``manifest.csv``: one row per sample, one or more columns per modality, and files joined to it."""

import csv
import ntpath
import os
from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from functools import partial
from itertools import chain
from pathlib import Path
from typing import Literal, NamedTuple

from multimodal_vae.errors import DataError, did_you_mean
from multimodal_vae.files import csv_row
from multimodal_vae.formulas import unquote_formula
from multimodal_vae.names import check_names, clean, form, refuse_near_columns, spelled
from multimodal_vae.tables import parse_text, read_opening

SplitName = Literal["train", "validation", "test"]
SPLITS: tuple[SplitName, ...] = ("train", "validation", "test")
RESERVED = ("sample_id", "patient_id", "label", "split")
"""Columns that cannot be modalities."""

INDEPENDENT = "rows without a patient_id, taken as independent"
"""Note of a data set that names no patients, or not all."""

UNMATCHED = "rows without a sample in the manifest, left out"
"""Note of a joined file."""


@dataclass(frozen=True)
class Row:
    """One sample of a manifest.

    Attributes:
        line: line number in the file; the header is line 1.
        sample_id: name of the sample, unique in the manifest.
        patient_id: name of the patient; empty if it is missing.
        label: name of the class; empty if unlabeled.
        split: ``train``, ``validation`` or ``test``; empty if the manifest has no such column.
        cells: the cell of each modality, or the CSV row of its cells; empty if the modality is absent.
        metadata: the other columns.
    """

    line: int
    sample_id: str
    patient_id: str
    label: str
    split: str
    cells: dict[str, str]
    metadata: dict[str, str] = field(default_factory=dict)


class Manifest(NamedTuple):
    """The cells of a manifest and of the files joined to it.

    Attributes:
        path: the manifest.
        columns: names of all columns.
        lines: line number of each row; the header is line 1.
        records: cells by column, of each row.
        unmatched: number of rows without a sample, by joined file.
    """

    path: Path
    columns: list[str]
    lines: list[int]
    records: list[dict[str, str]]
    unmatched: dict[str, int]

    def cells(self, columns: Iterable[str]) -> dict[str, list[str]]:
        """Return the cells of some columns."""
        return {column: [record[column] for record in self.records] for column in columns}

    def rows(self, modalities: Mapping[str, Sequence[str]]) -> list[Row]:
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
        others = [column for column in self.columns if column not in {*RESERVED, *owners}]
        rows = []
        for line, record in zip(self.lines, self.records, strict=True):
            cells = {
                name: csv_row([record[column] for column in columns[name]]) if modalities[name] else record[name]
                for name in modalities
            }
            if not any(cells.values()):
                raise DataError(
                    f"{self.path}, line {line}: sample {record['sample_id']!r} has no modality; fill a cell, or remove "
                    "the line"
                )
            metadata = {column: record[column] for column in others}
            patient, split = record.get("patient_id", ""), record.get("split", "")
            rows.append(Row(line, record["sample_id"], patient, record["label"], split, cells, metadata))
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
    for row, (line, record) in enumerate(zip(table.lines, table.records, strict=True)):
        if not record[key]:
            raise DataError(f"{table.path}, line {line} has no {key}")
        if record[key] in row_of:
            first = table.lines[row_of[record[key]]]
            raise DataError(
                f"{table.path}, line {line} repeats the {key} {record[key]!r} of line {first}; keep one row of each"
            )
        row_of[record[key]] = row
    columns = [column for column in table.columns if column not in ("sample_id", "patient_id")]
    both = [column for column in columns if column in manifest.columns]
    if both:
        raise DataError(
            f"{table.path} and {manifest.path} both have a column {both[0]!r}; rename or remove one of them"
        )
    keys = [record.get(key) or record["sample_id"] for record in manifest.records]
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
    empty = dict.fromkeys(columns, "")
    records = [
        record | ({column: table.records[row_of[each]][column] for column in columns} if each in row_of else empty)
        for record, each in zip(manifest.records, keys, strict=True)
    ]
    unmatched = {**manifest.unmatched, **({name: len(row_of) - len(known)} if len(known) < len(row_of) else {})}
    return Manifest(manifest.path, [*manifest.columns, *columns], manifest.lines, records, unmatched)


def _table(path: Path, lines: Iterator[str], columns: Sequence[str] = (), required: Sequence[str] = ()) -> Manifest:
    """Read the cells of a CSV file with a header row."""
    separator, skipped, opening = _separator(lines)
    reader = csv.reader(chain(opening, lines), delimiter=separator, strict=True)
    header = _header(path, next((row for row in reader if any(map(str.strip, row))), []), columns, required)
    numbers: list[int] = []
    records: list[dict[str, str]] = []
    for row in reader:
        line, cells = reader.line_num + skipped, [cell.strip() for cell in row]
        cells = [unquote_formula(cell) if cell[:1] == "'" else cell for cell in cells]
        if not any(cells):
            continue
        if len(cells) < len(header) or any(cells[len(header) :]):
            raise DataError(f"{path}, line {line} has {len(cells)} cells, but the header has {len(header)}")
        numbers.append(line)
        records.append(dict(zip(header, cells, strict=False)))
    return Manifest(path, header, numbers, records, {})


def _samples(path: Path, lines: Iterator[str], columns: Sequence[str], required: Sequence[str]) -> Manifest:
    """Read a manifest, and check names and splits."""
    manifest = _table(path, lines, columns, required)
    line_of: dict[str, int] = {}
    for line, record in zip(manifest.lines, manifest.records, strict=True):
        sample_id, split = record["sample_id"], record.get("split", "")
        if not sample_id:
            raise DataError(f"{path}, line {line} has no sample_id")
        if sample_id in line_of:
            raise DataError(f"{path}, line {line} repeats the sample_id {sample_id!r} of line {line_of[sample_id]}")
        if split and split not in SPLITS:
            raise DataError(f"{path}, line {line}: split {split!r} is not one of {', '.join(SPLITS)}")
        line_of[sample_id] = line
    if not manifest.records:
        raise DataError(f"{path} has a header but no samples")
    _check_names(manifest)
    return manifest


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
            names = [record.get(what, "") for record in manifest.records]
            check_names(what, names, lambda row: f"line {manifest.lines[row]}")
    except DataError as error:
        raise DataError(f"{manifest.path}: {error}") from error
