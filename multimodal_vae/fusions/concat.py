"""The paper's fusion: concatenate all features and map them to the posterior by linear layers."""

from collections.abc import Mapping
from typing import Annotated

import torch
from pydantic import Field
from torch import Tensor, nn

from multimodal_vae.distributions import Gaussian
from multimodal_vae.errors import DataError
from multimodal_vae.fusions.base import LOGVAR, Fusion


class Concat(Fusion):
    """Concatenate all features; one linear layer gives the mean, another the log-variance.

    The paper applies two 2x2 convolutions to concatenated 2x2 feature maps. A convolution as large as its input is a
    linear layer on the flattened input, so this class is the same for features of any shape.

    Args:
        dropout: probability that training hides a modality of a sample; if all would be hidden, none is. Learned
            features replace hidden and absent modalities. With 0, the paper's setting, every modality must be present.
    """

    def __init__(self, dropout: Annotated[float, Field(ge=0, lt=1)] = 0.0) -> None:
        super().__init__()
        self.dropout = dropout

    def build(self, sizes: Mapping[str, int], latent_dim: int) -> None:
        """Make both linear layers and the features that replace hidden modalities."""
        self.names = list(sizes)
        self.mean = nn.Linear(sum(sizes.values()), latent_dim)
        self.logvar = nn.Linear(sum(sizes.values()), latent_dim)
        self.stand_ins = nn.ParameterList(torch.zeros(size) for size in sizes.values() if self.dropout)

    def forward(self, features: Mapping[str, Tensor], present: Tensor) -> Gaussian:
        """Return the posterior; without ``dropout``, every modality must be present.

        In training on a GPU, where the check would make the CPU wait, and in exported programs, the posterior of other
        samples is NaN instead.
        """
        columns = list(features.values())
        if self.dropout:
            visible = self._hide(present)
            columns = [
                torch.where(visible[:, column, None], x, stand_in)
                for column, (x, stand_in) in enumerate(zip(columns, self.stand_ins, strict=True))
            ]
        elif torch.compiler.is_compiling() or (self.training and present.device.type != "cpu"):
            columns[0] = torch.where(present.all(1, keepdim=True), columns[0], torch.nan)
        elif not present.all():
            row, column = (~present).nonzero()[0].tolist()
            raise DataError(
                f"sample {row} of a batch lacks {self.names[column]!r}, and the fusion 'concat' needs every modality "
                "unless its dropout is above 0. Train with dropout, or with another fusion such as 'poe'"
            )
        joined = torch.cat(columns, dim=1)
        return Gaussian(self.mean(joined), self.logvar(joined).clamp(-LOGVAR, LOGVAR))

    def _hide(self, present: Tensor) -> Tensor:
        """Return the visible modalities, (N, M): in training, hide present ones at random."""
        if not self.training:
            return present
        visible = present & (torch.rand(present.shape, device=present.device) >= self.dropout)
        return torch.where(visible.any(1, keepdim=True), visible, present)
