import math
from itertools import pairwise

import pytest
import torch

from multimodal_vae import ConfigurationError
from multimodal_vae.nn.haar import haar, inverse_haar
from multimodal_vae.refiners.rectified_flow import RectifiedFlow


def built(shape, latent_dim=3, classes=2, **settings):
    flow = RectifiedFlow(**{"width": 8, "integration_steps": 3, **settings})
    flow.build(shape, latent_dim, classes)
    return flow


def inputs(shape, count=6, latent_dim=3):
    coarse, target, noise = torch.randn(3, count, *shape)
    return coarse, target, torch.randn(count, latent_dim), torch.tensor([0, 1, -1] * (count // 3)), noise


@pytest.mark.parametrize("shape", [(2, 1), (1, 37), (12, 16), (3, 16, 16), (1, 5, 18), (1, 3, 6, 11)])
@pytest.mark.parametrize("pool", [1, 8])
def test_signals_pictures_and_volumes_of_any_size_keep_their_shape_and_stay_in_the_range_of_training(shape, pool):
    torch.manual_seed(0)
    flow = built(shape, pool=pool)
    coarse, target, latents, labels, noise = inputs(shape)
    loss = flow.loss(coarse, target, latents, labels)
    assert loss.shape == (6,)
    loss.sum().backward()
    assert all(bool((p.grad != 0).any()) for name, p in flow.named_parameters())
    refined = flow(coarse, latents, labels, 100 * noise)
    assert refined.shape == target.shape
    assert refined.min() >= target.min()
    assert refined.max() <= target.max()


@pytest.mark.parametrize("shape", [(3,), (1, 2, 2, 2, 2)])
def test_samples_without_or_with_too_many_axes_are_refused(shape):
    with pytest.raises(ConfigurationError, match="one to three axes of space"):
        built(shape)


def exact_velocity(deviation):
    """Return the best velocity for residuals N(0, deviation^2): E[r - e | (1 - t) e + t r]."""

    def velocity(state, time, condition, amount, latents, labels):
        time = time.reshape(-1, *(1,) * (state.dim() - 1))
        slope = (time * deviation**2 - (1 - time)) / ((1 - time) ** 2 + (time * deviation) ** 2)
        return slope * state

    return velocity


def test_integration_converges_to_the_exact_flow_of_gaussian_residuals():
    """The flow from N(0, 1) to N(0, s^2) along the optimal velocity multiplies its start by s."""
    torch.manual_seed(0)
    coarse, _, latents, labels, noise = inputs((1, 8, 8))
    errors = []
    for steps in (12, 24, 48):
        flow = built((1, 8, 8), pool=1, integration_steps=steps)
        flow.deviation.copy_(torch.tensor([1.0, 2.0, 3.0, 4.0])[:, None, None])
        flow._velocity = exact_velocity(0.5)
        expected = coarse + inverse_haar(0.5 * haar(noise) * flow.deviation)
        errors.append(float((flow(coarse, latents, labels, noise) - expected).abs().max()))
    assert errors[0] < 0.01 * float(expected.abs().max())
    for larger, smaller in pairwise(errors):
        assert larger / smaller > 3.8  # the midpoint method is of second order


def test_the_loss_of_the_best_velocity_is_the_variance_that_it_leaves():
    """Given r_t, the variance of r - e is s^2 / ((1 - t)^2 + t^2 s^2)."""
    torch.manual_seed(0)
    deviation, count, shape = 0.5, 4000, (1, 4, 4)
    flow = built(shape, pool=1, noise=0.0).eval()
    flow._velocity = exact_velocity(deviation)
    target, coarse = deviation * torch.randn(count, *shape), torch.zeros(count, *shape)
    latents, labels = torch.zeros(count, 3), torch.zeros(count, dtype=torch.int64)
    loss = float(flow.loss(coarse, target, latents, labels).mean())
    time = torch.distributions.Normal(0, 1).icdf((torch.arange(10_000) + 0.5) / 10_000).sigmoid()
    expected = float((deviation**2 / ((1 - time) ** 2 + (time * deviation) ** 2)).mean())
    assert loss == pytest.approx(expected, rel=0.03)  # three standard errors
    flow._velocity = exact_velocity(2 * deviation)
    assert float(flow.loss(coarse, target, latents, labels).mean()) > 1.1 * expected


def test_a_short_training_learns_the_details_that_decoded_samples_lack():
    torch.manual_seed(0)
    count, length = 32, 32
    wave = torch.linspace(0, math.pi, length).sin()
    flow = built((1, length), width=8, pool=4, noise=0.1, integration_steps=4)
    optimizer = torch.optim.Adam(flow.parameters(), 1e-2)

    def batch():
        coarse = torch.randn(count, 1, 1) * wave
        detail = 0.3 * torch.randn(count, 1, length)
        return coarse, coarse + detail, torch.zeros(count, 3), torch.zeros(count, dtype=torch.int64)

    for _ in range(60):
        coarse, target, latents, labels = batch()
        optimizer.zero_grad()
        flow.loss(coarse, target, latents, labels).mean().backward()
        optimizer.step()
    coarse, _, latents, labels = batch()
    with torch.no_grad():
        refined = flow.eval()(coarse, latents, labels, torch.randn(count, 1, length))
    assert float((refined - coarse).std()) == pytest.approx(0.3, rel=0.25)
    pooled = torch.nn.functional.avg_pool1d(refined - coarse, 8)
    assert float(pooled.std()) < 0.2  # 0.3 / sqrt(8) = 0.11 in real samples


def test_scales_are_measured_on_training_samples_and_then_stay():
    torch.manual_seed(0)
    flow = built((2, 16))
    scales = torch.tensor([3.0, 0.01])[:, None]
    for _ in range(5):
        coarse, target, latents, labels, _ = inputs((2, 16), 600)
        flow.loss(scales * coarse, scales * target, latents, labels)
    torch.testing.assert_close(flow.scale, scales, rtol=0.05, atol=0)
    state = {name: x.clone() for name, x in flow.state_dict().items()}
    flow.eval().loss(coarse, 9 * target, latents, labels)
    flow.train().loss(coarse, 9 * target, latents, labels)
    torch.testing.assert_close(flow.center, state["center"], rtol=0, atol=0)
    assert (flow.high > state["high"]).all()


def test_calibrating_gives_each_subband_the_energy_of_real_residuals():
    torch.manual_seed(0)
    flow = built((1, 16, 16), pool=1).eval()
    flow._velocity = exact_velocity(0.5)
    coarse, _, latents, labels, noise = inputs((1, 16, 16), 60)
    wanted = torch.tensor([0.3, 0.4, 0.6, 0.8])[:, None, None]
    target = coarse + inverse_haar(wanted * torch.randn(60, 4, 8, 8))
    flow.high.fill_(100)
    flow.calibrate(coarse, target, latents, labels)
    residual = haar(flow(coarse, latents, labels, noise) - coarse)
    torch.testing.assert_close(residual.std((0, 2, 3)), wanted.flatten(), rtol=0.05, atol=0)  # of 3,840 numbers each


def test_calibrating_changes_no_subband_by_more_than_a_factor_of_two():
    torch.manual_seed(0)
    flow = built((1, 8, 8)).eval()
    coarse, _, latents, labels, _ = inputs((1, 8, 8))
    for target, gain in ((coarse + 100 * torch.randn_like(coarse), 2.0), (flow._enlarged(flow._pooled(coarse)), 0.5)):
        with torch.no_grad():
            flow.calibrate(coarse, target, latents, labels)
        torch.testing.assert_close(flow.gain, torch.full_like(flow.gain, gain))


def test_before_training_residuals_are_nearly_white_noise():
    """The network starts small, and the velocity of normal noise moves it to normal noise."""
    torch.manual_seed(0)
    flow = built((1, 16, 16), pool=1, integration_steps=6).eval()
    coarse, _, latents, labels, noise = inputs((1, 16, 16), 60)
    with torch.no_grad():
        residual = flow(coarse, latents, labels, noise) - coarse
    assert float(residual.std()) == pytest.approx(1, abs=0.05)


def test_the_network_gives_the_power_of_white_noise_at_each_place():
    """Where the residual is N(0, s^2) at a place, one number of the network suffices for the exact velocity."""
    torch.manual_seed(0)
    flow = built((1, 4, 4), pool=1)
    deviation = torch.tensor([[0.5, 1.0], [2.0, 0.01]]).expand(4, 2, 2)
    del flow.network
    flow.network = lambda maps, _: torch.cat(
        [torch.zeros(len(maps), 4, 2, 2), deviation.log().expand(len(maps), -1, -1, -1)], 1
    )
    coarse, _, latents, labels, noise = inputs((1, 4, 4))
    for time in (0.0, 0.3, 1.0):
        arguments = (torch.full((6,), time), coarse, torch.zeros(6), latents, labels)
        expected = exact_velocity(deviation)(haar(noise), *arguments)
        torch.testing.assert_close(flow._velocity(haar(noise), *arguments), expected)


@pytest.mark.parametrize(
    ("shape", "levels"),
    [((3, 64, 64), 1), ((3, 65, 64), 2), ((3, 128, 128), 2), ((3, 256, 200), 3), ((1, 128), 1), ((1, 4, 16, 16), 1)],
)
def test_larger_samples_have_more_maps_of_the_same_size(shape, levels):
    flow = built(shape)
    assert flow.levels == levels
    assert len(flow.gain) == shape[0] * 2 ** (levels * (len(shape) - 1))
    assert flow.network.stem.out_channels >= min(len(flow.gain), 32)  # fewer could not carry them
    coarse, target, latents, labels, noise = inputs(shape, 3)
    flow.loss(coarse, target, latents, labels).mean().backward()
    assert flow(coarse, latents, labels, noise).shape == coarse.shape


@pytest.mark.parametrize("deviation", [0.3, 1.0, 2.0])
def test_the_default_number_of_steps_reproduces_the_energy_of_gaussian_residuals(deviation):
    flow = built((1, 4, 4), pool=1, integration_steps=RectifiedFlow().integration_steps)
    flow._velocity = exact_velocity(deviation)
    coarse, _, latents, labels, noise = inputs((1, 4, 4))
    residual = flow(coarse, latents, labels, noise) - coarse
    assert float(residual.square().sum() / (deviation * noise).square().sum()) == pytest.approx(1, abs=0.02)
