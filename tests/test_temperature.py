"""Losses that are no likelihoods, in nats."""

import math

import pytest
import torch

import multimodal_vae as mv
from multimodal_vae.objective import reconstruction
from multimodal_vae.scopes import seeded
from multimodal_vae.temperature import SMALLEST, Temperature, independent_measurements


@pytest.fixture
def temperature():
    return Temperature(mv.Image(size=(2, 3), channels=1, width=4))


def mean_gradient(term, x):
    (gradient,) = torch.autograd.grad(term.mean(), x)
    return gradient


def test_it_is_the_optimum_of_a_learned_temperature(temperature):
    loss = torch.linspace(0.1, 2.0, 8, dtype=torch.float64).requires_grad_()
    log = torch.zeros((), dtype=torch.float64, requires_grad=True)
    optimizer = torch.optim.LBFGS([log], tolerance_grad=1e-12, tolerance_change=0.0, line_search_fn="strong_wolfe")

    def learned():
        return 3 * (loss / log.exp() + log)

    def step():
        optimizer.zero_grad()
        value = learned().mean()
        value.backward()
        return value

    for _ in range(3):
        optimizer.step(step)
    term = temperature.double()(loss, torch.ones_like(loss))
    torch.testing.assert_close(term, learned(), rtol=1e-6, atol=1e-6)
    torch.testing.assert_close(mean_gradient(term, loss), mean_gradient(learned(), loss), rtol=1e-6, atol=0.0)


def test_for_squared_errors_it_is_gaussian_likelihood_with_the_best_variance(temperature, generator):
    errors = torch.randn(50, 6, dtype=torch.float64, generator=generator) * 3
    best = errors.square().mean().sqrt()
    nats = -torch.distributions.Normal(0.0, best).log_prob(errors).sum(1)
    term = temperature.double()(errors.square().mean(1), torch.ones(50, dtype=torch.float64))
    torch.testing.assert_close(term + 3 * math.log(2 * math.pi), nats)


def test_units_do_not_change_the_gradient(temperature):
    loss, weight = torch.linspace(0.1, 2.0, 5).requires_grad_(), torch.ones(5)
    plain, small = (mean_gradient(temperature(loss * unit, weight), loss) for unit in (1.0, 1e-9))
    torch.testing.assert_close(small, plain)


def test_absent_rows_count_nothing_and_processes_share_a_scale(temperature):
    loss, weight = torch.tensor([0.5, 0.0, 1.0, 2.0]), torch.tensor([1.0, 0.0, 1.0, 0.5])
    whole = temperature(loss, weight)
    assert whole[1] == 0
    scale = 3.5 / 2.5
    torch.testing.assert_close(whole, 3 * (loss / scale + weight * math.log(scale)))
    sums = torch.tensor([[3.0, 1.5]])  # of the other process
    half = temperature(loss[:2], weight[:2], lambda x: torch.cat([x, sums]))
    torch.testing.assert_close(half, whole[:2])
    assert temperature(torch.zeros(2), torch.zeros(2)).tolist() == [0, 0]


def test_a_loss_that_vanishes_or_is_negative_stays_finite(temperature):
    loss = torch.zeros(3, requires_grad=True)
    assert temperature(loss, torch.ones(3)).isfinite().all()
    negative = torch.tensor([-2.0, 1.0, -5.0])
    torch.testing.assert_close(temperature(negative, torch.ones(3)), 6 * negative)


@pytest.mark.parametrize("shape", [(1,), (5,), (100,), (4, 25), (2, 5, 10)])
def test_independent_elements_are_as_many_measurements_in_any_units(shape, generator):
    x = torch.randn(600, *shape, generator=generator)
    units = 10 ** torch.linspace(-3, 3, math.prod(shape)).reshape(shape)
    count = math.prod(shape)
    # The spectrum is a mean over 300 samples, so its square is too large by 1/300 of its own.
    assert count * 0.95 < independent_measurements(x, 8) <= count * 1.0001
    assert independent_measurements(units * (x + 1), 8) == pytest.approx(independent_measurements(x, 8), rel=1e-3)


def test_copies_are_no_measurements_and_noise_on_each_is(generator):
    x = torch.randn(600, 10, generator=generator).repeat(1, 10)
    assert independent_measurements(x, 16) == pytest.approx(10, rel=0.05)
    assert independent_measurements(x + 0.1 * torch.randn(600, 100, generator=generator), 16) > 85


def test_smoothing_lowers_the_number_by_the_window(generator):
    x = torch.randn(300, 40, 40, generator=generator)
    smooth = torch.nn.functional.avg_pool2d(x, 4, stride=1)
    # Along each axis a mean of w has the correlations 1 - |lag| / w: their squares sum to (2 w^2 + 1) / (3 w).
    assert independent_measurements(smooth, 0) == pytest.approx(37**2 / (33 / 12) ** 2, rel=0.15)
    larger = torch.nn.functional.interpolate(smooth[:, None], scale_factor=2, mode="bilinear")[:, 0]
    assert independent_measurements(larger, 0) == pytest.approx(independent_measurements(smooth, 0), rel=0.3)


@pytest.mark.parametrize("samples", [torch.zeros(9, 5), torch.ones(1, 5), torch.full((9, 5), math.nan)])
def test_without_variation_every_element_counts(samples):
    assert independent_measurements(samples, 4) == 5


@pytest.fixture
def pictures():
    # Gray targets, whose cross entropy has a minimum far above zero.
    parts = {"x": mv.Image(size=(4, 4), channels=1, width=4), "y": mv.Categorical(categories=["a", "b", "c"])}
    samples = {"x": torch.rand(6, 1, 4, 4), "y": torch.eye(3).repeat(2, 1)}
    present = torch.ones(6, 2, dtype=torch.bool)
    present[5, 0] = False
    return mv.MultimodalDataset.from_tensors(samples, [0, 1] * 3, parts, present=present)


def test_a_calibrated_objective_takes_the_temperature_of_the_excess(pictures):
    vae = mv.MultimodalVAE(pictures.modalities, pictures.classes, mv.Concat(dropout=0.3), latent_dim=2, seed=0)
    vae.calibrate(pictures)
    batch = pictures.batch(torch.arange(6))
    with torch.no_grad(), seeded(1):
        terms = vae.eval()(batch)
    with torch.no_grad(), seeded(1):
        decoded = vae.decode(vae.posterior(batch.samples, batch.present).rsample())
    x, part = batch.samples["x"][:5], vae.modalities["x"]
    excess = part.reconstruction_loss(decoded["x"][:5], x) - mv.nn.bce_minimum(x)
    scale, count = excess.mean(), vae.temperatures[0].measurements
    expected = torch.cat([count / 2 * (excess / scale + scale.log()), torch.zeros(1)])
    torch.testing.assert_close(terms[reconstruction("x")], expected, rtol=1e-4, atol=1e-4)
    assert 0 < vae.temperatures[0].smallest < 2 * SMALLEST * scale


class Squares(mv.Vector):
    """A modality of an author who knows no likelihoods."""

    def likelihood(self, decoded):
        return None

    def observe(self, decoded):
        return decoded[:, 0]

    def reconstruction_loss(self, decoded, target):
        return (decoded[:, 0] - target).square().mean(1)


def test_a_likelihood_has_no_temperature_and_is_summed(make_data):
    data, terms = make_data(6), {}
    parts = {"blood": mv.Vector(size=3, hidden=4), "gait": Squares(size=2, hidden=4)}
    for reduction in ("sum", "calibrated"):
        vae = mv.MultimodalVAE(parts, data.classes, latent_dim=2, seed=0, objective={"reduction": reduction}).eval()
        with torch.no_grad(), seeded(1):
            terms[reduction] = vae(data.batch(torch.arange(6)))
    assert torch.equal(terms["sum"][reconstruction("blood")], terms["calibrated"][reconstruction("blood")])
    assert not torch.equal(terms["sum"][reconstruction("gait")], terms["calibrated"][reconstruction("gait")])
    assert [name for name in vae.state_dict() if name.startswith("temperatures")] == [
        "temperatures.1.measurements",
        "temperatures.1.smallest",
    ]
