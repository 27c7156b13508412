import math

import pytest
import torch
from sklearn.metrics import r2_score

from multimodal_vae.evaluation.individuality import within_class


def test_it_is_one_for_the_samples_and_zero_for_class_means(generator):
    x, labels = torch.randn(30, 2, 3, generator=generator), torch.arange(30) % 3
    means = torch.stack([x[labels == k].mean(0) for k in range(3)])[labels]
    assert within_class(x, x, labels).r2() == 1
    assert within_class(x, means, labels).r2() == pytest.approx(0, abs=1e-6)
    assert within_class(x, -x, labels).r2() < 0
    noise = torch.randn(x.shape, generator=generator)
    assert 1 > within_class(x, x + 0.3 * noise, labels).r2() > within_class(x, x + 0.6 * noise, labels).r2()


def test_for_one_class_it_is_scikit_learns_weighted_by_variance(generator):
    x = torch.randn(20, 5, generator=generator) * torch.arange(1.0, 6)
    y = x + torch.randn(20, 5, generator=generator)
    expected = r2_score(x.numpy(), y.numpy(), multioutput="variance_weighted")
    assert within_class(x, y, torch.zeros(20)).r2() == pytest.approx(expected, rel=1e-5)


def test_classes_far_apart_do_not_flatter_it(generator):
    x, labels = torch.randn(40, 3, generator=generator), torch.arange(40) % 2
    y = x + torch.randn(40, 3, generator=generator)
    far = 100 * labels[:, None]
    assert within_class(x + far, y + far, labels).r2() == pytest.approx(within_class(x, y, labels).r2(), abs=1e-3)


def test_of_some_rows_it_is_theirs_with_the_means_of_all(generator):
    x, labels = torch.randn(10, 3, generator=generator), torch.arange(10) % 2
    result = within_class(x, x + 1, labels)
    rows = torch.tensor([0, 0, 3])
    assert result.r2(rows) == pytest.approx(1 - float(result.residual[rows].sum() / result.within[rows].sum()))
    assert math.isnan(within_class(torch.zeros(4, 2), torch.zeros(4, 2), torch.zeros(4)).r2())
