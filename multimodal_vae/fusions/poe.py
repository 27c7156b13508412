"""Product of experts: MVAE (Wu and Goodman 2018)."""

from collections.abc import Mapping

import torch
from pydantic import NonNegativeInt
from torch import Tensor

from multimodal_vae.distributions import Gaussian, product
from multimodal_vae.fusions.experts import Experts, draw_numbers, masks_of_numbers
from multimodal_vae.fusions.subsets import Subsets


class PoE(Experts):
    """Multiply the prior by one expert per present modality and normalize.

    If modalities are independent given the latent, the true posterior has this form (Wu and Goodman 2018, section
    2.1), so one network per modality serves every subset. Training sums evidence lower bounds (section 2.2): of all
    present modalities, of each modality alone, and of random subsets. Each subset reconstructs its own modalities; all
    present modalities reconstruct everything.

    Args:
        random_subsets: number of random subsets per sample and step, the paper's k, drawn from all non-empty ones.
    """

    def __init__(self, random_subsets: NonNegativeInt = 0) -> None:
        super().__init__()
        self.random_subsets = random_subsets

    def forward(self, features: Mapping[str, Tensor], present: Tensor) -> Gaussian:
        """Return the product; without any modality, the prior."""
        return product(self.experts(features, present), present, prior=True)

    def subsets(self, present: Tensor) -> Subsets:
        """Return all present modalities, each alone, and random subsets."""
        single = torch.eye(present.shape[1], dtype=torch.bool, device=present.device)[:, None] & present
        random = masks_of_numbers(draw_numbers(self.random_subsets, present), present)
        mask = torch.cat([present[None], single, random])
        reconstruction_weight = mask.to(torch.get_default_dtype())
        reconstruction_weight[0] = 1.0
        return Subsets(mask, mask.any(2).to(reconstruction_weight.dtype), reconstruction_weight)
