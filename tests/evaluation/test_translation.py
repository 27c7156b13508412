import pytest
import torch
from sklearn.linear_model import Ridge

from multimodal_vae.errors import DataError
from multimodal_vae.evaluation.samples import LabeledSamples
from multimodal_vae.evaluation.translation import ridge_translation


def linear(seed, rows=150):
    rng = torch.Generator().manual_seed(seed)
    weights = torch.randn(6, 4, generator=torch.Generator().manual_seed(0))
    x = torch.randn(rows, 6, generator=rng)
    y = x @ weights + 0.3 * torch.randn(rows, 4, generator=rng)
    return LabeledSamples(
        {"a": 100 * x[:, :3], "b": x[:, 3:].reshape(-1, 1, 3), "y": y.reshape(-1, 2, 2)}, torch.arange(rows) % 2
    )


def test_a_linear_relation_is_found_up_to_its_noise():
    train, new = linear(1), linear(2)
    error = (ridge_translation(train, new, "y") - new.values["y"]).square().mean().sqrt()
    assert error == pytest.approx(0.3, rel=0.15)  # 600 values: 3 standard errors are 9 %, and 7 weights are estimated


def test_it_is_scikit_learns_ridge_of_standardized_elements():
    train, new = linear(1), linear(2)
    x, y = (torch.cat([each.values["a"], each.values["b"].flatten(1)], 1).double() for each in (train, new))
    mean, scale = x.mean(0), x.std(0, correction=0)
    target = train.values["y"].flatten(1).double()
    candidates = [Ridge(penalty).fit(((x - mean) / scale).numpy(), target.numpy()) for penalty in (0.1, 10**0.4 * 0.1)]
    expected = [torch.from_numpy(each.predict(((y - mean) / scale).numpy())) for each in candidates]
    predicted = ridge_translation(train, new, "y").flatten(1).double()
    assert min(float((predicted - each).abs().max()) for each in expected) < 0.05


def test_a_single_modality_has_nothing_to_translate_from():
    samples = LabeledSamples({"y": torch.randn(20, 2)}, torch.zeros(20, dtype=torch.int64))
    with pytest.raises(DataError, match="no modality to translate to 'y' from"):
        ridge_translation(samples, samples, "y")
