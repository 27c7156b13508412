import contextlib
import io
import math

import numpy as np
import pytest
import torch
from scipy.ndimage import gaussian_filter
from sklearn.metrics.pairwise import polynomial_kernel

from multimodal_vae.errors import DataError
from multimodal_vae.evaluation import kernel_distance as kernel_module
from multimodal_vae.evaluation import neighbors as neighbors_module
from multimodal_vae.evaluation.class_maps import class_maps, map_differences, spread_ratio
from multimodal_vae.evaluation.kernel_distance import kernel_distance
from multimodal_vae.evaluation.neighbors import neighbors
from multimodal_vae.evaluation.sharpness import BANDS, energy, energy_ratio, reproduced_energy


def randn(generator, *shape):
    return torch.randn(*shape, generator=generator, dtype=torch.float64)


# Class maps


def test_class_maps_are_numpys_mean_and_sample_deviation(generator):
    x, labels = randn(generator, 20, 2, 3), torch.arange(20) % 2
    maps = class_maps(x, labels)
    for k in (0, 1):
        np.testing.assert_allclose(maps[k].mean, x[labels == k].numpy().mean(0))
        np.testing.assert_allclose(maps[k].spread, x[labels == k].numpy().std(0, ddof=1))


def test_a_shift_moves_the_mean_map_by_itself_and_a_scale_the_spread_map(generator):
    x, labels = randn(generator, 40, 5), torch.arange(40) % 2
    centered = x - torch.stack([x[labels == k].mean(0) for k in (0, 1)])[labels]
    for mean, spread in map_differences(centered, labels, centered + 0.5, labels).values():
        assert (mean, spread) == pytest.approx((0.5, 0))
    for k, (mean, spread) in map_differences(centered, labels, 3 * centered, labels).items():
        assert (mean, spread) == pytest.approx((0, 2 * float(centered[labels == k].std(0).mean())), abs=1e-9)


def test_of_two_real_sets_it_is_what_the_documentation_says(generator):
    x, y = randn(generator, 50, 4000), randn(generator, 50, 4000)
    labels = torch.zeros(50)
    (difference, _) = map_differences(x, labels, y, labels)[0]
    assert difference == pytest.approx(1.13 / math.sqrt(50), rel=0.05)


def test_the_spread_ratio_is_the_scale_and_no_class_mean_moves_it(generator):
    x, labels = randn(generator, 30, 4), torch.arange(30) % 3
    assert spread_ratio(0.3 * x + 7 * labels[:, None], labels, x, labels) == pytest.approx(0.3)
    with pytest.raises(DataError, match="class 1 has one sample"):
        class_maps(x[:4], torch.tensor([0, 0, 0, 1]))


# Precision, recall, density, coverage


@pytest.mark.parametrize("block", [7, 1024])
@pytest.mark.parametrize(("shift", "scale"), [(0.0, 1.0), (0.5, 0.6), (3.0, 1.0)])
@pytest.mark.parametrize("k", [1, 5])
def test_neighbors_are_those_of_prdc(generator, monkeypatch, block, shift, scale, k):
    from prdc import compute_prdc

    monkeypatch.setattr(neighbors_module, "BLOCK", block)
    real, generated = randn(generator, 83, 6), scale * randn(generator, 61, 6) + shift
    with contextlib.redirect_stdout(io.StringIO()):  # it prints
        expected = compute_prdc(real.numpy(), generated.numpy(), k)
    assert neighbors(real, generated, k).metrics() == pytest.approx({key: float(v) for key, v in expected.items()})


def test_each_falls_with_what_it_is_there_to_notice(generator):
    real = randn(generator, 300, 4)
    same = neighbors(real, randn(generator, 300, 4)).metrics()
    collapsed = neighbors(real, 0.1 * randn(generator, 300, 4)).metrics()
    away = neighbors(real, randn(generator, 300, 4) + 5).metrics()
    scattered = neighbors(real, 3 * randn(generator, 300, 4)).metrics()
    assert collapsed["recall"] < 0.1 < 0.7 < same["recall"]
    assert collapsed["coverage"] < 0.5 < 0.9 < same["coverage"]
    assert collapsed["density"] > 1.2  # the middle of the cloud is in many balls
    assert max(away.values()) < 0.05
    assert scattered["precision"] < 0.5 < 0.7 < same["precision"]
    assert same["density"] == pytest.approx(1, abs=0.15)


def test_they_do_not_move_with_the_place_of_the_origin(generator):
    real, generated = randn(generator, 50, 3), randn(generator, 50, 3)
    assert neighbors(real + 1e6, generated + 1e6).metrics() == neighbors(real, generated).metrics()


def test_equal_rows_have_no_distance_so_nothing_lies_inside_their_balls():
    rows = torch.full((9, 40), 0.1, dtype=torch.float64)
    assert set(neighbors(rows, rows).metrics().values()) == {0}


def test_too_few_neighbors_are_refused():
    with pytest.raises(DataError, match="6 of each are needed"):
        neighbors(torch.zeros(5, 2), torch.zeros(9, 2))


# Kernel distance


@pytest.mark.parametrize("block", [7, 1024])
def test_the_kernel_distance_is_the_unbiased_estimate_by_scikit_learns_kernel(generator, monkeypatch, block):
    monkeypatch.setattr(kernel_module, "BLOCK", block)
    x, y = randn(generator, 23, 5), randn(generator, 31, 5) + 0.3
    xx, yy, xy = (polynomial_kernel(a.numpy(), b.numpy(), degree=3, coef0=1) for a, b in ((x, x), (y, y), (x, y)))
    off = [(k.sum() - np.trace(k)) / (len(k) * (len(k) - 1)) for k in (xx, yy)]
    assert kernel_distance(x, y) == pytest.approx(off[0] + off[1] - 2 * xy.mean(), rel=1e-9)


def test_its_mean_is_zero_for_two_draws_of_one_distribution_of_any_size(generator):
    values = torch.tensor([kernel_distance(randn(generator, 15, 3), randn(generator, 40, 3)) for _ in range(400)])
    error = float(values.std()) / math.sqrt(400)
    assert abs(float(values.mean())) < 3 * error
    assert float(values.min()) < 0
    # The biased estimate, with the diagonals, would be some thirty standard errors above.
    assert 3 * error < 0.2


def test_it_grows_with_a_shift_and_sees_a_spread(generator):
    x, y = randn(generator, 200, 3), randn(generator, 200, 3)
    seen = [kernel_distance(x, y + shift) for shift in (0, 0.5, 1, 2)]
    assert seen == sorted(seen)
    assert kernel_distance(x, 2 * y) > 0.5 > abs(seen[0])
    with pytest.raises(DataError, match="needs two of each"):
        kernel_distance(x[:1], y)


# Sharpness


def pictures(generator, count=20, size=32):
    return randn(generator, count, 2, size, size)


def blurred(x, sigma):
    return torch.from_numpy(gaussian_filter(x.numpy(), (0, 0, sigma, sigma), mode="wrap"))


@pytest.mark.parametrize("shape", [(64,), (16, 20), (8, 6, 10)])
def test_bands_together_hold_the_sum_of_squares_about_the_mean(generator, shape):
    x = randn(generator, 5, 2, *shape)
    whole = energy(x, (0, 0.1, 0.3, len(shape) ** 0.5 / 2)).sum(1)
    space = tuple(range(2, x.dim()))
    expected = (x - x.mean(space, keepdim=True)).square().flatten(1).sum(1)
    torch.testing.assert_close(whole, expected)


@pytest.mark.parametrize(("cycles", "band"), [(1, 0), (2, 1), (3, 1), (5, 2), (8, 3), (16, 3)])
def test_a_wave_is_in_the_band_of_its_frequency(cycles, band):
    wave = torch.cos(2 * math.pi * cycles * torch.arange(32, dtype=torch.float64) / 32)
    seen = energy(wave.expand(1, 1, 32, 32))[0]
    assert int(seen.argmax()) == band
    assert float(seen[band] / seen.sum()) == pytest.approx(1)


def test_blur_takes_more_of_finer_bands_and_as_much_as_theory_says(generator):
    x = pictures(generator)
    ratios = energy_ratio(blurred(x, 1.5), x)
    assert ratios.tolist() == sorted(ratios.tolist(), reverse=True)
    assert float(ratios[-1]) < 0.2
    narrow = (0.099, 0.101)
    line = randn(generator, 50, 1, 1000)
    soft = torch.from_numpy(gaussian_filter(line.numpy(), (0, 0, 2), mode="wrap"))
    transfer = math.exp(-((2 * math.pi * 0.1 * 2) ** 2) / 2) ** 2
    assert float(energy_ratio(soft, line, narrow)) == pytest.approx(transfer, rel=0.05)
    assert float(reproduced_energy(soft, line, narrow)) == pytest.approx(transfer, rel=0.05)


def test_noise_looks_like_detail_to_the_ratio_and_not_to_what_is_reproduced(generator):
    reference = blurred(pictures(generator), 1)
    noise = 0.5 * pictures(generator)
    assert float(energy_ratio(reference + noise, reference)[-1]) > 1.5
    torch.testing.assert_close(
        reproduced_energy(reference + noise, reference), torch.ones(4).double(), atol=0.1, rtol=0
    )
    assert float(reproduced_energy(noise, reference).max()) < 0.01
    assert float(reproduced_energy(-reference, reference).max()) == 0


def test_a_mask_says_where_to_look(generator):
    x = pictures(generator)
    mask = torch.zeros(1, 1, 32, 32)
    mask[..., 8:24, 8:24] = 1
    spoilt = torch.where(mask.bool(), x, blurred(x, 3) + 5)
    torch.testing.assert_close(reproduced_energy(spoilt, x, BANDS, mask), torch.ones(4).double())
    assert float(reproduced_energy(spoilt, x)[-1]) < 0.5


def test_an_even_light_is_no_detail_within_the_mask_either(generator):
    x = pictures(generator)
    mask = torch.zeros(1, 1, 32, 32)
    mask[..., 8:24, 8:24] = 1
    torch.testing.assert_close(reproduced_energy(x + 9, x, BANDS, mask), torch.ones(4).double())
    torch.testing.assert_close(energy(x + 9), energy(x))


def test_what_has_no_space_or_another_shape_is_refused():
    with pytest.raises(DataError, match="no spatial dimension"):
        energy(torch.zeros(3, 4))
    with pytest.raises(DataError, match="but references have"):
        reproduced_energy(torch.zeros(3, 1, 4), torch.zeros(3, 1, 5))
