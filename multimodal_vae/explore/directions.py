"""The main directions of a class in the latent: the principal components of its density."""

from dataclasses import dataclass

import torch
from torch import Tensor


@dataclass(frozen=True)
class Directions:
    r"""The main directions of one class, and its mean.

    A latent is its mean, its position along the main directions, and the rest, which is orthogonal to them:

    .. math:: z = m + \sum_k c_k \sigma_k v_k + r

    Attributes:
        mean: :math:`m`, (D,).
        vectors: :math:`v`, (K, D), orthonormal.
        deviations: :math:`\sigma`, (K,), standard deviation of the class along each direction, descending.
        shares: (K,), share of the class's variance along each direction.
    """

    mean: Tensor
    vectors: Tensor
    deviations: Tensor
    shares: Tensor

    def position(self, latent: Tensor) -> Tensor:
        """Return the position of a latent (D,) along the directions, (K,), in standard deviations."""
        return self.vectors @ (latent - self.mean) / self.deviations

    def offset(self, position: Tensor) -> Tensor:
        """Return the step from the mean to a position (K,), (D,)."""
        return (position * self.deviations) @ self.vectors

    def rest(self, latent: Tensor) -> Tensor:
        """Return what the position of a latent (D,) leaves out, (D,)."""
        return latent - self.mean - self.offset(self.position(latent))


def main_directions(draws: Tensor, mean: Tensor, count: int) -> Directions:
    """Return at most ``count`` principal components of draws, without those along which nothing varies.

    Args:
        draws: draws from the density of a class, (N, D), N at least 2.
        mean: mean of the density, (D,).
        count: largest number of directions.

    Source: Jolliffe (2002), *Principal Component Analysis*, 2nd edition, section 3.5.

    Example:
        >>> draws = torch.tensor([[3.0, 0.0], [-3.0, 0.0], [0.0, 1.0], [0.0, -1.0]])
        >>> main_directions(draws, torch.zeros(2), count=1).shares
        tensor([0.9000])
    """
    centered = (draws - draws.mean(0)).double()
    _, singular, vectors = torch.linalg.svd(centered, full_matrices=False)
    kept = int((singular[:count] > 1e-6 * singular[0]).sum())
    vectors = vectors[:kept]
    largest = vectors.gather(1, vectors.abs().argmax(1, keepdim=True))
    vectors = vectors * largest.sign()  # the sign of a component is arbitrary; this one is the same on every machine
    shares = singular.square() / singular.square().sum()
    deviations = singular / (len(draws) - 1) ** 0.5
    return Directions(mean, *(x[:kept].to(mean) for x in (vectors, deviations, shares)))
