"""Networks for signals: a perceptron, which sees when something happens, beside convolutions, which see what."""

import math
from collections.abc import Sequence
from itertools import pairwise

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from multimodal_vae.nn.compact import doubling, halving
from multimodal_vae.nn.mlp import LinearAndMLP
from multimodal_vae.nn.residual import SLOPE

_LARGEST = 4096
"""Most values that the perceptron sees; it sees means over time of longer signals."""

_PATCH, _SHORTEST = 4, 8
"""Points in time that the first convolution takes as one, and length of a map from which it is not halved further."""


def _plan(shape: Sequence[int], width: int) -> tuple[int, list[int], int]:
    """Return the length of the coarsest map, the feature maps from the finest to it, and the perceptron's step."""
    channels, length = shape
    halvings = max(1, math.ceil(math.log2(length / (_PATCH * _SHORTEST))))
    coarsest = math.ceil(length / (_PATCH * 2**halvings))
    widths = [width * min(8, 2 ** (n + 1)) for n in range(halvings + 1)]
    return coarsest, widths, math.ceil(channels * length / _LARGEST)


class SignalEncoder(nn.Module):
    """Features of a linear map plus a perceptron, concatenated with those of convolutions that halve the signal.

    Args:
        shape: (channels, length) of one sample; the length is padded with zeros.
        width: half the feature maps of the first convolution; each halving doubles them, up to 8 x ``width``.
        hidden: width of the perceptron.

    Example:
        >>> SignalEncoder((2, 128))(torch.zeros(3, 2, 128)).shape
        torch.Size([3, 768])
    """

    def __init__(self, shape: Sequence[int], width: int = 8, hidden: int = 256) -> None:
        super().__init__()
        channels, length = shape
        coarsest, widths, self.step = _plan(shape, width)
        self.padding = coarsest * _PATCH * 2 ** (len(widths) - 1) - length
        self.convolutions = nn.Sequential(
            nn.Conv1d(channels, widths[0], 3 * _PATCH, stride=_PATCH, padding=_PATCH, bias=False),
            nn.BatchNorm1d(widths[0]),
            nn.LeakyReLU(SLOPE),
        )
        for inputs, outputs in pairwise(widths):
            self.convolutions.extend(halving(1, inputs, outputs))
        self.perceptron = LinearAndMLP([channels * math.ceil(length / self.step), *[hidden] * 3])

    def forward(self, x: Tensor) -> Tensor:
        """Map (N, channels, length) to (N, features)."""
        maps = self.convolutions(F.pad(x, (0, self.padding)))
        coarse = F.avg_pool1d(x, self.step, ceil_mode=True) if self.step > 1 else x
        return torch.cat([self.perceptron(coarse.flatten(1)), maps.flatten(1)], 1)


class SignalDecoder(nn.Module):
    """The sum of a linear map, a perceptron and convolutions that double a map of the latent.

    Args:
        latent_dim: length of the latent.
        shape: (channels, length) of one sample.
        width: as for :class:`SignalEncoder`.
        hidden: width of the perceptron.

    Example:
        >>> SignalDecoder(16, (2, 128))(torch.zeros(3, 16)).shape
        torch.Size([3, 2, 128])
    """

    def __init__(self, latent_dim: int, shape: Sequence[int], width: int = 8, hidden: int = 256) -> None:
        super().__init__()
        self.channels, self.length = shape
        coarsest, widths, self.step = _plan(shape, width)
        widths = [*reversed(widths), 2 * width]
        self.convolutions = nn.Sequential(
            nn.Linear(latent_dim, widths[0] * coarsest), nn.Unflatten(1, (widths[0], coarsest)), nn.LeakyReLU(SLOPE)
        )
        for inputs, outputs in pairwise(widths):
            self.convolutions.extend(doubling(1, inputs, outputs))
        self.convolutions.append(nn.Conv1d(widths[-1], 2 * self.channels, 3, padding=1))
        points = math.ceil(self.length / self.step)
        self.perceptron = nn.Sequential(
            LinearAndMLP([latent_dim, hidden, hidden, self.channels * points]),
            nn.Unflatten(1, (self.channels, points)),
        )

    def forward(self, z: Tensor) -> Tensor:
        """Map latents (N, latent_dim) to (N, channels, length), unbounded."""
        pairs = self.convolutions(z).unflatten(1, (self.channels, 2))
        fine: Tensor = pairs.transpose(2, 3).flatten(2)[..., : self.length]
        coarse: Tensor = self.perceptron(z)
        if self.step > 1:
            coarse = F.interpolate(coarse, scale_factor=float(self.step), mode="linear")[..., : self.length]
        return fine + coarse
