import numpy as np
import pytest
from scipy.stats import kstest

from multimodal_vae.mechanism import gaussian_noise, privacy_profile, private_sums, shares, smallest_deviation

BUDGETS = [(0.3, 1e-6), (1.0, 1e-5), (3.0, 1e-4), (8.0, 1e-5), (1.0, 0.05)]


@pytest.fixture
def rng():
    return np.random.default_rng(0)


@pytest.mark.parametrize(("epsilon", "delta"), BUDGETS)
def test_the_accountant_of_google_agrees(epsilon, delta):
    pytest.importorskip("dp_accounting")  # its own requirements forbid the attrs of this environment
    from dp_accounting.pld.privacy_loss_distribution import from_gaussian_mechanism
    from dp_accounting.pld.privacy_loss_mechanism import GaussianPrivacyLoss

    deviation = smallest_deviation(epsilon, delta, sensitivity=2.0)
    exact = GaussianPrivacyLoss(deviation, sensitivity=2.0)
    for other in (0.0, epsilon / 2, epsilon, 2 * epsilon):
        expected = exact.get_delta_for_epsilon(other)
        assert privacy_profile(other, deviation, 2.0) == pytest.approx(expected, rel=1e-6, abs=1e-15)
    # A privacy loss distribution is discrete, and rounds epsilon up by at most one interval; the deviation is rounded
    # up by 1e-9.
    found = from_gaussian_mechanism(deviation, 2.0, value_discretization_interval=1e-2).get_epsilon_for_delta(delta)
    assert (1 - 1e-6) * epsilon <= found <= epsilon + 1e-2


@pytest.mark.parametrize(("epsilon", "delta"), [*BUDGETS, (100.0, 1e-9), (1e-3, 1e-12), (1.0, 0.999)])
def test_the_deviation_is_the_smallest_that_suffices(epsilon, delta):
    deviation = smallest_deviation(epsilon, delta)
    assert 0.999 * delta < privacy_profile(epsilon, deviation) <= delta
    assert privacy_profile(epsilon, 0.999 * deviation) > delta
    assert smallest_deviation(epsilon, delta, 3.0) == pytest.approx(3 * deviation)


def test_noise_is_normal_and_secret():
    first, second = gaussian_noise((20_000, 2), 3.0), gaussian_noise((20_000, 2), 3.0)
    assert len(np.unique([first, second])) == 80_000
    # Each of these fails once in a million.
    assert kstest(first.ravel(), "norm", (0, 3)).pvalue > 1e-6
    assert abs(np.corrcoef(first.T)[0, 1]) < 5 / 20_000**0.5
    assert abs(np.corrcoef(first.ravel(), second.ravel())[0, 1]) < 5 / 40_000**0.5


def test_a_seed_repeats_the_noise():
    assert np.array_equal(gaussian_noise((3, 2), 1.0, seed=1), gaussian_noise((3, 2), 1.0, seed=1))
    assert not np.array_equal(gaussian_noise((3, 2), 1.0, seed=1), gaussian_noise((3, 2), 1.0, seed=2))


def test_a_patient_moves_all_sums_by_at_most_one(rng):
    for _ in range(50):
        count = int(rng.integers(2, 9))
        vectors = rng.standard_normal((count, 3)) * 10.0 ** rng.integers(-2, 4)
        vectors[rng.random((count, 3)) < 0.1] = rng.choice([np.nan, np.inf, 1e300])
        classes, owners = rng.integers(0, 3, count), [f"{patient}" for patient in rng.integers(0, 3, count)]
        rest = np.array([owner != owners[0] for owner in owners])
        kept = [owner for owner, keep in zip(owners, rest, strict=True) if keep]
        everyone = private_sums(vectors, classes, owners, 3, 1.0, seed=0)
        without = private_sums(vectors[rest], classes[rest], kept, 3, 1.0, seed=0)
        assert np.linalg.norm(everyone - without) <= 1 + 1e-9


def test_sums_are_those_of_patients():
    vectors = np.array([[0.5, 0], [0, 1], [30, 40], [np.nan, 1]])
    assert list(shares(["a", "a", "b", "c"])) == [0.5, 0.5, 1, 1]
    sums = private_sums(vectors, np.array([0, 1, 1, 0]), ["a", "a", "b", "c"], 3, deviation=1e-12)
    assert np.allclose(sums, [[[0.25, 0], [0.6, 1.3], [0, 0]]])
