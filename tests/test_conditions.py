"""Covariates in a model: given beside every encoder's features and every latent, and to nobody else."""

import math

import pytest
import torch

import multimodal_vae as mv
from multimodal_vae.conditions import Conditions
from multimodal_vae.data.covariates import Covariate
from multimodal_vae.likelihood.importance import log_likelihood
from stopping import stopped_after

AGE, SITE = Covariate(name="age", kind="number"), Covariate(name="site", kind="word", values=("A", "B", "C"))


@pytest.fixture
def data(make_data):
    """Samples of two sites and of some ages; nobody is of the third site."""
    ages = [None if row == 3 else 40 + row for row in range(24)]
    sites = [None if row == 5 else "AB"[row % 3 == 0] for row in range(24)]
    return make_data(covariates={"site": sites, "age": ages}, covariate_types=[SITE, AGE])


@pytest.fixture
def model(data):
    return mv.MultimodalVAE(data.modalities, data.classes, latent_dim=3, seed=0, covariates=data.covariate_types)


def _fit(model, data, **settings):
    return mv.fit(model, data, steps=4, device="cpu", show=False, early_stopping=False, **settings)


def test_numbers_are_standardized_and_words_are_one_hot_minus_their_frequencies():
    conditions = Conditions([AGE, SITE])
    values = torch.tensor([[30.0, 0], [50.0, 1], [math.nan, 1], [40.0, math.nan]])
    conditions.measure(values)
    numbers = conditions(values)
    assert conditions.size == 5
    ages = torch.tensor([-1, 1, 0, 0]) * math.sqrt(1.5)
    torch.testing.assert_close(numbers[:, 0], ages)  # deviation of 30, 40, 50; the missing one is the mean
    torch.testing.assert_close(numbers[:, 1], torch.tensor([-0.25, -0.25, 0.75, -0.25]))
    torch.testing.assert_close(numbers[:, 2], torch.tensor([2 / 3, -1 / 3, -1 / 3, 0]))
    assert not numbers[:, 4].any()  # of a word that no sample has, nothing is learned
    assert not conditions(torch.full((1, 2), math.nan))[0, 2:].any()


def test_without_covariates_initial_weights_and_keys_are_as_ever(make_data, make_model):
    vae = make_model(make_data())
    assert not [name for name in vae.state_dict() if "conditions" in name]
    assert "covariates" not in vae.configuration
    torch.manual_seed(0)  # networks are made in this order, and nothing else draws random numbers
    parts = [part.encoder() for part in vae.modalities.values()] + [part.decoder(3) for part in vae.modalities.values()]
    fusion = mv.MVTCAE()
    fusion.build(vae.sizes, 3)
    expected = [weight for part in (*parts, fusion) for weight in part.parameters()]
    found = [weight for part in (*vae.encoders, *vae.decoders, vae.fusion) for weight in part.parameters()]
    assert all(torch.equal(one, other) for one, other in zip(found, expected, strict=True))


def test_covariates_reach_every_encoder_and_every_decoder(model, data):
    _fit(model, data)
    other = data.subset(range(len(data)))
    other.covariates = data.covariates.flip(0)
    assert not torch.equal(model.embed(data), model.embed(other))
    latents = torch.zeros(1, 3)
    one, two = (model.generate(latents, covariates={"age": 50, "site": site}) for site in "AB")
    assert all(not torch.equal(one[name], two[name]) for name in data.modalities)
    for name in data.modalities:
        single = [part.only(name) for part in (data, other)]
        assert not torch.equal(*(model.embed(part) for part in single))


@pytest.mark.parametrize("fusion", ["poe", "moe", "mopoe", "jmvae", "concat", {"name": "mmvaeplus", "private": 1}])
def test_every_fusion_takes_covariates(data, fusion):
    vae = mv.MultimodalVAE(
        data.modalities, data.classes, fusion=fusion, latent_dim=5, seed=0, covariates=data.covariate_types
    )
    _fit(vae, data)
    assert torch.isfinite(vae.reconstruct(data)["blood"]).all()


def test_every_use_of_a_model_takes_the_covariates_of_data_or_those_given(model, data):
    _fit(model, data)
    values = {"samples": {name: data.samples[name] for name in data.modalities}}
    texts = [[None if row == 3 else 40 + row for row in range(24)], [data[row]["site"] or None for row in range(24)]]
    given = {"covariates": {"age": texts[0], "site": texts[1]}}
    for use in (
        lambda samples, **more: model.encode(samples, **more).mean,
        lambda samples, **more: model.reconstruct(samples, **more)["gait"],
        lambda samples, **more: model.translate(samples, "gait", **more),
        lambda samples, **more: model.translate(samples, "gait", draws=2, seed=0, **more),
    ):
        assert torch.equal(use(data), use(values["samples"], **given))
        with pytest.raises(mv.DataError, match="takes the covariate 'age', which is not given"):
            use(values["samples"])
        with pytest.raises(mv.ConfigurationError, match="beside a data set, which has its own"):
            use(data, **given)
    pair = data.subset([0, 1])
    steps, ends = model.interpolate(pair, 3)["gait"], model.reconstruct(pair)["gait"]
    torch.testing.assert_close(steps[[0, 2]], ends)


def test_the_likelihood_is_conditional_on_covariates(model, data):
    _fit(model, data)
    samples = {name: data.samples[name] for name in data.modalities}
    rate = lambda values: log_likelihood(model, samples, draws=20, seed=0, covariates=values).values  # noqa: E731
    assert not torch.equal(rate(data.covariates), rate(data.covariates.flip(0)))


def test_data_with_other_covariates_is_refused(model, data, make_data):
    with pytest.raises(mv.DataError, match=r"the covariates \[\], the model \['age', 'site'\]; read the data with"):
        model.embed(make_data())
    ages, sites = [1] * 24, ["A"] * 24
    with pytest.raises(mv.DataError, match="'site' has another kind or other words"):
        model.embed(make_data(covariates={"age": ages, "site": sites}))
    with pytest.raises(mv.ConfigurationError, match="'site' has no type yet; pass data"):
        mv.MultimodalVAE(data.modalities, data.classes, covariates=["site"])


def test_a_run_resumes_exactly_and_records_the_types(data, tmp_path, monkeypatch):
    def fit(out):
        vae = mv.MultimodalVAE(data.modalities, data.classes, latent_dim=3, seed=0, covariates=data.covariate_types)
        return _fit(vae, data, out=out)

    fit(tmp_path / "whole")
    with stopped_after(2, monkeypatch), pytest.raises(mv.TrainingInterrupted):
        fit(tmp_path / "cut")
    fit(tmp_path / "cut")
    run, other = (mv.open_run(tmp_path / name, data) for name in ("whole", "cut"))
    assert run.configuration.data.covariates == data.covariate_types == run.model.covariates
    for name, tensor in run.model.state_dict().items():
        assert torch.equal(tensor, other.model.state_dict()[name])
