"""Use of a model: latents, reconstructions, translations and interpolations."""

import pytest
import torch

import multimodal_vae as mv
from multimodal_vae.scopes import seeded


@pytest.fixture
def data(make_data):
    """Nine samples: every third lacks the first modality, the next ones the second."""
    present = torch.tensor([[row % 3 != 0, row % 3 != 1] for row in range(9)])
    return make_data(9, present=present)


@pytest.fixture
def vae(data, make_model):
    return make_model(data, fusion=mv.PoE()).eval()


def test_each_sample_of_a_data_set_is_encoded_from_what_it_has(vae, data):
    posterior = vae.encode(data, batch_size=4)
    for row in range(len(data)):
        given = {
            name: data.samples[name][[row]]
            for name, here in zip(data.modalities, data.present[row].tolist(), strict=True)
            if here
        }
        alone = vae.encode(given)
        torch.testing.assert_close(posterior.mean[[row]], alone.mean)
        torch.testing.assert_close(posterior.logvar[[row]], alone.logvar)
    assert torch.equal(vae.embed(data), vae.encode(data).mean)


def test_all_modalities_are_rebuilt_also_those_that_a_sample_lacks(vae, data):
    whole = vae.reconstruct(data)
    assert {name: x.shape for name, x in whole.items()} == {"blood": (9, 3), "gait": (9, 2)}
    blood = data.samples["blood"][[1]]
    torch.testing.assert_close(whole["gait"][[1]], vae.reconstruct({"blood": blood})["gait"])


def test_numbers_of_double_precision_are_taken_as_data_sets_take_them(vae, data):
    blood = data.samples["blood"][[1]]
    assert torch.equal(vae.translate({"blood": blood.double()}, "gait"), vae.translate({"blood": blood}, "gait"))


def test_draws_are_those_of_the_posterior(vae, data):
    posterior = vae.encode(data)
    with seeded(3):
        latents = posterior.sample(4)
    translated = vae.translate(data, "gait", draws=4, seed=3, noise="mean")
    assert translated.shape == (9, 4, 2)
    for number in range(4):
        torch.testing.assert_close(translated[:, number], vae.generate(latents[:, number])["gait"])
    assert torch.equal(translated, vae.translate(data, "gait", draws=4, seed=3, noise="mean"))
    assert not torch.equal(translated, vae.translate(data, "gait", draws=4, seed=4, noise="mean"))
    with pytest.raises(mv.ConfigurationError, match="draws is 0"):
        vae.translate(data, "gait", draws=0)


def test_draws_have_the_posteriors_mean_and_variance():
    posterior = mv.Gaussian(torch.tensor([[3.0, -1.0], [0.0, 8.0]]), torch.tensor([[0.0, 2.0], [-3.0, 1.0]]))
    with seeded(0):
        draws = posterior.sample(40_000)
    deviation = (0.5 * posterior.logvar).exp()
    # Five standard errors of a mean, and of a standard deviation.
    assert ((draws.mean(1) - posterior.mean).abs() < 5 * deviation / 200).all()
    assert ((draws.std(1) / deviation - 1).abs() < 5 / (2 * 40_000) ** 0.5).all()


def test_the_way_from_one_sample_to_another_is_straight_and_ends_at_both(vae, data):
    pair = data.subset([1, 3])  # which have no modality in common
    path = vae.interpolate(pair, steps=5)
    ends = vae.reconstruct(pair)
    middle = vae.generate(vae.embed(pair).mean(0, keepdim=True))
    for name, x in path.items():
        assert len(x) == 5
        torch.testing.assert_close(x[[0, 4]], ends[name])
        torch.testing.assert_close(x[[2]], middle[name])


def test_a_way_has_two_ends(vae, data):
    with pytest.raises(mv.ConfigurationError, match="steps is 1"):
        vae.interpolate(data.subset([0, 1]), steps=1)
    with pytest.raises(mv.DataError, match=r"interpolate takes 2 samples, not 3"):
        vae.interpolate(data.subset([0, 1, 2]))


def test_a_data_set_may_be_looked_at_through_some_of_its_modalities_only(vae, data):
    both = data.subset([2, 5, 8])
    alone = both.only("gait")
    assert alone.present.tolist() == [[False, True]] * 3
    assert not alone.samples["blood"].any()
    assert both.samples["blood"].all()
    assert both.present.all()
    torch.testing.assert_close(vae.embed(alone), vae.encode({"gait": both.samples["gait"]}).mean)
    assert torch.equal(vae.embed(both.only("gait", "blood")), vae.embed(both))
    with pytest.raises(mv.DataError, match="no modality 'gate'; did you mean 'gait'"):
        data.only("gate")
    with pytest.raises(mv.DataError, match="sample '1' has none of the modalities \\['gait'\\]"):
        data.only("gait")


def test_samples_are_found_by_name(data):
    assert data.named("7", "2").ids == ["7", "2"]
    with pytest.raises(mv.DataError, match="there is no sample '9'"):
        data.named("7", "9")
