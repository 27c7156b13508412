"""Standardization by the training data, as layers with buffers that are saved with the weights."""

from abc import ABC, abstractmethod
from collections.abc import Sequence

import torch
from torch import Tensor, nn


class Calibrated(nn.Module, ABC):
    """A layer whose buffers :meth:`measure` computes from training samples, once, before training."""

    @abstractmethod
    def measure(self, samples: Tensor) -> None:
        """Compute the buffers from training samples (N, ...)."""

    @staticmethod
    def reduced_axes(statistic: Tensor, samples: Tensor) -> list[int]:
        """Return the axes of samples (N, ...) over which a statistic that broadcasts against a sample is computed."""
        return [0] + [axis + 1 for axis, n in enumerate(statistic.shape) if n == 1 and samples.shape[axis + 1] > 1]


def moments(samples: Tensor, axes: Sequence[int]) -> tuple[Tensor, Tensor]:
    """Return mean and standard deviation over axes, which are kept; missing elements, NaN, count nothing.

    Constant elements get deviation 1, those that are always missing mean 0 as well.
    """
    axes = list(axes)
    if samples.isnan().any() or not samples.numel():
        mean = samples.nanmean(axes, keepdim=True)
        deviation = (samples - mean).square().nanmean(axes, keepdim=True).sqrt()
        mean = mean.nan_to_num(0.0)
    else:
        mean = samples.mean(axes, keepdim=True)
        deviation = samples.std(axes, correction=0, keepdim=True)
    return mean, torch.where(deviation > 1e-6 * mean.abs() + 1e-12, deviation, torch.ones_like(deviation))


class Standardize(Calibrated):
    """Subtract the mean of the training data and divide by its standard deviation.

    Args:
        shape: shape of mean and deviation, broadcast against a sample.
    """

    mean: Tensor
    deviation: Tensor

    def __init__(self, shape: Sequence[int]) -> None:
        super().__init__()
        self.register_buffer("mean", torch.zeros(tuple(shape)))
        self.register_buffer("deviation", torch.ones(tuple(shape)))

    def measure(self, samples: Tensor) -> None:
        """Compute mean and deviation from training samples (N, ...); see :func:`moments`."""
        mean, deviation = moments(samples, self.reduced_axes(self.mean, samples))
        self.mean.copy_(mean[0])
        self.deviation.copy_(deviation[0])

    def forward(self, x: Tensor) -> Tensor:
        """Standardize a batch."""
        return (x - self.mean) / self.deviation


class Unstandardize(Standardize):
    """Invert :class:`Standardize`, and return the deviation as well, for losses in standard units.

    The output stacks, on a new axis 1, the values in the data's units and their standard deviations.
    """

    def forward(self, x: Tensor) -> Tensor:
        """Map (N, ...) in standard units to values and deviations, (N, 2, ...)."""
        value = x * self.deviation + self.mean
        return torch.stack([value, self.deviation.expand_as(value)], dim=1)


def standardized_mse(decoded: Tensor, target: Tensor) -> Tensor:
    """Return the mean squared error in standard units, (N,).

    Args:
        decoded: (N, 2, ...), the output of :class:`Unstandardize`.
        target: (N, ...).
    """
    value, deviation = decoded.unbind(1)
    return ((value - target) / deviation).square().flatten(1).mean(1)
