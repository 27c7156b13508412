"""The model's own prior, whatever the latents are."""

from typing import Self

from torch import Tensor
from torch.distributions import Distribution

from multimodal_vae.distributions import GaussianMixture
from multimodal_vae.errors import SamplerError
from multimodal_vae.samplers.base import DensitySampler


class Prior(DensitySampler):
    """The standard normal distribution, toward which training draws the latents: what to compare others with.

    Of the latents it takes their number of dimensions alone. So it is the same for every class, and a class may have
    any number of samples, none included.

    Example:
        >>> import torch
        >>> Prior().fit(torch.randn(5, 2))().log_prob(torch.zeros(2))
        tensor(-1.8379)
    """

    center: Tensor

    def __init__(self) -> None:
        super().__init__()
        self.register_buffer("center", None)

    def fit(self, latents: Tensor) -> Self:
        """Note the number of dimensions."""
        if latents.dim() != 2:
            raise SamplerError(f"{self.name!r} takes latents of shape (N, D), not {tuple(latents.shape)}")
        self.center = latents.new_zeros(latents.shape[1])
        return self

    def forward(self) -> Distribution:
        """The density."""
        self.state()
        one = self.center.new_ones(1)
        return GaussianMixture(one, self.center[None], one.expand(1, len(self.center)))
