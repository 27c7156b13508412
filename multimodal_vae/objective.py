"""The objective: the evidence lower bound and a metric loss, or equation 1 of the paper."""

from collections.abc import Collection, Mapping
from typing import Any, Literal

import torch
from pydantic import BaseModel, ConfigDict, NonNegativeFloat, PositiveInt, ValidationError
from torch import Tensor

from multimodal_vae.errors import ConfigurationError
from multimodal_vae.part import explain_settings

KL = "kl"
METRIC = "metric"
DEPENDENCE = "dependence"
_RECONSTRUCTION = "reconstruction."  # a prefix, since a modality may be named "kl"


def reconstruction(modality: str) -> str:
    """Return the name of a modality's reconstruction term."""
    return _RECONSTRUCTION + modality


class Objective(BaseModel):
    """Weights of the loss terms.

    ``loss = sum of weights[m] * reconstruction of m + kl_weight * KL + metric_weight * metric loss``; each term is a
    mean over the batch. With the defaults, this is the negative evidence lower bound in nats and a metric loss about as
    strong as the prior. With ``reduction="mean"``, weights of 0.1 and two modalities, it is equation 1 of the paper.

    Attributes:
        weights: weight of each modality's reconstruction loss. Default: 1 each.
        kl_weight: weight of the KL divergence; above 1, latents keep less of a sample, and densities of few samples
            describe them better.
        metric_weight: weight of the metric loss.
        dependence_weight: weight of the dependence of latents on covariates within classes: of
            :func:`~multimodal_vae.independence.distance_correlation`, times the number of measurements of a sample in
            all modalities (1 if ``reduction`` is ``"mean"``). Default: 1; without covariates there is no such term.
        metric_dimensions: number of leading latent dimensions that the metric loss takes; the others stay free to
            encode differences within a class. Default: all shared dimensions.
        reduction: how the losses of a sample's elements become a term. ``"calibrated"``, the default, sums a negative
            log-likelihood, and turns every other loss into nats by a learned
            :class:`~multimodal_vae.temperature.Temperature`, so that modalities need no weights. ``"sum"`` sums any
            loss. ``"balanced"`` also sums, but multiplies each loss by the largest number of elements over its own, so
            that all modalities weigh alike (likelihood scaling, Shi et al. 2019). ``"mean"`` averages over elements and
            latent dimensions, as the paper's code base does.
    """

    model_config = ConfigDict(extra="forbid", frozen=True)

    weights: dict[str, NonNegativeFloat] = {}
    kl_weight: NonNegativeFloat = 1.0
    metric_weight: NonNegativeFloat = 1.0
    dependence_weight: NonNegativeFloat | None = None
    metric_dimensions: PositiveInt | None = None
    reduction: Literal["mean", "sum", "balanced", "calibrated"] = "calibrated"

    @classmethod
    def of(cls, spec: "Objective | Mapping[str, Any]", modalities: Collection[str], shared_dim: int) -> "Objective":
        """Return the objective of a model, from an objective or a table.

        Raises:
            ConfigurationError: if settings are invalid, or do not fit the modalities or the shared dimensions.
        """
        try:
            objective = spec if isinstance(spec, Objective) else cls.model_validate(spec)
        except ValidationError as error:
            raise ConfigurationError(f"objective: {explain_settings(error, cls)}") from error
        for name in objective.weights:
            if name not in modalities:
                raise ConfigurationError(f"objective: weights names {name!r}; the modalities are {list(modalities)}")
        if (objective.metric_dimensions or 0) > shared_dim:
            raise ConfigurationError(
                f"objective: metric_dimensions is {objective.metric_dimensions}, but the latent has only {shared_dim} "
                "shared dimensions"
            )
        return objective

    def total(self, terms: Mapping[str, Tensor], kl_share: float = 1.0) -> Tensor:
        """Return the loss, a scalar: the weighted sum of the terms' batch means.

        Args:
            terms: the result of :meth:`MultimodalVAE.forward`.
            kl_share: factor on ``kl_weight``; below 1 during KL warm-up.
        """
        shares = {KL: kl_share}
        return torch.stack([shares.get(name, 1.0) * self.weight(name) * x.mean() for name, x in terms.items()]).sum()

    def elements(self, modality: str, sizes: Mapping[str, int]) -> int:
        """Return the factor that turns a modality's mean loss over elements into its reduced loss.

        Args:
            modality: name of the modality.
            sizes: number of elements by modality.

        Example:
            >>> [Objective(reduction=r).elements("age", {"age": 1, "scan": 100}) for r in ("mean", "sum", "balanced")]
            [1, 1, 100]
        """
        if self.reduction == "mean":
            return 1
        return max(sizes.values()) if self.reduction == "balanced" else sizes[modality]

    def measurements(self, modalities: Mapping[str, tuple[int, Tensor | None]]) -> Tensor | float:
        """Return as how many measurements a sample counts in the loss, over all modalities; 1 if losses are means.

        Args:
            modalities: by name, the number of elements, and of independent ones if a temperature counts them.
        """
        if self.reduction == "mean":
            return 1.0
        sizes = {name: elements for name, (elements, _) in modalities.items()}
        counts = (self.elements(name, sizes) if own is None else own for name, (_, own) in modalities.items())
        return sum(counts, 0.0)

    def weight(self, term: str) -> float:
        """Return the weight of a term: :data:`KL`, :data:`METRIC`, :data:`DEPENDENCE`, or a :func:`reconstruction`."""
        if term == DEPENDENCE:
            return 1.0 if self.dependence_weight is None else self.dependence_weight
        if term == KL:
            return self.kl_weight
        if term == METRIC:
            return self.metric_weight
        return self.weights.get(term.removeprefix(_RECONSTRUCTION), 1.0)
