"""Samples in shards: tar files in the form of WebDataset, and Parquet files. They are read in turn, one at a time."""

import math
import re
import tempfile
from bisect import bisect_right
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

from multimodal_vae.data.parquet_shards import parquet_samples
from multimodal_vae.data.reading import Source, read
from multimodal_vae.data.tar_shards import Content, tar_samples
from multimodal_vae.errors import DataError
from multimodal_vae.files import csv_row
from multimodal_vae.modalities.base import Modality
from multimodal_vae.names import name_of

CLASS_INDEX = "cls"
"""The field of WebDataset that holds the index of a class, as text."""

MOST_SHARDS = 1_000_000
"""Maximum number of paths that one pattern means."""

_RANGE = re.compile(r"\{(\d{1,9})\.\.(\d{1,9})\}")


def shard_paths(paths: str | Path | Iterable[str | Path]) -> list[Path]:
    """Return the paths that patterns mean, in order: ``{0..9}`` is a range of numbers, padded as its first one.

    Raises:
        DataError: if there is no path, a file is of another kind, or a pattern means more than a million files.

    Example:
        >>> [path.name for path in shard_paths("train-{08..10}.tar")]
        ['train-08.tar', 'train-09.tar', 'train-10.tar']
    """
    given = [paths] if isinstance(paths, str | Path) else list(paths)
    for each in given:
        count = math.prod(max(int(last) - int(first) + 1, 0) for first, last in _RANGE.findall(str(each)))
        if count > MOST_SHARDS:
            raise DataError(
                f"the pattern {str(each)!r} means {count:,} shards, of {MOST_SHARDS:,} at most; shorten its range"
            )
    found = [Path(text) for each in given for text in _expand(str(each))]
    if not found:
        raise DataError("no shards are given; give a path, a list, or a pattern such as 'train-{0000..0009}.tar'")
    for path in found:
        if path.suffix not in (".tar", ".parquet"):
            raise DataError(f"the shard {path} is neither .tar nor .parquet; unpack or convert it")
    return found


def _expand(text: str) -> Iterator[str]:
    match = _RANGE.search(text)
    if match is None:
        yield text
        return
    first, last = match.groups()
    for number in range(int(first), int(last) + 1):
        for rest in _expand(text[match.end() :]):
            yield f"{text[: match.start()]}{number:0{len(first)}d}{rest}"


class Shards:
    """The samples of shards, as items of a data set.

    Args:
        paths: the shards.
        modalities: the modality by name.
        fields: by modality, the field of a tar file or the column of a Parquet file. Default: the modality's name.
        label: field or column of the label.
        patient_id: field or column of the patient.
        folder: folder of a temporary file. Default: the system's.

    Attributes:
        notes: counts, by modality, of the changes that reading made to values.
    """

    def __init__(
        self,
        paths: Sequence[Path],
        modalities: Mapping[str, Modality],
        fields: Mapping[str, str],
        label: str,
        patient_id: str,
        folder: str | Path | None,
    ) -> None:
        self.paths = paths
        self.modalities = modalities
        self.fields = {name: fields.get(name, name) for name in modalities}
        self.label = label
        self.patient_id = patient_id
        self.notes: dict[str, Counter[str]] = {name: Counter() for name in modalities}
        self.folder = folder
        self._starts: list[int] = []  # the first sample of each shard
        self._ids: list[Any] = []

    def place(self, row: int) -> str:
        """Return the shard of a sample, and its name or its number there."""
        shard = bisect_right(self._starts, row) - 1
        name = self._ids[row]
        return f"{self.paths[shard]}, " + (f"sample {name!r}" if name else f"row {row - self._starts[shard]}")

    def __iter__(self) -> Iterator[dict[str, Any]]:
        with tempfile.TemporaryDirectory(dir=self.folder) as folder:
            for path in self.paths:
                self._starts.append(len(self._ids))
                for item in self._tar(path) if path.suffix == ".tar" else self._parquet(path):
                    self._ids.append(item["sample_id"])
                    yield self._read(item, Path(folder))
        if not self._ids:
            raise DataError(f"{self.paths[0]} holds no samples")

    def _tar(self, path: Path) -> Iterator[dict[str, Any]]:
        for key, sample in tar_samples(path, [*self.fields.values(), self.label, self.patient_id]):
            item: dict[str, Any] = {"sample_id": key, "label": ""}
            for name, field in ("label", self.label), ("patient_id", self.patient_id):
                if field in sample:
                    item[name] = _text(sample[field], f"{path}, sample {key!r}, {field}")
            if self.label == CLASS_INDEX and re.fullmatch(r"-?\d{1,18}", item["label"]):
                item["label"] = int(item["label"])
            yield item | {name: sample[field] for name, field in self.fields.items() if field in sample}

    def _parquet(self, path: Path) -> Iterator[dict[str, Any]]:
        columns = {name: list(part.columns) or [self.fields[name]] for name, part in self.modalities.items()}
        needed = dict.fromkeys(["sample_id", self.label, *(each for own in columns.values() for each in own)])
        for row in parquet_samples(path, list(needed), [self.patient_id]):
            item = {"sample_id": row["sample_id"], "label": row[self.label], "patient_id": row.get(self.patient_id)}
            for name, own in columns.items():
                if self.modalities[name].columns:
                    value: Any = csv_row([name_of(row[each]) for each in own]) or None
                else:
                    value = row[own[0]]
                if value is not None:
                    item[name] = Content(value, "") if isinstance(value, bytes) else value
            yield item

    def _read(self, item: dict[str, Any], folder: Path) -> dict[str, Any]:
        """Return an item with samples in place of cells and files."""
        for name, part in self.modalities.items():
            value = item.get(name)
            where = f"{self.place(len(self._ids) - 1)}, {name}"
            source: Source | None = None
            if isinstance(value, Content):
                if part.cell == "value":
                    source = _text(value, where)
                else:
                    source = folder / f"sample{value.suffix or part.suffix}"
                    try:
                        source.write_bytes(value.data)
                    except OSError as error:
                        raise DataError(f"cannot write to {folder}: {error.strerror}") from error
            elif part.cell == "value" and isinstance(value, str | int | float):
                source = name_of(value)
            elif isinstance(value, str):
                raise DataError(f"{where} is text; a file's bytes or an array are expected")
            if source == "":
                del item[name]
            elif source is not None:
                result = read(part, source)
                if result.sample is None:
                    raise DataError(f"{where}: {result.fault}")
                item[name] = result.sample
                self.notes[name].update(result.notes)
        return item


def _text(content: Content, where: str) -> str:
    try:
        return content.data.decode("utf-8-sig").strip()
    except UnicodeDecodeError:
        raise DataError(f"{where} is no text in UTF-8; store it as such") from None
