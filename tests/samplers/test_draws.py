"""Compare draws of each sampler with an independent implementation of the same density."""

import numpy as np
import pytest
import torch
from scipy.stats import ks_2samp
from sklearn.mixture import BayesianGaussianMixture, GaussianMixture
from sklearn.neighbors import KernelDensity, NearestNeighbors

import multimodal_vae as mv

COUNT, DIMENSIONS = 4000, 3
LEVEL = 1e-4  # significance level of each projection, 12 per sampler; seeds are fixed


@pytest.fixture(scope="module")
def points():
    rng = np.random.default_rng(0)
    return np.concatenate([rng.normal(0, 1, (30, DIMENSIONS)), rng.normal([4, 0, -2], [0.5, 2, 1], (30, DIMENSIONS))])


def kernels(points, sampler):
    h = float(sampler.chosen)
    return KernelDensity(bandwidth=h).fit(points).sample(COUNT, random_state=1)


def variance_preserving(points, sampler):
    """Use the formula of a draw; the sampler uses that of the density."""
    rng, h, mean = np.random.default_rng(1), float(sampler.chosen), points.mean(0)
    draws = points[rng.integers(len(points), size=COUNT)] + h * rng.normal(size=(COUNT, DIMENSIONS))
    return mean + (draws - mean) / np.sqrt(1 + h**2 / points.var(0).mean())


def gaussian(points, sampler):
    from sklearn.covariance import LedoitWolf

    return np.random.default_rng(1).multivariate_normal(points.mean(0), LedoitWolf().fit(points).covariance_, COUNT)


def mixture(points, sampler):
    kind = GaussianMixture if sampler.method == "em" else BayesianGaussianMixture
    added = 1e-3 * points.var(0).mean()
    settings = {"covariance_type": sampler.covariance, "reg_covar": added, "max_iter": 500, "random_state": 0}
    return kind(n_components=3, **settings).fit(points).sample(COUNT)[0]


def normal(points, sampler):
    return np.random.default_rng(1).normal(size=(COUNT, DIMENSIONS))


def between_neighbors(points, sampler):
    rng = np.random.default_rng(1)
    neighbors = NearestNeighbors(n_neighbors=5).fit(points).kneighbors(return_distance=False)
    first = rng.integers(len(points), size=COUNT)
    second = neighbors[first, rng.integers(5, size=COUNT)]
    along, noise = rng.random((COUNT, 1)), rng.normal(size=(COUNT, DIMENSIONS))
    return points[first] + along * (points[second] - points[first]) + 0.1 * np.sqrt(points.var(0).mean()) * noise


def zukos(points, sampler):
    torch.manual_seed(1)
    return (sampler.network().sample((COUNT,)) * sampler.deviation + sampler.mean).numpy()


CASES = [
    (mv.KDE(), kernels),
    (mv.KDE(kernel="variance_preserving"), variance_preserving),
    (mv.ShrunkGaussian(), gaussian),
    *((mv.GMM(covariance=shape), mixture) for shape in ("full", "tied", "diag", "spherical")),
    (mv.GMM(covariance="full", method="variational"), mixture),
    (mv.Prior(), normal),
    (mv.Interpolation(), between_neighbors),
    (mv.Flow(transforms=2, hidden=[16], epochs=30), zukos),
]


@pytest.mark.parametrize(("sampler", "oracle"), CASES, ids=[repr(sampler)[:50] for sampler, _ in CASES])
def test_draws_are_those_of_an_independent_sampler(sampler, oracle, points):
    if isinstance(sampler, mv.Flow):
        pytest.importorskip("zuko")
    density = sampler.fit(torch.from_numpy(points))()
    torch.manual_seed(0)
    draws, expected = density.sample((COUNT,)).numpy(), oracle(points, sampler)
    directions = np.concatenate([np.eye(DIMENSIONS), np.random.default_rng(2).normal(size=(9, DIMENSIONS))])
    for direction in directions:
        assert ks_2samp(draws @ direction, expected @ direction).pvalue > LEVEL


def test_the_two_sample_test_tells_a_bandwidth_that_is_a_little_too_large(points):
    sampler = mv.KDE(bandwidth=1.0).fit(torch.from_numpy(points))
    torch.manual_seed(0)
    wider = mv.KDE(bandwidth=1.4).fit(torch.from_numpy(points))().sample((COUNT,)).numpy()
    values = [ks_2samp(wider[:, k], kernels(points, sampler)[:, k]).pvalue for k in range(DIMENSIONS)]
    assert min(values) < LEVEL
