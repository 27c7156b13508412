"""What travels from the data to the model."""

from collections.abc import Sequence
from dataclasses import dataclass, replace

import torch
from torch import Tensor

UNLABELED = -1


@dataclass(frozen=True)
class Batch:
    """Samples of several modalities.

    Attributes:
        samples: (N, *shape) by modality, in the model's order; rows of absent samples are zero.
        present: (N, M) of bool, a column a modality.
        labels: (N,) of int64, indices of classes, :data:`UNLABELED` for none.
        ids: the samples' names.
    """

    samples: dict[str, Tensor]
    present: Tensor
    labels: Tensor
    ids: Sequence[str]

    def __len__(self) -> int:
        return len(self.labels)

    def to(self, device: torch.device) -> "Batch":
        """Move the tensors."""
        return Batch(
            {name: x.to(device, non_blocking=True) for name, x in self.samples.items()},
            self.present.to(device),
            self.labels.to(device),
            self.ids,
        )

    def with_samples(self, samples: dict[str, Tensor]) -> "Batch":
        """The same batch with other samples."""
        return replace(self, samples=samples)
