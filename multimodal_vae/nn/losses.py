"""Reconstruction losses of values in [0, 1]: each maps logits and targets, (N, ...), to a mean per sample, (N,).

Those that compare windows take images (N, C, H, W) or volumes (N, C, D, H, W), whose windows are cubes.
"""

from collections.abc import Callable, Mapping
from typing import Literal

import torch
import torch.nn.functional as F
from torch import Tensor

from multimodal_vae.nn.dimensions import AVERAGE_POOL, INTERPOLATION
from multimodal_vae.nn.similarity import WINDOW, structural_similarity

PixelLoss = Literal["bce", "detail", "l1", "ms_ssim", "mse", "ssim"]
"""Names of the losses in :data:`PIXEL_LOSSES`."""

SMALLEST_SIDE: dict[str, int] = {"ms_ssim": 161, "ssim": WINDOW}
"""Pixels that a loss needs on the shorter side of an image; 1 for all other losses."""


def bce(logits: Tensor, target: Tensor) -> Tensor:
    """Return the binary cross entropy in nats; for soft targets its minimum, :func:`bce_minimum`, is above zero."""
    return F.binary_cross_entropy_with_logits(logits, target, reduction="none").flatten(1).mean(1)


def bce_minimum(target: Tensor) -> Tensor:
    """Return the entropy of the targets in nats, (N,), which is the minimum of :func:`bce`.

    Example:
        >>> bce_minimum(torch.tensor([[0.5]]))
        tensor([0.6931])
    """
    return -(torch.xlogy(target, target) + torch.xlogy(1 - target, 1 - target)).flatten(1).mean(1)


def l1(logits: Tensor, target: Tensor) -> Tensor:
    """Return the mean absolute error."""
    return (torch.sigmoid(logits) - target).abs().flatten(1).mean(1)


def mse(logits: Tensor, target: Tensor) -> Tensor:
    """Return the mean squared error."""
    return (torch.sigmoid(logits) - target).square().flatten(1).mean(1)


def detail(logits: Tensor, target: Tensor) -> Tensor:
    """Return 1 minus the agreement of detail, averaged over windows and over all levels but the coarsest.

    Levels are those of :func:`laplacian_pyramid`. The agreement is ``(2 ⟨x y⟩ + C) / (⟨x²⟩ + ⟨y²⟩ + C)``, with means
    over channels and over windows of 8 x 8 pixels of a level; it lies between -1 and 1, and is 1 if both are equal. If
    detail is predictable only up to a correlation r, squared error is smallest for detail damped by r, a blur, while
    the agreement is largest at the target's contrast. Faint detail counts as much as strong edges beside it. The
    coarsest level has no influence, so combine it with another loss. C = 1e-4: variation below 0.01 is ignored.

    Source: the structure term of Wang et al. 2004, equation 13, per frequency band.
    """
    losses = [logits.new_zeros(len(logits))]
    levels = zip(laplacian_pyramid(torch.sigmoid(logits))[:-1], laplacian_pyramid(target)[:-1], strict=True)
    for x, y in levels:
        maps = torch.stack([(x * y).mean(1), (x.square() + y.square()).mean(1)], 1)
        window = [min(_WINDOW_OF_DETAIL, n) for n in maps.shape[2:]]
        product, squares = AVERAGE_POOL[len(window)](maps, window, _STEP, ceil_mode=True).unbind(1)
        losses.append((1 - (2 * product + _C) / (squares + _C)).flatten(1).mean(1))
    return torch.stack(losses).sum(0) / max(1, len(losses) - 1)


def laplacian_pyramid(x: Tensor) -> list[Tensor]:
    """Return the Laplacian pyramid of images or volumes: at most four levels of detail, then the coarsest map.

    As in Burt and Adelson, *The Laplacian pyramid as a compact image code* (1983), but with means of 2 x 2 pixels and
    linear upsampling in place of their Gaussian filter.

    Example:
        >>> [tuple(level.shape[2:]) for level in laplacian_pyramid(torch.zeros(1, 1, 64, 36))]
        [(64, 36), (32, 18), (16, 9), (8, 5), (4, 3)]
    """
    levels: list[Tensor] = []
    axes = x.dim() - 2
    while len(levels) < _LEVELS and min(x.shape[2:]) > 1:
        coarse = AVERAGE_POOL[axes](x, 2, ceil_mode=True)
        levels.append(x - F.interpolate(coarse, x.shape[2:], mode=INTERPOLATION[axes]))
        x = coarse
    return [*levels, x]


_LEVELS = 4
_WINDOW_OF_DETAIL, _STEP, _C = 8, 4, 1e-4


def ssim(logits: Tensor, target: Tensor) -> Tensor:
    """Return 1 minus the structural similarity, with a Gaussian window of 11 pixels and sigma 1.5 along each axis.

    Over windows that lie inside the sample; each side needs at least 11 pixels.

    Source: Wang et al. 2004, equation 13; see :func:`~multimodal_vae.nn.similarity.structural_similarity`.

    Raises:
        ValueError: if a side is too short.
    """
    _check_side("ssim", logits)
    return 1 - structural_similarity(torch.sigmoid(logits), target)


def ms_ssim(logits: Tensor, target: Tensor) -> Tensor:
    """Return 1 minus the multi-scale structural similarity, by pytorch-msssim.

    The product over five scales of contrast and structure, and of luminance at the coarsest, each raised to its weight;
    negative values count as 0. Each side needs at least 161 pixels, so that the window fits the coarsest scale.

    Source: Wang, Simoncelli and Bovik, *Multi-scale structural similarity for image quality assessment* (2003).

    Raises:
        ValueError: if a side is too short.
    """
    from pytorch_msssim import ms_ssim as similarity

    _check_side("ms_ssim", logits)
    loss: Tensor = 1 - similarity(torch.sigmoid(logits), target, data_range=1.0, size_average=False)
    return loss


def _check_side(loss: str, x: Tensor) -> None:
    if min(x.shape[2:]) < SMALLEST_SIDE[loss]:
        size = " x ".join(map(str, x.shape[2:]))
        raise ValueError(f"{loss} needs at least {SMALLEST_SIDE[loss]} pixels per side; the image has {size}")


PIXEL_LOSSES: dict[str, Callable[[Tensor, Tensor], Tensor]] = {
    "bce": bce,
    "detail": detail,
    "l1": l1,
    "ms_ssim": ms_ssim,
    "mse": mse,
    "ssim": ssim,
}
"""The losses, by name."""


def weighted_loss(weights: Mapping[PixelLoss, float], logits: Tensor, target: Tensor) -> Tensor:
    """Return the weighted sum of losses, (N,).

    Example:
        >>> weighted_loss({"mse": 4.0}, torch.zeros(1, 2), torch.ones(1, 2))
        tensor([1.])
    """
    terms = [weight * PIXEL_LOSSES[name](logits, target) for name, weight in weights.items()]
    return torch.stack(terms).sum(0)
