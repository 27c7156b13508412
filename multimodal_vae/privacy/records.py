"""What is audited: samples, and what else an attacker may hold of them."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Self

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from multimodal_vae.errors import DataError
from multimodal_vae.evaluation.samples import LabeledSamples


@dataclass(frozen=True)
class Records:
    """Complete samples, and for each what is known of it besides.

    Args:
        samples: values, labels, and in ``groups`` whose each is.
        latents: (N, latent_dim), embeddings of real samples, or the latents that generated ones were decoded from.
        scores: (N,) by name, what the model itself says of a record, higher where it knows it better, such as the
            reconstruction loss with its sign changed; only of real samples.
        attributes: (N,) of int64 by name, what might be guessed of a record besides its class.

    Raises:
        DataError: if lengths differ.

    Example:
        >>> records = Records(LabeledSamples({"x": torch.zeros(3, 2)}, torch.tensor([0, 1, 1])))
        >>> len(records), len(records.cut({1: 1}, seed=0))
        (3, 1)
    """

    samples: LabeledSamples
    latents: Tensor | None = None
    scores: Mapping[str, Tensor] = field(default_factory=dict)
    attributes: Mapping[str, Tensor] = field(default_factory=dict)

    def __post_init__(self) -> None:
        known = {**self.scores, **self.attributes, **({} if self.latents is None else {"latents": self.latents})}
        for name, x in known.items():
            if len(x) != len(self.samples):
                raise DataError(f"{name!r} has {len(x)} rows and there are {len(self.samples)} samples; give as many")

    def __len__(self) -> int:
        return len(self.samples)

    @property
    def groups(self) -> list[str]:
        """(N,), whose each is; its row's number where nobody says."""
        return list(self.samples.groups or map(str, range(len(self))))

    def take(self, rows: Sequence[int] | Tensor | NDArray[np.int64]) -> Self:
        """The records of some rows, in that order."""
        index = torch.as_tensor(np.asarray(rows, dtype=np.int64))
        return type(self)(
            self.samples.take(index),
            None if self.latents is None else self.latents[index],
            {name: x[index] for name, x in self.scores.items()},
            {name: x[index] for name, x in self.attributes.items()},
        )

    def cut(self, counts: Mapping[int, int], seed: int) -> Self:
        """As many of each class as are asked for, chosen by chance; see :meth:`LabeledSamples.cut`."""
        numbers = LabeledSamples({"row": torch.arange(len(self))}, self.samples.labels)
        return self.take(numbers.cut(counts, seed).values["row"])


def require_disjoint(known: Records, holdout: Records, what: str) -> None:
    """Refuse a holdout that shares a patient with what a generator learned from.

    Args:
        known: what it learned from.
        holdout: what it should know nothing of.
        what: what ``known`` is called.

    Raises:
        DataError: naming a patient of both. Where either does not say whose its samples are, nothing can be found.
    """
    if known.samples.groups is None or holdout.samples.groups is None:
        return
    both = sorted(set(known.groups) & set(holdout.groups))
    if both:
        raise DataError(
            f"the holdout is not of other patients: {len(both)} of them, such as {both[0]!r}, are in {what} as well; "
            "give samples of patients that nothing has learned from"
        )
