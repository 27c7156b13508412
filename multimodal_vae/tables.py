"""Tables of numbers in text files, as programs and spreadsheets save them.

A table is read if its text has only one meaning:

- Encodings: UTF-8, or UTF-16 with a byte order mark. Other text is read if it is ASCII except for symbols such as µ,
  which the Western 8-bit encodings share.
- Separators: commas, semicolons or tabs, taken from the second row, or from a first line such as ``sep=;``.
- Numbers: decimal points, or decimal commas throughout; the typographic minus is a minus. Empty cells and the words of
  :data:`~multimodal_vae.names.MISSING` become NaN.
- Rows: blank lines and columns that are empty from top to bottom at the right edge are skipped.
"""

import codecs
import csv
import io
import math
import re
import reprlib
from array import array
from collections.abc import Callable, Iterator, Sequence
from itertools import chain
from pathlib import Path
from typing import NamedTuple, TextIO, TypeVar

import numpy as np
from numpy.typing import NDArray

from multimodal_vae.errors import DataError
from multimodal_vae.files import bounded_lines, open_regular
from multimodal_vae.names import MISSING

LARGEST_TABLE = 2**26
"""Most bytes of a table."""

MOST_NUMBERS = 2**24
"""Most numbers of a table, those of blank rows included."""

T = TypeVar("T")

_SYMBOLS = frozenset("\N{MICRO SIGN}\N{DEGREE SIGN}\N{PLUS-MINUS SIGN}\N{NO-BREAK SPACE}")
"""Non-ASCII characters that are the same byte in the Western encodings of Windows and of ISO 8859."""

_SEPARATOR_LINE = re.compile(r'"?sep=(.)"?\s*', re.IGNORECASE)
_DECIMAL_COMMA = re.compile(r"[-+]?\d*,\d*(e[-+]?\d+)?", re.IGNORECASE)
_OTHER_SEPARATOR = re.compile(r"\d[ |:/]+[-+.\d]")
_THOUSANDS = re.compile(r"[-+]?[1-9]\d{0,2},\d{3}")


class Table(NamedTuple):
    """A table of numbers.

    Attributes:
        header: cells of the first row; empty if they are all numbers.
        header_numbers: the header's numbers; NaN for other cells.
        values: (rows, columns), without the header.
    """

    header: list[str]
    header_numbers: NDArray[np.float64]
    values: NDArray[np.float64]


def read_table(path: str | Path) -> Table:
    """Read a text file of numbers, with or without a header row.

    Raises:
        DataError: naming the line and its fault, or how to save the file.
        FileNotFoundError: if there is no such file.
    """
    try:
        return parse_text(Path(path), _parse, LARGEST_TABLE)
    except csv.Error as error:
        raise DataError(f"is not a table of numbers ({error})") from error
    except (FileNotFoundError, PermissionError):
        raise
    except OSError as error:
        raise DataError(f"cannot be read: {error.strerror}") from error
    except UnicodeError:
        raise DataError("is text in an unknown encoding; save it as UTF-8") from None


def parse_text(path: Path, parse: Callable[[Iterator[str]], T], limit: int | None = None) -> T:
    """Return what a function returns for the lines of a text file, if its encoding is certain.

    Raises:
        UnicodeError: if the encoding is not certain.
        OSError: if there is no such file, or it cannot be read.
    """
    with open_regular(path, limit) as file:
        utf16 = file.read(2) in (codecs.BOM_UTF16_LE, codecs.BOM_UTF16_BE)
        for encoding in ("utf-16",) if utf16 else ("utf-8-sig", "cp1252"):
            file.seek(0)
            text = io.TextIOWrapper(file, newline="", encoding=encoding)
            try:
                return parse(_symbols_only(text) if encoding == "cp1252" else bounded_lines(text))
            except UnicodeError:
                continue
            finally:
                text.detach()
    raise UnicodeError("unknown encoding")


def _symbols_only(file: TextIO) -> Iterator[str]:
    for line in bounded_lines(file):
        if not line.isascii() and {character for character in line if not character.isascii()} - _SYMBOLS:
            raise UnicodeError
        yield line


def _parse(lines: Iterator[str]) -> Table:
    separator, skipped, opening = _separator(lines)
    reader = csv.reader(chain(opening, lines), delimiter=separator, strict=True)
    numbers = _Numbers()
    header: list[str] = []
    header_numbers = np.empty(0)
    cells = array("d")  # of all rows
    width = columns = blank = 0  # cells of the last row, and of all; blank rows since the last row with a cell
    for row in reader:
        if not row and width != 1:
            continue
        try:
            values = [float(cell) for cell in row] if separator == "," else numbers.read(row)
        except ValueError:
            values = numbers.read(row)
        if (not values or math.isnan(values[0])) and not any(cell.strip() for cell in row):
            blank += 1 if width else 0
            continue
        if numbers.words and not width:
            header, header_numbers, width = [cell.strip() for cell in row], np.array(values), len(row)
            numbers.words.clear()
            continue
        line = reader.line_num + skipped
        if numbers.words:
            advice = "; separate the cells by commas" if len(row) == 1 and _OTHER_SEPARATOR.search(row[0]) else ""
            raise DataError(f"line {line} has {reprlib.repr(numbers.words[0])}, which is not a number{advice}")
        width = columns or width or len(values)
        if len(values) > width and not any(cell.strip() for cell in row[width:]):
            del values[width:]
        if columns and len(values) != width:
            advice = "; if commas are decimal marks, separate the cells by semicolons" * (len(values) == 2 * width)
            raise DataError(f"line {line} has {len(values)} cells, but the lines above have {width}{advice}")
        columns = len(values)
        if len(cells) + columns * (blank + 1) > MOST_NUMBERS:
            raise DataError(
                f"holds more than {MOST_NUMBERS:,} numbers; save them as .npz, or cut them into several files"
            )
        cells.extend([math.nan] * (columns * blank))
        cells.extend(values)
        blank = 0
    numbers.check()
    if not cells:
        raise DataError("holds no numbers")
    table = _without_empty_columns(Table(header, header_numbers, np.array(cells).reshape(-1, columns)))
    if table.header and len(table.header) != table.values.shape[1]:
        raise DataError(
            f"has {len(table.header)} names in its first row and {table.values.shape[1]} columns below; make them equal"
        )
    return table


def read_opening(lines: Iterator[str], count: int, blanks: str | None = None) -> tuple[str | None, list[str]]:
    """Read a table up to its first lines with content.

    Args:
        lines: lines of the table, which are consumed.
        count: number of lines with content to read.
        blanks: characters that are no content. Default: white space.

    Returns:
        The separator of a line such as ``sep=;``, and no lines; or None, and the lines that were read.

    Raises:
        csv.Error: if the text contains NUL characters.
    """
    opening: list[str] = []
    for line in lines:
        if "\0" in line:
            raise csv.Error("it contains NUL characters; save it as UTF-8")
        if not opening and (match := _SEPARATOR_LINE.fullmatch(line)):
            return match[1], []
        opening.append(line)
        count -= bool(line.strip(blanks))
        if not count:
            break
    return None, opening


def _separator(lines: Iterator[str]) -> tuple[str, int, list[str]]:
    """Return the separator, the number of lines that are not part of the table, and the lines read so far."""
    stated, opening = read_opening(lines, 2)
    if stated:
        return stated, 1, []
    # A row of numbers contains semicolons and tabs only as separators; a header may contain them in names.
    content = [line for line in opening if line.strip()] or [""]
    return next((mark for mark in ";\t" if mark in content[-1]), ","), 0, opening


class _Numbers:
    """Reads cells, and tells from all of them what a comma means.

    Attributes:
        words: cells of the last rows that are not numbers.
    """

    def __init__(self) -> None:
        self.words: list[str] = []
        self._points = False
        self._commas: list[str] = []  # up to one decimal comma and one comma that may mark thousands
        self._certain = False

    def read(self, row: Sequence[str]) -> list[float]:
        """Return the numbers of a row; NaN for missing ones and for words."""
        return [self._number(cell.strip()) for cell in row]

    def _number(self, text: str) -> float:
        if text.lower() in MISSING:
            return math.nan
        try:
            value = float(text)
        except ValueError:
            if "\N{MINUS SIGN}" in text:
                return self._number(text.replace("\N{MINUS SIGN}", "-"))
            if not (_DECIMAL_COMMA.fullmatch(text) and any(character.isdigit() for character in text)):
                self.words.append(text)
                return math.nan
            self._commas = self._commas or [text]
            self._certain = self._certain or not _THOUSANDS.fullmatch(text)
            return float(text.replace(",", "."))
        self._points = self._points or "." in text
        return value

    def check(self) -> None:
        """Refuse numbers whose commas may be decimal marks or thousands separators."""
        if self._commas and (self._points or not self._certain):
            fault = "decimal points and commas" if self._points else "commas that may mark decimals or thousands"
            raise DataError(f"has numbers with {fault}, such as {self._commas[0]!r}; save it with decimal points only")


def _without_empty_columns(table: Table) -> Table:
    """Drop empty columns without a name at the right edge, which a separator at the end of each line adds."""
    header, header_numbers, values = table
    while values.shape[1] > 1 and not any(header[values.shape[1] - 1 :]) and np.isnan(values[:, -1]).all():
        values = values[:, :-1]
        header, header_numbers = header[: values.shape[1]], header_numbers[: values.shape[1]]
    return Table(header, header_numbers, values)
