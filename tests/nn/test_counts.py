"""Distributions of counts against scipy, and layers that learn the parameters of simulated counts."""

import numpy as np
import pytest
import torch
from scipy import stats

import multimodal_vae as mv
from multimodal_vae.nn import CountDecoder, NegativeBinomial, Poisson, Presence, StandardizeCounts, ZeroInflated

MEANS, DISPERSIONS, ZEROS = (torch.tensor(x).double() for x in ([0.1, 4.0, 300.0], [0.3, 2.0, 50.0], [-2.0, 0.0, 3.0]))
VALUES = torch.tensor([[0.0], [1.0], [7.0], [400.0]]).double()
COUNTS = NegativeBinomial(MEANS, DISPERSIONS)


def test_the_negative_binomial_distribution_is_that_of_scipy():
    theirs = stats.nbinom(DISPERSIONS.numpy(), (DISPERSIONS / (DISPERSIONS + MEANS)).numpy())
    np.testing.assert_allclose(COUNTS.log_prob(VALUES), theirs.logpmf(VALUES.numpy()))
    np.testing.assert_allclose(COUNTS.mean, theirs.mean())
    np.testing.assert_allclose(COUNTS.variance, theirs.var())


@pytest.mark.parametrize("base", [COUNTS, Poisson(MEANS)], ids=["nb", "poisson"])
def test_zero_inflation_is_the_mixture_with_zero(base):
    inflated = ZeroInflated(base, ZEROS)
    share = torch.sigmoid(ZEROS)
    mixture = (1 - share) * base.log_prob(VALUES).exp() + share * (VALUES == 0)
    torch.testing.assert_close(inflated.log_prob(VALUES).exp(), mixture)
    support = torch.arange(3000.0).double()[:, None]
    mass = inflated.log_prob(support).exp()
    torch.testing.assert_close(mass.sum(0), torch.ones(3).double())
    torch.testing.assert_close((mass * support).sum(0), inflated.mean)
    torch.testing.assert_close((mass * (support - inflated.mean).square()).sum(0), inflated.variance)


def test_the_distribution_functions_sum_the_masses_and_their_inverses_are_quantiles():
    tiny = NegativeBinomial(torch.tensor([1e-11, 1e-3, 30.0]).double(), torch.tensor([1e5, 0.1, 9.0]).double())
    for counts in (
        COUNTS,
        tiny,
        Poisson(MEANS),
        ZeroInflated(COUNTS, ZEROS),
        ZeroInflated(Poisson(MEANS), ZEROS),
        Presence(ZEROS),
    ):
        support = (
            torch.arange(3000.0).double()[:, None]
            if not isinstance(counts, Presence)
            else torch.tensor([[0.0], [1.0]]).double()
        )
        torch.testing.assert_close(
            counts.cdf(support), counts.log_prob(support.double()).exp().cumsum(0).to(support), atol=1e-6, rtol=0
        )
        assert (counts.cdf(-torch.ones(1)) == 0).all()
        for probability in (0.01, 0.4, 0.9, 0.999):
            count = counts.icdf(torch.full((3,), probability).double())
            assert (counts.cdf(count) >= probability - 1e-9).all()
            assert ((count == 0) | (counts.cdf(count - 1) < probability)).all()


def test_draws_are_whole_and_have_the_moments():
    torch.manual_seed(0)
    for counts in (COUNTS, ZeroInflated(COUNTS, ZEROS)):
        drawn = counts.sample((20_000,))
        assert torch.equal(drawn, drawn.round())
        assert (drawn >= 0).all()
        error = (counts.variance / len(drawn)).sqrt()
        assert ((drawn.mean(0) - counts.mean).abs() < 5 * error).all()


def test_a_decoder_learns_the_parameters_of_simulated_counts():
    torch.manual_seed(0)
    share, dispersion = torch.tensor([0.6, 0.3, 0.1]), torch.tensor([5.0, 2.0, 1.0])
    truth = ZeroInflated(
        NegativeBinomial((50 * share).expand(2000, 3), dispersion.expand(2000, 3)), torch.tensor([-9.0, -1.0, -9.0])
    )
    samples = truth.sample()
    part = mv.Counts(size=3, distribution="zero_inflated", hidden=4)
    decoder = part.decoder(1)
    part.calibrate(part.encoder(), decoder, samples)
    latents, optimizer = torch.zeros(len(samples), 1), torch.optim.Adam(decoder.parameters(), 0.05)
    for _ in range(120):
        optimizer.zero_grad()
        part.reconstruction_loss(decoder(latents), samples).mean().backward()
        optimizer.step()
    learned = part.likelihood(decoder(latents[:1]).detach())
    # Estimates from 2000 counts are off by several percent.
    torch.testing.assert_close(learned.base.mean[0], 50 * share, rtol=0.08, atol=0)
    torch.testing.assert_close(learned.base.concentration[0], dispersion, rtol=0.15, atol=0)
    assert learned.logits[0, 1].sigmoid().item() == pytest.approx(torch.tensor(-1.0).sigmoid().item(), abs=0.03)
    assert learned.logits[0, [0, 2]].sigmoid().max() < 0.05


def test_depth_alone_changes_only_the_feature_of_the_total():
    shallow = torch.tensor([[10.0, 20.0, 30.0], [30.0, 20.0, 10.0]])
    layer = StandardizeCounts(3)
    layer.measure(shallow)
    torch.testing.assert_close(layer(shallow)[:, :3], layer(100 * shallow)[:, :3])
    assert (layer(100 * shallow)[:, 3] > layer(shallow)[:, 3] + 1).all()
    assert layer(torch.zeros(1, 3)).isfinite().all()


def test_untrained_decoders_start_at_the_training_data():
    torch.manual_seed(0)
    samples = NegativeBinomial(torch.tensor([5.0, 50.0, 500.0]), torch.ones(3)).sample((500,))
    decoder = CountDecoder(2, 3, 4, dispersed=True, inflated=False)
    for parameter in decoder.network.parameters():
        torch.nn.init.zeros_(parameter)
    decoder.measure(samples)
    log_mean, log_dispersion = decoder(torch.zeros(1, 2))[0]
    typical = samples.sum(1).log().mean().exp()
    torch.testing.assert_close(log_mean.exp(), typical * samples.mean(0) / samples.mean(0).sum(), rtol=1e-3, atol=1e-3)
    assert ((log_dispersion.exp() > 0.7) & (log_dispersion.exp() < 1.4)).all()


def test_values_that_are_no_counts_are_refused():
    part = mv.Counts(size=2, hidden=4)
    with pytest.raises(mv.DataError, match=r"2 values of the training samples are no counts, such as 0\.5; give raw"):
        part.calibrate(part.encoder(), part.decoder(2), torch.tensor([[0.5, 1.0], [2.0, 1.5]]))
    with pytest.raises(mv.DataError, match="from -1 to 2, but 'counts' expects counts of 0 or more"):
        part.check(torch.tensor([[-1.0, 2.0]]))
    with pytest.raises(mv.DataError, match="from 0 to 2, but 'counts' expects 1 for present and 0 for absent"):
        mv.Counts(size=2, distribution="presence").check(torch.tensor([[0.0, 2.0]]))
