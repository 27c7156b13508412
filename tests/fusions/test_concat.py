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


@pytest.fixture
def forgiving():
    torch.manual_seed(0)
    fusion = mv.Concat(dropout=0.5)
    fusion.build({"a": 2, "b": 3}, 4)
    for stand_in in fusion.stand_ins:
        nn.init.normal_(stand_in)
    return fusion


def test_a_stand_in_takes_the_place_of_what_is_absent(forgiving):
    a, b = torch.randn(5, 2), torch.randn(5, 3)
    present = torch.tensor([[True, True], [True, False], [False, True], [False, False], [True, True]])
    posterior = forgiving.eval()({"a": a, "b": b}, present)
    stand_a, stand_b = forgiving.stand_ins
    inputs = [torch.cat(pair) for pair in ((a[0], b[0]), (a[1], stand_b), (stand_a, b[2]), (stand_a, stand_b))]
    torch.testing.assert_close(posterior.mean[:4], forgiving.mean(torch.stack(inputs)))
    # Evaluation hides no modality.
    assert torch.equal(forgiving({"a": a, "b": b}, present).mean, posterior.mean)


def test_training_hides_each_modality_as_often_as_is_said_but_never_all_of_them(forgiving):
    present = torch.ones(4000, 2, dtype=torch.bool)
    visible = forgiving.train()._hide(present)
    assert visible.any(1).all()
    # Both would be hidden in 1/4 of the samples, which then keep both: each is hidden in 1/4. Five standard deviations.
    assert (~visible).float().mean(0).tolist() == pytest.approx([0.25, 0.25], abs=5 * (0.25 * 0.75 / 4000) ** 0.5)


def test_training_shows_nothing_that_is_absent(forgiving):
    present = torch.rand(1000, 2) < 0.5
    assert not (forgiving.train()._hide(present) & ~present).any()


def test_without_dropout_there_is_nothing_to_stand_in():
    fusion = mv.Concat()
    fusion.build({"a": 2, "b": 3}, 4)
    assert not list(fusion.stand_ins)
