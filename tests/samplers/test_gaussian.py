import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from scipy.stats import multivariate_normal
from sklearn.covariance import LedoitWolf, ShrunkCovariance

import multimodal_vae as mv


def latents(seed, count, dimensions):
    rng = torch.Generator().manual_seed(seed)
    mixing = torch.randn(dimensions, dimensions, generator=rng, dtype=torch.float64)
    return 3 + torch.randn(count, dimensions, generator=rng, dtype=torch.float64) @ mixing


@given(seed=st.integers(0, 1000), count=st.sampled_from([3, 10, 60]), dimensions=st.sampled_from([2, 5, 40]))
def test_the_log_density_is_that_of_scikit_learns_ledoit_wolf(seed, count, dimensions):
    points = latents(seed, count, dimensions)
    theirs = LedoitWolf().fit(points.numpy())
    ours = mv.ShrunkGaussian().fit(points)().log_prob(points + 0.5)
    expected = multivariate_normal(theirs.location_, theirs.covariance_).logpdf(points.numpy() + 0.5)
    np.testing.assert_allclose(ours.numpy(), expected, rtol=1e-8)


@pytest.mark.parametrize("shrinkage", [0.0, 0.3, 1.0])
def test_a_given_shrinkage_is_scikit_learns(shrinkage):
    points = latents(0, 30, 4)
    theirs = ShrunkCovariance(shrinkage=shrinkage).fit(points.numpy())
    ours = mv.ShrunkGaussian(shrinkage=shrinkage).fit(points)
    np.testing.assert_allclose((ours.factor @ ours.factor.T).numpy(), theirs.covariance_, rtol=1e-10)


def test_a_shrinkage_of_one_is_a_sphere_of_the_total_variance():
    points = latents(0, 30, 4)
    factor = mv.ShrunkGaussian(shrinkage=1.0).fit(points).factor
    torch.testing.assert_close(factor, points.var(0, correction=0).mean().sqrt() * torch.eye(4, dtype=torch.float64))


@pytest.mark.parametrize(("count", "shrinkage"), [(2, None), (3, 0.0), (4, 0.0)])
def test_too_few_latents_for_so_little_shrinkage_say_what_to_set(count, shrinkage):
    with pytest.raises(mv.SamplerError, match=rf"{count} latents of 4 dimensions.*set a larger shrinkage"):
        mv.ShrunkGaussian(shrinkage=shrinkage).fit(latents(0, count, 4))


@pytest.mark.parametrize("count", [2, 5])
def test_few_latents_are_enough_with_shrinkage(count):
    points = latents(0, count, 16).float()
    assert mv.ShrunkGaussian(shrinkage=0.5).fit(points)().log_prob(points).isfinite().all()


def test_round_latents_need_no_shrinkage():
    points = torch.tensor([[1.0, 0.0], [-1.0, 0.0], [0.0, 1.0], [0.0, -1.0]], dtype=torch.float64)
    factor = mv.ShrunkGaussian().fit(points).factor
    torch.testing.assert_close(factor @ factor.T, points.T @ points / 4)
