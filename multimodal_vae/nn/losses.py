"""Reconstruction losses of what lies in [0, 1]: each maps logits and targets, (N, ...), to one mean a sample, (N,)."""

from collections.abc import Callable, Mapping
from functools import lru_cache
from typing import Literal

import torch
import torch.nn.functional as F
from torch import Tensor

PixelLoss = Literal["bce", "detail", "l1", "mse", "ssim"]
"""Names of the losses in :data:`PIXEL_LOSSES`."""


def bce(logits: Tensor, target: Tensor) -> Tensor:
    """Binary cross entropy in nats; between soft targets it is never zero, see :func:`bce_floor`."""
    return F.binary_cross_entropy_with_logits(logits, target, reduction="none").flatten(1).mean(1)


def bce_floor(target: Tensor) -> Tensor:
    """The target's own entropy in nats, (N,): the least that :func:`bce` can reach.

    Example:
        >>> bce_floor(torch.tensor([[0.5]]))
        tensor([0.6931])
    """
    return -(torch.xlogy(target, target) + torch.xlogy(1 - target, 1 - target)).flatten(1).mean(1)


def l1(logits: Tensor, target: Tensor) -> Tensor:
    """Mean absolute difference."""
    return (torch.sigmoid(logits) - target).abs().flatten(1).mean(1)


def mse(logits: Tensor, target: Tensor) -> Tensor:
    """Mean squared difference."""
    return (torch.sigmoid(logits) - target).square().flatten(1).mean(1)


def detail(logits: Tensor, target: Tensor) -> Tensor:
    """One minus the agreement of detail, averaged over places and levels of :func:`laplacian_pyramid` but the last.

    The agreement is ``(2 ⟨x y⟩ + C) / (⟨x²⟩ + ⟨y²⟩ + C)``, with means over channels and windows of 8 x 8 places of a
    level: between -1 and 1, and 1 where both are equal. Where detail can be told in part only, with a correlation r,
    differences are least for detail weakened by r, which is a blur; the agreement is greatest where it is as strong as
    the target's. Faint detail counts as much as a rim beside it. What is coarser than the pyramid it does not see: it
    wants another loss beside it. C is 1e-4, so that what varies by less than one hundredth is no detail.

    Source: the structure term of Wang et al. 2004, equation 13, over bands of frequency.
    """
    losses = [logits.new_zeros(len(logits))]
    levels = zip(laplacian_pyramid(torch.sigmoid(logits))[:-1], laplacian_pyramid(target)[:-1], strict=True)
    for x, y in levels:
        maps = torch.stack([(x * y).mean(1), (x.square() + y.square()).mean(1)], 1)
        window = [min(_WINDOW_OF_DETAIL, n) for n in maps.shape[-2:]]
        product, squares = F.avg_pool2d(maps, window, _STEP, ceil_mode=True).unbind(1)
        losses.append((1 - (2 * product + _C) / (squares + _C)).flatten(1).mean(1))
    return torch.stack(losses).sum(0) / max(1, len(losses) - 1)


def laplacian_pyramid(x: Tensor) -> list[Tensor]:
    """Take maps (N, C, H, W) apart by scale: what halving their size loses, at most four times, then what is left.

    Levels as in Burt and Adelson, *The Laplacian pyramid as a compact image code* (1983), but with means of 2 x 2 and
    bilinear enlargement for their Gaussian.

    Example:
        >>> [tuple(level.shape[2:]) for level in laplacian_pyramid(torch.zeros(1, 1, 64, 36))]
        [(64, 36), (32, 18), (16, 9), (8, 5), (4, 3)]
    """
    levels: list[Tensor] = []
    while len(levels) < _LEVELS and min(x.shape[-2:]) > 1:
        coarse = F.avg_pool2d(x, 2, ceil_mode=True)
        levels.append(x - F.interpolate(coarse, x.shape[-2:], mode="bilinear"))
        x = coarse
    return [*levels, x]


_LEVELS = 4
_WINDOW_OF_DETAIL, _STEP, _C = 8, 4, 1e-4


def ssim(logits: Tensor, target: Tensor) -> Tensor:
    """One minus the structural similarity of (N, C, H, W), Gaussian window of 11 with sigma 1.5.

    Wang et al. 2004, equation 13, over windows that lie wholly inside. Needs at least 11 pixels a side. The Gaussian is
    separable, so that smoothing is a matrix product from the left and one from the right: twice as fast as
    convolutions, and more for one channel.
    """
    x = torch.sigmoid(logits)
    vertical, horizontal = (_smoothing(x.shape[axis], x.dtype, x.device) for axis in (-2, -1))
    maps = torch.stack([x, target, x.square() + target.square(), x * target])
    mean_x, mean_y, squares, product = vertical @ (maps @ horizontal.T)
    product_of_means, squares_of_means = mean_x * mean_y, mean_x.square() + mean_y.square()
    luminance = (2 * product_of_means + _C1) / (squares_of_means + _C1)
    structure = (2 * (product - product_of_means) + _C2) / (squares - squares_of_means + _C2)
    similarity: Tensor = (luminance * structure).flatten(1).mean(1)
    return 1 - similarity


_WINDOW, _SIGMA = 11, 1.5
_C1, _C2 = 0.01**2, 0.03**2  # the constants of Wang et al. 2004 for a range of 1


@lru_cache(maxsize=16)
def _smoothing(length: int, dtype: torch.dtype, device: torch.device) -> Tensor:
    """Smooth along an axis: a matrix (length - 10, length), its rows the Gaussian window, shifted."""
    if length < _WINDOW:
        raise ValueError(f"SSIM compares windows of {_WINDOW} x {_WINDOW} pixels, and a side has {length}")
    offsets = torch.arange(length)[None] - torch.arange(length - _WINDOW + 1)[:, None] - _WINDOW // 2
    window = torch.where(offsets.abs() <= _WINDOW // 2, torch.exp(-0.5 * (offsets / _SIGMA).double().square()), 0.0)
    return (window / window.sum(1, keepdim=True)).to(device, dtype)


PIXEL_LOSSES: dict[str, Callable[[Tensor, Tensor], Tensor]] = {
    "bce": bce,
    "detail": detail,
    "l1": l1,
    "mse": mse,
    "ssim": ssim,
}
"""The losses by name."""


def weighted_loss(weights: Mapping[PixelLoss, float], logits: Tensor, target: Tensor) -> Tensor:
    """Sum of named losses with their weights, (N,).

    Example:
        >>> weighted_loss({"mse": 4.0}, torch.zeros(1, 2), torch.ones(1, 2))
        tensor([1.])
    """
    terms = [weight * PIXEL_LOSSES[name](logits, target) for name, weight in weights.items()]
    return torch.stack(terms).sum(0)
