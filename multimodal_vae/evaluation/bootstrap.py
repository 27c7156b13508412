"""How far a figure would move had other patients been met, or another seed been drawn."""

import math
import statistics
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor

from multimodal_vae.errors import DataError
from multimodal_vae.evaluation.samples import group_numbers

Interval = tuple[float, float]


def interval(
    statistic: Callable[[Tensor], float],
    count: int,
    groups: Sequence[str] | None = None,
    resamples: int = 500,
    level: float = 0.95,
    seed: int = 0,
    replace: bool = True,
) -> Interval:
    """A percentile interval of a statistic of rows, by resampling whole groups (the cluster bootstrap).

    Samples of one patient resemble each other, so that resampling rows would promise too much. With ``replace=False``,
    half of the groups are drawn, none twice: where groups differ by chance alone, the mean of a half varies about
    that of the whole as the bootstrap's does, and statistics that would notice a row met twice, such as distances
    to neighbors, do not.

    Args:
        statistic: of row numbers (K,), int64; what is not finite is left out.
        count: how many rows there are.
        groups: (count,), whose each row is; each its own where it is None.
        resamples: how many draws.
        level: of confidence.
        seed: of the draws.
        replace: draw as many groups as there are with replacement, or half of them without.

    Returns:
        Lower and upper bound; NaN where the statistic never was finite.

    Raises:
        DataError: if there is nothing to resample.

    Source: Efron and Tibshirani, *An introduction to the bootstrap* (1993), chapter 13, for the percentile interval;
        Davison and Hinkley, *Bootstrap methods and their application* (1997), section 3.8, for whole groups; McCarthy,
        *Pseudo-replication: half samples* (1969), for halves.

    Example:
        >>> x = torch.arange(100.0)
        >>> low, high = interval(lambda rows: float(x[rows].mean()), 100)
        >>> low < 49.5 < high
        True
    """
    if count == 0:
        raise DataError("there are no rows to resample")
    number = group_numbers(groups, count)
    order = np.argsort(number, kind="stable")
    members = np.split(order, np.cumsum(np.bincount(number))[:-1])
    rng = np.random.default_rng(seed)
    values = []
    for _ in range(resamples):
        if replace:
            drawn = rng.integers(len(members), size=len(members))
        else:
            drawn = rng.permutation(len(members))[: max(1, len(members) // 2)]
        value = statistic(torch.from_numpy(np.concatenate([members[group] for group in drawn])))
        if math.isfinite(value):
            values.append(value)
    if not values:
        return math.nan, math.nan
    low, high = np.quantile(values, [(1 - level) / 2, (1 + level) / 2])
    return float(low), float(high)


@dataclass(frozen=True)
class Seeds:
    """One figure of several runs that differ in their seed alone.

    Attributes:
        mean: over the seeds.
        spread: standard deviation between them, with n - 1; None for one seed, of which nothing is known.
        count: how many.
    """

    mean: float
    spread: float | None
    count: int


def over_seeds(values: Iterable[float]) -> Seeds:
    """Summarize one figure over seeds.

    Raises:
        DataError: if there is none.

    Example:
        >>> over_seeds([1.0, 2.0, 3.0])
        Seeds(mean=2.0, spread=1.0, count=3)
    """
    values = list(values)
    if not values:
        raise DataError("there is no seed to summarize")
    # statistics.stdev fails on what is not finite, such as the figure of a run that collapsed.
    finite = all(map(math.isfinite, values))
    spread = (statistics.stdev(values) if finite else math.nan) if len(values) > 1 else None
    return Seeds(statistics.fmean(values), spread, len(values))
