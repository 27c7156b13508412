"""Reconstruction losses of what lies in [0, 1]: each maps logits and targets, (N, ...), to one mean a sample, (N,)."""

from collections.abc import Callable, Mapping
from typing import Literal

import pytorch_msssim
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

    Wang et al. 2004, equation 13, over windows that lie wholly inside; computed by pytorch-msssim. Needs at least 11
    pixels a side.
    """
    similarity: Tensor = pytorch_msssim.ssim(
        torch.sigmoid(logits), target, data_range=1.0, size_average=False, win_size=11, win_sigma=1.5
    )
    return 1 - similarity


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
