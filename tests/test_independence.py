"""Dependence of latents on covariates: against explicit matrices, and in a training."""

import pytest
import torch

import multimodal_vae as mv
from multimodal_vae.independence import FEWEST, dependence_over_subsets, distance_correlation


def _u_centered(x):
    """The definition of Székely and Rizzo, element by element."""
    n = len(x)
    d = torch.cdist(x[None], x[None])[0]
    u = torch.zeros(n, n, dtype=x.dtype)
    for i in range(n):
        for j in range(n):
            if i != j:
                u[i, j] = d[i, j] - d[i].sum() / (n - 2) - d[j].sum() / (n - 2) + d.sum() / ((n - 1) * (n - 2))
    return u


def test_it_is_the_bias_corrected_distance_correlation_of_latents_and_their_products(generator):
    z = torch.randn(20, 3, generator=generator, dtype=torch.float64)
    c = torch.randn(20, 2, generator=generator, dtype=torch.float64)
    z = z + c[:, :1]
    labels = torch.tensor([0] * 8 + [1] * 9 + [2] * (FEWEST - 1))
    parts = [z[labels == k] - z[labels == k].mean(0) for k in (0, 1)]
    scale = torch.cat(parts).square().mean(0).sqrt()
    sums = torch.zeros(3, dtype=torch.float64)
    for k, part in enumerate(parts):
        x = part / scale
        products = (x[:, :, None] * x[:, None, :]).flatten(1) / 3**0.5
        a, b = _u_centered(torch.cat([x, products], 1)), _u_centered(c[labels == k])
        sums += torch.stack([(a * b).sum(), a.square().sum(), b.square().sum()])
    expected = float(sums[0] / (sums[1] * sums[2]).sqrt())
    assert float(distance_correlation(z, c, labels)) == pytest.approx(expected, rel=1e-6)


def test_without_dependence_it_is_zero_on_average_also_where_the_class_tells_the_covariate(generator):
    found = []
    for _ in range(200):
        labels = torch.arange(30) % 2
        site = (torch.rand(30, 1, generator=generator) < 0.2 + 0.6 * labels[:, None]).float()
        found.append(
            float(distance_correlation(torch.randn(30, 2, generator=generator) + labels[:, None], site, labels))
        )
    values = torch.tensor(found)
    assert float(values.mean().abs()) < 4 * float(values.std()) / 200**0.5  # four standard errors


def test_too_few_samples_and_constant_covariates_depend_on_nothing_and_have_gradients():
    z = torch.ones(5, 2, requires_grad=True)  # equal latents have no spread
    for labels, c in (
        (torch.arange(5), torch.randn(5, 1)),
        (torch.zeros(5), torch.ones(5, 1)),
        (torch.zeros(5), torch.randn(5, 1)),
    ):
        value = distance_correlation(z, c, labels)
        assert abs(float(value.detach())) < 1e-3
        if value.requires_grad:
            value.backward()
            assert torch.isfinite(z.grad).all()


def test_subsets_count_by_their_weight(generator):
    z, c = torch.randn(12, 2, 3, generator=generator), torch.randn(12, 1, generator=generator)
    weights, labels = torch.tensor([[0.75, 0.25]]).expand(12, 2), torch.zeros(12)
    found = dependence_over_subsets(z, weights, c, labels, lambda x: x)
    parts = [float(distance_correlation(z[:, k], c, labels)) for k in (0, 1)]
    assert float(found) == pytest.approx(0.75 * parts[0] + 0.25 * parts[1], rel=1e-5)


def test_training_makes_latents_independent_of_a_site_that_shifts_all_samples(make_data):
    sites = torch.arange(80) // 2 % 2
    made = make_data(80)
    samples = {name: made.samples[name] + 2 * sites[:, None] for name in made.modalities}
    data = mv.MultimodalDataset.from_tensors(samples, made.labels, made.modalities, covariates={"site": sites})

    def dependence(weight):
        vae = mv.MultimodalVAE(
            data.modalities, data.classes, latent_dim=3, seed=0, covariates=data.covariate_types,
            objective={"dependence_weight": weight},
        )  # fmt: skip
        mv.fit(vae, data, steps=40, per_class=16, learning_rate=0.01, device="cpu", show=False, early_stopping=False)
        return float(distance_correlation(vae.embed(data), data.covariates, data.labels))

    assert dependence(None) < 0.05 < dependence(0)
