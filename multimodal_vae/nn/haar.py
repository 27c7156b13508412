"""The Haar wavelet transform, which splits samples into coarse maps and details, for any number of axes."""

import math

import torch
from torch import Tensor


def haar(x: Tensor, levels: int = 1) -> Tensor:
    """Return the Haar transform of maps with even sides: a coarse map per channel, and its details.

    The transform is orthonormal: it keeps sums of squares, and white noise stays white.

    Args:
        x: (N, C, *space).
        levels: number of times that all maps are transformed, details as well as coarse ones.

    Returns:
        (N, C * 2^axes, *space / 2) for one level; of each channel, sums over cells, then differences along each
        combination of axes.

    Source: Mallat (2009), *A wavelet tour of signal processing*, section 7.7.

    Example:
        >>> (haar(torch.tensor([[[3.0, 1.0, 2.0, 2.0]]])) * 2**0.5).round()
        tensor([[[4., 4.],
                 [2., 0.]]])
    """
    for _ in range(levels):
        for axis in range(2, x.dim()):
            even, odd = x.reshape(*x.shape[:axis], -1, 2, *x.shape[axis + 1 :]).unbind(axis + 1)
            x = torch.stack([even + odd, even - odd], 2).flatten(1, 2) / math.sqrt(2)
    return x


def inverse_haar(x: Tensor, levels: int = 1) -> Tensor:
    """Return the maps (N, C, *space) whose :func:`haar` transform is ``x``, (N, C * 2^axes, *space / 2)."""
    for _ in range(levels):
        for axis in reversed(range(2, x.dim())):
            sums, differences = x.reshape(len(x), -1, 2, *x.shape[2:]).unbind(2)
            x = torch.stack([sums + differences, sums - differences], axis + 1).flatten(axis, axis + 1) / math.sqrt(2)
    return x
