"""The key of a study: what is true of each item. It lies beside the page, which does not hold it."""

import csv
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from typing_extensions import TypedDict

from multimodal_vae.errors import RunError
from multimodal_vae.files import LONGEST_JSON, csv_text, inside, read_json, write_bytes, write_json
from multimodal_vae.formulas import unquote_formula
from multimodal_vae.tables import parse_text

Kind = Literal["turing", "diagnosis"]
"""The question: ``turing``, real or synthetic; ``diagnosis``, which class."""

REAL, SYNTHETIC = SOURCES = ("real", "synthetic")
FILE, KEY, PAGE = "study.json", "key.csv", "study.html"
_HEADER = ["item", "source", "class"]


class StudyRecord(TypedDict):
    """The content of ``study.json``.

    Attributes:
        version: version of the format.
        study: identifier, which every row of answers repeats.
        kind: the question.
        classes: classes of the items.
        teach: whether the page tells the truth after each answer.
        split: split of the real items; None without real items.
        sampler: name of the sampler of the synthetic items.
        seed: seed of all random choices.
        weights_sha256: hash of the model's weights.
        date: time of writing, UTC.
        with_version: version of multimodal_vae.
    """

    version: Literal[1]
    study: str
    kind: Kind
    classes: list[str]
    teach: bool
    split: str | None
    sampler: str
    seed: int
    weights_sha256: str
    date: str
    with_version: str


@dataclass(frozen=True)
class Study:
    """A study and its key.

    Attributes:
        record: what ``study.json`` holds.
        sources: ``real`` or ``synthetic``, of each item.
        labels: class of each item.
    """

    record: StudyRecord
    sources: list[str]
    labels: list[str]

    @property
    def options(self) -> list[str]:
        """The possible answers."""
        return options(self.record["kind"], self.record["classes"])

    @property
    def truth(self) -> list[str]:
        """The right answer to each item."""
        return self.sources if self.record["kind"] == "turing" else self.labels


def options(kind: Kind, classes: list[str]) -> list[str]:
    """Return the possible answers to a question.

    Example:
        >>> options("turing", ["ill", "well"]), options("diagnosis", ["ill", "well"])
        (['real', 'synthetic'], ['ill', 'well'])
    """
    return [*SOURCES] if kind == "turing" else classes


def write_key(folder: Path, study: Study) -> None:
    """Write ``study.json`` and ``key.csv``; items count from 1."""
    write_json(folder / FILE, study.record)
    items = zip(study.sources, study.labels, strict=True)
    rows = [[str(number), *item] for number, item in enumerate(items, 1)]
    write_bytes(folder / KEY, csv_text([_HEADER, *rows]).encode())


def read_study(folder: Path) -> Study:
    """Read ``study.json`` and ``key.csv``.

    Raises:
        RunError: if a file is missing or damaged.
    """
    record, path = read_json(inside(folder, FILE), StudyRecord), inside(folder, KEY)

    def parse(lines: Iterator[str]) -> list[list[str]]:
        return [[unquote_formula(cell) for cell in row] for row in csv.reader(lines)]

    try:
        header, *rows = parse_text(path, parse, LONGEST_JSON) or [[]]
    except OSError as error:
        raise RunError(f"{path} cannot be read: {error.strerror}") from error
    except (csv.Error, UnicodeError) as error:
        raise RunError(f"{path} is damaged: {error}; restore it from a copy") from error
    for number, row in enumerate(rows, 1):
        if len(row) != 3 or row[0] != str(number) or row[1] not in SOURCES or row[2] not in record["classes"]:
            raise RunError(f"{path} is damaged at line {number + 1}; restore it from a copy")
    if header != _HEADER or not rows:
        raise RunError(f"{path} is damaged: its columns must be {', '.join(_HEADER)}; restore it from a copy")
    return Study(record, [row[1] for row in rows], [row[2] for row in rows])
