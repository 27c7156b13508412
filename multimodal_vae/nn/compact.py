"""A small network for two CPU cores: a linear sketch at a quarter of the resolution, plus convolutions."""

import math
from collections.abc import Sequence
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from multimodal_vae.nn.dimensions import BATCH_NORM, CONVOLUTION, MEAN, TRANSPOSED
from multimodal_vae.nn.fast import apply_layers, upsample_linearly
from multimodal_vae.nn.residual import SLOPE

_COARSE = 4
"""Side of the sketch's cells, in pixels."""

_COMMON_RATE = 10.0
"""Factor on the image that all samples share; Adam learns it that much faster than other weights."""


class VoxelUnshuffle(nn.Module):
    """Turn each cube of elements of volumes (N, C, D, H, W) into channels, as ``nn.PixelUnshuffle`` does for squares.

    Args:
        side: of the cubes.
    """

    def __init__(self, side: int) -> None:
        super().__init__()
        self.side = side

    def forward(self, x: Tensor) -> Tensor:
        """Map (N, C, D, H, W) to (N, C * side^3, D / side, H / side, W / side)."""
        count, channels, *size = x.shape
        x = x.reshape(count, channels, *(part for n in size for part in (n // self.side, self.side)))
        return x.permute(0, 1, 3, 5, 7, 2, 4, 6).flatten(1, 4)


class VoxelShuffle(VoxelUnshuffle):
    """Invert :class:`VoxelUnshuffle`."""

    def forward(self, x: Tensor) -> Tensor:
        """Map (N, C * side^3, D, H, W) to (N, C, D * side, H * side, W * side)."""
        count, _, *size = x.shape
        x = x.reshape(count, -1, *(self.side,) * 3, *size).permute(0, 1, 5, 2, 6, 3, 7, 4)
        return x.flatten(6, 7).flatten(4, 5).flatten(2, 3)


class LinearUpsample(nn.Module):
    """Upsample maps linearly along each axis.

    Args:
        factor: by which each side grows.
    """

    def __init__(self, factor: int) -> None:
        super().__init__()
        self.factor = factor

    def forward(self, x: Tensor) -> Tensor:
        """Map (N, C, *size) to (N, C, *(n * factor for n in size))."""
        return upsample_linearly(x, self.factor)


# By the number of spatial dimensions.
_UNSHUFFLE: dict[int, type[nn.Module]] = {2: nn.PixelUnshuffle, 3: VoxelUnshuffle}
_SHUFFLE: dict[int, type[nn.Module]] = {2: nn.PixelShuffle, 3: VoxelShuffle}


def halving(axes: int, inputs: int, outputs: int) -> list[nn.Module]:
    """Return layers that halve maps along each axis: convolution of 4, batch norm, leaky ReLU."""
    return _resampling(CONVOLUTION[axes], axes, inputs, outputs)


def doubling(axes: int, inputs: int, outputs: int) -> list[nn.Module]:
    """Return layers that double maps along each axis: transposed convolution of 4, batch norm, leaky ReLU."""
    return _resampling(TRANSPOSED[axes], axes, inputs, outputs)


def _resampling(convolution: Any, axes: int, inputs: int, outputs: int) -> list[nn.Module]:
    layer = convolution(inputs, outputs, 4, stride=2, padding=1, bias=False)
    return [layer, BATCH_NORM[axes](outputs), nn.LeakyReLU(SLOPE, inplace=True)]


class CompactEncoder(nn.Module):
    """Features of patches of 4 along each axis, by a convolution and two halvings, and a coarse copy of the sample.

    The coarse copy lets the model start as a linear autoencoder, which learns color and brightness in a few steps.

    Args:
        shape: (channels, height, width) of one sample, or (channels, depth, height, width); sides are padded with zeros
            to multiples of 16.
        width: half the feature maps of the first convolution; each halving doubles them.
    """

    def __init__(self, shape: Sequence[int], width: int = 16) -> None:
        super().__init__()
        channels, *size = shape
        axes = len(size)
        # F.pad counts from the last axis, and takes what comes before it and after it.
        self.padding = [pad for n in reversed(size) for pad in (0, -n % 16)]
        self.layers = nn.Sequential(
            _UNSHUFFLE[axes](4),
            _convolution(axes, 4**axes * channels, 2 * width, bias=False),
            BATCH_NORM[axes](2 * width),
            nn.LeakyReLU(SLOPE, inplace=True),
            *halving(axes, 2 * width, 4 * width),
            *halving(axes, 4 * width, 8 * width),
        )
        self.coarse = nn.Sequential(MEAN[axes](_COARSE), BATCH_NORM[axes](channels), _UNSHUFFLE[axes](16 // _COARSE))

    def forward(self, x: Tensor) -> Tensor:
        """Map (N, *shape) to feature maps (N, 8 * width + channels * 4^axes, ...), each side divided by 16."""
        x = F.pad(x, self.padding)
        return torch.cat([apply_layers(self.layers, x), self.coarse(x)], 1)


class CompactDecoder(nn.Module):
    """The sum of an image common to all samples, a coarse linear sketch, and the output of convolutions.

    The convolutions upsample from 1/16 to 1/2 of the size, a pixel shuffle to the full size.

    Args:
        latent_dim: length of the latent.
        shape: (channels, height, width) of one sample, or (channels, depth, height, width).
        width: as for :class:`CompactEncoder`.
    """

    def __init__(self, latent_dim: int, shape: Sequence[int], width: int = 16) -> None:
        super().__init__()
        channels, *self.size = shape
        axes, padded = len(self.size), _padded_size(self.size)
        coarse, coarsest = [n // _COARSE for n in padded], [n // 16 for n in padded]
        self.common = nn.Parameter(torch.zeros(channels, *padded))
        self.sketch = nn.Sequential(
            nn.Linear(latent_dim, channels * math.prod(coarse)),
            nn.Unflatten(1, (channels, *coarse)),
            LinearUpsample(_COARSE),
        )
        self.layers = nn.Sequential(
            nn.Linear(latent_dim, 8 * width * math.prod(coarsest)),
            nn.Unflatten(1, (8 * width, *coarsest)),
            nn.LeakyReLU(SLOPE),
            *doubling(axes, 8 * width, 4 * width),
            *doubling(axes, 4 * width, 4 * width),
            *doubling(axes, 4 * width, 2 * width),
            _convolution(axes, 2 * width, 2**axes * channels),
            _SHUFFLE[axes](2),
        )

    def forward(self, z: Tensor) -> Tensor:
        """Map latents (N, latent_dim) to (N, *shape), unbounded."""
        x: Tensor = _COMMON_RATE * self.common + self.sketch(z) + apply_layers(self.layers, z)
        for axis, length in enumerate(self.size, start=2):
            x = x.narrow(axis, 0, length)
        return x


def _convolution(axes: int, inputs: int, outputs: int, bias: bool = True) -> nn.Module:
    kind: Any = CONVOLUTION[axes]
    layer: nn.Module = kind(inputs, outputs, 3, padding=1, bias=bias)
    return layer


def _padded_size(size: Sequence[int]) -> list[int]:
    return [-(-n // 16) * 16 for n in size]
