"""The paper's fusion: concatenate, and read mean and log-variance off by one linear layer each."""

from collections.abc import Mapping
from typing import Annotated

import torch
from pydantic import Field
from torch import Tensor, nn

from multimodal_vae.distributions import Gaussian
from multimodal_vae.errors import DataError
from multimodal_vae.fusions.base import LOGVAR, Fusion


class Concat(Fusion):
    """All features concatenated, one linear layer for the mean and one for the log-variance.

    The paper takes two 2x2 convolutions over its concatenated 2x2 feature maps. A convolution as large as its input
    is a linear layer on the input flattened, so this is the same, for features of any shape.

    Args:
        dropout: probability with which training hides each modality of a sample, though never all of them; a learned
            stand-in takes the place of what is hidden, and of what is absent. With 0, the paper's, every modality
            must be present, since nothing was learned that could take its place.
    """

    def __init__(self, dropout: Annotated[float, Field(ge=0, lt=1)] = 0.0) -> None:
        super().__init__()
        self.dropout = dropout

    def build(self, sizes: Mapping[str, int], latent_dim: int) -> None:
        """Make both layers, and the stand-ins."""
        self.names = list(sizes)
        self.mean = nn.Linear(sum(sizes.values()), latent_dim)
        self.logvar = nn.Linear(sum(sizes.values()), latent_dim)
        self.stand_ins = nn.ParameterList(torch.zeros(size) for size in sizes.values() if self.dropout)

    def forward(self, features: Mapping[str, Tensor], present: Tensor) -> Gaussian:
        """Fuse; without ``dropout``, every modality must be present."""
        columns = list(features.values())
        if self.dropout:
            shown = self._shown(present)
            columns = [
                torch.where(shown[:, [column]], x, stand_in)
                for column, (x, stand_in) in enumerate(zip(columns, self.stand_ins, strict=True))
            ]
        elif not present.all():
            row, column = (~present).nonzero()[0].tolist()
            raise DataError(
                f"sample {row} of a batch lacks {self.names[column]!r}, and the fusion 'concat' needs every modality "
                "unless its dropout is above 0; any other fusion, such as 'poe', does without"
            )
        joined = torch.cat(columns, dim=1)
        return Gaussian(self.mean(joined), self.logvar(joined).clamp(-LOGVAR, LOGVAR))

    def _shown(self, present: Tensor) -> Tensor:
        """What of the present modalities is seen, (N, M): all of them, but for what training hides."""
        if not self.training:
            return present
        kept = present & (torch.rand(present.shape, device=present.device) >= self.dropout)
        return torch.where(kept.any(1, keepdim=True), kept, present)
