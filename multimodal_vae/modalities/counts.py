"""Counts, such as reads per gene, individuals per species, or their presence."""

from typing import TYPE_CHECKING, Literal

import torch
from pydantic import PositiveInt
from torch import Tensor, nn
from torch.distributions import Distribution

from multimodal_vae.errors import DataError
from multimodal_vae.modalities.vector import BOUND, DROPOUT, Vector
from multimodal_vae.nn import (
    CountDecoder,
    LinearAndMLP,
    NegativeBinomial,
    Poisson,
    Presence,
    StandardizeCounts,
    ZeroInflated,
)

if TYPE_CHECKING:
    from matplotlib.axes import Axes

CountDistribution = Literal["negative_binomial", "zero_inflated", "poisson", "presence"]
"""Distributions of :class:`Counts`."""


class Counts(Vector):
    """A vector of counts, such as reads per gene or individuals per species, whose totals differ between samples.

    The encoder sees shares of the total on a logarithmic scale, and the total. The decoder gives shares and a total, so
    that the total of a generated sample follows its latent, and draws are whole numbers.

    Args:
        size: number of elements.
        distribution: ``"negative_binomial"``, counts that vary more than a Poisson distribution, by a dispersion
            learned per element; ``"zero_inflated"``, also with further zeros, as of genes that were not captured;
            ``"poisson"``, counts of independent events; or ``"presence"``, 1 for present and 0 for absent.
        hidden: width of the perceptron's two hidden layers.
        cell: content of a manifest's cell: ``"value"``, the counts, separated by spaces; or ``"path"``, a ``.npy`` file
            of (size,).

    Example:
        >>> Counts(size=3).read("15 0 2")
        array([15.,  0.,  2.], dtype=float32)
    """

    behavior_version = 1

    def __init__(
        self,
        size: PositiveInt,
        distribution: CountDistribution = "negative_binomial",
        hidden: PositiveInt = 256,
        cell: Literal["value", "path"] = "value",
    ) -> None:
        super().__init__(size, hidden, cell)
        self.distribution = distribution

    def encoder(self) -> nn.Module:
        """Return standardized shares and total, a bound of outliers, dropout, and a linear map plus a perceptron."""
        return nn.Sequential(
            StandardizeCounts(self.size),
            nn.Hardtanh(-BOUND, BOUND),
            nn.Dropout(DROPOUT),
            LinearAndMLP([self.size + 1, *[self.hidden] * 3]),
        )

    def decoder(self, latent_dim: int) -> nn.Module:
        """Return a network to parameters of the distribution, (N, 1 to 3, size)."""
        if self.distribution == "presence":
            return nn.Sequential(
                LinearAndMLP([latent_dim, *[self.hidden] * 2, self.size]), nn.Unflatten(1, (1, self.size))
            )
        inflated = self.distribution == "zero_inflated"
        return CountDecoder(
            latent_dim, self.size, self.hidden, inflated or self.distribution == "negative_binomial", inflated
        )

    def likelihood(self, decoded: Tensor) -> Distribution:
        """Return the distribution of each count."""
        first, *others = decoded.unbind(1)
        if self.distribution == "presence":
            return Presence(first)
        if self.distribution == "poisson":
            return Poisson(first.exp())
        counts = NegativeBinomial(first.exp(), others[0].exp())
        return ZeroInflated(counts, others[1]) if self.distribution == "zero_inflated" else counts

    def calibrate(self, encoder: nn.Module, decoder: nn.Module, samples: Tensor) -> None:
        """Measure shares, totals and dispersions of the training samples.

        Raises:
            DataError: if values are no whole numbers.
        """
        fractions = samples[samples != samples.round()]
        if len(fractions):
            raise DataError(
                f"{self.name!r}: {len(fractions)} values of the training samples are no counts, such as "
                f"{float(fractions[0]):g}; give raw counts, neither normalized nor logarithmic ones, or use 'vector'"
            )
        super().calibrate(encoder, decoder, samples)

    def check(self, samples: Tensor) -> None:
        """Check that no count is negative, or above 1 for ``"presence"``; expected counts need not be whole."""
        super().check(samples)
        highest = 1.0 if self.distribution == "presence" else torch.inf
        if samples.numel() and (samples.min() < 0 or samples.max() > highest):
            raise DataError(
                f"has values from {float(samples.min()):g} to {float(samples.max()):g}, but {self.name!r} expects "
                + ("counts of 0 or more" if highest > 1 else "1 for present and 0 for absent")
            )

    def features(self, samples: Tensor, reference: Tensor | None = None) -> Tensor:
        """Return ``log(1 + count)``, so that abundant elements do not outweigh all others."""
        return samples.log1p()

    def examples(self, count: int) -> Tensor:
        """Return random counts whose totals differ, or random presences."""
        if self.distribution == "presence":
            return torch.bernoulli(torch.full((count, self.size), 0.5))
        totals = 10.0 + 20 * torch.rand(count, 1)
        return torch.poisson(totals * torch.rand(count, self.size))

    def plot(self, sample: Tensor, ax: "Axes") -> None:
        """Plot the counts as steps."""
        ax.step(range(self.size), sample.numpy(), where="mid")
