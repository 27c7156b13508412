"""Confidence intervals over patients by the bootstrap, and summaries over seeds."""

import math
import statistics
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from multimodal_vae.bounds import require_seed
from multimodal_vae.errors import DataError
from multimodal_vae.evaluation.samples import group_numbers

Interval = tuple[float, float]
Statistic = Callable[[Tensor], float]
"""A function of row numbers (K,), int64."""


def interval(
    statistic: Statistic,
    count: int,
    groups: Sequence[str] | None = None,
    resamples: int = 500,
    level: float = 0.95,
    seed: int = 0,
    replace: bool = True,
) -> Interval:
    """Return the percentile interval of a statistic by the cluster bootstrap, which resamples whole groups.

    Samples of one patient are correlated, so resampling rows would give too narrow an interval. With
    ``replace=False``, each resample holds half of the groups, none twice: its mean varies like that of the bootstrap,
    and duplicates do not affect statistics such as distances to neighbors.

    Args:
        statistic: function of row numbers; values that are not finite are ignored.
        count: number of rows.
        groups: (count,), patient of each row; None: each row is its own group.
        resamples: number of resamples.
        level: confidence level.
        seed: seed of the resamples.
        replace: draw all groups with replacement, or half of them without.

    Returns:
        Lower and upper bound; NaN if the statistic is never finite.

    Raises:
        DataError: if there are no rows.

    Source: percentile interval: Efron and Tibshirani, *An introduction to the bootstrap* (1993), chapter 13; whole
        groups: Davison and Hinkley, *Bootstrap methods and their application* (1997), section 3.8; halves: McCarthy,
        *Pseudo-replication: half samples* (1969).

    Example:
        >>> x = torch.arange(100.0)
        >>> low, high = interval(mean_of(x), 100)
        >>> low < 49.5 < high
        True
    """
    if count == 0:
        raise DataError("there are no rows to resample")
    number = group_numbers(groups, count)
    order, sizes = np.argsort(number, kind="stable"), np.bincount(number)
    starts = np.cumsum(sizes) - sizes
    rng = np.random.default_rng(require_seed(seed))
    values = []
    for _ in range(resamples):
        if replace:
            resample = rng.integers(len(sizes), size=len(sizes))
        else:
            resample = rng.permutation(len(sizes))[: max(1, len(sizes) // 2)]
        value = statistic(torch.from_numpy(order[_runs(starts[resample], sizes[resample])]))
        if math.isfinite(value):
            values.append(value)
    if not values:
        return math.nan, math.nan
    low, high = np.quantile(values, [(1 - level) / 2, (1 + level) / 2])
    return float(low), float(high)


def _runs(starts: NDArray[np.int64], lengths: NDArray[np.int64]) -> NDArray[np.int64]:
    """Return the numbers of runs, one after the other, each from its start.

    Example:
        >>> _runs(np.array([5, 0]), np.array([2, 3])).tolist()
        [5, 6, 0, 1, 2]
    """
    ends = np.cumsum(lengths)
    return np.asarray(np.arange(ends[-1]) + np.repeat(starts - (ends - lengths), lengths))


def mean_of(x: Tensor) -> Statistic:
    """Return the statistic that averages some rows of x, (N,)."""
    return lambda rows: float(x[rows].double().mean())


def median_of(x: Tensor) -> Statistic:
    """Return the statistic that takes the median of some rows of x, (N,)."""
    return lambda rows: float(x[rows].median())


@dataclass(frozen=True)
class Seeds:
    """One metric of several runs that differ only in their seed.

    Attributes:
        mean: mean over the seeds.
        spread: standard deviation between them, with n - 1; None for one seed.
        count: number of seeds.
    """

    mean: float
    spread: float | None
    count: int


def over_seeds(values: Iterable[float]) -> Seeds:
    """Summarize one metric over seeds.

    Raises:
        DataError: if there are no values.

    Example:
        >>> over_seeds([1.0, 2.0, 3.0])
        Seeds(mean=2.0, spread=1.0, count=3)
    """
    values = list(values)
    if not values:
        raise DataError("there is no seed to summarize")
    # statistics.stdev fails on values that are not finite, such as the metric of a collapsed run.
    finite = all(map(math.isfinite, values))
    spread = (statistics.stdev(values) if finite else math.nan) if len(values) > 1 else None
    return Seeds(statistics.fmean(values), spread, len(values))
