"""A subgroup is worse only where a test says so that is corrected for the number of all tests."""

import numpy as np
import pytest
from scipy.stats import ttest_1samp

from evaluations import evaluation, subgroup
from multimodal_vae.evaluation.bootstrap import interval, mean_of
from multimodal_vae.evaluation.neighbors import neighbors
from multimodal_vae.evaluation.result import MetricResult
from multimodal_vae.report.subgroups import LEVEL, compare_subgroups, p_value, worse_subgroups

Z = 1.959963984540054


def _mean(x, name="m", aim="higher"):
    """The mean of values with its interval in closed form."""
    half = Z * x.std(ddof=1) / len(x) ** 0.5
    return MetricResult(name, float(x.mean()), aim, (float(x.mean() - half), float(x.mean() + half)))


@pytest.mark.parametrize(("aim", "alternative"), [("higher", "less"), ("lower", "greater"), ("real", "two-sided")])
def test_it_is_students_test(aim, alternative):
    rng = np.random.default_rng(0)
    everyone, members = rng.normal(0.4, 0.3, 500), rng.normal(0.2, 1, 25)
    if aim == "real":
        everyone -= everyone.mean()  # the subgroup is further from real samples
    part, overall = _mean(members, aim=aim), _mean(everyone, aim=aim)
    expected = ttest_1samp(members, overall.value, alternative=alternative).pvalue
    assert p_value(part, overall, 25, 500) == pytest.approx(expected, rel=1e-9)


def test_a_subgroup_that_real_samples_are_worse_in_as_well_is_not_neglected():
    overall = MetricResult("m", 0.9, interval=(0.88, 0.92), real=0.95)
    harder = MetricResult("m", 0.6, interval=(0.55, 0.65), real=0.65)
    neglected = MetricResult("m", 0.6, interval=(0.55, 0.65), real=0.95)
    assert p_value(harder, overall, 50, 200) > 0.4
    assert p_value(neglected, overall, 50, 200) < 1e-9


def test_a_few_patients_who_are_all_alike_prove_little():
    overall = MetricResult("m", 0.7, interval=(0.6, 0.8))
    alike = MetricResult("m", 0.5, interval=(0.5, 0.5))
    assert p_value(alike, overall, 3, 100) > 0.2
    assert p_value(MetricResult("m", 0.5, interval=(0.5, 0.5)), MetricResult("m", 1.0, interval=(1, 1)), 3, 9) == 1


@pytest.mark.parametrize(
    "part",
    [
        MetricResult("m", 0.1),
        MetricResult("m", float("nan"), interval=(0.1, 0.2)),
        MetricResult("m", 0.1, interval=(float("nan"), 0.2)),
        MetricResult("purity", 0.1, interval=(0.1, 0.2)),  # of generated samples
    ],
)
def test_what_has_no_interval_over_patients_is_not_tested(part):
    overall = MetricResult(part.name, 0.9, interval=(0.8, 1.0))
    assert p_value(part, overall, 50, 200) is None
    assert compare_subgroups(evaluation([overall], subgroups=[subgroup("A", [part])])) == []


def test_one_subgroup_is_found_among_many_and_only_there():
    rng = np.random.default_rng(0)
    values = rng.normal(0.8, 0.1, (10, 40))
    values[3] -= 0.3
    groups = [subgroup(str(number), [_mean(x, "fidelity/recall")]) for number, x in enumerate(values)]
    tests = compare_subgroups(evaluation([_mean(values.ravel(), "fidelity/recall")], patients=400, subgroups=groups))
    assert len(tests) == 10
    assert [each.value for each in tests if each.worse] == ["3"]
    (sentence,) = worse_subgroups(tests)
    assert sentence.startswith("camera = 3 (40 patients): worse in fidelity/recall (adjusted p = ")


def test_more_tests_make_each_stricter():
    overall, part = MetricResult("m", 0.9, interval=(0.88, 0.92)), MetricResult("m", 0.8, interval=(0.72, 0.88))
    few, many = (
        compare_subgroups(
            evaluation([overall], subgroups=[subgroup("A", [part]), *(subgroup(str(n), [overall]) for n in range(k))])
        )[0]
        for k in (1, 50)
    )
    assert few.p_value == many.p_value
    assert few.worse
    assert not many.worse


@pytest.mark.parametrize("distribution", ["normal", "exponential", "few patients", "shares"])
def test_equal_subgroups_raise_no_more_false_alarms_than_the_level(distribution):
    rng = np.random.default_rng(1)
    alarms, trials = 0, 400
    for _ in range(trials):
        sizes = [6, 8, 10, 12] if distribution == "few patients" else [20, 30, 40, 60]
        draw = {"exponential": lambda n: -rng.exponential(size=n), "shares": lambda n: rng.binomial(6, 0.8, n) / 6}
        values = [draw.get(distribution, lambda n: rng.normal(size=n))(size) for size in sizes]
        groups = [subgroup(str(n), [_mean(x)], patients=len(x)) for n, x in enumerate(values)]
        metrics = evaluation([_mean(np.concatenate(values))], patients=sum(sizes), subgroups=groups)
        alarms += any(each.worse for each in compare_subgroups(metrics))
    assert alarms / trials <= LEVEL + 3 * (LEVEL * (1 - LEVEL) / trials) ** 0.5  # three standard errors


def test_false_alarms_of_a_metric_that_compares_sets_stay_at_the_level():
    import torch

    torch.manual_seed(0)
    trials, alarms = 40, 0

    def people(count):  # two samples each
        return torch.randn(count, 4).repeat_interleave(2, 0) + 0.5 * torch.randn(2 * count, 4)

    def coverage(real, train, new):
        covered = [neighbors(real, each[torch.randperm(len(each))[: len(real)]]).covered for each in (new, train)]
        patients = [str(row // 2) for row in range(len(real))]
        bounds = interval(mean_of(covered[0]), len(real), patients, resamples=60)
        value, reference = (float(x.double().mean()) for x in covered)
        return MetricResult("fidelity/coverage", value, "higher", bounds, reference)

    for _ in range(trials):
        held_out, train, new = people(80), people(100), people(100) + 0.2
        groups = [
            subgroup(str(n), [coverage(held_out[40 * n : 40 * n + 40], train, new)], patients=20) for n in range(4)
        ]
        metrics = evaluation([coverage(held_out, train, new)], patients=80, subgroups=groups)
        alarms += any(each.worse for each in compare_subgroups(metrics))
    assert alarms / trials <= LEVEL + 3 * (LEVEL * (1 - LEVEL) / trials) ** 0.5
