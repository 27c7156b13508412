r"""Bounded statistics of latents, and the Gaussians that follow from their noisy sums.

The statistics of a latent with whitened coordinates *u*, of which :math:`v` are the leading *d* and :math:`w` the other
ones, both clipped to a ball, are

.. math:: \phi(u) = \bigl(a_1,\; a_2 v,\; a_3 w,\; a_4 \operatorname{svec}(v v^T - \tau I),\;
    a_5 (|w|^2 - \omega)\bigr),

where :math:`\tau I` and :math:`\omega` are the means for standard normal latents, and svec lists the upper triangle of
a symmetric matrix, with off-diagonal entries times :math:`\sqrt 2`, so that its norm is that of the matrix.
"""

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
from scipy.stats import chi2

from multimodal_vae.samplers.coordinates import Array, Coordinates

_CERTAINTY = 0.95
"""Noise alone looks like a difference from the reference with a probability of one minus this."""

_LARGEST = 1e100
"""Larger coordinates count as this, so that their squares are finite; those that are no numbers count as zero."""

_FLATTEST = 0.2
"""Smallest variance of a direction, as a share of the reference's."""


@dataclass(frozen=True)
class Moments:
    """Estimates of one class.

    Attributes:
        patients: number of patients.
        mean: (D,), mean of the latents.
        covariance: (D, D), their covariance.
        moved: (N, D), the reference's latents after the affine map that gives them this mean and covariance; None
            without a reference.
    """

    patients: float
    mean: Array
    covariance: Array
    moved: Array | None


class Statistics:
    r"""The statistics :math:`\phi`, whose norm is at most 1, and the estimates from their noisy sums.

    The radii are those of balls that hold the share ``clip`` of standard normal vectors: they follow from the numbers
    of dimensions alone. As second moments are centered, an error in the number of patients hardly matters to them.

    With :math:`m_i` the largest norm of the *i*-th of the five statistics, :math:`a_i^2 = s_i / m_i^2` with shares
    :math:`s_i` that sum to 1; so :math:`|\phi| \le 1`. The squared error that noise of deviation :math:`\sigma` causes
    is :math:`\sigma^2 / n^2 \sum_i A_i / s_i`; it is least for :math:`s_i \propto \sqrt{A_i}`. As squared Wasserstein
    distance of Gaussians near the reference, with :math:`\lambda` the mean variance of latents in the directions of *v*
    or *w*, :math:`A_i / m_i^2` is :math:`\lambda_v d` of the number (a mean at one deviation moves by its relative
    error), :math:`\lambda_v d` and :math:`\lambda_w (D - d)` of the means, :math:`\lambda_v d (d + 1) / 8` of the
    second moments and :math:`\lambda_w / (4 (D - d))` of the scale.

    Args:
        coordinates: whitened coordinates of the latents.
        dimensions: *d*, number of leading directions; at most all.
        clip: share of standard normal vectors that are not clipped.
    """

    def __init__(self, coordinates: Coordinates, dimensions: int, clip: float) -> None:
        self._coordinates = coordinates
        total = len(coordinates.variances)
        lead = self._lead = min(dimensions, total)
        rest = self._rest = total - lead
        self._radius = chi2.ppf(clip, lead) ** 0.5, chi2.ppf(clip, rest) ** 0.5 if rest else 0.0
        square, rest_square = self._radius[0] ** 2, self._radius[1] ** 2
        self._tau, self._omega = _clipped_square(lead, self._radius[0]) / lead, _clipped_square(rest, self._radius[1])
        self._triangle = np.triu_indices(lead)
        self._diagonal = self._triangle[0] == self._triangle[1]
        # |v v' - tau I|^2 is a parabola in |v|^2, so it is largest at an end.
        ends = lead * self._tau**2, square**2 - 2 * self._tau * square + lead * self._tau**2
        largest = np.array(
            [1.0, square**0.5, rest_square**0.5, max(ends) ** 0.5, max(self._omega, rest_square - self._omega)]
        )
        variance, rest_variance = (
            float(each.mean()) if len(each) else 0.0 for each in np.split(coordinates.variances, [lead])
        )
        harm = np.array(
            [
                variance * lead,
                variance * lead,
                rest_variance * rest,
                variance * lead * (lead + 1) / 8,
                rest_variance / (4 * max(rest, 1)),
            ]
        )
        shares = largest * np.sqrt(harm)
        self._scales = np.sqrt(shares / shares.sum()) / np.where(largest > 0, largest, 1.0)
        self._sizes = [1, lead, rest, len(self._diagonal), 1]
        self._expected = self._of_reference()

    def of(self, index: int, latents: Array) -> Array:
        """Return the statistics of latents (N, D) of the class of an index, (N, P), of norm at most 1."""
        coordinates = self._coordinates
        latents = np.clip(np.where(np.isfinite(latents), latents, 0.0), -_LARGEST, _LARGEST)
        parts = self._parts((latents - coordinates.centers[index]) @ coordinates.basis)
        return np.concatenate([scale * part for scale, part in zip(self._scales, parts, strict=True)], 1)

    def estimates(self, sums: Array, deviation: float) -> Iterator[Moments]:
        """Yield the moments of each class, given noisy sums of the statistics.

        The means of the statistics are compared with those of the reference, and the differences are shrunk towards
        zero by their known noise (:func:`_shrunk_together`). All this uses nothing private but the noisy sums.

        Args:
            sums: (K, P), sums over the patients of each class, with noise.
            deviation: standard deviation of the noise.
        """
        coordinates, lead, rest = self._coordinates, self._lead, self._rest
        counts, *parts = (
            part / (scale or 1.0)
            for scale, part in zip(self._scales, np.split(sums, np.cumsum(self._sizes)[:-1], axis=1), strict=True)
        )
        noise = deviation / np.where(self._scales > 0, self._scales, np.inf)
        number = np.maximum(counts, 2 * noise[0])  # a smaller number is noise
        first, first_rest, second, scale = (
            (part - counts * expected) / number for part, expected in zip(parts, self._expected, strict=True)
        )
        inexact = [
            (own**2 + noise[0] ** 2 * (expected**2).sum(1) / max(expected.shape[1], 1)) / number[:, 0] ** 2
            for own, expected in zip(noise[1:], self._expected, strict=True)
        ]
        sampling = 1 / number[:, 0]
        means = _inside(_shrunk_together(first, inexact[0] + sampling), self._radius[0])
        rest_means = _inside(_shrunk_together(first_rest, inexact[1] + sampling), self._radius[1])
        second = second - self._products(means)  # now differences of covariances
        trace = second[:, self._diagonal].mean(1, keepdims=True)
        shape = _shrunk_together(second - trace * self._diagonal, inexact[2] + 2 * sampling)
        trace = _shrunk_together(trace, (inexact[2] + 2 * sampling) / lead)
        scale = scale - (rest_means**2).sum(1, keepdims=True)
        scale = _shrunk_together(scale, inexact[3] + 2 * max(rest, 1) * sampling) / max(rest, 1)
        for index, center in enumerate(coordinates.centers):
            change = self._matrix(shape[index] + trace[index] * self._diagonal)
            transform = self._transform(coordinates.covariances[index], change, float(scale[index, 0]))
            covariance = transform @ coordinates.covariances[index] @ transform.T
            mean = center + np.concatenate([means[index], rest_means[index]]) @ coordinates.inverse
            white = coordinates.reference[index] if coordinates.reference is not None else None
            yield Moments(
                float(counts[index, 0]),
                mean,
                coordinates.inverse.T @ covariance @ coordinates.inverse,
                mean + white @ transform.T @ coordinates.inverse if white is not None else None,
            )

    def _parts(self, white: Array) -> list[Array]:
        """Return the five statistics, not scaled, of whitened coordinates."""
        leading, others = np.split(white, [self._lead], axis=1)
        leading, others = _inside(leading, self._radius[0]), _inside(others, self._radius[1])
        second = self._products(leading) - self._tau * self._diagonal
        square = (others**2).sum(1, keepdims=True) - self._omega
        return [np.ones((len(white), 1)), leading, others, second, square]

    def _products(self, points: Array) -> Array:
        """Return svec of the products of points (N, d) with themselves."""
        rows, columns = self._triangle
        return points[:, rows] * points[:, columns] * self._weights

    @property
    def _weights(self) -> Array:
        return np.where(self._diagonal, 1.0, 2**0.5)

    def _of_reference(self) -> list[Array]:
        """Return the means of the statistics, without the number, in the reference of each class, (K, P) each."""
        reference = self._coordinates.reference
        if reference is None:
            return [np.zeros((1, size)) for size in self._sizes[1:]]
        everyone = np.concatenate(reference)
        parts = [self._parts(each if len(each) else everyone)[1:] for each in reference]
        return [np.stack([part.mean(0) for part in each]) for each in zip(*parts, strict=True)]

    def _matrix(self, triangle: Array) -> Array:
        """Return the symmetric matrix (d, d) of a triangle."""
        upper = np.zeros((self._lead, self._lead))
        upper[self._triangle] = triangle / self._weights
        return upper + upper.T - np.diag(upper.diagonal())

    def _transform(self, reference: Array, change: Array, scale: float) -> Array:
        r"""Return *T*, a linear map after which the covariance *C* of the reference is the estimate, :math:`T C T^T`.

        *T* maps the leading block of *C* to the estimated covariance, whose eigenvalues relative to *C* are projected
        to between 0.2 and :math:`r_v^2`, and multiplies all other coordinates by one factor; so the result is positive
        definite.

        Args:
            reference: (D, D), *C*, in whitened coordinates.
            change: (d, d), covariance minus that of the reference, in the leading directions.
            scale: mean variance minus that of the reference, in the other directions.
        """
        lead = self._lead
        block = reference[:lead, :lead]
        root, inverse_root = _power(block, 0.5), _power(block, -0.5)
        relative = inverse_root @ (block + change) @ inverse_root
        transform = np.eye(len(reference))
        highest, rest_highest = (max(1.0, radius**2) for radius in self._radius)
        transform[:lead, :lead] = root @ _power(relative, 0.5, _FLATTEST, highest) @ inverse_root
        if self._rest:
            ratio = 1 + scale / reference.diagonal()[lead:].mean()
            others = range(lead, len(reference))
            transform[others, others] = np.clip(ratio, _FLATTEST, rest_highest) ** 0.5
        return transform


def _shrunk_together(differences: Array, variances: Array) -> Array:
    r"""Shrink the differences (K, p) of all classes towards their mean, and this mean towards zero.

    A difference *x* of variance :math:`s^2` per entry becomes :math:`\max(0, 1 - q s^2 / |x|^2)\, x`: the estimator of
    James and Stein with *q*, the 95 % quantile of the chi-squared distribution of *p* degrees of freedom, in place of
    :math:`p - 2`, so that a difference that noise explains becomes exactly zero.

    Args:
        differences: (K, p).
        variances: (K,), variance of each entry of a difference; of noise and of sampling.

    Source: Efron and Morris (1973), *Stein's estimation rule and its competitors: an empirical Bayes approach*.
    """
    if not differences.shape[1]:
        return differences
    weights = 1 / variances[:, None]
    common = _shrunk((weights * differences).sum(0, keepdims=True) / weights.sum(), 1 / weights.sum())
    if len(differences) == 1:
        return common
    return np.asarray(common + _shrunk(differences - common, variances[:, None]))


def _shrunk(differences: Array, variances: Array) -> Array:
    squares = np.maximum((differences**2).sum(1, keepdims=True), np.finfo(float).tiny)
    most = chi2.ppf(_CERTAINTY, differences.shape[1])
    return np.asarray(differences * np.maximum(0.0, 1 - most * variances / squares))


def _inside(points: Array, radius: float) -> Array:
    """Return points (N, D), those outside a ball moved to its surface."""
    norms = np.linalg.norm(points, axis=1, keepdims=True)
    return points * (radius / np.maximum(norms, radius)) if radius else points


def _clipped_square(size: int, radius: float) -> float:
    """Return the mean squared norm of standard normal vectors (size,) after clipping to a ball."""
    square = radius**2
    return float(size * chi2.cdf(square, size + 2) + square * chi2.sf(square, size)) if size else 0.0


def _power(matrix: Array, power: float, lowest: float = 1e-9, highest: float = np.inf) -> Array:
    """Return a power of a symmetric matrix whose eigenvalues are projected to an interval."""
    values, vectors = np.linalg.eigh((matrix + matrix.T) / 2)
    result: Array = (vectors * np.clip(values, lowest, highest) ** power) @ vectors.T
    return result
