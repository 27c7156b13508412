"""Items of a data set, one by one, into temporary files."""

import tempfile
from collections.abc import Callable, Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any, NamedTuple

import torch
from torch import Tensor

from multimodal_vae.checks import real_samples
from multimodal_vae.data.columns import Column, Scratch
from multimodal_vae.data.labels import class_of_item
from multimodal_vae.data.manifest import RESERVED
from multimodal_vae.errors import DataError, did_you_mean
from multimodal_vae.modalities.base import Modality, check_samples
from multimodal_vae.names import name_of, refuse_near_columns


class CopiedItems(NamedTuple):
    """Items whose samples are in files.

    Attributes:
        columns: (N, *shape) by modality.
        present: (N, M) of bool.
        ids: (N,), names of the samples.
        patients: (N,), names of the patients; empty if missing.
        labels: (N,), names of the classes; empty if unlabeled.
    """

    columns: dict[str, Column]
    present: Tensor
    ids: list[str]
    patients: list[str]
    labels: list[str]


def copy_items(
    items: Iterable[Any],
    modalities: Mapping[str, Modality],
    classes: Sequence[str] | None,
    folder: str | Path | None,
    place: Callable[[int], str],
) -> CopiedItems:
    """Copy the samples of items into temporary files.

    Args:
        items: ``{"sample_id", "label", <modality>: value}``, optionally with ``"patient_id"``, without the keys of
            absent modalities.
        modalities: the modality by name.
        classes: the class names, into which an integer label is an index.
        folder: folder of the files. Default: the system's temporary folder.
        place: describes an item by its number, for errors.

    Raises:
        DataError: naming the item and its fault.
    """
    folder = Path(folder or tempfile.gettempdir())
    if not folder.is_dir():
        raise DataError(f"there is no folder {folder} for temporary files; create it, or give another")
    scratches = {name: Scratch((0, *part.shape), folder) for name, part in modalities.items()}
    ids: list[str] = []
    patients: list[str] = []
    labels: list[str] = []
    present = bytearray()
    for row, item in enumerate(items):
        if not isinstance(item, Mapping):
            raise DataError(
                f"{place(row)} is a {type(item).__name__}; a dictionary with sample_id and label is expected"
            )
        for key in ("sample_id", "label"):
            if key not in item:
                raise DataError(f"{place(row)} has no {key!r}; {did_you_mean(key, item)}")
        try:
            refuse_near_columns("key", item, [*RESERVED, *modalities])
            ids.append(name_of(item["sample_id"]))
            patients.append(name_of(item.get("patient_id")))
            labels.append(class_of_item(item["label"], classes))
            for name, part in modalities.items():
                if name in item:
                    sample = real_samples(name, item[name])
                    check_samples(name, part, sample[None])
                    scratches[name][row] = sample
        except DataError as error:
            raise DataError(f"{place(row)}: {error}") from error
        here = bytes(name in item for name in modalities)
        if not any(here):
            raise DataError(
                f"{place(row)} has none of the modalities; {did_you_mean(next(iter(modalities), ''), item)}"
            )
        present += here
    for name, part in modalities.items():
        scratches[name].shape = (len(ids), *part.shape)
    columns = {name: Column(scratch, folder=folder) for name, scratch in scratches.items()}
    mask = torch.frombuffer(present, dtype=torch.bool).reshape(len(ids), len(modalities)).clone()
    return CopiedItems(columns, mask, ids, patients, labels)
