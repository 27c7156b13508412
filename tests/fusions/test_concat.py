import pytest
import torch
from torch import nn

import multimodal_vae as mv


def test_heads_are_the_papers_2x2_convolutions():
    torch.manual_seed(0)
    convolutions = [nn.Conv2d(1024, 128, 2), nn.Conv2d(1024, 128, 2, stride=2)]
    maps = {"otoscopy": torch.randn(3, 512, 2, 2), "wbt": torch.randn(3, 512, 2, 2)}
    fusion = mv.Concat()
    fusion.build({"otoscopy": 2048, "wbt": 2048}, 128)
    with torch.no_grad():
        for head, convolution in zip((fusion.mean, fusion.logvar), convolutions, strict=True):
            head.weight.copy_(convolution.weight.reshape(128, 4096))
            head.bias.copy_(convolution.bias)
    posterior = fusion({name: x.flatten(1) for name, x in maps.items()}, torch.ones(3, 2, dtype=torch.bool))
    stacked = torch.cat(list(maps.values()), dim=1)
    for ours, convolution in zip((posterior.mean, posterior.logvar), convolutions, strict=True):
        # Sums of 4096 products in float32, added up in different orders.
        torch.testing.assert_close(ours, convolution(stacked).reshape(3, 128), rtol=1e-4, atol=1e-5)


def test_heads_have_as_many_parameters_as_the_papers():
    fusion = mv.Concat()
    fusion.build({"otoscopy": 2048, "wbt": 2048}, 128)
    assert sum(parameter.numel() for parameter in fusion.parameters()) == 1_048_832


def test_an_absent_modality_is_refused_by_name():
    fusion = mv.Concat()
    fusion.build({"a": 2, "b": 3}, 4)
    features = {"a": torch.zeros(2, 2), "b": torch.zeros(2, 3)}
    with pytest.raises(mv.DataError, match=r"sample 1 of a batch lacks 'b'.*every modality"):
        fusion(features, torch.tensor([[True, True], [True, False]]))


def test_the_variance_stays_within_float32():
    fusion = mv.Concat()
    fusion.build({"a": 1}, 2)
    posterior = fusion({"a": torch.tensor([[1e30], [-1e30]])}, torch.ones(2, 1, dtype=torch.bool))
    assert posterior.logvar.exp().isfinite().all()
    assert (posterior.logvar.exp() > 0).all()
