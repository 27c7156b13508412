"""Total correlation: MVTCAE (Hwang et al. 2021)."""

from collections.abc import Mapping
from typing import Annotated

import torch
from pydantic import Field
from torch import Tensor

from multimodal_vae.distributions import Gaussian, product
from multimodal_vae.fusions.base import Subsets
from multimodal_vae.fusions.experts import Experts


class MVTCAE(Experts):
    """A product of experts that is kept near each of them (Hwang et al. 2021, section 3).

    The product has no prior. With M modalities present, the reconstructions weigh (M - alpha) / M; the KL divergence
    of the product from the prior weighs 1 - alpha, and those from each expert alpha / M: experts learn to tell from
    one modality what all of them tell together.

    Args:
        alpha: between the two divergences; the nearer to 1, the more the experts' counts.
    """

    def __init__(self, alpha: Annotated[float, Field(ge=0, lt=1)] = 5 / 6) -> None:
        super().__init__()
        self.alpha = alpha

    def forward(self, features: Mapping[str, Tensor], present: Tensor) -> Gaussian:
        """Multiply."""
        return product(self.experts(features, present), present)

    def subsets(self, present: Tensor) -> Subsets:
        """All that is present."""
        whole = Subsets.whole(present)
        share = 1 - self.alpha / present.sum(1).clamp(min=1)
        return Subsets(whole.asked, whole.weights, share[:, None] * whole.reconstruction_weight)

    def divergence(
        self, posterior: Gaussian, latents: Tensor, features: Mapping[str, Tensor], asked: Tensor, present: Tensor
    ) -> Tensor:
        """From the prior, and from each expert."""
        apart = kl_to_experts(posterior, self.experts(features, asked), asked) / asked.sum(1).clamp(min=1)
        return (1 - self.alpha) * posterior.kl_to_standard_normal().sum(1) + self.alpha * apart


def kl_to_experts(posterior: Gaussian, experts: Gaussian, asked: Tensor) -> Tensor:
    """The sum of the KL divergences of posteriors (R, D) from their experts (R, M, D) that are asked, (R,), in nats."""
    spread = Gaussian(posterior.mean[:, None], posterior.logvar[:, None]).kl_to(experts).sum(-1)
    return torch.where(asked, spread, 0).sum(1)
