import pytest
import torch
from torch import nn

import multimodal_vae as mv
from multimodal_vae.training import averaging, loop
from multimodal_vae.training.averaging import averaged_model, estimate_statistics, weight_average

QUICK = {"per_class": 4, "device": "cpu", "show": False}


def flat(vae):
    return torch.cat([parameter.detach().flatten() for parameter in vae.parameters()])


def test_the_average_is_the_recursion_of_its_definition(make_data, make_model):
    vae = make_model(make_data())
    average, expected = weight_average(vae, 0.9), flat(vae)
    for step in range(1, 40):
        with torch.no_grad():
            for parameter in vae.parameters():
                parameter.add_(torch.randn_like(parameter))
        average.update_parameters(vae)
        decay = min(0.9, (1 + step) / (10 + step))
        expected = decay * expected + (1 - decay) * flat(vae)
        torch.testing.assert_close(flat(average), expected)


@pytest.fixture
def pictures(make_data):
    made = make_data(40)
    part = mv.Image(size=(4, 4), channels=1, width=4)
    samples = {"x": torch.rand(40, 1, 4, 4) * (made.labels + 1)[:, None, None, None] / 2}
    return mv.MultimodalDataset.from_tensors(samples, made.labels, {"x": part})


def test_statistics_are_those_of_the_training_data(pictures, make_model):
    vae = make_model(pictures)
    seen = []
    norm = next(layer for layer in vae.encoders.modules() if isinstance(layer, nn.BatchNorm2d))
    norm.register_forward_hook(lambda _layer, inputs, _output: seen.append(inputs[0]))
    estimate_statistics(vae.eval(), pictures, seed=0)
    inputs = torch.cat(seen)
    torch.testing.assert_close(norm.running_mean, inputs.mean((0, 2, 3)))
    torch.testing.assert_close(norm.running_var, inputs.var((0, 2, 3)))
    assert norm.momentum == 0.1
    assert not vae.training


def test_statistics_of_several_batches_are_their_mean(pictures, make_model, monkeypatch):
    monkeypatch.setattr(averaging, "_BATCH_SIZE", 13)  # three batches, and one sample over, which has no variance
    vae = make_model(pictures)
    estimate_statistics(vae, pictures, seed=0)
    assert all(x.isfinite().all() for x in vae.state_dict().values())


def test_the_averaged_model_leaves_the_model_unchanged(pictures, make_model):
    vae = make_model(pictures).train()
    average = weight_average(vae, 0.5)
    before = flat(vae)
    with torch.no_grad():
        for parameter in vae.parameters():
            parameter.add_(1)
    state = {name: x.clone() for name, x in vae.state_dict().items()}
    assert torch.equal(flat(averaged_model(average, vae, pictures, seed=0)), before)
    assert all(torch.equal(x, state[name]) for name, x in vae.state_dict().items())
    assert vae.training


def test_what_is_evaluated_and_kept_is_the_average(pictures, make_model, monkeypatch):
    averages = []
    monkeypatch.setattr(
        loop, "weight_average", lambda *arguments: averages.append(weight_average(*arguments)) or averages[0]
    )
    vae = mv.fit(make_model(pictures), pictures, pictures, epochs=3, average=0.8, **QUICK)
    (average,) = averages
    assert torch.equal(flat(vae), flat(average))
    other = make_model(pictures)
    other.load_state_dict(vae.state_dict())
    estimate_statistics(other, pictures, seed=0)
    for name, x in vae.state_dict().items():
        assert torch.equal(x, other.state_dict()[name]), name


def test_averaging_changes_no_step_of_the_training(pictures, make_model):
    logs = []
    for average in (False, 0.9):
        epochs = []
        settings = loop.Training(epochs=3, average=average, per_class=4, device="cpu")
        loop.train(make_model(pictures), pictures, pictures, settings, epochs.append, show=False)
        logs.append([epoch.training for epoch in epochs])
    assert logs[0] == logs[1]
