"""Planted outliers are found in draws of a density that keeps latents, and not in draws of one Gaussian."""

import pytest
import torch

from multimodal_vae.distances import nearest
from multimodal_vae.privacy.membership import Attack
from multimodal_vae.samplers.base import DensitySampler

DIMENSIONS, PATIENTS, PLANTED, SEEDS = 8, 200, 10, 5


def outliers(count, rng):
    """Latents far from those of all others, each in a direction of its own."""
    return 8 * torch.nn.functional.normalize(torch.randn(count, DIMENSIONS, generator=rng), dim=1)


def found(sampler, seed):
    """Share of the planted outliers that the attack recognizes while 1 % of others like them are taken for these."""
    rng = torch.Generator().manual_seed(seed)
    planted, others = outliers(PLANTED, rng), outliers(1000, rng)
    usual = torch.randn(PATIENTS - PLANTED, DIMENSIONS, generator=rng)
    torch.manual_seed(seed)
    density = DensitySampler.of(sampler).fit(torch.cat([planted, usual]))()
    draws = density.sample((10 * PATIENTS,))
    return Attack(*(-nearest(each, draws)[0][:, 0] for each in (planted, others))).true_positive_rate(0.01)


@pytest.mark.parametrize("sampler", ["kde", "interpolation"])
def test_outliers_are_found_where_the_density_keeps_latents(sampler):
    # Ten draws per latent: none of a given one has a probability of 5e-5.
    assert sum(found(sampler, seed) for seed in range(SEEDS)) / SEEDS > 0.9


@pytest.mark.parametrize("sampler", ["gaussian", {"name": "private_gaussian", "epsilon": 3.0, "seed": 0}])
def test_outliers_are_not_found_where_the_density_is_one_gaussian(sampler):
    # By chance, 0.5 of 50 are found; 5 or more have a probability of 2e-4.
    assert sum(found(sampler, seed) for seed in range(SEEDS)) / SEEDS < 0.1
