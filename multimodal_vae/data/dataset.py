"""Samples of several modalities, with labels and patients, from a manifest, an ``.npz`` file, tensors or a data set."""

import hashlib
import math
import tempfile
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any, Self, cast

import numpy as np
import torch
from torch import Tensor
from torch.utils.data import Dataset

from multimodal_vae.data.batch import UNLABELED, Batch
from multimodal_vae.data.columns import Column, SampleColumns, Scratch
from multimodal_vae.data.intake import SKIPPED, Unreadable, take_in
from multimodal_vae.data.manifest import RESERVED, SPLITS, read_manifest
from multimodal_vae.data.split import split_by_patient
from multimodal_vae.errors import DataError, did_you_mean
from multimodal_vae.modalities.base import Modality, check_samples, load_arrays


class MultimodalDataset(Dataset[dict[str, Any]]):
    """SampleColumns, checked when they come in; in files where they come from a manifest, else in memory.

    Made by :meth:`from_manifest`, :meth:`from_npz`, :meth:`from_tensors` or :meth:`from_dataset`. As a torch dataset it
    yields ``{"sample_id", "label", <modality>: value}`` with absent modalities left out. Subsets share the samples.

    Attributes:
        modalities: the modality by name.
        samples: (N, *shape) by modality; rows of absent samples are zero. Looking a modality up makes all its samples
            one tensor: a copy, or a memory-mapped file where they are in files; :meth:`batch` makes none but its rows.
        present: (N, M) of bool.
        labels: (N,), indices into ``classes``; -1 for none.
        classes: names of the classes.
        ids: (N,), names of the samples.
        patients: (N,), whose each sample is.
        metadata: (N,) by column, whatever else the manifest holds.
        given_split: (N,), the manifest's own split; empty strings where it has none.
        notes: by modality, what reading did to the values, counted.
        source: the manifest or file it came from.
    """

    def __init__(
        self,
        modalities: Mapping[str, Modality],
        samples: Mapping[str, Tensor | Column],
        present: Tensor,
        labels: Tensor,
        classes: Sequence[str],
        ids: Sequence[str],
        patients: Sequence[str],
        metadata: Mapping[str, Sequence[str]] | None = None,
        given_split: Sequence[str] | None = None,
        notes: Mapping[str, Mapping[str, int]] | None = None,
        source: Path | None = None,
    ) -> None:
        self.modalities = dict(modalities)
        self.samples = SampleColumns(samples)
        self.present = present
        self.labels = labels
        self.classes = list(classes)
        self.ids = list(ids)
        self.patients = list(patients)
        self.metadata = {column: list(values) for column, values in (metadata or {}).items()}
        self.given_split = list(given_split) if given_split is not None else [""] * len(self.ids)
        self.notes = {name: dict(counts) for name, counts in (notes or {}).items()}
        self.source = source

    @classmethod
    def from_manifest(
        cls,
        path: str | Path,
        modalities: Mapping[str, Any],
        classes: Sequence[str] | None = None,
        progress: bool | None = None,
        *,
        cache: str | Path | bool | None = None,
        workers: int | None = None,
        unreadable: Unreadable = "refuse",
    ) -> Self:
        """Read a manifest and every file it names; what was read before, and has not changed, is not read again.

        Args:
            path: a CSV file with the columns ``sample_id``, ``label``, optionally ``patient_id`` and ``split``, and
                one column a modality, holding a path relative to the manifest, or a value; an empty cell is an
                absent modality, an empty label an unlabeled sample.
            modalities: by column, a modality, its name or its table.
            classes: the classes in their order; those found, sorted, where it is None.
            progress: whether to show progress; only on a terminal where it is None.
            cache: a folder in which samples are kept; ``.mmvae_cache`` beside the manifest where it is None; with
                False all are read into memory.
            workers: processes that read, where that takes long; as many as there are cores where it is None; 0 or 1
                for none but this one.
            unreadable: ``"refuse"``; or ``"skip"``, which takes what cannot be read for absent, and leaves out a
                sample of which nothing is left, and counts both in ``notes``.

        Raises:
            DataError: naming manifest, line, sample, column and file of each cell that cannot be read.

        Warns:
            MultimodalVAEWarning: if nothing can be written beside the manifest, and no other place is given.
        """
        path = Path(path)
        parts = _parts(modalities)
        rows = read_manifest(path, list(parts))
        found = list(classes) if classes is not None else _sorted({row.label for row in rows} - {""})
        for row in rows:
            if row.label and row.label not in found:
                raise DataError(f"{path}, line {row.line}: {row.label!r} is no class; {did_you_mean(row.label, found)}")
        taken = take_in(path, rows, parts, cache, workers, unreadable, progress)
        kept = taken.present.any(1).nonzero()[:, 0]
        notes, samples = taken.notes, SampleColumns(taken.columns)
        if len(kept) < len(rows):
            notes["sample_id"] = {SKIPPED: len(rows) - len(kept)}  # a name that no modality has
            rows, samples = [rows[row] for row in kept.tolist()], samples.subset(kept)
        return cls(
            parts,
            samples,
            taken.present[kept],
            torch.tensor([found.index(row.label) if row.label else UNLABELED for row in rows]),
            found,
            [row.sample_id for row in rows],
            [row.patient_id for row in rows],
            {column: [row.metadata[column] for row in rows] for column in rows[0].metadata},
            [row.split for row in rows],
            notes,
            path,
        )

    @classmethod
    def from_npz(cls, path: str | Path, modalities: Mapping[str, Any], classes: Sequence[str] | None = None) -> Self:
        """Read arrays named like the modalities, with ``label``, and optionally ``sample_id`` and ``patient_id``.

        Raises:
            DataError: naming the file and the array.
        """
        path = Path(path)
        try:
            arrays = load_arrays(path)
            for name in ("label", *modalities):
                if name not in arrays:
                    raise DataError(f"has no array {name!r}; {did_you_mean(name, arrays)}")
            data = cls.from_tensors(
                {name: arrays[name] for name in modalities},
                arrays["label"].tolist(),
                modalities,
                classes,
                ids=arrays["sample_id"].tolist() if "sample_id" in arrays else None,
                patients=arrays["patient_id"].tolist() if "patient_id" in arrays else None,
            )
        except FileNotFoundError:
            raise DataError(f"there is no file {path}") from None
        except DataError as error:
            raise DataError(f"{path}: {error}") from error
        data.source = path
        return data

    @classmethod
    def from_tensors(
        cls,
        samples: Mapping[str, Any],
        labels: Iterable[Any],
        modalities: Mapping[str, Any],
        classes: Sequence[str] | None = None,
        ids: Sequence[Any] | None = None,
        patients: Sequence[Any] | None = None,
        present: Any = None,
    ) -> Self:
        """Take tensors or arrays.

        Args:
            samples: (N, *shape) by modality.
            labels: (N,), a class each: an integer, a string, or for none None, NaN or an empty string.
            modalities: by name, a modality, its name or its table.
            classes: the classes in their order; those found, sorted, where it is None.
            ids: (N,), names of the samples; numbers from zero where it is None.
            patients: (N,), whose each sample is; each its own where it is None.
            present: (N, M) of bool; all where it is None.

        Raises:
            DataError: if lengths, shapes, values or labels do not fit.

        Example:
            >>> vectors = {"x": {"name": "vector", "size": 3}}
            >>> data = MultimodalDataset.from_tensors({"x": np.zeros((2, 3))}, ["a", "b"], vectors)
            >>> len(data), data.classes
            (2, ['a', 'b'])
        """
        parts = _parts(modalities)
        labels = ["" if _is_none(label) else str(label) for label in _listed(labels)]
        count = len(labels)
        found = [str(name) for name in _listed(classes)] if classes is not None else _sorted(set(labels) - {""})
        names = [str(name) for name in _listed(ids)] if ids is not None else [str(row) for row in range(count)]
        owners = [str(name) for name in _listed(patients)] if patients is not None else names
        here = torch.ones(count, len(parts), dtype=torch.bool) if present is None else torch.as_tensor(present).bool()
        if here.shape != (count, len(parts)):
            raise DataError(f"present has the shape {tuple(here.shape)}, and {(count, len(parts))} is wanted")
        tensors = {}
        for column, (name, part) in enumerate(parts.items()):
            if name not in samples:
                raise DataError(f"there are no samples of the modality {name!r}; {did_you_mean(name, samples)}")
            tensor = torch.as_tensor(samples[name]).to(torch.float32)
            _same_length(f"the samples of {name!r}", len(tensor), count)
            check_samples(name, part, tensor[here[:, column]])
            tensors[name] = torch.where(here[:, column].reshape(-1, *[1] * (tensor.dim() - 1)), tensor, 0)
        return cls._checked(parts, tensors, here, labels, found, names, owners)

    @classmethod
    def from_dataset(
        cls,
        dataset: Dataset[Mapping[str, Any]],
        modalities: Mapping[str, Any],
        classes: Sequence[str] | None = None,
        folder: str | Path | None = None,
    ) -> Self:
        """Take the items of any torch data set that has a length, one after the other, into files.

        Args:
            dataset: yields ``{"sample_id", "label", <modality>: value}``, perhaps with ``"patient_id"``, without the
                modalities that are absent. A label is a class, as in :meth:`from_tensors`; or, where classes are
                given, a number is an index into them, and a negative one stands for none.
            modalities: by name, a modality, its name or its table.
            classes: the classes in their order; those found, sorted, where it is None.
            folder: where the files are, nameless, and gone with the data set; the system's for temporary files where
                it is None, which on some systems is memory.

        Raises:
            DataError: naming the item and what does not fit.
        """
        parts, items = _parts(modalities), cast(Sequence[Mapping[str, Any]], dataset)
        count, place = len(items), Path(folder) if folder else Path(tempfile.gettempdir())
        kept = {name: Scratch((count, *part.shape), place) for name, part in parts.items()}
        present = torch.zeros(count, len(parts), dtype=torch.bool)
        names, labels, owners = [], [], []
        for row in range(count):
            item = items[row]
            for key in ("sample_id", "label"):
                if key not in item:
                    raise DataError(f"item {row} has no {key!r}; {did_you_mean(key, item)}")
            names.append(str(item["sample_id"]))
            owners.append(str(item.get("patient_id", names[-1])))
            labels.append(_label(item["label"], classes, row))
            for column, (name, part) in enumerate(parts.items()):
                if name in item:
                    sample = torch.as_tensor(item[name]).to(torch.float32)
                    try:
                        part.check(sample[None])
                    except DataError as error:
                        raise DataError(f"item {row}, modality {name!r}: {error}") from error
                    kept[name][row] = sample
                    present[row, column] = True
            if not present[row].any():
                raise DataError(f"item {row} has no modality at all; {did_you_mean(next(iter(parts), ''), item)}")
        columns = {name: Column(scratch, folder=place) for name, scratch in kept.items()}
        found = [str(name) for name in _listed(classes)] if classes is not None else _sorted(set(labels) - {""})
        return cls._checked(parts, columns, present, labels, found, names, owners)

    @classmethod
    def _checked(
        cls,
        parts: Mapping[str, Modality],
        samples: Mapping[str, Tensor | Column],
        present: Tensor,
        labels: Sequence[str],
        classes: Sequence[str],
        names: Sequence[str],
        owners: Sequence[str],
    ) -> Self:
        """Make a data set of names that may not fit."""
        _same_length("the ids", len(names), len(labels))
        _same_length("the patients", len(owners), len(labels))
        twice = [name for name, times in Counter(names).items() if times > 1]
        if twice:
            raise DataError(f"the id {twice[0]!r} stands for {names.count(twice[0])} samples")
        for row, label in enumerate(labels):
            if label and label not in classes:
                raise DataError(f"row {row}: {label!r} is no class; {did_you_mean(label, classes)}")
        indices = torch.tensor([classes.index(label) if label else UNLABELED for label in labels], dtype=torch.int64)
        return cls(parts, samples, present, indices, classes, names, owners)

    @property
    def samples(self) -> SampleColumns:
        """(N, *shape) by modality."""
        return self._samples

    @samples.setter
    def samples(self, samples: Mapping[str, Tensor | Column]) -> None:
        self._samples = SampleColumns(samples)

    def __len__(self) -> int:
        return len(self.ids)

    def __getitem__(self, row: int) -> dict[str, Any]:
        item: dict[str, Any] = {"sample_id": self.ids[row], "label": int(self.labels[row])}
        for column, name in enumerate(self.modalities):
            if self.present[row, column]:
                item[name] = self.samples.columns[name][torch.tensor([row])][0]
        return item

    def batch(self, rows: Tensor) -> Batch:
        """Gather rows (N,) into a batch."""
        return Batch(
            self.samples.batch(rows),
            self.present[rows],
            self.labels[rows],
            [self.ids[row] for row in rows.tolist()],
        )

    def subset(self, rows: Iterable[int]) -> "MultimodalDataset":
        """The samples of these rows, as a data set of its own."""
        rows = [int(row) for row in rows]
        index = torch.tensor(rows, dtype=torch.int64)
        return MultimodalDataset(
            self.modalities,
            self.samples.subset(index),
            self.present[index],
            self.labels[index],
            self.classes,
            [self.ids[row] for row in rows],
            [self.patients[row] for row in rows],
            {column: [values[row] for row in rows] for column, values in self.metadata.items()},
            [self.given_split[row] for row in rows],
            self.notes,
            self.source,
        )

    def of_class(self, name: str) -> "MultimodalDataset":
        """The samples of one class."""
        if name not in self.classes:
            raise DataError(f"there is no class {name!r}; {did_you_mean(name, self.classes)}")
        return self.subset((self.labels == self.classes.index(name)).nonzero()[:, 0].tolist())

    def named(self, *ids: str) -> "MultimodalDataset":
        """The samples of these names, in this order.

        Raises:
            DataError: if there is none of a name.
        """
        row_of = {name: row for row, name in enumerate(self.ids)}
        for name in ids:
            if name not in row_of:
                raise DataError(f"{self.source or 'the data'}: there is no sample {name!r}")
        return self.subset(row_of[name] for name in ids)

    def only(self, *names: str) -> "MultimodalDataset":
        """The same samples with no modalities but these: what the others are to be told from.

        Raises:
            DataError: if a name is no modality, or a sample has none of them.

        Example:
            >>> both = {"x": {"name": "vector", "size": 3}, "y": {"name": "vector", "size": 2}}
            >>> data = MultimodalDataset.from_tensors({"x": np.ones((1, 3)), "y": np.ones((1, 2))}, ["a"], both)
            >>> data.only("y").present
            tensor([[False,  True]])
        """
        for name in names:
            if name not in self.modalities:
                raise DataError(f"there is no modality {name!r}; {did_you_mean(name, self.modalities)}")
        rest = self.subset(range(len(self)))
        rest.present = self.present & torch.tensor([name in names for name in self.modalities])
        empty = (~rest.present.any(1)).nonzero()[:, 0].tolist()
        if empty:
            raise DataError(
                f"{self.source or 'the data'}: the sample {self.ids[empty[0]]!r} has none of the modalities "
                f"{list(names)}; leave it out, or take others"
            )
        for name, part in self.modalities.items():
            if name not in names:
                rest.samples[name] = torch.zeros(1, *part.shape).expand(len(self), *part.shape)
        return rest

    def split(
        self, train: float, validation: float, test: float, seed: int = 0
    ) -> tuple["MultimodalDataset", "MultimodalDataset", "MultimodalDataset"]:
        """Split by patient, with classes shared out alike; see :func:`~multimodal_vae.data.split.split_by_patient`."""
        parts = split_by_patient(self.patients, self.labels.tolist(), (train, validation, test), seed)
        first, second, third = (self.subset(rows) for rows in parts)
        return first, second, third

    def split_as_given(self) -> tuple["MultimodalDataset", "MultimodalDataset", "MultimodalDataset"]:
        """Split by the manifest's own column ``split``.

        Raises:
            DataError: if a row has none, or a patient is on two sides.
        """
        source = self.source or "the data"
        side: dict[str, str] = {}
        for name, patient, split in zip(self.ids, self.patients, self.given_split, strict=True):
            if split not in SPLITS:
                raise DataError(f"{source}: the sample {name!r} has no split")
            if side.setdefault(patient, split) != split:
                raise DataError(f"{source}: patient {patient!r} is in {side[patient]} and in {split}")
        rows = [[row for row, split in enumerate(self.given_split) if split == part] for part in SPLITS]
        first, second, third = (self.subset(part) for part in rows)
        return first, second, third

    def fingerprint(self) -> str:
        """SHA-256 of all samples, labels and names: equal exactly where the data is."""
        digest = hashlib.sha256()
        for name, column in self.samples.columns.items():
            digest.update(f"{name} {column.shape}".encode())
            for chunk in column.chunks():
                digest.update(chunk.contiguous().numpy().tobytes())
        digest.update(self.present.numpy().tobytes())
        digest.update(self.labels.numpy().tobytes())
        digest.update("\0".join([*self.classes, *self.ids, *self.patients]).encode())
        return digest.hexdigest()


def _parts(modalities: Mapping[str, Any]) -> dict[str, Modality]:
    for name in modalities:
        if name in RESERVED:
            raise DataError(f"a modality cannot be called {name!r}: a manifest has a column of that name already")
    return {name: Modality.of(spec) for name, spec in modalities.items()}


def _label(label: Any, classes: Sequence[str] | None, row: int) -> str:
    """The class that an item's label means, empty for none."""
    if isinstance(label, Tensor | np.generic):
        label = label.item()
    if _is_none(label) or (isinstance(label, int) and label < 0):
        return ""
    if classes is None or not isinstance(label, int):
        return str(label)
    if label >= len(classes):
        raise DataError(f"item {row}: the label {label} is no index into the {len(classes)} classes")
    return str(classes[label])


def _is_none(label: Any) -> bool:
    """Whether there is no label: tables of numbers and words have NaN where a cell is empty."""
    return label is None or (isinstance(label, float) and math.isnan(label))


def _listed(values: Iterable[Any]) -> list[Any]:
    """Plain Python values from a list, an array or a tensor."""
    return list(values.tolist() if isinstance(values, np.ndarray | Tensor) else values)


def _sorted(labels: set[str]) -> list[str]:
    """Sort as numbers where all are numbers, so that class 10 does not come before class 2."""
    return sorted(labels, key=int) if all(label.isdecimal() for label in labels) else sorted(labels)


def _same_length(what: str, seen: int, wanted: int) -> None:
    if seen != wanted:
        raise DataError(f"{what} number {seen}, the labels {wanted}")
