"""The choice of the features that vary most between observations."""

from collections.abc import Iterable
from typing import Literal

import numpy as np
from numpy.typing import NDArray

Criterion = Literal["dispersion", "variance"]
"""How :func:`most_variable` ranks features."""

_BINS = 20
"""Groups of features with similar means, within which dispersions are compared."""


def most_variable(rows: Iterable[NDArray[np.float32]], count: int, by: Criterion = "dispersion") -> NDArray[np.int64]:
    """Return the columns of the features that vary most, ascending.

    Each row is scaled to a total of 10,000. ``"dispersion"`` ranks by the logarithm of variance over mean, standardized
    among features with similar means (Satija et al., *Spatial reconstruction of single-cell gene expression data*,
    2015); ``"variance"`` by the variance of ``log(1 + x)``. Features that are always 0 come last. Only sums are kept.

    Args:
        rows: counts (features,) of each training sample.
        count: number of features.
        by: how to rank.

    Example:
        >>> most_variable(np.array([[5, 9, 1, 5], [5, 1, 9, 5]], np.float32), 2, by="variance")
        array([1, 2])
    """
    number, sums, squares = 0, np.zeros(1), np.zeros(1)
    for row in rows:
        scaled = row.astype(np.float64) * 1e4 / max(1.0, float(row.sum()))
        values = np.log1p(scaled) if by == "variance" else scaled
        number, sums, squares = number + 1, sums + values, squares + values**2
    mean = sums / max(1, number)
    score = np.maximum(squares / max(1, number) - mean**2, 0)
    if by == "dispersion":
        dispersion = np.log((score + 1e-12) / (mean + 1e-12))
        ascending = np.argsort(mean, kind="stable")
        used = ascending[mean[ascending] > 0]
        for group in np.array_split(used, min(_BINS, 1 + len(used) // _BINS)):
            within = dispersion[group]
            score[group] = (within - within.mean()) / (within.std() + 1e-12) if len(group) else 0
    score[sums == 0] = -np.inf
    return np.sort(np.argsort(-score, kind="stable")[:count])
