import itertools

import numpy as np
import pytest
import torch
from sklearn.mixture import BayesianGaussianMixture
from sklearn.mixture import GaussianMixture as Theirs
from sklearn.model_selection import KFold, cross_val_score

import multimodal_vae as mv


def clusters(count=90, dimensions=3):
    rng = torch.Generator().manual_seed(0)
    centers = 6 * torch.randn(3, dimensions, generator=rng, dtype=torch.float64)
    spread = torch.randn(dimensions, dimensions, generator=rng, dtype=torch.float64)
    noise = torch.randn(count, dimensions, generator=rng, dtype=torch.float64) @ spread
    return centers[torch.arange(count) % 3] + noise


@pytest.mark.parametrize("covariance", ["diag", "full", "tied", "spherical"])
def test_log_density_is_scikit_learns(covariance):
    points = clusters()
    ours = mv.GMM(components=3, covariance=covariance, regularization=1e-3).fit(points)()
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
    draws = mv.GMM(components=3, covariance=covariance, regularization=1e-6).fit(points)().sample((20000,))
    # Expectation maximization keeps the data's mean and variances; the rest is the error of 20000 draws, five times.
    spread = points.std(0)
    assert ((draws.mean(0) - points.mean(0)).abs() < 5 * spread / 20000**0.5).all()
    torch.testing.assert_close(draws.var(0), points.var(0, correction=0), rtol=0.05, atol=0)


def test_a_full_covariance_learns_correlation_and_a_diagonal_does_not():
    torch.manual_seed(0)
    x = torch.randn(400, 1)
    points = torch.cat([x, x + 0.1 * torch.randn(400, 1)], dim=1)
    full = mv.GMM(components=1, covariance="full", regularization=1e-3).fit(points)().sample((5000,)).T.corrcoef()[0, 1]
    diagonal = mv.GMM(components=1, covariance="diag").fit(points)().sample((5000,)).T.corrcoef()[0, 1]
    assert full > 0.98
    assert abs(diagonal) < 0.07  # five standard errors of 1 / sqrt(5000)


@pytest.mark.parametrize(("count", "dimensions", "share"), [(20, 8, 0.04), (5, 10, 0.2), (90, 3, 0.01)])
def test_fewer_latents_per_dimension_get_more_variance(count, dimensions, share):
    points = clusters(count, dimensions)
    default, same = mv.GMM().fit(points)(), mv.GMM(regularization=share).fit(points)()
    assert torch.equal(default.log_prob(points), same.log_prob(points))


@pytest.mark.parametrize(("count", "components"), [(2, 1), (5, 2), (6, 3), (40, 3)])
def test_there_are_never_more_components_than_half_the_latents(count, components):
    assert len(mv.GMM(components=3).fit(clusters(count)).means) == components


def test_the_regularization_follows_the_scale_of_the_latents():
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


NUMBERS, SHAPES = [1, 2, 3, 4], ["diag", "full", "tied", "spherical"]


def candidates(points):
    regularization = 1e-3 * float(points.numpy().var(0).mean())
    for number, shape in itertools.product(NUMBERS, SHAPES):
        yield Theirs(number, covariance_type=shape, reg_covar=regularization, max_iter=500, random_state=0)


@pytest.mark.parametrize("count", [24, 90])
def test_the_mixture_chosen_by_bic_is_the_best_of_scikit_learns(count):
    points = clusters(count)
    best = min((each.fit(points.numpy()) for each in candidates(points)), key=lambda each: each.bic(points.numpy()))
    ours = mv.GMM(components=NUMBERS, covariance=SHAPES, regularization=1e-3).fit(points)()
    assert len(ours.means) == best.n_components
    np.testing.assert_allclose(ours.log_prob(points).numpy(), best.score_samples(points.numpy()), rtol=1e-8)


def test_the_mixture_chosen_by_held_out_likelihood_is_the_best_of_scikit_learns():
    points = clusters(60)
    regularization = 1e-3 * float(points.numpy().var(0).mean())
    scores = [cross_val_score(each, points.numpy(), cv=KFold(4)).sum() for each in candidates(points)]
    best = list(candidates(points))[int(np.argmax(scores))].fit(points.numpy())
    assert best.reg_covar == regularization
    settings = {"regularization": 1e-3, "selection": "held_out", "folds": 4}
    ours = mv.GMM(components=NUMBERS, covariance=SHAPES, **settings).fit(points)()
    assert len(ours.means) == best.n_components
    np.testing.assert_allclose(ours.log_prob(points).numpy(), best.score_samples(points.numpy()), rtol=1e-8)


@pytest.mark.parametrize("covariance", SHAPES)
def test_a_variational_density_is_the_mixture_of_scikit_learns_posterior_means(covariance):
    points = clusters()
    regularization = 1e-3 * float(points.numpy().var(0).mean())
    posterior = BayesianGaussianMixture(
        n_components=6, covariance_type=covariance, reg_covar=regularization, max_iter=500, random_state=0
    ).fit(points.numpy())
    plain = Theirs(6, covariance_type=covariance)
    plain.weights_, plain.means_ = posterior.weights_, posterior.means_
    plain.precisions_cholesky_ = posterior.precisions_cholesky_
    ours = mv.GMM(components=6, covariance=covariance, regularization=1e-3, method="variational").fit(points)()
    np.testing.assert_allclose(ours.log_prob(points).numpy(), plain.score_samples(points.numpy()), rtol=1e-8)


def test_a_variational_fit_empties_components_that_it_does_not_need():
    weights = mv.GMM(components=12, covariance="tied", method="variational").fit(clusters(300)).weights
    assert weights.sort(descending=True).values[:3].sum() > 0.95


def test_a_choice_among_variational_fits_cannot_be_made_by_bic():
    with pytest.raises(mv.ConfigurationError, match=r"no BIC.*set selection to 'held_out'"):
        mv.GMM(components=[1, 2], method="variational")


@pytest.mark.parametrize("covariance", SHAPES)
@pytest.mark.parametrize("method", ["em", "variational"])
@pytest.mark.parametrize("count", [2, 5])
def test_few_latents_are_enough(count, method, covariance):
    points = clusters(count, 16).float()
    density = mv.GMM(covariance=covariance, method=method).fit(points)()
    assert density.log_prob(points).isfinite().all()
    assert density.sample((4,)).isfinite().all()


def test_two_latents_are_too_few_to_hold_any_out():
    with pytest.raises(mv.SamplerError, match="held-out likelihood, not 2; set one"):
        mv.GMM(components=[1, 2], selection="held_out").fit(clusters(2))
    assert len(mv.GMM(components=[1, 2], selection="held_out").fit(clusters(3)).means) == 1


def test_shrunk_covariances_lie_between_their_own_and_the_common_one():
    points = clusters(300)
    points[::3] = points[::3].mean(0) + 2 * (points[::3] - points[::3].mean(0))  # one is twice as wide
    own, common, half, nearly = (
        mv.GMM(components=3, regularization=1e-6, covariance=covariance, shrinkage=shrinkage).fit(points)().scale
        for covariance, shrinkage in (("full", 0.5), ("tied", 0.5), ("shrunk", 0.5), ("shrunk", 1 - 1e-7))
    )
    own, common, half, nearly = (scale @ scale.mT for scale in (own, common, half, nearly))
    # Equal clusters that lie apart: at one half, the prior counts as much as the latents of each.
    closest = [min(range(3), key=lambda k, x=x: float((x - (own[k] + common[0]) / 2).norm())) for x in half]
    assert sorted(closest) == [0, 1, 2]
    assert all(
        torch.allclose(x, (own[k] + common[0]) / 2, rtol=1e-3, atol=1e-3) for x, k in zip(half, closest, strict=True)
    )
    assert torch.allclose(nearly, common.expand(3, 3, 3), rtol=1e-3, atol=1e-3)


def test_a_choice_among_shrunk_mixtures_is_made_by_held_out_likelihood():
    with pytest.raises(mv.ConfigurationError, match="covariance = 'shrunk' has no BIC; set selection to 'held_out'"):
        mv.GMM(components=[1, 3], covariance="shrunk")
    chosen = mv.GMM(components=[1, 3], covariance="shrunk", selection="held_out").fit(clusters())
    assert len(chosen().mean) == 3
    assert len(chosen.weights) == 3
