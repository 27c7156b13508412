"""Private latents beside a shared one: MMVAE+ (Palumbo et al. 2023)."""

from collections.abc import Mapping
from typing import Literal

import torch
from pydantic import PositiveInt
from torch import Tensor, nn

from multimodal_vae.distributions import Gaussian, mixture_log_prob, moment_matched
from multimodal_vae.fusions.base import LOGVAR, Fusion, Subsets
from multimodal_vae.fusions.moe import alone


class MMVAEPlus(Fusion):
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
        """Make a linear layer a modality, for both its latents, and the variances of what stands in for private ones."""
        self.shared = latent_dim - len(sizes) * self.private
        self.heads = nn.ModuleList(nn.Linear(size, 2 * (self.shared + self.private)) for size in sizes.values())
        self.stand_ins = nn.Parameter(torch.zeros(len(sizes), self.private))

    def experts(self, features: Mapping[str, Tensor], present: Tensor) -> tuple[Gaussian, Gaussian]:
        """Of every modality, the Gaussian of the shared latent, (N, M, shared), and of its own, (N, M, private)."""
        answers = [
            head(torch.where(present[:, [column]], x, 0))
            for column, (head, x) in enumerate(zip(self.heads, features.values(), strict=True))
        ]
        mean, logvar = torch.stack(answers, 1).chunk(2, -1)
        logvar = logvar.clamp(-LOGVAR, LOGVAR)
        parts = (slice(self.shared), slice(self.shared, None))
        shared, own = (Gaussian(mean[..., part], logvar[..., part]) for part in parts)
        return shared, own

    def forward(self, features: Mapping[str, Tensor], present: Tensor) -> Gaussian:
        """The mixture's mean and variance; the private latents of what is present; the stand-ins of what is not."""
        shared, own = self.experts(features, present)
        z, here = moment_matched(shared, present), present[..., None]
        mean, logvar = torch.where(here, own.mean, 0), torch.where(here, own.logvar, self.stand_ins)
        return Gaussian(torch.cat([z.mean, mean.flatten(1)], 1), torch.cat([z.logvar, logvar.flatten(1)], 1))

    def subsets(self, present: Tensor) -> Subsets:
        """Each modality that is present, alone."""
        return alone(present)

    def divergence(
        self, posterior: Gaussian, latents: Tensor, features: Mapping[str, Tensor], asked: Tensor, present: Tensor
    ) -> Tensor:
        """Of the shared latent, and of the private ones of what is asked."""
        by_dimension = posterior.kl_to_standard_normal()
        own = torch.where(asked, by_dimension[:, self.shared :].unflatten(1, (asked.shape[1], -1)).sum(-1), 0).sum(1)
        if self.kl == "bound":
            return by_dimension[:, : self.shared].sum(1) + own
        z = latents[:, : self.shared]
        mixture = mixture_log_prob(z, self.experts(features, present)[0], present)
        return mixture - Gaussian.standard_like(z).log_prob(z) + own
