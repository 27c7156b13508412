"""Coordinates in which the latents of each class are nearly standard normal, learned from people who are no secret."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Self

import numpy as np
from numpy.typing import NDArray

from multimodal_vae.errors import SamplerError

Array = NDArray[np.float64]


@dataclass(frozen=True)
class Coordinates:
    r"""Whitened coordinates :math:`u = (x - c_k) B` of latents *x* of class *k*.

    Attributes:
        centers: (K, D), :math:`c_k`.
        basis: (D, D), *B*; its first columns are the directions in which latents vary most.
        inverse: (D, D), the inverse of *B*.
        variances: (D,), variances of the latents within classes in these directions, in decreasing order.
        covariances: (K, D, D), covariance of each class in whitened coordinates.
        reference: (N, D), latents of each class in whitened coordinates; None for those of the prior.
    """

    centers: Array
    basis: Array
    inverse: Array
    variances: Array
    covariances: Array
    reference: list[Array] | None = None

    @classmethod
    def of_prior(cls, dimensions: int, classes: int) -> Self:
        """Return those of the prior: every class is standard normal around the origin."""
        unit = np.eye(dimensions)
        return cls(np.zeros((classes, dimensions)), unit, unit, np.ones(dimensions), np.stack([unit] * classes))

    @classmethod
    def of_reference(cls, reference: Sequence[Array]) -> Self:
        """Return those that whiten the latents (N, D) of each class on average, by shrunk covariances.

        A class without latents gets the center of all latents and the average covariance.

        Raises:
            SamplerError: if there are too few latents, all are equal, or one is not finite.
        """
        from sklearn.covariance import ledoit_wolf  # importing scikit-learn takes a second

        everyone = np.concatenate(reference)
        if len(everyone) < 2 or not np.isfinite(everyone).all() or bool((everyone == everyone[0]).all()):
            raise SamplerError(
                f"the reference has {len(everyone)} latents of labeled samples; give at least 2 that differ and are "
                "finite"
            )
        centers = np.stack([each.mean(0) if len(each) else everyone.mean(0) for each in reference])
        within = np.concatenate([each - center for each, center in zip(reference, centers, strict=True)])
        variances, directions = np.linalg.eigh(ledoit_wolf(within, assume_centered=True)[0])
        variances, directions = np.maximum(variances[::-1], 1e-6 * variances[-1]), directions[:, ::-1]
        if not variances[0] > 0:
            raise SamplerError("the reference latents of each class are all equal; give more of them")
        basis = directions / np.sqrt(variances)
        white = [(each - center) @ basis for each, center in zip(reference, centers, strict=True)]
        covariances = [
            ledoit_wolf(each, assume_centered=True)[0] if len(each) > 1 else np.eye(len(basis)) for each in white
        ]
        inverse = (directions * np.sqrt(variances)).T
        return cls(centers, basis, inverse, variances, np.stack(covariances), white)
