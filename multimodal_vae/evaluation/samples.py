"""What is evaluated: samples of several modalities, row by row, with what is known of them."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Self

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from multimodal_vae.errors import DataError


@dataclass(frozen=True)
class LabeledSamples:
    """Complete samples: row i of every modality belongs to the same one.

    Args:
        values: (N, *shape) by modality, finite.
        labels: (N,), index of each sample's class.
        groups: (N,), whose each sample is, such as a patient; each its own where it is None, as generated ones are.
        causes: (N,) by name, where it is known what made the samples what they are, as in a simulation.

    Raises:
        DataError: if lengths differ, or a value is not finite.

    Example:
        >>> samples = LabeledSamples({"x": torch.zeros(3, 2)}, torch.tensor([0, 1, 1]))
        >>> len(samples), len(samples.take([0, 2]))
        (3, 2)
    """

    values: Mapping[str, Tensor]
    labels: Tensor
    groups: Sequence[str] | None = None
    causes: Mapping[str, Tensor] = field(default_factory=dict)

    def __post_init__(self) -> None:
        if not self.values:
            raise DataError("samples need at least one modality")
        for what, rows in [*self.values.items(), *self.causes.items(), ("groups", self.groups)]:
            if rows is not None and len(rows) != len(self.labels):
                raise DataError(f"{what!r} has {len(rows)} rows and there are {len(self.labels)} labels; give as many")
        for name, x in [*self.values.items(), *self.causes.items()]:
            if not bool(torch.isfinite(x).all()):
                raise DataError(f"{name!r} holds a value that is not finite; leave out samples that are not complete")
        if len(self.labels) and int(self.labels.min()) < 0:
            raise DataError(f"the labels go down to {int(self.labels.min())}; leave out samples without a class")

    def __len__(self) -> int:
        return len(self.labels)

    def take(self, rows: Sequence[int] | Tensor | NDArray[np.int64]) -> Self:
        """The samples of some rows, in that order."""
        index = torch.as_tensor(np.asarray(rows, dtype=np.int64))
        return type(self)(
            {name: x[index] for name, x in self.values.items()},
            self.labels[index],
            None if self.groups is None else [self.groups[int(row)] for row in index],
            {name: x[index] for name, x in self.causes.items()},
        )

    def cut(self, counts: Mapping[int, int], seed: int) -> Self:
        """As many samples of each class as are asked for, chosen by chance.

        Raises:
            DataError: naming the class of which there are fewer.
        """
        order = torch.from_numpy(np.random.default_rng(seed).permutation(len(self)))
        chosen = []
        for label, count in counts.items():
            rows = order[self.labels[order] == label]
            if len(rows) < count:
                raise DataError(f"class {label} has {len(rows)} samples, and {count} are needed")
            chosen.append(rows[:count])
        return self.take(torch.cat(chosen) if chosen else [])

    def counts(self) -> dict[int, int]:
        """How many samples there are of each class, ascending by class."""
        labels, counts = torch.unique(self.labels, return_counts=True)
        return dict(zip(labels.tolist(), counts.tolist(), strict=True))


def group_numbers(groups: Sequence[str] | None, count: int) -> NDArray[np.int64]:
    """A number for each row's group, (count,); each row is a group of its own where none are given.

    Example:
        >>> group_numbers(["b", "a", "b"], 3).tolist()
        [1, 0, 1]
    """
    if groups is None:
        return np.arange(count, dtype=np.int64)
    return np.unique(np.asarray(groups), return_inverse=True)[1].astype(np.int64)


def same_classes(first: Tensor, second: Tensor) -> list[int]:
    """The classes of two sets of labels, ascending.

    Raises:
        DataError: if one set has a class that the other has not.
    """
    one, other = (torch.unique(labels).tolist() for labels in (first, second))
    if one != other:
        raise DataError(f"the classes compared are {one} and {other}; compare samples of the same classes")
    return [int(label) for label in one]
