"""Concatenation, the paper's fusion."""

from collections.abc import Mapping

import torch
from torch import Tensor, nn

from multimodal_vae.distributions import Gaussian
from multimodal_vae.errors import DataError
from multimodal_vae.fusions.base import Fusion

# exp(-20) and exp(20) are still far from float32's ends, and no posterior of use lies beyond.
_LOGVAR = 20.0


class Concat(Fusion):
    """All features concatenated, one linear layer for the mean and one for the log-variance.

    The paper takes two 2x2 convolutions over its concatenated 2x2 feature maps. A convolution as large as its input
    is a linear layer on the input flattened, so this is the same, for features of any shape.
    """

    def build(self, sizes: Mapping[str, int], latent_dim: int) -> None:
        """Make both layers."""
        self.names = list(sizes)
        self.mean = nn.Linear(sum(sizes.values()), latent_dim)
        self.logvar = nn.Linear(sum(sizes.values()), latent_dim)

    def forward(self, features: Mapping[str, Tensor], present: Tensor) -> Gaussian:
        """Fuse; every modality must be present."""
        if not present.all():
            row, column = (~present).nonzero()[0].tolist()
            raise DataError(
                f"sample {row} of a batch lacks {self.names[column]!r}, and the fusion 'concat' needs every modality"
            )
        joined = torch.cat(list(features.values()), dim=1)
        return Gaussian(self.mean(joined), self.logvar(joined).clamp(-_LOGVAR, _LOGVAR))
