"""Random augmentation of batches of maps (N, C, H, W), with an independent draw per row.

Draws come from torch's default generator of the CPU, so that a seed gives the same result on every device. The input
is not changed.
"""

import math

import torch
import torch.nn.functional as F
from torch import Tensor

ERASED_AREA = (0.02, 0.4)
"""Smallest and largest erased share of a map (Zhong et al. 2020)."""

ERASED_ASPECT = (0.3, 1 / 0.3)
"""Smallest and largest ratio of the erased rectangle's height to its width (Zhong et al. 2020)."""


def random_flip(x: Tensor, probability: float) -> Tensor:
    """Flip each row left to right with this probability.

    Example:
        >>> random_flip(torch.tensor([[[[1.0, 2.0]]]]), probability=1)
        tensor([[[[2., 1.]]]])
    """
    return torch.where(_draw_rows(x, probability), x.flip(-1), x)


def random_rotation(x: Tensor, probability: float, degrees: float) -> Tensor:
    """Rotate each row about its center with this probability, by a uniform angle in [-degrees, degrees].

    Values are interpolated bilinearly; pixels from outside the map are zero.
    """
    angles = torch.empty(len(x)).uniform_(-degrees, degrees) * (torch.rand(len(x)) < probability)
    return rotate(x, angles)


def rotate(x: Tensor, degrees: Tensor) -> Tensor:
    """Rotate each row counterclockwise by its angle, (N,); an angle of 0 leaves the row exactly as it is."""
    if not len(x) or 1 in x.shape[-2:]:  # a map of one row or column cannot be rotated
        return x
    angles = torch.deg2rad(degrees).to(x)
    cos, sin, zero = angles.cos(), angles.sin(), torch.zeros_like(angles)
    height, width = x.shape[-2:]
    ratio = (height - 1) / (width - 1)  # the grid runs from -1 to 1 along both axes
    matrices = torch.stack([cos, -sin * ratio, zero, sin / ratio, cos, zero], 1).reshape(-1, 2, 3)
    grid = F.affine_grid(matrices, list(x.shape), align_corners=True)
    result = F.grid_sample(x, grid, mode="bilinear", padding_mode="zeros", align_corners=True)
    return torch.where((angles == 0)[:, None, None, None], x, result)


def random_erasing(x: Tensor, probability: float) -> Tensor:
    """Set a random rectangle of each row to zero with this probability; 0.5 in Zhong et al. 2020.

    Its share of the map is uniform within :data:`ERASED_AREA`, its aspect log-uniform within :data:`ERASED_ASPECT`;
    its sides are at most those of the map.
    """
    count, (height, width) = len(x), x.shape[-2:]
    area = torch.empty(count).uniform_(*ERASED_AREA) * height * width
    aspect = torch.empty(count).uniform_(*map(math.log, ERASED_ASPECT)).exp()
    rows, columns = _draw_run((area * aspect).sqrt(), height), _draw_run((area / aspect).sqrt(), width)
    erased = (rows[:, None, :, None] & columns[:, None, None]).to(x.device) & _draw_rows(x, probability)
    return x * (~erased).to(x)  # eight times faster than masked_fill


def _draw_run(lengths: Tensor, size: int) -> Tensor:
    """Return the mask (N, size) of a run per row with the rounded length, at a uniform position on the axis."""
    lengths = lengths.round().clamp(1, size)
    first = (torch.rand(len(lengths)) * (size + 1 - lengths)).floor()[:, None]
    positions = torch.arange(size)
    return (positions >= first) & (positions < first + lengths[:, None])


def _draw_rows(x: Tensor, probability: float) -> Tensor:
    """Return a mask of rows, each True with this probability, (N, 1, 1, 1)."""
    return (torch.rand(len(x)) < probability).to(x.device)[:, None, None, None]
