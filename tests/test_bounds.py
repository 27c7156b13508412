"""Requests beyond what the libraries or the machine can do are refused in one line, before the work."""

from types import SimpleNamespace

import numpy as np
import pytest

import multimodal_vae as mv
from multimodal_vae import bounds
from multimodal_vae.bounds import LARGEST_SEED, require_disk, require_memory, require_seed
from multimodal_vae.configuration import DataSettings, ModelSettings
from multimodal_vae.data.split import split_by_patient
from multimodal_vae.errors import did_you_mean
from multimodal_vae.evaluation.bootstrap import interval
from multimodal_vae.evaluation.latent import cross_validated_labels
from multimodal_vae.evaluation.pca import JointPCA
from multimodal_vae.synthesis.generation import write_samples
from multimodal_vae.training.settings import Training

NO_SEEDS = [-1, -(2**63), 2**64, 10**30, 1.5, "1", float("nan"), None]


@pytest.mark.parametrize("seed", [0, 1, LARGEST_SEED, np.int64(3), True])
def test_a_seed_is_returned(seed):
    assert require_seed(seed) == seed


@pytest.mark.parametrize("seed", [*NO_SEEDS, LARGEST_SEED + 1])
def test_no_seed_is_refused(seed):
    with pytest.raises(mv.ConfigurationError, match=r"the seed is .*; give a whole number from 0 to 4294967295"):
        require_seed(seed)


SEEDED = {
    "split": lambda data, seed: data.split(0.5, 0.0, 0.5, seed=seed),
    "split_by_patient": lambda data, seed: split_by_patient(data.patients, data.labels.tolist(), (0.5, 0.5), seed),
    "model": lambda data, seed: mv.MultimodalVAE(data.modalities, data.classes, latent_dim=3, seed=seed),
    "gmm": lambda data, seed: mv.GMM(seed=seed).fit(data.samples["blood"]),
    "pca": lambda data, seed: JointPCA(2, seed).fit({"x": data.samples["blood"]}),
    "interval": lambda data, seed: interval(len, len(data), None, 5, seed=seed),
    "folds": lambda data, seed: cross_validated_labels({"x": data.samples["blood"]}, data.labels, folds=2, seed=seed),
    "sample": lambda data, seed: (
        mv.Synthesizer(mv.MultimodalVAE(data.modalities, data.classes, latent_dim=3), "gmm")
        .fit(data)
        .sample("ill", 2, seed=seed)
    ),
}


@pytest.mark.parametrize("seed", [-1, 2**64, 10**30])
@pytest.mark.parametrize("name", SEEDED)
def test_every_function_with_a_seed_refuses_what_is_none(make_data, name, seed):
    with pytest.raises(mv.ConfigurationError, match=str(seed)):
        SEEDED[name](make_data(), seed)
    SEEDED[name](make_data(), LARGEST_SEED)


@pytest.mark.parametrize("settings", [Training, DataSettings, ModelSettings])
def test_settings_refuse_what_is_no_seed(settings):
    for seed in (-1, LARGEST_SEED + 1, 10**30):
        with pytest.raises(ValueError, match="seed"):
            settings(seed=seed)
    assert settings(seed=LARGEST_SEED).seed == LARGEST_SEED


@pytest.mark.parametrize("command", ["sample", "evaluate", "audit", "translate", "complete"])
@pytest.mark.parametrize("seed", [-1, 2**32, 2**64, 10**30])
def test_commands_refuse_what_is_no_seed(tmp_path, mmvae, command, seed):
    manifest = ["m.csv"] if command in ("translate", "complete") else []
    out = [] if command in ("evaluate", "audit") else ["--out", tmp_path / "out"]
    to = ["--to", "x"] if command == "translate" else []
    code, _, errors = mmvae(command, tmp_path, *manifest, *to, *out, "--seed", seed)
    assert code == 2
    assert "seed" in errors
    assert errors.count("\n") == 1


def test_memory_is_known_and_bounds_what_is_asked(monkeypatch):
    assert 2**20 < bounds.memory() < 2**50
    require_memory(1000, "x")
    monkeypatch.setattr(bounds, "memory", lambda: 2.0**30)
    with pytest.raises(mv.ConfigurationError, match=r"^x: it needs 2 GiB of memory, but this machine has 1 GiB$"):
        require_memory(2**31, "x")


def test_the_disk_of_a_folder_that_is_still_to_be_made_bounds_files(tmp_path):
    require_disk(1, tmp_path / "new" / "newer", "x")
    with pytest.raises(mv.ConfigurationError, match=f"^x: it needs .* of disk, but {tmp_path} has .* free$"):
        require_disk(2**70, tmp_path / "new" / "newer", "x")


@pytest.mark.parametrize("settings", [{"latent_dim": 10**n} for n in (11, 15, 18, 19, 30)])
def test_a_model_beyond_memory_is_refused(make_data, settings):
    data = make_data()
    with pytest.raises(mv.ConfigurationError, match="the model is too large"):
        mv.MultimodalVAE(data.modalities, data.classes, **settings)


@pytest.mark.parametrize("part", [mv.Vector(size=10**12), mv.Vector(size=3, hidden=10**12), mv.Signal(length=10**16)])
def test_a_network_beyond_memory_is_refused(part):
    with pytest.raises(mv.ConfigurationError, match="too large"):
        mv.MultimodalVAE({"x": part}, ["a"], latent_dim=2)


def test_layers_that_fit_one_by_one_but_not_together_are_refused(monkeypatch):
    monkeypatch.setattr(bounds, "memory", lambda: 2.0**20)
    mv.MultimodalVAE({"x": mv.Vector(size=3, hidden=8)}, ["a"], latent_dim=2)
    with pytest.raises(mv.ConfigurationError, match=r"too large to train: it needs .* but this machine has"):
        mv.MultimodalVAE({"x": mv.Vector(size=3, hidden=400)}, ["a"], latent_dim=2)


def test_counts_beyond_memory_or_disk_are_refused_before_anything_is_written(
    make_data, make_model, tmp_path, monkeypatch
):
    usage = SimpleNamespace(free=2**30)
    monkeypatch.setattr(bounds.shutil, "disk_usage", lambda _: usage)
    data = make_data()
    vae = make_model(data)
    synthesizer = mv.Synthesizer(vae, "gmm").fit(data)
    count = 10**15
    for refused in (
        lambda: synthesizer.sample("ill", count),
        lambda: synthesizer.latents("ill", count),
        lambda: write_samples(tmp_path / "new", synthesizer, {"ill": count}, 0, {}),
        lambda: vae.translate(data, "gait", draws=count),
        lambda: vae.interpolate(data.subset([0, 1]), count),
    ):
        with pytest.raises(mv.ConfigurationError, match=r"too many.* GiB"):
            refused()
    with pytest.raises(mv.ConfigurationError, match="of disk"):
        write_samples(tmp_path / "new", synthesizer, dict.fromkeys(["ill", "well"], 10**9), 0, {})
    assert not list(tmp_path.iterdir())


def test_commands_refuse_counts_in_one_line(trained, mmvae, tmp_path):
    out, manifest = tmp_path / "out", trained.parent / "cohort" / "manifest.csv"
    for command in (
        ["sample", trained, "--count", 10**15, "--out", out],
        ["evaluate", trained, "--count", 10**15],
        ["interpolate", trained, manifest, "s0", "s1", "--steps", 10**15, "--out", out],
    ):
        code, _, errors = mmvae(*command)
        assert (code, errors.count("\n")) == (2, 1), errors
        assert "too many" in errors
        assert not out.exists()
    assert not (trained / "judges").exists()


def test_a_message_lists_no_more_than_some_of_many_or_long_names():
    names = [f"column {number}" for number in range(100_000)]
    assert did_you_mean("colum 7", names[:99]).startswith("did you mean 'column 7'")
    message = did_you_mean("colum 7", names)
    assert message.startswith("there are: column 0, ")
    assert message.endswith(" and 99,950 more")
    assert len(did_you_mean("x" * 10**6, ["y" * 10**6])) < 200


def test_a_message_that_quotes_a_file_is_cut():
    message = str(mv.DataError("begin " + "x" * 10**6 + " end"))
    assert message.startswith("begin x")
    assert message.endswith("x end")
    assert len(message) < 2100


@pytest.mark.parametrize(
    "part",
    [
        mv.Vector(size=10**10),
        mv.Signal(length=10**19),
        mv.Image(size=(10**6, 10**6)),
        mv.Modality.of({"name": "ecg", "seconds": 1e12}),
    ],
)
def test_samples_beyond_memory_are_refused_before_a_file_is_read(tmp_path, part):
    (tmp_path / "m.csv").write_text("sample_id,label,x\ns,a,1\n", "utf-8")
    for refused in (
        lambda: mv.MultimodalDataset.from_manifest(tmp_path / "m.csv", {"x": part}, unreadable="skip"),
        lambda: mv.MultimodalVAE({"x": part}, ["a"], latent_dim=2),
    ):
        with pytest.raises(mv.ConfigurationError, match=r"modality 'x': samples of .* are too large"):
            refused()


@pytest.mark.parametrize("settings", [{"per_class": 10**n} for n in (5, 9, 15, 30)] + [{"unlabeled": 10**15}])
def test_a_batch_beyond_the_training_set_is_refused(make_data, make_model, settings):
    data = make_data()
    data.labels[:4] = -1
    with pytest.raises(mv.DataError, match=r"a batch would have .* but there are .*; lower 'per_class'"):
        mv.fit(make_model(data), data, epochs=1, device="cpu", loggers=[], **settings)


@pytest.mark.parametrize("settings", [{"hidden": [10**10]}, {"bins": 10**10}, {"transforms": 10**9}])
def test_a_flow_beyond_memory_is_refused(settings):
    with pytest.raises(mv.ConfigurationError, match="less than or equal to"):
        mv.DensitySampler.of({"name": "flow", **settings})
