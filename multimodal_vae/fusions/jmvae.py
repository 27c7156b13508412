"""A joint encoder with one expert per modality: JMVAE (Suzuki et al. 2016)."""

from collections.abc import Mapping

import torch
from pydantic import NonNegativeFloat
from torch import Tensor, nn

from multimodal_vae.distributions import Gaussian, product
from multimodal_vae.fusions.base import LOGVAR
from multimodal_vae.fusions.experts import Experts
from multimodal_vae.fusions.mvtcae import kl_to_experts


class JMVAE(Experts):
    """Encode all features jointly, as ``concat`` does, if all are present; otherwise multiply experts.

    Training adds ``alpha`` times the KL divergence of the joint posterior from each single-modality posterior to the
    KL divergence from the prior (JMVAE-kl; Suzuki et al. 2016, section 3.3). The posterior of a subset is the product
    of its experts. A sample that lacks a modality trains the posterior of the subset it has.

    Args:
        alpha: weight of the divergence from the single-modality posteriors; the paper uses 0.1.
        prior: whether the prior is an expert in the posterior of a subset. Without it, the posterior of one modality is
            its expert, as in the paper, which has two modalities; a product of several such experts is too narrow,
            since each already contains the prior. With it, products have the form of the true posterior and are never
            wider than the prior, but two modalities translate worse.
    """

    def __init__(self, alpha: NonNegativeFloat = 0.1, prior: bool = False) -> None:
        super().__init__()
        self.alpha = alpha
        self.prior = prior

    def build(self, sizes: Mapping[str, int], latent_dim: int) -> None:
        """Make the experts and a linear layer on all features."""
        super().build(sizes, latent_dim)
        self.joint = nn.Linear(sum(sizes.values()), 2 * latent_dim)

    def forward(self, features: Mapping[str, Tensor], present: Tensor) -> Gaussian:
        """Return the joint posterior if all modalities are present, else the product of experts."""
        part = product(self.experts(features, present), present, self.prior)
        all_here = present.all(1, keepdim=True)
        joined = torch.where(all_here, torch.cat(list(features.values()), 1), 0)
        mean, logvar = self.joint(joined).chunk(2, -1)
        return Gaussian(
            torch.where(all_here, mean, part.mean), torch.where(all_here, logvar.clamp(-LOGVAR, LOGVAR), part.logvar)
        )

    def divergence(
        self, posterior: Gaussian, latents: Tensor, features: Mapping[str, Tensor], mask: Tensor, present: Tensor
    ) -> Tensor:
        """Return the KL from the prior plus, for the joint posterior, its weighted KL from each expert."""
        experts = self.experts(features, mask)
        # A new axis makes each expert a product of one.
        each = Gaussian(experts.mean[:, :, None], experts.logvar[:, :, None])
        singles = product(each, torch.ones_like(mask)[..., None], self.prior)
        from_singles = torch.where(mask.all(1), kl_to_experts(posterior, singles, mask), 0)
        return posterior.kl_to_standard_normal().sum(1) + self.alpha * from_singles
