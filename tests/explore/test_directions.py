"""Main directions are the principal components of a density, and a latent is mean, position and rest."""

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from sklearn.decomposition import PCA

from multimodal_vae.explore.directions import main_directions

SEEDS = st.integers(0, 2**31)


def draws_of(seed, count=50, size=6):
    generator = torch.Generator().manual_seed(seed)
    return torch.randn(count, size, generator=generator, dtype=torch.float64) @ torch.randn(
        size, size, generator=generator, dtype=torch.float64
    )


@given(SEEDS)
def test_they_are_the_principal_components_of_scikit_learn(seed):
    draws = draws_of(seed)
    directions = main_directions(draws, draws.mean(0), 3)
    pca = PCA(3, svd_solver="full").fit(draws.numpy())
    # Two methods of float64; their vectors differ by rounding over the gap between two variances.
    np.testing.assert_allclose(directions.deviations**2, pca.explained_variance_, rtol=1e-9)
    np.testing.assert_allclose(directions.shares, pca.explained_variance_ratio_, rtol=1e-9)
    signs = np.sign((directions.vectors.numpy() * pca.components_).sum(1, keepdims=True))
    np.testing.assert_allclose(directions.vectors, signs * pca.components_, atol=1e-6)


@given(SEEDS)
def test_mean_position_and_rest_make_the_latent(seed):
    draws = draws_of(seed)
    directions = main_directions(draws, draws[0], 3)
    position, rest = directions.position(draws[1]), directions.rest(draws[1])
    torch.testing.assert_close(directions.mean + directions.offset(position) + rest, draws[1])
    assert (directions.vectors @ rest).abs().max() < 1e-9  # float64, values of about 10
    torch.testing.assert_close(directions.position(directions.mean + directions.offset(position)), position)


def test_draws_lie_one_deviation_from_their_mean_along_each_direction():
    draws = draws_of(0)
    directions = main_directions(draws, draws.mean(0), 6)
    positions = torch.stack([directions.position(each) for each in draws])
    torch.testing.assert_close(positions.std(0), torch.ones(6, dtype=torch.float64))
    assert directions.shares.sum() == pytest.approx(1)


def test_directions_without_variance_are_left_out():
    draws = draws_of(0)
    draws[:, 2:] = 1.0
    assert len(main_directions(draws, draws.mean(0), 5).deviations) == 2
    assert len(main_directions(torch.zeros(10, 3), torch.zeros(3), 5).deviations) == 0
