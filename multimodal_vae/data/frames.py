"""Data sets from DataFrames of pandas or polars, and DataFrames from data sets, by means of narwhals."""

import math
import numbers
import re
import warnings
from abc import ABC, abstractmethod
from collections.abc import Callable, Container, Iterable, Mapping, Sequence
from typing import TYPE_CHECKING, Any, Self

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from multimodal_vae.checks import checked, real_samples
from multimodal_vae.data.covariates import covariates_of
from multimodal_vae.errors import ConfigurationError, DataError, did_you_mean, shorten
from multimodal_vae.files import csv_row, split_csv_row
from multimodal_vae.modalities.base import Modality
from multimodal_vae.names import clean, name_of, refuse_near_columns, scalar

if TYPE_CHECKING:
    import narwhals as nw


class DataFrames(ABC):
    """Conversion of a data set from and to DataFrames."""

    modalities: dict[str, Modality]
    samples: Mapping[str, Tensor]
    present: Tensor
    labels: Tensor
    classes: list[str]
    ids: list[str]
    patients: list[str]
    metadata: dict[str, list[str]]
    given_split: list[str]

    @classmethod
    @abstractmethod
    def from_tensors(
        cls,
        samples: Mapping[str, Any],
        labels: Iterable[Any],
        modalities: Mapping[str, Any],
        classes: Sequence[str] | None = None,
        ids: Iterable[Any] | None = None,
        patients: Iterable[Any] | None = None,
        present: Any = None,
        covariates: Mapping[str, Any] | None = None,
        covariate_types: Sequence[Any] | None = None,
    ) -> Self:
        """Create a data set from tensors."""

    @classmethod
    @checked
    def from_dataframe(
        cls,
        frame: Any,
        modalities: Mapping[str, Any],
        classes: Sequence[str] | None = None,
        *,
        columns: Mapping[str, Any] | None = None,
        label: str = "label",
        sample_id: str = "sample_id",
        patient_id: str = "patient_id",
        covariates: Sequence[Any] = (),
    ) -> Self:
        """Read a DataFrame of pandas or polars with one row per sample.

        A cell that is None, NaN or ``pandas.NA`` is missing; a modality whose cells are all missing is absent.

        Args:
            frame: the DataFrame. Columns that are not named here become metadata; ``split`` is as in a manifest.
            modalities: by name, a modality, its name or its table.
            classes: the class names in order; by default those among the labels, sorted.
            columns: by modality, the column of each element of a sample, or one column of arrays, or of text as in a
                manifest's cells. Default: the columns that the modality names, as a table does, or one of its name.
            label: column of the labels.
            sample_id: column of the sample names; without one, the index of a pandas frame, or the row's number.
            patient_id: column of the patients; without one, each sample is a patient of its own.
            covariates: columns that the model takes beside the modalities; as in a manifest.

        Raises:
            DataError: naming column and row of what cannot be read.

        Example:
            >>> import pandas
            >>> from multimodal_vae import MultimodalDataset
            >>> frame = pandas.DataFrame({"label": ["ill", "well"], "hb": [9.5, 14], "crp": [80, 2]}, ["s1", "s2"])
            >>> vector = {"blood": {"name": "vector", "size": 2}}
            >>> data = MultimodalDataset.from_dataframe(frame, vector, columns={"blood": ["hb", "crp"]})
            >>> data.ids, data.samples["blood"][0]
            (['s1', 's2'], tensor([ 9.5000, 80.0000]))
        """
        table, parts = _Frame(frame), {name: Modality.of(spec) for name, spec in modalities.items()}
        types = covariates_of(covariates)
        reserved = {label, sample_id, patient_id, "split"}
        for name, part in parts.items():
            others = reserved.union(*(own for other, own in _columns(parts, columns).items() if other != name))
            parts[name] = part.settle(table.cells(others) if part.columns else {})
        names = _columns(parts, columns)
        known = reserved.union(*names.values())
        refuse_near_columns("column", table.columns, known, [sample_id, patient_id, "split"])
        loaded = {name: table.samples(name, part, names[name]) for name, part in parts.items()}
        present = np.stack([rows for _, rows in loaded.values()], 1)
        if not present.any(1).all():
            row = int(present.any(1).argmin())
            raise DataError(f"row {row} of the frame has none of the modalities; fill a cell, or leave the row out")
        data = cls.from_tensors(
            {name: samples for name, (samples, _) in loaded.items()},
            table.names(label),
            parts,
            classes,
            table.names(sample_id) if sample_id in table.columns else table.index(),
            table.names(patient_id) if patient_id in table.columns else None,
            present,
            {each.name: table.names(each.name) for each in types},
            types,
        )
        data.metadata = {clean(column): table.names(column) for column in table.columns if column not in known}
        if "split" in table.columns:
            data.given_split = table.names("split")
        return data

    @checked
    def to_dataframe(
        self,
        *,
        columns: Mapping[str, Any] | None = None,
        label: str = "label",
        sample_id: str = "sample_id",
        patient_id: str = "patient_id",
        like: Any = None,
    ) -> Any:
        """Return a DataFrame with one row per sample, the inverse of :meth:`from_dataframe`.

        The sample names are the index of a pandas frame, as numbers if all are whole, and a column of other frames.
        What is missing is NaN or None.

        Args:
            columns: by modality, a name for each element of a sample, or for one column of arrays or categories.
                Default: the columns that the modality names, or one of its name.
            label: name of the column of the classes.
            sample_id: name of the index or column of the sample names.
            patient_id: name of the column of the patients, which is left out if each sample is a patient of its own.
            like: DataFrame of which the result takes the library, the index's name, and the types of columns with the
                same names if they hold the same values; by default a pandas frame.

        Raises:
            DataError: if columns do not fit the modalities, or two are called the same.
            ConfigurationError: if pandas is needed but not installed.
        """
        import narwhals as nw
        import narwhals.selectors as ns

        model = None if like is None else _Frame(like).table
        names = _columns(self.modalities, columns)
        content: dict[str, Any] = {
            sample_id: [int(name) for name in self.ids] if all(map(_is_whole, self.ids)) else self.ids,
            label: [self.classes[number] if number >= 0 else None for number in self.labels.tolist()],
        }
        if self.patients != self.ids:
            content[patient_id] = self.patients
        if any(self.given_split):
            content["split"] = [split or None for split in self.given_split]
        content |= {name: _values(values) for name, values in self.metadata.items()}
        for number, (name, part) in enumerate(self.modalities.items()):
            twice = next((each for each in names[name] if each in content or names[name].count(each) > 1), None)
            if twice:
                raise DataError(f"modality {name!r}: another column is called {twice!r} too; rename it with 'columns'")
            content |= _cells(name, part, names[name], self.samples[name], self.present[:, number])
        try:
            table = nw.from_dict(content, backend="pandas" if model is None else model.implementation)
        except ImportError as error:
            raise ConfigurationError("a DataFrame needs pandas; pip install pandas, or give one as 'like'") from error
        table = table.with_columns(ns.by_dtype(nw.Float32).fill_nan(None))  # no change in pandas
        if model is not None:
            shared = [column for column in table.columns if column in model.columns]
            table = table.with_columns(*(_of_type(table[column], model[column]) for column in shared))
        if model is None or sample_id not in model.columns:
            table = nw.maybe_set_index(table, column_names=sample_id)
            index, theirs = (None if each is None else nw.maybe_get_index(each) for each in (table, model))
            if index is not None and theirs is not None:
                index.name = theirs.name
        return nw.to_native(table)


class _Frame:
    """A DataFrame to read."""

    def __init__(self, frame: Any) -> None:
        import narwhals as nw

        try:
            self.table: nw.DataFrame[Any] = nw.from_native(frame, eager_only=True)
            self.columns = [str(column) for column in self.table.columns]
        except TypeError as error:
            raise DataError(f"a {type(frame).__name__} is no DataFrame of pandas or polars") from error
        except nw.exceptions.DuplicateError as error:
            raise DataError("the frame has columns with the same name; rename them") from error
        if not len(self.table):
            raise DataError("the frame has no rows")

    def column(self, name: str) -> "nw.Series[Any]":
        if name not in self.columns:
            raise DataError(f"the frame has no column {name!r}; {did_you_mean(name, self.columns)}")
        return self.table[self.table.columns[self.columns.index(name)]]

    def names(self, column: str) -> list[str]:
        """Return the cells of a column as text, empty if missing."""
        names = []
        for row, value in enumerate(self.column(column).to_list()):
            try:
                names.append(name_of(value))
            except DataError as error:
                raise DataError(f"column {column!r}, row {row}: {error}") from error
        return names

    def cells(self, others: Container[str]) -> dict[str, list[str]]:
        """Return the cells of all but some columns as text."""
        return {column: self.names(column) for column in self.columns if column not in others}

    def index(self) -> list[str] | None:
        """Return the row names of a pandas frame; None for other frames."""
        import narwhals as nw

        index = nw.maybe_get_index(self.table)
        if index is not None and index.nlevels > 1:
            raise DataError("the frame's index has several levels; name the samples in a column 'sample_id'")
        return None if index is None else [name_of(name) for name in index.tolist()]

    def samples(
        self, name: str, part: Modality, columns: Sequence[str]
    ) -> tuple[NDArray[np.float32], NDArray[np.bool_]]:
        """Return a modality's samples (N, *shape), zero where absent, and which are present, (N,)."""
        if part.columns:
            return self._rows(part, columns)
        if len(columns) > 1:
            return self._elements(name, part, columns)
        cells = self.column(columns[0]).to_list()
        samples, present = np.zeros((len(cells), *part.shape), np.float32), np.zeros(len(cells), np.bool_)
        for row, cell in enumerate(cells):
            if not _is_missing(cell):
                try:
                    samples[row], present[row] = _sample(name, part, cell), True
                except DataError as error:
                    raise DataError(f"column {columns[0]!r}, row {row}: {error}") from error
        return samples, present

    def _rows(self, part: Modality, columns: Sequence[str]) -> tuple[NDArray[np.float32], NDArray[np.bool_]]:
        """Read a modality that has several columns of a manifest."""
        rows = list(zip(*(self.names(column) for column in columns), strict=True))
        samples, present = np.zeros((len(rows), *part.shape), np.float32), np.array([any(row) for row in rows])
        for number, row in enumerate(rows):
            if any(row):
                try:
                    samples[number] = part.read(csv_row(row))
                except DataError as error:
                    raise DataError(f"row {number} {error}") from error
        return samples, present

    def _elements(
        self, name: str, part: Modality, columns: Sequence[str]
    ) -> tuple[NDArray[np.float32], NDArray[np.bool_]]:
        """Read a modality with one column per element."""
        _require_columns(name, part, columns)
        values = np.stack([self._numbers(column) for column in columns], 1)
        missing = np.isnan(values)
        present: NDArray[np.bool_] = np.logical_not(missing.all(1))
        partly = np.argwhere(missing & present[:, None])
        if len(partly) and not part.gaps:
            row, place = partly[0]
            raise DataError(
                f"column {columns[place]!r}, row {row} is missing, but {part.name!r} needs all elements of a sample; "
                "fill the cell, leave the row out, or make the modality a 'table'"
            )
        values[~present] = 0
        return values.reshape(len(values), *part.shape), present

    def _numbers(self, column: str) -> NDArray[np.float32]:
        """Return a column of numbers, NaN where missing."""
        import narwhals as nw

        series = self.column(column)
        with np.errstate(over="ignore"):  # values beyond float32 become infinite, which a check refuses
            if series.dtype.is_numeric() or series.dtype == nw.Boolean:
                numeric: NDArray[np.float32] = series.cast(nw.Float64).to_numpy().astype(np.float32)
                return numeric
            values = np.full(len(series), np.nan, np.float32)
            for row, cell in enumerate(map(scalar, series.to_list())):
                if isinstance(cell, numbers.Real):
                    values[row] = cell
                elif not _is_missing(cell):
                    raise DataError(f"column {column!r}, row {row} is {shorten(repr(cell))}; a number is expected")
            return values


def _columns(parts: Mapping[str, Modality], given: Mapping[str, Any] | None) -> dict[str, list[str]]:
    """Return the columns of each modality."""
    given, columns = given or {}, {}
    for name in given:
        if name not in parts:
            raise DataError(f"'columns' names {name!r}, which is no modality; {did_you_mean(name, parts)}")
    for name, part in parts.items():
        cells = given.get(name, list(part.columns) or name)
        columns[name] = [cells] if isinstance(cells, str) else [str(column) for column in cells]
        if not columns[name]:
            raise DataError(f"'columns' names no column of modality {name!r}; name one per element")
    return columns


def _require_columns(name: str, part: Modality, columns: Sequence[str]) -> None:
    if len(columns) != math.prod(part.shape):
        raise DataError(
            f"modality {name!r} has {len(columns)} columns, but samples of shape {part.shape}; name one column per "
            "element, or one of arrays"
        )


def _is_missing(cell: Any) -> bool:
    cell = scalar(cell)
    return not (hasattr(cell, "__len__") and not isinstance(cell, str)) and name_of(cell) == ""


def _sample(name: str, part: Modality, cell: Any) -> NDArray[np.float32]:
    """Return the sample in one cell: an array, or what a modality reads from a manifest's cell."""
    if not isinstance(cell, str) and hasattr(cell, "__len__"):
        sample: NDArray[np.float32] = real_samples(name, cell).numpy()
        if sample.shape != part.shape:
            raise DataError(f"an array of shape {sample.shape} is no sample of {part.name!r}, which has {part.shape}")
        return sample
    if part.cell != "value":
        raise DataError(
            f"{shorten(repr(cell))} is no array; give arrays, or write the frame to a CSV and use from_manifest"
        )
    try:
        return part.read(name_of(cell))
    except DataError as error:
        raise DataError(f"the cell {error}") from error


def _cells(name: str, part: Modality, columns: Sequence[str], samples: Tensor, present: Tensor) -> dict[str, Any]:
    """Return the cells of a modality by column: numbers, NaN where missing; words; or arrays."""
    if part.columns:
        rows = [
            split_csv_row(part.format(sample)) if here else [""] * len(columns)
            for sample, here in zip(samples, present.tolist(), strict=True)
        ]
        return {column: _values(cells) for column, cells in zip(columns, zip(*rows, strict=True), strict=True)}
    if len(columns) > 1 or part.shape == (1,):
        _require_columns(name, part, columns)
        values = torch.where(present[:, None], samples.reshape(len(samples), -1), torch.nan).numpy()
        return {column: values[:, place] for place, column in enumerate(columns)}
    word = part.cell == "value" and part.elements == 1
    cells = [part.format(sample) if word else sample.numpy() for sample in samples]
    return {columns[0]: [cell if here else None for cell, here in zip(cells, present.tolist(), strict=True)]}


def _values(cells: Sequence[str]) -> list[Any]:
    """Return the numbers that cells hold, whole ones if all are, or else their words; None where missing."""
    pairs: list[tuple[re.Pattern[str], Callable[[str], Any]]] = [(_WHOLE, int), (_REAL, float)]
    form = next((kind for form, kind in pairs if all(not cell or form.fullmatch(cell) for cell in cells)), str)
    return [form(cell) if cell else None for cell in cells]


_WHOLE = re.compile(r"0|-?[1-9]\d{0,17}")  # not 007, which is a name
_REAL = re.compile(r"-?(0|[1-9]\d*)(\.\d+)?([eE][-+]?\d+)?")


def _of_type(series: "nw.Series[Any]", model: "nw.Series[Any]") -> "nw.Series[Any]":
    """Return a column in the type of another if it holds the same values in it, and otherwise as it is."""
    import narwhals as nw

    try:
        with warnings.catch_warnings():
            warnings.simplefilter("error")  # pandas warns of some types that it changes values for
            if model.implementation.is_pandas():  # which has more types than narwhals names
                cast = nw.from_native(nw.to_native(series).astype(nw.to_native(model).dtype), series_only=True)
            else:
                cast = series.cast(model.dtype)
    except (ValueError, TypeError, OverflowError, Warning, nw.exceptions.NarwhalsError):
        return series
    same = all(map(_equal, series.to_list(), cast.to_list()))
    return cast if same else series


def _equal(one: Any, other: Any) -> bool:
    return one is other or (_is_missing(other) if _is_missing(one) else bool(np.all(one == other)))


def _is_whole(name: str) -> bool:
    return name.isascii() and name.isdigit() and str(int(name[:19])) == name
