"""The batch that a data set hands to the model."""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace

import torch
from torch import Tensor

from multimodal_vae.errors import DataError
from multimodal_vae.transfer import copy_to

UNLABELED = -1
"""Label of a sample without a class."""


@dataclass(frozen=True)
class Batch:
    """Samples of several modalities.

    Attributes:
        samples: (N, *shape) by modality, in the model's order; rows of absent samples are zero.
        present: (N, M) of bool, one column per modality; on the CPU.
        labels: (N,) of int64, class indices; :data:`UNLABELED` for unlabeled samples; on the CPU.
        ids: (N,), the sample names.
        covariates: (N, C) of float32, one column per covariate: a number, or the index of a word; NaN where it is
            missing. None: all are missing.
    """

    samples: dict[str, Tensor]
    present: Tensor
    labels: Tensor
    ids: Sequence[str]
    covariates: Tensor | None = None

    def __len__(self) -> int:
        return len(self.labels)

    def to(self, device: torch.device) -> "Batch":
        """Return the batch with its samples and covariates on a device.

        Masks and labels stay on the CPU, which decides by them what is computed and would wait for a device.
        """
        return replace(
            self,
            samples={name: copy_to(x, device) for name, x in self.samples.items()},
            covariates=None if self.covariates is None else copy_to(self.covariates, device),
        )

    def with_samples(self, samples: dict[str, Tensor]) -> "Batch":
        """Return the batch with other samples."""
        return replace(self, samples=samples)

    def require_modalities(self) -> None:
        """Raise DataError if a sample has no modality."""
        empty = ~self.present.any(1)
        if bool(empty.any()):
            name = self.ids[int(empty.nonzero()[0])]
            raise DataError(f"the sample {name!r} has no modality; give it one, or remove it")


def batches_of(
    samples: Mapping[str, Tensor], shapes: Mapping[str, tuple[int, ...]], batch_size: int, covariates: Tensor
) -> Iterator[Batch]:
    """Return batches of unlabeled samples of some modalities; the others are absent.

    Args:
        samples: (N, *shape) by modality; at least one.
        shapes: shape of a sample by modality, in the model's order.
        batch_size: number of samples per batch.
        covariates: (N, C) of the samples.

    Raises:
        DataError: if the modalities have different numbers of samples.
    """
    counts = {name: len(x) for name, x in samples.items()}
    if len(set(counts.values())) > 1:
        raise DataError(f"the modalities have different numbers of samples: {counts}")
    present = torch.tensor([name in samples for name in shapes])

    def batch(rows: Tensor) -> Batch:
        return Batch(
            {
                name: samples[name][rows] if name in samples else torch.zeros(len(rows), *shape)
                for name, shape in shapes.items()
            },
            present.expand(len(rows), -1),
            torch.full((len(rows),), UNLABELED),
            [str(row) for row in rows.tolist()],
            covariates[rows],
        )

    return map(batch, torch.split(torch.arange(next(iter(counts.values()))), batch_size))
