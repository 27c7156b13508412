"""A small network for two CPU cores: a linear sketch at a quarter of the resolution, plus convolutions."""

from collections.abc import Sequence
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from multimodal_vae.nn.fast import apply_layers
from multimodal_vae.nn.residual import SLOPE

_COARSE = 4
"""Side of the sketch's cells, in pixels."""

_COMMON_RATE = 10.0
"""Factor on the image that all samples share; Adam learns it that much faster than other weights."""


def resampling(convolution: type[nn.Module], inputs: int, outputs: int) -> list[nn.Module]:
    """Return layers that halve or double maps: convolution of 4 along each axis, batch norm, leaky ReLU."""
    layer: Any = convolution(inputs, outputs, 4, stride=2, padding=1, bias=False)
    norm = nn.BatchNorm1d if layer.weight.dim() == 3 else nn.BatchNorm2d
    return [layer, norm(outputs), nn.LeakyReLU(SLOPE)]


class CompactEncoder(nn.Module):
    """Features of 4 x 4 patches by a convolution and two halvings, concatenated with a coarse copy of the sample.

    The coarse copy lets the model start as a linear autoencoder, which learns color and brightness in a few steps.

    Args:
        shape: (channels, height, width) of one sample; sides are padded with zeros to multiples of 16.
        width: half the feature maps of the first convolution; each halving doubles them.
    """

    def __init__(self, shape: Sequence[int], width: int = 16) -> None:
        super().__init__()
        channels, *size = shape
        height, length = _padded_size(size)
        self.padding = (0, length - size[1], 0, height - size[0])
        self.layers = nn.Sequential(
            nn.PixelUnshuffle(4),
            nn.Conv2d(16 * channels, 2 * width, 3, padding=1, bias=False),
            nn.BatchNorm2d(2 * width),
            nn.LeakyReLU(SLOPE),
            *resampling(nn.Conv2d, 2 * width, 4 * width),
            *resampling(nn.Conv2d, 4 * width, 8 * width),
        )
        self.coarse = nn.Sequential(nn.AvgPool2d(_COARSE), nn.BatchNorm2d(channels), nn.PixelUnshuffle(16 // _COARSE))

    def forward(self, x: Tensor) -> Tensor:
        """Map (N, *shape) to feature maps (N, 8 * width + channels * 16, height / 16, width / 16)."""
        x = F.pad(x, self.padding)
        return torch.cat([apply_layers(self.layers, x), self.coarse(x)], 1)


class CompactDecoder(nn.Module):
    """The sum of an image common to all samples, a coarse linear sketch, and the output of convolutions.

    The convolutions upsample from 1/16 to 1/2 of the size, a pixel shuffle to the full size.

    Args:
        latent_dim: length of the latent.
        shape: (channels, height, width) of one sample.
        width: as for :class:`CompactEncoder`.
    """

    def __init__(self, latent_dim: int, shape: Sequence[int], width: int = 16) -> None:
        super().__init__()
        channels, *self.size = shape
        height, length = _padded_size(self.size)
        self.common = nn.Parameter(torch.zeros(channels, height, length))
        self.sketch = nn.Sequential(
            nn.Linear(latent_dim, channels * (height // _COARSE) * (length // _COARSE)),
            nn.Unflatten(1, (channels, height // _COARSE, length // _COARSE)),
            nn.Upsample(scale_factor=_COARSE, mode="bilinear"),
        )
        self.layers = nn.Sequential(
            nn.Linear(latent_dim, 8 * width * (height // 16) * (length // 16)),
            nn.Unflatten(1, (8 * width, height // 16, length // 16)),
            nn.LeakyReLU(SLOPE),
            *resampling(nn.ConvTranspose2d, 8 * width, 4 * width),
            *resampling(nn.ConvTranspose2d, 4 * width, 4 * width),
            *resampling(nn.ConvTranspose2d, 4 * width, 2 * width),
            nn.Conv2d(2 * width, 4 * channels, 3, padding=1),
            nn.PixelShuffle(2),
        )

    def forward(self, z: Tensor) -> Tensor:
        """Map latents (N, latent_dim) to (N, *shape), unbounded."""
        x: Tensor = _COMMON_RATE * self.common + self.sketch(z) + apply_layers(self.layers, z)
        return x[..., : self.size[0], : self.size[1]]


def _padded_size(size: Sequence[int]) -> tuple[int, int]:
    height, width = (-(-n // 16) * 16 for n in size)
    return height, width
