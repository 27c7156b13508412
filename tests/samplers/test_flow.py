import sys

import pytest
import torch
from torch.distributions import AffineTransform, TransformedDistribution

import multimodal_vae as mv

zuko = pytest.importorskip("zuko")

SMALL = {"transforms": 1, "hidden": [8]}


def moons(seed, count=400, dtype=torch.float32):
    """An arc of a circle, with noise: no Gaussian."""
    rng = torch.Generator().manual_seed(seed)
    angle = 3 * torch.rand(count, generator=rng)
    arc = torch.stack([angle.cos(), angle.sin()], 1) + 0.1 * torch.randn(count, 2, generator=rng)
    return (5 * arc + torch.tensor([100.0, 0.0])).to(dtype)


def zukos(sampler):
    """zuko's own distribution, moved by torch's own transform."""
    scale = AffineTransform(sampler.mean, sampler.deviation, event_dim=1)
    return TransformedDistribution(sampler.network(), scale, validate_args=False)


@pytest.mark.parametrize("transform", ["spline", "affine"])
def test_log_density_is_zukos(transform, monkeypatch):
    points = moons(0, 60, torch.float64)
    sampler = mv.Flow(transform=transform, **SMALL, epochs=20).fit(points)
    expected = zukos(sampler).log_prob(points)
    torch.testing.assert_close(sampler().log_prob(points), expected)
    monkeypatch.setattr("multimodal_vae.samplers.flow._Standardized._chunk", 14)
    torch.testing.assert_close(sampler().log_prob(points.reshape(6, 10, 2)), expected.reshape(6, 10))


def test_it_learns_what_no_gaussian_can():
    held_out = moons(1)
    flow, gaussian = (each.fit(moons(0))().log_prob(held_out).mean() for each in (mv.Flow(), mv.ShrunkGaussian()))
    # An arc of width 0.5 and length 15 has the entropy ln 15 + 1.42 + ln 0.5 = 3.4 nats, a Gaussian over it about 4.7.
    assert flow > gaussian + 0.7


def test_the_weights_with_the_highest_held_out_likelihood_are_kept():
    # Far too large a step spoils the weights in each epoch, so that those of the beginning are the best.
    begun, spoilt = (mv.Flow(**SMALL, epochs=n, learning_rate=rate) for n, rate in ((1, 1e-30), (4, 100.0)))
    points = moons(0, 60)
    torch.testing.assert_close(spoilt.fit(points)().log_prob(points), begun.fit(points)().log_prob(points))


def test_the_same_seed_fits_the_same_and_another_does_not():
    first, again, other = (mv.Flow(**SMALL, epochs=2, seed=seed).fit(moons(0, 60)).state() for seed in (3, 3, 4))
    assert all(torch.equal(first[name], again[name]) for name in first)
    assert not all(torch.equal(first[name], other[name]) for name in first)


@pytest.mark.parametrize("count", [2, 5, 9])
def test_few_latents_are_refused_with_what_to_take_instead(count):
    with pytest.raises(mv.SamplerError, match=f"at least 10 latents, not {count};.*'kde' or 'gaussian'"):
        mv.Flow().fit(torch.randn(count, 3))


def test_ten_latents_are_enough():
    density = mv.Flow(**SMALL, epochs=2).fit(moons(0, 10))()
    assert density.sample((3,)).isfinite().all()


def test_a_dimension_without_spread_is_named():
    points = torch.randn(20, 3)
    points[:, 1] = 2
    with pytest.raises(mv.SamplerError, match="no spread along dimension 1"):
        mv.Flow().fit(points)


def test_a_state_that_lacks_a_tensor_is_refused():
    state = mv.Flow(**SMALL, epochs=1).fit(moons(0, 20)).state()
    del state["deviation"]
    with pytest.raises(mv.SamplerError, match="lacks 'deviation'"):
        mv.Flow(**SMALL).restore(state)


def test_without_zuko_it_says_how_to_install_it(monkeypatch):
    sampler = mv.Flow(**SMALL, epochs=1)
    state = sampler.fit(moons(0, 20)).state()
    monkeypatch.setitem(sys.modules, "zuko.flows", None)
    for call in (lambda: sampler.fit(moons(0, 20)), lambda: mv.Flow(**SMALL).restore(state)):
        with pytest.raises(mv.ConfigurationError, match=r"pip install 'multimodal-vae\[flow\]'"):
            call()


def test_gradients_of_the_density_reach_the_latents_alone():
    sampler = mv.Flow(**SMALL, epochs=1).fit(moons(0, 20))
    point = moons(0, 1).requires_grad_()
    sampler().log_prob(point).sum().backward()
    assert point.grad.abs().sum() > 0
    assert not any(weight.requires_grad for weight in sampler.network.parameters())


def test_drawing_goes_in_parts(monkeypatch):
    density = mv.Flow(**SMALL, epochs=1).fit(moons(0, 20))()
    monkeypatch.setattr(type(density), "_chunk", 6)
    assert density.sample((2, 5)).shape == (2, 5, 2)
    assert density.sample((0,)).shape == (0, 2)
    assert density.sample().shape == (2,)
