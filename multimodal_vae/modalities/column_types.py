"""The columns of a table: their types, how cells are read and written, and how a type is guessed from cells."""

import math
import re
from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray
from pydantic import BaseModel, ConfigDict, Field, model_validator

from multimodal_vae.errors import DataError, did_you_mean, listing
from multimodal_vae.names import form, is_missing_word, refuse_forms
from multimodal_vae.nn.count_distribution import LARGEST_COUNT
from multimodal_vae.nn.table import ColumnType

WORDED = ("binary", "categorical", "ordinal")
"""Types whose values are words."""

_MOST_WORDS = 20
"""Most words of a column whose type is guessed."""

_ORDERED = 5
"""Whole numbers below this are guessed to be grades, larger ones counts."""

_MOST_COUNTED = 1000
"""Largest count that is guessed; larger whole numbers are guessed to be positive."""

_MOST_DECIMALS = 3
"""Most decimals that are guessed to be those of all values."""

_STEADY = 4.0
"""Deviations between zero and the mean above which values are guessed to be normal rather than log-normal."""

_DATE = re.compile(r"\d{4}-\d\d?-\d\d?.*|\d\d?[./-]\d\d?[./-]\d\d(\d\d)?")
_PLAIN = re.compile(r"-?\d+(?:\.\d+)?", re.ASCII)
_DECIMAL_COMMA = re.compile(r"[-+]?\d+,\d+")


class TableColumn(BaseModel):
    """A column of a table.

    Attributes:
        type: ``"real"``, any number; ``"positive"``, a number of at least 0, on a logarithmic scale; ``"share"``, a
            number from 0 to 1; ``"count"``, a whole number of at least 0; ``"binary"`` and ``"categorical"``, one of
            two or more words; ``"ordinal"``, one of several words in order.
        words: the words. Default: those in the data.
        unit: unit of the values, for plots.
        decimals: number of decimals of drawn values; 0 for whole numbers. Default: all digits.
    """

    model_config = ConfigDict(extra="forbid", frozen=True)

    type: ColumnType
    words: tuple[str, ...] | None = None
    unit: str | None = None
    decimals: int | None = Field(default=None, ge=0, le=9)

    @model_validator(mode="before")
    @classmethod
    def _of_name(cls, value: Any) -> Any:
        return {"type": value} if isinstance(value, str) else value

    @model_validator(mode="after")
    def _consistent(self) -> "TableColumn":
        if self.words is not None:
            if self.type not in WORDED:
                raise ValueError(f"a {self.type} column has no words; remove them, or set its type to 'categorical'")
            least = 2 if self.type == "binary" else len(self.words)
            if len(self.words) < 2 or len(self.words) != least or len({*map(form, self.words)}) < len(self.words):
                number = "two" if self.type == "binary" else "two or more"
                raise ValueError(f"a {self.type} column needs {number} words that differ in more than form")
        if self.decimals is not None and self.type not in ("real", "positive"):
            raise ValueError(f"a {self.type} column has no decimals; remove them")
        return self

    @property
    def is_complete(self) -> bool:
        """Whether nothing about the column is left to be found in data."""
        return self.words is not None or self.type not in WORDED

    def read(self, cell: str) -> float:
        """Return the number of a cell, or the index of its word; NaN for an empty one and words for missing values.

        Raises:
            DataError: one sentence without subject.
        """
        if self.type not in WORDED and _PLAIN.fullmatch(cell):  # as almost all cells of numbers
            return float(cell)
        words = self.words or ()
        if cell in words:
            return float(words.index(cell))
        if not cell or is_missing_word(cell):
            return math.nan
        if self.type in WORDED:
            known = [form(word) for word in words]
            if form(cell) not in known:
                raise DataError(
                    f"{cell!r}, which is none of its words; correct it, or add it to 'words' and train again; "
                    f"{did_you_mean(cell, words)}"
                )
            return float(known.index(form(cell)))
        number = number_of(cell)
        if number is None:
            raise DataError(f"{cell!r}, which is not a number; {_advice(cell)}")
        return number

    def write(self, value: float) -> str:
        """Return the cell of a value; empty if it is missing."""
        if math.isnan(value):
            return ""
        if self.words is not None:
            return self.words[min(max(round(value), 0), len(self.words) - 1)]
        if self.type == "count" or self.decimals == 0:
            return str(round(value))
        return f"{value:.9g}" if self.decimals is None else f"{value:.{self.decimals}f}"

    def describe(self, value: float) -> str:
        """Return a value with its unit, for plots."""
        if math.isnan(value):
            return "missing"
        exact = self.words is not None or self.decimals is not None or self.type == "count"
        return f"{self.write(value) if exact else f'{value:.4g}'} {self.unit or ''}".strip()

    def fault(self, values: NDArray[np.float32]) -> str:
        """Return what is wrong with values, (N,), whose missing ones are NaN; empty if nothing is."""
        low, high, advice = 0.0, math.inf, "correct it, leave it empty, or set the column's type to 'real'"
        if self.type == "real":
            return ""
        if self.type == "share":
            high = 1.0
            if np.nanmin(values, initial=0.0) >= 0 and 1 < np.nanmax(values, initial=0.0) <= 100:
                advice = "divide by 100 if in percent"
        elif self.type in WORDED:
            high, advice = len(self.words or ()) - 1, "give the index of one of its words"
        elif self.type == "count":
            high, advice = LARGEST_COUNT, "correct it, or set the column's type to 'positive'"
        wrong = (values < low) | (values > high)
        if self.type in ("count", *WORDED):
            wrong |= (values != np.floor(values)) & ~np.isnan(values)
        return (
            f"{values[wrong][0]:g}, which a column of type {self.type!r} cannot hold; {advice}" if wrong.any() else ""
        )


def number_of(cell: str) -> float | None:
    """Return the number in a cell; None if it holds none.

    Example:
        >>> number_of("1.5"), number_of("1,5"), number_of("1_000")
        (1.5, None, None)
    """
    try:
        return float(cell.replace("\N{MINUS SIGN}", "-").replace("_", "?"))
    except ValueError:
        return None


def _advice(cell: str) -> str:
    """Return what to do about a cell that is not a number."""
    if _DATE.fullmatch(cell):
        return "give dates as numbers, such as days since a first visit, or leave the column out"
    if _DECIMAL_COMMA.fullmatch(cell):
        return "write decimal points, as in " + repr(cell.replace(",", "."))
    if cell.endswith("%"):
        return "give shares from 0 to 1, without the percent sign"
    if cell[0] in "<>≤≥":
        return f"write {cell.lstrip('<>=≤≥ ')!r} for results at a limit of detection"
    return "correct it, leave it empty, or set the column's type to 'categorical'"


def complete(column: TableColumn | None, cells: Sequence[str]) -> TableColumn:
    """Return a column with what is left to be found in its cells: the words, or the type if there is no column.

    Raises:
        DataError: one sentence without subject.
    """
    known = [cell for cell in cells if cell and not is_missing_word(cell)]
    if column is None:
        return _guess(known)
    if column.is_complete:
        return column
    words = _words(known)
    if column.type == "binary" and len(words) != 2:
        raise DataError(f"has {len(words)} words, not two: {listing(words)}; set its type to 'categorical'")
    return TableColumn.model_validate({**dict(column), "words": words})


def is_empty(cells: Sequence[str]) -> bool:
    """Return whether a column says nothing: its cells are empty, or all known ones are equal."""
    return len({cell for cell in cells if cell and not is_missing_word(cell)}) < 2


def _guess(known: Sequence[str]) -> TableColumn:
    """Return the type that cells, none of them missing, seem to have."""
    if not known:
        raise DataError("is empty; leave it out, or fill it")
    if len({*map(form, known)}) == 1:
        raise DataError(f"has the value {known[0]!r} throughout; leave it out")
    numbers = [number_of(cell) for cell in known]
    texts = [cell for cell, number in zip(known, numbers, strict=True) if number is None]
    if not texts:
        return _guess_numbers(known, np.array(numbers, dtype=np.float64))
    if len(texts) <= len(known) / 2 or any(map(_DATE.fullmatch, texts)) or any(map(_DECIMAL_COMMA.fullmatch, texts)):
        raise DataError(f"has {texts[0]!r}, which is not a number; {_advice(texts[0])}")
    words = _words(known)
    if len(words) > min(_MOST_WORDS, max(2, len(known) / 2)):
        raise DataError(
            f"has {len(words)} different words in {len(known)} cells, such as {listing(words[:2])}; leave it out, or "
            "set its type to 'categorical'"
        )
    return TableColumn(type="binary" if len(words) == 2 else "categorical", words=tuple(words))


def _guess_numbers(known: Sequence[str], numbers: NDArray[np.float64]) -> TableColumn:
    if not np.isfinite(numbers).all():
        raise DataError("has an infinite number; leave its cell empty")
    low, high, distinct = numbers.min(), numbers.max(), np.unique(numbers)
    whole = bool((numbers == np.floor(numbers)).all())
    if whole and (len(distinct) == 2 or (low >= 0 and high < _ORDERED)):
        words = tuple(f"{value:.0f}" for value in (distinct if len(distinct) == 2 else np.arange(low, high + 1)))
        return TableColumn(type="binary" if len(words) == 2 else "ordinal", words=words)
    if whole and low >= 0 and high <= _MOST_COUNTED:
        return TableColumn(type="count")
    if low >= 0 and high <= 1:
        return TableColumn(type="share")
    most = max(_decimals(cell) for cell in known)
    decimals = most if most <= _MOST_DECIMALS and np.abs(numbers).max() * 10**most < LARGEST_COUNT else None
    steady = low < 0 or numbers.mean() > _STEADY * numbers.std()
    return TableColumn(type="real" if steady else "positive", decimals=decimals)


def _decimals(cell: str) -> int:
    """Return the number of decimals that a number is written with; many for one with an exponent."""
    return 99 if "e" in cell.lower() else len(cell.partition(".")[2])


def _words(known: Sequence[str]) -> list[str]:
    """Return the words of a column, sorted."""
    refuse_forms("words", known, lambda row: f"cell {row + 1}")
    words = sorted({*known})
    if len(words) < 2:
        raise DataError(f"has {len(words)} words; two or more are needed, or leave it out")
    return sorted(words, key=number_of) if all(number_of(word) is not None for word in words) else words  # type: ignore[arg-type]
