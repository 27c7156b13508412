"""Correction of p-values for the number of tests."""

from collections.abc import Sequence

import numpy as np

from multimodal_vae.errors import DataError


def holm(p_values: Sequence[float]) -> list[float]:
    """Return p-values adjusted for the number of tests, in the same order.

    If all adjusted values of at most ``a`` are called significant, the probability of one or more false alarms is at
    most ``a``, however the tests depend on each other. The i-th smallest of m p-values is multiplied by m - i + 1, and
    is at least as large as the smaller ones after their multiplication.

    Args:
        p_values: one p-value per test, 0 to 1.

    Raises:
        DataError: if a p-value is not between 0 and 1.

    Source: Holm, *A simple sequentially rejective multiple test procedure* (1979).

    Example:
        >>> holm([0.01, 0.04, 0.03])
        [0.03, 0.06, 0.06]
    """
    p = np.asarray(p_values, dtype=np.float64)
    if not ((p >= 0) & (p <= 1)).all():
        raise DataError(f"p-values are between 0 and 1, unlike {p[~((p >= 0) & (p <= 1))][0]:g}")
    order = np.argsort(p, kind="stable")
    adjusted = np.empty_like(p)
    adjusted[order] = np.minimum(np.maximum.accumulate(p[order] * np.arange(len(p), 0, -1)), 1)
    return adjusted.tolist()  # type: ignore[no-any-return]
