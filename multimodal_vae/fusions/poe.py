"""Product of experts: MVAE (Wu and Goodman 2018)."""

from collections.abc import Mapping

import torch
from pydantic import NonNegativeInt
from torch import Tensor

from multimodal_vae.distributions import Gaussian, product
from multimodal_vae.fusions.base import Subsets
from multimodal_vae.fusions.experts import Experts, drawn, numbered


class PoE(Experts):
    """The prior times an expert for each modality that is present, normalized.

    Where modalities are independent given the latent, the true posterior has this form (Wu and Goodman 2018, section
    2.1), so that one network a modality answers for every subset. Training adds up evidence lower bounds (section 2.2):
    that of all that is present, that of each modality alone, and, if wanted, those of subsets drawn at random; each
    rebuilds what it consists of.

    Args:
        random_subsets: how many subsets are drawn besides, the paper's k; anew for each sample, from all that are not
            empty.
    """

    def __init__(self, random_subsets: NonNegativeInt = 0) -> None:
        super().__init__()
        self.random_subsets = random_subsets

    def forward(self, features: Mapping[str, Tensor], present: Tensor) -> Gaussian:
        """Multiply; nothing at all gives the prior."""
        return product(self.experts(features, present), present, prior=True)

    def subsets(self, present: Tensor) -> Subsets:
        """All that is present, each of it alone, and what is drawn."""
        alone = torch.eye(present.shape[1], dtype=torch.bool, device=present.device)[:, None] & present
        chosen = numbered(drawn(self.random_subsets, present), present)
        asked = torch.cat([present[None], alone, chosen])
        rebuilt = asked.to(torch.get_default_dtype())
        rebuilt[0] = 1.0
        return Subsets(asked, asked.any(2).to(rebuilt.dtype), rebuilt)
