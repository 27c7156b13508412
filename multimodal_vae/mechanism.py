r"""The Gaussian mechanism of differential privacy: sums of vectors with noise from a cryptographic source.

A sum to which each unit contributes a vector of norm at most :math:`\Delta` is released with normal noise of deviation
:math:`\sigma` in each coordinate.
"""

import math
import secrets
from collections import Counter
from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray
from scipy.optimize import brentq
from scipy.special import log_ndtr, ndtri

_PARTS = 4
"""Normal numbers of which one is made."""


def privacy_profile(epsilon: float, deviation: float, sensitivity: float = 1.0) -> float:
    r"""Return the smallest :math:`\delta` with which the Gaussian mechanism is differentially private, exactly.

    .. math:: \delta(\varepsilon) = \Phi\Bigl(\frac{\Delta}{2\sigma} - \frac{\varepsilon\sigma}{\Delta}\Bigr)
        - e^\varepsilon\, \Phi\Bigl(-\frac{\Delta}{2\sigma} - \frac{\varepsilon\sigma}{\Delta}\Bigr)

    Args:
        epsilon: :math:`\varepsilon`, zero or larger.
        deviation: :math:`\sigma`, standard deviation of the noise.
        sensitivity: :math:`\Delta`, largest norm of what one unit contributes.

    Source: Balle and Wang (2018), *Improving the Gaussian Mechanism for Differential Privacy: Analytical Calibration
    and Optimal Denoising*, theorem 8.

    Example:
        >>> privacy_profile(1.0, deviation=1.0)
        0.126936...
    """
    half, shift = sensitivity / (2 * deviation), epsilon * deviation / sensitivity
    first, second = log_ndtr(half - shift), epsilon + log_ndtr(-half - shift)  # second < first
    return float(-math.exp(first) * math.expm1(second - first))


def smallest_deviation(epsilon: float, delta: float, sensitivity: float = 1.0) -> float:
    r"""Return the smallest deviation of the noise with which the Gaussian mechanism keeps (epsilon, delta).

    The analytic calibration: the root in :math:`\sigma` of :func:`privacy_profile` minus :math:`\delta`, by bisection
    and rounded up, so that rounding errors cost no privacy.

    Args:
        epsilon: positive.
        delta: between 0 and 1.
        sensitivity: largest norm of what one unit contributes.

    Example:
        >>> smallest_deviation(1.0, 1e-5)
        3.73063...
    """
    low = high = 1.0
    while privacy_profile(epsilon, high) > delta:
        high *= 2
    while privacy_profile(epsilon, low) <= delta:
        low /= 2
    root = brentq(lambda x: privacy_profile(epsilon, x) - delta, low, high, xtol=1e-12, rtol=1e-12)
    return float(root) * (1 + 1e-9) * sensitivity


def gaussian_noise(shape: tuple[int, ...], deviation: float, seed: int | None = None) -> NDArray[np.float64]:
    r"""Draw normal noise from the operating system's cryptographic generator.

    Each number is :math:`\sigma (g_1 + g_2 + g_3 + g_4) / 2` of four independent standard normal numbers, as Holohan
    and Braghin propose, each by inversion of 52 random bits. A single normal number in floating point takes only some
    values, which differ between two sums; an attacker who sees the last digits of a noisy sum may so exclude one of
    them (Mironov 2012). With four, this takes more combinations than can be searched. Nobody can predict the noise
    from earlier draws, either.

    This does not protect from attackers who measure how long the computation takes, who read the memory of the
    process, or who change the operating system's generator. Nor is it a proof for rounded numbers, as a discrete
    mechanism has one.

    Args:
        shape: of the noise.
        deviation: standard deviation.
        seed: for tests only; numbers that can be predicted protect nobody.

    Source: Holohan and Braghin (2021), *Secure Random Sampling in Differential Privacy*, section 4.
    """
    count = _PARTS * math.prod(shape)
    if seed is None:
        words = np.frombuffer(secrets.token_bytes(8 * count), np.uint64)
    else:
        words = np.random.default_rng(seed).integers(0, 2**64, count, np.uint64)
    uniform = ((words >> np.uint64(12)) + 0.5) * 2.0**-52  # never 0 or 1
    normal = ndtri(uniform).reshape(_PARTS, *shape)
    return np.asarray(deviation / math.sqrt(_PARTS) * normal.sum(0), np.float64)


def private_sums(
    vectors: NDArray[np.float64],
    classes: NDArray[np.int64],
    owners: Sequence[str],
    count: int,
    deviation: float,
    seed: int | None = None,
    draws: int = 1,
) -> NDArray[np.float64]:
    r"""Return the sum of the vectors of each class with noise, each owner's vectors averaged.

    The owner *p* of :math:`n_p` vectors :math:`v_i` of classes :math:`k_i` adds
    :math:`\sum_i \frac{1}{n_p} e_{k_i} \otimes v_i` to the sums of all classes. Each :math:`e_{k_i} \otimes v_i` has
    the norm of :math:`v_i`, at most 1, since longer ones are scaled to 1. A convex combination of them has a norm of at
    most 1. So adding or removing an owner, with any number of vectors of any classes, moves all sums together by at
    most 1: the sensitivity is 1. A vector that is not finite counts as zero.

    Args:
        vectors: (N, P).
        classes: (N,), class of each vector, from 0 to ``count`` - 1.
        owners: owner of each vector.
        count: number of classes; it is no secret.
        deviation: standard deviation of the noise, such as :func:`smallest_deviation` for a sensitivity of 1.
        seed: for tests only, as for :func:`gaussian_noise`.
        draws: number of releases; more than one for tests only, since each costs privacy.

    Returns:
        (draws, count, P).
    """
    finite = np.where(np.isfinite(vectors).all(1, keepdims=True), vectors, 0.0)
    largest = np.abs(finite).max(1, keepdims=True, initial=1.0)  # whose square may be infinite
    bounded = finite / largest / np.maximum(1 / largest, np.linalg.norm(finite / largest, axis=1, keepdims=True))
    averaged = shares(owners)[:, None] * bounded
    sums = np.stack([averaged[classes == index].sum(0) for index in range(count)])
    return sums + gaussian_noise((draws, *sums.shape), deviation, seed)


def shares(owners: Sequence[str]) -> NDArray[np.float64]:
    """Return the share of each vector in its owner's contribution, one over the number of the owner's vectors."""
    number = Counter(owners)
    return np.array([1 / number[owner] for owner in owners], np.float64)
