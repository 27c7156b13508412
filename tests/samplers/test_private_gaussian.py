import numpy as np
import pytest
import torch
from scipy.stats import beta

import multimodal_vae as mv
from multimodal_vae import mechanism
from multimodal_vae.samplers import private_gaussian
from multimodal_vae.samplers.moments import Statistics

EPSILON, DELTA = 1.0, 0.05
FAR = 1e3
CLASSES = [torch.tensor([[0.1], [-0.5], [2.0]])]
GROUPS = [["a", "a", "b"]]


@pytest.fixture
def rng():
    return np.random.default_rng(0)


def release(extra, draws, seed):
    """Return releases for a few patients and one more, who has some latents by class, and the direction of change."""
    sampler = mv.PrivateGaussian(EPSILON, DELTA, dimensions=1, seed=seed)
    classes = CLASSES + [torch.zeros(0, 1)] * (len(extra) - 1)
    groups = GROUPS + [[]] * (len(extra) - 1)
    statistics = sampler._statistics(classes, None)
    more = [torch.cat([one, torch.tensor(two).reshape(-1, 1)]) for one, two in zip(classes, extra, strict=True)]
    owners = [[*one, *["one more"] * len(two)] for one, two in zip(groups, extra, strict=True)]
    count = sum(len(each) for each in extra)
    added = [
        statistics.of(index, np.reshape(each, (-1, 1)).astype(float)).sum(0) / count for index, each in enumerate(extra)
    ]
    direction = np.stack(added)
    assert np.linalg.norm(direction) <= 1 + 1e-9
    without = sampler._release(statistics, classes, groups, draws)
    sampler = mv.PrivateGaussian(EPSILON, DELTA, dimensions=1, seed=seed + 1)
    return without, sampler._release(statistics, more, owners, draws), direction


def delta_limits(first, second, epsilon):
    """Return confidence limits of the largest P(second > t) - e^epsilon P(first > t) over thresholds t.

    Clopper and Pearson's; all thresholds together fail once in a million.
    """
    count = len(first)
    thresholds = np.quantile(second, np.linspace(0.001, 0.999, 50))
    tail = 1e-6 / (4 * len(thresholds))
    lower, upper = [], []
    for each in thresholds:
        below, above = int((first > each).sum()), int((second > each).sum())
        lower.append(
            beta.ppf(tail, above, count - above + 1) - np.exp(epsilon) * beta.isf(tail, below + 1, count - below)
        )
        most = 0 if not below else beta.ppf(tail, below, count - below + 1)
        upper.append(beta.isf(tail, above + 1, count - above) - np.exp(epsilon) * most)
    return max(lower), max(upper)


def worst_limits(extra, draws, seed=0):
    """Return the limits of the empirical delta at EPSILON, the larger of adding and of removing the patient."""
    without, with_one, direction = release(extra, draws, seed)
    # Noise is normal, so the likelihood ratio is a function of the projection on the difference.
    first, second = ((each * direction).sum((1, 2)) for each in (without, with_one))
    adding, removing = delta_limits(first, second, EPSILON), delta_limits(-second, -first, EPSILON)
    return max(adding[0], removing[0]), max(adding[1], removing[1])


def test_a_million_draws_keep_the_privacy_loss_of_a_patient_with_three_samples_at_the_clip():
    lower, upper = worst_limits([[FAR, FAR, FAR]], 10**6)
    assert lower <= DELTA
    assert upper >= DELTA  # no more noise than needed
    assert upper - lower < 0.25 * DELTA  # so 10^6 draws would notice a quarter more


@pytest.mark.parametrize("extra", [[[FAR], [-FAR]], [[FAR, 0.0]], [[0.0]]], ids=str)
def test_other_patients_lose_no_more(extra):
    assert worst_limits(extra, 10**4)[0] <= DELTA


def test_halved_noise_is_noticed(monkeypatch):
    monkeypatch.setattr(
        private_gaussian, "smallest_deviation", lambda *given: 0.5 * mechanism.smallest_deviation(*given)
    )
    assert worst_limits([[FAR, FAR, FAR]], 10**4)[0] > 2 * DELTA


def test_clipping_samples_in_place_of_patients_is_noticed(monkeypatch):
    monkeypatch.setattr(mechanism, "shares", lambda owners: np.ones(len(owners)))
    assert worst_limits([[FAR, FAR, FAR]], 10**4)[0] > 2 * DELTA


@pytest.mark.parametrize("dimensions", [1, 2, 3, 7])
@pytest.mark.parametrize("clip", [0.1, 0.7, 0.99])
@pytest.mark.parametrize("reference", [False, True])
def test_statistics_have_a_norm_of_at_most_one(dimensions, clip, reference, rng):
    classes = [torch.from_numpy(rng.standard_normal((20, 3))) for _ in range(2)]
    sampler = mv.PrivateGaussian(1.0, clip=clip, dimensions=dimensions)
    statistics = sampler._statistics(classes, classes if reference else None)
    points = rng.standard_normal((200, 3)) * 10.0 ** rng.integers(-3, 6, (200, 1))
    norms = np.linalg.norm(statistics.of(1, points), axis=1)
    assert norms.max() <= 1 + 1e-9
    assert norms.max() > 0.9  # the bound is nearly reached, so little of the budget is wasted
    assert isinstance(statistics, Statistics)


def test_with_little_noise_and_many_patients_the_gaussian_is_found(rng):
    mean, root = np.array([0.5, -1.0, 0.2]), np.array([[1.0, 0, 0], [0.5, 0.6, 0], [0, 0.2, 0.8]])
    points = torch.from_numpy(mean + rng.standard_normal((20_000, 3)) @ root.T)
    density = mv.PrivateGaussian(100.0, 0.5, clip=0.999, seed=0).fit(points)()
    # Sampling alone leaves errors of .01.
    assert np.allclose(density.mean, mean, atol=0.05)
    assert np.allclose(density.scale[0] @ density.scale[0].T, root @ root.T, atol=0.1)


def test_a_shift_from_the_reference_is_found(rng):
    reference = [torch.from_numpy(rng.standard_normal((400, 6)) + 3 * index) for index in range(2)]
    classes = [torch.from_numpy(1.2 * rng.standard_normal((1000, 6)) + 3 * index + 0.5) for index in range(2)]
    fitted = mv.PrivateGaussian(3.0, seed=0).fit_classes(classes, None, reference)
    for index, density in enumerate(fitted.densities):
        assert np.allclose(density.mean, 3 * index + 0.5, atol=0.2)
        # 1.44, of which clipping hides a part; the reference has 1.
        assert 1.1 < density().sample((5000,)).var(0).mean() < 1.5
        assert abs(density.fitted_on - 1000) < 100


@pytest.mark.parametrize("count", [0, 1, 5])
def test_few_patients_get_the_density_of_the_reference_or_of_the_prior(count, rng):
    reference = [torch.from_numpy(rng.standard_normal((400, 6)) + 3), torch.zeros(0, 6, dtype=torch.float64)]
    classes = [torch.from_numpy(rng.standard_normal((count, 6)) - 3)] * 2
    found = mv.PrivateGaussian(0.1, seed=0).fit_classes(classes, None, reference).densities[0]
    assert np.allclose(found.mean, reference[0].mean(0), atol=1e-9)
    found = mv.PrivateGaussian(0.1, seed=0).fit(classes[0])
    assert np.allclose(found.mean, 0, atol=1e-9)
    assert np.allclose(found.factor, np.eye(6), atol=1e-9)
    assert found.fitted_on >= 1


def test_a_seed_voids_the_guarantee():
    assert mv.PrivateGaussian(2.0, 1e-6).guarantee.epsilon == 2.0
    assert mv.PrivateGaussian(2.0, 1e-6, seed=0).guarantee is None


def test_without_a_seed_no_fit_repeats():
    latents = torch.linspace(-1, 1, 400).reshape(200, 2) + 1
    sampler = mv.PrivateGaussian(100.0, 0.5)
    assert not torch.equal(sampler.clone().fit(latents).mean, sampler.clone().fit(latents).mean)


@pytest.mark.parametrize("bad", [torch.zeros(1, 2), torch.ones(5, 2), torch.full((5, 2), torch.nan)])
def test_a_reference_from_which_nothing_follows_is_refused(bad):
    with pytest.raises(mv.SamplerError, match="reference"):
        mv.PrivateGaussian(1.0).fit_classes([torch.randn(9, 2)], None, [bad])


def test_a_base_is_fitted_to_the_reference_moved_to_the_estimated_moments():
    torch.manual_seed(0)
    ring = torch.randn(4000, 3)
    ring = ring / ring.norm(dim=1, keepdim=True) + 0.05 * torch.randn(4000, 3)  # no Gaussian has this shape
    patients = ring[:2000] * torch.tensor([1.5, 1.0, 0.7]) + torch.tensor([0.5, 0.0, -0.5])
    settings = {"epsilon": 100.0, "delta": 0.5, "clip": 0.999, "seed": 0}
    gaussian, moved = (
        mv.PrivateGaussian(base=base, **settings).fit_classes([patients], reference=[ring[2000:]]).densities[0]
        for base in (None, mv.KDE(bandwidth=0.01))
    )
    points = moved.moved.points
    torch.testing.assert_close(points.mean(0), gaussian.mean, atol=1e-4, rtol=0)
    # The covariance of the reference is shrunk, by a hundredth or two with this many latents.
    torch.testing.assert_close(torch.cov(points.T), gaussian.factor @ gaussian.factor.T, atol=0.03, rtol=0)
    torch.testing.assert_close(points.mean(0), patients.mean(0), atol=0.05, rtol=0)
    torch.testing.assert_close(points.var(0), patients.var(0), atol=0.0, rtol=0.1)
    # It is a ring still: no draw is near its middle, where the Gaussian is densest.
    assert moved().log_prob(gaussian.mean) < gaussian().log_prob(gaussian.mean) - 10
    assert moved.fitted_on == gaussian.fitted_on
    again = moved.clone().restore(moved.state())
    assert torch.equal(again().log_prob(patients[:5]), moved().log_prob(patients[:5]))


def test_a_base_needs_a_reference_and_is_not_private():
    with pytest.raises(mv.SamplerError, match="fits its base to a reference, and there is none"):
        mv.PrivateGaussian(epsilon=1.0, base="kde").fit(torch.randn(9, 2))
    with pytest.raises(mv.ConfigurationError, match="'private_gaussian' is private"):
        mv.PrivateGaussian(epsilon=1.0, base={"name": "private_gaussian", "epsilon": 1.0})


def test_a_class_whose_reference_the_base_refuses_goes_without():
    sampler = mv.PrivateGaussian(epsilon=1.0, base="kde", seed=0)
    fitted = sampler.fit_classes([torch.randn(9, 2)] * 2, reference=[torch.randn(9, 2), torch.zeros(0, 2)])
    assert fitted.densities[0] is not None
    assert fitted.densities[1] is None
    assert "at least 2 latents" in fitted.failures[1]
