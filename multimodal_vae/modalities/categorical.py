"""Categories: one of a few named values, such as a sex, a side or a grade."""

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import numpy as np
import torch
import torch.nn.functional as F
from numpy.typing import NDArray
from pydantic import Field, PositiveInt
from torch import Tensor, nn

from multimodal_vae.errors import ConfigurationError, DataError, did_you_mean
from multimodal_vae.modalities.base import Modality
from multimodal_vae.nn import mlp

if TYPE_CHECKING:
    from matplotlib.axes import Axes


class Categorical(Modality):
    """One of a few categories; a sample holds the probability of each, one and zeros where it is known.

    Args:
        categories: their names, as they stand in the manifest's cells.
        hidden: width of the networks' hidden layers.

    Example:
        >>> Categorical(categories=["left", "right"]).read("right")
        array([0., 1.], dtype=float32)
    """

    cell = "value"
    range = (0.0, 1.0)

    def __init__(self, categories: Annotated[Sequence[str], Field(min_length=2)], hidden: PositiveInt = 64) -> None:
        if len(set(categories)) != len(categories):
            raise ConfigurationError(f"{self.name!r}: the categories {list(categories)} name one twice")
        self.categories = list(categories)
        self.hidden = hidden

    @property
    def shape(self) -> tuple[int, ...]:
        """(number of categories,)."""
        return (len(self.categories),)

    @property
    def elements(self) -> int:
        """One: however many categories there are, one is drawn."""
        return 1

    def encoder(self) -> nn.Module:
        """A perceptron with one hidden layer."""
        return mlp([len(self.categories), self.hidden, self.hidden])

    def decoder(self, latent_dim: int) -> nn.Module:
        """A perceptron to unnormalized log probabilities."""
        return mlp([latent_dim, self.hidden, len(self.categories)])

    def reconstruction_loss(self, decoded: Tensor, target: Tensor) -> Tensor:
        """Cross entropy in nats, (N,)."""
        return F.cross_entropy(decoded, target, reduction="none")

    def observe(self, decoded: Tensor) -> Tensor:
        """The probability of each category."""
        return decoded.softmax(-1)

    def read(self, cell: str | Path) -> NDArray[np.float32]:
        """Turn a category's name into a row of zeros with one one."""
        if str(cell) not in self.categories:
            raise DataError(f"is {str(cell)!r}, which is no category; {did_you_mean(str(cell), self.categories)}")
        one_hot = np.zeros(len(self.categories), dtype=np.float32)
        one_hot[self.categories.index(str(cell))] = 1
        return one_hot

    def format(self, sample: Tensor) -> str:
        """The most probable category's name."""
        return self.categories[int(sample.argmax())]

    def examples(self, count: int) -> Tensor:
        """Known categories, at random."""
        return F.one_hot(torch.randint(len(self.categories), (count,)), len(self.categories)).float()

    def plot(self, sample: Tensor, ax: "Axes") -> None:
        """Draw a bar a category."""
        ax.bar(self.categories, sample.numpy())
