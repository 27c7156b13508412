"""NaN and infinity leave by no door: what would give them names the part."""

import math
from types import SimpleNamespace

import pytest
import torch

import multimodal_vae as mv
from multimodal_vae.evaluation.protocol import evaluate
from multimodal_vae.evaluation.samples import LabeledSamples
from multimodal_vae.files import read_tensors, write_tensors
from multimodal_vae.privacy.records import Records
from multimodal_vae.synthesis.conditional import write_completion, write_interpolation, write_translations

BAD = [math.nan, math.inf, -math.inf]


@pytest.fixture
def data(make_data):
    return make_data()


@pytest.fixture
def vae(data, make_model):
    return make_model(data, fusion="poe").eval()


def poison(network, value=math.nan, where=0):
    """Spoil one number of a network's weights."""
    with torch.no_grad():
        list(network.parameters())[where].view(-1)[0] = value


USES = {
    "encode": lambda on: on.vae.encode(on.data),
    "encode of tensors": lambda on: on.vae.encode({"blood": on.data.samples["blood"]}),
    "embed": lambda on: on.vae.embed(on.data),
    "classify": lambda on: on.synthesizer.classify(on.data),
    "fit": lambda on: mv.Synthesizer(on.vae).fit(on.data),
    "reconstruct": lambda on: on.vae.reconstruct(on.data),
    "translate": lambda on: on.vae.translate(on.data.only("blood"), "gait"),
    "draws": lambda on: on.vae.translate(on.data, "gait", draws=2, seed=0),
    "interpolate": lambda on: on.vae.interpolate(on.data.subset([0, 1])),
    "generate": lambda on: on.vae.generate(torch.zeros(2, 3)),
    "sample": lambda on: on.synthesizer.sample("ill", 2),
}


@pytest.fixture
def on(vae, data):
    return SimpleNamespace(vae=vae, data=data, synthesizer=mv.Synthesizer(vae).fit(data))


@pytest.mark.parametrize("value", BAD)
@pytest.mark.parametrize("use", ["encode", "encode of tensors", "embed", "classify", "fit", "reconstruct"])
def test_an_encoder_is_named(on, use, value):
    poison(on.vae.encoders[0], value, where=-1)
    with pytest.raises(mv.TrainingError, match="the encoder of modality 'blood' gives values that are not finite"):
        USES[use](on)


@pytest.mark.parametrize("value", BAD)
@pytest.mark.parametrize("use", ["reconstruct", "translate", "draws", "interpolate", "generate", "sample"])
def test_a_decoder_is_named(on, use, value):
    poison(on.vae.decoders[1][0].decoder[0], value, where=-1)  # a bias of the network
    with pytest.raises(mv.TrainingError, match="the decoder of modality 'gait' gives values that are not finite"):
        USES[use](on)


@pytest.mark.parametrize("use", ["encode", "classify", "reconstruct", "translate"])
def test_a_fusion_is_named(on, use):
    poison(on.vae.fusion)
    with pytest.raises(mv.TrainingError, match="the fusion gives values that are not finite"):
        USES[use](on)


def test_a_variance_too_large_for_a_number_is_refused(vae, data, monkeypatch):
    mean = torch.zeros(1, 3)
    with pytest.raises(mv.TrainingError, match="not finite"):
        mv.Gaussian(mean, torch.full_like(mean, 200.0)).sample(2)


@pytest.mark.parametrize("value", BAD)
@pytest.mark.parametrize("sampler", ["kde", "gaussian", "gmm", "interpolation"])
def test_a_density_is_named_by_its_class(vae, data, sampler, value):
    synthesizer = mv.Synthesizer(vae, sampler).fit(data)
    next(x for x in synthesizer.densities["well"].state().values() if x.is_floating_point()).view(-1)[0] = value
    for use in (
        lambda: synthesizer.sample("well", 2),
        lambda: synthesizer.latents("well", 2, min_quantile=0.5),
        lambda: synthesizer.classify(data),
        lambda: synthesizer.density("well"),
    ):
        with pytest.raises(mv.SamplerError, match="the density of class 'well' cannot be used"):
            use()
    assert synthesizer.sample("ill", 2)["blood"].isfinite().all()


class Overflowing(torch.distributions.Normal):
    def log_prob(self, value):
        return super().log_prob(value).sum(-1) * math.nan


class Odd(mv.DensitySampler):
    """A sampler of an author, whose density is not a number though its tensors are finite."""

    def __init__(self) -> None:
        super().__init__()
        self.register_buffer("center", None)

    def fit(self, latents):
        self.center = latents.mean(0)
        return self

    def forward(self):
        return Overflowing(self.center, 1.0)

    def sample(self):
        raise NotImplementedError


def test_a_density_that_is_not_a_number_at_a_latent_is_named_by_its_class(vae, data):
    with pytest.raises(mv.SamplerError, match="the density of class 'ill' is not a number"):
        mv.Synthesizer(vae, Odd()).fit(data).classify(data)


def test_latents_to_decode_are_finite_numbers_of_the_models_shape(vae):
    for latents in (
        torch.full((2, 3), math.nan),
        torch.zeros(2, 4),
        torch.zeros(3),
        "latents",
        None,
        torch.zeros(1, 3) * 1j,
    ):
        with pytest.raises(mv.DataError, match=r"latents must be finite numbers of the shape \(N, 3\)"):
            vae.generate(latents)
    expected = vae.generate(torch.ones(1, 3))
    for latents in (torch.ones(1, 3, dtype=torch.float64), torch.ones(1, 3, dtype=torch.int64)):
        assert all(torch.equal(x, expected[name]) for name, x in vae.generate(latents).items())


@pytest.mark.parametrize("part", ["encoders", "decoders"])
def test_no_file_is_written(vae, data, tmp_path, part):
    incomplete = data.only("blood")
    incomplete.source = None
    poison(getattr(vae, part)[0 if part == "encoders" else 1])
    writers = {
        "translation": lambda out: write_translations(out, vae, incomplete, "gait", {}),
        "way": lambda out: write_interpolation(out, vae, incomplete.subset([0, 1]), 3, {}),
    }
    for name, write in writers.items():
        with pytest.raises(mv.TrainingError, match=r"modality '(blood|gait)' gives values that are not finite"):
            write(tmp_path / name)
    assert not list(tmp_path.iterdir())


def test_no_sample_is_written(vae, data, tmp_path):
    synthesizer = mv.Synthesizer(vae).fit(data)
    poison(vae.decoders[0], where=-1)
    with pytest.raises(mv.TrainingError, match="the decoder of modality 'blood'"):
        mv.write_samples(tmp_path / "out", synthesizer, {"ill": 2}, 0, {})
    assert not (tmp_path / "out").exists()


def test_nothing_is_completed(trained, tmp_path):
    run = mv.open_run(trained)
    manifest = trained.parent / "cohort" / "manifest.csv"
    lines = manifest.read_text("utf-8").splitlines()
    cells = lines[1].split(",")
    lines[1] = ",".join([*cells[:4], "", *cells[5:]])
    manifest.write_text("\n".join(lines), "utf-8")
    vae = run.configuration.with_data(classes=["ill", "well"])
    model = mv.MultimodalVAE(vae.modalities, ["ill", "well"], "poe", latent_dim=4, seed=0).eval()
    poison(model.decoders[1], where=-1)
    with pytest.raises(mv.TrainingError, match="the decoder of modality 'blood'"):
        write_completion(tmp_path / "out", model, run.read(manifest), {})
    assert not (tmp_path / "out").exists()


def spoil(path, name, value):
    """Rewrite a file of tensors, with its checksum."""
    tensors, facts = read_tensors(path)
    tensors[name].view(-1)[0] = value
    write_tensors(path, tensors, facts)


COMMANDS = (
    ["sample", "RUN", "--count", "2", "--out", "OUT"],
    ["encode", "RUN", "MANIFEST", "--out", "OUT"],
    ["classify", "RUN", "MANIFEST"],
    ["translate", "RUN", "MANIFEST", "--to", "blood", "--out", "OUT"],
    ["complete", "RUN", "MANIFEST", "--out", "OUT"],
    ["interpolate", "RUN", "MANIFEST", "s1", "s2", "--out", "OUT"],
    ["samplers", "RUN", "--sampler", "kde"],
    ["evaluate", "RUN", "--count", "10"],
    ["audit", "RUN"],
)


@pytest.mark.parametrize("value", BAD)
@pytest.mark.parametrize(
    ("tensor", "part"),
    [
        ("encoders.1.3.linear.weight", "the encoder of modality 'blood'"),
        ("decoders.0.", "the decoder of modality 'photo'"),
        ("fusion.", "the fusion"),
    ],
)
def test_weights_that_are_not_finite_are_refused_as_they_are_opened(trained, tensor, part, value):
    path = trained / "model.safetensors"
    spoil(path, next(name for name in read_tensors(path)[0] if name.startswith(tensor)), value)
    with pytest.raises(mv.RunError, match=rf"model\.safetensors: {part} has weights that are not finite"):
        _ = mv.open_run(trained).model


def test_statistics_of_batch_norm_are_weights_too(trained):
    path = trained / "model.safetensors"
    spoil(path, next(name for name in read_tensors(path)[0] if name.endswith("running_var")), math.nan)
    with pytest.raises(mv.RunError, match="has weights that are not finite"):
        _ = mv.open_run(trained).model


def test_every_command_refuses_such_weights(trained, tmp_path, mmvae):
    path = trained / "model.safetensors"
    spoil(path, next(name for name in read_tensors(path)[0] if name.startswith("decoders.1.")), math.nan)
    words = {"RUN": trained, "MANIFEST": trained.parent / "cohort" / "manifest.csv", "OUT": tmp_path / "out"}
    before = sorted(trained.rglob("*"))
    for command in COMMANDS:
        code, out, err = mmvae(*(words.get(word, word) for word in command))
        assert (code, out) == (2, "")
        assert len(err.splitlines()) == 1
        assert "the decoder of modality 'blood' has weights that are not finite" in err
    assert sorted(trained.rglob("*")) == before
    assert not (tmp_path / "out").exists()


@pytest.mark.parametrize("value", BAD)
def test_a_density_that_is_not_finite_is_refused_as_it_is_opened(trained, tmp_path, mmvae, value):
    spoil(trained / "samplers" / "kde.safetensors", "0.points", value)
    manifest = trained.parent / "cohort" / "manifest.csv"
    for command in (
        ["sample", trained, "--out", tmp_path / "out"],
        ["classify", trained, manifest],
        ["audit", trained],
    ):
        code, out, err = mmvae(*command)
        assert (code, out) == (2, "")
        assert len(err.splitlines()) == 1
        assert "kde.safetensors: the density of class 'ill' cannot be used" in err
    assert not (tmp_path / "out").exists()


@pytest.mark.parametrize(
    ("name", "change"),
    [
        ("0.points", lambda _: torch.zeros(5, 9)),
        ("0.points", lambda x: x[0]),
        ("0.points", lambda x: x[:0]),
        ("0.points", lambda x: x.to(torch.int64)),
        ("0.points", lambda x: x > 0),
        ("0.points", lambda x: x * 1j),
        ("0.points", lambda x: x[None]),
        ("0.points", None),
        ("0.chosen", lambda _: torch.ones(3, 2)),
        ("0.chosen", lambda _: torch.tensor(-1.0)),
        ("0.chosen", None),
        ("0.other", lambda _: torch.ones(2)),
    ],
)
def test_a_density_of_other_tensors_is_refused_in_one_line(trained, name, change):
    path = trained / "samplers" / "kde.safetensors"
    tensors, facts = read_tensors(path)
    old = tensors.pop(name, torch.zeros(1))
    write_tensors(path, tensors if change is None else {**tensors, name: change(old)}, facts)
    with pytest.raises(mv.RunError, match=r"kde\.safetensors: the density of class 'ill' cannot be used") as caught:
        mv.open_run(trained).synthesizer()
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize(
    "facts",
    [
        '{"fitted_on": {"ill": "many", "well": 3}}',
        '{"fitted_on": {"ill": NaN, "well": 3}}',
        '{"fitted_on": {"ill": -1, "well": 3}}',
        '{"fitted_on": ["ill", "well"]}',
        "[]",
        "",
    ],
)
def test_other_facts_of_a_density_are_refused(trained, facts):
    path = trained / "samplers" / "kde.safetensors"
    tensors, kept = read_tensors(path)
    start = '{"sampler": {"name": "kde"}, "parts": [], '
    write_tensors(path, tensors, {**kept, "synthesizer": start + facts[1:] if facts.startswith("{") else facts})
    with pytest.raises(mv.RunError, match="does not contain densities"):
        mv.open_run(trained).synthesizer()


class Exploding(mv.Vector):
    """A modality whose gradients are infinite though its loss is finite."""

    def reconstruction_loss(self, decoded, target):
        loss = super().reconstruction_loss(decoded, target)
        if loss.requires_grad:
            loss.register_hook(lambda gradient: gradient * math.inf)
        return loss


def test_a_training_whose_last_step_spoils_the_weights_fails(make_data, tmp_path):
    data = make_data(4)
    data = mv.MultimodalDataset.from_tensors(
        {"blood": data.samples["blood"]}, data.labels.tolist(), {"blood": Exploding(size=3, hidden=8)}
    )
    vae = mv.MultimodalVAE(data.modalities, data.classes, latent_dim=3, seed=0)
    with pytest.raises(mv.TrainingError, match="has weights that are not finite; train again"):
        mv.fit(vae, data, epochs=1, per_class=2, device="cpu", show=False)


class Undefined(mv.Vector):
    """A modality whose loss is not a number in evaluation, where no training loss tells of it."""

    def reconstruction_loss(self, decoded, target):
        loss = super().reconstruction_loss(decoded, target)
        return loss if decoded.requires_grad else loss * math.nan


def test_a_validation_that_is_not_finite_ends_the_training(make_data):
    data = make_data(8)
    data = mv.MultimodalDataset.from_tensors(
        {"blood": data.samples["blood"]}, data.labels.tolist(), {"blood": Undefined(size=3, hidden=8)}
    )
    vae = mv.MultimodalVAE(data.modalities, data.classes, latent_dim=3, seed=0)
    with pytest.raises(mv.TrainingError, match=r"reconstruction\.blood.*is not finite"):
        mv.fit(vae, data, data, epochs=1, per_class=2, device="cpu", show=False)


def test_an_evaluation_and_an_audit_take_finite_outputs_only():
    labels = torch.arange(8) % 2
    samples = LabeledSamples({"x": torch.randn(8, 3)}, labels)
    spoiled = torch.full((8, 3), math.nan)
    with pytest.raises(mv.DataError, match="the decoder of modality 'x' gives values that are not finite"):
        evaluate(samples, samples, samples, [], {"x": spoiled})
    with pytest.raises(mv.DataError, match="the encoder gives values that are not finite"):
        evaluate(samples, samples, samples, [], None, spoiled)
    with pytest.raises(mv.DataError, match="'latents' gives values that are not finite"):
        Records(samples, spoiled)
    with pytest.raises(mv.DataError, match="'loss' gives values that are not finite"):
        Records(samples, None, {"loss": spoiled[:, 0]})
