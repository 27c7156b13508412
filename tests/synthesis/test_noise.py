"""Draws with their observation noise: what they follow, and what they do not depend on."""

import csv
import json

import pytest
import torch
from torch import nn
from torch.distributions import Normal, OneHotCategorical

import multimodal_vae as mv
from multimodal_vae.dependence import NoiseDependence
from multimodal_vae.observation import observe
from multimodal_vae.scopes import seeded
from multimodal_vae.synthesis import conditional, generation
from multimodal_vae.synthesis.conditional import write_completion, write_translations

DEVIATION = 0.5


class Noisy(mv.Vector):
    """Numbers with a known noise."""

    def likelihood(self, decoded):
        return Normal(decoded[:, 0], DEVIATION, validate_args=False)

    def reconstruction_loss(self, decoded, target):
        return -self.log_likelihood(decoded, target) / self.elements


class Bounded(Noisy):
    """Numbers in a range that the noise leaves."""

    range = (-0.1, 0.1)


class Quiet(Noisy):
    """Numbers whose new samples are expected ones unless draws are asked for."""

    noise = "mean"


class Bare(mv.Vector):
    """Numbers without a likelihood."""

    def likelihood(self, decoded):
        return None

    def reconstruction_loss(self, decoded, target):
        return (decoded[:, 0] - target).square().mean(1)

    def observe(self, decoded):
        return decoded[:, 0]


class Kind(mv.Categorical):
    """Categories, one of which each sample has."""

    def likelihood(self, decoded):
        return OneHotCategorical(logits=decoded, validate_args=False)


PARTS = {
    "noisy": Noisy(size=2, cell="path"),
    "quiet": Quiet(size=2, cell="path"),
    "bare": Bare(size=2),
    "kind": Kind(categories=["a", "b"]),
}


@pytest.fixture(scope="module")
def data():
    torch.manual_seed(0)
    samples = {name: torch.eye(2)[torch.arange(8) % 2] if name == "kind" else torch.randn(8, 2) for name in PARTS}
    return mv.MultimodalDataset.from_tensors(samples, ["ill", "well"] * 4, PARTS)


@pytest.fixture(scope="module")
def vae(data):
    return mv.MultimodalVAE(data.modalities, data.classes, mv.PoE(), latent_dim=3, seed=0).eval()


@pytest.fixture(scope="module")
def synthesizer(vae, data):
    return mv.Synthesizer(vae, {"name": "kde", "bandwidth": 0.5}).fit(data)


def test_draws_follow_the_likelihood_independently_of_one_another(vae):
    latents = torch.tensor([[0.3, -1.0, 2.0]]).expand(6000, -1)
    mean, drawn = vae.generate(latents, noise="mean"), vae.generate(latents, noise="draw", seed=1)
    noise = torch.cat([drawn[name] - mean[name] for name in ("noisy", "quiet")], 1) / DEVIATION
    # 5 standard errors each: of 4 means, of 4 variances, and of correlations within a row and from one row to the next.
    error = 5 / 6000**0.5
    assert noise.mean(0).abs().max() < error
    assert (noise.var(0) - 1).abs().max() < error * 2**0.5
    assert (noise.T @ noise / 6000 - torch.eye(4)).abs().max() < error * 2**0.5
    assert (noise[1:].T @ noise[:-1] / 6000).abs().max() < error
    assert {*drawn["kind"].sum(1).tolist(), *drawn["kind"].max(1).values.tolist()} == {1.0}
    assert (drawn["kind"].mean(0) - mean["kind"][0]).abs().max() < error / 2


def test_each_modality_has_its_default_and_none_can_be_drawn_without_a_likelihood(vae):
    assert vae.noise_of() == {"noisy": "draw", "quiet": "mean", "bare": "mean", "kind": "draw"}
    assert vae.noise_of("draw") == {"noisy": "draw", "quiet": "draw", "bare": "mean", "kind": "draw"}
    assert set(vae.noise_of("mean").values()) == {"mean"}
    latents = torch.randn(5, 3)
    mean = vae.generate(latents)
    for noise in (None, "draw"):
        differ = {name for name, x in vae.generate(latents, noise=noise, seed=0).items() if not x.equal(mean[name])}
        assert differ == {name for name, each in vae.noise_of(noise).items() if each == "draw"}


def test_noise_depends_on_the_seed_and_the_number_of_a_sample_only(vae):
    latents = torch.randn(7, 3)
    whole = vae.generate(latents, noise="draw", seed=3)
    mean = vae.generate(latents)
    parts = [vae.generate(latents[n : n + 4], noise="draw", seed=3, first=n) for n in (0, 4)]
    for name in ("noisy", "quiet"):
        # Rows are decoded in another order of addition; the noise is the same.
        torch.testing.assert_close(torch.cat([part[name] for part in parts]), whole[name])
        torch.testing.assert_close(vae.generate(latents, 2, noise="draw", seed=3)[name], whole[name])
        other = vae.generate(torch.zeros(7, 3), noise="draw", seed=3)[name] - vae.generate(torch.zeros(7, 3))[name]
        torch.testing.assert_close(other, whole[name] - mean[name])
        assert not torch.equal(vae.generate(latents, noise="draw", seed=4)[name], whole[name])
    decoded = torch.zeros(7, 4, 2)
    one, again, renamed = (observe(name, PARTS["noisy"], decoded, nn.Identity(), "draw", 3) for name in ("a", "a", "b"))
    assert torch.equal(one, again)
    assert not torch.equal(one, renamed)


def test_without_a_seed_noise_follows_torchs_random_state_and_leaves_it_alone_with_one(vae):
    drawn = []
    for seed in (1, 1, 2):
        torch.manual_seed(seed)
        drawn.append(vae.generate(torch.zeros(2, 3), noise="draw")["noisy"])
    first, again, other = drawn
    assert torch.equal(first, again)
    assert not torch.equal(first, other)
    state = torch.get_rng_state()
    vae.generate(torch.zeros(2, 3), noise="draw", seed=0)
    vae.generate(torch.zeros(2, 3))
    assert torch.equal(torch.get_rng_state(), state)
    assert vae.generate(torch.zeros(0, 3), noise="draw")["noisy"].shape == (0, 2)


@pytest.mark.parametrize("share", [None, 0.0, 0.8])
def test_a_draw_is_a_valid_sample(share):
    part = Bounded(size=2)
    decoded = torch.zeros(500, 4, 2)
    dependence = nn.Identity() if share is None else NoiseDependence(part)
    if share is not None:
        dependence.factors[0] = share**0.5
    drawn = observe("x", part, decoded, dependence, "draw", 0)
    part.check(drawn)
    assert 0.5 < float((drawn.abs() == 0.1).double().mean()) < 1  # P(|x| > 0.1) = 0.84


def test_a_synthesizer_draws_by_default_from_the_same_latents_as_ever(synthesizer, vae):
    latents = synthesizer.latents("ill", 6, seed=2)
    for noise in (None, "draw", "mean"):
        sampled, expected = synthesizer.sample("ill", 6, 2, noise=noise), vae.generate(latents, noise=noise, seed=2)
        assert all(torch.equal(x, expected[name]) for name, x in sampled.items())
    assert not torch.equal(synthesizer.sample("ill", 6, 2)["noisy"], vae.generate(latents)["noisy"])


@pytest.mark.parametrize("noise", [None, "mean", "draw"])
def test_files_hold_what_a_synthesizer_samples_and_say_what_it_is(synthesizer, vae, tmp_path, monkeypatch, noise):
    monkeypatch.setattr(generation, "CHUNK_SIZE", 3)
    mv.write_samples(tmp_path / "new", synthesizer, {"well": 7}, 4, {}, noise=noise)
    read = mv.MultimodalDataset.from_manifest(tmp_path / "new" / "manifest.csv", PARTS, cache=False).samples
    expected = synthesizer.sample("well", 7, seed=5, noise=noise)
    assert torch.equal(read["kind"].argmax(1), expected["kind"].argmax(1))
    for name in ("noisy", "quiet"):  # chunks are decoded in another order of addition
        torch.testing.assert_close(read[name], expected[name])
    provenance = json.loads((tmp_path / "new" / "provenance.json").read_text("utf-8"))
    assert (provenance["noise"], provenance["noise_by_modality"]) == (noise, vae.noise_of(noise))


def test_an_interrupted_generation_with_noise_resumes_to_the_same_files(synthesizer, tmp_path, monkeypatch):
    monkeypatch.setattr(generation, "CHUNK_SIZE", 2)
    write = Noisy.write

    def fail(self, sample, path):
        if path.stem == "ill-4":
            raise OSError(28, "No space left on device", str(path))
        write(self, sample, path)

    with monkeypatch.context() as patch:
        patch.setattr(Noisy, "write", fail)
        with pytest.raises(mv.RunError, match="No space left"):
            mv.write_samples(tmp_path / "new", synthesizer, {"ill": 5}, 0, {})
    with pytest.raises(mv.RunError, match="unfinished generation with another 'noise'"):
        mv.write_samples(tmp_path / "new", synthesizer, {"ill": 5}, 0, {}, noise="mean")
    mv.write_samples(tmp_path / "new", synthesizer, {"ill": 5}, 0, {})
    mv.write_samples(tmp_path / "whole", synthesizer, {"ill": 5}, 0, {})
    for path in (tmp_path / "whole").rglob("*.npy"):
        assert (tmp_path / "new" / path.relative_to(tmp_path / "whole")).read_bytes() == path.read_bytes()


def test_predictions_are_expected_samples_unless_draws_are_asked_for(vae, data):
    given = data.only("bare")
    mean = vae.translate(given, "noisy")
    assert torch.equal(mean, vae.reconstruct(given)["noisy"])
    assert not torch.equal(mean, vae.translate(given, "noisy", noise="draw"))
    one = vae.translate(given, "noisy", draws=1, seed=0)
    with seeded(0):
        latents = vae.encode(given).sample(1)[:, 0]
    assert torch.equal(one[:, 0], vae.generate(latents, noise=None, seed=0)["noisy"])
    without = vae.translate(given, "noisy", draws=1, seed=0, noise="mean")[:, 0]
    assert torch.equal(without, vae.generate(latents)["noisy"])
    # The variance of draws is that of their means and that of the noise.
    drawn, means = (vae.translate(given, "noisy", draws=500, seed=0, noise=noise) for noise in (None, "mean"))
    excess = drawn.var(1).mean() - means.var(1).mean()
    assert float(excess) == pytest.approx(DEVIATION**2, abs=0.02)  # standard error .008, for 8,000 draws


@pytest.mark.parametrize("draws", [None, 3])
def test_translated_files_agree_with_translations_also_in_their_noise(vae, data, tmp_path, monkeypatch, draws):
    monkeypatch.setattr(conditional, "CHUNK_SIZE", 4)
    given = data.only("bare")
    write_translations(tmp_path / "new", vae, given, "noisy", {}, draws, seed=4)
    read = mv.MultimodalDataset.from_manifest(tmp_path / "new" / "manifest.csv", {"noisy": PARTS["noisy"]}, cache=False)
    expected = vae.translate(given, "noisy", draws=draws, seed=4)
    torch.testing.assert_close(read.samples["noisy"], expected if draws is None else expected.flatten(0, 1))
    kind = "expected value" if draws is None else "draw"
    assert {row.split(": ")[1] for row in read.metadata["origin"]} == {f"noisy ({kind})"}
    provenance = json.loads((tmp_path / "new" / "provenance.json").read_text("utf-8"))
    used = ("mean", "mean") if draws is None else ("draw", "draw")
    assert (provenance["latents"], provenance["noise_by_modality"]["noisy"]) == used


def test_a_completion_says_whether_its_values_are_expected_or_drawn(vae, data, tmp_path):
    with open(tmp_path / "manifest.csv", "w", newline="", encoding="utf-8") as file:
        rows = csv.writer(file)
        rows.writerow(["sample_id", "label", "noisy", "quiet", "bare", "kind"])
        rows.writerows([[f"s{n}", ("ill", "well")[n % 2], "", "", f"{n} 1", "a"] for n in range(3)])
    gaps = mv.MultimodalDataset.from_manifest(tmp_path / "manifest.csv", PARTS, data.classes, cache=False)
    found = {}
    for name, settings in {"mean": {}, "one": {"seed": 1}, "flat": {"seed": 1, "noise": "mean"}}.items():
        write_completion(tmp_path / name, vae, gaps, {}, **settings)
        read = mv.MultimodalDataset.from_manifest(tmp_path / name / "manifest.csv", PARTS, data.classes, cache=False)
        word = "expected value" if name == "mean" else "draw"
        assert set(read.metadata["origin"]) == {f"synthetic, not for diagnosis: noisy ({word}), quiet ({word})"}
        found[name] = read.samples
    assert torch.equal(found["one"]["quiet"], found["flat"]["quiet"])
    assert not torch.equal(found["one"]["noisy"], found["flat"]["noisy"])
    with pytest.raises(mv.ConfigurationError, match="noise is 'draw', which needs a seed"):
        write_completion(tmp_path / "new", vae, gaps, {}, noise="draw")
