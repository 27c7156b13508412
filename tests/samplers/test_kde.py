import math

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from sklearn.model_selection import GridSearchCV, KFold, LeaveOneOut
from sklearn.neighbors import KernelDensity

import multimodal_vae as mv
from multimodal_vae.samplers.kde import cross_validated_log_likelihood


def latents(seed, count=40, dimensions=2, dtype=torch.float64):
    rng = torch.Generator().manual_seed(seed)
    return torch.randn(count, dimensions, generator=rng, dtype=dtype) * torch.linspace(0.5, 2, dimensions, dtype=dtype)


@pytest.mark.parametrize("dimensions", [2, 128])
@pytest.mark.parametrize("bandwidth", [0.3, 2.0])
def test_log_density_is_scikit_learns(dimensions, bandwidth):
    points, queries = latents(0, dimensions=dimensions), latents(1, dimensions=dimensions)
    # At its default leaf size scikit-learn's answer is an approximation that is far off in many dimensions.
    theirs = KernelDensity(bandwidth=bandwidth, leaf_size=len(points)).fit(points.numpy())
    ours = mv.KDE(bandwidth=bandwidth).fit(points)().log_prob(queries)
    np.testing.assert_allclose(ours.numpy(), theirs.score_samples(queries.numpy()), rtol=1e-9)


@given(
    seed=st.integers(0, 1000),
    count=st.sampled_from([10, 23, 42]),
    dimensions=st.sampled_from([1, 2, 16, 128]),
    folds=st.sampled_from([2, 5]),
)
def test_the_chosen_bandwidth_is_that_of_scikit_learns_grid_search(seed, count, dimensions, folds):
    points = latents(seed, count, dimensions)
    grid = [0.1, 0.2, 0.4, 0.7, 1.0, 1.4, 2.0, 4.0]
    search = GridSearchCV(KernelDensity(leaf_size=count), {"bandwidth": grid}, cv=KFold(folds)).fit(points.numpy())
    assert float(mv.KDE(bandwidths=grid, folds=folds).fit(points).chosen) == search.best_params_["bandwidth"]


def test_the_cross_validated_scores_are_scikit_learns():
    points, grid = latents(3, 17, 3), [0.2, 0.5, 1.0]
    expected = []
    for h in grid:
        total = 0.0
        for kept, held in KFold(5).split(points.numpy()):
            model = KernelDensity(bandwidth=h, leaf_size=17).fit(points.numpy()[kept])
            total += model.score(points.numpy()[held])
        expected.append(total)
    np.testing.assert_allclose(cross_validated_log_likelihood(points, grid, 5).numpy(), expected, rtol=1e-9)


def test_the_default_grid_follows_the_scale_of_the_latents():
    points = latents(0, 60, 4)
    chosen = float(mv.KDE().fit(points).chosen)
    assert float(mv.KDE().fit(1000 * points).chosen) == pytest.approx(1000 * chosen)
    spread = math.sqrt(float(points.var(0, correction=0).mean()))
    steps = np.log(np.logspace(np.log10(0.03), np.log10(3), 41))
    assert np.abs(steps - math.log(chosen / spread)).min() < 1e-5  # one of the 41 values, kept as float32


def test_the_bandwidth_is_asked_for_only_where_it_is_none():
    assert float(mv.KDE(bandwidth=0.7).fit(latents(0)).chosen) == 0.7


def test_draws_lie_a_bandwidth_about_the_latents():
    torch.manual_seed(0)
    points = torch.tensor([[-100.0, 0.0], [100.0, 0.0]])
    drawn = mv.KDE(bandwidth=2.0).fit(points)().sample((4000,))
    left = drawn[drawn[:, 0] < 0]
    # Binomial of 4000 draws: standard error 32; a deviation of n draws has the relative error 1 / sqrt(2 n), 1.6 %.
    assert abs(len(left) - 2000) < 5 * 32
    torch.testing.assert_close(left.std(0), torch.full((2,), 2.0), rtol=0.08, atol=0)


def test_a_fit_of_as_few_latents_as_two_works():
    density = mv.KDE().fit(torch.tensor([[0.0], [1.0]]))()
    assert density.log_prob(torch.zeros(1, 1)).isfinite().all()


def test_the_order_of_the_draws_does_not_touch_what_was_fitted():
    points = latents(0)
    sampler = mv.KDE().fit(points)
    kept = sampler.points.clone()
    points.zero_()
    assert torch.equal(sampler.points, kept)


def as_theirs(points, h, kernel):
    """scikit-learn's kernel density of the same settings."""
    if kernel == "variance_preserving":
        c = 1 / np.sqrt(1 + h**2 / points.var(0).mean())
        points, h = points.mean(0) + c * (points - points.mean(0)), c * h
    return KernelDensity(bandwidth=h, leaf_size=len(points)).fit(points)


@pytest.mark.parametrize("dimensions", [1, 3, 64])
def test_the_variance_preserving_density_is_scikit_learns_of_the_shrunk_points(dimensions):
    points, queries = latents(0, dimensions=dimensions), latents(1, dimensions=dimensions)
    ours = mv.KDE(bandwidth=0.8, kernel="variance_preserving").fit(points)().log_prob(queries)
    theirs = as_theirs(points.numpy(), 0.8, "variance_preserving").score_samples(queries.numpy())
    np.testing.assert_allclose(ours.numpy(), theirs, rtol=1e-9)


@pytest.mark.parametrize("h", [0.1, 1.0, 10.0])
def test_the_variance_preserving_density_has_the_latents_mean_and_total_variance(h):
    points = latents(2, 30, 4)
    density = mv.KDE(bandwidth=h, kernel="variance_preserving").fit(points)()
    variance = density.means.var(0, correction=0).sum() + density.scale.square().sum()
    torch.testing.assert_close(density.mean, points.mean(0))
    torch.testing.assert_close(variance, points.var(0, correction=0).sum())
    plain = mv.KDE(bandwidth=h).fit(points)()
    inflated = plain.means.var(0, correction=0).sum() + plain.scale.square().sum()
    torch.testing.assert_close(inflated, points.var(0, correction=0).sum() + 4 * h**2)


@pytest.mark.parametrize("kernel", ["plain", "variance_preserving"])
@pytest.mark.parametrize("folds", [2, 5, 17])
def test_held_out_scores_of_each_kernel_are_scikit_learns(kernel, folds):
    points, grid = latents(3, 17, 3), [0.2, 0.5, 1.0]
    expected = [
        sum(as_theirs(points.numpy()[a], h, kernel).score(points.numpy()[b]) for a, b in KFold(folds).split(points))
        for h in grid
    ]
    ours = cross_validated_log_likelihood(points, grid, folds, kernel)
    np.testing.assert_allclose(ours.numpy(), expected, rtol=1e-9)


@pytest.mark.parametrize("kernel", ["plain", "variance_preserving"])
@pytest.mark.parametrize("folds", [2, 17])
def test_scores_of_some_rows_at_a_time_are_those_of_all_at_once(kernel, folds, monkeypatch):
    points, grid = latents(3, 17, 3), [0.2, 0.5, 1.0]
    whole = cross_validated_log_likelihood(points, grid, folds, kernel)
    monkeypatch.setattr("multimodal_vae.samplers.kde._CHUNK", 50)
    torch.testing.assert_close(cross_validated_log_likelihood(points, grid, folds, kernel), whole)


@given(seed=st.integers(0, 1000), count=st.sampled_from([10, 23]), dimensions=st.sampled_from([1, 16]))
def test_the_bandwidth_chosen_by_leaving_one_out_is_scikit_learns(seed, count, dimensions):
    points, grid = latents(seed, count, dimensions), [0.1, 0.2, 0.4, 0.7, 1.0, 1.4, 2.0, 4.0]
    search = GridSearchCV(KernelDensity(leaf_size=count), {"bandwidth": grid}, cv=LeaveOneOut()).fit(points.numpy())
    chosen = mv.KDE(bandwidths=grid, selection="leave_one_out").fit(points).chosen
    assert float(chosen) == search.best_params_["bandwidth"]


def test_a_shared_bandwidth_is_the_best_for_all_classes_together():
    classes, grid = [latents(0, 40, 2), 4 * latents(1, 30, 2)], np.geomspace(0.1, 10, 60).tolist()
    scores = sum(cross_validated_log_likelihood(points, grid, 5) for points in classes)
    prepared = mv.KDE(bandwidths=grid, shared=True).prepare(classes)
    assert prepared.bandwidth == grid[int(scores.argmax())]
    alone = [float(mv.KDE(bandwidths=grid).fit(points).chosen) for points in classes]
    assert alone[0] < prepared.bandwidth < alone[1]


def test_without_a_shared_bandwidth_or_with_one_given_nothing_is_prepared():
    for sampler in (mv.KDE(), mv.KDE(bandwidth=1.0, shared=True)):
        assert sampler.prepare([latents(0)]) is sampler


def test_classes_that_teach_nothing_do_not_stand_in_the_way_of_a_shared_bandwidth():
    bad = [torch.zeros(0, 2), torch.zeros(1, 2), torch.full((4, 2), math.nan)]
    sampler = mv.KDE(shared=True)
    assert sampler.prepare(bad) is sampler
    assert sampler.prepare([*bad, latents(0)]).bandwidth == sampler.prepare([latents(0)]).bandwidth


@pytest.mark.parametrize("count", [2, 5])
@pytest.mark.parametrize("kernel", ["plain", "variance_preserving"])
@pytest.mark.parametrize("selection", ["cross_validation", "leave_one_out"])
def test_few_latents_are_enough(count, kernel, selection):
    points = latents(0, count, 16, torch.float32)
    density = mv.KDE(kernel=kernel, selection=selection).fit(points)()
    assert density.log_prob(points).isfinite().all()


@pytest.mark.parametrize("kernel", ["plain", "variance_preserving"])
def test_many_latents_are_scored_by_some_of_them(kernel, monkeypatch):
    latents, grid = torch.randn(600, 2, generator=torch.Generator().manual_seed(0)), [0.05, 0.2, 0.4, 0.8]
    whole = cross_validated_log_likelihood(latents, grid, 5, kernel)
    monkeypatch.setattr("multimodal_vae.samplers.kde._PAIRS", 600 * 300)
    scored = cross_validated_log_likelihood(latents, grid, 5, kernel)
    assert scored.argmax() == whole.argmax()
    assert not scored.equal(whole)
    # Half of the latents: the standard error of their sum, doubled, is about 600 * 1.0 / sqrt(300) = 35 nats.
    torch.testing.assert_close(scored[1:], whole[1:], rtol=0, atol=4 * 35)
