"""A U-Net with residual blocks that a vector modulates, for signals, images and volumes."""

from itertools import pairwise
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from multimodal_vae.nn.dimensions import AVERAGE_POOL, CONVOLUTION
from multimodal_vae.nn.fast import channels_last

_GROUP = 8
"""Channels per group of a group norm, whose statistics depend neither on the batch nor on the other groups."""

_WIDTHS = (1, 2, 4)
"""Channels of each level over those of the finest; each level has half the sides of the one before."""

MULTIPLE = 2 ** (len(_WIDTHS) - 1)
"""Number of which each side of the maps must be a multiple."""


class ModulatedBlock(nn.Module):
    """Two normalized 3x3 convolutions, added to the input; a vector scales and shifts the maps between them.

    It starts near the identity, or a 1x1 convolution where the number of channels changes, so that deep networks start
    stable.

    Args:
        axes: number of spatial axes.
        inputs: input channels, a multiple of 8.
        outputs: output channels, a multiple of 8.
        features: length of the vector.
    """

    def __init__(self, axes: int, inputs: int, outputs: int, features: int) -> None:
        super().__init__()
        convolution: Any = CONVOLUTION[axes]
        self.first = nn.Sequential(
            nn.GroupNorm(inputs // _GROUP, inputs), nn.SiLU(), convolution(inputs, outputs, 3, padding=1)
        )
        self.norm = nn.GroupNorm(outputs // _GROUP, outputs, affine=False)
        self.modulate = _small(nn.Linear(features, 2 * outputs))
        self.second = _small(convolution(outputs, outputs, 3, padding=1))
        self.skip = convolution(inputs, outputs, 1) if inputs != outputs else nn.Identity()

    def forward(self, x: Tensor, features: Tensor) -> Tensor:
        """Map (N, inputs, *space) and (N, features) to (N, outputs, *space)."""
        factor, shift = self.modulate(features).unflatten(1, (-1, *(1,) * (x.dim() - 2))).chunk(2, 1)
        main = self.norm(self.first(x)) * (1 + factor) + shift
        y: Tensor = self.skip(x) + self.second(F.silu(main))
        return y


class UNet(nn.Module):
    """Maps to maps of the same size through three levels of resolution, modulated by a vector.

    The output starts near zero. Without batch statistics, a row does not depend on the others.

    Args:
        axes: number of spatial axes, one to three; each side must be a multiple of :data:`MULTIPLE`.
        inputs: input channels.
        outputs: output channels.
        width: channels of the finest level, a multiple of 8; the others have two and four times as many.
        features: length of the vector.
        finest: channels of the finest level, if not ``width``. Fewer than there are output channels restrict these.

    Example:
        >>> UNet(2, 6, 3, width=8, features=4)(torch.ones(5, 6, 16, 8), torch.ones(5, 4)).shape
        torch.Size([5, 3, 16, 8])
    """

    def __init__(
        self, axes: int, inputs: int, outputs: int, width: int, features: int, finest: int | None = None
    ) -> None:
        super().__init__()
        convolution: Any = CONVOLUTION[axes]
        finest = finest or width
        widths = [finest, *(width * factor for factor in _WIDTHS[1:])]
        self.stem = convolution(inputs, finest, 3, padding=1)
        self.down = nn.ModuleList(ModulatedBlock(axes, a, b, features) for a, b in pairwise([finest, *widths]))
        self.middle = ModulatedBlock(axes, widths[-1], widths[-1], features)
        self.up = nn.ModuleList(ModulatedBlock(axes, a + b, a, features) for a, b in reversed(list(pairwise(widths))))
        self.head = nn.Sequential(
            nn.GroupNorm(finest // _GROUP, finest), nn.SiLU(), _small(convolution(finest, outputs, 3, padding=1))
        )

    def forward(self, x: Tensor, features: Tensor) -> Tensor:
        """Map (N, inputs, *space) and (N, features) to (N, outputs, *space)."""
        x, levels, pool = self.stem(channels_last(x)), list[Tensor](), AVERAGE_POOL[x.dim() - 2]
        for block in self.down:
            x = block(pool(x, 2) if levels else x, features)
            levels.append(x)
        x = self.middle(levels.pop(), features)
        for block in self.up:
            x = block(torch.cat([F.interpolate(x, scale_factor=2.0), levels.pop()], 1), features)
        y: Tensor = self.head(x)
        return y.contiguous()


def _small(layer: nn.Module) -> nn.Module:
    """Return a layer whose weights start near zero; not at zero, where the layers before it would not learn."""
    with torch.no_grad():
        for parameter in layer.parameters():
            parameter.mul_(_SMALL)
    return layer


_SMALL = 0.01
"""Factor on initial weights of the last layer of each block and of the network."""
