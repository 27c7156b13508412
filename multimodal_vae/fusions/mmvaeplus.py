"""A shared latent and one private latent per modality: MMVAE+ (Palumbo et al. 2023)."""

from collections.abc import Mapping
from typing import Literal

import torch
from pydantic import PositiveInt
from torch import Tensor, nn

from multimodal_vae.distributions import Gaussian, mixture_log_prob, moment_matched
from multimodal_vae.fusions.experts import Experts
from multimodal_vae.fusions.moe import singletons
from multimodal_vae.fusions.subsets import Subsets


class MMVAEPlus(Experts):
    """A mixture of experts for the shared latent, with a private latent per modality.

    Training encodes each present modality m alone (Palumbo et al. 2023, section 3): its expert gives the shared z and
    the private w_m. Every other modality is reconstructed from z and a private latent drawn from a Gaussian with mean
    zero and learned variance, which holds nothing about the sample; so z must carry what modalities share. These draws
    do not count in the divergence.

    Args:
        private: number of private dimensions per modality; the rest of ``latent_dim`` is shared.
        kl: KL divergence of the shared latent, as for :class:`~multimodal_vae.fusions.moe.MoE`; the paper uses
            ``"sampled"``.
    """

    def __init__(self, private: PositiveInt = 16, kl: Literal["bound", "sampled"] = "bound") -> None:
        super().__init__()
        self.private = private
        self.kl = kl

    def build(self, sizes: Mapping[str, int], latent_dim: int) -> None:
        """Make experts of both latents and the variances of the priors that replace private latents."""
        self.shared = latent_dim - len(sizes) * self.private
        super().build(sizes, self.shared + self.private)
        self.stand_ins = nn.Parameter(torch.zeros(len(sizes), self.private))

    def forward(self, features: Mapping[str, Tensor], present: Tensor) -> Gaussian:
        """Return the mixture's mean and variance, then private latents (the prior's for absent modalities)."""
        shared, own = self.split(self.experts(features, present))
        z, here = moment_matched(shared, present), present[..., None]
        mean, logvar = torch.where(here, own.mean, 0), torch.where(here, own.logvar, self.stand_ins)
        return Gaussian(torch.cat([z.mean, mean.flatten(1)], 1), torch.cat([z.logvar, logvar.flatten(1)], 1))

    def split(self, experts: Gaussian) -> tuple[Gaussian, Gaussian]:
        """Split the experts into Gaussians of the shared latent, (N, M, shared), and private ones, (N, M, private)."""
        parts = (slice(self.shared), slice(self.shared, None))
        shared, own = (Gaussian(experts.mean[..., part], experts.logvar[..., part]) for part in parts)
        return shared, own

    def subsets(self, present: Tensor) -> Subsets:
        """Return each present modality alone."""
        return singletons(present)

    def divergence(
        self, posterior: Gaussian, latents: Tensor, features: Mapping[str, Tensor], mask: Tensor, present: Tensor
    ) -> Tensor:
        """Return the KL of the shared latent plus that of the subset's private latents."""
        by_dimension = posterior.kl_to_standard_normal()
        own = by_dimension[:, self.shared :].reshape(*mask.shape, self.private).sum(-1)
        private = torch.where(mask, own, 0).sum(1)
        if self.kl == "bound":
            return by_dimension[:, : self.shared].sum(1) + private
        z, (shared, _) = latents[:, : self.shared], self.split(self.experts(features, present))
        return mixture_log_prob(z, shared, present) - Gaussian.standard_like(z).log_prob(z) + private
