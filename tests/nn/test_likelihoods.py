"""Scales of noise and censored values, against scipy, quadrature and closed forms."""

import numpy as np
import pytest
import torch
from scipy import integrate, stats
from torch import nn

from multimodal_vae.nn import CensoredNormal, LearnedScale, Limits, PredictedScale
from multimodal_vae.nn.scale import LEAST, LEAST_FACTOR

CASES = [(0.3, 1.0, 0.0, np.inf), (1.0, 0.5, -np.inf, 1.2), (-3.0, 2.0, -3.5, -3.0), (2.0, 0.7, -np.inf, np.inf)]


@pytest.mark.parametrize(("loc", "scale", "low", "high"), CASES)
def test_censored_values_have_the_moments_and_the_mass_of_quadrature(loc, scale, low, high):
    censored = CensoredNormal(*(torch.tensor([x], dtype=torch.float64) for x in (loc, scale, low, high)))
    normal = stats.norm(loc, scale)
    atoms = [(limit, mass) for limit, mass in ((low, normal.cdf(low)), (high, normal.sf(high))) if np.isfinite(limit)]

    def expectation(function):
        inside = integrate.quad(lambda x: function(x) * normal.pdf(x), max(low, loc - 9), min(high, loc + 9))[0]
        return inside + sum(function(limit) * mass for limit, mass in atoms)

    assert expectation(lambda _: 1.0) == pytest.approx(1)
    mean = expectation(lambda x: x)
    assert censored.mean.item() == pytest.approx(mean)
    assert censored.variance.item() == pytest.approx(expectation(lambda x: (x - mean) ** 2))
    for limit, mass in atoms:
        assert censored.log_prob(torch.tensor([limit])).item() == pytest.approx(np.log(mass))
    inside = torch.linspace(max(low, loc - 2) + 0.01, min(high, loc + 2) - 0.01, 5, dtype=torch.float64)
    np.testing.assert_allclose(censored.log_prob(inside), normal.logpdf(inside))


def test_the_gradient_of_censored_values_is_finite_and_right_where_limits_are_absent_or_far():
    infinite, zero = torch.tensor(torch.inf).double(), torch.zeros((), dtype=torch.float64)
    for low, high in ((-infinite, infinite), (zero, infinite), (-infinite, zero)):
        loc, scale = (torch.tensor([x, 500.0], dtype=torch.float64, requires_grad=True) for x in (0.5, 2.0))
        log_prob = lambda loc, scale, low=low, high=high: CensoredNormal(loc, scale, low, high).log_prob(zero)  # noqa: E731
        assert torch.autograd.gradcheck(log_prob, (loc, scale))


def test_a_constant_element_is_drawn_exactly_and_has_no_density():
    limits = Limits((2,))
    limits.measure(torch.tensor([[7.0, 1.0], [7.0, 2.0], [7.0, 3.0]]))
    decoded = limits(torch.ones(5, 2, 2, requires_grad=True))
    censored = CensoredNormal(*decoded.unbind(1))
    assert (censored.sample()[:, 0] == 7).all()
    assert (censored.mean[:, 0] == 7).all()
    assert (censored.log_prob(torch.full((5, 2), 7.0))[:, 0] == 0).all()


@pytest.mark.parametrize("value", [torch.nan, torch.inf, -torch.inf])
def test_values_that_are_not_finite_are_not_hidden_by_limits(value):
    censored = CensoredNormal(torch.tensor([value]), torch.ones(1), 0.0, 1.0)
    for found in (censored.mean, censored.sample()):
        assert not found.isfinite().any()


def test_limits_are_extremes_that_many_values_equal():
    torch.manual_seed(0)
    continuous = torch.randn(100)
    samples = torch.stack([continuous.clamp_min(-0.5), continuous, continuous.clamp(-1, 1), continuous.round()], 1)
    limits = Limits((4,))
    limits.measure(samples)
    assert limits.low.tolist()[:3] == [-0.5, -torch.inf, -1]
    assert limits.high.tolist()[:3] == [torch.inf, torch.inf, 1]
    per_channel = Limits((4, 1))
    per_channel.measure(samples.reshape(4, 5, 5, 4).permute(0, 3, 1, 2).flatten(2))
    torch.testing.assert_close(per_channel.low[:, 0], limits.low)


@pytest.mark.parametrize("shape", [(1,), (2, 1), (2, 5)])
def test_the_learned_scale_becomes_the_deviation_of_the_residuals(shape):
    torch.manual_seed(0)
    scale, residuals = LearnedScale(shape), torch.randn(400, 2, 5) * torch.linspace(0.1, 3, 10).reshape(2, 5)
    optimizer = torch.optim.Adam(scale.parameters(), 0.01)
    for _ in range(300):
        value, deviation = scale(torch.stack([torch.zeros_like(residuals), torch.ones_like(residuals)], 1)).unbind(1)
        optimizer.zero_grad()
        (-torch.distributions.Normal(value, deviation).log_prob(residuals).mean()).backward()
        optimizer.step()
    axes = [0, *(axis + 1 for axis in range(2) if len(shape) < 2 or shape[axis] == 1)]
    expected = residuals.square().mean(axes, keepdim=True).sqrt()
    torch.testing.assert_close(deviation[:1], expected.expand(1, 2, 5), rtol=1e-2, atol=0)


def test_scales_start_as_the_deviation_of_the_data_and_have_a_least_value():
    ones = torch.ones(1, 2, 3)
    scale = LearnedScale((3,))
    torch.testing.assert_close(scale(ones), ones)
    scale.log.data.fill_(-100)
    torch.testing.assert_close(scale(ones)[:, 1], LEAST * ones[:, 1])


def test_the_predicted_scale_becomes_the_deviation_of_each_sample():
    torch.manual_seed(0)
    z = torch.randn(500, 2)
    noise = (0.5 + z[:, :1].abs()) * torch.randn(500, 20)
    scale = PredictedScale(nn.Sequential(nn.Linear(2, 40), nn.Unflatten(1, (2, 20))), 2, (1,))
    with torch.no_grad():
        scale.decoder[0].weight.zero_()
        scale.decoder[0].bias.copy_(torch.tensor([0.0, 1.0]).repeat_interleave(20))
    optimizer = torch.optim.Adam(scale.factors.parameters(), 0.01)
    for _ in range(300):
        optimizer.zero_grad()
        value, deviation = scale(z).unbind(1)
        (-torch.distributions.Normal(value, deviation).log_prob(noise).mean()).backward()
        optimizer.step()
    assert torch.corrcoef(torch.stack([deviation[:, 0], z[:, 0].abs()]))[0, 1] > 0.95
    assert deviation.mean().item() == pytest.approx(0.5 + z[:, 0].abs().mean().item(), rel=0.05)
    assert scale(-1e6 * torch.ones(1, 2))[:, 1].min() >= LEAST_FACTOR
