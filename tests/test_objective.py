import math

import pytest
import torch
from pydantic import ValidationError

import multimodal_vae as mv
from multimodal_vae.objective import KL, METRIC, reconstruction
from multimodal_vae.scopes import seeded


def test_with_two_modalities_and_the_papers_weights_it_is_its_equation_1():
    terms = {
        reconstruction("otoscopy"): torch.tensor([1.0, 3.0]),
        reconstruction("wbt"): torch.tensor([0.5, 0.7]),
        KL: torch.tensor([10.0, 20.0]),
        METRIC: torch.tensor(0.4),
    }
    paper = mv.Objective(kl_weight=0.1, metric_weight=0.1, reduction="mean")
    assert paper.total(terms).item() == pytest.approx(2.0 + 0.6 + 0.1 * 15 + 0.1 * 0.4)
    assert mv.Objective().total(terms).item() == pytest.approx(2.0 + 0.6 + 15 + 0.4)


def test_each_weight_counts_for_its_term():
    terms = {
        reconstruction("a"): torch.ones(2),
        reconstruction("b"): torch.ones(2),
        KL: torch.ones(2),
        METRIC: torch.tensor(1.0),
    }
    objective = mv.Objective(weights={"a": 1000.0}, kl_weight=20.0, metric_weight=0.5)
    assert objective.total(terms).item() == 1000 + 1 + 20 + 0.5


@pytest.mark.parametrize("name", ["kl", "metric", "reconstruction.kl"])
def test_a_modality_may_be_called_like_a_term(name):
    objective = mv.Objective(weights={name: 5.0}, kl_weight=2.0)
    assert objective.weight(reconstruction(name)) == 5.0
    assert objective.weight(KL) == 2.0


def test_unknown_or_negative_weights_are_refused():
    with pytest.raises(ValidationError):
        mv.Objective(kl_wieght=1.0)
    with pytest.raises(ValidationError):
        mv.Objective(kl_weight=-1.0)


@pytest.fixture
def batch(make_data):
    return make_data(6).batch(torch.arange(6))


@pytest.mark.parametrize("reduction", ["mean", "sum", "calibrated"])
def test_terms_are_what_a_pencil_gives(reduction, make_data, make_model, batch):
    vae = make_model(make_data(), fusion="concat", objective={"reduction": reduction}).eval()
    with torch.no_grad(), seeded(1):
        terms = vae(batch)
    with torch.no_grad(), seeded(1):
        posterior = vae.posterior(batch.samples, batch.present)
        z = posterior.mean + torch.randn(6, 3) * (posterior.logvar / 2).exp()
        decoded = vae.decode(z)
    over = torch.mean if reduction == "mean" else torch.sum
    for name, values in decoded.items():
        value, deviation = values[:, 0], values[:, 1]
        squares = ((value - batch.samples[name]) / deviation).square()
        nats = 0.5 * squares + deviation.log() + 0.5 * math.log(2 * math.pi)  # of the normal distribution
        torch.testing.assert_close(terms[reconstruction(name)], over(nats, 1))
    kl = 0.5 * (posterior.mean.square() + posterior.logvar.exp() - 1 - posterior.logvar)
    torch.testing.assert_close(terms[KL], over(kl, 1))
    torch.testing.assert_close(terms[METRIC], mv.Triplet()(posterior.mean, batch.labels))
    assert list(terms) == ["reconstruction.blood", "reconstruction.gait", "kl", "metric"]


@pytest.mark.parametrize(
    "part", [mv.Image(size=(4, 4), channels=1, width=4), mv.Categorical(categories=["a", "b", "c"])]
)
def test_the_sum_of_a_log_likelihood_is_that_of_the_whole_sample(part):
    # The evidence lower bound needs -log p(x | z) of a sample in nats, whatever the modality.
    data = mv.MultimodalDataset.from_tensors(
        {"x": torch.eye(3).repeat(2, 1) if part.shape == (3,) else torch.rand(6, *part.shape)}, [0, 1] * 3, {"x": part}
    )
    vae = mv.MultimodalVAE(
        data.modalities, data.classes, "concat", latent_dim=2, seed=0, objective={"reduction": "sum"}
    ).eval()
    batch = data.batch(torch.arange(6))
    with torch.no_grad(), seeded(1):
        term = vae(batch)[reconstruction("x")]
    with torch.no_grad(), seeded(1):
        decoded = vae.decode(vae.posterior(batch.samples, batch.present).rsample())["x"]
    x = batch.samples["x"]
    if part.shape == (3,):
        nats = -(x * decoded.log_softmax(1)).sum(1)
    else:
        p = torch.sigmoid(decoded)
        nats = -(x * p.log() + (1 - x) * (1 - p).log()).flatten(1).sum(1)
    torch.testing.assert_close(term, nats, rtol=1e-4, atol=1e-5)


def test_the_metric_loss_sees_the_first_dimensions_and_labeled_samples_only(make_data, make_model, batch):
    from dataclasses import replace

    labels = batch.labels.clone()
    labels[0] = -1
    vae = make_model(make_data(), objective={"metric_dimensions": 2}, metric_loss=mv.Triplet(margin=5.0)).eval()
    with torch.no_grad():
        terms = vae(replace(batch, labels=labels))
        mean = vae.posterior(batch.samples, batch.present).mean
        expected = mv.Triplet(margin=5.0)(mean[1:, :2], labels[1:])
    torch.testing.assert_close(terms[METRIC], expected)
    assert terms[METRIC] > 0


def test_a_batch_without_labels_has_a_metric_term_of_zero(make_data, make_model, batch):
    from dataclasses import replace

    vae = make_model(make_data())
    terms = vae(replace(batch, labels=torch.full((6,), -1)))
    assert terms[METRIC] == 0
    vae.objective.total(terms).backward()
    assert all(parameter.grad.isfinite().all() for parameter in vae.encoders.parameters())
