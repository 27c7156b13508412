"""Class-balanced batches."""

from collections.abc import Iterator, Mapping, Sequence

import torch
from torch import Tensor

from multimodal_vae.errors import DataError


class BalancedBatches:
    """Batches with as many samples of each class, drawn without repetition until a class has been through.

    An epoch is as many batches as the samples would fill, so rare classes come round more often than common ones.

    Args:
        labels: (N,) of the training samples, indices of classes; negative ones are unlabeled.
        classes: the classes' names.
        per_class: samples of each class in a batch; 20 is the paper's.
        generator: what the order is drawn from.
        unlabeled: samples without a class in a batch, drawn like those of one.

    Raises:
        DataError: if a class has no sample, or there are no unlabeled ones and a batch needs some; or a batch would
            be empty, since there is no class.

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
                    f"there is no training sample of the class {name!r}, and each batch needs {per_class}; add some, "
                    "or leave the class out of the data and of 'classes'"
                )
        if not classes and not unlabeled:
            raise DataError(
                "no training sample has a label, and batches are made of classes; give all one label, such as 'all', "
                "or set [training] unlabeled"
            )
        if unlabeled:
            self.rows.append((labels < 0).nonzero()[:, 0])
            self.counts.append(unlabeled)
            if not len(self.rows[-1]):
                raise DataError(f"all training samples are labeled, and 'unlabeled' wants {unlabeled} that are not")
        self.generator = generator
        self._waiting = [rows.new_empty(0) for rows in self.rows]

    def __len__(self) -> int:
        """Batches of an epoch, at least one."""
        return max(1, sum(map(len, self.rows)) // sum(self.counts))

    def __iter__(self) -> Iterator[Tensor]:
        for _ in range(len(self)):
            yield self.draw()

    def draw(self) -> Tensor:
        """The rows of the next batch."""
        return torch.cat([self._next(index) for index in range(len(self.rows))])

    def state(self) -> dict[str, Tensor]:
        """What the next batch depends on, for :meth:`restore`."""
        waiting = {f"waiting.{index}": rows for index, rows in enumerate(self._waiting)}
        return {"generator": self.generator.get_state(), **waiting}

    def restore(self, state: Mapping[str, Tensor]) -> None:
        """Go on from what :meth:`state` gave."""
        self.generator.set_state(state["generator"])
        self._waiting = [state[f"waiting.{index}"] for index in range(len(self.rows))]

    def _next(self, index: int) -> Tensor:
        rows = self.rows[index]
        while len(self._waiting[index]) < self.counts[index]:
            shuffled = rows[torch.randperm(len(rows), generator=self.generator)]
            self._waiting[index] = torch.cat([self._waiting[index], shuffled])
        taken, self._waiting[index] = self._waiting[index].tensor_split([self.counts[index]])
        return taken
