"""A multi-layer perceptron."""

from collections.abc import Sequence
from itertools import pairwise

from torch import nn


def mlp(sizes: Sequence[int]) -> nn.Sequential:
    """Return linear layers with SiLU between them.

    Args:
        sizes: width of the input, of each hidden layer and of the output.

    Example:
        >>> import torch
        >>> mlp([4, 16, 2])(torch.zeros(3, 4)).shape
        torch.Size([3, 2])
    """
    layers: list[nn.Module] = []
    for inputs, outputs in pairwise(sizes):
        layers += [nn.Linear(inputs, outputs), nn.SiLU()]
    return nn.Sequential(*layers[:-1])
