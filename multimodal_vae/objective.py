"""The objective: the paper's equation 1, for any number of modalities."""

from collections.abc import Mapping
from typing import Literal

import torch
from pydantic import BaseModel, ConfigDict, NonNegativeFloat, PositiveInt
from torch import Tensor

KL = "kl"
METRIC = "metric"
_RECONSTRUCTION = "reconstruction."  # a prefix, since a modality may be called anything, "kl" included


def reconstruction(modality: str) -> str:
    """Name of a modality's reconstruction term."""
    return _RECONSTRUCTION + modality


class Objective(BaseModel):
    """How the terms of a training step become one loss.

    ``loss = sum of weights[m] * reconstruction of m + kl_weight * KL + metric_weight * metric loss``, each a mean over
    the batch. With the defaults and two modalities this is the paper's equation 1.

    Attributes:
        weights: of each modality's reconstruction; 1 where none is given.
        kl_weight: of the KL divergence.
        metric_weight: of the metric loss.
        metric_dimensions: how many of the latent's first dimensions the metric loss shapes; all where None. The rest
            keep what tells individuals of a class apart.
        reduction: ``"mean"`` takes the mean over a sample's elements and over latent dimensions, as the paper's
            lineage does; ``"sum"`` takes sums in both places, which is the evidence lower bound where the
            reconstruction loss is a negative log-likelihood; ``"balanced"`` takes sums too, and weighs each modality
            inversely to its number of elements, the largest with 1, lest it drown the others (Shi et al. 2019,
            likelihood scaling).
    """

    model_config = ConfigDict(extra="forbid", frozen=True)

    weights: dict[str, NonNegativeFloat] = {}
    kl_weight: NonNegativeFloat = 0.1
    metric_weight: NonNegativeFloat = 0.1
    metric_dimensions: PositiveInt | None = None
    reduction: Literal["mean", "sum", "balanced"] = "mean"

    def total(self, terms: Mapping[str, Tensor], kl_share: float = 1.0) -> Tensor:
        """Add up the terms of :meth:`MultimodalVAE.forward` into the loss, a scalar.

        Args:
            terms: by name.
            kl_share: of the KL divergence's weight that counts yet, while it is warmed up.
        """
        shares = {KL: kl_share}
        return torch.stack([shares.get(name, 1.0) * self.weight(name) * x.mean() for name, x in terms.items()]).sum()

    def elements(self, modality: str, sizes: Mapping[str, int]) -> int:
        """How many times a modality's mean loss over its elements is taken, given every modality's elements.

        Example:
            >>> [Objective(reduction=r).elements("age", {"age": 1, "scan": 100}) for r in ("mean", "sum", "balanced")]
            [1, 1, 100]
        """
        if self.reduction == "mean":
            return 1
        return sizes[modality] if self.reduction == "sum" else max(sizes.values())

    def weight(self, term: str) -> float:
        """The weight of a term by its name: :data:`KL`, :data:`METRIC`, or :func:`reconstruction` of a modality."""
        if term == KL:
            return self.kl_weight
        if term == METRIC:
            return self.metric_weight
        return self.weights.get(term.removeprefix(_RECONSTRUCTION), 1.0)
