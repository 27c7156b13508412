"""Total correlation: MVTCAE (Hwang et al. 2021)."""

from collections.abc import Mapping
from typing import Annotated

import torch
from pydantic import Field
from torch import Tensor

from multimodal_vae.distributions import Gaussian, product
from multimodal_vae.fusions.experts import Experts
from multimodal_vae.fusions.subsets import Subsets


class MVTCAE(Experts):
    """A product of experts with a penalty on its divergence from each expert (Hwang et al. 2021, section 3).

    The product has no prior. With M present modalities, the reconstructions weigh (M - alpha) / M, the KL divergence
    of the product from the prior weighs 1 - alpha, and its KL divergence from each expert weighs alpha / M. So each
    expert learns to predict the joint posterior from one modality.

    Args:
        alpha: weight of the divergence from the experts, from 0 (prior only) to 1 (experts only).
    """

    def __init__(self, alpha: Annotated[float, Field(ge=0, lt=1)] = 5 / 6) -> None:
        super().__init__()
        self.alpha = alpha

    def forward(self, features: Mapping[str, Tensor], present: Tensor) -> Gaussian:
        """Return the product of the present experts."""
        return product(self.experts(features, present), present)

    def subsets(self, present: Tensor) -> Subsets:
        """Return all present modalities, with the reconstruction weight (M - alpha) / M."""
        whole = Subsets.whole(present)
        share = 1 - self.alpha / present.sum(1).clamp(min=1)
        return Subsets(whole.mask, whole.weight, share[:, None] * whole.reconstruction_weight)

    def divergence(
        self, posterior: Gaussian, latents: Tensor, features: Mapping[str, Tensor], mask: Tensor, present: Tensor
    ) -> Tensor:
        """Return the weighted KL divergences from the prior and from each expert."""
        from_experts = kl_to_experts(posterior, self.experts(features, mask), mask) / mask.sum(1).clamp(min=1)
        return (1 - self.alpha) * posterior.kl_to_standard_normal().sum(1) + self.alpha * from_experts


def kl_to_experts(posterior: Gaussian, experts: Gaussian, mask: Tensor) -> Tensor:
    """Sum the KL divergences of posteriors (R, D) from their masked experts (R, M, D): (R,), in nats."""
    divergences = Gaussian(posterior.mean[:, None], posterior.logvar[:, None]).kl_to(experts).sum(-1)
    return torch.where(mask, divergences, 0).sum(1)
