import math

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from multimodal_vae.errors import DataError
from multimodal_vae.evaluation.bootstrap import interval, over_seeds


def cohort(seed, patients=30, visits=4):
    """Values that belong to the patient for the most part, and whose they are; their mean is zero."""
    rng = torch.Generator().manual_seed(seed)
    x = torch.randn(patients, 1, generator=rng) + 0.1 * torch.randn(patients, visits, generator=rng)
    return x.flatten(), [f"p{k // visits}" for k in range(patients * visits)]


def covered(groups, replace=True, trials=150):
    hits = 0
    for seed in range(trials):
        x, whose = cohort(seed)
        low, high = interval(
            lambda rows, x=x: float(x[rows].mean()), len(x), whose if groups else None, 100, 0.9, seed, replace
        )
        hits += low <= 0 <= high
    return hits / trials


@pytest.mark.parametrize("replace", [True, False])
def test_the_interval_covers_as_often_as_it_says(replace):
    # 150 trials at .9: a standard error of .024, and a percentile interval of 30 patients covers somewhat less.
    assert 0.8 < covered(groups=True, replace=replace) <= 0.98


def test_rows_resampled_one_by_one_promise_too_much():
    assert covered(groups=False) < 0.75


@pytest.mark.parametrize("replace", [True, False])
def test_its_width_is_that_of_theory(replace):
    x = torch.randn(400, generator=torch.Generator().manual_seed(0))
    low, high = interval(lambda rows: float(x[rows].mean()), 400, resamples=2000, replace=replace)
    expected = 2 * 1.96 * float(x.std()) / math.sqrt(400)
    assert high - low == pytest.approx(expected, rel=0.08)  # of quantiles of 2,000 draws, some 3 %


def test_whole_groups_are_drawn():
    seen = []
    whose = ["a", "b", "a", "c", "c", "c"]

    def look(rows):
        seen.append(np.bincount(rows, minlength=6))
        return 0.0

    interval(look, 6, whose, resamples=20)
    assert all(n[0] == n[2] and n[3] == n[4] == n[5] and n[0] + n[1] + n[3] == 3 for n in seen)
    seen.clear()
    interval(look, 6, whose, resamples=20, replace=False)
    assert all(n.max() == 1 for n in seen)


def test_it_follows_its_seed_and_leaves_out_what_is_not_finite():
    x = torch.arange(10.0)

    def mean(rows):
        return float(x[rows].mean()) if 0 in rows else math.nan

    assert interval(mean, 10, seed=3) == interval(mean, 10, seed=3) != interval(mean, 10, seed=4)
    assert all(math.isnan(bound) for bound in interval(lambda _: math.nan, 10))
    with pytest.raises(DataError, match="no rows"):
        interval(mean, 0)


def test_seeds_are_summarized_by_mean_and_sample_deviation():
    values = [0.1, 0.4, 0.35]
    summary = over_seeds(values)
    assert (summary.mean, summary.spread, summary.count) == pytest.approx((np.mean(values), np.std(values, ddof=1), 3))
    assert over_seeds([2.0]).spread is None
    with pytest.raises(DataError, match="no seed"):
        over_seeds([])


def test_a_seed_whose_figure_is_not_finite_is_not_hidden():
    summary = over_seeds([1.0, math.nan])
    assert math.isnan(summary.mean)
    assert math.isnan(summary.spread)
    assert over_seeds([math.nan]).spread is None


@given(st.lists(st.sampled_from("abcdef"), min_size=1, max_size=20), st.booleans(), st.integers(0, 99))
def test_each_resample_holds_whole_groups_in_their_order(groups, replace, seed):
    seen = []
    interval(lambda rows: seen.append(rows.tolist()) or 0.0, len(groups), groups, 3, seed=seed, replace=replace)
    members = [[row for row, each in enumerate(groups) if each == name] for name in sorted({*groups})]
    rng = np.random.default_rng(seed)
    for rows in seen:
        if replace:
            chosen = rng.integers(len(members), size=len(members))
        else:
            chosen = rng.permutation(len(members))[: max(1, len(members) // 2)]
        assert rows == [row for group in chosen for row in members[group]]
