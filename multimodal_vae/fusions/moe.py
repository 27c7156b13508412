"""Mixture of experts: MMVAE (Shi et al. 2019)."""

from collections.abc import Mapping
from typing import Literal

import torch
from torch import Tensor

from multimodal_vae.distributions import Gaussian, mixture_log_prob, moment_matched
from multimodal_vae.fusions.base import Subsets
from multimodal_vae.fusions.experts import Experts


class MoE(Experts):
    """An equal mixture of the experts of the modalities that are present (Shi et al. 2019, section 3).

    Training asks each present modality alone, and each has to rebuild all of them; the answers are weighted as the
    mixture's components are, which is stratified sampling. Asked about several modalities, the fusion answers with
    the Gaussian of the mixture's mean and variance.

    Args:
        kl: how the KL divergence of the mixture from the prior is taken: ``"bound"``, the mean of its components',
            which is never less; or ``"sampled"``, an estimate from the latents drawn, right in its expectation, as
            the paper's objective with one sample.
    """

    def __init__(self, kl: Literal["bound", "sampled"] = "bound") -> None:
        super().__init__()
        self.kl = kl

    def forward(self, features: Mapping[str, Tensor], present: Tensor) -> Gaussian:
        """The Gaussian of the mixture's mean and variance."""
        return moment_matched(self.experts(features, present), present)

    def subsets(self, present: Tensor) -> Subsets:
        """Each modality that is present, alone."""
        return singletons(present)

    def divergence(
        self, posterior: Gaussian, latents: Tensor, features: Mapping[str, Tensor], asked: Tensor, present: Tensor
    ) -> Tensor:
        """That of the component, or log q(z) - log p(z) under the mixture of all that is present."""
        if self.kl == "bound":
            return posterior.kl_to_standard_normal().sum(1)
        mixture = mixture_log_prob(latents, self.experts(features, present), present)
        return mixture - Gaussian.standard_like(latents).log_prob(latents)


def singletons(present: Tensor) -> Subsets:
    """Each modality that is present alone, all weighing the same, and each rebuilding everything.

    Example:
        >>> singletons(torch.tensor([[True, True, False]])).weights.tolist()
        [[0.5], [0.5], [0.0]]
    """
    asked = torch.eye(present.shape[1], dtype=torch.bool, device=present.device)[:, None] & present
    weights = asked.any(2) / present.sum(1).clamp(min=1)
    return Subsets(asked, weights, torch.ones_like(asked, dtype=weights.dtype))
