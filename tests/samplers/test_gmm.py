import numpy as np
import pytest
import torch
from sklearn.mixture import GaussianMixture as Theirs

import multimodal_vae as mv


def clusters(count=90, dimensions=3):
    rng = torch.Generator().manual_seed(0)
    centres = 6 * torch.randn(3, dimensions, generator=rng, dtype=torch.float64)
    spread = torch.randn(dimensions, dimensions, generator=rng, dtype=torch.float64)
    noise = torch.randn(count, dimensions, generator=rng, dtype=torch.float64) @ spread
    return centres[torch.arange(count) % 3] + noise


@pytest.mark.parametrize("covariance", ["diag", "full"])
def test_log_density_is_scikit_learns(covariance):
    points = clusters()
    ours = mv.GMM(components=3, covariance=covariance, regularisation=1e-3).fit(points)()
    theirs = Theirs(
        3,
        covariance_type=covariance,
        reg_covar=1e-3 * float(points.numpy().var(0).mean()),
        max_iter=500,
        random_state=0,
    ).fit(points.numpy())
    queries = points + 0.5
    np.testing.assert_allclose(ours.log_prob(queries).numpy(), theirs.score_samples(queries.numpy()), rtol=1e-8)


@pytest.mark.parametrize("covariance", ["diag", "full"])
def test_draws_have_the_moments_of_the_latents(covariance):
    torch.manual_seed(0)
    points = clusters()
    drawn = mv.GMM(components=3, covariance=covariance, regularisation=1e-6).fit(points)().sample((20000,))
    # Expectation maximisation keeps the data's mean and variances; the rest is the error of 20000 draws, five times.
    spread = points.std(0)
    assert ((drawn.mean(0) - points.mean(0)).abs() < 5 * spread / 20000**0.5).all()
    torch.testing.assert_close(drawn.var(0), points.var(0, correction=0), rtol=0.05, atol=0)


def test_a_full_covariance_learns_correlation_and_a_diagonal_does_not():
    torch.manual_seed(0)
    x = torch.randn(400, 1)
    points = torch.cat([x, x + 0.1 * torch.randn(400, 1)], dim=1)
    full = mv.GMM(components=1, covariance="full").fit(points)().sample((5000,)).T.corrcoef()[0, 1]
    diagonal = mv.GMM(components=1).fit(points)().sample((5000,)).T.corrcoef()[0, 1]
    assert full > 0.98
    assert abs(diagonal) < 0.07  # five standard errors of 1 / sqrt(5000)


@pytest.mark.parametrize(("count", "components"), [(2, 1), (5, 2), (6, 3), (40, 3)])
def test_there_are_never_more_components_than_half_the_latents(count, components):
    assert len(mv.GMM(components=3).fit(clusters(count)).means) == components


def test_the_regularisation_follows_the_scale_of_the_latents():
    points = clusters()
    small, large = mv.GMM().fit(1e-3 * points)(), mv.GMM().fit(1e3 * points)()
    shift = 3 * np.log(1e6)
    torch.testing.assert_close(small.log_prob(1e-3 * points), large.log_prob(1e3 * points) + shift)


def test_the_same_seed_fits_the_same():
    first, second = mv.GMM(seed=3).fit(clusters()), mv.GMM(seed=3).fit(clusters())
    assert all(torch.equal(first.state()[name], second.state()[name]) for name in first.state())


def test_few_distinct_latents_fit_without_a_warning():
    points = torch.tensor([[0.0, 0.0], [1.0, 1.0]]).repeat(6, 1)
    assert mv.GMM(components=3).fit(points)().log_prob(points).isfinite().all()
