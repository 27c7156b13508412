"""Categorical values, such as sex, side or grade."""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import numpy as np
import torch
import torch.nn.functional as F
from numpy.typing import NDArray
from pydantic import Field, PositiveInt
from torch import Tensor, distributions, nn
from torch.distributions import Distribution, OneHotCategorical

from multimodal_vae.errors import ConfigurationError, DataError, did_you_mean
from multimodal_vae.modalities.base import Modality
from multimodal_vae.modalities.ranges import Words, draw_ranges
from multimodal_vae.names import form
from multimodal_vae.nn import mlp

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure


class _Probabilities(OneHotCategorical):
    """One-hot vectors; of a sample that is itself uncertain, the log-probability expected under it."""

    def __init__(self, logits: Tensor) -> None:
        # torch's constructor checks the values, whatever its argument validate_args.
        self._categorical = distributions.Categorical(logits=logits, validate_args=False)
        Distribution.__init__(self, logits.shape[:-1], logits.shape[-1:], validate_args=False)

    def log_prob(self, value: Tensor) -> Tensor:
        """Return the negative cross entropy of each row of probabilities, (N,)."""
        return (value * self.logits).sum(-1)


class Categorical(Modality):
    """One of several categories; a sample is the vector of their probabilities, one-hot if the category is known.

    Args:
        categories: the names in the manifest's cells.
        hidden: width of the hidden layers.

    Example:
        >>> Categorical(categories=["left", "right"]).read("right")
        array([0., 1.], dtype=float32)
    """

    cell = "value"
    range = (0.0, 1.0)

    def __init__(self, categories: Annotated[Sequence[str], Field(min_length=2)], hidden: PositiveInt = 64) -> None:
        if len({form(category) for category in categories}) != len(categories):
            raise ConfigurationError(
                f"{self.name!r}: the categories {list(categories)} are not unique, or differ only in form"
            )
        self.categories = list(categories)
        self.hidden = hidden

    @property
    def shape(self) -> tuple[int, ...]:
        """(number of categories,)."""
        return (len(self.categories),)

    @property
    def elements(self) -> int:
        """1: a sample is one draw, however many categories there are."""
        return 1

    def encoder(self) -> nn.Module:
        """Return a perceptron with one hidden layer."""
        return mlp([len(self.categories), self.hidden, self.hidden])

    def decoder(self, latent_dim: int) -> nn.Module:
        """Return a perceptron with one hidden layer, to logits."""
        return mlp([latent_dim, self.hidden, len(self.categories)])

    def likelihood(self, decoded: Tensor) -> OneHotCategorical:
        """Return the distribution of the category, whose mean is the probability of each."""
        return _Probabilities(decoded)

    def read(self, cell: str | Path) -> NDArray[np.float32]:
        """Return the one-hot vector of a category's name."""
        if str(cell) not in self.categories:
            raise DataError(f"has the unknown category {str(cell)!r}; {did_you_mean(str(cell), self.categories)}")
        one_hot = np.zeros(len(self.categories), dtype=np.float32)
        one_hot[self.categories.index(str(cell))] = 1
        return one_hot

    def format(self, sample: Tensor) -> str:
        """Return the name of the most probable category."""
        return self.categories[int(sample.argmax())]

    def examples(self, count: int) -> Tensor:
        """Return random one-hot vectors."""
        return F.one_hot(torch.randint(len(self.categories), (count,)), len(self.categories)).float()

    def plot(self, sample: Tensor, ax: "Axes") -> None:
        """Plot one bar per category."""
        ax.bar(self.categories, sample.numpy())

    def plot_sets(self, sets: Mapping[str, Tensor]) -> "Figure":
        """Return a figure with the share of each category."""
        return draw_ranges(None, Words(self.categories, {name: x.mean(0) for name, x in sets.items()}))
