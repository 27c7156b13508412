"""Accuracy, area under the curve and agreement of readers, under weights of items, so that they can be resampled."""

import numpy as np
from numpy.typing import ArrayLike, NDArray

Array = NDArray[np.float64]


def weighted_mean(values: ArrayLike, weights: Array) -> Array:
    """Return means of values (N,) under several weights (B, N), which are (B,); NaN where all weights are zero."""
    total = weights.sum(-1)
    with np.errstate(invalid="ignore"):
        return np.asarray(weights @ np.asarray(values, float) / np.where(total > 0, total, np.nan))


def area(scores: ArrayLike, positive: ArrayLike, weights: Array) -> Array:
    """Return areas under the ROC curve under several weights (B, N), which are (B,).

    The area is the probability that a positive item has a higher score than a negative one, ties half; one half is
    chance. NaN where one of both has no weight.

    Args:
        scores: (N,).
        positive: (N,) of bool.
        weights: (B, N).

    Source: Hanley and McNeil, *The meaning and use of the area under a receiver operating characteristic (ROC) curve*
        (1982).

    Example:
        >>> area([3, 1, 2, 1], [True, True, False, False], np.ones((1, 4))).tolist()
        [0.625]
    """
    x, of = np.asarray(scores, float), np.asarray(positive, bool)
    differences = x[of][:, None] - x[~of]
    wins = (differences > 0) + 0.5 * (differences == 0)
    pairs = weights[:, of].sum(1) * weights[:, ~of].sum(1)
    with np.errstate(invalid="ignore"):
        return np.asarray(((weights[:, of] @ wins) * weights[:, ~of]).sum(1) / np.where(pairs > 0, pairs, np.nan))


def fleiss_kappa(choices: ArrayLike, options: int, weights: Array) -> Array:
    """Return Fleiss' kappa of readers under several weights of the items (B, N), which are (B,).

    One is full agreement, zero the agreement by chance. Items with fewer than two answers are left out; where readers
    skipped items, each item counts with the answers that it has. NaN if all answers are the same.

    Args:
        choices: (R, N), index of each answer; -1 without an answer.
        options: number of possible answers.
        weights: (B, N).

    Source: Fleiss, *Measuring nominal scale agreement among many raters* (1971).

    Example:
        >>> fleiss_kappa([[0, 0, 1, 1], [0, 0, 1, 0]], 2, np.ones((1, 4))).round(4).tolist()
        [0.4667]
    """
    given = np.asarray(choices)
    counts = np.stack([(given == option).sum(0) for option in range(options)], 1).astype(float)  # (N, K)
    answers = counts.sum(1)
    several = answers >= 2
    counts, answers, weights = counts[several], answers[several], weights[:, several]
    agreement = weighted_mean(((counts**2).sum(1) - answers) / (answers * (answers - 1)), weights)
    total = (weights @ answers)[:, None]
    shares = weights @ counts / np.where(total > 0, total, np.nan)
    chance = (shares**2).sum(1)
    with np.errstate(invalid="ignore", divide="ignore"):
        return np.where(chance < 1, (agreement - chance) / (1 - chance), np.nan)


def item_weights(strata: ArrayLike, resamples: int, rng: np.random.Generator) -> Array:
    """Return how often each item is in each bootstrap resample, (resamples, N); the first row is all ones, the sample.

    Items are resampled within strata, so that each resample has as many of each kind.

    Args:
        strata: (N,), kind of each item.
        resamples: number of rows.
        rng: source of random numbers.
    """
    kinds = np.asarray(strata)
    weights = np.ones((resamples, len(kinds)))
    for kind in np.unique(kinds):
        members = np.flatnonzero(kinds == kind)
        weights[1:, members] = rng.multinomial(len(members), np.full(len(members), 1 / len(members)), resamples - 1)
    return weights


def reader_weights(readers: int, resamples: int, rng: np.random.Generator) -> Array:
    """Return how often each reader is in each bootstrap resample, (resamples, R); the first row is all ones."""
    weights = np.ones((resamples, readers))
    weights[1:] = rng.multinomial(readers, np.full(readers, 1 / readers), resamples - 1)
    return weights


def mean_over_readers(values: Array, weights: Array) -> Array:
    """Return the mean of readers' values (B, R) under weights (B, R), which is (B,); values that are NaN are left out.

    NaN if all of them are.
    """
    known = np.where(np.isnan(values), 0.0, weights)
    total = known.sum(1)
    return np.asarray((known * np.nan_to_num(values)).sum(1) / np.where(total > 0, total, np.nan))


def bounds(values: Array, level: float = 0.95) -> tuple[float, float] | None:
    """Return the percentile interval of resampled values (B,), the first of which is the sample's.

    None if the resamples do not differ, as where all answers are right: they then say nothing about the error.

    Source: Efron and Tibshirani, *An introduction to the bootstrap* (1993), chapter 13.
    """
    known = values[1:][np.isfinite(values[1:])]
    if not len(known) or np.ptp(known) == 0:
        return None
    low, high = np.quantile(known, [(1 - level) / 2, (1 + level) / 2])
    return float(low), float(high)
