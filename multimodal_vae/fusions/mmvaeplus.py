"""Private latents beside a shared one: MMVAE+ (Palumbo et al. 2023)."""

from collections.abc import Mapping
from typing import Literal

import torch
from pydantic import PositiveInt
from torch import Tensor, nn

from multimodal_vae.distributions import Gaussian, mixture_log_prob, moment_matched
from multimodal_vae.fusions.base import Subsets
from multimodal_vae.fusions.experts import Experts
from multimodal_vae.fusions.moe import singletons


class MMVAEPlus(Experts):
    """A mixture of experts for what modalities share, and latents of its own for what each does not.

    Training asks each present modality m alone (Palumbo et al. 2023, section 3): its expert gives z and its own w_m.
    Every other modality is rebuilt from that z and a private latent that knows nothing of the sample, drawn from a
    Gaussian of mean zero and learned variance, so that z alone has to tell of it. Those draws cost nothing in the
    divergence.

    Args:
        private: dimensions of each modality's own latent; what is left of ``latent_dim`` is shared.
        kl: of the shared latent, as for :class:`~multimodal_vae.fusions.moe.MoE`; ``"sampled"`` is the paper's.
    """

    def __init__(self, private: PositiveInt = 16, kl: Literal["bound", "sampled"] = "bound") -> None:
        super().__init__()
        self.private = private
        self.kl = kl

    def build(self, sizes: Mapping[str, int], latent_dim: int) -> None:
        """Make experts of both latents, and the variances of what stands in for private ones."""
        self.shared = latent_dim - len(sizes) * self.private
        super().build(sizes, self.shared + self.private)
        self.stand_ins = nn.Parameter(torch.zeros(len(sizes), self.private))

    def forward(self, features: Mapping[str, Tensor], present: Tensor) -> Gaussian:
        """The mixture's mean and variance; the private latents of what is present; the stand-ins of what is not."""
        shared, own = self.parted(self.experts(features, present))
        z, here = moment_matched(shared, present), present[..., None]
        mean, logvar = torch.where(here, own.mean, 0), torch.where(here, own.logvar, self.stand_ins)
        return Gaussian(torch.cat([z.mean, mean.flatten(1)], 1), torch.cat([z.logvar, logvar.flatten(1)], 1))

    def parted(self, experts: Gaussian) -> tuple[Gaussian, Gaussian]:
        """Experts' Gaussians of the shared latent, (N, M, shared), and of their own, (N, M, private)."""
        parts = (slice(self.shared), slice(self.shared, None))
        shared, own = (Gaussian(experts.mean[..., part], experts.logvar[..., part]) for part in parts)
        return shared, own

    def subsets(self, present: Tensor) -> Subsets:
        """Each modality that is present, alone."""
        return singletons(present)

    def divergence(
        self, posterior: Gaussian, latents: Tensor, features: Mapping[str, Tensor], asked: Tensor, present: Tensor
    ) -> Tensor:
        """Of the shared latent, and of the private ones of what is asked."""
        by_dimension = posterior.kl_to_standard_normal()
        own = by_dimension[:, self.shared :].reshape(*asked.shape, self.private).sum(-1)
        private = torch.where(asked, own, 0).sum(1)
        if self.kl == "bound":
            return by_dimension[:, : self.shared].sum(1) + private
        z, (shared, _) = latents[:, : self.shared], self.parted(self.experts(features, present))
        return mixture_log_prob(z, shared, present) - Gaussian.standard_like(z).log_prob(z) + private
