"""Mixture of products of experts: MoPoE (Sutter et al. 2021)."""

from collections.abc import Mapping
from typing import Literal

import torch
from pydantic import PositiveInt
from torch import Tensor

from multimodal_vae.distributions import Gaussian, product
from multimodal_vae.errors import ConfigurationError
from multimodal_vae.fusions.base import Subsets
from multimodal_vae.fusions.experts import Experts, count_subsets, drawn, numbered

_ALL, _DRAWN = 7, 5  # subsets of three modalities, and as many as are drawn of more
_MOST_SUMMED = 10  # modalities whose 1023 products a sampled divergence still sums up


class MoPoE(Experts):
    """A mixture of the products of experts of all subsets (Sutter et al. 2021, section 3).

    Training asks every subset of what is present, and each has to rebuild everything. Asked about a subset, the
    fusion answers with its product.

    Args:
        draws: how many subsets of a sample a step asks at most; where there are more, as many are drawn, with the same
            loss in expectation. ``"auto"`` is all 7 of up to three modalities, and 5 of more: each is decoded by
            every modality, so that with eight a step takes about two and a half times that of ``poe``.
        kl: as for :class:`~multimodal_vae.fusions.moe.MoE`; ``"bound"`` is the paper's.
        prior: whether the prior is an expert in every product. The paper has none; with it, the true posterior has
            the products' form, as in MVAE.
    """

    def __init__(
        self,
        draws: PositiveInt | Literal["auto"] = "auto",
        kl: Literal["bound", "sampled"] = "bound",
        prior: bool = False,
    ) -> None:
        super().__init__()
        self.draws = draws
        self.kl = kl
        self.prior = prior

    def build(self, sizes: Mapping[str, int], latent_dim: int) -> None:
        """Make the experts."""
        if self.kl == "sampled" and len(sizes) > _MOST_SUMMED:
            raise ConfigurationError(
                f"the fusion 'mopoe' with kl = 'sampled' sums over all subsets of {len(sizes)} modalities; it does so "
                f"for {_MOST_SUMMED} at most: use kl = 'bound'"
            )
        super().build(sizes, latent_dim)

    def forward(self, features: Mapping[str, Tensor], present: Tensor) -> Gaussian:
        """The product of the experts that are present."""
        return product(self.experts(features, present), present, self.prior)

    def subsets(self, present: Tensor) -> Subsets:
        """Every subset that is not empty, or as many of them, drawn."""
        every = count_subsets(present)
        there_are = 2 ** present.shape[1] - 1
        wanted = self.draws if self.draws != "auto" else _ALL if there_are <= _ALL else _DRAWN
        most = min(wanted, there_are)
        slot = torch.arange(most, device=present.device)[:, None]
        few = every <= most
        asked = numbered(torch.where(few, slot + 1, drawn(most, present)), present)
        weights = torch.where(few, (slot < every) / every.clamp(min=1), 1 / most)
        return Subsets(asked & (slot < every)[..., None], weights, torch.ones_like(asked, dtype=weights.dtype))

    def divergence(
        self, posterior: Gaussian, latents: Tensor, features: Mapping[str, Tensor], asked: Tensor, present: Tensor
    ) -> Tensor:
        """That of the component, or log q(z) - log p(z) under the mixture of all subsets of what is present."""
        if self.kl == "bound":
            return posterior.kl_to_standard_normal().sum(1)
        experts, every = self.experts(features, present), count_subsets(present)
        joint = []
        for number in range(1, 2 ** present.shape[1]):
            subset = numbered(torch.full_like(every, number)[None], present)[0]
            log_prob = product(experts, subset, self.prior).log_prob(latents)
            joint.append(torch.where(number <= every, log_prob, -torch.inf))
        mixture = torch.stack(joint).logsumexp(0) - every.log()
        return mixture - Gaussian.standard_like(latents).log_prob(latents)
