"""Each measure against another way to work it out."""

import math
from statistics import NormalDist

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from scipy.stats import binomtest
from sklearn.metrics import auc, roc_auc_score, roc_curve
from sklearn.neighbors import KNeighborsClassifier, NearestNeighbors

from multimodal_vae.distances import nearest, product_distances
from multimodal_vae.errors import DataError
from multimodal_vae.privacy.adversarial import adversarial
from multimodal_vae.privacy.attributes import guess_attribute, risk
from multimodal_vae.privacy.closest import copies, distance_ratio, nearer
from multimodal_vae.privacy.epsilon import FALSE_POSITIVE_RATES, epsilon_lower_bound
from multimodal_vae.privacy.membership import Attack


def normal(seed, *shape):
    return torch.randn(*shape, generator=torch.Generator().manual_seed(seed), dtype=torch.float64)


seeds = st.integers(0, 1000)


def gaussian_delta(epsilon, distance=1.0):
    """Return the least delta of N(0, 1) against N(distance, 1); Balle and Wang (2018), theorem 8."""
    cdf = NormalDist().cdf
    return cdf(distance / 2 - epsilon / distance) - math.exp(epsilon) * cdf(-distance / 2 - epsilon / distance)


@pytest.mark.parametrize("patients", [20, 200])
def test_the_bound_on_epsilon_of_a_gaussian_mechanism_is_below_it_as_often_as_it_says(patients):
    wrong = 0
    for seed in range(100):
        attack = Attack(normal(seed, patients) + 1, normal(seed + 1000, patients))
        wrong += epsilon_lower_bound(attack, gaussian_delta(0.2), level=0.5) > 0.2
    assert wrong <= 50  # far fewer, since the limits are corrected for each threshold


def test_the_bound_on_epsilon_approaches_that_of_a_gaussian_mechanism():
    members, others = normal(0, 200_000) + 1, normal(1, 200_000)
    for attack in (Attack(members, others), Attack(-others, -members)):
        assert 0.9 < epsilon_lower_bound(attack, gaussian_delta(1.0)) <= 1


@given(st.integers(1, 40), st.integers(1, 3))
def test_a_perfect_attack_proves_what_so_many_patients_can(patients, visits):
    scores = torch.arange(patients * visits) % visits  # no one's lower scores matter
    groups = [f"{kind} {row // visits}" for kind in "mo" for row in range(patients * visits)]
    risk = 0.01  # of each limit
    attack = Attack(scores.double() + visits, scores.double(), groups)
    of_all, of_none = (
        binomtest(hits, patients, alternative=side).proportion_ci(1 - risk, method="exact")
        for hits, side in ((patients, "greater"), (0, "less"))
    )
    most = max(0.0, math.log((of_all.low - 0.01) / of_none.high))
    found = epsilon_lower_bound(attack, 0.01, 1 - risk * 4 * len(FALSE_POSITIVE_RATES))
    assert found == pytest.approx(most, abs=1e-9)


@pytest.mark.parametrize(("delta", "level"), [(-0.1, 0.95), (1.0, 0.95), (0.1, 1.0), (float("nan"), 0.5)])
def test_a_bound_on_epsilon_needs_probabilities(delta, level):
    with pytest.raises(DataError, match="both must be between 0 and 1"):
        epsilon_lower_bound(Attack(torch.ones(3), torch.zeros(3)), delta, level)


@given(seeds, st.integers(1, 4), st.booleans())
def test_nearest_finds_what_scikit_learn_finds(seed, k, itself):
    records = normal(seed, 300, 3)
    x = records if itself else normal(seed + 1, 270, 3)
    far, rows = nearest(x, records, k, itself=itself)
    searched = NearestNeighbors(n_neighbors=k, algorithm="brute").fit(records.numpy())
    expected, found = searched.kneighbors(None if itself else x.numpy())
    np.testing.assert_allclose(far, expected, atol=1e-6)  # theirs are products, as ours are not
    np.testing.assert_array_equal(rows, found)


def test_distances_are_those_of_differences():
    x, y = normal(0, 20, 5), normal(1, 30, 5)
    torch.testing.assert_close(product_distances(x, y), (x[:, None] - y).square().sum(2).sqrt())


def test_a_copy_is_at_no_distance_however_far_from_the_origin():
    records = 1e6 + normal(0, 50, 100)
    assert nearest(records[:7], records)[0].abs().max() == 0


def test_too_few_records_are_refused():
    with pytest.raises(DataError, match="3 are needed to find 2 neighbors"):
        nearest(normal(0, 2, 1), normal(0, 2, 1), 2, itself=True)


@given(seeds)
def test_adversarial_accuracy_is_that_of_a_loop(seed):
    real, new = normal(seed, 12, 2), normal(seed + 1, 12, 2)

    def closest(row, rows):
        return min(float((row - each).norm()) for each in rows)

    total = 0
    for ours, theirs in ((real, new), (new, real)):
        for i, row in enumerate(ours):
            total += closest(row, theirs) > closest(row, torch.cat([ours[:i], ours[i + 1 :]]))
    assert adversarial(real, new).accuracy() == pytest.approx(total / 24)


@given(st.lists(st.integers(0, 5), min_size=1, max_size=30), st.lists(st.integers(0, 5), min_size=1, max_size=30))
def test_the_area_under_the_curve_is_scikit_learns_ties_included(members, others):
    attack = Attack(torch.tensor(members).double(), torch.tensor(others).double())
    truth = [1] * len(members) + [0] * len(others)
    assert attack.auc() == pytest.approx(roc_auc_score(truth, members + others))
    swapped = Attack(attack.others, attack.members)
    assert attack.auc() + swapped.auc() == pytest.approx(1)


@given(st.lists(st.integers(0, 9), min_size=1, max_size=30), st.lists(st.integers(0, 9), min_size=1, max_size=30))
def test_true_positives_are_the_best_that_any_threshold_within_the_rate_finds(members, others):
    attack = Attack(torch.tensor(members).double(), torch.tensor(others).double())
    allowed = [
        np.mean(np.array(members) > threshold)
        for threshold in range(-1, 10)
        if np.mean(np.array(others) > threshold) <= 0.1 + 1e-12
    ]
    assert attack.true_positive_rate(0.1) == pytest.approx(max(allowed))


@given(st.lists(st.integers(0, 9), min_size=1, max_size=30), st.lists(st.integers(0, 9), min_size=1, max_size=30))
def test_a_short_curve_is_scikit_learns(members, others):
    false, true = Attack(torch.tensor(members).double(), torch.tensor(others).double()).curve()
    positive = np.arange(len(members) + len(others)) < len(members)
    expected = zip(*roc_curve(positive, members + others, drop_intermediate=False)[:2], strict=True)
    best = dict(sorted(expected))  # of a vertical line, its upper end
    assert dict(zip(false, true, strict=True)) == best
    assert false == list(best)


@pytest.mark.parametrize("count", [101, 20_000])
def test_a_long_curve_is_thinned_to_points_of_scikit_learns_and_keeps_its_area(count):
    attack = Attack(normal(0, count) + 1, normal(1, count))
    attack.members[0] = math.inf
    false, true = attack.curve()
    ranks = torch.unique(torch.cat([attack.members, attack.others]), return_inverse=True)[1]
    positive = np.arange(2 * count) < count
    exact = zip(*roc_curve(positive, ranks, drop_intermediate=False)[:2], strict=True)
    assert set(zip(false, true, strict=True)) <= set(exact)
    assert len(false) <= 102
    assert (false[0], false[-1], true[-1]) == (0.0, 1.0, 1.0)
    assert attack.true_positive_rate(0.01) == max(y for x, y in zip(false, true, strict=True) if x <= 0.01)
    assert auc(false, true) == pytest.approx(attack.auc(), abs=0.01)  # chords below a bend, twenty in a decade


def test_a_score_that_is_no_number_is_refused():
    with pytest.raises(DataError, match="not a number"):
        Attack(torch.tensor([float("nan")]), torch.zeros(1))


@given(seeds)
def test_a_ratio_of_distances_lies_between_none_and_one(seed):
    ratio = distance_ratio(nearest(normal(seed, 20, 3), normal(seed + 1, 20, 3), 2)[0])
    assert bool(((ratio >= 0) & (ratio <= 1)).all())


@given(seeds)
def test_what_is_not_nearer_to_one_set_is_nearer_to_the_other(seed):
    one, other = normal(seed, 30).abs().round(), normal(seed + 1, 30).abs().round()
    assert bool((nearer(one, other) + nearer(other, one) == 1).all())


def test_an_exact_copy_is_a_near_one_and_there_is_none_without_a_reference():
    exact, near = copies(torch.tensor([0.0, 0.09, 0.11]), torch.ones(5))
    assert (exact.tolist(), near.tolist()) == ([True, False, False], [True, True, False])
    with pytest.raises(DataError, match="held-out"):
        copies(torch.zeros(1), torch.zeros(0))


def test_attributes_are_guessed_as_scikit_learn_does():
    x, known = normal(0, 100, 3), normal(1, 200, 3)
    attribute = (known[:, 0] > 0).long()
    model = KNeighborsClassifier(5).fit(known.numpy(), attribute.numpy())
    np.testing.assert_array_equal(guess_attribute(x, known, attribute, 5), model.predict(x.numpy()))


def test_of_equally_frequent_attributes_the_nearest_counts():
    known = torch.tensor([[1.0], [2.0], [3.0], [4.0]])
    assert guess_attribute(torch.zeros(1, 1), known, torch.tensor([8, 2, 2, 8]), k=4).tolist() == [8]


def test_no_risk_where_the_control_does_as_well():
    assert risk(0.7, 0.7) == 0
    assert risk(1.0, 0.5) == 1
