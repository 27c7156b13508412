"""Draws depend between their elements as residuals do, and keep the likelihood of each element."""

import numpy as np
import pytest
import torch
from sklearn.covariance import ledoit_wolf
from torch import nn

import multimodal_vae as mv
from multimodal_vae.dependence import _FAR, NoiseDependence, _factors, _normal_scores, _shrinkage
from multimodal_vae.nn import CensoredNormal

NONE = torch.full((4000,), -1)


def correlated(count, size=4, share=0.8):
    """Return standard normal values of which each pair of elements correlates by ``share``."""
    return share**0.5 * torch.randn(count, 1) + (1 - share) ** 0.5 * torch.randn(count, size)


def decoded(count, low=-torch.inf):
    """Return what a vector's decoder gives: means, deviations, limits."""
    mean, deviation = torch.tensor([1.0, -2.0, 0.0, 5.0]), torch.tensor([1.0, 2.0, 0.5, 3.0])
    return torch.stack([mean, deviation, torch.full((4,), low), torch.full((4,), torch.inf)]).expand(count, 4, 4)


@pytest.fixture(autouse=True)
def seed():
    torch.manual_seed(0)


@pytest.mark.parametrize(("count", "size"), [(60, 40), (30, 200), (200, 10)])
def test_shrinkage_is_scikit_learns(count, size):
    scores = correlated(count, size, 0.3).double()
    scores = (scores - scores.mean(0)) / scores.std(0, correction=0)
    shrinkage = _shrinkage(scores, scores @ scores.T / count)
    assert shrinkage == pytest.approx(ledoit_wolf(scores.numpy(), assume_centered=True)[1], rel=1e-9)


def test_draws_have_the_residuals_correlation_and_keep_the_likelihood():
    vector, rows = mv.Vector(size=4), decoded(4000)
    dependence = NoiseDependence(vector)
    dependence.measure(vector.likelihood(rows), rows[:, 0] + rows[:, 1] * correlated(4000), NONE)
    draws = dependence.draw(vector, rows)
    standard = (draws - rows[:, 0]) / rows[:, 1]
    correlation = np.corrcoef(standard.T)
    assert np.allclose(correlation[~np.eye(4, dtype=bool)], 0.8, atol=0.04)  # four standard errors of both sets
    assert torch.allclose(standard.mean(0), torch.zeros(4), atol=0.07)
    assert torch.allclose(standard.std(0), torch.ones(4), atol=0.05)


def test_independent_residuals_leave_draws_independent():
    vector, rows = mv.Vector(size=4), decoded(4000)
    dependence = NoiseDependence(vector)
    dependence.measure(vector.likelihood(rows), rows[:, 0] + rows[:, 1] * torch.randn(4000, 4), NONE)
    correlation = np.corrcoef(dependence.draw(vector, rows).T)
    assert np.abs(correlation[~np.eye(4, dtype=bool)]).max() < 0.07


def test_differences_between_classes_are_no_dependence():
    vector, rows = mv.Vector(size=4), decoded(4000)
    labels = torch.arange(4000) % 2
    shifted = rows[:, 0] + rows[:, 1] * (torch.randn(4000, 4) + 2 * labels[:, None])
    dependence = NoiseDependence(vector)
    dependence.measure(vector.likelihood(rows), shifted, labels)
    assert np.abs(np.corrcoef(dependence.draw(vector, rows).T)[~np.eye(4, dtype=bool)]).max() < 0.07


def test_a_limit_keeps_its_mass():
    vector, rows = mv.Vector(size=4), decoded(4000, low=0.0)
    likelihood = vector.likelihood(rows)
    dependence = NoiseDependence(vector)
    dependence.measure(likelihood, (rows[:, 0] + rows[:, 1] * correlated(4000)).clamp_min(0.0), NONE)
    at_limit = (dependence.draw(vector, rows) == 0).double().mean(0)
    expected = likelihood.cdf(torch.zeros(4000, 4))[0].double()
    assert torch.allclose(at_limit, expected, atol=0.035)  # four standard errors


def test_normal_scores_of_a_censored_value_are_in_the_middle_of_its_mass():
    likelihood = CensoredNormal(torch.zeros(1, 3), torch.ones(1, 3), torch.tensor([0.0, -torch.inf, 0.0]), torch.inf)
    scores = _normal_scores(likelihood, torch.tensor([[0.0, 1.5, torch.nan]]))
    expected = torch.special.ndtri(torch.tensor(0.25, dtype=torch.float64))
    assert torch.allclose(scores, torch.tensor([[expected, 1.5, 0.0]], dtype=torch.float64), atol=1e-5)


def test_no_factor_is_found_in_one_sample_and_no_element_varies_by_more_than_one():
    assert not _factors(torch.zeros(2, 5, dtype=torch.float64)).any()
    factors = _factors(correlated(50, 5, 0.999).double())
    assert float(factors.square().sum(0).max()) <= 1 + 1e-9


def test_without_a_distribution_function_draws_are_independent():
    sex = mv.Categorical(categories=["f", "m"])
    dependence = NoiseDependence(sex)
    dependence.measure(sex.likelihood(torch.zeros(9, 2)), sex.examples(9), NONE[:9])
    assert not dependence.factors.any()
    torch.manual_seed(1)
    draws = dependence.draw(sex, torch.zeros(5, 2))
    torch.manual_seed(1)
    assert torch.equal(draws, sex.draw(torch.zeros(5, 2)))


def test_a_training_measures_it_and_a_saved_model_keeps_it(tmp_path):
    x = torch.randn(60, 1) + 0.2 * torch.randn(60, 6)
    data = mv.MultimodalDataset.from_tensors({"x": x}, [0, 1] * 30, {"x": mv.Vector(size=6, hidden=8)})
    vae = mv.MultimodalVAE(data.modalities, data.classes, latent_dim=2, seed=0)
    assert not vae.dependences[0].factors.any()
    mv.fit(vae, data, steps=2, out=tmp_path / "run", loggers=[], show=False)
    assert vae.dependences[0].factors.any()
    again = mv.open_run(tmp_path / "run").model
    assert torch.equal(again.dependences[0].factors, vae.dependences[0].factors)
    assert isinstance(mv.MultimodalVAE({"i": mv.Image(size=(8, 8))}, ["a"]).dependences[0], nn.Identity)
    assert _FAR < 5  # beyond, the probabilities of float32 are 1


@pytest.mark.parametrize("missing", [0.0, 0.3])
def test_words_and_counts_of_which_some_are_missing_depend_in_draws_as_in_samples(missing):
    words = {"b": {"type": "binary", "words": ["f", "m"]}, "o": {"type": "ordinal", "words": ["low", "mid", "high"]}}
    table = mv.Table(columns={"x": "real", "y": "positive", "n": "count", **words}, hidden=4)
    normal = correlated(3000, 5, 0.7)
    samples = torch.stack(
        [
            normal[:, 0],
            normal[:, 1].exp(),
            (4 * normal[:, 2].exp()).floor(),
            (normal[:, 3] > 0.3).float(),
            (normal[:, 4] > -0.5).float() + (normal[:, 4] > 0.8).float(),
        ],
        1,
    )
    seen = samples.masked_fill(torch.rand(samples.shape) < missing, torch.nan)
    decoder = table.decoder(2)
    table.calibrate(table.encoder(), decoder, seen)
    optimizer = torch.optim.Adam(decoder.parameters(), lr=0.05)
    for _ in range(60):
        optimizer.zero_grad()
        table.reconstruction_loss(decoder(torch.zeros(3000, 2)), seen).mean().backward()
        optimizer.step()
    rows = decoder(torch.zeros(3000, 2)).detach()
    dependence = NoiseDependence(table)
    dependence.measure(table.likelihood(rows), seen, NONE[:3000])
    drawn = dependence.draw(table, rows)
    one, other = (torch.corrcoef(table.layout.on_scales(x).T) for x in (samples, drawn))
    assert float((one - other).abs().max()) < 0.07  # four standard errors of both
