"""Multimodal data sets from a manifest, shards, an ``.npz`` file, tensors, a DataFrame or another torch data set."""

from collections import Counter
from collections.abc import Callable, Iterable, Mapping, Sequence
from itertools import compress
from pathlib import Path
from typing import Any, Self, cast

import torch
from torch import Tensor
from torch.utils.data import Dataset

from multimodal_vae.bounds import memory
from multimodal_vae.checks import checked, frame_advice, real_samples
from multimodal_vae.data.arguments import check_length, mask_of
from multimodal_vae.data.batch import Batch
from multimodal_vae.data.columns import Column, SampleColumns
from multimodal_vae.data.covariates import Covariate, covariates_of, read_columns, texts_of
from multimodal_vae.data.fingerprint import fingerprint_of
from multimodal_vae.data.frames import DataFrames
from multimodal_vae.data.items import copy_items
from multimodal_vae.data.labeled import LabeledDataset, chosen
from multimodal_vae.data.labels import Unlisted, index_classes
from multimodal_vae.data.loading import SKIPPED, Unreadable, load_columns
from multimodal_vae.data.manifest import INDEPENDENT, RESERVED, SPLITS, UNMATCHED
from multimodal_vae.data.settling import modalities_of, settled
from multimodal_vae.data.shards import Shards, shard_paths
from multimodal_vae.data.showing import Shown
from multimodal_vae.data.split import split_by_patient
from multimodal_vae.errors import DataError, did_you_mean
from multimodal_vae.modalities.base import LARGEST_FILE, Modality, check_samples, load_arrays
from multimodal_vae.names import (
    check_names,
    form,
    has_repeats,
    name_of,
    names_of,
    refuse_near_columns,
    scalar,
    values_of,
)

MOST_UNPACKED = 200
"""Most times its size that an ``.npz`` file may unpack to, if that is beyond the size of a sample."""


class MultimodalDataset(Shown, DataFrames, Dataset[dict[str, Any]]):
    """Checked samples of several modalities, with labels and patients.

    Create one with :meth:`from_manifest`, :meth:`from_shards`, :meth:`from_dataframe`, :meth:`from_npz`,
    :meth:`from_tensors` or :meth:`from_dataset`. As a torch data set it yields ``{"sample_id", "label", <modality>:
    value}``, without the keys of absent modalities. Subsets share their samples with the original. Samples from a
    manifest, shards or a data set lie in files, all others in memory.

    Attributes:
        modalities: the modality by name.
        samples: (N, *shape) by modality; rows of absent samples are zero. ``samples[name]`` is one tensor of all rows:
            a copy, or a memory map if the samples lie in files. :meth:`batch` copies only its rows.
        present: (N, M) of bool, one column per modality.
        labels: (N,), indices into ``classes``; -1 for unlabeled samples.
        classes: the class names.
        ids: (N,), the sample names.
        patients: (N,), the patient of each sample.
        metadata: (N,) by name, the other columns of the manifest.
        given_split: (N,), the manifest's column ``split``; empty strings if it has none.
        notes: counts, by modality, of the changes that reading made to values.
        source: the manifest or file that was read; None for other sources.
        joined: names of the files that were joined to the manifest.
        covariate_types: name and type of each covariate, sorted by name.
        covariates: (N, C) of float32, one column per covariate: a number, or the index of a word; NaN where missing.
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
        joined: Sequence[str] = (),
        covariate_types: Sequence[Covariate] = (),
        covariates: Tensor | None = None,
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
        self.joined = list(joined)
        self.covariate_types = list(covariate_types)
        self.covariates = torch.zeros(len(self.ids), 0) if covariates is None else covariates

    @classmethod
    @checked
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
        join: Sequence[str] = (),
        covariates: Sequence[Any] = (),
        unlisted: Unlisted = "refuse",
    ) -> Self:
        """Read a manifest and the files it names; unchanged files come from the cache.

        Args:
            path: a CSV file with the columns ``sample_id``, ``label``, optionally ``patient_id`` and ``split``, and
                one column per modality that holds a path relative to the manifest, or a value; a table has several
                columns. An empty cell is an absent modality, an empty label an unlabeled sample.
            modalities: by column, a modality, its name or its table.
            classes: the class names in order; by default those in the manifest, sorted.
            progress: whether to show progress, on a terminal or in a notebook. Default: yes.
            cache: folder for decoded samples; by default ``.mmvae_cache`` beside the manifest. With False all samples
                stay in memory and are read again each time.
            workers: number of processes that read if reading is slow; by default one per core. With 0 or 1 this
                process reads all.
            unreadable: ``"refuse"`` raises an error if a cell cannot be read; ``"skip"`` treats the cell as absent,
                drops samples without any modality left, and counts both in ``notes``.
            join: names of CSV files beside the manifest, whose columns join its own by ``sample_id`` or, without one,
                by ``patient_id``.
            covariates: columns that the model takes beside the modalities, such as the site: names, or tables as
                :class:`~multimodal_vae.data.covariates.Covariate` takes them. An empty cell is a missing value.
            unlisted: ``"refuse"`` labels that are not among ``classes``, or ``"skip"`` them: the samples are unlabeled.

        Raises:
            DataError: if cells cannot be read; the message names manifest, line, sample, column and file.

        Warns:
            MultimodalVAEWarning: if ``cache`` is not given and the default folder cannot be written.
        """
        path = Path(path)
        parts, manifest = settled(modalities, path, list(join))
        rows = manifest.rows({name: part.columns for name, part in parts.items()})
        names, labels = index_classes(rows.labels, classes, lambda row: f"{path}, line {rows.lines[row]}", unlisted)
        loaded = load_columns(path, rows, parts, cache, workers, unreadable, progress)
        kept = loaded.present.any(1).nonzero()[:, 0]
        notes, samples, lines = loaded.notes, SampleColumns(loaded.columns), rows.lines
        if len(kept) < len(rows):
            notes["sample_id"] = {SKIPPED: len(rows) - len(kept)}  # no modality may have this name
            samples, lines = samples.subset(kept), [lines[row] for row in kept.tolist()]
        mask = loaded.present.any(1).tolist()
        ids, patients, splits = (_kept(texts, mask) for texts in (rows.ids, rows.patients, rows.splits))
        if "" in patients:
            notes["patient_id"] = {INDEPENDENT: patients.count("")}
        notes |= {name: {UNMATCHED: count} for name, count in manifest.unmatched.items()}
        metadata = {column: _kept(cells, mask) for column, cells in rows.metadata.items()}
        types, values = read_columns(covariates, metadata, lambda row: f"line {lines[row]}", len(kept), path)
        return cls(
            parts,
            samples,
            loaded.present[kept],
            labels[kept],
            names,
            ids,
            [patient or name for patient, name in zip(patients, ids, strict=True)],
            metadata,
            splits,
            notes,
            path,
            join,
            types,
            values,
        )

    @classmethod
    @checked
    def from_npz(
        cls,
        path: str | Path,
        modalities: Mapping[str, Any],
        classes: Sequence[str] | None = None,
        covariates: Sequence[Any] = (),
        labels: str = "label",
    ) -> Self:
        """Read an ``.npz`` file: an array per modality, ``label``, optionally ``sample_id``, ``patient_id``, ``split``.

        Args:
            path: the file.
            modalities: by array, a modality, its name or its table.
            classes: the class names in order; by default those among the labels, sorted.
            covariates: arrays (N,) that are covariates; as in :meth:`from_manifest`.
            labels: name of the array of labels.

        Raises:
            DataError: naming the file and the array; also if it unpacks to more than memory, or to more than
                :data:`MOST_UNPACKED` times its size.
        """
        path = Path(path)
        try:
            limit = max(LARGEST_FILE, MOST_UNPACKED * path.stat().st_size)
            arrays = load_arrays(path, int(min(limit, memory())))
            types = covariates_of(covariates)
            for name in (labels, *modalities, *(each.name for each in types)):
                if name not in arrays:
                    raise DataError(f"there is no array {name!r}; {did_you_mean(name, arrays)}")
            refuse_near_columns("array", arrays, [*RESERVED, labels, *modalities])
            data = cls.from_tensors(
                {name: arrays[name] for name in modalities},
                arrays[labels],
                modalities,
                classes,
                ids=arrays.get("sample_id"),
                patients=arrays.get("patient_id"),
                covariates={each.name: arrays[each.name] for each in types},
                covariate_types=types,
                split=arrays.get("split"),
            )
        except FileNotFoundError:
            raise DataError(f"there is no file {path}") from None
        except OSError as error:
            raise DataError(f"{path} cannot be read: {error.strerror}") from error
        except DataError as error:
            raise DataError(f"{path}: {error}") from error
        data.source = path
        return data

    @classmethod
    @checked
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
        split: Iterable[Any] | None = None,
    ) -> Self:
        """Check tensors or arrays and copy them into a data set.

        Args:
            samples: (N, *shape) by modality.
            labels: (N,), a number or text each; None, NaN or an empty text for an unlabeled sample.
            modalities: by name, a modality, its name or its table.
            classes: the class names in order; by default those among the labels, sorted.
            ids: (N,), the sample names; by default "0", "1", ...
            patients: (N,), the patient of each sample; by default, and where one is missing, the sample's own.
            present: (N, M) of bool; by default all True.
            covariates: (N,) by name, what the model takes beside modalities, such as the site; None or NaN if missing.
            covariate_types: their types, such as those of another data set; by default as the values are.
            split: (N,), ``train``, ``validation`` or ``test`` each, for :meth:`split_as_given`.

        Raises:
            DataError: if lengths, shapes, values or labels do not match.

        Example:
            >>> vectors = {"x": {"name": "vector", "size": 3}}
            >>> data = MultimodalDataset.from_tensors({"x": torch.zeros(2, 3)}, ["a", "b"], vectors)
            >>> len(data), data.classes
            (2, ['a', 'b'])
        """
        parts = modalities_of(modalities)
        label_names = names_of(labels, "labels")
        count = len(label_names)
        names = [str(row) for row in range(count)] if ids is None else names_of(ids, "ids")
        owners = [""] * count if patients is None else names_of(patients, "patients")
        mask = torch.ones(count, len(parts), dtype=torch.bool) if present is None else mask_of(present)
        if mask.shape != (count, len(parts)):
            raise DataError(
                f"'present' has shape {tuple(mask.shape)}; {count} labels and {len(parts)} modalities need "
                f"{(count, len(parts))}"
            )
        tensors = {}
        for column, (name, part) in enumerate(parts.items()):
            if name not in samples:
                raise DataError(f"there are no samples of modality {name!r}; {did_you_mean(name, samples)}")
            tensor = real_samples(name, samples[name])
            check_length(f"samples of {name!r}", len(tensor) if tensor.dim() else 0, count)
            check_samples(name, part, tensor[mask[:, column]])
            tensors[name] = torch.where(mask[:, column].reshape(-1, *[1] * (tensor.dim() - 1)), tensor, 0)
        data = cls._of_names(parts, tensors, mask, label_names, classes, names, owners)
        given = {name: names_of(each, f"values of {name!r}") for name, each in (covariates or {}).items()}
        if split is not None:
            data.given_split = names_of(split, "split")
            check_length("names of splits", len(data.given_split), count)
        data.metadata |= given
        data.covariate_types, data.covariates = read_columns(
            given if covariate_types is None else covariate_types, given, lambda row: f"row {row}", count
        )
        return data

    @classmethod
    def from_dataset(
        cls,
        dataset: Dataset[Mapping[str, Any]],
        modalities: Mapping[str, Any],
        classes: Sequence[str] | None = None,
        folder: str | Path | None = None,
    ) -> Self:
        """Copy the items of a torch data set that has a length, one by one, into temporary files.

        Args:
            dataset: yields ``{"sample_id", "label", <modality>: value}``, optionally with ``"patient_id"``, without
                the keys of absent modalities. A label is as in :meth:`from_tensors`; if ``classes`` are given, an
                integer is an index into them, and a negative one means unlabeled.
            modalities: by name, a modality, its name or its table.
            classes: the class names in order; by default those among the labels, sorted.
            folder: where the temporary files lie until the data set is deleted; by default the system's temporary
                folder, which on some systems is in memory.

        Raises:
            DataError: naming the item and its fault.
        """
        parts, items = modalities_of(modalities), cast(Sequence[Mapping[str, Any]], dataset)
        if not (hasattr(dataset, "__len__") and hasattr(dataset, "__getitem__") and len(items)):
            raise DataError(f"a {type(dataset).__name__} is no data set with a length of at least 1")
        if frame_advice(dataset):
            raise DataError(f"dataset is a {type(dataset).__name__}; {frame_advice(dataset)}")
        return cls._of_items((items[row] for row in range(len(items))), parts, classes, folder, "item {}".format)

    @classmethod
    @checked
    def from_shards(
        cls,
        paths: str | Path | Iterable[str | Path],
        modalities: Mapping[str, Any],
        classes: Sequence[str] | None = None,
        folder: str | Path | None = None,
        *,
        fields: Mapping[str, str] | None = None,
        label: str = "label",
        patient_id: str = "patient_id",
    ) -> Self:
        """Read tar files in the form of WebDataset, or Parquet files, sample by sample into temporary files.

        In a tar file, members ``KEY.FIELD`` with one key, which follow one another, are a sample; the key is its name.
        A field may have a suffix, as in ``s1.photo.png``. A modality's field holds the file that a manifest's cell
        would name, or the cell's text; a missing field is an absent modality. In a Parquet file each row is a sample,
        with a column ``sample_id``; a cell of a modality holds a file's bytes, numbers, or the text of a manifest's
        cell, and a table has its own columns. Parquet needs the extra ``parquet`` (polars).

        Args:
            paths: the shards, in order: files, or patterns such as ``"train-{0000..0009}.tar"``.
            modalities: by name, a modality, its name or its table. The types of a table must be given.
            classes: the class names in order; by default those among the labels, sorted.
            folder: where the temporary files lie; as in :meth:`from_dataset`.
            fields: by modality, its field or column. Default: its name.
            label: field or column of the label, missing for an unlabeled sample. ``"cls"`` in a tar file holds
                an index into ``classes``, as is usual in WebDataset.
            patient_id: field or column of the patient; it may be missing.

        Raises:
            DataError: naming shard and sample, if a file is damaged or a pickle, or a sample cannot be read.
        """
        parts = modalities_of(modalities)
        shards = Shards(shard_paths(paths), parts, fields or {}, label, patient_id, folder)
        data = cls._of_items(shards, parts, classes, folder, shards.place)
        data.notes |= {name: dict(counts) for name, counts in shards.notes.items() if counts}
        return data

    @classmethod
    def _of_items(
        cls,
        items: Iterable[Any],
        parts: Mapping[str, Modality],
        classes: Sequence[str] | None,
        folder: str | Path | None,
        place: Callable[[int], str],
    ) -> Self:
        copied = copy_items(items, parts, classes, folder, place)
        return cls._of_names(
            parts, copied.columns, copied.present, copied.labels, classes, copied.ids, copied.patients, place
        )

    @classmethod
    def _of_names(
        cls,
        parts: Mapping[str, Modality],
        samples: Mapping[str, Tensor | Column],
        present: Tensor,
        labels: Sequence[str],
        classes: Iterable[Any] | None,
        names: Sequence[str],
        owners: Sequence[str],
        place: Callable[[int], str] = "row {}".format,
    ) -> Self:
        """Check the names and create a data set; an owner is empty if the patient is missing."""
        check_length("ids", len(names), len(labels))
        check_length("patients", len(owners), len(labels))
        if "" in names:
            raise DataError(f"{place(names.index(''))} has no id; give one per sample")
        if has_repeats(names):
            repeated, times = next(each for each in Counter(names).items() if each[1] > 1)
            second = names.index(repeated, names.index(repeated) + 1)
            raise DataError(f"the id {repeated!r} belongs to {times} samples, as {place(second)}; ids must be unique")
        check_names("id", names, place)
        check_names("patient", owners, place)
        class_names, indices = index_classes(labels, classes, place)
        people = [owner or name for owner, name in zip(owners, names, strict=True)]
        notes = {"patient_id": {INDEPENDENT: owners.count("")}} if "" in owners else {}
        return cls(parts, samples, present, indices, class_names, names, people, notes=notes)

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
        item |= texts_of(self.covariate_types, self.covariates[[row]])[0]
        for column, name in enumerate(self.modalities):
            if self.present[row, column]:
                item[name] = self.samples.columns[name][torch.tensor([row])][0]
        return item

    def batch(self, rows: Tensor) -> Batch:
        """Return the batch of these rows (n,)."""
        return Batch(
            self.samples.batch(rows),
            self.present[rows],
            self.labels[rows],
            [self.ids[row] for row in rows.tolist()],
            self.covariates[rows],
        )

    @checked
    def subset(self, rows: Iterable[int]) -> "MultimodalDataset":
        """Return a data set of these rows, which shares the samples."""
        numbers, count = values_of(rows, "rows"), len(self)
        if (
            not {*map(type, numbers)} <= {int}
            or not -count <= min(numbers, default=0) <= max(numbers, default=-1) < count
        ):
            numbers = [scalar(row) for row in numbers]
            for row in numbers:
                if isinstance(row, bool) or not isinstance(row, int) or not -count <= row < count:
                    raise DataError(
                        f"{row!r} is no row of a data set of {count} samples; give numbers below that, such as "
                        "mask.nonzero()[:, 0]"
                    )
        index = torch.tensor(numbers, dtype=torch.int64)
        return MultimodalDataset(
            self.modalities,
            self.samples.subset(index),
            self.present[index],
            self.labels[index],
            self.classes,
            [self.ids[row] for row in numbers],
            [self.patients[row] for row in numbers],
            {column: [values[row] for row in numbers] for column, values in self.metadata.items()},
            [self.given_split[row] for row in numbers],
            self.notes,
            self.source,
            self.joined,
            self.covariate_types,
            self.covariates[index],
        )

    @checked
    def of_class(self, name: str) -> "MultimodalDataset":
        """Return the samples of one class."""
        name = name_of(name)
        if name not in self.classes:
            raise DataError(f"there is no class {name!r}; {did_you_mean(name, self.classes)}")
        return self.subset((self.labels == self.classes.index(name)).nonzero()[:, 0].tolist())

    @checked
    def named(self, *ids: str) -> "MultimodalDataset":
        """Return the samples with these ids, in this order.

        Raises:
            DataError: if an id is unknown.
        """
        row_of = {name: row for row, name in enumerate(self.ids)}
        for name in ids:
            if name not in row_of:
                twins = [f"; there is {known!r}" for known in row_of if form(known) == form(name)]
                raise DataError(f"{self.source or 'the data'}: there is no sample {name!r}{''.join(twins)}")
        return self.subset(row_of[name] for name in ids)

    @checked
    def only(self, *names: str) -> "MultimodalDataset":
        """Return the same samples with all other modalities absent, for example as the input of a translation.

        Raises:
            DataError: if a modality is unknown, or a sample has none of them.

        Example:
            >>> both = {"x": {"name": "vector", "size": 3}, "y": {"name": "vector", "size": 2}}
            >>> data = MultimodalDataset.from_tensors({"x": torch.ones(1, 3), "y": torch.ones(1, 2)}, ["a"], both)
            >>> data.only("y").present
            tensor([[False,  True]])
        """
        for name in names:
            if name not in self.modalities:
                raise DataError(f"there is no modality {name!r}; {did_you_mean(name, self.modalities)}")
        reduced = self.subset(range(len(self)))
        reduced.present = self.present & torch.tensor([name in names for name in self.modalities])
        empty = (~reduced.present.any(1)).nonzero()[:, 0].tolist()
        if empty:
            raise DataError(
                f"{self.source or 'the data'}: sample {self.ids[empty[0]]!r} has none of the modalities "
                f"{list(names)}; remove the sample, or choose other modalities"
            )
        for name, part in self.modalities.items():
            if name not in names:
                reduced.samples[name] = torch.zeros(1, *part.shape).expand(len(self), *part.shape)
        return reduced

    @checked
    def as_dataset(self, modality: str | None = None) -> LabeledDataset:
        """Return the labeled samples as pairs of a sample and its class index, for a training loop in plain torch.

        Generated samples have the same method, so that ``ConcatDataset`` can join both.

        Args:
            modality: the modality whose tensor, (*shape), is the sample. Default: a sample is a dictionary of all
                modalities. Samples without a label, without this modality or, by default, without any one of the
                modalities are left out.

        Raises:
            DataError: if there is no such modality.

        Example:
            >>> vectors = {"x": {"name": "vector", "size": 2}}
            >>> data = MultimodalDataset.from_tensors({"x": torch.zeros(2, 2)}, ["a", "b"], vectors)
            >>> data.as_dataset("x")[1], data.as_dataset()[0]
            ((tensor([0., 0.]), 1), ({'x': tensor([0., 0.])}, 0))
        """
        names = chosen(self.modalities, modality)
        present = self.present[:, [list(self.modalities).index(name) for name in names]].all(1)
        rows = (present & (self.labels >= 0)).nonzero()[:, 0]
        return LabeledDataset(self.samples.subset(rows).columns, self.labels[rows], modality)

    @checked
    def split(
        self, train: float, validation: float, test: float, seed: int = 0
    ) -> tuple["MultimodalDataset", "MultimodalDataset", "MultimodalDataset"]:
        """Split by patient, stratified by class; see :func:`~multimodal_vae.data.split.split_by_patient`."""
        parts = split_by_patient(self.patients, self.labels.tolist(), (train, validation, test), seed)
        first, second, third = (self.subset(rows) for rows in parts)
        return first, second, third

    def split_as_given(self) -> tuple["MultimodalDataset", "MultimodalDataset", "MultimodalDataset"]:
        """Split by the manifest's column ``split``.

        Raises:
            DataError: if a row has no split, or a patient is in two.
        """
        source = self.source or "the data"
        split_of: dict[str, str] = {}
        for name, patient, split in zip(self.ids, self.patients, self.given_split, strict=True):
            if split not in SPLITS:
                raise DataError(f"{source}: the sample {name!r} has no split; fill the column, or use split()")
            if split_of.setdefault(patient, split) != split:
                raise DataError(f"{source}: patient {patient!r} is in {split_of[patient]} and in {split}; choose one")
        rows = [[row for row, split in enumerate(self.given_split) if split == part] for part in SPLITS]
        first, second, third = (self.subset(part) for part in rows)
        return first, second, third

    def fingerprint(self) -> str:
        """Return the SHA-256 of all samples, labels and names."""
        return fingerprint_of(self)


def _kept(texts: Sequence[str], mask: Sequence[bool]) -> list[str]:
    """Return the texts whose mask is True; equal ones are one object."""
    known: dict[str, str] = {}
    return [known.setdefault(text, text) for text in compress(texts, mask)]
