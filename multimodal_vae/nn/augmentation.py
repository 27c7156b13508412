"""Random augmentation of batches (N, C, *size) with one to three spatial axes, with an independent draw per row.

Draws come from torch's default generator of the CPU, so that a seed gives the same result on every device; copies of
them to a GPU are queued. The input is not changed.
"""

import math
from collections.abc import Sequence

import torch
import torch.nn.functional as F
from torch import Tensor

from multimodal_vae.transfer import copy_to

ERASED_AREA = (0.02, 0.4)
"""Smallest and largest erased share of a map (Zhong et al. 2020)."""

ERASED_ASPECT = (0.3, 1 / 0.3)
"""Smallest and largest ratio of the erased rectangle's height to its width (Zhong et al. 2020)."""


def random_flip(x: Tensor, probability: float) -> Tensor:
    """Flip each row left to right, which is its last axis, with this probability.

    Example:
        >>> random_flip(torch.tensor([[[[1.0, 2.0]]]]), probability=1)
        tensor([[[[2., 1.]]]])
    """
    return torch.where(_draw_rows(x, probability), x.flip(-1), x)


def random_rotation(
    x: Tensor, probability: float, degrees: float, spacing: Sequence[float] = (1.0, 1.0, 1.0)
) -> Tensor:
    """Rotate each row about its center with this probability, by a uniform angle in [-degrees, degrees].

    Values are interpolated linearly along each axis; what comes from outside is zero.

    Args:
        x: images (N, C, H, W); or volumes (N, C, D, H, W), which rotate about an axis of uniform direction.
        probability: of a rotation, per row.
        degrees: maximum angle.
        spacing: distances between neighboring elements of a volume along D, H and W, in any unit.

    Raises:
        ValueError: if x has another number of axes.
    """
    angles = torch.empty(len(x)).uniform_(-degrees, degrees) * (torch.rand(len(x)) < probability)
    if x.dim() == 4:
        return rotate(x, angles)
    if x.dim() == 5:
        return rotate_volume(x, angles, torch.randn(len(x), 3), spacing)
    raise ValueError(f"images or volumes can be rotated, (N, C, H, W) or (N, C, D, H, W), not {tuple(x.shape)}")


def rotate(x: Tensor, degrees: Tensor) -> Tensor:
    """Rotate each row counterclockwise by its angle, (N,); an angle of 0 leaves the row exactly as it is."""
    if not len(x) or 1 in x.shape[-2:]:  # a map of one row or column cannot be rotated
        return x
    angles = torch.deg2rad(degrees).to(x.dtype)
    cos, sin, zero = angles.cos(), angles.sin(), torch.zeros_like(angles)
    height, width = x.shape[-2:]
    ratio = (height - 1) / (width - 1)  # the grid runs from -1 to 1 along both axes
    matrices = torch.stack([cos, -sin * ratio, zero, sin / ratio, cos, zero], 1).reshape(-1, 2, 3)
    return _resample(x, matrices, angles)


def rotate_volume(x: Tensor, degrees: Tensor, axes: Tensor, spacing: Sequence[float] = (1.0, 1.0, 1.0)) -> Tensor:
    """Rotate each volume (N, C, D, H, W) about an axis; an angle of 0 leaves it exactly as it is.

    Args:
        x: the volumes; those with a single element along an axis stay as they are.
        degrees: angles, (N,); the right-hand rule holds for coordinates along W, H and D, in this order.
        axes: directions (N, 3) along W, H and D, of any length.
        spacing: distances between neighboring elements along D, H and W.
    """
    if not len(x) or 1 in x.shape[-3:]:
        return x
    angles = torch.deg2rad(degrees).to(x.dtype)
    # Rodrigues' formula, as the exponential of the cross product; the grid asks where a value comes from, hence -angle.
    a, b, c = (F.normalize(axes.to(x.dtype)) * -angles[:, None]).unbind(1)
    zero = torch.zeros_like(a)
    rotations = torch.linalg.matrix_exp(torch.stack([zero, -c, b, c, zero, -a, -b, a, zero], 1).reshape(-1, 3, 3))
    extent = torch.tensor([(n - 1) * step for n, step in zip(x.shape[-3:], spacing, strict=True)]).flip(0).to(rotations)
    matrices = rotations * extent / extent[:, None]  # the grid runs from -1 to 1 along each axis
    return _resample(x, F.pad(matrices, (0, 1)), angles)


def _resample(x: Tensor, matrices: Tensor, angles: Tensor) -> Tensor:
    """Return what the matrices map each element from, or the row itself where its angle is 0."""
    grid = F.affine_grid(copy_to(matrices, x.device), list(x.shape), align_corners=True)
    result = F.grid_sample(x, grid, mode="bilinear", padding_mode="zeros", align_corners=True)
    return torch.where(_per_row(copy_to(angles == 0, x.device), x), x, result)


def random_erasing(x: Tensor, probability: float) -> Tensor:
    """Set a random box of each row to zero with this probability; 0.5 in Zhong et al. 2020.

    The box is a rectangle of an image and a run of a signal. Its share of the row is uniform within
    :data:`ERASED_AREA`; the aspect of a rectangle is log-uniform within :data:`ERASED_ASPECT`, and each side of another
    box is stretched by such a factor, relative to their geometric mean. Sides are at most those of the row.
    """
    size = x.shape[2:]
    erased = torch.ones(1, dtype=torch.bool, device=x.device)
    for axis, (sides, length) in enumerate(zip(_draw_sides(len(x), size), size, strict=True), start=2):
        run = copy_to(_draw_run(sides, length), x.device)
        erased = erased & run.reshape(len(x), *(length if each == axis else 1 for each in range(1, x.dim())))
    erased = erased & _draw_rows(x, probability)
    return x * (~erased).to(x)  # eight times faster than masked_fill


def _draw_sides(count: int, size: Sequence[int]) -> Sequence[Tensor]:
    """Return the sides of a box per row, (N,) per axis."""
    area = torch.empty(count).uniform_(*ERASED_AREA)
    for length in size:
        area = area * length
    if len(size) == 2:
        aspect = _draw_aspect(count)
        return (area * aspect).sqrt(), (area / aspect).sqrt()
    aspects = torch.stack([_draw_aspect(count) for _ in size])
    return (area ** (1 / len(size)) * aspects / aspects.log().mean(0).exp()).unbind()


def _draw_aspect(count: int) -> Tensor:
    return torch.empty(count).uniform_(*map(math.log, ERASED_ASPECT)).exp()


def _draw_run(lengths: Tensor, size: int) -> Tensor:
    """Return the mask (N, size) of a run per row with the rounded length, at a uniform position on the axis."""
    lengths = lengths.round().clamp(1, size)
    first = (torch.rand(len(lengths)) * (size + 1 - lengths)).floor()[:, None]
    positions = torch.arange(size)
    return (positions >= first) & (positions < first + lengths[:, None])


def _draw_rows(x: Tensor, probability: float) -> Tensor:
    """Return a mask of rows, each True with this probability, (N, 1, ...), on the device of ``x``."""
    return _per_row(copy_to(torch.rand(len(x)) < probability, x.device), x)


def _per_row(values: Tensor, x: Tensor) -> Tensor:
    """Return one value per row, (N,), in a shape that broadcasts against x, (N, 1, ...)."""
    return values.reshape(-1, *(1,) * (x.dim() - 1))
