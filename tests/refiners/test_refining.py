"""A refiner learns from a frozen model, which stays as it is."""

import copy
import json

import pytest
import torch
from torch import nn

import multimodal_vae as mv
from multimodal_vae.observation import noise_of_refiner
from multimodal_vae.synthesis.generation import weights_digest
from multimodal_vae.training.averaging import weight_average
from multimodal_vae.training.refining import Refining, build_refiner
from sharpening import Sharpen

QUICK = {"steps": 4, "per_class": 3, "device": "cpu", "show": False, "loggers": [], "early_stopping": False}


@pytest.fixture(scope="module")
def data():
    torch.manual_seed(0)
    parts = {"photo": mv.Image(size=(6, 5), channels=1, width=4), "blood": mv.Vector(size=2, hidden=4)}
    samples = {name: torch.rand(16, *part.shape) for name, part in parts.items()}
    present = torch.ones(16, 2, dtype=torch.bool)
    present[:2, 0] = False
    return mv.MultimodalDataset.from_tensors(samples, ["ill", "well"] * 8, parts, present=present)


@pytest.fixture(scope="module")
def vae(data):
    return mv.MultimodalVAE(data.modalities, data.classes, latent_dim=3, seed=0).eval()


@pytest.fixture(scope="module")
def refiner(vae, data):
    return mv.fit_refiner(vae, data, "photo", Sharpen(), **QUICK)


@pytest.fixture
def synthesizer(vae, data, refiner):
    return mv.Synthesizer(vae, "gaussian", refiners={"photo": refiner}).fit(data)


def state(module):
    return {name: x.clone() for name, x in module.state_dict().items()}


def equal(first, second):
    return first.keys() == second.keys() and all(torch.equal(x, second[name]) for name, x in first.items())


class Watching(Sharpen):
    """A refiner that keeps what it was given."""

    seen: list = []  # noqa: RUF012

    def loss(self, coarse, target, latents, labels):
        self.seen.append((coarse, target, latents, labels, self.training))
        return super().loss(coarse, target, latents, labels)


def test_the_model_stays_as_it_is_and_the_refiner_learns(vae, data):
    before, random = state(vae), torch.random.get_rng_state()
    first = mv.fit_refiner(vae, data, "photo", Sharpen(), **QUICK)
    assert equal(state(vae), before)
    assert torch.equal(torch.random.get_rng_state(), random)
    assert not first.training
    again = mv.fit_refiner(vae, data, "photo", first, **QUICK)  # from new weights, with the same settings
    assert equal(state(first), state(again))
    assert not equal(state(first), state(build_refiner(vae, "photo", Sharpen(), seed=0)))


def test_it_sees_what_the_frozen_model_decodes_and_only_samples_that_are_there(vae, data):
    Watching.seen.clear()
    mv.fit_refiner(vae, data, "photo", Watching(), validation=data, **QUICK)
    real = {tuple(x.flatten().tolist()) for x in data.samples["photo"][2:]}
    decoders = copy.deepcopy(vae).eval()
    for coarse, target, latents, labels, _ in Watching.seen:
        assert {tuple(x.flatten().tolist()) for x in target} <= real
        with torch.no_grad():
            expected = vae.modalities["photo"].observe(decoders.decode(latents)["photo"])
        torch.testing.assert_close(coarse, expected)  # another batch of a decoder, up to rounding
        assert labels.dtype == torch.int64
    assert {training for *_, training in Watching.seen} == {True, False}  # trained, and validated


def test_only_the_refiners_weights_are_trained_saved_averaged_and_copied(vae):
    refiner = build_refiner(vae, "photo", Sharpen())
    refining = Refining(vae, "photo", refiner)
    assert {*refining.state_dict()} == {f"refiner.{name}" for name in refiner.state_dict()}
    assert [*refining.parameters()] == [*refiner.parameters()]
    assert refining.train().refiner.training
    assert not vae.training
    average = weight_average(refining, 0.9).module
    assert average._frozen.vae is vae
    assert average.refiner is not refiner
    refining.to(torch.float64)  # moves the model as well
    assert next(vae.parameters()).dtype == torch.float64
    refining.to(torch.float32)


def test_it_trains_in_bfloat16(vae, data):
    reduced = mv.fit_refiner(vae, data, "photo", Sharpen(), precision="bfloat16", **QUICK)
    assert {x.dtype for x in reduced.parameters()} == {torch.float32}


class Empty(Sharpen):
    def build(self, shape, latent_dim, classes):
        pass


class Particular(Sharpen):
    def build(self, shape, latent_dim, classes):
        raise ValueError("sizes must be even")


@pytest.mark.parametrize(
    ("name", "refiner", "words"),
    [
        ("phoot", Sharpen(), "no modality 'phoot'; did you mean 'photo'"),
        ("photo", Empty(), "has no weights to train after build"),
        ("photo", Particular(), "refiner of modality 'photo': it cannot be built: .*sizes must be even"),
        ("photo", "sharpen_", "no refiner 'sharpen_'"),
    ],
)
def test_what_cannot_refine_is_refused(vae, data, name, refiner, words):
    with pytest.raises(mv.MultimodalVAEError, match=words):
        mv.fit_refiner(vae, data, name, refiner, **QUICK)


def test_a_class_without_the_modality_is_named(vae, data):
    present = data.present.clone()
    present[data.labels == 1, 0] = False
    labels = [data.classes[label] for label in data.labels]
    lacking = mv.MultimodalDataset.from_tensors(dict(data.samples), labels, data.modalities, present=present)
    with pytest.raises(mv.DataError, match="refiner of modality 'photo': class 'well' has no training sample"):
        mv.fit_refiner(vae, lacking, "photo", Sharpen(), **QUICK)


def test_a_setting_that_does_not_exist_is_named(vae, data):
    with pytest.raises(mv.ConfigurationError, match="'stps'; did you mean 'steps'"):
        mv.fit_refiner(vae, data, "photo", Sharpen(), stps=3)


def test_without_refining_samples_are_what_they_were(vae, data, synthesizer):
    plain = mv.Synthesizer(vae, "gaussian").fit(data)
    given = {"count": 5, "seed": 3, "noise": "draw"}
    before, unrefined, refined = (
        plain.sample("ill", **given),
        synthesizer.sample("ill", refine=False, **given),
        synthesizer.sample("ill", **given),
    )
    assert equal(before, unrefined)
    assert torch.equal(before["blood"], refined["blood"])
    assert not torch.equal(before["photo"], refined["photo"])
    assert torch.equal(refined["photo"], synthesizer.sample("ill", 5, 3, noise="mean")["photo"])
    assert not torch.equal(refined["photo"], synthesizer.sample("ill", 5, 4)["photo"])


def test_each_decoder_runs_once(vae, synthesizer, monkeypatch):
    decoded = []
    for name, decoder in zip(vae.modalities, vae.decoders, strict=True):
        monkeypatch.setattr(decoder, "forward", lambda x, f=decoder.forward, name=name: decoded.append(name) or f(x))
    for refine in (True, False):
        decoded.clear()
        assert list(synthesizer.sample("ill", 5, refine=refine)) == list(vae.modalities)
        assert sorted(decoded) == sorted(vae.modalities)


def test_a_sample_depends_on_its_number_and_not_on_its_batch(synthesizer):
    latents = synthesizer.latents("well", 7, seed=1)
    whole = synthesizer.decode(latents, "well", seed=1)["photo"]
    for first in range(0, 7, 3):
        part = synthesizer.decode(latents[first : first + 3], "well", seed=1, first=first)["photo"]
        torch.testing.assert_close(part, whole[first : first + 3])
    assert synthesizer.decode(latents[:0], "well", seed=1)["photo"].shape == (0, 1, 6, 5)


def test_the_noise_is_standard_normal_and_of_each_modality_and_seed():
    noise = noise_of_refiner("photo", (3, 10, 10), seed=0, first=0, count=100)
    # Standard errors of 30,000 draws: .006 and .008.
    assert abs(float(noise.mean())) < 0.03
    assert abs(float(noise.var()) - 1) < 0.04
    assert torch.equal(noise[5:], noise_of_refiner("photo", (3, 10, 10), seed=0, first=5, count=95))
    others = [noise_of_refiner(name, (3, 10, 10), seed, 0, 1) for name, seed in (("scan", 0), ("photo", 1))]
    assert not any(torch.equal(other, noise[:1]) for other in others)


@pytest.mark.parametrize("refine", [True, False])
def test_files_hold_the_samples_and_say_what_refined_them(synthesizer, refine, tmp_path):
    mv.write_samples(tmp_path / "new", synthesizer, {"ill": 3}, 2, {}, refine=refine)
    read = mv.MultimodalDataset.from_manifest(tmp_path / "new" / "manifest.csv", synthesizer.vae.modalities, ["ill"])
    expected = synthesizer.sample("ill", 3, seed=2, refine=refine)
    torch.testing.assert_close(read.samples["photo"], expected["photo"], rtol=0, atol=0.5 / 255 + 1e-6)  # 8 bits
    said = json.loads((tmp_path / "new" / "provenance.json").read_text("utf-8"))
    assert said["noise_by_modality"] == {"photo": "refined" if refine else "mean", "blood": "draw"}
    assert said.get("refiners") == (
        {"photo": {"name": synthesizer.refiners["photo"].name, "width": 3}} if refine else None
    )


def test_the_hash_of_the_weights_covers_refiners(vae, data, synthesizer):
    before = weights_digest(synthesizer)
    assert weights_digest(mv.Synthesizer(vae, "gaussian").fit(data)) != before
    changed = copy.deepcopy(synthesizer.refiners["photo"])
    nn.init.zeros_(changed.deviation)
    assert weights_digest(mv.Synthesizer(vae, "gaussian", refiners={"photo": changed}).fit(data)) != before


class Shrinking(Sharpen):
    def forward(self, coarse, latents, labels, noise):
        return coarse[..., 1:]


class Wild(Sharpen):
    def forward(self, coarse, latents, labels, noise):
        return coarse / 0


@pytest.mark.parametrize(
    ("part", "words"), [(Shrinking, r"gives samples of shape \(1, 6, 4\); they must keep"), (Wild, "not finite")]
)
def test_what_is_no_sample_is_refused_by_name(vae, data, part, words):
    refiner = build_refiner(vae, "photo", part())
    synthesizer = mv.Synthesizer(vae, "gaussian", refiners={"photo": refiner}).fit(data)
    with pytest.raises(mv.TrainingError, match=f"the refiner of modality 'photo' .*{words}"):
        synthesizer.sample("ill", 2, seed=0)


def test_a_refiner_of_an_unknown_modality_is_refused(vae, refiner):
    with pytest.raises(mv.DataError, match="no modality 'phoot'; did you mean 'photo'"):
        mv.Synthesizer(vae, refiners={"phoot": refiner})
