import math

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from scipy import stats
from torch.distributions import (
    Categorical,
    Independent,
    MixtureSameFamily,
    MultivariateNormal,
    Normal,
    kl_divergence,
)

from multimodal_vae import Gaussian, GaussianMixture

seeds = st.integers(0, 2**31)
kinds = pytest.mark.parametrize("dense", [False, True], ids=["diagonal", "cholesky"])
sharing = pytest.mark.parametrize("shared", [False, True], ids=["own", "shared"])


def mixture(seed, components, dimensions, dense, shared, dtype=torch.float64):
    rng = torch.Generator().manual_seed(seed)
    weights = torch.rand(components, generator=rng, dtype=dtype) + 0.1
    means = 3 * torch.randn(components, dimensions, generator=rng, dtype=dtype)
    lead = 1 if shared else components
    scale = torch.rand(lead, dimensions, generator=rng, dtype=dtype) + 0.3
    if dense:
        below = torch.randn(lead, dimensions, dimensions, generator=rng, dtype=dtype).tril(-1)
        scale = torch.diag_embed(scale) + 0.3 * below
    return weights, means, scale


def torchs(weights, means, scale):
    scale = scale.expand(len(means), *scale.shape[1:])
    components = (
        MultivariateNormal(means, scale_tril=scale) if scale.dim() == 3 else Independent(Normal(means, scale), 1)
    )
    return MixtureSameFamily(Categorical(weights), components)


@given(seed=seeds)
def test_kl_is_torchs(seed):
    rng = torch.Generator().manual_seed(seed)
    mean, logvar = torch.randn(2, 4, 3, generator=rng, dtype=torch.float64).mul(2).unbind()
    expected = kl_divergence(Normal(mean, (logvar / 2).exp()), Normal(torch.zeros_like(mean), torch.ones_like(mean)))
    torch.testing.assert_close(Gaussian(mean, logvar).kl_to_standard_normal(), expected)


def test_rsample_has_the_mean_and_the_variance_and_passes_gradients():
    torch.manual_seed(0)
    mean = torch.full((20000, 1), 2.0, requires_grad=True)
    logvar = torch.full((20000, 1), math.log(9.0), requires_grad=True)
    draws = Gaussian(mean, logvar).rsample()
    # Standard errors are 3 / sqrt(20000) = 0.02 and 9 * sqrt(2 / 20000) = 0.09; five of them.
    assert draws.mean().item() == pytest.approx(2.0, abs=0.11)
    assert draws.var().item() == pytest.approx(9.0, abs=0.45)
    draws.sum().backward()
    torch.testing.assert_close(mean.grad, torch.ones_like(mean))
    torch.testing.assert_close(logvar.grad, (draws - mean).detach() / 2)


@kinds
@sharing
@given(seed=seeds, components=st.integers(1, 5), dimensions=st.integers(1, 4))
def test_log_prob_is_torchs(dense, shared, seed, components, dimensions):
    parameters = mixture(seed, components, dimensions, dense, shared)
    points = 4 * torch.randn(2, 3, dimensions, generator=torch.Generator().manual_seed(seed), dtype=torch.float64)
    ours = GaussianMixture(*parameters).log_prob(points)
    assert ours.shape == (2, 3)
    torch.testing.assert_close(ours, torchs(*parameters).log_prob(points))


@kinds
@sharing
def test_log_prob_in_parts_is_log_prob_at_once(dense, shared, monkeypatch):
    density = GaussianMixture(*mixture(1, 4, 3, dense, shared))
    points = torch.randn(50, 3, dtype=torch.float64)
    whole = density.log_prob(points)
    for chunk in (1, 100, 10**9):
        monkeypatch.setattr(GaussianMixture, "_chunk", chunk)
        torch.testing.assert_close(density.log_prob(points), whole, rtol=1e-14, atol=1e-14)


def test_log_prob_of_float32_is_computed_in_float64():
    # 128 dimensions and far from every mean: the log density is about -1e6, and the sum of its terms must not drift.
    parameters = mixture(0, 3, 128, False, False, torch.float32)
    points = torch.full((1, 128), 100.0)
    exact = torchs(*(x.double() for x in parameters)).log_prob(points.double())
    torch.testing.assert_close(GaussianMixture(*parameters).log_prob(points).double(), exact, rtol=1e-6, atol=0)


@kinds
@sharing
def test_draws_follow_the_density_on_every_axis(dense, shared):
    torch.manual_seed(3)
    parameters = mixture(5, 3, 3, dense, shared)
    draws = GaussianMixture(*parameters).sample((4000,))
    weights, means, scale = parameters
    covariance = scale @ scale.mT if dense else torch.diag_embed(scale.square())
    covariance = covariance.expand(3, 3, 3)
    # On the axes and on a diagonal: the projection of a Gaussian mixture is one again, with a closed-form CDF.
    for direction in (*torch.eye(3, dtype=torch.float64), torch.tensor([0.6, -0.7, 0.4], dtype=torch.float64)):
        centers = means @ direction
        widths = (direction @ covariance @ direction).sqrt()

        def cdf(x, centers=centers, widths=widths):
            return (weights / weights.sum() * Normal(centers, widths).cdf(torch.as_tensor(x)[..., None])).sum(-1)

        # The seed is fixed, so the test is deterministic; 0.001 leaves room for an unlucky seed among 16 tests.
        assert stats.kstest((draws @ direction).numpy(), lambda x: cdf(x).numpy()).pvalue > 1e-3


@kinds
@sharing
def test_draws_have_the_covariance_of_the_mixture(dense, shared):
    torch.manual_seed(3)
    weights, means, scale = mixture(5, 3, 3, dense, shared)
    density = GaussianMixture(weights, means, scale)
    draws = density.sample((20000,))
    covariance = scale @ scale.mT if dense else torch.diag_embed(scale.square())
    shares = weights / weights.sum()
    second = (shares[:, None, None] * (covariance + means[:, :, None] * means[:, None, :])).sum(0)
    expected = second - density.mean[:, None] * density.mean
    # The standard error of an element of a covariance is at most about its size times sqrt(2 / 20000) = 1 per cent.
    torch.testing.assert_close(draws.T.cov(), expected, rtol=0, atol=0.05 * float(expected.diagonal().max()))
    torch.testing.assert_close(draws.mean(0), density.mean, rtol=0, atol=0.15)  # 5 * 4 / sqrt(20000)


@kinds
def test_sample_shapes_are_torchs(dense):
    density = GaussianMixture(*mixture(0, 4, 3, dense, False))
    for shape in ((), (5,), (2, 3), torch.Size([1]), (0,), (2, 0)):
        assert density.sample(shape).shape == (*shape, 3)
    assert density.batch_shape == ()
    assert density.event_shape == (3,)


def test_weights_need_not_sum_to_one():
    weights, means, scale = mixture(0, 4, 2, False, False)
    points = torch.zeros(1, 2, dtype=torch.float64)
    first, second = GaussianMixture(weights, means, scale), GaussianMixture(7 * weights, means, scale)
    torch.testing.assert_close(first.log_prob(points), second.log_prob(points))


def test_a_component_of_weight_zero_is_never_drawn_and_adds_nothing():
    means = torch.tensor([[0.0], [1000.0]])
    density = GaussianMixture(torch.tensor([1.0, 0.0]), means, torch.ones(1, 1))
    assert density.sample((1000,)).abs().max() < 10
    alone = GaussianMixture(torch.ones(1), means[:1], torch.ones(1, 1))
    torch.testing.assert_close(density.log_prob(torch.zeros(1, 1)), alone.log_prob(torch.zeros(1, 1)))


def test_drawing_does_not_make_a_tensor_of_every_component():
    # 2000 components and 2000 draws in 200 dimensions: 3 GB if each component were draws from, 2 MB as it is.
    density = GaussianMixture(torch.ones(2000), torch.zeros(2000, 200), torch.ones(1, 200))
    sizes = []

    class Watch(torch.utils._python_dispatch.TorchDispatchMode):
        def __torch_dispatch__(self, function, types, args=(), kwargs=None):
            out = function(*args, **(kwargs or {}))
            if isinstance(out, torch.Tensor) and out.untyped_storage():
                sizes.append(out.untyped_storage().nbytes())
            return out

    with Watch():
        density.sample((2000,))
    assert max(sizes) < 10 * 2000 * 200 * 4
