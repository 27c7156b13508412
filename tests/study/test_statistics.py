"""Statistics of readers against scikit-learn, worked examples and closed forms."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from sklearn.metrics import roc_auc_score

from multimodal_vae.study.statistics import (
    area,
    bounds,
    fleiss_kappa,
    item_weights,
    mean_over_readers,
    reader_weights,
    weighted_mean,
)

ROWS = st.lists(st.tuples(st.integers(-5, 5), st.booleans(), st.integers(0, 3)), min_size=2, max_size=30)


@given(ROWS)
def test_the_area_is_scikit_learns_with_weights(rows):
    scores, positive, weights = map(np.array, zip(*rows, strict=True))
    found = area(scores, positive, weights[None].astype(float))[0]
    if weights[positive].sum() and weights[~positive].sum():
        assert found == pytest.approx(roc_auc_score(positive, scores, sample_weight=weights), abs=1e-12)
    else:
        assert np.isnan(found)


@given(ROWS)
def test_weights_are_the_same_as_repeated_rows(rows):
    scores, positive, weights = map(np.array, zip(*rows, strict=True))
    repeated = np.repeat(np.arange(len(rows)), weights)
    several = np.ones((1, len(repeated)))
    choices = np.stack([positive, scores > 0, scores > 2]).astype(int)
    for found, expected in [
        (area(scores, positive, weights[None] * 1.0), area(scores[repeated], positive[repeated], several)),
        (weighted_mean(scores, weights[None] * 1.0), weighted_mean(scores[repeated], several)),
        (fleiss_kappa(choices, 2, weights[None] * 1.0), fleiss_kappa(choices[:, repeated], 2, several)),
    ]:
        np.testing.assert_allclose(found, expected, atol=1e-12)


def test_kappa_is_that_of_the_published_example():
    # 14 raters, 10 subjects, 5 categories; Wikipedia, Fleiss' kappa: agreement .378, chance .213, kappa .210.
    table = [
        [0, 0, 0, 0, 14],
        [0, 2, 6, 4, 2],
        [0, 0, 3, 5, 6],
        [0, 3, 9, 2, 0],
        [2, 2, 8, 1, 1],
        [7, 7, 0, 0, 0],
        [3, 2, 6, 3, 0],
        [2, 5, 3, 2, 2],
        [6, 5, 2, 1, 0],
        [0, 2, 2, 3, 7],
    ]
    choices = np.stack([np.repeat(np.arange(5), row) for row in table], 1)
    assert fleiss_kappa(choices, 5, np.ones((1, 10)))[0] == pytest.approx(0.210, abs=5e-4)


@given(st.lists(st.tuples(st.integers(0, 2), st.integers(0, 2)), min_size=1, max_size=30))
def test_kappa_of_two_readers_is_scotts_pi(pairs):
    first, second = map(np.array, zip(*pairs, strict=True))
    agreement = (first == second).mean()
    shares = np.bincount(np.concatenate([first, second]), minlength=3) / (2 * len(first))
    chance = (shares**2).sum()
    found = fleiss_kappa(np.stack([first, second]), 3, np.ones((1, len(first))))[0]
    if chance > 1 - 1e-12:
        assert np.isnan(found)
    else:
        assert found == pytest.approx((agreement - chance) / (1 - chance), abs=1e-9)


def test_kappa_leaves_out_items_of_one_reader():
    two = np.array([[0, 1, 1, 0], [0, 1, 0, 0]])
    more = np.concatenate([two, [[1, -1], [-1, -1]]], 1)
    whole = fleiss_kappa(two, 2, np.ones((1, 4)))
    np.testing.assert_allclose(fleiss_kappa(more, 2, np.ones((1, 6))), whole)


def test_resamples_keep_the_number_of_each_kind_and_begin_with_the_sample():
    kinds = np.array(["a"] * 5 + ["b"] * 3)
    weights = item_weights(kinds, 50, np.random.default_rng(0))
    assert (weights[0] == 1).all()
    assert (weights[:, :5].sum(1) == 5).all()
    assert (weights[:, 5:].sum(1) == 3).all()
    assert len(np.unique(weights, axis=0)) > 40
    assert (reader_weights(4, 50, np.random.default_rng(0)).sum(1) == 4).all()


def test_the_mean_over_readers_leaves_out_those_without_a_value():
    values, weights = np.array([[1.0, np.nan, 0.0], [np.nan] * 3]), np.array([[3.0, 5.0, 1.0], [1.0, 1.0, 1.0]])
    np.testing.assert_allclose(mean_over_readers(values, weights), [0.75, np.nan])


def test_the_spread_of_resamples_is_the_standard_error():
    # One reader: sqrt(p (1 - p) / n). Readers who are always or never right: sqrt(p (1 - p) / readers). Both by the
    # bootstrap's binomial variance; 20,000 resamples know a standard error to 0.5 %, and 2 % is four times that.
    rng, right = np.random.default_rng(0), np.array([1.0] * 30 + [0.0] * 10)
    one = weighted_mean(right, item_weights(["a"] * 40, 20001, rng))[1:]
    assert one.std() == pytest.approx(np.sqrt(0.75 * 0.25 / 40), rel=0.02)
    readers = np.tile(np.array([1.0] * 6 + [0.0] * 2), (20001, 1))
    both = mean_over_readers(readers, reader_weights(8, 20001, rng))[1:]
    assert both.std() == pytest.approx(np.sqrt(0.75 * 0.25 / 8), rel=0.02)


def test_bounds_are_quantiles_of_the_resamples_alone():
    assert bounds(np.array([99.0, *np.arange(101)])) == pytest.approx((2.5, 97.5))
    assert bounds(np.array([1.0, np.nan])) is None
    assert bounds(np.array([0.5, 1.0, 1.0, np.nan])) is None  # as where all answers are right
