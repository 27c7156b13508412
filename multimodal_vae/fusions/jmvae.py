"""A joint encoder, and an expert a modality near it: JMVAE (Suzuki et al. 2016)."""

from collections.abc import Mapping

import torch
from pydantic import NonNegativeFloat
from torch import Tensor, nn

from multimodal_vae.distributions import Gaussian, product
from multimodal_vae.fusions.base import LOGVAR
from multimodal_vae.fusions.experts import Experts
from multimodal_vae.fusions.mvtcae import kl_to_experts


class JMVAE(Experts):
    """All features joined where all are present, as in ``concat``; else experts, learned from the joint answer.

    Training adds to the KL divergence from the prior that of the joint Gaussian from the answer for each modality
    alone, ``alpha`` times (JMVAE-kl; Suzuki et al. 2016, section 3.3). The answer for a part is the product of its
    experts. A sample that lacks a modality trains the answer for what it has.

    Args:
        alpha: how much the single modalities' divergence counts; 0.1 is the paper's.
        prior: whether the prior is an expert in every answer for a part. Without it, the answer for one modality is
            its expert itself, as in the paper, which has two modalities; but each expert has already the prior in
            it, so that a product of several is too sure. With it, answers for several have the form of the true
            posterior, and none is wider than the prior; with two modalities that translates worse.
    """

    def __init__(self, alpha: NonNegativeFloat = 0.1, prior: bool = False) -> None:
        super().__init__()
        self.alpha = alpha
        self.prior = prior

    def build(self, sizes: Mapping[str, int], latent_dim: int) -> None:
        """Make the experts, and one layer more on all features."""
        super().build(sizes, latent_dim)
        self.joint = nn.Linear(sum(sizes.values()), 2 * latent_dim)

    def forward(self, features: Mapping[str, Tensor], present: Tensor) -> Gaussian:
        """The joint answer for all modalities, or the experts' for a part of them."""
        part = product(self.experts(features, present), present, self.prior)
        all_here = present.all(1, keepdim=True)
        joined = torch.where(all_here, torch.cat(list(features.values()), 1), 0)
        mean, logvar = self.joint(joined).chunk(2, -1)
        return Gaussian(
            torch.where(all_here, mean, part.mean), torch.where(all_here, logvar.clamp(-LOGVAR, LOGVAR), part.logvar)
        )

    def divergence(
        self, posterior: Gaussian, latents: Tensor, features: Mapping[str, Tensor], asked: Tensor, present: Tensor
    ) -> Tensor:
        """From the prior, and, where all modalities are asked, from the answer for each."""
        experts = self.experts(features, asked)
        # Each a product of one: a place of its own among the axes makes M rows of what would be multiplied.
        each = Gaussian(experts.mean[:, :, None], experts.logvar[:, :, None])
        singles = product(each, torch.ones_like(asked)[..., None], self.prior)
        apart = torch.where(asked.all(1), kl_to_experts(posterior, singles, asked), 0)
        return posterior.kl_to_standard_normal().sum(1) + self.alpha * apart
