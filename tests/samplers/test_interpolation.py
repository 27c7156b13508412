import math

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from scipy.integrate import quad
from scipy.stats import multivariate_normal, norm
from sklearn.neighbors import NearestNeighbors

import multimodal_vae as mv
from multimodal_vae.samplers.interpolation import WideSegments


def latents(seed, count=12, dimensions=3):
    rng = torch.Generator().manual_seed(seed)
    return torch.randn(count, dimensions, generator=rng, dtype=torch.float64)


def by_quadrature(point, start, end, width):
    """The Gaussian, averaged along the segment."""
    return quad(
        lambda u: multivariate_normal(start + u * (end - start), width**2 * np.eye(len(start))).pdf(point),
        0, 1, epsabs=0, epsrel=1e-10, limit=200,
    )[0]  # fmt: skip


@given(seed=st.integers(0, 1000), dimensions=st.integers(1, 4), width=st.sampled_from([0.3, 1.0, 5.0]))
def test_log_density_is_the_integral_along_the_segments(seed, dimensions, width):
    starts, ends, points = latents(seed, 9, dimensions).split(3)
    ours = WideSegments(starts, ends, torch.tensor(width, dtype=torch.float64)).log_prob(points).exp()
    expected = [
        np.mean([by_quadrature(p.numpy(), a.numpy(), b.numpy(), width) for a, b in zip(starts, ends, strict=True)])
        for p in points
    ]
    np.testing.assert_allclose(ours.numpy(), expected, rtol=1e-7)


def test_a_segment_without_length_is_a_gaussian_and_short_ones_go_over_into_it():
    start, width = torch.zeros(1, 2, dtype=torch.float64), torch.tensor(0.5, dtype=torch.float64)
    points = 3 * latents(0, 20, 2)
    gaussian = torch.as_tensor(norm(0, 0.5).logpdf(points.numpy()).sum(1))
    for length in (0.0, 1e-8, 4.9e-5, 5.1e-5):  # on both sides of where the formula changes
        segment = WideSegments(start - length / 2, start + length / 2, width)
        torch.testing.assert_close(segment.log_prob(points), gaussian, rtol=1e-6, atol=1e-6)


def test_log_density_far_away_is_that_of_the_nearer_end():
    start, end = torch.tensor([[0.0]]).double(), torch.tensor([[1.0]]).double()
    density = WideSegments(start, end, torch.tensor(0.01, dtype=torch.float64))
    # Beyond an end by t the density is Phi(-t / w), of which Mills' ratio gives the logarithm, to 1 in (t / w)^2.
    t = 500.0
    expected = norm.logpdf(t) - math.log(t)
    for point in (1 + 0.01 * t, -0.01 * t):
        assert density.log_prob(torch.tensor([point]).double()).item() == pytest.approx(expected, abs=1e-5)


@pytest.mark.parametrize("neighbors", [1, 3, 50])
def test_the_neighbors_are_scikit_learns(neighbors):
    points = latents(0)
    count = min(neighbors, 11)
    theirs = NearestNeighbors(n_neighbors=count).fit(points.numpy()).kneighbors(return_distance=False)
    assert torch.equal(mv.Interpolation(neighbors=neighbors).fit(points).nearest, torch.as_tensor(theirs))


def test_draws_lie_on_the_lines_between_neighbors():
    torch.manual_seed(0)
    points = torch.tensor([[0.0, 0.0], [1.0, 0.0], [100.0, 0.0], [100.0, 1.0]])
    sampler = mv.Interpolation(neighbors=1, width=1e-4).fit(points)
    drawn = sampler().sample((4000,))
    left = drawn[drawn[:, 0] < 50]
    # Binomial of 4000 draws: standard error 32. A uniform has the mean 1/2, standard error 0.29 / sqrt(2000) = 0.0065.
    assert abs(len(left) - 2000) < 5 * 32
    assert abs(left[:, 0].mean() - 0.5) < 5 * 0.0065
    assert left[:, 1].std() == pytest.approx(float(sampler.chosen), rel=0.1)


def test_the_width_follows_the_scale_of_the_latents():
    points = latents(0)
    assert mv.Interpolation(width=0.2).fit(points).chosen == pytest.approx(
        0.2 * math.sqrt(float(points.var(0, correction=0).mean()))
    )


@pytest.mark.parametrize("count", [2, 5])
def test_few_latents_are_enough(count):
    points = latents(0, count, 16).float()
    density = mv.Interpolation().fit(points)()
    assert density.log_prob(points).isfinite().all()
    assert density.sample((7,)).shape == (7, 16)


def test_log_prob_in_parts_is_log_prob_at_once(monkeypatch):
    density = mv.Interpolation().fit(latents(0))()
    points = latents(1, 50)
    whole = density.log_prob(points)
    for chunk in (1, 100):
        monkeypatch.setattr(WideSegments, "_chunk", chunk)
        torch.testing.assert_close(density.log_prob(points), whole, rtol=1e-12, atol=1e-12)


def test_a_class_of_one_sample_is_named_with_how_to_mend_it(make_data, make_model):
    data = make_data()
    vae = make_model(data).eval()
    with pytest.warns(mv.MultimodalVAEWarning, match=r"class 'well'.*not 1; add samples, or leave the class out"):
        mv.Synthesizer(vae, "interpolation").fit(data.subset([0, 1, 2, 4]))
