"""Standard deviations of the noise around decoded values, learned or predicted, in units of the data's deviation."""

import math
from collections.abc import Sequence

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from multimodal_vae.nn.standardize import Unstandardize

LEAST = 1e-2
"""Least deviation of the noise, so that no value that the decoder knows exactly has an infinite density."""

_RATE = 10.0
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
        return torch.stack([value, deviation * (LEAST + (1 - LEAST) * (_RATE * self.log).exp())], 1)


class PredictedScale(Unstandardize):
    """Invert :class:`~multimodal_vae.nn.Standardize`, with a deviation of the noise that the network predicts.

    The network gives twice as many channels as the sample has: values, then a number per element that softplus turns
    into a factor of the data's deviation, 1 for zero and at least :data:`LEAST`. Use it where noise depends on the
    sample.

    Args:
        shape: shape of mean and deviation, broadcast against a sample.

    Example:
        >>> PredictedScale((3,))(torch.zeros(4, 6)).shape
        torch.Size([4, 2, 3])
    """

    def forward(self, x: Tensor) -> Tensor:
        """Map (N, 2 * channels, ...) in standard units to values and deviations of the noise, (N, 2, channels, ...)."""
        value, scale = x.chunk(2, 1)
        value, deviation = super().forward(value).unbind(1)
        return torch.stack([value, deviation * (LEAST + (1 - LEAST) * F.softplus(scale) / math.log(2))], 1)
