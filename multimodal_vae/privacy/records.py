"""The input of an audit: samples with what else is known about them."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Self

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from multimodal_vae.checks import require_finite
from multimodal_vae.errors import DataError
from multimodal_vae.evaluation.samples import LabeledSamples
from multimodal_vae.names import form


@dataclass(frozen=True)
class Records:
    """Complete samples with their latents, scores and attributes.

    Args:
        samples: values, labels, and patients as ``groups``.
        latents: (N, latent_dim), embeddings of real samples, or latents that generated ones were decoded from.
        scores: (N,) by name, membership scores of the model, such as the negative reconstruction loss; higher for
            members. Real samples only.
        attributes: (N,) of int64 by name, attributes to infer besides the class.

    Raises:
        DataError: if lengths differ, or a latent or score is not finite.

    Example:
        >>> records = Records(LabeledSamples({"x": torch.zeros(3, 2)}, torch.tensor([0, 1, 1])))
        >>> len(records), len(records.subsample({1: 1}, seed=0))
        (3, 1)
    """

    samples: LabeledSamples
    latents: Tensor | None = None
    scores: Mapping[str, Tensor] = field(default_factory=dict)
    attributes: Mapping[str, Tensor] = field(default_factory=dict)

    def __post_init__(self) -> None:
        columns = {**self.scores, **self.attributes, **({} if self.latents is None else {"latents": self.latents})}
        for name, x in columns.items():
            if len(x) != len(self.samples):
                raise DataError(f"{name!r} has {len(x)} rows, but there are {len(self.samples)} samples")
            require_finite(x, f"the model's {name!r}", DataError)

    def __len__(self) -> int:
        return len(self.samples)

    @property
    def groups(self) -> list[str]:
        """(N,), patient of each record; the row number if patients are unknown."""
        return list(self.samples.groups or map(str, range(len(self))))

    def take(self, rows: Sequence[int] | Tensor | NDArray[np.int64]) -> Self:
        """Return some rows, in the given order."""
        index = torch.as_tensor(np.asarray(rows, dtype=np.int64))
        return type(self)(
            self.samples.take(index),
            None if self.latents is None else self.latents[index],
            {name: x[index] for name, x in self.scores.items()},
            {name: x[index] for name, x in self.attributes.items()},
        )

    def scored(self, scores: Mapping[str, Tensor]) -> Self:
        """Return the same records with further scores."""
        return replace(self, scores={**self.scores, **scores})

    def subsample(self, counts: Mapping[int, int], seed: int) -> Self:
        """Return a random choice per class; see :meth:`LabeledSamples.subsample`."""
        numbers = LabeledSamples({"row": torch.arange(len(self))}, self.samples.labels)
        return self.take(numbers.subsample(counts, seed).values["row"])


def require_disjoint(members: Records, holdout: Records, description: str) -> None:
    """Refuse a holdout that shares patients with the records that a generator learned from.

    Args:
        members: records that it learned from.
        holdout: records of other patients.
        description: description of ``members`` for the message.

    Raises:
        DataError: if a patient is in both sets. Nothing is checked if patients are unknown.
    """
    if members.samples.groups is None or holdout.samples.groups is None:
        return
    learned = {form(patient) for patient in members.groups}
    both = sorted(patient for patient in set(holdout.groups) if form(patient) in learned)
    if both:
        first = ", ".join(map(repr, both[:3]))
        raise DataError(
            f"the holdout shares {len(both)} patients with {description}, such as {first}; give samples of other "
            "patients"
        )
