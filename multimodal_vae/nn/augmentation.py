"""Random changes of whole batches of maps (N, C, H, W): each row on its own draw, wherever the batch is.

Draws come from torch's default generator of the CPU, so that a seed means the same on every device. What is given stays
as it is.
"""

import math

import torch
import torch.nn.functional as F
from torch import Tensor

ERASED_AREA = (0.02, 0.4)
"""Least and greatest share of a map that random erasing takes (Zhong et al. 2020)."""

ERASED_ASPECT = (0.3, 1 / 0.3)
"""Least and greatest ratio of the erased rectangle's height to its width (Zhong et al. 2020)."""


def random_flip(x: Tensor, probability: float) -> Tensor:
    """Flip left and right, each row with this probability.

    Example:
        >>> random_flip(torch.tensor([[[[1.0, 2.0]]]]), probability=1)
        tensor([[[[2., 1.]]]])
    """
    chosen = _chosen(x, probability)
    return torch.where(chosen, x.flip(-1), x)


def random_rotation(x: Tensor, probability: float, degrees: float) -> Tensor:
    """Turn about the center, each row with this probability, by an angle that is uniform within ``degrees`` either way.

    Values are interpolated bilinearly; what turns into view is zero.
    """
    angles = torch.empty(len(x)).uniform_(-degrees, degrees) * (torch.rand(len(x)) < probability)
    return rotated(x, angles)


def rotated(x: Tensor, degrees: Tensor) -> Tensor:
    """Turn each row counterclockwise by an angle of its own, (N,); one that turns by none stays as it is, exactly."""
    if not len(x) or 1 in x.shape[-2:]:  # a line cannot turn
        return x
    turns = torch.deg2rad(degrees).to(x)
    cos, sin, zero = turns.cos(), turns.sin(), torch.zeros_like(turns)
    height, width = x.shape[-2:]
    ratio = (height - 1) / (width - 1)  # the grid runs from -1 to 1 along either axis, whichever is longer
    matrices = torch.stack([cos, -sin * ratio, zero, sin / ratio, cos, zero], 1).reshape(-1, 2, 3)
    grid = F.affine_grid(matrices, list(x.shape), align_corners=True)
    turned = F.grid_sample(x, grid, mode="bilinear", padding_mode="zeros", align_corners=True)
    return torch.where((turns == 0)[:, None, None, None], x, turned)


def random_erasing(x: Tensor, probability: float) -> Tensor:
    """Set a rectangle to zero, each row with this probability (Zhong et al. 2020, whose one half that is).

    Its share of the map is uniform within :data:`ERASED_AREA`, the logarithm of its aspect within
    :data:`ERASED_ASPECT`; a side that would be longer than the map's is as long as that.
    """
    count, (height, width) = len(x), x.shape[-2:]
    area = torch.empty(count).uniform_(*ERASED_AREA) * height * width
    aspect = torch.empty(count).uniform_(*map(math.log, ERASED_ASPECT)).exp()
    gone = _run((area * aspect).sqrt(), height)[:, None, :, None] & _run((area / aspect).sqrt(), width)[:, None, None]
    kept = ~(gone.to(x.device) & _chosen(x, probability))
    return x * kept.to(x)  # which takes an eighth of filling by a mask


def _run(lengths: Tensor, size: int) -> Tensor:
    """Places of an axis that lie within runs of about these lengths, each begun anywhere it fits, (N, size)."""
    lengths = lengths.round().clamp(1, size)
    first = (torch.rand(len(lengths)) * (size + 1 - lengths)).floor()[:, None]
    places = torch.arange(size)
    return (places >= first) & (places < first + lengths[:, None])


def _chosen(x: Tensor, probability: float) -> Tensor:
    """Which rows are to change, (N, 1, 1, 1)."""
    return (torch.rand(len(x)) < probability).to(x.device)[:, None, None, None]
