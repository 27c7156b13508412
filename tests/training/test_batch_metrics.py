"""Metrics that are read together are those of a training that reads each batch."""

import math

import pytest
import torch

import multimodal_vae as mv
from multimodal_vae.training import loop
from multimodal_vae.training.batch_metrics import EVERY, BatchMetrics, reading_interval
from multimodal_vae.training.optimizer import adam
from multimodal_vae.training.settings import Training
from multimodal_vae.training.staging import staged
from stopping import stopped_after

SETTINGS = {"epochs": 3, "per_class": 2, "device": "cpu", "show": False, "loggers": ["jsonl"], "average": 0.9}


@pytest.fixture
def read_every(monkeypatch):
    def use(every):
        monkeypatch.setattr(loop, "reading_interval", lambda *_: every)

    return use


def fit(make_data, make_model, out, **settings):
    data = make_data()
    mv.fit(make_model(data), data, make_data(seed=1), out=out, **{**SETTINGS, **settings})
    return [(out / name).read_bytes() for name in ("model.safetensors", "log.jsonl")]


@pytest.mark.parametrize("accumulate", [1, 2])
@pytest.mark.parametrize("every", [2, 4, 100])
def test_weights_and_log_do_not_depend_on_when_metrics_are_read(
    read_every, make_data, make_model, tmp_path, every, accumulate
):
    whole = fit(make_data, make_model, tmp_path / "each", accumulate=accumulate)
    read_every(every)
    assert fit(make_data, make_model, tmp_path / "some", accumulate=accumulate) == whole


def test_what_is_unread_is_in_a_checkpoint(read_every, make_data, make_model, tmp_path, monkeypatch):
    whole = fit(make_data, make_model, tmp_path / "whole")
    read_every(100)
    for stop in (2, 3, 5):
        with stopped_after(stop, monkeypatch), pytest.raises(mv.TrainingInterrupted):
            fit(make_data, make_model, tmp_path / "stopped")
    assert fit(make_data, make_model, tmp_path / "stopped") == whole


class Breaking(mv.Vector):
    """A modality whose loss is not finite for samples above a limit."""

    value = math.inf

    def reconstruction_loss(self, decoded, target):
        loss = super().reconstruction_loss(decoded, target)
        return torch.where((target > 50).any(1), self.value, loss)


@pytest.fixture(params=[math.inf, math.nan])
def broken(request, monkeypatch):
    """Nine batches of two samples, the fourth and sixth of which break the loss."""
    monkeypatch.setattr(Breaking, "value", request.param)
    samples = torch.randn(18, 2, generator=torch.Generator().manual_seed(0))
    samples[7], samples[11] = 100.0, 100.0
    data = mv.MultimodalDataset.from_tensors({"x": samples}, [0, 1] * 9, {"x": Breaking(size=2, hidden=4)})
    return data, mv.MultimodalVAE(data.modalities, data.classes, latent_dim=2, seed=0).train()


def weights(vae):
    return torch.cat([parameter.detach().flatten() for parameter in vae.parameters()])


@pytest.mark.parametrize("every", [1, 2, 5, 100])
def test_the_first_batch_that_is_not_finite_is_named_and_no_step_follows_it(broken, every):
    data, vae = broken
    optimizer, batches = adam(vae, 0.01), torch.arange(18).split(2)
    metrics, kept = BatchMetrics(optimizer, vae.device, every), []

    def train():
        for rows in batches:
            kept.append(weights(vae))
            loop.train_step(vae, [data.batch(rows)], optimizer, clip=1.0, metrics=metrics)
        metrics.read()

    with pytest.raises(mv.TrainingError, match=r"term reconstruction\.x is not finite, in the batch of samples 6, 7, "):
        train()
    assert torch.equal(weights(vae), kept[3])
    assert not torch.equal(kept[3], kept[2])
    assert len(kept) == min(9, max(4, math.ceil(4 / every) * every))
    steps = {float(state["step"]) for state in optimizer.state_dict()["state"].values()}
    assert steps == {3.0}


def test_metrics_of_batches_come_in_their_order_and_once(make_data, make_model):
    data = make_data()
    vae = make_model(data).train()
    optimizer = adam(vae, 0.01)
    metrics, read = BatchMetrics(optimizer, vae.device, 3), []
    for rows in torch.arange(24).split(3):
        read.append(loop.train_step(vae, [data.batch(rows)], optimizer, metrics=metrics))
    assert [len(each) for each in read] == [0, 0, 3, 0, 0, 3, 0, 0]
    assert len(metrics.read()) == 2
    assert metrics.read() == []
    assert list(read[2][0]) == vae.metric_names


def test_only_a_gpu_with_a_fused_optimizer_lets_metrics_wait():
    weight = [torch.nn.Parameter(torch.zeros(1))]
    fused, plain = (torch.optim.Adam(weight, fused=fused) for fused in (True, False))
    intervals = [reading_interval(x, torch.device(y)) for x in (fused, plain) for y in ("cpu", "mps", "cuda")]
    assert intervals == [1, 1, EVERY, 1, 1, 1]


def test_staged_batches_are_those_of_the_data(make_data):
    present = torch.ones(24, 2, dtype=torch.bool)
    present[3, 1] = False
    data = make_data(present=present)
    rows = torch.tensor([3, 0, 23])
    expected, found = data.batch(rows), staged(data, torch.device("cpu"))(rows)
    assert found.ids == expected.ids
    for name in ("present", "labels", "covariates"):
        assert torch.equal(getattr(found, name), getattr(expected, name))
    assert list(found.samples) == list(expected.samples)
    assert all(torch.equal(x, expected.samples[name]) for name, x in found.samples.items())
    assert set(data.samples) == {"blood", "gait"}


def test_a_training_on_staged_samples_is_the_same(make_data, make_model, monkeypatch):
    results = []
    for stage in (False, True):
        if stage:
            monkeypatch.setattr(loop, "loader", staged)
        data, epochs = make_data(), []
        settings = Training(epochs=2, per_class=4, device="cpu")
        loop.train(
            make_model(data), data, None, settings, lambda epoch, to=epochs: to.append(epoch.training), show=False
        )
        results.append(epochs)
    assert results[0] == results[1]
