"""Multi-layer perceptrons."""

from collections.abc import Sequence
from itertools import pairwise

import torch
from torch import Tensor, nn


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


class LinearAndMLP(nn.Module):
    """The sum of a linear map and a perceptron that starts small, so that a model starts as a nearly linear one.

    With few samples, the linear part is learned before the perceptron overfits.

    Args:
        sizes: width of the input, of each hidden layer of the perceptron and of the output.

    Example:
        >>> LinearAndMLP([4, 16, 2])(torch.zeros(3, 4)).shape
        torch.Size([3, 2])
    """

    def __init__(self, sizes: Sequence[int]) -> None:
        super().__init__()
        self.linear = nn.Linear(sizes[0], sizes[-1])
        self.mlp = mlp(sizes)
        with torch.no_grad():
            for parameter in self.mlp[-1].parameters():
                parameter.mul_(_SMALL)

    def forward(self, x: Tensor) -> Tensor:
        """Map (N, inputs) to (N, outputs)."""
        total: Tensor = self.linear(x) + self.mlp(x)
        return total


_SMALL = 0.1
"""Factor on the initial weights of the perceptron's last layer."""
