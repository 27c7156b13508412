"""Class labels as users give them (strings, numbers, None, NaN), turned into class names and indices."""

import math
from collections.abc import Callable, Iterable, Sequence
from typing import Any

import numpy as np
import torch
from torch import Tensor

from multimodal_vae.data.batch import UNLABELED
from multimodal_vae.errors import DataError, did_you_mean


def plain_values(values: Iterable[Any]) -> list[Any]:
    """Return the values of a list, an array or a tensor as Python objects."""
    return list(values.tolist() if isinstance(values, np.ndarray | Tensor) else values)


def class_name(label: Any) -> str:
    """Return the class that a label names; empty for None, NaN (an empty cell of a numeric table) or an empty string.

    Example:
        >>> [class_name(label) for label in ("ill", 3, None, math.nan)]
        ['ill', '3', '', '']
    """
    missing = label is None or (isinstance(label, float) and math.isnan(label))
    return "" if missing else str(label)


def class_of_item(label: Any, classes: Sequence[str] | None) -> str:
    """Return the class of a data set item, as :func:`class_name` does, except for integers.

    An integer is an index into ``classes`` if they are given; a negative one means no class.

    Raises:
        DataError: if the index is too large.
    """
    if isinstance(label, Tensor | np.generic):
        label = label.item()
    if not isinstance(label, int):
        return class_name(label)
    if label < 0:
        return ""
    if classes is None:
        return str(label)
    if label >= len(classes):
        raise DataError(f"the label {label} is not an index into the {len(classes)} classes")
    return str(classes[label])


def class_names(classes: Iterable[Any] | None, labels: Iterable[str]) -> list[str]:
    """Return the given classes, or by default the classes that occur among the labels, sorted.

    Classes that are all whole numbers are sorted as numbers, so that class 10 comes after class 2.
    """
    if classes is not None:
        return [str(name) for name in plain_values(classes)]
    names = set(labels) - {""}
    return sorted(names, key=int) if all(name.isdecimal() for name in names) else sorted(names)


def class_indices(labels: Sequence[str], classes: Sequence[str], place: Callable[[int], str]) -> Tensor:
    """Return the class index of each label, (N,) of int64; :data:`~multimodal_vae.data.batch.UNLABELED` if empty.

    Args:
        labels: (N,), class names.
        classes: the names of all classes.
        place: describes where a row's label was found, for the error.

    Raises:
        DataError: if a label is not one of the classes.
    """
    index = {name: number for number, name in enumerate(classes)} | {"": UNLABELED}
    for row, label in enumerate(labels):
        if label not in index:
            raise DataError(f"{place(row)}: unknown class {label!r}; {did_you_mean(label, classes)}")
    return torch.tensor([index[label] for label in labels], dtype=torch.int64)
