import pytest
import torch
from torch import nn

import multimodal_vae as mv
from multimodal_vae.scopes import seeded


def test_the_papers_model_has_as_many_parameters_as_the_papers():
    parts = {
        "otoscopy": mv.Image(size=(64, 64), channels=3, network="residual", width=64),
        "wbt": mv.Image(size=(64, 64), channels=1, network="residual", width=64),
    }
    vae = mv.MultimodalVAE(parts, ["NOE", "OME", "AOM"], fusion="concat", latent_dim=128)

    def count(module):
        return sum(parameter.numel() for parameter in module.parameters())

    assert [count(encoder) for encoder in vae.encoders] == [8_618_432, 8_616_704]
    assert [count(decoder) for decoder in vae.decoders] == [9_533_875, 9_533_297]
    assert count(vae.fusion) == 1_048_832
    assert count(vae) == 37_351_140


def test_a_seed_gives_the_same_weights_and_leaves_torchs_state_alone(make_data, make_model):
    data = make_data()
    torch.manual_seed(5)
    before = torch.random.get_rng_state()
    first = make_model(data, seed=1).state_dict()
    assert torch.equal(before, torch.random.get_rng_state())
    torch.rand(3)
    second, third = make_model(data, seed=1).state_dict(), make_model(data, seed=2).state_dict()
    assert all(torch.equal(first[name], second[name]) for name in first)
    assert not all(torch.equal(first[name], third[name]) for name in first)


def test_configuration_makes_the_same_model_anew(make_data, make_model):
    vae = make_model(make_data(), metric_loss=mv.Triplet(margin=2.0), objective={"kl_weight": 3.0})
    again = mv.MultimodalVAE(**vae.configuration)
    assert again.configuration == vae.configuration
    assert {name: x.shape for name, x in again.state_dict().items()} == {
        name: x.shape for name, x in vae.state_dict().items()
    }


@pytest.mark.parametrize("name", ["type", "half", "1.0", "a.b", "..", "kl", "", "metric", "a/b", "été"])
def test_a_modality_and_a_class_may_be_called_anything(name):
    data = mv.MultimodalDataset.from_tensors(
        {name: torch.randn(8, 2)}, [name or "unnamed", "other"] * 4, {name: mv.Vector(size=2, hidden=4)}
    )
    vae = mv.MultimodalVAE(data.modalities, data.classes, latent_dim=2, seed=0, objective={"weights": {name: 2.0}})
    mv.fit(vae, data, epochs=1, per_class=2, device="cpu", show=False)
    assert mv.Synthesizer(vae).fit(data).sample(name or "unnamed", 2)[name].shape == (2, 2)


def test_one_part_for_two_modalities_is_two_parts():
    part = mv.Vector(size=2)
    vae = mv.MultimodalVAE({"a": part, "b": part}, ["x"], latent_dim=2)
    assert vae.modalities["a"] is not vae.modalities["b"]
    assert part not in vae.modalities.values()


def test_embedding_is_the_posteriors_mean_whatever_the_size_of_the_batch(make_data, make_model):
    data = make_data()
    vae = make_model(data).train()
    whole = vae.embed(data)
    assert vae.training
    assert whole.shape == (24, 3)
    assert not whole.requires_grad
    # A matrix product adds up in another order for another size.
    torch.testing.assert_close(vae.embed(data, batch_size=7), whole, rtol=1e-5, atol=1e-6)
    with torch.no_grad():
        expected = vae.eval().posterior(data.samples, data.present).mean
    torch.testing.assert_close(whole, expected)


def test_generation_goes_row_by_row(make_data, make_model):
    vae = make_model(make_data())
    latents = torch.randn(9, 3)
    whole, parts = vae.generate(latents), vae.generate(latents, batch_size=2)
    for name, x in whole.items():
        torch.testing.assert_close(parts[name], x, rtol=1e-5, atol=1e-6)
        torch.testing.assert_close(vae.generate(latents[4:5])[name], x[4:5], rtol=1e-5, atol=1e-6)


def test_nothing_in_gives_nothing_out(make_data, make_model):
    data = make_data()
    vae = make_model(data)
    assert vae.embed(data.subset([])).shape == (0, 3)
    assert {name: x.shape for name, x in vae.generate(torch.zeros(0, 3)).items()} == {"blood": (0, 3), "gait": (0, 2)}


def test_reconstruction_is_the_way_there_and_back(make_data, make_model):
    data = make_data()
    vae = make_model(data)
    for name, x in vae.reconstruct(data).items():
        assert torch.equal(x, vae.generate(vae.embed(data))[name])


def test_an_absent_modality_is_a_clear_error_with_concat(make_data, make_model):
    present = torch.ones(24, 2, dtype=torch.bool)
    present[5, 1] = False
    data = make_data(present=present)
    vae = make_model(data, fusion="concat")
    with pytest.raises(mv.DataError, match="sample 5 of a batch lacks 'gait'"):
        vae.embed(data)
    with pytest.raises(mv.DataError, match="lacks 'gait'"):
        mv.fit(vae, data, epochs=1, per_class=12, device="cpu", show=False)


def test_a_model_of_defaults_answers_from_any_subset(make_data, make_model):
    data = make_data(present=torch.tensor([[True, False], [False, True], [True, True]] * 8))
    vae = mv.MultimodalVAE(data.modalities, data.classes, latent_dim=3)
    assert vae.embed(data).isfinite().all()
    assert vae.translate({"blood": torch.zeros(2, 3)}, "gait").shape == (2, 2)


class Mean(mv.Concat):
    """A fusion that accepts absent modalities, whose features are zero."""

    def forward(self, features, present):
        joined = torch.cat(list(features.values()), dim=1)
        return mv.Gaussian(self.mean(joined), self.logvar(joined))


def test_an_absent_row_runs_through_no_network_and_no_loss():
    class Wary(mv.Vector):
        def reconstruction_loss(self, decoded, target):
            assert (target != 0).any(1).all()
            return super().reconstruction_loss(decoded, target)

        def encoder(self):
            def refuse_zeros(module, inputs):
                assert not len(inputs[0]) or (inputs[0] != 0).any(1).all()

            network = super().encoder()
            network.register_forward_pre_hook(refuse_zeros)
            return network

    present = torch.ones(6, 2, dtype=torch.bool)
    present[:3, 1] = False
    samples = {"a": torch.randn(6, 2), "b": torch.randn(6, 2)}
    data = mv.MultimodalDataset.from_tensors(
        samples, [0, 1] * 3, {"a": mv.Vector(size=2, hidden=4), "b": mv.Vector(size=2, hidden=4)}, present=present
    )
    vae = mv.MultimodalVAE(data.modalities, data.classes, fusion=Mean(), latent_dim=2, seed=0)
    vae.modalities["b"] = Wary(size=2, hidden=4)
    vae.encoders[1] = vae.modalities["b"].encoder()
    batch = data.batch(torch.arange(6))
    terms = vae(batch)
    assert (terms["reconstruction.b"][:3] == 0).all()
    assert (terms["reconstruction.b"][3:] > 0).all()
    # Present rows do not depend on absent ones.
    vae.eval()
    alone = data.batch(torch.arange(3, 6))
    with torch.no_grad():
        torch.testing.assert_close(
            vae.posterior(batch.samples, batch.present).mean[3:], vae.posterior(alone.samples, alone.present).mean
        )


def test_a_batch_in_which_a_modality_is_absent_altogether_works():
    present = torch.tensor([[True, False]] * 4)
    parts = {"a": mv.Vector(size=2, hidden=4), "b": mv.Vector(size=2, hidden=4)}
    data = mv.MultimodalDataset.from_tensors(
        {"a": torch.randn(4, 2), "b": torch.zeros(4, 2)}, [0, 1] * 2, parts, present=present
    )
    vae = mv.MultimodalVAE(data.modalities, data.classes, fusion=Mean(), latent_dim=2, seed=0)
    terms = vae(data.batch(torch.arange(4)))
    assert not terms["reconstruction.b"].any()
    vae.objective.total(terms).backward()
    assert vae.reconstruct(data)["b"].isfinite().all()


def test_data_with_other_modalities_or_classes_is_refused(make_data, make_model):
    data = make_data()
    vae = make_model(data)
    other = make_data(classes=["well", "ill"])
    with pytest.raises(mv.DataError, match=r"classes \['well', 'ill'\]"):
        vae.embed(other)
    data.modalities = dict(reversed(data.modalities.items()))
    with pytest.raises(mv.DataError, match=r"modalities \['gait', 'blood'\]"):
        vae.embed(data)


class _Wrong(mv.Vector):
    def __init__(self, where: str) -> None:
        super().__init__(size=3, hidden=4)
        self.where = where

    def encoder(self):
        return nn.Flatten(0) if self.where == "encoder" else super().encoder()

    def observe(self, decoded):
        return decoded if self.where == "observe" else super().observe(decoded)

    def reconstruction_loss(self, decoded, target):
        loss = super().reconstruction_loss(decoded, target)
        return loss.mean() if self.where == "loss" else loss


@pytest.mark.parametrize(
    ("where", "words"),
    [
        ("encoder", "encoder gives"),
        ("observe", r"observe gives.*\(2, 4, 3\).*\(2, 3\)"),
        ("loss", r"loss gives.*\(\).*\(2,\)"),
    ],
)
def test_an_authors_wrong_shape_is_found_before_any_data(where, words):
    with pytest.raises(mv.ConfigurationError, match=f"modality 'mine'.*{words}"):
        mv.MultimodalVAE({"mine": _Wrong(where=where)}, ["a"], latent_dim=2)


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        ({"objective": {"kl_wieght": 1.0}}, "objective.*kl_wieght.*did you mean 'kl_weight'"),
        ({"objective": {"weights": {"blod": 1.0}}}, "'blod'; the modalities are"),
        ({"objective": {"metric_dimensions": 9}}, "metric_dimensions is 9, but the latent has only 3"),
        ({"fusion": "concta"}, "did you mean 'concat'"),
        ({"metric_loss": {"name": "triplet", "margin": -1}}, "'margin'"),
        ({"modalities": {}}, "a model needs at least one"),
        ({"latent_dim": 0}, "latent_dim"),
    ],
)
def test_a_wrong_setting_of_the_model_is_named(make_data, make_model, arguments, words):
    data = make_data()
    data.modalities = arguments.pop("modalities", data.modalities)
    with pytest.raises(mv.MultimodalVAEError, match=words):
        make_model(data, **arguments)


def test_seeded_restores_torchs_state_even_after_an_error():
    before, draws = torch.random.get_rng_state(), []

    def fail():
        with seeded(3):
            draws.append(torch.rand(1))
            raise RuntimeError

    for _ in range(2):
        with pytest.raises(RuntimeError):
            fail()
        assert torch.equal(before, torch.random.get_rng_state())
    assert draws[0] == draws[1]


def test_one_modality_is_told_from_another(make_data, make_model):
    data = make_data()
    vae = make_model(data, fusion=mv.Concat(dropout=0.3))
    translated = vae.translate({"blood": data.samples["blood"]}, to="gait", batch_size=5)
    assert translated.shape == data.samples["gait"].shape
    present = torch.tensor([[True, False]]).expand(len(data), 2)
    with torch.no_grad():
        posterior = vae.eval().posterior(data.samples, present)
    torch.testing.assert_close(translated, vae.generate(posterior.mean)["gait"])
    # Values of the absent modality do not matter.
    assert torch.equal(translated, vae.translate({"blood": data.samples["blood"]}, to="gait", batch_size=5))


def test_telling_from_all_modalities_is_reconstruction(make_data, make_model):
    data = make_data()
    vae = make_model(data)
    torch.testing.assert_close(vae.translate(data.samples, to="gait"), vae.reconstruct(data)["gait"])


@pytest.mark.parametrize(
    ("samples", "to", "words"),
    [
        ({"blod": torch.zeros(2, 3)}, "gait", "no modality 'blod'; did you mean 'blood'"),
        ({"blood": torch.zeros(2, 3)}, "giat", "no modality 'giat'; did you mean 'gait'"),
        ({"blood": torch.zeros(2, 4)}, "gait", r"'blood': a sample has shape \(4,\)"),
        ({"blood": torch.full((2, 3), float("nan"))}, "gait", "'blood'.*not finite"),
        ({"blood": torch.zeros(2, 3), "gait": torch.zeros(3, 2)}, "gait", "different numbers.*'blood': 2.*'gait': 3"),
        ({}, "gait", "there are no samples to encode"),
        ({"blood": torch.zeros(2, 3)}, "gait", "lacks 'gait'.*dropout"),
    ],
)
def test_what_cannot_be_told_is_refused(make_data, make_model, samples, to, words):
    with pytest.raises(mv.DataError, match=words):
        make_model(make_data(), fusion="concat").translate(samples, to)
