"""A small network for two cores: it works at a quarter of the resolution, where a convolution costs a sixteenth."""

from collections.abc import Sequence

import torch.nn.functional as F
from torch import Tensor, nn

from multimodal_vae.nn.residual import SLOPE


class _Residual(nn.Module):
    """x + two 3x3 convolutions of x."""

    def __init__(self, features: int) -> None:
        super().__init__()
        self.conv1 = nn.Conv2d(features, features, 3, padding=1, bias=False)
        self.norm1 = nn.BatchNorm2d(features)
        self.conv2 = nn.Conv2d(features, features, 3, padding=1, bias=False)
        self.norm2 = nn.BatchNorm2d(features)

    def forward(self, x: Tensor) -> Tensor:
        main = F.leaky_relu(self.norm1(self.conv1(x)), SLOPE)
        return F.leaky_relu(x + self.norm2(self.conv2(main)), SLOPE)


def _resampling(convolution: type[nn.Module], inputs: int, outputs: int) -> list[nn.Module]:
    """Halve or double a map by a learned 4x4 convolution, normalised."""
    return [
        convolution(inputs, outputs, 4, stride=2, padding=1, bias=False),
        nn.BatchNorm2d(outputs),
        nn.LeakyReLU(SLOPE),
    ]


class CompactEncoder(nn.Module):
    """A stem that takes 4 x 4 patches, a residual block, then halvings to 4 x 4.

    Args:
        shape: (channels, height, width) of one sample; sides are padded with zeros to multiples of 16.
        width: features after the stem are twice this; each halving doubles them, up to eight times.
    """

    def __init__(self, shape: Sequence[int], width: int = 16) -> None:
        super().__init__()
        channels, *size = shape
        height, length = _padded(size)
        self.padding = (0, length - size[1], 0, height - size[0])
        self.layers = nn.Sequential(
            nn.Conv2d(channels, 2 * width, 7, stride=4, padding=3, bias=False),
            nn.BatchNorm2d(2 * width),
            nn.LeakyReLU(SLOPE),
            _Residual(2 * width),
            *_resampling(nn.Conv2d, 2 * width, 4 * width),
            *_resampling(nn.Conv2d, 4 * width, 8 * width),
        )

    def forward(self, x: Tensor) -> Tensor:
        """Map (N, *shape) to feature maps (N, 8 * width, height / 16, width / 16)."""
        features: Tensor = self.layers(F.pad(x, self.padding))
        return features


class CompactDecoder(nn.Module):
    """The way back: a linear layer, doublings to a quarter of the size, a residual block, and a pixel shuffle.

    Args:
        latent_dim: length of the latent.
        shape: (channels, height, width) of one sample.
        width: as for :class:`CompactEncoder`.
    """

    def __init__(self, latent_dim: int, shape: Sequence[int], width: int = 16) -> None:
        super().__init__()
        channels, *self.size = shape
        height, length = _padded(self.size)
        self.layers = nn.Sequential(
            nn.Linear(latent_dim, 8 * width * (height // 16) * (length // 16)),
            nn.Unflatten(1, (8 * width, height // 16, length // 16)),
            nn.LeakyReLU(SLOPE),
            *_resampling(nn.ConvTranspose2d, 8 * width, 4 * width),
            *_resampling(nn.ConvTranspose2d, 4 * width, 4 * width),
            _Residual(4 * width),
            nn.Conv2d(4 * width, 16 * channels, 3, padding=1),
            nn.PixelShuffle(4),
        )

    def forward(self, z: Tensor) -> Tensor:
        """Map latents (N, latent_dim) to (N, *shape), unbounded."""
        x: Tensor = self.layers(z)
        return x[..., : self.size[0], : self.size[1]]


def _padded(size: Sequence[int]) -> tuple[int, int]:
    height, width = (-(-n // 16) * 16 for n in size)
    return height, width
