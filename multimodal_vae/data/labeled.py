"""Samples and their classes, as a training loop in plain torch takes them."""

from collections.abc import Iterable, Mapping
from typing import Any

import torch
from torch import Tensor
from torch.utils.data import Dataset

from multimodal_vae.data.columns import Column
from multimodal_vae.errors import DataError, did_you_mean


class LabeledDataset(Dataset[tuple[Any, int]]):
    """A torch data set of pairs: a sample, and the index of its class.

    Real and generated samples have the same form, so that ``torch.utils.data.ConcatDataset`` can join them.

    Args:
        columns: (N, *shape) by modality.
        labels: (N,) of int64, class indices.
        modality: the modality whose tensor, (*shape) of float32, is the sample. Default: a sample is a dictionary of
            all columns.

    Attributes:
        labels: (N,) of int64, for example to weigh classes.

    Raises:
        DataError: if there is no such modality.

    Example:
        >>> LabeledDataset({"x": torch.tensor([[1.0], [2.0]])}, torch.tensor([0, 1]), "x")[1]
        (tensor([2.]), 1)
    """

    def __init__(self, columns: Mapping[str, Tensor | Column], labels: Tensor, modality: str | None = None) -> None:
        self._columns = {name: columns[name] for name in chosen(columns, modality)}
        self._modality = modality
        self.labels = labels

    def __len__(self) -> int:
        return len(self.labels)

    def __getitem__(self, row: int) -> tuple[Any, int]:
        index = torch.tensor([range(len(self))[row]])
        sample = {name: column[index][0] for name, column in self._columns.items()}
        return sample if self._modality is None else sample[self._modality], int(self.labels[row])


def chosen(names: Iterable[str], modality: str | None) -> list[str]:
    """Return the modality alone, or all names if it is None.

    Raises:
        DataError: if there is no such modality.
    """
    known = list(names)
    if modality is None:
        return known
    if modality not in known:
        raise DataError(f"there is no modality {modality!r}; {did_you_mean(modality, known)}")
    return [modality]
