"""A reconstruction loss that does not trade the QRS complex for a smooth baseline.

A QRS complex takes a tenth of a beat's time, so plain squared error counts it as a tenth. Pan and Tompkins ("A
real-time QRS detection algorithm", IEEE Trans. Biomed. Eng. 32, 1985) find it by what no other wave has, a steep slope
kept up for long enough: they differentiate, square, and integrate over a moving window of 150 ms. The same quantity, of
the target, weighs the errors here.
"""

import math

import torch
import torch.nn.functional as F
from torch import Tensor

WINDOW = 0.15
"""Seconds over which the squared slope is averaged: about the widest QRS complex (Pan and Tompkins 1985)."""

CENTER = 10.0
"""Hz; the middle of the 5 to 15 Hz that Pan and Tompkins keep, since most of a QRS complex's energy is there."""


def slope_energy(signal: Tensor, rate: float) -> Tensor:
    """Squared slope averaged over a moving window, as a share of its greatest value in each lead; 0 where all is flat.

    Args:
        signal: (N, leads, samples).
        rate: samples a second.

    Example:
        >>> step = torch.tensor([[[0.0] * 50 + [1.0] * 50]])
        >>> energy = slope_energy(step, 100.0)
        >>> energy[0, 0, 50].item(), energy[0, 0, 20].item()
        (1.0, 0.0)
    """
    padded = F.pad(signal, (1, 1), mode="replicate")
    squared = (padded[..., 2:] - padded[..., :-2]).square()
    half = round(WINDOW * rate / 2)
    padded = F.pad(squared, (half, half))
    energy = F.avg_pool1d(padded, 2 * half + 1, stride=1)
    return energy / energy.amax(-1, keepdim=True).clamp_min(torch.finfo(energy.dtype).tiny)


def beat_loss(error: Tensor, target: Tensor, rate: float, qrs: float, slope: float) -> Tensor:
    """Mean squared error with steep places weighted, plus the mean squared error of the slope, (N,).

    Args:
        error: (N, leads, samples), in units of each lead's standard deviation.
        target: (N, leads, samples), in any unit.
        rate: samples a second.
        qrs: how much more an error counts where the target is steepest; weights are then divided by their mean.
        slope: weight of the slope's error, as a share of the amplitude's at :data:`CENTER`, below which it counts
            less and above which more.

    Example:
        >>> beat_loss(torch.ones(1, 1, 100), torch.randn(1, 1, 100), 100.0, qrs=5.0, slope=1.0).round(decimals=4)
        tensor([1.])
    """
    squared = error.square()
    if qrs:
        weights = 1 + qrs * slope_energy(target, rate)
        squared = squared * weights / weights.mean(-1, keepdim=True)
    loss = squared.flatten(1).mean(1)
    if slope:
        difference = error.diff(dim=-1) * (rate / (2 * math.pi * CENTER))
        loss = loss + slope * difference.square().flatten(1).mean(1)
    return loss
