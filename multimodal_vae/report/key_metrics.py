"""The five metrics that a report shows first, on a scale on which real samples have 1."""

import math
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from typing import Literal

from multimodal_vae.evaluation.result import MetricResult

MARGIN = 0.1
"""Difference from real samples, as a share of their value, that counts as close."""
LEAST_PATIENTS = 30
"""Patients below which no metric is close: with n patients and no exception among them, 3 / n may be exceptions.

Source: Hanley and Lippman-Hand, *If nothing goes wrong, is everything all right?* (1983).
"""
MOST = 5
"""Number of key metrics."""

State = Literal["close", "short", "undecided"]
"""``close``: the whole interval is within :data:`MARGIN` of real samples or better, and there are at least
:data:`LEAST_PATIENTS` patients; ``short``: it is not within, and the whole interval is worse than real samples; else
``undecided``."""


@dataclass(frozen=True)
class KeyMetric:
    """A metric relative to real samples.

    Attributes:
        title: what is measured, in plain words.
        question: the question that it answers.
        result: the result.
        value: relative value; real samples have 1.
        interval: its interval, if there is one.
        baseline: relative value of the baseline, if known.
        state: see :data:`State`.
    """

    title: str
    question: str
    result: MetricResult
    value: float
    interval: tuple[float, float] | None
    baseline: float | None
    state: State


@dataclass(frozen=True)
class _Candidate:
    """A key metric: of the metrics whose names begin so, the one that is furthest below real samples."""

    title: str
    question: str
    prefix: str


_CANDIDATES = (
    _Candidate(
        "Class fidelity",
        "Does a classifier that learned only from generated samples recognize the classes of real patients?",
        "utility/synthetic alone",
    ),
    _Candidate("Diversity", "Is there a similar generated sample for each kind of real sample?", "fidelity/coverage"),
    _Candidate("Realism", "Does a classifier take generated samples for real ones?", "fidelity/two-sample"),
    _Candidate(
        "Agreement of modalities", "Do the modalities of a sample show the same, intended class?", "coherence/class/"
    ),
    _Candidate(
        "Distance to training patients",
        "Are generated samples as far from the training samples as other patients' samples are? Copies are nearer.",
        "copying/closest record",
    ),
    _Candidate("Class purity", "Does a classifier of real samples recognize the intended class?", "purity"),
    _Candidate("Fine detail", "Do generated samples have as much detail as real ones?", "sharpness/"),
)
"""In the order of their importance: a metric takes the place of one that an evaluation lacks."""


def key_metrics(results: Sequence[MetricResult], patients: int) -> list[KeyMetric]:
    """Return the key metrics of an evaluation, at most :data:`MOST`.

    Values are divided by that of real samples. Of an area under a ROC curve, what is divided is the rest to 1, the
    probability that a classifier takes a generated sample for more real than a real one; values below .5 are chance.

    Args:
        results: all results of an evaluation.
        patients: held-out patients.

    Example:
        >>> coverage = MetricResult("fidelity/coverage", 0.6, interval=(0.5, 0.7), real=0.8)
        >>> (diversity,) = key_metrics([coverage], patients=100)
        >>> diversity.title, round(diversity.value, 2), diversity.state
        ('Diversity', 0.75, 'short')
    """
    found = (min(_found(candidate, results, patients), key=_value, default=None) for candidate in _CANDIDATES)
    return [key for key in found if key][:MOST]


def _value(key: KeyMetric) -> float:
    return key.value


def _found(candidate: _Candidate, results: Sequence[MetricResult], patients: int) -> Iterator[KeyMetric]:
    for result in results:
        relative = _relative(result)
        if not result.name.startswith(candidate.prefix) or relative is None or not math.isfinite(result.value):
            continue
        interval = None
        if result.interval is not None and all(map(math.isfinite, result.interval)):
            low, high = sorted(map(relative, result.interval))
            interval = low, high
        baseline = None if result.baseline is None else relative(result.baseline)
        yield KeyMetric(
            candidate.title,
            candidate.question,
            result,
            relative(result.value),
            interval,
            baseline,
            _state(result, interval, patients),
        )


def _relative(result: MetricResult) -> Callable[[float], float] | None:
    """Return the function that maps values to the relative scale, or None if real samples have no positive value."""

    def good(value: float) -> float:
        return 1 - max(value, 0.5) if result.aim == "lower" else value

    real = good(result.real) if result.real is not None else math.nan
    return (lambda value: good(value) / real) if real > 0 else None


def _state(result: MetricResult, interval: tuple[float, float] | None, patients: int) -> State:
    low, high = interval or (math.nan, math.nan)
    if low >= 1 - MARGIN and (result.aim != "real" or high <= 1 + MARGIN):
        return "close" if patients >= LEAST_PATIENTS else "undecided"
    return "short" if high < 1 or (result.aim == "real" and low > 1) else "undecided"
