"""Distance of local texture: sliced Wasserstein distances between patches of Laplacian pyramids."""

import numpy as np
import torch
from torch import Tensor

from multimodal_vae.bounds import LARGEST_DERIVED_SEED, require_seed
from multimodal_vae.errors import DataError
from multimodal_vae.nn import laplacian_pyramid

SIDE = 7
"""Side of a patch, in elements of its level."""

_PATCHES, _DIRECTIONS = 8192, 128  # drawn per level and set


def patch_distances(x: Tensor, real: Tensor, seed: int = 0) -> list[float]:
    """Return the sliced Wasserstein distance between patches of two sets of samples, level by level, fine to coarse.

    Patches of :data:`SIDE` elements along each axis are taken at random places of each level of detail of the
    Laplacian pyramid. They are divided by the standard deviation of real ones per channel, so that a lack of contrast
    counts. The distance is the mean absolute difference of sorted projections onto random directions. It is never
    negative: compare it with that of other real samples of the same number.

    Args:
        x: (N, channels, *space), one to three spatial dimensions.
        real: (M, channels, *space).
        seed: seed of patches and directions.

    Returns:
        One distance per level whose sides have at least :data:`SIDE` elements, at most four, in standard deviations of
        the elements of real patches; empty for smaller samples.

    Raises:
        DataError: if the shapes differ or a set is empty.

    Source: Karras et al., *Progressive growing of GANs* (2018), section 5, who standardize each set by itself.

    Example:
        >>> real, other, blurred = torch.rand(2, 100, 1, 16, 16).unbind() + (torch.full((100, 1, 16, 16), 0.5),)
        >>> patch_distances(other, real)[0] < patch_distances(blurred, real)[0]
        True
    """
    if x.shape[1:] != real.shape[1:] or not (len(x) and len(real)):
        raise DataError(f"patches of {tuple(x.shape)} and {tuple(real.shape)} cannot be compared; give samples alike")
    rng = torch.Generator().manual_seed(require_seed(seed, LARGEST_DERIVED_SEED))
    levels, real_levels = (laplacian_pyramid(each.detach().cpu().float())[:-1] for each in (x, real))
    distances = []
    for level, real_level in zip(levels, real_levels, strict=True):
        if min(level.shape[2:]) < SIDE:
            break
        patches, real_patches = (_patches(each, rng) for each in (level, real_level))
        deviation = real_patches.std((0, 2), keepdim=True)
        deviation = torch.where(deviation > 0, deviation, 1.0)
        direction = torch.randn(_DIRECTIONS, real_patches[0].numel(), generator=rng)
        direction /= direction.norm(dim=1, keepdim=True)
        # NumPy sorts several times faster than torch.
        first, second = (
            np.sort((direction @ (each / deviation).flatten(1).T).numpy()) for each in (patches, real_patches)
        )
        distances.append(float(np.abs(first - second).mean()))
    return distances


def _patches(level: Tensor, rng: torch.Generator) -> Tensor:
    """Return patches at random places of (N, channels, *space), (patches, channels, elements)."""
    axes = range(2, level.dim())
    for axis in axes:
        level = level.unfold(axis, SIDE, 1)
    windows = level.movedim(1, len(axes) + 1)  # (N, *places, channels, *sides), a view
    places = [torch.randint(n, (_PATCHES,), generator=rng) for n in windows.shape[1 : len(axes) + 1]]
    return windows[(torch.arange(_PATCHES) % len(level), *places)].flatten(2)
