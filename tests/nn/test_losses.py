import math
import re
from pathlib import Path
from typing import get_args

import numpy as np
import pytest
import pytorch_msssim
import torch
import torch.nn.functional as F
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.ndimage import gaussian_filter
from skimage.metrics import structural_similarity

from multimodal_vae.nn import (
    PIXEL_LOSSES,
    PixelLoss,
    bce,
    bce_minimum,
    detail,
    l1,
    laplacian_pyramid,
    ms_ssim,
    mse,
    similarity,
    ssim,
    weighted_loss,
)

each_loss = pytest.mark.parametrize("name", PIXEL_LOSSES)
SHAPES = {"ms_ssim": (3, 1, 161, 163)}


def pair(seed, shape=(3, 2, 16, 13)):
    rng = torch.Generator().manual_seed(seed)
    return 2 * torch.randn(shape, generator=rng), torch.rand(shape, generator=rng)


def pair_for(name):
    return pair(0, SHAPES.get(name, (3, 2, 16, 13)))


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
    # float32 against float64; variances are differences of close numbers.
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
    reference = 1 - pytorch_msssim.ssim(torch.sigmoid(logits), target, data_range=1.0, size_average=False)
    loss = ssim(logits, target)
    # The reference has a window of float32.
    torch.testing.assert_close(loss, reference, rtol=0, atol=5e-6)
    gradients = [torch.autograd.grad(x.sum(), logits)[0] for x in (loss, reference)]
    torch.testing.assert_close(*gradients, rtol=1e-4, atol=1e-6)
    # Variances are differences of close numbers, so rounding of 1e-7 is visible beside the constant 0.03 ** 2.
    torch.testing.assert_close(ssim(logits.float(), target.float()).double(), loss, rtol=0, atol=2e-4)


@pytest.mark.parametrize("size", [(11, 13), (12, 11, 12)])
def test_gradients_of_the_similarity_are_those_of_finite_differences_on_either_side(size):
    rng = torch.Generator().manual_seed(0)
    x, y = (torch.rand(2, 1, *size, generator=rng, dtype=torch.float64).requires_grad_() for _ in range(2))
    assert torch.autograd.gradcheck(similarity.structural_similarity, (x, y), fast_mode=True)
    torch.testing.assert_close(*(similarity.structural_similarity(*pair) for pair in ((x, y), (y, x))))


def test_ssim_of_less_than_a_window_is_refused():
    with pytest.raises(ValueError, match="ssim needs at least 11 pixels per side; the image has 10 x 12"):
        ssim(torch.zeros(1, 1, 10, 12), torch.zeros(1, 1, 10, 12))


@settings(max_examples=5)
@given(
    seed=st.integers(0, 2**31),
    channels=st.sampled_from([1, 3]),
    height=st.sampled_from([161, 162, 193]),
    contrast=st.sampled_from([0.01, 0.1, 1.0]),
)
def test_ms_ssim_and_its_gradient_are_pytorch_msssims_of_the_probabilities(seed, channels, height, contrast):
    logits, target = pair(seed, (2, channels, height, 161))
    target = (torch.sigmoid(contrast * logits) + 0.1 * contrast * target).clamp(0, 1)
    logits = (contrast * logits).requires_grad_()
    reference = 1 - pytorch_msssim.ms_ssim(torch.sigmoid(logits), target, data_range=1.0, size_average=False)
    loss = ms_ssim(logits, target)
    assert loss.shape == (2,)
    torch.testing.assert_close(loss, reference, rtol=0, atol=0)
    gradients = [torch.autograd.grad(x.sum(), logits)[0] for x in (loss, reference)]
    assert gradients[0].abs().max() > 0
    torch.testing.assert_close(*gradients, rtol=0, atol=0)


def test_ms_ssim_is_the_weighted_product_over_five_scales():
    """Wang, Simoncelli and Bovik 2003, equation 7, with SciPy's filters."""

    def smooth(x):
        x = gaussian_filter(x, 1.5, truncate=5 / 1.5, mode="constant")
        return x[5:-5, 5:-5]

    def scale(x, y):
        mean_x, mean_y = smooth(x), smooth(y)
        variances = smooth(x * x) - mean_x**2 + smooth(y * y) - mean_y**2
        contrast = (2 * (smooth(x * y) - mean_x * mean_y) + 0.03**2) / (variances + 0.03**2)
        return contrast, (2 * mean_x * mean_y + 0.01**2) / (mean_x**2 + mean_y**2 + 0.01**2)

    logits, noise = pair(0, (1, 1, 192, 224))
    target = 0.7 * torch.sigmoid(logits) + 0.3 * noise
    x, y = (each[0, 0].double().numpy() for each in (torch.sigmoid(logits), target))
    similarity = 1.0
    for level, weight in enumerate((0.0448, 0.2856, 0.3001, 0.2363, 0.1333)):
        contrast, luminance = scale(x, y)
        similarity *= (contrast * luminance if level == 4 else contrast).mean() ** weight
        x, y = (each.reshape(each.shape[0] // 2, 2, each.shape[1] // 2, 2).mean((1, 3)) for each in (x, y))
    assert ms_ssim(logits, target).item() == pytest.approx(1 - similarity, abs=2e-5)


@pytest.mark.parametrize("size", [(160, 200), (200, 160)])
def test_ms_ssim_of_less_than_161_pixels_is_refused(size):
    with pytest.raises(
        ValueError, match=f"ms_ssim needs at least 161 pixels per side; the image has {size[0]} x {size[1]}"
    ):
        ms_ssim(torch.zeros(1, 1, *size), torch.zeros(1, 1, *size))


@given(seed=st.integers(0, 2**31))
def test_bce_is_the_closed_form(seed):
    logits, target = pair(seed)
    p, t = torch.sigmoid(logits.double()), target.double()
    closed = -(t * p.log() + (1 - t) * (1 - p).log()).mean((1, 2, 3))
    torch.testing.assert_close(bce(logits, target).double(), closed, rtol=1e-5, atol=1e-6)
    assert bce(logits, target).mean() == pytest.approx(F.binary_cross_entropy_with_logits(logits, target).item())


@given(seed=st.integers(0, 2**31))
def test_bce_minimum_is_the_least_bce(seed):
    logits, target = pair(seed)
    least = bce_minimum(target)
    torch.testing.assert_close(bce(torch.logit(target), target), least, rtol=1e-5, atol=1e-6)
    assert (bce(logits, target) >= least - 1e-6).all()


def test_bce_minimum_of_certain_and_of_even_targets():
    assert bce_minimum(torch.tensor([[0.0, 1.0]])).item() == 0
    assert bce_minimum(torch.full((1, 5), 0.5)).item() == pytest.approx(math.log(2))


def test_l1_and_mse_are_means_of_differences():
    logits, target = pair(0)
    difference = torch.sigmoid(logits) - target
    torch.testing.assert_close(l1(logits, target), difference.abs().mean((1, 2, 3)))
    torch.testing.assert_close(mse(logits, target), difference.square().mean((1, 2, 3)))


@each_loss
def test_a_loss_is_of_each_sample_alone(name):
    logits, target = pair_for(name)
    in_batch = PIXEL_LOSSES[name](logits, target)
    separate = torch.cat([PIXEL_LOSSES[name](logits[i : i + 1], target[i : i + 1]) for i in range(len(logits))])
    assert in_batch.shape == (3,)
    torch.testing.assert_close(in_batch, separate, rtol=1e-6, atol=1e-6)
    logits[1:] = 1e3
    torch.testing.assert_close(PIXEL_LOSSES[name](logits, target)[0], separate[0], rtol=1e-6, atol=1e-6)


@each_loss
def test_a_loss_is_least_where_both_are_equal(name):
    _, target = pair_for(name)
    target = target * 0.98 + 0.01
    equal = PIXEL_LOSSES[name](torch.logit(target), target)
    least = bce_minimum(target) if name == "bce" else torch.zeros(3)
    torch.testing.assert_close(equal, least, rtol=1e-5, atol=1e-5)
    assert (PIXEL_LOSSES[name](torch.logit(target) + 0.5, target) > equal).all()


@each_loss
def test_gradients_are_finite_at_the_ends_of_the_range(name):
    height, width = (161, 81) if name == "ms_ssim" else (12, 6)
    logits = torch.tensor([-200.0, 200.0]).repeat(2, 1, height, width).requires_grad_()
    target = torch.tensor([1.0, 1.0]).repeat(2, 1, height, width)
    value = PIXEL_LOSSES[name](logits, target)
    value.sum().backward()
    assert value.isfinite().all()
    assert logits.grad.isfinite().all()


def test_weighted_loss_is_the_weighted_sum():
    logits, target = pair(0)
    expected = 2 * bce(logits, target) + 0.5 * l1(logits, target)
    torch.testing.assert_close(weighted_loss({"bce": 2.0, "l1": 0.5}, logits, target), expected)


def plain_pyramid(x):
    """Return the levels of one map (H, W), computed value by value."""
    levels = []
    while len(levels) < 4 and min(x.shape) > 1:
        coarse = np.array(
            [[x[i : i + 2, j : j + 2].mean() for j in range(0, x.shape[1], 2)] for i in range(0, x.shape[0], 2)]
        )
        # Centers of fine pixels among those of coarse pixels; values are constant beyond the outermost.
        rows, columns = (
            np.clip((np.arange(n) + 0.5) * m / n - 0.5, 0, m - 1) for n, m in zip(x.shape, coarse.shape, strict=True)
        )
        across = np.array([np.interp(columns, np.arange(coarse.shape[1]), row) for row in coarse])
        large = np.array([np.interp(rows, np.arange(coarse.shape[0]), column) for column in across.T]).T
        levels.append(x - large)
        x = coarse
    return [*levels, x]


@given(seed=st.integers(0, 2**31), height=st.integers(1, 40), width=st.integers(1, 40))
def test_the_levels_of_the_pyramid_are_those_of_a_plain_one(seed, height, width):
    x = torch.rand(1, 1, height, width, generator=torch.Generator().manual_seed(seed), dtype=torch.float64)
    levels, expected = laplacian_pyramid(x), plain_pyramid(x[0, 0].numpy())
    for level, plain in zip(levels, expected, strict=True):
        np.testing.assert_allclose(level[0, 0].numpy(), plain, atol=1e-12)


def plain_detail(x, y):
    """Return the loss of one image (C, H, W), window by window."""
    by_level = zip(*(zip(*map(plain_pyramid, each), strict=True) for each in (x, y)), strict=True)
    losses = []
    for level in list(by_level)[:-1]:
        a, b = map(np.stack, level)
        tops, lefts = (range(0, max(1, n - 8 + 4), 4) for n in a.shape[1:])
        windows = [(slice(None), slice(top, top + 8), slice(left, left + 8)) for top in tops for left in lefts]
        agreements = [
            (2 * (a[w] * b[w]).mean() + 1e-4) / ((a[w] ** 2).mean() + (b[w] ** 2).mean() + 1e-4) for w in windows
        ]
        losses.append(1 - np.mean(agreements))
    return np.mean(losses)


@given(
    seed=st.integers(0, 2**31), height=st.integers(2, 40), width=st.integers(2, 40), channels=st.sampled_from([1, 3])
)
def test_detail_is_that_of_plain_windows(seed, height, width, channels):
    logits, target = (x.double() for x in pair(seed, (2, channels, height, width)))
    expected = [plain_detail(x.numpy(), y.numpy()) for x, y in zip(torch.sigmoid(logits), target, strict=True)]
    np.testing.assert_allclose(detail(logits, target).numpy(), expected, rtol=1e-9, atol=1e-12)


def test_detail_sees_no_shift():
    _, target = pair(0)
    lighter = torch.logit(target * 0.5 + 0.25)
    torch.testing.assert_close(detail(lighter, target * 0.5 + 0.15), torch.zeros(3), rtol=0, atol=1e-6)


@pytest.mark.parametrize(("loss", "best"), [(mse, 0.5), (detail, 1.0)])
def test_what_is_half_known_is_weakened_by_differences_and_not_by_detail(loss, best):
    rng = torch.Generator().manual_seed(0)
    target, other = (0.1 * torch.randn(1, 1, 256, 256, generator=rng, dtype=torch.float64) for _ in range(2))
    half_known = 0.5 * target + 0.75**0.5 * other  # of the target's contrast, with correlation 0.5
    strengths = torch.linspace(0.1, 1.5, 29, dtype=torch.float64)
    values = [loss(torch.logit(0.5 + strength * half_known, eps=1e-6), 0.5 + target) for strength in strengths]
    # Clipping and the noise of 65536 values move the best strength by less than two steps of 0.05.
    assert float(strengths[int(torch.cat(values).argmin())]) == pytest.approx(best, abs=0.1)


def test_a_picture_of_one_pixel_has_no_detail():
    assert detail(torch.zeros(2, 3, 1, 5), torch.ones(2, 3, 1, 5)).tolist() == [0, 0]


def test_the_losses_are_those_that_settings_and_the_reference_name():
    page = (Path(__file__).parents[2] / "docs/reference/modality.md").read_text("utf-8")
    table = page.partition("## Image losses")[2].partition("## ")[0]
    named = re.findall(r"^\| `(\w+)` \|", table, re.MULTILINE)
    assert sorted(named) == sorted(PIXEL_LOSSES) == sorted(get_args(PixelLoss))


def test_losses_of_windows_take_volumes():
    logits, target = torch.randn(2, 3, 12, 11, 14), torch.rand(2, 3, 12, 11, 14)
    reference = 1 - pytorch_msssim.ssim(torch.sigmoid(logits), target, data_range=1.0, size_average=False)
    torch.testing.assert_close(ssim(logits, target), reference, rtol=0, atol=1e-5)
    constant = target.mean(2, keepdim=True).expand(-1, -1, 12, -1, -1)  # slices that are alike have an image's detail
    same = torch.logit(torch.sigmoid(logits).mean(2, keepdim=True)).expand(-1, -1, 12, -1, -1)
    torch.testing.assert_close(detail(same, constant), detail(same[:, :, 0], constant[:, :, 0]), rtol=0, atol=1e-5)
    with pytest.raises(ValueError, match="ssim needs at least 11 pixels per side; the image has 10 x 11 x 14"):
        ssim(logits[:, :, :10], target[:, :, :10])
