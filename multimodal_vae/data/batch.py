"""The batch that a data set hands to the model."""

from collections.abc import Sequence
from dataclasses import dataclass, replace

import torch
from torch import Tensor

UNLABELED = -1
"""Label of a sample without a class."""


@dataclass(frozen=True)
class Batch:
    """Samples of several modalities.

    Attributes:
        samples: (N, *shape) by modality, in the model's order; rows of absent samples are zero.
        present: (N, M) of bool, one column per modality.
        labels: (N,) of int64, class indices; :data:`UNLABELED` for unlabeled samples.
        ids: (N,), the sample names.
    """

    samples: dict[str, Tensor]
    present: Tensor
    labels: Tensor
    ids: Sequence[str]

    def __len__(self) -> int:
        return len(self.labels)

    def to(self, device: torch.device) -> "Batch":
        """Return the batch with its tensors on a device."""
        return Batch(
            {name: x.to(device, non_blocking=True) for name, x in self.samples.items()},
            self.present.to(device),
            self.labels.to(device),
            self.ids,
        )

    def with_samples(self, samples: dict[str, Tensor]) -> "Batch":
        """Return the batch with other samples."""
        return replace(self, samples=samples)
