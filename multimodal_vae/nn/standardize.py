"""Standardization by the training data, as layers with buffers: saved with the weights, never learned."""

from collections.abc import Sequence

import torch
from torch import Tensor, nn


class Standardize(nn.Module):
    """Subtract a mean and divide by a standard deviation, both of the training data.

    Args:
        shape: of the mean and the deviation; broadcast against a sample.
    """

    mean: Tensor
    deviation: Tensor

    def __init__(self, shape: Sequence[int]) -> None:
        super().__init__()
        self.register_buffer("mean", torch.zeros(tuple(shape)))
        self.register_buffer("deviation", torch.ones(tuple(shape)))

    def measure(self, samples: Tensor) -> None:
        """Set mean and deviation from training samples (N, ...); a constant element keeps deviation 1."""
        reduced = [0] + [axis + 1 for axis, n in enumerate(self.mean.shape) if n == 1 and samples.shape[axis + 1] > 1]
        mean = samples.mean(reduced, keepdim=True)[0]
        deviation = samples.std(reduced, correction=0, keepdim=True)[0]
        self.mean.copy_(mean)
        self.deviation.copy_(torch.where(deviation > 1e-6 * mean.abs() + 1e-12, deviation, torch.ones_like(deviation)))

    def forward(self, x: Tensor) -> Tensor:
        """Standardize a batch."""
        return (x - self.mean) / self.deviation


class Unstandardize(Standardize):
    """Undo :class:`Standardize`, and hand the deviation on, for a loss in standard units.

    The output is stacked on a new axis 1: the value in the data's units, and the deviation.
    """

    def forward(self, x: Tensor) -> Tensor:
        """Map (N, ...) in standard units to (N, 2, ...)."""
        value = x * self.deviation + self.mean
        return torch.stack([value, self.deviation.expand_as(value)], dim=1)
