"""The number of threads: the fastest of a few, chosen without a trace, recorded, and kept on resume."""

import json

import pytest
import torch

import multimodal_vae as mv
from multimodal_vae.training import loop, threads
from stopping import stopped_after

QUICK = {"steps": 6, "per_class": 2, "device": "cpu", "show": False, "early_stopping": False}


@pytest.fixture(autouse=True)
def _two_threads(monkeypatch):
    monkeypatch.setattr(loop, "LEAST_BATCHES", 0)
    with threads.use_threads(2):
        yield


@pytest.fixture
def data():
    torch.manual_seed(0)
    parts = {"photo": mv.Image(size=(8, 8), channels=1, width=4), "blood": mv.Vector(size=2, hidden=4)}
    samples = {name: torch.rand(16, *part.shape) for name, part in parts.items()}
    return mv.MultimodalDataset.from_tensors(samples, ["ill", "well"] * 8, parts)


def trained(data, **settings):
    vae = mv.MultimodalVAE(data.modalities, data.classes, latent_dim=3, seed=0)
    return mv.fit(vae, data, **{**QUICK, "loggers": [], **settings})


def weights(module):
    return torch.cat([x.double().flatten() for x in module.state_dict().values()])


@pytest.mark.parametrize(
    ("seconds", "most", "best"),
    [
        ({1: 8, 2: 4, 4: 2, 6: 1}, 6, 6),
        ({1: 8, 2: 4, 4: 3.9, 6: 3.8}, 6, 2),  # what is hardly faster only takes cores from others
        ({1: 8, 2: 9}, 2, 1),
        ({1: 8}, 1, 1),
    ],
)
def test_more_threads_are_taken_as_long_as_they_help(monkeypatch, seconds, most, best):
    now = 0.0

    def step():
        nonlocal now
        now += seconds[torch.get_num_threads()]

    monkeypatch.setattr(threads.time, "perf_counter", lambda: now)
    assert threads.suitable_threads(step, most) == best
    assert torch.get_num_threads() == 2


@pytest.mark.parametrize("number", [1, 2])
def test_the_trial_leaves_no_trace(data, monkeypatch, number):
    """A training that measured its number is the training with that number, and both leave torch's as it was."""

    def suitable(step, most):
        assert most == 2
        for _ in range(3):
            step()
        return number

    monkeypatch.setattr(loop, "suitable_threads", suitable)
    measured = trained(data)
    assert torch.equal(weights(measured), weights(trained(data, threads=number)))
    assert torch.get_num_threads() == 2


def test_the_number_is_recorded_and_a_resumed_training_keeps_it(data, monkeypatch, tmp_path):
    steps_of = {1: 1.0, 2: 9.0}  # seconds
    monkeypatch.setattr(loop, "suitable_threads", lambda *_: min(steps_of, key=steps_of.get))
    settings = {"loggers": ["jsonl"], "out": tmp_path, "steps": 60, "checkpoint_seconds": 0}
    with stopped_after(4, monkeypatch), pytest.raises(mv.TrainingInterrupted):
        trained(data, **settings)
    steps_of[1] = 10.0
    trained(data, **settings)
    lines = (tmp_path / "timing.jsonl").read_text().splitlines()
    assert {json.loads(line)["machine.threads"] for line in lines} == {1}


def test_short_trainings_are_not_measured(data, monkeypatch):
    monkeypatch.setattr(loop, "LEAST_BATCHES", 7)
    monkeypatch.setattr(loop, "suitable_threads", None)
    trained(data)


def test_no_number_is_refused(data):
    with pytest.raises(mv.ConfigurationError, match="threads"):
        trained(data, threads=0)
