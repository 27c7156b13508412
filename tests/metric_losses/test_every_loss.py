"""Tests of all shipped metric losses, alone and in a model."""

import pytest
import torch
from torch.autograd import gradcheck
from torch.func import functional_call

import multimodal_vae as mv
from stopping import stopped_after

PLAIN = {"name": "LpDistance", "normalize_embeddings": False}
LOSSES = [
    mv.Triplet(1.0),
    mv.Triplet(1.0, "squared", "hard"),
    mv.Triplet(1.0, "cosine", "all"),
    mv.SupCon(),
    mv.ProxyAnchor(),
    mv.Center(),
    mv.PyTorchMetricLearning({"name": "TripletMarginLoss", "margin": 1.0, "distance": PLAIN}, "TripletMarginMiner"),
    mv.PyTorchMetricLearning({"name": "TripletMarginLoss", "margin": 5.0, "triplets_per_anchor": 2}),
    mv.PyTorchMetricLearning("ProxyAnchorLoss"),
]
each_loss = pytest.mark.parametrize("loss", LOSSES, ids=lambda loss: f"{loss.name}-{LOSSES.index(loss)}")


@each_loss
@pytest.mark.parametrize("members", [(4, 4, 4), (0, 1, 2, 5), (5, 0, 0), (1, 1, 1), (2, 2, 0, 1)], ids=str)
def test_gradients_are_those_of_finite_differences(loss, members):
    torch.manual_seed(3)
    loss = loss.clone()
    loss.build(4, len(members))
    labels = torch.arange(len(members)).repeat_interleave(torch.tensor(members))
    latents = torch.randn(len(labels), 4, dtype=torch.float64, requires_grad=True)
    weights = dict(loss.double().named_parameters())
    if "ProxyAnchorLoss" in repr(loss):  # it casts its weights in place, which breaks finite differences
        weights = {}

    def compute(latents, *values):
        torch.manual_seed(0)  # some losses draw random numbers
        return functional_call(loss, dict(zip(weights, values, strict=True)), (latents, labels))

    assert gradcheck(compute, (latents, *weights.values()))


@pytest.mark.parametrize("loss", [each for each in LOSSES if "triplets_per_anchor" not in repr(each)], ids=repr)
def test_value_and_gradient_do_not_depend_on_the_order(loss):
    torch.manual_seed(0)
    loss = loss.clone()
    loss.build(4, 4)
    loss.double()
    labels, results = torch.tensor([1, 2, 2, 3, 3, 3, 3, 3]), []
    latents = torch.randn(len(labels), 4, dtype=torch.float64)
    for order in (torch.arange(len(labels)), torch.randperm(len(labels))):
        shuffled = latents[order].requires_grad_()
        value = loss(shuffled, labels[order])
        (gradient,) = torch.autograd.grad(value, shuffled)
        results.append((value.detach(), gradient[order.argsort()]))
    assert results[0][0] > 0
    torch.testing.assert_close(*results, rtol=1e-9, atol=1e-12)


@pytest.fixture(params=["integers", "strings"])
def half_labeled(request, make_data):
    """Samples of two classes and unlabeled ones, in turn."""
    names = {"integers": (3, 5, None), "strings": ("ill", "well", "")}[request.param]
    made = make_data(18)
    return mv.MultimodalDataset.from_tensors(made.samples, [names[row % 3] for row in range(18)], made.modalities)


@each_loss
def test_unlabeled_samples_count_in_all_but_the_metric_loss(loss, half_labeled, make_model):
    vae = make_model(half_labeled, metric_loss=loss).eval()
    batch = half_labeled.batch(torch.arange(18))
    labeled = batch.labels >= 0
    assert labeled.tolist() == [True, True, False] * 6
    inputs = {name: x.clone().requires_grad_() for name, x in batch.samples.items()}
    torch.manual_seed(0)
    terms = vae(batch, inputs)
    torch.manual_seed(0)
    torch.randn(18, vae.latent_dim)  # the noise of latents is drawn before the loss draws
    latents = vae.posterior(batch.samples, batch.present).mean[labeled]
    assert torch.equal(terms["metric"], vae.metric_loss(latents, batch.labels[labeled]))
    assert terms["metric"] > 0
    (of_metric,) = torch.autograd.grad(terms["metric"], inputs["blood"], retain_graph=True)
    assert (of_metric[~labeled] == 0).all()
    assert of_metric[labeled].any()
    for term in ("reconstruction.blood", "kl"):
        (gradient,) = torch.autograd.grad(terms[term].sum(), inputs["blood"], retain_graph=True)
        assert gradient.any(1).all()


@each_loss
def test_a_training_draws_unlabeled_samples_and_ends_finite(loss, half_labeled, make_model, monkeypatch):
    batches, forward = [], mv.MultimodalVAE.forward

    def record(self, batch, *others):
        batches.append(batch.labels)
        return forward(self, batch, *others)

    monkeypatch.setattr(mv.MultimodalVAE, "forward", record)
    vae = mv.fit(
        make_model(half_labeled, metric_loss=loss),
        half_labeled, epochs=2, per_class=2, unlabeled=3, device="cpu", show=False,
    )  # fmt: skip
    assert all(torch.bincount(labels + 1).tolist() == [3, 2, 2] for labels in batches)
    assert vae.embed(half_labeled).isfinite().all()
    assert all(weights.isfinite().all() for weights in vae.parameters())


@each_loss
def test_a_training_that_was_stopped_ends_the_same(loss, half_labeled, make_model, tmp_path, monkeypatch):
    def fit(name):
        vae = make_model(half_labeled, metric_loss=loss)
        settings = {"epochs": 3, "per_class": 2, "unlabeled": 2, "device": "cpu", "learning_rate": 0.01}
        return mv.fit(vae, half_labeled, out=tmp_path / name, show=False, loggers=["jsonl"], **settings)

    whole = fit("whole")
    for _ in range(2):
        with stopped_after(2, monkeypatch), pytest.raises(mv.TrainingInterrupted):
            fit("stopped")
    fit("stopped")
    for file in ("model.safetensors", "log.jsonl", "config.toml"):
        assert (tmp_path / "stopped" / file).read_bytes() == (tmp_path / "whole" / file).read_bytes()
    opened = mv.open_run(tmp_path / "stopped").model
    assert opened.metric_loss.configuration == loss.configuration
    for name, weights in opened.metric_loss.state_dict().items():
        assert torch.equal(weights, whole.metric_loss.state_dict()[name])
        assert not torch.equal(weights, make_model(half_labeled, metric_loss=loss).metric_loss.state_dict()[name])
