import math

import numpy as np
import pytest
import pytorch_msssim
import torch
import torch.nn.functional as F
from hypothesis import given
from hypothesis import strategies as st
from skimage.metrics import structural_similarity

from multimodal_vae.nn import PIXEL_LOSSES, bce, bce_floor, l1, mse, ssim, weighted_loss

each_loss = pytest.mark.parametrize("name", PIXEL_LOSSES)


def pair(seed, shape=(3, 2, 16, 13)):
    rng = torch.Generator().manual_seed(seed)
    return 2 * torch.randn(shape, generator=rng), torch.rand(shape, generator=rng)


@given(seed=st.integers(0, 2**31), channels=st.sampled_from([1, 3]), height=st.integers(11, 24))
def test_ssim_is_scikit_images(seed, channels, height):
    logits, target = pair(seed, (2, channels, height, 17))
    expected = [
        1
        - structural_similarity(
            torch.sigmoid(x).double().numpy(),
            y.double().numpy(),
            gaussian_weights=True,
            sigma=1.5,
            use_sample_covariance=False,
            data_range=1,
            channel_axis=0,
        )
        for x, y in zip(logits, target, strict=True)
    ]
    # float32 convolutions against float64 filters; variances come as differences of near numbers.
    np.testing.assert_allclose(ssim(logits, target).numpy(), expected, atol=2e-5)


@given(
    seed=st.integers(0, 2**31),
    channels=st.sampled_from([1, 3]),
    height=st.sampled_from([11, 12, 64]),
    contrast=st.sampled_from([0.0, 0.01, 1.0]),
)
def test_ssim_and_its_gradient_are_pytorch_msssims(seed, channels, height, contrast):
    logits, target = pair(seed, (2, channels, height, 17))
    logits, target = (contrast * logits).double().requires_grad_(), (0.5 + contrast * (target - 0.5)).double()
    theirs = 1 - pytorch_msssim.ssim(torch.sigmoid(logits), target, data_range=1.0, size_average=False)
    ours = ssim(logits, target)
    # Theirs is a window of float32.
    torch.testing.assert_close(ours, theirs, rtol=0, atol=5e-6)
    gradients = [torch.autograd.grad(x.sum(), logits)[0] for x in (ours, theirs)]
    torch.testing.assert_close(*gradients, rtol=1e-4, atol=1e-6)
    # Variances are differences of near numbers, so rounding of 1e-7 shows over the constant 0.03 ** 2.
    torch.testing.assert_close(ssim(logits.float(), target.float()).double(), ours, rtol=0, atol=2e-4)


def test_ssim_of_less_than_a_window_is_refused():
    with pytest.raises(ValueError, match="windows of 11 x 11 pixels, and a side has 10"):
        ssim(torch.zeros(1, 1, 10, 12), torch.zeros(1, 1, 10, 12))


@given(seed=st.integers(0, 2**31))
def test_bce_is_the_closed_form(seed):
    logits, target = pair(seed)
    p, t = torch.sigmoid(logits.double()), target.double()
    closed = -(t * p.log() + (1 - t) * (1 - p).log()).mean((1, 2, 3))
    torch.testing.assert_close(bce(logits, target).double(), closed, rtol=1e-5, atol=1e-6)
    assert bce(logits, target).mean() == pytest.approx(F.binary_cross_entropy_with_logits(logits, target).item())


@given(seed=st.integers(0, 2**31))
def test_bce_floor_is_the_least_bce(seed):
    logits, target = pair(seed)
    floor = bce_floor(target)
    torch.testing.assert_close(bce(torch.logit(target), target), floor, rtol=1e-5, atol=1e-6)
    assert (bce(logits, target) >= floor - 1e-6).all()


def test_bce_floor_of_certain_and_of_even_targets():
    assert bce_floor(torch.tensor([[0.0, 1.0]])).item() == 0
    assert bce_floor(torch.full((1, 5), 0.5)).item() == pytest.approx(math.log(2))


def test_l1_and_mse_are_means_of_differences():
    logits, target = pair(0)
    difference = torch.sigmoid(logits) - target
    torch.testing.assert_close(l1(logits, target), difference.abs().mean((1, 2, 3)))
    torch.testing.assert_close(mse(logits, target), difference.square().mean((1, 2, 3)))


@each_loss
def test_a_loss_is_of_each_sample_alone(name):
    logits, target = pair(0)
    together = PIXEL_LOSSES[name](logits, target)
    alone = torch.cat([PIXEL_LOSSES[name](logits[i : i + 1], target[i : i + 1]) for i in range(len(logits))])
    assert together.shape == (3,)
    torch.testing.assert_close(together, alone, rtol=1e-6, atol=1e-6)
    logits[1:] = 1e3
    torch.testing.assert_close(PIXEL_LOSSES[name](logits, target)[0], alone[0], rtol=1e-6, atol=1e-6)


@each_loss
def test_a_loss_is_least_where_both_are_equal(name):
    _, target = pair(0)
    target = target * 0.98 + 0.01
    equal = PIXEL_LOSSES[name](torch.logit(target), target)
    floor = bce_floor(target) if name == "bce" else torch.zeros(3)
    torch.testing.assert_close(equal, floor, rtol=1e-5, atol=1e-5)
    assert (PIXEL_LOSSES[name](torch.logit(target) + 0.5, target) > equal).all()


@each_loss
def test_gradients_are_finite_at_the_ends_of_the_range(name):
    logits = torch.tensor([-200.0, 200.0]).repeat(2, 1, 12, 6).requires_grad_()
    target = torch.tensor([1.0, 1.0]).repeat(2, 1, 12, 6)
    value = PIXEL_LOSSES[name](logits, target)
    value.sum().backward()
    assert value.isfinite().all()
    assert logits.grad.isfinite().all()


def test_weighted_loss_is_the_weighted_sum():
    logits, target = pair(0)
    expected = 2 * bce(logits, target) + 0.5 * l1(logits, target)
    torch.testing.assert_close(weighted_loss({"bce": 2.0, "l1": 0.5}, logits, target), expected)
