"""The answers of readers, from the files that the page of a study saves."""

import csv
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from multimodal_vae.errors import DataError, did_you_mean, listing
from multimodal_vae.files import LONGEST_JSON
from multimodal_vae.formulas import unquote_formula
from multimodal_vae.study.key import Study
from multimodal_vae.tables import parse_text

COLUMNS = ("study", "item", "answer", "confidence", "seconds", "time")
LEVELS = 5
"""Number of levels of confidence."""


@dataclass(frozen=True)
class Answers:
    """The answers of readers to the items of a study.

    Attributes:
        readers: (R,), the names of the files, without ``answers-`` and ``.csv``.
        options: (K,), the possible answers.
        choices: (R, N), index of each answer; -1 without an answer.
        confidence: (R, N), 1 to 5; 0 without an answer.
        seconds: (R, N), time that the item was shown; NaN if it is not known.
    """

    readers: list[str]
    options: list[str]
    choices: NDArray[np.int64]
    confidence: NDArray[np.int64]
    seconds: NDArray[np.float64]

    @property
    def answered(self) -> NDArray[np.bool_]:
        """(R, N), whether a reader answered an item."""
        return self.choices >= 0

    def scores(self, option: int) -> NDArray[np.int64]:
        """Return how sure each reader is that an answer is right, (R, N), -5 to 5: minus the confidence in another one.

        Example:
            >>> given = Answers(["a"], ["ill", "well"], np.array([[0, 1]]), np.array([[5, 2]]), np.ones((1, 2)))
            >>> given.scores(0).tolist()
            [[5, -2]]
        """
        return np.where(self.choices == option, self.confidence, -self.confidence)


def read_answers(study: Study, paths: Sequence[Path]) -> Answers:
    """Read one file per reader.

    Raises:
        DataError: naming file and line, if a row belongs to another study, names an unknown item or answer, or repeats
            an item; or if there is no file, or two have the same name or the same rows.
    """
    if not paths:
        raise DataError("there are no files of answers; give one per reader")
    readers = [path.stem.removeprefix("answers-") for path in paths]
    if len({*readers}) < len(readers):
        raise DataError("two files of answers have the same name, which names the reader; rename one")
    tables = [_read(path) for path in paths]
    for index, rows in enumerate(tables):
        if rows in tables[:index]:
            other = paths[tables.index(rows)]
            raise DataError(f"{paths[index]} and {other} hold the same answers; give each reader's file once")
    shape = len(paths), len(study.truth)
    choices, confidence = np.full(shape, -1), np.zeros(shape, np.int64)
    seconds = np.full(shape, np.nan)
    for reader, (path, rows) in enumerate(zip(paths, tables, strict=True)):
        for line, row in rows:
            where = f"{path}, line {line}"
            if row["study"] != study.record["study"]:
                raise DataError(
                    f"{where} belongs to the study {row['study']!r}, not to {study.record['study']!r}; give the folder "
                    "of that study"
                )
            item = _whole(row["item"], len(study.truth))
            if item is None:
                raise DataError(f"{where}: there is no item {row['item']!r}; items are 1 to {len(study.truth)}")
            if choices[reader, item - 1] >= 0:
                raise DataError(f"{where} answers item {item} for the second time; remove one of both lines")
            if row["answer"] not in study.options:
                raise DataError(
                    f"{where}: {row['answer']!r} is no answer; {did_you_mean(row['answer'], study.options)}"
                )
            level = _whole(row["confidence"], LEVELS)
            if level is None:
                raise DataError(f"{where}: the confidence is {row['confidence']!r}; it must be 1 to {LEVELS}")
            choices[reader, item - 1] = study.options.index(row["answer"])
            confidence[reader, item - 1] = level
            seconds[reader, item - 1] = _seconds(row["seconds"], where)
    return Answers(readers, study.options, choices, confidence, seconds)


def _read(path: Path) -> list[tuple[int, dict[str, str]]]:
    """Return the rows of a file with their lines; spreadsheets may have saved it with semicolons."""

    def parse(lines: Iterator[str]) -> list[tuple[int, dict[str, str]]]:
        header = next(lines, "")
        mark = ";" if header.count(";") > header.count(",") else ","
        names = next(csv.reader([header], delimiter=mark), [])
        missing = [name for name in COLUMNS if name not in names]
        if missing:
            raise DataError(f"{path} has no column {missing[0]!r}; give a file that the page of a study saved")
        rows = csv.DictReader(lines, names, delimiter=mark, restval="")
        return [
            (line, {name: unquote_formula(row[name].strip()) for name in COLUMNS}) for line, row in enumerate(rows, 2)
        ]

    try:
        rows = parse_text(path, parse, LONGEST_JSON)
    except OSError as error:
        raise DataError(f"{path} cannot be read: {error.strerror}") from error
    except (csv.Error, UnicodeError) as error:
        raise DataError(f"{path} cannot be read as a CSV file: {error}") from error
    if not rows:
        raise DataError(f"{path} holds no answers; leave it out")
    return rows


def _whole(text: str, most: int) -> int | None:
    """Return a whole number from 1 to ``most``; None for any other text."""
    return int(text) if text.isdecimal() and text.isascii() and 1 <= int(text[:9]) <= most else None


def _seconds(text: str, where: str) -> float:
    try:
        return float(text.replace(",", ".") or "nan")
    except ValueError:
        raise DataError(f"{where}: the seconds are {text!r}; restore the number") from None


def missing_words(answers: Answers) -> list[str]:
    """Return a sentence per reader who left items unanswered.

    Example:
        >>> missing_words(Answers(["a"], ["x", "y"], np.array([[0, -1]]), np.array([[5, 0]]), np.ones((1, 2))))
        ['a left 1 of 2 items unanswered: 2']
    """
    sentences = []
    for reader, answered in zip(answers.readers, answers.answered, strict=True):
        left = [str(item + 1) for item in np.flatnonzero(~answered)]
        if left:
            sentences.append(f"{reader} left {len(left)} of {len(answered)} items unanswered: {listing(left)}")
    return sentences
