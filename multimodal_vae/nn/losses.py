"""Reconstruction losses of what lies in [0, 1]: each maps logits and targets, (N, ...), to one mean a sample, (N,)."""

from collections.abc import Callable, Mapping
from functools import lru_cache
from typing import Literal

import torch
import torch.nn.functional as F
from torch import Tensor

PixelLoss = Literal["bce", "l1", "mse", "ssim"]
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


PIXEL_LOSSES: dict[str, Callable[[Tensor, Tensor], Tensor]] = {"bce": bce, "l1": l1, "mse": mse, "ssim": ssim}
"""The losses by name."""


def weighted_loss(weights: Mapping[PixelLoss, float], logits: Tensor, target: Tensor) -> Tensor:
    """Sum of named losses with their weights, (N,).

    Example:
        >>> weighted_loss({"mse": 4.0}, torch.zeros(1, 2), torch.ones(1, 2))
        tensor([1.])
    """
    terms = [weight * PIXEL_LOSSES[name](logits, target) for name, weight in weights.items()]
    return torch.stack(terms).sum(0)
