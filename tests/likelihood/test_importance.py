"""Log-likelihoods against the exact ones of linear models with Gaussian noise."""

import math

import pytest
import torch
from torch import nn
from torch.distributions import MultivariateNormal, Normal

import multimodal_vae as mv
from multimodal_vae.evaluation.samples import LabeledSamples
from multimodal_vae.likelihood import importance
from multimodal_vae.likelihood.importance import likelihood_metrics, log_likelihood, modalities_with_likelihood
from multimodal_vae.likelihood.proposal import laplace


class Linear(mv.Modality):
    """Numbers whose decoder is a linear map with Gaussian noise."""

    def __init__(self, size: int, deviation: float) -> None:
        self.size = size
        self.deviation = deviation

    @property
    def shape(self):
        return (self.size,)

    def encoder(self):
        return nn.Flatten()

    def decoder(self, latent_dim):
        return nn.Linear(latent_dim, self.size)

    def likelihood(self, decoded):
        return Normal(decoded, self.deviation, validate_args=False)


class Bare(Linear):
    """The same, with a loss that is no likelihood."""

    def likelihood(self, decoded):
        return None

    def reconstruction_loss(self, decoded, target):
        return (decoded - target).square().mean(1)


PARTS = {"a": Linear(size=3, deviation=0.5), "b": Linear(size=2, deviation=0.8), "c": Linear(size=4, deviation=1.1)}


def build(fusion, parts=PARTS, latent_dim=2):
    vae = mv.MultimodalVAE(parts, ["ill", "well"], fusion, latent_dim=latent_dim, seed=0).eval()
    with torch.no_grad():
        for number, decoder in enumerate(vae.decoders):
            decoder.weight.copy_(torch.randn(decoder.weight.shape, generator=torch.Generator().manual_seed(number)))
        for head in (each for each in vae.fusion.modules() if isinstance(each, nn.Linear)):
            head.weight.mul_(0.1)  # posteriors that are wrong, but wide enough
            head.bias.copy_(torch.tensor([0.0, 1.0]).repeat_interleave(len(head.bias) // 2))
    return vae


def exact(vae, names):
    """Return mean and covariance of some modalities, all latents but the noise integrated out."""
    means, rows = [], []
    for column, (name, decoder) in enumerate(zip(vae.modalities, vae.decoders, strict=True)):
        if name in names:
            row = torch.zeros(vae.modalities[name].size, vae.latent_dim)
            start = vae.shared_dim + column * vae.fusion.private
            used = [*range(vae.shared_dim), *range(start, start + vae.fusion.private)]
            row[:, used] = decoder.weight.detach()
            rows.append(row)
            means.append(decoder.bias.detach())
    loadings = torch.cat(rows).double()
    noise = [vae.modalities[name].deviation ** 2 for name in vae.modalities if name in names]
    sizes = torch.tensor([vae.modalities[name].size for name in vae.modalities if name in names])
    variances = torch.repeat_interleave(torch.tensor(noise).double(), sizes)
    return MultivariateNormal(torch.cat(means).double(), loadings @ loadings.T + variances.diag())


def joined(samples, names):
    return torch.cat([x for name, x in samples.items() if name in names], 1).double()


def drawn(vae, count=5):
    torch.manual_seed(3)
    return vae.generate(torch.randn(count, vae.latent_dim), noise="draw", seed=3)


SETS = [("a",), ("b",), ("a", "c"), ("a", "b", "c")]


def with_exact_posteriors():
    vae = build("poe")
    with torch.no_grad():
        # Orthogonal loadings: each modality's evidence is a product over dimensions, and so are all posteriors.
        for part, decoder, head in zip(PARTS.values(), vae.decoders, vae.fusion.heads, strict=True):
            length = torch.tensor([1.0, 2.0])
            decoder.weight.copy_(torch.eye(part.size, 2) * length)
            head.weight.zero_()
            head.weight[:2, :2] = torch.diag(1 / length)
            head.bias[:2] = -decoder.bias[:2] / length
            head.bias[2:] = 2 * math.log(part.deviation) - 2 * length.log()
    return vae


def test_with_the_exact_posterior_one_draw_gives_the_exact_likelihoods():
    vae = with_exact_posteriors()
    samples = drawn(vae)
    for names in SETS:
        found = log_likelihood(vae, {name: samples[name] for name in names}, draws=3, seed=0, proposal="posterior")
        expected = exact(vae, names).log_prob(joined(samples, names))
        torch.testing.assert_close(found.values, expected, rtol=1e-5, atol=1e-5)  # float32
        torch.testing.assert_close(found.effective_draws, torch.full((5,), 3.0).double(), rtol=1e-3, atol=1e-3)
    pair, known = (
        log_likelihood(vae, {name: samples[name] for name in names}, draws=1, seed=0, proposal="posterior")
        for names in ("ab", "b")
    )
    joint, marginal = (exact(vae, names).log_prob(joined(samples, names)) for names in ("ab", "b"))
    torch.testing.assert_close(pair.given(known).values, joint - marginal, rtol=1e-5, atol=1e-5)


@pytest.mark.parametrize(
    ("fusion", "proposal"),
    [
        *[(fusion, "posterior") for fusion in ("poe", "moe", "mopoe", "mvtcae", "jmvae", mv.MMVAEPlus(private=1))],
        *[(fusion, "laplace") for fusion in ("moe", mv.MMVAEPlus(private=1))],
    ],
    ids=str,
)
def test_with_any_posterior_draws_give_the_exact_likelihoods_within_their_error(fusion, proposal):
    private = getattr(fusion, "private", 0)
    vae = build(fusion, latent_dim=2 + 3 * private)
    samples = drawn(vae)
    for names in SETS:
        found = log_likelihood(vae, {name: samples[name] for name in names}, draws=5000, seed=0, proposal=proposal)
        expected = exact(vae, names).log_prob(joined(samples, names))
        # The logarithm of a mean of K weights has about this standard error.
        error = (1 / found.effective_draws - 1 / 5000).sqrt()
        assert float(error.max()) < (0.02 if proposal == "laplace" else 0.4)
        assert bool(((found.values - expected).abs() < 5 * error + 1e-4).all())


def test_more_draws_give_more_and_chunks_change_nothing_but_the_draws(monkeypatch):
    vae = build("moe")
    samples = drawn(vae, 20)
    few, many = (log_likelihood(vae, samples, draws=draws, seed=0, proposal="posterior") for draws in (1, 3000))
    assert few.values.mean() < many.values.mean()
    assert bool((few.effective_draws - 1).abs().max() < 1e-6)
    expected = exact(vae, PARTS).log_prob(joined(samples, PARTS))
    monkeypatch.setattr(importance, "LARGEST_CHUNK", 9 * 700)  # a chunk of draws, not all of one sample's
    parts = log_likelihood(vae, samples, draws=3000, seed=0)
    for found in (many, parts):
        error = (1 / found.effective_draws - 1 / 3000).sqrt()
        assert bool(((found.values - expected).abs() < 5 * error + 1e-4).all())
    assert torch.equal(parts.values, log_likelihood(vae, samples, draws=3000, seed=0).values)


def test_laplaces_approximation_finds_the_exact_posterior_from_a_wrong_one():
    vae = build("poe", latent_dim=6)
    with torch.no_grad():
        for head in vae.fusion.heads:
            head.weight.normal_()
            head.bias[6:] -= 3
    samples = drawn(vae, 20)
    wrong, found = (log_likelihood(vae, samples, draws=300, seed=0, proposal=q) for q in ("posterior", "laplace"))
    assert float(wrong.effective_draws.mean()) < 5
    # Of wider draws from a Gaussian posterior, a share of (sqrt(1.4) / 1.2)^6 = 92 % counts.
    assert float(found.effective_draws.mean()) == pytest.approx(276, abs=10)
    expected = exact(vae, PARTS).log_prob(joined(samples, PARTS))
    torch.testing.assert_close(found.values, expected, rtol=0, atol=0.1)


def test_where_there_is_no_curvature_the_encoders_posterior_serves():
    start = mv.Gaussian(torch.tensor([[1.0, 2.0], [0.0, 0.0]]), torch.full((2, 2), -1.0))

    def log_joint(z):  # of the second sample a parabola, of the first not a number
        return torch.stack([z[0].sum() * math.nan, -z[1].square().sum()])

    found = laplace(log_joint, start)
    torch.testing.assert_close(found.mean, torch.tensor([[1.0, 2.0], [0.0, 0.0]]).double())
    expected = torch.tensor([[math.exp(-1)] * 2, [0.5] * 2]).double() * 1.2
    torch.testing.assert_close(found.variance, expected, rtol=1e-4, atol=0)


def test_a_decoder_that_ignores_the_latent_has_the_likelihood_of_its_distribution():
    parts = {"a": PARTS["a"], "kind": mv.Categorical(categories=["x", "y", "z"], hidden=4)}
    vae = mv.MultimodalVAE(parts, ["any"], "poe", latent_dim=2, seed=0).eval()
    with torch.no_grad():
        for decoder in vae.decoders:
            for weight in decoder.parameters():
                weight.zero_()
    samples = {"a": torch.randn(4, 3), "kind": torch.eye(3)[[0, 1, 2, 0]]}
    expected = Normal(0, 0.5).log_prob(samples["a"].double()).sum(1) - math.log(3)
    # log p(z) - log q(z|x) alone averages out.
    found = log_likelihood(vae, samples, draws=2000, seed=0)
    error = (1 / found.effective_draws - 1 / 2000).sqrt()
    assert bool(((found.values - expected).abs() < 5 * error + 1e-4).all())


def test_what_cannot_be_rated_is_refused_by_name():
    vae = build("poe", {**PARTS, "bare": Bare(size=2, deviation=1.0)})
    samples = {name: torch.randn(2, part.size) for name, part in vae.modalities.items()}
    assert modalities_with_likelihood(vae) == ["a", "b", "c"]
    assert log_likelihood(vae, samples, draws=5).values.shape == (2,)  # of a, b and c, given all
    for of, given, words in [
        (None, ["bare"], r"none of the modalities \['bare'\] has a likelihood"),
        (["bare"], ["a", "bare"], "'bare' has no likelihood"),
        (["b"], ["a"], "'b' has no likelihood, or no samples of it are given"),
    ]:
        with pytest.raises(mv.DataError, match=words):
            log_likelihood(vae, {name: samples[name] for name in given}, of)
    with pytest.raises(mv.ConfigurationError, match="draws is 0"):
        log_likelihood(vae, samples, draws=0)
    assert log_likelihood(vae, {"a": torch.zeros(0, 3)}, draws=2).values.shape == (0,)


def labeled(vae, count=60):
    return LabeledSamples(drawn(vae, count), torch.arange(count) % 2, [f"p{row // 2}" for row in range(count)])


def test_metrics_are_means_over_held_out_samples(monkeypatch):
    vae = with_exact_posteriors()
    samples = labeled(vae, 20)
    results = {each.name.removeprefix("likelihood/"): each for each in likelihood_metrics(vae, samples, 50)}
    singles = ["a", "b", "c"]
    assert list(results) == ["joint", *singles, "a given b, c", "b given a, c", "c given a, b"]
    mean = {
        names: float(exact(vae, names).log_prob(joined(samples.values, names)).mean()) for names in ("abc", "a", "bc")
    }
    expected = {"joint": mean["abc"], "a": mean["a"], "a given b, c": mean["abc"] - mean["bc"]}
    for name, value in expected.items():
        low, high = results[name].interval
        assert low < results[name].value < high
        assert results[name].value == pytest.approx(value, abs=0.01)  # ten standard errors of 20,000 draws
        assert results[name].aim == "higher"
        assert 900 < results[name].context["effective draws"] <= 1000
    monkeypatch.setattr(importance, "SAMPLES", 10)
    fewer = {each.name: each.value for each in likelihood_metrics(vae, samples, 50)}
    assert fewer["likelihood/a"] != results["a"].value


def test_metrics_leave_out_what_has_no_likelihood_and_what_the_fusion_refuses():
    names = [each.name for each in likelihood_metrics(build("concat"), labeled(build("concat"), 8), 5)]
    assert names == ["likelihood/joint"]
    parts = {"a": PARTS["a"], "bare": Bare(size=2, deviation=1.0)}
    assert [each.name for each in likelihood_metrics(build("poe", parts), labeled(build("poe", parts), 8), 5)] == [
        "likelihood/a"
    ]
    bare = build("poe", {"bare": parts["bare"]})
    assert likelihood_metrics(bare, labeled(bare, 8), 5) == []
