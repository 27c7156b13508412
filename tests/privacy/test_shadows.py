"""Shadow models find what a plain distance does not, and an interrupted audit resumes with those that are trained."""

import math
from functools import partial

import numpy as np
import pytest
import torch
from scipy.stats import norm

import multimodal_vae as mv
from multimodal_vae.errors import ConfigurationError, RunError, TrainingInterrupted
from multimodal_vae.privacy import run_audit, shadows
from multimodal_vae.privacy.shadows import estimated_seconds, likelihood_ratio


def test_the_likelihood_ratio_is_that_of_two_gaussians():
    rng = np.random.default_rng(0)
    statistics, target = rng.normal(size=(6, 20)), rng.normal(size=20)
    trained_on = rng.permuted(np.repeat([[True], [False]], 3, 0).repeat(20, 1), axis=0)
    expected = 0.0
    for sign, chosen in ((1, trained_on), (-1, ~trained_on)):
        values = np.stack([statistics[chosen[:, i], i] for i in range(20)], 1)
        deviation = np.sqrt(values.var(0, ddof=1).mean() * (1 + 1 / 3))
        expected = expected + sign * norm.logpdf(target, values.mean(0), deviation)
    found = likelihood_ratio(*map(torch.from_numpy, (statistics, trained_on, target)))
    np.testing.assert_allclose(found, expected, rtol=1e-9)


@pytest.fixture(scope="module")
def memorizing(tmp_path_factory):
    """A run of which a kernel density of a tiny bandwidth reproduces the patients."""
    rng = torch.Generator().manual_seed(0)
    labels = torch.arange(100) % 2
    samples = {"blood": 2.0 * labels[:, None] + torch.randn(100, 6, generator=rng)}
    parts = {"blood": mv.Vector(size=6, hidden=32)}
    data = mv.MultimodalDataset.from_tensors(samples, [("ill", "well")[k] for k in labels.tolist()], parts)
    train, _, test = data.split(0.5, 0.0, 0.5)
    objective = mv.Objective(kl_weight=0.05, metric_weight=0.0)
    vae = mv.MultimodalVAE(parts, data.classes, latent_dim=6, objective=objective, seed=0)
    out = tmp_path_factory.mktemp("shadows") / "run"
    settings = {"steps": 100, "learning_rate": 5e-3, "early_stopping": False, "device": "cpu"}
    mv.fit(vae, train, test=test, out=out, show=False, **settings)
    return mv.open_run(out, data)


@pytest.mark.filterwarnings("ignore::multimodal_vae.errors.MultimodalVAEWarning")  # what a kernel density gives away
def test_shadow_models_find_more_than_a_distance_and_resume(memorizing, monkeypatch):
    fit, trained = shadows.fit, []

    def interrupted(*given, out, **settings):
        if len(trained) == 2:
            raise TrainingInterrupted("training was interrupted")
        trained.append(out)
        return fit(*given, out=out, **settings)

    monkeypatch.setattr(shadows, "fit", interrupted)
    audit = partial(run_audit.audit_run, memorizing, {"name": "kde", "bandwidth": 1e-3}, shadows=4)
    whole = estimated_seconds(memorizing, 4)
    with pytest.raises(TrainingInterrupted):
        audit()
    assert [path.name for path in trained] == ["0", "1"]
    assert estimated_seconds(memorizing, 4) == whole / 2
    trained.clear()
    found, path = audit()
    assert [path.name for path in trained] == ["2", "3"]
    assert '"shadows": 4' in path.read_text("utf-8")
    by_distance, by_shadows = (found.result(f"membership/{name}distance", "data").value for name in ("", "shadows/"))
    assert by_shadows > by_distance + 0.05, (by_shadows, by_distance)
    assert found.result("membership/shadows/reconstruction", "model").value > 0.6
    splits = [mv.open_run(memorizing.path / "shadows" / str(number), memorizing.data).splits for number in range(4)]
    members = [set(each["train"].ids) for each in splits]
    assert members[0].isdisjoint(members[1])
    assert len(members[0] | members[1]) == 100
    assert members[0] not in (members[2], members[3])


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"shadows": 3}, "give an even number of at least 4"),
        ({"shadows": 2}, "give an even number of at least 4"),
        ({"shadows": 4, "fit_on": "test"}, "shadow models are trained on the run's own patients"),
    ],
)
def test_what_shadow_models_cannot_audit_is_refused(memorizing, settings, message):
    with pytest.raises(ConfigurationError, match=message):
        run_audit.audit_run(memorizing, "gaussian", **settings)


def test_the_training_of_an_adapted_run_is_not_repeated(memorizing):
    record = memorizing.path / "guarantee.json"
    record.write_text("{}", "utf-8")
    with pytest.raises(RunError, match="is adapted, so shadow models cannot repeat its training"):
        run_audit.audit_run(memorizing, "gaussian", shadows=4)
    record.unlink()


def test_the_time_of_shadow_models_is_unknown_without_that_of_the_run(memorizing):
    assert estimated_seconds(memorizing, 4) >= 0
    path = memorizing.path / "timing.jsonl"
    kept = path.read_bytes()
    for content in (None, b"{", b"[1]\n", b"{}\n"):
        path.unlink() if content is None else path.write_bytes(content)
        assert math.isnan(estimated_seconds(memorizing, 4))
    path.write_bytes(kept)
