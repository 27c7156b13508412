import math

import pytest
import torch

from multimodal_vae.nn.haar import haar, inverse_haar

SHAPES = [(2, 3, 8), (2, 3, 4, 6), (2, 1, 4, 2, 6)]


@pytest.mark.parametrize("shape", SHAPES)
def test_the_transform_keeps_sums_of_squares_and_is_inverted(shape):
    x = torch.randn(shape, dtype=torch.float64)
    transformed = haar(x)
    axes = len(shape) - 2
    assert transformed.shape == (shape[0], shape[1] * 2**axes, *(n // 2 for n in shape[2:]))
    torch.testing.assert_close(transformed.square().sum(), x.square().sum())
    torch.testing.assert_close(inverse_haar(transformed), x)


def test_the_coefficients_of_a_cell_are_its_sum_and_its_differences_along_each_axis():
    a, b, c, d = 1.0, 2.0, 5.0, 9.0
    cell = torch.tensor([[[[a, b], [c, d]]]])
    expected = [a + b + c + d, a + c - b - d, a + b - c - d, a + d - b - c]
    torch.testing.assert_close(haar(cell).flatten(), torch.tensor(expected) / 2)


@pytest.mark.parametrize("shape", SHAPES)
def test_constants_have_no_details(shape):
    axes = len(shape) - 2
    sums = haar(torch.ones(shape)).unflatten(1, (shape[1], 2**axes))
    torch.testing.assert_close(sums[:, :, 0], torch.full_like(sums[:, :, 0], math.sqrt(2) ** axes))
    assert not sums[:, :, 1:].abs().max() > 1e-6


def test_more_levels_transform_details_as_well():
    x = torch.randn(2, 3, 8, 12)
    twice = haar(x, 2)
    assert twice.shape == (2, 48, 2, 3)
    torch.testing.assert_close(twice, haar(haar(x)))
    torch.testing.assert_close(inverse_haar(twice, 2), x)
