import pytest
import torch

from multimodal_vae.nn import Standardize, Unstandardize, mlp


@pytest.mark.parametrize(("shape", "sample"), [((3,), (3,)), ((2, 1), (2, 50)), ((1,), (1,)), ((1, 1), (1, 50))])
def test_training_data_comes_out_with_mean_zero_and_deviation_one(shape, sample):
    torch.manual_seed(0)
    data = 5 + 3 * torch.randn(400, *sample)
    layer = Standardize(shape)
    layer.measure(data)
    out = layer(data)
    reduced = (0, 2) if len(sample) == 2 else (0,)
    torch.testing.assert_close(out.mean(reduced), torch.zeros(shape[0]), atol=1e-5, rtol=0)
    torch.testing.assert_close(out.std(reduced, correction=0), torch.ones(shape[0]), atol=1e-5, rtol=0)


@pytest.mark.parametrize("constant", [0.0, 1e-3, 7.0, -1e6])
def test_a_constant_element_keeps_deviation_one(constant):
    layer = Standardize((2,))
    layer.measure(torch.stack([torch.full((10,), constant), torch.arange(10.0)], dim=1))
    assert layer.deviation[0] == 1
    assert layer(torch.tensor([[constant, 0.0]])).isfinite().all()


def test_unstandardize_undoes_standardize_and_hands_the_deviation_on():
    data = torch.randn(100, 3) * torch.tensor([1e-4, 1.0, 1e4])
    there, back = Standardize((3,)), Unstandardize((3,))
    there.measure(data)
    back.measure(data)
    value, deviation = back(there(data)).unbind(1)
    torch.testing.assert_close(value / deviation, data / data.std(0, correction=0))
    torch.testing.assert_close(deviation, data.std(0, correction=0).expand(100, 3))


def test_statistics_are_saved_and_never_learned():
    layer = Standardize((3,))
    assert set(layer.state_dict()) == {"mean", "deviation"}
    assert not list(layer.parameters())


def test_mlp_ends_without_an_activation():
    layers = mlp([4, 8, 8, 2])
    assert [type(layer).__name__ for layer in layers] == ["Linear", "SiLU", "Linear", "SiLU", "Linear"]
    assert layers(torch.zeros(3, 4)).shape == (3, 2)
