"""Mixture of products of experts: MoPoE (Sutter et al. 2021)."""

from collections.abc import Mapping
from typing import Literal

import torch
from pydantic import PositiveInt
from torch import Tensor

from multimodal_vae.distributions import Gaussian, product
from multimodal_vae.errors import ConfigurationError
from multimodal_vae.fusions.experts import Experts, count_subsets, draw_numbers, masks_of_numbers
from multimodal_vae.fusions.subsets import Subsets

_MAX_EXHAUSTIVE, _RANDOM = 7, 5  # with draws = "auto": encode all subsets up to 7 (three modalities), else 5 at random
_MAX_MODALITIES = 10  # the sampled divergence sums over at most 1023 products


class MoPoE(Experts):
    """A mixture of the products of experts of all subsets (Sutter et al. 2021, section 3).

    Training encodes every subset of the present modalities and reconstructs all modalities from each. The posterior
    of a subset is its product.

    Args:
        draws: maximum number of subsets per sample and step. If there are more, that many are drawn at random; the
            expected loss is the same. ``"auto"`` takes all 7 subsets of up to three modalities, and 5 of more. Every
            decoder runs on each subset: with eight modalities a step takes about 2.5 times that of ``poe``.
        kl: as for :class:`~multimodal_vae.fusions.moe.MoE`; the paper uses ``"bound"``.
        prior: whether the prior is an expert in every product, as in MVAE, where products then have the form of the
            true posterior. The paper has no prior.
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
        if self.kl == "sampled" and len(sizes) > _MAX_MODALITIES:
            raise ConfigurationError(
                f"the fusion 'mopoe' with kl = 'sampled' sums over all subsets and takes at most {_MAX_MODALITIES} "
                f"modalities, not {len(sizes)}. Use kl = 'bound'"
            )
        super().build(sizes, latent_dim)

    def forward(self, features: Mapping[str, Tensor], present: Tensor) -> Gaussian:
        """Return the product of the present experts."""
        return product(self.experts(features, present), present, self.prior)

    def subsets(self, present: Tensor) -> Subsets:
        """Return all non-empty subsets, or ``draws`` of them at random."""
        count = count_subsets(present)
        total = 2 ** present.shape[1] - 1
        auto = total if total <= _MAX_EXHAUSTIVE else _RANDOM
        most = min(auto if self.draws == "auto" else self.draws, total)
        slot = torch.arange(most, device=present.device)[:, None]
        exhaustive = count <= most
        mask = masks_of_numbers(torch.where(exhaustive, slot + 1, draw_numbers(most, present)), present)
        weight = torch.where(exhaustive, (slot < count) / count.clamp(min=1), 1 / most)
        return Subsets(mask & (slot < count)[..., None], weight, torch.ones_like(mask, dtype=weight.dtype))

    def divergence(
        self, posterior: Gaussian, latents: Tensor, features: Mapping[str, Tensor], mask: Tensor, present: Tensor
    ) -> Tensor:
        """Return the component's KL, or log q(z) - log p(z) with the mixture of all subsets as q."""
        if self.kl == "bound":
            return posterior.kl_to_standard_normal().sum(1)
        experts, count = self.experts(features, present), count_subsets(present)
        joint = []
        for number in range(1, 2 ** present.shape[1]):
            subset = masks_of_numbers(torch.full_like(count, number)[None], present)[0]
            log_prob = product(experts, subset, self.prior).log_prob(latents)
            joint.append(torch.where(number <= count, log_prob, -torch.inf))
        mixture = torch.stack(joint).logsumexp(0) - count.log()
        return mixture - Gaussian.standard_like(latents).log_prob(latents)
