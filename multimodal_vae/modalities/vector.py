"""Vectors of numbers, such as laboratory values."""

from pathlib import Path
from typing import TYPE_CHECKING, Literal

import numpy as np
from numpy.typing import NDArray
from pydantic import PositiveInt
from torch import Tensor, nn

from multimodal_vae.checks import real_numbers
from multimodal_vae.errors import DataError
from multimodal_vae.measurements import CODES
from multimodal_vae.modalities.base import Modality
from multimodal_vae.nn import Standardize, Unstandardize, mlp, standardized_mse

if TYPE_CHECKING:
    from matplotlib.axes import Axes


class Vector(Modality):
    """A vector of numbers in any units; each element is standardized by the training data.

    Args:
        size: number of elements.
        hidden: width of the hidden layers.
        cell: content of a manifest's cell: ``"value"``, the numbers, separated by spaces; or ``"path"``, a ``.npy``
            file of (size,).

    Example:
        >>> Vector(size=3).read("1.5 0 -2")
        array([ 1.5,  0. , -2. ], dtype=float32)
    """

    def __init__(self, size: PositiveInt, hidden: PositiveInt = 128, cell: Literal["value", "path"] = "value") -> None:
        self.size = size
        self.hidden = hidden
        self.cell = cell

    @property
    def shape(self) -> tuple[int, ...]:
        """(size,)."""
        return (self.size,)

    def encoder(self) -> nn.Module:
        """Return standardization and a perceptron with one hidden layer."""
        return nn.Sequential(Standardize((self.size,)), mlp([self.size, self.hidden, self.hidden]))

    def decoder(self, latent_dim: int) -> nn.Module:
        """Return the inverse, to values and their standard deviations, (N, 2, size)."""
        return nn.Sequential(mlp([latent_dim, self.hidden, self.size]), Unstandardize((self.size,)))

    def reconstruction_loss(self, decoded: Tensor, target: Tensor) -> Tensor:
        """Return the mean squared error in units of each element's standard deviation, (N,)."""
        return standardized_mse(decoded, target)

    def observe(self, decoded: Tensor) -> Tensor:
        """Return the values, in the units of the data."""
        return decoded[:, 0]

    def read(self, cell: str | Path) -> NDArray[np.float32]:
        """Read the numbers in a cell, or in a ``.npy`` file."""
        values = super().read(cell) if self.cell == "path" else self._numbers(cell)
        if np.isin(np.abs(values), CODES).any():
            self.notes["numbers that may be codes of missing measurements, such as -999"] += 1
        return values

    def _numbers(self, cell: str | Path) -> NDArray[np.float32]:
        try:
            numbers = str(cell).replace("_", "?").split()  # Python would read 1_0 as 10
            return real_numbers(np.array([float(number) for number in numbers]))
        except ValueError as error:
            raise DataError(
                f"is {str(cell)!r}; {self.size} numbers with decimal points, separated by spaces, are expected"
            ) from error

    def plot(self, sample: Tensor, ax: "Axes") -> None:
        """Plot one bar per element."""
        ax.bar(range(self.size), sample.numpy())
