"""Which subgroups of the held-out samples the generated samples fit worse, by tests corrected for their number."""

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from statistics import NormalDist

from scipy.stats import t

from multimodal_vae.evaluation.holm import holm
from multimodal_vae.evaluation.result import MetricResult
from multimodal_vae.report.records import Metrics

LEVEL = 0.05
"""Probability of one or more false alarms among all subgroups and metrics."""
NOT_OF_PATIENTS = ("purity", "coherence", "copying", "fidelity/precision", "fidelity/density")
"""Metrics whose intervals cover generated samples, not patients; subgroups are not tested by them."""
_QUANTILE = NormalDist().inv_cdf(0.975)  # of the 95 % intervals


@dataclass(frozen=True)
class SubgroupTest:
    """One metric of a subgroup against the same metric of all held-out samples.

    Attributes:
        column: column of the manifest.
        value: the subgroup.
        metric: name of the metric.
        patients: patients of the subgroup.
        p_value: probability of a difference as large, in the worse direction, if the subgroup is like all samples.
        adjusted: p-value adjusted for the number of all tests of the evaluation.
    """

    column: str
    value: str
    metric: str
    patients: int
    p_value: float
    adjusted: float

    @property
    def worse(self) -> bool:
        """Whether the subgroup is worse."""
        return self.adjusted <= LEVEL


def compare_subgroups(metrics: Metrics) -> list[SubgroupTest]:
    """Test each metric of each subgroup, with Holm's correction over all of these tests.

    Args:
        metrics: an evaluation.

    Returns:
        One test per subgroup and metric that has an interval over patients.
    """
    overall, everyone = {result.name: result for result in metrics["results"]}, metrics["evaluated"]["patients"]
    found = [
        (group, result.name, p)
        for group in metrics["subgroups"]
        for result in group["results"]
        if result.name in overall
        and (p := p_value(result, overall[result.name], group["patients"], everyone)) is not None
    ]
    adjusted = holm([p for _, _, p in found])
    return [
        SubgroupTest(group["column"], group["value"], name, group["patients"], p, corrected)
        for (group, name, p), corrected in zip(found, adjusted, strict=True)
    ]


def p_value(part: MetricResult, overall: MetricResult, patients: int, everyone: int) -> float | None:
    """Return the p-value of a metric that is worse in a subgroup than over all samples; None if it cannot be tested.

    A subgroup is worse if its value is, and also the difference of its value from that of real samples: where real
    samples are worse as well, the subgroup is harder and not neglected. The larger p-value of these two tests counts.

    Each is Student's test with patients - 1 degrees of freedom. The standard error follows from the wider side of the
    interval, and is at least that of as many patients drawn from all. The value over all samples counts as known: it
    varies with that of the subgroup, which is a part of them, so that their difference varies less.

    Args:
        part: result of the subgroup.
        overall: result of all held-out samples.
        patients: patients of the subgroup.
        everyone: all held-out patients.

    Source: standard error from an interval: Altman and Bland, *How to obtain the P value from a confidence interval*
        (2011); t distribution for few clusters: Cameron and Miller, *A practitioner's guide to cluster-robust
        inference* (2015), section VI; larger of two p-values: Berger, *Multiparameter hypothesis testing and
        acceptance sampling* (1982).

    Example:
        >>> everyone = MetricResult("fidelity/recall", 0.9, interval=(0.88, 0.92), real=0.9)
        >>> camera = MetricResult("fidelity/recall", 0.6, interval=(0.56, 0.64), real=0.9)
        >>> p_value(camera, everyone, patients=30, everyone=120) < 0.001
        True
    """
    spread, pooled = _half_width(part), _half_width(overall)
    if part.name.startswith(NOT_OF_PATIENTS) or spread is None or pooled is None or patients < 2:
        return None
    error = max(spread, pooled * math.sqrt(everyone / patients)) / _QUANTILE
    gaps = [each.value - (each.real or 0.0) for each in (part, overall)]
    if not error or (part.aim == "real" and abs(gaps[0]) <= abs(gaps[1])):
        return 1.0
    differences = [part.value - overall.value, gaps[0] - gaps[1]]  # below zero: worse
    if part.aim == "lower":
        differences = [-each for each in differences]
    if part.aim == "real":
        return max(2 * float(t.sf(abs(each) / error, patients - 1)) for each in differences)
    return max(float(t.cdf(each / error, patients - 1)) for each in differences)


def worse_subgroups(tests: Sequence[SubgroupTest]) -> list[str]:
    """Return a sentence per subgroup that is worse in a metric.

    Example:
        >>> worse_subgroups([SubgroupTest("camera", "B", "fidelity/recall", 30, 1e-5, 1e-3)])
        ['camera = B (30 patients): worse in fidelity/recall (adjusted p = 0.001).']
    """
    sentences = []
    for (column, value, patients), metrics in _by_subgroup(tests).items():
        names = ", ".join(f"{each.metric} (adjusted p = {each.adjusted:.2g})" for each in metrics)
        sentences.append(f"{column} = {value} ({patients} patients): worse in {names}.")
    return sentences


def _by_subgroup(tests: Sequence[SubgroupTest]) -> Mapping[tuple[str, str, int], list[SubgroupTest]]:
    groups: dict[tuple[str, str, int], list[SubgroupTest]] = {}
    for each in tests:
        if each.worse:
            groups.setdefault((each.column, each.value, each.patients), []).append(each)
    return groups


def _half_width(result: MetricResult) -> float | None:
    """Return the wider side of an interval."""
    if result.interval is None or not all(map(math.isfinite, (result.value, *result.interval))):
        return None
    return max(result.interval[1] - result.value, result.value - result.interval[0], 0.0)
