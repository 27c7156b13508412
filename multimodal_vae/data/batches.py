"""Batches of a data set: class-balanced ones for training, and all samples in their order."""

import math
from collections.abc import Iterator, Mapping, Sequence

import torch
from torch import Tensor

from multimodal_vae.checks import require_whole
from multimodal_vae.data.batch import Batch
from multimodal_vae.data.dataset import MultimodalDataset
from multimodal_vae.errors import DataError

MOST_REPEATED = 10_000
"""Largest batch that may be larger than the training set, so that samples repeat in it."""


def in_order(data: MultimodalDataset, size: int) -> Iterator[Batch]:
    """Return an iterator over all samples in their order, ``size`` at a time."""
    require_whole("batch_size", size, 1)
    return (data.batch(rows) for rows in torch.split(torch.arange(len(data)), size))


class BalancedBatches:
    """Batches with equally many samples per class, drawn without replacement until the class is exhausted.

    An epoch has N / batch size batches, so samples of rare classes are drawn more often than those of common ones.

    Args:
        labels: (N,), class indices of the training samples; negative for unlabeled ones.
        classes: the class names.
        per_class: samples per class and batch; 20 in the paper.
        generator: source of the random order.
        unlabeled: unlabeled samples per batch, drawn like those of one more class.

    Raises:
        DataError: if a class has no samples, there are no unlabeled samples but ``unlabeled`` is positive, or a batch
            would be empty, or be larger than the training set and :data:`MOST_REPEATED`.

    Example:
        >>> batches = BalancedBatches(torch.tensor([0, 0, 0, 0, 1]), ["a", "b"], 2, torch.Generator().manual_seed(0))
        >>> len(batches), [sorted(rows.tolist())[2:] for rows in batches]
        (1, [[4, 4]])
    """

    def __init__(
        self,
        labels: Tensor,
        classes: Sequence[str],
        per_class: int,
        generator: torch.Generator,
        unlabeled: int = 0,
    ) -> None:
        self.rows = [(labels == index).nonzero()[:, 0] for index in range(len(classes))]
        self.counts = [per_class] * len(classes)
        for name, rows in zip(classes, self.rows, strict=True):
            if not len(rows):
                raise DataError(
                    f"class {name!r} has no training sample, and each batch needs {per_class}; add samples, or remove "
                    "the class from the data and from 'classes'"
                )
        if not classes and not unlabeled:
            raise DataError(
                "no training sample has a label, so batches would be empty; give all samples one label, such as "
                "'all', or set [training] unlabeled"
            )
        if unlabeled:
            self.rows.append((labels < 0).nonzero()[:, 0])
            self.counts.append(unlabeled)
            if not len(self.rows[-1]):
                raise DataError(f"all training samples are labeled, but 'unlabeled' is {unlabeled}; set it to 0")
        size, samples = sum(self.counts), sum(map(len, self.rows))
        if size > max(samples, MOST_REPEATED):
            raise DataError(
                f"a batch would have {size} samples, but there are {samples}; lower 'per_class' or 'unlabeled'"
            )
        self.generator = generator
        self._waiting = [rows.new_empty(0) for rows in self.rows]

    def __len__(self) -> int:
        """Number of batches per epoch, at least 1."""
        return max(1, sum(map(len, self.rows)) // sum(self.counts))

    def __iter__(self) -> Iterator[Tensor]:
        for _ in range(len(self)):
            yield self.draw()

    def draw(self) -> Tensor:
        """Return the rows of the next batch."""
        return torch.cat([self._next(index) for index in range(len(self.rows))])

    def state(self) -> dict[str, Tensor]:
        """Return the state of the random order, for :meth:`restore`."""
        waiting = {f"waiting.{index}": rows for index, rows in enumerate(self._waiting)}
        return {"generator": self.generator.get_state(), **waiting}

    def restore(self, state: Mapping[str, Tensor]) -> None:
        """Continue from the result of :meth:`state`.

        Raises:
            KeyError, RuntimeError, TypeError, ValueError: if it is not one of such batches.
        """
        self.generator.set_state(state["generator"])
        waiting = [state[f"waiting.{index}"] for index in range(len(self.rows))]
        for rows, of_class in zip(waiting, self.rows, strict=True):
            if rows.dim() != 1 or rows.dtype != of_class.dtype or not bool(torch.isin(rows, of_class).all()):
                raise ValueError("rows that wait to be drawn are not of their class")
        self._waiting = waiting

    def _next(self, index: int) -> Tensor:
        rows, waiting = self.rows[index], self._waiting[index]
        passes = math.ceil((self.counts[index] - len(waiting)) / len(rows))
        if passes > 0:
            shuffled = (rows[torch.randperm(len(rows), generator=self.generator)] for _ in range(passes))
            waiting = torch.cat([waiting, *shuffled])
        batch, self._waiting[index] = waiting.tensor_split([self.counts[index]])
        return batch
