"""The input of the metrics: labeled samples of several modalities."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Self

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from multimodal_vae.bounds import LARGEST_DERIVED_SEED, require_seed
from multimodal_vae.checks import checked, real_samples
from multimodal_vae.errors import DataError


@dataclass(frozen=True)
class LabeledSamples:
    """Complete samples: row i of every modality belongs to sample i.

    Args:
        values: (N, *shape) per modality, finite; with ``gaps``, NaN is a missing element.
        labels: (N,), class index of each sample.
        groups: (N,), patient of each sample; None: each sample is its own group, as generated ones are.
        causes: (N,) by name, known generating factors, such as a simulator's.
        gaps: whether elements may be missing; metrics take :func:`~multimodal_vae.evaluation.features.comparable` ones.
        covariates: (N, C), as a model takes them; None without covariates.

    Raises:
        DataError: if lengths differ, a value is not finite, or a label is negative.

    Example:
        >>> samples = LabeledSamples({"x": torch.zeros(3, 2)}, torch.tensor([0, 1, 1]))
        >>> len(samples), len(samples.take([0, 2]))
        (3, 2)
    """

    values: Mapping[str, Tensor]
    labels: Tensor
    groups: Sequence[str] | None = None
    causes: Mapping[str, Tensor] = field(default_factory=dict)
    gaps: bool = False
    covariates: Tensor | None = None

    def __post_init__(self) -> None:
        if not self.values:
            raise DataError("samples need at least one modality")
        for column in ("values", "causes"):
            table = {name: _real(name, x) for name, x in getattr(self, column).items()}
            object.__setattr__(self, column, table)
        for name, rows in [*self.values.items(), *self.causes.items(), ("groups", self.groups)]:
            if rows is not None and len(rows) != len(self.labels):
                raise DataError(f"{name!r} has {len(rows)} rows, but there are {len(self.labels)} labels")
        for name, x in [*self.values.items(), *self.causes.items()]:
            finite = torch.isfinite(x) | (x.isnan() if self.gaps else False)
            if not bool(finite.all()):
                raise DataError(f"{name!r} holds a value that is not finite; leave out incomplete samples")
        labels: Any = self.labels
        if not isinstance(labels, Tensor) or labels.dim() != 1 or labels.is_floating_point():
            raise DataError("the labels of samples must be a tensor of integers, (N,)")
        if len(self.labels) and int(self.labels.min()) < 0:
            raise DataError(f"there is a negative label, {int(self.labels.min())}; leave out samples without a class")

    def __len__(self) -> int:
        return len(self.labels)

    @checked
    def take(self, rows: Sequence[int] | Tensor | NDArray[np.int64]) -> Self:
        """Return some rows, in the given order."""
        index = torch.as_tensor(np.asarray(rows, dtype=np.int64))
        return type(self)(
            {name: x[index] for name, x in self.values.items()},
            self.labels[index],
            None if self.groups is None else [self.groups[int(row)] for row in index],
            {name: x[index] for name, x in self.causes.items()},
            self.gaps,
            None if self.covariates is None else self.covariates[index],
        )

    @checked
    def subsample(self, counts: Mapping[int, int], seed: int) -> Self:
        """Return a random choice of a given number of samples per class.

        Raises:
            DataError: if a class has fewer samples.
        """
        order = torch.from_numpy(np.random.default_rng(require_seed(seed, LARGEST_DERIVED_SEED)).permutation(len(self)))
        chosen = []
        for label, count in counts.items():
            rows = order[self.labels[order] == label]
            if len(rows) < count:
                raise DataError(f"class {label} has {len(rows)} samples; {count} are needed")
            chosen.append(rows[:count])
        return self.take(torch.cat(chosen) if chosen else [])

    def counts(self) -> dict[int, int]:
        """Return the number of samples per class, ascending by class."""
        labels, counts = torch.unique(self.labels, return_counts=True)
        return dict(zip(labels.tolist(), counts.tolist(), strict=True))


def _real(name: str, values: Any) -> Tensor:
    """Return a tensor of real numbers as it is, and other values as float32."""
    return values if isinstance(values, Tensor) and not values.is_complex() else real_samples(name, values)


def concatenate(first: LabeledSamples, second: LabeledSamples) -> LabeledSamples:
    """Return the rows of two sets of samples, without groups and causes."""
    values = {name: torch.cat([x, second.values[name].to(x)]) for name, x in first.values.items()}
    return LabeledSamples(values, torch.cat([first.labels, second.labels]))


def group_numbers(groups: Sequence[str] | None, count: int) -> NDArray[np.int64]:
    """Return the number of each row's group, (count,); without groups, each row is its own.

    Example:
        >>> group_numbers(["b", "a", "b"], 3).tolist()
        [1, 0, 1]
    """
    if groups is None:
        return np.arange(count, dtype=np.int64)
    return np.unique(np.asarray(groups), return_inverse=True)[1].astype(np.int64)


def same_classes(first: Tensor, second: Tensor) -> list[int]:
    """Return the classes of two sets of labels, ascending.

    Raises:
        DataError: if the classes differ.
    """
    one, other = (torch.unique(labels).tolist() for labels in (first, second))
    if one != other:
        raise DataError(f"the sets compared have the classes {one} and {other}; compare samples of the same classes")
    return [int(label) for label in one]
