"""Mixture of experts: MMVAE (Shi et al. 2019)."""

from collections.abc import Mapping
from typing import Literal

import torch
from torch import Tensor

from multimodal_vae.distributions import Gaussian, mixture_log_prob, moment_matched
from multimodal_vae.fusions.experts import Experts
from multimodal_vae.fusions.subsets import Subsets


class MoE(Experts):
    """An equal mixture of the experts of the modalities that are present (Shi et al. 2019, section 3).

    Training encodes each present modality alone and reconstructs all modalities from it. The loss weighs the subsets
    as the mixture weighs its components (stratified sampling). For several modalities, the posterior is the Gaussian
    with the mixture's mean and variance.

    Args:
        kl: KL divergence of the mixture from the prior: ``"bound"`` is the mean over its components, an upper bound;
            ``"sampled"`` is an unbiased estimate from the drawn latents, the paper's objective with one sample.
    """

    def __init__(self, kl: Literal["bound", "sampled"] = "bound") -> None:
        super().__init__()
        self.kl = kl

    def forward(self, features: Mapping[str, Tensor], present: Tensor) -> Gaussian:
        """Return the Gaussian with the mixture's mean and variance."""
        return moment_matched(self.experts(features, present), present)

    def subsets(self, present: Tensor) -> Subsets:
        """Return each present modality alone."""
        return singletons(present)

    def divergence(
        self, posterior: Gaussian, latents: Tensor, features: Mapping[str, Tensor], mask: Tensor, present: Tensor
    ) -> Tensor:
        """Return the component's KL, or log q(z) - log p(z) with the mixture of all present modalities as q."""
        if self.kl == "bound":
            return posterior.kl_to_standard_normal().sum(1)
        mixture = mixture_log_prob(latents, self.experts(features, present), present)
        return mixture - Gaussian.standard_like(latents).log_prob(latents)


def singletons(present: Tensor) -> Subsets:
    """Return each present modality as a subset of equal weight that reconstructs every modality.

    Example:
        >>> singletons(torch.tensor([[True, True, False]])).weight.tolist()
        [[0.5], [0.5], [0.0]]
    """
    mask = torch.eye(present.shape[1], dtype=torch.bool, device=present.device)[:, None] & present
    weight = mask.any(2) / present.sum(1).clamp(min=1)
    return Subsets(mask, weight, torch.ones_like(mask, dtype=weight.dtype))
