"""Vectors of numbers, such as laboratory values."""

from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Literal

import numpy as np
from numpy.typing import NDArray
from pydantic import PositiveInt
from torch import Tensor, nn
from torch.distributions import Distribution

from multimodal_vae.checks import real_numbers
from multimodal_vae.errors import DataError
from multimodal_vae.measurements import holds_code
from multimodal_vae.modalities.base import Modality
from multimodal_vae.modalities.ranges import Numbers, draw_ranges
from multimodal_vae.nn import (
    CensoredNormal,
    LearnedScale,
    Limits,
    LinearAndMLP,
    PredictedScale,
    Standardize,
    Unstandardize,
)

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

BOUND = 5.0
"""Largest input of the encoder, in standard deviations; the linear map would follow outliers to any distance."""

DROPOUT = 0.2
"""Share of elements that a training hides from the encoder, so that it does not memorize few samples."""


class Vector(Modality):
    """A vector of numbers in any units; each element is standardized by the training data.

    Elements are normal around the decoded values, with a deviation that is learned per element and multiplied by a
    factor that is predicted per sample. Where values of the training data pile up at the lowest or highest one, as
    results below a limit of detection do, draws do too.

    Args:
        size: number of elements.
        hidden: width of the perceptron's two hidden layers.
        cell: content of a manifest's cell: ``"value"``, the numbers, separated by spaces; or ``"path"``, a ``.npy``
            file of (size,).

    Example:
        >>> Vector(size=3).read("1.5 0 -2")
        array([ 1.5,  0. , -2. ], dtype=float32)
    """

    behavior_version = 3

    def __init__(self, size: PositiveInt, hidden: PositiveInt = 256, cell: Literal["value", "path"] = "value") -> None:
        self.size = size
        self.hidden = hidden
        self.cell = cell

    @property
    def shape(self) -> tuple[int, ...]:
        """(size,)."""
        return (self.size,)

    def encoder(self) -> nn.Module:
        """Return standardization, a bound of outliers, dropout, and a linear map plus a perceptron."""
        return nn.Sequential(
            Standardize(self.shape),
            nn.Hardtanh(-BOUND, BOUND),
            nn.Dropout(DROPOUT),
            LinearAndMLP([self.size, *[self.hidden] * 3]),
        )

    def decoder(self, latent_dim: int) -> nn.Module:
        """Return the inverse, to values, deviations of the noise, and limits, (N, 4, size)."""
        values = nn.Sequential(
            LinearAndMLP([latent_dim, *[self.hidden] * 2, self.size]),
            Unstandardize(self.shape),
            LearnedScale(self.shape),
        )
        return nn.Sequential(PredictedScale(values, latent_dim, (1,)), Limits(self.shape))

    def likelihood(self, decoded: Tensor) -> Distribution:
        """Return a normal distribution per element, censored at the limits of the training data."""
        return CensoredNormal(*decoded.unbind(1))

    def read(self, cell: str | Path) -> NDArray[np.float32]:
        """Read the numbers in a cell, or in a ``.npy`` file."""
        values = super().read(cell) if self.cell == "path" else self._numbers(cell)
        if holds_code(values):
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

    def plot_sets(self, sets: Mapping[str, Tensor]) -> "Figure":
        """Return a figure with the median and the range of each element, on the scale of :meth:`features`."""
        labels = [f"element {number}" for number in range(self.size)]
        return draw_ranges(Numbers(labels, sets, {name: self.features(x) for name, x in sets.items()}))
