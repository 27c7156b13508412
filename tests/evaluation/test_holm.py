"""Holm's correction is the closure of Bonferroni's, and lets through as many false alarms as it promises."""

from itertools import combinations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

import multimodal_vae as mv
from multimodal_vae.evaluation.holm import holm

P_VALUES = st.lists(st.floats(0, 1), min_size=1, max_size=6)


@given(P_VALUES)
def test_it_is_the_closed_test_of_bonferroni(p):
    """A hypothesis falls if Bonferroni's test rejects each set of hypotheses that holds it: Marcus et al. (1976)."""
    numbers = range(len(p))
    sets = [each for size in range(1, len(p) + 1) for each in combinations(numbers, size)]
    closed = [max(min(1.0, len(each) * min(p[i] for i in each)) for each in sets if one in each) for one in numbers]
    assert holm(p) == pytest.approx(closed, rel=1e-12)


@given(P_VALUES)
def test_order_does_not_matter_and_nothing_gets_smaller(p):
    adjusted = holm(p)
    assert all(a >= b for a, b in zip(adjusted, p, strict=True))
    assert holm(p[::-1]) == adjusted[::-1]


def test_an_example_by_hand():
    # 0.01 x 4; 0.02 x 3; 0.03 x 2; 0.04 x 1, which is raised to the value before it.
    assert holm([0.03, 0.01, 0.04, 0.02]) == pytest.approx([0.06, 0.04, 0.06, 0.06])
    assert holm([0.5, 0.9]) == [1.0, 1.0]
    assert holm([]) == []


@pytest.mark.parametrize("shared", [0.0, 0.9])
def test_false_alarms_stay_at_the_level_however_tests_depend(shared):
    from scipy.stats import norm

    rng = np.random.default_rng(0)
    z = shared**0.5 * rng.normal(size=(4000, 1)) + (1 - shared) ** 0.5 * rng.normal(size=(4000, 12))
    alarms = np.mean([min(holm(p)) <= 0.05 for p in norm.sf(z).tolist()])
    assert alarms <= 0.05 + 4 * (0.05 * 0.95 / 4000) ** 0.5  # four standard errors of a rate of 5 %


@pytest.mark.parametrize("p", [-0.1, 1.1, float("nan")])
def test_what_is_no_probability_is_refused(p):
    with pytest.raises(mv.DataError, match="between 0 and 1"):
        holm([0.5, p])
