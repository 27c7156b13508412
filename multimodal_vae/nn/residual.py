"""The paper's network: an encoder of residual down blocks and a decoder of residual up blocks (its Figure 2).

The paper does not specify the block, the activation and some widths. They follow the one public network that fits the
text, LukeDitria's CNN-VAE of 2020 and 2021, and give the published 2 x 2 x 512 feature maps. ``docs/design.md`` lists
these choices.
"""

import math
from collections.abc import Sequence
from itertools import pairwise
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from multimodal_vae.nn.dimensions import AVERAGE_POOL, BATCH_NORM, CONVOLUTION
from multimodal_vae.nn.fast import LEAST_PIXELS, apply_layers, convolve, fold_batch_norm, upsample_and_convolve

SLOPE = (1 / 8 + 1 / 3) / 2
"""Slope of the leaky ReLU, 0.2292, as that of torch's ``rrelu`` in evaluation mode."""


class ResidualBlock(nn.Module):
    """The sum of a main path, two 3x3 convolutions with resampling between them, and a resampled 3x3 convolution.

    In evaluation mode without gradients, large maps use fewer, larger convolutions with the same result, computed from
    the current weights.

    Args:
        inputs: input channels.
        outputs: output channels; the first convolution of the main path has half as many.
        factors: by how much each spatial axis is divided (``down``) or multiplied.
        down: True to average-pool, False to repeat the nearest value.
    """

    conv1: Any  # torch types a convolution's bias as optional, and attributes as modules
    norm1: Any
    conv2: Any
    norm2: Any
    skip: Any

    def __init__(self, inputs: int, outputs: int, factors: Sequence[int], down: bool) -> None:
        super().__init__()
        convolution, batch_norm = CONVOLUTION[len(factors)], BATCH_NORM[len(factors)]
        self.factors = tuple(factors)
        self.down = down
        self.conv1 = convolution(inputs, outputs // 2, 3, padding=1)
        self.norm1 = batch_norm(outputs // 2)
        self.conv2 = convolution(outputs // 2, outputs, 3, padding=1)
        self.norm2 = batch_norm(outputs)
        self.skip = convolution(inputs, outputs, 3, padding=1)

    def forward(self, x: Tensor) -> Tensor:
        """Map (N, inputs, *size) to (N, outputs, *resampled size)."""
        if self._merging_pays(x):
            return self._forward_merged(x)
        # In place, since no gradient needs the old values, and allocating another large map takes longer.
        main = F.leaky_relu_(self.norm1(self.conv1(x)), SLOPE)
        main = self.norm2(self._resample_and_convolve(main, self.conv2.weight, self.conv2.bias))
        return F.leaky_relu_(main.add_(self._resample_and_convolve(x, self.skip.weight, self.skip.bias)), SLOPE)

    def _resample_and_convolve(self, x: Tensor, weight: Tensor, bias: Tensor) -> Tensor:
        if self.down:
            return convolve(AVERAGE_POOL[len(self.factors)](x, self.factors), weight, bias)
        return upsample_and_convolve(x, weight, bias, self.factors)

    def _merging_pays(self, x: Tensor) -> bool:
        if torch.compiler.is_compiling() or torch.is_grad_enabled() or self.norm1.training or self.norm2.training:
            return False
        # It costs a few passes over the weights, and saves time for each output pixel.
        pixels, scale = x[:, 0].numel(), math.prod(self.factors)
        return (pixels // scale if self.down else pixels * scale) >= LEAST_PIXELS

    def _forward_merged(self, x: Tensor) -> Tensor:
        """Compute the block with batch norms folded into convolutions, and the last two convolutions merged."""
        main = F.leaky_relu(convolve(x, *fold_batch_norm(self.conv1, self.norm1)), SLOPE)
        weight, bias = fold_batch_norm(self.conv2, self.norm2)
        both = torch.cat([weight, self.skip.weight], 1)
        return F.leaky_relu(self._resample_and_convolve(torch.cat([main, x], 1), both, bias + self.skip.bias), SLOPE)


class ResidualEncoder(nn.Module):
    """Residual down blocks until each spatial axis is 2 long; widths double from ``width`` up to 8 x ``width``.

    Args:
        shape: (channels, *size) of one sample, with one to three spatial axes; each is padded with zeros at its end to
            a power of two.
        width: feature maps of the first block; 64 in the paper.

    Example:
        >>> import torch
        >>> ResidualEncoder((3, 64, 64), width=64)(torch.zeros(1, 3, 64, 64)).shape
        torch.Size([1, 512, 2, 2])
    """

    def __init__(self, shape: Sequence[int], width: int = 64) -> None:
        super().__init__()
        channels, *size = shape
        exponents = [max(1, math.ceil(math.log2(n))) for n in size]
        self.padding = [pad for n, e in zip(reversed(size), reversed(exponents), strict=True) for pad in (0, 2**e - n)]
        depth = max(max(exponents) - 1, 1)
        widths = [channels] + [width * min(8, 2**i) for i in range(depth)]
        # Shorter axes are halved in the last blocks only, so that all axes reach a length of 2 together.
        factors = [[2 if i >= depth - (e - 1) else 1 for e in exponents] for i in range(depth)]
        self.blocks = nn.Sequential(
            *(ResidualBlock(a, b, f, down=True) for (a, b), f in zip(pairwise(widths), factors, strict=True))
        )

    def forward(self, x: Tensor) -> Tensor:
        """Map (N, *shape) to feature maps (N, features, 2, ...)."""
        return apply_layers(self.blocks, F.pad(x, self.padding) if any(self.padding) else x)


class ResidualDecoder(nn.Module):
    """Residual up blocks from the latent as a map of size 1, then a 3x3 convolution.

    Widths halve from 8 x ``width``.

    Args:
        latent_dim: length of the latent.
        shape: (channels, *size) of one sample; the output is cropped to it from the next powers of two.
        width: as for :class:`ResidualEncoder`; the last block has half as many feature maps.

    Example:
        >>> import torch
        >>> ResidualDecoder(128, (3, 64, 64), width=8)(torch.zeros(2, 128)).shape
        torch.Size([2, 3, 64, 64])
    """

    def __init__(self, latent_dim: int, shape: Sequence[int], width: int = 64) -> None:
        super().__init__()
        channels, *self.size = shape
        exponents = [max(1, math.ceil(math.log2(n))) for n in self.size]
        depth = max(exponents)
        widths = [latent_dim] + [int(width * min(8, 2 ** (depth - 2 - i))) for i in range(depth)]
        factors = [[2 if i < e else 1 for e in exponents] for i in range(depth)]
        self.blocks = nn.Sequential(
            *(ResidualBlock(a, b, f, down=False) for (a, b), f in zip(pairwise(widths), factors, strict=True))
        )
        self.head = CONVOLUTION[len(self.size)](widths[-1], channels, 3, padding=1)

    def forward(self, z: Tensor) -> Tensor:
        """Map latents (N, latent_dim) to (N, *shape), unbounded; the modality applies a sigmoid, if any."""
        x = z.reshape(*z.shape, *(1 for _ in self.size))
        x = apply_layers(nn.Sequential(*self.blocks, self.head), x)
        for axis, length in enumerate(self.size, start=2):
            x = x.narrow(axis, 0, length)
        return x.contiguous()
