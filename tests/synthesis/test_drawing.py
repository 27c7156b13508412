import math

import pytest
import torch

import multimodal_vae as mv
from multimodal_vae.scopes import seeded
from multimodal_vae.synthesis.drawing import draw, log_density_quantile

SAMPLERS = ["kde", "gaussian", "gmm", "prior", "interpolation", {"name": "flow", "transforms": 1, "epochs": 3}]


@pytest.fixture(params=SAMPLERS, ids=str)
def density(request):
    if "flow" in str(request.param):
        pytest.importorskip("zuko")
    points = 5 + torch.randn(40, 3, generator=torch.Generator().manual_seed(0)) * torch.tensor([1.0, 2.0, 0.5])
    return mv.DensitySampler.of(request.param).fit(points)()


def drawn(density, count, *settings):
    with seeded(1):
        return draw(density, count, *settings)


def test_temperature_one_changes_not_a_bit(density):
    with seeded(1):
        expected = density.sample((50,))
    assert torch.equal(drawn(density, 50), expected)
    assert torch.equal(drawn(density, 50, 1.0, 0.0), expected)


def test_temperature_zero_gives_the_mean(density):
    at_zero = drawn(density, 7, 0.0)
    assert torch.equal(at_zero, at_zero[:1].expand(7, -1))
    many = drawn(density, 20_000)
    error = many.std(0) * (1 / math.sqrt(20_000) + 1 / math.sqrt(10_000))  # a flow's mean is itself one of draws
    assert ((at_zero[0] - many.mean(0)).abs() < 5 * error).all()


@pytest.mark.parametrize("temperature", [0.3, 2.0])
def test_variance_goes_with_the_square_of_the_temperature(density, temperature):
    one, other = (drawn(density, 500, t) for t in (1.0, temperature))
    torch.testing.assert_close(other.var(0), temperature**2 * one.var(0), rtol=1e-4, atol=0)


@pytest.mark.parametrize("quantile", [0.1, 0.8])
def test_only_draws_above_the_quantile_are_kept_and_all_of_those(density, quantile):
    threshold = log_density_quantile(density, quantile)
    kept = drawn(density, 3000, 1.0, quantile)
    assert kept.shape == (3000, 3)
    assert (density.log_prob(kept) >= threshold).all()
    torch.manual_seed(2)
    fresh = density.log_prob(density.sample((10_000,)))
    # Both thresholds and shares are of 10,000 draws: a standard error of 0.5 % each at most.
    assert float((fresh < threshold).double().mean()) == pytest.approx(quantile, abs=5 * 0.0071)
    # Nothing likelier is lost: the kept are distributed as the likely among fresh ones, by their mean log density.
    likely = fresh[fresh >= threshold]
    error = float(likely.std()) * math.sqrt(1 / 3000 + 1 / len(likely))
    assert abs(float(density.log_prob(kept).mean() - likely.mean())) < 5 * error


def test_rejected_first_and_scaled_then(density):
    kept, scaled = drawn(density, 20, 1.0, 0.5), drawn(density, 20, 0.5, 0.5)
    mean = drawn(density, 1, 0.0)
    torch.testing.assert_close(scaled, mean + (kept - mean) / 2)


def test_none_at_all_may_be_drawn(density):
    assert drawn(density, 0, 0.5, 0.5).shape == (0, 3)


@pytest.mark.parametrize("temperature", [-0.1, math.inf, math.nan])
def test_a_temperature_out_of_range_is_refused(density, temperature):
    with pytest.raises(
        mv.ConfigurationError, match=f"temperature is {temperature:g}; give a finite number of at least 0"
    ):
        draw(density, 3, temperature)


@pytest.mark.parametrize("quantile", [-0.1, 1.0, 2.0, math.nan])
def test_a_quantile_out_of_range_is_refused(density, quantile):
    with pytest.raises(mv.ConfigurationError, match=f"min_quantile is {quantile:g}; give at least 0.*less than 1"):
        draw(density, 3, 1.0, quantile)


class Odd(torch.distributions.Normal):
    """Draws whose log density is whatever a list says, one call after another."""

    def __init__(self, values):
        super().__init__(0.0, 1.0)
        self.values = iter(values)

    def log_prob(self, value):
        return torch.full(value.shape, next(self.values))


def test_a_density_that_cannot_tell_what_is_likely_is_refused_and_not_drawn_from_for_ever():
    with pytest.raises(mv.SamplerError, match="is nan; set min_quantile to 0"):
        draw(Odd([math.nan]), 5, 1.0, 0.5)
    with pytest.raises(mv.SamplerError, match=r"only 0 of \d+ draws are above the quantile 0.5"):
        draw(Odd([0.0] + [-1.0] * 2000), 5, 1.0, 0.5)


def test_drawing_by_quantile_in_parts(density, monkeypatch):
    monkeypatch.setattr("multimodal_vae.synthesis.drawing._MAX_BATCH", 7)
    assert drawn(density, 50, 1.0, 0.5).shape == (50, 3)
