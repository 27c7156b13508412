"""Standard deviations of the noise around decoded values, learned or predicted, in units of the data's deviation."""

import math
from collections.abc import Sequence

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from multimodal_vae.nn.mlp import mlp

LEAST = 1e-2
"""Least deviation of the noise, so that no value that the decoder knows exactly has an infinite density."""

LEAST_FACTOR = 0.05
"""Least factor of a sample's deviation."""

_HIDDEN = 64

RATE = 10.0
"""Factor on the logarithm of a scale; Adam learns it that much faster than other weights."""


class LearnedScale(nn.Module):
    """Multiply the deviations that :class:`~multimodal_vae.nn.Unstandardize` gives by learned factors.

    A factor is 1 at the start and at least :data:`LEAST`. With the negative log-likelihood as loss it becomes the
    deviation of the noise, and so weighs elements and modalities by what is known of them (Rybkin, Daniilidis and
    Levine, *Simple and effective VAE training with calibrated decoders*, 2021).

    Args:
        shape: shape of the factors, broadcast against a sample: ``(1,)`` for one, ``(channels, 1)`` for one per channel
            of a signal, the sample's shape for one per element.

    Example:
        >>> LearnedScale((3,))(torch.ones(4, 2, 3)).shape
        torch.Size([4, 2, 3])
    """

    def __init__(self, shape: Sequence[int]) -> None:
        super().__init__()
        self.log = nn.Parameter(torch.zeros(tuple(shape)))

    def forward(self, x: Tensor) -> Tensor:
        """Map values and deviations, (N, 2, ...), to values and deviations of the noise."""
        value, deviation = x.unbind(1)
        return torch.stack([value, deviation * (LEAST + (1 - LEAST) * (RATE * self.log).exp())], 1)


class PredictedScale(nn.Module):
    """Multiply the deviations that a decoder gives by factors that a perceptron predicts from the latent.

    Some samples are noisier than others, such as signals of patients who move. A factor per sample and channel keeps
    the decoded values as good as without; one per element does not, since elements that are hard to decode would count
    less and less. A factor is 1 at the start and at least :data:`LEAST_FACTOR`.

    Args:
        decoder: network from latents to values and deviations, (N, 2, ...).
        latent_dim: length of the latent.
        shape: shape of the factors, broadcast against a sample: ``(channels, 1)`` for one per channel of a signal.

    Example:
        >>> decoder = nn.Sequential(nn.Linear(8, 6), nn.Unflatten(1, (2, 3)))
        >>> PredictedScale(decoder, 8, (1,))(torch.zeros(4, 8)).shape
        torch.Size([4, 2, 3])
    """

    def __init__(self, decoder: nn.Module, latent_dim: int, shape: Sequence[int]) -> None:
        super().__init__()
        self.decoder = decoder
        self.factors = nn.Sequential(mlp([latent_dim, _HIDDEN, math.prod(shape)]), nn.Unflatten(1, tuple(shape)))
        for parameter in list(self.factors.parameters())[-2:]:
            nn.init.zeros_(parameter)

    def forward(self, z: Tensor) -> Tensor:
        """Map latents (N, latent_dim) to values and deviations of the noise, (N, 2, ...)."""
        value, deviation = self.decoder(z).unbind(1)
        factors = LEAST_FACTOR + (1 - LEAST_FACTOR) * F.softplus(self.factors(z)) / math.log(2)
        return torch.stack([value, deviation * factors], 1)
