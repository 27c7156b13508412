"""Linear-Gaussian modalities, of which every posterior and bound is known: x_m = a_m z + b_m w_m + noise, z ~ N(0, 1).

The oracles follow the papers with Python floats and loops over subsets; they share no code with the package.
"""

import itertools
import math

import mpmath
import numpy as np
import pytest
import torch

import multimodal_vae as mv
from multimodal_vae.distributions import Gaussian, moment_matched, product

LOADINGS, NOISES = (1.5, -0.7, 0.4), (0.5, 1.2, 2.0)  # noises are standard deviations
NAMES = ("a", "b", "c")
PATTERNS = [pattern for pattern in itertools.product([True, False], repeat=3) if any(pattern)]
PRESENT = torch.tensor(PATTERNS)


@pytest.fixture(autouse=True)
def double():
    torch.set_default_dtype(torch.float64)
    yield
    torch.set_default_dtype(torch.float32)


@pytest.fixture
def samples():
    return torch.randn(len(PATTERNS), 3, generator=torch.Generator().manual_seed(5)) * 2


def close(actual, expected):
    torch.testing.assert_close(actual, torch.as_tensor(expected), rtol=1e-9, atol=1e-9)


def columns(samples):
    """Return one feature per modality, NaN where it is absent."""
    return {name: samples[:, [m]].where(PRESENT[:, [m]], math.nan) for m, name in enumerate(NAMES)}


def build(fusion, latent_dim=1, exact=False):
    """Build a fusion with random experts, or with those whose product with the prior is the true posterior."""
    torch.manual_seed(3)
    fusion.build(dict.fromkeys(NAMES, 1), latent_dim)
    if exact:
        with torch.no_grad():
            for head, a, s in zip(fusion.heads, LOADINGS, NOISES, strict=True):
                head.weight.copy_(torch.tensor([[1 / a], [0.0]]))
                head.bias.copy_(torch.tensor([0.0, math.log(s * s / a / a)]))
    return fusion


def experts(fusion, x):
    """Return mean and variance of each expert of one sample, as lists by dimension."""
    result = []
    for head, value in zip(fusion.heads, x.tolist(), strict=True):
        numbers = [w * value + b for (w,), b in zip(head.weight.tolist(), head.bias.tolist(), strict=True)]
        half = len(numbers) // 2
        result.append([(mean, math.exp(logvar)) for mean, logvar in zip(numbers[:half], numbers[half:], strict=True)])
    return result


def multiply(gaussians, prior):
    gaussians = [*gaussians, (0.0, 1.0)] if prior else gaussians
    precision = sum(1 / v for _, v in gaussians)
    return sum(mean / v for mean, v in gaussians) / precision, 1 / precision


def kl(q, p=(0.0, 1.0)):
    return 0.5 * (q[1] / p[1] + (q[0] - p[0]) ** 2 / p[1] - 1 - math.log(q[1] / p[1]))


def likelihood(x, m, z, w=None, own=0.0):
    """Return E[log p(x_m | z, w)] over Gaussians of z and w."""
    mean, spread = LOADINGS[m] * z[0], LOADINGS[m] ** 2 * z[1]
    if w:
        mean, spread = mean + own * w[0], spread + own**2 * w[1]
    square = NOISES[m] ** 2
    return -0.5 * (math.log(2 * math.pi * square) + ((x[m].item() - mean) ** 2 + spread) / square)


def evidence(x, subset):
    """Return log p of a subset: a normal with covariance aa' + noise."""
    a, s, x = (np.array([row[m] for m in subset]) for row in (LOADINGS, NOISES, x.tolist()))
    covariance = np.outer(a, a) + np.diag(s**2)
    quadratic = x @ np.linalg.solve(covariance, x)
    return -0.5 * (quadratic + np.linalg.slogdet(2 * np.pi * covariance)[1])


def bounds(fusion, samples):
    """Return the bound of each sample: encode subsets as training does, subtract divergences from log-likelihoods."""
    subsets = fusion.subsets(PRESENT)
    positive = subsets.weight > 0
    rows = positive.nonzero(as_tuple=True)[1]
    features = {name: x[rows] for name, x in columns(samples).items()}
    mask, reconstruction_weight, x = subsets.mask[positive], subsets.reconstruction_weight[positive], samples[rows]
    posterior = fusion(features, mask)
    a, s = torch.tensor(LOADINGS), torch.tensor(NOISES)
    means, spreads = posterior.mean[:, :1] * a, posterior.logvar[:, :1].exp() * a**2
    if fusion.private:
        means, spreads = means + OWN * posterior.mean[:, 1:], spreads + OWN**2 * posterior.logvar[:, 1:].exp()
    expected = -0.5 * ((2 * math.pi * s**2).log() + ((x - means) ** 2 + spreads) / s**2)
    log_likelihood = (torch.where(PRESENT[rows], expected, 0) * reconstruction_weight).sum(1)
    divergence = fusion.divergence(posterior, posterior.mean, features, mask, PRESENT[rows])
    return torch.zeros(len(samples)).index_add(0, rows, subsets.weight[positive] * (log_likelihood - divergence))


OWN = 0.6


def here(pattern):
    return [m for m, is_here in enumerate(pattern) if is_here]


def subsets_of(modalities):
    return [list(s) for size in range(1, len(modalities) + 1) for s in itertools.combinations(modalities, size)]


@pytest.mark.parametrize("make", [mv.PoE, lambda: mv.MoPoE(prior=True)])
def test_a_product_of_the_right_experts_and_the_prior_is_the_true_posterior_of_every_subset(samples, make):
    posterior = build(make(), exact=True)(columns(samples), PRESENT)
    for row, pattern in enumerate(PATTERNS):
        precision = 1 + sum(LOADINGS[m] ** 2 / NOISES[m] ** 2 for m in here(pattern))
        mean = sum(LOADINGS[m] * samples[row, m].item() / NOISES[m] ** 2 for m in here(pattern)) / precision
        close(posterior.mean[row, 0], mean)
        close(posterior.logvar[row, 0], -math.log(precision))


def test_poes_bound_is_the_evidence_of_all_and_of_each_alone_where_the_posterior_is_true(samples):
    expected = [
        evidence(x, here(pattern)) + sum(evidence(x, [m]) for m in here(pattern))
        for x, pattern in zip(samples, PATTERNS, strict=True)
    ]
    close(bounds(build(mv.PoE(), exact=True), samples), expected)


def poe(fusion, x, modalities):
    parts = [(modalities, modalities), *(([m], [m]) for m in modalities)]
    e, total = experts(fusion, x), 0.0
    for subset, targets in parts:
        q = multiply([e[m][0] for m in subset], prior=True)
        total += sum(likelihood(x, m, q) for m in targets) - kl(q)
    return total


def moe(fusion, x, modalities):
    e = experts(fusion, x)
    each = [sum(likelihood(x, n, e[m][0]) for n in modalities) - kl(e[m][0]) for m in modalities]
    return sum(each) / len(each)


def mopoe(fusion, x, modalities):
    e = experts(fusion, x)
    each = [multiply([e[m][0] for m in s], prior=fusion.prior) for s in subsets_of(modalities)]
    return sum(sum(likelihood(x, n, q) for n in modalities) - kl(q) for q in each) / len(each)


def mvtcae(fusion, x, modalities):
    e, count = experts(fusion, x), len(modalities)
    q = multiply([e[m][0] for m in modalities], prior=False)
    log_likelihood = (count - fusion.alpha) / count * sum(likelihood(x, m, q) for m in modalities)
    return log_likelihood - (1 - fusion.alpha) * kl(q) - fusion.alpha / count * sum(kl(q, e[m][0]) for m in modalities)


def jmvae(fusion, x, modalities):
    e = experts(fusion, x)
    if len(modalities) < 3:
        q = multiply([e[m][0] for m in modalities], fusion.prior)
        return sum(likelihood(x, m, q) for m in modalities) - kl(q)
    mean, logvar = (fusion.joint.weight @ x + fusion.joint.bias).tolist()
    q = mean, math.exp(logvar)
    apart = sum(kl(q, multiply([e[m][0]], fusion.prior)) for m in modalities)
    return sum(likelihood(x, m, q) for m in modalities) - kl(q) - fusion.alpha * apart


def mmvaeplus(fusion, x, modalities):
    e, total = experts(fusion, x), 0.0
    for m in modalities:
        z, own = e[m]
        total -= kl(z) + kl(own)
        for n in modalities:
            stand_in = 0.0, math.exp(fusion.stand_ins[n, 0].item())
            total += likelihood(x, n, z, own if n == m else stand_in, OWN)
    return total / len(modalities)


ORACLES = [
    (mv.PoE, {}, poe),
    (mv.MoE, {}, moe),
    (mv.MoPoE, {}, mopoe),
    (mv.MoPoE, {"prior": True}, mopoe),
    (mv.MVTCAE, {}, mvtcae),
    (mv.MVTCAE, {"alpha": 0.3}, mvtcae),
    (mv.JMVAE, {}, jmvae),
    (mv.JMVAE, {"alpha": 2.0}, jmvae),
    (mv.JMVAE, {"prior": True}, jmvae),
    (mv.MMVAEPlus, {"private": 1}, mmvaeplus),
]


@pytest.mark.parametrize(("make", "settings", "oracle"), ORACLES)
def test_the_objective_is_the_papers_formula_for_every_pattern_of_absence(samples, make, settings, oracle):
    fusion = build(make(**settings), latent_dim=1 + 3 * settings.get("private", 0))
    expected = [oracle(fusion, x, here(pattern)) for x, pattern in zip(samples, PATTERNS, strict=True)]
    close(bounds(fusion, samples), expected)


@pytest.mark.parametrize("make", [mv.MoE, mv.MoPoE])
def test_a_mixtures_bound_is_below_its_elbo_and_that_below_the_evidence(samples, make):
    """The ELBO by quadrature over one dimension: sampled divergences, integrated, are the mixture's own."""
    bound = bounds(build(make(), exact=True), samples)
    fusion = build(make(kl="sampled"), exact=True)
    z = torch.linspace(-40, 40, 20001)
    for row, pattern in enumerate(PATTERNS):
        x, modalities = samples[row], here(pattern)
        e = experts(fusion, x)
        subsets = [[m] for m in modalities] if make is mv.MoE else subsets_of(modalities)
        components = [multiply([e[m][0] for m in s], prior=False) for s in subsets]
        q = sum(torch.exp(-0.5 * (z - mean) ** 2 / v) / math.sqrt(2 * math.pi * v) for mean, v in components) / len(
            components
        )
        prior = -0.5 * (z**2 + math.log(2 * math.pi))
        true = torch.trapezoid(torch.where(q > 0, q * (q.clamp(min=1e-300).log() - prior), 0), z)
        count = len(z)
        features = {name: column[[row]].expand(count, 1) for name, column in columns(samples).items()}
        mask = PRESENT[[row]].expand(count, 3)
        sampled = fusion.divergence(Gaussian(z[:, None], torch.zeros(count, 1)), z[:, None], features, mask, mask)
        close(torch.trapezoid(torch.where(q > 0, q * sampled, 0), z), true)
        log_likelihood = sum(sum(likelihood(x, n, c) for n in modalities) for c in components) / len(components)
        elbo = log_likelihood - true.item()
        assert bound[row].item() <= elbo + 1e-9
        assert elbo <= evidence(x, modalities) + 1e-9


def test_a_mixture_answers_with_its_own_mean_and_variance(samples):
    fusion = build(mv.MoE())
    posterior = fusion(columns(samples), PRESENT)
    for row, pattern in enumerate(PATTERNS):
        parts = [experts(fusion, samples[row])[m][0] for m in here(pattern)]
        mean = sum(m for m, _ in parts) / len(parts)
        close(posterior.mean[row, 0], mean)
        close(posterior.logvar[row, 0], math.log(sum(v + m * m for m, v in parts) / len(parts) - mean**2))


@pytest.mark.parametrize(("modalities", "count"), [(1, 1), (2, 3), (3, 7), (4, 5), (8, 5)])
def test_all_subsets_of_three_modalities_are_asked_and_some_of_more(modalities, count):
    subsets = mv.MoPoE().subsets(torch.ones(2, modalities, dtype=torch.bool))
    assert len(subsets.mask) == count
    torch.testing.assert_close(subsets.weight.sum(0), torch.ones(2))


def test_subsets_that_are_drawn_have_the_objective_of_all_in_expectation(samples):
    """All seven subsets are equally likely: over many draws of three, the mean stays within five standard errors."""
    whole = bounds(build(mv.MoPoE()), samples)
    few = build(mv.MoPoE(draws=3))
    tries = torch.stack([bounds(few, samples) for _ in range(400)])
    assert ((tries.mean(0) - whole).abs() <= 5 * tries.std(0) / 20 + 1e-9).all()


@pytest.mark.parametrize(
    "make",
    [
        mv.PoE,
        mv.MoE,
        lambda: mv.MoE(kl="sampled"),
        mv.MoPoE,
        lambda: mv.MoPoE(kl="sampled"),
        mv.MVTCAE,
        mv.JMVAE,
        lambda: mv.JMVAE(prior=True),
        lambda: mv.MMVAEPlus(private=1),
        lambda: mv.MMVAEPlus(private=1, kl="sampled"),
    ],
)
def test_gradients_are_those_of_finite_differences(samples, make):
    fusion = make()
    fusion = build(fusion, latent_dim=1 + 3 * fusion.private)
    names, weights = zip(*fusion.named_parameters(), strict=True)
    subsets = fusion.subsets(PRESENT)
    positive = subsets.weight > 0
    rows, mask = positive.nonzero(as_tuple=True)[1], subsets.mask[positive]

    class Whole(torch.nn.Module):
        def __init__(self):
            super().__init__()
            self.fusion = fusion

        def forward(self, x):
            features = {name: column[rows] for name, column in columns(x).items()}
            posterior = fusion(features, mask)
            noise = torch.linspace(-1, 1, posterior.mean.numel()).view_as(posterior.mean)
            latents = posterior.mean + noise * (0.5 * posterior.logvar).exp()
            cost = fusion.divergence(posterior, latents, features, mask, PRESENT[rows])
            return torch.cat([latents, cost[:, None]], 1)

    def function(x, *values):
        named = {f"fusion.{name}": value for name, value in zip(names, values, strict=True)}
        return torch.func.functional_call(Whole(), named, (x,))

    assert torch.autograd.gradcheck(function, (samples.requires_grad_(), *weights))


@pytest.mark.parametrize(("dtype", "tolerance"), [(torch.float64, 1e-13), (torch.float32, 2e-6)])
@pytest.mark.parametrize("prior", [False, True])
def test_precisions_add_up_where_variances_span_sixteen_orders(dtype, tolerance, prior):
    """Against fifty digits. Tolerances are a few roundings of what is summed, relative to the largest term."""
    generator = torch.Generator().manual_seed(1)
    logvar = torch.linspace(math.log(1e-8), math.log(1e8), 5)[torch.stack([torch.randperm(5) for _ in range(20)])]
    factors = Gaussian(torch.randn(20, 5, generator=generator).to(dtype)[..., None], logvar.to(dtype)[..., None])
    result = product(factors, torch.ones(20, 5, dtype=torch.bool), prior)
    with mpmath.workdps(50):
        for row in range(20):
            means = [mpmath.mpf(x) for x in factors.mean[row, :, 0].tolist()]
            precisions = [mpmath.exp(-mpmath.mpf(x)) for x in factors.logvar[row, :, 0].tolist()]
            total = mpmath.fsum(precisions) + (1 if prior else 0)
            mean = mpmath.fsum(m * p for m, p in zip(means, precisions, strict=True)) / total
            assert abs(result.mean[row, 0].item() - mean) <= tolerance * max(map(abs, means))
            assert abs(result.logvar[row, 0].item() + mpmath.log(total)) <= 20 * tolerance


def test_gradients_stay_finite_where_variances_span_sixteen_orders():
    mean, logvar = torch.zeros(1, 2, 1, requires_grad=True), torch.tensor([[[-18.4], [18.4]]], requires_grad=True)
    for fused in (product, moment_matched):
        answer = fused(Gaussian(mean, logvar), torch.ones(1, 2, dtype=torch.bool))
        result = torch.autograd.grad((answer.mean + answer.logvar).sum(), [mean, logvar])
        assert all(x.isfinite().all() for x in result)
