"""Reconstruction losses of what lies in [0, 1]: each maps logits and targets, (N, ...), to one mean a sample, (N,)."""

import functools
from collections.abc import Callable, Mapping
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

    Wang et al. 2004, equation 13, over windows that lie wholly inside. Needs at least 11 pixels a side.
    """
    x = torch.sigmoid(logits)
    mean_x, mean_y = _windowed(x), _windowed(target)
    variance_x = _windowed(x * x) - mean_x * mean_x
    variance_y = _windowed(target * target) - mean_y * mean_y
    covariance = _windowed(x * target) - mean_x * mean_y
    light = (2 * mean_x * mean_y + 0.01**2) / (mean_x * mean_x + mean_y * mean_y + 0.01**2)
    structure = (2 * covariance + 0.03**2) / (variance_x + variance_y + 0.03**2)
    return 1 - (light * structure).flatten(1).mean(1)


def _windowed(x: Tensor) -> Tensor:
    """Gaussian means of all windows in (N, C, H, W).

    As two products with band matrices, which on a CPU take a quarter of the time of depthwise convolutions.
    """
    rows, columns = (_bands(side).to(x) for side in x.shape[-2:])
    return rows @ x @ columns.T


@functools.cache
def _bands(side: int, window: int = 11, sigma: float = 1.5) -> Tensor:
    """The matrix (side - window + 1, side) that takes Gaussian means of a line's windows."""
    offset = torch.arange(side) - torch.arange(side - window + 1)[:, None]
    weights = torch.exp(-(((offset - window // 2) / sigma) ** 2) / 2)
    inside = (offset >= 0) & (offset < window)
    weights = torch.where(inside, weights, 0)
    return weights / weights.sum(1, keepdim=True)


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
