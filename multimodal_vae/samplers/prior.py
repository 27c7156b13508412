"""The prior of the model as a sampler."""

from typing import Self

from torch import Tensor
from torch.distributions import Distribution

from multimodal_vae.distributions import GaussianMixture
from multimodal_vae.samplers.base import DensitySampler, require_matrix


class Prior(DensitySampler):
    """The standard normal distribution, the same for every class: a reference for other samplers.

    It takes only the number of dimensions from the latents, so a class may have any number of samples, also none.

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
        """Store the number of dimensions."""
        require_matrix(latents, self.name)
        self.center = latents.new_zeros(latents.shape[1])
        return self

    def forward(self) -> Distribution:
        """Return the standard normal distribution."""
        self.state()
        one = self.center.new_ones(1)
        return GaussianMixture(one, self.center[None], one.expand(1, len(self.center)))
